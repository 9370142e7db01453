//! The folder of DataRobot's own backup procedure, made of the Secrets of its namespace.
//!
//! - `secrets/dr/NAME.json`, `secrets/pcs/NAME.json`: `{"data": …}` of each Secret whose label `app.kubernetes.io/instance` is the
//!   release's name, or `pcs`, as `kubectl get -o json | jq '{data}'` prints it.
//! - `secrets/ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt`, `secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt`: the two keys of
//!   `core-credentials`, as they are.
//! - `secrets/certs/SECRET.crt`: the certificates that the release's values name (`globals.certs`), as `jsonpath='{.data.*}'` prints
//!   them: base64, and of several keys one line. That loses which key is which, so `SECRET.json` with all of it stands beside it.

use std::collections::{BTreeMap, BTreeSet};

use archive::{Body, Entry, Name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::helm::user_values;
use crate::{Error, Files};

/// The most that is held.
const HELD_MAX: usize = 512 * 1024 * 1024;

/// The label whose value is the release's name.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// The name of the other instance, which 10.x has.
const PCS: &str = "pcs";

const CREDENTIALS: &str = "core-credentials";
/// Its keys, and the files that they go to.
const KEYS: [(&str, &str); 2] = [
    ("asymmetrickey", "ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY"),
    ("drsecurekey", "DRSECURE_MONGO_ENCRYPTION_KEY"),
];

/// Gathers what the folder needs from entries of a Kubernetes source.
pub struct Gathering {
    release: String,
    namespaces: BTreeMap<String, Namespace>,
    held: usize,
}

#[derive(Default)]
struct Namespace {
    secrets: BTreeMap<String, Secret>,
    /// The newest record of the release that is deployed, and its revision.
    record: Option<(u64, Name, Zeroizing<Vec<u8>>)>,
    /// The newest revision, whatever became of it.
    newest: u64,
}

struct Secret {
    instance: String,
    data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// What was made.
pub struct Folder {
    /// The files.
    pub files: Files,
    /// Sentences about what is not as it may have been meant.
    pub notes: Vec<String>,
}

impl Gathering {
    /// For the release of this name, which is `dr` unless somebody chose another.
    pub fn new(release: &str) -> Self {
        Self {
            release: release.to_owned(),
            namespaces: BTreeMap::new(),
            held: 0,
        }
    }

    /// Takes an entry with its whole content. What the folder has no place for is passed over.
    pub fn add(&mut self, entry: &Entry, content: &[u8]) -> Result<(), Error> {
        let name = entry.name.to_string();
        let mut parts = name.split('/');
        let (Some(kind), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Ok(());
        };
        let labels: Value = entry
            .attributes
            .get("labels")
            .and_then(|labels| serde_json::from_slice(labels).ok())
            .unwrap_or_default();
        let data = values(entry, content);
        if labels["owner"] == "helm" {
            self.record(entry, namespace, &labels, data);
            return Ok(());
        }
        if kind != "secrets" {
            return Ok(());
        }
        self.held += content.len();
        if self.held > HELD_MAX {
            return Err(Error::TooMuch(HELD_MAX));
        }
        let instance = labels[INSTANCE].as_str().unwrap_or_default().to_owned();
        let secrets = &mut self.namespace(namespace).secrets;
        secrets.insert(name.to_owned(), Secret { instance, data });
        Ok(())
    }

    /// A release's record, in a Secret or, if helm was told so, a `ConfigMap`.
    fn record(
        &mut self,
        entry: &Entry,
        namespace: &str,
        labels: &Value,
        mut data: BTreeMap<String, Zeroizing<Vec<u8>>>,
    ) {
        let revision = labels["version"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let (Some(revision), true) = (revision, labels["name"] == *self.release) else {
            return;
        };
        let Some(record) = data.remove("release") else {
            return;
        };
        let namespace = self.namespace(namespace);
        namespace.newest = namespace.newest.max(revision);
        let newer = namespace
            .record
            .as_ref()
            .is_none_or(|(known, ..)| *known < revision);
        if labels["status"] == "deployed" && newer {
            namespace.record = Some((revision, entry.name.clone(), record));
        }
    }

    fn namespace(&mut self, name: &str) -> &mut Namespace {
        self.namespaces.entry(name.to_owned()).or_default()
    }

    /// The folder, whole; or why it would lack something.
    pub fn finish(self) -> Result<Folder, Error> {
        let release = self.release;
        let mut found = self.namespaces.into_iter();
        let mut found: Vec<_> = found
            .by_ref()
            .filter(|(_, namespace)| namespace.secrets.contains_key(CREDENTIALS))
            .collect();
        if found.len() != 1 {
            let names = found.iter().map(|(name, _)| Name::from(name.as_str()));
            return Err(Error::Namespaces(names.collect()));
        }
        let (name, namespace) = found.remove(0);
        let mut folder = Folder {
            files: Files::new(),
            notes: Vec::new(),
        };
        folder.instances(&namespace, &release);
        folder.keys(&name, &namespace)?;
        folder.certificates(&name, &namespace, &release)?;
        Ok(folder)
    }
}

impl Folder {
    fn instances(&mut self, namespace: &Namespace, release: &str) {
        for (name, secret) in &namespace.secrets {
            let folder = match &*secret.instance {
                instance if instance == release => "dr",
                PCS => PCS,
                _ => continue,
            };
            let path = format!("secrets/{folder}/{name}.json");
            self.files.insert(path, data_json(secret));
        }
        if !self
            .files
            .keys()
            .any(|path| path.starts_with("secrets/dr/"))
        {
            self.notes.push(format!(
                "no Secret has the label {INSTANCE}={release}: is the release called otherwise?"
            ));
        }
    }

    fn keys(&mut self, namespace: &str, secrets: &Namespace) -> Result<(), Error> {
        let credentials = &secrets.secrets[CREDENTIALS];
        for (key, file) in KEYS {
            let what = Name::from(format!("secrets/{namespace}/{CREDENTIALS} {key}").as_str());
            let Some(value) = credentials.data.get(key) else {
                let why = "MongoDB cannot be decrypted without it";
                return Err(Error::Missing { what, why });
            };
            if value.is_empty() {
                let why = "is empty, and MongoDB cannot be decrypted without it";
                return Err(Error::Wrong { what, why });
            }
            self.files
                .insert(format!("secrets/{file}.txt"), value.clone());
        }
        Ok(())
    }

    fn certificates(
        &mut self,
        namespace: &str,
        secrets: &Namespace,
        release: &str,
    ) -> Result<(), Error> {
        let Some((revision, name, record)) = &secrets.record else {
            self.notes.push(format!(
                "the snapshot has no deployed release {release} of helm, so whether it has certificates of its own is not known"
            ));
            return Ok(());
        };
        if *revision != secrets.newest {
            self.notes.push(format!(
                "certificates are those of revision {revision} of {release}, which is deployed; the newest, {}, is not",
                secrets.newest
            ));
        }
        let wrong = |why| Error::Wrong {
            what: name.clone(),
            why,
        };
        let values = user_values(record).map_err(wrong)?;
        let certificates = match &values["globals"]["certs"] {
            Value::Null => &values["certs"],
            certificates => certificates,
        };
        let mut taken = BTreeSet::new();
        for certificate in certificates.as_array().into_iter().flatten() {
            let (Some(secret), Some(path)) =
                (certificate["secret"].as_str(), certificate["path"].as_str())
            else {
                return Err(wrong(
                    "has a certificate in its values without `secret` or `path`",
                ));
            };
            let what = format!("secrets/{namespace}/{secret}");
            let Some(found) = secrets.secrets.get(secret) else {
                let what = Name::from(what.as_str());
                let why = "the release takes a certificate from it";
                return Err(Error::Missing { what, why });
            };
            if !found.data.contains_key(path) {
                let what = Name::from(format!("{what} {path}").as_str());
                let why = "the release takes a certificate from that key";
                return Err(Error::Missing { what, why });
            }
            if taken.insert(secret) {
                let values = found.data.values().map(|value| STANDARD.encode(value));
                let line = Zeroizing::new(values.collect::<Vec<_>>().join(" ").into_bytes());
                self.files
                    .insert(format!("secrets/certs/{secret}.crt"), line);
                self.files
                    .insert(format!("secrets/certs/{secret}.json"), data_json(found));
            }
        }
        Ok(())
    }
}

/// As `jq '{data}'` prints it.
fn data_json(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let data: Map<String, Value> = secret
        .data
        .iter()
        .map(|(key, value)| (key.clone(), STANDARD.encode(value).into()))
        .collect();
    let data = if data.is_empty() {
        Value::Null
    } else {
        data.into()
    };
    let mut text = serde_json::to_vec_pretty(&json!({ "data": data })).expect("a value is JSON");
    text.push(b'\n');
    Zeroizing::new(text)
}

/// The values of a record by their keys.
fn values(entry: &Entry, content: &[u8]) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
    let Body::Record { fields } = &entry.body else {
        return BTreeMap::new();
    };
    let mut rest = content;
    let mut values = BTreeMap::new();
    for field in fields {
        let length = usize::try_from(field.length).unwrap_or(usize::MAX);
        let Some((value, after)) = rest.split_at_checked(length) else {
            break;
        };
        rest = after;
        values.insert(field.key.to_string(), Zeroizing::new(value.to_vec()));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::tests::record;
    use archive::{Attributes, Digest, Field};

    fn entry(name: &str, labels: &Value, data: &[(&str, &[u8])]) -> (Entry, Vec<u8>) {
        let field = |(key, value): &(&str, &[u8])| Field {
            key: Name::from(*key),
            length: value.len() as u64,
            digest: Digest::of(value),
        };
        let entry = Entry {
            name: Name::from(format!("secrets/n/{name}").as_str()),
            attributes: Attributes::from_iter([("labels", labels.to_string())]),
            body: Body::Record {
                fields: data.iter().map(field).collect(),
            },
        };
        let content = data.iter().flat_map(|(_, value)| value.iter().copied());
        (entry, content.collect())
    }

    fn folder(entries: &[(Entry, Vec<u8>)]) -> Result<Folder, String> {
        let mut gathering = Gathering::new("dr");
        for (entry, content) in entries {
            gathering
                .add(entry, content)
                .map_err(|error| error.to_string())?;
        }
        gathering.finish().map_err(|error| error.to_string())
    }

    fn credentials(asymmetric: &[u8]) -> (Entry, Vec<u8>) {
        let data: [(&str, &[u8]); 2] = [("asymmetrickey", asymmetric), ("drsecurekey", b"d")];
        entry("core-credentials", &json!({INSTANCE: "dr"}), &data)
    }

    fn release(revision: u64, status: &str, values: &Value) -> (Entry, Vec<u8>) {
        let labels = json!({"owner": "helm", "name": "dr", "version": revision.to_string(), "status": status});
        entry(
            &format!("sh.helm.release.v1.dr.v{revision}"),
            &labels,
            &[("release", &record(values))],
        )
    }

    #[test]
    fn what_is_missing_is_named() {
        let certs = json!({"globals": {"certs": [{"secret": "own", "path": "a/own.pem"}]}});
        let own = |key| entry("own", &json!({}), &[(key, b"pem")]);
        for (entries, message) in [
            (
                vec![],
                "no namespace of the snapshot has a Secret core-credentials",
            ),
            (
                vec![credentials(b"")],
                "core-credentials asymmetrickey is empty",
            ),
            (
                vec![entry(
                    "core-credentials",
                    &json!({}),
                    &[("asymmetrickey", b"k")],
                )],
                "drsecurekey is not there",
            ),
            (
                vec![credentials(b"k"), release(1, "deployed", &certs)],
                "secrets/n/own is not there",
            ),
            (
                vec![credentials(b"k"), own("b"), release(1, "deployed", &certs)],
                "secrets/n/own a/own.pem is not there",
            ),
            (
                vec![
                    credentials(b"k"),
                    release(1, "deployed", &json!({"certs": [{"secret": "own"}]})),
                ],
                "without `secret` or `path`",
            ),
        ] {
            let error = folder(&entries).err().expect(message);
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_deployed_release_says_which_certificates_there_are() {
        let certs = |secret| json!({"certs": [{"secret": secret, "path": "own.pem"}]});
        let folder = folder(&[
            credentials(b"k"),
            entry("own", &json!({}), &[("own.pem", b"1"), ("z", b"2")]),
            release(2, "deployed", &certs("own")),
            release(1, "superseded", &certs("old")),
            release(3, "failed", &certs("new")),
        ]);
        let folder = folder.expect("a folder");
        let paths: Vec<&str> = folder.files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "secrets/ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt",
                "secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt",
                "secrets/certs/own.crt",
                "secrets/certs/own.json",
                "secrets/dr/core-credentials.json",
            ]
        );
        assert_eq!(*folder.files["secrets/certs/own.crt"], b"MQ== Mg==");
        assert_eq!(folder.notes.len(), 1);
        assert!(
            folder.notes[0].contains("revision 2 of dr"),
            "{:?}",
            folder.notes
        );
    }
}
