//! Passphrases, and what is said to plugins.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use super::{Search, Watch, key};
use crate::scene::{Scene, Seen};

const PASSPHRASE: &str = "canary~passphrase?6d1f>>b8~of-an-identity";

#[test]
fn a_passphrase_is_found_nowhere() {
    let mut scene = Scene::new();
    scene.write("secrets/token", "t");
    scene.write("passphrase", PASSPHRASE);
    let file = ["--identity-passphrase", "file:passphrase"];
    let keygen = ["keygen", "--passphrase", "--output", "protected.age"];
    let search = || Search::new([("passphrase", PASSPHRASE.as_bytes())]);
    let arguments = [&keygen[..], &file].concat();
    let watch = Watch::for_secrets(&scene, search());
    let made = watch.watched(scene.strongroom(&arguments).arg("-vvv"), 0);
    let recipient = made.text().trim().to_owned();
    watch.nothing_visible(made, 0);
    watch.quiet(&arguments, 17);

    scene.recipient = recipient;
    scene.configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");
    let watch = Watch::for_secrets(&scene, search());
    watch.quiet(&["backup"], 0);
    let read = |more: &[&str], code| {
        let show = ["show", "prod", "-vvv", "--identity", "protected.age"];
        let mut command = scene.strongroom(&[&show[..], more].concat());
        watch.nothing_visible(watch.watched(&mut command, code), code);
    };
    read(&file, 0);
    read(&["--identity-passphrase", "command:cat passphrase"], 0);
    read(&["--identity-passphrase", "file:missing"], 1);
    scene.write("wrong", format!("{PASSPHRASE}x"));
    read(&["--identity-passphrase", "file:wrong"], 12);
    // Written where its reference belongs, it is on the command line because the user put it there, and nowhere else.
    let show = [
        "show",
        "prod",
        "--identity",
        "protected.age",
        "--identity-passphrase",
    ];
    let misplaced = scene.run(&[&show[..], &[PASSPHRASE]].concat());
    watch.nothing_visible(misplaced, 2);
    assert!(watch.nothing_in(&scene.path("repository")) >= 5);
    assert_eq!(watch.nothing_in(&scene.path("tmp")), 0);
    let planted = fs::read(scene.path("passphrase")).expect("a file");
    assert_eq!(
        watch.search.finds(&planted),
        Some("passphrase"),
        "the search bites"
    );
}

/// The real plugin behind a script that writes all that is said to standard error too, as a plugin's own debugging would.
#[test]
fn what_is_said_to_a_plugin_is_found_nowhere() {
    let Some(age) = testkit::require("age-go") else {
        return;
    };
    let mut scene = Scene::new();
    scene.write("secrets/token", "t");
    let plugin = age.program("age-plugin-pq");
    // A file for each direction: neither is written to in whole lines.
    let [said, answered] = ["said", "answered"].map(|name| scene.path(name));
    let script = format!(
        "tee -a {} /dev/stderr | {} \"$@\" | tee -a {} /dev/stderr",
        said.display(),
        plugin.display(),
        answered.display(),
    );
    fs::create_dir(scene.path("bin")).expect("a folder");
    testkit::make_script(&scene.path("bin/age-plugin-pq"), &script);
    let keygen = age.program("age-keygen");
    let made = Seen::of(&mut scene.command(&keygen, &["-pq", "-o", "pq.txt"])).done();
    made.stderr["Public key: ".len()..]
        .trim()
        .clone_into(&mut scene.recipient);
    scene.configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");

    let run = |arguments: &[&str]| {
        let mut path = scene.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = scene.strongroom(arguments);
        Seen::of(
            command
                .arg("-vvv")
                .env("PATH", path)
                .env("AGEDEBUG", "plugin"),
        )
        .done()
    };
    let shown = [
        run(&["backup"]),
        run(&["show", "prod", "--identity", "pq.txt"]),
    ];
    let shown: Vec<u8> = shown
        .iter()
        .flat_map(|seen| [&seen.stdout[..], seen.stderr.as_bytes()].concat())
        .collect();
    // `tee` may write its file after the program has heard all.
    let whole = |traffic: &String| {
        ["-> wrap-file-key", "-> file-key 0"]
            .iter()
            .all(|it| traffic.contains(&format!("{it}\n")))
    };
    let traffic = (0..10_000).map(|_| {
        sleep(Duration::from_millis(10));
        let read = |path| fs::read_to_string(path).expect("it was said");
        read(&said) + &read(&answered)
    });
    let mut traffic = traffic;
    let traffic = traffic.find(whole).expect("all of it was said");
    let after = |words: &str| {
        let at = traffic.find(words).expect("it was said") + words.len();
        traffic[at..].lines().next().expect("a line").as_bytes()
    };
    let identity = key(&scene, "pq.txt", "AGE-SECRET-KEY-PQ-1");
    let seed = &identity[..identity.len() - 6];
    let search = Search::new([
        ("the file key that is wrapped", after("-> wrap-file-key\n")),
        ("the file key that was unwrapped", after("-> file-key 0\n")),
        ("the identity", seed),
    ]);
    assert_eq!(
        search.finds(&shown),
        None,
        "{}",
        String::from_utf8_lossy(&shown)
    );
    assert!(
        search.finds(traffic.as_bytes()).is_some(),
        "the search bites"
    );
}
