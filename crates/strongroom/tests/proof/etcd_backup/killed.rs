//! Killed in the middle: no plaintext on the disk, and in the bucket no dump that is not whole.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::world::{World, keys};
use crate::scene::Seen;

const KILLS: u32 = 8;

/// Ends it with that signal after that long. Whether it was still running.
fn end_after(command: &mut Command, after: Duration, signal: &str) -> bool {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    sleep(after);
    let running = child.try_wait().expect("it is ours").is_none();
    if running {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{signal}"), &child.id().to_string()]);
        assert!(kill.status().expect("kill runs").success());
    }
    child.wait().expect("it is ours");
    running
}

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
    let mut running = 0;
    for kill in 0..2 * KILLS {
        let _ = fs::remove_dir_all(&data);
        let signal = if kill % 2 == 0 { "KILL" } else { "TERM" };
        let mut command = match kill % 4 {
            0 | 1 => world.command(&["restore", "-d", "data"]),
            _ => world.command(&["restore", "--use-etcdutl=false"]),
        };
        running += u32::from(end_after(
            &mut command,
            takes * (kill + 1) / (2 * KILLS),
            signal,
        ));
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
    assert!(
        running > KILLS / 2,
        "only {running} were killed before they ended"
    );
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
    let mut parts_before = parts(&world);
    let mut running = 0;
    for kill in 0..KILLS {
        let signal = if kill % 2 == 0 { "KILL" } else { "TERM" };
        let mut command = world.command(&["backup"]);
        running += u32::from(end_after(&mut command, takes * (kill + 1) / KILLS, signal));
        if signal == "TERM" {
            // Given up in good order it takes its parts with it; what a kill leaves, the bucket's own rules remove.
            assert_eq!(parts(&world), parts_before, "after {signal}");
        }
        parts_before = parts(&world);
        assert_eq!(world.leftovers(), [] as [&str; 0]);
        assert_eq!(
            holding(&world.scene.path(""), b"canary29-canary29-"),
            [] as [&str; 0]
        );
    }
    assert!(running > 2, "only {running} were killed before they ended");
    let objects = world.objects();
    for stamp in world.dumps() {
        assert!(
            objects.contains(&format!("backup-{stamp}.key")),
            "{objects:?}"
        );
        assert_eq!(world.restored(&["-t", &stamp]), world.keys());
    }
}
