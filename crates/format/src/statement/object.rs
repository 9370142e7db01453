use archive::Digest;
use serde::{Deserialize, Deserializer, Serialize};

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    #[serde(with = "digest_text")]
    pub digest: Digest,
}

/// A field that is there is not null: what means the same is written in one way.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A commit by number and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitRef {
    /// In the job's log.
    pub number: u64,
    /// Of the whole object.
    #[serde(with = "digest_text")]
    pub digest: Digest,
}

/// A digest as JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DigestText(#[serde(with = "digest_text")] pub Digest);

mod digest_text {
    use archive::Digest;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        digest.to_string().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}
