//! A backup or a prune that stops before or after any store operation leaves every snapshot whole that is to stay, and the next backup and
//! the next prune working.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::faults::{Mortal, Stop};
use common::maintenance::{Maintained, last};
use common::{Secrets, World, dump, job, noise, sample};
use format::WriterKey;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use repository::{Compute, Level, Outcome, Pruned, Report, verify_job};

fn changed() -> Secrets {
    let mut secrets = sample();
    secrets.insert("large".into(), noise(1_400_000, 9));
    secrets.insert("new".into(), noise(5000, 10));
    secrets
}

#[tokio::test]
async fn a_stop_at_any_store_operation_in_memory_loses_nothing() {
    stop_everywhere(&|| Arc::new(InMemory::new())).await;
}

#[tokio::test]
async fn a_stop_at_any_store_operation_in_a_directory_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = AtomicUsize::new(0);
    stop_everywhere(&|| {
        let number = made.fetch_add(1, Ordering::Relaxed);
        let place = folder.path().join(number.to_string());
        std::fs::create_dir(&place).expect("a folder");
        let store = LocalFileSystem::new_with_prefix(place).expect("it was just made");
        Arc::new(store.with_fsync(true))
    })
    .await;
}

async fn stop_everywhere(new_store: &dyn Fn() -> Arc<dyn ObjectStore>) {
    let mut operations = 0;
    let mut outcomes = [0, 0];
    loop {
        let mut died = false;
        for stop in [Stop::Before, Stop::After] {
            let world = World::on(new_store()).await;
            world.back_up(&sample()).await;

            let mortal = Mortal::new(Arc::clone(&world.store), operations, stop);
            let result = match world.through(mortal.clone()).await {
                Ok(repository) => world.back_up_to(&repository, &changed()).await.map(drop),
                Err(error) => Err(error),
            };
            died = mortal.died();
            assert_eq!(result.is_err(), died, "operation {operations}, {stop:?}");

            let numbers = world.numbers().await;
            outcomes[numbers.len() - 1] += 1;
            assert_eq!(
                world.read(1).await.expect("the first snapshot is whole"),
                sample()
            );
            if numbers.contains(&2) {
                assert_eq!(
                    world
                        .read(2)
                        .await
                        .expect("a snapshot that exists is whole"),
                    changed()
                );
            }
            let next = world.back_up(&changed()).await;
            let Outcome::Committed(next) = next else {
                panic!("nothing interferes any more")
            };
            assert_eq!(
                world.read(next.at.number).await.expect("it is whole"),
                changed()
            );
        }
        if !died {
            break;
        }
        operations += 1;
    }
    // The commit's own put, answered or not, is where a snapshot begins to exist.
    assert!(operations > 10, "{operations} operations were stopped at");
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[tokio::test]
async fn a_prune_that_stops_at_any_store_operation_loses_nothing_and_is_finished_by_the_next() {
    let mut operations = 0;
    let mut halfway = 0;
    loop {
        let mut died = false;
        for stop in [Stop::Before, Stop::After] {
            let mut scene = pruned_scene().await;
            let before = dump(&*scene.world.store).await.len();
            let store = Arc::clone(&scene.world.store);
            let mortal = Mortal::new(store, operations, stop);
            let result = match scene.world.through(mortal.clone()).await {
                Ok(repository) => scene.prune(&repository, last(2)).await.map(drop),
                Err(error) => Err(error),
            };
            died = mortal.died();
            assert_eq!(result.is_err(), died, "operation {operations}, {stop:?}");
            check_kept(&scene).await;
            let objects = dump(&*scene.world.store).await;
            halfway += usize::from(died && objects.len() < before);

            // A backup goes on, whatever was left.
            let next = scene.back_up(&slice(9)).await;
            assert_eq!(
                scene.read(next.number).await.expect("it is whole"),
                slice(9)
            );
            check_kept(&scene).await;
            // And whoever prunes next finishes what was begun, another maintainer too: now three stay.
            let other = Arc::new(WriterKey::generate());
            let first = std::mem::replace(&mut scene.maintainer, other);
            scene.others.push(first.id());
            let again = scene.prune(&scene.world.repository, last(3)).await;
            assert!(matches!(again, Ok(Pruned::Done { .. })), "{again:?}");
            let report = check_kept(&scene).await;
            assert_eq!(scene.numbers().await, [2, 4, 6, next.number]);
            assert_eq!((report.unnamed, report.superseded), ((0, 0), 0));
        }
        if !died {
            break;
        }
        operations += 1;
    }
    assert!(operations > 15, "{operations} operations were stopped at");
    assert!(halfway > 4, "{halfway} left something to finish");
}

/// Entries of which the next seed has most.
fn slice(seed: u64) -> Secrets {
    let entry = |i: u64| (format!("entry/{i}"), noise(3000, i));
    (seed..seed + 4).map(entry).collect()
}

/// Six snapshots, one of which is pinned, and one forgotten.
async fn pruned_scene() -> Maintained {
    let scene = Maintained::new().await;
    let mut taken = Vec::new();
    for seed in 1..=6 {
        taken.push(scene.back_up(&slice(seed)).await);
    }
    let (repository, maintenance) = (&scene.world.repository, scene.maintenance());
    let pinned = maintenance
        .pin(repository, taken[1], true, common::NOW)
        .await;
    pinned.expect("memory answers");
    let forgotten = maintenance
        .forget(repository, vec![taken[4]], common::NOW)
        .await;
    forgotten.expect("memory answers");
    scene
}

/// What the prune keeps is whole at any time, and whatever is valid is.
async fn check_kept(scene: &Maintained) -> Report {
    for (number, seed) in [(2, 2), (4, 4), (6, 6)] {
        let read = scene.read(number).await;
        assert_eq!(read.expect("what is to stay is whole"), slice(seed));
    }
    let (trust, compute) = (scene.trust(), Compute::inline());
    let repository = &scene.world.repository;
    let report = verify_job(repository, &job(), &trust, Level::Data, &compute, &|_| ()).await;
    let report = report.expect("memory answers");
    assert_eq!(report.damage, []);
    report
}
