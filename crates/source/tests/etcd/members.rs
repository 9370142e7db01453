//! Which of several members is captured, what happens when one fails on the way, and a new cluster made of the snapshot.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use archive::Item;
use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Certificate, Client, ConnectOptions, Identity, TlsOptions,
};
use strongroom_source::etcd::{ClientCertificate, Etcd, Options, Timeouts, Tls};
use strongroom_source::suite::{self, Archive};
use strongroom_source::{Capture, Error, ErrorKind, Sink, Source};
use testkit::{EtcdCluster, EtcdOptions, Release, require};

use crate::cluster::{client, contents_at, contents_of, seed_at, seed_by};
use crate::forger::{Forger, Forgery};
use crate::proxy::Proxy;
use crate::{login, options, refusal, settings, snapshot};

fn source(endpoints: &[String], options: Options) -> Etcd {
    Etcd::new(Options {
        endpoints: endpoints.to_vec(),
        timeouts: Timeouts {
            idle: Duration::from_secs(10),
            ..Timeouts::default()
        },
        ..options
    })
}

/// Whether this is about a member that was not waited for.
fn is_late(text: &str) -> bool {
    text.contains("did not answer within 3 s of another member")
}

/// What is captured, at the second attempt if a busy machine held up one of the members at the first, so that it was not waited for.
async fn collect(source: &Etcd) -> (Archive, Capture) {
    let first = Archive::collect(source).await;
    let held_up = match &first {
        Ok((_, capture)) => capture.notes.iter().any(|note| is_late(note)),
        Err(error) => is_late(&error.to_string()),
    };
    let captured = if held_up {
        Archive::collect(source).await
    } else {
        first
    };
    captured.expect("a capture")
}

async fn capture(source: &Etcd) -> Capture {
    let (archive, capture) = collect(source).await;
    suite::finds_nothing_bad(source, &archive).await;
    capture
}

/// Whether a note says `words`: others may say that a busy machine held up a member.
fn is_noted(found: &Capture, words: &str) -> bool {
    found.notes.iter().any(|note| note.contains(words))
}

/// Each member's ID, and who leads.
pub(crate) async fn who(cluster: &EtcdCluster) -> (Vec<u64>, usize) {
    let (mut ids, mut leader) = (Vec::new(), 0);
    for endpoint in cluster.endpoints() {
        let status = client(&endpoint).await.status().await.expect("it answers");
        ids.push(status.header().expect("a header").member_id());
        leader = status.leader();
    }
    let at = ids.iter().position(|id| *id == leader);
    (ids.clone(), at.expect("somebody leads"))
}

/// All but `member`, in order.
fn others(member: usize) -> [usize; 2] {
    [(member + 1) % 3, (member + 2) % 3]
}

#[tokio::test]
async fn a_follower_is_captured_and_whoever_was_asked_for() {
    a_follower_is_captured("etcd").await;
}

#[tokio::test]
async fn a_follower_of_debians_is_captured_and_whoever_was_asked_for() {
    a_follower_is_captured("etcd-debian").await;
}

async fn a_follower_is_captured(name: &str) {
    let Some(release) = require(name) else {
        return;
    };
    let mut cluster = EtcdCluster::start(&release, 3);
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    let id = |member: usize| format!("{:x}", ids[member]);
    let order = [leader, one, two].map(|member| cluster.endpoint(member));
    let member = |name: &str| Options {
        member: Some(name.to_owned()),
        ..Options::default()
    };

    let found = capture(&source(&order, Options::default())).await;
    assert_eq!(found.facts["etcd.member"], id(one), "the first follower");
    assert_eq!(found.notes, [""; 0]);
    for name in [cluster.name(leader), &id(leader)] {
        let found = capture(&source(&order, member(name))).await;
        assert_eq!(found.facts["etcd.member"], id(leader), "{name}");
    }
    let (kind, text) = refusal(&source(&order, member("nobody"))).await;
    assert_eq!(kind, ErrorKind::Configuration);
    for name in ["nobody", cluster.name(one), &*id(two)] {
        assert!(text.contains(name), "{name}: {text}");
    }

    // Only who was given is asked, and the others if that was said.
    let only = &order[..1];
    let found = capture(&source(only, Options::default())).await;
    assert_eq!(found.facts["etcd.member"], id(leader));
    let advertised = Options {
        advertised: true,
        ..Options::default()
    };
    let found = capture(&source(only, advertised)).await;
    assert_ne!(found.facts["etcd.member"], id(leader));

    cluster.kill(one);
    let found = capture(&source(&order, Options::default())).await;
    assert_eq!(found.facts["etcd.member"], id(two));
    assert!(
        found.notes.len() == 1 && found.notes[0].contains(&order[1]),
        "whoever is missing is named: {:?}",
        found.notes
    );
    let (kind, text) = refusal(&source(&order, member(cluster.name(one)))).await;
    assert_eq!(kind, ErrorKind::Unreachable, "{text}");
    assert!(text.contains(&order[1]), "{text}");
}

#[tokio::test]
async fn a_corrupt_member_is_not_captured_and_a_full_one_is_named() {
    let Some(release) = require("etcd") else {
        return;
    };
    let cluster = EtcdCluster::start(&release, 3);
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    let order = [one, two, leader].map(|member| cluster.endpoint(member));
    let raise = async |member: u64, alarm: AlarmType| {
        let mut options = AlarmOptions::new();
        options.with_member(member);
        let mut client = client(&order[2]).await;
        let raised = client.alarm(AlarmAction::Activate, alarm, Some(options));
        raised.await.expect("raised");
    };

    raise(ids[one], AlarmType::Nospace).await;
    let found = capture(&source(&order, Options::default())).await;
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[two]));
    let only = source(&order[..1], Options::default());
    let found = capture(&only).await;
    assert!(
        found.notes.iter().any(|note| note.contains("NOSPACE")),
        "{:?}",
        found.notes
    );

    raise(ids[one], AlarmType::Corrupt).await;
    let found = capture(&source(&order, Options::default())).await;
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[two]));
    assert!(
        found.notes.iter().any(|note| note.contains("CORRUPT")),
        "{:?}",
        found.notes
    );
    let (kind, text) = refusal(&only).await;
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("CORRUPT"), "{text}");
    let forced = Options {
        member: Some(cluster.name(one).to_owned()),
        ..Options::default()
    };
    let found = capture(&source(&order, forced)).await;
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[one]));
}

#[tokio::test]
async fn a_learner_is_not_captured() {
    let Some(release) = require("etcd") else {
        return;
    };
    let mut cluster = EtcdCluster::start(&release, 1);
    let learner = cluster.add_learner();
    let endpoints = cluster.endpoints();
    let found = capture(&source(&endpoints, Options::default())).await;
    let status = client(&endpoints[0]).await.status().await;
    let id = status.expect("it answers").leader();
    assert_eq!(found.facts["etcd.member"], format!("{id:x}"));
    let (kind, text) = refusal(&source(&endpoints[learner..], Options::default())).await;
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("learner"), "{text}");
}

#[tokio::test]
async fn two_clusters_are_not_one_source() {
    let Some(release) = require("etcd-debian") else {
        return;
    };
    let servers = [0, 1].map(|_| testkit::Etcd::start(&release, EtcdOptions::default()));
    let endpoints = servers.each_ref().map(testkit::Etcd::endpoint);
    let (kind, text) = refusal(&source(&endpoints, Options::default())).await;
    // Both call themselves the same and have other URLs, of which the ID is made.
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("different clusters"), "{text}");
}

/// Two snapshots of other data at the same revision, restored as members of one cluster: nobody but their hashes tells.
async fn a_corrupt_cluster(release: &Release) -> EtcdCluster {
    let mut cluster = EtcdCluster::new(release, 3);
    for (number, value) in ["same", "same", "other"].into_iter().enumerate() {
        let server = testkit::Etcd::start(release, EtcdOptions::default());
        server.ctl(&["put", "key", value]);
        let source = crate::source_of(&server);
        let (archive, _) = Archive::collect(&source).await.expect("a capture");
        let folder = tempfile::tempdir().expect("a folder");
        let parent = folder.path().join("members");
        let tool = release.program("etcdutl");
        let mut wanted = settings(&[("data-dir", &parent), ("etcdutl-path", &tool)]);
        let all = cluster.initial_cluster();
        wanted.settings.insert("cluster".to_owned(), all);
        let plan = suite::plan(&source, &archive, &wanted).await;
        suite::write(&source, &archive, &plan, &wanted).await;
        let name = cluster.name(number);
        std::fs::create_dir_all(cluster.data_dirs()).expect("made");
        std::fs::rename(parent.join(name), cluster.data_dirs().join(name)).expect("moved");
    }
    cluster.run();
    cluster
}

#[tokio::test]
async fn hashes_are_compared_when_that_is_asked() {
    let Some(release) = require("etcd") else {
        return;
    };
    let comparing = || Options {
        compare_hashes: true,
        ..Options::default()
    };
    let sound = EtcdCluster::start(&release, 3);
    seed_at(&sound.endpoint(0), 200, 0).await;
    let found = capture(&source(&sound.endpoints(), comparing())).await;
    assert_eq!(found.facts["etcd.hash-kv-members"], "3");
    assert_eq!(found.facts["etcd.hash-kv"].len(), 8);
    assert_eq!(found.notes, [""; 0]);
    let alone = capture(&source(&sound.endpoints()[..1], comparing())).await;
    assert!(!alone.facts.contains_key("etcd.hash-kv"));
    assert!(
        alone.notes[0].contains("were not compared"),
        "{:?}",
        alone.notes
    );
    drop(sound);

    let corrupt = a_corrupt_cluster(&release).await;
    capture(&source(&corrupt.endpoints(), Options::default())).await;
    let (kind, text) = refusal(&source(&corrupt.endpoints(), comparing())).await;
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("one of them is corrupt"), "{text}");
    let forced = Options {
        member: Some("n1".to_owned()),
        ..comparing()
    };
    let found = capture(&source(&corrupt.endpoints(), forced)).await;
    assert!(
        found.notes[0].contains("do not hold the same"),
        "{:?}",
        found.notes
    );
}

/// What is behind the others is captured when nobody else can be.
#[tokio::test]
async fn a_member_that_lags_is_captured_after_the_others() {
    let Some(release) = require("etcd") else {
        return;
    };
    let cluster = EtcdCluster::start(&release, 3);
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    let id = |member: usize| format!("{:x}", ids[member]);
    write_entries(&cluster.endpoint(leader)).await;
    for (entries, order, captured) in [
        (1_100, &[two, leader][..], two),
        (1_100, &[leader][..], leader),
        (1_100, &[][..], one),
        // So many are on their way under load.
        (900, &[two, leader][..], one),
    ] {
        let behind = Forger::start(cluster.address(one), Forgery::Behind(entries)).await;
        let mut endpoints = vec![behind.address()];
        endpoints.extend(order.iter().map(|&member| cluster.endpoint(member)));
        let found = capture(&source(&endpoints, Options::default())).await;
        assert_eq!(
            found.facts["etcd.member"],
            id(captured),
            "{entries} {order:?}"
        );
        assert_eq!(found.notes, [""; 0]);
    }
}

/// More entries of the log than a member may be behind.
async fn write_entries(endpoint: &str) {
    let client = client(endpoint).await;
    let put = async |number: u32| {
        let mut client = client.clone();
        let put = client.put(format!("/registry/entry/{number}"), "x", None);
        put.await.expect("written");
    };
    futures::future::join_all((0..1_500).map(put)).await;
}

/// Streams that end in good order, and are no snapshots: from the member that is tried first, and from the only one.
#[tokio::test]
async fn a_stream_that_is_not_whole_is_taken_from_another_member() {
    let Some(release) = require("etcd") else {
        return;
    };
    let cluster = EtcdCluster::start(&release, 3);
    seed_at(&cluster.endpoint(0), 2_000, 1).await;
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    for (forgery, what) in [
        (Forgery::Ends(5), "it broke off after"),
        (Forgery::Ends(1), "it did not end with a SHA-256"),
        (Forgery::Empty, "the server sent nothing where"),
        (Forgery::Bit(0), "its SHA-256 is not the one"),
        (Forgery::Bit(3), "its SHA-256 is not the one"),
    ] {
        let forger = Forger::start(cluster.address(one), forgery).await;
        let endpoints = [forger.address(), cluster.endpoint(two)];
        let both = source(&endpoints, Options::default());
        let (archive, found) = collect(&both).await;
        assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[two]));
        let [note] = &*found.notes else {
            panic!("{what}: {:?}", found.notes)
        };
        assert!(
            note.contains(&endpoints[0]) && note.contains(what),
            "{note}"
        );
        assert_eq!(archive.len(), 1);
        suite::finds_nothing_bad(&both, &archive).await;

        let (kind, text) = refusal(&source(&endpoints[..1], Options::default())).await;
        assert_eq!(kind, ErrorKind::Invalid, "{text}");
        assert!(text.contains(what), "{text}");
    }
}

fn options_of(cluster: &EtcdCluster, with_certificate: bool) -> Options {
    let certificates = cluster.certificates();
    let client = ClientCertificate {
        certificate: certificates.client.certificate.clone(),
        key: certificates.client.key.clone(),
    };
    Options {
        tls: Some(Tls {
            ca: certificates.authority.clone(),
            client: with_certificate.then_some(client),
            server_name: None,
        }),
        ..Options::default()
    }
}

/// A client of a cluster with TLS, by certificate.
async fn tls_client(cluster: &EtcdCluster, member: usize) -> Client {
    let certificates = cluster.certificates();
    let read = |path| std::fs::read(path).expect("readable");
    let pair = &certificates.client;
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read(&certificates.authority)))
        .identity(Identity::from_pem(read(&pair.certificate), read(&pair.key)));
    let connect = ConnectOptions::new().with_tls(tls);
    let client = Client::connect([cluster.endpoint(member)], Some(connect));
    client.await.expect("connected")
}

/// As [`who`].
fn who_by_tls(cluster: &EtcdCluster) -> (Vec<String>, usize) {
    let (mut ids, mut leader) = (Vec::new(), 0);
    for member in 0..3 {
        let said = cluster.ctl(member, &["endpoint", "status", "--write-out=json"]);
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let status = &said[0]["Status"];
        let id = status["header"]["member_id"].as_u64().expect("an ID");
        if status["leader"].as_u64() == Some(id) {
            leader = member;
        }
        ids.push(format!("{id:x}"));
    }
    (ids, leader)
}

/// Three members that ask for certificates; the first follower is killed in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn members_are_captured_by_certificate_and_replace_each_other() {
    let Some(release) = require("etcd") else {
        return;
    };
    let tls = EtcdOptions {
        tls: true,
        ..EtcdOptions::default()
    };
    let mut cluster = EtcdCluster::start_with(&release, 3, tls);
    seed_by(&mut tls_client(&cluster, 0).await, 1_000, 30).await;
    let (ids, leader) = who_by_tls(&cluster);
    let [one, two] = others(leader);
    let order = [leader, one, two].map(|member| cluster.endpoint(member));
    let by_certificate = || source(&order, options_of(&cluster, true));
    let advertised = Options {
        advertised: true,
        ..options_of(&cluster, true)
    };

    let found = capture(&by_certificate()).await;
    assert_eq!(found.facts["etcd.member"], ids[one]);
    assert_eq!(found.notes, [""; 0]);
    let found = capture(&source(&order[..1], advertised)).await;
    assert_ne!(found.facts["etcd.member"], ids[leader]);
    let (kind, text) = refusal(&source(&order, options_of(&cluster, false))).await;
    assert_eq!(kind, ErrorKind::Denied, "{text}");

    let killed = by_certificate();
    let (archive, found) = collect_while_killing(killed, &mut cluster, one).await;
    let found = found.expect("another member is captured");
    assert_eq!(found.facts["etcd.member"], ids[two]);
    assert!(is_noted(&found, "broke off"), "{:?}", found.notes);
    let again = source(&order, options_of(&cluster, true));
    suite::finds_nothing_bad(&again, &archive).await;
}

/// Three members with TLS that ask for a password and forget logins within a second: while the first one stalls, the login to the next one
/// has gone.
#[tokio::test]
async fn the_next_member_is_captured_with_a_new_login() {
    let Some(release) = require("etcd") else {
        return;
    };
    let options = EtcdOptions {
        tls: true,
        open: true,
        root_password: Some("pass".to_owned()),
        login_seconds: Some(1),
        ..EtcdOptions::default()
    };
    let cluster = EtcdCluster::start_with(&release, 3, options);
    for number in 0..60 {
        let value = "x".repeat(100_000);
        cluster.ctl(0, &["put", &format!("/large/{number}"), &value]);
    }
    let (ids, leader) = who_by_tls(&cluster);
    let [one, two] = others(leader);
    let stalls = Proxy::start(cluster.address(one), 3_000_000).await;
    let endpoints = [stalls.tls_address(), cluster.endpoint(two)];
    let by = |password: &str| {
        let mut options = options_of(&cluster, false);
        options.login = Some(login("root", password));
        let mut options = Options {
            endpoints: endpoints.to_vec(),
            ..options
        };
        options.timeouts.idle = Duration::from_secs(4);
        Etcd::new(options)
    };
    let (archive, found) = collect(&by("pass")).await;
    assert_eq!(found.facts["etcd.member"], ids[two]);
    assert!(is_noted(&found, "stalled"), "{:?}", found.notes);
    suite::finds_nothing_bad(&by("pass"), &archive).await;

    let (kind, text) = refusal(&by("wrong")).await;
    assert_eq!(kind, ErrorKind::Denied, "{text}");
    assert!(text.contains("refuses the user or the password"), "{text}");
}

/// A stream that neither goes on nor ends, from the member that is tried first; the next one gives a whole snapshot.
#[tokio::test]
async fn a_stream_that_stalls_is_taken_from_another_member() {
    let Some(release) = require("etcd") else {
        return;
    };
    let cluster = EtcdCluster::start(&release, 3);
    seed_at(&cluster.endpoint(0), 100, 10).await;
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    // Enough for the questions before the snapshot, and for a part of it.
    let stalls = Proxy::start(cluster.address(one), 3_000_000).await;
    let endpoints = [stalls.address(), cluster.endpoint(two)];
    let source = Etcd::new(Options {
        timeouts: Timeouts {
            idle: Duration::from_secs(4),
            ..Timeouts::default()
        },
        ..options(&endpoints.each_ref().map(|it| &**it))
    });
    let (archive, found) = collect(&source).await;
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[two]));
    assert!(is_noted(&found, "stalled"), "{:?}", found.notes);
    assert_eq!(archive.len(), 1);
    suite::finds_nothing_bad(&source, &archive).await;

    let single = Etcd::new(Options {
        single_attempt: true,
        timeouts: Timeouts {
            idle: Duration::from_secs(4),
            ..Timeouts::default()
        },
        ..options(&[
            &Proxy::start(cluster.address(one), 3_000_000)
                .await
                .address(),
            &*endpoints[1],
        ])
    });
    let (kind, text) = refusal(&single).await;
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(text.contains("stalled"), "{text}");
}

/// Waits until a second has passed without a change of the file: etcd writes what it has put together ten times in one, and a page that is
/// written anew stands elsewhere, without what was done to the old one.
async fn settled(database: &Path) {
    let read = || std::fs::read(database).expect("readable");
    let (mut before, start) = (read(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = read();
        if now == before {
            return;
        }
        before = now;
        assert!(start.elapsed() < Duration::from_mins(1), "it never rests");
    }
}

/// Exchanges the revisions of two records wherever they stand in the file of a database, under a running etcd, as a bad disk might: it
/// would notice when it starts, and until then sends what it has.
fn damage(database: &Path, revision: u64) {
    let key = |revision: u64| [&revision.to_be_bytes()[..], b"_", &[0; 8]].concat();
    let keys = [key(revision), key(revision + 1)];
    let bytes = std::fs::read(database).expect("readable");
    let file = std::fs::OpenOptions::new().write(true).open(database);
    let (file, mut exchanged) = (file.expect("writable"), 0);
    for at in 0..bytes.len() - 17 {
        let found = keys.iter().position(|key| bytes[at..].starts_with(key));
        if let Some(found) = found {
            let written = file.write_all_at(&keys[1 - found], at as u64);
            written.expect("written");
            exchanged += 1;
        }
    }
    assert!(exchanged >= 2, "{exchanged} of two records were found");
}

#[tokio::test]
async fn a_damaged_database_is_taken_from_another_member_if_there_is_one() {
    let Some(release) = require("etcd") else {
        return;
    };
    let cluster = EtcdCluster::start(&release, 3);
    seed_at(&cluster.endpoint(0), 200, 0).await;
    for number in 0..100 {
        cluster.ctl(0, &["put", &format!("key-{number}"), "value"]);
    }
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    let revision = contents_of(&cluster.endpoint(one)).await.revision;
    let data = cluster.data_dirs().join(cluster.name(one));
    let database = data.join("member/snap/db");
    let order = [one, two, leader].map(|member| cluster.endpoint(member));
    // Before it sends a snapshot, etcd 3.6 writes what it has put together. It would by itself, but on a busy machine perhaps not within the
    // second that is waited for.
    capture(&source(&order[..1], Options::default())).await;
    settled(&database).await;
    let revision = u64::try_from(revision).expect("positive") - 50;
    damage(&database, revision);

    let found = capture(&source(&order, Options::default())).await;
    assert_ne!(found.facts["etcd.member"], format!("{:x}", ids[one]));
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    assert!(found.notes[0].contains(&order[0]), "{:?}", found.notes);

    // Better than nothing, and said.
    let only = source(&order[..1], Options::default());
    let (_, found) = Archive::collect(&only).await.expect("a capture");
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[one]));
    assert!(found.notes[0].contains("damaged"), "{:?}", found.notes);
}

/// Writes until it is told to stop; members come and go meanwhile.
fn load(endpoints: Vec<String>, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<u32> {
    tokio::spawn(async move {
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            let endpoint = &endpoints[written as usize % endpoints.len()];
            let key = format!("/registry/load/{:04}", written % 3_000);
            let put = async { client(endpoint).await.put(key, vec![7; 1_000], None).await };
            // Nobody answers from a member that is paused or dead.
            let _ = tokio::time::timeout(Duration::from_millis(200), put).await;
            written += 1;
        }
        written
    })
}

/// Kills `member` when the first bytes have come, and collects what comes all the same.
async fn collect_while_killing(
    source: Etcd,
    cluster: &mut EtcdCluster,
    member: usize,
) -> (Archive, Result<Capture, Error>) {
    let (mut sink, mut receiver) = Sink::channel();
    let read = tokio::spawn(async move {
        let capture = source.read(&mut sink).await;
        sink.finish().await.expect("somebody listens");
        capture
    });
    let mut items = receiver.recv().await.expect("it has started");
    assert!(items.iter().any(|item| matches!(item, Item::Data(_))));
    cluster.kill(member);
    while let Some(batch) = receiver.recv().await {
        items.extend(batch);
    }
    assert!(items.iter().any(|item| matches!(item, Item::GiveUp)));
    (Archive::from_items(items), read.await.expect("no panic"))
}

/// Three members under load, of which one is paused, lags, and is killed in the middle of its snapshot, one after the other; three new members
/// are made of each of the snapshots in one run, and hold every key as it was.
#[tokio::test(flavor = "multi_thread")]
async fn three_members_under_load_lose_one_and_come_back_as_three() {
    under_load("etcd", "etcdutl").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_of_debians_under_load_lose_one_and_come_back_as_three() {
    under_load("etcd-debian", "etcdctl").await;
}

async fn under_load(name: &str, tool: &str) {
    let Some(release) = require(name) else {
        return;
    };
    let tool = &release.program(tool);
    let mut cluster = EtcdCluster::start(&release, 3);
    seed_at(&cluster.endpoint(0), 1_000, 30).await;
    let (ids, leader) = who(&cluster).await;
    let [one, two] = others(leader);
    let order = [one, two, leader].map(|member| cluster.endpoint(member));
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(vec![order[2].clone(), order[1].clone()], Arc::clone(&stop));

    // One is paused: it is not waited for, and named.
    cluster.pause(one);
    let at_least = contents_of(&order[2]).await.revision;
    let paused = source(&order, Options::default());
    let (archive, found) = Archive::collect(&paused).await.expect("a capture");
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[two]));
    assert!(is_noted(&found, &order[0]), "{:?}", found.notes);
    comes_back(&release, tool, &paused, &archive, &order[2], at_least).await;

    // It goes on, and lags; and nobody else is asked. What it gives is as new as the others were.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let at_least = contents_of(&order[2]).await.revision;
    cluster.resume(one);
    let lags = source(&order[..1], Options::default());
    let (archive, found) = Archive::collect(&lags).await.expect("a capture");
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[one]));
    comes_back(&release, tool, &lags, &archive, &order[2], at_least).await;

    // The one that is captured is killed in the middle: the next one is captured in its place.
    let at_least = contents_of(&order[2]).await.revision;
    let killed = source(&order, Options::default());
    let (archive, found) = collect_while_killing(killed, &mut cluster, one).await;
    let found = found.expect("another member is captured");
    assert_ne!(found.facts["etcd.member"], format!("{:x}", ids[one]));
    assert!(is_noted(&found, "broke off"), "{:?}", found.notes);
    let again = source(&order, Options::default());
    comes_back(&release, tool, &again, &archive, &order[2], at_least).await;

    stop.store(true, Ordering::Relaxed);
    let written = load.await.expect("no panic");
    assert!(written > 100, "there was a load: {written}");
}

/// All at once, in one capture: of five members under load one is paused, one lags, and the one that is captured is killed in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn five_members_under_load_of_which_one_is_paused_one_lags_and_one_is_killed() {
    let Some(release) = require("etcd") else {
        return;
    };
    let mut cluster = EtcdCluster::start(&release, 5);
    seed_at(&cluster.endpoint(0), 1_000, 30).await;
    let (ids, leader) = who(&cluster).await;
    let [paused, lags, killed, left] = [1, 2, 3, 4].map(|further| (leader + further) % 5);
    write_entries(&cluster.endpoint(leader)).await;
    let behind = Forger::start(cluster.address(lags), Forgery::Behind(1_100)).await;
    let mut order = [paused, lags, killed, left, leader].map(|member| cluster.endpoint(member));
    order[1] = behind.address();
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(vec![order[4].clone(), order[3].clone()], Arc::clone(&stop));

    cluster.pause(paused);
    let at_least = contents_of(&order[4]).await.revision;
    let all = || source(&order, Options::default());
    let (archive, found) = collect_while_killing(all(), &mut cluster, killed).await;
    let found = found.expect("another member is captured");
    assert_eq!(found.facts["etcd.member"], format!("{:x}", ids[left]));
    let mut notes = found.notes.clone();
    notes.retain(|note| !is_late(note) || note.contains(&order[0]));
    let [first, second] = &*notes else {
        panic!("{:?}", found.notes)
    };
    assert!(first.contains(&order[0]), "{first}");
    assert!(
        second.contains(&order[2]) && second.contains("broke off"),
        "{second}"
    );
    let tool = &release.program("etcdutl");
    comes_back(&release, tool, &all(), &archive, &order[4], at_least).await;

    stop.store(true, Ordering::Relaxed);
    let written = load.await.expect("no panic");
    assert!(written > 100, "there was a load: {written}");
}

/// Three new members of the snapshot hold what the old cluster held at the snapshot's revision, which is not older than `at_least`.
async fn comes_back(
    release: &Release,
    tool: &Path,
    source: &Etcd,
    archive: &Archive,
    original: &str,
    at_least: i64,
) {
    assert!(!snapshot(archive).1.is_empty());
    let mut new = EtcdCluster::new(release, 3);
    let parent = new.data_dirs();
    let mut wanted = settings(&[("data-dir", &parent), ("etcdutl-path", tool)]);
    for (name, value) in [
        ("cluster", &*new.initial_cluster()),
        ("no-bump-revision", "true"),
    ] {
        wanted.settings.insert(name.to_owned(), value.to_owned());
    }
    let plan = suite::plan(source, archive, &wanted).await;
    suite::write(source, archive, &plan, &wanted).await;
    new.run();
    let revision = contents_of(&new.endpoint(0)).await.revision;
    assert!(revision >= at_least, "{revision} is older than {at_least}");
    let before = contents_at(original, revision).await;
    assert!(before.pairs.len() > 1_000);
    for endpoint in new.endpoints() {
        let after = contents_of(&endpoint).await;
        assert!(after.revision == revision && after.pairs == before.pairs);
    }
}
