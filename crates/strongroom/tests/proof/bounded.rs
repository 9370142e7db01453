//! The program under a limit of the kernel for its memory, and how much of it it needed.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::scene::{Scene, Seen};

/// What the program may ever have for its data, and what of it may be in memory at once.
pub(crate) const LIMIT_KIB: u64 = 128 << 10;

/// Where what it printed is, with `stdout` or `stderr` behind.
pub(crate) const PRINTED: &str = "printed";
/// How much of what it printed is looked at.
const SEEN: u64 = 1 << 20;

/// How a command ended that was refused more than [`LIMIT_KIB`], and the most memory that it was seen to have, in KiB.
pub(crate) fn bounded(scene: &Scene, arguments: &[&str]) -> (Seen, u64) {
    let script = format!("ulimit -d {LIMIT_KIB}; exec \"$0\" \"$@\"");
    let program = env!("CARGO_BIN_EXE_strongroom");
    let words = [&["-c", &script, program], arguments].concat();
    let out = scene.path(PRINTED);
    let file = |end: &str| fs::File::create(out.with_extension(end)).expect("a file");
    let mut command = scene.command("sh".as_ref(), &words);
    command
        .stdout(Stdio::from(file("stdout")))
        .stderr(Stdio::from(file("stderr")));
    let mut child = command.spawn().expect("it runs");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(own_memory(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        sleep(Duration::from_millis(3));
    };
    let read = |end: &str| {
        let file = fs::File::open(out.with_extension(end)).expect("a file");
        let mut start = Vec::new();
        file.take(SEEN)
            .read_to_end(&mut start)
            .expect("it can be read");
        start
    };
    let output = std::process::Output {
        status,
        stdout: read("stdout"),
        stderr: read("stderr"),
    };
    (Seen::new(format!("{arguments:?}"), output), peak)
}

/// What it has in memory now, but for its program file: of that a test build has five times as much as what is shipped, and the kernel may
/// take it back at any time.
fn own_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
