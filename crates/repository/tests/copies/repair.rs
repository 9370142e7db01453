//! What is lost or damaged comes back from whoever has the same bytes, and nothing else is written over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use format::{Commit, DigestText, Log, Statement, WriterKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Cache, Compute, KEPT, Left, Mended, Repair, Repaired, Repository, Store};

use crate::common::faults::{Mortal, Stop};
use crate::common::maintenance::{Maintained, last};
use crate::common::{dump, job};
use crate::rival::Rival;
use crate::scene::{Scene, assert_whole, back_up, secrets};

type Objects = BTreeMap<String, Bytes>;

async fn repair(damaged: &Maintained, others: &[Repository], carry_out: bool) -> Vec<Mended> {
    let repaired = repair_with(damaged, others, None, carry_out).await;
    assert!(repaired.unasked.is_empty(), "{:?}", repaired.unasked);
    repaired.mended
}

async fn repair_with(
    damaged: &Maintained,
    others: &[Repository],
    cache: Option<&Cache>,
    carry_out: bool,
) -> Repaired {
    let (job, trust, compute) = (job(), damaged.trust(), Compute::inline());
    let repair = Repair {
        repository: &damaged.world.repository,
        others,
        cache,
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

fn commit(number: u64) -> String {
    format!("prod/log/{number:012}")
}

async fn assert_restore(of: &Maintained, numbers: &[u64]) {
    assert_eq!(of.numbers().await, numbers);
    for number in numbers {
        assert_eq!(of.read(*number).await.expect("whole"), secrets(*number));
    }
}

async fn become_again(store: &dyn ObjectStore, objects: &Objects) {
    for name in dump(store).await.into_keys() {
        delete(store, &name).await;
    }
    for (name, bytes) in objects {
        put(store, name, bytes).await;
    }
}

/// Backups that went on after a loss follow what was left below it.
#[tokio::test]
async fn no_commit_comes_back_at_the_price_of_one_that_counts() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let others = [replica(&dump(store).await).await];
    delete(store, &commit(2)).await;
    for minute in [4, 5] {
        back_up(&scene.here, minute).await;
    }
    let before = dump(store).await;
    for carry_out in [false, true] {
        let mended = repair(&scene.here, &others, carry_out).await;
        assert_eq!(dump(store).await, before);
        let [two, three] = &mended[..] else {
            panic!("{mended:?}");
        };
        assert_eq!(two.from.as_deref(), Some("the replica"));
        assert_eq!(two.left, Some(Left::Cuts([4, 5].into())));
        assert_eq!(
            (&*three.object, &three.left),
            (&*commit(3), &Some(Left::Stands))
        );
    }
    assert_restore(&scene.here, &[1, 4, 5]).await;
}

#[tokio::test]
async fn what_harms_nothing_comes_back_beside_what_does() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let earlier = replica(&dump(store).await).await;
    delete(store, &commit(2)).await;
    for minute in [4, 5, 6] {
        back_up(&scene.here, minute).await;
    }
    let before = dump(store).await;
    let others = [earlier, replica(&before).await];
    delete(store, &commit(5)).await;
    let run = scene.here.view().await;
    let run = run.snapshot(1).expect("it is there").statement.runs[0].run;
    let pack = format!("prod/runs/{run}/pack-000000");
    delete(store, &pack).await;
    for carry_out in [false, true] {
        let mended = repair(&scene.here, &others, carry_out).await;
        let back = mended.iter().filter(|it| it.left.is_none());
        let back: Vec<_> = back.map(|it| (&*it.object, it.from.is_some())).collect();
        assert_eq!(back, [(&*commit(5), true), (&*pack, true)]);
        let two = mended.iter().find(|it| it.object == commit(2));
        assert_eq!(
            two.and_then(|it| it.left.clone()),
            Some(Left::Cuts([4].into()))
        );
    }
    assert_eq!(dump(store).await, before);
    assert_restore(&scene.here, &[1, 4, 5, 6]).await;
}

/// The end of the log is lost, and a backup gives its number again after the repair has looked at the log.
#[tokio::test]
async fn a_backup_that_comes_first_is_not_written_over() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let lost = dump(store).await;
    delete(store, &commit(3)).await;
    back_up(&scene.here, 9).await;
    let with_rival = dump(store).await;
    for name in [2, 3] {
        delete(store, &commit(name)).await;
    }
    let replica: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    become_again(&*replica, &lost).await;
    let rival = Rival {
        inner: replica,
        read: Path::from(commit(3)),
        reads: AtomicUsize::new(0),
        other: Arc::clone(&scene.here.world.store),
        put: (Path::from(commit(3)), with_rival[&commit(3)].clone()),
    };
    let others = Repository::open(Store::new(Arc::new(rival), "the replica")).await;
    let mended = repair(&scene.here, &[others.expect("it is one")], true).await;
    let back: Vec<_> = mended.iter().map(|it| (&*it.object, &it.left)).collect();
    assert_eq!(back, [(&*commit(2), &None)]);
    assert_eq!(dump(store).await, with_rival);
    assert_eq!(scene.here.read(3).await.expect("it is whole"), secrets(9));
}

/// What a prune dropped goes with it when it comes back; what was backed up since it was lost does not.
#[tokio::test]
async fn a_prune_that_comes_back_drops_what_it_meant_to() {
    let scene = Scene::new().await;
    let (here, store) = (&scene.here, &*scene.here.world.store);
    let early = dump(store).await;
    back_up(here, 4).await;
    let unpruned = dump(store).await;
    let repository = &here.world.repository;
    here.prune(repository, last(2)).await.expect("it is pruned");
    back_up(here, 6).await;
    let whole = dump(store).await;
    let others = [replica(&early).await, replica(&whole).await];

    // What an earlier replica still has of what was dropped stays away, also while the prune is lost.
    become_again(store, &whole).await;
    for lost in [3, 5] {
        delete(store, &commit(lost)).await;
    }
    repair(here, &others, true).await;
    assert_eq!(dump(store).await, whole);

    // The prune is lost before it deleted anything, or afterwards.
    let mut undeleted = unpruned.clone();
    undeleted.extend(whole.clone());
    for state in [undeleted, whole] {
        become_again(store, &state).await;
        delete(store, &commit(5)).await;
        let mended = repair(here, &others, true).await;
        let all: Vec<_> = mended.iter().map(|it| (&*it.object, &it.left)).collect();
        assert_eq!(all, [(&*commit(5), &None)]);
        assert_restore(here, &[3, 4, 6]).await;
    }

    // All from number 4 on is lost, and that number is given again.
    become_again(store, &early).await;
    back_up(here, 4).await;
    let before = dump(store).await;
    let mended = repair(here, &others, true).await;
    let prune = mended.iter().find(|it| it.object == commit(5));
    assert_eq!(
        prune.and_then(|it| it.left.clone()),
        Some(Left::Cuts([4].into()))
    );
    assert_eq!(dump(store).await, before);
    assert_restore(here, &[1, 2, 3, 4]).await;
}

/// Whoever may put objects must not be able to keep what is lost from coming back.
#[tokio::test]
async fn a_stranger_s_commit_stands_in_nobody_s_way() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let before = dump(store).await;
    let others = [replica(&before).await];
    delete(store, &commit(2)).await;
    let stranger = WriterKey::generate();
    let view = scene.here.view().await;
    let first = view.snapshot(1).expect("it is there");
    let mut statement = first.statement.clone();
    statement.writer = stranger.id();
    let log = Log {
        number: 4,
        previous: Some(DigestText(first.at.digest)),
        appender: stranger.id(),
        appended: statement.finished.clone(),
        copied: None,
        witness: Vec::new(),
    };
    let forged = Commit::encode(&Statement::Snapshot(Box::new(statement)), &log, &stranger);
    put(store, &commit(4), &forged).await;
    assert_eq!(scene.here.numbers().await, [1, 4]);
    repair(&scene.here, &others, true).await;
    assert_restore(&scene.here, &[1, 2, 3]).await;
}

#[tokio::test]
async fn all_who_have_it_are_asked_until_one_has_it_whole() {
    let scene = Scene::new().await;
    scene.copy().await;
    let copied = dump(&*scene.there.world.store).await;
    let store = &*scene.here.world.store;
    let before = dump(store).await;
    let pack = before.keys().find(|name| name.contains("/pack-"));
    let pack = pack.expect("a pack");
    let same = |(_, bytes): &(&String, &Bytes)| **bytes == before[pack];
    let (there, _) = copied.iter().find(same).expect("a copy of it");
    for how in 0..3 {
        let damaged: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        become_again(&*damaged, &copied).await;
        harm(&*damaged, there, &copied[there], how).await;
        let damaged = Repository::open(Store::new(damaged, "damaged too")).await;
        // One that dies as soon as its log has been read, and one that is dead by then.
        let dying = Mortal::counting(Arc::clone(&scene.there.world.store));
        let opened = scene.there.world.through(dying.clone()).await;
        let opening = dying.counted();
        let (opened, trust) = (opened.expect("it is one"), scene.here.trust());
        let view = opened.view(&job(), &trust).await;
        view.expect("it has a log");
        let read = dying.counted();
        let mut others = vec![damaged.expect("it is one")];
        for operations in [opening, read] {
            let store = Arc::clone(&scene.there.world.store);
            let mortal = Mortal::new(store, operations, Stop::Before);
            let opened =
                Repository::open(Store::new(mortal, format!("dies at {operations}"))).await;
            others.push(opened.expect("it is one"));
        }
        others.push(scene.there.world.repository.clone());
        delete(store, pack).await;
        let repaired = repair_with(&scene.here, &others, None, true).await;
        let silent: Vec<String> = repaired.unasked.into_iter().map(|it| it.place).collect();
        assert_eq!(
            silent,
            [format!("dies at {opening}"), format!("dies at {read}")]
        );
        let from = repaired.mended[0].from.as_deref();
        assert_eq!((repaired.mended.len(), from), (1, Some("memory")));
        assert_eq!(dump(store).await, before);
    }
}

#[tokio::test]
async fn a_lost_map_is_no_loss_and_comes_back_if_this_host_kept_it() {
    let scene = Scene::new().await;
    let store = &*scene.here.world.store;
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Arc::new(Cache::new(folder.path().to_owned()));
    let host = scene
        .here
        .world
        .repository
        .clone()
        .with_cache(Arc::clone(&cache));
    let backup = scene.here.back_up_to(&host, &secrets(4)).await;
    backup.expect("the store is sound");
    let before = dump(store).await;
    let run = scene.here.view().await;
    let run = run.snapshot(4).expect("it is there").statement.runs[0].run;
    let map = format!("prod/runs/{run}/map");
    for how in 0..3 {
        harm(store, &map, &before[&map], how).await;
        let mended = repair(&scene.here, &[], true).await;
        assert_eq!(mended.len(), 1);
        assert_eq!(
            (&mended[0].from, &mended[0].left),
            (&None, &Some(Left::Map))
        );
        assert_eq!(scene.here.read(4).await.expect("it is whole"), secrets(4));
        let repaired = repair_with(&scene.here, &[], Some(&cache), true).await;
        assert_eq!(repaired.mended[0].from.as_deref(), Some(KEPT));
        assert_eq!(dump(store).await, before);
    }
}
