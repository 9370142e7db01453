//! The whole drill on a real etcd: keys and files, two backups, a loss, everything back; and what a restore overwrote, back again.

use std::fs;

use testkit::{Etcd, EtcdOptions, Release, require};

use crate::scene::Scene;
use crate::tree::{assert_same, tree};

const KEYS: usize = 500;

#[test]
fn etcd_and_a_folder_come_back_after_a_loss() {
    if let Some(release) = require("etcd") {
        drill(&release, "etcdutl");
    }
}

#[test]
fn debians_etcd_and_a_folder_come_back_after_a_loss() {
    if let Some(release) = require("etcd-debian") {
        drill(&release, "etcdctl");
    }
}

fn drill(release: &Release, tool: &str) {
    let scene = Scene::new();
    let server = Etcd::start(release, EtcdOptions::default());
    for number in (0..KEYS).step_by(100) {
        put_hundred(&server, number, "first");
    }
    for name in ["tls/app.key", "tls/app.pem", "token", "odd name\n"] {
        scene.write(&format!("secrets/{name}"), format!("first {name}"));
    }
    scene.configure(&format!(
        "  prod:\n    sources:\n      - files: {{paths: [secrets]}}\n      - etcd: {{endpoints: ['{}']}}\n",
        server.endpoint()
    ));
    scene.run(&["backup"]).done();
    let first = (keys(&server), tree(&scene.path("secrets")));

    put_hundred(&server, 300, "second");
    server.ctl(&["del", "key/000000"]);
    server.ctl(&["put", "key/new", "second"]);
    scene.write("secrets/token", "second");
    fs::remove_file(scene.path("secrets/tls/app.pem")).expect("a file");
    scene.run(&["backup"]).done();
    let second = (keys(&server), tree(&scene.path("secrets")));
    assert_ne!(first.0, second.0);
    assert!(first.0.len() >= KEYS * 2);
    scene.read(&["verify", "--level", "full"]).done();

    // The loss: the server's data and the folder.
    let data = server.data_dir().to_owned();
    drop(server);
    assert!(!data.exists());
    fs::remove_dir_all(scene.path("secrets")).expect("a folder");

    let tool = release.program(tool);
    let tool = tool.to_str().expect("a plain name");
    for (snapshot, (expected, folder)) in [("prod/2", &second), ("prod/1", &first)] {
        let data = scene.path(&format!("data-{}", &snapshot[5..]));
        let place = data.to_str().expect("a plain name");
        let etcd = [
            "restore",
            snapshot,
            "--source",
            "etcd",
            "--data-dir",
            place,
            "--etcdutl-path",
            tool,
            "--yes",
        ];
        scene.read(&etcd).done();
        let restored = Etcd::start_on(release, &data);
        let seen = keys(&restored);
        assert_eq!(seen.len(), expected.len());
        assert!(seen == *expected, "{snapshot}: some keys differ");
        drop(restored);
        // A data directory that is in use, or was, is never written to.
        scene.read(&etcd).failed(17, &["nothing was restored"]);

        let files = [
            "restore",
            snapshot,
            "--source",
            "files",
            "--conflict",
            "overwrite",
            "--yes",
        ];
        scene.read(&files).done();
        let mut restored = tree(&scene.path("secrets"));
        restored.retain(|name, _| folder.contains_key(name));
        assert_same(&restored, folder, snapshot);
    }
    undone(&scene, &second.1, &first.1);
    assert!(tree(&scene.path("tmp")).is_empty());
}

/// Restoring the first snapshot overwrote the second's state, which was kept.
fn undone(scene: &Scene, second: &crate::tree::Tree, first: &crate::tree::Tree) {
    assert!(scene.snapshots().contains(&"prod.undo/1".to_owned()));
    scene
        .read(&["restore", "prod.undo/1", "--conflict", "overwrite", "--yes"])
        .done();
    let mut seen = tree(&scene.path("secrets"));
    // What the first snapshot brought and the second had not is not taken away.
    seen.retain(|name, _| second.contains_key(name));
    assert_same(&seen, second, "after the undo");
    assert_ne!(first, second);
}

/// A hundred keys in one transaction.
fn put_hundred(server: &Etcd, from: usize, value: &str) {
    let put = |number| format!("put key/{number:06} {value}-{number}\n");
    let puts: String = (from..from + 100).map(put).collect();
    // No comparisons, the operations, and nothing otherwise: a blank line ends each part.
    server.ctl_with(&["txn"], format!("\n{puts}\n\n").as_bytes());
}

/// All keys and values, line by line.
fn keys(server: &Etcd) -> Vec<String> {
    server
        .ctl(&["get", "", "--prefix"])
        .lines()
        .map(str::to_owned)
        .collect()
}
