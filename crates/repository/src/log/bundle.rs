use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use archive::Digest;
use bytes::Bytes;
use format::{
    BUNDLE_MAX, BUNDLE_TARGET, Bundle, BundlePlace, Commit, CommitRef, JobName, WriterKey,
};

use crate::cache::{Cache, Kept};
use crate::store::{Name, Settled};
use crate::view::{Trust, View};
use crate::{Error, Repository};

/// A bundle is worth making for so many commits that are in none.
const WORTHWHILE: usize = 16;

/// The commits in a part of a bundle. None of them if it is damaged, is gone, may not be read, or was signed by nobody who is trusted to
/// maintain the job: then each is read for itself.
///
/// Who appends to a log cannot exchange what stands in it. So that nobody can by a bundle either, a maintainer signs it, who read each
/// commit where it stands. What it holds is one chain, but the log may have been put back since, and have gone on otherwise: the caller
/// compares its newest commit with that of the log.
pub(super) async fn read(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    number: u64,
    part: u32,
) -> Vec<(u64, Bytes, Arc<Commit>)> {
    let name = Name::bundle(job, number, part);
    let object = match repository.store.read(&name, BUNDLE_MAX).await {
        Ok(Some(object)) => object,
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::debug!(object = %name, %error, "a bundle of commits is not read");
            return Vec::new();
        }
    };
    let (id, job, maintainers) = (repository.id(), job.clone(), trust.maintainers.clone());
    let decode = move || {
        let place = BundlePlace {
            repository: id,
            job: &job,
            number,
            part,
        };
        let (_, bundle) = Bundle::decode(&object, place, |who| maintainers.contains(&who))?;
        let commits = bundle.into_commits().into_iter();
        let decoded = commits.filter_map(|(number, bytes)| {
            let commit = Commit::decode(&bytes, id, &job, number).ok()?;
            Some((number, Bytes::from(bytes), Arc::new(commit)))
        });
        Some(decoded.collect())
    };
    let commits: Option<Vec<_>> = repository.decoding.run(decode).await;
    if commits.is_none() {
        tracing::debug!(object = %name, "a bundle of commits is damaged, or no maintainer's");
    }
    commits.unwrap_or_default()
}

/// Puts the valid commits of `view` into a new bundle and deletes those that are `listed`, if a prune has just `dropped` some or there is
/// something to be gained. For a maintainer, who has read the log; a host that keeps nothing of what it read ([`crate::Cache`]) makes none.
///
/// Nobody needs a bundle: whatever goes wrong costs requests of those who read the log for the first time, and is no error. Cut short,
/// there are parts of a new one beside the old one, and the next prune makes it anew.
pub(crate) async fn renew(
    repository: &Repository,
    job: &JobName,
    view: &View,
    trust: &Trust,
    maintainer: &WriterKey,
    listed: &BTreeSet<(u64, u32)>,
    dropped: bool,
) {
    let (Some(head), Some(cache)) = (view.head(), &repository.cache) else {
        return;
    };
    if !repository.store.is_far() {
        return;
    }
    if !dropped && !is_outdated(repository, job, trust, view, head, listed).await {
        return;
    }
    let mut making = Making {
        repository,
        job,
        maintainer,
        number: head.number,
        parts: BTreeSet::new(),
        whole: true,
    };
    if let Err(error) = making.replace(view, cache, listed).await {
        tracing::debug!(%job, %error, "no bundle of commits is stored");
    }
}

/// The parts that are listed of a bundle.
pub(super) fn parts(listed: &BTreeSet<(u64, u32)>, bundle: u64) -> Vec<u32> {
    let parts = listed.range((bundle, 0)..=(bundle, u32::MAX));
    parts.map(|(_, part)| *part).collect()
}

/// The newest bundle that is listed; 0: there is none. Anybody who may append to the log can put what looks like one.
///
/// The first part is stored last: without it a bundle was cut short.
fn newest(listed: &BTreeSet<(u64, u32)>) -> u64 {
    let first = listed.iter().rev().find(|(_, part)| *part == 0);
    first.map_or(0, |(number, _)| *number)
}

/// Whether a new one is worth making: many commits are not in the newest, or that is not a maintainer's, so that readers pass it over.
async fn is_outdated(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    view: &View,
    head: CommitRef,
    listed: &BTreeSet<(u64, u32)>,
) -> bool {
    if view.valid().count() < WORTHWHILE {
        return false;
    }
    let newest = newest(listed);
    let behind = view.valid().filter(|commit| commit.number > newest);
    if behind.count() >= WORTHWHILE || newest > head.number {
        return true;
    }
    for part in parts(listed, newest) {
        let commits = read(repository, job, trust, newest, part).await;
        if commits.is_empty() {
            return true;
        }
    }
    false
}

/// A bundle that is being made.
struct Making<'a> {
    repository: &'a Repository,
    job: &'a JobName,
    maintainer: &'a WriterKey,
    number: u64,
    /// What is stored of it.
    parts: BTreeSet<(u64, u32)>,
    /// Whether all names were free.
    whole: bool,
}

impl Making<'_> {
    async fn replace(
        &mut self,
        view: &View,
        cache: &Cache,
        listed: &BTreeSet<(u64, u32)>,
    ) -> Result<(), Error> {
        if view.valid().count() >= WORTHWHILE {
            self.store_all(view, cache).await?;
        }
        if !self.whole {
            return Ok(());
        }
        let old = listed.difference(&self.parts);
        let old = old.map(|(number, part)| Name::bundle(self.job, *number, *part).into_path());
        let (log, old) = (Name::log(self.job), old.collect());
        self.repository.store.delete_all(&log, old, &|| ()).await
    }

    /// The parts, the first one last. Where another has the name of one, which somebody else left who was cut short, the rest is not stored
    /// either: a bundle with its first part counts as whole.
    async fn store_all(&mut self, view: &View, cache: &Cache) -> Result<(), Error> {
        let kept = cache.commits(self.repository.id(), self.job);
        let bundles = (0..).zip(bundles(view, kept));
        for (part, bundle) in bundles.collect::<Vec<_>>().into_iter().rev() {
            self.store(bundle, part).await?;
            if !self.whole {
                break;
            }
        }
        Ok(())
    }

    async fn store(&mut self, bundle: Bundle, part: u32) -> Result<(), Error> {
        let place = BundlePlace {
            repository: self.repository.id(),
            job: self.job,
            number: self.number,
            part,
        };
        let object = Bytes::from(bundle.encode(place, self.maintainer));
        let name = Name::bundle(self.job, self.number, part);
        if self.repository.store.settle(&name, &object).await? == Settled::Ours {
            self.parts.insert((self.number, part));
        } else {
            self.whole = false;
        }
        Ok(())
    }
}

/// The valid commits that are `kept`, in as many parts as they need.
fn bundles(view: &View, mut kept: BTreeMap<u64, Kept>) -> Vec<Bundle> {
    let mut bundles = vec![Bundle::default()];
    for commit in view.valid() {
        let kept = kept.remove(&commit.number).map(|kept| kept.bytes);
        let Some(object) = kept.filter(|it| Digest::of(it) == commit.digest) else {
            continue;
        };
        let last = bundles.last_mut().expect("there is one");
        if !last.add(commit.number, &object, BUNDLE_TARGET) {
            // One that is longer than that is alone, or left out if it is too long for any.
            let mut next = Bundle::default();
            next.add(commit.number, &object, BUNDLE_MAX);
            bundles.push(next);
        }
    }
    bundles.retain(|bundle| !bundle.is_empty());
    bundles
}
