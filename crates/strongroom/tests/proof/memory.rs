//! Memory does not grow with the data: every command that touches all of it, under a limit of the kernel.
//!
//! 8 MiB, 256 MiB and 4 GiB in one file, for which there must be 6 GiB in the folder for temporary files; 1 GiB instead of 4 outside of
//! CI, but with `STRONGROOM_LONG=1`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::bounded::{LIMIT_KIB, PRINTED, bounded};
use crate::scene::Scene;

/// By so much more the longest may need: how full everything that waits ever gets at once is chance, and the longer it takes the more often
/// there is one (21 MiB were seen). Less than a hundredth of what there is more to read: whoever keeps a hundredth of it is found out.
const CHANCE_KIB: u64 = 32 << 10;

#[test]
fn memory_does_not_grow_with_the_data() {
    let long = ["CI", "STRONGROOM_LONG"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let small = peaks(8 << 20);
    // What fills all that a command reads ahead: what comes behind it must not need more.
    let medium = peaks(256 << 20);
    let large = peaks(if long { 4 << 30 } else { 1 << 30 });
    for (((command, small), (_, medium)), (_, large)) in small.iter().zip(&medium).zip(&large) {
        say(&format!(
            "{command}: {small} KiB, {medium} KiB, {large} KiB"
        ));
        assert!(small.max(large) <= &LIMIT_KIB, "{command}: {large} KiB");
        assert!(
            *large <= medium + CHANCE_KIB,
            "{command}: {large} KiB, and {medium} KiB for less"
        );
    }
}

/// The most memory that each command had.
fn peaks(size: u64) -> Vec<(&'static str, u64)> {
    let scene = Scene::new();
    let path = scene.path("secrets/large");
    fill(&path, size);
    let name = path.display().to_string();
    let commands: [(&str, &[&str]); 7] = [
        ("backup, the first", &["backup"]),
        ("backup, unchanged", &["backup"]),
        ("verify", &["verify"]),
        ("verify --level data", &["verify", "--level", "data"]),
        (
            "verify --level full",
            &["verify", "--level", "full", "--identity", "identity.txt"],
        ),
        (
            "restore",
            &[
                "restore",
                "prod",
                "--to",
                "out",
                "--yes",
                "--identity",
                "identity.txt",
            ],
        ),
        ("cat", &["cat", "prod", &name, "--identity", "identity.txt"]),
    ];
    let peaks = commands.iter().map(|(what, words)| {
        let (seen, peak) = bounded(&scene, words);
        seen.done();
        match *what {
            "backup, unchanged" => fs::remove_file(&path).expect("it is not needed any more"),
            "restore" => {
                let restored = scene.restored("out", "secrets/large");
                assert!(fs::metadata(&restored).is_ok_and(|it| it.len() == size));
                fs::remove_file(restored).expect("it was seen");
            }
            "cat" => {
                let printed = scene.path(PRINTED).with_extension("stdout");
                assert!(fs::metadata(printed).is_ok_and(|it| it.len() == size));
            }
            _ => (),
        }
        (*what, peak)
    });
    peaks.collect()
}

/// So much of noise, and three times as much that can be compressed to nearly nothing, in turn: no chunk of it comes twice, and a quarter of
/// it is what the repository needs.
fn fill(path: &Path, size: u64) {
    let mut random = File::open("/dev/urandom").expect("Linux has it");
    let mut file = File::create(path).expect("a file");
    let mut noise = vec![0; 1 << 20];
    for _ in 0..size >> 22 {
        random.read_exact(&mut noise).expect("it never ends");
        file.write_all(&noise).expect("there is room");
        let pages = noise.chunks_exact(64).take((3 << 20) >> 12);
        let pages: Vec<u8> = pages.flat_map(|it| it.repeat(64)).collect();
        file.write_all(&pages).expect("there is room");
    }
}

#[expect(clippy::print_stderr, reason = "for docs/reliability.md")]
fn say(text: &str) {
    eprintln!("{text}");
}
