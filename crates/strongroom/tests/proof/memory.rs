//! Memory does not grow with the data: every command that touches all of it, under a limit of the kernel.
//!
//! 8 MiB, 256 MiB and 4 GiB in one file, for which there must be 6 GiB in the folder for temporary files; 1 GiB instead of 4 outside of
//! CI, but with `STRONGROOM_LONG=1`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::bounded::{FIRST, PRINTED, Peak, bounded, judge};
use crate::noise::Noise;
use crate::scale;
use crate::scene::Scene;

#[test]
fn memory_does_not_grow_with_the_data() {
    let small = peaks(8 << 20);
    // What fills all that a command reads ahead: what comes behind it must not need more.
    let medium = peaks(256 << 20);
    let large = peaks(if scale::is_full() { 4 << 30 } else { 1 << 30 });
    judge(&[small, medium, large]);
}

/// The most memory that each command had.
fn peaks(size: u64) -> Vec<Peak> {
    let scene = Scene::new();
    let path = scene.path("secrets/large");
    fill(&path, size);
    let name = path.display().to_string();
    let commands: [(&str, &[&str]); 7] = [
        (FIRST, &["backup"]),
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

fn fill(path: &Path, size: u64) {
    let mut noise = Noise::new();
    let mut file = File::create(path).expect("a file");
    for _ in 0..size >> 22 {
        file.write_all(&noise.block()).expect("there is room");
    }
}
