use std::collections::{HashMap, HashSet};

use format::{JobName, Run, RunId};

use crate::store::{Held, KeptLock, Name};
use crate::view::View;
use crate::{Error, Repository};

/// How the objects are locked that a backup may refer to, where a lock is asked for.
#[derive(Default)]
pub(crate) struct BaseLocks {
    /// By object, the lock that it has since the backup began.
    held: HashMap<Name, Held>,
    /// Runs of which something would be locked for too short a time. Nothing may refer to them.
    pub(super) loose: HashSet<RunId>,
}

impl BaseLocks {
    /// Locks anew what these runs consist of, where less than half of the lock's time is left. What cannot be looked at or locked, by
    /// this host or at all, is said once a run; an error is that the store does not answer.
    pub(super) async fn keep(
        repository: &Repository,
        view: &View,
        job: &JobName,
        runs: &[Run],
    ) -> Result<Self, Error> {
        let mut locks = Self::default();
        let runs: HashMap<Name, RunId> = objects(view, job, runs.iter()).collect();
        let names = runs.keys().cloned().chain(standing(view, job));
        let kept = repository.store.keep_locked(names.collect()).await?;
        let mut loose_commits = 0;
        for KeptLock { name, held } in kept.into_iter().flatten() {
            match (held, runs.get(&name)) {
                (Ok(held), _) => drop(locks.held.insert(name, held)),
                (Err(failure), Some(run)) if locks.loose.insert(*run) => {
                    tracing::warn!(object = %name, %failure, "cannot be kept locked: what its run holds will be stored again");
                }
                (Err(_), Some(_)) => {}
                // They are small and never change, and are brought back from any copy of them.
                (Err(failure), None) => {
                    if loose_commits == 0 {
                        tracing::warn!(object = %name, %failure, "cannot be kept locked");
                    }
                    loose_commits += 1;
                }
            }
        }
        if loose_commits > 1 {
            tracing::warn!(%job, commits = loose_commits, "cannot be kept locked");
        }
        Ok(locks)
    }

    /// Before a commit refers to `runs`: what has come to less than half of the lock's time while the backup went on is locked anew.
    pub(crate) async fn keep_on(
        &self,
        repository: &Repository,
        view: &View,
        job: &JobName,
        runs: impl Iterator<Item = &Run>,
    ) -> Result<(), Error> {
        let objects = objects(view, job, runs);
        let names = objects.map(|(name, _)| name).chain(standing(view, job));
        let kept = names.filter_map(|name| Some((name.clone(), *self.held.get(&name)?)));
        repository.store.keep_on(kept.collect()).await
    }
}

/// What every reader needs, whichever runs a snapshot consists of: what the repository is, and the commits without which others are seen
/// as they are not to be: the prune in force and all above it, for behind one that is gone no other counts, and the last word on keys, writers
/// and pins.
pub(crate) fn standing<'v>(view: &'v View, job: &'v JobName) -> impl Iterator<Item = Name> + 'v {
    let commits = view.standing().into_iter();
    let commits = commits.map(move |commit| Name::commit(job, commit.number));
    commits.chain([Name::description()])
}

/// What these runs consist of, each object with its run.
fn objects<'r>(
    view: &View,
    job: &JobName,
    runs: impl Iterator<Item = &'r Run>,
) -> impl Iterator<Item = (Name, RunId)> {
    runs.flat_map(|run| {
        let objects = run.objects(view.keys_of(run));
        objects.map(|(name, _)| (Name::in_run(job, run.run, &name), run.run))
    })
}
