use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use format::{Commit, JobName, PruneStatement, Statement};

use crate::Error;
use crate::view::{Trust, View, reference};

/// A commit that the log had once, and has no more.
pub(super) struct Lost {
    pub(super) commit: Arc<Commit>,
    pub(super) bytes: Bytes,
    /// Who has it.
    pub(super) from: String,
    /// What is wrong with its place, one clause.
    pub(super) what: &'static str,
    /// Whether nothing is there: a backup may give the number again at any time, and must not be written over.
    pub(super) absent: bool,
}

/// Which lost commits come back.
///
/// What was appended after a loss follows what was left below it. Were the lost commit there again, it would follow the wrong one, and
/// count no more. So no commit comes back at the price of one that counts now.
pub(super) struct Choice {
    /// The log as it is with those that come back.
    pub(super) then: View,
    /// Those that come back.
    pub(super) back: Vec<Lost>,
    /// Those that do not, each with the numbers of the commits that would count no more.
    pub(super) refused: Vec<(Lost, BTreeSet<u64>)>,
}

impl Choice {
    /// Chooses among `lost`, of which some may be the same: of these the first is taken.
    pub(super) fn of(
        job: &JobName,
        here: &View,
        mut lost: Vec<Lost>,
        trust: &Trust,
    ) -> Result<Self, Error> {
        let judge = Judge { job, here, trust };
        // Prunes say what counts below them, so that these come first; of all others each follows those below it.
        lost.sort_by_key(|lost| match lost.commit.log.number {
            number if judge.prunes(&lost.commit) => (0, Reverse(number), 0),
            number => (1, Reverse(0), number),
        });
        match judge.all(lost)? {
            Ok(all) => Ok(all),
            Err(lost) => judge.one_by_one(lost),
        }
    }
}

/// Who says what would become of the log.
struct Judge<'a> {
    job: &'a JobName,
    here: &'a View,
    trust: &'a Trust,
}

impl Judge<'_> {
    /// All of them, if that harms nothing: which it nearly never does, and a log may have lost thousands.
    fn all(&self, lost: Vec<Lost>) -> Result<Result<Choice, Vec<Lost>>, Error> {
        let mut objects = self.here.clone().into_objects();
        for lost in &lost {
            let (number, commit) = (lost.commit.log.number, Arc::clone(&lost.commit));
            objects.insert(number, Ok(commit));
        }
        let then = View::of(self.job, objects, self.trust)?;
        let counts = lost.iter().all(|it| then.holds(reference(&it.commit)));
        let harmed = !lost.is_empty() && !self.cut(&lost, &then).is_empty();
        if harmed || !counts {
            return Ok(Err(lost));
        }
        let (mut back, mut numbers) = (Vec::new(), BTreeSet::new());
        for lost in lost {
            if numbers.insert(lost.commit.log.number) {
                back.push(lost);
            }
        }
        Ok(Ok(Choice {
            then,
            back,
            refused: Vec::new(),
        }))
    }

    /// Each that harms nothing. What would count for nothing is passed over: a prune dropped it since.
    fn one_by_one(&self, lost: Vec<Lost>) -> Result<Choice, Error> {
        let mut choice = Choice {
            then: self.here.clone(),
            back: Vec::new(),
            refused: Vec::new(),
        };
        // The log as it would be with those that were refused, which others may follow.
        let mut harmed = self.here.clone();
        for lost in lost {
            let at = reference(&lost.commit);
            let refused = |(it, _): &(Lost, _)| reference(&it.commit) == at;
            if choice.then.holds(at) || choice.refused.iter().any(refused) {
                continue;
            }
            let with = self.with(&choice.then, &lost)?;
            let with_harm = self.with(&harmed, &lost)?;
            let harm = if with.holds(at) {
                self.cut(std::slice::from_ref(&lost), &with)
            } else if with_harm.holds(at) {
                self.cut(std::slice::from_ref(&lost), &with_harm)
            } else {
                continue;
            };
            harmed = with_harm;
            if with.holds(at) && harm.is_empty() {
                choice.then = with;
                choice.back.push(lost);
            } else {
                choice.refused.push((lost, harm));
            }
        }
        Ok(choice)
    }

    fn with(&self, view: &View, lost: &Lost) -> Result<View, Error> {
        let mut objects = view.clone().into_objects();
        objects.insert(lost.commit.log.number, Ok(Arc::clone(&lost.commit)));
        View::of(self.job, objects, self.trust)
    }

    /// The commits that count now and would not `then`, with `lost`, although nobody dropped them. What strangers appended does not stand
    /// in the way of what somebody trusted did: whoever may put objects could keep everything from being repaired.
    fn cut(&self, lost: &[Lost], then: &View) -> BTreeSet<u64> {
        let trusted = lost.iter().all(|it| self.counts(&it.commit));
        let dropped = self.dropped(then);
        let valid = self.here.valid().filter(|at| !then.holds(*at));
        let valid = valid.filter(|at| at.number > dropped);
        let valid = valid.filter(|at| {
            let commit = self.here.commit(at.number);
            !trusted || commit.is_some_and(|commit| self.counts(&commit))
        });
        valid.map(|at| at.number).collect()
    }

    /// Whether the reader believes who appended it.
    fn counts(&self, commit: &Commit) -> bool {
        let (who, number) = (commit.log.appender, commit.log.number);
        let maintains = self.trust.maintainers.contains(&who);
        maintains || (self.trust.knows(who) && self.here.revoked(who, number).is_none())
    }

    fn prunes(&self, commit: &Commit) -> bool {
        matches!(commit.statement, Statement::Prune(_)) && self.trust.maintains(commit)
    }

    /// The number up to which a lost prune that is in force `then` knew all commits that are here: it meant to drop what it does not retain
    /// of these. What has a higher number may have been appended when the prune and all from there on were lost.
    fn dropped(&self, then: &View) -> u64 {
        let Some((at, prune)) = then.in_force().filter(|(at, _)| !self.here.holds(*at)) else {
            return 0;
        };
        let previous = then.commit(at.number).and_then(|it| it.log.previous);
        let knew = |number: &u64| {
            let Some(commit) = self.here.commit(*number) else {
                return false;
            };
            previous.is_some_and(|previous| previous.0 == commit.digest) || names(prune, &commit)
        };
        let below = self.here.numbers().filter(|number| *number < at.number);
        below.filter(knew).max().unwrap_or(0)
    }
}

/// Whether a prune retains that very commit, or condemns something of the run that it made.
fn names(prune: &PruneStatement, commit: &Commit) -> bool {
    let mut retains = prune.retains.iter();
    let it = (commit.log.number, commit.digest);
    let runs = commit.runs();
    let mut condemned = prune.condemns.iter().map(|gone| gone.run);
    retains.any(|(number, digest)| (*number, digest.0) == it)
        || runs
            .first()
            .is_some_and(|own| condemned.any(|run| run == own.run))
}
