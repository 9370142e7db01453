//! Whether an API server would take a manifest, as far as that does not depend on the cluster. What comes from a server has passed it.

use archive::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::object::{ANNOTATIONS, BINARY, FINALIZERS, LABELS, OWNERS, TYPE};
use super::resource::{Resource, Shape};

/// Values of one object, together.
const DATA_MAX: usize = 1 << 20;
/// Annotations of one object, with their names.
const ANNOTATIONS_MAX: usize = 256 << 10;
/// A name below a domain, or a part of one.
const NAME_MAX: usize = 253;
/// Finalizers of Kubernetes itself, which are called by no domain.
const OWN_FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];
/// A label, in DNS's sense and in that of Kubernetes.
const LABEL_MAX: usize = 63;

/// Whether a server would take `manifest`, which is of the kind `resource`. If not: what about it, to follow its name; never a value.
pub(super) fn judge(manifest: &Value, resource: &Resource) -> Result<(), String> {
    let metadata = &manifest["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    judge_name(resource, name)
        .map_err(|rule| format!("has a name that no server takes: it has {rule}"))?;
    if resource.namespaced {
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        if !is_label(namespace) {
            let namespace = shown(namespace);
            return Err(format!(
                "lies in a namespace that cannot be ({namespace}): its name has 1 to 63 of a-z, 0-9 and -"
            ));
        }
    }
    labels(&metadata[LABELS])?;
    annotations(&metadata[ANNOTATIONS])?;
    finalizers(&metadata[FINALIZERS])?;
    owners(&metadata[OWNERS])?;
    match resource.shape() {
        Shape::Secret => {
            let size = values(&manifest["data"], true)?;
            size_of(size)?;
            secret(manifest)
        }
        Shape::ConfigMap => {
            let texts = values(&manifest["data"], false)?;
            let bytes = values(&manifest[BINARY], true)?;
            let twice = keys(&manifest["data"]).find(|key| !manifest[BINARY][*key].is_null());
            if let Some(key) = twice {
                let key = shown(key);
                return Err(format!("has the key {key} in both data and binaryData"));
            }
            size_of(texts + bytes)
        }
        Shape::Json => Ok(()),
    }
}

/// Whether an object of this kind could be called `name`; if not, what a name has.
pub(super) fn judge_name(resource: &Resource, name: &str) -> Result<(), &'static str> {
    let (good, rule) = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces" | "services") => (is_label(name), "1 to 63 of a-z, 0-9 and -"),
        // They are no more than a part of a path.
        ("rbac.authorization.k8s.io", _) => (
            !name.contains(['/', '%']) && name != "." && name != "..",
            "no / and no %",
        ),
        _ => (is_subdomain(name), "1 to 253 of a-z, 0-9, - and ."),
    };
    if good { Ok(()) } else { Err(rule) }
}

fn labels(labels: &Value) -> Result<(), String> {
    for (key, value) in map(labels, "labels")? {
        let key = qualified(key, "label")?;
        let good = value
            .as_str()
            .is_some_and(|value| value.is_empty() || is_word(value));
        if !good {
            return Err(format!(
                "has the label {key} with a value that no server takes: it has up to 63 letters, digits, -, _ and ., the first and the last of \
                 them a letter or a digit, and is a text"
            ));
        }
    }
    Ok(())
}

fn annotations(annotations: &Value) -> Result<(), String> {
    let mut size = 0;
    for (key, value) in map(annotations, "annotations")? {
        size += key.len();
        // Of these, servers look at the lower case.
        qualified(&key.to_ascii_lowercase(), "annotation")?;
        let key = shown(key);
        let value = value.as_str();
        let value = value.ok_or_else(|| format!("has the annotation {key}, which is no text"))?;
        size += value.len();
    }
    if size > ANNOTATIONS_MAX {
        return Err("has annotations of more than 256 KiB, which no server takes".to_owned());
    }
    Ok(())
}

fn finalizers(finalizers: &Value) -> Result<(), String> {
    for finalizer in list(finalizers, "finalizers")? {
        let finalizer = finalizer.as_str().unwrap_or_default();
        qualified(finalizer, "finalizer")?;
        if !finalizer.contains('/') && !OWN_FINALIZERS.contains(&finalizer) {
            return Err(format!(
                "has the finalizer {finalizer}, which no server takes: it is called like example.com/{finalizer}"
            ));
        }
    }
    Ok(())
}

fn owners(owners: &Value) -> Result<(), String> {
    for owner in list(owners, "owner references")? {
        let named = |field: &&str| owner[*field].as_str().is_some_and(|it| !it.is_empty());
        let fields = ["apiVersion", "kind", "name", "uid"];
        if let Some(field) = fields.iter().find(|field| !named(field)) {
            return Err(format!("has an owner reference without {field}"));
        }
    }
    Ok(())
}

/// How much the values of `data` are together.
fn values(data: &Value, encoded: bool) -> Result<usize, String> {
    let mut size = 0;
    for (key, value) in map(data, "data")? {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let usable = (1..=NAME_MAX).contains(&key.len()) && key.bytes().all(good);
        let shown = shown(key);
        if !usable || key == "." || key.starts_with("..") {
            return Err(format!(
                "has the key {shown}, which no server takes: a key has 1 to 253 letters, digits, -, _ and ."
            ));
        }
        size += match value {
            Value::Null => 0,
            Value::String(text) if encoded => match STANDARD.decode(text) {
                Ok(value) => zeroize::Zeroizing::new(value).len(),
                Err(_) => return Err(format!("has at the key {shown} what is not base64")),
            },
            Value::String(text) => text.len(),
            _ => return Err(format!("has at the key {shown} what is no text")),
        };
    }
    Ok(size)
}

fn size_of(size: usize) -> Result<(), String> {
    if size <= DATA_MAX {
        return Ok(());
    }
    Err(format!(
        "has values of {size} bytes together, and no server takes more than {DATA_MAX}"
    ))
}

/// What a server asks of some types of Secrets, beside keys that must be there.
fn secret(manifest: &Value) -> Result<(), String> {
    let value = |key: &str| {
        let text = manifest["data"][key].as_str()?;
        STANDARD.decode(text).ok().map(zeroize::Zeroizing::new)
    };
    let is_json = |key: &str| {
        let value = value(key);
        let json = value.is_none_or(|it| serde_json::from_slice::<Value>(&it).is_ok());
        if json {
            return Ok(());
        }
        Err(format!(
            "has at the key {key} what is not JSON, as its type asks"
        ))
    };
    match manifest[TYPE].as_str().unwrap_or_default() {
        "kubernetes.io/dockerconfigjson" => is_json(".dockerconfigjson"),
        "kubernetes.io/dockercfg" => is_json(".dockercfg"),
        "kubernetes.io/basic-auth" => {
            let mut keys = keys(&manifest["data"]);
            if keys.any(|key| key == "username" || key == "password") {
                return Ok(());
            }
            Err("has neither a key username nor a key password, as its type asks".to_owned())
        }
        "kubernetes.io/service-account-token" => {
            let account = &manifest["metadata"][ANNOTATIONS]["kubernetes.io/service-account.name"];
            if account.as_str().is_some_and(|it| !it.is_empty()) {
                return Ok(());
            }
            Err("says no account (the annotation kubernetes.io/service-account.name), as its type asks".to_owned())
        }
        _ => Ok(()),
    }
}

/// A name as labels, annotations and finalizers have it: `name` or `domain/name`.
fn qualified<'k>(key: &'k str, what: &str) -> Result<&'k str, String> {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    if domain.is_none_or(is_subdomain) && is_word(name) {
        return Ok(key);
    }
    let key = shown(key);
    Err(format!(
        "has the {what} {key}, which no server takes: it is called like app or example.com/app"
    ))
}

fn is_word(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    framed(text, LABEL_MAX, u8::is_ascii_alphanumeric) && text.bytes().all(inner)
}

/// One part of a domain's name.
pub(super) fn is_label(text: &str) -> bool {
    let usual = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    framed(text, LABEL_MAX, usual) && text.bytes().all(|b| usual(&b) || b == b'-')
}

fn is_subdomain(text: &str) -> bool {
    let usual = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part =
        |part: &str| framed(part, NAME_MAX, usual) && part.bytes().all(|b| usual(&b) || b == b'-');
    text.len() <= NAME_MAX && text.split('.').all(part)
}

/// Whether it is of a good length, and begins and ends as it should.
fn framed(text: &str, max: usize, edge: impl Fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= max && bytes.first().is_some_and(&edge) && bytes.last().is_some_and(&edge)
}

fn map<'v>(
    value: &'v Value,
    what: &str,
) -> Result<impl Iterator<Item = (&'v str, &'v Value)>, String> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let map = match value {
        Value::Null => &*NONE,
        Value::Object(map) => map,
        _ => return Err(format!("has {what} that are no map")),
    };
    Ok(map.iter().map(|(key, value)| (key.as_str(), value)))
}

fn list<'v>(value: &'v Value, what: &str) -> Result<&'v [Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        _ => Err(format!("has {what} that are no list")),
    }
}

fn keys(data: &Value) -> impl Iterator<Item = &str> {
    data.as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
}

fn shown(text: &str) -> Name {
    Name::from(text)
}
