use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::scene::Scene;

#[test]
fn the_nearest_names_are_offered() {
    let scene = Scene::new();
    scene.write("secrets/database-password", "one");
    scene.write("secrets/token", "two");
    scene.run(&["backup"]).done();
    let near = scene
        .path("secrets/database-passwort")
        .display()
        .to_string();
    let right = "secrets/database-password";
    for command in ["get", "cat"] {
        scene
            .read(&[command, "prod", &near])
            .refused(1, &["prod/1 has no entry", "hint: did you mean", right]);
    }
    scene.read(&["history", &near]).refused(
        1,
        &["no snapshot has an entry", "hint: did you mean", right],
    );
    scene
        .read(&["show", "prd"])
        .refused(1, &["has no job prd", "did you mean `prod`?"]);
    scene
        .run(&["backup", "prof"])
        .refused(2, &["no job prof", "did you mean `prod`?"]);
    scene.read(&["show", "prod/7"]).refused(
        1,
        &[
            "there is no snapshot prod/7",
            "prod/1",
            "hint: strongroom snapshots prod",
        ],
    );
    scene
        .read(&["restore", "prod", "--source", "file", "--yes"])
        .refused(2, &["no source file", "did you mean `files`?"]);
    scene
        .read(&["restore", "prod", "--only", "nothing-like-it", "--yes"])
        .failed(1, &["nothing in prod/1 matches nothing-like-it"]);
    // Nor is one that is mistyped passed over beside one that is not.
    let both = [
        "restore",
        "prod",
        "--only",
        "database-password",
        "--only",
        "tokem",
        "--yes",
    ];
    scene
        .read(&both)
        .failed(1, &["nothing in prod/1 matches tokem"]);
    // A piece of a name chooses nothing, and says so.
    scene
        .read(&["restore", "prod", "--only", "database", "--yes"])
        .failed(1, &["nothing in prod/1 matches"]);
    scene
        .run(&["snapshots", "nowhere"])
        .refused(1, &["has no job nowhere"]);
    scene
        .run(&["verify", "nowhere"])
        .refused(1, &["has no job nowhere"]);
    let found = scene.read(&["find", "nothing-like-it"]).done();
    assert!(
        found.stdout.is_empty() && found.stderr.contains("nothing matches"),
        "{}",
        found.stderr
    );
    for name in ["../prod", "prod/0x1", "prod@yesterday", "PROD", ""] {
        let seen = scene.read(&["show", name]);
        assert_eq!(seen.code, 2, "{name}: {}", seen.stderr);
        assert!(
            seen.stdout.is_empty() && !seen.stderr.contains("panicked"),
            "{name}"
        );
    }
}

#[test]
fn hostile_names_reach_no_terminal() {
    let scene = Scene::new();
    let name = b"secrets/\x1b]0;owned\x07\xff\n--help";
    let path = scene.path("").join(OsStr::from_bytes(name));
    std::fs::write(path, "contents").expect("a file");
    scene.run(&["backup"]).done();
    let listed = scene.read(&["show", "prod"]).done();
    let found = scene.read(&["find", "owned"]).done();
    let asked = scene.read(&["get", "prod", "\u{1b}]0;owned"]);
    for seen in [&listed, &found, &asked] {
        let said = [seen.stdout.as_slice(), seen.stderr.as_bytes()].concat();
        assert!(
            said.iter()
                .all(|byte| *byte == b'\n' || (32..127).contains(byte)),
            "{}",
            seen.text()
        );
    }
    // What is printed is what may be typed.
    let text = found.text();
    let shown = text.split("  ").next().expect("a name").trim();
    let got = scene.read(&["get", "prod", shown]).done();
    assert_eq!(got.stdout, b"contents");
}
