//! A backup that is given up, or that died, leaves nothing that anybody reads.

mod common;

use common::{World, dump, job, sample, take};
use repository::{Backup, Compute, Level, verify_job};

#[tokio::test]
async fn an_abandoned_backup_removes_what_it_uploaded() {
    let world = World::new().await;
    world.back_up(&sample()).await;
    let before = dump(&*world.store).await;
    let backup = Backup::start(&world.repository, world.options(), Compute::inline()).await;
    let backup = backup.expect("the store is sound");
    let big = (0..3)
        .map(|i| (format!("{i}"), common::noise(20 << 20, i)))
        .collect();
    take(&backup, 0, "other", &big)
        .await
        .map(drop)
        .expect("the store is sound");
    assert!(
        dump(&*world.store).await.len() > before.len(),
        "packs are uploaded as they fill"
    );
    backup.abandon().await;
    assert_eq!(dump(&*world.store).await, before);
}

#[tokio::test]
async fn what_a_dead_backup_left_is_counted_and_harms_nobody() {
    let world = World::new().await;
    world.back_up(&sample()).await;
    let backup = Backup::start(&world.repository, world.options(), Compute::inline()).await;
    let backup = backup.expect("the store is sound");
    let big = (0..3)
        .map(|i| (format!("{i}"), common::noise(20 << 20, i)))
        .collect();
    take(&backup, 0, "other", &big)
        .await
        .map(drop)
        .expect("the store is sound");
    drop(backup);

    let (trust, compute) = (world.trust(), Compute::inline());
    let report = verify_job(
        &world.repository,
        &job(),
        &trust,
        Level::Data,
        &compute,
        &|_| (),
    )
    .await;
    let report = report.expect("the store answers");
    assert_eq!(report.damage, []);
    assert!(
        report.unnamed.0 > 0 && report.unnamed.1 > 16 << 20,
        "{:?}",
        report.unnamed
    );
}
