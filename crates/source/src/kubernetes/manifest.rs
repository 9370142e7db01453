use std::collections::BTreeSet;

use archive::{Body, Entry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::compare::move_to;
use super::id::Id;
use super::object::{
    ANNOTATIONS, BINARY, FINALIZERS, GENERATE_NAME, IMMUTABLE, LABELS, MANAGED_FIELDS, OWNERS,
    TYPE, attribute,
};
use super::resource::{Resource, Shape};
use super::settings::{Owners, Wishes};
use super::tokens::{is_filled, is_token, unfilled};

/// A captured object on its way back: what is sent to the server.
pub(super) struct Manifest {
    /// Where it goes.
    pub(super) id: Id,
    pub(super) resource: Resource,
    /// `apiVersion`, `kind`, `metadata` and all but the values of a record.
    object: Value,
    /// The values of a record: the name of their map, its key, and the value as JSON has it.
    values: Vec<(&'static str, String, Zeroizing<String>)>,
    /// Who applied which fields, if anybody did.
    pub(super) managed_fields: Option<Value>,
}

impl Manifest {
    /// Of `entry`, which holds `content`; or one clause that says why nothing can be made of it.
    pub(super) fn new(
        entry: &Entry,
        content: &[u8],
        id: Id,
        resource: Resource,
        wishes: &Wishes,
    ) -> Result<Self, String> {
        let attributes = if is_token(&entry.attributes) {
            unfilled(&entry.attributes)
        } else {
            entry.attributes.clone()
        };
        let json = |name| {
            let value = attribute(&attributes, name);
            value.map_err(|_| format!("its attribute {name} is not JSON"))
        };
        let managed_fields = Some(json(MANAGED_FIELDS)?).filter(|it| !it.is_null());
        let mut manifest = Self {
            id,
            resource,
            object: Value::Null,
            values: Vec::new(),
            managed_fields,
        };
        let owners = match wishes.owners {
            Owners::Drop => Value::Null,
            Owners::Keep | Owners::Lookup => json(OWNERS)?,
        };
        let Body::Record { fields } = &entry.body else {
            return manifest.whole(content, owners);
        };
        let mut metadata = Map::new();
        for (name, value) in [
            (LABELS, json(LABELS)?),
            (ANNOTATIONS, json(ANNOTATIONS)?),
            (OWNERS, owners),
            (FINALIZERS, json(FINALIZERS)?),
        ] {
            if !value.is_null() {
                metadata.insert(name.to_owned(), value);
            }
        }
        metadata.insert("name".to_owned(), manifest.id.name.as_str().into());
        if let Some(namespace) = &manifest.id.namespace {
            metadata.insert("namespace".to_owned(), namespace.as_str().into());
        }
        if let Some(name) = attributes.text(GENERATE_NAME) {
            metadata.insert(GENERATE_NAME.to_owned(), name.into());
        }
        let mut object = Map::new();
        object.insert("metadata".to_owned(), metadata.into());
        if let Some(kind) = attributes.text(TYPE).filter(|kind| !kind.is_empty()) {
            object.insert(TYPE.to_owned(), kind.into());
        }
        if let Some(immutable) = attributes.text(IMMUTABLE) {
            object.insert(IMMUTABLE.to_owned(), (immutable == "true").into());
        }
        manifest.object = object.into();
        manifest.name_kind();
        let binary: BTreeSet<String> = serde_json::from_value(json(BINARY)?).unwrap_or_default();
        let mut rest = content;
        for field in fields {
            let length = usize::try_from(field.length).unwrap_or(usize::MAX);
            let value = rest.split_at_checked(length);
            let (value, after) = value.ok_or("its content is shorter than its entry says")?;
            rest = after;
            if is_token(&entry.attributes) && is_filled(field.key.as_bytes()) {
                continue;
            }
            let key = std::str::from_utf8(field.key.as_bytes());
            let key = key.map_err(|_| format!("the key {} is not UTF-8", field.key))?;
            manifest.value(key, value, binary.contains(key))?;
        }
        Ok(manifest)
    }

    fn value(&mut self, key: &str, value: &[u8], binary: bool) -> Result<(), String> {
        let (map, text) = match self.resource.shape() {
            Shape::ConfigMap if binary => (BINARY, STANDARD.encode(value)),
            Shape::ConfigMap => {
                let text = std::str::from_utf8(value);
                let text = text.map_err(|_| format!("the value of {key} is not UTF-8"))?;
                ("data", text.to_owned())
            }
            _ => ("data", STANDARD.encode(value)),
        };
        self.values
            .push((map, key.to_owned(), Zeroizing::new(text)));
        Ok(())
    }

    fn whole(mut self, content: &[u8], owners: Value) -> Result<Self, String> {
        let object = serde_json::from_slice(content);
        self.object = object.map_err(|_| "its content is not JSON".to_owned())?;
        if !self.object.is_object() || !self.object["metadata"].is_object() {
            return Err("its content is not an object".to_owned());
        }
        // As it was captured, which may be an older version of the kind than the server prefers today.
        if let Some(version) = self.object["apiVersion"].as_str() {
            let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
            if group == self.resource.group {
                version.clone_into(&mut self.resource.version);
            }
        }
        if !owners.is_null() {
            self.object["metadata"][OWNERS] = owners;
        }
        move_to(&mut self.object, &self.id);
        Ok(self)
    }

    fn name_kind(&mut self) {
        self.object["apiVersion"] = self.resource.api_version().into();
        self.object["kind"] = self.resource.kind.as_str().into();
    }

    /// Its owner references.
    pub(super) fn owners(&self) -> Option<&Value> {
        self.object["metadata"].get(OWNERS)
    }

    /// Gives it these owners.
    pub(super) fn set_owners(&mut self, owners: Vec<Value>) {
        self.object["metadata"][OWNERS] = owners.into();
    }

    /// What is sent: to create it, or to replace the version of it that is there.
    pub(super) fn json(&self, resource_version: Option<&str>) -> Vec<u8> {
        let mut object = self.object.clone();
        if let Some(version) = resource_version {
            object["metadata"]["resourceVersion"] = version.into();
        }
        let values = self
            .values
            .iter()
            .map(|(_, key, text)| key.len() + text.len() + 8);
        let mut out = Vec::with_capacity(1024 + values.sum::<usize>());
        serde_json::to_writer(&mut out, &object).expect("a value is JSON, and memory takes it");
        for map in ["data", BINARY] {
            let mut values = self.values.iter().filter(|(of, ..)| *of == map).peekable();
            if values.peek().is_none() {
                continue;
            }
            out.pop();
            out.extend_from_slice(format!(",\"{map}\":{{").as_bytes());
            for (_, key, text) in values {
                serde_json::to_writer(&mut out, key).expect("a text is JSON");
                out.push(b':');
                serde_json::to_writer(&mut out, text.as_str()).expect("a text is JSON");
                out.push(b',');
            }
            out.pop();
            out.extend_from_slice(b"}}");
        }
        out
    }
}
