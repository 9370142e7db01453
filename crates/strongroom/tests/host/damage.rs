//! A damaged repository is told from a good one, and the object is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::scene::{Scene, text};

/// All objects of the job, commits included.
fn objects(scene: &Scene) -> Vec<PathBuf> {
    objects_in(scene, "repository")
}

fn objects_in(scene: &Scene, repository: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![scene.path(repository).join("prod")];
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

fn pack_in(scene: &Scene, repository: &str) -> PathBuf {
    let mut objects = objects_in(scene, repository).into_iter();
    let pack = objects.find(|path| path.ends_with("pack-000000"));
    pack.expect("a pack")
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
            let log = scene.run(&["verify", "--level", "log"]).status.code();
            let output = scene.run(&["verify"]);
            let said = text(&output.stdout);
            // Without looking into objects: whether they are there with their size, and the commits.
            let (in_log, flipped) = (
                name.starts_with("prod/log"),
                damaged.as_ref().is_some_and(|it| it.len() == whole.len()),
            );
            let noticed = if in_log { damaged.is_some() } else { !flipped };
            assert_eq!(log, Some(if noticed { 5 } else { 0 }), "{name:?}");
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

#[test]
fn what_another_repository_has_is_put_back() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2".repeat(1000));
    scene.good(&["backup"]);
    scene.good(&["init", "--repo", "elsewhere"]);
    scene.good(&["copy", "--to", "elsewhere"]);
    let objects = objects(&scene);
    let whole: Vec<Vec<u8>> = objects.iter().map(|it| fs::read(it).expect("it")).collect();
    fs::write(pack_in(&scene, "repository"), b"nothing").expect("the pack");

    let code = |arguments: &[&str]| {
        let output = scene.run(arguments);
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (refused, said) = code(&["repair"]);
    assert_eq!(refused, Some(2), "{said}");
    assert!(said.contains("--from"), "{said}");
    let (found, said) = code(&["repair", "--from", "elsewhere", "--dry-run"]);
    assert_eq!(found, Some(5), "{said}");
    assert!(
        said.contains("elsewhere has it (needed by prod/1)"),
        "{said}"
    );
    let (verified, said) = code(&["verify"]);
    assert_eq!(verified, Some(5), "a dry run mends nothing: {said}");
    let said = scene.good(&["repair", "--from", "elsewhere"]);
    assert!(said.contains("1 object damaged, 1 put back"), "{said}");
    for (object, bytes) in objects.iter().zip(whole) {
        assert_eq!(fs::read(object).expect("it"), bytes);
    }
    scene.good(&["verify", "--level", "full", "--identity", "identity.txt"]);

    // And what nobody has is lost.
    for repository in ["repository", "elsewhere"] {
        let found = pack_in(&scene, repository);
        fs::remove_file(found).expect("a pack");
    }
    let (lost, said) = code(&["repair", "--from", "elsewhere"]);
    assert_eq!(lost, Some(5), "{said}");
    assert!(
        said.contains("it is missing: LOST (needed by prod/1)"),
        "{said}"
    );
}

/// Exit code, and all that it said.
fn ends(scene: &Scene, arguments: &[&str]) -> (Option<i32>, String) {
    let output = scene.run(arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.code(), said)
}

fn password(scene: &Scene, snapshot: &str) -> String {
    let path = scene.path("secrets/password");
    let path = path.to_str().expect("a plain name");
    scene.good(&["get", snapshot, path, "--identity", "identity.txt"])
}

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry").path();
        let copy = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy_folder(&entry, &copy);
        } else {
            fs::copy(&entry, &copy).expect("a copy");
        }
    }
}

#[test]
fn backups_that_went_on_after_a_loss_are_not_given_up_for_what_was_lost() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    let back_up = |passwords: &[&str]| {
        for password in passwords {
            scene.write("secrets/password", password);
            scene.good(&["backup"]);
        }
    };
    back_up(&["one", "two", "three"]);
    copy_folder(&scene.path("repository"), &scene.path("replica"));
    fs::remove_file(scene.path("repository/prod/log/000000000002")).expect("the commit");
    back_up(&["four", "five"]);

    let replica = ["repair", "--from", "replica"];
    let (code, planned) = ends(&scene, &[&replica[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(5), "{planned}");
    let (code, said) = ends(&scene, &replica);
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(said, planned.replace("0 can be put back", "0 put back"));
    let words = "it is not put back: with it in its place, these commits would no longer count: prod/4, prod/5";
    assert!(said.contains(words), "{said}");
    assert!(!said.contains("LOST"), "{said}");
    assert_eq!(password(&scene, "prod"), "five");
    assert_eq!(password(&scene, "prod/3"), "three");

    // What it says to do does it.
    scene.good(&["init", "--repo", "new"]);
    scene.good(&["copy", "prod/2", "--repo", "replica", "--to", "new"]);
    scene.good(&["copy", "--repo", "new", "--to", "repository"]);
    assert_eq!(password(&scene, "prod/6"), "two");
    assert_eq!(password(&scene, "prod"), "five");
}

#[test]
fn one_repository_that_is_away_does_not_keep_the_others_from_being_asked() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2".repeat(1000));
    scene.good(&["backup"]);
    for other in ["away", "damaged", "whole"] {
        scene.good(&["init", "--repo", other]);
        scene.good(&["copy", "--to", other]);
    }
    let configured = fs::read_to_string(scene.path("strongroom.yaml")).expect("it");
    let several = "repositories: {first: repository, away: away, damaged: damaged, whole: whole}";
    scene.write(
        "strongroom.yaml",
        configured.replace("repository: repository", several),
    );
    fs::rename(scene.path("away"), scene.path("elsewhere")).expect("it is moved");
    let pack = pack_in(&scene, "repository");
    let bytes = fs::read(&pack).expect("the pack");
    fs::write(&pack, "nothing").expect("the pack");
    let mut other = bytes.clone();
    other[40] ^= 1;
    fs::write(pack_in(&scene, "damaged"), other).expect("the pack");

    let (code, said) = ends(&scene, &["repair"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 object damaged, 1 put back"), "{said}");
    assert!(
        said.contains("/away could not be asked: there is no repository at"),
        "{said}"
    );
    assert_eq!(fs::read(&pack).expect("the pack"), bytes);
    let (code, said) = ends(&scene, &["repair", "--from", "away"]);
    assert_eq!(code, Some(10), "whoever is named is needed: {said}");

    // What is lost may be with whoever was not asked.
    for repository in ["repository", "whole"] {
        fs::remove_file(pack_in(&scene, repository)).expect("a pack");
    }
    let (code, said) = ends(&scene, &["repair"]);
    assert_eq!(code, Some(5), "{said}");
    let words = "1 object is nowhere to be had among those that were asked";
    assert!(said.contains("LOST") && said.contains(words), "{said}");
    let printed = scene.run(&["repair", "--json"]);
    let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let away = printed["not_asked"][0]["repository"].as_str();
    assert!(away.is_some_and(|it| it.ends_with("/away")), "{printed}");
    fs::rename(scene.path("elsewhere"), scene.path("away")).expect("it is back");
    scene.good(&["repair"]);
    assert_eq!(fs::read(&pack).expect("the pack"), bytes);
}

#[test]
fn what_is_named_and_cannot_be_read_is_an_error_after_the_rest_is_done() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2".repeat(1000));
    scene.good(&["backup"]);
    for other in ["broken", "whole"] {
        scene.good(&["init", "--repo", other]);
        scene.good(&["copy", "--to", other]);
    }
    // Nobody can read a link to itself, not even root.
    let unreadable = pack_in(&scene, "broken");
    fs::remove_file(&unreadable).expect("the pack");
    symlink("pack-000000", &unreadable).expect("a link");
    let pack = pack_in(&scene, "repository");
    let bytes = fs::read(&pack).expect("the pack");
    fs::remove_file(&pack).expect("the pack");
    let (code, said) = ends(&scene, &["repair", "--from", "broken", "--from", "whole"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 object damaged, 1 put back"), "{said}");
    let error = said.lines().last().expect("an error");
    assert!(
        error.starts_with("strongroom: repair prod: read "),
        "{said}"
    );
    assert!(error.contains("broken/prod/runs"), "{said}");
    assert_eq!(said.matches("broken/prod/runs").count(), 1, "{said}");
    assert_eq!(fs::read(&pack).expect("the pack"), bytes);
}

#[test]
fn a_lost_map_is_not_said_to_be_in_the_way_of_a_restore() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2");
    scene.good(&["backup"]);
    scene.good(&["init", "--repo", "elsewhere"]);
    let mut objects = objects(&scene).into_iter();
    let map = objects.find(|path| path.ends_with("map")).expect("a map");
    let whole = fs::read(&map).expect("the map");
    fs::remove_file(&map).expect("the map");
    for level in ["log", "data"] {
        let (code, said) = ends(&scene, &["verify", "--level", level]);
        assert_eq!(code, Some(5), "{said}");
        assert!(
            said.contains("/map: it is missing (no restore needs a map"),
            "{said}"
        );
        for wrong in ["needed by", "--level full"] {
            assert!(!said.contains(wrong), "{said}");
        }
    }
    let (_, said) = ends(&scene, &["verify", "--json"]);
    let json: serde_json::Value = serde_json::from_str(said.trim()).expect("JSON");
    let row = &json["jobs"][0]["damage"][0];
    assert_eq!(row["snapshots"], serde_json::json!([]), "{json}");
    let (code, said) = ends(&scene, &["repair", "--from", "elsewhere"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("it is missing: no restore needs a map"),
        "{said}"
    );
    for wrong in ["LOST", "needed by", "cannot be restored"] {
        assert!(!said.contains(wrong), "{said}");
    }
    assert_eq!(password(&scene, "prod"), "hunter2");

    // Nor where somebody has it.
    copy_folder(&scene.path("repository"), &scene.path("replica"));
    let name = map.strip_prefix(scene.path("repository")).expect("in it");
    fs::write(scene.path("replica").join(name), &whole).expect("the map");
    let (code, said) = ends(&scene, &["repair", "--from", "replica"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("put back from") && !said.contains("needed by"),
        "{said}"
    );
    assert_eq!(fs::read(&map).expect("the map"), whole);
}

#[test]
fn a_different_part_is_looked_at_each_time_and_all_of_it_in_the_end() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2".repeat(1000));
    scene.good(&["backup"]);
    let pack = pack_in(&scene, "repository");
    let bytes = fs::read(&pack).expect("the pack");
    fs::write(&pack, vec![0; bytes.len()]).expect("the pack");
    let parts = (1..=4).map(|part| format!("{part}/4"));
    let ends: Vec<_> = parts
        .map(|part| scene.run(&["verify", "--sample", &part]).status.code())
        .collect();
    assert_eq!(
        ends.iter().filter(|end| **end == Some(5)).count(),
        1,
        "{ends:?}"
    );
    assert_eq!(
        ends.iter().filter(|end| **end == Some(0)).count(),
        3,
        "{ends:?}"
    );
    for wrong in ["0%", "5/4", "0/4", "half"] {
        assert_eq!(
            scene.run(&["verify", "--sample", wrong]).status.code(),
            Some(2)
        );
    }
    let output = scene.run(&["verify", "--sample", "100%"]);
    assert_eq!(output.status.code(), Some(5));
    let full = scene.run(&["verify", "--sample", "5%", "--level", "log"]);
    assert_eq!(full.status.code(), Some(2));
}

/// The line may stand in a mail or on paper; no file is needed.
#[test]
fn a_log_that_lost_its_end_is_found_by_a_line_that_was_printed() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    for password in ["one", "two"] {
        scene.write("secrets/password", password);
        scene.good(&["backup"]);
    }
    let printed: serde_json::Value =
        serde_json::from_str(&scene.good(&["verify", "--json"])).expect("JSON");
    let line = printed["jobs"][0]["tail"].as_str().expect("a line");
    scene.good(&["verify", "--since", line]);
    fs::remove_file(scene.path("repository/prod/log/000000000002")).expect("the commit");
    scene.good(&["verify"]);
    let output = scene.run(&["verify", "--since", line]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.contains("prod/log/000000000002: it was there when it was remembered"),
        "{said}"
    );
}

/// Not a mistyped name: it is known that there was one.
#[test]
fn a_job_that_is_gone_is_found_by_whoever_remembers_it_by_name_too() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "one");
    scene.good(&["backup"]);
    let remembered = scene.path("my seen file").display().to_string();
    scene.good(&["verify", "--remember", &remembered]);
    scene.good(&["verify", "prod", "--since", &remembered]);
    fs::remove_dir_all(scene.path("repository/prod")).expect("the job");
    let before = fs::read(&remembered).expect("a file");
    for named in [&["verify"][..], &["verify", "prod"]] {
        for by in ["--since", "--remember"] {
            let output = scene.run(&[named, &[by, &remembered]].concat());
            let said = text(&output.stdout);
            assert_eq!(output.status.code(), Some(5), "{named:?} {by}: {said}");
            assert!(said.contains("there was a log when it was"), "{said}");
        }
    }
    assert_eq!(fs::read(&remembered).expect("a file"), before);
    let never = scene.run(&["verify", "prdo", "--since", &remembered]);
    assert_eq!(never.status.code(), Some(1), "nobody remembers that one");
}

/// Whenever the runs come: here a moment apart.
#[test]
fn whoever_remembers_reads_all_parts_in_as_many_runs() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", "hunter2".repeat(1000));
    scene.good(&["backup"]);
    let run = |more: &[&str]| {
        let said = scene.good(&[&["verify", "--sample", "20%", "--json"], more].concat());
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let part = said["jobs"][0]["sample"].as_str().expect("a part");
        part.to_owned()
    };
    let parts: std::collections::BTreeSet<String> =
        (0..5).map(|_| run(&["--remember", "seen"])).collect();
    let all = ["1/5", "2/5", "3/5", "4/5", "5/5"];
    assert!(parts.iter().eq(all.iter()), "{parts:?}");
    // Another part is not taken up where damage was found.
    let pack = pack_in(&scene, "repository");
    let bytes = fs::read(&pack).expect("the pack");
    fs::write(&pack, vec![0; bytes.len()]).expect("the pack");
    let sample = ["verify", "--sample", "20%", "--remember", "seen"];
    let ends: Vec<_> = (0..6).map(|_| scene.run(&sample).status.code()).collect();
    let found = ends.iter().position(|end| *end == Some(5)).expect("damage");
    assert!(found < 5, "{ends:?}");
    assert!(ends[found..].iter().all(|end| *end == Some(5)), "{ends:?}");
}

/// A prune that deleted nothing here is a link of the log; `verify` says who made it, and what to do.
#[test]
fn a_prune_by_who_is_no_trusted_maintainer_is_named() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    for password in ["one", "two", "three"] {
        scene.write("secrets/password", password);
        scene.good(&["backup"]);
    }
    // Somebody forges it in a copy, where it drops a snapshot.
    let key = ["keygen", "--writer", "--output", "forger.key", "--quiet"];
    let key = scene.good(&key).trim().to_owned();
    let settings = fs::read_to_string(scene.path("strongroom.yaml")).expect("settings");
    let settings = settings.replace("repository: repository", "repository: forged");
    let forger = "maintainer_key: forger.key\nretention: {keep_last: 9, min_age: 0s, grace: 0s}\n";
    scene.write("forger.yaml", format!("{settings}{forger}"));
    copy_folder(&scene.path("repository"), &scene.path("forged"));
    for (number, command) in [(4, &["forget", "prod/1"][..]), (5, &["prune"])] {
        scene.good(&[&["--config", "forger.yaml"], command].concat());
        let name = format!("prod/log/{number:012}");
        let forged = scene.path("forged").join(&name);
        fs::copy(forged, scene.path("repository").join(&name)).expect("the commit");
    }

    let named = format!("  prod/5: a prune by {key}, who is not a trusted maintainer: ");
    let (code, said) = ends(&scene, &["verify"]);
    assert_eq!(code, Some(13), "{said}");
    assert!(said.contains("prod: 3 snapshots"), "{said}");
    assert!(said.contains(&format!("{named}it has no effect here.")));
    assert!(
        said.contains(&format!("--trust-maintainer {key}")),
        "{said}"
    );
    assert!(said.contains("otherwise somebody who can write to the log forged it"));
    assert!(!said.contains("prod/4"), "{said}");
    // Where it is a writer's key nobody is sent to trust it.
    let (code, said) = ends(&scene, &["verify", "--trust-writer", &key]);
    assert_eq!(code, Some(13), "{said}");
    assert!(
        said.contains("It is the key of a writer of yours: "),
        "{said}"
    );
    assert!(!said.contains("--trust-maintainer"), "{said}");
    let (code, said) = ends(&scene, &["verify", "--level", "log", "--json"]);
    assert_eq!(code, Some(13), "{said}");
    let json: serde_json::Value = serde_json::from_str(said.trim()).expect("JSON");
    let row = serde_json::json!([{"commit": "prod/5", "maintainer": key}]);
    assert_eq!(json["jobs"][0]["foreign_prunes"], row);
    assert_eq!(json["jobs"][0]["damage"], serde_json::json!([]));
    let trusting = ["verify", "--json", "--trust-maintainer", &key];
    assert!(!scene.good(&trusting).contains("foreign_prunes"));
    assert_eq!(password(&scene, "prod/1"), "one");

    // Where it dropped something, that is damage to whoever does not trust the key.
    let (code, said) = ends(&scene, &["verify", "--repo", "forged"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("prod/log/000000000002: "), "{said}");
    assert!(said.contains(&format!("{named}which of the commits count")));
    both_prunes_may_explain_it(&scene, &settings, &key);
    // It is repaired, for it may be forged, and said.
    let repair = ["repair", "--repo", "forged", "--from", "repository"];
    let (_, said) = ends(&scene, &repair);
    assert!(said.contains(&format!("was pruned (commit prod/5) by {key}")));
    scene.good(&[
        "restore",
        "prod/1",
        "--repo",
        "forged",
        "--identity",
        "identity.txt",
        "--to",
        "back",
        "--yes",
    ]);
    let (code, said) = ends(&scene, &["verify", "--repo", "forged"]);
    assert_eq!(code, Some(13), "{said}");
    assert!(said.contains(&format!("{named}it has no effect here.")));
}

/// Of two prunes the last may have been forged to hide who made the first.
fn both_prunes_may_explain_it(scene: &Scene, settings: &str, first: &str) {
    let key = ["keygen", "--writer", "--output", "second.key", "--quiet"];
    let second = scene.good(&key).trim().to_owned();
    let forger = format!(
        "maintainer_key: second.key\ntrusted_maintainers: ['{first}']\nretention: {{keep_last: 9, min_age: 0s, grace: 0s}}\n"
    );
    scene.write("second.yaml", format!("{settings}{forger}"));
    copy_folder(&scene.path("forged"), &scene.path("twice"));
    for command in [&["forget", "prod/2"][..], &["prune"]] {
        scene.good(&[&["--config", "second.yaml", "--repo", "twice"], command].concat());
    }
    // A forger's need not delete the other, as an honest one does.
    let name = "prod/log/000000000005";
    let kept = scene.path("forged").join(name);
    fs::copy(kept, scene.path("twice").join(name)).expect("the commit");
    let (code, said) = ends(scene, &["verify", "--repo", "twice"]);
    assert_eq!(code, Some(5), "{said}");
    for (commit, key) in [(5, first), (7, &second)] {
        let named = format!(
            "  prod/{commit}: a prune by {key}, who is not a trusted maintainer: which of the commits count"
        );
        assert!(said.contains(&named), "{said}");
    }
}
