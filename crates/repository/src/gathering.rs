use std::ops::Range;
use std::sync::Arc;

use archive::Digest;
use format::GROUP_MAX;

use crate::buffers::Buffer;
use crate::frames::{OpenRun, Piece};

/// Frames that are opened at the same time for one group: enough that the threads that open them do not wait for one another,
/// and few enough to hold.
const FRAMES_AT_ONCE: usize = 16;
/// Of these together, sealed and opened: a manifest may tell of larger ones than any writer of ours makes.
const BYTES_AT_ONCE: u64 = 16 << 20;
/// Pieces that wait for them: a manifest can name as many as a group has bytes.
const PIECES_AT_ONCE: usize = 1024;

/// The next pieces of a group, and the frames that they lie in, each once.
#[derive(Default)]
pub(crate) struct Window {
    frames: Vec<FrameOf>,
    /// Of the frames.
    bytes: u64,
    /// With the place of its frame among the frames.
    pieces: Vec<(usize, Range<usize>)>,
}

/// A frame, and the run that it is of.
pub(crate) struct FrameOf {
    pub(crate) run: Arc<OpenRun>,
    pub(crate) stream: u32,
    pub(crate) number: u64,
    /// Whether its last chunk is among the pieces.
    pub(crate) ends: bool,
}

impl Window {
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() == FRAMES_AT_ONCE
            || self.bytes >= BYTES_AT_ONCE
            || self.pieces.len() == PIECES_AT_ONCE
    }

    pub(crate) fn push(&mut self, run: &Arc<OpenRun>, stream: u32, piece: Piece) {
        let same = |known: &FrameOf| {
            (known.number, known.stream) == (piece.frame, stream) && Arc::ptr_eq(&known.run, run)
        };
        let at = self.frames.iter().rposition(same).unwrap_or_else(|| {
            self.bytes += run.weight(stream, piece.frame);
            self.frames.push(FrameOf {
                run: Arc::clone(run),
                stream,
                number: piece.frame,
                ends: false,
            });
            self.frames.len() - 1
        });
        self.frames[at].ends |= piece.ends;
        self.pieces.push((at, piece.chunks));
    }

    pub(crate) fn frames(&self) -> &[FrameOf] {
        &self.frames
    }

    /// Appends the pieces to `group`, in order; `plain` are the decoded frames.
    pub(crate) fn append_to(&self, group: &mut Gathering, plain: &[Arc<Buffer>]) {
        for (at, chunks) in &self.pieces {
            let (frame, plain) = (&self.frames[*at], &plain[*at]);
            let ends = frame.run.chunk_ends(frame.stream, frame.number);
            for chunk in chunks.clone() {
                let start = chunk.checked_sub(1).map_or(0, |before| ends[before]);
                group.append(&plain.bytes[start as usize..ends[chunk] as usize]);
            }
        }
    }
}

/// Where the bytes of a group are compared with what its writer read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// In the group, by its own digest.
    Here,
    /// By whoever reads them, who has a digest of all of them and uses none before.
    Later,
}

/// A group that is being put together.
pub(crate) struct Gathering {
    buffer: Buffer,
    /// Of the chunks' plain hashes, unless they are checked later.
    hasher: Option<blake3::Hasher>,
    /// Of the pieces that may still come.
    room: u64,
}

impl Gathering {
    /// Nothing yet, in `buffer`, of what shall have `length` bytes.
    pub(crate) fn new(mut buffer: Buffer, length: u64, checked: Checked) -> Self {
        buffer.bytes.reserve_exact(length.min(GROUP_MAX) as usize);
        Self {
            buffer,
            hasher: (checked == Checked::Here).then(blake3::Hasher::new),
            room: length,
        }
    }

    /// Keeps room for a piece before anything of it is read; false if there is none. A manifest may lie about the length of a group, and
    /// name a chunk any number of times: reading ends with the first piece too many.
    pub(crate) fn expect(&mut self, piece: &Piece) -> bool {
        let left = self.room.checked_sub(piece.length);
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    fn append(&mut self, chunk: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(blake3::hash(chunk).as_bytes());
        }
        self.buffer.bytes.extend_from_slice(chunk);
    }

    /// The bytes, if they are as many as the manifest promises and, where that is checked here, those that it promises.
    pub(crate) fn finish(self, digest: Digest) -> Option<Buffer> {
        let good = self
            .hasher
            .is_none_or(|hasher| hasher.finalize() == digest.0);
        (self.room == 0 && good).then_some(self.buffer)
    }
}
