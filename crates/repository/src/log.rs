use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use format::{COMMIT_MAX, Commit, CommitError, JobName, RepositoryId};
use futures::stream::{self, FuturesOrdered};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use crate::cache::Kept;
use crate::store::Name;
use crate::view::{Objects, Trust, View};
use crate::{Error, Repository};

mod bundle;

pub(crate) use bundle::renew;

/// Commits that are read at the same time.
const CONCURRENT_READS: usize = 32;

/// Parts of a bundle that are read at the same time.
const PARTS_AT_ONCE: usize = 8;

/// Whoever may write to the bucket can put bundles in front of the one that a maintainer made: so many are looked at.
const BUNDLES_TRIED: usize = 3;

/// How often a log is listed while a prune deletes what was just listed.
const LISTINGS: usize = 8;

/// Numbers that a list lacks and that are asked for by name.
const ASKED_BY_NAME: usize = 16;

/// Commits that a host kept and that one processor decodes at a time: two signatures and some JSON each.
const DECODED_AT_ONCE: usize = 64;

/// So many commits that do not count any more may lie in what this host keeps of a log.
const STALE: usize = 256;

/// The view of a log, of which this host may have kept something.
pub(crate) async fn read(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
) -> Result<View, Error> {
    let (log, known) = Log::remembered(repository, job).await;
    log.read(trust, known).await
}

/// The same, and all objects of the job: one list shows both. For whoever deletes: each commit that this host kept is compared with
/// it, and not the newest alone, and bundles are not looked at.
///
/// What is listed of the runs may be older than the view, or newer: a snapshot of the view may name objects that are not in the list.
pub(crate) async fn read_with_objects(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
) -> Result<(View, Vec<ObjectMeta>), Error> {
    let folder = Name::job(job);
    let repository = &repository.without_bundles();
    let (listed, (mut log, known)) = futures::join!(
        repository.store.list(&folder),
        Log::remembered(repository, job),
    );
    let listed = listed?;
    let commits = listed.iter();
    let commits = commits.filter(|meta| Name::commit_number(job, meta).is_some());
    log.listed = Some(commits.cloned().collect());
    let view = log.read(trust, known).await?;
    Ok((view, listed))
}

/// The view of a log of which one was taken before: only what is new is read.
pub(crate) async fn read_again(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    mut known: Objects,
) -> Result<View, Error> {
    let log = Log::of(repository, job);
    // What was no commit may have been read badly.
    known.retain(|_, object| object.is_ok());
    log.read(trust, known).await
}

/// A log that is being read.
struct Log<'a> {
    repository: &'a Repository,
    job: &'a JobName,
    /// Tags of what this host kept, and of what is listed.
    tags: BTreeMap<u64, String>,
    /// Whether what is known was read by an earlier process: the log may be another one now.
    remembers: bool,
    /// What was read from the store, to be kept.
    fresh: BTreeMap<u64, Bytes>,
    /// All of the log, where somebody has just listed it.
    listed: Option<Vec<ObjectMeta>>,
    /// What came out of bundles, to be kept without a tag: nobody has read it in its place.
    bundled: BTreeMap<u64, Bytes>,
    /// The parts of bundles that are listed, by number.
    bundles: BTreeSet<(u64, u32)>,
}

impl<'a> Log<'a> {
    fn of(repository: &'a Repository, job: &'a JobName) -> Self {
        Self {
            repository,
            job,
            tags: BTreeMap::new(),
            remembers: false,
            fresh: BTreeMap::new(),
            listed: None,
            bundled: BTreeMap::new(),
            bundles: BTreeSet::new(),
        }
    }

    /// With what this host kept of it.
    async fn remembered(repository: &'a Repository, job: &'a JobName) -> (Self, Objects) {
        let (mut log, mut known) = (Self::of(repository, job), Objects::default());
        if let Some(cache) = &repository.cache {
            let (cache, name, id) = (Arc::clone(cache), job.clone(), repository.id());
            let commits = move || cache.commits(id, &name).into_iter().collect::<Vec<_>>();
            let mut commits = repository.decoding.run(commits).await;
            let mut decoding = FuturesOrdered::new();
            while !commits.is_empty() {
                let some = commits.split_off(commits.len().saturating_sub(DECODED_AT_ONCE));
                let job = job.clone();
                let decode = move || decode_kept(&job, id, some);
                decoding.push_back(repository.decoding.run(decode));
            }
            while let Some(decoded) = decoding.next().await {
                for (number, commit, tag) in decoded {
                    known.insert(number, Ok(commit));
                    log.tags.insert(number, tag);
                }
            }
            log.remembers = !known.is_empty();
        }
        (log, known)
    }

    /// The view of it, with what is `known` of it; what was read is kept.
    async fn read(mut self, trust: &Trust, known: Objects) -> Result<View, Error> {
        let kept: BTreeSet<u64> = known.keys().copied().collect();
        let view = self.view(trust, known).await?;
        self.keep(&view, &kept);
        Ok(view)
    }

    /// Lists the log, reads what `known` does not have, and takes the view.
    ///
    /// Commits that are in `known` are not read again: none is ever rewritten, and one that a prune deleted counts for nothing, for the
    /// prune's commit is above it.
    async fn view(&mut self, trust: &Trust, mut known: Objects) -> Result<View, Error> {
        let mut listings = 1;
        loop {
            let numbers = self.list(&mut known).await?;
            let bundled = self.read_bundles(trust, &numbers, &mut known).await?;
            let mut gone = self.read_unknown(numbers, &mut known).await?;
            let mut view = View::of(self.job, known, trust)?;
            if !bundled.is_empty() && view.newest_damage().is_some() {
                // What is damaged is said of what is stored.
                known = view.into_objects();
                known.retain(|number, _| !bundled.contains_key(number));
                let numbers = bundled.into_keys().collect();
                gone.extend(self.read_unknown(numbers, &mut known).await?);
                view = View::of(self.job, known, trust)?;
            } else {
                self.bundled.extend(bundled);
            }
            let in_force = view.in_force().map_or(0, |(at, _)| at.number);
            // What was listed and is gone was deleted by a prune. It may have come after the list: then what it retains and what
            // follows it would seem to hang in the air.
            if gone.iter().all(|number| *number < in_force) || listings == LISTINGS {
                return self.ask_by_name(trust, view).await;
            }
            listings += 1;
            known = view.into_objects();
        }
    }

    /// The numbers from the newest known commit on, if the store still has that; otherwise all, and what is known becomes what is
    /// listed.
    async fn list(&mut self, known: &mut Objects) -> Result<BTreeSet<u64>, Error> {
        let log = Name::log(self.job);
        let store = &self.repository.store;
        if let Some(listed) = self.listed.take() {
            return Ok(self.compare(&listed, known));
        }
        if let Some(tail) = known.keys().next_back().copied() {
            let before = Name::commit(self.job, tail - 1);
            let listed = store.list_after(&log, &before).await?;
            if listed.iter().any(|meta| self.is(tail, meta)) {
                return Ok(self.numbers(&listed));
            }
        }
        let listed = store.list(&log).await?;
        Ok(self.compare(&listed, known))
    }

    /// The numbers of all that is listed, which is the whole log; what is known becomes what is among it.
    fn compare(&mut self, listed: &[ObjectMeta], known: &mut Objects) -> BTreeSet<u64> {
        let there: BTreeSet<u64> = listed
            .iter()
            .filter_map(|meta| {
                let number = Name::commit_number(self.job, meta)?;
                self.is(number, meta).then_some(number)
            })
            .collect();
        known.retain(|number, _| there.contains(number));
        self.remembers = false;
        self.numbers(listed)
    }

    /// Whether an object is the commit that is known under that number.
    fn is(&self, number: u64, meta: &ObjectMeta) -> bool {
        Name::commit_number(self.job, meta) == Some(number)
            && (!self.remembers || meta.e_tag.as_ref() == self.tags.get(&number))
    }

    fn numbers(&mut self, listed: &[ObjectMeta]) -> BTreeSet<u64> {
        let mut numbers = BTreeSet::new();
        for meta in listed {
            if let Some(bundle) = Name::bundle_part(self.job, meta) {
                self.bundles.insert(bundle);
            }
            let Some(number) = Name::commit_number(self.job, meta) else {
                continue;
            };
            numbers.insert(number);
            if let Some(tag) = &meta.e_tag {
                self.tags.insert(number, tag.clone());
            }
        }
        numbers
    }

    /// Above the prune in force no number is missing. Where one is, a commit was lost, or the list is not up to date, as lists of some
    /// stores are not: who took that for the log would append what nobody else counts.
    async fn ask_by_name(&mut self, trust: &Trust, view: View) -> Result<View, Error> {
        let missing: BTreeSet<u64> = view.missing().take(ASKED_BY_NAME).collect();
        if missing.is_empty() {
            return Ok(view);
        }
        let mut known = view.into_objects();
        self.read_unknown(missing, &mut known).await?;
        View::of(self.job, known, trust)
    }

    /// Adds to `known` what bundles have of `numbers`, which are all that is listed, where that spares requests. Returns what was added, as
    /// it would stand in the store.
    async fn read_bundles(
        &mut self,
        trust: &Trust,
        numbers: &BTreeSet<u64>,
        known: &mut Objects,
    ) -> Result<BTreeMap<u64, Bytes>, Error> {
        let mut taken = BTreeMap::new();
        let Some(tail) = numbers.last().filter(|_| self.repository.bundles) else {
            return Ok(taken);
        };
        let listed: BTreeSet<u64> = self.bundles.iter().map(|(number, _)| *number).collect();
        for bundle in listed.range(..=tail).rev().take(BUNDLES_TRIED) {
            let unknown = numbers.range(..=bundle);
            let unknown: BTreeSet<u64> = unknown
                .copied()
                .filter(|number| !known.contains_key(number))
                .collect();
            let parts = bundle::parts(&self.bundles, *bundle);
            // One request more than its parts.
            if unknown.len() <= parts.len() + 1 {
                continue;
            }
            let found = self.read_bundle(trust, *bundle, parts, numbers).await?;
            let newest = found.keys().next_back().copied();
            for (number, (bytes, commit)) in found {
                if !unknown.contains(&number) {
                    continue;
                }
                known.insert(number, Ok(commit));
                if Some(number) == newest {
                    self.fresh.insert(number, bytes);
                } else {
                    taken.insert(number, bytes);
                }
            }
        }
        Ok(taken)
    }

    /// What a bundle has of `numbers`; nothing if the newest of these is not the one that the log has. If it is, so are the others, for each
    /// names the one before it.
    async fn read_bundle(
        &self,
        trust: &Trust,
        bundle: u64,
        parts: Vec<u32>,
        numbers: &BTreeSet<u64>,
    ) -> Result<BTreeMap<u64, (Bytes, Arc<Commit>)>, Error> {
        let (repository, job) = (self.repository, self.job);
        let parts = stream::iter(parts)
            .map(|part| bundle::read(repository, job, trust, bundle, part))
            .buffer_unordered(PARTS_AT_ONCE);
        let commits: Vec<_> = parts.collect().await;
        let commits = commits.into_iter().flatten();
        let commits = commits.filter(|(number, ..)| numbers.contains(number));
        let found: BTreeMap<u64, _> = commits
            .map(|(number, bytes, commit)| (number, (bytes, commit)))
            .collect();
        let Some((number, (bytes, _))) = found.last_key_value() else {
            return Ok(found);
        };
        let stored = read_one(repository, job, *number).await?;
        let same = stored.is_some_and(|(stored, _)| stored == *bytes);
        Ok(if same { found } else { BTreeMap::new() })
    }

    /// Reads those of `numbers` that are not `known`; returns those that are not there.
    async fn read_unknown(
        &mut self,
        numbers: BTreeSet<u64>,
        known: &mut Objects,
    ) -> Result<Vec<u64>, Error> {
        let unknown: Vec<u64> = numbers
            .into_iter()
            .filter(|number| !known.contains_key(number))
            .collect();
        let (repository, job) = (self.repository, self.job);
        let mut reads = stream::iter(unknown)
            .map(async |number| Ok::<_, Error>((number, read_one(repository, job, number).await?)))
            .buffer_unordered(CONCURRENT_READS);
        let mut gone = Vec::new();
        while let Some((number, object)) = reads.try_next().await? {
            match object {
                Some((bytes, commit)) => {
                    if commit.is_ok() && repository.cache.is_some() {
                        self.fresh.insert(number, bytes);
                    }
                    known.insert(number, commit);
                }
                None => gone.push(number),
            }
        }
        Ok(gone)
    }

    /// Keeps what was read, for those who come later. `kept` was known before.
    fn keep(&mut self, view: &View, kept: &BTreeSet<u64>) {
        let Some(cache) = &self.repository.cache else {
            return;
        };
        let mut fresh = BTreeMap::new();
        for (number, bytes) in std::mem::take(&mut self.bundled) {
            let tag = String::new();
            fresh.insert(number, Kept { bytes, tag });
        }
        for (number, bytes) in std::mem::take(&mut self.fresh) {
            if let Some(tag) = self.tags.remove(&number) {
                fresh.insert(number, Kept { bytes, tag });
            }
        }
        let id = self.repository.id();
        let known: BTreeSet<u64> = view.numbers().collect();
        let lost = kept.iter().any(|number| !known.contains(number));
        let stale = kept.iter().filter(|number| !view.counts(**number)).count();
        if lost || stale > STALE {
            let mut all = cache.commits(id, self.job);
            all.retain(|number, _| known.contains(number) && view.counts(*number));
            all.extend(fresh);
            cache.replace(id, self.job, &all);
        } else {
            cache.add(id, self.job, &fresh);
        }
    }
}

/// Those that are commits of the log; what is none is read from the store.
fn decode_kept(
    job: &JobName,
    id: RepositoryId,
    kept: Vec<(u64, Kept)>,
) -> Vec<(u64, Arc<Commit>, String)> {
    let decoded = kept.into_iter().filter_map(|(number, kept)| {
        let commit = Commit::decode(&kept.bytes, id, job, number).ok()?;
        Some((number, Arc::new(commit), kept.tag))
    });
    decoded.collect()
}

/// `None`: there is none.
async fn read_one(
    repository: &Repository,
    job: &JobName,
    number: u64,
) -> Result<Option<(Bytes, Result<Arc<Commit>, CommitError>)>, Error> {
    let name = Name::commit(job, number);
    match repository.store.read(&name, COMMIT_MAX).await {
        Ok(Some(object)) => {
            let (bytes, id, job) = (object.clone(), repository.id(), job.clone());
            let decode = move || Commit::decode(&bytes, id, &job, number);
            let commit = repository.decoding.run(decode).await;
            Ok(Some((object, commit.map(Arc::new))))
        }
        Ok(None) => Ok(None),
        Err(Error::Damaged { .. }) => Ok(Some((Bytes::new(), Err(CommitError::Shape)))),
        Err(error) => Err(error),
    }
}
