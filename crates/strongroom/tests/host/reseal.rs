//! `copy --reseal`: who kept old keys, and even an old key object, reads nothing of what was stored anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::scene::Scene;

const OPENED: [&str; 2] = ["--identity", "identity.txt"];
const ELSEWHERE: [&str; 2] = ["--repo", "elsewhere"];

fn json(said: &str) -> Value {
    serde_json::from_str(said).expect("JSON")
}

/// All that is stored below a folder.
fn stored(folder: &Path) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(stored(&path));
        } else {
            all.insert(fs::read(path).expect("an object"));
        }
    }
    all
}

#[test]
fn history_is_stored_anew_under_new_keys() {
    let mut scene = Scene::new(
        "[{files: {paths: [secrets]}}, {name: dump, command: {run: [cat, secrets/a], entry: dump}}]",
    );
    scene.write("secrets/a", "one".repeat(50_000));
    scene.write("secrets/b", "the same all along".repeat(9000));
    scene.good(&["backup"]);
    scene.write("secrets/a", "two".repeat(50_000));
    scene.good(&["backup"]);
    scene.good(&["pin", "prod/1"]);
    scene.good(&["init", "--repo", "elsewhere"]);
    let recipient = scene.good(&["keygen", "--output", "new.txt"]);
    scene.seal_to(recipient.trim());
    let configured = "[{files: {paths: [secrets]}}, {name: dump, command: {run: [cat, secrets/a], entry: dump}}]";
    scene.configure(configured);

    let reseal = [&["copy", "--reseal", "--to", "elsewhere"][..], &OPENED].concat();
    let planned = scene.good(&[&reseal[..], &["--dry-run"]].concat());
    assert!(planned.contains("2 snapshots to copy"), "{planned}");
    let done = scene.good(&reseal);
    assert!(
        done.contains("2 snapshots copied, 0 there already"),
        "{done}"
    );
    let again = scene.good(&reseal);
    assert!(
        again.contains("0 snapshots copied, 2 there already"),
        "{again}"
    );

    let list = |more: &[&str]| {
        json(&scene.good(&[&["snapshots", "--json"], more].concat()))["snapshots"].clone()
    };
    let (old, new) = (list(&[]), list(&ELSEWHERE));
    for (old, new) in old
        .as_array()
        .expect("a list")
        .iter()
        .zip(new.as_array().expect("a list"))
    {
        // Numbers may differ: pins have some too.
        for said in ["finished", "entries", "bytes", "pinned"] {
            assert_eq!(old[said], new[said], "{said}");
        }
    }
    let shared: Vec<Vec<u8>> = stored(&scene.path("repository"))
        .intersection(&stored(&scene.path("elsewhere")))
        .cloned()
        .collect();
    assert!(shared.is_empty(), "{} objects are the same", shared.len());

    let new = [&ELSEWHERE[..], &["--identity", "new.txt"]].concat();
    scene.good(&[&["verify", "--level", "full"], &new[..]].concat());
    let got = scene.good(&[&["get", "prod/1", "dump:dump"], &new[..]].concat());
    assert_eq!(got, "one".repeat(50_000));
    let refused = scene.run(&[&["get", "prod/1", "dump:dump"], &ELSEWHERE[..], &OPENED].concat());
    assert_eq!(
        refused.status.code(),
        Some(12),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );

    // The old history cannot be put on top of newer snapshots.
    scene.good(&["init", "--repo", "third"]);
    scene.good(&["backup", "--repo", "third"]);
    let late = scene.run(&[&["copy", "--reseal", "--to", "third"][..], &OPENED].concat());
    assert_eq!(late.status.code(), Some(17));
    let said = String::from_utf8_lossy(&late.stderr);
    assert!(said.contains("older than prod/1"), "{said}");
}

#[test]
fn what_was_cut_short_before_its_pin_is_pinned_when_it_is_run_again() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/a", "one");
    scene.good(&["backup"]);
    scene.good(&["pin", "prod/1"]);
    scene.write("secrets/a", "two");
    scene.good(&["backup"]);
    scene.good(&["init", "--repo", "elsewhere"]);
    let to = [&["--reseal", "--to", "elsewhere"][..], &OPENED].concat();
    scene.good(&[&["copy", "prod/1"], &to[..]].concat());
    // What a run that ended between the two leaves: the snapshot, and no commit above it.
    let pin = scene.path("elsewhere/prod/log/000000000002");
    fs::remove_file(&pin).expect("the pin");

    let copy = [&["copy"], &to[..]].concat();
    let planned = scene.good(&[&copy[..], &["--dry-run"]].concat());
    assert!(planned.contains("1 snapshot to copy"), "{planned}");
    assert!(!pin.exists());
    let done = scene.good(&copy);
    let said = "1 snapshot copied, 1 there already, 1 of these pinned now";
    assert!(done.contains(said), "{done}");
    let list = [&["snapshots", "--json"], &ELSEWHERE[..]].concat();
    let pinned = || {
        let list = json(&scene.good(&list))["snapshots"].clone();
        let rows = list.as_array().expect("a list").iter();
        rows.map(|row| row["pinned"] == true).collect::<Vec<_>>()
    };
    assert_eq!(pinned(), [true, false]);

    // Lifted there, it stays lifted.
    let configured = fs::read_to_string(scene.path("strongroom.yaml")).expect("the configuration");
    scene.write(
        "strongroom.yaml",
        format!("{configured}maintainer_key: writer.key\n"),
    );
    scene.good(&[&["pin", "--remove", "prod/1"][..], &ELSEWHERE].concat());
    assert_eq!(pinned(), [false, false]);
    let again = scene.good(&copy);
    assert!(again.contains("2 there already"), "{again}");
    assert!(!again.contains("pinned now"), "{again}");
}
