//! What a lie comes to.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use repository::{
    Compute, Error, Finished, Level, Outcome, Report, Repository, Snapshot, Store, verify_job,
};

use crate::common::{self, Secrets, World, job, noise};
use crate::liar::{Liar, Lie};

/// What a lie comes to for whoever is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// As if nothing was.
    Survived,
    /// It fails, and says why.
    Refused,
    /// `verify` reports damage.
    Reported,
    /// A backup succeeds; what is not whole `verify` reports to whoever asks later.
    FoundLater,
    /// A backup succeeds, and says that the log is damaged. To whoever is told the truth its snapshot does not count: `verify` reports
    /// it, and it is read by its number.
    Warned,
    /// An older snapshot is taken for the newest one: only who remembers it can tell.
    Older,
}

use Fate::{FoundLater, Older, Refused, Reported, Survived, Warned};

/// The contents of a snapshot.
pub(crate) fn secrets(changing: u64) -> Secrets {
    Secrets::from([
        ("changing".to_owned(), noise(300, changing)),
        ("steady".to_owned(), noise(9_000, 77)),
    ])
}

/// Two snapshots.
pub(crate) async fn world() -> (World, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    let world = World::on(Arc::clone(&store) as Arc<dyn ObjectStore>).await;
    world.back_up(&secrets(1)).await;
    world.back_up(&secrets(2)).await;
    (world, store)
}

/// The repository as the liar tells of it.
pub(crate) async fn through(liar: &Arc<Liar>) -> Result<Repository, Error> {
    let store = Arc::clone(liar) as Arc<dyn ObjectStore>;
    Repository::open(Store::new(store, "the liar")).await
}

/// What the lie does to a backup, to `verify` and to a restore of the newest snapshot, and what each of them said.
///
/// Whatever it is: the snapshots that were there stay whole, nobody restores wrong bytes, and a backup that is reported as done can be
/// restored, or `verify` says why not.
pub(crate) async fn told(lie: Lie, about: &str, times: usize) -> ([Fate; 3], [String; 3]) {
    let case = format!("{lie:?} about {about:?}");
    let (backed_up, backup) = back_up(lie, about, times, &case).await;
    let (world, store) = world().await;
    let liar = Liar::new(&store, lie, about, times);
    let (verified, verify) = verify(&world, &liar).await;
    let liar = Liar::new(&store, lie, about, times);
    let (restored, restore) = restore(&world, &liar, &case).await;
    ([backed_up, verified, restored], [backup, verify, restore])
}

async fn back_up(lie: Lie, about: &str, times: usize, case: &str) -> (Fate, String) {
    let (world, store) = world().await;
    let liar = Liar::new(&store, lie, about, times);
    let outcome = match through(&liar).await {
        Ok(repository) => back_up_again(&world, &repository).await,
        Err(error) => Err(error),
    };
    let (fate, said) = match outcome {
        Ok(finished) => (judge(&world, &finished, case).await, String::new()),
        Err(error) => (Refused, chain(&error)),
    };
    for number in [1, 2] {
        let read = world.read(number).await.expect("it is whole");
        assert!(read == secrets(number), "{case}: {number} was harmed");
    }
    // The next one does not build on what is not there.
    if fate != FoundLater {
        let Outcome::Committed(next) = world.back_up(&secrets(4)).await else {
            panic!("{case}: the next backup starts over");
        };
        let read = world.read(next.at.number).await;
        assert!(read.expect("it is whole") == secrets(4), "{case}");
    }
    (fate, said)
}

/// Starts over where it must, as the program does.
async fn back_up_again(world: &World, repository: &Repository) -> Result<Finished, Error> {
    loop {
        if let Outcome::Committed(finished) = world.back_up_to(repository, &secrets(3)).await? {
            return Ok(*finished);
        }
    }
}

/// A backup that was reported as done, to somebody who is told the truth.
async fn judge(world: &World, finished: &Finished, case: &str) -> Fate {
    let number = finished.at.number;
    let report = report(world, &world.repository).await;
    let report = report.expect("memory answers");
    let view = world.repository.view(&job(), &world.trust()).await;
    let view = view.expect("memory answers");
    if !view.holds(finished.at) {
        assert!(finished.damage.is_some(), "{case}: it is no snapshot");
        let named = |damage: &repository::Damage| damage.snapshots.contains(&number);
        assert!(report.damage.iter().any(named), "{case}: nobody says so");
        let stray = view.strays().find(|stray| stray.at == finished.at);
        let read = read(world, &world.repository, stray.expect("it is there")).await;
        assert!(read.expect("it is whole") == secrets(3), "{case}");
        return Warned;
    }
    let noted = finished.damage.is_some();
    assert!(!noted || !report.damage.is_empty(), "{case}: a false alarm");
    match world.read(number).await {
        Ok(read) => assert!(read == secrets(3), "{case}: it holds something else"),
        Err(error) => {
            assert!(error.is_damage(), "{case}: {error}");
            assert!(!report.damage.is_empty(), "{case}: nobody says so");
        }
    }
    if report.damage.is_empty() {
        Survived
    } else {
        FoundLater
    }
}

async fn report(world: &World, repository: &Repository) -> Result<Report, Error> {
    let (job, trust, compute) = (job(), world.trust(), Compute::inline());
    verify_job(repository, &job, &trust, Level::Data, &compute, &|_| ()).await
}

async fn verify(world: &World, liar: &Arc<Liar>) -> (Fate, String) {
    let reported = match through(liar).await {
        Ok(repository) => report(world, &repository).await,
        Err(error) => Err(error),
    };
    match reported {
        Ok(report) => match report.damage.first() {
            Some(damage) => (Reported, format!("{}: {}", damage.object, damage.what)),
            None if report.snapshots < 2 => (Older, String::new()),
            None => (Survived, String::new()),
        },
        Err(error) => (Refused, chain(&error)),
    }
}

async fn restore(world: &World, liar: &Arc<Liar>, case: &str) -> (Fate, String) {
    let restored = match through(liar).await {
        Ok(repository) => newest(world, &repository).await,
        Err(error) => Err(error),
    };
    match restored {
        Ok((number, read)) => {
            assert!(read == secrets(number), "{case}: wrong bytes");
            (if number == 2 { Survived } else { Older }, String::new())
        }
        Err(error) => (Refused, chain(&error)),
    }
}

/// The newest snapshot, and what it holds. Damage above it is an error, as it is to the program.
async fn newest(world: &World, repository: &Repository) -> Result<(u64, Secrets), Error> {
    let view = repository.view(&job(), &world.trust()).await?;
    if let Some(damage) = view.newest_damage() {
        return Err(Error::Damaged {
            object: format!("prod/{}", damage.number),
            detail: damage.reason.clone(),
        });
    }
    let newest = view.snapshots().next_back();
    let newest = newest.ok_or(Error::NoSnapshot {
        snapshot: "prod".to_owned(),
    })?;
    let number = newest.at.number;
    Ok((number, read(world, repository, newest).await?))
}

async fn read(
    world: &World,
    repository: &Repository,
    snapshot: repository::Valid<'_>,
) -> Result<Secrets, Error> {
    let identities = Arc::clone(&world.identities);
    let (trust, compute) = (world.trust(), Compute::inline());
    let opened = Snapshot::open(repository, snapshot, identities, &trust, compute).await?;
    common::read(&opened, 0).await
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
