//! Who acts in a schedule: the real code of the repository, as futures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use format::CommitRef;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use jiff::Timestamp;
use repository::{
    Backup, Change, Compute, Copy, Copying, Error, Fate, Level, Maintenance, Outcome, Policy,
    Prune, PruneOptions, Pruned, Repository, Rotate, verify_job,
};

use crate::common::plugins::NoPlugins;
use crate::common::{NOW, job, take};
use crate::parking::ActorId;
use crate::scene::{Capture, elsewhere, keys, restore, secrets, trust};

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes a backup, and starts over as often as it is told to.
    BackUp(Capture),
    /// Takes two, one after the other.
    BackUpTwice(Capture),
    /// Begins a backup, and gives it up before its commit.
    GiveUp(Capture),
    /// Keeps the newest snapshot.
    Prune,
    /// Pins the oldest snapshot.
    Pin,
    /// Forgets the oldest snapshot.
    Forget,
    /// Seals everything to other recipients.
    Rotate,
    /// Copies what another repository has, which is older.
    Copy,
    /// Restores the newest snapshot.
    Restore,
    /// Verifies the job.
    Verify,
}

/// What an actor says that it has done.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// This snapshot exists.
    Committed(CommitRef),
    /// This snapshot is pinned.
    Pinned(CommitRef),
    /// Something else is done.
    Done(String),
    /// This snapshot cannot be restored.
    Unreadable(CommitRef, String),
    /// It found something else.
    Wrong(String),
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
                Role::Prune => self.prune().await,
                Role::Pin => self.pin().await,
                Role::Forget => self.forget().await,
                Role::Rotate => self.rotate().await,
                Role::Copy => self.copy().await,
                Role::Restore => self.restore().await,
                Role::Verify => self.verify().await,
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
        self.report(Report::Wrong("starts over and over".to_owned()));
        Ok(())
    }

    async fn give_up(&self, capture: Capture) -> Result<(), Error> {
        let options = capture.options();
        let backup = Backup::start(&self.repository, options, Compute::inline()).await?;
        let taken = take(&backup, 0, "files", &secrets(capture.source)).await;
        backup.abandon().await;
        taken.map(drop)
    }

    async fn prune(&self) -> Result<(), Error> {
        let policy = Policy {
            keep_last: 1,
            min_age: Duration::ZERO,
            ..Policy::default()
        };
        let options = PruneOptions {
            job: job(),
            policy,
            grace: Duration::ZERO,
            maintainer: Arc::clone(&keys().maintainer),
            trust: trust(),
            program: String::new(),
            despite_damage: false,
        };
        for _ in 0..ROUNDS {
            let now = Timestamp::UNIX_EPOCH;
            let prune = Prune::plan(&self.repository, options.clone(), now).await?;
            match prune.carry_out(NOW, NOW, &|| ()).await? {
                Pruned::Done { at, deleted } => {
                    let at = at.map_or("nothing".to_owned(), |at| at.number.to_string());
                    self.report(Report::Done(format!("pruned: {at}, {deleted} deleted")));
                    return Ok(());
                }
                Pruned::StartOver => self.report(Report::StartsOver),
            }
        }
        self.report(Report::Wrong("starts over and over".to_owned()));
        Ok(())
    }

    async fn pin(&self) -> Result<(), Error> {
        let Some(oldest) = self.oldest().await? else {
            return Ok(());
        };
        let maintenance = maintenance();
        match maintenance.pin(&self.repository, oldest, true, NOW).await {
            Ok(_) => self.report(Report::Pinned(oldest)),
            Err(Error::NoSnapshot { .. }) => self.report(Report::Done("found it gone".to_owned())),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn forget(&self) -> Result<(), Error> {
        let oldest = self.oldest().await?;
        let maintenance = maintenance();
        let forgotten = oldest.into_iter().collect();
        match maintenance.forget(&self.repository, forgotten, NOW).await {
            Ok(at) => self.report(Report::Done(format!("forgot: {}", at.number))),
            Err(Error::NoSnapshot { .. }) => self.report(Report::Done("found it gone".to_owned())),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn rotate(&self) -> Result<(), Error> {
        let rotation = Rotate {
            maintenance: maintenance(),
            despite_damage: false,
            change: Change::To(keys().others.texts().to_vec()),
            identities: Arc::clone(&keys().identities),
            plugins: Arc::new(NoPlugins),
            compute: Compute::inline(),
        };
        let now = || NOW.to_owned();
        let done = rotation.carry_out(&self.repository, &now, &|| ()).await?;
        let what = format!("rotated {} runs, {} deleted", done.rotated, done.deleted);
        self.report(Report::Done(what));
        Ok(())
    }

    async fn copy(&self) -> Result<(), Error> {
        let mut maintenance = maintenance();
        maintenance.key = Arc::clone(&keys().writers[1]);
        let options = Copy {
            maintenance,
            pruned_too: true,
            only: Vec::new(),
            compute: Compute::inline(),
        };
        let mut copying = Copying::plan(elsewhere(), &self.repository, options).await?;
        copying.pin_the_rest(&|| NOW.to_owned()).await?;
        let fates = copying.fates().to_vec();
        for (number, _) in fates.into_iter().filter(|(_, fate)| *fate == Fate::Goes) {
            let now = || NOW.to_owned();
            if let Some(copied) = copying.copy(number, &now, &|_| ()).await? {
                self.report(Report::Committed(copied.to));
            }
        }
        Ok(())
    }

    async fn oldest(&self) -> Result<Option<CommitRef>, Error> {
        let view = self.repository.view(&job(), &trust()).await?;
        Ok(view.snapshots().next().map(|snapshot| snapshot.at))
    }

    async fn restore(&self) -> Result<(), Error> {
        let view = self.repository.view(&job(), &trust()).await?;
        if let Some(damage) = view.newest_damage() {
            let what = format!("sees damage: {} {}", damage.number, damage.reason);
            self.report(Report::Wrong(what));
        }
        let Some(newest) = view.snapshots().next_back() else {
            self.report(Report::Wrong("sees no snapshot".to_owned()));
            return Ok(());
        };
        let source = newest.statement.program.parse().expect("a number");
        match restore(&self.repository, newest).await {
            Ok(restored) if restored == secrets(source) => {
                self.report(Report::Done(format!("restored {}", newest.at.number)));
            }
            Ok(_) => self.report(Report::Wrong("restored wrong bytes".to_owned())),
            Err(error) => self.report(Report::Unreadable(newest.at, chain(&error))),
        }
        Ok(())
    }

    async fn verify(&self) -> Result<(), Error> {
        let (job, trust, compute) = (job(), trust(), Compute::inline());
        let level = Level::Log;
        let report = verify_job(&self.repository, &job, &trust, level, &compute, &|_| ()).await?;
        match report.damage.first() {
            Some(damage) => {
                let what = format!("reports {}: {}", damage.object, damage.what);
                self.report(Report::Wrong(what));
            }
            None => self.report(Report::Done("found all well".to_owned())),
        }
        Ok(())
    }

    fn report(&self, report: Report) {
        let mut reports = self.reports.lock().expect("nothing panics there");
        reports.push((self.id, report));
    }
}

fn maintenance() -> Maintenance {
    Maintenance {
        job: job(),
        key: Arc::clone(&keys().maintainer),
        trust: trust(),
        program: String::new(),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
