use std::fs;

use crate::scene::Scene;
use crate::tree::{assert_same, tree};

fn with_snapshot() -> Scene {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    scene.write("secrets/other", "the same");
    scene.run(&["backup"]).done();
    scene
}

#[test]
fn a_target_that_is_not_empty_is_left_alone() {
    let scene = with_snapshot();
    scene.write("secrets/token", "changed since");
    let before = tree(&scene.path(""));
    let restore = ["restore", "prod", "--yes"];
    scene.read(&restore).failed(
        17,
        &[
            "nothing was restored",
            "1 entry is in the way",
            "--conflict overwrite",
        ],
    );
    let dry = ["restore", "prod", "--dry-run"];
    scene
        .read(&dry)
        .failed(17, &["nothing was restored", "in the way"]);
    assert_same(&tree(&scene.path("")), &before, "the scene");

    let token = scene.restored("out", "secrets/token");
    fs::create_dir_all(token.parent().expect("a folder")).expect("a folder");
    fs::write(&token, "mine").expect("a file");
    let before = tree(&scene.path("out"));
    scene
        .read(&["restore", "prod", "--to", "out", "--yes"])
        .failed(17, &["in the way", "hint:"]);
    assert_same(&tree(&scene.path("out")), &before, "the target");

    // A folder where a file must go, and a file where a folder must go.
    fs::remove_file(&token).expect("a file");
    fs::create_dir(&token).expect("a folder");
    fs::write(token.join("below"), "mine").expect("a file");
    let before = tree(&scene.path("out"));
    scene
        .read(&["restore", "prod", "--to", "out", "--yes"])
        .failed(17, &["in the way"]);
    assert_same(&tree(&scene.path("out")), &before, "the target");
    scene.write("file", "mine");
    let seen = scene.read(&["restore", "prod", "--to", "file", "--yes"]);
    assert_ne!(seen.code, 0);
    let code = seen.code;
    seen.failed(code, &["file"]);
    assert_eq!(fs::read(scene.path("file")).expect("a file"), b"mine");
}

#[test]
fn a_program_that_fails_on_the_way_back_is_said() {
    let scene = Scene::new();
    scene.configure(
        "  prod: {sources: [{command: {run: [echo, data], restore: [sh, -c, 'exit 7']}}]}\n",
    );
    scene.run(&["backup"]).done();
    let seen = scene.read(&["restore", "prod", "--yes"]);
    let code = seen.code;
    assert!([1, 3].contains(&code), "{code}");
    let said = format!("{}{}", seen.text(), seen.stderr);
    assert!(said.contains("`sh` failed with exit code 7"), "{said}");
}

#[test]
fn without_a_yes_nothing_is_written() {
    let scene = with_snapshot();
    let restore = ["restore", "prod", "--to", "out"];
    scene
        .read(&restore)
        .failed(2, &["nothing was restored", "hint: --yes"]);
    assert!(!scene.path("out").exists());
}

#[test]
fn what_was_overwritten_comes_back_from_the_undo() {
    let scene = with_snapshot();
    let first = tree(&scene.path("secrets"));
    scene.write("secrets/token", "changed since");
    scene.write("secrets/new", "not in the snapshot");
    let changed = tree(&scene.path("secrets"));
    let restore = [
        "restore",
        "prod/1",
        "--conflict",
        "overwrite",
        "--yes",
        "--json",
    ];
    let restored = scene.read(&restore).done().json();
    assert_eq!(restored["undo"], "prod.undo/1");
    let seen = tree(&scene.path("secrets"));
    for (name, node) in &first {
        assert_eq!(seen.get(name), Some(node), "{}", name.display());
    }
    let undo = ["restore", "prod.undo/1", "--conflict", "overwrite", "--yes"];
    scene.read(&undo).done();
    assert_same(&tree(&scene.path("secrets")), &changed, "the folder");
}
