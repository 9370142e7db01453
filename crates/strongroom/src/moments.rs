//! When the snapshots of a job were taken: older ones can only be added before newer ones.

use std::collections::{BTreeMap, BTreeSet};

use format::{CommitRef, JobName, SnapshotStatement};
use jiff::Timestamp;
use repository::{Repository, Trust, View};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// When the snapshots of a job were taken, for whoever adds older ones to it.
pub(crate) struct Moments {
    job: JobName,
    /// The moments of its snapshots.
    all: BTreeSet<Timestamp>,
    /// The moments of all, whoever wrote them, with their numbers.
    numbers: BTreeMap<Timestamp, u64>,
    /// Of the history that is added, the number that each moment has there.
    added: BTreeMap<Timestamp, u64>,
    newest: Option<(Timestamp, u64)>,
    /// Whether the newest is itself one of a history that was imported, by somebody who is trusted.
    newest_is_import: bool,
    /// Of those, the ones of which nobody has said whether they are pinned.
    unsaid: BTreeMap<Timestamp, CommitRef>,
}

impl Moments {
    /// Of the job in `repository`, which may have none.
    pub(crate) async fn of(
        session: &Session,
        repository: &Repository,
        job: &JobName,
    ) -> anyhow::Result<Self> {
        let mut moments = Self {
            job: job.clone(),
            all: BTreeSet::new(),
            numbers: BTreeMap::new(),
            added: BTreeMap::new(),
            newest: None,
            newest_is_import: false,
            unsaid: BTreeMap::new(),
        };
        if !repository.jobs().await?.contains(job) {
            return Ok(moments);
        }
        let mut trust = session.trust()?;
        trust.writers.insert(session.writer()?.id());
        let view = session.view(repository, job, &mut trust).await?;
        for snapshot in view.snapshots() {
            let finished = snapshot.statement.finished.parse::<Timestamp>();
            let Ok(finished) = finished else { continue };
            let accepted = trust.accepts(&snapshot);
            if accepted {
                moments.all.insert(finished);
                if snapshot.was_never_pinned() {
                    moments.unsaid.insert(finished, snapshot.at);
                }
            }
            moments.numbers.insert(finished, snapshot.at.number);
            let place = Some((finished, snapshot.at.number));
            if place > moments.newest {
                moments.newest = place;
                moments.newest_is_import =
                    accepted && is_of_one_moment(snapshot.statement, finished);
            }
        }
        Ok(moments)
    }

    /// The history that is added has an order of its own, that of its numbers, whatever the clocks of its writers said.
    pub(crate) fn adding(mut self, history: &View, trust: &Trust) -> Self {
        for snapshot in history.snapshots().filter(|it| trust.accepts(it)) {
            if let Ok(moment) = snapshot.statement.finished.parse() {
                self.added.insert(moment, snapshot.at.number);
            }
        }
        self
    }

    /// Times of our own backups have milliseconds; by chance one may fall on a second, and then it is not older either.
    pub(crate) fn has(&self, moment: Timestamp) -> bool {
        self.all.contains(&moment)
    }

    /// The snapshot of that moment, if nobody has said whether it is pinned.
    pub(crate) fn unsaid(&self, moment: Timestamp) -> Option<CommitRef> {
        self.unsaid.get(&moment).copied()
    }

    /// Whether the history was imported beyond that moment. It is imported in its order, so what is older than the newest of it and is not
    /// there was left out, or was removed later.
    pub(crate) fn is_behind(&self, moment: Timestamp) -> bool {
        self.newest_is_import && self.newest.is_some_and(|(newest, _)| newest > moment)
    }

    /// The highest number is the newest for every command. So nothing is added behind a snapshot that is of a later moment, unless that
    /// one comes before it in the history that is added: then a clock was ahead.
    pub(crate) fn refuse(&self, moment: Timestamp) -> Result<(), Failure> {
        let before = |other: &Timestamp| {
            let [number, other] = [&moment, other].map(|it| self.added.get(it));
            number
                .zip(other)
                .is_some_and(|(number, other)| other < number)
        };
        let mut later = self.numbers.iter().rev();
        let later = later.find(|(other, _)| **other > moment && !before(other));
        let Some((newest, number)) = later else {
            return Ok(());
        };
        let job = &self.job;
        let message = format!(
            "it is older than {job}/{number}, which is of {newest}, and would pass for newer in {job}"
        );
        Err(Failure::new(Exit::Conflict, message)
            .hint("the older ones first: into a job of its own, or a new repository"))
    }

    /// There is one more. What is added after it comes after it.
    pub(crate) fn adds(&mut self, moment: Timestamp) {
        self.all.insert(moment);
    }
}

/// Whether it began and ended at that moment, a whole second: so it is with a snapshot that was imported from the history of etcd-backup
/// ([`crate::take::Times::at`]). One that was taken has milliseconds, and takes some.
fn is_of_one_moment(statement: &SnapshotStatement, finished: Timestamp) -> bool {
    let SnapshotStatement {
        started, sources, ..
    } = statement;
    let all = sources.iter().flat_map(|it| [&it.started, &it.finished]);
    finished.subsec_nanosecond() == 0
        && all.chain([started]).all(|time| *time == statement.finished)
}
