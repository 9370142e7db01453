use std::collections::VecDeque;
use std::ops::Range;
use std::task::Poll;

use archive::{Body, CatalogReader, Content, Digest, Entry};
use bytes::Bytes;
use format::Stream;
use futures::future::{BoxFuture, ready};
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _, poll};

use crate::buffers::Buffer;
use crate::gathering::Checked;
use crate::snapshot::ChunkAt;
use crate::{Error, Snapshot};

/// Groups of a stream that are read at the same time.
const READ_AHEAD: usize = 2;
/// Of a bucket, where each waits for its own answer.
const READ_AHEAD_FAR: usize = 12;

/// Which entries' content is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Select {
    /// Most of them: read ahead beyond the current entry.
    Most,
    /// A few: read nothing that was not asked for.
    Few,
}

/// Reads a source's entries in order, and the content of any of them, authenticated and checked against the catalog.
///
/// After content that is damaged the next entry can be asked for; after a catalog that is damaged none can.
pub struct EntryReader<'a> {
    snapshot: &'a Snapshot,
    catalog: StreamReader<'a>,
    content: StreamReader<'a>,
    parser: CatalogReader,
    entries: u64,
    expected: u64,
    /// Where the next entry starts in the content.
    next_start: u64,
    current: Option<Current>,
}

/// The entry whose content is being read.
struct Current {
    name: String,
    end: u64,
    checks: VecDeque<(u64, Digest)>,
    hasher: blake3::Hasher,
    hashed: u64,
}

impl<'a> EntryReader<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, source: usize) -> Self {
        let (content, catalog) = snapshot.streams(source);
        Self {
            snapshot,
            catalog: StreamReader::new(snapshot, catalog, Select::Most),
            content: StreamReader::new(snapshot, content, Select::Few),
            parser: CatalogReader::default(),
            entries: 0,
            expected: snapshot.manifest().sources[source].entries,
            next_start: 0,
            current: None,
        }
    }

    /// Says how much of the content will be read.
    #[must_use]
    pub fn selecting(mut self, select: Select) -> Self {
        self.content.select = select;
        self
    }

    /// Says that nothing of the current entry is used before `None` follows its last byte. Its own digests are enough then: those of groups that
    /// lie in it as a whole are not compared on top.
    pub fn hold_back(&mut self) {
        if let Some(current) = &self.current {
            self.content.vouched = self.content.position..current.end;
        }
    }

    /// The next entry; `None` after the last. Content of the one before that was not read is skipped, not fetched.
    pub async fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(entry) = self
                .parser
                .next_entry()
                .map_err(|error| self.damaged(error))?
            {
                return self.enter(entry).map(Some);
            }
            match self.catalog.next().await? {
                Some(piece) => self.parser.feed(&piece),
                None => return self.end().map(|()| None),
            }
        }
    }

    /// The current entry's next bytes; `None` at its end, when all of them have matched the catalog's digests.
    pub async fn data(&mut self) -> Result<Option<Content>, Error> {
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        if self.content.position >= current.end {
            let good = current.finish();
            let name = std::mem::take(&mut current.name);
            self.current = None;
            return if good {
                Ok(None)
            } else {
                Err(self.mismatch(&name))
            };
        }
        let piece = self.content.next_until(current.end).await?;
        if !current.check(&piece) {
            let name = std::mem::take(&mut current.name);
            return Err(self.mismatch(&name));
        }
        Ok(Some(Content::new(piece)))
    }

    fn enter(&mut self, entry: Entry) -> Result<Entry, Error> {
        self.entries += 1;
        let start = self.next_start;
        let end = start.checked_add(entry.length());
        let end = end.filter(|end| *end <= self.content.length());
        let end = end.ok_or_else(|| self.damaged("entries are longer than the content"))?;
        self.next_start = end;
        self.content.seek(start);
        self.current = Some(Current::new(&entry, end));
        Ok(entry)
    }

    fn end(&mut self) -> Result<(), Error> {
        self.parser.finish().map_err(|error| self.damaged(error))?;
        if self.entries != self.expected || self.next_start != self.content.length() {
            return Err(self.damaged("its catalog and its manifest disagree"));
        }
        Ok(())
    }

    fn damaged(&self, detail: impl std::fmt::Display) -> Error {
        Error::damaged(self.snapshot.name(), detail)
    }

    fn mismatch(&self, name: &str) -> Error {
        self.damaged(format!("the content of {name} does not match its digest"))
    }
}

impl Current {
    fn new(entry: &Entry, end: u64) -> Self {
        let checks = match &entry.body {
            Body::Blob { length, digest } => VecDeque::from([(*length, *digest)]),
            Body::Record { fields } => fields
                .iter()
                .map(|field| (field.length, field.digest))
                .collect(),
        };
        let name = entry.name.to_string();
        Self {
            name,
            end,
            checks,
            hasher: blake3::Hasher::new(),
            hashed: 0,
        }
    }

    /// Hashes the next bytes; false if a value that they complete is not what it must be.
    fn check(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((length, _)) = self.checks.front() {
            let missing = usize::try_from(length - self.hashed).unwrap_or(usize::MAX);
            if missing > bytes.len() {
                self.hasher.update(bytes);
                self.hashed += bytes.len() as u64;
                return true;
            }
            let (now, later) = bytes.split_at(missing);
            self.hasher.update(now);
            if !self.complete() {
                return false;
            }
            bytes = later;
            if bytes.is_empty() {
                return true;
            }
        }
        bytes.is_empty()
    }

    fn finish(&mut self) -> bool {
        // What is left are empty values at the end.
        while let Some((length, _)) = self.checks.front() {
            if *length != self.hashed || !self.complete() {
                return false;
            }
        }
        true
    }

    fn complete(&mut self) -> bool {
        let found = self.hasher.finalize();
        self.hasher.reset();
        self.hashed = 0;
        self.checks
            .pop_front()
            .is_some_and(|(_, digest)| found == digest.0)
    }
}

/// Reads a stream group by group, ahead where that was asked for.
struct StreamReader<'a> {
    snapshot: &'a Snapshot,
    stream: &'a Stream,
    select: Select,
    starts: Vec<GroupStart>,
    position: u64,
    /// Bytes whose digest is compared by whoever reads them.
    vouched: Range<u64>,
    /// The group that `position` is in, if it was read: its number and bytes.
    current: Option<(usize, Bytes)>,
    ahead: FuturesOrdered<BoxFuture<'a, Result<Buffer, Error>>>,
    /// The number of the first group in `ahead`.
    first_ahead: usize,
    /// The last group that is damaged, and how: many small entries may lie in it, and none of them has to read it again.
    damaged: Option<(usize, Error)>,
}

#[derive(Clone, Copy)]
struct GroupStart {
    byte: u64,
    chunk: ChunkAt,
}

impl<'a> StreamReader<'a> {
    fn new(snapshot: &'a Snapshot, stream: &'a Stream, select: Select) -> Self {
        let mut starts = vec![GroupStart {
            byte: 0,
            chunk: ChunkAt::default(),
        }];
        let mut at = starts[0];
        for group in &stream.groups {
            at.byte += group.length;
            at.chunk = at.chunk.after(stream, group.chunks);
            starts.push(at);
        }
        let ahead = FuturesOrdered::new();
        Self {
            snapshot,
            stream,
            select,
            starts,
            position: 0,
            vouched: 0..0,
            current: None,
            ahead,
            first_ahead: 0,
            damaged: None,
        }
    }

    fn length(&self) -> u64 {
        self.starts.last().expect("there is always a first").byte
    }

    fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// The rest of the current group; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.position >= self.length() {
            return Ok(None);
        }
        self.next_until(self.length()).await.map(Some)
    }

    /// The next bytes, at most up to `end`, which lies beyond the position and within the stream.
    async fn next_until(&mut self, end: u64) -> Result<Bytes, Error> {
        let number = self
            .starts
            .partition_point(|start| start.byte <= self.position)
            - 1;
        let bytes = self.group(number, end).await?;
        let start = self.starts[number].byte;
        let from = (self.position - start) as usize;
        let to = (end - start).min(bytes.len() as u64) as usize;
        self.position = start + to as u64;
        Ok(bytes.slice(from..to))
    }

    async fn group(&mut self, number: usize, end: u64) -> Result<Bytes, Error> {
        if let Some((known, bytes)) = &self.current
            && *known == number
        {
            return Ok(bytes.clone());
        }
        if let Some((known, error)) = &self.damaged
            && *known == number
            && let Some(error) = error.again()
        {
            return Err(error);
        }
        if self.ahead.is_empty() || self.first_ahead != number {
            self.ahead.clear();
            self.first_ahead = number;
        }
        let wanted = if self.select == Select::Most {
            self.length()
        } else {
            end
        };
        let ahead = if self.snapshot.is_far() {
            READ_AHEAD_FAR
        } else {
            READ_AHEAD
        };
        // Several at once: what is asked for at the same moment is read together.
        if self.ahead.len() <= ahead / 2 {
            self.ask(ahead, wanted).await;
        }
        let read = self.ahead.next().await;
        let read = read.expect("the group was just asked for");
        self.first_ahead += 1;
        let bytes = read.inspect_err(|error| {
            self.damaged = error.again().map(|error| (number, error));
        })?;
        let bytes = Bytes::from_owner(bytes);
        self.current = Some((number, bytes.clone()));
        Ok(bytes)
    }

    /// Sees to it that `ahead` groups are asked for, or all that start before `wanted`.
    async fn ask(&mut self, ahead: usize, wanted: u64) {
        while self.ahead.len() < ahead {
            let next = self.first_ahead + self.ahead.len();
            if next >= self.stream.groups.len() || self.starts[next].byte >= wanted {
                break;
            }
            let (snapshot, stream) = (self.snapshot, self.stream);
            let (group, first) = (&stream.groups[next], self.starts[next].chunk);
            let vouched = self.vouched.start <= self.starts[next].byte
                && self.starts[next + 1].byte <= self.vouched.end;
            let checked = if vouched {
                Checked::Later
            } else {
                Checked::Here
            };
            let read = snapshot.read_group(stream, group, first, checked);
            let mut read = read.boxed();
            // Once, so that what it reads is asked for now and not when the groups before it are there.
            let read = match poll!(&mut read) {
                Poll::Ready(done) => ready(done).boxed(),
                Poll::Pending => read,
            };
            self.ahead.push_back(read);
        }
    }
}
