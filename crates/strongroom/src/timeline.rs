//! All snapshots of a job in order, for the commands that look through them (`find`, `history`).

use std::sync::Arc;

use format::{Identities, JobName};
use repository::{Repository, Snapshot, Trust, Valid};

use crate::exit::Exit;
use crate::session::Session;

/// The trusted snapshots of the jobs, each opened once; those that hold the same are told apart by number only.
pub(crate) struct Timeline<'a> {
    session: &'a Session,
    repository: &'a Repository,
    identities: Arc<Identities>,
    /// Snapshots that could not be opened, with the reason.
    unread: Vec<String>,
    opened: u64,
    last_error: Option<anyhow::Error>,
}

/// One snapshot on the line.
pub(crate) struct Stop<'s> {
    pub(crate) number: u64,
    pub(crate) finished: &'s str,
    /// `None`: it holds exactly what the one before it held.
    pub(crate) snapshot: Option<&'s Snapshot>,
}

impl<'a> Timeline<'a> {
    pub(crate) async fn new(
        session: &'a Session,
        repository: &'a Repository,
    ) -> anyhow::Result<Self> {
        let identities = session.identities().await?;
        Ok(Self {
            session,
            repository,
            identities,
            unread: Vec::new(),
            opened: 0,
            last_error: None,
        })
    }

    /// Calls `visit` for every snapshot of `job` that is not forgotten, the oldest first. One that cannot be opened is passed over and counted.
    pub(crate) async fn walk(
        &mut self,
        job: &JobName,
        mut visit: impl AsyncFnMut(Stop<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut trust = self.session.trust()?;
        let view = self.session.view(self.repository, job, &mut trust).await?;
        let mut held = None;
        for valid in view.snapshots().filter(|valid| !valid.forgotten()) {
            if let Some(why) = refused(&valid, &trust) {
                self.unread
                    .push(format!("{job}/{}: {why}", valid.at.number));
                continue;
            }
            let manifest = valid.statement.runs.first().map(|run| run.manifest.digest);
            let (number, finished) = (valid.at.number, valid.statement.finished.as_str());
            if manifest.is_some() && held == manifest {
                visit(Stop {
                    number,
                    finished,
                    snapshot: None,
                })
                .await?;
                continue;
            }
            let identities = Arc::clone(&self.identities);
            match self
                .session
                .open_snapshot(self.repository, valid, identities, &trust)
                .await
            {
                Ok(snapshot) => {
                    self.opened += 1;
                    visit(Stop {
                        number,
                        finished,
                        snapshot: Some(&snapshot),
                    })
                    .await?;
                    held = manifest;
                }
                Err(error) => {
                    self.unread
                        .push(format!("{job}/{number}: {}", crate::output::chain(&error)));
                    self.last_error = Some(error);
                    held = None;
                }
            }
        }
        Ok(())
    }

    /// What could not be looked at, and how the command ends because of it. If nothing could be, that is an error: to say
    /// that nothing was found would be wrong.
    pub(crate) fn conclude(self) -> anyhow::Result<(Vec<String>, Exit)> {
        if let (0, Some(error)) = (self.opened, self.last_error) {
            return Err(error);
        }
        for unread in &self.unread {
            self.session
                .output
                .note(format_args!("not looked at: {unread}"));
        }
        let exit = if self.unread.is_empty() {
            Exit::Ok
        } else {
            Exit::Partial
        };
        Ok((self.unread, exit))
    }
}

/// Why nobody is to believe what a snapshot holds.
fn refused(valid: &Valid<'_>, trust: &Trust) -> Option<String> {
    let writer = valid.statement.writer;
    if let Some(revocation) = valid.revoked() {
        let by = revocation.by.number;
        let job = &valid.statement.job;
        return Some(format!("its writer {writer} was revoked by {job}/{by}"));
    }
    let stranger = trust.stranger(valid)?;
    Some(if stranger == writer {
        format!("its writer {writer} is not trusted")
    } else {
        format!("{stranger}, who put it there, is not trusted")
    })
}
