//! What strongroom says of a snapshot is what etcd's own tools say of it, and what they refuse it does not call good.

use std::path::Path;
use std::process::Command;

use archive::{Attributes, Content, Header, Item, Name};
use etcd_client::CompactionOptions;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use strongroom_source::Source as _;
use strongroom_source::etcd::database::{Database, Records, Report, Reporter};
use strongroom_source::etcd::snapshot::Verifier;
use strongroom_source::etcd::{ENTRY, Etcd};
use strongroom_source::suite::Archive;
use testkit::{EtcdOptions, Release, require};

use crate::cluster::client;
use crate::database::{busy, skeleton};
use crate::options;

/// A file and what it is for.
type Fixture = (String, Vec<u8>);

fn save(server: &testkit::Etcd, what: &str) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot.db");
    server.ctl(&["snapshot", "save", path.to_str().expect("text")]);
    (what.to_owned(), std::fs::read(path).expect("it was saved"))
}

async fn compact(server: &testkit::Etcd, revision: i64) {
    let physical = CompactionOptions::new().with_physical();
    let mut client = client(&server.endpoint()).await;
    let compacted = client.compact(revision, Some(physical)).await;
    compacted.expect("compacted");
}

/// Databases of every kind, each as etcd sends it.
async fn fixtures(release: &Release) -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    let server = testkit::Etcd::start(release, EtcdOptions::default());
    fixtures.push(save(&server, "empty"));
    busy(&mut client(&server.endpoint()).await).await;
    fixtures.push(save(&server, "busy"));
    compact(&server, 30).await;
    fixtures.push(save(&server, "half compacted"));
    server.ctl(&["del", "--prefix", "a/"]);
    let last = save(&server, "deleted").1;
    fixtures.push(("deleted".to_owned(), last.clone()));
    let revision = report(&last).revision;
    compact(&server, revision.cast_signed()).await;
    fixtures.push(save(&server, "all compacted"));
    server.ctl(&[
        "member",
        "add",
        "second",
        "--learner",
        "--peer-urls=http://127.0.0.1:1",
    ]);
    fixtures.push(save(&server, "two members"));
    drop(server);

    let root_password = Some("hunter2".to_owned());
    let options = EtcdOptions {
        root_password,
        ..EtcdOptions::default()
    };
    let server = testkit::Etcd::start(release, options);
    server.ctl(&["user", "add", "alice:wonderland"]);
    server.ctl(&["role", "add", "reader"]);
    server.ctl(&["user", "grant-role", "alice", "reader"]);
    server.ctl(&["put", "key", "value"]);
    fixtures.push(save(&server, "with users"));
    fixtures
}

/// The same after a restore that raised the revision, as etcd serves it then.
fn bumped(release: &Release, file: &[u8]) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot.db");
    std::fs::write(&path, file).expect("written");
    let data_dir = folder.path().join("data");
    let restored = Command::new(release.program("etcdutl"))
        .args([
            "snapshot",
            "restore",
            "--bump-revision",
            "1000000",
            "--mark-compacted",
        ])
        .arg("--data-dir")
        .args([&data_dir, &path])
        .output()
        .expect("etcdutl runs");
    assert!(restored.status.success());
    let server = testkit::Etcd::start_on(release, &data_dir);
    server.ctl(&["put", "after", "all"]);
    save(&server, "bumped")
}

fn report(file: &[u8]) -> Report {
    let database = skeleton(file);
    let mut records = Records::new(&database);
    let mut reporter = Reporter::new(&database);
    for piece in file.chunks(50_000) {
        let fed = records.feed(piece, &mut |item| reporter.take(&item));
        fed.expect("the same bytes");
    }
    records.finish().expect("the same bytes");
    reporter.finish()
}

/// What a tool prints of the file, or why it refuses it.
fn status(tool: &Path, file: &Path) -> Result<Value, String> {
    let output = Command::new(tool)
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "status", "--write-out=json"])
        .arg(file)
        .output()
        .expect("it runs");
    match serde_json::from_slice(&output.stdout) {
        Ok(printed) if output.status.success() => Ok(printed),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[tokio::test]
async fn the_status_is_etcdutls() {
    let Some(new) = require("etcd") else { return };
    let Some(old) = require("etcd-debian") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = 0;
    for release in [&new, &old] {
        let mut fixtures = fixtures(release).await;
        fixtures.push(bumped(&new, &fixtures[1].1));
        for (what, file) in fixtures {
            let path = folder.path().join("snapshot.db");
            std::fs::write(&path, &file).expect("written");
            let ours = report(&file);
            let theirs = status(&new.program("etcdutl"), &path).expect("etcdutl reads it");
            let hash = theirs["hash"].as_u64().map(|hash| format!("{hash:x}"));
            assert_eq!(ours.hash, hash, "{what}");
            assert_eq!(Some(ours.keys), theirs["totalKey"].as_u64(), "{what}");
            assert_eq!(Some(ours.bytes), theirs["totalSize"].as_u64(), "{what}");
            let last = skeleton(&file).bucket(b"key").and_then(|it| it.last);
            let last = last.map_or(0, |last| last.main);
            assert_eq!(Some(last), theirs["revision"].as_u64(), "{what}");
            let version = theirs["version"].as_str().unwrap_or_default();
            assert_eq!(ours.storage_version.as_deref().unwrap_or_default(), version);
            let older = status(&old.program("etcdctl"), &path).expect("etcdctl reads it");
            assert_eq!(older["hash"], theirs["hash"], "{what}");
            assert!(ours.exact, "{what}");
            seen += 1;
        }
    }
    assert_eq!(seen, 16);
}

#[tokio::test]
async fn members_users_leases_and_prefixes_are_listed() {
    let Some(release) = require("etcd") else {
        return;
    };
    let fixtures = fixtures(&release).await;
    let of = |what: &str| {
        let found = fixtures.iter().find(|(name, _)| name == what);
        report(&found.expect("it was made").1)
    };
    let busy = of("busy");
    let prefixes: Vec<_> = busy
        .prefixes
        .iter()
        .map(|it| (it.prefix.as_str(), it.keys))
        .collect();
    // A key of `a/` is deleted in each of four rounds, and written again in three.
    assert_eq!(
        prefixes,
        [
            ("", 1),
            ("a/", 11),
            ("b/", 19),
            ("large/", 3),
            ("leased/", 2)
        ]
    );
    assert_eq!((busy.leases, busy.compacted), (1, None));
    let leases = busy.lease_list.iter();
    let leases: Vec<_> = leases.map(|it| (it.ttl, it.keys)).collect();
    assert_eq!(leases, [(3_600, Some(2))]);
    assert!(busy.prefixes.iter().any(|it| it.bytes > 4_000_000));
    let members: Vec<_> = busy
        .members
        .iter()
        .map(|it| (it.name.as_str(), it.learner))
        .collect();
    assert_eq!(members, [("default", false)]);
    let two = of("two members");
    assert!(
        two.members
            .iter()
            .any(|it| it.learner && it.name.is_empty())
    );
    assert_eq!(two.members.len(), 2);
    assert!(two.compacted.is_some());
    let users = of("with users");
    let printed = serde_json::to_string(&users).expect("it serializes");
    assert!(
        !printed.contains("$2a$"),
        "no hash of a password: {printed}"
    );
    let names: Vec<_> = users
        .users
        .iter()
        .map(|it| (it.name.as_str(), &it.roles[..]))
        .collect();
    assert_eq!(
        names,
        [
            ("alice", &["reader".to_owned()][..]),
            ("root", &["root".to_owned()])
        ]
    );
    // The role `root` is not stored by 3.6.
    assert_eq!(
        (&users.roles[..], users.authentication),
        (&["reader".to_owned()][..], true)
    );
    let printed = serde_json::to_string(&users).expect("it serializes");
    assert!(
        !printed.contains("$2a$"),
        "no hash of a password: {printed}"
    );
}

/// As if it had been captured.
fn archive_of(file: &[u8]) -> Archive {
    let header = Header {
        name: Name::from(ENTRY),
        attributes: Attributes::default(),
        fields: None,
    };
    let data = Content::new(file.to_vec());
    Archive::from_items(vec![Item::Begin(header), Item::Data(data), Item::End])
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % below
    }
}

/// Changes a few bytes of one page, or all of it; what was done, and whether bytes differ.
fn damage(database: &mut [u8], dice: &mut Dice) -> bool {
    const PAGE: usize = 4096;
    let pages = database.len() / PAGE;
    let page = dice.roll(pages) * PAGE;
    let before = database[page..page + PAGE].to_vec();
    match dice.roll(6) {
        0 => database[page..page + PAGE].fill(0),
        1 => {
            let other = dice.roll(pages) * PAGE;
            database.copy_within(other..other + PAGE, page);
        }
        // Where a page says what it is and where its elements are.
        2 | 3 => database[page + dice.roll(64)] ^= 1 << dice.roll(8),
        _ => {
            for _ in 0..=dice.roll(4) {
                database[page + dice.roll(PAGE)] = dice.roll(256) as u8;
            }
        }
    }
    database[page..page + PAGE] != before
}

/// Pages are damaged on the way: never good. Pages are damaged before etcd hashes them: bad if etcd's own tool finds them bad, or panics; and what
/// both find good has the same hash.
#[tokio::test]
async fn damaged_pages_are_never_called_good() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let mut client = client(&server.endpoint()).await;
    for n in 0..120 {
        let put = client.put(format!("key/{n}"), vec![b'v'; n * 7 % 800], None);
        put.await.expect("written");
    }
    let small = save(&server, "").1;
    busy(&mut client).await;
    let whole = [small, save(&server, "").1];
    drop(server);
    let source = Etcd::new(options(&["http://127.0.0.1:1"]));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot.db");
    let tool = release.program("etcdutl");
    let seed = std::env::var("STRONGROOM_SEED").ok();
    let mut dice = Dice(seed.map_or(7, |seed| seed.parse().expect("a number")));
    let (mut refused, mut differ, mut case) = (0, 0, 0);
    while case < 2_000 {
        // One with large values and with what was deleted too: its pages have others behind them.
        let mut file = whole[usize::from(case % 8 == 0)].clone();
        let end = file.len() - 32;
        if !damage(&mut file[..end], &mut dice) {
            continue;
        }
        case += 1;
        let archive = archive_of(&file);
        let findings = source.check(&mut archive.contents()).await.expect("judged");
        assert!(
            findings.iter().any(|it| it.bad),
            "case {case} is called good"
        );

        let hash = Sha256::digest(&file[..end]);
        file[end..].copy_from_slice(&hash);
        let mut verifier = Verifier::thorough();
        verifier.feed(&file);
        let good = match verifier.finish() {
            Ok(summary) if summary.damage().is_none() => {
                summary.database().and_then(Database::hash)
            }
            Ok(summary) => {
                assert!(summary.damage().is_some_and(|it| it.len() < 1000));
                None
            }
            Err(_) => None,
        };
        // Each run of etcdutl takes a while, and most cases are those where we found something.
        if good.is_some() || case % 20 == 0 {
            let findings = source.check(&mut archive_of(&file).contents()).await;
            let findings = findings.expect("judged");
            assert_eq!(findings.is_empty(), good.is_some(), "case {case}");
            std::fs::write(&path, &file).expect("written");
            match (status(&tool, &path), good) {
                (Err(_), None) => refused += 1,
                (Err(why), Some(_)) => {
                    panic!("case {case} is called good, and etcdutl says: {why}")
                }
                (Ok(_), None) => differ += 1,
                (Ok(theirs), Some(ours)) => {
                    assert_eq!(
                        theirs["hash"].as_u64(),
                        Some(u64::from(ours)),
                        "case {case}"
                    );
                }
            }
        }
    }
    assert!(
        refused > 10,
        "{refused}, and {differ} that only we find bad"
    );
}

/// What `check` says of a real database in which one of etcd's buckets goes by another name.
#[tokio::test]
async fn a_bucket_that_is_missing_is_named() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let (_, mut file) = save(&server, "");
    drop(server);
    let end = file.len() - 32;
    let (name, other) = (b"members_removed", b"members_removee");
    let places = 0..end - name.len();
    let found: Vec<usize> = places.filter(|at| file[*at..].starts_with(name)).collect();
    assert!(!found.is_empty(), "it has that bucket");
    for at in found {
        file[at..at + other.len()].copy_from_slice(other);
    }
    let hash = Sha256::digest(&file[..end]);
    file[end..].copy_from_slice(&hash);
    let source = Etcd::new(options(&["http://127.0.0.1:1"]));
    let findings = source.check(&mut archive_of(&file).contents()).await;
    let findings = findings.expect("judged");
    let named = |it: &strongroom_source::Finding| {
        it.bad && it.message.contains("no bucket `members_removed`")
    };
    assert!(findings.iter().any(named), "{findings:?}");
}
