//! Scripts in Python that lie beside the tests: clients that have none of our code.

use std::path::Path;
use std::process::Command;

/// One of them, by the name of its file.
pub(crate) struct Script(pub(crate) &'static str);

impl Script {
    /// What runs it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof");
        let mut command = Command::new("python3");
        command.arg(folder.join(self.0)).args(arguments);
        command
    }

    /// Runs it to its end, and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output();
        let output = output.expect("python3 runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
