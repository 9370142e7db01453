use jiff::Timestamp;

use super::mapping::{MAP_NAME, MAP_NAMESPACE, Mapping};
use crate::{Conflict, Error, ErrorKind, RestoreOptions, Setting};

const OWNERS: &str = "owners";
const RECREATE: &str = "recreate";
/// The setting that agrees to deletions.
pub const PRUNE_EXTRA: &str = "prune-extra";

/// What a restore of Kubernetes can be told.
pub const SETTINGS: [Setting; 5] = [
    Setting {
        name: MAP_NAMESPACE,
        value: Some("A=B,..."),
        help: "restore what was in namespace A into namespace B",
    },
    Setting {
        name: MAP_NAME,
        value: Some("ENTRY=NAME,..."),
        help: "restore one object under another name: secrets/NAMESPACE/A=B",
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
    /// Where what was captured goes.
    pub(super) mapping: Mapping,
    pub(super) owners: Owners,
    pub(super) recreate: bool,
    /// When it began, if that was said.
    pub(super) now: Option<Timestamp>,
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
            mapping: Mapping::default(),
            owners: Owners::default(),
            recreate: false,
            now: options.moment.parse().ok(),
            prune: None,
        };
        for (name, value) in &options.settings {
            match name.as_str() {
                MAP_NAMESPACE => wishes.mapping.namespaces(value)?,
                MAP_NAME => wishes.mapping.names(value)?,
                OWNERS => wishes.owners = owners(value)?,
                RECREATE => wishes.recreate = value == "true",
                PRUNE_EXTRA => wishes.prune = Some(count(value)?),
                other => {
                    return Err(wrong(format!("a restore of Kubernetes knows no --{other}")));
                }
            }
        }
        if wishes.prune.is_some() && !wishes.mapping.is_empty() {
            return Err(wrong(format!(
                "--{PRUNE_EXTRA} compares with what the source selects, so it cannot go together with --{MAP_NAMESPACE} or --{MAP_NAME}"
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

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
    fn what_cannot_be_meant_is_refused() {
        for (name, value) in [(OWNERS, "maybe"), ("data-dir", "/x")] {
            assert!(wishes(name, value).is_err(), "{name} {value}");
        }
        let target = RestoreOptions {
            target: Some("/tmp".into()),
            ..RestoreOptions::default()
        };
        assert!(Wishes::read(&target).is_err());
    }
}
