//! Replays the fuzzing corpora of `fuzz/` on stable: what once broke a parser is tried in every run.
#![expect(
    unreachable_pub,
    reason = "the bodies are a library's where they are fuzzed"
)]

extern crate strongroom_source as source;

#[path = "../../../fuzz/src/etcd.rs"]
mod etcd;
#[path = "../../../fuzz/src/kubernetes.rs"]
mod kubernetes;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[test]
fn every_corpus_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let targets: [(&str, replay::Body); 3] = [
        ("bolt", etcd::bolt),
        ("database", etcd::database),
        ("trailer", etcd::trailer),
    ];
    replay::replay(&fuzz, "etcd", &targets);
    let targets: [(&str, replay::Body); 2] =
        [("list", kubernetes::list), ("object", kubernetes::object)];
    replay::replay(&fuzz, "kubernetes", &targets);
}
