//! What is fuzzed: one function per parser of bytes from outside. `fuzz/run` fuzzes them, on nightly. The tests named `corpus` of
//! the crates that hold the parsers replay their corpora on stable, with the same functions.

pub mod bodies;

pub mod etcd;
pub mod kubernetes;

pub mod log;
pub mod pack;
pub mod script;
pub mod shelf;

pub mod configuration;
pub mod etcd_backup;
pub mod foreign;
pub mod manifests;
