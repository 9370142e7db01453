//! Whoever can create objects appends a true statement again, so that an old snapshot is the newest: nobody falls for it.

mod common;

use std::sync::Arc;

use common::{NOW, World, dump, job, noise, sample};
use format::{DigestText, Log, Signed, WriterKey};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use repository::{Compute, Error, Level, Outcome, Snapshot, verify_job};

/// Two snapshots, and the first one's statement again as number 3, signed into its place by a stranger.
async fn replayed() -> (World, WriterKey) {
    let (world, stranger) = (World::new().await, WriterKey::generate());
    world.back_up(&sample()).await;
    let mut second = sample();
    second.insert("new".into(), noise(3000, 3));
    world.back_up(&second).await;
    let view = world.repository.view(&job(), &world.trust()).await;
    let head = view.expect("memory answers").head().expect("two snapshots");
    let objects = dump(&*world.store).await;
    let signed = Signed::of(&objects["prod/log/000000000001"]).expect("a commit");
    let log = Log {
        number: 3,
        previous: Some(DigestText(head.digest)),
        appender: stranger.id(),
        appended: NOW.to_owned(),
        copied: None,
        witness: Vec::new(),
    };
    let name = Path::from("prod/log/000000000003");
    let put = world
        .store
        .put(&name, signed.append(&log, &stranger).into());
    put.await.expect("memory takes it");
    (world, stranger)
}

#[tokio::test]
async fn a_statement_appended_again_by_a_stranger_is_a_link_and_no_snapshot() {
    let (world, stranger) = replayed().await;
    assert_eq!(world.numbers().await, [1, 2, 3], "the chain has it");
    let refused = world.open(3).await.err();
    let Some(Error::UntrustedAppender { appender, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(appender, stranger.id());
    let (job, trust, compute) = (job(), world.trust(), Compute::inline());
    let report = verify_job(
        &world.repository,
        &job,
        &trust,
        Level::Log,
        &compute,
        &|_| (),
    );
    let report = report.await.expect("memory answers");
    assert_eq!((report.untrusted, report.damage), (vec![3], vec![]));

    // Appended by a key that is trusted, it is a snapshot like any other.
    let mut trust = world.trust();
    trust.maintainers.insert(stranger.id());
    let view = world.repository.view(&job, &trust).await;
    let view = view.expect("memory answers");
    let third = view.snapshot(3).expect("it is valid");
    let identities = Arc::clone(&world.identities);
    let opened = Snapshot::open(
        &world.repository,
        third,
        identities,
        &trust,
        Compute::inline(),
    );
    assert!(opened.await.is_ok());
}

#[tokio::test]
async fn a_backup_builds_on_its_own_newest_snapshot_all_the_same() {
    let (world, _) = replayed().await;
    let Outcome::Committed(next) = world.back_up(&sample()).await else {
        panic!("nothing interferes");
    };
    let parent = next.statement.parent.expect("it has a base");
    assert_eq!((next.at.number, parent.number), (4, 2));
}
