use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, PutOptions};

use super::failure::{StoreFailure, StoreFailureKind, is_absent};
use super::upload::Upload;
use super::{Name, Remote, Settled, Store, Timing};
use crate::Error;

/// Another tool's objects in a bucket of S3: read, overwritten and deleted by that tool's rules. No repository is ever opened as this.
#[derive(Clone)]
pub struct Objects {
    pub(super) store: Store,
    pub(super) timing: Timing,
}

/// An object that is being read.
pub struct Download {
    bytes: u64,
    left: u64,
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
    store: Store,
    name: Name,
}

impl Objects {
    /// Those of a bucket. Nothing is asked of the server for this.
    pub fn remote(remote: Remote) -> Result<Self, Error> {
        let timing = remote.timing.clone();
        let store = Store::remote(remote)?;
        Ok(Self { store, timing })
    }

    /// What messages call the bucket.
    pub fn place(&self) -> &str {
        self.store.place()
    }

    /// The names and lengths of all objects whose names start with `start` and have no slash behind it, in no order.
    pub async fn list(&self, start: &str) -> Result<Vec<(String, u64)>, Error> {
        let s3 = self.store.s3.as_ref();
        let s3 = s3.ok_or_else(|| self.cannot("list", start, "only buckets of S3 are listed"))?;
        s3.list(start).await.map_err(|source| Error::Store {
            operation: "list",
            object: format!("{}/{start}*", self.place()),
            source,
        })
    }

    /// The whole object, which may have at most `limit` bytes. `None`: there is none.
    pub async fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>, Error> {
        self.store.read(&self.name(name)?, limit).await
    }

    /// The object, piece by piece. `None`: there is none.
    pub async fn download(&self, name: &str) -> Result<Option<Download>, Error> {
        let name = self.name(name)?;
        let options = GetOptions::default();
        let got = match self.store.inner.get_opts(&name.0, options).await {
            Ok(got) => got,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(self.store.failed("read", &name, source)),
        };
        let bytes = got.meta.size;
        Ok(Some(Download {
            bytes,
            left: bytes,
            pieces: got.into_stream(),
            store: self.store.clone(),
            name,
        }))
    }

    /// The length of an object. `None`: there is none.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        self.store.size(&self.name(name)?).await
    }

    /// Puts the object, whatever is there.
    pub async fn overwrite(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let name = self.name(name)?;
        let options = PutOptions::default();
        let put = self.store.inner.put_opts(&name.0, bytes.into(), options);
        match put.await {
            Ok(_) => Ok(()),
            Err(source) => Err(self.store.failed("write", &name, source)),
        }
    }

    /// Puts the object if there is none. `false`: there is another one. A server that does not know this condition overwrites.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Error> {
        match self.store.settle(&self.name(name)?, &bytes).await {
            Ok(Settled::Ours) => Ok(true),
            Ok(Settled::Others) => Ok(false),
            Ok(Settled::Refused) => Err(self.cannot("create", name, "the store refused to")),
            Err(Error::Store { source, .. }) if source.kind() == StoreFailureKind::Unsupported => {
                self.overwrite(name, bytes).await.map(|()| true)
            }
            Err(error) => Err(error),
        }
    }

    /// Begins an object that is uploaded in parts, and is there when all of them are.
    pub fn upload(&self, name: &str) -> Result<Upload, Error> {
        Ok(Upload::new(self.clone(), self.name(name)?))
    }

    /// Deletes the object, or finds that it is gone.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let name = self.name(name)?;
        self.store.delete(&name.0).await
    }

    fn name(&self, name: &str) -> Result<Name, Error> {
        match Path::parse(name) {
            Ok(path) if path.as_ref() == name => Ok(Name(path)),
            _ => Err(self.cannot(
                "use",
                name,
                "between its slashes stands nothing, `.` or `..`",
            )),
        }
    }

    pub(super) fn cannot(&self, operation: &'static str, name: &str, why: &str) -> Error {
        Error::Store {
            operation,
            object: format!("{}/{}", self.place(), archive::Name::from(name)),
            source: StoreFailure::new(StoreFailureKind::Other, why),
        }
    }
}

impl Download {
    /// Of the whole object.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece; `None` at the end, when as many bytes have come as the server said.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self.pieces.next().await {
            Some(Ok(piece)) => {
                let left = self.left.checked_sub(piece.len() as u64);
                self.left = left.ok_or_else(|| {
                    Error::damaged(self.name.to_string(), "more came than the server said")
                })?;
                Ok(Some(piece))
            }
            Some(Err(source)) => Err(self.store.failed("read", &self.name, source)),
            None if self.left > 0 => {
                let detail = format!("{} of {} bytes did not come", self.left, self.bytes);
                Err(Error::damaged(self.name.to_string(), detail))
            }
            None => Ok(None),
        }
    }
}
