use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::scene::{Scene, Seen};

/// Shifts what the C library says the time is. The kernel's clock is everybody's.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, t);
    const char *shift = getenv("SHIFT");
    if (!failed && id == CLOCK_REALTIME && shift) t->tv_sec += atol(shift);
    return failed;
}
"#;
const DAY: i64 = 86_400;

/// The library, made by the compiler that links Rust programs.
fn shift(scene: &Scene) -> PathBuf {
    scene.write("shift.c", SHIFT);
    let library = scene.path("shift.so");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(scene.path("shift.c"));
    let made = compiler
        .arg("-ldl")
        .output()
        .expect("cc, with which Rust programs are linked");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    library
}

fn back_up_at(scene: &Scene, library: &PathBuf, token: &str, seconds: i64) {
    scene.write("secrets/token", token);
    let mut command = scene.strongroom(&["backup"]);
    let command = command
        .env("LD_PRELOAD", library)
        .env("SHIFT", seconds.to_string());
    Seen::of(command).done();
}

/// Linux with the C library linked dynamically, as `cargo test` does; elsewhere there is nothing to preload.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_clock_that_jumps_back_loses_nothing() {
    let scene = Scene::new();
    let library = shift(&scene);
    for (token, days) in [("one", 0), ("two", 400), ("three", -400), ("four", 0)] {
        back_up_at(&scene, &library, token, days * DAY);
    }
    assert_eq!(scene.snapshots(), ["prod/1", "prod/2", "prod/3", "prod/4"]);
    let listed = scene.run(&["snapshots", "--json"]).done().json();
    let times: Vec<String> = listed["snapshots"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["finished"].as_str().expect("a time").to_owned())
        .collect();
    assert!(
        times[1] > times[3] && times[2] < times[0],
        "the clock did jump: {times:?}"
    );

    let token = scene.path("secrets/token").display().to_string();
    let get = |name: &str| scene.read(&["get", name, &token]).done().text();
    for (name, expected) in [
        ("prod", "four"),
        ("prod/1", "one"),
        ("prod/2", "two"),
        ("prod/3", "three"),
    ] {
        assert_eq!(get(name), expected, "{name}");
    }
    scene.read(&["verify", "--level", "full"]).done();
    let configuration = std::fs::read_to_string(scene.path("strongroom.yaml"));
    let configuration = configuration.expect("the configuration");
    scene.write(
        "strongroom.yaml",
        format!("maintainer_key: writer.key\n{configuration}"),
    );
    let planned = scene.run(&["prune", "--dry-run"]).done();
    let text = planned.text();
    for (snapshot, side) in [("prod/2", "after"), ("prod/3", "before")] {
        let mut lines = text.lines();
        let line = lines.find(|line| line.contains(snapshot)).expect(snapshot);
        // Moments pass between the one and the other.
        let off = [399, 400].map(|days| format!("({days} d {side} the store's clock)"));
        assert!(off.iter().any(|off| line.ends_with(off)), "{text}");
    }
    assert_eq!(text.matches("the store's clock").count(), 2, "{text}");
    let note = "2 snapshots are dated more than an hour from the store's clock";
    assert!(planned.stderr.contains(note), "{}", planned.stderr);
    assert_eq!(scene.read(&["diff", "prod/3", "prod/4", "--json"]).code, 4);
    // By a time: the newest by number whose own time is not later.
    assert_eq!(get(&format!("prod@{}", times[2])), "three");
    assert_eq!(get(&format!("prod@{}", times[0])), "three");
    assert_eq!(get(&format!("prod@{}", times[1])), "four");
    let early = scene.read(&["get", "prod@2001-01-01T00:00Z", &token]);
    early.refused(1, &["there is no snapshot", "prod/1 to prod/4"]);
    let restored = scene
        .read(&["restore", "prod/2", "--to", "out", "--yes", "--json"])
        .done();
    assert_eq!(restored.json()["undo"], Value::Null);
}

/// It is put under new keys in the order in which it was taken, however often that is cut short.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_history_in_which_a_clock_was_ahead_is_stored_anew() {
    let scene = Scene::new();
    let library = shift(&scene);
    for (token, days) in [("one", 0), ("two", 400), ("three", 0), ("four", 0)] {
        back_up_at(&scene, &library, token, days * DAY);
    }
    scene.run(&["init", "--repo", "elsewhere"]).done();
    let reseal = ["--reseal", "--to", "elsewhere"];
    let first = [&["copy", "prod/1", "prod/2"], &reseal[..]].concat();
    scene.read(&first).done();
    let rest = [&["copy"], &reseal[..]].concat();
    for copied in ["2 snapshots copied, 2 there", "0 snapshots copied, 4 there"] {
        let said = scene.read(&rest).done().text();
        assert!(said.contains(copied), "{said}");
    }
    let token = scene.path("secrets/token").display().to_string();
    for (name, expected) in [("prod/2", "two"), ("prod/3", "three"), ("prod", "four")] {
        let get = ["get", name, &token, "--repo", "elsewhere"];
        assert_eq!(scene.read(&get).done().text(), expected, "{name}");
    }

    // What is of a later moment there and no part of that history has the last word still.
    scene.run(&["init", "--repo", "third"]).done();
    scene.run(&["backup", "--repo", "third"]).done();
    let late = ["copy", "--reseal", "--to", "third"];
    scene.read(&late).ended(17);
}
