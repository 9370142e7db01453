use std::collections::BTreeMap;

use archive::{Entry, Name};
use zeroize::Zeroizing;

use super::{CREDENTIALS, Certificate, INSTANCE, KEYS, certificates};
use crate::Error;
use crate::helm::Release;
use crate::object::Object;

/// The most that is held.
const HELD_MAX: usize = 512 * 1024 * 1024;

/// Gathers an installation from the entries of a snapshot.
pub struct Gathering {
    release: String,
    namespaces: BTreeMap<String, Namespace>,
    known: Vec<Certificate>,
    held: usize,
}

struct Namespace {
    secrets: BTreeMap<String, Secret>,
    release: Release,
}

pub(super) struct Secret {
    /// What its label says.
    pub(super) instance: String,
    pub(super) data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// The Secrets of one namespace, with `core-credentials` among them.
pub struct Installation {
    pub(super) namespace: String,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) release: Release,
    known: Vec<Certificate>,
}

impl Gathering {
    /// For the release of this name, which is `dr` unless somebody chose another.
    pub fn new(release: &str) -> Self {
        Self {
            release: release.to_owned(),
            namespaces: BTreeMap::new(),
            known: Vec::new(),
            held: 0,
        }
    }

    /// Certificates that count if no record of the release is there, as in what was imported.
    pub fn know(&mut self, certificates: Vec<Certificate>) {
        self.known.extend(certificates);
    }

    /// Takes an entry with its whole content. What is no Secret, nor a record of helm, is passed over.
    pub fn add(&mut self, entry: &Entry, content: &[u8]) -> Result<(), Error> {
        let Some(mut object) = Object::of_entry(entry, content) else {
            return Ok(());
        };
        let release = &self.release;
        let namespace = self.namespaces.entry(object.namespace.clone());
        let namespace = namespace.or_insert_with(|| Namespace {
            secrets: BTreeMap::new(),
            release: Release::new(release),
        });
        if namespace.release.take(&mut object) || !object.is_secret() {
            return Ok(());
        }
        self.held += content.len();
        if self.held > HELD_MAX {
            return Err(Error::TooMuch(HELD_MAX));
        }
        let instance = object.labels()[INSTANCE]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let secret = Secret {
            instance,
            data: object.data,
        };
        namespace.secrets.insert(object.name, secret);
        Ok(())
    }

    /// The one installation that there is.
    pub fn installation(self) -> Result<Installation, Error> {
        let found = self.namespaces.into_iter();
        let mut found: Vec<_> = found
            .filter(|(_, namespace)| namespace.secrets.contains_key(CREDENTIALS))
            .collect();
        match (found.pop(), &found[..]) {
            (Some((namespace, found)), []) => Ok(Installation {
                namespace,
                secrets: found.secrets,
                release: found.release,
                known: self.known,
            }),
            (last, others) => {
                let names = others.iter().chain(&last);
                let names = names.map(|(name, _)| Name::from(name.as_str()));
                Err(Error::Namespaces(names.collect()))
            }
        }
    }
}

impl Installation {
    /// An error if nothing in the snapshot is of the release: no Secret by its label, and no record of helm.
    pub fn must_be_released(&self) -> Result<(), Error> {
        let Release { name, newest, .. } = &self.release;
        let labelled = self.secrets.values().any(|secret| secret.instance == *name);
        if labelled || *newest > 0 {
            return Ok(());
        }
        Err(Error::Release(Name::from(name.as_str())))
    }

    /// Where it is.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The two keys that MongoDB is encrypted with, by their names in `core-credentials`.
    pub fn keys(&self) -> Result<Vec<(&'static str, &[u8])>, Error> {
        let credentials = &self.secrets[CREDENTIALS];
        let keys = KEYS.iter().map(|(key, _)| {
            let what = || {
                let namespace = &self.namespace;
                Name::from(format!("secrets/{namespace}/{CREDENTIALS} {key}").as_str())
            };
            match credentials.data.get(*key) {
                None => Err(Error::Missing {
                    what: what(),
                    why: "MongoDB cannot be decrypted without it",
                }),
                Some(value) if value.is_empty() => Err(Error::Wrong {
                    what: what(),
                    why: "is empty, and MongoDB cannot be decrypted without it",
                }),
                Some(value) => Ok((*key, value.as_slice())),
            }
        });
        keys.collect()
    }

    /// The certificates of the operator's own, each of which is there; and what is not as it may have been meant, in sentences.
    pub fn certificates(&self) -> Result<(Vec<Certificate>, Vec<String>), Error> {
        let Release {
            name,
            deployed,
            newest,
        } = &self.release;
        let Some(record) = deployed else {
            let notes = if self.known.is_empty() {
                vec![format!(
                    "the snapshot has no deployed release {name} of helm, so whether it has certificates of its own is not known"
                )]
            } else {
                Vec::new()
            };
            for certificate in &self.known {
                self.find(certificate)?;
            }
            return Ok((self.known.clone(), notes));
        };
        let mut notes = Vec::new();
        if record.revision != *newest {
            notes.push(format!(
                "certificates are those of revision {} of {name}, which is deployed; the newest, {newest}, is not",
                record.revision
            ));
        }
        let certificates = record.values().and_then(|values| certificates(&values));
        let certificates = certificates.map_err(|why| Error::Wrong {
            what: record.entry.clone(),
            why,
        })?;
        for certificate in &certificates {
            self.find(certificate)?;
        }
        Ok((certificates, notes))
    }

    fn find(&self, certificate: &Certificate) -> Result<(), Error> {
        let (secret, key) = (&certificate.secret, certificate.key());
        let what = format!("secrets/{}/{secret}", self.namespace);
        let Some(found) = self.secrets.get(secret) else {
            let what = Name::from(what.as_str());
            let why = "the release takes a certificate from it";
            return Err(Error::Missing { what, why });
        };
        if found.data.contains_key(key) {
            return Ok(());
        }
        let what = Name::from(format!("{what} {key}").as_str());
        let why = "the release takes a certificate from that key";
        Err(Error::Missing { what, why })
    }
}
