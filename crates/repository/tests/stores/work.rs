//! What a repository is for, on every server.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use repository::{AzProof, Compute, Error, Level, Repository, Store, verify_job};
use testkit::Server;
use zeroize::Zeroizing;

use crate::common::{NOW, World, job, noise, sample};
use crate::server::{az, remote, within};

/// Backups, reading, verifying, on one server.
async fn works_on(name: &str) {
    let Some(server) = Server::start(name) else {
        return;
    };
    let place = || Store::remote(within(&server, "a/b")).expect("a store");
    let missing = Repository::open(place())
        .await
        .err()
        .expect("there is none");
    assert!(matches!(missing, Error::NoRepository { .. }), "{missing}");
    assert!(place().is_empty().await.expect("it lists"));

    let world = World::at(place()).await;
    let again = Repository::create(place(), NOW.to_owned()).await;
    assert!(matches!(
        again.err().expect("refused"),
        Error::Exists { .. }
    ));
    assert!(!place().is_empty().await.expect("it lists"));
    assert!(place().date().is_none(), "it has not been asked");

    let mut secrets = sample();
    world.back_up(&secrets).await;
    let first = secrets.clone();
    secrets.insert("large".into(), noise(20_000_000, 7));
    secrets.remove("empty");
    world.back_up(&secrets).await;
    assert!(world.read(1).await.expect("whole") == first);
    assert!(world.read(2).await.expect("whole") == secrets);
    assert_eq!(world.repository.jobs().await.expect("it lists"), [job()]);
    verified(&world).await;
    several_writers(&world, &place).await;
}

async fn verified(world: &World) {
    let report = verify_job(
        &world.repository,
        &job(),
        &world.trust(),
        Level::Data,
        &Compute::inline(),
        &|_| {},
    )
    .await
    .expect("it answers");
    assert!(report.damage.is_empty(), "{:?}", report.damage);
}

/// Hosts with a signature that lets them create, read and list: who is too late is told that he may not, and looks.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_may_only_create_back_up_beside_each_other() {
    let Some(server) = Server::start("azurite") else {
        return;
    };
    let world = World::at(Store::remote(within(&server, "a")).expect("a store")).await;
    let Server::Azurite(azurite) = &server else {
        return;
    };
    let place = || {
        let signature = Zeroizing::new(azurite.sas("bucket", "rcl"));
        let account = az(azurite.account(), AzProof::Signature(signature));
        Store::remote(remote("az://bucket/a", azurite.endpoint(), account)).expect("a store")
    };
    several_writers(&world, &place).await;
    several_writers(&world, &place).await;
    verified(&world).await;
}

/// Hosts that do not know of each other take backups at the same time: each gets its own number.
async fn several_writers(world: &World, place: &dyn Fn() -> Store) {
    let before = world.numbers().await;
    let secrets: Vec<_> = (0..4)
        .map(|seed| [("one".to_owned(), noise(100_000, 100 + seed))].into())
        .collect();
    let hosts = secrets.iter().map(|secrets| async {
        let repository = Repository::open(place()).await.expect("it is there");
        let outcome = world.back_up_to(&repository, secrets).await;
        outcome.expect("nobody loses")
    });
    join_all(hosts).await;
    let after = world.numbers().await;
    assert_eq!(after.len(), before.len() + secrets.len());
    let mut found = Vec::new();
    for number in &after[before.len()..] {
        found.push(world.read(*number).await.expect("whole"));
    }
    assert!(secrets.iter().all(|secrets| found.contains(secrets)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_works_on_versitygw() {
    works_on("versitygw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_works_on_minio() {
    works_on("minio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_works_on_azurite() {
    works_on("azurite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_works_on_the_fake_of_google() {
    works_on("gcs").await;
}

/// The server is killed while a backup uploads, and comes back: the backup goes on.
async fn survives_the_death_of(name: &str) {
    let Some(mut server) = Server::start(name) else {
        return;
    };
    let world = World::at(Store::remote(within(&server, "")).expect("a store")).await;
    let secrets = Arc::new([("large".to_owned(), noise(100_000_000, 1))].into());
    let (backup, killer) = (world.back_up(&secrets), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::spawn_blocking(move || {
            server.kill();
            thread::sleep(Duration::from_millis(500));
            server.restart();
            server
        })
        .await
        .expect("the server comes back")
    });
    let (_, server) = futures::join!(backup, killer);
    assert!(world.read(1).await.expect("whole") == *secrets);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_the_death_of_versitygw() {
    survives_the_death_of("versitygw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_the_death_of_minio() {
    survives_the_death_of("minio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_the_death_of_azurite() {
    survives_the_death_of("azurite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_the_death_of_the_fake_of_google() {
    survives_the_death_of("gcs").await;
}
