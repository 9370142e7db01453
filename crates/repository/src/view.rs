use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use archive::Digest;
use format::{
    Commit, CommitError, CommitRef, JobName, KeyPair, Log, Object, PruneStatement, RepositoryId,
    Run, RunId, SnapshotStatement, Statement, StoredRun, WriterId,
};

use crate::Error;
use crate::effects::{Effects, Revocation, Rotation};

/// Whom a reader believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Whose snapshots it accepts.
    pub writers: HashSet<WriterId>,
    /// Whose prunes, forgets, revocations and rotations it honours.
    pub maintainers: HashSet<WriterId>,
}

/// The valid commits of a job, computed from the objects of its log and a [`Trust`] alone: docs/format/v1.md, "Commit
/// rules".
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Every object of the log, so that a later view reads only what is new: no object is ever rewritten.
    objects: Objects,
    valid: Vec<Arc<Commit>>,
    /// The snapshots among them in the order in which they were taken.
    snapshots: Vec<Arc<Commit>>,
    stray: Vec<Arc<Commit>>,
    garbage: Vec<Garbage>,
    /// The prune that decides what is valid below it.
    in_force: Option<Arc<Commit>>,
    /// A prune by a maintainer whom the reader does not trust, and to whom other commits are valid.
    foreign: Option<(u64, WriterId)>,
    effects: Effects,
    tail: u64,
}

/// The objects of a log by number, decoded where they can be.
pub(crate) type Objects = BTreeMap<u64, Result<Arc<Commit>, CommitError>>;

/// An object of the log that is no valid commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// Its number.
    pub number: u64,
    /// What is wrong with it, one clause.
    pub reason: String,
    /// Whether it is damage: not merely a commit that a prune dropped or that lost a race.
    pub damage: bool,
}

/// What became of a commit that was valid when somebody looked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It is still.
    Valid,
    /// A prune that the reader honours stands above it, and does not retain it.
    Dropped,
    /// It is there, and does not follow the commits below it any more: they are others.
    Cut,
    /// Another commit, or none that can be read, has its place: the log was forked, or damaged.
    Another,
    /// It is not there: the log was put back to an earlier state, or withheld.
    Gone,
}

/// A valid snapshot, and what other commits of the log do to it.
#[derive(Clone, Copy, Debug)]
pub struct Valid<'a> {
    /// Its number and digest.
    pub at: CommitRef,
    /// What it says. Where its objects lie in this repository is not said here but by [`Valid::runs`].
    pub statement: &'a SnapshotStatement,
    commit: &'a Commit,
    view: &'a View,
}

/// Key objects that open a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) keys: KeyPair,
    /// Whom they are sealed to.
    pub(crate) recipients: Vec<String>,
}

impl From<&Rotation> for Opening {
    fn from(rotation: &Rotation) -> Self {
        Self {
            keys: rotation.keys,
            recipients: rotation.recipients.to_vec(),
        }
    }
}

impl<'a> Valid<'a> {
    /// Who put it into this log.
    pub fn appender(&self) -> WriterId {
        self.commit.log.appender
    }

    /// Whether it was copied here from another repository.
    pub fn is_copy(&self) -> bool {
        self.commit.log.copied.is_some()
    }

    /// Of the statement as it stands: the same wherever the snapshot is copied to.
    pub(crate) fn statement_digest(&self) -> Digest {
        self.commit.statement_digest
    }

    /// Of a copied snapshot: where run number `index` lies here.
    pub(crate) fn stored(&self, index: usize) -> Option<&'a StoredRun> {
        let copied = self.commit.log.copied.as_ref();
        copied.map(|copied| &copied.runs[index])
    }

    /// Whether no prune may drop it.
    pub fn pinned(&self) -> bool {
        let pin = self.view.effects.pins.get(&self.at);
        pin.is_some_and(|pin| pin.pinned)
    }

    /// Whether nobody has ever said here that it is pinned, or not: no commit that is honoured does, and none that did can have been
    /// dropped, for no prune came after the snapshot. So it is with a copy that was cut short before its pin.
    pub fn was_never_pinned(&self) -> bool {
        let said = self.view.effects.pins.contains_key(&self.at);
        let prune = self.view.in_force();
        !said && prune.is_none_or(|(at, _)| at.number < self.at.number)
    }

    /// Whether a maintainer wants it gone: it is listed and chosen no more, and can be read by number until a prune drops it.
    pub fn forgotten(&self) -> bool {
        self.view.effects.forgotten.contains_key(&self.at)
    }

    /// The revocation of its writer, if that covers it.
    pub fn revoked(&self) -> Option<Revocation> {
        self.view.revoked(self.statement.writer, self.at.number)
    }

    /// Its runs, in the statement's order, as they lie in this repository: a copied snapshot's have other names here.
    pub fn runs(&self) -> Cow<'a, [Run]> {
        self.commit.runs()
    }

    /// The key objects that open one of its [runs](Self::runs) now, which may have been rotated.
    pub fn keys_of(&self, run: &Run) -> KeyPair {
        self.view.keys_of(run)
    }

    /// Whether its own run was rotated by a commit below `number`, or before it was copied.
    pub(crate) fn rotated_before(&self, number: u64) -> bool {
        let stored = self.stored(0);
        let run = stored.map_or(self.statement.runs[0].run, |stored| stored.run);
        let rotation = self.view.rotation(run);
        let copied = stored.is_some_and(|stored| stored.rotated.is_some());
        copied || rotation.is_some_and(|rotation| rotation.by.number < number)
    }

    /// What may open run number `index`, in the order in which whoever reads it looks: what is in force and, should that be gone, the
    /// rotations that do not count only because the log is damaged before them, of which the last one may have deleted what was before it.
    /// Never empty.
    pub(crate) fn openings(&self, index: usize) -> Vec<Opening> {
        let run = &self.runs()[index];
        let in_force = Opening {
            keys: self.keys_of(run),
            recipients: self.recipients(index).to_vec(),
        };
        let astray = self.view.rotations_astray(run.run).iter();
        let astray = astray.map(Opening::from);
        std::iter::once(in_force).chain(astray).collect()
    }

    /// What opens run number `index`: the first of these [`openings`](Self::openings) whose objects are all `there`. If none are, it is
    /// the last that was made.
    pub(crate) fn opening(&self, index: usize, there: impl Fn(&str) -> bool) -> Opening {
        let mut openings = self.openings(index);
        let whole = |it: &Opening| it.keys.objects().all(|(name, _)| there(&name));
        if let Some(whole) = openings.iter().position(whole) {
            return openings.swap_remove(whole);
        }
        let last = self.view.last_rotation(self.runs()[index].run);
        last.map_or_else(|| openings.swap_remove(0), Opening::from)
    }

    /// Whether rotations of run number `index` stand behind damage, so that its key objects may be others than it seems.
    pub(crate) fn is_rotated_astray(&self, index: usize) -> bool {
        let run = self.runs()[index].run;
        !self.view.rotations_astray(run).is_empty()
    }

    /// Whom run number `index` is sealed to now.
    pub fn recipients(&self, index: usize) -> &'a [String] {
        let stored = self.stored(index);
        let run = stored.map_or(self.statement.runs[index].run, |stored| stored.run);
        let copied = stored.and_then(|stored| stored.rotated.as_ref());
        match (self.view.rotation(run), copied) {
            (Some(rotation), _) => &rotation.recipients,
            (None, Some(rotated)) => &rotated.recipients,
            (None, None) => &self.statement.recipients,
        }
    }

    /// All objects that it needs, as (run, object name within the run, object), as they lie in this repository; of a rotated
    /// run the key objects that open it now.
    pub fn objects(&self) -> Vec<(RunId, String, Object)> {
        let mut all = Vec::new();
        for run in &*self.runs() {
            let objects = run.objects(self.keys_of(run));
            all.extend(objects.map(|(name, object)| (run.run, name, object)));
        }
        all
    }
}

impl View {
    /// Computes the view of `objects`: all objects of the log by number, decoded or not.
    pub(crate) fn of(job: &JobName, objects: Objects, trust: &Trust) -> Result<Self, Error> {
        let mut view = Self {
            tail: objects.keys().next_back().copied().unwrap_or(0),
            ..Self::default()
        };
        let mut commits = Vec::new();
        for (&number, object) in &objects {
            match object {
                Ok(commit) => commits.push(Arc::clone(commit)),
                Err(CommitError::UnknownKind { appender }) if trust.knows(*appender) => {
                    return Err(Error::NewerCommit {
                        job: job.clone(),
                        number,
                    });
                }
                Err(error) => view.discard(number, error.to_string(), true),
            }
        }
        view.judge(commits, trust);
        view.snapshots = in_order(&view.valid);
        view.effects = Effects::of(&view.valid, &view.stray, trust);
        view.objects = objects;
        Ok(view)
    }

    /// What was read for this view.
    pub(crate) fn into_objects(self) -> Objects {
        self.objects
    }

    fn judge(&mut self, commits: Vec<Arc<Commit>>, trust: &Trust) {
        let in_force = commits.iter().rposition(|commit| trust.honours(commit));
        let retained = in_force.map_or_else(HashSet::new, |at| retained_by(&commits[at]));
        self.in_force = in_force.map(|at| Arc::clone(&commits[at]));
        // Above the prune in force each commit of somebody trusted followed the valid one before it when it was made
        // (docs/format/v1.md, "Commit rules"): one that does not shows that a commit was lost, or brought back.
        let there: HashSet<Digest> = commits.iter().map(|commit| commit.digest).collect();
        let mut foreign = None;
        for (at, commit) in commits.into_iter().enumerate() {
            let valid = match in_force {
                Some(c) if at < c => retained.contains(&(commit.log.number, commit.digest)),
                Some(c) if at == c => true,
                _ => {
                    commit.log.previous.map(|digest| digest.0)
                        == self.head().map(|head| head.digest)
                }
            };
            if valid {
                self.valid.push(commit);
            } else {
                let above = in_force.is_none_or(|c| at > c);
                let damage = above && trust.knows(commit.log.appender);
                let previous = commit.log.previous.map(|digest| digest.0);
                let reason = if damage && previous.is_some_and(|digest| !there.contains(&digest)) {
                    "the commit that it follows is missing or damaged"
                } else {
                    "it does not follow the valid commit before it"
                };
                if damage {
                    self.stray.push(Arc::clone(&commit));
                }
                if above && let Some(stranger) = trust.pruned_by_stranger(&commit) {
                    foreign = Some((commit.log.number, stranger));
                }
                self.discard(commit.log.number, reason.to_owned(), damage);
            }
        }
        // Anybody may put a prune that hangs in the air. What it would explain nobody can make without deleting.
        self.foreign = foreign.filter(|(number, _)| {
            let before = |stray: &Arc<Commit>| stray.log.number < *number;
            self.valid.is_empty() || self.stray.iter().any(before)
        });
    }

    fn discard(&mut self, number: u64, reason: String, damage: bool) {
        self.garbage.push(Garbage {
            number,
            reason,
            damage,
        });
    }

    /// The valid snapshots, whoever wrote them, forgotten ones too, in the order in which they were taken: that of their numbers,
    /// except that one which was copied late stands before those that were taken after it.
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = Valid<'_>> {
        self.snapshots
            .iter()
            .filter_map(|commit| self.snapshot_of(commit))
    }

    /// The snapshot of that number.
    pub fn snapshot(&self, number: u64) -> Option<Valid<'_>> {
        self.snapshots()
            .find(|snapshot| snapshot.at.number == number)
    }

    /// The snapshot of that number, valid or [astray](Self::strays).
    pub fn snapshot_or_stray(&self, number: u64) -> Option<Valid<'_>> {
        let stray = || self.strays().find(|stray| stray.at.number == number);
        self.snapshot(number).or_else(stray)
    }

    /// Snapshots that are not valid only because a commit before them is lost or damaged, ascending by number.
    ///
    /// What they hold is authentic: signature and digests are their own. Whether somebody meant to drop them is not known, so
    /// they are read when asked for by number, and never chosen.
    pub fn strays(&self) -> impl DoubleEndedIterator<Item = Valid<'_>> {
        self.stray
            .iter()
            .filter_map(|commit| self.snapshot_of(commit))
    }

    fn snapshot_of<'a>(&'a self, commit: &'a Commit) -> Option<Valid<'a>> {
        match &commit.statement {
            Statement::Snapshot(statement) => Some(Valid {
                at: reference(commit),
                statement,
                commit,
                view: self,
            }),
            _ => None,
        }
    }

    /// The revocation that keeps a commit of `writer` under that number from being trusted.
    pub fn revoked(&self, writer: WriterId, number: u64) -> Option<Revocation> {
        self.effects.revoked.find(writer, number)
    }

    /// What opens a run in place of the key object that its backup made, if that was rotated.
    pub fn rotation(&self, run: RunId) -> Option<&Rotation> {
        self.effects.rotated.get(&run)
    }

    /// What may open a run whose key object is gone: [`Effects::astray`].
    pub(crate) fn rotations_astray(&self, run: RunId) -> &[Rotation] {
        self.effects.astray.get(&run).map_or(&[], Vec::as_slice)
    }

    /// The last rotation of a run, whether it is valid or stands behind damage: what is to be rotated again is opened by that.
    pub(crate) fn last_rotation(&self, run: RunId) -> Option<&Rotation> {
        let all = self.rotations_astray(run).iter().chain(self.rotation(run));
        all.max_by_key(|rotation| rotation.by.number)
    }

    /// Number and maintainer of a rotation of this run that the reader does not honour: whoever does has another key object, and may have
    /// deleted the one that this reader looks for.
    pub fn foreign_rotation(&self, run: RunId) -> Option<(u64, WriterId)> {
        self.effects.unheard.get(&run).copied()
    }

    /// Whether a commit above `number` rotates a run of that snapshot: what opens the snapshot then opens nothing that is sealed to
    /// those who could read it before.
    pub(crate) fn rotates_after(&self, number: u64, snapshot: CommitRef) -> bool {
        let found = self.snapshot(snapshot.number);
        found.filter(|it| it.at == snapshot).is_some_and(|it| {
            let runs = it.runs();
            let mut rotations = runs.iter().filter_map(|run| self.rotation(run.run));
            rotations.any(|rotation| rotation.by.number > number)
        })
    }

    /// The key objects that open `run`: those that the last rotation names, or else those that a snapshot lists.
    pub(crate) fn keys_of(&self, run: &Run) -> KeyPair {
        let rotation = self.rotation(run.run);
        rotation.map_or_else(|| run.keys(), |rotation| rotation.keys)
    }

    /// Who signed valid commits that are no snapshots, and how many each.
    pub fn maintainers(&self) -> BTreeMap<WriterId, u64> {
        let mut maintainers = BTreeMap::new();
        for commit in &self.valid {
            if !matches!(commit.statement, Statement::Snapshot(_)) {
                let (.., maintainer) = commit.statement.made_for();
                *maintainers.entry(maintainer).or_default() += 1;
            }
        }
        maintainers
    }

    /// The prune in force: it decides what below it is valid, and what may be deleted.
    pub(crate) fn in_force(&self) -> Option<(CommitRef, &PruneStatement)> {
        let commit = self.in_force.as_ref()?;
        match &commit.statement {
            Statement::Prune(prune) => Some((reference(commit), prune)),
            _ => None,
        }
    }

    /// Number and maintainer of a prune that the reader does not honour, and that explains why the chain of commits is broken: to
    /// somebody who trusts that maintainer other commits are valid than to this reader.
    pub fn foreign_prune(&self) -> Option<(u64, WriterId)> {
        self.foreign
    }

    /// The error if there is such a prune: whoever goes by this view would take less for all that there is.
    pub fn refuse_foreign_prune(&self, job: &JobName) -> Result<(), Error> {
        match self.foreign {
            Some((number, maintainer)) => Err(Error::ForeignPrune {
                job: job.clone(),
                number,
                maintainer,
            }),
            None => Ok(()),
        }
    }

    /// Prunes that the reader does not honour, above the one that it does: the number of each, and a key that it would have to trust as a
    /// maintainer's to honour it. Whether they follow the commits below them says nothing: to whoever honours a prune that does not matter.
    pub(crate) fn foreign_prunes(&self, trust: &Trust) -> Vec<(u64, WriterId)> {
        let from = self.in_force().map_or(0, |(at, _)| at.number);
        let above = self.objects.range(from + 1..);
        let prunes = above.filter_map(|(number, object)| {
            let stranger = trust.pruned_by_stranger(object.as_ref().ok()?);
            Some((*number, stranger?))
        });
        prunes.collect()
    }

    /// The newest commit of this job's log in another repository that somebody trusted saw when they appended to this one.
    pub fn witnessed(&self, repository: RepositoryId, trust: &Trust) -> Option<CommitRef> {
        let trusted = |commit: &Commit| {
            let Log {
                appender, number, ..
            } = commit.log;
            let revoked = || self.revoked(appender, number).is_some();
            trust.maintainers.contains(&appender)
                || (trust.writers.contains(&appender) && !revoked())
        };
        let believed = self.valid.iter().filter(|commit| trusted(commit));
        let seen = believed.flat_map(|commit| &commit.log.witness);
        let seen = seen.filter(|witness| witness.repository == repository);
        let seen = seen.map(|witness| CommitRef {
            number: witness.number,
            digest: witness.digest.0,
        });
        seen.max_by_key(|at| at.number)
    }

    /// When a commit was appended, by its appender's clock.
    pub(crate) fn appended(&self, at: CommitRef) -> Option<&str> {
        let commit = self.objects.get(&at.number)?.as_ref().ok()?;
        (commit.digest == at.digest).then_some(&*commit.log.appended)
    }

    /// The effects of the valid commits.
    pub(crate) fn effects(&self) -> &Effects {
        &self.effects
    }

    /// The commits that say what becomes of others: the prune in force and the chain from there on (or from the first commit), of which
    /// each makes the next one valid; and those whose effects last.
    pub(crate) fn standing(&self) -> BTreeSet<CommitRef> {
        let from = self.in_force().map_or(0, |(at, _)| at.number);
        let chain = self.valid().filter(|at| at.number >= from);
        let effects = &self.effects;
        let pins = effects.pins.values().map(|pin| pin.by);
        let revocations = effects.revoked.0.values().map(|revocation| revocation.by);
        let rotations = effects.rotated.values().map(|rotation| rotation.by);
        let all = chain.chain(pins);
        all.chain(revocations).chain(rotations).collect()
    }

    /// The numbers above the prune in force that no object has, ascending.
    pub(crate) fn missing(&self) -> impl Iterator<Item = u64> {
        let from = self.in_force().map_or(0, |(at, _)| at.number);
        let mut expected = from + 1;
        let present = self.objects.range(from + 1..).map(|(number, _)| *number);
        present.flat_map(move |number| {
            let missing = expected..number;
            expected = number + 1;
            missing
        })
    }

    /// The valid commits, ascending.
    pub(crate) fn valid(&self) -> impl Iterator<Item = CommitRef> {
        self.valid.iter().map(|commit| reference(commit))
    }

    /// The commit of that number, valid or not.
    pub(crate) fn commit(&self, number: u64) -> Option<Arc<Commit>> {
        let object = self.objects.get(&number)?;
        object.as_ref().ok().map(Arc::clone)
    }

    /// Whether a commit that is valid elsewhere should be here, and nothing that can be read is in its place.
    pub(crate) fn lacks(&self, at: CommitRef) -> bool {
        let wanted = self.in_force().is_none_or(|(prune, statement)| {
            let mut retained = statement.retains.iter();
            at.number > prune.number
                || retained.any(|(number, digest)| (*number, digest.0) == (at.number, at.digest))
        });
        let there = matches!(self.objects.get(&at.number), Some(Ok(_)));
        wanted && !there
    }

    /// The numbers of all objects of the log, valid or not, ascending.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.objects.keys().copied()
    }

    /// Whether the commit of that number counts for something.
    pub(crate) fn counts(&self, number: u64) -> bool {
        let found = self
            .valid
            .binary_search_by_key(&number, |commit| commit.log.number);
        found.is_ok() || number > self.in_force().map_or(0, |(at, _)| at.number)
    }

    /// What is in the log and counts for nothing.
    pub fn garbage(&self) -> &[Garbage] {
        &self.garbage
    }

    /// The damage with the highest number, if there is any.
    pub fn newest_damage(&self) -> Option<&Garbage> {
        let damage = self.garbage.iter().filter(|garbage| garbage.damage);
        damage.max_by_key(|garbage| garbage.number)
    }

    /// The highest number present, valid or not; 0 if there is none.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// The valid commit with the highest number.
    pub fn head(&self) -> Option<CommitRef> {
        self.valid.last().map(|commit| reference(commit))
    }

    /// Whether that very commit is valid.
    pub fn holds(&self, at: CommitRef) -> bool {
        self.valid.iter().any(|commit| reference(commit) == at)
    }

    /// What became of a commit that was valid once.
    pub fn remembers(&self, at: CommitRef) -> Remembered {
        let dropped = self
            .in_force()
            .is_some_and(|(prune, _)| prune.number > at.number);
        match self.objects.get(&at.number) {
            _ if self.holds(at) => Remembered::Valid,
            Some(Ok(found)) if found.digest == at.digest => {
                if dropped {
                    Remembered::Dropped
                } else {
                    Remembered::Cut
                }
            }
            _ if dropped => Remembered::Dropped,
            Some(_) => Remembered::Another,
            None => Remembered::Gone,
        }
    }

    /// Whether every number from `after` + 1 to the tail holds an object, valid or not.
    pub(crate) fn filled_after(&self, after: u64) -> bool {
        let above = self.objects.range(after + 1..).count();
        above as u64 == self.tail.saturating_sub(after)
    }

    /// Whether every number from `after` + 1 to the tail holds a valid commit.
    pub(crate) fn unbroken_after(&self, after: u64) -> bool {
        let above = self
            .valid
            .iter()
            .filter(|commit| commit.log.number > after)
            .count();
        above as u64 == self.tail.saturating_sub(after)
    }

    /// Whether a prune above `after` condemns an object of `run`.
    pub(crate) fn condemns_after(&self, after: u64, run: RunId) -> bool {
        self.valid
            .iter()
            .filter(|commit| commit.log.number > after)
            .any(|commit| match &commit.statement {
                Statement::Prune(prune) => prune.condemns.iter().any(|gone| gone.run == run),
                _ => false,
            })
    }
}

/// "The order of snapshots" in docs/format/v1.md, "Copied snapshots".
fn in_order(valid: &[Arc<Commit>]) -> Vec<Arc<Commit>> {
    let mut order: Vec<Arc<Commit>> = Vec::new();
    let snapshots = valid.iter();
    let snapshots = snapshots.filter(|commit| matches!(commit.statement, Statement::Snapshot(_)));
    for commit in snapshots {
        let place = taken_before(commit).map(|before| {
            let exact = order.iter().position(|it| it.log.number == before);
            let above = |it: &Arc<Commit>| it.log.number > before && taken_before(it).is_none();
            let place = exact.or_else(|| order.iter().position(above));
            place.unwrap_or(order.len())
        });
        order.insert(place.unwrap_or(order.len()), Arc::clone(commit));
    }
    order
}

/// Of a snapshot that was copied late: the number of the one that it was taken before.
fn taken_before(commit: &Commit) -> Option<u64> {
    commit.log.copied.as_ref().and_then(|copied| copied.before)
}

pub(crate) fn reference(commit: &Commit) -> CommitRef {
    CommitRef {
        number: commit.log.number,
        digest: commit.digest,
    }
}

/// What a prune lets stand below itself.
fn retained_by(prune: &Commit) -> HashSet<(u64, Digest)> {
    let Statement::Prune(prune) = &prune.statement else {
        return HashSet::new();
    };
    let retains = prune.retains.iter();
    retains
        .map(|(number, digest)| (*number, digest.0))
        .collect()
}

impl Trust {
    /// Whether this reader accepts a snapshot: docs/format/v1.md, "Commit rules".
    ///
    /// Its writer vouches for what it holds. That it stands where it does, and where a copied one lies, is the word of whoever
    /// appended it: otherwise anybody who can create objects could append an old statement again, as the newest snapshot.
    pub fn accepts(&self, snapshot: &Valid<'_>) -> bool {
        self.stranger(snapshot).is_none() && snapshot.revoked().is_none()
    }

    /// A key that this reader would have to trust to accept a snapshot: its writer's or, if that is trusted, its appender's.
    pub fn stranger(&self, snapshot: &Valid<'_>) -> Option<WriterId> {
        let (writer, appender) = (snapshot.statement.writer, snapshot.appender());
        if !self.writers.contains(&writer) {
            return Some(writer);
        }
        let revoked = || snapshot.view.revoked(appender, snapshot.at.number);
        let trusted = self.maintainers.contains(&appender)
            || (self.writers.contains(&appender) && revoked().is_none());
        (appender != writer && !trusted).then_some(appender)
    }

    pub(crate) fn knows(&self, who: WriterId) -> bool {
        self.writers.contains(&who) || self.maintainers.contains(&who)
    }

    /// Whether the commit was written and appended by maintainers.
    pub(crate) fn maintains(&self, commit: &Commit) -> bool {
        self.no_maintainer(commit).is_none()
    }

    /// A key that this reader would have to trust as a maintainer's for that: its writer's or, if that is one, its appender's.
    fn no_maintainer(&self, commit: &Commit) -> Option<WriterId> {
        let (.., writer) = commit.statement.made_for();
        let keys = [writer, commit.log.appender];
        keys.into_iter().find(|it| !self.maintainers.contains(it))
    }

    /// The same of a prune that it does not honour for it.
    fn pruned_by_stranger(&self, commit: &Commit) -> Option<WriterId> {
        let stranger = self.no_maintainer(commit);
        stranger.filter(|_| matches!(commit.statement, Statement::Prune(_)))
    }

    /// Whether the commit is a prune that this reader obeys.
    fn honours(&self, commit: &Commit) -> bool {
        matches!(commit.statement, Statement::Prune(_)) && self.maintains(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{Condemned, Copied, DigestText, Log, RepositoryId, Signed, StoredRun, WriterKey};

    const REPOSITORY: RepositoryId = RepositoryId([1; 16]);

    struct World {
        key: WriterKey,
        /// Whoever appends what the key wrote, if somebody else does.
        appender: Option<WriterKey>,
        trust: Trust,
        log: Objects,
    }

    impl World {
        fn new() -> Self {
            let key = WriterKey::generate();
            let trust = Trust {
                writers: HashSet::from([key.id()]),
                maintainers: HashSet::from([key.id()]),
            };
            Self {
                appender: None,
                key,
                trust,
                log: BTreeMap::new(),
            }
        }

        fn job() -> JobName {
            "prod".parse().expect("a job name")
        }

        fn add(&mut self, number: u64, previous: Option<Digest>, statement: &Statement) -> Digest {
            self.place(number, previous, statement, None)
        }

        fn place(
            &mut self,
            number: u64,
            previous: Option<Digest>,
            statement: &Statement,
            copied: Option<Copied>,
        ) -> Digest {
            let appender = self.appender.as_ref().unwrap_or(&self.key);
            let log = Log {
                number,
                previous: previous.map(DigestText),
                appender: appender.id(),
                appended: String::new(),
                copied,
                witness: vec![],
            };
            let object = Signed::new(statement, &self.key).append(&log, appender);
            let commit = Commit::decode(&object, REPOSITORY, &Self::job(), number).expect("ours");
            let digest = commit.digest;
            self.log.insert(number, Ok(Arc::new(commit)));
            digest
        }

        fn snapshot(&mut self, number: u64, previous: Option<Digest>) -> Digest {
            let statement = self.statement(number, REPOSITORY);
            self.add(number, previous, &statement)
        }

        /// A snapshot that was made for another repository.
        fn copy(&mut self, number: u64, previous: Option<Digest>, before: Option<u64>) -> Digest {
            let statement = self.statement(number, RepositoryId([2; 16]));
            let copied = Copied {
                repository: REPOSITORY,
                runs: vec![StoredRun {
                    run: RunId([0xc0; 16]),
                    rotated: None,
                }],
                before,
            };
            self.place(number, previous, &statement, Some(copied))
        }

        fn statement(&self, number: u64, repository: RepositoryId) -> Statement {
            let object = Object {
                size: 1,
                digest: Digest::of(b""),
            };
            let run = RunId([number as u8; 16]);
            let statement = SnapshotStatement {
                repository,
                job: Self::job(),
                writer: self.key.id(),
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
                runs: vec![Run {
                    run,
                    key: object,
                    key_pq: None,
                    manifest: object,
                    map: object,
                    packs: vec![],
                }],
            };
            Statement::Snapshot(Box::new(statement))
        }

        fn prune(&mut self, number: u64, previous: Digest, retains: &[(u64, Digest)]) -> Digest {
            let statement = PruneStatement {
                repository: REPOSITORY,
                job: Self::job(),
                writer: self.key.id(),
                program: String::new(),
                started: String::new(),
                retains: retains
                    .iter()
                    .map(|(n, digest)| (*n, DigestText(*digest)))
                    .collect(),
                condemns: vec![Condemned {
                    run: RunId([9; 16]),
                    whole: true,
                    packs: vec![],
                }],
            };
            self.add(number, Some(previous), &Statement::Prune(statement))
        }

        fn view(&self) -> View {
            View::of(&Self::job(), self.log.clone(), &self.trust).expect("known kinds only")
        }

        fn numbers(&self) -> Vec<u64> {
            self.view()
                .valid
                .iter()
                .map(|commit| commit.log.number)
                .collect()
        }
    }

    #[test]
    fn what_follows_a_lost_commit_is_damage() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        let two = world.snapshot(2, Some(one));
        world.snapshot(3, Some(two));
        world.log.remove(&1);
        let damaged = |world: &World| -> Vec<(u64, bool)> {
            let view = View::of(&World::job(), world.log.clone(), &world.trust).expect("a view");
            let garbage = view.garbage().iter();
            garbage
                .map(|garbage| (garbage.number, garbage.damage))
                .collect()
        };
        assert_eq!(damaged(&world), [(2, true), (3, true)]);
        // So is a fork: a commit was lost, the log went on without it, and it was brought back.
        let mut world = World::new();
        let one = world.snapshot(1, None);
        let two = world.snapshot(2, Some(one));
        world.log.remove(&2);
        world.snapshot(3, Some(one));
        world.snapshot(2, Some(one));
        assert!(two != one);
        assert_eq!(damaged(&world), [(3, true)]);
        // The newest damage is the one with the highest number, of whatever kind it is.
        world.log.insert(5, Err(CommitError::Shape));
        let view = View::of(&World::job(), world.log.clone(), &world.trust).expect("a view");
        assert_eq!(view.newest_damage().map(|damage| damage.number), Some(5));
        world.log.remove(&5);
        // Anybody may write such commits: from strangers they say nothing.
        world.trust = Trust::default();
        assert_eq!(damaged(&world), [(3, false)]);
    }

    #[test]
    fn a_chain_is_valid_and_what_does_not_follow_is_not() {
        let mut world = World::new();
        assert_eq!(world.view().tail(), 0);
        let one = world.snapshot(1, None);
        let two = world.snapshot(2, Some(one));
        world.snapshot(3, Some(one));
        world.snapshot(5, Some(two));
        assert_eq!(world.numbers(), [1, 2, 5]);
        let view = world.view();
        assert_eq!((view.tail(), view.garbage().len()), (5, 1));
        assert!(view.unbroken_after(5) && !view.unbroken_after(2));
    }

    #[test]
    fn a_copy_stands_where_it_was_taken_and_lies_where_it_was_put() {
        let mut world = World::new();
        let mut head = None;
        for number in [1, 2, 4] {
            head = Some(world.snapshot(number, head));
        }
        for (number, before) in [(5, Some(2)), (6, Some(2)), (7, Some(3)), (8, None)] {
            head = Some(world.copy(number, head, before));
        }
        let order = |world: &World| -> Vec<u64> {
            let view = world.view();
            view.snapshots().map(|valid| valid.at.number).collect()
        };
        assert_eq!(order(&world), [1, 5, 6, 2, 7, 4, 8]);
        assert_eq!(world.numbers(), [1, 2, 4, 5, 6, 7, 8]);
        let view = world.view();
        let objects = |number| {
            let valid = view.snapshot(number).expect("it is valid");
            (valid.is_copy(), valid.objects()[0].0)
        };
        assert_eq!(objects(2), (false, RunId([2; 16])));
        assert_eq!(objects(7), (true, RunId([0xc0; 16])));

        // What a copy was taken before may be pruned away.
        let retained = view.valid.iter();
        let retained = retained.map(|commit| (commit.log.number, commit.digest));
        let retained: Vec<_> = retained.filter(|(number, _)| *number != 2).collect();
        world.prune(9, head.expect("a commit"), &retained);
        assert_eq!(order(&world), [1, 5, 6, 7, 4, 8]);
    }

    #[test]
    fn a_snapshot_needs_a_trusted_writer_and_a_trusted_appender() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        // Whoever can create objects appends an old statement again, to pass it off as the newest.
        let stranger = WriterKey::generate();
        let appender = stranger.id();
        world.appender = Some(stranger);
        let again = world.statement(1, REPOSITORY);
        world.add(2, Some(one), &again);
        let strangers = |trust: &Trust| -> Vec<Option<WriterId>> {
            let view = world.view();
            let stranger = |valid| trust.stranger(&valid);
            view.snapshots().map(stranger).collect()
        };
        let writer = world.key.id();
        assert_eq!(strangers(&world.trust), [None, Some(appender)]);
        let mut trust = Trust::default();
        trust.maintainers.insert(appender);
        assert_eq!(strangers(&trust), [Some(writer), Some(writer)]);
        trust.writers.insert(writer);
        assert_eq!(strangers(&trust), [None, None]);
    }

    #[test]
    fn damage_breaks_nothing_before_it_and_says_so() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        world.log.insert(2, Err(CommitError::Shape));
        world.snapshot(3, Some(one));
        assert_eq!(world.numbers(), [1, 3]);
        assert!(world.view().garbage()[0].damage);
        assert!(world.view().holds(CommitRef {
            number: 1,
            digest: one
        }));
        assert!(!world.view().holds(CommitRef {
            number: 1,
            digest: Digest::of(b"other")
        }));
    }

    #[test]
    fn a_prune_by_a_maintainer_decides_what_is_below_it() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        let two = world.snapshot(2, Some(one));
        let three = world.snapshot(3, Some(two));
        let standing = |world: &World| -> Vec<u64> {
            let standing = world.view().standing().into_iter();
            standing.map(|at| at.number).collect()
        };
        assert_eq!(standing(&world), [1, 2, 3]);
        let prune = world.prune(4, three, &[(3, three)]);
        world.snapshot(5, Some(prune));
        assert_eq!(world.numbers(), [3, 4, 5]);
        // Without 3 the others count all the same.
        assert_eq!(standing(&world), [4, 5]);
        assert!(world.view().condemns_after(3, RunId([9; 16])));
        assert!(!world.view().condemns_after(4, RunId([9; 16])));

        // What the prune deletes changes nothing.
        world.log.remove(&1);
        world.log.remove(&2);
        assert_eq!(world.numbers(), [3, 4, 5]);

        // A commit that fell into the hole is garbage.
        world.snapshot(2, Some(one));
        assert_eq!(world.numbers(), [3, 4, 5]);

        // To someone who does not trust the maintainer, the prune is a link of the chain without effect, and the chain is gone.
        assert_eq!(world.view().foreign_prune(), None);
        world.trust.maintainers.clear();
        assert_eq!(world.numbers(), [] as [u64; 0]);
        assert_eq!(world.view().foreign_prune(), Some((4, world.key.id())));
    }

    /// Whoever has the key of a writer can make a log look as if somebody had pruned it, and that is refused until the key is no writer's.
    #[test]
    fn a_writer_makes_a_foreign_prune_look_like_an_explanation_while_it_is_trusted() {
        let mut world = World::new();
        world.snapshot(1, None);
        let nowhere = Digest::of(b"nowhere");
        world.snapshot(2, Some(nowhere));
        world.prune(3, nowhere, &[]);
        world.trust.maintainers.clear();
        assert_eq!(world.view().foreign_prune(), Some((3, world.key.id())));
        assert_eq!(world.numbers(), [1]);
        world.trust.writers.clear();
        assert_eq!(world.view().foreign_prune(), None);
        assert_eq!(world.numbers(), [1]);
    }

    #[test]
    fn a_strangers_prune_that_explains_nothing_is_garbage() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        world.snapshot(2, Some(one));
        let stranger = WriterKey::generate();
        let own = std::mem::replace(&mut world.key, stranger);
        world.prune(3, Digest::of(b"lost"), &[]);
        assert_eq!(world.numbers(), [1, 2]);
        assert_eq!(world.view().foreign_prune(), None);
        world.key = own;
        world.log.remove(&1);
        let stranger = world.log[&3].as_ref().map(|commit| commit.log.appender);
        assert_eq!(
            world.view().foreign_prune(),
            Some((3, stranger.expect("a prune")))
        );
    }

    #[test]
    fn what_is_lost_above_a_prune_is_damage() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        let two = world.snapshot(2, Some(one));
        let prune = world.prune(3, two, &[(2, two)]);
        let four = world.snapshot(4, Some(prune));
        world.snapshot(5, Some(four));
        let damage = |world: &World| world.view().newest_damage().map(|damage| damage.number);
        assert_eq!(damage(&world), None);
        world.log.remove(&4);
        assert_eq!(damage(&world), Some(5));
        // Below it nothing is: what a prune drops has no successor that counts.
        world.log.remove(&5);
        world.log.remove(&1);
        world.snapshot(1, Some(two));
        assert_eq!(damage(&world), None);
    }

    #[test]
    fn unknown_kinds_stop_only_if_someone_trusted_appended_them() {
        let mut world = World::new();
        let one = world.snapshot(1, None);
        let unknown = |appender| Err(CommitError::UnknownKind { appender });
        world.log.insert(2, unknown(WriterKey::generate().id()));
        world.snapshot(3, Some(one));
        assert_eq!(world.numbers(), [1, 3]);
        world.log.insert(2, unknown(world.key.id()));
        let refused = View::of(&World::job(), world.log.clone(), &world.trust);
        assert!(matches!(refused, Err(Error::NewerCommit { number: 2, .. })));
    }
}
