//! `diff SNAPSHOT live`: complete in both directions for every kind of source, and no program is run that this host does not
//! name.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::scene::{Scene, text};

const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

fn diff(scene: &Scene, more: &[&str]) -> Output {
    scene.run(&[&["diff", "prod/1", "live"], &IDENTITY[..], more].concat())
}

/// The rows of a difference, with names as they stand below the scene's folder.
fn rows(scene: &Scene, output: &Output, status: i32) -> Vec<String> {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    let folder = scene.root().display().to_string();
    let printed = text(&output.stdout).replace(&folder[1..], "[]");
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn files_are_compared_in_both_directions() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    for name in ["b-same", "c-changed", "d-gone", "folder/gone-too"] {
        scene.write(&format!("secrets/{name}"), "hunter2");
    }
    scene.write("secrets/large", vec![7; 3 << 20]);
    scene.good(&["backup"]);
    assert!(rows(&scene, &diff(&scene, &[]), 0).is_empty());

    scene.write("secrets/a-new", "swordfish");
    scene.write("secrets/c-changed", "hunter3");
    fs::remove_file(scene.path("secrets/d-gone")).expect("a file");
    fs::remove_dir_all(scene.path("secrets/folder")).expect("a folder");
    let mut large = vec![7; 3 << 20];
    large[2 << 20] = 8;
    scene.write("secrets/large", large);
    let output = diff(&scene, &[]);
    let expected = [
        "~ files:[]/secrets  (mtime)",
        "+ files:[]/secrets/a-new",
        "~ files:[]/secrets/c-changed  (content, mtime)",
        "- files:[]/secrets/d-gone",
        "- files:[]/secrets/folder",
        "- files:[]/secrets/folder/gone-too",
        "~ files:[]/secrets/large  (content, mtime)",
    ];
    assert_eq!(rows(&scene, &output, 4), expected);
    assert_eq!(
        text(&output.stderr),
        "1 added, 3 removed, 3 changed\n",
        "no note"
    );

    // What `diff A B` says once it is captured.
    scene.good(&["backup"]);
    let both = scene.run(&[&["diff", "prod/1", "prod/2"][..], &IDENTITY].concat());
    assert_eq!(rows(&scene, &both, 4), expected);
    let json = diff(&scene, &["--json"]);
    let json = String::from_utf8(json.stdout).expect("JSON");
    assert!(json.contains(r#"{"change":"added","source":"files","name":""#));
    assert!(!json.contains("hunter") && !json.contains("swordfish"));
}

#[test]
fn what_is_new_in_the_configuration_is_added_and_what_left_it_is_still_compared() {
    let scene = Scene::new("[{name: one, files: {paths: [one, gone]}}]");
    scene.write("one/a", "1");
    scene.write("gone/b", "1");
    scene.good(&["backup"]);
    scene.configure("[{name: two, files: {paths: [two]}}]");
    scene.write("two/c", "1");
    fs::remove_dir_all(scene.path("gone")).expect("a folder");
    let output = diff(&scene, &[]);
    let expected = [
        "- one:[]/gone",
        "- one:[]/gone/b",
        "+ two:[]/two",
        "+ two:[]/two/c",
    ];
    assert_eq!(rows(&scene, &output, 4), expected);
    assert!(text(&output.stderr).contains("one: there is no "));
}

#[test]
fn a_program_is_run_if_this_host_names_it_and_not_otherwise() {
    let command =
        "[{name: dump, command: {run: [sh, -c, 'echo x >> [DIR]/ran; cat [DIR]/value']}}]";
    let scene = Scene::new(command);
    let ran = || fs::read(scene.path("ran")).map_or(0, |lines| lines.len());
    scene.write("value", "hunter2");
    scene.good(&["backup"]);
    assert!(rows(&scene, &diff(&scene, &[]), 0).is_empty());
    scene.write("value", "hunter3");
    assert_eq!(
        rows(&scene, &diff(&scene, &[]), 4),
        ["~ dump:output  (content)"]
    );
    assert_eq!(ran(), 6, "three times, two bytes each");

    // From nothing: the snapshot's own configuration names it, and that is not enough.
    fs::remove_file(scene.path("strongroom.yaml")).expect("the configuration");
    let from_nothing = ["--repo", "repository", "--trust-writer", scene.writer()];
    let expected =
        "? dump:  (this host's configuration does not name its program, so it was not run)";
    assert_eq!(rows(&scene, &diff(&scene, &from_nothing), 3), [expected]);
    assert_eq!(ran(), 6);
}

#[test]
fn a_program_that_fails_compares_nothing() {
    let scene = Scene::new(
        "[{files: {paths: [secrets]}}, {name: dump, command: {run: [cat, '[DIR]/value']}}]",
    );
    scene.write("secrets/token", "1");
    scene.write("value", "1");
    scene.good(&["backup"]);
    fs::remove_file(scene.path("value")).expect("a file");
    let output = diff(&scene, &[]);
    assert!(rows(&scene, &output, 1).is_empty());
    assert!(text(&output.stderr).contains("source `dump`"));
}

#[test]
fn only_what_an_undo_snapshot_holds_is_compared() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/token", "1");
    scene.good(&["backup"]);
    scene.write("secrets/token", "22");
    scene.write("secrets/other", "1");
    let restore = ["restore", "prod", "--conflict", "overwrite", "--yes"];
    scene.good(&[&restore[..], &IDENTITY].concat());
    let undo = scene.run(&[&["diff", "prod.undo", "live"][..], &IDENTITY].concat());
    let listed = rows(&scene, &undo, 4);
    assert!(listed.contains(&"~ files:[]/secrets/token  (content, mtime)".to_owned()));
    assert!(!listed.iter().any(|row| row.starts_with('+')), "{listed:?}");
}

#[test]
fn an_etcd_is_compared() {
    let Some(release) = testkit::require("etcd") else {
        return;
    };
    let etcd = testkit::Etcd::start(&release, testkit::EtcdOptions::default());
    etcd.ctl(&["put", "key", "hunter2"]);
    let scene = Scene::new(&format!(
        "[{{etcd: {{endpoints: ['{}']}}}}]",
        etcd.endpoint()
    ));
    scene.good(&["backup"]);
    etcd.ctl(&["put", "key", "hunter3"]);
    etcd.ctl(&["put", "other", "1"]);
    let output = diff(&scene, &[]);
    assert_eq!(rows(&scene, &output, 4), ["~ etcd:snapshot.db  (content)"]);
    let said = text(&output.stderr);
    assert!(said.starts_with("etcd: etcd.revision 2, now 4\n"), "{said}");

    // A server that only the snapshot names is not asked: a password could go to it.
    fs::remove_file(scene.path("strongroom.yaml")).expect("the configuration");
    let output = diff(
        &scene,
        &["--repo", "repository", "--trust-writer", scene.writer()],
    );
    let expected =
        "? etcd:  (this host's configuration does not name its servers, so none was asked)";
    assert_eq!(rows(&scene, &output, 3), [expected]);
}

/// Runs the program as a user whom modes stop: root reads whatever is there.
fn as_nobody(scene: &Scene, arguments: &[&str]) -> Output {
    if !rustix::process::geteuid().is_root() {
        return scene.run(arguments);
    }
    let program = scene.path("program");
    if !program.exists() {
        testkit::copy_program(Path::new(env!("CARGO_BIN_EXE_strongroom")), &program);
        let chown = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(scene.root())
            .status();
        assert!(chown.expect("chown runs").success());
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
    ]);
    let command = command
        .arg(program)
        .args(arguments)
        .current_dir(scene.root());
    command.output().expect("setpriv is installed")
}

#[test]
fn what_may_not_be_read_is_said_to_be_unknown() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    for name in ["closed/inside", "open", "token"] {
        scene.write(&format!("secrets/{name}"), "1");
    }
    let backup = as_nobody(&scene, &["backup"]);
    assert_eq!(rows(&scene, &backup, 0).len(), 1);
    let may = |name: &str, mode| {
        let path = scene.path("secrets").join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    };
    may("closed", 0);
    may("token", 0);
    let compare = [&["diff", "prod", "live"][..], &IDENTITY].concat();
    let output = as_nobody(&scene, &compare);
    let unknown = [
        "? files:[]/secrets/closed  (permission denied)",
        "? files:[]/secrets/token  (permission denied)",
    ];
    assert_eq!(rows(&scene, &output, 3), unknown);
    let said = text(&output.stderr);
    assert_eq!(said, "0 added, 0 removed, 0 changed, 2 not compared\n");
    may("open", 0o640);
    let listed = rows(&scene, &as_nobody(&scene, &compare), 4);
    assert_eq!(listed[1], "~ files:[]/secrets/open  (mode)", "{listed:?}");
    assert_eq!(listed.len(), 3);
}
