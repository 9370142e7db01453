//! Single keys into an etcd that runs: compared by etcdctl, with others at work on the same keys, and with a server that goes.

use archive::{Content, Entry, Name};
use async_trait::async_trait;
use etcd_client::{Client, DeleteOptions, LeaseGrantOptions, PutOptions};
use serde_json::Value;
use strongroom_source::etcd::{ApiServer, LiveKeys, Login, Options, Reach};
use strongroom_source::suite::{Archive, Fixture, action, conforms, plan};
use strongroom_source::{
    Action, Conflict, Contents, Error, ErrorKind, Plan, Report, RestoreOptions, Source,
};
use testkit::{EtcdCluster, EtcdOptions, held_in, require};

use crate::cluster::{client, value};
use crate::members::who;
use crate::{login, options};

const LEASE: i64 = 0x7f00_0000_0000_0042;

fn live(options: Options, front: &str) -> LiveKeys {
    within(options, Reach::Beginning(front.into()))
}

fn within(options: Options, reach: Reach) -> LiveKeys {
    LiveKeys::within(options, ApiServer::new("/registry"), vec![reach])
}

fn all(server: &testkit::Etcd) -> LiveKeys {
    live(options(&[&server.endpoint()]), "")
}

fn overwriting() -> RestoreOptions {
    RestoreOptions {
        conflict: Conflict::Overwrite,
        ..RestoreOptions::default()
    }
}

fn dropping() -> RestoreOptions {
    RestoreOptions {
        settings: [("leases".to_owned(), "drop".to_owned())].into(),
        ..overwriting()
    }
}

async fn capture(source: &LiveKeys) -> Archive {
    Archive::collect(source).await.expect("a capture").0
}

async fn write(
    source: &LiveKeys,
    archive: &Archive,
    plan: &Plan,
    options: &RestoreOptions,
) -> Result<Report, Error> {
    let mut contents = archive.written_by(plan);
    source.write(plan, &mut contents, options).await
}

async fn restore(source: &LiveKeys, archive: &Archive, options: &RestoreOptions) -> Report {
    let plan = plan(source, archive, options).await;
    let report = write(source, archive, &plan, options).await;
    report.expect("a restore")
}

fn leases(server: &testkit::Etcd) -> usize {
    let listed = server.ctl(&["lease", "list"]);
    listed.lines().count() - 1
}

async fn seed(client: &mut Client, many: u32) {
    let granted = LeaseGrantOptions::new().with_id(LEASE);
    client
        .lease_grant(3_600, Some(granted))
        .await
        .expect("granted");
    let leased = PutOptions::new().with_lease(LEASE);
    for key in ["service/a", "service/b"] {
        client
            .put(key, "here", Some(leased.clone()))
            .await
            .expect("put");
    }
    for key in [
        &b"\x00"[..],
        b"\x00\x00",
        b"bin/\xff\x00\xfe",
        b"\xff\xff",
        b"bin/\x1b[2J",
    ] {
        client
            .put(key, b"\x00\xff\n".to_vec(), None)
            .await
            .expect("put");
    }
    client.put("empty", "", None).await.expect("put");
    client
        .put("large/1", value(1, 1 << 20), None)
        .await
        .expect("put");
    client
        .put("large/2", value(2, 1_500_000), None)
        .await
        .expect("put");
    for number in 0..many {
        let key = format!("many/{number:05}");
        client.put(key, value(number, 40), None).await.expect("put");
    }
}

struct Keys(testkit::Etcd);

#[async_trait]
impl Fixture for Keys {
    fn source(&self) -> Box<dyn Source> {
        Box::new(all(&self.0))
    }

    async fn empty(&mut self) {
        let mut client = client(&self.0.endpoint()).await;
        let all = DeleteOptions::new().with_all_keys();
        client.delete("", Some(all)).await.expect("deleted");
    }

    async fn change(&mut self) -> Name {
        self.0.ctl(&["put", "many/00007", "changed"]);
        Name::from("many/00007")
    }
}

async fn keys_conform(name: &str) {
    let Some(release) = require(name) else { return };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let mut client = client(&server.endpoint()).await;
    seed(&mut client, 300).await;
    let before = server.held();
    let mut keys = Keys(server);
    conforms(&mut keys).await;
    assert_eq!(keys.0.held(), before, "etcdctl sees what it saw");

    // An API server's keys are read by their names only.
    for key in ["/registry/secrets/shop/db", "compact_rev_key", "/registry0"] {
        keys.0.ctl(&["put", key, "x"]);
    }
    let archive = capture(&all(&keys.0)).await;
    let names: Vec<String> = archive.names().map(Name::to_string).collect();
    assert_eq!(names.len(), before.len() + 1);
    assert!(names.contains(&"/registry0".to_owned()));
    let named = live(options(&[&keys.0.endpoint()]), "/registry/secrets/");
    let archive = capture(&named).await;
    assert_eq!(archive.len(), 1);
    keys.0.ctl(&["put", "/registry/secrets/shop/db", "y"]);
    let refused = plan(&named, &archive, &overwriting()).await;
    assert!(
        matches!(&refused.steps[0].action, Action::Unmanageable { reason } if reason.contains("--api-server-keys")),
        "{refused:?}"
    );
    let agreed = RestoreOptions {
        settings: [("api-server-keys".to_owned(), "true".to_owned())].into(),
        ..overwriting()
    };
    let report = restore(&named, &archive, &agreed).await;
    assert_eq!(report.written, 1);
    let got = keys
        .0
        .ctl(&["get", "--print-value-only", "/registry/secrets/shop/db"]);
    assert_eq!(got, "x\n");
}

#[tokio::test]
async fn keys_of_an_etcd_that_runs_conform() {
    keys_conform("etcd").await;
}

#[tokio::test]
async fn keys_of_debians_etcd_conform() {
    keys_conform("etcd-debian").await;
}

#[tokio::test]
async fn thousands_are_written_in_few_transactions_and_in_smaller_ones_where_etcd_takes_no_more() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&mut client(&server.endpoint()).await, 5_000).await;
    let archive = capture(&all(&server)).await;
    for (flags, most) in [(&[][..], 45), (&["--max-txn-ops=7"], 1_300)] {
        let flags = EtcdOptions {
            flags,
            ..EtcdOptions::default()
        };
        let other = testkit::Etcd::start(&release, flags);
        let report = restore(&all(&other), &archive, &RestoreOptions::default()).await;
        assert_eq!(
            (report.written, &report.failed[..]),
            (archive.len() as u64, &[][..])
        );
        assert_eq!(other.held(), server.held());
        let status: Value =
            serde_json::from_str(&other.ctl(&["endpoint", "status", "-w", "json"])).expect("JSON");
        let revision = status[0]["Status"]["header"]["revision"].as_u64();
        assert!(revision.is_some_and(|it| it <= most), "{revision:?}");
    }
}

#[tokio::test]
async fn what_others_do_between_plan_and_write_is_reported_and_left_alone() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let mut client = client(&server.endpoint()).await;
    seed(&mut client, 600).await;
    let source = all(&server);
    let archive = capture(&source).await;
    let wanted = server.held();
    for number in 0..600 {
        let key = format!("many/{number:05}");
        client.put(key, "lost", None).await.expect("put");
    }
    client.delete("many/00010", None).await.expect("deleted");
    client.delete("service/a", None).await.expect("deleted");
    client.delete("service/b", None).await.expect("deleted");
    client.lease_revoke(LEASE).await.expect("revoked");
    let planned = plan(&source, &archive, &overwriting()).await;

    // Each in a transaction of its own.
    client.put("many/00010", "theirs", None).await.expect("put");
    client.put("many/00200", "theirs", None).await.expect("put");
    client.delete("many/00300", None).await.expect("deleted");
    // What is wanted is what is wanted, whoever wrote it.
    let same = client.put("many/00400", value(400, 40), None).await;
    same.expect("put");
    for key in ["service/a", "service/b"] {
        client.put(key, "theirs", None).await.expect("put");
    }
    let report = write(&source, &archive, &planned, &overwriting())
        .await
        .expect("a restore");
    let failed: Vec<(String, &str)> = report
        .failed
        .iter()
        .map(|(name, reason)| (name.to_string(), reason.as_str()))
        .collect();
    let because = |what| format!("somebody has {what} it since it was planned");
    for ((name, reason), (key, what)) in failed.iter().zip([
        ("many/00010", "created"),
        ("many/00200", "changed"),
        ("many/00300", "deleted"),
        ("service/a", "created"),
        ("service/b", "created"),
    ]) {
        assert!(
            name == key && reason.starts_with(&because(what)),
            "{failed:?}"
        );
    }
    assert_eq!(failed.len(), 5, "{failed:?}");
    let writing = planned.steps.iter().filter(|step| step.action.writes());
    assert_eq!(report.written + 5, writing.count() as u64);
    let now = server.held();
    for key in ["many/00010", "many/00200", "service/a", "service/b"] {
        let got = server.ctl(&["get", "--print-value-only", key]);
        assert_eq!(got, "theirs\n");
    }
    let differs = wanted
        .iter()
        .filter(|(key, held)| now.get(*key) != Some(held));
    assert_eq!(differs.count(), 5, "all others are as they were captured");
    assert_eq!(leases(&server), 0, "the lease that nobody got is revoked");
}

/// Contents during which something happens.
struct Interrupted<'a, C> {
    contents: C,
    /// After so many entries.
    after: usize,
    happens: &'a mut (dyn FnMut() + Send),
}

#[async_trait]
impl<C: Contents> Contents for Interrupted<'_, C> {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.after = self.after.wrapping_sub(1);
        if self.after == 0 {
            (self.happens)();
        }
        self.contents.next().await
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        self.contents.data().await
    }
}

#[tokio::test]
async fn a_server_that_goes_in_the_middle_has_what_it_has_and_the_next_restore_the_rest() {
    let Some(release) = require("etcd") else {
        return;
    };
    let mut server = testkit::Etcd::start(&release, EtcdOptions::default());
    let mut first = client(&server.endpoint()).await;
    seed(&mut first, 2_000).await;
    let archive = capture(&all(&server)).await;
    let wanted = server.held();
    let all_keys = DeleteOptions::new().with_all_keys();
    first.delete("", Some(all_keys)).await.expect("deleted");
    let source = all(&server);
    let planned = plan(&source, &archive, &RestoreOptions::default()).await;
    let contents = archive.written_by(&planned);
    let mut kill = || server.kill();
    let mut contents = Interrupted {
        contents,
        after: 1_000,
        happens: &mut kill,
    };
    let cut = source
        .write(&planned, &mut contents, &RestoreOptions::default())
        .await;
    let error = cut.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let text = error.to_string();
    assert!(
        text.starts_with("at least ")
            && text.contains(" of 2010 keys were written before it ended"),
        "{text}"
    );
    assert!(
        text.ends_with("the same command does what is left"),
        "{text}"
    );

    server.restart();
    let some = server.held().len();
    assert!(some > 500 && some < 1_100, "{some} keys are there");
    let source = all(&server);
    let again = plan(&source, &archive, &RestoreOptions::default()).await;
    let same = again
        .steps
        .iter()
        .filter(|step| step.action == Action::Same);
    assert_eq!(same.count(), some);
    let report = write(&source, &archive, &again, &RestoreOptions::default()).await;
    assert_eq!(report.expect("a restore").written, 2_010 - some as u64);
    assert_eq!(server.held(), wanted);
}

#[tokio::test]
async fn a_leader_that_goes_in_the_middle_is_replaced_and_the_restore_goes_on() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&mut client(&server.endpoint()).await, 2_000).await;
    let archive = capture(&all(&server)).await;
    let mut cluster = EtcdCluster::start(&release, 3);
    let (_, leader) = who(&cluster).await;
    let endpoints = cluster.endpoints();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let source = live(options(&endpoints), "");
    let planned = plan(&source, &archive, &RestoreOptions::default()).await;
    let contents = archive.written_by(&planned);
    let mut kill = || cluster.kill(leader);
    let mut contents = Interrupted {
        contents,
        after: 1_000,
        happens: &mut kill,
    };
    let asked = RestoreOptions::default();
    let written = source.write(&planned, &mut contents, &asked);
    let report = written.await.expect("two are enough");
    assert_eq!((report.written, &report.failed[..]), (2_010, &[][..]));
    let left = (leader + 1) % 3;
    let now = capture(&live(options(&[&cluster.endpoint(left)]), "")).await;
    archive.assert_equals(&now);
    let json = cluster.ctl(left, &["get", "--prefix", "", "--write-out=json"]);
    // What etcdctl says of members that do not answer stands behind it.
    let json = json.lines().next().expect("a line");
    assert_eq!(held_in(json), server.held());
}

#[tokio::test]
async fn what_is_too_large_stands_in_nobodys_way_and_what_has_no_room_ends_it() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&mut client(&server.endpoint()).await, 500).await;
    let archive = capture(&all(&server)).await;
    let start = |flags| {
        let flags = EtcdOptions {
            flags,
            ..EtcdOptions::default()
        };
        testkit::Etcd::start(&release, flags)
    };
    let small = start(&["--max-request-bytes=4096"]);
    let report = restore(&all(&small), &archive, &RestoreOptions::default()).await;
    let failed: Vec<String> = report.failed.iter().map(|it| it.0.to_string()).collect();
    assert_eq!(failed, ["large/1", "large/2"]);
    assert!(
        report.failed[0].1.contains("--max-request-bytes"),
        "{report:?}"
    );
    assert_eq!(report.written, 508);
    let mut wanted = server.held();
    wanted.retain(|_, (value, _)| value.len() < 1 << 20);
    assert_eq!(small.held(), wanted);

    let full = start(&["--quota-backend-bytes=1000000"]);
    let source = all(&full);
    let planned = plan(&source, &archive, &RestoreOptions::default()).await;
    let ended = write(&source, &archive, &planned, &RestoreOptions::default()).await;
    let error = ended.expect_err("there is no room");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(
        error
            .to_string()
            .contains("keys were written before it ended"),
        "{error}"
    );
    assert!(
        cause.contains("has no room") && cause.contains("alarm"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_lease_that_ends_in_the_middle_is_granted_again_for_the_rest() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let mut client = client(&server.endpoint()).await;
    let granted = LeaseGrantOptions::new().with_id(LEASE);
    let granted = client.lease_grant(3_600, Some(granted)).await;
    granted.expect("granted");
    for number in 0..300 {
        let with = PutOptions::new().with_lease(LEASE);
        let key = format!("service/{number:03}");
        client.put(key, "here", Some(with)).await.expect("put");
    }
    let source = all(&server);
    let archive = capture(&source).await;
    let revoke = || server.ctl(&["lease", "revoke", &format!("{LEASE:x}")]);
    revoke();
    let planned = plan(&source, &archive, &RestoreOptions::default()).await;
    let mut happens = || {
        revoke();
    };
    // The first 128 are written then, and the next are on their way.
    let mut contents = Interrupted {
        contents: archive.written_by(&planned),
        after: 200,
        happens: &mut happens,
    };
    let asked = RestoreOptions::default();
    let written = source.write(&planned, &mut contents, &asked);
    let report = written.await.expect("a restore");
    assert_eq!((report.written, &report.failed[..]), (300, &[][..]));
    let now = server.held();
    assert_eq!(
        now.len(),
        300 - 128,
        "those that had the lease went with it"
    );
    assert!(now.values().all(|(_, lease)| *lease == LEASE));
}

#[tokio::test]
async fn leases_are_granted_again_or_dropped_and_those_that_live_are_used() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let mut client = client(&server.endpoint()).await;
    seed(&mut client, 1).await;
    let source = live(options(&[&server.endpoint()]), "service/");
    let archive = capture(&source).await;
    let ttl = async |client: &mut Client, id| {
        let answer = client
            .lease_time_to_live(id, None)
            .await
            .expect("an answer");
        answer.granted_ttl()
    };
    let lease_of = |server: &testkit::Etcd| -> Vec<i64> {
        let held = server.held();
        let service = held.iter().filter(|(_, (value, _))| value == "aGVyZQ==");
        service.map(|(_, (_, lease))| *lease).collect()
    };

    // It has ended: the keys went with it, and come back with one of the same number and time.
    client.lease_revoke(LEASE).await.expect("revoked");
    let planned = plan(&source, &archive, &RestoreOptions::default()).await;
    assert!(
        planned
            .notes
            .iter()
            .any(|note| note.contains("2 of the keys") && note.contains("--leases drop")),
        "{planned:?}"
    );
    restore(&source, &archive, &RestoreOptions::default()).await;
    assert_eq!(lease_of(&server), [LEASE, LEASE]);
    assert_eq!(ttl(&mut client, LEASE).await, 3_600);

    // One key was lost and its lease lives on.
    client.delete("service/a", None).await.expect("deleted");
    assert_eq!(
        restore(&source, &archive, &RestoreOptions::default())
            .await
            .written,
        1
    );
    assert_eq!(
        (lease_of(&server), leases(&server)),
        (vec![LEASE, LEASE], 1)
    );

    // The owner came back with another lease: that is no difference. None at all is one.
    let other = client.lease_grant(3_000, None).await;
    let other = other.expect("granted").id();
    let with = PutOptions::new().with_lease(other);
    client
        .put("service/a", "here", Some(with))
        .await
        .expect("put");
    client.put("service/b", "here", None).await.expect("put");
    let planned = plan(&source, &archive, &overwriting()).await;
    assert_eq!(*action(&planned, &"service/a".into()), Action::Same);
    let what = vec!["lease".to_owned()];
    assert_eq!(
        *action(&planned, &"service/b".into()),
        Action::Update { what: what.clone() }
    );

    // Dropped: the keys stay, whatever becomes of leases.
    let planned = plan(&source, &archive, &dropping()).await;
    assert_eq!(
        *action(&planned, &"service/a".into()),
        Action::Update { what }
    );
    assert_eq!(*action(&planned, &"service/b".into()), Action::Same);
    restore(&source, &archive, &dropping()).await;
    assert_eq!(lease_of(&server), [0, 0]);

    // The number stands for another lease now.
    client.lease_revoke(LEASE).await.expect("revoked");
    let grant = LeaseGrantOptions::new().with_id(LEASE);
    let granted = client.lease_grant(1_800, Some(grant)).await;
    granted.expect("granted");
    restore(&source, &archive, &overwriting()).await;
    let found = lease_of(&server);
    assert!(
        found[0] == found[1] && ![0, LEASE].contains(&found[0]),
        "{found:?}"
    );
    assert_eq!(ttl(&mut client, found[0]).await, 3_600);
    let planned = plan(&source, &archive, &RestoreOptions::default()).await;
    assert!(planned.steps.iter().all(|step| step.action == Action::Same));
}

#[tokio::test]
async fn who_may_not_is_told_which_keys_and_which_right() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(
        &release,
        EtcdOptions {
            root_password: Some("correct horse".to_owned()),
            ..EtcdOptions::default()
        },
    );
    for key in ["app/a", "app/b", "read/a", "other/a"] {
        server.ctl(&["put", key, "x"]);
    }
    server.ctl(&["user", "add", "app:staple"]);
    server.ctl(&["role", "add", "app"]);
    for (right, prefix) in [("readwrite", "app/"), ("read", "read/")] {
        server.ctl(&[
            "role",
            "grant-permission",
            "--prefix=true",
            "app",
            right,
            prefix,
        ]);
    }
    server.ctl(&["user", "grant-role", "app", "app"]);
    let logged_in = |login: Login| Options {
        login: Some(login),
        ..options(&[&server.endpoint()])
    };
    let as_user = |login: Login, front: &str| live(logged_in(login), front);
    let archive = capture(&as_user(login("root", "correct horse"), "")).await;
    for key in ["app/a", "read/a", "other/a"] {
        server.ctl(&["put", key, "changed"]);
    }

    let app = as_user(login("app", "staple"), "app/");
    let error = app
        .plan(&mut archive.entries(), &overwriting())
        .await
        .expect_err("denied");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Denied);
    for part in ["the user app", "other/a", "app/a to read/a", "readwrite"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = Archive::collect(&as_user(login("app", "staple"), "")).await;
    let error = error.err().expect("denied").to_string();
    assert!(error.contains("from \\x00 up to /registry/"), "{error}");

    // One key is asked for alone, and a right on it is enough.
    server.ctl(&["put", "alone", "x"]);
    server.ctl(&["put", "alone/b", "x"]);
    server.ctl(&["role", "grant-permission", "app", "read", "alone"]);
    let one = |key: &str| within(logged_in(login("app", "staple")), Reach::Key(key.into()));
    let found = capture(&one("alone")).await;
    assert!(found.names().eq([&Name::from("alone")]));
    let error = Archive::collect(&one("alone/b")).await;
    let error = error.err().expect("denied").to_string();
    assert!(error.contains("read the key alone/b: a role"), "{error}");

    let both = archive.only(|entry| !entry.name.as_bytes().starts_with(b"other"));
    let report = restore(&app, &both, &overwriting()).await;
    assert_eq!(report.written, 1);
    assert_eq!(report.failed.len(), 1);
    let (name, reason) = &report.failed[0];
    assert!(
        *name == Name::from("read/a") && reason.contains("readwrite"),
        "{reason}"
    );
    assert_eq!(server.ctl(&["get", "--print-value-only", "app/a"]), "x\n");
    assert_eq!(
        server.ctl(&["get", "--print-value-only", "read/a"]),
        "changed\n"
    );
}
