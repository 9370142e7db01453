//! What is said of the etcd databases in snapshots.

use std::process::Command;

use serde_json::Value;
use testkit::{Etcd, EtcdOptions, Release, require};

use crate::scene::{Scene, text};

const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

fn sources(etcd: &Etcd) -> String {
    format!("[{{etcd: {{endpoints: ['{}']}}}}]", etcd.endpoint())
}

fn show(scene: &Scene, more: &[&str]) -> (Option<i32>, String, String) {
    let output = scene.run(&[&["show"][..], more, &IDENTITY].concat());
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, said)
}

#[test]
fn what_a_database_holds_is_shown_and_no_value() {
    let Some(release) = require("etcd") else {
        return;
    };
    let etcd = Etcd::start(&release, EtcdOptions::default());
    for (key, value) in [
        ("a/one", "hunter2"),
        ("a/two", "hunter2"),
        ("a/one", "hunter3"),
    ] {
        etcd.ctl(&["put", key, value]);
    }
    etcd.ctl(&["del", "a/two"]);
    let scene = Scene::new(&sources(&etcd));
    scene.good(&["backup"]);
    let (code, out, said) = show(&scene, &["prod", "--database"]);
    assert_eq!(code, Some(0), "{said}");
    let first = out.lines().next().expect("a line");
    assert!(
        first.starts_with("etcd: revision 5, 1 key in 4 changes, "),
        "{out}"
    );
    assert!(out.contains("(default): http://127.0.0.1:"), "{out}");
    assert!(
        out.ends_with("         1           4        41 B  a/\n"),
        "{out}"
    );
    assert!(!out.contains("hunter"), "{out}");

    let (_, out, _) = show(&scene, &["prod", "--database", "--json"]);
    let shown: Value = serde_json::from_str(&out).expect("JSON");
    let database = &shown["databases"][0];
    assert_eq!(shown["snapshot"], "prod/1");
    assert_eq!(
        (&database["source"], &database["keys"]),
        (&"etcd".into(), &1.into())
    );
    assert_eq!(database["prefixes"][0]["changes"], 4);
    let (_, out, _) = show(&scene, &["prod", "--json"]);
    let facts: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(facts["sources"][0]["facts"]["etcd.hash"], database["hash"]);
    assert_eq!(facts["sources"][0]["facts"]["etcd.revision"], "5");
}

#[test]
fn a_snapshot_without_a_database_has_none_to_show() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/token", "1");
    scene.good(&["backup"]);
    let (code, out, said) = show(&scene, &["prod", "--database"]);
    assert_eq!((code, &out[..]), (Some(2), ""), "{said}");
    assert!(
        said.contains("prod/1 has no source of the kind etcd"),
        "{said}"
    );
}

/// A server on what was saved of another one; all of these are of one cluster, as etcdutl makes it.
fn restored(release: &Release, scene: &Scene, saved: &str) -> Etcd {
    let data_dir = scene.path(&format!("{saved}.data"));
    let restored = Command::new(release.program("etcdutl"))
        .args(["snapshot", "restore", "--data-dir"])
        .args([&data_dir, &scene.path(saved)])
        .output()
        .expect("etcdutl runs");
    assert!(restored.status.success());
    Etcd::start_on(release, &data_dir)
}

#[test]
fn a_cluster_that_went_back_is_noticed() {
    let Some(release) = require("etcd") else {
        return;
    };
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    let etcd = Etcd::start(&release, EtcdOptions::default());
    for saved in ["older", "newer"] {
        etcd.ctl(&["put", "key", saved]);
        let path = scene.path(saved);
        etcd.ctl(&["snapshot", "save", path.to_str().expect("a plain name")]);
    }
    for saved in ["newer", "older"] {
        let server = restored(&release, &scene, saved);
        scene.configure(&sources(&server));
        scene.good(&["backup"]);
    }
    let verify = ["verify", "--level", "full"];
    let printed = scene.good(&[&verify[..], &IDENTITY].concat());
    assert!(printed.contains(": whole\n"), "{printed}");
    let expected = "  prod/2: the revision of etcd is 2, older than 3 of prod/1: ";
    assert!(printed.contains(expected), "{printed}");
    let json = scene.good(&[&verify[..], &["--json"], &IDENTITY].concat());
    let verified: Value = serde_json::from_str(&json).expect("JSON");
    let back = &verified["jobs"][0]["went_back"][0];
    assert_eq!(
        (&back["revision"], &back["revision_before"]),
        (&2.into(), &3.into())
    );
}
