//! Replays the fuzzing corpora of `fuzz/` on stable: what once broke a parser is tried in every run.
#![expect(
    unreachable_pub,
    reason = "the bodies are a library's where they are fuzzed"
)]

#[path = "../../../fuzz/src/foreign.rs"]
mod bodies;
#[path = "../../../fuzz/src/etcd_backup.rs"]
mod etcd_backup;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[test]
fn every_corpus_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let targets: [(&str, replay::Body); 3] = [
        ("folder", bodies::folder),
        ("helm", bodies::helm),
        ("value", bodies::value),
    ];
    replay::replay(&fuzz, "foreign", &targets);
    replay::replay(&fuzz, "etcd_backup", &[("dump", etcd_backup::dump)]);
}
