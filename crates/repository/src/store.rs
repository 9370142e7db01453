use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use format::{COMMITS_MAX, JobName, Object, RunId};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions,
};

use crate::folders::Folders;
use crate::part::Part;
use crate::{Compute, Error};

/// Bytes that come over a network in small pieces are hashed this many at a time.
const HASHED_AT_ONCE: usize = 1 << 20;

/// An object store as strongroom uses it: create if absent, read whole or in part, list. Nothing is ever overwritten.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    place: String,
    /// Of a local directory, whose folders must be durable before anything is stored in them.
    folders: Option<Arc<Folders>>,
}

impl Store {
    /// Any object store whose `PutMode::Create` is atomic. `place` is what messages call it.
    pub fn new(inner: Arc<dyn ObjectStore>, place: impl Into<String>) -> Self {
        Self {
            inner,
            place: place.into(),
            folders: None,
        }
    }

    /// A local directory, which must exist.
    ///
    /// Files and the folders that name them are synced before a create returns (object_store leaves that off by
    /// default: `apache/arrow-rs-object-store:src/local.rs`, `with_fsync`), and folders before they are used.
    pub fn local(directory: &FilePath) -> Result<Self, Error> {
        let place = directory.display().to_string();
        let missing = || Error::NoRepository {
            place: place.clone(),
        };
        if std::fs::metadata(directory).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(missing());
        }
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|_| missing())?;
        Ok(Self {
            inner: Arc::new(store.with_fsync(true)),
            place,
            folders: Some(Arc::new(Folders::below(directory.to_owned()))),
        })
    }

    /// What messages call it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Creates the object, durably. `false`: it exists already, and was left alone.
    ///
    /// After any other error the object may exist or not: whoever cares reads it.
    pub(crate) async fn create(&self, name: &Name, bytes: Bytes) -> Result<bool, Error> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..Default::default()
        };
        self.make_folders(name)
            .map_err(|source| self.failed("create", name, source))?;
        match self.inner.put_opts(&name.0, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.failed("create", name, source)),
        }
    }

    /// The whole object, which may have at most `limit` bytes. `None`: there is none.
    pub(crate) async fn read(&self, name: &Name, limit: u64) -> Result<Option<Bytes>, Error> {
        let got = match self.inner.get_opts(&name.0, GetOptions::default()).await {
            Ok(got) => got,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.failed("read", name, source)),
        };
        if got.meta.size > limit {
            return Err(too_long(name, got.meta.size));
        }
        got.bytes()
            .await
            .map(Some)
            .map_err(|source| self.failed("read", name, source))
    }

    /// The size of an object of at most `limit` bytes, and its digest. `None`: there is none.
    ///
    /// It is read in pieces, for a pack is large and several are read at the same time.
    pub(crate) async fn digest(
        &self,
        name: &Name,
        limit: u64,
        compute: &Compute,
    ) -> Result<Option<Object>, Error> {
        let got = match self.inner.get_opts(&name.0, GetOptions::default()).await {
            Ok(got) => got,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.failed("read", name, source)),
        };
        let hashed = match got.payload {
            GetResultPayload::File(file, _) => {
                compute.run(move || digest_of_file(file, limit)).await
            }
            GetResultPayload::Stream(pieces) => digest_of_stream(pieces, limit, compute).await,
        };
        let object = hashed.map_err(|source| self.failed("read", name, source))?;
        if object.size > limit {
            return Err(too_long(name, object.size));
        }
        Ok(Some(object))
    }

    /// A part of an object that must exist and be that long.
    pub(crate) async fn part(&self, name: &Name, range: Range<u64>) -> Result<Part, Error> {
        match &self.folders {
            None => self.read_range(name, range).await.map(Part::Fetched),
            Some(folders) => Ok(Part::InFile {
                name: name.clone(),
                place: self.place.clone(),
                path: folders.path(FilePath::new(name.0.as_ref())),
                range,
            }),
        }
    }

    async fn read_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        let (wanted, end) = (range.end - range.start, range.end);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let read = async { self.inner.get_opts(&name.0, options).await?.bytes().await };
        match read.await {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(_) => Err(Error::damaged(name.to_string(), "it was cut")),
            Err(StoreError::NotFound { .. }) => Err(Error::Missing {
                object: name.to_string(),
            }),
            Err(source) => {
                // Stores say in many ways that a range lies beyond the end: ask for the size instead of guessing.
                match self.size(name).await {
                    Ok(Some(size)) if size < end => {
                        Err(Error::damaged(name.to_string(), "it was cut"))
                    }
                    _ => Err(self.failed("read", name, source)),
                }
            }
        }
    }

    /// The size of an object in bytes. `None`: there is none.
    pub(crate) async fn size(&self, name: &Name) -> Result<Option<u64>, Error> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.inner.get_opts(&name.0, options).await {
            Ok(got) => Ok(Some(got.meta.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("read", name, source)),
        }
    }

    /// Deletes an object, or finds that it is gone. The callers say why that is safe.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.inner.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("delete", &Name(path.clone()), source)),
        }
    }

    /// Deletes all of these objects below `folder`, or finds that they are gone; `each` is told of every one. On an error some are
    /// still there. The callers say why that is safe.
    pub(crate) async fn delete_all(
        &self,
        folder: &Name,
        paths: Vec<Path>,
        each: &(dyn Fn() + Sync),
    ) -> Result<(), Error> {
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.inner.delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(StoreError::NotFound { .. }) => each(),
                Err(source) => return Err(self.failed("delete from", folder, source)),
            }
        }
        Ok(())
    }

    /// Removes the folder of a run whose objects are gone, where a store has folders. One that is not empty stays.
    pub(crate) fn remove_folder(&self, name: &Name) {
        if let Some(folders) = &self.folders {
            folders.remove(FilePath::new(name.0.as_ref()));
        }
    }

    /// All objects below a folder, in no order.
    pub(crate) async fn list(&self, folder: &Name) -> Result<Vec<ObjectMeta>, Error> {
        let listed = self.inner.list(Some(&folder.0)).try_collect().await;
        listed.map_err(|source| self.failed("list", folder, source))
    }

    /// The folders directly below the root.
    pub(crate) async fn folders(&self) -> Result<Vec<String>, Error> {
        let root = Name(Path::default());
        let listed = self.inner.list_with_delimiter(None).await;
        let listed = listed.map_err(|source| self.failed("list", &root, source))?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    /// Blocks for the few syncs that the first object of a folder costs.
    fn make_folders(&self, name: &Name) -> Result<(), StoreError> {
        let Some(folders) = &self.folders else {
            return Ok(());
        };
        let made = folders.make_above(FilePath::new(name.0.as_ref()));
        made.map_err(|source| StoreError::Generic {
            store: "LocalFileSystem",
            source: source.into(),
        })
    }

    fn failed(&self, operation: &'static str, name: &Name, source: StoreError) -> Error {
        Error::Store {
            operation,
            object: format!("{}/{name}", self.place),
            source,
        }
    }
}

fn too_long(name: &Name, size: u64) -> Error {
    Error::damaged(name.to_string(), format!("{size} bytes are too many"))
}

fn digest_of_file(file: File, limit: u64) -> Result<Object, StoreError> {
    let mut hasher = blake3::Hasher::new();
    let read = hasher.update_reader(file.take(limit.saturating_add(1)));
    read.map_err(|error| StoreError::Generic {
        store: "file",
        source: error.into(),
    })?;
    Ok(object_of(&hasher))
}

async fn digest_of_stream(
    mut pieces: BoxStream<'_, Result<Bytes, StoreError>>,
    limit: u64,
    compute: &Compute,
) -> Result<Object, StoreError> {
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut batch = Vec::new();
        let mut size = 0;
        while size < HASHED_AT_ONCE
            && let Some(piece) = pieces.try_next().await?
        {
            size += piece.len();
            batch.push(piece);
        }
        if batch.is_empty() || hasher.count() > limit {
            return Ok(object_of(&hasher));
        }
        let hash = move || {
            batch.iter().fold(hasher, |mut hasher, piece| {
                hasher.update(piece);
                hasher
            })
        };
        hasher = compute.run(hash).await;
    }
}

fn object_of(hasher: &blake3::Hasher) -> Object {
    Object {
        size: hasher.count(),
        digest: hasher.finalize().into(),
    }
}

/// The name of an object. This is the one place that makes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(Path);

impl Name {
    pub(crate) fn description() -> Self {
        Self(Path::from("strongroom.json"))
    }

    pub(crate) fn log(job: &JobName) -> Self {
        Self(Path::from(format!("{job}/log")))
    }

    pub(crate) fn commit(job: &JobName, number: u64) -> Self {
        Self(Path::from(format!("{job}/log/{number:012}")))
    }

    pub(crate) fn runs(job: &JobName) -> Self {
        Self(Path::from(format!("{job}/runs")))
    }

    pub(crate) fn run(job: &JobName, run: RunId) -> Self {
        Self(Path::from(format!("{job}/runs/{run}")))
    }

    /// `object`: `key`, `manifest`, `map`, `pack-000000`.
    pub(crate) fn in_run(job: &JobName, run: RunId, object: &str) -> Self {
        Self(Path::from(format!("{job}/runs/{run}/{object}")))
    }

    pub(crate) fn into_path(self) -> Path {
        self.0
    }

    /// The run and the name within it, if this is an object of a run of `job`.
    pub(crate) fn run_object(job: &JobName, meta: &ObjectMeta) -> Option<(RunId, String)> {
        let mut parts = meta.location.parts();
        let of_job = parts.next()?.as_ref() == job.as_str() && parts.next()?.as_ref() == "runs";
        let run = parts.next()?.as_ref().parse().ok()?;
        let object = parts.next()?.as_ref().to_owned();
        (of_job && parts.next().is_none()).then_some((run, object))
    }

    /// The number of a commit, if this is one of `job`.
    pub(crate) fn commit_number(job: &JobName, meta: &ObjectMeta) -> Option<u64> {
        let text = meta.location.filename()?;
        let number = text.parse().ok()?;
        // Longer numbers are nobody's: format::COMMITS_MAX is the last one of twelve digits.
        if !(1..=COMMITS_MAX).contains(&number) {
            return None;
        }
        (Self::commit(job, number).0 == meta.location).then_some(number)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}
