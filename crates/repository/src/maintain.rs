use std::sync::Arc;

use format::{
    CommitRef, ForgetStatement, JobName, PinStatement, RevokeStatement, Statement, WriterId,
    WriterKey,
};

use crate::append::{Appended, Ground, append};
use crate::view::Trust;
use crate::{Error, Repository};

/// How often the log may change under a commit that needs only a place in it.
const ATTEMPTS: usize = 16;

/// Who says something about a job's snapshots. The times are handed in with each statement: RFC 3339.
#[derive(Clone)]
pub struct Maintenance {
    /// The job.
    pub job: JobName,
    /// Who signs: a trusted maintainer, and for a pin that is set a trusted writer will do.
    pub key: Arc<WriterKey>,
    /// Whose commits count.
    pub trust: Trust,
    /// Program and version, for the commits.
    pub program: String,
}

impl Maintenance {
    /// Pins a snapshot, so that no prune may drop it, or lifts its pin. On return that is durable and in force.
    pub async fn pin(
        &self,
        repository: &Repository,
        snapshot: CommitRef,
        pinned: bool,
        now: &str,
    ) -> Result<CommitRef, Error> {
        let statement = Statement::Pin(PinStatement {
            repository: repository.id(),
            job: self.job.clone(),
            writer: self.key.id(),
            program: self.program.clone(),
            started: now.to_owned(),
            snapshot,
            pinned,
        });
        self.append(repository, &statement, &[snapshot], now).await
    }

    /// Marks snapshots for the next prune; until then they can be read by number. On return that is durable and in force.
    pub async fn forget(
        &self,
        repository: &Repository,
        mut snapshots: Vec<CommitRef>,
        now: &str,
    ) -> Result<CommitRef, Error> {
        snapshots.sort_unstable();
        snapshots.dedup();
        let statement = Statement::Forget(ForgetStatement {
            repository: repository.id(),
            job: self.job.clone(),
            writer: self.key.id(),
            program: self.program.clone(),
            started: now.to_owned(),
            snapshots: snapshots.clone(),
        });
        self.append(repository, &statement, &snapshots, now).await
    }

    /// Lets nobody trust what `writers` wrote under a number above `after`, or will write. On return that is durable and in force.
    pub async fn revoke(
        &self,
        repository: &Repository,
        mut writers: Vec<WriterId>,
        after: u64,
        now: &str,
    ) -> Result<CommitRef, Error> {
        writers.sort_unstable();
        writers.dedup();
        let statement = Statement::Revoke(RevokeStatement {
            repository: repository.id(),
            job: self.job.clone(),
            writer: self.key.id(),
            program: self.program.clone(),
            started: now.to_owned(),
            writers,
            after,
        });
        self.append(repository, &statement, &[], now).await
    }

    /// Appends a statement about some commits, all of which must still be valid.
    pub(crate) async fn append(
        &self,
        repository: &Repository,
        statement: &Statement,
        about: &[CommitRef],
        now: &str,
    ) -> Result<CommitRef, Error> {
        for _ in 0..ATTEMPTS {
            let view = repository.view(&self.job, &self.trust).await?;
            if let Some(gone) = about.iter().find(|at| !view.holds(**at)) {
                let snapshot = format!("{}/{}", self.job, gone.number);
                return Err(Error::NoSnapshot { snapshot });
            }
            let ground = Ground {
                bases: about.to_vec(),
                fresh: true,
                ..Ground::of(view)
            };
            let (job, key, trust) = (&self.job, &self.key, &self.trust);
            let appended = append(repository, job, statement, ground, key, trust, now).await?;
            if let Appended::Yes(at) = appended {
                return Ok(at);
            }
        }
        Err(Error::Contended {
            job: self.job.clone(),
        })
    }
}
