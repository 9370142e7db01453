//! A backup that gives a lost number again while a repair is about to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A store of which an object is read at a bad moment: when it is read for the second time, `put` has just come to be in `other`. The first
/// time its log is read, which is before the other one's is.
#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) read: Path,
    pub(crate) reads: AtomicUsize,
    pub(crate) other: Arc<dyn ObjectStore>,
    pub(crate) put: (Path, Bytes),
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rival of {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Rival {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        panic!("nothing is put into what others have");
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        panic!("nothing is put into what others have");
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let (path, bytes) = &self.put;
        if *at == self.read && self.reads.fetch_add(1, Ordering::SeqCst) == 1 {
            self.other.put(path, bytes.clone().into()).await?;
        }
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        panic!("nothing is deleted of what others have");
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        panic!("nothing is copied by a store");
    }
}
