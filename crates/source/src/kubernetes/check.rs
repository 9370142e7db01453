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

#[cfg(test)]
mod tests {
    use archive::{Attributes, Content, Digest, Field, Name};
    use async_trait::async_trait;

    use super::super::object::TYPE;
    use super::*;

    /// Entries, each with its content.
    struct Archive(Vec<(Entry, Vec<u8>)>, usize, bool);

    #[async_trait]
    impl Contents for Archive {
        async fn next(&mut self) -> Result<Option<Entry>, Error> {
            self.1 += 1;
            self.2 = false;
            Ok(self.0.get(self.1 - 1).map(|(entry, _)| entry.clone()))
        }

        async fn data(&mut self) -> Result<Option<Content>, Error> {
            let read = std::mem::replace(&mut self.2, true);
            let content = &self.0[self.1 - 1].1;
            Ok((!read).then(|| Content::new(content.clone())))
        }
    }

    fn entry(name: &str, attributes: &[(&str, &str)], body: Body) -> Entry {
        let mut all = Attributes::default();
        for (name, value) in attributes {
            all.set(*name, *value);
        }
        Entry {
            name: Name::from(name),
            attributes: all,
            body,
        }
    }

    fn record(name: &str, attributes: &[(&str, &str)], keys: &[&str]) -> (Entry, Vec<u8>) {
        let fields = keys.iter().map(|key| Field {
            key: Name::from(*key),
            length: 0,
            digest: Digest::of(b""),
        });
        let body = Body::Record {
            fields: fields.collect(),
        };
        (entry(name, attributes, body), Vec::new())
    }

    fn blob(name: &str, json: &str) -> (Entry, Vec<u8>) {
        let body = Body::Blob {
            length: json.len() as u64,
            digest: Digest::of(json.as_bytes()),
        };
        (entry(name, &[], body), json.into())
    }

    #[tokio::test]
    async fn what_no_server_would_take_is_named() {
        const OBJECT: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}"#;
        let tls = [(TYPE, "kubernetes.io/tls")];
        let good = [
            record("secrets/n/a", &tls, &["ca.crt", "tls.crt", "tls.key"]),
            record("secrets/n/b", &[(LABELS, r#"{"a": "1"}"#)], &[]),
            record("configmaps/n/c", &[], &["any"]),
            blob("pods/n/d", OBJECT),
        ];
        let bad = [
            (record("secrets", &[], &[]), "names no object"),
            (record("secrets/n/../x", &[], &[]), "names no object"),
            (blob("secrets/n/x", OBJECT), "is no record of values"),
            (record("pods/n/x", &[], &[]), "is a record of values"),
            (record("secrets/n/x", &[(LABELS, "{")], &[]), LABELS),
            (record("secrets/n/x", &[(OWNERS, "")], &[]), OWNERS),
            (record("secrets/n/x", &[(BINARY, "x")], &[]), BINARY),
            (
                record("secrets/n/x", &tls, &["tls.crt"]),
                "has no key tls.key",
            ),
            (
                record("secrets/n/x", &[(TYPE, "kubernetes.io/ssh-auth")], &[]),
                "has no key ssh-privatekey",
            ),
            (blob("pods/n/x", ""), "is not the JSON of an object"),
            (blob("pods/n/x", "[1]"), "is not the JSON of an object"),
            (
                blob("pods/n/x", &OBJECT[..40]),
                "is not the JSON of an object",
            ),
            (
                blob("pods/n/x", r#"{"apiVersion": "v1", "kind": "Pod"}"#),
                "is not the JSON of an object",
            ),
        ];
        for (broken, words) in bad {
            let mut entries = good.to_vec();
            let name = broken.0.name.clone();
            entries.insert(2, broken);
            let mut archive = Archive(entries, 0, false);
            let findings = check(&mut archive).await.expect("it is judged");
            let [finding] = &findings[..] else {
                panic!("{words}: {} findings", findings.len());
            };
            assert_eq!((finding.bad, &finding.name), (true, &name), "{words}");
            let message = &finding.message;
            assert!(message.contains(words), "{words}: {message}");
            assert!(message.ends_with("so it cannot be restored"), "{message}");
        }
        let mut archive = Archive(good.to_vec(), 0, false);
        assert!(check(&mut archive).await.expect("judged").is_empty());
    }
}
