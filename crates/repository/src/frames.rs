use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use format::{
    CHUNK_MAX, DataKey, FRAME_TARGET, FrameRow, IdentityError, KeyPair, MANIFEST_MAX, Manifest,
    Pack, Place, Run, RunId, open_frame, pack_name,
};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryFutureExt};

use crate::buffers::{Buffer, Buffers};
use crate::gathering::FrameOf;
use crate::keys::{Opener, open_keys};
use crate::store::Name;
use crate::{Compute, Error, Repository};

/// Decoded frames of which later chunks may be asked for: enough for a stream whose chunks alternate between runs to read
/// each frame about once. At 512 KiB each this bounds the memory of a restore; a snapshot of one run needs two or three.
const KEPT: usize = 96;
/// Decoded frames whose last chunk was read. Few are asked for again: those with chunks that repeat.
const KEPT_AFTER_LAST: usize = 2;

/// Frames as they are stored are seldom longer: memory for longer ones is given back.
const SEALED_KEPT: usize = FRAME_TARGET + CHUNK_MAX;

thread_local! {
    /// The frame that a thread opens, as it was stored: memory for one is enough for all of them.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A run that is open: its data key, and where its chunks lie.
pub(crate) struct OpenRun {
    key: DataKey,
    /// What it was sealed for.
    place: Place,
    /// The name of its folder: a copied run lies under another than it was sealed for.
    lies: RunId,
    /// As the commit lists them.
    packs: Vec<Pack>,
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

/// Consecutive chunks that lie in one frame.
pub(crate) struct Piece {
    pub(crate) frame: u64,
    /// Their numbers in the frame.
    pub(crate) chunks: Range<usize>,
    /// All their bytes.
    pub(crate) length: u64,
    /// Whether no more follow in the frame.
    pub(crate) ends: bool,
}

impl OpenRun {
    /// Opens the manifest of a run, and one of the key objects that open it now, both checked against the commits' digests. `place`
    /// is what the run was sealed for, `run` says where it lies.
    pub(crate) async fn open(
        repository: &Repository,
        place: Place,
        run: &Run,
        keys: KeyPair,
        opener: Opener<'_>,
        refused: &(dyn Fn(IdentityError, String) -> Error + Sync),
    ) -> Result<(Self, Manifest), Error> {
        let read = async {
            let name = Name::in_run(&place.job, run.run, "manifest");
            let bytes = repository.store.read(&name, MANIFEST_MAX).await?;
            let bytes = bytes.ok_or_else(|| Error::Missing {
                object: name.to_string(),
            })?;
            if archive::Digest::of(&bytes) == run.manifest.digest {
                Ok((name.to_string(), bytes))
            } else {
                let detail = "it is not what the commit says";
                Err(Error::damaged(name.to_string(), detail))
            }
        };
        let open_key = open_keys(repository, &place.job, run.run, keys, opener, refused);
        let (key, manifest) = futures::try_join!(open_key, read)?;
        let mut opened = Manifest::open(&manifest.1, &key, &place)
            .map_err(|error| Error::damaged(manifest.0, error))?;
        let tables = std::mem::take(&mut opened.stored)
            .into_iter()
            .map(Table::new)
            .collect();
        let (lies, packs) = (run.run, run.packs.clone());
        let run = Self {
            key,
            place,
            lies,
            packs,
            tables,
        };
        Ok((run, opened))
    }

    /// The first of these chunks of a stream, which are not none, with those after it that lie in the same frame.
    pub(crate) fn piece(&self, stream: u32, chunks: &Range<u32>) -> Option<Piece> {
        let table = self
            .tables
            .get(stream as usize)
            .filter(|table| chunks.start < table.chunks)?;
        let frame = table.firsts.partition_point(|first| *first <= chunks.start) - 1;
        let first = (chunks.start - table.firsts[frame]) as usize;
        let ends = &table.frames[frame].ends;
        let end = (first + chunks.len()).min(ends.len());
        let before = first.checked_sub(1).map_or(0, |before| ends[before]);
        Some(Piece {
            frame: frame as u64,
            chunks: first..end,
            length: (ends[end - 1] - before).into(),
            ends: end == ends.len(),
        })
    }

    /// Where each chunk of a frame ends in it.
    pub(crate) fn chunk_ends(&self, stream: u32, frame: u64) -> &[u32] {
        &self.frame(stream, frame).ends
    }

    pub(crate) fn lacks_chunks(&self) -> Error {
        let manifest = Name::in_run(&self.place.job, self.lies, "manifest");
        let detail = "it lacks chunks that a snapshot refers to";
        Error::damaged(manifest.to_string(), detail)
    }

    /// The bytes of a frame, sealed and opened together.
    pub(crate) fn weight(&self, stream: u32, frame: u64) -> u64 {
        let frame = self.frame(stream, frame);
        u64::from(frame.sealed) + frame.length() as u64
    }

    /// The object that a frame lies in.
    fn pack(&self, stream: u32, frame: u64) -> Name {
        let pack = pack_name(self.frame(stream, frame).pack);
        Name::in_run(&self.place.job, self.lies, &pack)
    }

    fn frame(&self, stream: u32, frame: u64) -> &Frame {
        &self.tables[stream as usize].frames[frame as usize]
    }
}

impl Table {
    fn new(rows: Vec<FrameRow>) -> Self {
        let mut chunks = 0;
        // Padding rows share their first number with the row after; `piece` must not find them.
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
type FrameId = (RunId, u32, u64);

type Decoded = Result<Arc<Buffer>, Arc<Error>>;

/// Reads and decodes frames, each once while it is needed again soon.
pub(crate) struct Frames {
    repository: Repository,
    compute: Compute,
    buffers: Buffers,
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
            buffers: Buffers::up_to(FRAME_TARGET + CHUNK_MAX),
            cache: Mutex::default(),
        }
    }

    /// The decoded bytes of a frame.
    pub(crate) fn get(&self, frame: &FrameOf) -> BoxFuture<'static, Result<Arc<Buffer>, Error>> {
        let shared = self
            .cache
            .lock()
            .expect("no reader panics")
            .get(id(frame), || {
                let fetch = self.fetch(frame);
                fetch.map_ok(Arc::new).map_err(Arc::new).boxed().shared()
            });
        shared.map_err(Error::Shared).boxed()
    }

    fn fetch(&self, frame: &FrameOf) -> BoxFuture<'static, Result<Buffer, Error>> {
        let fetch = fetch(
            self.repository.clone(),
            self.compute.clone(),
            self.buffers.clone(),
            Arc::clone(&frame.run),
            frame.stream,
            frame.number,
        );
        let Some(beside) = self.repository.store.beside() else {
            return fetch.boxed();
        };
        let (store, name) = (
            self.repository.store.clone(),
            frame.run.pack(frame.stream, frame.number),
        );
        let fetched = beside.run(fetch);
        fetched
            .map(move |fetched| fetched.unwrap_or_else(|| Err(store.ends(&name))))
            .boxed()
    }

    /// Says that the last chunk of a frame was read: whoever reads in order does not need it again.
    pub(crate) fn last_read(&self, frame: &FrameOf) {
        self.cache
            .lock()
            .expect("no reader panics")
            .last_read(id(frame));
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

fn id(frame: &FrameOf) -> FrameId {
    (frame.run.place.run, frame.stream, frame.number)
}

async fn fetch(
    repository: Repository,
    compute: Compute,
    buffers: Buffers,
    run: Arc<OpenRun>,
    stream: u32,
    frame: u64,
) -> Result<Buffer, Error> {
    let row = run.frame(stream, frame);
    let name = run.pack(stream, frame);
    let pack = run.packs.iter().find(|pack| pack.number == row.pack);
    let end = u64::from(row.offset) + u64::from(row.sealed);
    if pack.is_none_or(|pack| end > pack.object.size) {
        return Err(Error::damaged(
            name.to_string(),
            "a frame lies outside of what the commit lists",
        ));
    }
    let range = u64::from(row.offset)..end;
    let part = repository.store.part(&name, range).await?;
    let length = row.length();
    let open = move || {
        let mut plain = buffers.take();
        let opened = SEALED.with_borrow_mut(|memory| {
            let sealed = part.read(memory)?;
            let (key, place, plain) = (&run.key, &run.place, &mut plain.bytes);
            let opened = open_frame(key, place, stream, frame, sealed, length, plain);
            if memory.capacity() > SEALED_KEPT {
                *memory = Vec::new();
            }
            opened.map_err(|error| {
                let detail = format!("frame {frame} of stream {stream}: {error}");
                Error::damaged(name.to_string(), detail)
            })
        });
        opened.map(|()| plain)
    };
    compute.run(open).await
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
                lies: RunId([2; 16]),
                packs: Vec::new(),
                tables: vec![Table::new(frames.iter().map(row).collect())],
            };
            let mut number = 0;
            for (frame, lengths) in (0..).zip(&frames) {
                let (end, mut total) = (number + lengths.len() as u32, 0);
                for (first, length) in lengths.iter().enumerate() {
                    // However many are asked for, no piece leaves its frame.
                    for last in [number + 1, end, end + 7] {
                        let piece = run.piece(0, &(number..last)).expect("it is there");
                        let chunks = first..lengths.len().min(first + (last - number) as usize);
                        prop_assert_eq!(piece.ends, chunks.end == lengths.len());
                        let expected: u32 = lengths[chunks.clone()].iter().sum();
                        prop_assert_eq!(piece.length, u64::from(expected));
                        prop_assert_eq!((piece.frame, piece.chunks), (frame, chunks));
                    }
                    total += length;
                    prop_assert_eq!(run.chunk_ends(0, frame)[first], total);
                    number += 1;
                }
                prop_assert_eq!(run.frame(0, frame).length(), total as usize);
            }
            prop_assert!(run.piece(0, &(number..number + 1)).is_none());
            prop_assert!(run.piece(1, &(0..1)).is_none());
        }
    }
}
