//! Secrets are in no output: neither of etcd-backup's commands nor of those that take its history over, at trace level.

use super::world::{MASTER, World};

#[test]
fn no_secret_is_ever_said() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.fill("canary~value");
    world.reconfigure("log_level: debug", "log_level: debug\nstray: hunter2-stray");
    world.scene.keys();
    let secrets = [MASTER, "root-secret", "canary~value29", "hunter2"];
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
        for more in [&["-vvv"][..], &["-vvv", "--json"]] {
            let mut command = world.scene.strongroom(&[arguments, more].concat());
            let output = command.env("PATH", world.path()).output().expect("it runs");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            for secret in secrets {
                assert!(
                    !said.contains(secret),
                    "{arguments:?} says {secret}: {said}"
                );
            }
            assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        }
    }
}
