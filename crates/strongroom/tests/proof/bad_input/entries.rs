//! Which entries damage touches, and what comes back in spite of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::scene::{Scene, Seen};
use crate::tree::names;

/// What no compression makes shorter, and no other seed makes the same.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

/// The packs that the run of snapshot `number` brought along.
fn packs(scene: &Scene, before: &[PathBuf]) -> Vec<PathBuf> {
    let repository = scene.path("repository");
    let all = names(&repository).into_iter();
    let packs = all.filter(|name| name.to_string_lossy().contains("/pack-"));
    let packs = packs.map(|name| repository.join(name));
    packs.filter(|pack| !before.contains(pack)).collect()
}

fn flip(pack: &Path, at: usize) {
    let mut bytes = fs::read(pack).expect("a pack");
    bytes[at] ^= 1;
    fs::write(pack, bytes).expect("a pack");
}

fn touched(scene: &Scene, level: &str) -> Vec<Value> {
    let verified = scene.read(&["verify", "--level", level, "--json"]).ended(5);
    let touched = &verified.json()["jobs"][0]["touched"];
    touched.as_array().cloned().unwrap_or_default()
}

/// The row of a snapshot.
fn row<'r>(rows: &'r [Value], snapshot: &str) -> &'r Value {
    let of = |row: &&Value| {
        let names = row["snapshots"].as_array().expect("a list");
        names.iter().any(|name| name == snapshot)
    };
    rows.iter()
        .find(of)
        .unwrap_or_else(|| panic!("{snapshot}: {rows:?}"))
}

/// What the report tells people to type, done.
fn paste(scene: &Scene, report: &str, more: &str) -> Seen {
    let line = report.lines().find_map(|line| line.split_once("by: "));
    let (_, command) = line.unwrap_or_else(|| panic!("no command: {report}"));
    let script = format!("strongroom() {{ \"$0\" \"$@\"; }}; {command} {more}");
    let program = env!("CARGO_BIN_EXE_strongroom");
    Seen::of(&mut scene.command(Path::new("/bin/sh"), &["-c", &script, program]))
}

const ODD: &str = "a\u{1b}[1m";

/// Files that lie in the second pack.
fn cases() -> [(&'static str, Vec<u8>); 2] {
    [("b", noise(3 << 20, 2)), ("c", noise(3 << 20, 3))]
}

/// Three snapshots, of which the last is the second once more, and two packs: the one with the oldest file is damaged.
fn two_packs() -> Scene {
    let scene = Scene::new();
    scene.write(&format!("secrets/{ODD}"), noise(3 << 20, 1));
    scene.run(&["backup"]).done();
    let first = packs(&scene, &[]);
    for (name, contents) in cases() {
        scene.write(&format!("secrets/{name}"), contents);
    }
    scene.run(&["backup"]).done();
    scene.run(&["backup"]).done();
    flip(&first[0], 1 << 20);
    scene
}

/// The names of the lost entries in a row.
fn lost(row: &Value) -> Vec<&str> {
    let lost = row["lost"].as_array().expect("a list").iter();
    lost.map(|lost| lost["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn entries_of_a_damaged_pack_are_named() {
    let scene = two_packs();
    let data = scene.run(&["verify"]).ended(5).text();
    assert!(
        data.contains("strongroom verify prod --level full"),
        "{data}"
    );
    assert_eq!(touched(&scene, "data"), Vec::<Value>::new());

    let report = scene.read(&["verify", "--level", "full"]).ended(5).text();
    let rows = touched(&scene, "full");
    assert_eq!(rows.len(), 2, "{rows:?}");
    let second = row(&rows, "prod/2");
    assert_eq!(second["snapshots"], serde_json::json!(["prod/2", "prod/3"]));
    assert_eq!(second["entries"], 4);
    let lost = lost(second);
    // The end of the one shares a group with the beginning of the next, if that lies in the damaged part.
    assert!(lost[0].ends_with(r"/a\x1b[1m"), "{lost:?}");
    assert_eq!(second["restorable"], 4 - lost.len(), "{second}");
    let counted = format!("{} of 4 entries can be restored", 4 - lost.len());
    assert!(report.contains(&counted), "{report}");
    let named = format!("lost: files:{}\n", lost[0]);
    assert!(report.contains(&named), "{report}");
    assert!(!report.contains('\u{1b}'), "{report}");
}

#[test]
fn what_lies_in_a_whole_pack_comes_back() {
    let scene = two_packs();
    let rows = touched(&scene, "full");
    let lost = lost(row(&rows, "prod/2"));
    // One by one, and several at once.
    let mut whole = Vec::new();
    for (name, contents) in cases() {
        let said = scene.path("secrets").join(name).display().to_string();
        let taken = lost.iter().any(|lost| said.ends_with(*lost));
        let to = format!("out-{name}");
        let restored = scene.read(&["restore", "prod/2", "--only", &said, "--to", &to, "--yes"]);
        let there = scene.restored(&to, &format!("secrets/{name}"));
        if taken {
            restored.failed(5, &["--despite-damage"]);
            assert!(!there.exists());
            continue;
        }
        restored.done();
        assert!(fs::read(there).expect("restored") == contents, "{name}");
        whole.push((name, said, contents));
    }
    assert!(whole.iter().any(|(name, ..)| *name == "c"), "{lost:?}");
    let mut several = vec!["restore", "prod/3", "--to", "several", "--yes"];
    for (_, said, _) in &whole {
        several.extend(["--only", said]);
    }
    scene.read(&several).done();

    let report = scene.read(&["verify", "--level", "full"]).ended(5).text();
    let report = report.split("prod/2, prod/3: ").nth(1).expect("its row");
    let pasted = paste(&scene, report, "--to pasted --yes").ended(3);
    let left_out = pasted.text();
    assert!(
        left_out.contains("  x ") && left_out.contains(r"a\x1b[1m"),
        "{left_out}"
    );
    for to in ["several", "pasted"] {
        for (name, _, contents) in &whole {
            let there = scene.restored(to, &format!("secrets/{name}"));
            assert!(fs::read(there).expect("restored") == *contents, "{to}");
        }
        let there = scene.restored(to, &format!("secrets/{ODD}"));
        assert!(!there.exists(), "{to}");
    }
}

#[test]
fn a_restore_of_what_is_damaged_says_so() {
    let scene = two_packs();
    let rows = touched(&scene, "full");
    let lost = lost(row(&rows, "prod/3"));
    // All of it ends where bytes are lacking, and says what to do.
    let words = [
        "cannot be restored whole",
        "pack-000000",
        "--despite-damage",
    ];
    scene
        .read(&["restore", "prod/3", "--to", "all", "--yes"])
        .failed(5, &words);
    let despite = |arguments: &[&str]| {
        let restore = ["restore", "prod/3", "--yes", "--despite-damage"];
        scene.read(&[&restore, arguments].concat())
    };
    let json = despite(&["--to", "json", "--json"]).ended(3).json();
    assert_eq!(json["damaged"][0]["entries"], serde_json::json!(lost));
    // Nothing is left of what was chosen.
    let path = scene.path("secrets/a*").display().to_string();
    despite(&["--to", "none", "--only", &path])
        .refused(5, &["all that was chosen of prod/3 is damaged", "hint: "]);
    assert!(!scene.path("none").exists());
    // What is whole was chosen: nothing is left out.
    let path = scene.path("secrets/c").display().to_string();
    despite(&["--to", "one", "--only", &path]).done();
}

/// Thousands in one pack: some are named, all are counted, and none is read twice.
#[test]
fn of_many_lost_entries_some_are_named() {
    let scene = Scene::new();
    for number in 0..2000 {
        scene.write(&format!("secrets/{number:04}"), noise(2048, number + 1));
    }
    scene.run(&["backup"]).done();
    flip(&packs(&scene, &[])[0], 1 << 20);
    let rows = touched(&scene, "full");
    let row = row(&rows, "prod/1");
    let (entries, restorable) = (2001, row["restorable"].as_u64().expect("a number"));
    assert_eq!(row["entries"], entries);
    // A group of about 1 MiB, or two; the damaged part may touch both.
    assert!((700..1900).contains(&restorable), "{restorable}");
    assert_eq!(row["lost"].as_array().map(Vec::len), Some(20));
    let report = scene.read(&["verify", "--level", "full"]).ended(5).text();
    let more = format!("lost: and {} more\n", entries - restorable - 20);
    assert!(report.contains(&more), "{more}: {report}");
    assert!(
        report.contains(&format!("{restorable} entries read: DAMAGED")),
        "{report}"
    );

    let pasted = paste(&scene, &report, "--to out --yes --quiet").ended(3);
    let folder = scene.restored("out", "secrets");
    let back = names(&folder);
    assert_eq!(back.len() as u64, restorable - 1, "{}", pasted.text());
    for name in back {
        let there = fs::read(folder.join(&name)).expect("a file");
        let here = fs::read(scene.path("secrets").join(&name)).expect("a file");
        assert!(there == here, "{}", name.display());
    }
}

/// Where the catalog is gone nothing can be told; what another source has comes back.
#[test]
fn without_a_catalog_no_entry_can_be_told() {
    let scene = Scene::new();
    let jobs = |more: &str| {
        let sources = format!("{{name: old, files: {{paths: [secrets]}}}}{more}");
        scene.configure(&format!("  prod: {{sources: [{sources}]}}\n"));
    };
    jobs("");
    scene.write("secrets/kept", "kept");
    scene.run(&["backup"]).done();
    let first = packs(&scene, &[]);
    jobs(", {name: new, files: {paths: [more]}}");
    scene.write("more/gone", "gone");
    scene.run(&["backup"]).done();
    let second = packs(&scene, &first);
    assert_eq!(second.len(), 1);
    fs::remove_file(&second[0]).expect("a pack");

    let rows = touched(&scene, "full");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["untold"][0]["source"], "new");
    assert_eq!(
        (&rows[0]["entries"], &rows[0]["restorable"]),
        (&4.into(), &2.into())
    );
    let report = scene.read(&["verify", "--level", "full"]).ended(5).text();
    assert!(
        report.contains("lost: all of new, and which they are cannot be told: "),
        "{report}"
    );
    fs::create_dir(scene.path("out")).expect("a folder");
    let pasted = paste(&scene, &report, "--to out --yes").ended(3);
    assert!(
        pasted.text().contains("left out of new: all of it"),
        "{}",
        pasted.text()
    );
    let kept = scene.restored("out/old", "secrets/kept");
    assert_eq!(fs::read(kept).expect("restored"), b"kept");
    scene
        .read(&["restore", "prod", "--source", "old", "--to", "one", "--yes"])
        .done();

    // A manifest that is gone: not even the sources are known.
    let manifest = second[0].with_file_name("manifest");
    fs::remove_file(manifest).expect("the manifest");
    let report = scene.read(&["verify", "--level", "full"]).ended(5).text();
    assert!(
        report.contains("prod/2: 0 of 4 entries can be restored"),
        "{report}"
    );
    assert!(!report.contains("--despite-damage"), "{report}");
}

/// What its source finds wrong with bytes that are whole.
#[test]
fn a_source_judges_what_is_stored() {
    let scene = Scene::new();
    let job = |more: &str| {
        let command = format!("{{command: {{run: ['true']{more}}}}}");
        scene.configure(&format!("  prod: {{sources: [{command}]}}\n"));
    };
    job(", allow_empty: true");
    scene.run(&["backup"]).done();
    scene.read(&["verify", "--level", "full"]).done();
    job("");
    scene.run(&["verify"]).done();
    let report = scene.read(&["verify", "--level", "full"]).ended(5).text();
    assert!(
        report.contains("prod/1 output: it is empty (needed by prod/1)"),
        "{report}"
    );
}

/// Objects of a Kubernetes, of which some lay in a damaged pack.
#[test]
fn whole_objects_of_kubernetes_come_out() {
    let scene = Scene::new();
    scene.configure("  prod: {sources: [{kubernetes: {kubeconfig: nowhere}}]}\n");
    let secret = |name: &str, seed: u64| {
        let value: String = noise(700_000, seed)
            .iter()
            .map(|byte| char::from(b'a' + byte % 26))
            .collect();
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\nstringData: {{key: {value}}}\n"
        );
        scene.write(&format!("{name}.yaml"), text);
        value
    };
    let mut files = Vec::new();
    let mut values = Vec::new();
    for (number, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        values.push((name, secret(name, number as u64 + 1)));
        files.push(format!("{name}.yaml"));
    }
    let mut import = vec!["import", "prod"];
    import.extend(files.iter().map(String::as_str));
    scene.run(&import).done();
    flip(&packs(&scene, &[])[0], 100_000);
    let rows = touched(&scene, "full");
    let names = lost(&rows[0]);
    assert!(
        names.contains(&"secrets/shop/a") && names.len() < 6,
        "{names:?}"
    );
    assert_eq!(rows[0]["restorable"], 6 - names.len());
    for (name, value) in &values {
        let said = format!("secrets/shop/{name}");
        let got = scene.read(&["get", "prod", &said, "key"]);
        let exported = scene.read(&["export", "prod", "--only", &said]);
        if names.contains(&said.as_str()) {
            got.refused(5, &["pack-000000"]);
            exported.ended(5);
        } else {
            assert!(got.done().text() == *value, "{said}");
            assert!(exported.done().text().contains("kind: Secret"), "{said}");
        }
    }
}
