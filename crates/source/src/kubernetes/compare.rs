use archive::{Attributes, Body, Digest, Entry, Field};
use serde_json::Value;

use super::id::Id;
use super::object::{
    ANNOTATIONS, BINARY, Data, FINALIZERS, GENERATE_NAME, IMMUTABLE, LABELS, NAME_LABEL, OWNERS,
    Object, TYPE, attribute, canonical,
};
use super::settings::{Owners, Wishes};
use super::tokens::{is_filled, is_token, unfilled};
use crate::{Action, Conflict};

/// The attributes that make an object what it is.
const COMPARED: [&str; 8] = [
    ANNOTATIONS,
    BINARY,
    FINALIZERS,
    GENERATE_NAME,
    IMMUTABLE,
    LABELS,
    OWNERS,
    TYPE,
];

/// What a change of an object that can only be made by deleting it says beside what differs.
pub(super) const RECREATED: &str = "deleted and created again";

/// In what `live` differs from what was captured as `entry`, which was the object `captured`: keys and attributes, never values.
pub(super) fn differences(
    entry: &Entry,
    captured: &Id,
    live: &Object,
    wishes: &Wishes,
) -> Vec<String> {
    let token = is_token(&entry.attributes);
    let mut what = Vec::new();
    match (&entry.body, live.body()) {
        (Body::Record { fields }, Body::Record { fields: there }) => {
            let counts = |field: &&Field| !(token && is_filled(field.key.as_bytes()));
            let changed = |field: &&Field| !there.contains(field);
            let wanted = fields.iter().filter(counts).filter(changed);
            what.extend(wanted.map(|field| field.key.to_string()));
            let surplus = |field: &&Field| fields.iter().all(|wanted| wanted.key != field.key);
            let surplus = there.iter().filter(counts).filter(surplus);
            what.extend(surplus.map(|field| field.key.to_string()));
        }
        (Body::Blob { digest, .. }, Body::Blob { .. }) => {
            if *digest != as_captured(live, captured) {
                what.push("content".to_owned());
            }
        }
        _ => what.push("content".to_owned()),
    }
    let (ours, theirs) = if token {
        (unfilled(&entry.attributes), unfilled(&live.attributes))
    } else {
        (entry.attributes.clone(), live.attributes.clone())
    };
    let there = match wishes.owners {
        Owners::Drop => Owners::Keep,
        policy => policy,
    };
    let differs = |name: &&&str| match **name {
        OWNERS => owners(&ours, wishes.owners) != owners(&theirs, there),
        name => value(&ours, name) != value(&theirs, name),
    };
    what.extend(
        COMPARED
            .iter()
            .filter(differs)
            .map(|name| (*name).to_owned()),
    );
    what
}

/// An attribute as it counts: what is not said is what is empty.
fn value<'a>(attributes: &'a Attributes, name: &str) -> &'a [u8] {
    let value = attributes.get(name).unwrap_or_default();
    match (name, value) {
        (IMMUTABLE, b"false") | (LABELS | ANNOTATIONS, b"{}") => b"",
        (_, value) => value,
    }
}

/// Owner references as they count under `policy`.
fn owners(attributes: &Attributes, policy: Owners) -> Value {
    let mut owners = attribute(attributes, OWNERS).unwrap_or_default();
    match policy {
        Owners::Keep => {}
        Owners::Drop => owners = Value::Null,
        // Which uid the owner has today is found out when it is written.
        Owners::Lookup => {
            for owner in owners.as_array_mut().into_iter().flatten() {
                if let Some(owner) = owner.as_object_mut() {
                    owner.remove("uid");
                }
            }
        }
    }
    // None at all is said in two ways.
    if owners.as_array().is_some_and(Vec::is_empty) {
        owners = Value::Null;
    }
    owners
}

/// The digest that `live` would have if it lay where it was captured.
fn as_captured(live: &Object, captured: &Id) -> Digest {
    let Data::Json(json) = &live.data else {
        return Digest::of(b"");
    };
    if live.id == *captured {
        return Digest::of(json);
    }
    match serde_json::from_slice(json) {
        Ok(mut value) => {
            move_to(&mut value, captured);
            Digest::of(&canonical(&value))
        }
        Err(_) => Digest::of(json),
    }
}

/// Makes the object in `json` the one that is called `id`.
pub(super) fn move_to(json: &mut Value, id: &Id) {
    let metadata = &mut json["metadata"];
    if let Some(namespace) = &id.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    if id.is_namespace() {
        metadata["name"] = id.name.as_str().into();
        let label = &mut metadata["labels"];
        if let Some(name) = label.get_mut(NAME_LABEL) {
            *name = id.name.as_str().into();
        }
    }
}

/// What a restore does with an object that is there and differs in `what`, if it does in anything.
pub(super) fn decide(
    mut what: Vec<String>,
    entry: &Entry,
    live: &Object,
    wishes: &Wishes,
) -> Action {
    if what.is_empty() {
        return Action::Same;
    }
    // What an interrupted restore of ours left of it is in nobody's way.
    if live.bare {
        return Action::Update { what };
    }
    match wishes.conflict {
        Conflict::Fail => Action::Conflict {
            reason: format!("differs in {}", what.join(", ")),
        },
        Conflict::Skip => Action::Skip { what },
        Conflict::Overwrite => match obstacle(entry, live, &what) {
            None => Action::Update { what },
            Some(_) if wishes.recreate => {
                what.push(RECREATED.to_owned());
                Action::Update { what }
            }
            Some(obstacle) => Action::Unmanageable {
                reason: format!("{obstacle}: --recreate deletes it and creates it again"),
            },
        },
    }
}

/// Why the server would not let `live` be changed to what was captured.
pub(super) fn obstacle(entry: &Entry, live: &Object, what: &[String]) -> Option<&'static str> {
    if live.attributes.get(TYPE) != entry.attributes.get(TYPE) {
        return Some("it has another type there, and a type cannot be changed");
    }
    let held = |name: &String| {
        let name = name.as_str();
        // Everything but what stands in its metadata.
        ![ANNOTATIONS, FINALIZERS, GENERATE_NAME, LABELS, OWNERS].contains(&name)
    };
    if live.attributes.text(IMMUTABLE) == Some("true") && what.iter().any(held) {
        return Some("it is immutable there");
    }
    None
}
