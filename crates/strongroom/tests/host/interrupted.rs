//! A backup that is interrupted, or whose source fails, removes what it uploaded; no snapshot is half there, and the next
//! backup works.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::scene::{Scene, text};
use rustix::process::{Pid, Signal, kill_process};

const FILES: &str = "[{files: {paths: [secrets]}}]";
const SLOW: &str = "[{files: {paths: [secrets]}}, {command: {run: [sleep, '60']}}]";

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process");
    kill_process(pid, signal).expect("a signal");
}

/// Bytes that do not compress, different for every seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |entries| entries.filter_map(Result::ok).count())
}

pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(10);
    while !happened() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    for how in [Signal::INT, Signal::TERM] {
        let scene = Scene::new(SLOW);
        scene.write("secrets/large", noise(1, 40 << 20));
        let runs = scene.path("repository/prod/runs");
        let child = scene.command(&["backup"]).spawn().expect("it starts");
        wait_until("something is uploaded", || count(&runs) > 0);
        signal(&child, how);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert!(
            text(&output.stderr).ends_with("interrupted\n"),
            "{}",
            text(&output.stderr)
        );
        wait_until("all is removed", || {
            fs::read_dir(&runs).map_or(0, |runs| {
                runs.map(|run| count(&run.expect("a run").path())).sum()
            }) == 0
        });

        scene.configure(FILES);
        assert!(scene.good(&["backup"]).starts_with("prod/1: 2 entries"));
        assert!(!scene.good(&["verify"]).contains("no snapshot"));
    }
}

#[test]
fn a_failed_source_leaves_nothing_behind() {
    let scene =
        Scene::new("[{files: {paths: [secrets]}}, {command: {run: [sh, -c, 'sleep 2; exit 3']}}]");
    scene.write("secrets/large", noise(1, 40 << 20));
    let output = scene.run(&["backup"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("exit code 3"),
        "{}",
        text(&output.stderr)
    );
    let runs = scene.path("repository/prod/runs");
    let left: usize = fs::read_dir(runs).map_or(0, |runs| {
        runs.map(|run| count(&run.expect("a run").path())).sum()
    });
    assert_eq!(left, 0);
}
