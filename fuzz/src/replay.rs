//! Replays fuzzing corpora, for the tests named `corpus`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crate's test replays the targets of which module of `fuzz/src`.
const REPLAYED: [(&str, &str); 9] = [
    ("bodies", "format"),
    ("configuration", "strongroom"),
    ("etcd", "source"),
    ("etcd_backup", "foreign"),
    ("foreign", "foreign"),
    ("kubernetes", "source"),
    ("log", "repository"),
    ("manifests", "strongroom"),
    ("pack", "repository"),
];

/// Takes whatever it is given.
pub type Body = fn(&[u8]);

fn listed(folder: &Path) -> BTreeSet<PathBuf> {
    let found =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    found
        .map(|file| file.expect("the folder can be read").path())
        .collect()
}

/// Tries every input of every target in `module`, and sees that no corpus is left out.
pub fn replay(fuzz: &Path, module: &str, bodies: &[(&str, Body)]) {
    let mut targets = targets_of(fuzz, module);
    for (target, body) in bodies {
        assert!(targets.remove(*target), "{target} is not fuzzed");
        let inputs = listed(&fuzz.join("corpus").join(target));
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let bytes = fs::read(&input).expect("a file");
            let held = std::panic::catch_unwind(|| body(&bytes));
            assert!(held.is_ok(), "{} breaks {target}", input.display());
        }
    }
    assert!(
        targets.is_empty(),
        "targets that are not replayed: {targets:?}"
    );
}

/// The targets that call `module`. Each corpus has a target, and each target calls a module that some test replays.
fn targets_of(fuzz: &Path, module: &str) -> BTreeSet<String> {
    let mut ours = BTreeSet::new();
    for corpus in listed(&fuzz.join("corpus")) {
        let target = corpus.file_name().and_then(|name| name.to_str());
        let target = target.expect("their names are text").to_owned();
        let file = fuzz.join("fuzz_targets").join(format!("{target}.rs"));
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{target}: {error}"));
        let calls = |module: &str| text.contains(&format!("strongroom_fuzz::{module}::{target}("));
        let (_, by) = REPLAYED
            .into_iter()
            .find(|(module, _)| calls(module))
            .unwrap_or_else(|| panic!("nothing replays {target}"));
        let test = fuzz.join(format!("../crates/{by}/tests/corpus.rs"));
        assert!(test.exists(), "{}", test.display());
        if calls(module) {
            ours.insert(target);
        }
    }
    ours
}
