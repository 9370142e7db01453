//! What `repository` says: an address, or a map with an address and what belongs to it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::origin::At;
use super::reference::Reference;
use crate::units::{Period, Rate};

/// A place for snapshots: its address alone, or a map. Secrets stand in it by reference.
pub(crate) struct Repository(pub(crate) Table);

/// A place for snapshots and how it is used.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RepositoryTable", extend("oneOf" = [{"required": ["url"]}, {"required": ["path"]}]))]
pub(crate) struct Table {
    /// A directory, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// A directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The server, if it is not the service's own: `https://HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<At<String>>,
    /// Whether the endpoint may be `http://`, where everybody on the way reads the keys' ids and what is uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow_http: Option<At<bool>>,
    /// A PEM file with the authorities that may sign the server's certificate; the system's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<At<PathBuf>>,
    /// s3: the region of the bucket; `us-east-1` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<At<String>>,
    /// s3: whether the bucket stands in the path of requests and not in the name of the host. Yes with an `endpoint`, otherwise no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path_style: Option<At<bool>>,
    /// s3: the id of the key that signs requests, as a text or by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access_key_id: Option<At<String>>,
    /// s3: that key, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret_access_key: Option<At<Reference>>,
    /// s3: the token that goes with a temporary key, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_token: Option<At<Reference>>,
    /// s3: a program that prints a key as AWS tools have it, such as [aws, configure, export-credentials, --profile, NAME].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential_process: Option<At<Vec<String>>>,
    /// s3: how the server encrypts: `AES256` or `aws:kms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sse: Option<At<String>>,
    /// s3: the key of Amazon's key service, for `sse: aws:kms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sse_kms_key: Option<At<String>>,
    /// s3: a key of our own that the server encrypts with, 32 bytes in base64, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sse_customer_key: Option<At<Reference>>,
    /// The storage class of packs (az: their access tier); the bucket's if left out. Small objects stay in the bucket's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<At<String>>,
    /// s3: everything that is stored is locked, so that nobody deletes or overwrites it before its time. The bucket must have object lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<At<LockTable>>,
    /// gs: the JSON key of a service account, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service_account: Option<At<Reference>>,
    /// az: the storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<At<String>>,
    /// az: the storage account's key, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account_key: Option<At<Reference>>,
    /// az: a shared access signature, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sas: Option<At<Reference>>,
    /// How long nothing at all may move before a request has failed; 30s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<At<Period>>,
    /// How often a failed request is made again; 20 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retries: Option<At<u16>>,
    /// How long after its first attempt a request may be made again; 3m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<At<Period>>,
    /// How fast uploads may be, like `10MiB/s`; as fast as it goes if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit_upload: Option<At<Rate>>,
    /// The store does not know "create only if absent", and this host promises to be the only one that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) single_writer: Option<At<bool>>,
}

/// How firmly objects are locked, and for how long.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Lock")]
pub(crate) struct LockTable {
    /// Who may break the lock.
    pub(crate) mode: LockFirmness,
    /// For how long objects are locked when they are written, and again when less than half of that is left and a new snapshot needs them:
    /// whole days, like `30d`.
    #[serde(rename = "for")]
    pub(crate) period: Period,
}

/// Who may break a lock.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LockFirmness {
    /// Nobody, not even the account's owner.
    Compliance,
    /// Whoever has the right `s3:BypassGovernanceRetention`.
    Governance,
}

impl Table {
    fn with_address(address: &str) -> Self {
        Self {
            url: Some(address.to_owned()),
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Repository {
    // By hand, because an untagged enum would lose the line of a mistake and the name of an unknown key.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Repository;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a map with the key `url`")
            }

            fn visit_str<E>(self, address: &str) -> Result<Repository, E> {
                Ok(Repository(Table::with_address(address)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Repository, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Repository)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl Serialize for Repository {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An address alone stays one.
        match serde_json::to_value(&self.0) {
            Ok(Value::Object(said)) if said.len() == 1 => said
                .values()
                .next()
                .expect("there is one")
                .serialize(serializer),
            _ => self.0.serialize(serializer),
        }
    }
}

impl JsonSchema for Repository {
    fn schema_name() -> Cow<'static, str> {
        "Repository".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        #[derive(JsonSchema)]
        #[serde(untagged)]
        #[expect(dead_code, reason = "describes the two forms in the schema")]
        enum Forms {
            Address(String),
            Table(Box<Table>),
        }
        Forms::json_schema(generator)
    }
}
