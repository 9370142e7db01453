//! What a host keeps of a log saves requests, and never changes what it sees.

mod common;

use std::sync::Arc;

use common::faults::Mortal;
use common::maintenance::{Maintained, last};
use common::{NOW, Secrets, job, noise, take};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{
    Backup, Cache, Compute, Error, Level, Outcome, Prune, Pruned, Repository, View, verify_from,
};
use tempfile::TempDir;

/// A job with a log, and a host that keeps what it reads.
struct Scene {
    job: Maintained,
    folder: TempDir,
}

fn secrets(seed: u64) -> Secrets {
    Secrets::from([("entry".to_owned(), noise(9000, seed))])
}

impl Scene {
    async fn new(snapshots: u64) -> Self {
        let scene = Self {
            job: Maintained::new().await,
            folder: tempfile::tempdir().expect("a folder"),
        };
        for seed in 0..snapshots {
            scene.job.back_up(&secrets(seed)).await;
        }
        scene
    }

    fn store(&self) -> &dyn ObjectStore {
        &*self.job.world.store
    }

    async fn host(&self) -> (Repository, Arc<Mortal>) {
        let counting = Mortal::counting(Arc::clone(&self.job.world.store));
        let repository = self.job.world.through(counting.clone()).await;
        let cache = Cache::new(self.folder.path().to_owned());
        let repository = repository.expect("it is a repository");
        (repository.with_cache(Arc::new(cache)), counting)
    }

    /// What the host sees, which must be what everybody else sees; and the operations that it took.
    async fn look(&self) -> usize {
        let (repository, counting) = self.host().await;
        let seen = repository.view(&job(), &self.job.trust()).await;
        let seen = seen.expect("the store is sound");
        let fresh = self.job.view().await;
        assert_eq!(described(&seen), described(&fresh));
        counting.counted()
    }

    async fn delete(&self, number: u64) {
        self.store()
            .delete(&path(number))
            .await
            .expect("memory deletes");
    }
}

fn path(number: u64) -> Path {
    Path::from(format!("prod/log/{number:012}"))
}

/// All that a view decides. Of what counts for nothing, what is damage.
fn described(view: &View) -> String {
    let snapshots: Vec<_> = view.snapshots().map(|it| (it.at, it.pinned())).collect();
    let damage: Vec<_> = view.garbage().iter().filter(|it| it.damage).collect();
    let (head, tail) = (view.head(), view.tail());
    format!("{snapshots:?} {head:?} {tail} {damage:?}")
}

async fn back_up(repository: &Repository, job: &Maintained, seed: u64) -> Result<Outcome, Error> {
    let options = repository::BackupOptions {
        trust: job.trust(),
        ..job.world.options()
    };
    let backup = Backup::start(repository, options, Compute::inline()).await?;
    let results = vec![take(&backup, 0, "files", &secrets(seed)).await?];
    backup.finish(results, NOW, NOW).await
}

#[tokio::test]
async fn an_unchanged_source_takes_six_operations() {
    let scene = Scene::new(40).await;
    let (repository, _) = scene.host().await;
    back_up(&repository, &scene.job, 39)
        .await
        .expect("a sound store");
    for _ in 0..3 {
        let (repository, counting) = scene.host().await;
        let outcome = back_up(&repository, &scene.job, 39).await;
        assert!(matches!(outcome, Ok(Outcome::Committed(it)) if it.unchanged));
        // What it is, the log, the log before the commit, the commit, the log after it, and the commit read back.
        assert_eq!(counting.counted(), 6);
    }
    scene.look().await;
}

/// The map that a backup made is kept too, and those of no other run.
#[tokio::test]
async fn what_was_just_written_need_not_be_read() {
    let scene = Scene::new(0).await;
    for seed in 0..3 {
        let (repository, _) = scene.host().await;
        back_up(&repository, &scene.job, seed)
            .await
            .expect("a sound store");
    }
    let (repository, counting) = scene.host().await;
    back_up(&repository, &scene.job, 2)
        .await
        .expect("a sound store");
    assert_eq!(counting.counted(), 6);
}

#[tokio::test]
async fn only_what_is_new_is_read() {
    let scene = Scene::new(30).await;
    assert!(scene.look().await > 30);
    assert_eq!(scene.look().await, 2);
    scene.job.back_up(&secrets(50)).await;
    assert_eq!(scene.look().await, 3);
    assert_eq!(scene.look().await, 2);
}

/// Whoever deletes sees what is stored now, commit by commit, and reads but what changed.
#[tokio::test]
async fn a_prune_sees_what_was_lost_or_exchanged_in_the_middle() {
    let scene = Scene::new(20).await;
    scene.look().await;
    let compared = async || {
        let (repository, counting) = scene.host().await;
        let mut options = scene.job.options(last(2));
        options.despite_damage = true;
        let plan = Prune::plan(&repository, options, jiff::Timestamp::now()).await;
        let plan = plan.expect("the store is sound");
        assert_eq!(described(plan.view()), described(&scene.job.view().await));
        counting.counted()
    };
    assert_eq!(compared().await, 2);
    let other = scene.store().get(&path(3)).await.expect("it is there");
    let other = other.bytes().await.expect("memory reads");
    let written = scene.store().put(&path(12), other.into()).await;
    written.expect("memory overwrites");
    compared().await;
    scene.delete(8).await;
    compared().await;
}

/// What it is; the job, in one list of its log and its runs; the commit; the log after it, and the commit read back.
#[tokio::test]
async fn a_prune_takes_five_operations_and_its_deletes() {
    let scene = Scene::new(20).await;
    scene.look().await;
    let (repository, counting) = scene.host().await;
    let pruned = scene.job.prune(&repository, last(2)).await;
    let Ok(Pruned::Done { at, deleted }) = pruned else {
        panic!("nobody interferes: {pruned:?}");
    };
    assert_eq!(at.map(|at| at.number), Some(21));
    assert_eq!(counting.counted() as u64, 5 + deleted);
    scene.look().await;
}

/// Of what is stored, the runs are listed once the log is known, and that is all.
#[tokio::test]
async fn who_has_read_the_log_verifies_with_one_operation() {
    let scene = Scene::new(20).await;
    let (repository, counting) = scene.host().await;
    let trust = scene.job.trust();
    let view = repository.view(&job(), &trust).await;
    let view = view.expect("the store is sound");
    let (name, before, compute) = (job(), counting.counted(), Compute::inline());
    let report = verify_from(
        &repository,
        &name,
        &trust,
        Level::Log,
        &compute,
        &|_| (),
        view,
    );
    let report = report.await.expect("the store is sound");
    assert!(report.snapshots == 20 && report.damage.is_empty());
    assert_eq!(counting.counted() - before, 1);
}

#[tokio::test]
async fn a_prune_by_somebody_else_is_seen() {
    let scene = Scene::new(6).await;
    scene.look().await;
    for seed in 100..104 {
        scene.job.back_up(&secrets(seed)).await;
        let repository = &scene.job.world.repository;
        scene
            .job
            .prune(repository, last(2))
            .await
            .expect("it is pruned");
        scene.look().await;
        scene.look().await;
    }
    let kept = std::fs::read_dir(scene.folder.path())
        .expect("a folder")
        .count();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_log_that_was_put_back_is_seen_as_it_is() {
    for lost in 1..=3 {
        let scene = Scene::new(6).await;
        scene.look().await;
        for number in 7 - lost..=6 {
            scene.delete(number).await;
        }
        scene.look().await;
        scene.look().await;
        // Others go on from there, until what this host knew last has a namesake.
        for seed in 200..200 + lost {
            scene.job.back_up(&secrets(seed)).await;
            scene.look().await;
        }
        scene.look().await;
    }
}

#[tokio::test]
async fn a_log_that_was_forked_while_nobody_looked_is_seen_as_it_is() {
    for more in 0..2 {
        let scene = Scene::new(6).await;
        scene.look().await;
        scene.delete(5).await;
        scene.delete(6).await;
        for seed in 300..302 + more {
            scene.job.back_up(&secrets(seed)).await;
        }
        assert_eq!(scene.job.view().await.tail(), 6 + more);
        scene.look().await;
        let (repository, _) = scene.host().await;
        back_up(&repository, &scene.job, 400)
            .await
            .expect("a sound store");
        scene.look().await;
        assert_eq!(scene.job.numbers().await.len() as u64, 7 + more);
    }
}

#[tokio::test]
async fn whatever_lies_in_the_folder_changes_nothing() {
    let scene = Scene::new(4).await;
    scene.look().await;
    let repository = std::fs::read_dir(scene.folder.path()).expect("a folder");
    let folder = repository.last().expect("one").expect("a folder").path();
    let file = folder.join("prod.log");
    let whole = std::fs::read(&file).expect("it is kept");
    let mut dice = common::dice::Dice::new(7);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at),
            _ => drop(bytes.drain(..at)),
        }
        std::fs::write(&file, bytes).expect("written");
        scene.look().await;
    }
    // Commits of another repository, kept as if they were of this one.
    let other = Scene::new(4).await;
    other.look().await;
    let repository = std::fs::read_dir(other.folder.path()).expect("a folder");
    let theirs = repository.last().expect("one").expect("a folder").path();
    std::fs::copy(theirs.join("prod.log"), &file).expect("copied");
    scene.look().await;
}
