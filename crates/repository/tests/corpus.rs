//! Replays the fuzzing corpora of `fuzz/` on stable: what once broke a parser is tried in every run.
#![expect(
    unreachable_pub,
    reason = "the bodies are a library's where they are fuzzed"
)]

#[path = "../../../fuzz/src/log.rs"]
mod log;
#[path = "../../../fuzz/src/pack.rs"]
mod pack;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/script.rs"]
mod script;
#[path = "../../../fuzz/src/shelf.rs"]
mod shelf;

use std::path::Path;

#[test]
fn every_corpus_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    replay::replay(&fuzz, "log", &[("log", log::log)]);
    replay::replay(&fuzz, "pack", &[("pack", pack::pack)]);
}
