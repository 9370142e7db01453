//! Objects as an API server writes them for etcd: protobuf in an envelope, or JSON.
//!
//! Numbers of fields: `kubernetes:staging/src/k8s.io/api/core/v1/generated.proto` and
//! `.../apimachinery/pkg/{apis/meta/v1,runtime}/generated.proto`. Only what a capture keeps is named; the rest is passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::Message;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::super::object::{Metadata, Object, Record, Unreadable};
use super::super::resource::{Resource, Shape};

/// What a protobuf begins with.
const ENVELOPE: &[u8] = b"k8s\0";

/// Whether `bytes` are an object and not noise.
pub(super) fn looks_right(bytes: &[u8]) -> bool {
    bytes.starts_with(ENVELOPE) || bytes.first() == Some(&b'{')
}

/// The object of the kind `resource` that `bytes` are. Only kinds of [`Resource::known`] are read from protobuf.
pub(super) fn read(resource: &Resource, bytes: &[u8]) -> Result<Object, Unreadable> {
    let Some(envelope) = bytes.strip_prefix(ENVELOPE) else {
        return Object::parse(resource, bytes);
    };
    let envelope = Unknown::decode(envelope).map_err(|_| Unreadable)?;
    let raw = Zeroizing::new(envelope.raw);
    // Another version of the kind has other fields.
    let stored = envelope.type_meta.unwrap_or_default();
    if stored.api_version != resource.api_version() || stored.kind != resource.kind {
        return Err(Unreadable);
    }
    match resource.shape() {
        Shape::Secret => secret(resource, &raw),
        Shape::ConfigMap => config_map(resource, &raw),
        Shape::Json => {
            let json = match resource.plural.as_str() {
                "serviceaccounts" => service_account(&raw)?,
                "namespaces" => Bare::decode(&raw[..])
                    .map(|bare| json!({"metadata": bare.metadata.unwrap_or_default().json()}))
                    .map_err(|_| Unreadable)?,
                _ => return Err(Unreadable),
            };
            Object::parse(resource, json.to_string().as_bytes())
        }
    }
}

fn secret(resource: &Resource, raw: &[u8]) -> Result<Object, Unreadable> {
    let secret = Secret::decode(raw).map_err(|_| Unreadable)?;
    let record = Record {
        metadata: secret.metadata.unwrap_or_default().into(),
        r#type: secret.r#type.map(Cow::Owned),
        immutable: secret.immutable,
        values: values(secret.data),
        binary: BTreeMap::new(),
    };
    Object::of(resource, Shape::Secret, record)
}

fn config_map(resource: &Resource, raw: &[u8]) -> Result<Object, Unreadable> {
    let map = ConfigMap::decode(raw).map_err(|_| Unreadable)?;
    let texts = map.data.into_iter();
    let record = Record {
        metadata: map.metadata.unwrap_or_default().into(),
        r#type: None,
        immutable: map.immutable,
        values: values(texts.map(|(key, text)| (key, text.into_bytes()))),
        binary: values(map.binary_data),
    };
    Object::of(resource, Shape::ConfigMap, record)
}

fn values(
    data: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
    let data = data.into_iter();
    data.map(|(key, value)| (key, Zeroizing::new(value)))
        .collect()
}

fn service_account(raw: &[u8]) -> Result<Value, Unreadable> {
    let account = ServiceAccount::decode(raw).map_err(|_| Unreadable)?;
    let mut json = json!({"metadata": account.metadata.unwrap_or_default().json()});
    let object = json.as_object_mut().ok_or(Unreadable)?;
    if !account.secrets.is_empty() {
        let secrets = account.secrets.iter().map(ObjectReference::json);
        object.insert("secrets".to_owned(), secrets.collect());
    }
    if !account.image_pull_secrets.is_empty() {
        let secrets = account.image_pull_secrets.iter();
        let secrets = secrets.map(|it| Value::Object(texts([("name", &it.name)])));
        object.insert("imagePullSecrets".to_owned(), secrets.collect());
    }
    if let Some(automount) = account.automount_service_account_token {
        object.insert("automountServiceAccountToken".to_owned(), automount.into());
    }
    Ok(json)
}

/// Those of the texts that are not empty, as the server writes them.
fn texts<const N: usize>(texts: [(&str, &String); N]) -> Map<String, Value> {
    let said = texts.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| (name.to_owned(), text.as_str().into()))
        .collect()
}

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Secret {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    data: BTreeMap<String, Vec<u8>>,
    #[prost(string, optional, tag = "3")]
    r#type: Option<String>,
    #[prost(bool, optional, tag = "5")]
    immutable: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigMap {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(btree_map = "string, string", tag = "2")]
    data: BTreeMap<String, String>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    binary_data: BTreeMap<String, Vec<u8>>,
    #[prost(bool, optional, tag = "4")]
    immutable: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceAccount {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    secrets: Vec<ObjectReference>,
    #[prost(message, repeated, tag = "3")]
    image_pull_secrets: Vec<LocalObjectReference>,
    #[prost(bool, optional, tag = "4")]
    automount_service_account_token: Option<bool>,
}

/// An object of which nothing but its metadata is kept.
#[derive(Clone, PartialEq, Message)]
struct Bare {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectReference {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    uid: String,
    #[prost(string, tag = "5")]
    api_version: String,
    #[prost(string, tag = "6")]
    resource_version: String,
    #[prost(string, tag = "7")]
    field_path: String,
}

#[derive(Clone, PartialEq, Message)]
struct LocalObjectReference {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    generate_name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    owner_references: Vec<OwnerReference>,
    #[prost(string, repeated, tag = "14")]
    finalizers: Vec<String>,
    #[prost(message, repeated, tag = "17")]
    managed_fields: Vec<ManagedFieldsEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct OwnerReference {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    uid: String,
    #[prost(string, tag = "5")]
    api_version: String,
    #[prost(bool, optional, tag = "6")]
    controller: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    block_owner_deletion: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct ManagedFieldsEntry {
    #[prost(string, tag = "1")]
    manager: String,
    #[prost(string, tag = "2")]
    operation: String,
    #[prost(string, tag = "3")]
    api_version: String,
    #[prost(message, optional, tag = "4")]
    time: Option<Time>,
    #[prost(string, tag = "6")]
    fields_type: String,
    #[prost(message, optional, tag = "7")]
    fields_v1: Option<FieldsV1>,
    #[prost(string, tag = "8")]
    subresource: String,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct FieldsV1 {
    #[prost(bytes = "vec", tag = "1")]
    raw: Vec<u8>,
}

impl ObjectReference {
    fn json(&self) -> Value {
        texts([
            ("kind", &self.kind),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("uid", &self.uid),
            ("apiVersion", &self.api_version),
            ("resourceVersion", &self.resource_version),
            ("fieldPath", &self.field_path),
        ])
        .into()
    }
}

impl OwnerReference {
    fn json(&self) -> Value {
        let mut json = json!({
            "apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid,
        });
        if let Some(controller) = self.controller {
            json["controller"] = controller.into();
        }
        if let Some(block) = self.block_owner_deletion {
            json["blockOwnerDeletion"] = block.into();
        }
        json
    }
}

impl ManagedFieldsEntry {
    fn json(&self) -> Value {
        let mut json = texts([
            ("manager", &self.manager),
            ("operation", &self.operation),
            ("apiVersion", &self.api_version),
            ("fieldsType", &self.fields_type),
            ("subresource", &self.subresource),
        ]);
        let time = self.time.as_ref();
        let time = time.and_then(|time| Timestamp::new(time.seconds, 0).ok());
        if let Some(time) = time {
            json.insert("time".to_owned(), time.to_string().into());
        }
        let fields = self.fields_v1.as_ref();
        let fields = fields.and_then(|fields| serde_json::from_slice::<Value>(&fields.raw).ok());
        if let Some(fields) = fields {
            json.insert("fieldsV1".to_owned(), fields);
        }
        json.into()
    }
}

impl ObjectMeta {
    fn owners(&self) -> Value {
        self.owner_references
            .iter()
            .map(OwnerReference::json)
            .collect()
    }

    fn managers(&self) -> Value {
        self.managed_fields
            .iter()
            .map(ManagedFieldsEntry::json)
            .collect()
    }

    /// As a server shows it, without what a capture drops.
    fn json(&self) -> Value {
        let mut json = texts([
            ("name", &self.name),
            ("generateName", &self.generate_name),
            ("namespace", &self.namespace),
            ("uid", &self.uid),
        ]);
        for (name, map) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !map.is_empty() {
                json.insert(name.to_owned(), json!(map));
            }
        }
        for (name, list) in [
            ("ownerReferences", self.owners()),
            ("finalizers", json!(self.finalizers)),
            ("managedFields", self.managers()),
        ] {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                json.insert(name.to_owned(), list);
            }
        }
        json.into()
    }
}

impl From<ObjectMeta> for Metadata<'static> {
    fn from(meta: ObjectMeta) -> Self {
        let said = |text: String| (!text.is_empty()).then_some(Cow::Owned(text));
        Self {
            labels: json!(meta.labels),
            annotations: json!(meta.annotations),
            owner_references: meta.owners(),
            finalizers: json!(meta.finalizers),
            managed_fields: meta.managers(),
            name: Cow::Owned(meta.name),
            namespace: said(meta.namespace),
            uid: Cow::Owned(meta.uid),
            resource_version: Cow::default(),
            generate_name: said(meta.generate_name),
        }
    }
}
