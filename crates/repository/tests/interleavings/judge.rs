//! What must hold after every step, told from the stored bytes alone. Written from docs/format/v1.md, not from the code that
//! it judges: they share how a commit is decoded, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash};

use format::{Commit, CommitRef, KeyName, RepositoryId, RotatedRun, RunId, Statement, WriterId};

use crate::bucket::{Bucket, Change};
use crate::common::job;
use crate::parking::ActorId;

pub(crate) struct Judge {
    repository: RepositoryId,
    maintainers: Vec<WriterId>,
    /// Objects of the log; `None` is one that is no commit.
    log: BTreeMap<u64, Option<Commit>>,
    /// The valid ones.
    valid: Vec<CommitRef>,
    /// Numbers that were given to a second commit after the first one was deleted.
    reused: BTreeSet<u64>,
    /// Snapshots that must be valid: they were at some time, and no prune dropped them.
    expected: BTreeMap<CommitKey, &'static str>,
    /// Snapshots that a prune dropped.
    dropped: BTreeSet<CommitKey>,
    /// Snapshots that were reported as pinned.
    pinned: BTreeSet<CommitKey>,
    /// What prunes that were in force condemned: a run whole, or a pack of it.
    condemned: BTreeSet<(RunId, Option<u32>)>,
    /// Key objects that rotations put in the place of a run's own, the last one of each run.
    rotated: BTreeMap<RunId, RotatedRun>,
    /// Who made a run.
    owners: BTreeMap<RunId, ActorId>,
    /// Runs for which a commit was attempted.
    attempted: BTreeSet<RunId>,
}

type CommitKey = (u64, [u8; 32]);

fn key(at: CommitRef) -> CommitKey {
    (at.number, at.digest.0)
}

/// What went wrong, in a sentence.
pub(crate) type Verdict = Result<(), String>;

impl Judge {
    pub(crate) fn new(
        repository: RepositoryId,
        maintainers: Vec<WriterId>,
        bucket: &Bucket,
    ) -> Self {
        let mut judge = Self {
            repository,
            maintainers,
            log: BTreeMap::new(),
            valid: Vec::new(),
            reused: BTreeSet::new(),
            expected: BTreeMap::new(),
            dropped: BTreeSet::new(),
            pinned: BTreeSet::new(),
            condemned: BTreeSet::new(),
            rotated: BTreeMap::new(),
            owners: BTreeMap::new(),
            attempted: BTreeSet::new(),
        };
        for (name, _) in bucket.below("prod/log") {
            judge.read_commit(name, bucket);
        }
        judge.take_view();
        judge
    }

    /// The valid snapshots as the rules say, ascending.
    pub(crate) fn snapshots(&self) -> Vec<CommitRef> {
        let snapshot = |at: &&CommitRef| self.snapshot(**at).is_some();
        self.valid.iter().filter(snapshot).copied().collect()
    }

    /// The newest valid commit.
    pub(crate) fn head(&self) -> Option<CommitRef> {
        self.valid.last().copied()
    }

    pub(crate) fn snapshot(&self, at: CommitRef) -> Option<&Commit> {
        let commit = self.log.get(&at.number)?.as_ref()?;
        let is_it =
            matches!(commit.statement, Statement::Snapshot(_)) && commit.digest == at.digest;
        is_it.then_some(commit)
    }

    pub(crate) fn owns(&mut self, run: RunId, actor: ActorId) {
        self.owners.insert(run, actor);
    }

    /// Somebody tries to create this commit.
    pub(crate) fn attempt(&mut self, object: &[u8]) {
        let text = String::from_utf8_lossy(object);
        let runs: Vec<RunId> = self.owners.keys().copied().collect();
        self.attempted.extend(
            runs.iter()
                .filter(|run| text.contains(&run.to_string()))
                .copied(),
        );
    }

    /// A snapshot was reported as committed.
    pub(crate) fn committed(&mut self, at: CommitRef) -> Verdict {
        if self.valid.contains(&at) {
            self.expected.insert(key(at), "was reported as committed");
            return Ok(());
        }
        if self.dropped.contains(&key(at)) {
            return Ok(());
        }
        Err(format!(
            "snapshot {} was reported as committed, and is not valid",
            at.number
        ))
    }

    /// A snapshot was reported as pinned.
    pub(crate) fn pinned(&mut self, at: CommitRef) -> Verdict {
        let number = at.number;
        if !self.valid.contains(&at) {
            return Err(format!(
                "snapshot {number} was reported as pinned, and is not valid"
            ));
        }
        self.pinned.insert(key(at));
        Ok(())
    }

    /// A snapshot could not be restored.
    pub(crate) fn unreadable(&self, at: CommitRef) -> Verdict {
        if self.valid.contains(&at) {
            return Err(format!(
                "snapshot {} is valid, and cannot be restored",
                at.number
            ));
        }
        Ok(())
    }

    /// Judges a change that was just made by `actor`.
    pub(crate) fn changed(&mut self, change: &Change, actor: ActorId, bucket: &Bucket) -> Verdict {
        match change {
            Change::Created(name) => self.created(name, bucket)?,
            Change::Deleted(name) => self.deleted(name, actor)?,
        }
        self.whole(bucket)
    }

    fn created(&mut self, name: &str, bucket: &Bucket) -> Verdict {
        let again = bucket.times_created(name) > 1;
        if let Some(number) = number_of(name) {
            if again {
                self.reused.insert(number);
            }
            self.read_commit(name, bucket);
            return self.take_view_and_compare();
        }
        // Who does not know yet of a prune may write in a run that is gone, again if an answer was lost. No valid commit can name that,
        // so that it does not matter when it is deleted.
        let gone = run_of(name).is_some_and(|(run, _)| self.condemned.contains(&(run, None)));
        if again && !gone {
            return Err(format!("{name} was created twice"));
        }
        Ok(())
    }

    fn deleted(&mut self, name: &str, actor: ActorId) -> Verdict {
        let refused = |why: &str| Err(format!("{name} was deleted, {why}"));
        if let Some(number) = number_of(name) {
            let highest = self.log.keys().next_back().copied();
            let commit = self.log.remove(&number).flatten();
            let Some(in_force) = self.in_force() else {
                return refused("and no prune is in force");
            };
            if number >= in_force.log.number || Some(number) == highest {
                return refused("which is not below the prune in force");
            }
            if commit.is_some_and(|commit| retained(in_force).contains(&reference(&commit))) {
                return refused("which the prune in force retains");
            }
            return self.take_view_and_compare();
        }
        let Some((run, object)) = run_of(name) else {
            return refused("which is no object of a run");
        };
        let pack = object
            .strip_prefix("pack-")
            .and_then(|number| number.parse().ok());
        let condemned = self.condemned.contains(&(run, None))
            || pack.is_some_and(|pack| self.condemned.contains(&(run, Some(pack))));
        let own = self.owners.get(&run) == Some(&actor) && !self.attempted.contains(&run);
        let rotated = self.rotated.get(&run).map(|rotated| rotated.object);
        let key = object.parse::<KeyName>().ok();
        let replaced = key.zip(rotated).is_some_and(|(key, now)| key < now);
        if condemned || own || replaced {
            Ok(())
        } else {
            refused("which no prune that was in force condemns")
        }
    }

    fn read_commit(&mut self, name: &str, bucket: &Bucket) {
        let Some(number) = number_of(name) else {
            return;
        };
        let bytes = bucket.get(name).map(|stored| &stored.bytes);
        let commit =
            bytes.and_then(|bytes| Commit::decode(bytes, self.repository, &job(), number).ok());
        self.log.insert(number, commit);
    }

    fn take_view_and_compare(&mut self) -> Verdict {
        let before = std::mem::take(&mut self.valid);
        self.take_view();
        for at in &before {
            if !self.valid.contains(at) {
                self.drop_snapshot(*at, &before)?;
            }
        }
        match self
            .valid
            .iter()
            .find(|at| self.reused.contains(&at.number))
        {
            Some(at) => Err(format!(
                "commit {} is valid in a place that was another's",
                at.number
            )),
            None => Ok(()),
        }
    }

    /// `at` is not valid any more.
    fn drop_snapshot(&mut self, at: CommitRef, before: &[CommitRef]) -> Verdict {
        let number = at.number;
        let Some(in_force) = self.in_force().filter(|it| it.log.number > number) else {
            return Err(format!(
                "commit {number} is not valid any more, and no prune dropped it"
            ));
        };
        if self.pinned.contains(&key(at)) {
            return Err(format!(
                "prune {} dropped {number}, which is pinned",
                in_force.log.number
            ));
        }
        // Copies are of older snapshots, in all that is played here.
        let below = before.iter().rfind(|at| {
            at.number < in_force.log.number
                && self.log.get(&at.number).is_some_and(|commit| {
                    commit.as_ref().is_some_and(|commit| {
                        matches!(commit.statement, Statement::Snapshot(_))
                            && commit.log.copied.is_none()
                    })
                })
        });
        if below == Some(&at) {
            return Err(format!(
                "prune {} dropped {number}, the newest snapshot below it",
                in_force.log.number
            ));
        }
        self.expected.remove(&key(at));
        self.dropped.insert(key(at));
        Ok(())
    }

    /// "Commit rules", view.
    fn take_view(&mut self) {
        let in_force = self.in_force();
        let from = in_force.map_or(0, |commit| commit.log.number);
        let retained = in_force.map(retained).unwrap_or_default();
        let condemned: Vec<_> = in_force.map(condemned).unwrap_or_default();
        let mut valid: Vec<CommitRef> = Vec::new();
        for (number, commit) in &self.log {
            let Some(commit) = commit else {
                continue;
            };
            let at = reference(commit);
            let follows = commit.log.previous.map(|previous| previous.0)
                == valid.last().map(|last| last.digest);
            let counts = match number.cmp(&from) {
                std::cmp::Ordering::Less => retained.contains(&at),
                std::cmp::Ordering::Equal => true,
                std::cmp::Ordering::Greater => follows,
            };
            if counts {
                valid.push(at);
            }
        }
        self.condemned.extend(condemned);
        self.rotated = self.rotations(&valid);
        for at in &valid {
            self.expected.entry(key(*at)).or_insert("was valid");
        }
        self.valid = valid;
    }

    fn rotations(&self, valid: &[CommitRef]) -> BTreeMap<RunId, RotatedRun> {
        let mut rotated = BTreeMap::new();
        let commits = valid.iter().filter_map(|at| self.log[&at.number].as_ref());
        for commit in commits {
            let by = [commit.statement.made_for().2, commit.log.appender];
            if let Statement::Rotate(rotate) = &commit.statement
                && by.iter().all(|it| self.maintainers.contains(it))
            {
                rotated.extend(rotate.runs.iter().map(|run| (run.run, *run)));
            }
        }
        rotated
    }

    fn in_force(&self) -> Option<&Commit> {
        let commits = self.log.values().rev().flatten();
        let mut prunes = commits.filter(|commit| matches!(commit.statement, Statement::Prune(_)));
        prunes.find(|commit| {
            let (_, _, writer) = commit.statement.made_for();
            self.maintainers.contains(&writer) && self.maintainers.contains(&commit.log.appender)
        })
    }

    /// Every valid snapshot names only what is there, and what was valid or reported is.
    fn whole(&self, bucket: &Bucket) -> Verdict {
        for at in &self.valid {
            let Some(commit) = self.snapshot(*at) else {
                continue;
            };
            let runs = commit.runs();
            let objects = runs.iter().flat_map(|run| {
                let rotated = self.rotated.get(&run.run);
                let keys = rotated.map_or_else(|| run.keys(), RotatedRun::keys);
                run.objects(keys)
                    .map(|(name, object)| (run.run, name, object))
            });
            for (run, object, named) in objects {
                let name = format!("prod/runs/{run}/{object}");
                let stored = bucket.get(&name);
                if stored.is_none_or(|stored| stored.digest != named.digest) {
                    let what = stored.map_or("is gone", |_| "is another");
                    return Err(format!(
                        "snapshot {} is valid, and {name} {what}",
                        at.number
                    ));
                }
            }
        }
        let valid: BTreeSet<CommitKey> = self.valid.iter().map(|at| key(*at)).collect();
        match self.expected.iter().find(|(at, _)| !valid.contains(*at)) {
            Some(((number, _), why)) => Err(format!(
                "snapshot {number} {why}, no prune dropped it, and it is not valid"
            )),
            None => Ok(()),
        }
    }

    /// What it remembers of the past that the bucket does not show.
    pub(crate) fn hash(&self, hasher: &mut DefaultHasher) {
        self.expected.len().hash(hasher);
        self.dropped.len().hash(hasher);
        self.condemned.hash(hasher);
        self.rotated.len().hash(hasher);
        self.attempted.hash(hasher);
    }
}

fn reference(commit: &Commit) -> CommitRef {
    CommitRef {
        number: commit.log.number,
        digest: commit.digest,
    }
}

fn retained(prune: &Commit) -> Vec<CommitRef> {
    let Statement::Prune(statement) = &prune.statement else {
        return Vec::new();
    };
    let retains = statement.retains.iter();
    let reference = |(number, digest): &(u64, format::DigestText)| CommitRef {
        number: *number,
        digest: digest.0,
    };
    retains.map(reference).collect()
}

fn condemned(prune: &Commit) -> Vec<(RunId, Option<u32>)> {
    let Statement::Prune(statement) = &prune.statement else {
        return Vec::new();
    };
    let mut condemned = Vec::new();
    for gone in &statement.condemns {
        if gone.whole {
            condemned.push((gone.run, None));
        }
        condemned.extend(gone.packs.iter().map(|pack| (gone.run, Some(*pack))));
    }
    condemned
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("prod/log/")?.parse().ok()
}

fn run_of(name: &str) -> Option<(RunId, &str)> {
    let (run, object) = name.strip_prefix("prod/runs/")?.split_once('/')?;
    Some((run.parse().ok()?, object))
}
