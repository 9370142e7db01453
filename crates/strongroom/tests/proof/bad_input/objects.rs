use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::{Scene, Seen};
use crate::tree::{assert_same, names, tree};

/// One way to damage an object.
type Harm = fn(&Path);

const HARMS: [(&str, Harm); 3] = [
    ("flipped", |path| {
        let mut bytes = fs::read(path).expect("an object");
        // Near the front: the end of a pack may be padding, which no restore looks at.
        bytes[50] ^= 1;
        fs::write(path, bytes).expect("an object");
    }),
    ("cut", |path| {
        let bytes = fs::read(path).expect("an object");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("an object");
    }),
    ("gone", |path| fs::remove_file(path).expect("an object")),
];

/// Two snapshots of which the second reuses the first.
fn two_snapshots() -> Scene {
    let scene = Scene::new();
    scene.write("secrets/stays", "a".repeat(300_000));
    scene.write("secrets/token", "one");
    scene.run(&["backup"]).done();
    scene.write("secrets/token", "two");
    scene.run(&["backup"]).done();
    scene
}

/// The objects of the first run, by their names in the repository.
fn objects(scene: &Scene) -> Vec<PathBuf> {
    let repository = scene.path("repository");
    let files = names(&repository)
        .into_iter()
        .filter(|name| repository.join(name).is_file());
    files.filter(|name| name.starts_with("prod")).collect()
}

#[test]
fn damaged_objects_are_named_by_verify_and_by_restore() {
    let scene = two_snapshots();
    let repository = scene.path("repository");
    let all = objects(&scene);
    for kind in [
        "key",
        "manifest",
        "map",
        "pack-000000",
        "000000000001",
        "000000000002",
    ] {
        assert!(
            all.iter().any(|object| object.ends_with(kind)),
            "{kind}: {all:?}"
        );
    }
    for object in &all {
        let whole = fs::read(repository.join(object)).expect("an object");
        for (how, harm) in HARMS {
            harm(&repository.join(object));
            damaged(&scene, object, how);
            fs::write(repository.join(object), &whole).expect("an object");
        }
    }
    scene.read(&["verify", "--level", "full"]).done();
}

fn damaged(scene: &Scene, object: &Path, how: &str) {
    let name = object.to_str().expect("a plain name");
    let what = format!("{name} {how}");
    let in_log = name.contains("/log/");
    let last = name.ends_with("/000000000002");
    let verified = scene.run(&["verify", "--level", "data"]);
    if in_log && last && how == "gone" {
        // Nothing follows it: nothing here can know that there was one.
        assert_eq!(verified.code, 0, "{what}");
        return;
    }
    assert_eq!(
        verified.code,
        5,
        "{what}: {}{}",
        verified.text(),
        verified.stderr
    );
    // A commit that is gone is missed by the one that follows it.
    let gone = in_log && how == "gone";
    let name = if gone { "prod/log/000000000002" } else { name };
    let said = format!("{}{}", verified.text(), verified.stderr);
    assert!(said.contains(name), "{what}: {said}");
    let counted = scene.run(&["verify", "--json"]);
    let damage = &counted.json()["jobs"][0]["damage"];
    assert!(damage.to_string().contains(name), "{what}: {damage}");

    // A restore of what needs it is refused, and writes no wrong byte; what does not need it is restored.
    let mut refused = 0;
    for number in ["prod/1", "prod/2"] {
        let _ = fs::remove_dir_all(scene.path("out"));
        let restored = scene.read(&["restore", number, "--to", "out", "--yes"]);
        let seen = tree(&scene.restored("out", "secrets"));
        let token: &[u8] = if number == "prod/1" { b"one" } else { b"two" };
        let right = |name: &str, contents: &[u8]| {
            seen.get(Path::new(name))
                .is_none_or(|node| node.contents == contents)
        };
        assert!(
            right("token", token) && right("stays", &b"a".repeat(300_000)),
            "{what}"
        );
        assert!(
            seen.keys()
                .all(|name| !name.to_string_lossy().contains("strongroom")),
            "{what}: {seen:?}"
        );
        if restored.code == 0 {
            assert_eq!(seen.len(), 2, "{what}");
            let behind = in_log && !last && number == "prod/2";
            assert_eq!(
                restored.stderr.contains("broken before prod/2"),
                behind,
                "{what}"
            );
            let lost = in_log && last && number == "prod/1";
            assert_eq!(
                restored.stderr.contains("commit prod/2 is damaged"),
                lost,
                "{what}"
            );
            continue;
        }
        refused += 1;
        if in_log {
            let code = if how == "gone" { 1 } else { 5 };
            restored.failed(code, &["there is no snapshot", number, "hint:"]);
        } else {
            restored.failed(5, &[name]);
        }
    }
    // The map is the writer's, and the last snapshot's needs no other.
    let spared = name.ends_with("/map");
    assert!(
        spared == (refused == 0),
        "{what}: {refused} restores were refused"
    );
    let before = scene.snapshots().len();
    if spared {
        scene.run(&["backup"]).done();
        assert_eq!(scene.snapshots().len(), before + 1, "{what}");
        let commit = scene.path(&format!("repository/prod/log/{:012}", before + 1));
        fs::remove_file(commit).expect("the commit");
    }
}

#[test]
fn a_damaged_repository_is_left_as_it_is() {
    let scene = two_snapshots();
    let commit =
        fs::read_to_string(scene.path("repository/prod/log/000000000001")).expect("a commit");
    let needed = |name: &PathBuf| {
        let run = name
            .parent()
            .and_then(Path::file_name)
            .expect("a run")
            .to_str()
            .expect("hex");
        name.ends_with("pack-000000") && commit.contains(run)
    };
    let pack = objects(&scene).into_iter().find(needed).expect("a pack");
    let pack = scene.path("repository").join(pack);
    HARMS[1].1(&pack);
    let before = tree(&scene.path("repository"));
    scene.run(&["verify"]).ended(5);
    scene.read(&["verify", "--level", "full"]).ended(5);
    scene
        .read(&["restore", "prod/1", "--to", "out", "--yes"])
        .ended(5);
    assert_same(&tree(&scene.path("repository")), &before, "the repository");
}

/// Or a newer version, if the flip makes it one: never a repository that is not there.
#[test]
fn a_damaged_description_is_damage() {
    let scene = two_snapshots();
    let path = scene.path("repository/strongroom.json");
    let whole = fs::read(&path).expect("an object");
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 7);
        fs::write(&path, &bytes).expect("an object");
        let seen = scene.run(&["snapshots"]);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        // The time at which it was made is for people, and after another id nothing in it is believed.
        assert!([0, 5, 14].contains(&seen.code), "{shown}: {}", seen.stderr);
    }
    for bytes in [&b""[..], b"\0\0\0\0", &whole[..whole.len() / 2]] {
        fs::write(&path, bytes).expect("an object");
        scene.run(&["snapshots"]).refused(
            5,
            &[
                "its strongroom.json is damaged, or another program's",
                "hint: ",
            ],
        );
    }
    fs::write(&path, &whole).expect("an object");
    scene.read(&["verify", "--level", "full"]).done();
}

#[test]
fn an_older_snapshot_is_not_taken_for_the_newest_in_silence() {
    let scene = two_snapshots();
    let second = scene.path("repository/prod/log/000000000002");
    let whole = fs::read(&second).expect("a commit");
    HARMS[1].1(&second);
    for to in ["prod", "prod@2999-01-01T00:00Z"] {
        scene
            .read(&["restore", to, "--to", "out", "--yes", "--quiet"])
            .failed(5, &["commit prod/2 is damaged", "prod/1", "hint:"]);
        assert!(!scene.path("out").exists(), "{to}");
    }
    scene
        .read(&["restore", "prod/1", "--to", "out", "--yes"])
        .done();

    // The log goes on without it, which is said, and then it is brought back: the fork is seen, and what is off the chain can be read.
    let backup = scene.run(&["backup"]).done();
    let warned = "the log is damaged, and the snapshot follows what is left: commit prod/2: ";
    assert!(backup.text().contains(warned), "{}", backup.text());
    fs::write(&second, whole).expect("a commit");
    scene.run(&["verify"]).ended(5);
    let _ = fs::remove_dir_all(scene.path("out"));
    scene
        .read(&["restore", "prod/3", "--to", "out", "--yes"])
        .done();
}

#[test]
fn a_commit_of_an_absurd_number_is_nobodys() {
    let scene = two_snapshots();
    let log = scene.path("repository/prod/log");
    for name in ["18446744073709551615", "1000000000000", "0", "00000000000x"] {
        fs::copy(log.join("000000000001"), log.join(name)).expect("a copy");
    }
    scene.run(&["backup"]).done();
    assert_eq!(scene.snapshots().len(), 3);
}

#[test]
fn a_careless_umask_opens_nothing() {
    use std::os::unix::fs::PermissionsExt as _;

    let scene = Scene::new();
    scene.write("secrets/token", "one");
    fs::remove_dir_all(scene.path("repository")).expect("the repository");
    let shell = "umask 000; mkdir -m 755 repository; \"$0\" init && \"$0\" backup";
    let program = env!("CARGO_BIN_EXE_strongroom");
    Seen::of(&mut scene.command(Path::new("/bin/sh"), &["-c", shell, program])).done();
    for object in objects(&scene) {
        let path = scene.path("repository").join(object);
        for path in [path.as_path(), path.parent().expect("a folder")] {
            let mode = fs::metadata(path)
                .expect("it is there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }
}
