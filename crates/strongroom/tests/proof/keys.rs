//! Keys that were lost in an etcd without Kubernetes, and come back one by one into the one that runs: compared by etcdctl.

use std::fmt::Write as _;

use serde_json::Value;
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
    scene.read(&["restore", "app", "--only", "app/a"]).refused(
        1,
        &[
            "nothing in app/1 matches app/a",
            "strongroom show app/1 --inside\n",
        ],
    );
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

/// Keys that only a slash tells apart, and one of them as if it lay in another.
fn alike() -> Option<(Etcd, Scene)> {
    let release = require("etcd")?;
    let etcd = Etcd::start(&release, EtcdOptions::default());
    for key in ["/a", "a", "a/b", "ab", "x/a"] {
        etcd.ctl(&["put", key, &format!("the value of {key}")]);
    }
    let scene = scene(&etcd);
    scene.run(&["backup"]).done();
    Some((etcd, scene))
}

#[test]
fn a_key_is_named_exactly_and_with_a_slash_at_its_end_what_begins_so() {
    let Some((etcd, scene)) = alike() else { return };
    etcd.ctl(&["del", "--prefix", ""]);
    for (only, keys) in [
        ("a", &["a"][..]),
        ("/a", &["/a"]),
        ("etcd:x/a", &["x/a"]),
        ("a/", &["a/b"]),
        ("a*", &["a", "ab"]),
        ("**/a", &["/a", "a", "x/a"]),
    ] {
        let only = ["--inside", "--only", only];
        let shown = scene.read(&[&["show", "app"], &only[..]].concat()).done();
        let shown = shown.text();
        let shown = shown.lines().map(|row| row.rsplit(':').next());
        let expected = keys.iter().map(|key| Some(*key));
        assert!(shown.eq(expected), "{only:?}");
        let diff = scene.read(&[&["diff", "app", "live"], &only[..]].concat());
        assert_eq!(diff.ended(4).text().lines().count(), keys.len(), "{only:?}");
        let restore = [&["restore", "app", "--yes"], &only[..]].concat();
        scene.read(&restore).done();
        let there = etcd.ctl(&["get", "--prefix", "", "--keys-only"]);
        let there: Vec<&str> = there.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(there, keys, "{only:?}");
        etcd.ctl(&["del", "--prefix", ""]);
    }
    let get = |key| scene.read(&["get", "app", key, "--inside"]);
    assert_eq!(get("/a").done().text(), "the value of /a");
    let near = "did you mean etcd:/a or etcd:a/b or etcd:ab?";
    get("/ab").refused(1, &["app/1 has no entry /ab", near]);
}

#[test]
fn what_is_not_there_is_said_and_the_hint_works_as_it_stands() {
    let Some((etcd, scene)) = alike() else { return };
    for number in 10..30 {
        let key = format!("/registry/pods/shop/web-{number}");
        etcd.put(&key, b"a pod");
    }
    etcd.ctl(&["put", "later", "x"]);
    scene.run(&["backup"]).done();
    let inside =
        |command: &[&str], more: &[&str]| scene.read(&[command, &["--inside"], more].concat());
    let hinted = |stderr: &str| {
        let hint = stderr.lines().find_map(|line| line.strip_prefix("hint: "));
        let words = hint.expect("a hint").split(' ').map(str::to_owned);
        let words: Vec<String> = words.collect();
        assert_eq!(words[0], "strongroom");
        let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        scene.read(&words).done().text()
    };
    let alone =
        "nothing in app/1 matches b: it means the key of this name alone, and b/ all that begin so";
    let nothing = "nothing in app/2 matches nosuch/";
    let compared = "nothing that was compared matches nosuch/";
    for (command, more, words) in [
        (
            &["get", "app", "nosuch"][..],
            &[][..],
            "app/2 has no entry nosuch",
        ),
        (&["cat", "app", "nosuch"], &[], "app/2 has no entry nosuch"),
        (&["show", "app"], &["--only", "nosuch/"], nothing),
        (&["show", "app/1"], &["--only", "b"], alone),
        (
            &["restore", "app", "--yes"],
            &["--only", "nosuch/"],
            nothing,
        ),
        (&["restore", "app/1", "--yes"], &["--only", "b"], alone),
        (&["diff", "app", "live"], &["--only", "nosuch/"], compared),
        (
            &["diff", "app/1", "app/2"],
            &["--only", "nosuch/"],
            compared,
        ),
    ] {
        let refused = inside(command, more).refused(1, &[words]);
        let list = hinted(&refused.stderr);
        assert!(list.contains("etcd:x/a\n"), "{command:?}: {list}");
    }
    // As it was then, and what is there is printed and compared beside what is not.
    let then: Value = serde_json::from_str(&etcd.everything()).expect("JSON");
    let then = then["header"]["revision"].as_u64().expect("a number") - 1;
    let then = ["--revision", &then.to_string()];
    let refused = inside(&["get", "app", "later"], &then).refused(1, &["no entry later"]);
    assert!(!hinted(&refused.stderr).contains("etcd:later"));
    let both = ["--only", "a", "--only", "nosuch/"];
    let shown = inside(&["show", "app"], &both).failed(1, &[nothing]);
    assert!(shown.text().ends_with("etcd:a\n"), "{}", shown.text());
    let same = ["--only", "a", "--only", "x/"];
    inside(&["diff", "app", "live"], &same).done();
    let zero = "the first revision of an etcd is 1";
    inside(&["show", "app"], &["--revision", "0"]).refused(2, &["'0'", zero]);

    let pods = ["--only", "/registry/pods/", "--yes"];
    let refused = inside(&["restore", "app"], &pods).ended(3).text();
    let reason = "(it is a Kubernetes API server's";
    assert_eq!(refused.matches(reason).count(), 11, "{refused}");
    assert!(
        refused.contains("  ? and 10 more, which --json lists  (it is"),
        "{refused}"
    );

    // What a restore kept is keys already.
    etcd.ctl(&["put", "a", "changed"]);
    let over = ["--only", "a", "--conflict", "overwrite", "--yes"];
    inside(&["restore", "app"], &over).done();
    let back = ["--into", "app", "--yes"];
    inside(&["restore", "app.undo"], &back).refused(
        2,
        &["app.undo/1 holds keys", "leave out --inside, and --into"],
    );
    scene
        .read(&["show", "app.undo", "--only", "a/"])
        .refused(1, &["nothing in app.undo/1 matches a/"]);
    let undo = [
        "restore",
        "app.undo",
        "--only",
        "a",
        "--conflict",
        "overwrite",
        "--yes",
    ];
    scene.read(&undo).done();
    assert_eq!(get(&etcd, "a"), "changed\n");
}
