//! A bucket that keeps versions gives back what somebody wrote over or deleted.

use repository::{Compute, Left, Level, OLDER_VERSION, Remote, Repair, Store, verify_job};
use testkit::{Gcs, GcsOptions, Minio, S3, Server, Versitygw, VersitygwOptions, require};

use crate::common::maintenance::{Maintained, last};
use crate::common::{Secrets, World, job, noise};
use crate::server::{remote, s3, within};

const BUCKET: &str = "versions";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_comes_back_from_versitygw() {
    if let Some(release) = require("versitygw") {
        let server = Versitygw::start(&release, VersitygwOptions::default());
        comes_back_from_s3(server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_comes_back_from_minio() {
    if let Some(release) = require("minio") {
        let server = Minio::start(&release);
        comes_back_from_s3(server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_comes_back_from_google() {
    let Some(release) = require("gcs") else {
        return;
    };
    let server = Server::Gcs(Gcs::start(&release, GcsOptions { versioned: true }));
    let place = within(&server, "some.where/r");
    let Server::Gcs(server) = server else {
        unreachable!("it was just made")
    };
    let vandal = Vandal {
        list: &|prefix| server.list(prefix),
        put: &|name, body| server.put(name, body),
        delete: &|name| server.delete(name),
    };
    comes_back(place, vandal).await;
}

/// Somebody with all rights but those to old versions.
struct Vandal<'a> {
    list: &'a dyn Fn(&str) -> Vec<String>,
    put: &'a dyn Fn(&str, &[u8]),
    delete: &'a dyn Fn(&str),
}

async fn comes_back_from_s3(endpoint: String, server: &S3) {
    server.make_bucket(BUCKET);
    server.keep_versions(BUCKET);
    let account = s3(&server.access_key, &server.secret_key);
    let place = remote(&format!("s3://{BUCKET}/some.where/r"), endpoint, account);
    let vandal = Vandal {
        list: &|prefix| server.list(BUCKET, prefix),
        put: &|name, body| assert_eq!(server.put(BUCKET, name, body), 200),
        delete: &|name| assert_eq!(server.delete(BUCKET, name) / 100, 2),
    };
    comes_back(place, vandal).await;
}

fn secrets(seed: u64) -> Secrets {
    let entry = |i: u64| (format!("entry/{i}"), noise(9000, i));
    (seed..seed + 4).map(entry).collect()
}

async fn comes_back(place: Remote, vandal: Vandal<'_>) {
    let scene = Maintained::of(World::at(Store::remote(place).expect("a store")).await);
    let repository = scene.world.repository.clone();
    for seed in 1..=4 {
        scene.back_up(&secrets(seed)).await;
    }
    // What a prune deleted stays deleted, although the bucket still has it.
    scene
        .prune(&repository, last(2))
        .await
        .expect("it is pruned");
    scene.back_up(&secrets(5)).await;
    let numbers = scene.numbers().await;
    let names = (vandal.list)("some.where/r/prod");
    assert!(names.len() > 8, "{names:?}");

    // A host that was taken over, and may put and delete: some of everything, all of it, and the newest commits.
    let log = |name: &String| name.contains("/log/");
    let newest = names
        .iter()
        .filter(|name| log(name))
        .max()
        .expect("a commit");
    let some: Vec<&String> = names.iter().step_by(3).collect();
    let (job, trust, compute) = (job(), scene.trust(), Compute::inline());
    let repair = Repair {
        repository: &repository,
        others: &[],
        cache: None,
        job: &job,
        trust: &trust,
        compute: &compute,
    };
    for victims in [vec![newest], some, names.iter().collect()] {
        for (at, name) in victims.iter().enumerate() {
            if at % 2 == 0 {
                (vandal.delete)(name);
            } else {
                (vandal.put)(name, b"something else");
                (vandal.put)(name, b"and again");
            }
        }
        let repaired = repair.run(true, &|_| ()).await.expect("it answers");
        let mended = repaired.mended;
        assert!(
            mended
                .iter()
                .all(|it| it.from.as_deref() == Some(OLDER_VERSION) && it.left.is_none()),
            "{mended:?}"
        );
        assert!(!mended.is_empty());
        let again = repair.run(true, &|_| ()).await.expect("it answers");
        assert_eq!(again.mended, []);
        let report = verify_job(&repository, &job, &trust, Level::Data, &compute, &|_| ());
        let report = report.await.expect("it answers");
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        assert_eq!(scene.numbers().await, numbers);
        let newest = *numbers.last().expect("snapshots");
        assert_eq!(scene.read(newest).await.expect("it is whole"), secrets(5));
    }

    // A commit that was deleted, and backups that went on before anybody noticed.
    let lost = log_name(*numbers.last().expect("snapshots"));
    scene.back_up(&secrets(7)).await;
    (vandal.delete)(&format!("some.where/r/{lost}"));
    scene.back_up(&secrets(6)).await;
    let after = scene.numbers().await;
    let newest = *after.last().expect("snapshots");
    let repaired = repair.run(true, &|_| ()).await.expect("it answers");
    let refused = repaired.mended.iter().find(|it| it.object == lost);
    let refused = refused.and_then(|it| it.left.clone());
    assert_eq!(refused, Some(Left::Cuts([newest].into())));
    assert_eq!(scene.numbers().await, after);
    assert_eq!(scene.read(newest).await.expect("it is whole"), secrets(6));
}

fn log_name(number: u64) -> String {
    format!("prod/log/{number:012}")
}
