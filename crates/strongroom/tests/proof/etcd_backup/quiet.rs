//! Secrets are in no output, argument, environment or temporary file: neither of etcd-backup's commands nor of those that take its history over,
//! at trace level.

use std::fs;

use super::world::{MASTER, OTHER_MASTER, World};
use crate::canary::{Search, Watch};

const VALUE: &str = "canary~value29-canary~value29-";
const STRAY: &str = "hunter2-stray";

/// All that is secret in a world, in every disguise.
fn secrets(world: &World) -> Search {
    let key = fs::read_to_string(&world.etcd.certificates().client.key).expect("a private key");
    let key = key.lines().nth(1).expect("PEM").to_owned();
    let (_, secret_key) = world.server.key();
    let bytes = hex::decode(MASTER).expect("hexadecimal digits");
    Search::new([
        ("master key", MASTER.as_bytes()),
        ("bytes of the master key", &bytes),
        ("key of S3", secret_key.as_bytes()),
        ("value", VALUE.as_bytes()),
        ("stray", STRAY.as_bytes()),
        ("client's key", key.as_bytes()),
    ])
}

/// As text and as JSON.
fn run(world: &World, watch: &Watch<'_>, arguments: &[&str]) {
    for more in [&["-vvv"][..], &["-vvv", "--json"]] {
        let mut command = world.scene.strongroom(&[arguments, more].concat());
        let seen = watch.watched(command.env("PATH", world.path()), -1);
        watch.nothing_shown(&seen);
        assert!(!seen.stderr.contains("panicked"), "{}", seen.stderr);
        // The search would find nothing in nothing.
        let said = seen.stdout.len() + seen.stderr.len();
        assert!(said > 0, "{arguments:?} says nothing");
    }
}

fn world() -> Option<World> {
    let world = World::sealed()?;
    world.fill("canary~value");
    let stray = format!("log_level: debug\nstray: {STRAY}");
    world.reconfigure("log_level: debug", &stray);
    Some(world)
}

#[test]
fn no_secret_is_ever_said() {
    let Some(world) = world() else { return };
    let watch = Watch::for_secrets(&world.scene, secrets(&world));
    let sessions: [&[&str]; 12] = [
        &["etcd-backup", "backup"],
        &["etcd-backup", "restore", "-d", "data"],
        &["etcd-backup", "restore", "-d", "data"],
        &[
            "etcd-backup",
            "restore",
            "-t",
            "2001-01-01T00:00:00Z",
            "-d",
            "other",
        ],
        &["etcd-backup", "restore", "--use-etcdutl=false"],
        &["etcd-backup", "prune", "-i", "0", "--dry-run"],
        &["etcd-backup", "rotate-key", "-p", "other.key"],
        &["etcd-backup", "rotate-key", "-p", "keys.yml"],
        &["etcd-backup", "backup", "-c", "keys.yml"],
        &["config", "convert", "etcd-backup", "-c", "config.yml"],
        &["doctor", "--etcd-backup", "config.yml"],
        &["etcd-backup", "restore", "-c", "master.key", "-d", "data"],
    ];
    for arguments in sessions {
        run(&world, &watch, arguments);
    }
    assert!(watch.nothing_in(&world.server.buckets()) >= 2);
    let restored = fs::read(world.scene.path("data/member/snap/db")).expect("a database");
    let found = watch.search.finds(&restored);
    assert_eq!(found, Some("value"), "the search bites");
}

#[test]
fn no_secret_is_said_by_an_import() {
    let Some(mut world) = world() else { return };
    let first = world.back_up();
    world.converted();
    let watch = Watch::for_secrets(&world.scene, secrets(&world));
    let import = ["import", "etcd-backup", "-c", "config.yml", "etcd"];
    let imported = || run(&world, &watch, &import);
    imported();
    assert_eq!(world.times().len(), 1);

    // A dump that is damaged in the middle of what has been opened already.
    let damaged = "2031-01-01T00:00:00Z";
    world.past(&first, &[damaged]);
    let path = world.object(&format!("backup-{damaged}.dump"));
    let mut dump = fs::read(&path).expect("the dump");
    dump[3 << 20] ^= 1;
    fs::write(&path, dump).expect("written");
    imported();
    run(
        &world,
        &watch,
        &[&import[..], &["--skip-unreadable"]].concat(),
    );
    assert_eq!(world.times().len(), 1);
    // Master keys that do not open it, that are none, and none.
    let broken = MASTER.replace('2', "x");
    for master in [OTHER_MASTER, &MASTER[1..], &broken] {
        world.scene.write("master.key", master);
        imported();
    }
    fs::remove_file(world.scene.path("master.key")).expect("removed");
    imported();
    world.scene.write("master.key", MASTER);
    // And another secret for S3, which the server refuses.
    let (key, secret) = world.server.key();
    let keys = format!("access_key: {key}\nsecret_key: {secret}-{STRAY}\n");
    world.scene.write("keys.yml", keys);
    imported();

    assert!(watch.nothing_in(&world.server.buckets()) >= 8);
    let found = fs::read(world.scene.path("master.key")).map(|it| watch.search.finds(&it));
    assert!(found.is_ok_and(|it| it.is_some()), "the search bites");
}
