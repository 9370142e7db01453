use bytes::Bytes;
use http::{HeaderMap, Method};
use object_store::path::Path;
use serde::Deserialize;

use super::requests::{Requests, escaped};
use super::settings::parsed;
use super::super::failure::{StoreFailure, StoreFailureKind};

/// More versions of one object, or of what lies below one folder, are not read: somebody floods it.
const VERSIONS_MAX: usize = 100_000;

/// A version of an object that the store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The name of the object, below the repository's root.
    pub name: String,
    /// The store's name for the version.
    pub id: String,
    /// Whether whoever asks for the object gets this one.
    pub is_latest: bool,
    /// In bytes. `None`: it says that the object was deleted.
    pub size: Option<u64>,
    /// When it came to be, as the store writes it.
    pub modified: String,
}

impl Requests {
    /// All versions of what starts with `prefix`, the newest of each object first.
    pub(in crate::store) async fn versions(
        &self,
        root: &Path,
        prefix: &str,
    ) -> Result<Vec<Version>, StoreFailure> {
        let full = if root.as_ref().is_empty() {
            prefix.to_owned()
        } else {
            format!("{root}/{prefix}")
        };
        let below = full.len() - prefix.len();
        let mut versions = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let page = self.page(&full, after.as_ref()).await?;
            for entry in page.entries {
                versions.extend(entry.version(below));
            }
            if versions.len() > VERSIONS_MAX {
                let message = format!("there are more than {VERSIONS_MAX} versions of {full}");
                return Err(StoreFailure::new(StoreFailureKind::Other, message));
            }
            after = page.next_key_marker.zip(page.next_version_id_marker);
            if after.is_none() || page.is_truncated.as_deref() != Some("true") {
                return Ok(versions);
            }
        }
    }

    async fn page(
        &self,
        prefix: &str,
        after: Option<&(String, String)>,
    ) -> Result<Page, StoreFailure> {
        let mut query = String::new();
        if let Some((key, _)) = after {
            query = format!("key-marker={}&", escaped(key, false));
        }
        query = format!("{query}prefix={}", escaped(prefix, false));
        if let Some((_, version)) = after {
            query = format!("{query}&version-id-marker={}", escaped(version, false));
        }
        let query = format!("{query}&versions=");
        let answer = self
            .ask(Method::GET, None, &query, &HeaderMap::new(), &Bytes::new())
            .await?;
        parsed(&answer.body)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    is_truncated: Option<String>,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    /// In the order of the document: versions and delete markers take turns.
    #[serde(rename = "$value", default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
enum Entry {
    Version(Listed),
    DeleteMarker(Listed),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    version_id: String,
    is_latest: bool,
    last_modified: String,
    size: Option<u64>,
}

impl Entry {
    /// `below`: so much of the key belongs to the repository's address.
    fn version(self, below: usize) -> Option<Version> {
        let (listed, deleted) = match self {
            Self::Version(listed) => (listed, false),
            Self::DeleteMarker(listed) => (listed, true),
            Self::Other => return None,
        };
        Some(Version {
            name: listed.key.get(below..)?.to_owned(),
            id: listed.version_id,
            is_latest: listed.is_latest,
            size: listed.size.filter(|_| !deleted),
            modified: listed.last_modified,
        })
    }
}
