use std::collections::{BTreeMap, HashSet};

use archive::Name;

use super::id::Id;
use crate::{Conflict, Error, ErrorKind, RestoreOptions, Setting};

const MAP_NAMESPACE: &str = "map-namespace";
const OWNERS: &str = "owners";
const RECREATE: &str = "recreate";
/// The setting that agrees to deletions.
pub const PRUNE_EXTRA: &str = "prune-extra";

/// What a restore of Kubernetes can be told.
pub const SETTINGS: [Setting; 4] = [
    Setting {
        name: MAP_NAMESPACE,
        value: Some("A=B,..."),
        help: "restore what was in namespace A into namespace B",
    },
    Setting {
        name: OWNERS,
        value: Some("POLICY"),
        help: "owner references: lookup (find the owner by its name), keep or drop [default: lookup]",
    },
    Setting {
        name: RECREATE,
        value: None,
        help: "delete and create again what cannot be changed: immutable objects, Secrets of another type",
    },
    Setting {
        name: PRUNE_EXTRA,
        value: Some("COUNT"),
        help: "delete what the source selects and the snapshot does not have, if that is COUNT objects",
    },
];

/// A restore, as it was asked for.
pub(super) struct Wishes {
    pub(super) conflict: Conflict,
    namespaces: BTreeMap<String, String>,
    pub(super) owners: Owners,
    pub(super) recreate: bool,
    /// That so many objects that the snapshot does not have are deleted.
    pub(super) prune: Option<usize>,
}

/// What becomes of owner references. An object whose owners are all gone is deleted by the garbage collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Owners {
    /// The owner of that kind and name is looked for; without one the reference is dropped.
    #[default]
    Lookup,
    /// As they were captured.
    Keep,
    /// None.
    Drop,
}

impl Wishes {
    pub(super) fn read(options: &RestoreOptions) -> Result<Self, Error> {
        if options.target.is_some() {
            return Err(wrong(
                "a cluster is no folder, so --to cannot be used: another cluster is another kubeconfig or context in the \
                 configuration, and --map-namespace A=B leads into another namespace",
            ));
        }
        let mut wishes = Self {
            conflict: options.conflict,
            namespaces: BTreeMap::new(),
            owners: Owners::default(),
            recreate: false,
            prune: None,
        };
        for (name, value) in &options.settings {
            match name.as_str() {
                MAP_NAMESPACE => wishes.namespaces = namespaces(value)?,
                OWNERS => wishes.owners = owners(value)?,
                RECREATE => wishes.recreate = value == "true",
                PRUNE_EXTRA => wishes.prune = Some(count(value)?),
                other => {
                    return Err(wrong(format!("a restore of Kubernetes knows no --{other}")));
                }
            }
        }
        if wishes.prune.is_some() && !wishes.namespaces.is_empty() {
            return Err(wrong(format!(
                "--{PRUNE_EXTRA} compares with what the source selects, so it cannot go together with --{MAP_NAMESPACE}"
            )));
        }
        Ok(wishes)
    }

    /// Only as many objects are deleted as were agreed to.
    pub(super) fn agree_to_delete(&self, extra: usize) -> Result<(), Error> {
        match self.prune {
            Some(agreed) if agreed != extra => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{extra} objects are there that the snapshot does not have, and --{PRUNE_EXTRA} {agreed} does not agree to \
                     delete so many: look at the plan, then say --{PRUNE_EXTRA} {extra}"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The namespace that the object lies in, or is, if what is in it goes to another one.
    pub(super) fn mapped<'i>(&self, id: &'i Id) -> Option<&'i str> {
        let namespace = if id.is_namespace() {
            Some(&id.name)
        } else {
            id.namespace.as_ref()
        };
        let namespace = namespace.filter(|it| self.namespaces.contains_key(*it));
        namespace.map(String::as_str)
    }

    /// A namespace of which nothing is restored was mistyped: what was meant to go elsewhere would be written over where it was.
    pub(super) fn refuse_unmapped(&self, mapped: &HashSet<String>) -> Result<(), Error> {
        match self.namespaces.keys().find(|from| !mapped.contains(*from)) {
            None => Ok(()),
            Some(from) => {
                let from = Name::from(from.as_str());
                Err(wrong(format!(
                    "--{MAP_NAMESPACE} leads out of the namespace {from}, and nothing of what is to be restored lies in it"
                )))
            }
        }
    }

    /// Where the object that was `id` goes.
    pub(super) fn place(&self, id: &Id) -> Id {
        let mapped = |name: &String| self.namespaces.get(name).unwrap_or(name).clone();
        let mut placed = id.clone();
        placed.namespace = placed.namespace.as_ref().map(mapped);
        if placed.is_namespace() {
            placed.name = mapped(&placed.name);
        }
        placed
    }
}

fn namespaces(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut map = BTreeMap::new();
    for pair in text.split(',') {
        let pair = pair.trim();
        let Some((from, to)) = pair.split_once('=').filter(|(from, to)| {
            let name = |text: &&str| !text.is_empty() && !text.contains(['/', '=']);
            name(from) && name(to)
        }) else {
            let pair = Name::from(pair);
            return Err(wrong(format!("--{MAP_NAMESPACE} takes A=B, not {pair}")));
        };
        if !is_label(to) {
            let to = Name::from(to);
            return Err(wrong(format!(
                "--{MAP_NAMESPACE}: {to} cannot be the name of a namespace: a-z, 0-9 and '-', at most 63"
            )));
        }
        if map.insert(from.to_owned(), to.to_owned()).is_some() {
            let from = Name::from(from);
            return Err(wrong(format!("--{MAP_NAMESPACE} maps {from} twice")));
        }
    }
    // Two objects of one name could be meant to end in one.
    let targets: std::collections::BTreeSet<&String> = map.values().collect();
    if targets.len() < map.len() {
        return Err(wrong(format!(
            "--{MAP_NAMESPACE} maps two namespaces onto one"
        )));
    }
    Ok(map)
}

fn count(text: &str) -> Result<usize, Error> {
    let message =
        format!("--{PRUNE_EXTRA} takes the number of objects to delete; the plan says it");
    text.parse().map_err(|_| wrong(message))
}

fn owners(text: &str) -> Result<Owners, Error> {
    match text {
        "lookup" => Ok(Owners::Lookup),
        "keep" => Ok(Owners::Keep),
        "drop" => Ok(Owners::Drop),
        _ => Err(wrong(format!("--{OWNERS} is lookup, keep or drop"))),
    }
}

/// A label of RFC 1123, as a namespace must be named.
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(name: &str, value: &str) -> Result<Wishes, String> {
        let settings = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let options = RestoreOptions {
            settings,
            ..RestoreOptions::default()
        };
        Wishes::read(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mapping_out_of_a_namespace_that_is_not_there_is_refused() {
        let wishes = wishes(MAP_NAMESPACE, "shop=staging,old=new").expect("two pairs");
        let seen = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        assert!(wishes.refuse_unmapped(&seen(&["shop", "old"])).is_ok());
        let refused = wishes.refuse_unmapped(&seen(&["shop"]));
        assert!(refused.is_err_and(|error| error.to_string().contains("namespace old,")));
        for wrong in ["a=Bad_Name", "a=-b", "a=b-"] {
            assert!(self::wishes(MAP_NAMESPACE, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn namespaces_are_mapped_one_to_one() {
        let wishes = wishes(MAP_NAMESPACE, "a=b, c=d").expect("a map");
        for (from, to) in [
            ("secrets/a/x", "secrets/b/x"),
            ("secrets/b/x", "secrets/b/x"),
            ("namespaces/c", "namespaces/d"),
            ("clusterroles.x/a", "clusterroles.x/a"),
        ] {
            let id = Id::parse(&Name::from(from)).expect(from);
            assert_eq!(wishes.place(&id).entry(), Name::from(to));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (name, value) in [
            (MAP_NAMESPACE, "a"),
            (MAP_NAMESPACE, "a="),
            (MAP_NAMESPACE, "a=b,a=c"),
            (MAP_NAMESPACE, "a=c,b=c"),
            (MAP_NAMESPACE, "a=b/c"),
            (OWNERS, "maybe"),
            ("data-dir", "/x"),
        ] {
            assert!(wishes(name, value).is_err(), "{name} {value}");
        }
        let target = RestoreOptions {
            target: Some("/tmp".into()),
            ..RestoreOptions::default()
        };
        assert!(Wishes::read(&target).is_err());
    }
}
