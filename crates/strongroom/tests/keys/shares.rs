//! An identity in shares: split, brought back, and used; and everything that people do wrong with paper.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::scene::{Scene, Seen};

/// An identity in five shares, of which three are needed, to which a snapshot is sealed.
fn split() -> Scene {
    let mut scene = Scene::bare();
    scene.writer = scene.key(&["keygen", "--writer", "--output", "writer.key"]);
    scene.recipient = scene.key(&["keygen", "--split", "3/5", "--output", "paper"]);
    scene.write("secrets/token", "the secret");
    scene.configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");
    scene.run(&["init"]).done();
    scene.run(&["backup"]).done();
    scene
}

fn share(number: u8) -> String {
    format!("paper.share-{number}")
}

fn combine(scene: &Scene, shares: &[&str]) -> Seen {
    scene.run(&[&["combine", "--output", "identity.txt"], shares].concat())
}

/// A refusal leaves no identity, and repeats nothing that stands on a share.
fn refused(scene: &Scene, shares: &[&str], code: i32, words: &[&str]) {
    let seen = combine(scene, shares).refused(code, words);
    assert!(!scene.path("identity.txt").exists());
    for number in 1..=5 {
        let page = fs::read_to_string(scene.path(&share(number))).expect("a share");
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let signs = line.split_once(": ").map_or("", |(_, signs)| signs);
            let mut groups = signs.split('-').filter(|group| group.len() == 4);
            assert!(
                !groups.any(|group| seen.stderr.contains(group)),
                "{}",
                seen.stderr
            );
        }
    }
}

/// Another share in the place of one of its lines.
fn change(scene: &Scene, number: u8, line: &str, change: impl Fn(&str) -> String) -> String {
    let page = fs::read_to_string(scene.path(&share(number))).expect("a share");
    let changed = page.lines().map(|old| {
        if old.starts_with(line) {
            change(old)
        } else {
            old.to_owned()
        }
    });
    let changed: Vec<String> = changed.collect();
    scene.write("changed", changed.join("\n"));
    "changed".to_owned()
}

fn other_sign(line: &str) -> String {
    let (head, last) = line.split_at(line.len() - 1);
    format!("{head}{}", if last == "7" { '8' } else { '7' })
}

#[test]
fn any_three_of_five_shares_open_a_snapshot() {
    let scene = split();
    assert!(
        !scene.path("paper").exists(),
        "the identity itself is nowhere"
    );
    for number in 1..=5 {
        let path = scene.path(&share(number));
        let mode = fs::metadata(&path).expect("a share").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let page = fs::read_to_string(path).expect("a share");
        assert!(
            page.contains(&format!("# strongroom share {number} of 5\n")),
            "{page}"
        );
        assert!(
            page.contains(&format!("# recipient: {}\n", scene.recipient)),
            "{page}"
        );
        assert!(!page.contains("AGE-SECRET-KEY-1"));
    }
    for (at, chosen) in [[1, 2, 3], [5, 3, 1], [4, 2, 5]].into_iter().enumerate() {
        let file = format!("identity-{at}.txt");
        let shares = chosen.map(share);
        let shares = shares.each_ref().map(String::as_str);
        let combine = [&["combine", "--output", file.as_str()], &shares[..]].concat();
        let combined = scene.run(&combine).done();
        assert_eq!(combined.text().trim(), scene.recipient);
        let mode = fs::metadata(scene.path(&file))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let out = format!("out-{at}");
        let restore = [
            "restore",
            "prod",
            "--yes",
            "--to",
            &out,
            "--identity",
            &file,
        ];
        scene.run(&restore).done();
        let token = fs::read(scene.restored(&out, "secrets/token"));
        assert_eq!(token.expect("a file"), b"the secret");
        // Never overwritten.
        scene.run(&combine).refused(17, &[&file]);
    }
    let shares = [1, 2, 4].map(share);
    let [a, b, c] = shares.each_ref().map(String::as_str);
    let json = scene
        .run(&["combine", "--json", "-o", "json.txt", a, b, c])
        .done()
        .json();
    assert_eq!(json["kind"], "identity");
    assert_eq!(
        (json["public"].as_str(), &json["file"]),
        (Some(&*scene.recipient), &"json.txt".into())
    );
}

#[test]
fn an_identity_that_is_there_is_split_too() {
    let scene = Scene::new();
    let split = ["keygen", "--split", "2/2", "--output", "old"];
    let made = scene
        .read(&[&split[..], &["--json"]].concat())
        .done()
        .json();
    assert_eq!(made["public"].as_str(), Some(&*scene.recipient));
    assert_eq!(made["needed"], 2);
    assert_eq!(
        made["files"],
        serde_json::json!(["old.share-1", "old.share-2"])
    );
    let combined = scene
        .run(&["combine", "-o", "again.txt", "old.share-1", "old.share-2"])
        .done();
    assert_eq!(combined.text().trim(), scene.recipient);
    let secret = |name: &str| {
        let text = fs::read_to_string(scene.path(name)).expect("an identity");
        text.lines()
            .find(|line| line.starts_with("AGE-"))
            .map(str::to_owned)
    };
    assert!(secret("again.txt").is_some() && secret("again.txt") == secret("identity.txt"));
    // A part of a set would be taken for all of it.
    fs::remove_file(scene.path("old.share-1")).expect("a share");
    scene.read(&split).refused(17, &["old.share-2"]);
    assert!(!scene.path("old.share-1").exists());
}

#[test]
fn what_people_do_wrong_is_said() {
    let scene = split();
    let shares = [1, 2].map(share);
    let [one, two] = shares.each_ref().map(String::as_str);
    refused(
        &scene,
        &[one, two],
        2,
        &["2 of the 3 shares that are needed"],
    );
    refused(
        &scene,
        &[one, two, two],
        2,
        &["2 of the 3 shares that are needed"],
    );
    refused(
        &scene,
        &[one, "strongroom.yaml"],
        5,
        &["line 1 is no line of a share"],
    );
    scene.write("nothing", "# only a comment\n");
    refused(&scene, &[one, "nothing"], 2, &["nothing holds no share"]);
    scene.write("binary", [0xff; 9]);
    refused(&scene, &[one, "binary"], 1, &["it is not text"]);

    scene
        .run(&["keygen", "--split", "3/5", "--output", "other"])
        .done();
    refused(
        &scene,
        &[one, two, "other.share-3"],
        2,
        &["do not belong together"],
    );

    let mistyped = change(&scene, 3, "1: ", other_sign);
    refused(
        &scene,
        &[one, two, &mistyped],
        5,
        &["changed", "`1:` of share 3 is mistyped"],
    );
    let missing = change(&scene, 3, "2: ", |_| String::new());
    refused(
        &scene,
        &[one, two, &missing],
        5,
        &["`2:` of share 3 is missing"],
    );

    for wrong in ["1/5", "3/2", "2/17", "3", "x/y"] {
        let seen = scene.run(&["keygen", "--split", wrong, "--output", "no"]);
        seen.refused(2, &[]);
        assert!(!scene.path("no.share-1").exists());
    }
    scene
        .run(&["keygen", "--split", "2/3", "--writer", "--output", "no"])
        .ended(2);
    scene
        .run(&["keygen", "--split", "2/3", "--passphrase", "--output", "no"])
        .ended(2);
}
