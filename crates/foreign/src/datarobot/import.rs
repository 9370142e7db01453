//! The procedure's folder, read: Secrets as far as it has them, and what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use archive::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{CREDENTIALS, Certificate, INSTANCE, KEYS, PCS};
use crate::{Error, Files};

/// The commands of the procedure leave an empty file where kubectl failed.
const EMPTY: &str = "is empty: the command that should have filled it failed";

/// Secrets that were made of a folder.
pub struct Imported {
    /// Manifests.
    pub objects: Vec<Value>,
    /// The certificates of the operator's own.
    pub certificates: Vec<Certificate>,
    /// Sentences about what the folder says nothing of.
    pub notes: Vec<String>,
    /// Files, or Secrets, that are missing or broken, and one clause why.
    pub missing: Vec<(Name, String)>,
}

/// Reads `files`, by their paths below the folder. `release` is the label's value of what lies in `dr/`; `paths` names the keys of the
/// certificates' Secrets, which the procedure's own files do not. An error names a file that is none of the procedure's.
pub fn import(
    files: &Files,
    release: &str,
    namespace: &str,
    paths: &BTreeMap<String, String>,
) -> Result<Imported, Error> {
    let mut reading = Reading {
        namespace,
        secrets: BTreeMap::new(),
        imported: Imported {
            objects: Vec::new(),
            certificates: Vec::new(),
            notes: Vec::new(),
            missing: Vec::new(),
        },
    };
    for (folder, instance) in [("dr", release), (PCS, PCS)] {
        for (name, path, content) in in_folder(files, folder, "json") {
            check_name(name, path)?;
            reading.secret(name, path, content, Some(instance));
        }
    }
    let credentials = format!("secrets/dr/{CREDENTIALS}.json");
    if !files.contains_key(&credentials) {
        let why = "is not there: of that Secret no more than the two keys is known, if they are in files of their own";
        reading.lacks(&credentials, why);
    }
    for (key, file) in KEYS {
        let path = format!("secrets/{file}.txt");
        reading.key(
            key,
            &path,
            files.get(&path).map(|content| content.as_slice()),
        );
    }
    for (name, path, content) in in_folder(files, "certs", "crt") {
        check_name(name, path)?;
        let lossless = format!("secrets/certs/{name}.json");
        let lossless = files.get_key_value(&lossless);
        let lossless = lossless.map(|(path, content)| (path.as_str(), content.as_slice()));
        reading.certificate(name, (path, content), lossless, paths.get(name));
    }
    reading.leftovers(files);
    Ok(reading.finish(release))
}

/// The files directly in a folder that end so: name, path, content.
fn in_folder<'f>(
    files: &'f Files,
    folder: &str,
    ending: &str,
) -> impl Iterator<Item = (&'f str, &'f str, &'f [u8])> {
    let (prefix, suffix) = (format!("secrets/{folder}/"), format!(".{ending}"));
    files.iter().filter_map(move |(path, content)| {
        let name = path.strip_prefix(&prefix)?.strip_suffix(&suffix)?;
        (!name.contains('/')).then_some((name, path.as_str(), content.as_slice()))
    })
}

/// A file's name becomes an object's.
fn check_name(name: &str, path: &str) -> Result<(), Error> {
    let usual = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    let good = !name.is_empty()
        && name.len() <= 253
        && bytes.iter().all(|b| usual(*b) || matches!(b, b'-' | b'.'))
        && usual(bytes[0])
        && usual(bytes[name.len() - 1])
        && !name.contains("..");
    if good {
        return Ok(());
    }
    Err(Error::Wrong {
        what: Name::from(path),
        why: "is not named after a Secret",
    })
}

struct Secret {
    data: Map<String, Value>,
    instance: Option<String>,
}

struct Reading<'a> {
    namespace: &'a str,
    secrets: BTreeMap<String, Secret>,
    imported: Imported,
}

impl Reading<'_> {
    fn lacks(&mut self, path: &str, why: impl Into<String>) {
        self.imported.missing.push((Name::from(path), why.into()));
    }

    fn secret(&mut self, name: &str, path: &str, content: &[u8], instance: Option<&str>) {
        match data(content) {
            Ok(data) => {
                let instance = instance.map(str::to_owned);
                self.secrets
                    .insert(name.to_owned(), Secret { data, instance });
            }
            Err(why) => self.lacks(path, why),
        }
    }

    /// One of the two keys: the file's, the Secret's, or both, which must agree.
    fn key(&mut self, key: &str, path: &str, content: Option<&[u8]>) {
        let content = content.filter(|content| {
            let empty = content.is_empty();
            if empty {
                self.imported
                    .missing
                    .push((Name::from(path), EMPTY.to_owned()));
            }
            !empty
        });
        let secret = self.secrets.get_mut(CREDENTIALS);
        let kept = secret
            .as_ref()
            .and_then(|secret| secret.data.get(key)?.as_str());
        match (kept.filter(|kept| !kept.is_empty()), content) {
            (Some(kept), Some(content)) if kept != STANDARD.encode(content) => {
                let why = format!(
                    "is another one than in secrets/dr/{CREDENTIALS}.json, and which of them MongoDB was encrypted with is not known"
                );
                self.lacks(path, why);
            }
            (Some(_), _) => {}
            (None, Some(content)) => {
                let secret = self.secrets.entry(CREDENTIALS.to_owned());
                let secret = secret.or_insert_with(|| Secret {
                    data: Map::new(),
                    instance: None,
                });
                let value = STANDARD.encode(content);
                secret.data.insert(key.to_owned(), value.into());
            }
            (None, None) => {
                let why = "is not there, nor in secrets/dr/core-credentials.json, and MongoDB cannot be decrypted without it";
                self.lacks(path, why);
            }
        }
    }

    fn certificate(
        &mut self,
        name: &str,
        (path, content): (&str, &[u8]),
        lossless: Option<(&str, &[u8])>,
        said: Option<&String>,
    ) {
        if let Some((path, content)) = lossless {
            self.secret(name, path, content, None);
        } else if !self.secrets.contains_key(name) {
            match self.unnamed(name, content, said) {
                Ok(data) => {
                    let instance = None;
                    self.secrets
                        .insert(name.to_owned(), Secret { data, instance });
                }
                Err(why) => self.lacks(path, why),
            }
        }
        let Some(secret) = self.secrets.get(name) else {
            return;
        };
        let keys: Vec<&String> = secret.data.keys().collect();
        let path = match (said, &keys[..]) {
            (Some(path), _) => path.clone(),
            (None, [one]) => (*one).clone(),
            (None, _) => {
                let note = format!(
                    "which key of {name} holds the certificate is not in the folder: --certificate {name}=PATH says it"
                );
                return self.imported.notes.push(note);
            }
        };
        let certificate = Certificate {
            secret: name.to_owned(),
            path,
        };
        if secret.data.contains_key(certificate.key()) {
            return self.imported.certificates.push(certificate);
        }
        let key = Name::from(certificate.key());
        let why = format!("has no key {key}, which --certificate names");
        self.lacks(&format!("secrets/certs/{name}"), why);
    }

    /// What `jsonpath='{.data.*}'` printed: values without their keys.
    fn unnamed(
        &mut self,
        name: &str,
        content: &[u8],
        said: Option<&String>,
    ) -> Result<Map<String, Value>, String> {
        let text = std::str::from_utf8(content).unwrap_or_default();
        let mut values = text.split_ascii_whitespace();
        let value = match (values.next(), values.next()) {
            _ if content.trim_ascii().is_empty() => return Err(EMPTY.to_owned()),
            (Some(value), None) if STANDARD.decode(value).is_ok() => value.to_owned(),
            (Some(first), Some(_)) if STANDARD.decode(first).is_ok() => {
                let count = 2 + values.count();
                return Err(format!(
                    "holds {count} values in one line and no names: which is which cannot be known"
                ));
            }
            // Somebody has decoded it.
            _ => STANDARD.encode(content),
        };
        let path = said.cloned().unwrap_or_else(|| {
            let key = format!("{name}.crt");
            self.imported.notes.push(format!(
                "the key under which {name} holds its certificate is not in the folder: it is taken for {key}, and --certificate {name}=PATH \
                 says what it was (`path` in globals.certs of the values)"
            ));
            key
        });
        let secret = name.to_owned();
        let key = Certificate { secret, path }.key().to_owned();
        Ok(Map::from_iter([(key, value.into())]))
    }

    fn leftovers(&mut self, files: &Files) {
        let keys: BTreeSet<String> = KEYS
            .iter()
            .map(|(_, file)| format!("secrets/{file}.txt"))
            .collect();
        for path in files.keys() {
            let known = keys.contains(path)
                || in_one(path, "dr", "json")
                || in_one(path, PCS, "json")
                || in_one(path, "certs", "crt")
                || in_one(path, "certs", "json");
            if !known {
                let path = Name::from(path.as_str());
                self.imported.notes.push(format!(
                    "{path} is none of the procedure's, and was left out"
                ));
            }
        }
    }

    fn finish(mut self, release: &str) -> Imported {
        let ours = self
            .secrets
            .values()
            .filter(|it| it.instance.as_deref() == Some(release));
        if ours.count() == 0 {
            self.imported.notes.push("secrets/dr/ has no Secret: of the installation itself only its keys are there, if any".to_owned());
        }
        if self.imported.certificates.is_empty() {
            self.imported.notes.push(
                "no certificate is in secrets/certs/: there were none, or the procedure's last step was left out".to_owned(),
            );
        }
        self.imported.notes.push(
            "the folder says nothing of types, annotations, `immutable` and owners, nor of any label but the instance's: but for pull secrets, all are Opaque"
                .to_owned(),
        );
        for (name, Secret { data, instance }) in self.secrets {
            let kind = if data.len() == 1 && data.contains_key(".dockerconfigjson") {
                "kubernetes.io/dockerconfigjson"
            } else {
                "Opaque"
            };
            let mut metadata = json!({"name": name, "namespace": self.namespace});
            if let Some(instance) = instance {
                metadata["labels"] = json!({INSTANCE: instance});
            }
            self.imported.objects.push(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data,
            }));
        }
        self.imported
    }
}

fn in_one(path: &str, folder: &str, ending: &str) -> bool {
    let name = path
        .strip_prefix(&format!("secrets/{folder}/"))
        .and_then(|rest| rest.strip_suffix(&format!(".{ending}")));
    name.is_some_and(|name| !name.contains('/'))
}

/// What `jq '{data}'` printed; of no value is more said than whether it is one.
fn data(content: &[u8]) -> Result<Map<String, Value>, &'static str> {
    if content.trim_ascii().is_empty() {
        return Err(EMPTY);
    }
    let mut json: Value =
        serde_json::from_slice(content).map_err(|_| "is not JSON: it is cut short or damaged")?;
    match json.get_mut("data").map(Value::take) {
        Some(Value::Object(data)) => {
            let text = |value: &Value| value.as_str().is_some_and(|it| STANDARD.decode(it).is_ok());
            if data.values().all(text) {
                Ok(data)
            } else {
                Err("has a value that is not base64")
            }
        }
        Some(Value::Null) => Ok(Map::new()),
        _ => Err("is not what `jq '{data}'` prints"),
    }
}
