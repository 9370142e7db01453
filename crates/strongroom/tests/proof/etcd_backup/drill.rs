//! Backed up, lost, restored: sealed and as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::EtcdOptions;

use super::world::World;
use crate::scene::Seen;

#[test]
fn a_sealed_backup_is_restored_whole() {
    let Some(world) = World::sealed() else { return };
    world.fill("first");
    let first = world.keys();
    let name = world.back_up();
    world.fill("second");
    let read = |name: &str| fs::read(world.object(&format!("{name}.dump"))).expect("the dump");
    let mut newest = world.back_up();
    // Its end is to be longer than what the original reads of it; where a database ends is etcd's choice.
    let is_short = |dump: &[u8]| dump.len() % (1_048_576 + 40) <= 64 << 10;
    for more in 0..4 {
        if is_short(&read(&newest)) {
            world.fill(&format!("more{more}"));
            newest = world.back_up();
        }
    }
    let second = world.keys();
    assert_ne!(name, newest);
    let dump = read(&newest);
    assert!(dump.len() > 5 << 20, "{} bytes", dump.len());
    assert!(!is_short(&dump));
    // Nothing of it can be read.
    assert!(!dump.windows(9).any(|it| it == b"second29-"));
    let key = fs::read(world.object(&format!("{newest}.key"))).expect("its key");
    assert_eq!(key.len(), 72);

    assert_eq!(world.restored(&[]), second);
    let stamp = name.strip_prefix("backup-").expect("a prefix");
    assert_eq!(world.restored(&["-t", stamp]), first);
    let spelled = stamp.replace('Z', "+00:00");
    assert_eq!(world.restored(&["--backup-timestamp", &spelled]), first);
    fs::remove_dir_all(world.scene.path("data")).expect("it was made");
    assert_eq!(world.leftovers(), [] as [&str; 0]);
}

#[test]
fn a_plain_backup_is_restored_whole() {
    let Some(world) = World::sealed() else { return };
    world.reconfigure("encryption_key_path: master.key\n", "");
    world.reconfigure(
        "objects_prefix: backup",
        "objects_prefix: clusters/east.1/etcd",
    );
    world.reconfigure("endpoints: ['", "endpoints: ['127.0.0.1:1', '");
    world.fill("plain");
    let seen = world.run(&["backup"]).done();
    let missing = "127.0.0.1:1 cannot be reached";
    assert!(seen.stderr.contains(missing), "{}", seen.stderr);
    assert!(seen.text().contains("NOT SEALED"), "{}", seen.text());
    assert_eq!(world.restored(&[]), world.keys());
    let objects = fs::read_dir(world.object("clusters/east.1")).expect("its folder");
    let names = objects.map(|it| it.expect("an entry").file_name());
    let names: Vec<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("etcd-") && names[0].ends_with("Z.dump"));
}

/// `--use-etcdutl=false` leaves the file, whatever was there before; short flags and defaults are the original's.
#[test]
fn the_file_is_left_where_that_is_asked_for() {
    let Some(world) = World::sealed() else { return };
    world.fill("file");
    world.back_up();
    let path = world.scene.path("snapshot.db");
    world.scene.write("snapshot.db", "stale ".repeat(2_000_000));
    let seen = world.run(&["restore", "-u=false", "--json"]).done().json();
    assert_eq!(seen["snapshot"].as_str(), path.to_str());
    let metadata = path.metadata().expect("the file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(Some(metadata.len()), seen["bytes"].as_u64());
    let etcdutl = |arguments: &[&str]| {
        let mut command = Command::new(world.release.program("etcdutl"));
        Seen::of(command.args(arguments).current_dir(world.scene.path(""))).done()
    };
    etcdutl(&[
        "snapshot",
        "restore",
        "snapshot.db",
        "--data-dir",
        "by-hand",
    ]);
    // A leftover of the original is named, for it is all of etcd in clear.
    let seen = world.run(&["backup"]).done();
    assert!(
        seen.stderr.contains("all of etcd in clear"),
        "{}",
        seen.stderr
    );

    // Without --data-dir: NAME.etcd in the working directory.
    world
        .run(&["restore", "-n", "m1", "-l", "m1=http://localhost:2380"])
        .done();
    assert!(world.scene.path("m1.etcd/member/snap/db").is_file());
    world
        .run(&["restore", "-n", "m1", "-l", "m1=http://localhost:2380"])
        .refused(17, &["m1.etcd is not an empty directory"]);
    world
        .run(&[
            "restore",
            "-n",
            "m2",
            "-l",
            "m1=http://localhost:2380",
            "-d",
            "wrong",
        ])
        .refused(1, &["restore s3://bucket/backup-", "etcdutl"]);
    assert!(!world.scene.path("wrong").exists());
    world
        .run(&["restore", "-d", "data", "-e", "/no/etcdutl"])
        .refused(1, &["/no/etcdutl does not exist"]);
    world
        .run(&[
            "restore",
            "-d",
            "bumped",
            "--bump-revision",
            "1000000000",
            "--mark-compacted",
            "-o",
            "token",
            "-a",
            "http://localhost:2380",
        ])
        .done();
}

#[test]
fn a_password_takes_the_place_of_a_certificate() {
    let options = EtcdOptions {
        tls: true,
        open: true,
        root_password: Some("pass: word#".to_owned()),
        ..EtcdOptions::default()
    };
    let Some(world) = World::bare(options) else {
        return;
    };
    let client = format!(
        "    client_key: {}\n",
        world.etcd.certificates().client.key.display()
    );
    let config = world.config();
    assert!(config.contains(&client));
    world
        .scene
        .write("password.yml", "username: root\npassword: 'pass: word#'\n");
    // Where both are there, the original shows no certificate: this one could not be read.
    let both = "    client_key: nowhere.key\n    password_auth: password.yml\n";
    world.configure(&config.replace(&client, both));
    world.fill("password");
    world.back_up();
    // Whoever is restored asks for the password too, so that it is looked for in the file.
    world.run(&["restore", "--use-etcdutl=false"]).done();
    let file = fs::read(world.scene.path("snapshot.db")).expect("the file");
    assert!(file.windows(11).any(|it| it == b"password29-"));
    world
        .scene
        .write("password.yml", "username: root\npassword: wrong\n");
    world
        .run(&["backup"])
        .refused(16, &["refuses the user or the password"]);
    world.scene.write("password.yml", "username: root\n");
    world
        .run(&["backup"])
        .refused(2, &["password.yml#password", "it has no password"]);
}

/// The original asks again at once, and only for the list of members.
#[test]
fn retries_wait() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.fill("retry");
    world.etcd.kill();
    let began = Instant::now();
    let seen = world.run(&["backup"]).failed(15, &["cannot be reached"]);
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        seen.stderr.matches("trying again in").count(),
        2,
        "{}",
        seen.stderr
    );
    assert_eq!(world.objects(), [] as [&str; 0]);
}

/// Several backups of one second do not overwrite each other, as the original's do.
#[test]
fn a_second_has_one_backup() {
    let Some(world) = World::sealed() else { return };
    world.etcd.ctl(&["put", "a", "b"]);
    let backups: Vec<_> = (0..3)
        .map(|_| world.command(&["backup"]).spawn().expect("it runs"))
        .collect();
    let mut done = 0;
    for backup in backups {
        let seen = Seen::new(
            "backup".to_owned(),
            backup.wait_with_output().expect("it ends"),
        );
        if seen.code == 17 {
            seen.failed(17, &["was stored by somebody else meanwhile"]);
        } else {
            seen.done();
            done += 1;
        }
    }
    let dumps = world.dumps();
    assert_eq!(dumps.len(), done, "{dumps:?}");
    assert!(done >= 1);
    for stamp in &dumps {
        world.restored(&["-t", stamp]);
    }
}
