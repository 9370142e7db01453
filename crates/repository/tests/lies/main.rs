//! Stores that lie: what they do to a backup, to `verify` and to a restore, lie by lie and object by object.
//!
//! Whatever a store says, a backup that is reported as committed is a valid snapshot for everybody else, and nobody restores wrong
//! bytes; that is asserted of every case. What each case comes to beyond that stands in the tests, and in docs/reliability.md.

#[path = "../common/mod.rs"]
mod common;

mod liar;

use std::sync::Arc;

use common::{Secrets, World, job, noise};
use liar::{Liar, Lie};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use repository::{Compute, Error, Level, Outcome, Report, Repository, Snapshot, Store, verify_job};

/// What a lie comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// As if nothing was.
    Survived,
    /// It fails and says so; `verify` reports damage.
    Refused,
    /// It succeeds, and what it leaves is not whole: `verify` reports it to whoever asks later.
    FoundLater,
    /// An older snapshot is taken for the newest one: only who remembers it can tell.
    Older,
}

use Fate::{FoundLater, Older, Refused, Survived};

/// Always.
const EVER: usize = usize::MAX;
const NEWEST: &str = "log/000000000002";
const NEXT: &str = "log/000000000003";

/// What the lie does to a backup, to `verify` and to a restore of the newest snapshot.
async fn told(lie: Lie, about: &str, times: usize) -> [Fate; 3] {
    let case = format!("{lie:?} about {about}, {times} times");
    [
        backup(lie, about, times, &case).await,
        verify(lie, about, times, &case).await,
        restore(lie, about, times, &case).await,
    ]
}

fn secrets(changing: u64) -> Secrets {
    Secrets::from([
        ("changing".to_owned(), noise(300, changing)),
        ("steady".to_owned(), noise(9_000, 77)),
    ])
}

/// Two snapshots.
async fn world() -> (World, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    let world = World::on(Arc::clone(&store) as Arc<dyn ObjectStore>).await;
    world.back_up(&secrets(1)).await;
    world.back_up(&secrets(2)).await;
    (world, store)
}

async fn through(liar: &Arc<Liar>) -> Result<Repository, Error> {
    let store = Arc::clone(liar) as Arc<dyn ObjectStore>;
    Repository::open(Store::new(store, "the liar")).await
}

async fn backup(lie: Lie, about: &str, times: usize, case: &str) -> Fate {
    let (world, store) = world().await;
    let liar = Liar::new(&store, lie, about, times);
    let repository = through(&liar).await.expect("it does not lie about that");
    let outcome = world.back_up_to(&repository, &secrets(3)).await;
    let fate = match outcome {
        Ok(Outcome::Committed(finished)) => {
            let view = world.repository.view(&job(), &world.trust()).await;
            let view = view.expect("memory answers");
            assert!(view.holds(finished.at), "{case}: it is no snapshot");
            let report = report(&world, &world.repository).await;
            match world.read(finished.at.number).await {
                Ok(secrets_read) if report.damage.is_empty() => {
                    assert!(
                        secrets_read == secrets(3),
                        "{case}: it holds something else"
                    );
                    Survived
                }
                Ok(_) => panic!("{case}: it restores, and {:?}", report.damage),
                Err(error) => {
                    assert!(
                        error.is_damage() && !report.damage.is_empty(),
                        "{case}: {error}"
                    );
                    FoundLater
                }
            }
        }
        Ok(Outcome::StartOver) => panic!("{case}: nothing was pruned"),
        Err(error) => {
            say(&format!("{case}: backup: {}", chain(&error)));
            Refused
        }
    };
    for number in [1, 2] {
        let read = world.read(number).await.expect("it is whole");
        assert!(read == secrets(number), "{case}: {number} was harmed");
    }
    if fate != FoundLater {
        let Outcome::Committed(next) = world.back_up(&secrets(4)).await else {
            panic!("{case}: the next backup starts over");
        };
        let read = world.read(next.at.number).await;
        assert!(read.expect("it is whole") == secrets(4), "{case}");
    }
    fate
}

async fn report(world: &World, repository: &Repository) -> Report {
    try_report(world, repository)
        .await
        .expect("the store answers")
}

async fn try_report(world: &World, repository: &Repository) -> Result<Report, Error> {
    let (job, trust, compute) = (job(), world.trust(), Compute::inline());
    verify_job(repository, &job, &trust, Level::Data, &compute, &|_| ()).await
}

async fn verify(lie: Lie, about: &str, times: usize, case: &str) -> Fate {
    let (world, store) = world().await;
    let liar = Liar::new(&store, lie, about, times);
    let repository = through(&liar).await.expect("it does not lie about that");
    match try_report(&world, &repository).await {
        Ok(report) if report.damage.is_empty() && report.snapshots < 2 => Older,
        Ok(report) if report.damage.is_empty() => Survived,
        Ok(report) => {
            say(&format!(
                "{case}: verify: {}: {}",
                report.damage[0].object, report.damage[0].what
            ));
            Refused
        }
        Err(error) => {
            say(&format!("{case}: verify: {}", chain(&error)));
            Refused
        }
    }
}

async fn restore(lie: Lie, about: &str, times: usize, case: &str) -> Fate {
    let (world, store) = world().await;
    let liar = Liar::new(&store, lie, about, times);
    let repository = through(&liar).await.expect("it does not lie about that");
    match restored(&world, &repository).await {
        Ok((2, read)) => {
            assert!(read == secrets(2), "{case}: wrong bytes");
            Survived
        }
        Ok((number, read)) => {
            assert!(read == secrets(number), "{case}: wrong bytes");
            Older
        }
        Err(error) => {
            say(&format!("{case}: restore: {}", chain(&error)));
            Refused
        }
    }
}

/// The newest snapshot, and what it holds. Damage above it is an error, as it is to the program.
async fn restored(world: &World, repository: &Repository) -> Result<(u64, Secrets), Error> {
    let view = repository.view(&job(), &world.trust()).await?;
    let newest = view.snapshots().next_back();
    let newest = newest.ok_or(Error::NoSnapshot {
        snapshot: "prod".to_owned(),
    })?;
    if let Some(damage) = view.newest_damage() {
        return Err(Error::Damaged {
            object: format!("prod/{}", damage.number),
            detail: damage.reason.clone(),
        });
    }
    let identities = Arc::clone(&world.identities);
    let (trust, compute) = (world.trust(), Compute::inline());
    let opened = Snapshot::open(repository, newest, identities, &trust, compute).await?;
    Ok((newest.at.number, common::read(&opened, 0).await?))
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[expect(clippy::print_stderr, reason = "what a user would read")]
fn say(what: &str) {
    eprintln!("{what}");
}

/// Every case of a lie: about what, how often, and what it comes to for a backup, `verify` and a restore.
type Cases<'a> = &'a [(&'a str, usize, [Fate; 3])];

async fn comes_to(lie: Lie, cases: Cases<'_>) {
    let mut wrong = Vec::new();
    for (about, times, expected) in cases {
        let found = told(lie, about, *times).await;
        if found != *expected {
            wrong.push(format!("{lie:?} about {about}, {times} times: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn writes_that_fail_after_they_took_place() {
    for lie in [Lie::FailsAfterwards, Lie::RefusesItsOwn] {
        let all = [Survived, Survived, Survived];
        let objects = ["key", "manifest", "map", "pack-000000", NEXT, ""];
        for about in objects {
            comes_to(lie, &[(about, 1, all), (about, EVER, all)]).await;
        }
    }
}

#[tokio::test]
async fn writes_that_are_not_kept() {
    let later = [FoundLater, Survived, Survived];
    let cases = [
        ("key", EVER, later),
        ("manifest", EVER, later),
        ("map", EVER, later),
        ("pack-000000", EVER, later),
        (NEXT, 1, [Survived, Survived, Survived]),
        (NEXT, EVER, [Refused, Survived, Survived]),
    ];
    comes_to(Lie::NotKept, &cases).await;
    let cases = [
        ("key", EVER, later),
        ("manifest", EVER, later),
        ("map", EVER, later),
        ("pack-000000", EVER, later),
        (NEXT, EVER, [Survived, Survived, Survived]),
    ];
    comes_to(Lie::KeptInPart, &cases).await;
}

#[tokio::test]
async fn reads_that_are_cut_short() {
    let cases = |log: Fate| {
        [
            ("/key", EVER, [Survived, Refused, Refused]),
            ("/manifest", EVER, [Survived, Refused, Refused]),
            ("/map", EVER, [Survived, Refused, Survived]),
            ("/pack-000000", EVER, [Survived, Refused, Refused]),
            (NEWEST, 1, [log, Refused, Refused]),
            (NEWEST, 2, [log, Refused, Refused]),
            (NEWEST, EVER, [Refused, Refused, Refused]),
        ]
    };
    comes_to(Lie::CutShort, &cases(Refused)).await;
    comes_to(Lie::CutShortWithItsSize, &cases(Survived)).await;
}

#[tokio::test]
async fn bytes_of_another_object() {
    let cases = [
        ("/key", EVER, [Survived, Refused, Refused]),
        ("/manifest", EVER, [Survived, Refused, Refused]),
        ("/map", EVER, [Survived, Refused, Survived]),
        ("/pack-000000", EVER, [Survived, Refused, Refused]),
        (NEWEST, 1, [Survived, Refused, Refused]),
        (NEWEST, EVER, [Refused, Refused, Refused]),
    ];
    comes_to(Lie::AnotherObject, &cases).await;
}

#[tokio::test]
async fn reads_that_never_end() {
    let cases = [
        ("/key", EVER, [Survived, Refused, Refused]),
        ("/manifest", EVER, [Survived, Refused, Refused]),
        ("/map", EVER, [Survived, Refused, Survived]),
        ("/pack-000000", EVER, [Survived, Refused, Refused]),
        (NEWEST, EVER, [Refused, Refused, Refused]),
    ];
    comes_to(Lie::Endless, &cases).await;
}

#[tokio::test]
async fn objects_that_vanish() {
    let cases = [
        ("/key", EVER, [Survived, Refused, Refused]),
        ("/manifest", EVER, [Survived, Refused, Refused]),
        ("/map", EVER, [Survived, Refused, Survived]),
        ("/pack-000000", EVER, [Survived, Refused, Refused]),
        ("log/000000000001", EVER, [Refused, Refused, Refused]),
        (NEWEST, 1, [Survived, Older, Older]),
        (NEWEST, EVER, [Refused, Older, Older]),
    ];
    comes_to(Lie::Vanished, &cases).await;
}

#[tokio::test]
async fn lists_that_lag() {
    let cases = [
        ("/key", EVER, [Survived, Refused, Survived]),
        (NEWEST, 1, [Survived, Older, Older]),
        (NEWEST, EVER, [Refused, Older, Older]),
        (NEXT, 1, [Survived, Survived, Survived]),
        (NEXT, EVER, [Refused, Survived, Survived]),
        ("log/000000000001", 1, [Survived, Survived, Survived]),
    ];
    comes_to(Lie::NotListed, &cases).await;
}

#[tokio::test]
async fn lists_that_repeat_themselves() {
    let all = [Survived, Survived, Survived];
    comes_to(Lie::ListedTwice, &[("", EVER, all)]).await;
    let (_, store) = world().await;
    let liar = Liar::new(&store, Lie::ListedTwice, "", EVER);
    let repository = through(&liar).await.expect("it reads");
    assert_eq!(repository.jobs().await.expect("it lists"), [job()]);
}

#[tokio::test]
async fn sizes_that_are_listed_wrong() {
    let cases = [
        ("/log/", EVER, [Survived, Survived, Survived]),
        ("/runs/", EVER, [Survived, Refused, Survived]),
    ];
    comes_to(Lie::ListedLonger, &cases).await;
}

#[tokio::test]
async fn requests_that_are_too_many() {
    let all = [Refused, Refused, Refused];
    let cases = [
        ("/log", 1, all),
        ("/key", 1, [Refused, Refused, Refused]),
        ("/map", 1, [Refused, Refused, Survived]),
        ("/pack-000000", 1, [Refused, Refused, Refused]),
        ("", EVER, all),
    ];
    comes_to(Lie::TooMany, &cases).await;
}

#[tokio::test]
async fn a_store_that_is_slow() {
    let all = [Survived, Survived, Survived];
    comes_to(Lie::Slow, &[("", EVER, all)]).await;
}
