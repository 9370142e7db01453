//! A secret value that is captured, used as a password and restored is found nowhere but where it was asked for: not in what
//! is printed, not in logs at trace level, not in temporary files, not in the repository, not in the process list.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Output};

use crate::scene::{Scene, text};

const CANARY: &str = "canary-5e1f7d0c93b24a68-is-secret";

/// The canary as it may hide: raw, in hex of both cases, in base64 at each of its three positions.
fn disguises() -> Vec<Vec<u8>> {
    let hex = hex::encode(CANARY);
    let mut forms = vec![CANARY.to_owned(), hex.to_uppercase(), hex];
    for before in 0..3 {
        let padded = [&[b'x'; 3][..before], CANARY.as_bytes()].concat();
        let encoded = base64(&padded);
        // The first characters mix with what stands before, the last with what stands after.
        forms.push(encoded[2 * before..encoded.len() - 4].to_owned());
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for digit in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn assert_absent(what: &str, bytes: &[u8]) {
    for form in disguises() {
        let found = bytes.windows(form.len()).any(|window| window == form);
        assert!(!found, "the canary is in {what}, as {}", text(&form));
    }
}

fn assert_absent_below(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_absent("a name", path.as_os_str().as_encoded_bytes());
        if path.is_dir() {
            files += assert_absent_below(&path);
        } else {
            assert_absent(
                &path.display().to_string(),
                &fs::read(&path).expect("a file"),
            );
            files += 1;
        }
    }
    files
}

/// Runs a command while its entry in the process list is watched.
fn watched(mut child: Child, what: &str) -> Output {
    let process = Path::new("/proc").join(child.id().to_string());
    while child.try_wait().expect("it can be asked").is_none() {
        for file in ["cmdline", "environ", "comm"] {
            let mut bytes = Vec::new();
            if let Ok(mut file) = fs::File::open(process.join(file)) {
                // It ends while we read.
                let _ = file.read_to_end(&mut bytes);
            }
            assert_absent(&format!("{file} of {what}"), &bytes);
        }
        std::thread::yield_now();
    }
    child.wait_with_output().expect("it ended")
}

fn run(scene: &Scene, arguments: &[&str], status: i32) {
    for more in [&["-vvv"][..], &["--json"]] {
        let arguments = [arguments, more].concat();
        let what = arguments.join(" ");
        let output = watched(scene.command(&arguments).spawn().expect("it starts"), &what);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{what}: {}",
            text(&output.stderr)
        );
        assert_absent(&format!("stdout of {what}"), &output.stdout);
        assert_absent(&format!("stderr of {what}"), &output.stderr);
    }
}

#[test]
fn the_disguises_are_found() {
    for before in 0..4 {
        let padded = [&[b'y'; 4][..before], CANARY.as_bytes(), b"tail"].concat();
        let encoded = base64(&padded);
        let found = |form: &Vec<u8>| {
            encoded
                .as_bytes()
                .windows(form.len())
                .any(|window| window == form)
        };
        assert!(disguises().iter().any(found), "{encoded}");
    }
}

#[test]
fn a_canary_is_found_nowhere() {
    let sources = "[{files: {paths: [secrets]}}, {name: dump, command: {run: [sh, -c, 'echo $SECRET'], \
         restore: [sh, -c, 'cat >/dev/null; test \"$SECRET\"'], environment: {SECRET: 'file:[DIR]/secrets/password'}}}]";
    let scene = Scene::new(sources);
    scene.write("secrets/password", CANARY);
    scene.write("secrets/long", CANARY.repeat(5_000));
    let password = format!("files:{}/secrets/password", scene.root().display());

    run(&scene, &["config"], 0);
    run(&scene, &["backup"], 0);
    scene.write("secrets/password", format!("{CANARY}2"));
    run(&scene, &["backup"], 0);
    let identity = ["--identity", "identity.txt"];
    let opened = |arguments: &[&str], status| run(&scene, &[arguments, &identity].concat(), status);
    run(&scene, &["snapshots"], 0);
    opened(&["show", "prod"], 0);
    opened(&["show", "prod", "--configuration"], 0);
    opened(&["find", "password"], 0);
    opened(&["history", &password], 0);
    opened(&["diff", "prod/1", "prod"], 4);
    opened(&["diff", "prod/1", "live"], 4);
    opened(&["verify", "--level", "full"], 0);
    opened(&["restore", "prod/1", "--source", "files", "--dry-run"], 17);
    opened(&["restore", "prod/1", "--source", "files", "--yes"], 17);
    opened(
        &["restore", "prod/1", "--yes", "--conflict", "overwrite"],
        0,
    );
    opened(&["get", "prod", &format!("{password}s")], 1);
    scene.write(
        "strongroom.yaml",
        format!("recipients: [{CANARY}]\nwriter_key: [{CANARY}]\n"),
    );
    run(&scene, &["config"], 2);

    assert!(assert_absent_below(&scene.path("repository")) > 10);
    assert_absent_below(&scene.path("tmp"));
}

#[test]
fn the_one_command_that_prints_it_does() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/password", CANARY);
    scene.good(&["backup"]);
    let name = format!("{}/secrets/password", scene.root().display());
    assert_eq!(
        scene.good(&["get", "prod", &name, "--identity", "identity.txt"]),
        CANARY
    );
}
