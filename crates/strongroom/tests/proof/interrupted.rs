//! Ctrl-C, and readers that go away: nothing is half there, and what was running has stopped.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::kill::Dice;
use crate::scene::{Scene, Seen};
use crate::tree::{Tree, assert_same, names, tree};

/// An interrupted backup has ten seconds to take everything back (`CLEAN_UP` of the program). Whoever ended sooner than this had the time.
const IN_TIME: Duration = Duration::from_secs(9);

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !happened() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(2));
    }
}

/// The files in a folder that a running program changes: what goes while we look is passed over.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn interrupt(child: Child) -> Seen {
    let process = i32::try_from(child.id()).expect("a process");
    let process = Pid::from_raw(process).expect("a process");
    kill_process(process, Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    Seen::new("interrupted".to_owned(), output)
}

#[test]
fn an_interrupted_backup_takes_everything_back_and_stops_what_it_started() {
    assert!(
        (0..5).any(|_| a_backup_is_interrupted()),
        "none had the time to clean up"
    );
}

/// `false`: it was busy for so long that it proves nothing.
fn a_backup_is_interrupted() -> bool {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    scene.run(&["backup"]).done();
    let before = names(&scene.path("repository"));
    let folder = scene.path("").display().to_string();
    let run = "[sh, -c, 'echo $$ > pid; head -c 40000000 /dev/urandom; exec sleep 60']";
    scene.configure(&format!(
        "  prod:\n    sources:\n      - files: {{paths: [secrets]}}\n      - command: {{run: {run}, working_directory: '{folder}'}}\n"
    ));
    let child = scene.strongroom(&["backup"]).spawn().expect("it runs");
    let repository = scene.path("repository");
    let is_new = |name: &Path| !before.iter().any(|before| before == name);
    until("a pack is there", || {
        files_in(&repository).iter().any(|file| {
            let name = file.strip_prefix(&repository).expect("it lies below");
            is_new(name) && name.ends_with("pack-000000")
        })
    });
    let process = fs::read_to_string(scene.path("pid")).expect("it runs");
    let process = Path::new("/proc").join(process.trim());
    assert!(process.exists());
    let began = Instant::now();
    let seen = interrupt(child);
    let took = began.elapsed();
    seen.refused(130, &["interrupted"]);
    if took >= IN_TIME {
        return false;
    }
    until("the program has ended", || !process.exists());
    let left: Vec<_> = names(&repository)
        .into_iter()
        .filter(|name| is_new(name) && repository.join(name).is_file())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(names(&scene.path("tmp")).is_empty());
    assert_eq!(scene.snapshots(), ["prod/1"]);

    scene.configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");
    scene.run(&["backup"]).done();
    scene.read(&["verify", "--level", "full"]).done();
    true
}

#[test]
fn an_interrupted_restore_leaves_whole_files_only_and_can_be_repeated() {
    let scene = Scene::new();
    let mut dice = Dice::new();
    for number in 0..40 {
        scene.write(&format!("secrets/{number:02}"), dice.bytes(1 << 20));
    }
    scene.run(&["backup"]).done();
    let live = tree(&scene.path("secrets"));
    let restored = scene.restored("out", "secrets");
    let restore = [
        "restore",
        "prod",
        "--to",
        "out",
        "--yes",
        "--identity",
        "identity.txt",
    ];
    // It may be done before the signal comes, or have all files by then.
    let stopped = (0..20).find_map(|_| {
        let _ = fs::remove_dir_all(scene.path("out"));
        let child = scene.strongroom(&restore).spawn().expect("it runs");
        until("a file is there", || {
            let mut sizes = files_in(&restored).into_iter().map(fs::metadata);
            sizes.any(|file| file.is_ok_and(|file| file.len() > 0))
        });
        let seen = interrupt(child);
        let is_on_its_way = seen.code != 0 && tree(&restored).len() < live.len();
        is_on_its_way.then_some(seen)
    });
    stopped
        .expect("interrupted on its way")
        .failed(130, &["interrupted"]);
    let seen = tree(&restored);
    assert!(seen.len() < live.len(), "it was interrupted");
    only_whole(&seen, &live);
    let files = tree(&scene.path("out"));
    let files = files.values().filter(|node| !node.contents.is_empty());
    assert_eq!(files.count(), seen.len(), "and nothing beside them");
    scene
        .read(&["restore", "prod", "--to", "out", "--yes"])
        .done();
    assert_same(&tree(&restored), &live, "the second restore");
}

/// No temporary names, and no part of a file.
fn only_whole(seen: &Tree, live: &Tree) {
    for (name, node) in seen {
        let expected = live.get(name).map(|node| &node.contents);
        assert!(expected == Some(&node.contents), "{}", name.display());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let scene = Scene::new();
    for number in 0..1500 {
        scene.write(&format!("secrets/{}-{number}", "long".repeat(50)), "");
    }
    scene.write("secrets/large", "x".repeat(4 << 20));
    scene.run(&["backup"]).done();
    let large = scene.path("secrets/large").display().to_string();
    for arguments in [
        &["show", "prod"][..],
        &["show", "prod", "--json"],
        &["find", "long"],
        &["find", "long", "--json"],
        &["cat", "prod", &large],
        &["get", "prod", &large],
        &["diff", "prod", "live", "--json"],
        &["restore", "prod", "--to", "out", "--dry-run"],
        &["man"],
        &["config", "--schema"],
        &["help"],
    ] {
        let mut command = scene.strongroom(arguments);
        if !["man", "config", "help"].contains(&arguments[0]) {
            command.args(["--identity", "identity.txt"]);
        }
        let mut child = command.spawn().expect("it runs");
        let mut stdout = child.stdout.take().expect("piped");
        let _ = stdout.read(&mut [0; 1]).expect("something is printed");
        drop(stdout);
        let output = child.wait_with_output().expect("it ends");
        let seen = Seen::new(arguments.join(" "), output);
        assert!(
            [0, 1].contains(&seen.code),
            "{arguments:?} ended with {}",
            seen.code
        );
        assert!(
            !seen.stderr.contains("panicked"),
            "{arguments:?}: {}",
            seen.stderr
        );
        assert!(
            !seen.stderr.contains("pipe"),
            "{arguments:?}: {}",
            seen.stderr
        );
    }
}
