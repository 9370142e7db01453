//! A store that lies, about some of its objects and for some time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

/// What it does instead of what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// A put overwrites what is there, whatever its condition.
    ConditionIgnored,
    /// A put is carried out, and fails: "500".
    FailsAfterwards,
    /// A put is carried out, its answer lost, and what carries requests repeats it: it is told that there is such an object.
    RefusesItsOwn,
    /// A put succeeds, and nothing is there.
    NotKept,
    /// What is put is kept without its second half.
    KeptInPart,
    /// A read ends early, and says so by no error.
    CutShort,
    /// The same, with a size that fits.
    CutShortWithItsSize,
    /// A read goes on for 64 MiB, whatever its size was said to be.
    Endless,
    /// A read gives another object of that kind.
    AnotherObject,
    /// A read finds nothing.
    Vanished,
    /// Whatever it is, it fails: "429".
    TooMany,
    /// A list does not know it.
    NotListed,
    /// A list has it twice.
    ListedTwice,
    /// A list has it with another size.
    ListedLonger,
    /// Whatever it is, it takes its time.
    Slow,
}

#[derive(Debug)]
pub(crate) struct Liar {
    inner: Arc<dyn ObjectStore>,
    lie: Lie,
    about: String,
    left: AtomicUsize,
    /// Bytes of reads that do not end.
    sent: Arc<AtomicUsize>,
}

/// A read that does not end has that many of these.
const PIECES: usize = 1 << 12;
static PIECE: [u8; 1 << 14] = [0; 1 << 14];

impl Liar {
    /// Lies `times` times about objects of whose names `about` is a part.
    pub(crate) fn new(inner: &Arc<InMemory>, lie: Lie, about: &str, times: usize) -> Arc<Self> {
        Self::above(Arc::clone(inner) as Arc<dyn ObjectStore>, lie, about, times)
    }

    /// The same, of what a liar tells.
    pub(crate) fn above(
        inner: Arc<dyn ObjectStore>,
        lie: Lie,
        about: &str,
        times: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            lie,
            about: about.to_owned(),
            left: AtomicUsize::new(times),
            sent: Arc::default(),
        })
    }

    /// How many bytes of reads that do not end were taken.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether it lies now, if that is one of `lies`.
    fn lies(&self, lies: &[Lie], at: &Path) -> Option<Lie> {
        let concerns = lies.contains(&self.lie) && at.as_ref().contains(&self.about);
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        (concerns && self.left.fetch_update(order, order, less).is_ok()).then_some(self.lie)
    }

    async fn put(&self, at: &Path, bytes: PutPayload, mode: PutMode) -> Result<PutResult> {
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        self.inner.put_opts(at, bytes, options).await
    }

    /// Another object of the same kind: the one before it in its folder, or of the same name in another run.
    async fn another(&self, at: &Path) -> Option<Bytes> {
        let kind = at.filename()?;
        let is_commit = at.as_ref().contains("/log/");
        let listed: Vec<_> = self.inner.list(None).try_collect().await.ok()?;
        let names = listed.into_iter().map(|meta| meta.location);
        let mut peers = names.filter(|name| {
            let same = name.filename() == Some(kind);
            name != at && (same || is_commit && name.as_ref().contains("/log/"))
        });
        let peer = peers.next_back()?;
        self.inner.get(&peer).await.ok()?.bytes().await.ok()
    }
}

fn failure(words: &str) -> Error {
    Error::Generic {
        store: "liar",
        source: words.into(),
    }
}

fn exists(at: &Path) -> Error {
    Error::AlreadyExists {
        path: at.to_string(),
        source: "412".into(),
    }
}

fn not_found(at: &Path) -> Error {
    Error::NotFound {
        path: at.to_string(),
        source: "404".into(),
    }
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a liar: {:?}", self.lie)
    }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put_opts(
        &self,
        at: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        use Lie::{
            ConditionIgnored, FailsAfterwards, KeptInPart, NotKept, RefusesItsOwn, Slow, TooMany,
        };
        let lies = [
            ConditionIgnored,
            FailsAfterwards,
            KeptInPart,
            NotKept,
            RefusesItsOwn,
            Slow,
            TooMany,
        ];
        let created = PutResult {
            e_tag: None,
            version: None,
            extensions: object_store::Extensions::default(),
        };
        match self.lies(&lies, at) {
            Some(ConditionIgnored) => self.put(at, bytes, PutMode::Overwrite).await,
            Some(FailsAfterwards) => {
                self.put(at, bytes, options.mode).await?;
                Err(failure("500"))
            }
            Some(RefusesItsOwn) => {
                self.put(at, bytes, options.mode).await?;
                Err(exists(at))
            }
            Some(NotKept) => Ok(created),
            Some(KeptInPart) => {
                let bytes = Bytes::from(bytes);
                let half = bytes.slice(..bytes.len() / 2);
                self.put(at, half.into(), options.mode).await
            }
            Some(TooMany) => Err(failure("429")),
            other => {
                pause(other).await;
                self.put(at, bytes, options.mode).await
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
        use Lie::{AnotherObject, CutShort, CutShortWithItsSize, Endless, Slow, TooMany, Vanished};
        let lies = [
            AnotherObject,
            CutShort,
            CutShortWithItsSize,
            Endless,
            Slow,
            TooMany,
            Vanished,
        ];
        let lie = self.lies(&lies, at);
        match lie {
            Some(TooMany) => return Err(failure("429")),
            Some(Vanished) => return Err(not_found(at)),
            other => pause(other).await,
        }
        let mut got = self.inner.get_opts(at, options).await?;
        let another = match lie {
            Some(AnotherObject) => self.another(at).await,
            _ => None,
        };
        let range = got.range.clone();
        let bytes = collected(&mut got).await?;
        let half = bytes.slice(..bytes.len() / 2);
        let told = match lie {
            Some(AnotherObject) => {
                let another = another.expect("there is another of its kind");
                let end = range.end.min(another.len() as u64);
                another.slice(range.start.min(end) as usize..end as usize)
            }
            Some(CutShort | CutShortWithItsSize) => half,
            _ => bytes,
        };
        if matches!(lie, Some(AnotherObject | CutShortWithItsSize)) {
            got.meta.size = range.start + told.len() as u64;
            got.range = range.start..got.meta.size;
        }
        let endless = matches!(lie, Some(Endless));
        let sent = Arc::clone(&self.sent);
        let rest = stream::repeat_with(move || {
            sent.fetch_add(PIECE.len(), Ordering::Relaxed);
            Ok(Bytes::from_static(&PIECE))
        });
        let rest = rest.take(if endless { PIECES } else { 0 });
        let told = stream::iter([Ok(told)]).chain(rest);
        got.payload = GetResultPayload::Stream(told.boxed());
        Ok(got)
    }

    fn delete_stream(
        &self,
        names: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(names)
    }

    fn list(&self, folder: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        use Lie::{ListedLonger, ListedTwice, NotListed, Slow, TooMany};
        let inner = Arc::clone(&self.inner);
        let folder = folder.cloned();
        let listed = futures::executor::block_on(inner.list(folder.as_ref()).collect::<Vec<_>>());
        let lies = [ListedLonger, ListedTwice, NotListed];
        let told = listed.into_iter().flatten().flat_map(|mut meta| {
            match self.lies(&lies, &meta.location) {
                Some(NotListed) => vec![],
                Some(ListedTwice) => vec![meta.clone(), meta],
                Some(ListedLonger) => {
                    meta.size += 1;
                    vec![meta]
                }
                _ => vec![meta],
            }
        });
        let told: Vec<_> = told.map(Ok).collect();
        let lie = folder.and_then(|folder| self.lies(&[Slow, TooMany], &folder));
        if lie == Some(TooMany) {
            return stream::once(async { Err(failure("429")) }).boxed();
        }
        let pause = stream::once(pause(lie)).filter_map(async |()| None);
        pause.chain(stream::iter(told)).boxed()
    }

    async fn list_with_delimiter(&self, folder: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(folder).await?;
        if self.lie == Lie::ListedTwice {
            listed
                .common_prefixes
                .extend(listed.common_prefixes.clone());
        }
        listed
            .objects
            .retain(|meta| self.lies(&[Lie::NotListed], &meta.location).is_none());
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        panic!("nothing copies");
    }
}

async fn pause(lie: Option<Lie>) {
    if lie == Some(Lie::Slow) {
        // No clock is looked at here: whoever waits cannot tell a minute from a few turns.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

async fn collected(got: &mut GetResult) -> Result<Bytes> {
    let none = GetResultPayload::Stream(stream::empty().boxed());
    let payload = std::mem::replace(&mut got.payload, none);
    let GetResultPayload::Stream(pieces) = payload else {
        unreachable!("memory gives a stream");
    };
    let pieces: Vec<Bytes> = pieces.try_collect().await?;
    Ok(pieces.concat().into())
}
