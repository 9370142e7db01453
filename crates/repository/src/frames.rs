use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use format::{
    DataKey, FrameRow, Identities, IdentityError, KeyPair, MANIFEST_MAX, Manifest, Object, Place,
    Run, RunId, SMALL_OBJECT_MAX, open_frame, pack_name,
};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryFutureExt};

use crate::store::Name;
use crate::{Compute, Error, Repository};

/// Decoded frames of which later chunks may be asked for: enough for a stream whose chunks alternate between runs to read
/// each frame about once. At 512 KiB each this bounds the memory of a restore; a snapshot of one run needs two or three.
const KEPT: usize = 96;
/// Decoded frames whose last chunk was read. Few are asked for again: those with chunks that repeat.
const KEPT_AFTER_LAST: usize = 2;

/// A run that is open: its data key, and where its chunks lie.
pub(crate) struct OpenRun {
    key: DataKey,
    place: Place,
    tables: Vec<Table>,
}

/// The frame table of one stream, with the number of the first chunk of each frame.
struct Table {
    frames: Vec<Frame>,
    firsts: Vec<u32>,
    chunks: u32,
}

/// A row of the frame table. Where its chunks end, not how long they are: a frame may have millions of chunks, and adding up for each
/// of them the lengths of those before it would take hours.
struct Frame {
    pack: u32,
    offset: u32,
    sealed: u32,
    ends: Vec<u32>,
}

/// A chunk's place: frame and byte range in the decoded frame.
pub(crate) struct Located {
    pub(crate) frame: u64,
    pub(crate) bytes: std::ops::Range<usize>,
}

impl OpenRun {
    /// Opens the manifest of a run, and one of the key objects that open it now, both checked against the commits' digests.
    pub(crate) async fn open(
        repository: &Repository,
        place: Place,
        run: &Run,
        keys: KeyPair,
        opener: (&Arc<Identities>, &Compute),
        refused: &(dyn Fn(IdentityError, String) -> Error + Sync),
    ) -> Result<(Self, Manifest), Error> {
        let read = async |what: &str, limit, object: Object| {
            let name = Name::in_run(&place.job, place.run, what);
            let bytes = repository.store.read(&name, limit).await?;
            let bytes = bytes.ok_or_else(|| Error::Missing {
                object: name.to_string(),
            })?;
            if archive::Digest::of(&bytes) == object.digest {
                Ok((name.to_string(), bytes))
            } else {
                Err(Error::damaged(
                    name.to_string(),
                    "it is not what the commit says",
                ))
            }
        };
        let open_key = async {
            let mut last = None;
            for (name, object) in keys.objects() {
                let (name, object) = read(&name, SMALL_OBJECT_MAX, object).await?;
                match open_key(object, opener).await {
                    // The second one is for post-quantum recipients.
                    Err(IdentityError::NoneOpens) => last = Some(name),
                    opened => return opened.map_err(|error| refused(error, name)),
                }
            }
            let name = last.expect("there is a key object");
            Err(refused(IdentityError::NoneOpens, name))
        };
        let (key, manifest) =
            futures::try_join!(open_key, read("manifest", MANIFEST_MAX, run.manifest))?;
        let mut opened = Manifest::open(&manifest.1, &key, &place)
            .map_err(|error| Error::damaged(manifest.0, error))?;
        let tables = std::mem::take(&mut opened.stored)
            .into_iter()
            .map(Table::new)
            .collect();
        Ok((Self { key, place, tables }, opened))
    }

    /// Where chunk number `chunk` of a stream lies.
    pub(crate) fn locate(&self, stream: u32, chunk: u32) -> Option<Located> {
        let table = self
            .tables
            .get(stream as usize)
            .filter(|table| chunk < table.chunks)?;
        let frame = table.firsts.partition_point(|first| *first <= chunk) - 1;
        let before = (chunk - table.firsts[frame]) as usize;
        let ends = &table.frames[frame].ends;
        let start = before.checked_sub(1).map_or(0, |before| ends[before]);
        Some(Located {
            frame: frame as u64,
            bytes: start as usize..ends[before] as usize,
        })
    }

    fn frame(&self, stream: u32, frame: u64) -> &Frame {
        &self.tables[stream as usize].frames[frame as usize]
    }
}

/// Elsewhere if a plugin runs for it: that takes its time, and may wait for a person.
async fn open_key(
    object: Bytes,
    (identities, compute): (&Arc<Identities>, &Compute),
) -> Result<DataKey, IdentityError> {
    if !identities.need_plugins() {
        return DataKey::open_with(&object, identities);
    }
    let identities = Arc::clone(identities);
    compute
        .run(move || DataKey::open_with(&object, &identities))
        .await
}

impl Table {
    fn new(rows: Vec<FrameRow>) -> Self {
        let mut chunks = 0;
        // Padding rows share their first number with the row after; `locate` must not find them.
        let firsts = rows
            .iter()
            .map(|row| {
                let first = chunks;
                chunks += row.chunks.len() as u32;
                first
            })
            .collect();
        Self {
            frames: rows.into_iter().map(Frame::new).collect(),
            firsts,
            chunks,
        }
    }
}

impl Frame {
    fn new(row: FrameRow) -> Self {
        let mut ends = row.chunks;
        let mut end = 0;
        for length in &mut ends {
            end += *length;
            *length = end;
        }
        Self {
            pack: row.pack,
            offset: row.offset,
            sealed: row.sealed,
            ends,
        }
    }

    /// Of all its chunks, in bytes.
    fn length(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }
}

/// A frame by run, stream and number.
pub(crate) type FrameId = (RunId, u32, u64);

type Decoded = Result<Arc<Vec<u8>>, Arc<Error>>;

/// Reads and decodes frames, each once while it is needed again soon.
pub(crate) struct Frames {
    repository: Repository,
    compute: Compute,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    frames: HashMap<FrameId, Kept>,
    clock: u64,
}

struct Kept {
    decoded: Shared<BoxFuture<'static, Decoded>>,
    /// When it was last asked for, on the cache's clock.
    used: u64,
    last_read: bool,
}

impl Frames {
    pub(crate) fn new(repository: Repository, compute: Compute) -> Self {
        Self {
            repository,
            compute,
            cache: Mutex::default(),
        }
    }

    /// The decoded bytes of a frame that `run` has; `listed` is what the commit says of that run.
    pub(crate) fn get(
        &self,
        run: &Arc<OpenRun>,
        listed: &Run,
        stream: u32,
        frame: u64,
    ) -> BoxFuture<'static, Result<Arc<Vec<u8>>, Error>> {
        let id = (run.place.run, stream, frame);
        let shared = self.cache.lock().expect("no reader panics").get(id, || {
            let fetch = fetch(
                self.repository.clone(),
                self.compute.clone(),
                Arc::clone(run),
                listed.clone(),
                stream,
                frame,
            );
            fetch.map_ok(Arc::new).map_err(Arc::new).boxed().shared()
        });
        shared.map_err(Error::Shared).boxed()
    }

    /// Says that the last chunk of a frame was read: whoever reads in order does not need it again.
    pub(crate) fn last_read(&self, run: &OpenRun, stream: u32, frame: u64) {
        let id = (run.place.run, stream, frame);
        self.cache.lock().expect("no reader panics").last_read(id);
    }
}

impl Cache {
    fn get(
        &mut self,
        id: FrameId,
        fetch: impl FnOnce() -> Shared<BoxFuture<'static, Decoded>>,
    ) -> Shared<BoxFuture<'static, Decoded>> {
        self.clock += 1;
        if let Some(kept) = self.frames.get_mut(&id) {
            kept.used = self.clock;
            return kept.decoded.clone();
        }
        self.forget_one_of(false, KEPT);
        let decoded = fetch();
        let kept = Kept {
            decoded: decoded.clone(),
            used: self.clock,
            last_read: false,
        };
        self.frames.insert(id, kept);
        decoded
    }

    fn last_read(&mut self, id: FrameId) {
        if self.frames.get(&id).is_some_and(|kept| !kept.last_read) {
            self.forget_one_of(true, KEPT_AFTER_LAST);
            self.frames
                .get_mut(&id)
                .expect("it is of the other kind")
                .last_read = true;
        }
    }

    /// Makes room for one more frame among those whose last chunk was read, or among the others.
    fn forget_one_of(&mut self, last_read: bool, room: usize) {
        let alike = || {
            self.frames
                .iter()
                .filter(|(_, kept)| kept.last_read == last_read)
        };
        if alike().count() >= room {
            let oldest = alike().min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id);
            oldest.map(|oldest| self.frames.remove(&oldest));
        }
    }
}

async fn fetch(
    repository: Repository,
    compute: Compute,
    run: Arc<OpenRun>,
    listed: Run,
    stream: u32,
    frame: u64,
) -> Result<Vec<u8>, Error> {
    let row = run.frame(stream, frame);
    let name = Name::in_run(&run.place.job, run.place.run, &pack_name(row.pack));
    let pack = listed.packs.iter().find(|pack| pack.number == row.pack);
    let end = u64::from(row.offset) + u64::from(row.sealed);
    if pack.is_none_or(|pack| end > pack.object.size) {
        return Err(Error::damaged(
            name.to_string(),
            "a frame lies outside of what the commit lists",
        ));
    }
    let sealed = repository
        .store
        .read_range(&name, u64::from(row.offset)..end)
        .await?;
    let length = row.length();
    let decoded =
        compute.run(move || open_frame(&run.key, &run.place, stream, frame, sealed.into(), length));
    decoded.await.map_err(|error| {
        Error::damaged(
            name.to_string(),
            format!("frame {frame} of stream {stream}: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::RepositoryId;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    proptest! {
        #[test]
        fn chunks_lie_end_to_end_in_their_frames(
            frames in prop::collection::vec(prop::collection::vec(1_u32..9, 0..5), 0..12),
        ) {
            let row = |chunks: &Vec<u32>| FrameRow { pack: 0, offset: 0, sealed: 0, chunks: chunks.clone() };
            let run = OpenRun {
                key: DataKey::from_bytes(Zeroizing::new([0; 32])),
                place: Place {
                    repository: RepositoryId([1; 16]),
                    job: "prod".parse().expect("a job name"),
                    run: RunId([2; 16]),
                },
                tables: vec![Table::new(frames.iter().map(row).collect())],
            };
            let mut number = 0;
            for (frame, chunks) in (0..).zip(&frames) {
                let mut start = 0;
                for length in chunks {
                    let end = start + *length as usize;
                    let found = run.locate(0, number).map(|found| (found.frame, found.bytes));
                    prop_assert_eq!(found, Some((frame, start..end)));
                    (start, number) = (end, number + 1);
                }
                prop_assert_eq!(run.frame(0, frame).length(), start);
            }
            prop_assert!(run.locate(0, number).is_none() && run.locate(1, 0).is_none());
        }
    }
}
