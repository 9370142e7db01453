use std::fs;

use crate::scene::Scene;
use crate::tree::{assert_same, tree};

/// Commands that open the repository; with an identity, so that nothing else can be wrong.
const COMMANDS: [&[&str]; 7] = [
    &["backup"],
    &["snapshots"],
    &["show", "prod"],
    &["restore", "prod", "--to", "out", "--yes"],
    &["verify"],
    &["find", "token"],
    &["diff", "prod/1", "live"],
];

#[test]
fn a_wrong_identity_opens_nothing() {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    scene.run(&["backup"]).done();
    scene.run(&["keygen", "--output", "stranger.txt"]).done();
    let before = tree(&scene.path("repository"));
    let token = scene.path("secrets/token").display().to_string();
    for command in [
        &["show", "prod"][..],
        &["get", "prod", &token],
        &["cat", "prod", &token],
        &["find", "token"],
        &["history", &token],
        &["diff", "prod/1", "live"],
        &["restore", "prod", "--to", "out", "--yes"],
    ] {
        let stranger = [command, &["--identity", "stranger.txt"]].concat();
        scene
            .run(&stranger)
            .refused(12, &["prod/1", &scene.recipient, "hint: --identity FILE"]);
        scene
            .run(command)
            .refused(12, &["identity", "hint: --identity FILE"]);
    }
    let full = ["verify", "--level", "full"];
    scene
        .run(&full)
        .refused(12, &["identity", "hint: --identity FILE"]);
    let verified = scene
        .run(&[&full[..], &["--identity", "stranger.txt"]].concat())
        .ended(12);
    assert!(verified.text().contains("prod/1"), "{}", verified.text());
    assert!(!scene.path("out").exists());
    assert_same(&tree(&scene.path("repository")), &before, "the repository");
}

/// Each command refuses the repository, and leaves it and everything else as it was.
fn refused_by_all(scene: &Scene, code: i32, words: &[&str]) {
    let before = tree(&scene.path(""));
    for command in COMMANDS {
        scene.read(command).refused(code, words);
    }
    assert_same(&tree(&scene.path("")), &before, "the scene");
}

#[test]
fn what_is_no_repository_is_left_alone() {
    let scene = Scene::new();
    let place = scene.path("repository").display().to_string();
    let description = scene.path("repository/strongroom.json");
    let good = fs::read(&description).expect("a description");

    let deep = "[".repeat(60_000).into_bytes();
    for (contents, code, words) in [
        (&b""[..], 5, "its strongroom.json is damaged"),
        (&good[..good.len() / 2], 5, "its strongroom.json is damaged"),
        (b"{}\n", 5, "its strongroom.json is damaged"),
        (b"\xff\xfe\x00", 5, "its strongroom.json is damaged"),
        (&deep, 5, "its strongroom.json is damaged"),
        (
            br#"{"format":"strongroom repository","version":2,"new":1}"#,
            14,
            "a newer strongroom is needed",
        ),
    ] {
        fs::write(&description, contents).expect("a file");
        refused_by_all(&scene, code, &[&place, words]);
        scene.run(&["init"]).refused(code, &[&place]);
    }
    fs::remove_file(&description).expect("a file");
    refused_by_all(
        &scene,
        10,
        &["there is no repository at", &place, "hint: strongroom init"],
    );

    // An `init` that was killed left this; it is empty all the same.
    scene.write("repository/strongroom.json#1", &good[..20]);
    refused_by_all(&scene, 10, &["there is no repository at", &place]);
    scene.run(&["init"]).done();
    scene.write("secrets/token", "one");
    scene.run(&["backup"]).done();

    fs::rename(scene.path("repository"), scene.path("elsewhere")).expect("it moves");
    refused_by_all(&scene, 10, &["there is no repository at", &place]);
    scene.write("repository", "a file");
    refused_by_all(&scene, 10, &["there is no repository at", &place]);
    fs::remove_file(scene.path("repository")).expect("a file");
    fs::rename(scene.path("elsewhere"), scene.path("repository")).expect("it moves");
    assert_eq!(scene.snapshots(), ["prod/1"]);
}

#[test]
fn a_folder_of_other_things_does_not_become_a_repository() {
    let scene = Scene::bare();
    scene.write("place/precious", "mine");
    let before = tree(&scene.path("place"));
    let init = ["init", "--repo", "place"];
    scene
        .run(&init)
        .refused(17, &["place is not empty", "hint: choose"]);
    assert_same(&tree(&scene.path("place")), &before, "the folder");
}
