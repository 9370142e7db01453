//! `strongroom.yaml`.

use std::path::Path;

use serde_json::Value;
use strongroom::{Understood, understand};

/// Any bytes are a configuration or give one line that says why not; and what a snapshot keeps of one means the same.
pub fn configuration(bytes: &[u8]) {
    match read(bytes) {
        Ok(first) => {
            let second = read(first.stored.as_bytes());
            let second = second.unwrap_or_else(|error| panic!("what is kept is refused: {error}"));
            assert_eq!(second.stored, first.stored);
            assert_eq!(settings(&second.listing), settings(&first.listing));
        }
        Err(sentence) => {
            assert!(sentence.starts_with("/etc/"), "{sentence}");
            assert_eq!(sentence.lines().count(), 1, "{sentence}");
        }
    }
}

fn read(bytes: &[u8]) -> Result<Understood, String> {
    understand(Path::new("/etc/strongroom/strongroom.yaml"), bytes.to_vec())
}

/// Without the lines and columns where they stand.
fn settings(listing: &Value) -> Vec<(&Value, &Value)> {
    let lines = listing["settings"].as_array().expect("a list");
    lines
        .iter()
        .map(|line| (&line["key"], &line["value"]))
        .collect()
}
