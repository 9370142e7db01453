//! The commands. Each is a function from typed arguments to a value that `output` renders as text or JSON, so that the
//! command line and the daemon call the same ones.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod keygen;
pub(crate) mod man;
