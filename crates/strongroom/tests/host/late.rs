//! Signals in the last moments: while a restore writes, and while a backup names what it has uploaded.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::interrupted::{noise, signal, wait_until};
use crate::scene::{Scene, text};

/// More than a restore names at once, so that it is at all of it at the same time.
const FILES: u64 = 2_500;
const MOMENTS: u64 = 20;
const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

/// What stands in the files of the folder `secrets`, by name.
fn contents(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(scene.path("secrets")).expect("a folder");
    let files = files.map(|entry| entry.expect("an entry").path());
    files
        .map(|path| (path.clone(), fs::read(path).expect("a file")))
        .collect()
}

fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().expect("a name").as_encoded_bytes();
    name.starts_with(b".strongroom-restore-")
}

fn write_all(scene: &Scene, seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    for number in 0..FILES {
        // Of several pieces' length now and then.
        let length = if number % 1_000 == 0 { 600_000 } else { 100 };
        scene.write(&format!("secrets/{number}"), noise(seed + number, length));
    }
    contents(scene)
}

/// A restore over what is there, and a signal as soon as it has begun to write; how it ended. `None`: a busy machine let it come to its end
/// before.
fn restore_and_signal(scene: &Scene, how: Signal) -> Option<(ExitStatus, String)> {
    let restore = [
        "restore",
        "prod",
        "--conflict",
        "overwrite",
        "--yes",
        "--no-undo",
    ];
    let restore = [&restore[..], &IDENTITY].concat();
    // Its plan is longer than a pipe.
    let mut command = scene.command(&restore);
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    let mut ended = false;
    wait_until("it writes", || {
        ended = child.try_wait().expect("it can be asked").is_some();
        let files = fs::read_dir(scene.path("secrets")).expect("a folder");
        let temporary = files.filter(|file| is_temporary(&file.as_ref().expect("a file").path()));
        ended || temporary.count() > 500
    });
    if !ended {
        signal(&child, how);
    }
    let output = child.wait_with_output().expect("it ends");
    let is_cut_short = output.status.code() != Some(0);
    is_cut_short.then(|| (output.status, text(&output.stderr)))
}

#[test]
fn a_restore_that_is_ended_leaves_whole_files_and_the_next_one_completes() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    let captured = write_all(&scene, 1);
    scene.good(&["backup"]);
    for (how, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(130)),
        (Signal::KILL, None),
    ] {
        let met = (0..10).find_map(|_| {
            let live = write_all(&scene, 1_000_000);
            let (status, said) = restore_and_signal(&scene, how)?;
            let left = contents(&scene);
            // Late, it meets one that has written everything and is about to end.
            (left != captured).then_some((live, status, said, left))
        });
        let (live, status, said, left) = met.expect("a restore that was not at its end");
        assert_eq!(status.code(), code, "{said}");
        assert!(code.is_some() || status.signal() == Some(Signal::KILL.as_raw()));
        let mut named = left.iter().filter(|(path, _)| !is_temporary(path));
        let whole = named.all(|(path, now)| *now == captured[path] || *now == live[path]);
        assert!(whole, "a file is half there");
        assert!(
            live.keys().all(|path| left.contains_key(path)),
            "a file is gone"
        );
        if how == Signal::KILL {
            assert!(
                left.keys().any(|path| is_temporary(path)),
                "nobody could remove them"
            );
        }
        let restore = [
            "restore",
            "prod",
            "--conflict",
            "overwrite",
            "--yes",
            "--no-undo",
        ];
        scene.good(&[&restore[..], &IDENTITY].concat());
        assert!(
            contents(&scene) == captured,
            "all is back, and nothing else"
        );
    }
}

fn snapshots(scene: &Scene) -> usize {
    scene
        .good(&["snapshots", "--json"])
        .matches(r#""number":"#)
        .count()
}

/// A backup that is interrupted `wait` after the run's `object` is there. Whether it ended before.
fn back_up_and_interrupt(scene: &Scene, object: &str, wait: Duration) -> bool {
    let runs = scene.path("repository/prod/runs");
    let listed = || -> Vec<PathBuf> {
        let runs = fs::read_dir(&runs).into_iter().flatten();
        runs.map(|run| run.expect("a run").path()).collect()
    };
    let before = listed();
    let mut child = scene.command(&["backup"]).spawn().expect("it starts");
    let mut ended = false;
    while !ended {
        let new = listed().into_iter().filter(|run| !before.contains(run));
        if new.into_iter().any(|run| run.join(object).exists()) {
            break;
        }
        ended = child.try_wait().expect("it can be asked").is_some();
    }
    sleep(wait);
    if child.try_wait().expect("it can be asked").is_none() {
        signal(&child, Signal::INT);
    }
    let output = child.wait_with_output().expect("it ends");
    let code = output.status.code();
    assert!(
        code == Some(0) || code == Some(130),
        "{}",
        text(&output.stderr)
    );
    code == Some(0)
}

#[test]
fn a_backup_interrupted_while_it_finishes_is_whole_or_not_there() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/same", noise(1, 3 << 20));
    scene.write("secrets/value", noise(2, 1 << 20));
    scene.good(&["backup"]);
    let (mut interrupted, mut finished) = (0, 0);
    for moment in 0..MOMENTS {
        scene.write("secrets/value", noise(100 + moment, 1 << 20));
        let before = snapshots(&scene);
        // They are uploaded in this order, or nearly.
        let object = ["pack-000000", "key", "map", "manifest"][moment as usize % 4];
        let wait = Duration::from_micros(moment / 4 * 300);
        let ended = back_up_and_interrupt(&scene, object, wait);
        let after = snapshots(&scene);
        assert!(after == before + 1 || (after == before && !ended));
        interrupted += u64::from(!ended);
        finished += u64::from(after > before);
        scene.good(&["verify"]);

        scene.write("secrets/value", noise(200 + moment, 1 << 20));
        scene.good(&["backup"]);
        assert_eq!(snapshots(&scene), after + 1);
    }
    assert!(
        interrupted > 0,
        "{interrupted} interrupted, {finished} committed"
    );
    let full = scene.good(&[&["verify", "--level", "full"][..], &IDENTITY].concat());
    let all = format!("prod: {} snapshots", 1 + MOMENTS + finished);
    assert!(full.starts_with(&all) && full.contains(": whole"), "{full}");
    let live = contents(&scene);
    fs::remove_dir_all(scene.path("secrets")).expect("the loss");
    scene.good(&[&["restore", "prod", "--yes"][..], &IDENTITY].concat());
    assert!(contents(&scene) == live);
}
