//! A configuration judged as a whole, and nothing run: what `fuzz/` calls.

use std::path::{Path, PathBuf};

use crate::cli::Globals;
use crate::commands::config::config;
use crate::output::chain;

use super::load::decode;
use super::resolve::resolve;

/// What a configuration says.
pub struct Understood {
    /// What `strongroom config --json` prints of it.
    pub listing: serde_json::Value,
    /// What a snapshot keeps of it.
    pub stored: String,
}

/// Reads the bytes of a configuration that would stand at `path`; or the sentence that says why they are none.
pub fn understand(path: &Path, bytes: Vec<u8>) -> Result<Understood, String> {
    let read = decode(path, bytes).map_err(|error| chain(&error.into()))?;
    let settings = resolve(Some((PathBuf::from(path), read)), &Globals::default())
        .map_err(|error| chain(&error.into()))?;
    Ok(Understood {
        listing: serde_json::to_value(config(&settings)).expect("a listing serializes"),
        stored: settings.configuration,
    })
}
