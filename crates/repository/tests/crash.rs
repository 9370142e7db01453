//! A backup that stops before or after any store operation leaves every snapshot whole and the next backup working.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::faults::{Mortal, Stop};
use common::{Secrets, World, noise, sample};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use repository::Outcome;

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
