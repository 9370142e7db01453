//! Keys that were lost in an etcd without Kubernetes, and come back one by one into the one that runs: compared by etcdctl.

use std::fmt::Write as _;

use testkit::{Etcd, EtcdOptions, Held, require};

use crate::scene::{Scene, Seen};

fn get(etcd: &Etcd, key: &str) -> String {
    etcd.ctl(&["get", "--print-value-only", key])
}

/// Thousands of keys, long and empty values, and two keys of one lease.
fn seed(etcd: &Etcd) {
    for hundred in 0..20 {
        let mut puts = "\n".to_owned();
        for number in 0..100 {
            writeln!(
                puts,
                "put app/{hundred:02}/{number:02} value-{hundred}-{number}"
            )
            .expect("text");
        }
        etcd.ctl_with(&["txn"], format!("{puts}\n\n").as_bytes());
    }
    etcd.put("app/large", &[b'x', 0, 0xff].repeat(350_000));
    etcd.ctl(&["put", "/other/empty", ""]);
    etcd.put("/other/binary", b"\0\xff\n\x1b[2J");
    let granted = etcd.ctl(&["lease", "grant", "1000"]);
    let id = granted.split(' ').nth(1).expect("lease ID granted");
    for key in ["lock/a", "lock/b"] {
        etcd.ctl(&["put", key, "held", "--lease", id]);
    }
}

fn scene(etcd: &Etcd) -> Scene {
    let scene = Scene::new();
    scene.configure(&format!(
        "  app: {{sources: [{{etcd: {{endpoints: ['{}']}}}}]}}\n",
        etcd.endpoint()
    ));
    scene
}

const RESTORE: [&str; 4] = ["restore", "app", "--inside", "--yes"];

/// An etcd that was captured, and what it held then.
struct Lost {
    etcd: Etcd,
    scene: Scene,
    before: Held,
}

impl Lost {
    fn new(name: &str) -> Option<Self> {
        let release = require(name)?;
        let etcd = Etcd::start(&release, EtcdOptions::default());
        seed(&etcd);
        let scene = scene(&etcd);
        scene.run(&["backup"]).done();
        let before = etcd.held();
        Some(Self {
            etcd,
            scene,
            before,
        })
    }

    fn restore(&self, more: &[&str]) -> Seen {
        self.scene.read(&[&RESTORE[..], more].concat())
    }

    /// The one lease that there is.
    fn lease(&self) -> String {
        let leases = self.etcd.ctl(&["lease", "list"]);
        leases.lines().nth(1).expect("one").to_owned()
    }

    fn lose(&self) {
        let etcd = &self.etcd;
        etcd.ctl(&["del", "--prefix", "app/1"]);
        etcd.ctl(&["del", "app/large"]);
        etcd.ctl(&["del", "--prefix", "lock/"]);
        etcd.ctl(&["put", "app/00/00", "hunter2"]);
        etcd.ctl(&["put", "/other/new", "hunter3"]);
        etcd.ctl(&["lease", "revoke", &self.lease()]);
    }

    fn differs(&self) {
        let diff = ["diff", "app", "live", "--inside"];
        let all = self.scene.read(&[&diff[..], &["--json"]].concat()).ended(4);
        assert!(!all.text().contains("hunter"), "no value is shown");
        let json = all.json();
        let rows = json["differences"].as_array().expect("a list").iter();
        let count = |change: &str| rows.clone().filter(|row| row["change"] == change).count();
        let counts = (count("added"), count("removed"), count("changed"));
        assert_eq!(counts, (1, 1_003, 1));
        let part = [&diff[..], &["--only", "/other/"]].concat();
        let part = self.scene.read(&part).ended(4).stderr;
        assert!(part.contains("1 added, 0 removed, 0 changed"), "{part}");
        let new = [&diff[..], &["--only", "/other/new"]].concat();
        let new = self.scene.read(&new).ended(4).text();
        assert_eq!(new, "+ etcd:/other/new\n");
    }

    /// What differs is in the way, until somebody says what to do with it.
    fn prefix_and_one_key_come_back(&self) {
        let prefix = ["--only", "app/"];
        let ways = "--conflict skip, or --conflict overwrite";
        self.restore(&prefix)
            .failed(17, &["1 entry is in the way", ways]);
        let over = [&prefix[..], &["--conflict", "overwrite"]].concat();
        let dry = self.restore(&[&over[..], &["--dry-run"]].concat());
        let dry = dry.done().text();
        for part in [
            "1001 to create, 1 to replace, 999 the same",
            "~ app/00/00  (content)",
        ] {
            assert!(dry.contains(part), "{part}: {dry}");
        }
        let one = self.restore(&["--only", "app/10/05"]).done().text();
        assert!(one.contains("etcd: 1 entry written"), "{one}");
        assert_eq!(get(&self.etcd, "app/10/05"), "value-10-5\n");
        let all = self.restore(&over).done().stderr;
        assert!(all.contains("kept as app.undo/1"), "{all}");
    }

    fn leases_come_back(&self) {
        let leases = self.restore(&["--only", "lock/"]).done().text();
        let note = "2 of the keys go when the lease ends";
        assert!(leases.contains(note), "{leases}");
        let ttl = ["lease", "timetolive", &self.lease(), "--keys"];
        let ttl = self.etcd.ctl(&ttl);
        // etcd gives the keys of a lease in any order.
        for part in ["granted with TTL(1000s)", "lock/a", "lock/b"] {
            assert!(ttl.contains(part), "{ttl}");
        }
        let again = self.restore(&["--only", "lock/"]).done().text();
        assert!(again.contains("2 the same"), "{again}");
    }

    /// What was overwritten comes back, and is compared, without a look inside: it is keys already.
    fn undone(&self) {
        let Self { etcd, scene, .. } = self;
        let undo = scene.read(&["diff", "app.undo", "live"]).ended(4).text();
        assert!(undo.contains("~ etcd:app/00/00  (content)"), "{undo}");
        scene.read(&["verify", "--level", "full"]).done();
        let back = ["restore", "app.undo", "--conflict", "overwrite", "--yes"];
        scene.read(&back).done();
        assert_eq!(get(etcd, "app/00/00"), "hunter2\n");
        scene
            .read(&["show", "app.undo", "--database"])
            .refused(2, &["no source of the kind etcd"]);
    }
}

fn lost_and_found(name: &str) {
    let Some(lost) = Lost::new(name) else { return };
    let same = lost.scene.read(&["diff", "app", "live", "--inside"]);
    let same = same.done().stderr;
    assert!(same.contains("0 added, 0 removed, 0 changed"), "{same}");
    lost.lose();
    lost.differs();
    lost.prefix_and_one_key_come_back();
    lost.leases_come_back();
    let mut now = lost.etcd.held();
    now.retain(|_, (value, _)| value != "aHVudGVyMw==");
    assert_eq!(now, lost.before, "but for what is new, it is as it was");
    lost.undone();
}

#[test]
fn lost_keys_come_back_into_an_etcd_that_runs() {
    lost_and_found("etcd");
}

#[test]
fn lost_keys_come_back_into_debians_etcd() {
    lost_and_found("etcd-debian");
}

#[test]
fn keys_go_where_it_was_said_and_an_api_servers_only_when_it_was_agreed() {
    let Some(release) = require("etcd") else {
        return;
    };
    let etcd = Etcd::start(&release, EtcdOptions::default());
    let other = Etcd::start(&release, EtcdOptions::default());
    for (key, value) in [
        ("/registry/pods/shop/web", "a pod"),
        ("/registry/secrets/shop/far", "k8s:enc:kms:v2:vault:x"),
        ("compact_rev_key", "7"),
        ("app/a", "1"),
        ("app/b", "2"),
    ] {
        etcd.put(key, value.as_bytes());
    }
    let scene = scene(&etcd);
    scene.run(&["backup"]).done();
    scene.configure(&format!(
        "  app: {{sources: [{{etcd: {{endpoints: ['{}']}}}}]}}\n  \
         other: {{sources: [{{name: its, etcd: {{endpoints: ['{}']}}}}, {{files: {{paths: [secrets]}}}}]}}\n",
        etcd.endpoint(),
        other.endpoint()
    ));
    let restore = ["restore", "app", "--inside", "--yes", "--source", "etcd"];
    let with = |more: &[&str]| scene.read(&[&restore[..], more].concat());
    with(&["--into", "othr"]).refused(2, &["no job othr", "`other`"]);
    let nothing = "nothing in app/1 matches nothing/";
    with(&["--only", "nothing/"]).refused(1, &[nothing, "strongroom show app/1 --inside\n"]);
    scene
        .read(&["restore", "app", "--only", "app/a"])
        .refused(1, &["nothing in app/1 matches app/a", "with --inside\n"]);
    with(&["--leases", "keep", "--only", "app/"]).refused(2, &["recreate or drop"]);
    with(&["--to", "folder", "--only", "app/"]).refused(2, &["--to cannot be used"]);
    with(&["--data-dir", "folder", "--only", "app/"]).refused(2, &["leave out --inside"]);
    scene
        .read(&[
            "restore",
            "app",
            "--leases",
            "drop",
            "--data-dir",
            "x",
            "--yes",
        ])
        .refused(2, &["--leases", "--inside"]);

    // Into another etcd, and undone there, not in the one that was captured.
    other.ctl(&["put", "app/a", "theirs"]);
    let there = with(&[
        "--into",
        "other",
        "--only",
        "app/",
        "--conflict",
        "overwrite",
    ])
    .done()
    .text();
    let place = format!("written into the etcd at {}, cluster ", other.endpoint());
    assert!(there.contains(&place), "{there}");
    assert_eq!(get(&other, "app/a") + &get(&other, "app/b"), "1\n2\n");
    scene
        .read(&["restore", "app.undo", "--conflict", "overwrite", "--yes"])
        .done();
    assert_eq!(
        (get(&other, "app/a"), get(&etcd, "app/a")),
        ("theirs\n".into(), "1\n".into())
    );
    scene.configure(&format!(
        "  app: {{sources: [{{etcd: {{endpoints: ['{}']}}}}]}}\n",
        etcd.endpoint()
    ));
    scene
        .read(&["restore", "app.undo", "--conflict", "overwrite", "--yes"])
        .refused(2, &[&other.endpoint(), "does not name it"]);

    // All of it is what is nobody's; an API server's keys are refused by name, and written when that is agreed to.
    etcd.ctl(&["del", "--prefix", ""]);
    with(&[]).done();
    assert_eq!(etcd.held().len(), 2);
    let pod = ["--only", "/registry/pods/shop/web"];
    let refused = with(&pod).ended(3);
    assert!(
        refused.text().contains("--api-server-keys"),
        "{}",
        refused.text()
    );
    assert_eq!(etcd.held().len(), 2);
    let secret = ["--only", "/registry/secrets/shop/far", "--api-server-keys"];
    let written = with(&secret).done();
    assert!(
        written
            .text()
            .contains("does not check what is written past it"),
        "{}",
        written.text()
    );
    assert_eq!(
        get(&etcd, "/registry/secrets/shop/far"),
        "k8s:enc:kms:v2:vault:x\n"
    );
}

#[test]
fn what_show_says_of_leases_and_of_what_it_cannot_read() {
    let Some(release) = require("etcd") else {
        return;
    };
    let etcd = Etcd::start(&release, EtcdOptions::default());
    for number in 0..23 {
        let granted = etcd.ctl(&["lease", "grant", "900"]);
        let id = granted.split(' ').nth(1).expect("an ID").to_owned();
        if number == 7 {
            etcd.ctl(&["put", "lock/a", "held", "--lease", &id]);
        }
    }
    etcd.put("/registry/secrets/shop/far", b"k8s:enc:kms:v2:vault:x");
    let scene = scene(&etcd);
    scene.run(&["backup"]).done();
    let shown = scene.read(&["show", "app", "--database"]).done().text();
    assert!(
        shown.contains("  23 leases\n") && shown.contains("    and 3 more; --json lists them\n"),
        "{shown}"
    );
    let first = shown.lines().find(|line| line.ends_with(": 900 s, 1 key"));
    assert!(first.is_some(), "{shown}");
    let json = scene
        .read(&["show", "app", "--database", "--json"])
        .done()
        .json();
    let leases = json["databases"][0]["lease_list"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(leases.len(), 23);
    assert_eq!(
        (&leases[0]["ttl"], &leases[0]["keys"], &leases[1]["keys"]),
        (&900.into(), &1.into(), &0.into())
    );

    let inside = scene.read(&["show", "app", "--inside"]).done();
    assert!(
        inside
            .stderr
            .contains("1 object could not be read, for the reasons that follow"),
        "{}",
        inside.stderr
    );
    assert!(!inside.stderr.contains("says why"), "{}", inside.stderr);
}
