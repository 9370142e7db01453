//! What helm keeps of its releases.

use std::io::Read as _;

use archive::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;
use zeroize::Zeroizing;

/// The largest record that is unpacked. It comes from a megabyte of gzip.
const RECORD_MAX: u64 = 64 * 1024 * 1024;

use crate::object::Object;

/// The records of one release: one of each revision, in a Secret or, if helm was told so, a `ConfigMap`.
pub(crate) struct Release {
    pub(crate) name: String,
    /// The newest that is deployed.
    pub(crate) deployed: Option<Record>,
    /// The newest revision, whatever became of it.
    pub(crate) newest: u64,
}

/// One of them.
pub(crate) struct Record {
    pub(crate) revision: u64,
    pub(crate) entry: Name,
    /// What is in it; `None` if it is a record by its labels alone.
    text: Option<Zeroizing<Vec<u8>>>,
}

impl Release {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            deployed: None,
            newest: 0,
        }
    }

    /// Takes an object if it is a record, of whatever release; says whether it is one.
    pub(crate) fn take(&mut self, object: &mut Object) -> bool {
        let labels = object.labels();
        if labels["owner"] != "helm" {
            return false;
        }
        let revision = labels["version"].as_str().and_then(|it| it.parse().ok());
        let (Some(revision), true) = (revision, labels["name"] == *self.name) else {
            return true;
        };
        self.newest = self.newest.max(revision);
        let newer = self
            .deployed
            .as_ref()
            .is_none_or(|known| known.revision < revision);
        if labels["status"] == "deployed" && newer {
            self.deployed = Some(Record {
                revision,
                entry: object.entry.clone(),
                text: object.data.remove("release"),
            });
        }
        true
    }
}

impl Record {
    /// The values that a user gave to the release; one clause if the record is none.
    pub(crate) fn values(&self) -> Result<Value, &'static str> {
        let text = self.text.as_ref();
        user_values(text.ok_or("says that it is a deployed release, and has no key release")?)
    }
}

/// The values that a user gave to a release, from the record that helm keeps of it: base64 of gzip of JSON, or, from old versions of
/// helm, base64 of JSON. One clause if it is none.
fn user_values(record: &[u8]) -> Result<Value, &'static str> {
    let packed = STANDARD.decode(record.trim_ascii());
    let packed = Zeroizing::new(packed.map_err(|_| "is no release record: it is not base64")?);
    let mut json = Zeroizing::new(Vec::new());
    if packed.starts_with(&[0x1f, 0x8b]) {
        let read = GzDecoder::new(&packed[..])
            .take(RECORD_MAX + 1)
            .read_to_end(&mut json);
        read.map_err(|_| "is no release record: its compression is damaged")?;
    } else {
        json.extend_from_slice(&packed);
    }
    if json.len() as u64 > RECORD_MAX {
        return Err("is no release record: it is too large");
    }
    let mut record: Value =
        serde_json::from_slice(&json).map_err(|_| "is no release record: it is not JSON")?;
    let record = record.as_object_mut();
    let record = record.ok_or("is no release record: it is no JSON object")?;
    Ok(record.remove("config").unwrap_or(Value::Null))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;
    use std::io::Write as _;

    /// The record of a release with these values.
    pub(crate) fn record(values: &Value) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let json = json!({"name": "dr", "config": values, "chart": {}}).to_string();
        encoder.write_all(json.as_bytes()).expect("memory takes it");
        STANDARD
            .encode(encoder.finish().expect("memory takes it"))
            .into_bytes()
    }

    #[test]
    fn values_are_found_and_damage_is_told() {
        let values = json!({"a": 1});
        assert_eq!(user_values(&record(&values)), Ok(values));
        assert_eq!(user_values(&record(&Value::Null)), Ok(Value::Null));
        let plain = STANDARD.encode(r#"{"config":{"b":2}}"#);
        assert_eq!(user_values(plain.as_bytes()), Ok(json!({"b": 2})));
        let mut cut = record(&json!({"a": 1}));
        cut.truncate(40);
        for bad in [&b"!"[..], b"e30", &cut] {
            assert!(user_values(bad).is_err());
        }
        for bad in ["{", "[1]", "null", "5", "\"a\""] {
            assert!(
                user_values(STANDARD.encode(bad).as_bytes()).is_err(),
                "{bad}"
            );
        }
    }
}
