//! Stores that lie: what each lie, about each object, comes to for a backup, for `verify` and for a restore.
//!
//! [`fate::told`] says what is asserted of every case. What a case comes to beyond that stands here, and in docs/reliability.md.

#[path = "../common/mod.rs"]
mod common;

mod fate;
mod liar;

use std::sync::Arc;

use common::maintenance::Maintained;
use common::plugins::NoPlugins;
use common::{NOW, job};
use fate::Fate::{self, FoundLater, Older, Refused, Reported, Survived, Warned};
use fate::{secrets, through, told, world};
use format::generate_identity;
use liar::{Liar, Lie};
use object_store::memory::InMemory;
use repository::{Change, Compute, Conditions, Outcome, Probed, Remembered, Rotate, Store};

/// Always.
const EVER: usize = usize::MAX;
const OLDEST: &str = "log/000000000001";
const NEWEST: &str = "log/000000000002";
const NEXT: &str = "log/000000000003";

/// Each case of a lie: about what, how often, and what it comes to for a backup, `verify` and a restore.
async fn comes_to(lie: Lie, cases: &[(&str, usize, [Fate; 3])]) {
    let mut wrong = Vec::new();
    for (about, times, expected) in cases {
        let (found, said) = told(lie, about, *times).await;
        if found != *expected {
            wrong.push(format!(
                "{lie:?} about {about:?}, {times} times: {found:?}, {said:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const NOTHING: [Fate; 3] = [Survived, Survived, Survived];

#[tokio::test]
async fn writes_that_fail_after_they_took_place() {
    for lie in [Lie::FailsAfterwards, Lie::RefusesItsOwn] {
        for about in ["key", "manifest", "map", "pack-000000", NEXT, ""] {
            comes_to(lie, &[(about, 1, NOTHING), (about, EVER, NOTHING)]).await;
        }
    }
}

#[tokio::test]
async fn writes_that_are_not_kept() {
    let later = [FoundLater, Survived, Survived];
    for lie in [Lie::NotKept, Lie::KeptInPart] {
        for about in ["key", "manifest", "map", "pack-000000"] {
            comes_to(lie, &[(about, EVER, later)]).await;
        }
    }
    // A commit is looked up after it was put.
    let refused = [Refused, Survived, Survived];
    comes_to(Lie::NotKept, &[(NEXT, 1, refused), (NEXT, EVER, refused)]).await;
    comes_to(Lie::KeptInPart, &[(NEXT, EVER, later)]).await;
}

#[tokio::test]
async fn reads_that_are_cut_short() {
    let all = [Refused, Refused, Refused];
    let cases = [
        ("/key", EVER, [Survived, Reported, Refused]),
        ("/manifest", EVER, [Survived, Reported, Refused]),
        ("/map", EVER, [Refused, Reported, Survived]),
        ("/pack-000000", EVER, [Survived, Reported, Refused]),
        (NEWEST, 1, all),
        (NEWEST, EVER, all),
        ("strongroom.json", 1, all),
    ];
    comes_to(Lie::CutShort, &cases).await;
    // One that looks whole is damage: what is damaged is read again before a commit is believed in.
    let cases = [
        ("/key", EVER, [Survived, Reported, Refused]),
        ("/manifest", EVER, [Survived, Reported, Refused]),
        ("/map", EVER, [Survived, Reported, Survived]),
        ("/pack-000000", EVER, [Survived, Reported, Refused]),
        (NEWEST, 1, [Survived, Reported, Refused]),
        // Its first commit follows what was valid then, and stays behind.
        (NEWEST, 2, [FoundLater, Reported, Refused]),
        (NEWEST, EVER, [Warned, Reported, Refused]),
        ("strongroom.json", 1, all),
    ];
    comes_to(Lie::CutShortWithItsSize, &cases).await;
}

#[tokio::test]
async fn bytes_of_another_object() {
    let cases = [
        ("/key", EVER, [Survived, Reported, Refused]),
        ("/manifest", EVER, [Survived, Reported, Refused]),
        ("/map", EVER, [Survived, Reported, Survived]),
        ("/pack-000000", EVER, [Survived, Reported, Refused]),
        (NEWEST, 1, [Survived, Reported, Refused]),
        (NEWEST, EVER, [Warned, Reported, Refused]),
    ];
    comes_to(Lie::AnotherObject, &cases).await;
}

#[tokio::test]
async fn reads_that_never_end() {
    let all = [Refused, Refused, Refused];
    let cases = [
        ("/key", EVER, [Survived, Reported, Refused]),
        ("/manifest", EVER, [Survived, Reported, Refused]),
        ("/map", EVER, [Refused, Reported, Survived]),
        ("/pack-000000", EVER, [Survived, Reported, Refused]),
        (NEWEST, EVER, all),
        ("strongroom.json", EVER, all),
    ];
    comes_to(Lie::Endless, &cases).await;
}

#[tokio::test]
async fn nobody_waits_for_the_end_of_a_read() {
    let (_, store) = world().await;
    let liar = Liar::new(&store, Lie::Endless, "strongroom.json", EVER);
    assert!(through(&liar).await.is_err());
    assert!(liar.sent() < 1 << 18, "{} bytes were taken", liar.sent());
}

#[tokio::test]
async fn objects_that_vanish() {
    let cases = [
        ("/key", EVER, [Survived, Reported, Refused]),
        ("/manifest", EVER, [Survived, Reported, Refused]),
        ("/map", EVER, [Survived, Reported, Survived]),
        ("/pack-000000", EVER, [Survived, Reported, Refused]),
        (OLDEST, EVER, [Warned, Reported, Refused]),
        (NEWEST, 1, NOTHING),
        (NEWEST, EVER, [Refused, Older, Older]),
        ("strongroom.json", EVER, [Refused, Refused, Refused]),
    ];
    comes_to(Lie::Vanished, &cases).await;
}

#[tokio::test]
async fn lists_that_lag() {
    let cases = [
        ("/key", EVER, [Survived, Reported, Survived]),
        (NEWEST, 1, [Survived, Older, Older]),
        (NEWEST, EVER, [Refused, Older, Older]),
        (NEXT, 1, NOTHING),
        (NEXT, EVER, [Refused, Survived, Survived]),
        // A gap in the log is asked for by name.
        (OLDEST, EVER, NOTHING),
    ];
    comes_to(Lie::NotListed, &cases).await;
}

#[tokio::test]
async fn lists_that_repeat_themselves() {
    comes_to(Lie::ListedTwice, &[("", EVER, NOTHING)]).await;
    let (_, store) = world().await;
    let liar = Liar::new(&store, Lie::ListedTwice, "", EVER);
    let repository = through(&liar).await.expect("it reads");
    assert_eq!(repository.jobs().await.expect("it lists"), [job()]);
}

#[tokio::test]
async fn sizes_that_are_listed_wrong() {
    let cases = [
        ("/log/", EVER, NOTHING),
        ("/runs/", EVER, [Survived, Reported, Survived]),
    ];
    comes_to(Lie::ListedLonger, &cases).await;
}

/// What carries requests asks again, and waits as it is told (`stores/faults.rs`); this is what comes of it when that was in vain.
#[tokio::test]
async fn requests_that_are_too_many() {
    let all = [Refused, Refused, Refused];
    let cases = [
        ("/log", 1, all),
        ("/key", 1, [Survived, Reported, Refused]),
        ("/map", 1, [Refused, Reported, Survived]),
        ("/pack-000000", 1, [Survived, Reported, Refused]),
        ("strongroom.json", 1, all),
        ("", EVER, all),
    ];
    comes_to(Lie::TooMany, &cases).await;
}

#[tokio::test]
async fn a_store_that_is_slow() {
    comes_to(Lie::Slow, &[("", EVER, NOTHING)]).await;
}

async fn probe(lie: Lie) -> Probed {
    let liar = Liar::new(&Arc::new(InMemory::new()), lie, "", EVER);
    let probe = Store::new(liar, "the liar").probe().await;
    probe.found.expect("it answers")
}

#[tokio::test]
async fn a_probe_finds_what_no_backup_could() {
    let honest = probe(Lie::Slow).await;
    assert!(matches!(honest.conditions, Conditions::Atomic { .. }));
    assert!(honest.reads_own_writes && honest.lists_own_writes == Some(true));
    let broken = probe(Lie::ConditionIgnored).await.conditions;
    assert!(matches!(broken, Conditions::Broken { .. }), "{broken:?}");
    assert!(!probe(Lie::NotKept).await.reads_own_writes);
    assert!(!probe(Lie::KeptInPart).await.reads_own_writes);
    assert_eq!(probe(Lie::NotListed).await.lists_own_writes, Some(false));
}

/// Why `init` refuses a store that ignores the condition: one of two backups that end at the same time overwrites the other's commit.
/// Nobody who looks at the log can tell; whoever remembers its end can, with `verify --since`.
/// What opens a run goes only when what shall open it instead has been read back.
#[tokio::test]
async fn key_objects_that_are_not_kept_cost_nobody_a_key() {
    for lie in [Lie::NotKept, Lie::KeptInPart, Lie::CutShort] {
        let (world, store) = world().await;
        let (_, recipient) = generate_identity();
        let scene = Maintained::of(world);
        let rotation = Rotate {
            maintenance: scene.maintenance(),
            despite_damage: false,
            change: Change::By {
                add: vec![recipient.clone()],
                remove: Vec::new(),
            },
            identities: Arc::clone(&scene.world.identities),
            plugins: Arc::new(NoPlugins),
            compute: Compute::inline(),
        };
        let repository = through(&Liar::new(&store, lie, "/key-", EVER)).await;
        let repository = repository.expect("it does not lie about that");
        let rotated = rotation
            .carry_out(&repository, &|| NOW.to_owned(), &|| ())
            .await;
        rotated.expect_err("it is found out");
        for number in [1, 2] {
            let read = scene.read(number).await.expect("the old key opens it");
            assert!(read == secrets(number), "{lie:?}: {number} was harmed");
        }
    }
}

#[tokio::test]
async fn conditions_that_are_ignored() {
    comes_to(Lie::ConditionIgnored, &[("", EVER, NOTHING)]).await;
    let (world, store) = world().await;
    let Outcome::Committed(first) = world.back_up(&secrets(3)).await else {
        panic!("nobody prunes");
    };
    // The second one's list was made just before the first one's commit.
    let late = Liar::new(&store, Lie::NotListed, NEXT, 2);
    let both = Liar::above(late, Lie::ConditionIgnored, "", EVER);
    let repository = through(&both).await.expect("it reads");
    let outcome = world.back_up_to(&repository, &secrets(4)).await;
    let Ok(Outcome::Committed(second)) = outcome else {
        panic!("nothing tells it that it was late");
    };
    assert_eq!(first.at.number, second.at.number);
    let view = world.repository.view(&job(), &world.trust()).await;
    let view = view.expect("memory answers");
    assert_eq!(view.newest_damage(), None);
    assert_eq!(view.remembers(first.at), Remembered::Another);
    // With the condition kept, it is one more snapshot.
    let (world, store) = self::world().await;
    world.back_up(&secrets(3)).await;
    let late = Liar::new(&store, Lie::NotListed, NEXT, 2);
    let repository = through(&late).await.expect("it reads");
    world
        .back_up_to(&repository, &secrets(4))
        .await
        .expect("it goes on");
    assert_eq!(world.numbers().await, [1, 2, 3, 4]);
}
