//! The history moves into a repository, with its times; the configuration too.

use std::fs;
use std::time::{Duration, Instant};

use super::world::{MASTER, OTHER_MASTER, World};
use crate::scene::Seen;

impl World {
    /// A repository of strongroom with the job `etcd`, made by what `config convert` prints.
    pub(super) fn converted(&mut self) {
        self.scene.keys();
        let recipient = self.scene.recipient.clone();
        let words = [
            "config",
            "convert",
            "etcd-backup",
            "-c",
            "config.yml",
            "--job",
            "etcd",
            "--recipient",
            &recipient,
        ];
        let converted = self.scene.run(&words).done();
        for said in [
            "strongroom keygen",
            "strongroom import etcd-backup -c config.yml etcd",
        ] {
            assert!(converted.stderr.contains(said), "{}", converted.stderr);
        }
        self.scene.write("strongroom.yaml", &converted.stdout);
        self.scene.run(&["init"]).done();
    }

    fn import(&self, arguments: &[&str]) -> Seen {
        self.scene.run(
            &[
                &["import", "etcd-backup", "-c", "config.yml", "etcd"][..],
                arguments,
            ]
            .concat(),
        )
    }

    /// Imports, and returns how many were there, how many came, and what was passed over, by name.
    fn imported(&self, arguments: &[&str]) -> (u64, usize, Vec<String>) {
        let seen = self.import(&[arguments, &["--json"]].concat()).done();
        let seen = seen.json();
        let list = |name: &str| seen[name].as_array().expect("a list").clone();
        let passed = list("passed_over").into_iter();
        let passed = passed.map(|it| it.as_str().expect("a name").replace("s3://bucket/", ""));
        (
            seen["already"].as_u64().expect("a number"),
            list("imported").len(),
            passed.collect(),
        )
    }

    /// The finished times of all snapshots, in their order.
    pub(super) fn times(&self) -> Vec<String> {
        let listed = self.scene.run(&["snapshots", "--json"]).done().json();
        let rows = listed["snapshots"].as_array().expect("a list").iter();
        rows.map(|row| row["finished"].as_str().expect("a time").to_owned())
            .collect()
    }

    /// How many commits the job has, by the files of the server: so an import is watched while it runs.
    fn commits(&self) -> usize {
        let log = fs::read_dir(self.object("strongroom/etcd/log"));
        let log = log.into_iter().flatten().flatten();
        // Twelve digits; bundles have longer names.
        log.filter(|it| it.file_name().len() == 12).count()
    }

    /// The same backup under other names, as if it had been taken then.
    pub(super) fn past(&self, name: &str, times: &[&str]) {
        for time in times {
            for ending in ["dump", "key"] {
                let from = self.object(&format!("{name}.{ending}"));
                if from.exists() {
                    fs::copy(from, self.object(&format!("backup-{time}.{ending}")))
                        .expect("copied");
                }
            }
        }
    }
}

/// The time in an object's name.
fn stamp(name: &str) -> String {
    name["backup-".len()..].to_owned()
}

#[test]
fn the_history_is_taken_over_with_its_times() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.fill("history");
    let first_keys = world.keys();
    let first = world.back_up();
    world.past(
        &first,
        &["2024-01-01T00:00:00Z", "2024-01-02T00:00:00+00:00"],
    );
    world.fill("more");
    let newest = world.back_up();
    world.converted();

    let seen = world.import(&["--json"]).done().json();
    assert_eq!(seen["imported"].as_array().map(Vec::len), Some(4), "{seen}");
    let times = [
        "2024-01-01T00:00:00Z".to_owned(),
        "2024-01-02T00:00:00Z".to_owned(),
        stamp(&first),
        stamp(&newest),
    ];
    assert_eq!(world.times(), times);
    // Stored once: the second is the first again, but for where it came from.
    let added = seen["imported"][1]["added"].as_u64();
    assert!(added < Some(10_000), "{seen}");

    // Again: nothing. One more: that one.
    let again = world.import(&["--json"]).done().json();
    assert_eq!(
        (
            again["already"].as_u64(),
            again["imported"].as_array().map(Vec::len)
        ),
        (Some(4), Some(0)),
        "{again}"
    );
    std::thread::sleep(std::time::Duration::from_secs(1));
    world.back_up();
    let seen = world.import(&[]).done();
    assert!(
        seen.text()
            .contains("1 backup imported into etcd, 4 backups were there before"),
        "{}",
        seen.text()
    );

    // They are snapshots like any other.
    world.scene.run(&["verify"]).done();
    world.scene.read(&["verify", "--level", "full"]).done();
    let shown = world
        .scene
        .read(&["show", "etcd/1", "--json"])
        .done()
        .text();
    assert!(
        shown.contains("etcd-backup.object") && shown.contains("backup-2024-01-01"),
        "{shown}"
    );
    let mut restore = world.scene.strongroom(&[
        "restore",
        "etcd/1",
        "--data-dir",
        "data",
        "--yes",
        "--identity",
        "identity.txt",
    ]);
    Seen::of(restore.env("PATH", world.path())).done();
    let etcd = testkit::Etcd::start_on(&world.release, &world.scene.path("data"));
    assert_eq!(super::world::keys(&etcd.everything()), first_keys);

    // strongroom goes on where etcd-backup ended, by the converted configuration.
    let next = world.scene.run(&["backup", "--json"]).done().json();
    assert_eq!(
        next["jobs"][0]["snapshot"].as_str(),
        Some("etcd/6"),
        "{next}"
    );
    // What is older than that cannot get in any more.
    world.past(&first, &["2024-01-03T00:00:00Z"]);
    world
        .import(&[])
        .failed(17, &["it is older than etcd/6", "a job of its own"]);
    assert_eq!(world.times().len(), 6);
}

#[test]
fn what_cannot_be_read_stops_the_import_or_is_left_out() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.fill("history");
    let first = world.back_up();
    world.past(
        &first,
        &[
            "2024-01-01T00:00:00Z",
            "2024-01-02T00:00:00Z",
            "2024-01-03T00:00:00Z",
            "2024-01-04T00:00:00Z",
        ],
    );
    let path = world.object("backup-2024-01-02T00:00:00Z.dump");
    let mut dump = fs::read(&path).expect("the dump");
    dump[3 << 20] ^= 1;
    fs::write(&path, &dump).expect("written");
    fs::remove_file(world.object("backup-2024-01-03T00:00:00Z.key")).expect("removed");
    world.converted();

    let seen = world.import(&[]).failed(
        5,
        &[
            "backup-2024-01-02T00:00:00Z.dump",
            "is damaged",
            "--skip-unreadable",
        ],
    );
    assert!(seen.text().contains("1 backup imported"), "{}", seen.text());
    assert_eq!(world.times(), ["2024-01-01T00:00:00Z"]);
    let seen = world
        .import(&["--skip-unreadable", "--json"])
        .ended(3)
        .json();
    assert_eq!(
        seen["unreadable"].as_array().map(Vec::len),
        Some(2),
        "{seen}"
    );
    assert_eq!(seen["imported"].as_array().map(Vec::len), Some(2), "{seen}");
    assert_eq!(world.times().len(), 3);

    // What is not the dump's fault is no reason to leave it out.
    std::thread::sleep(std::time::Duration::from_secs(1));
    world.back_up();
    world.server.pause();
    world.reconfigure(
        "request_timeout: 30s\nlog_level",
        "request_timeout: 1s\nlog_level",
    );
    // The repository is on that server too.
    let config = fs::read_to_string(world.scene.path("strongroom.yaml")).expect("it was written");
    world.scene.write(
        "strongroom.yaml",
        config.replace(
            "  timeout: \"30s\"",
            "  timeout: \"1s\"\n  deadline: \"1s\"",
        ),
    );
    world.import(&["--skip-unreadable"]).failed(15, &[]);
    world.server.resume();
}

/// What was left out would pass for newer now, and is in nobody's way.
#[test]
fn after_one_was_left_out_newer_ones_are_imported() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.etcd.ctl(&["put", "a", "b"]);
    let first = world.back_up();
    world.past(&first, &["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]);
    let left_out = "backup-2024-01-02T00:00:00Z.dump";
    let whole = fs::read(world.object(left_out)).expect("the dump");
    let mut dump = whole.clone();
    dump[100] ^= 1;
    fs::write(world.object(left_out), &dump).expect("written");
    world.converted();
    world.import(&["--skip-unreadable"]).ended(3);
    assert_eq!(world.times().len(), 2);

    for arguments in [&[][..], &["--skip-unreadable"]] {
        assert_eq!(
            world.imported(arguments),
            (2, 0, vec![left_out.to_owned()]),
            "{arguments:?}"
        );
        // Names have whole seconds.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let newer = world.back_up();
    // Somebody mended it: too late.
    fs::write(world.object(left_out), &whole).expect("written");
    let seen = world.import(&[]).done().text();
    for said in [
        &format!("passed over: s3://bucket/{left_out}\n"),
        "1 backup passed over: left out or removed before",
        "1 backup imported into etcd, 2 backups were there before",
    ] {
        assert!(seen.contains(said), "{seen}");
    }
    let times = [
        "2024-01-01T00:00:00Z".to_owned(),
        stamp(&first),
        stamp(&newer),
    ];
    assert_eq!(world.times(), times);
}

/// Which a retention does, and `config convert` writes one.
#[test]
fn after_some_were_removed_newer_ones_are_imported() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.etcd.ctl(&["put", "a", "b"]);
    let first = world.back_up();
    let days = [
        "2024-01-01T00:00:00Z",
        "2024-01-02T00:00:00Z",
        "2024-01-03T00:00:00Z",
    ];
    world.past(&first, &days);
    world.converted();
    world
        .scene
        .key(&["keygen", "--writer", "--output", "maintainer.key"]);
    let config = fs::read_to_string(world.scene.path("strongroom.yaml")).expect("it was written");
    world.scene.write(
        "strongroom.yaml",
        config.replace(
            "retention:\n",
            "maintainer_key: maintainer.key\nretention:\n  min_age: 0s\n",
        ),
    );
    world.import(&[]).done();
    world.scene.run(&["forget", "etcd/1", "etcd/3"]).done();
    // Marked only: they are there.
    assert_eq!(world.imported(&[]), (4, 0, Vec::new()));
    world.scene.run(&["prune"]).done();
    assert_eq!(world.times().len(), 2);

    std::thread::sleep(std::time::Duration::from_secs(1));
    let newer = world.back_up();
    let removed = [days[0], days[2]].map(|day| format!("backup-{day}.dump"));
    assert_eq!(world.imported(&[]), (2, 1, removed.to_vec()));
    let times = [days[1].to_owned(), stamp(&first), stamp(&newer)];
    assert_eq!(world.times(), times);
}

/// Whose times could say anything: by what they imported nothing is passed over.
#[test]
fn what_somebody_else_imported_passes_nothing_over() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.etcd.ctl(&["put", "a", "b"]);
    let first = world.back_up();
    world.past(&first, &["2024-01-01T00:00:00Z"]);
    world.converted();
    world
        .scene
        .key(&["keygen", "--writer", "--output", "stranger.key"]);
    let config = fs::read_to_string(world.scene.path("strongroom.yaml")).expect("it was written");
    let strange = config.replace("\"writer.key\"", "\"stranger.key\"");
    assert_ne!(strange, config);
    world.scene.write("strongroom.yaml", strange);
    world.import(&[]).done();
    world.scene.write("strongroom.yaml", config);
    world.import(&[]).failed(17, &["it is older than etcd/2"]);
}

/// Killed at any moment, it goes on where it was: every backup once, whole, in its order.
#[test]
fn a_killed_import_goes_on_where_it_was() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.fill("killed");
    let first = world.back_up();
    let times: Vec<String> = (1..=6)
        .map(|day| format!("2024-01-0{day}T00:00:00Z"))
        .collect();
    world.past(
        &first,
        &times.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    world.converted();
    let mut cut = 0;
    let mut takes = Duration::ZERO;
    for kill in 0..4 {
        let before = world.commits();
        let began = Instant::now();
        let arguments = ["import", "etcd-backup", "-c", "config.yml", "etcd"];
        let mut import = world.scene.strongroom(&arguments);
        let mut import = import.spawn().expect("it runs");
        // However fast it is: as soon as one more was imported at first, and then later and later in the next one.
        while world.commits() == before && import.try_wait().expect("it is ours").is_none() {
            assert!(began.elapsed() < Duration::from_mins(10), "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
        if kill == 0 {
            takes = began.elapsed();
        }
        std::thread::sleep(takes * kill / 4);
        cut += u32::from(import.try_wait().expect("it is ours").is_none());
        import.kill().expect("it is ours");
        import.wait().expect("it is ours");
    }
    assert!(cut > 0, "none was killed before it ended");
    world.import(&[]).done();
    let all = [&times[..], &[stamp(&first)]].concat();
    assert_eq!(world.times(), all);
    world.scene.read(&["verify", "--level", "full"]).done();
}

/// Backups from before encryption was switched on go first, without the master key; then those that are sealed.
#[test]
fn a_history_that_was_sealed_later_is_imported_in_two_steps() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.etcd.ctl(&["put", "a", "b"]);
    let sealed = world.back_up();
    let snapshot = world.peer(&["read", &sealed], MASTER, b"");
    world.peer(&["write", "backup-2024-01-01T00:00:00Z"], "", &snapshot);
    world.converted();
    world
        .import(&[])
        .failed(12, &["is missing", "without encryption"]);
    world.reconfigure("encryption_key_path: master.key\n", "");
    world.import(&[]).failed(12, &["it is sealed"]);
    assert_eq!(world.times(), ["2024-01-01T00:00:00Z"]);
    world.configure(&world.config());
    world.import(&[]).done();
    assert_eq!(world.times().len(), 2);
}

#[test]
fn doctor_says_what_clusters_share() {
    let Some(world) = World::sealed() else { return };
    let config = world.config();
    let west = config
        .replace("endpoints: ['127.0.0.1:", "endpoints: ['10.0.0.9:")
        .replace("objects_prefix: backup", "objects_prefix: west");
    world.scene.write("west.yml", &west);
    let doctor = |arguments: &[&str]| {
        world
            .scene
            .run(&[&["doctor", "--json"][..], arguments].concat())
    };
    let both = ["--etcd-backup", "config.yml", "--etcd-backup", "west.yml"];
    let found = doctor(&both).done().json();
    let findings = found["findings"].as_array().expect("a list");
    let shared = findings.iter().find(|it| {
        it["text"]
            .as_str()
            .is_some_and(|text| text.contains("share one master key"))
    });
    let shared = shared.expect("it is found");
    assert_eq!(shared["level"].as_str(), Some("note"), "{shared}");
    assert!(
        shared["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("rotate-key")),
        "{shared}"
    );
    // The same key in another spelling and another file is the same key.
    world.scene.write("third.key", MASTER.to_uppercase());
    world.scene.write(
        "west.yml",
        west.replace(
            "encryption_key_path: master.key",
            "encryption_key_path: third.key",
        ),
    );
    assert!(doctor(&both).done().text().contains("share one master key"));
    world.scene.write("third.key", OTHER_MASTER);
    assert!(!doctor(&both).done().text().contains("share"));
    world.scene.write(
        "west.yml",
        west.replace("objects_prefix: west", "objects_prefix: backup"),
    );
    assert!(
        doctor(&both)
            .ended(1)
            .text()
            .contains("store under the same names")
    );
    // One cluster with two configurations may share what it likes.
    world.scene.write("west.yml", &config);
    assert!(!doctor(&both).done().text().contains("share"));
}
