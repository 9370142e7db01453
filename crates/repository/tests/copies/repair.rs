//! What is lost or damaged comes back from whoever has the same bytes, and nothing else is written over.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use format::{Commit, DigestText, Log, Statement, WriterKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Compute, Mended, Repair, Repository, Store};

use crate::common::maintenance::Maintained;
use crate::common::{dump, job};
use crate::scene::{Scene, assert_whole, secrets};

type Objects = BTreeMap<String, Bytes>;

async fn repair(damaged: &Maintained, others: &[Repository], carry_out: bool) -> Vec<Mended> {
    let (job, trust, compute) = (job(), damaged.trust(), Compute::inline());
    let repair = Repair {
        repository: &damaged.world.repository,
        others,
        job: &job,
        trust: &trust,
        compute: &compute,
    };
    repair
        .run(carry_out, &|_| ())
        .await
        .expect("the stores are sound")
}

async fn put(store: &dyn ObjectStore, name: &str, bytes: &[u8]) {
    let put = store.put(&Path::from(name), bytes.to_vec().into()).await;
    put.expect("memory takes it");
}

async fn delete(store: &dyn ObjectStore, name: &str) {
    store
        .delete(&Path::from(name))
        .await
        .expect("memory deletes");
}

/// Loses it, changes it, or cuts it.
async fn harm(store: &dyn ObjectStore, name: &str, bytes: &[u8], how: usize) {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    match how {
        0 => return delete(store, name).await,
        1 => bytes[middle] ^= 1,
        _ => bytes.truncate(middle),
    }
    put(store, name, &bytes).await;
}

#[tokio::test]
async fn every_object_of_a_run_comes_back_whatever_happened_to_it() {
    let scene = Scene::new().await;
    scene.copy().await;
    let others = [scene.there.world.repository.clone()];
    let store = &*scene.here.world.store;
    let before = dump(store).await;
    let runs = before.iter().filter(|(name, _)| name.contains("/runs/"));
    for (name, bytes) in runs {
        for how in 0..3 {
            harm(store, name, bytes, how).await;
            let seen = repair(&scene.here, &others, false).await;
            assert_ne!(dump(store).await, before, "a dry run writes nothing");
            let mended = repair(&scene.here, &others, true).await;
            assert_eq!(mended, seen);
            assert_eq!(mended.len(), 1);
            assert_eq!((&mended[0].object, mended[0].from.is_some()), (name, true));
            assert_eq!(dump(store).await, before, "{name}, {how}");
        }
    }
    // All at once, and in the copy.
    let store = &*scene.there.world.store;
    let before = dump(store).await;
    for (at, (name, bytes)) in before
        .iter()
        .filter(|(name, _)| name.contains("/runs/"))
        .enumerate()
    {
        harm(store, name, bytes, at % 3).await;
    }
    repair(
        &scene.there,
        std::slice::from_ref(&scene.here.world.repository),
        true,
    )
    .await;
    assert_eq!(dump(store).await, before);
    assert_whole(&scene.there).await;
}

#[tokio::test]
async fn what_nobody_has_is_said_to_be_lost() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let before = dump(store).await;
    let packs = before.iter().filter(|(name, _)| name.contains("/pack-"));
    let (name, bytes) = packs.last().expect("there are packs");
    harm(store, name, bytes, 1).await;
    let damaged = dump(store).await;
    let mended = repair(
        &scene.here,
        std::slice::from_ref(&scene.there.world.repository),
        true,
    )
    .await;
    assert_eq!((mended.len(), &mended[0].from), (1, &None));
    assert!(!mended[0].snapshots.is_empty());
    assert_eq!(dump(store).await, damaged, "it is left as it is");
}

/// A repository that somebody copied file by file.
async fn replica(objects: &Objects) -> Repository {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (name, bytes) in objects {
        put(&*store, name, bytes).await;
    }
    let opened = Repository::open(Store::new(store, "the replica")).await;
    opened.expect("it is one")
}

#[tokio::test]
async fn lost_commits_come_back_from_a_replica() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let before = dump(store).await;
    let others = [replica(&before).await];
    let name = |number: u64| format!("prod/log/{number:012}");
    for lost in [vec![1], vec![2], vec![3], vec![2, 3], vec![1, 2, 3]] {
        for how in 0..3 {
            for number in &lost {
                let name = name(*number);
                harm(store, &name, &before[&name], how).await;
            }
            let mended = repair(&scene.here, &others, true).await;
            assert_eq!(mended.len(), lost.len(), "{lost:?} {how}");
            assert_eq!(dump(store).await, before, "{lost:?} {how}");
        }
    }
    assert_eq!(scene.here.read(3).await.expect("it is whole"), secrets(3));
}

#[tokio::test]
async fn a_stranger_s_word_on_what_should_be_there_counts_for_nothing() {
    let scene = Scene::new().await;
    scene.copy().await;
    let store = &*scene.here.world.store;
    let before = dump(store).await;
    // A stranger's snapshot that says of two objects that each should be the other.
    let stranger = WriterKey::generate();
    let view = scene.here.view().await;
    let third = view.snapshot(3).expect("it is there");
    let mut statement = third.statement.clone();
    statement.writer = stranger.id();
    let run = &mut statement.runs[0];
    (run.manifest, run.map) = (run.map, run.manifest);
    let log = Log {
        number: 4,
        previous: view.head().map(|head| DigestText(head.digest)),
        appender: stranger.id(),
        appended: statement.finished.clone(),
        copied: None,
        witness: Vec::new(),
    };
    let forged = Commit::encode(&Statement::Snapshot(Box::new(statement)), &log, &stranger);
    put(store, "prod/log/000000000004", &forged).await;
    let others = [scene.there.world.repository.clone()];
    repair(&scene.here, &others, true).await;
    let mut after = dump(store).await;
    after.remove("prod/log/000000000004");
    assert_eq!(after, before);
    assert_eq!(scene.here.read(3).await.expect("it is whole"), secrets(3));
}
