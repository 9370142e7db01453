use std::collections::BTreeMap;
use std::fmt;

use crate::{Digest, Name};

/// One entry of a catalog: a secret with its keys (a record), or one opaque file (a blob). Never its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique in its archive; entries stand in ascending order of their names' bytes.
    pub name: Name,
    /// What else the source must know to write the entry back: mode, owner, type, labels.
    pub attributes: Attributes,
    /// Where its bytes are and what they must be.
    pub body: Body,
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// One opaque run of bytes.
    Blob {
        /// In bytes.
        length: u64,
        /// BLAKE3 of exactly these bytes: what `b3sum` prints for the restored file.
        digest: Digest,
    },
    /// Named values, ascending by key, standing one after the other in the content.
    Record {
        /// The keys, each with the length and digest of its value.
        fields: Vec<Field>,
    },
}

/// One key of a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Unique in its entry.
    pub key: Name,
    /// Of the value, in bytes.
    pub length: u64,
    /// BLAKE3 of the value.
    pub digest: Digest,
}

/// Attributes by name. Values may be sensitive (an extended attribute, an annotation): `Debug` shows only
/// their lengths.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, Vec<u8>>);

impl Attributes {
    /// Sets one attribute; a second call with the same name replaces the value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), value.into());
    }

    /// The attribute's exact bytes.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The attribute as text, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All of them, ascending by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, value)| (name, value.len())))
            .finish()
    }
}

/// Without digests: the digest of a short secret confirms a guess of it.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob { length, .. } => write!(f, "Blob({length})"),
            Self::Record { fields } => f.debug_list().entries(fields).finish(),
        }
    }
}

/// Without the digest, as above.
impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.key, self.length)
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl Entry {
    /// The bytes that the entry takes in the content stream.
    pub fn length(&self) -> u64 {
        match &self.body {
            Body::Blob { length, .. } => *length,
            Body::Record { fields } => fields.iter().map(|field| field.length).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_values_nor_digests() {
        let attributes = Attributes::from_iter([("xattr.user.token", "hunter2")]);
        let digest = Digest::of(b"hunter2");
        let field = Field {
            key: "token".into(),
            length: 7,
            digest,
        };
        for body in [
            Body::Blob { length: 7, digest },
            Body::Record {
                fields: vec![field],
            },
        ] {
            let entry = Entry {
                name: "e".into(),
                attributes: attributes.clone(),
                body,
            };
            let shown = format!("{entry:?}");
            assert!(shown.contains('7') && !shown.contains("hunter2"), "{shown}");
            assert!(!shown.contains(&digest.to_string()[..8]), "{shown}");
        }
    }
}
