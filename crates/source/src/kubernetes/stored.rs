//! Objects as an API server keeps them in etcd: found by their keys there, opened, read, and then as if the server had listed them.

mod encryption;
mod wire;

use std::collections::BTreeMap;

use archive::Name;
use async_trait::async_trait;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::check;
use super::id::Id;
use super::import::pour;
use super::object::{Object, Unreadable};
use super::resource::Resource;
use crate::{Capture, Contents, Error, Finding, Incomplete, Sink, Source};

pub use encryption::{EncryptionConfiguration, EncryptionKeys};

/// Groups with a folder of their own of which the server itself is the master.
const OWN_GROUPS: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// Objects out of etcd, gathered one by one, as a source that can only be read. They are held in memory.
pub struct StoredObjects {
    /// What the server was told by `--etcd-prefix`, with one slash at its end.
    prefix: String,
    keys: Option<EncryptionKeys>,
    objects: BTreeMap<Name, Object>,
    incomplete: Vec<Incomplete>,
    /// What is said of all of them.
    facts: BTreeMap<String, String>,
}

/// What a key of etcd says about the object that it holds.
struct Place {
    /// `None`: what the server calls a group, and nothing here knows.
    known: Option<Resource>,
    group: String,
    plural: String,
    namespace: Option<String>,
    name: String,
}

/// The beginning of a JSON object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    api_version: String,
    kind: String,
}

impl StoredObjects {
    /// None yet. `prefix` is the server's `--etcd-prefix`; without `keys`, what it encrypted at rest stays closed.
    pub fn new(prefix: &str, keys: Option<EncryptionKeys>) -> Self {
        Self {
            prefix: format!("{}/", prefix.trim_end_matches('/')),
            keys,
            objects: BTreeMap::new(),
            incomplete: Vec::new(),
            facts: BTreeMap::new(),
        }
    }

    /// Something to say about the capture that is made of them.
    pub fn know(&mut self, fact: &str, value: &str) {
        self.facts.insert(fact.to_owned(), value.to_owned());
    }

    /// The name that the object in etcd's `key` has among the entries; `None`: no object that is read here lies there.
    pub fn name(&self, key: &[u8]) -> Option<Name> {
        self.place(key).map(|place| place.id().entry())
    }

    /// Takes what etcd has at `key`, where [`Self::name`] names an object. One that cannot be opened or understood is counted as
    /// incomplete, with the reason; what turns out to be no such object is given back.
    pub fn add(&mut self, key: &[u8], value: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
        let Some(place) = self.place(key) else {
            return Some(value);
        };
        let name = place.id().entry();
        let opened = EncryptionKeys::open(self.keys.as_ref(), key, value, wire::looks_right);
        let reason = match opened {
            Err(closed) => closed.to_string(),
            Ok(plain) => {
                let Some(resource) = place.resource(&plain) else {
                    return Some(plain);
                };
                match wire::read(&resource, &plain) {
                    Ok(object) if object.id.entry() == name => {
                        self.objects.insert(name, object);
                        return None;
                    }
                    Ok(_) => "what is stored there names itself otherwise".to_owned(),
                    Err(Unreadable) => {
                        "what is stored there cannot be understood as such an object".to_owned()
                    }
                }
            }
        };
        self.incomplete.push(Incomplete { name, reason });
        None
    }

    /// How many were taken, and how many of these could not be opened or understood.
    pub fn counts(&self) -> (usize, usize) {
        (self.objects.len(), self.incomplete.len())
    }

    /// `PREFIX/secrets/NAMESPACE/NAME`, and `PREFIX/GROUP/PLURAL/[NAMESPACE/]NAME` for kinds that are defined by others.
    fn place(&self, key: &[u8]) -> Option<Place> {
        let path = key.strip_prefix(self.prefix.as_bytes())?;
        let path = std::str::from_utf8(path).ok()?;
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| ["", ".", ".."].contains(part)) {
            return None;
        }
        let (group, plural, namespace, name) = match parts[..] {
            [plural @ "namespaces", name] => ("", plural, None, name),
            [plural, namespace, name]
                if Resource::known(plural).is_some_and(|it| it.namespaced) =>
            {
                ("", plural, Some(namespace), name)
            }
            [group, plural, name] if is_defined(group) => (group, plural, None, name),
            [group, plural, namespace, name] if is_defined(group) => {
                (group, plural, Some(namespace), name)
            }
            _ => return None,
        };
        Some(Place {
            known: Resource::known(plural).filter(|_| group.is_empty()),
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

/// Whether the kinds of a group are defined by others, which are kept as they are served. The server's own may be kept otherwise.
fn is_defined(group: &str) -> bool {
    group.contains('.') && !OWN_GROUPS.contains(&group)
}

impl Place {
    fn id(&self) -> Id {
        let kind = match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        };
        Id {
            kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The kind of the object: a definition's objects say it themselves, in JSON. `None`: they do not.
    fn resource(&self, plain: &[u8]) -> Option<Resource> {
        if let Some(known) = &self.known {
            return Some(known.clone());
        }
        let said: Kind = serde_json::from_slice(plain).ok()?;
        let (group, version) = said.api_version.rsplit_once('/')?;
        (group == self.group).then(|| Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: self.plural.clone(),
            kind: said.kind,
            namespaced: self.namespace.is_some(),
        })
    }
}

#[async_trait]
impl Source for StoredObjects {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let mut facts = pour(self.objects.values(), sink).await?;
        facts.extend(self.facts.clone());
        Ok(Capture {
            facts,
            incomplete: self.incomplete.clone(),
            notes: Vec::new(),
        })
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        check::check(contents).await
    }
}
