//! The folder of the procedure:
//!
//! - `secrets/dr/NAME.json`, `secrets/pcs/NAME.json`: `{"data": …}` of each Secret, as `kubectl get -o json | jq '{data}'` prints it.
//! - `secrets/ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt`, `secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt`: the two keys, as they are.
//! - `secrets/certs/SECRET.crt`: the certificates, as `jsonpath='{.data.*}'` prints them: base64, and of several keys one line. That
//!   loses which key is which, so `SECRET.json` with all of it stands beside it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::gathering::{Installation, Secret};
use super::{INSTANCE, KEYS, PCS};
use crate::{Error, Files};

/// What was made.
pub struct Folder {
    /// The files.
    pub files: Files,
    /// Sentences about what is not as it may have been meant.
    pub notes: Vec<String>,
}

/// The folder of an installation, whole; or why it would lack something.
pub fn folder(installation: &Installation) -> Result<Folder, Error> {
    let mut folder = Folder {
        files: Files::new(),
        notes: Vec::new(),
    };
    folder.instances(installation);
    for ((key, value), (name, file)) in installation.keys()?.into_iter().zip(KEYS) {
        debug_assert_eq!(key, name);
        let path = format!("secrets/{file}.txt");
        folder.files.insert(path, Zeroizing::new(value.to_vec()));
    }
    folder.certificates(installation)?;
    Ok(folder)
}

impl Folder {
    fn instances(&mut self, installation: &Installation) {
        let release = &installation.release.name;
        for (name, secret) in &installation.secrets {
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

    fn certificates(&mut self, installation: &Installation) -> Result<(), Error> {
        let (certificates, notes) = installation.certificates()?;
        self.notes.extend(notes);
        let names: BTreeSet<String> = certificates.into_iter().map(|it| it.secret).collect();
        for name in names {
            let secret = &installation.secrets[&name];
            let values = secret.data.values().map(|value| STANDARD.encode(value));
            let line = Zeroizing::new(values.collect::<Vec<_>>().join(" ").into_bytes());
            self.files.insert(format!("secrets/certs/{name}.crt"), line);
            self.files
                .insert(format!("secrets/certs/{name}.json"), data_json(secret));
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
