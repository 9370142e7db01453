//! What `prune` deletes and what `rotate-key` seals again.

use std::fs;

use jiff::{Timestamp, ToSpan as _};

use super::world::{MASTER, OTHER_MASTER, World};

/// `2026-11-01T00:00:00Z` of so many days ago.
fn days_ago(days: i64) -> String {
    let moment = Timestamp::now() - (24 * days).hours();
    Timestamp::from_second(moment.as_second())
        .expect("a time")
        .to_string()
}

impl World {
    /// A backup of so many days ago, of which only the names matter.
    fn old(&self, prefix: &str, days: i64, endings: &[&str]) -> String {
        let stamp = days_ago(days);
        for ending in endings {
            let path = self.object(&format!("{prefix}-{stamp}.{ending}"));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "x").expect("written");
        }
        stamp
    }

    fn pruned(&self, arguments: &[&str]) -> (Vec<String>, u64) {
        let arguments = [&["prune", "--json"][..], arguments].concat();
        let seen = self.run(&arguments).done().json();
        let deleted = seen["deleted"].as_array().expect("a list").iter();
        let names = deleted.map(|it| it.as_str().expect("a name").replace("s3://bucket/", ""));
        (names.collect(), seen["kept"].as_u64().expect("a number"))
    }
}

#[test]
fn prune_deletes_what_its_rule_lets_go() {
    let Some(world) = World::sealed() else { return };
    let oldest = world.old("backup", 800, &["dump", "key"]);
    let plain = world.old("backup", 400, &["dump"]);
    let key_only = world.old("backup", 100, &["key"]);
    for days in 1..20 {
        world.old("backup", days, &["dump", "key"]);
    }
    world.old("backup", 0, &["key"]);
    for other in [
        "backup-2001-01-01T00:00:00Z.dump.old",
        "backup.dump",
        "other-2001-01-01T00:00:00Z.dump",
    ] {
        fs::write(world.object(other), "x").expect("written");
    }
    let before = world.objects();

    // 21 dumps: the usual 15d and 20 let one go, and the key that belongs to nothing.
    let expected = [
        format!("backup-{oldest}.dump"),
        format!("backup-{oldest}.key"),
        format!("backup-{key_only}.key"),
    ];
    let (would, kept) = world.pruned(&["--dry-run"]);
    assert_eq!((would.as_slice(), kept), (&expected[..], 20));
    assert_eq!(world.objects(), before);
    let (deleted, kept) = world.pruned(&[]);
    assert_eq!((deleted.as_slice(), kept), (&expected[..], 20));
    assert_eq!(world.objects().len(), before.len() - 3);
    // As many as must stay: nothing at all.
    assert_eq!(world.pruned(&["-a", "0"]).0, [] as [&str; 0]);

    // Ages as the documents of the original promise them.
    assert_eq!(world.pruned(&["-i", "1", "-a", "2y"]).0, [] as [&str; 0]);
    assert_eq!(
        world.pruned(&["-i", "1", "--max-age", "1y"]).0,
        [format!("backup-{plain}.dump")]
    );
    let weeks = [71, 69].map(|days| world.old("backup", days, &["dump"]));
    assert_eq!(
        world.pruned(&["-i", "1", "-a", "10w"]).0,
        [format!("backup-{}.dump", weeks[0])]
    );
    fs::remove_file(world.object(&format!("backup-{}.dump", weeks[1]))).expect("removed");
    assert_eq!(
        world
            .pruned(&["-i", "1", "--max-age", "2w", "--dry-run"])
            .0
            .len(),
        12
    );
    assert_eq!(
        world
            .pruned(&["-i", "1", "--max-age", "336h", "--dry-run"])
            .0
            .len(),
        12
    );
    assert_eq!(world.pruned(&["-i", "15", "--max-age", "2w"]).0.len(), 8);
    assert_eq!(world.pruned(&["-i", "14", "--max-age", "15d"]).0.len(), 2);
    assert!(
        world
            .objects()
            .contains(&"other-2001-01-01T00:00:00Z.dump".to_owned())
    );

    for (arguments, words) in [
        (&["-a", "15"][..], "--max-age \"15\" cannot be used"),
        (&["-a", "-1d"], "unexpected"),
        (&["--max-age=-1d"], "it is negative"),
        (&["-a", "15D"], "it is not written like 15d"),
        (&["-i", "many"], "invalid value"),
    ] {
        world
            .run(&[&["prune"][..], arguments].concat())
            .refused(2, &[words]);
    }
}

/// Which the original stores and does not find again.
#[test]
fn prefixes_with_slashes_and_other_spellings_are_found() {
    let Some(world) = World::sealed() else { return };
    world.reconfigure(
        "objects_prefix: backup",
        "objects_prefix: clusters/a+b c/etcd",
    );
    let old = world.old("clusters/a+b c/etcd", 30, &["dump"]);
    let path = |name: &str| world.object(&format!("clusters/a+b c/{name}"));
    fs::write(path("etcd-2001-01-01T00:00:00+00:00.dump"), "x").expect("written");
    fs::write(path("etcd-2001-01-01T05:30:01+05:30.key"), "x").expect("written");
    fs::create_dir(path("etcd-2001-01-01T00:00:00Z.dump")).expect("a folder");
    fs::write(
        path("etcd-2001-01-01T00:00:00Z.dump/etcd-2001-01-01T00:00:00Z.dump"),
        "x",
    )
    .expect("written");
    world.old("clusters/a+b c/etcd", 1, &["dump"]);
    let (deleted, kept) = world.pruned(&["-i", "1"]);
    assert_eq!(
        deleted,
        [
            "clusters/a+b c/etcd-2001-01-01T00:00:00+00:00.dump".to_owned(),
            "clusters/a+b c/etcd-2001-01-01T05:30:01+05:30.key".to_owned(),
            format!("clusters/a+b c/etcd-{old}.dump"),
        ]
    );
    assert_eq!(kept, 1);
    assert!(path("etcd-2001-01-01T00:00:00Z.dump/etcd-2001-01-01T00:00:00Z.dump").exists());
}

/// More than a server lists at a time.
#[test]
fn long_lists_are_read_to_their_end() {
    let Some(world) = World::sealed() else { return };
    let first = Timestamp::from_second(1_000_000_000).expect("a time");
    for second in 0..1300 {
        let stamp = first + i64::from(second).seconds();
        fs::write(world.object(&format!("backup-{stamp}.dump")), "x").expect("written");
    }
    let (would, kept) = world.pruned(&["--dry-run", "-i", "7"]);
    assert_eq!((would.len(), kept), (1293, 7));
}

#[test]
fn rotate_key_seals_every_key_to_the_new_master_key() {
    let Some(world) = World::sealed() else { return };
    world.fill("rotate");
    let first = world.back_up();
    let keys = world.keys();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let second = world.back_up();
    let read = |name: &str, ending: &str| {
        fs::read(world.object(&format!("{name}.{ending}"))).expect("an object")
    };
    let (dump, key) = (read(&first, "dump"), read(&first, "key"));
    let snapshot = world.peer(&["read", &first], MASTER, b"");
    world.reconfigure(
        "encryption_key_path: master.key",
        "encryption_key_path: other.key",
    );
    world
        .run(&["restore", "-d", "data"])
        .refused(12, &["the master key does not open it"]);

    // One that nothing opens: nothing at all is changed.
    let damaged = "backup-2001-01-01T00:00:00Z.key";
    fs::write(world.object(damaged), [7; 72]).expect("written");
    world.run(&["rotate-key", "-p", "master.key"]).refused(
        12,
        &[
            "1 key object is opened neither",
            "nothing was changed: s3://bucket/backup-2001-01-01T00:00:00Z.key",
        ],
    );
    fs::write(world.object(damaged), [7; 71]).expect("written");
    world
        .run(&["rotate-key", "-p", "master.key"])
        .refused(5, &["opened neither"]);
    assert_eq!(read(&first, "key"), key);
    fs::remove_file(world.object(damaged)).expect("removed");

    let rotated = world
        .run(&["rotate-key", "--previous-key", "master.key", "--json"])
        .done()
        .json();
    assert_eq!(
        rotated["rotated"].as_array().map(Vec::len),
        Some(2),
        "{rotated}"
    );
    assert_ne!(read(&first, "key"), key);
    assert!(read(&first, "dump") == dump, "dumps are not touched");
    assert_eq!(world.restored(&[]), keys);
    assert!(world.peer(&["read", &first], OTHER_MASTER, b"") == snapshot);

    // Cut short it can be run again: one of them is under the old one still.
    fs::write(world.object(&format!("{first}.key")), &key).expect("written");
    let before = read(&second, "key");
    let seen = world.run(&["rotate-key", "-p", "master.key"]).done();
    assert!(
        seen.text()
            .contains("1 key object sealed to the new master key, 1 key object before"),
        "{}",
        seen.text()
    );
    assert_eq!(read(&second, "key"), before);
    world
        .run(&["rotate-key", "-p", "other.key"])
        .refused(2, &["put the new one there first"]);
    world.run(&["rotate-key"]).refused(2, &["--previous-key"]);
    world
        .run(&["rotate-key", "-p", "nowhere"])
        .refused(1, &["read the master key nowhere"]);
    world.reconfigure("encryption_key_path: other.key\n", "");
    world
        .run(&["rotate-key", "-p", "master.key"])
        .refused(2, &["`encryption_key_path` is missing"]);
}
