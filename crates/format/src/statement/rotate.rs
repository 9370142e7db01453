use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::object::present;
use crate::{
    JobName, Object, RECIPIENT_MAX, RECIPIENTS_MAX, RepositoryId, RunId, SMALL_OBJECT_MAX, WriterId,
};

/// Runs whose data keys were sealed again, to other recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateStatement {
    /// The repository that it was made for.
    pub repository: RepositoryId,
    /// The job that it was made for.
    pub job: JobName,
    /// The maintainer.
    pub writer: WriterId,
    /// Program and version.
    pub program: String,
    /// RFC 3339.
    pub started: String,
    /// Whom the new key objects are sealed to; at least one.
    pub recipients: Vec<String>,
    /// The runs, ascending, at least one.
    pub runs: Vec<RotatedRun>,
}

/// The key object that opens a run from this commit on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotatedRun {
    /// The run.
    pub run: RunId,
    /// The object's name within the run.
    pub object: KeyName,
    /// The object.
    pub key: Object,
    /// The same for the post-quantum recipients, where there are others too.
    #[serde(
        rename = "key-pq",
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_pq: Option<Object>,
}

impl RotatedRun {
    /// The key objects that open the run.
    pub fn keys(&self) -> KeyPair {
        KeyPair {
            name: self.object,
            key: self.key,
            key_pq: self.key_pq,
        }
    }
}

/// The key objects that open a run: one, and a second one for post-quantum recipients where there are others too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPair {
    /// The first one's name; the second one's is the same with `-pq` behind it.
    pub name: KeyName,
    /// The first one.
    pub key: Object,
    /// The second one.
    pub key_pq: Option<Object>,
}

impl KeyPair {
    /// One or both, by name.
    pub fn objects(self) -> impl Iterator<Item = (String, Object)> {
        let second = self.key_pq.map(|key| (self.name.post_quantum(), key));
        std::iter::once((self.name.to_string(), self.key)).chain(second)
    }
}

/// The name of a key object within its run: `key` as the backup made it, `key-1` and so on as rotations did.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct KeyName(u32);

impl KeyName {
    /// The one that a backup made.
    pub const ORIGINAL: Self = Self(0);
    /// The last one of a run.
    pub const LAST: Self = Self(999_999);

    /// The name of the second object of that name, for post-quantum recipients.
    pub fn post_quantum(self) -> String {
        format!("{self}-pq")
    }

    /// The name after this one; `None` after the last.
    pub fn next(self) -> Option<Self> {
        (self < Self::LAST).then_some(Self(self.0 + 1))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("key"),
            number => write!(f, "key-{number}"),
        }
    }
}

/// A text that names no key object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key object is named `key`, or `key-1` to `key-999999`")]
pub struct KeyNameError;

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        let number = text.strip_prefix("key-").unwrap_or("0").parse();
        // A name has one form: what is printed must be what was read.
        let name = number.map(Self).map_err(|_| KeyNameError)?;
        (name <= Self::LAST && name.to_string() == text)
            .then_some(name)
            .ok_or(KeyNameError)
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for KeyName {
    type Error = KeyNameError;

    fn try_from(text: String) -> Result<Self, KeyNameError> {
        text.parse()
    }
}

impl RotateStatement {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.recipients.is_empty() {
            return Err("its recipients");
        }
        check_recipients(&self.recipients)?;
        if self.runs.is_empty() {
            return Err("it rotates nothing");
        }
        if !self.runs.is_sorted_by(|a, b| a.run < b.run) {
            return Err("its runs are out of order");
        }
        // What a backup made is nobody's rotation.
        if self.runs.iter().any(|run| run.object == KeyName::ORIGINAL) {
            return Err("it names the key object of a backup");
        }
        let mut keys = self.runs.iter().flat_map(|run| run.keys().objects());
        if keys.any(|(_, key)| key.size > SMALL_OBJECT_MAX) {
            return Err("a key object is too long");
        }
        Ok(())
    }
}

pub(crate) fn check_recipients(recipients: &[String]) -> Result<(), &'static str> {
    let long = |recipient: &String| recipient.len() > RECIPIENT_MAX;
    if recipients.len() > RECIPIENTS_MAX || recipients.iter().any(long) {
        return Err("its recipients");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_object_has_one_name() {
        let mut name = KeyName::ORIGINAL;
        for text in ["key", "key-1", "key-2"] {
            assert_eq!(name.to_string(), text);
            assert_eq!(text.parse(), Ok(name));
            name = name.next().expect("it is not the last");
        }
        assert_eq!("key-999999".parse(), Ok(KeyName::LAST));
        assert_eq!(KeyName::LAST.next(), None);
        for bad in [
            "",
            "key-",
            "key-0",
            "key-01",
            "key-+1",
            "key-1000000",
            "keys",
            "Key-1",
            "key-1/..",
            "key-1-pq",
            "map",
        ] {
            assert_eq!(bad.parse::<KeyName>(), Err(KeyNameError), "{bad}");
        }
    }
}
