use archive::{Body, Entry};

use super::id::Id;
use super::object::{ANNOTATIONS, BINARY, FINALIZERS, LABELS, MANAGED_FIELDS, OWNERS, attribute};
use crate::{Contents, Error, Finding};

/// The keys without which the server refuses a Secret of the type.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
];

/// Judges captured objects: whether a server would take them back.
pub(super) async fn check(contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    while let Some(entry) = contents.next().await? {
        let mut fault = judge(&entry);
        if fault.is_none() && matches!(entry.body, Body::Blob { .. }) {
            let mut content = zeroize::Zeroizing::new(Vec::new());
            while let Some(piece) = contents.data().await? {
                content.extend_from_slice(piece.as_bytes());
            }
            let json: Result<serde_json::Value, _> = serde_json::from_slice(&content);
            let object = json.is_ok_and(|json| {
                json["apiVersion"].is_string()
                    && json["kind"].is_string()
                    && json["metadata"].is_object()
            });
            fault = (!object).then(|| "is not the JSON of an object".to_owned());
        }
        if let Some(fault) = fault {
            findings.push(Finding {
                bad: true,
                message: format!("{} {fault}, so it cannot be restored", entry.name),
                name: entry.name,
            });
        }
    }
    Ok(findings)
}

/// What is wrong with an entry by what its catalog says.
pub(super) fn judge(entry: &Entry) -> Option<String> {
    let id = match Id::parse(&entry.name) {
        Ok(id) => id,
        Err(reason) => return Some(format!("names no object ({reason})")),
    };
    for name in [
        LABELS,
        ANNOTATIONS,
        OWNERS,
        FINALIZERS,
        MANAGED_FIELDS,
        BINARY,
    ] {
        if attribute(&entry.attributes, name).is_err() {
            return Some(format!("has an attribute {name} that is not JSON"));
        }
    }
    let record = matches!(id.kind.as_str(), "secrets" | "configmaps");
    let Body::Record { fields } = &entry.body else {
        return record.then(|| "is no record of values".to_owned());
    };
    if !record {
        return Some("is a record of values".to_owned());
    }
    let kind = entry.attributes.text(super::object::TYPE)?;
    let required = REQUIRED.iter().find(|(of, _)| *of == kind);
    let missing = |key: &&&str| !fields.iter().any(|it| it.key.as_bytes() == key.as_bytes());
    let missing = required.and_then(|(_, keys)| keys.iter().find(missing))?;
    Some(format!("is of type {kind} and has no key {missing}"))
}
