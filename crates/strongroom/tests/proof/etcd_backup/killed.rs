//! Killed in the middle: no plaintext on the disk, and in the bucket no dump that is not whole.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::world::{World, keys};
use crate::kills::Kills;
use crate::scene::Seen;

const KILLS: u32 = 8;

fn takes(command: &mut Command) -> Duration {
    let began = Instant::now();
    Seen::of(command).done();
    began.elapsed()
}

/// Everything below a folder that holds these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if fs::read(&path)
            .is_ok_and(|read| bytes.is_empty() || read.windows(bytes.len()).any(|it| it == bytes))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_killed_restore_leaves_no_plaintext() {
    let Some(world) = World::sealed() else { return };
    world.fill("canary");
    world.back_up();
    let data = world.scene.path("data");
    let canary = b"canary29-canary29-";
    let takes = takes(&mut world.command(&["restore", "-d", "data"]));
    assert!(!holding(&data, canary).is_empty(), "the search finds it");
    for arguments in [
        &["restore", "-d", "data"][..],
        &["restore", "--use-etcdutl=false"],
    ] {
        let mut kills = Kills::of(KILLS, takes);
        while let Some(kill) = kills.next() {
            let _ = fs::remove_dir_all(&data);
            let signal = if kill % 2 == 0 { "KILL" } else { "TERM" };
            kills.end(&mut world.command(arguments), signal);
            // Its etcdutl may outlive it by a moment.
            sleep(Duration::from_millis(300));
            // But for what was asked for by its path, and was there when it ended.
            let mut found = holding(&world.scene.path(""), canary);
            let asked = [
                format!("{}/", data.display()),
                world.scene.path("snapshot.db").display().to_string(),
            ];
            found.retain(|path| !asked.iter().any(|asked| path.starts_with(asked)));
            assert_eq!(found, [] as [&str; 0], "after {signal}");
            let _ = fs::remove_file(world.scene.path("snapshot.db"));
            if signal == "TERM" && data.exists() {
                // Interrupted it is gone, or it was finished.
                let etcd = testkit::Etcd::start_on(&world.release, &data);
                assert_eq!(keys(&etcd.everything()), world.keys());
            }
        }
    }
    assert_eq!(world.restored(&[]), world.keys());
}

/// The parts of uploads that were neither finished nor given up, as versitygw keeps them.
fn parts(world: &World) -> usize {
    holding(&world.object(".sgwtmp/multipart"), b"").len()
}

#[test]
fn a_killed_backup_leaves_no_dump_that_is_not_whole() {
    let Some(world) = World::sealed() else { return };
    world.fill("canary");
    let takes = takes(&mut world.command(&["backup"]));
    // The server may still be busy with what a killed one had sent: those go last.
    for signal in ["TERM", "KILL"] {
        let mut kills = Kills::of(KILLS / 2, takes);
        while kills.next().is_some() {
            kills.end(&mut world.command(&["backup"]), signal);
            if signal == "TERM" {
                // Given up in good order it takes its parts with it; what a kill leaves, the bucket's own rules remove.
                assert_eq!(parts(&world), 0);
            }
            assert_eq!(world.leftovers(), [] as [&str; 0]);
            assert_eq!(
                holding(&world.scene.path(""), b"canary29-canary29-"),
                [] as [&str; 0]
            );
        }
    }
    let objects = world.objects();
    for stamp in world.dumps() {
        assert!(
            objects.contains(&format!("backup-{stamp}.key")),
            "{objects:?}"
        );
        assert_eq!(world.restored(&["-t", &stamp]), world.keys());
    }
}
