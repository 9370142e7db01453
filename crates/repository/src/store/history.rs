use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::GetOptions;

use super::failure::{StoreFailureKind, is_absent};
use super::{Name, Store, too_long};
use crate::Error;

/// By object's name, the names of the versions that a store keeps of it, the newest first.
pub(crate) type History = BTreeMap<String, Vec<String>>;

/// More versions below one folder are not read: somebody floods it.
pub(super) const VERSIONS_MAX: usize = 1_000_000;

impl Store {
    /// The versions of all objects below a folder. Empty where the store keeps none, cannot tell, or does not let us ask.
    pub(crate) async fn history(&self, folder: &Name) -> Result<History, Error> {
        let versions = match (&self.s3, &self.generations) {
            (Some(s3), _) => s3.versions(&folder.0).await,
            (_, Some(generations)) => generations.below(&folder.0).await,
            (None, None) => return Ok(History::new()),
        };
        match versions {
            Ok(versions) => Ok(versions),
            Err(failure) if failure.kind() == StoreFailureKind::Unreachable => Err(Error::Store {
                operation: "list the versions of",
                object: self.named(folder),
                source: failure,
            }),
            Err(failure) => {
                tracing::debug!(%failure, "the store does not list versions");
                Ok(History::new())
            }
        }
    }

    /// One version of an object of at most `limit` bytes. `None`: there is none, or it is longer.
    pub(crate) async fn read_version(
        &self,
        name: &Name,
        version: &str,
        limit: u64,
    ) -> Result<Option<Bytes>, Error> {
        let options = GetOptions {
            version: Some(version.to_owned()),
            ..GetOptions::default()
        };
        let got = match self.inner.get_opts(&name.0, options).await {
            Ok(got) => got,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(self.failed("read a version of", name, source)),
        };
        if got.meta.size > limit {
            tracing::debug!(error = %too_long(name, got.meta.size), "a version is no candidate");
            return Ok(None);
        }
        let bytes = got.bytes().await;
        bytes
            .map(Some)
            .map_err(|source| self.failed("read a version of", name, source))
    }
}
