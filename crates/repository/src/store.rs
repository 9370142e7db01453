//! The one place that builds object stores, names objects, and asks for them.

mod address;
mod answer;
mod beside;
mod digest;
mod failure;
mod generations;
mod history;
mod http;
mod local;
mod lock;
mod name;
mod objects;
mod part;
mod probe;
mod remote;
mod s3;
mod together;
mod upload;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use format::Object;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, Error as StoreError, GetOptions, GetRange, GetResult,
    GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
};

use self::failure::is_absent;
use self::generations::Generations;
use self::http::Seen;
use self::local::Folders;
use self::s3::{Locked, Requests};
use crate::{Compute, Error};

pub use address::{Address, AddressError, Bucket, Service};
pub use beside::Beside;
pub use failure::{StoreFailure, StoreFailureKind};
pub(crate) use history::History;
pub use http::{Timing, Wait};
pub use local::create_root;
pub(crate) use lock::{Held, KeptLock};
pub use lock::{Lock, LockMode, Locks};
pub(crate) use name::Name;
pub use objects::{Download, Objects};
pub(crate) use part::Part;
use part::Pieces;
pub use probe::{Conditions, Probe, Probed};
pub use remote::{Account, AzAccount, AzProof, AzSecret, GsAccount, Patience, Remote, SecretText};
pub use s3::{S3Account, S3Encryption, S3Key, S3Keys};
use together::Together;
pub use upload::Upload;

/// How often an object of ours is put that is neither taken nor there afterwards.
const ATTEMPTS: usize = 3;

/// An object store as strongroom uses it: create if absent, read whole or in part, list. Nothing is ever overwritten.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    place: String,
    creation: Creation,
    /// Of a local directory, whose folders must be durable before anything is stored in them.
    folders: Option<Arc<Folders>>,
    /// The storage class of packs, where it is not the bucket's own.
    pack_class: Option<AttributeValue>,
    /// What a server told beside its answers.
    seen: Option<Arc<Seen>>,
    /// Of a bucket: where parts of objects are read.
    together: Option<Arc<Together>>,
    /// What else a server that speaks S3 can be asked for.
    s3: Option<Arc<Requests>>,
    /// The same of Google's service.
    generations: Option<Arc<Generations>>,
}

/// How an object is created only if it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creation {
    /// The store sees to it.
    Atomic,
    /// The store cannot, and its user promised that nobody else writes: it is looked up first.
    SingleWriter,
}

impl Creation {
    fn of(single_writer: bool) -> Self {
        if single_writer {
            Self::SingleWriter
        } else {
            Self::Atomic
        }
    }
}

/// What became of an object that should be there with certain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is there with these bytes, durably.
    Ours,
    /// It is there with other bytes.
    Others,
    /// The store refused to create it, and does not have it.
    Refused,
}

impl Store {
    /// Any object store whose `PutMode::Create` is atomic. `place` is what messages call it.
    pub fn new(inner: Arc<dyn ObjectStore>, place: impl Into<String>) -> Self {
        Self {
            inner,
            place: place.into(),
            creation: Creation::Atomic,
            folders: None,
            pack_class: None,
            seen: None,
            together: None,
            s3: None,
            generations: None,
        }
    }

    /// One that lies in memory and goes with it.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(InMemory::new()), "memory")
    }

    /// Whether it is no directory: then each request takes a while, and several at the same time take no longer.
    pub(crate) fn is_far(&self) -> bool {
        self.folders.is_none()
    }

    /// What messages call it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The time of the server when it answered last, as HTTP writes it. A directory has none, and neither has a server before it
    /// answered.
    pub fn date(&self) -> Option<String> {
        self.seen.as_ref()?.date()
    }

    /// Creates the object, durably. `false`: it exists already, and was left alone.
    ///
    /// After any other error the object may exist or not: whoever cares reads it.
    pub(crate) async fn create(&self, name: &Name, bytes: Bytes) -> Result<bool, Error> {
        let mut options = self.put_options(name);
        match self.creation {
            Creation::Atomic => options.mode = PutMode::Create,
            Creation::SingleWriter if self.size(name).await?.is_some() => return Ok(false),
            Creation::SingleWriter => {}
        }
        self.make_folders(name)
            .map_err(|source| self.failed_locally("create", name, source))?;
        match self.inner.put_opts(&name.0, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.failed("create", name, source)),
        }
    }

    /// The class of an object, and its lock.
    fn put_options(&self, name: &Name) -> PutOptions {
        let mut options = PutOptions::default();
        if let Some(class) = self.pack_class.clone().filter(|_| name.is_pack()) {
            options.attributes = Attributes::from_iter([(Attribute::StorageClass, class)]);
        }
        // What a probe makes is to go again.
        if let Some((s3, lock)) = self.s3.as_ref().zip(self.lock())
            && !Self::is_of_probe(&name.0)
        {
            options.extensions.insert(Locked(lock.from(s3.now())));
        }
        options
    }

    /// Puts the bytes in the place of whatever is there under that name: for what a signed commit says should be there, and no other
    /// bytes. After an error either may be there.
    pub(crate) async fn put_back(&self, name: &Name, bytes: Bytes) -> Result<(), Error> {
        self.make_folders(name)
            .map_err(|source| self.failed_locally("create", name, source))?;
        let options = self.put_options(name);
        let put = self.inner.put_opts(&name.0, bytes.into(), options).await;
        put.map(drop)
            .map_err(|source| self.failed("put back", name, source))
    }

    /// Sees to it that the object is there with these bytes.
    ///
    /// A put whose answer is lost is a put that may be refused when it is made again: a store that says "there is one already" may mean
    /// ours, and one that lets us create and not overwrite may say no more than that we may not. So whatever is in the way is read. Not after an error of a directory: what can be read there need not be durable.
    pub(crate) async fn settle(&self, name: &Name, bytes: &Bytes) -> Result<Settled, Error> {
        let mut attempt = 1;
        loop {
            let created = self.create(name, bytes.clone()).await;
            match &created {
                Ok(true) => return Ok(Settled::Ours),
                Err(_) if self.folders.is_some() => return created.map(|_| Settled::Refused),
                _ => {}
            }
            let found = match self.read(name, bytes.len() as u64).await {
                // Longer than ours.
                Err(Error::Damaged { .. }) => return Ok(Settled::Others),
                found => found,
            };
            match (found, created) {
                (Ok(Some(found)), _) if found == *bytes => return Ok(Settled::Ours),
                (Ok(Some(_)), _) => return Ok(Settled::Others),
                (Ok(None), Ok(_)) => return Ok(Settled::Refused),
                (Ok(None), Err(error)) if attempt < ATTEMPTS && !error.is_certain() => attempt += 1,
                (_, Err(error)) | (Err(error), _) => return Err(error),
            }
        }
    }

    /// The whole object, which may have at most `limit` bytes. `None`: there is none.
    pub(crate) async fn read(&self, name: &Name, limit: u64) -> Result<Option<Bytes>, Error> {
        let got = match self.inner.get_opts(&name.0, GetOptions::default()).await {
            Ok(got) => got,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(self.failed("read", name, source)),
        };
        let size = got.meta.size;
        if size > limit {
            return Err(too_long(name, size));
        }
        match whole(got, size).await {
            Ok(bytes) if bytes.len() as u64 == size => Ok(Some(bytes)),
            Ok(_) => Err(self.told_otherwise(name, size)),
            Err(source) => Err(self.failed("read", name, source)),
        }
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
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(self.failed("read", name, source)),
        };
        let hashed = digest::of(got.payload, limit, compute).await;
        let object = hashed.map_err(|source| self.failed("read", name, source))?;
        if object.size > limit {
            return Err(too_long(name, object.size));
        }
        Ok(Some(object))
    }

    /// A part of an object that must exist and be that long.
    pub(crate) async fn part(&self, name: &Name, range: Range<u64>) -> Result<Part, Error> {
        match &self.folders {
            None => self.fetch(name, range).await.map(Part::Fetched),
            Some(folders) => Ok(Part::InFile {
                name: name.clone(),
                place: self.place.clone(),
                path: folders.path(name.0.as_ref().as_ref()),
                range,
            }),
        }
    }

    async fn fetch(&self, name: &Name, range: Range<u64>) -> Result<Pieces, Error> {
        match &self.together {
            None => self.read_range(name, range).await,
            Some(together) => {
                let read = together.read(self, name, range).await;
                read.unwrap_or_else(|| Err(self.ends(name)))
            }
        }
    }

    /// Where what is read goes on while nobody asks for it, if it does.
    pub(crate) fn beside(&self) -> Option<&Beside> {
        self.together.as_ref().map(|together| together.beside())
    }

    /// What a read says that was given up because the program ends.
    pub(crate) fn ends(&self, name: &Name) -> Error {
        Error::Store {
            operation: "read",
            object: format!("{}/{name}", self.place),
            source: StoreFailure::new(StoreFailureKind::Other, "the program ends"),
        }
    }

    async fn read_range(&self, name: &Name, range: Range<u64>) -> Result<Pieces, Error> {
        let (wanted, end) = (range.end - range.start, range.end);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let read = async {
            let got = self.inner.get_opts(&name.0, options).await?;
            let pieces = enough(got, wanted).into_stream().try_collect();
            pieces.await.map(Pieces::new)
        };
        match read.await {
            Ok(pieces) if pieces.length() == wanted => Ok(pieces),
            Ok(pieces) if pieces.length() > wanted => Err(self.told_otherwise(name, wanted)),
            Ok(_) => Err(Error::damaged(name.to_string(), "it was cut")),
            Err(error) if is_absent(&error) => Err(Error::Missing {
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
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(self.failed("read", name, source)),
        }
    }

    /// Deletes an object, or finds that it is gone. The callers say why that is safe.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.inner.delete(path).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
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
                Ok(_) => each(),
                Err(error) if is_absent(&error) => each(),
                Err(source) => return Err(self.failed("delete from", folder, source)),
            }
        }
        Ok(())
    }

    /// Removes the folder of a run whose objects are gone, where a store has folders. One that is not empty stays.
    pub(crate) fn remove_folder(&self, name: &Name) {
        if let Some(folders) = &self.folders {
            folders.remove(name.0.as_ref().as_ref());
        }
    }

    /// The names of objects of a run that somebody began to write and left under another name, where a store does that.
    pub(crate) fn drafts(&self, run: &Name) -> Result<Vec<String>, Error> {
        let drafts = self
            .folders
            .as_ref()
            .map(|it| it.drafts(run.0.as_ref().as_ref()));
        let drafts = drafts
            .transpose()
            .map_err(|source| self.failed_locally("list", run, source));
        Ok(drafts?.unwrap_or_default())
    }

    /// Deletes those whose object's name is `dead`; how many.
    pub(crate) fn remove_drafts(
        &self,
        run: &Name,
        dead: &dyn Fn(&str) -> bool,
    ) -> Result<u64, Error> {
        let folders = self.folders.as_ref();
        let removed = folders.map(|it| it.remove_drafts(run.0.as_ref().as_ref(), dead));
        let removed = removed.transpose();
        let removed = removed.map_err(|source| self.failed_locally("delete from", run, source));
        Ok(removed?.unwrap_or_default())
    }

    /// All objects below a folder, in no order.
    pub(crate) async fn list(&self, folder: &Name) -> Result<Vec<ObjectMeta>, Error> {
        let listed = self.inner.list(Some(&folder.0)).try_collect().await;
        listed.map_err(|source| self.failed("list", folder, source))
    }

    /// The objects below a folder whose names come after `name`, in no order.
    pub(crate) async fn list_after(
        &self,
        folder: &Name,
        name: &Name,
    ) -> Result<Vec<ObjectMeta>, Error> {
        let listed = self.inner.list_with_offset(Some(&folder.0), &name.0);
        let listed = listed.try_collect().await;
        listed.map_err(|source| self.failed("list", folder, source))
    }

    /// Whether there is nothing at all but what a probe left.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        let foreign = |meta: &ObjectMeta| std::future::ready(!Self::is_of_probe(&meta.location));
        let listed = self.inner.list(None).try_filter(foreign).try_next().await;
        let root = Name(Path::default());
        let listed = listed.map_err(|source| self.failed("list", &root, source))?;
        Ok(listed.is_none())
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
    fn make_folders(&self, name: &Name) -> std::io::Result<()> {
        match &self.folders {
            Some(folders) => folders.make_above(name.0.as_ref().as_ref()),
            None => Ok(()),
        }
    }

    fn failed_locally(
        &self,
        operation: &'static str,
        name: &Name,
        source: std::io::Error,
    ) -> Error {
        let source = StoreError::Generic {
            store: "LocalFileSystem",
            source: source.into(),
        };
        self.failed(operation, name, source)
    }

    /// It sent more or less than it said: whatever that was, the object may be whole.
    fn told_otherwise(&self, name: &Name, size: u64) -> Error {
        let words = format!("what came was not the {size} bytes that were announced");
        Error::Store {
            operation: "read",
            object: self.named(name),
            source: StoreFailure::new(StoreFailureKind::Other, words),
        }
    }

    fn failed(&self, operation: &'static str, name: &Name, source: StoreError) -> Error {
        Error::Store {
            operation,
            object: self.named(name),
            source: source.into(),
        }
    }

    fn named(&self, name: &Name) -> String {
        format!("{}/{name}", self.place)
    }
}

/// All bytes of an answer that should have `size`; of one with more not many more.
async fn whole(got: GetResult, size: u64) -> Result<Bytes, StoreError> {
    enough(got, size).bytes().await
}

fn enough(mut got: GetResult, size: u64) -> GetResult {
    if let GetResultPayload::Stream(pieces) = got.payload {
        let mut before = 0;
        let enough = pieces.take_while(move |piece| {
            let is_wanted = before <= size;
            before += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            std::future::ready(is_wanted)
        });
        got.payload = GetResultPayload::Stream(enough.boxed());
    }
    got
}

fn too_long(name: &Name, size: u64) -> Error {
    Error::damaged(name.to_string(), format!("{size} bytes are too many"))
}
