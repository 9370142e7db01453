//! A store that stops: after a given number of operations the process that uses it is as good as dead.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

const MANY: usize = usize::MAX - 1;

/// What happens at the fatal operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is not carried out.
    Before,
    /// It is carried out, and its answer is lost.
    After,
}

#[derive(Debug)]
pub struct Mortal {
    inner: Arc<dyn ObjectStore>,
    life: Arc<Life>,
}

#[derive(Debug)]
struct Life {
    left: AtomicUsize,
    stop: Stop,
}

impl Mortal {
    /// Lives for `operations` operations and dies at the next.
    pub fn new(inner: Arc<dyn ObjectStore>, operations: usize, stop: Stop) -> Arc<Self> {
        let life = Life {
            left: AtomicUsize::new(operations),
            stop,
        };
        Arc::new(Self {
            inner,
            life: Arc::new(life),
        })
    }

    /// One that outlives what is asked of it here, to count that.
    pub fn counting(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Self::new(inner, MANY, Stop::Before)
    }

    /// Operations since it was made to count.
    pub fn counted(&self) -> usize {
        MANY - self.life.left.load(Ordering::SeqCst)
    }

    pub fn died(&self) -> bool {
        self.life.left.load(Ordering::SeqCst) == usize::MAX
    }
}

impl Life {
    /// `None`: carry on. `Some(true)`: carry out, then fail. `Some(false)`: fail.
    fn fate(&self) -> Option<bool> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(match left {
                    0 | usize::MAX => usize::MAX,
                    left => left - 1,
                })
            });
        match left {
            Ok(usize::MAX) => Some(false),
            Ok(0) => Some(self.stop == Stop::After),
            _ => None,
        }
    }
}

fn dead<T>() -> Result<T> {
    Err(object_store::Error::Generic {
        store: "mortal",
        source: "the process died".into(),
    })
}

impl fmt::Display for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mortal {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Mortal {
    async fn put_opts(
        &self,
        at: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.life.fate() {
            None => self.inner.put_opts(at, bytes, options).await,
            Some(carried_out) => {
                if carried_out {
                    drop(self.inner.put_opts(at, bytes, options).await);
                }
                dead()
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        panic!("every object is one conditional put");
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        match self.life.fate() {
            None => self.inner.get_opts(at, options).await,
            Some(_) => dead(),
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let life = Arc::clone(&self.life);
        let inner = Arc::clone(&self.inner);
        let delete = move |path: Result<Path>| {
            let (life, inner) = (Arc::clone(&life), Arc::clone(&inner));
            async move {
                let path = path?;
                match life.fate() {
                    None => inner.delete(&path).await.map(|()| path),
                    Some(carried_out) => {
                        if carried_out {
                            drop(inner.delete(&path).await);
                        }
                        dead()
                    }
                }
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.life.fate() {
            None => self.inner.list(prefix),
            Some(_) => stream::once(async { dead() }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.life.fate() {
            None => self.inner.list_with_delimiter(prefix).await,
            Some(_) => dead(),
        }
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        panic!("a backup copies nothing");
    }
}
