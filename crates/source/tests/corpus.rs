//! Replays the fuzzing corpora of `fuzz/` on stable: what once broke a parser is tried in every run.
#![expect(
    unreachable_pub,
    reason = "the bodies are a library's where they are fuzzed"
)]

extern crate strongroom_source as source;

#[path = "../src/bolt.rs"]
mod bolt;
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
    replay::replay(&fuzz, "etcd", &[("trailer", etcd::trailer)]);
    let targets: [(&str, replay::Body); 2] =
        [("list", kubernetes::list), ("object", kubernetes::object)];
    replay::replay(&fuzz, "kubernetes", &targets);
}
