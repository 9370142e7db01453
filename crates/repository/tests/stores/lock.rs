//! Objects that are locked: nobody deletes them, not even with all rights, and what is needed again stays locked.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use repository::{
    Backup, Compute, Finished, Level, Lock, LockMode, Maintenance, Outcome, Remote, Repository,
    Store, verify_job,
};
use testkit::{
    Message, Minio, Proxy, S3, Treatment, Versitygw, VersitygwOptions, elements, require,
};

use crate::common::{NOW, Secrets, World, job, noise, sample, take};
use crate::server::{remote, s3};

const LOCK: Lock = Lock {
    mode: LockMode::Compliance,
    days: 30,
};

/// The repository in the bucket `locks`, at a time that many days from now.
fn at(endpoint: &str, server: &S3, days: i64) -> Remote {
    let account = s3(&server.access_key, &server.secret_key);
    let mut remote = remote("s3://locks/a-b/r", endpoint.to_owned(), account);
    remote.lock = Some(LOCK);
    let now = Timestamp::now() + SignedDuration::from_hours(24 * days);
    remote.timing.now = Arc::new(move || now);
    remote
}

fn store(endpoint: &str, server: &S3, days: i64) -> Store {
    Store::remote(at(endpoint, server, days)).expect("a store")
}

/// The days that an object is locked for from now.
fn days_left(server: &S3, name: &str) -> Option<i64> {
    let path = format!("/locks/{name}");
    let answer = server.request("GET", &path, "retention=", &[], b"");
    let until = elements(&answer.text(), "RetainUntilDate");
    assert_eq!(
        elements(&answer.text(), "Mode").concat(),
        if until.is_empty() { "" } else { "COMPLIANCE" }
    );
    let until: Timestamp = until.first()?.parse().expect("a time");
    // Half a day more: it was some seconds ago that it was set.
    Some((until.duration_since(Timestamp::now()).as_hours() + 12) / 24)
}

/// The versions of an object, by their ids; not those that say that it was deleted.
fn versions(server: &S3, name: &str) -> Vec<String> {
    let query = format!("prefix={}&versions=", name.replace('/', "%2F"));
    let listed = server.done("GET", "/locks", &query, &[], b"").text();
    let versions = elements(&listed, "Version").concat();
    elements(&versions, "VersionId")
}

async fn locked_on(endpoint: &str, server: &S3) {
    server.make_locked_bucket("locks");
    let world = World::at(store(endpoint, server, 0)).await;
    world.back_up(&sample()).await;
    let objects = server.list("locks", "a-b/r/");
    assert!(objects.len() > 5, "{objects:?}");
    for name in &objects {
        assert_eq!(days_left(server, name), Some(30), "{name}");
    }

    // Whoever has all rights hides them, and deletes none.
    for name in &objects {
        let path = format!("/locks/{name}");
        let [version] = versions(server, name).try_into().expect("one version");
        let id = format!("versionId={version}");
        let refused = server.request("DELETE", &path, &id, &[], b"");
        assert!(
            (400..500).contains(&refused.status()),
            "{name}: {}",
            refused.start
        );
        assert_eq!(server.request("GET", &path, &id, &[], b"").status(), 200);
    }
    assert!(world.read(1).await.expect("whole") == sample());

    // A pin, which is to outlive its first lock.
    let maintenance = Maintenance {
        job: job(),
        key: Arc::clone(&world.writer),
        trust: world.trust(),
        program: "test".to_owned(),
    };
    let first = world.repository.view(&job(), &world.trust()).await;
    let first = first.expect("it answers").head().expect("a snapshot");
    let pin = maintenance.pin(&world.repository, first, true, NOW).await;
    let pin = format!("a-b/r/prod/log/{:012}", pin.expect("it is pinned").number);

    // A snapshot of the same, ten days later: more than half is left. Sixteen days later: less.
    for (days, expected) in [(10, 30), (16, 46)] {
        let repository = Repository::open(store(endpoint, server, days))
            .await
            .expect("there");
        let outcome = world
            .back_up_to(&repository, &sample())
            .await
            .expect("done");
        let Outcome::Committed(finished) = outcome else {
            panic!("nobody prunes");
        };
        assert!(finished.unchanged);
        // The first commit too, which names the runs, and which the others follow.
        for name in &objects {
            assert_eq!(
                days_left(server, name),
                Some(expected),
                "{name} after {days} days"
            );
        }
        assert_eq!(days_left(server, &pin), Some(expected));
        let commit = format!("a-b/r/prod/log/{:012}", finished.at.number);
        assert_eq!(days_left(server, &commit), Some(30 + days));
    }

    let repository = Repository::open(store(endpoint, server, 0))
        .await
        .expect("there");
    let (job, trust, compute) = (job(), world.trust(), Compute::inline());
    let report = verify_job(&repository, &job, &trust, Level::Log, &compute, &|_| ()).await;
    let locks = report.expect("it answers").locks;
    let locks = locks.expect("they are looked at");
    // Besides what there was at first the pin and two snapshots of the same, of which the one of the tenth day was not due again.
    assert_eq!((locks.locked, locks.loose), (objects.len() as u64 + 3, 0));
    let first = locks
        .first
        .expect("they are locked")
        .duration_since(Timestamp::now());
    assert_eq!((first.as_hours() + 12) / 24, 40);
    // Nothing of a probe is locked.
    let probe = store(endpoint, server, 0).probe().await;
    assert!(probe.left.is_empty() && probe.found.expect("it answers").locks == Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_on_minio_cannot_be_deleted() {
    if let Some(release) = require("minio") {
        let server = Minio::start(&release);
        locked_on(&server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_on_versitygw_cannot_be_deleted() {
    if let Some(release) = require("versitygw") {
        let server = Versitygw::start(&release, VersitygwOptions::default());
        locked_on(&server.endpoint(), &server.s3()).await;
    }
}

/// A proxy before a server whose locks nobody may read or prolong, as that request says: its method.
fn refusing(server: &S3, method: &'static str) -> Proxy {
    let body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let denied = Message::new("HTTP/1.1 403 Forbidden", &[], body);
    let decide = move |request: &Message| {
        if request.method() == method && request.target().contains("?retention") {
            Treatment::Answered(denied.clone())
        } else {
            Treatment::Passes
        }
    };
    Proxy::start(&server.address, decide)
}

/// What could not be kept locked is stored again, and nothing else is.
async fn stored_again_on(endpoint: &str, server: &S3) {
    server.make_locked_bucket("locks");
    let world = World::at(store(endpoint, server, 0)).await;
    let back_up = async |endpoint: &str, days: i64, secrets: &Secrets| {
        let repository = Repository::open(store(endpoint, server, days)).await;
        let repository = repository.expect("there");
        match world.back_up_to(&repository, secrets).await.expect("done") {
            Outcome::Committed(finished) => *finished,
            Outcome::StartOver => panic!("nobody prunes"),
        }
    };
    let runs = |finished: &Finished| -> Vec<String> {
        let runs = finished.statement.runs.iter();
        runs.map(|run| run.run.to_string()).collect()
    };
    let left = |run: &str| {
        let objects = server.list("locks", &format!("a-b/r/prod/runs/{run}/"));
        let left: BTreeSet<_> = objects.iter().map(|name| days_left(server, name)).collect();
        left.into_iter().collect::<Vec<_>>()
    };

    let mut secrets = sample();
    let first = &runs(&back_up(endpoint, 0, &secrets).await)[0];
    secrets.insert("later".to_owned(), noise(50_000, 7));
    let second = runs(&back_up(endpoint, 3, &secrets).await);
    assert!(second.len() == 2 && second[1] == *first, "{second:?}");
    let second = &second[0];

    // Half is left: nothing needs to be prolonged, and nobody asks.
    let proxy = refusing(server, "PUT");
    assert!(back_up(&proxy.endpoint(), 14, &secrets).await.unchanged);

    // Less is left of the first one.
    let finished = back_up(&proxy.endpoint(), 16, &secrets).await;
    let third = runs(&finished);
    assert!(
        !finished.unchanged && third[1..] == [second.clone()],
        "{third:?}"
    );
    assert_eq!(left(first), [Some(30)]);
    assert_eq!(left(second), [Some(33)]);
    assert_eq!(left(&third[0]), [Some(46)]);

    // Nothing can be said of any of them.
    let proxy = refusing(server, "GET");
    let finished = back_up(&proxy.endpoint(), 17, &secrets).await;
    let fourth = runs(&finished);
    assert!(!finished.unchanged && fourth.len() == 1, "{fourth:?}");
    assert_eq!(left(&fourth[0]), [Some(47)]);
    for number in [1, 2, 3, 4, 5] {
        let read = world.read(number).await.expect("whole");
        assert!(if number == 1 {
            read == sample()
        } else {
            read == secrets
        });
    }
    // And those who may go on from there.
    assert!(back_up(endpoint, 17, &secrets).await.unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_locked_on_minio_is_stored_again() {
    if let Some(release) = require("minio") {
        let server = Minio::start(&release);
        stored_again_on(&server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_locked_on_versitygw_is_stored_again() {
    if let Some(release) = require("versitygw") {
        let server = Versitygw::start(&release, VersitygwOptions::default());
        stored_again_on(&server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_again_is_locked_too_and_a_bucket_that_cannot_lock_takes_nothing() {
    let Some(release) = require("minio") else {
        return;
    };
    let server = Minio::start(&release);
    server.s3().make_locked_bucket("locks");
    // The first answer to every object is lost before the server hears of it.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let busy = move |request: &Message| {
        request.method() == "PUT"
            && seen
                .lock()
                .expect("a set")
                .insert(request.target().to_owned())
    };
    let unavailable = Message::new("HTTP/1.1 503 Slow Down", &[], b"");
    let decide = move |request: &Message| {
        if busy(request) {
            Treatment::Answered(unavailable.clone())
        } else {
            Treatment::Passes
        }
    };
    let proxy = Proxy::start(&server.s3().address, decide);
    let world = World::at(store(&proxy.endpoint(), &server.s3(), 0)).await;
    let backup = Backup::start(&world.repository, world.options(), Compute::inline()).await;
    let backup = backup.expect("it starts");
    let taken = take(&backup, 0, "files", &sample())
        .await
        .expect("it takes");
    backup.finish(vec![taken], NOW, NOW).await.expect("done");
    for name in server.s3().list("locks", "a-b/r/") {
        assert_eq!(days_left(&server.s3(), &name), Some(30), "{name}");
    }

    server.s3().make_bucket("plain");
    let mut plain = at(&server.endpoint(), &server.s3(), 0);
    plain.bucket = crate::server::bucket("s3://plain/r");
    let refused = Repository::create(Store::remote(plain).expect("a store"), NOW.to_owned()).await;
    assert!(refused.is_err());
    assert!(server.s3().list("plain", "").is_empty());
}

/// A delete of a locked object hides it: its snapshot cannot be read, and a backup does not refer to it.
async fn hidden_on(endpoint: &str, server: &S3) {
    server.make_locked_bucket("locks");
    let world = World::at(store(endpoint, server, 0)).await;
    world.back_up(&sample()).await;
    let runs = server.list("locks", "a-b/r/prod/runs/");
    let packs: Vec<_> = runs.iter().filter(|it| it.contains("/pack-")).collect();
    assert!(!packs.is_empty(), "{runs:?}");
    for pack in packs {
        server.delete("locks", pack);
    }
    // At once, and when the locks are prolonged.
    for (days, number) in [(0, 2), (20, 3)] {
        let repository = Repository::open(store(endpoint, server, days)).await;
        let outcome = world
            .back_up_to(&repository.expect("there"), &sample())
            .await;
        let Outcome::Committed(finished) = outcome.expect("done") else {
            panic!("nobody prunes");
        };
        assert_eq!(finished.unchanged, number == 3, "{number}");
        assert!(world.read(number).await.expect("whole") == sample());
    }
    assert!(world.read(1).await.is_err(), "its packs are hidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_on_minio_is_stored_again() {
    if let Some(release) = require("minio") {
        let server = Minio::start(&release);
        hidden_on(&server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_on_versitygw_is_stored_again() {
    if let Some(release) = require("versitygw") {
        let server = Versitygw::start(&release, VersitygwOptions::default());
        hidden_on(&server.endpoint(), &server.s3()).await;
    }
}

/// It is a figure in a report, which does not fail for want of it.
#[tokio::test(flavor = "multi_thread")]
async fn locks_that_may_not_be_looked_at_are_not_told() {
    let Some(release) = require("minio") else {
        return;
    };
    let server = Minio::start(&release);
    server.s3().make_locked_bucket("locks");
    let world = World::at(store(&server.endpoint(), &server.s3(), 0)).await;
    world.back_up(&sample()).await;
    let objects = server.s3().list("locks", "a-b/r/").len() as u64;
    let proxy = refusing(&server.s3(), "GET");
    let repository = Repository::open(store(&proxy.endpoint(), &server.s3(), 0)).await;
    let (job, trust, compute) = (job(), world.trust(), Compute::inline());
    let repository = repository.expect("there");
    let report = verify_job(&repository, &job, &trust, Level::Log, &compute, &|_| ()).await;
    let report = report.expect("it answers");
    let locks = report.locks.expect("they are asked for");
    assert_eq!((locks.locked, locks.loose, locks.untold), (0, 0, objects));
    assert!(report.damage.is_empty());
}
