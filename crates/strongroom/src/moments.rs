//! When the snapshots of a job were taken: older ones can only be added before newer ones.

use std::collections::{BTreeMap, BTreeSet};

use format::{CommitRef, JobName};
use jiff::Timestamp;
use repository::Repository;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// When the snapshots of a job were taken, for whoever adds older ones to it.
pub(crate) struct Moments {
    job: JobName,
    /// The moments of its snapshots.
    all: BTreeSet<Timestamp>,
    newest: Option<(Timestamp, u64)>,
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
            newest: None,
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
            if trust.accepts(&snapshot) {
                moments.all.insert(finished);
                if snapshot.was_never_pinned() {
                    moments.unsaid.insert(finished, snapshot.at);
                }
            }
            moments.newest = moments.newest.max(Some((finished, snapshot.at.number)));
        }
        Ok(moments)
    }

    /// Times of our own backups have milliseconds; by chance one may fall on a second, and then it is not older either.
    pub(crate) fn has(&self, moment: Timestamp) -> bool {
        self.all.contains(&moment)
    }

    /// The snapshot of that moment, if nobody has said whether it is pinned.
    pub(crate) fn unsaid(&self, moment: Timestamp) -> Option<CommitRef> {
        self.unsaid.get(&moment).copied()
    }

    /// Snapshots are numbered in order of time, and the highest number is the newest for every command.
    pub(crate) fn refuse(&self, moment: Timestamp) -> Result<(), Failure> {
        let Some((newest, number)) = self.newest.filter(|(newest, _)| *newest > moment) else {
            return Ok(());
        };
        let job = &self.job;
        let message = format!(
            "it is older than {job}/{number}, which is of {newest}, and would pass for newer in {job}"
        );
        Err(Failure::new(Exit::Conflict, message)
            .hint("the older ones first: into a job of its own, or a new repository"))
    }

    /// There is one more.
    pub(crate) fn adds(&mut self, moment: Timestamp) {
        self.all.insert(moment);
        self.newest = self.newest.max(Some((moment, 0)));
    }
}
