use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, mem};

use archive::{Attributes, Body, Content, Digest, Field, FieldHeader, Header, Name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::bootstrap;
use super::id::Id;
use super::resource::{Resource, Shape};

/// What the server owns in `metadata` and sets anew: it is dropped from what is captured.
///
/// `managedFields` is kept beside the rest, and only where an `Apply` is in it (see [`MANAGED_FIELDS`]).
const SERVER_OWNED: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];

/// The attribute with the type of a Secret.
pub(super) const TYPE: &str = "type";
/// `true`: the server changes neither values nor this. `false` is kept too, where it is said.
pub(super) const IMMUTABLE: &str = "immutable";
/// The attribute of a ConfigMap with the keys of its `binaryData`, as a JSON list.
pub(super) const BINARY: &str = "binaryData";
/// Labels and annotations are attributes as JSON objects, owners and finalizers as JSON lists.
pub(super) const LABELS: &str = "labels";
pub(super) const ANNOTATIONS: &str = "annotations";
pub(super) const OWNERS: &str = "ownerReferences";
pub(super) const FINALIZERS: &str = "finalizers";
pub(super) const GENERATE_NAME: &str = "generateName";
/// The label that the server itself gives to a Namespace.
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Who applied which fields, for those who go on applying them (Helm 4, `kubectl apply --server-side`): without it they would be
/// told of a conflict with us. Not compared, because it says nothing about the object's content.
pub(super) const MANAGED_FIELDS: &str = "managedFields";
/// Who we are in them.
pub(super) const MANAGER: &str = "strongroom";

/// An object as the server has it now, in the form in which it is captured.
pub(super) struct Object {
    pub(super) id: Id,
    pub(super) attributes: Attributes,
    pub(super) data: Data,
    /// Which version of it this is, for an update that must not overwrite another.
    pub(super) resource_version: String,
    pub(super) uid: String,
    /// Whether it is a Namespace that a restore made because something had to go into it, and then was cut short: nobody has given it
    /// anything yet.
    pub(super) bare: bool,
}

/// What an object holds.
pub(super) enum Data {
    /// Values by key.
    Fields(BTreeMap<String, Zeroizing<Vec<u8>>>),
    /// All of it, in the one form of JSON that it has here.
    Json(Zeroizing<Vec<u8>>),
}

/// What the server sent is not an object of the kind.
#[derive(Debug, thiserror::Error)]
#[error("an object cannot be understood")]
pub(super) struct Unreadable;

/// A Secret or a ConfigMap, in whatever form it came.
pub(super) struct Record<'a> {
    pub(super) metadata: Metadata<'a>,
    pub(super) r#type: Option<Cow<'a, str>>,
    pub(super) immutable: Option<bool>,
    pub(super) values: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// What a ConfigMap keeps as `binaryData`; a Secret has none.
    pub(super) binary: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// The same in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    immutable: Option<bool>,
    #[serde(borrow)]
    data: Option<BTreeMap<String, Text<'a>>>,
    #[serde(borrow)]
    binary_data: Option<BTreeMap<String, Text<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) resource_version: Cow<'a, str>,
    #[serde(default)]
    pub(super) labels: Value,
    #[serde(default)]
    pub(super) annotations: Value,
    #[serde(default)]
    pub(super) owner_references: Value,
    #[serde(default)]
    pub(super) finalizers: Value,
    #[serde(borrow)]
    pub(super) generate_name: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "where_applied")]
    pub(super) managed_fields: Value,
}

/// A value's text, which may be a secret's: as it stands in the JSON, where nothing in it is escaped. Base64 never is.
enum Text<'a> {
    Plain(&'a str),
    Escaped(Zeroizing<String>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taken;
        impl<'de> Visitor<'de> for Taken {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Plain(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text::Escaped(Zeroizing::new(text.to_owned())))
            }

            // The server writes a key without a value as null.
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::Plain(""))
            }
        }
        deserializer.deserialize_any(Taken)
    }
}

impl<'a> Raw<'a> {
    /// The values of a Secret are base64, and so is what a ConfigMap keeps as binary.
    fn decode(self, shape: Shape) -> Result<Record<'a>, Unreadable> {
        let mut values = BTreeMap::new();
        for (key, text) in self.data.unwrap_or_default() {
            let value = match shape {
                Shape::Secret => text.decode()?,
                _ => Zeroizing::new(text.as_bytes().to_vec()),
            };
            values.insert(key, value);
        }
        let binary = self.binary_data.filter(|_| shape == Shape::ConfigMap);
        let binary = binary.into_iter().flatten();
        let binary = binary.map(|(key, text)| Ok((key, text.decode()?)));
        Ok(Record {
            metadata: self.metadata,
            r#type: self.r#type,
            immutable: self.immutable,
            values,
            binary: binary.collect::<Result<_, _>>()?,
        })
    }
}

impl Text<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(text) => text.as_bytes(),
            Self::Escaped(text) => text.as_bytes(),
        }
    }

    fn decode(&self) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let decoded = STANDARD.decode(self.as_bytes()).map_err(|_| Unreadable)?;
        Ok(Zeroizing::new(decoded))
    }
}

impl Object {
    /// What `json` says, which is an object of the kind `resource`.
    pub(super) fn parse(resource: &Resource, json: &[u8]) -> Result<Self, Unreadable> {
        match resource.shape() {
            Shape::Json => Self::whole(resource, json),
            shape => {
                let raw: Raw<'_> = serde_json::from_slice(json).map_err(|_| Unreadable)?;
                Self::of(resource, shape, raw.decode(shape)?)
            }
        }
    }

    /// A Secret or a ConfigMap, as `shape` says.
    pub(super) fn of(
        resource: &Resource,
        shape: Shape,
        record: Record<'_>,
    ) -> Result<Self, Unreadable> {
        let metadata = record.metadata;
        let mut attributes = Attributes::default();
        for (name, value) in [
            (LABELS, &metadata.labels),
            (ANNOTATIONS, &metadata.annotations),
            (OWNERS, &metadata.owner_references),
            (FINALIZERS, &metadata.finalizers),
        ] {
            if !is_empty(value) {
                attributes.set(name, canonical(value));
            }
        }
        if let Some(name) = &metadata.generate_name {
            attributes.set(GENERATE_NAME, name.as_bytes());
        }
        if applied(&metadata.managed_fields) {
            attributes.set(MANAGED_FIELDS, canonical(&metadata.managed_fields));
        }
        if let Some(immutable) = record.immutable {
            attributes.set(IMMUTABLE, immutable.to_string());
        }
        if shape == Shape::Secret {
            let kind = record.r#type.unwrap_or_default();
            attributes.set(TYPE, kind.as_bytes());
            if let Some(end) = bootstrap::end_of(&kind, &record.values) {
                attributes.set(bootstrap::EXPIRES, end);
            }
        } else if !record.binary.is_empty() {
            let keys: Vec<&String> = record.binary.keys().collect();
            let keys = serde_json::to_vec(&keys).map_err(|_| Unreadable)?;
            attributes.set(BINARY, keys);
        }
        let mut fields = record.values;
        fields.extend(record.binary);
        let namespace = metadata.namespace.as_deref();
        Ok(Self {
            id: Id::new(resource, namespace, &metadata.name),
            attributes,
            data: Data::Fields(fields),
            resource_version: metadata.resource_version.into_owned(),
            uid: metadata.uid.into_owned(),
            bare: false,
        })
    }

    fn whole(resource: &Resource, json: &[u8]) -> Result<Self, Unreadable> {
        let mut value: Value = serde_json::from_slice(json).map_err(|_| Unreadable)?;
        let object = value.as_object_mut().ok_or(Unreadable)?;
        object.remove("status");
        if resource.key() == "namespaces" {
            // Nothing but the finalizer that the server itself puts there.
            object.remove("spec");
        }
        object.insert("apiVersion".to_owned(), resource.api_version().into());
        object.insert("kind".to_owned(), resource.kind.clone().into());
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let metadata = metadata.ok_or(Unreadable)?;
        let mut removed = BTreeMap::new();
        for name in SERVER_OWNED {
            removed.insert(name, metadata.remove(name).unwrap_or_default());
        }
        let owners = metadata.remove(OWNERS).unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let name = text(metadata.get("name")).ok_or(Unreadable)?;
        let namespace = text(metadata.get("namespace"));
        let mut attributes = Attributes::default();
        // Beside the JSON, because they are compared by another rule.
        if !is_empty(&owners) {
            attributes.set(OWNERS, canonical(&owners));
        }
        if applied(&removed["managedFields"]) {
            attributes.set(MANAGED_FIELDS, canonical(&removed["managedFields"]));
        }
        let bare = resource.key() == "namespaces" && is_bare(metadata, &removed["managedFields"]);
        Ok(Self {
            bare,
            id: Id::new(resource, namespace.as_deref(), &name),
            attributes,
            resource_version: text(removed.get("resourceVersion")).unwrap_or_default(),
            uid: text(removed.get("uid")).unwrap_or_default(),
            data: Data::Json(Zeroizing::new(canonical(&value))),
        })
    }

    /// How its entry begins.
    pub(super) fn header(&self) -> Header {
        let fields = match &self.data {
            Data::Json(_) => None,
            Data::Fields(fields) => {
                let header = |(key, value): (&String, &Zeroizing<Vec<u8>>)| FieldHeader {
                    key: Name::from(key.as_str()),
                    length: value.len() as u64,
                };
                Some(fields.iter().map(header).collect())
            }
        };
        Header {
            name: self.id.entry(),
            attributes: self.attributes.clone(),
            fields,
        }
    }

    /// The content of its entry.
    pub(super) fn content(&self) -> Vec<u8> {
        match &self.data {
            Data::Json(json) => json.to_vec(),
            Data::Fields(fields) => {
                let mut content = Vec::with_capacity(fields.values().map(|it| it.len()).sum());
                for value in fields.values() {
                    content.extend_from_slice(value);
                }
                content
            }
        }
    }

    /// The content of its entry, in pieces that go on to whoever seals them: nothing of it is copied.
    pub(super) fn into_content(self) -> Vec<Content> {
        let content = |mut value: Zeroizing<Vec<u8>>| Content::new(mem::take(&mut *value));
        match self.data {
            Data::Json(json) => vec![content(json)],
            Data::Fields(fields) => fields.into_values().map(content).collect(),
        }
    }

    /// Its body as a catalog has it.
    pub(super) fn body(&self) -> Body {
        match &self.data {
            Data::Json(json) => Body::Blob {
                length: json.len() as u64,
                digest: Digest::of(json),
            },
            Data::Fields(fields) => {
                let field = |(key, value): (&String, &Zeroizing<Vec<u8>>)| Field {
                    key: Name::from(key.as_str()),
                    length: value.len() as u64,
                    digest: Digest::of(value),
                };
                Body::Record {
                    fields: fields.iter().map(field).collect(),
                }
            }
        }
    }
}

/// Whether a Namespace has been written by nobody but us, and holds no more than its name.
fn is_bare(metadata: &Map<String, Value>, managed_fields: &Value) -> bool {
    let managers = managed_fields.as_array().filter(|it| !it.is_empty());
    let ours = managers.is_some_and(|it| it.iter().all(|manager| manager["manager"] == MANAGER));
    let none = Map::new();
    let labels = metadata.get(LABELS).and_then(Value::as_object);
    let mut labels = labels.unwrap_or(&none).keys();
    ours && labels.all(|label| label == NAME_LABEL)
        && metadata.get(ANNOTATIONS).is_none_or(is_empty)
}

/// What `managedFields` says, or nothing if nobody applied anything: it is longer than the rest of most objects, and is not taken apart
/// for nothing.
fn where_applied<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    if raw.contains("Apply") || raw.contains('\\') {
        serde_json::from_str(raw).map_err(D::Error::custom)
    } else {
        Ok(Value::Null)
    }
}

/// Whether somebody applied a part of it, and may be told of conflicts.
fn applied(managed_fields: &Value) -> bool {
    let managers = managed_fields.as_array().into_iter().flatten();
    let mut operations = managers.map(|manager| &manager["operation"]);
    operations.any(|operation| operation == "Apply")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The one JSON text of a value: no spaces, keys ascending.
pub(super) fn canonical(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            // Whatever order serde_json was built to keep.
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push(b'{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_canonical(&Value::from(key.as_str()), out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(list) => {
            out.push(b'[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_canonical(value, out);
            }
            out.push(b']');
        }
        value => serde_json::to_writer(out, value).expect("a value is JSON, and memory takes it"),
    }
}

/// A JSON text that an attribute holds.
pub(super) fn attribute(attributes: &Attributes, name: &str) -> Result<Value, serde_json::Error> {
    match attributes.get(name) {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_slice(text)
            .map_err(|error| serde_json::Error::custom(format!("{name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(object: Object) -> Vec<u8> {
        let content = object.into_content();
        content
            .iter()
            .flat_map(Content::as_bytes)
            .copied()
            .collect()
    }

    fn config_maps() -> Resource {
        Resource {
            plural: "configmaps".to_owned(),
            kind: "ConfigMap".to_owned(),
            ..Resource::secrets()
        }
    }

    #[test]
    fn a_secret_becomes_a_record_without_what_the_server_owns() {
        let json = json!({
            "metadata": {
                "name": "s", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"b": "2", "a": "1"},
                "annotations": {}, "ownerReferences": [{"uid": "x", "kind": "K"}],
                "managedFields": [{"manager": "kubectl", "operation": "Update"}],
            },
            "type": "Opaque",
            "immutable": false,
            "data": {"empty": "", "none": null, "raw": "/wA=", "a": "YQ=="},
        });
        let text = json.to_string();
        let object = Object::parse(&Resource::secrets(), text.as_bytes()).expect("a secret");
        assert_eq!(object.id.entry(), Name::from("secrets/n/s"));
        let attributes: Vec<_> = object
            .attributes
            .iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(value).into_owned()))
            .collect();
        let expected = [
            ("immutable", "false"),
            ("labels", r#"{"a":"1","b":"2"}"#),
            ("ownerReferences", r#"[{"kind":"K","uid":"x"}]"#),
            ("type", "Opaque"),
        ];
        assert_eq!(
            attributes,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        assert_eq!(object.resource_version, "7");
        assert_eq!(content(object), b"a\xff\x00");
        for bad in [
            r#"{"metadata":{"name":"s"},"data":{"k":"not base64!"}}"#,
            r#"{"metadata":{},"data":{}}"#,
            r#"{"metadata":{"name":"s"},"data":{"k":1}}"#,
            "[]",
        ] {
            assert!(Object::parse(&Resource::secrets(), bad.as_bytes()).is_err());
        }
    }

    #[test]
    fn a_config_map_keeps_which_keys_are_binary() {
        let json = json!({
            "metadata": {"name": "c", "namespace": "n", "managedFields": [{"operation": "Apply"}]},
            "data": {"text": "ü"},
            "binaryData": {"raw": "/w=="},
        });
        let object = Object::parse(&config_maps(), json.to_string().as_bytes()).expect("a map");
        assert_eq!(object.attributes.text(BINARY), Some(r#"["raw"]"#));
        let fields = Some(r#"[{"operation":"Apply"}]"#);
        assert_eq!(object.attributes.text(MANAGED_FIELDS), fields);
        assert_eq!(content(object), [&b"\xff"[..], "ü".as_bytes()].concat());
    }

    #[test]
    fn other_kinds_are_json_in_one_form() {
        let namespace = br#"{"status":{"phase":"Active"},"spec":{"finalizers":["kubernetes"]},
            "metadata":{"uid":"u","name":"n","resourceVersion":"7","labels":{"b":"1","a":"\u00e4"}}}"#;
        let object = Object::parse(&Resource::namespaces(), namespace).expect("a namespace");
        let expected = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"a":"ä","b":"1"},"name":"n"}}"#;
        assert_eq!(
            (object.uid.as_str(), object.resource_version.as_str()),
            ("u", "7")
        );
        assert_eq!(content(object), expected.as_bytes());
    }
}
