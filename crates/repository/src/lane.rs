use std::collections::HashMap;
use std::sync::Arc;

use archive::{Content, Digest, Entry, Item, Streams, Writer, WriterError};
use format::{
    Cut, Cutter, FRAME_TARGET, GROUP_TARGET, Group, Origin, Ranges, RunId, StoredTags, Stream, Tag,
    WriterKey,
};

use crate::base::{Base, Cursor};

/// Own new chunks that are remembered by tag, so that the same file twice is stored once. Bounds memory, not correctness.
const REMEMBERED: usize = 1 << 18;

/// One source on its way into a run: items go in, frames to be sealed come out.
pub(crate) struct Intake {
    writer: Writer,
    lanes: Lanes,
}

/// A source's two streams.
struct Lanes {
    content: Lane,
    catalog: Lane,
}

/// Chunks that wait to be sealed together.
pub(crate) struct OpenFrame {
    pub(crate) stream: u32,
    /// Its number in the stream.
    pub(crate) number: u64,
    pub(crate) plain: Vec<u8>,
    pub(crate) chunks: Vec<u32>,
}

/// A stream when all of it has been taken in.
pub(crate) struct Taken {
    pub(crate) stream: Stream,
    /// What the ranges refer to.
    pub(crate) origins: Vec<Origin>,
    /// Tags of the new chunks; the frames are filled in by the packer.
    pub(crate) tags: Vec<Tag>,
}

impl Intake {
    pub(crate) fn new(
        source: &str,
        first_stream: u32,
        run: RunId,
        base: &Arc<Base>,
        writer: &Arc<WriterKey>,
    ) -> Self {
        let lane = |stream, cut| Lane::new(source, stream, cut, run, base, writer);
        Self {
            writer: Writer::default(),
            lanes: Lanes {
                content: lane(first_stream, Cut::Content),
                catalog: lane(first_stream + 1, Cut::Catalog),
            },
        }
    }

    /// Takes items in; the frames that they complete are appended to `full`.
    pub(crate) fn take(
        &mut self,
        items: Vec<Item>,
        full: &mut Vec<OpenFrame>,
    ) -> Result<(), WriterError> {
        for item in items {
            self.writer.push(item, &mut self.lanes)?;
        }
        self.lanes.drain(full);
        Ok(())
    }

    /// Completes both streams: entries, content bytes, content stream, catalog stream.
    pub(crate) fn finish(
        self,
        full: &mut Vec<OpenFrame>,
    ) -> Result<(u64, u64, Taken, Taken), WriterError> {
        let (entries, bytes) = self.writer.finish()?;
        let content = self.lanes.content.finish(full);
        let catalog = self.lanes.catalog.finish(full);
        Ok((entries, bytes, content, catalog))
    }
}

impl Lanes {
    fn drain(&mut self, full: &mut Vec<OpenFrame>) {
        full.append(&mut self.content.shelf.full);
        full.append(&mut self.catalog.shelf.full);
    }
}

impl Streams for Lanes {
    fn content(&mut self, content: Content) {
        let Lane { cutter, shelf, .. } = &mut self.content;
        cutter.push(content.as_bytes(), |chunk| shelf.put(chunk));
    }

    fn unit(&mut self, length: u64) {
        let Lane { cutter, shelf, .. } = &mut self.content;
        cutter.unit(length, |chunk| shelf.put(chunk));
    }

    fn entry_ends(&mut self, entry: &Entry) {
        let Lane { cutter, shelf, .. } = &mut self.content;
        cutter.entry_ends(entry.name.as_bytes(), entry.length(), |chunk| {
            shelf.put(chunk);
        });
    }

    fn catalog(&mut self, record: &[u8]) {
        let Lane { cutter, shelf, .. } = &mut self.catalog;
        cutter.push(record, |chunk| shelf.put(chunk));
    }

    fn give_up(&mut self) {
        self.content.start_again();
        self.catalog.start_again();
    }
}

/// One stream: where it is cut, and what is known of its chunks.
struct Lane {
    cut: Cut,
    cutter: Cutter,
    shelf: Shelf,
}

impl Lane {
    fn new(
        source: &str,
        stream: u32,
        cut: Cut,
        run: RunId,
        base: &Arc<Base>,
        writer: &Arc<WriterKey>,
    ) -> Self {
        let cursor = base.cursor(&(source.to_owned(), cut == Cut::Catalog));
        Self {
            cut,
            cutter: Cutter::new(writer.gear(), cut),
            shelf: Shelf {
                own: Origin { run, stream },
                base: Arc::clone(base),
                writer: Arc::clone(writer),
                start: cursor.clone(),
                cursor,
                remembered: HashMap::new(),
                origins: Vec::new(),
                ranges: Ranges::default(),
                tags: Vec::new(),
                groups: Vec::new(),
                group: OpenGroup::default(),
                frame: OpenFrame {
                    stream,
                    number: 0,
                    plain: Vec::new(),
                    chunks: Vec::new(),
                },
                full: Vec::new(),
            },
        }
    }

    /// Makes the stream empty. Its chunks stay where they are, perhaps in a pack already, so that they are found when they come again; those
    /// that do not are referred to by nothing.
    fn start_again(&mut self) {
        let shelf = &mut self.shelf;
        self.cutter = Cutter::new(shelf.writer.gear(), self.cut);
        shelf.cursor = shelf.start.clone();
        shelf.origins.clear();
        shelf.ranges = Ranges::default();
        shelf.groups.clear();
        shelf.group = OpenGroup::default();
    }

    fn finish(mut self, full: &mut Vec<OpenFrame>) -> Taken {
        let shelf = &mut self.shelf;
        self.cutter.finish(|chunk| shelf.put(chunk));
        shelf.close_group();
        if !shelf.frame.chunks.is_empty() {
            shelf.close_frame();
        }
        full.append(&mut shelf.full);
        Taken {
            stream: Stream {
                ranges: std::mem::take(&mut shelf.ranges),
                groups: std::mem::take(&mut shelf.groups),
            },
            origins: std::mem::take(&mut shelf.origins),
            tags: std::mem::take(&mut shelf.tags),
        }
    }
}

/// Where chunks are told apart: known ones become ranges, new ones go into frames.
struct Shelf {
    own: Origin,
    base: Arc<Base>,
    writer: Arc<WriterKey>,
    /// Where in the base the stream starts, and where it is.
    start: Cursor,
    cursor: Cursor,
    /// Own new chunks by the first half of their tag.
    remembered: HashMap<u64, u32>,
    origins: Vec<Origin>,
    ranges: Ranges,
    tags: Vec<Tag>,
    groups: Vec<Group>,
    group: OpenGroup,
    frame: OpenFrame,
    full: Vec<OpenFrame>,
}

#[derive(Default)]
struct OpenGroup {
    chunks: u32,
    length: u64,
    hashes: blake3::Hasher,
}

impl Shelf {
    fn put(&mut self, chunk: &[u8]) {
        let plain_hash = blake3::hash(chunk);
        self.group.hashes.update(plain_hash.as_bytes());
        self.group.chunks += 1;
        self.group.length += chunk.len() as u64;
        if self.group.length >= GROUP_TARGET {
            self.close_group();
        }

        let tag = self.writer.tag(plain_hash.as_bytes());
        let known = self
            .base
            .find(&mut self.cursor, &tag)
            .or_else(|| self.remembers(&tag));
        let (origin, number) = known.unwrap_or_else(|| (self.own, self.add(chunk, tag)));
        let origin = self.index(origin);
        self.ranges.push(origin, number, chunk.len());
    }

    fn remembers(&self, tag: &Tag) -> Option<(Origin, u32)> {
        let number = *self.remembered.get(&prefix(tag))?;
        (self.tags[number as usize] == *tag).then_some((self.own, number))
    }

    /// Stores a new chunk; returns its number.
    fn add(&mut self, chunk: &[u8], tag: Tag) -> u32 {
        let number = self.tags.len() as u32;
        self.tags.push(tag);
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(prefix(&tag), number);
        if self.frame.plain.capacity() == 0 {
            self.frame.plain.reserve(FRAME_TARGET + 64 * 1024);
        }
        self.frame.plain.extend_from_slice(chunk);
        self.frame.chunks.push(chunk.len() as u32);
        if self.frame.plain.len() >= FRAME_TARGET {
            self.close_frame();
        }
        number
    }

    fn index(&mut self, origin: Origin) -> u32 {
        // Streams refer to few origins, mostly the same one as the chunk before.
        let last = self.ranges.iter().next_back().map(|range| range.origin);
        if let Some(last) = last.filter(|last| self.origins[*last as usize] == origin) {
            return last;
        }
        let known = self.origins.iter().position(|known| *known == origin);
        known.unwrap_or_else(|| {
            self.origins.push(origin);
            self.origins.len() - 1
        }) as u32
    }

    fn close_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        if group.chunks > 0 {
            let digest = Digest::from(group.hashes.finalize());
            self.groups.push(Group {
                chunks: group.chunks,
                length: group.length,
                digest,
            });
        }
    }

    fn close_frame(&mut self) {
        let next = OpenFrame {
            stream: self.frame.stream,
            number: self.frame.number + 1,
            plain: Vec::new(),
            chunks: Vec::new(),
        };
        self.full.push(std::mem::replace(&mut self.frame, next));
    }
}

fn prefix(tag: &Tag) -> u64 {
    u64::from_le_bytes(*tag.first_chunk().expect("a tag is longer than eight bytes"))
}

/// The tags of a stream with the packs that its frames went to.
pub(crate) fn stored_tags(tags: Vec<Tag>, rows: &[format::FrameRow]) -> StoredTags {
    let frames = rows
        .iter()
        .filter(|row| !row.chunks.is_empty())
        .map(|row| (row.pack, row.chunks.len() as u32))
        .collect();
    StoredTags { frames, tags }
}
