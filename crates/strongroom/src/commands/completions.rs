//! `completions`: a script that teaches a shell our commands and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// The script for `shell`.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "strongroom", &mut script);
    script
}
