//! Killed in the middle: no plaintext on the disk, and in the bucket no dump that is not whole.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::world::{World, keys};
use crate::kills::Kills;
use crate::scene::Seen;

const KILLS: u32 = 8;
/// Who ended sooner than this after a signal had the time to clean up: what is under way is waited for five seconds (`ARRIVES` of the
/// repository).
const IN_TIME: Duration = Duration::from_secs(4);
/// What takes longer does not end.
const FOR_EVER: Duration = Duration::from_mins(10);

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

/// Waits until nothing runs in the group of processes that this one led: its etcdutl may outlive it.
fn all_end(leader: u32) {
    let began = Instant::now();
    while runs(leader) {
        assert!(began.elapsed() < FOR_EVER, "what it started goes on");
        sleep(Duration::from_millis(10));
    }
}

/// Whether a process of that group runs. One that has ended may wait for ever for whoever inherited it to ask how.
fn runs(group: u32) -> bool {
    let group = group.to_string();
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    let mut stats = processes.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
    stats.any(|stat| {
        // Behind the program's name, in which anything may stand: its state, its parent and its group.
        let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
        let mut fields = behind.split(' ');
        fields.next() != Some("Z") && fields.nth(1) == Some(group.as_str())
    })
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
            if data.exists() {
                fs::remove_dir_all(&data).expect("nobody uses it any more");
            }
            let signal = if kill % 2 == 0 { "KILL" } else { "TERM" };
            let mut command = world.command(arguments);
            let ended = kills.end(command.process_group(0), signal);
            all_end(ended.process);
            // But for what was asked for by its path, and was there when it ended.
            let mut found = holding(&world.scene.path(""), canary);
            let asked = [
                format!("{}/", data.display()),
                world.scene.path("snapshot.db").display().to_string(),
            ];
            found.retain(|path| !asked.iter().any(|asked| path.starts_with(asked)));
            if signal == "KILL" {
                // In the moment before it is given its name the verified file may stay (docs/sources/etcd-backup.md). Mostly there is none.
                let verified = format!(".snapshot.db.{}.verified", ended.process);
                let verified = world.scene.path(&verified);
                found.retain(|path| Path::new(path) != verified);
                let _ = fs::remove_file(verified);
            }
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

/// Takes them away together with their folders, without which no part that is still on its way arrives.
fn forget_parts(world: &World) {
    let uploads = world.object(".sgwtmp/multipart");
    let began = Instant::now();
    // The server may be making something in there.
    while uploads.exists() && fs::remove_dir_all(&uploads).is_err() {
        assert!(began.elapsed() < FOR_EVER, "parts of uploads stay");
        sleep(Duration::from_millis(10));
    }
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
            let ended = kills.end(&mut world.command(&["backup"]), signal);
            if signal == "TERM" && ended.took >= IN_TIME {
                forget_parts(&world);
                kills.discount();
            } else if signal == "TERM" {
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
