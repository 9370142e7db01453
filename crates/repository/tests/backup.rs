//! What is backed up comes back, costs little when little changed, and is committed once.

mod common;

use archive::Item;
use common::{NOW, Secrets, World, items, noise, read, sample, take, take_items};
use futures::future;
use repository::{Backup, Compute, Outcome};

fn finished(outcome: Outcome) -> repository::Finished {
    match outcome {
        Outcome::Committed(finished) => *finished,
        Outcome::StartOver => panic!("nothing interfered"),
    }
}

#[tokio::test]
async fn everything_comes_back() {
    let world = World::new().await;
    let first = finished(world.back_up(&sample()).await);
    assert_eq!(first.at.number, 1);
    assert_eq!(first.statement.entries, sample().len() as u64);
    assert_eq!(world.read(1).await.expect("it was just written"), sample());
}

#[tokio::test]
async fn an_unchanged_source_is_one_commit() {
    let world = World::new().await;
    world.back_up(&sample()).await;
    let before = common::dump(&*world.store).await;
    let second = finished(world.back_up(&sample()).await);
    let after = common::dump(&*world.store).await;
    assert!(second.unchanged);
    assert_eq!(second.statement.added, 0);
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(
        world.read(2).await.expect("it names the first run"),
        sample()
    );
}

#[tokio::test]
async fn a_change_costs_about_its_size() {
    let world = World::new().await;
    let first = finished(world.back_up(&sample()).await);
    let mut changed = sample();
    changed.insert("small/007".into(), noise(400, 5000));
    changed.insert("inserted".into(), noise(100, 5001));
    changed.get_mut("large").expect("it is there")[700_000] ^= 1;
    let second = finished(world.back_up(&changed).await);
    assert!(first.statement.added > 1_500_000);
    assert!(
        second.statement.added < 120_000,
        "{}",
        second.statement.added
    );
    assert_eq!(world.read(2).await.expect("it is whole"), changed);
    assert_eq!(world.read(1).await.expect("it is still there"), sample());
}

#[tokio::test]
async fn the_same_content_twice_is_stored_once() {
    let world = World::new().await;
    let secrets: Secrets = (0..8)
        .map(|i| (format!("copy/{i}"), noise(200_000, 1)))
        .collect();
    let first = finished(world.back_up(&secrets).await);
    assert!(first.statement.added < 300_000, "{}", first.statement.added);
    assert_eq!(world.read(1).await.expect("it is whole"), secrets);
}

/// As etcd does when a member dies in the middle of its snapshot: another one's, which is nearly the same, follows in its place.
#[tokio::test]
async fn an_entry_that_is_given_up_is_not_kept_and_not_stored_twice() {
    let world = World::new().await;
    let (mut broken, whole) = (noise(6_000_000, 1), noise(8_000_000, 1));
    broken[3_000_000] ^= 1;
    let mut said = items("db", &broken);
    *said.last_mut().expect("its end") = Item::GiveUp;
    let mut batches: Vec<Vec<Item>> = said.into_iter().map(|item| vec![item]).collect();
    batches.push(items("db", &whole));
    let backup = Backup::start(&world.repository, world.options(), Compute::inline()).await;
    let backup = backup.expect("the store is sound");
    let taken = take_items(&backup, 0, "files", batches).await;
    let results = vec![taken.expect("it may begin again")];
    let first = finished(backup.finish(results, NOW, NOW).await.expect("it commits"));

    assert_eq!(
        (first.statement.entries, first.statement.bytes),
        (1, 8_000_000)
    );
    assert!(
        first.statement.added < 8_200_000,
        "{}",
        first.statement.added
    );
    let secrets = Secrets::from([("db".to_owned(), whole)]);
    assert_eq!(world.read(1).await.expect("it is whole"), secrets);
    let second = finished(world.back_up(&secrets).await);
    assert!(second.unchanged, "what was given up leaves no trace in it");
}

#[tokio::test]
async fn many_generations_stay_readable_and_runs_stay_bounded() {
    let world = World::new().await;
    let mut secrets: Secrets = (0..150)
        .map(|i| (format!("{i:03}"), noise(4200, i)))
        .collect();
    let mut most = 0;
    world.back_up(&secrets).await;
    for generation in 0..149_u64 {
        secrets.insert(format!("{generation:03}"), noise(4200, 1000 + generation));
        let done = finished(world.back_up(&secrets).await);
        most = most.max(done.statement.runs.len());
    }
    assert_eq!(
        most, 128,
        "each generation lives in a run of its own until there are too many"
    );
    assert_eq!(world.read(150).await.expect("the newest is whole"), secrets);
    world.read(1).await.expect("the oldest is whole");
}

#[tokio::test]
async fn sources_are_taken_in_at_the_same_time() {
    let world = World::new().await;
    let other: Secrets = (0..20)
        .map(|i| (format!("o{i:02}"), noise(90_000, 77 + i)))
        .collect();
    let backup = Backup::start(&world.repository, world.options(), Compute::inline()).await;
    let backup = backup.expect("the store is sound");
    let (sample, nothing) = (sample(), Secrets::new());
    let results = future::try_join3(
        take(&backup, 0, "one", &sample),
        take(&backup, 1, "two", &other),
        take(&backup, 2, "none", &nothing),
    );
    let (one, two, none) = results.await.expect("the store is sound");
    let outcome = backup
        .finish(vec![one, two, none], NOW, NOW)
        .await
        .expect("the store is sound");
    finished(outcome);
    let snapshot = world.open(1).await.expect("it exists");
    assert_eq!(read(&snapshot, 0).await.expect("whole"), sample);
    assert_eq!(read(&snapshot, 1).await.expect("whole"), other);
    assert_eq!(read(&snapshot, 2).await.expect("whole"), nothing);
}

#[tokio::test]
async fn two_backups_of_a_job_at_once_both_become_snapshots() {
    let world = World::new().await;
    world.back_up(&sample()).await;
    let (mut a, mut b) = (sample(), sample());
    a.insert("a".into(), noise(1000, 1));
    b.insert("b".into(), noise(1000, 2));
    let both = future::join(world.back_up(&a), world.back_up(&b)).await;
    let numbers = [finished(both.0).at.number, finished(both.1).at.number];
    assert!(numbers == [2, 3] || numbers == [3, 2], "{numbers:?}");
    assert_eq!(world.numbers().await, [1, 2, 3]);
    assert_eq!(world.read(numbers[0]).await.expect("whole"), a);
    assert_eq!(world.read(numbers[1]).await.expect("whole"), b);
}

#[tokio::test]
async fn other_recipients_get_a_full_snapshot_that_they_can_open() {
    let mut world = World::new().await;
    world.back_up(&sample()).await;
    let other = World::new().await;
    world.recipients = other.recipients.clone();
    let second = finished(world.back_up(&sample()).await);
    assert!(!second.unchanged && second.statement.parent.is_none());
    world.identities = other.identities.clone();
    assert_eq!(
        world.read(2).await.expect("the new recipient opens it"),
        sample()
    );
    assert!(
        world.read(1).await.is_err(),
        "the new recipient does not open the old one"
    );
}
