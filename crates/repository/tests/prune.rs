//! What a prune condemns goes, and nothing else; who may prune, and what keeps a prune from being wrong.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::maintenance::{Maintained, last};
use common::{NOW, Secrets, dump, job, noise};
use format::{Commit, DigestText, Log, PruneStatement, Statement, WriterKey};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{
    Compute, Error, Level, Policy, Prune, Pruned, Reason, Report, Repository, verify_job,
};

/// Secrets of which each seed shares most with the one before.
fn secrets(seed: u64) -> Secrets {
    let entry = |i: u64| (format!("entry/{i}"), noise(9000, i));
    (seed..seed + 4).map(entry).collect()
}

/// Snapshots 1 to `count`.
async fn scene(count: u64) -> Maintained {
    let scene = Maintained::new().await;
    for seed in 1..=count {
        scene.back_up(&secrets(seed)).await;
    }
    scene
}

/// The runs that have objects.
async fn runs(store: &dyn ObjectStore) -> BTreeSet<String> {
    let objects = dump(store).await;
    let runs = objects
        .keys()
        .filter_map(|name| name.strip_prefix("prod/runs/"));
    runs.filter_map(|name| name.split('/').next())
        .map(str::to_owned)
        .collect()
}

async fn verified(scene: &Maintained) -> Report {
    let (trust, compute) = (scene.trust(), Compute::inline());
    let repository = &scene.world.repository;
    let report = verify_job(repository, &job(), &trust, Level::Data, &compute, &|_| ()).await;
    report.expect("the store answers")
}

fn done(pruned: Result<Pruned, Error>) -> (Option<u64>, u64) {
    match pruned {
        Ok(Pruned::Done { at, deleted }) => (at.map(|at| at.number), deleted),
        Ok(Pruned::StartOver) => panic!("nobody interferes"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_is_not_kept_goes_and_the_rest_is_whole() {
    let scene = scene(8).await;
    let repository = &scene.world.repository;
    let plan = scene.plan(repository, last(2)).await.expect("a plan");
    let before: u64 = total(&scene).await;
    let planned = plan.planned();
    let (bytes, freed) = (planned.objects.1, planned.freed.values().sum::<u64>());
    assert!(
        bytes > 0 && bytes == freed && planned.unnamed == (0, 0),
        "{planned:?}"
    );
    let keep: Vec<bool> = plan.verdicts().iter().map(|verdict| verdict.keep).collect();
    assert_eq!(keep, [false, false, false, false, false, false, true, true]);

    let (at, deleted) = done(plan.carry_out(NOW, NOW, &|| ()).await);
    assert_eq!(at, Some(9));
    assert!(deleted >= 6);
    assert_eq!(scene.numbers().await, [7, 8]);
    for number in [7, 8] {
        assert_eq!(
            scene.read(number).await.expect("it stays whole"),
            secrets(number)
        );
    }
    // Exactly the bytes that were announced are gone.
    assert_eq!(before - total(&scene).await, bytes);
    let report = verified(&scene).await;
    assert_eq!((report.damage, report.unnamed), (Vec::new(), (0, 0)));
    let objects = dump(&*scene.world.store).await;
    let log: Vec<&str> = objects
        .keys()
        .filter_map(|name| name.strip_prefix("prod/log/"))
        .collect();
    assert_eq!(log, ["000000000007", "000000000008", "000000000009"]);

    // Again: nothing to do, and nothing is written.
    assert_eq!(done(scene.prune(repository, last(2)).await), (None, 0));
    assert_eq!(dump(&*scene.world.store).await, objects);
    // And the log goes on above.
    assert_eq!(scene.back_up(&secrets(9)).await.number, 10);
    assert_eq!(scene.read(10).await.expect("it is whole"), secrets(9));
}

/// The bytes of all objects of runs.
async fn total(scene: &Maintained) -> u64 {
    let objects = dump(&*scene.world.store).await;
    let runs = objects
        .iter()
        .filter(|(name, _)| name.starts_with("prod/runs/"));
    runs.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[tokio::test]
async fn packs_that_no_retained_snapshot_needs_go_out_of_runs_that_stay() {
    let scene = Maintained::new().await;
    // One run of several packs, of which the next snapshot needs the first only.
    let mut large: Secrets = [("a".to_owned(), noise(17 << 20, 1))].into();
    let kept = large.clone();
    large.insert("b".to_owned(), noise(17 << 20, 2));
    large.insert("c".to_owned(), noise(17 << 20, 3));
    scene.back_up(&large).await;
    scene.back_up(&kept).await;
    let packs = |objects: &BTreeMap<String, bytes::Bytes>| {
        objects
            .keys()
            .filter(|name| name.contains("/pack-"))
            .count()
    };
    let before = dump(&*scene.world.store).await;
    done(scene.prune(&scene.world.repository, last(1)).await);
    let after = dump(&*scene.world.store).await;
    assert!(packs(&after) < packs(&before), "{:?}", after.keys());
    assert_eq!(runs(&*scene.world.store).await.len(), 2);
    assert_eq!(scene.read(2).await.expect("it is whole"), kept);
    assert_eq!(verified(&scene).await.damage, []);
}

#[tokio::test]
async fn what_interrupted_backups_left_goes_when_it_is_old() {
    let scene = scene(1).await;
    let repository = &scene.world.repository;
    let backup = scene.start(repository).await.expect("the store is sound");
    let large: Secrets = [("large".to_owned(), noise(20 << 20, 9))].into();
    let taken = common::take(&backup, 0, "files", &large).await;
    drop((taken.map(drop), backup));
    assert_eq!(runs(&*scene.world.store).await.len(), 2);

    let mut options = scene.options(Policy::default());
    options.grace = Duration::from_hours(1);
    let now = jiff::Timestamp::now();
    let young = Prune::plan(repository, options.clone(), now).await;
    let young = young.expect("a plan");
    assert!(young.planned().is_nothing() && young.planned().spared.1 > 16 << 20);
    assert_eq!(done(young.carry_out(NOW, NOW, &|| ()).await), (None, 0));

    let later = now + jiff::SignedDuration::from_hours(2);
    let old = Prune::plan(repository, options, later)
        .await
        .expect("a plan");
    assert!(old.planned().unnamed.1 > 16 << 20);
    done(old.carry_out(NOW, NOW, &|| ()).await);
    assert_eq!(runs(&*scene.world.store).await.len(), 1);
    assert_eq!(scene.read(1).await.expect("it is whole"), secrets(1));
}

#[tokio::test]
async fn pinned_ones_stay_and_forgotten_ones_go() {
    let scene = scene(5).await;
    let repository = &scene.world.repository;
    let view = scene.view().await;
    let at = |number| view.snapshot(number).expect("it is there").at;
    let maintenance = scene.maintenance();
    let pinned = maintenance.pin(repository, at(1), true, NOW).await;
    assert_eq!(pinned.expect("it is appended").number, 6);
    let forgotten = maintenance
        .forget(repository, vec![at(4), at(2)], NOW)
        .await;
    assert_eq!(forgotten.expect("it is appended").number, 7);

    let reasons = |prune: &Prune| -> Vec<Reason> {
        prune
            .verdicts()
            .iter()
            .map(|verdict| verdict.reason)
            .collect()
    };
    let plan = scene
        .plan(repository, Policy::default())
        .await
        .expect("a plan");
    let expected = [
        Reason::Pinned,
        Reason::Forgotten,
        Reason::NoPolicy,
        Reason::Forgotten,
        Reason::NoPolicy,
    ];
    assert_eq!(reasons(&plan), expected);
    done(plan.carry_out(NOW, NOW, &|| ()).await);
    assert_eq!(scene.numbers().await, [1, 3, 5]);
    // The pin is retained with the snapshot, and the forget is not.
    done(scene.prune(repository, last(1)).await);
    assert_eq!(scene.numbers().await, [1, 5]);
    assert!(scene.view().await.snapshot(1).expect("it stays").pinned());
    assert_eq!(scene.read(1).await.expect("it is whole"), secrets(1));

    // Lifted, it goes, and its pin with it.
    let lifted = maintenance.pin(repository, at(1), false, NOW).await;
    lifted.expect("it is appended");
    done(scene.prune(repository, last(1)).await);
    assert_eq!(scene.numbers().await, [5]);
    // A snapshot that is gone cannot be pinned.
    let gone = maintenance.pin(repository, at(1), true, NOW).await;
    assert!(matches!(gone, Err(Error::NoSnapshot { .. })));
}

#[tokio::test]
async fn a_revocation_outlives_prunes() {
    let scene = scene(3).await;
    let repository = &scene.world.repository;
    let writer = scene.world.writer.id();
    let maintenance = scene.maintenance();
    let revoked = maintenance.revoke(repository, vec![writer], 2, NOW).await;
    let revoked = revoked.expect("it is appended");
    assert!(matches!(
        scene.open(3).await,
        Err(Error::Revoked { by: 4, .. })
    ));
    assert!(scene.open(2).await.is_ok());
    let refused = scene.back_up_to(repository, &secrets(4)).await;
    assert!(matches!(refused, Err(Error::WriterRevoked { by: 4, .. })));
    // The revoked one counts for nothing, so the newest is 2.
    done(scene.prune(repository, last(1)).await);
    assert_eq!(scene.numbers().await, [2]);
    let still = scene.view().await.revoked(writer, 9);
    assert_eq!(still.map(|revocation| revocation.by), Some(revoked));
}

/// What only a revoked writer had stored is stored again by the others, who may have been given bytes that fit its tags.
#[tokio::test]
async fn what_a_revoked_writer_stored_is_stored_again() {
    let mut scene = scene(2).await;
    let repository = scene.world.repository.clone();
    let bad = std::mem::replace(&mut scene.world.writer, Arc::new(WriterKey::generate()));
    scene.writers.push(bad.id());
    let packs = async |scene: &Maintained| {
        let objects = dump(&*scene.world.store).await;
        let packs = objects.iter().filter(|(name, _)| name.contains("/pack-"));
        packs.map(|(_, bytes)| bytes.len()).sum::<usize>()
    };
    let statement = async |scene: &Maintained, number: u64| {
        let view = repository.view(&job(), &scene.trust()).await;
        let view = view.expect("the store is sound");
        let snapshot = view.snapshot(number).expect("it exists");
        snapshot.statement.clone()
    };
    let first = statement(&scene, 1).await.runs[0].run;

    let revoked = scene.maintenance();
    let revoked = revoked.revoke(&repository, vec![bad.id()], 0, NOW).await;
    revoked.expect("it is appended");
    let (before, at) = (packs(&scene).await, scene.back_up(&secrets(2)).await);
    // The contents of snapshot 2, 36,000 bytes of noise, of which nothing is taken from there.
    assert!(packs(&scene).await - before >= 36_000);
    let anew = statement(&scene, at.number).await;
    assert!(anew.runs.iter().all(|run| run.run != first), "{anew:?}");
    assert_eq!(anew.runs.len(), 1);
    // And again: from here on it is found.
    let (before, at) = (packs(&scene).await, scene.back_up(&secrets(2)).await);
    assert_eq!(packs(&scene).await, before);

    // Nothing of the revoked writer is needed any more.
    done(scene.prune(&repository, last(1)).await);
    assert_eq!(scene.numbers().await, [at.number]);
    assert!(!runs(&*scene.world.store).await.contains(&first.to_string()));
    assert_eq!(scene.read(at.number).await.expect("whole"), secrets(2));
    assert_eq!(verified(&scene).await.damage, []);
}

#[tokio::test]
async fn a_commit_that_comes_in_between_is_not_lost() {
    let scene = scene(3).await;
    let repository = &scene.world.repository;
    let plan = scene.plan(repository, last(1)).await.expect("a plan");
    scene.back_up(&secrets(4)).await;
    let before = dump(&*scene.world.store).await;
    let pruned = plan.carry_out(NOW, NOW, &|| ()).await;
    assert!(matches!(pruned, Ok(Pruned::StartOver)), "{pruned:?}");
    assert_eq!(dump(&*scene.world.store).await, before);
    done(scene.prune(repository, last(2)).await);
    assert_eq!(scene.numbers().await, [3, 4]);
}

#[tokio::test]
async fn a_backup_under_way_starts_over_if_its_run_or_base_is_pruned() {
    let scene = scene(2).await;
    let repository = &scene.world.repository;
    let backup = scene.start(repository).await.expect("the store is sound");
    let taken = common::take(&backup, 0, "files", &secrets(9)).await;
    let results = vec![taken.expect("the store is sound")];
    let view = scene.view().await;
    let base = view.snapshot(2).expect("it is there").at;
    let maintenance = scene.maintenance();
    let forgotten = maintenance.forget(repository, vec![base], NOW).await;
    forgotten.expect("it is appended");
    done(scene.prune(repository, last(1)).await);
    let outcome = backup
        .finish(results, NOW, NOW)
        .await
        .expect("the store is sound");
    assert!(matches!(outcome, repository::Outcome::StartOver));
    assert_eq!(scene.numbers().await, [1]);
    assert_eq!(scene.back_up(&secrets(9)).await.number, 5);
    assert_eq!(scene.read(5).await.expect("it is whole"), secrets(9));
}

#[tokio::test]
async fn a_damaged_log_is_not_pruned_unless_that_is_asked_for() {
    let scene = scene(4).await;
    let repository = &scene.world.repository;
    let lost = Path::from("prod/log/000000000002");
    scene
        .world
        .store
        .delete(&lost)
        .await
        .expect("memory deletes");
    let refused = scene.prune(repository, last(1)).await;
    assert!(
        matches!(refused, Err(Error::DamagedLog { number: 4, .. })),
        "{refused:?}"
    );
    let mut options = scene.options(last(1));
    options.despite_damage = true;
    let plan = Prune::plan(repository, options, jiff::Timestamp::now()).await;
    let pruned = plan
        .expect("it was asked for")
        .carry_out(NOW, NOW, &|| ())
        .await;
    done(pruned);
    assert_eq!(scene.numbers().await, [1]);
    assert_eq!(verified(&scene).await.damage, []);
}

/// Whoever writes the repository can put any bytes there, but not with a maintainer's signature.
#[tokio::test]
async fn forged_prunes_are_refused() {
    let scene = scene(3).await;
    let stranger = Arc::new(WriterKey::generate());
    let head = scene.view().await.head().expect("three snapshots");
    let writer = Arc::clone(&scene.world.writer);
    for key in [stranger, writer] {
        let statement = Statement::Prune(PruneStatement {
            repository: scene.world.repository.id(),
            job: job(),
            writer: key.id(),
            program: String::new(),
            started: NOW.to_owned(),
            retains: Vec::new(),
            condemns: Vec::new(),
        });
        let log = Log {
            number: 4,
            previous: Some(DigestText(head.digest)),
            appender: key.id(),
            appended: NOW.to_owned(),
            copied: None,
            witness: Vec::new(),
        };
        let forged = Commit::encode(&statement, &log, &key);
        let place = Path::from("prod/log/000000000004");
        let put = scene.world.store.put(&place, forged.into()).await;
        put.expect("memory takes it");
        assert_eq!(scene.numbers().await, [1, 2, 3]);
        for number in [1, 2, 3] {
            scene.read(number).await.expect("it is whole");
        }
        let report = verified(&scene).await;
        assert_eq!(report.foreign_prunes, [(4, key.id())]);
        assert_eq!((report.damage, report.untrusted), (vec![], vec![]));
        // Trusted, it would be none of a stranger's.
        let (name, compute) = (job(), Compute::inline());
        let mut trust = scene.trust();
        trust.maintainers.insert(key.id());
        let repository = &scene.world.repository;
        let report = verify_job(repository, &name, &trust, Level::Log, &compute, &|_| ()).await;
        assert_eq!(report.expect("a sound store").foreign_prunes, []);
        // An honest prune above it deletes it.
        scene
            .world
            .store
            .delete(&place)
            .await
            .expect("memory deletes");
    }
}

#[tokio::test]
async fn who_does_not_know_the_maintainer_appends_nothing() {
    let scene = scene(3).await;
    done(scene.prune(&scene.world.repository, last(1)).await);
    let refused = scene
        .world
        .back_up_to(&scene.world.repository, &secrets(4))
        .await;
    let expected = scene.maintainer.id();
    let named = matches!(
        &refused,
        Err(Error::ForeignPrune { number: 4, maintainer, .. }) if *maintainer == expected
    );
    assert!(named, "{:?}", refused.err());
}

#[tokio::test]
async fn a_folder_is_cleared_of_the_runs_that_are_gone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = repository::Store::local(folder.path(), false).expect("a folder");
    let local = Repository::create(store, NOW.to_owned()).await;
    let mut scene = Maintained::new().await;
    scene.world.repository = local.expect("an empty folder");
    for seed in 1..=4 {
        scene.back_up(&secrets(seed * 100)).await;
    }
    let runs = || {
        let runs = std::fs::read_dir(folder.path().join("prod/runs"));
        runs.expect("a folder").count()
    };
    assert_eq!(runs(), 4);
    done(scene.prune(&scene.world.repository, last(1)).await);
    assert_eq!(runs(), 1);
    assert_eq!(scene.read(4).await.expect("it is whole"), secrets(400));
}
