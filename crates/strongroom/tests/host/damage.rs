//! A damaged repository is told from a good one, and the object is named.

use std::fs;
use std::path::PathBuf;

use crate::scene::{Scene, text};

/// All objects of the job, commits included.
fn objects(scene: &Scene) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![scene.path("repository/prod")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_object_that_is_changed_cut_or_gone_is_named() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2");
    scene.good(&["backup"]);
    let objects = objects(&scene);
    assert_eq!(objects.len(), 5, "commit, key, manifest, map, pack");
    for object in objects {
        let whole = fs::read(&object).expect("an object");
        let name = object
            .strip_prefix(scene.path("repository"))
            .expect("below it");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [Some(flipped), Some(whole[..whole.len() - 1].to_vec()), None] {
            match &damaged {
                Some(bytes) => fs::write(&object, bytes).expect("the object"),
                None => fs::remove_file(&object).expect("the object"),
            }
            let output = scene.run(&["verify"]);
            let said = text(&output.stdout);
            // A log without its only commit is the log of a job that was never backed up: that takes a copy to notice.
            if damaged.is_none() && name.starts_with("prod/log") {
                assert!(said.starts_with("prod: 0 snapshots"), "{said}");
            } else {
                assert_eq!(
                    output.status.code(),
                    Some(5),
                    "{name:?}: {said}{}",
                    text(&output.stderr)
                );
                assert!(
                    said.contains(name.to_str().expect("a plain name")),
                    "{name:?}: {said}"
                );
            }
        }
        fs::write(&object, &whole).expect("the object");
    }
    scene.good(&["verify", "--level", "full", "--identity", "identity.txt"]);
}

#[test]
fn what_is_damaged_is_not_restored() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2".repeat(1000));
    scene.good(&["backup"]);
    let pack = objects(&scene)
        .into_iter()
        .find(|path| path.ends_with("pack-000000"))
        .expect("a pack");
    let mut bytes = fs::read(&pack).expect("the pack");
    bytes[100] ^= 1;
    fs::write(&pack, bytes).expect("the pack");
    fs::remove_file(scene.path("secrets/password")).expect("the loss");
    let output = scene.run(&[
        "restore",
        "prod",
        "--identity",
        "identity.txt",
        "--yes",
        "--no-undo",
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("pack-000000"),
        "{}",
        text(&output.stderr)
    );
    assert!(!scene.path("secrets/password").exists());
    let left = fs::read_dir(scene.path("secrets"))
        .expect("the folder")
        .count();
    assert_eq!(left, 0, "nothing half-written stays");
}
