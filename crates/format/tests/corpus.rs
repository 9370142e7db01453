//! Replays the fuzzing corpora of `fuzz/` on stable: what once broke a parser is tried in every run.
#![expect(
    unreachable_pub,
    reason = "the bodies are a library's where they are fuzzed"
)]

#[path = "../../../fuzz/src/bodies.rs"]
mod bodies;
#[path = "../../source/src/bolt.rs"]
mod bolt;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn listed(folder: &Path) -> BTreeSet<PathBuf> {
    let found =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    found
        .map(|file| file.expect("the folder can be read").path())
        .collect()
}

#[test]
fn every_corpus_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut unknown = listed(&fuzz.join("corpus"));
    for (target, body) in bodies::BODIES {
        let folder = fuzz.join("corpus").join(target);
        unknown.remove(&folder);
        let inputs = listed(&folder);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let bytes = fs::read(&input).expect("a file");
            let held = std::panic::catch_unwind(|| body(&bytes));
            assert!(held.is_ok(), "{} breaks {target}", input.display());
        }
        let file = fuzz.join("fuzz_targets").join(format!("{target}.rs"));
        let text = fs::read_to_string(&file).expect("a target for each body");
        assert!(text.contains(&format!("bodies::{target}(")), "{target}");
    }
    assert!(unknown.is_empty(), "corpora without a body: {unknown:?}");
}
