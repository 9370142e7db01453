use std::collections::BTreeMap;

use archive::Digest;
use bytes::Bytes;
use format::{JobName, KeyName, KeyPair, Object, Rotated, Run, RunId, StoredRun};
use futures::{StreamExt, TryStreamExt, stream};

use super::Copying;
use crate::packer::create_new;
use crate::store::Name;
use crate::view::{Opening, Valid, View};
use crate::{Error, Repository};

/// Objects that are read and stored at the same time, each held in memory.
const CONCURRENT: usize = 3;

/// What was stored for a snapshot that is being copied, under names that no commit names yet.
pub(super) struct Stored {
    /// The other log's tail when the first of these names was drawn.
    pub(super) since: u64,
    /// Whether a commit that names them may be there.
    pub(super) attempted: bool,
    runs: BTreeMap<usize, Fresh>,
}

/// A run under its new name.
pub(super) struct Fresh {
    run: RunId,
    /// What opens it where it is read.
    opening: Opening,
    /// By name, the bytes of what is durable.
    objects: BTreeMap<String, u64>,
}

impl Stored {
    pub(super) fn since(tail: u64) -> Self {
        Self {
            since: tail,
            attempted: false,
            runs: BTreeMap::new(),
        }
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = RunId> {
        self.runs.values().map(|fresh| fresh.run)
    }

    pub(super) fn bytes(&self) -> u64 {
        let runs = self.runs.values();
        runs.flat_map(|fresh| fresh.objects.values()).sum()
    }

    /// Whether a prune has these names on its list.
    pub(super) fn is_condemned(&self, there: &View) -> bool {
        self.runs().any(|run| there.condemns_after(self.since, run))
    }

    /// Run number `index` of the snapshot, and what opens it. One that was begun with other keys is begun anew.
    pub(super) fn run(
        &mut self,
        index: usize,
        opening: &Opening,
        new: impl Fn() -> RunId,
    ) -> &mut Fresh {
        let fresh = || Fresh {
            run: new(),
            opening: opening.clone(),
            objects: BTreeMap::new(),
        };
        let known = self.runs.entry(index).or_insert_with(fresh);
        if known.opening.keys != opening.keys {
            *known = fresh();
        }
        known
    }
}

impl Fresh {
    /// What the log says of it.
    pub(super) fn place(&self, snapshot: &Valid<'_>, index: usize) -> StoredRun {
        let original = &snapshot.statement.runs[index];
        let Opening { keys, recipients } = &self.opening;
        let same = (keys.key, keys.key_pq) == (original.key, original.key_pq);
        StoredRun {
            run: self.run,
            rotated: (!same).then(|| Rotated {
                key: keys.key,
                key_pq: keys.key_pq,
                recipients: recipients.clone(),
            }),
        }
    }
}

/// Stores what is still missing of a run; on return all of it is durable.
///
/// Every object is compared with what its commit says before it is stored.
pub(super) async fn transfer(
    copying: &Copying,
    run: &Run,
    fresh: &mut Fresh,
    each: &(dyn Fn(u64) + Sync),
) -> Result<(), Error> {
    let job = &copying.options.maintenance.job;
    // Whatever a rotation called them, here they are the run's first.
    let keys = KeyPair {
        name: KeyName::ORIGINAL,
        ..fresh.opening.keys
    };
    let sources = run.objects(fresh.opening.keys);
    let targets = run.objects(keys).map(|(name, _)| name);
    let missing: Vec<(String, String, Object)> = sources
        .zip(targets)
        .map(|((source, object), target)| (source, target, object))
        .filter(|(_, target, _)| !fresh.objects.contains_key(target))
        .collect();
    let place = fresh.run;
    let mut done = stream::iter(missing)
        .map(async |(source, target, object)| {
            let bytes = read(copying, &Name::in_run(job, run.run, &source), object).await?;
            let name = Name::in_run(job, place, &target);
            create_new(&copying.to.store, &name, bytes).await?;
            each(object.size);
            Ok::<_, Error>((target, object.size))
        })
        .buffer_unordered(CONCURRENT);
    while let Some((name, size)) = done.try_next().await? {
        fresh.objects.insert(name, size);
    }
    Ok(())
}

async fn read(copying: &Copying, name: &Name, object: Object) -> Result<Bytes, Error> {
    let bytes = copying.from.store.read(name, object.size).await?;
    let bytes = bytes.ok_or_else(|| Error::Missing {
        object: name.to_string(),
    })?;
    let hashed = bytes.clone();
    let digest = copying
        .options
        .compute
        .run(move || Digest::of(&hashed))
        .await;
    if bytes.len() as u64 != object.size || digest != object.digest {
        let detail = "its bytes are not those that were written";
        return Err(Error::damaged(name.to_string(), detail));
    }
    Ok(bytes)
}

/// Removes what nobody can name: no commit was attempted. What cannot be removed stays, and `verify` counts it.
pub(super) async fn remove(repository: &Repository, job: &JobName, stored: &Stored) {
    for run in stored.runs() {
        let folder = Name::run(job, run);
        let objects = repository.store.list(&folder).await.unwrap_or_default();
        for object in objects {
            if let Err(error) = repository.store.delete(&object.location).await {
                tracing::debug!(object = %object.location, %error, "an object of a copy that was given up stays");
            }
        }
    }
}
