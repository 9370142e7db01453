//! Who acts in a schedule: the real code of the repository, as futures.

use std::sync::{Arc, Mutex};

use format::CommitRef;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use repository::{Backup, Compute, Error, Outcome, Repository};

use crate::common::take;
use crate::parking::ActorId;
use crate::scene::{Capture, secrets};

/// What somebody does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Takes a backup, and starts over as often as it is told to.
    BackUp(Capture),
    /// Takes two, one after the other.
    BackUpTwice(Capture),
    /// Begins a backup, and gives it up before its commit.
    GiveUp(Capture),
}

/// What an actor says that it has done.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// This snapshot exists.
    Committed(CommitRef),
    /// It has to begin again.
    StartsOver,
    /// It ends, without a result.
    Failed(String),
}

/// All reports since they were last looked at.
pub(crate) type Reports = Arc<Mutex<Vec<(ActorId, Report)>>>;

/// How often a backup starts over before it counts as one that never ends.
const ROUNDS: usize = 8;

pub(crate) struct Actor {
    pub(crate) id: ActorId,
    pub(crate) repository: Repository,
    pub(crate) reports: Reports,
}

impl Actor {
    pub(crate) fn play(self, role: Role) -> LocalBoxFuture<'static, ()> {
        async move {
            let result = match role {
                Role::BackUp(capture) => self.back_up(capture).await,
                Role::BackUpTwice(capture) => match self.back_up(capture).await {
                    Ok(()) => self.back_up(capture).await,
                    Err(error) => Err(error),
                },
                Role::GiveUp(capture) => self.give_up(capture).await,
            };
            if let Err(error) = result {
                self.report(Report::Failed(chain(&error)));
            }
        }
        .boxed_local()
    }

    async fn back_up(&self, capture: Capture) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            match capture.back_up(&self.repository).await? {
                Outcome::Committed(finished) => {
                    self.report(Report::Committed(finished.at));
                    return Ok(());
                }
                Outcome::StartOver => self.report(Report::StartsOver),
            }
        }
        panic!("it starts over and over");
    }

    async fn give_up(&self, capture: Capture) -> Result<(), Error> {
        let options = capture.options();
        let backup = Backup::start(&self.repository, options, Compute::inline()).await?;
        let taken = take(&backup, 0, "files", &secrets(capture.source)).await;
        backup.abandon().await;
        taken.map(drop)
    }

    fn report(&self, report: Report) {
        let mut reports = self.reports.lock().expect("nothing panics there");
        reports.push((self.id, report));
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
