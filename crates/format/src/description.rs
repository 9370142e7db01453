use serde::{Deserialize, Serialize};

use crate::{RepositoryId, SMALL_OBJECT_MAX};

const FORMAT: &str = "strongroom repository";
const VERSION: u64 = 1;

/// The contents of `strongroom.json`: what says that a place is a repository, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    format: String,
    version: u64,
    /// Enters every sealed object and signature, so that nothing can be moved between repositories.
    pub id: RepositoryId,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// Why `strongroom.json` does not describe a repository that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// It is something else, or damaged.
    #[error("its strongroom.json is damaged, or another program's")]
    NotOne,
    /// A version from the future.
    #[error(
        "it has format version {0}, and this program knows version {VERSION}: a newer strongroom is needed"
    )]
    Newer(u64),
}

impl Description {
    /// The description of a new repository.
    pub fn new(id: RepositoryId, created: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            id,
            created,
        }
    }

    /// The bytes of `strongroom.json`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("strings and numbers serialise");
        bytes.push(b'\n');
        bytes
    }

    /// Reads it back. The version is judged first: a newer one may have any other fields.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptionError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u64,
        }
        if bytes.len() as u64 > SMALL_OBJECT_MAX {
            return Err(DescriptionError::NotOne);
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|_| DescriptionError::NotOne)?;
        if head.format != FORMAT || head.version == 0 {
            return Err(DescriptionError::NotOne);
        }
        if head.version > VERSION {
            return Err(DescriptionError::Newer(head.version));
        }
        serde_json::from_slice(bytes).map_err(|_| DescriptionError::NotOne)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_or_foreign_repository_is_told_apart() {
        let description = Description::new(RepositoryId([7; 16]), "2026-11-22T08:00:00Z".into());
        assert_eq!(Description::decode(&description.encode()), Ok(description));
        let newer = br#"{"format":"strongroom repository","version":2,"anything":[]}"#;
        assert_eq!(Description::decode(newer), Err(DescriptionError::Newer(2)));
        for bad in [
            &b""[..],
            b"{}",
            b"[]",
            br#"{"format":"restic","version":1}"#,
            &vec![b' '; 70_000],
        ] {
            assert_eq!(Description::decode(bad), Err(DescriptionError::NotOne));
        }
    }
}
