//! Programs that tests make.
//!
//! A child writes them: what we have open while another thread starts a program, that one has open too for a moment, and nobody can run
//! what somebody could write to (`ETXTBSY`, execve(2)).

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Makes a program at `path` of a script for `sh`, or puts it in the place of the one that is there.
pub fn make_script(path: &Path, script: &str) {
    let mut child = install(Path::new("/dev/stdin"), path);
    let mut stdin = child.stdin.take().expect("it is piped");
    writeln!(stdin, "#!/bin/sh\n{script}").expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it is ours").success());
}

/// Makes a copy of the program `from` at `path`, that everybody may run.
pub fn copy_program(from: &Path, path: &Path) {
    let status = install(from, path).wait();
    assert!(status.expect("it is ours").success());
}

fn install(from: &Path, path: &Path) -> Child {
    let mut install = Command::new("install");
    install.args(["-m", "755"]).args([from, path]);
    install.stdin(Stdio::piped()).spawn().expect("install runs")
}
