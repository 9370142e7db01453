//! DataRobot: what an installation of it has to keep, as its vendor's backup procedure says.
//!
//! - The Secrets whose label `app.kubernetes.io/instance` is the release's name, or, in 10.x, `pcs`.
//! - `core-credentials`, in which are the two keys that MongoDB is encrypted with.
//! - The Secrets with certificates of the operator's own, which the values of the release name (`globals.certs`).
//!
//! Read in this order: what is gathered of a snapshot, the procedure's folder made of it and read again, the values for a new
//! installation, and what is inspected while a backup is taken.

mod folder;
mod gathering;
mod import;
mod inspection;
mod values;

pub use folder::{Folder, folder};
pub use gathering::{Gathering, Installation};
pub use import::{Imported, import};
pub use inspection::{Inspected, Inspection, Keys};
pub use values::{Values, values};

use std::collections::BTreeMap;

use serde_json::Value;

/// The label whose value is the release's name.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// The name of the other instance, which 10.x has.
const PCS: &str = "pcs";

/// The Secret with the two keys.
pub const CREDENTIALS: &str = "core-credentials";
/// Its keys, and the files that they go to.
const KEYS: [(&str, &str); 2] = [
    ("asymmetrickey", "ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY"),
    ("drsecurekey", "DRSECURE_MONGO_ENCRYPTION_KEY"),
];

/// The keys of `core-credentials` that must not be lost.
pub const KEY_NAMES: [&str; 2] = [KEYS[0].0, KEYS[1].0];

/// A snapshot's facts about certificates begin with this; then come the Secret, a slash, and the key in it.
const CERTIFICATE_FACT: &str = "datarobot.certificate.";

/// A certificate of the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    /// The Secret that holds it.
    pub secret: String,
    /// Where the pods find it, below the folder of certificates. The last part of it is the Secret's key, in which no slash can be.
    pub path: String,
}

impl Certificate {
    /// The Secret's key.
    fn key(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn fact(&self) -> String {
        format!("{CERTIFICATE_FACT}{}/{}", self.secret, self.path)
    }

    /// The facts that name `certificates`, of which no more is known.
    pub fn facts(certificates: &[Self]) -> BTreeMap<String, String> {
        let facts = certificates.iter().map(Self::fact);
        facts.map(|fact| (fact, "unknown".to_owned())).collect()
    }

    /// Those that a snapshot's facts name.
    pub fn of_facts(facts: &BTreeMap<String, String>) -> Vec<Self> {
        let named = facts
            .keys()
            .filter_map(|name| name.strip_prefix(CERTIFICATE_FACT)?.split_once('/'));
        named
            .map(|(secret, path)| Self {
                secret: secret.to_owned(),
                path: path.to_owned(),
            })
            .collect()
    }
}

/// The certificates that values of the release name, with or without a `globals` level. One clause if they cannot be understood.
fn certificates(values: &Value) -> Result<Vec<Certificate>, &'static str> {
    let certificates = match &values["globals"]["certs"] {
        Value::Null => &values["certs"],
        certificates => certificates,
    };
    let listed = match certificates {
        Value::Null => return Ok(Vec::new()),
        Value::Array(listed) => listed,
        _ => return Err("has certificates in its values that are no list"),
    };
    let certificate = |listed: &Value| {
        let text = |key: &str| {
            let text = listed[key].as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned)
                .ok_or("has a certificate in its values without `secret` or `path`")
        };
        Ok(Certificate {
            secret: text("secret")?,
            path: text("path")?,
        })
    };
    listed.iter().map(certificate).collect()
}

#[cfg(test)]
mod tests;
