mod locks;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use format::{
    CommitRef, JobName, MANIFEST_MAX, Map, Origin, Pack, Place, RUNS_TARGET, Ranges, Run, RunId,
    SnapshotStatement, StoredTags, Tag, WriterKey,
};
use futures::{StreamExt, stream};

use crate::recipients::same_recipients;
use crate::store::Name;
use crate::view::{Trust, View};
use crate::{Error, Repository};

use locks::BaseLocks;
pub(crate) use locks::standing;

/// Maps that are read at the same time.
const CONCURRENT_READS: usize = 8;

/// Runs of which less than one chunk in this many is still in use are not referred to: what is left of them is stored
/// again, so that prune can drop them (docs/format/v1.md, "Choices of this writer").
const LIVE_SHARE: u64 = 5;

/// What a backup may refer to: the chunks of the job's newest snapshot by the same writer, found by position and by tag.
#[derive(Default)]
pub(crate) struct Base {
    /// The snapshot; `None` if there is none that can be used.
    pub(crate) at: Option<CommitRef>,
    /// Its first run's [`Map::head`].
    pub(crate) head: [u8; 32],
    /// Its runs, as its statement lists them.
    pub(crate) runs: Vec<Run>,
    /// How they are locked.
    pub(crate) locks: BaseLocks,
    origins: Vec<BaseOrigin>,
    streams: HashMap<StreamName, std::ops::Range<usize>>,
    chunks: Vec<BaseChunk>,
    /// Indices into `chunks`, by tag.
    by_tag: Vec<u32>,
}

/// A stream is found again by its source's name and whether it is the catalog.
pub(crate) type StreamName = (String, bool);

struct BaseOrigin {
    origin: Origin,
    packs: Vec<(u32, std::ops::Range<u32>)>,
}

#[derive(Clone, Copy)]
struct BaseChunk {
    origin: u32,
    number: u32,
    tag: Tag,
}

impl Base {
    /// Loads the base from a view: docs/format/v1.md, "Commit rules", backup, 1.
    ///
    /// Any map that is lost costs storing its chunks again, nothing else. Runs that are sealed to others than `recipients`, or may
    /// be, are not referred to: the new snapshot would need keys that its recipients do not have. Nor are runs that would be locked for too short a
    /// time, where a lock is asked for. A snapshot that was copied here is no
    /// base, for its chunks are sealed for another repository; nor is one that somebody appended who is not trusted, for a
    /// prune may have dropped it before.
    pub(crate) async fn load(
        repository: &Repository,
        view: &View,
        trust: &Trust,
        writer: &WriterKey,
        recipients: &[String],
    ) -> Result<Self, Error> {
        let newest = view.snapshots().rev().find(|snapshot| {
            let own = snapshot.statement.writer == writer.id();
            own && !snapshot.is_copy() && trust.accepts(snapshot)
        });
        let Some(newest) = newest else {
            return Ok(Self::default());
        };
        // Of a run that was sealed anew behind damage the log alone does not tell who opens it.
        let opens = |index: usize| {
            let told = !newest.is_rotated_astray(index);
            told && same_recipients(newest.recipients(index), recipients)
        };
        let first = &newest.statement.runs[0];
        if !opens(0) {
            return Ok(Self::default());
        }
        let runs = newest.statement.runs.iter().enumerate();
        let runs = runs.filter(|(index, _)| opens(*index));
        let runs = runs.map(|(_, run)| run);
        let (job, all) = (&newest.statement.job, &newest.statement.runs);
        let (maps, locks) = futures::try_join!(
            read_maps(repository, job, runs, writer),
            BaseLocks::keep(repository, view, job, all),
        )?;
        if let Some(cache) = &repository.cache {
            let wanted = newest.statement.runs.iter().map(|run| &run.map);
            cache.retain_maps(repository.id(), &newest.statement.job, wanted);
        }
        Ok(match maps.get(&first.run) {
            Some(map) => Self::build(newest.at, newest.statement, map, &maps, locks),
            None => Self::default(),
        })
    }

    fn build(
        at: CommitRef,
        statement: &SnapshotStatement,
        map: &Map,
        maps: &HashMap<RunId, Map>,
        locks: BaseLocks,
    ) -> Self {
        let mut usable = usable_runs(map, maps);
        usable.retain(|run| !locks.loose.contains(run));
        let stored = |origin: &Origin| -> Option<&StoredTags> {
            let map = maps
                .get(&origin.run)
                .filter(|_| usable.contains(&origin.run))?;
            map.stored.get(origin.stream as usize)
        };
        let mut base = Self {
            at: Some(at),
            head: map.head,
            runs: statement.runs.clone(),
            locks,
            ..Self::default()
        };
        for origin in &map.origins {
            let packs = stored(origin)
                .map(|stored| stored.packs().collect())
                .unwrap_or_default();
            base.origins.push(BaseOrigin {
                origin: *origin,
                packs,
            });
        }
        for source in &map.sources {
            for (catalog, ranges) in [(false, &source.content), (true, &source.catalog)] {
                let start = base.chunks.len();
                for range in ranges {
                    let stored = stored(&map.origins[range.origin as usize]);
                    base.append(range, stored);
                }
                let name = (source.name.clone(), catalog);
                base.streams.insert(name, start..base.chunks.len());
            }
        }
        base.by_tag = (0..base.chunks.len() as u32).collect();
        let chunks = &base.chunks;
        base.by_tag
            .sort_unstable_by_key(|&at| (chunks[at as usize].tag, at));
        base
    }

    fn append(&mut self, range: &format::Range, stored: Option<&StoredTags>) {
        for number in range.first..range.first + range.count {
            // Without its tag a chunk can never match; all zeros is no tag that occurs.
            let tag = stored.and_then(|stored| stored.tags.get(number as usize));
            if let Some(&tag) = tag {
                self.chunks.push(BaseChunk {
                    origin: range.origin,
                    number,
                    tag,
                });
            }
        }
    }

    /// Whether a snapshot of the same may name all that this one names.
    pub(crate) fn can_be_named_again(&self) -> bool {
        self.at.is_some() && self.locks.loose.is_empty()
    }

    /// A finder that starts at the beginning of a stream.
    pub(crate) fn cursor(&self, stream: &StreamName) -> Cursor {
        let range = self.streams.get(stream).cloned().unwrap_or(0..0);
        Cursor {
            aligned: range.start,
            jump: range.start,
            end: range.end,
        }
    }

    /// Where a chunk with this tag is stored, if it is.
    ///
    /// Looked for where the base continues after the last match, then at the same position, then anywhere.
    pub(crate) fn find(&self, cursor: &mut Cursor, tag: &Tag) -> Option<(Origin, u32)> {
        let at_position =
            |at: usize| (at < cursor.end && self.chunks[at].tag == *tag).then_some(at);
        let found = at_position(cursor.jump)
            .or_else(|| at_position(cursor.aligned))
            .or_else(|| self.find_anywhere(tag));
        cursor.aligned += 1;
        cursor.jump = found.map_or(cursor.jump, |at| at) + 1;
        let chunk = &self.chunks[found?];
        Some((self.origins[chunk.origin as usize].origin, chunk.number))
    }

    fn find_anywhere(&self, tag: &Tag) -> Option<usize> {
        let tag_at = |at: &u32| self.chunks[*at as usize].tag;
        let first = self.by_tag.partition_point(|at| tag_at(at) < *tag);
        let at = self.by_tag.get(first).filter(|at| tag_at(at) == *tag)?;
        Some(*at as usize)
    }

    /// The run's objects that are needed for the chunks `used` of the given origins.
    pub(crate) fn needed(&self, run: RunId, used: &[(Origin, format::Range)]) -> Option<Run> {
        let listed = self.runs.iter().find(|listed| listed.run == run)?;
        let mut packs = HashSet::new();
        for (origin, range) in used {
            let known = self.origins.iter().find(|known| known.origin == *origin)?;
            let first = known
                .packs
                .partition_point(|(_, chunks)| chunks.end <= range.first);
            let overlaps = known.packs[first..]
                .iter()
                .take_while(|(_, c)| c.start < range.first + range.count);
            packs.extend(overlaps.map(|(pack, _)| *pack));
        }
        let needed: Vec<Pack> = listed
            .packs
            .iter()
            .filter(|pack| packs.contains(&pack.number))
            .copied()
            .collect();
        // A base that does not list a pack it needs must not be built upon.
        (needed.len() == packs.len()).then(|| Run {
            packs: needed,
            ..listed.clone()
        })
    }
}

/// Positions in the base's list of chunks.
#[derive(Clone)]
pub(crate) struct Cursor {
    /// As many chunks after the stream's start as the new stream has.
    aligned: usize,
    /// After the last match.
    jump: usize,
    end: usize,
}

/// Of the runs that the map refers to: those of which enough is in use, at most [`RUNS_TARGET`] less one for the new run.
fn usable_runs(map: &Map, maps: &HashMap<RunId, Map>) -> HashSet<RunId> {
    let mut used: HashMap<RunId, u64> = HashMap::new();
    let streams = map
        .sources
        .iter()
        .flat_map(|source| [&source.content, &source.catalog]);
    for range in streams.flat_map(Ranges::iter) {
        *used
            .entry(map.origins[range.origin as usize].run)
            .or_default() += u64::from(range.count);
    }
    let mut usable: Vec<(u64, RunId)> = used
        .into_iter()
        .filter(|(run, used)| {
            let stored = maps.get(run).map(|map| {
                map.stored
                    .iter()
                    .map(|stored| stored.tags.len() as u64)
                    .sum::<u64>()
            });
            stored.is_some_and(|stored| used * LIVE_SHARE >= stored)
        })
        .map(|(run, used)| (used, run))
        .collect();
    usable.sort_unstable_by(|a, b| b.cmp(a));
    usable
        .into_iter()
        .take(RUNS_TARGET - 1)
        .map(|(_, run)| run)
        .collect()
}

async fn read_maps(
    repository: &Repository,
    job: &JobName,
    runs: impl Iterator<Item = &Run>,
    writer: &WriterKey,
) -> Result<HashMap<RunId, Map>, Error> {
    let maps: Vec<_> = stream::iter(runs)
        .map(|run| read_map(repository, job, run, writer))
        .buffer_unordered(CONCURRENT_READS)
        .collect()
        .await;
    let mut found = HashMap::new();
    for map in maps {
        if let Some((run, map)) = map? {
            found.insert(run, map);
        }
    }
    Ok(found)
}

async fn read_map(
    repository: &Repository,
    job: &JobName,
    run: &Run,
    writer: &WriterKey,
) -> Result<Option<(RunId, Map)>, Error> {
    let name = Name::in_run(job, run.run, "map");
    let is_it = |object: &Bytes| archive::Digest::of(object) == run.map.digest;
    let (id, cache) = (repository.id(), repository.cache.as_ref());
    let kept = cache.and_then(|cache| cache.read_map(id, job, &run.map));
    let kept = kept.filter(is_it);
    let known = kept.is_some();
    let read = match kept {
        Some(kept) => Ok(Some(kept)),
        None => repository.store.read(&name, MANIFEST_MAX).await,
    };
    let object = match read {
        Ok(Some(object)) if is_it(&object) => object,
        Ok(_) | Err(Error::Damaged { .. }) => {
            tracing::warn!(object = %name, "a map is lost: its chunks will be stored again");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if let Some(cache) = cache.filter(|_| !known) {
        cache.keep_map(id, job, &run.map, &object);
    }
    let place = Place {
        repository: repository.id(),
        job: job.clone(),
        run: run.run,
    };
    Ok(Map::open(&object, writer, &place)
        .ok()
        .map(|map| (run.run, map)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use archive::Digest;
    use format::{MappedSource, Object, RepositoryId, WriterId};
    use proptest::prelude::*;

    /// Each run stores one stream; tags repeat, as those of equal chunks do.
    fn maps() -> impl Strategy<Value = Vec<StoredTags>> {
        let frame = (0_u32..3, prop::collection::vec(0_u8..9, 1..5));
        let stored = prop::collection::vec(frame, 1..6).prop_map(|frames| StoredTags {
            frames: frames
                .iter()
                .map(|(pack, tags)| (*pack, tags.len() as u32))
                .collect(),
            tags: frames
                .iter()
                .flat_map(|(_, tags)| tags.iter().map(|tag| [*tag; 16]))
                .collect(),
        });
        prop::collection::vec(stored, 1..4)
    }

    fn origin(run: usize) -> Origin {
        Origin {
            run: RunId([run as u8; 16]),
            stream: 0,
        }
    }

    /// A snapshot of one source whose content is all chunks of all runs, one after the other.
    fn base(stored: &[StoredTags]) -> Base {
        let mut source = MappedSource {
            name: "files".to_owned(),
            ..MappedSource::default()
        };
        for (run, stored) in stored.iter().enumerate() {
            for chunk in 0..stored.tags.len() {
                source.content.push(run as u32, chunk as u32, 1);
            }
        }
        let origins: Vec<Origin> = (0..stored.len()).map(origin).collect();
        let map = |run: usize| Map {
            origins: origins.clone(),
            sources: vec![source.clone()],
            stored: vec![stored[run].clone()],
            ..Map::default()
        };
        let maps = (0..stored.len()).map(|run| (origin(run).run, map(run)));
        let at = CommitRef {
            number: 1,
            digest: Digest([0; 32]),
        };
        let locks = BaseLocks::default();
        Base::build(at, &statement(stored), &map(0), &maps.collect(), locks)
    }

    fn statement(stored: &[StoredTags]) -> SnapshotStatement {
        let object = Object {
            size: 1,
            digest: Digest([0; 32]),
        };
        let runs = stored.iter().enumerate().map(|(run, stored)| {
            let mut packs: Vec<u32> = stored.frames.iter().map(|(pack, _)| *pack).collect();
            packs.sort_unstable();
            packs.dedup();
            let packs = packs.into_iter().map(|number| Pack { number, object });
            Run {
                run: origin(run).run,
                key: object,
                key_pq: None,
                manifest: object,
                map: object,
                packs: packs.collect(),
            }
        });
        SnapshotStatement {
            repository: RepositoryId([1; 16]),
            job: "prod".parse::<JobName>().expect("a job name"),
            writer: WriterId([0; 32]),
            program: String::new(),
            started: String::new(),
            finished: String::new(),
            sources: vec![],
            partial: false,
            entries: 0,
            bytes: 0,
            added: 0,
            recipients: vec![],
            parent: None,
            runs: runs.collect(),
        }
    }

    proptest! {
        #[test]
        fn a_chunk_is_found_by_its_tag_if_and_only_if_it_is_there(
            stored in maps(),
            wanted in prop::collection::vec(0_u8..12, 0..60),
        ) {
            let mut model: BTreeMap<Tag, Vec<(Origin, u32)>> = BTreeMap::new();
            for (run, stored) in stored.iter().enumerate() {
                for (number, tag) in (0..).zip(&stored.tags) {
                    model.entry(*tag).or_default().push((origin(run), number));
                }
            }
            let base = base(&stored);
            for stream in ["files", "elsewhere"] {
                let mut cursor = base.cursor(&(stream.to_owned(), false));
                for tag in wanted.iter().map(|tag| [*tag; 16]) {
                    match (base.find(&mut cursor, &tag), model.get(&tag)) {
                        (None, None) => {}
                        (Some(found), Some(stored)) => prop_assert!(stored.contains(&found)),
                        (found, _) => prop_assert!(false, "{tag:?}: {found:?}"),
                    }
                }
            }
        }

        #[test]
        fn an_unchanged_stream_is_found_where_it_is(stored in maps()) {
            let base = base(&stored);
            let mut cursor = base.cursor(&("files".to_owned(), false));
            for (run, stored) in stored.iter().enumerate() {
                for (number, tag) in (0..).zip(&stored.tags) {
                    prop_assert_eq!(base.find(&mut cursor, tag), Some((origin(run), number)));
                }
            }
        }

        #[test]
        fn the_packs_that_chunks_need_are_those_of_their_frames(
            stored in maps(), first in 0_u32..30, count in 1_u32..9,
        ) {
            let base = base(&stored);
            for (run, stored) in stored.iter().enumerate() {
                let chunks = stored.tags.len() as u32;
                let first = first % chunks;
                let range = format::Range { origin: run as u32, first, count: count.min(chunks - first), length: 1 };
                let mut model: Vec<u32> = stored
                    .frames
                    .iter()
                    .flat_map(|(pack, chunks)| (0..*chunks).map(|_| *pack))
                    .skip(range.first as usize)
                    .take(range.count as usize)
                    .collect();
                model.sort_unstable();
                model.dedup();
                let needed = base.needed(origin(run).run, &[(origin(run), range)]);
                let needed = needed.expect("the commit lists all packs");
                let packs: Vec<u32> = needed.packs.iter().map(|pack| pack.number).collect();
                prop_assert_eq!(packs, model);
            }
        }
    }
}
