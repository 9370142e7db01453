//! What is fuzzed: one function per parser of bytes from outside. `fuzz/run` fuzzes them, on nightly; the test
//! `crates/format/tests/corpus.rs` replays their corpora on stable, with the same bodies.

pub mod bodies;
#[path = "../../crates/source/src/bolt.rs"]
pub mod bolt;
