//! Replays the fuzzing corpora of `fuzz/` on stable: what once broke a parser is tried in every run.
#![expect(
    unreachable_pub,
    reason = "the bodies are a library's where they are fuzzed"
)]

#[path = "../../../fuzz/src/bodies.rs"]
mod bodies;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[test]
fn every_corpus_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    replay::replay(&fuzz, "bodies", bodies::BODIES);
}
