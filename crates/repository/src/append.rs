use archive::Digest;
use bytes::Bytes;
use format::{
    COMMIT_MAX, COMMITS_MAX, CommitRef, Copied, DigestText, JobName, Log, RunId, Signed, Statement,
    Witness, WriterId, WriterKey,
};

use crate::rules::{Rule, Rules};
use crate::store::{Name, Settled};
use crate::view::{Trust, View};
use crate::{Error, Repository};

/// How often a number is tried that others took before.
const ATTEMPTS: usize = 64;

/// What became of an attempt to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The commit is in the log and valid.
    Yes(CommitRef),
    /// What it builds on is gone, or a number below is not a valid commit: start over as a new run.
    StartOver,
}

/// What an append builds on.
pub(crate) struct Ground {
    /// The newest view there is.
    pub(crate) view: View,
    /// The tail of the view that the work started from, which may be older.
    pub(crate) since: u64,
    /// Commits that must still be valid.
    pub(crate) bases: Vec<CommitRef>,
    /// Runs that must not be condemned.
    pub(crate) runs: Vec<RunId>,
    /// Whether the commit must stand directly above the view: it speaks of all that is below it.
    pub(crate) whole: bool,
    /// Whether the view is younger than all that was done for the commit: then it is that of step 3 too.
    pub(crate) fresh: bool,
}

impl Ground {
    /// What was made from this view and builds on nothing in particular.
    pub(crate) fn of(view: View) -> Self {
        Self {
            since: view.tail(),
            view,
            bases: Vec::new(),
            runs: Vec::new(),
            whole: false,
            fresh: false,
        }
    }
}

/// What is appended.
pub(crate) struct Entry {
    pub(crate) signed: Signed,
    /// Of a snapshot that was made elsewhere: where it lies.
    pub(crate) copied: Option<Copied>,
    /// Tails of this job's log in other repositories.
    pub(crate) witness: Vec<Witness>,
}

impl Entry {
    /// What `key` says of this repository.
    pub(crate) fn own(statement: &Statement, key: &WriterKey) -> Self {
        Self {
            signed: Signed::new(statement, key),
            copied: None,
            witness: Vec::new(),
        }
    }
}

/// Appends `statement`, which `key` signs, to the log of `job`.
pub(crate) async fn append(
    repository: &Repository,
    job: &JobName,
    statement: &Statement,
    ground: Ground,
    key: &WriterKey,
    trust: &Trust,
    now: &str,
) -> Result<Appended, Error> {
    let entry = Entry::own(statement, key);
    let appended = append_entry(repository, job, &entry, ground, key, trust, now).await;
    appended.map(|(appended, _)| appended)
}

/// Steps 3 to 5 of docs/format/v1.md, "Commit rules": appends `entry` to the log of `job`, and returns the view that says what
/// became of it.
///
/// On `Yes` the commit is durable and valid. On an error it may or may not be there: a new view tells.
pub(crate) async fn append_entry(
    repository: &Repository,
    job: &JobName,
    entry: &Entry,
    ground: Ground,
    key: &WriterKey,
    trust: &Trust,
    now: &str,
) -> Result<(Appended, View), Error> {
    let Ground {
        mut view,
        since,
        bases,
        runs,
        whole,
        mut fresh,
    } = ground;
    let tail = view.tail();
    let whole = whole && repository.rules.keep(Rule::DirectlyAbove);
    let mut taken = 0;
    for _ in 0..ATTEMPTS {
        if !std::mem::take(&mut fresh) {
            view = repository.view_again(job, trust, view).await?;
        }
        if view.tail() < taken {
            let object = Name::commit(job, taken).to_string();
            return Err(Error::NotListed { object });
        }
        let moved = whole && view.tail() != tail;
        if moved || !stands(&view, since, &bases, &runs, &repository.rules) {
            return Ok((Appended::StartOver, view));
        }
        let number = view.tail() + 1;
        taken = number;
        refuse_in_vain(&view, job, key.id())?;
        if number > COMMITS_MAX {
            let what = format!("a commit after {job}/{COMMITS_MAX}");
            return Err(Error::Limit { what });
        }
        let log = Log {
            number,
            previous: view.head().map(|head| DigestText(head.digest)),
            appender: key.id(),
            appended: now.to_owned(),
            copied: entry.copied.clone(),
            witness: entry.witness.clone(),
        };
        let object = Bytes::from(entry.signed.append(&log, key));
        if object.len() as u64 > COMMIT_MAX {
            return Err(Error::Limit {
                what: format!("the commit {job}/{number}"),
            });
        }
        let at = CommitRef {
            number,
            digest: Digest::of(&object),
        };
        // Step 4. A refusal or a lost answer is settled by reading. Refused, and yet nothing is there: a prune removed it meanwhile,
        // or the store lies. Look again.
        let name = Name::commit(job, number);
        let settled = repository.store.settle(&name, &object).await?;
        if settled != Settled::Ours {
            continue;
        }
        let rule = if whole {
            Rule::InForce
        } else {
            Rule::SeenAgain
        };
        if !repository.rules.keep(rule) {
            return Ok((Appended::Yes(at), view));
        }
        view = repository.view_again(job, trust, view).await?;
        if view.holds(at) {
            return Ok((Appended::Yes(at), view));
        }
    }
    Err(Error::Contended { job: job.clone() })
}

/// Nothing that a revoked writer signs from now on would be trusted, and to those who honour a prune that we do not our commit would
/// not be valid: whoever wants to append is told before it does the work.
pub(crate) fn refuse_in_vain(view: &View, job: &JobName, writer: WriterId) -> Result<(), Error> {
    if let Some(revocation) = view.revoked(writer, view.tail() + 1) {
        return Err(Error::WriterRevoked {
            writer,
            job: job.clone(),
            by: revocation.by.number,
        });
    }
    view.refuse_foreign_prune(job)
}

/// What stands behind damage is not what a view tells of: whoever changes or deletes by a view would leave it out.
pub(crate) fn refuse_damage(view: &View, job: &JobName) -> Result<(), Error> {
    match view.newest_damage() {
        Some(damage) => Err(Error::DamagedLog {
            job: job.clone(),
            number: damage.number,
            reason: damage.reason.clone(),
        }),
        None => Ok(()),
    }
}

/// Step 3: does what we build on still stand?
fn stands(view: &View, tail: u64, bases: &[CommitRef], runs: &[RunId], rules: &Rules) -> bool {
    let unbroken = view.unbroken_after(tail)
        || !rules.keep(Rule::NoHole)
        || (!rules.keep(Rule::NoGarbage) && view.filled_after(tail));
    let condemned = |run: &RunId| view.condemns_after(tail, *run);
    let condemned = rules.keep(Rule::RunStands) && runs.iter().any(condemned);
    let based = !rules.keep(Rule::BaseStands) || bases.iter().all(|base| view.holds(*base));
    let rotated = |base: &CommitRef| view.rotates_after(tail, *base);
    let rotated = rules.keep(Rule::KeysStand) && bases.iter().any(rotated);
    unbroken && !condemned && based && !rotated
}
