//! The program under a limit of the kernel for its memory, and how much of it it needed.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::scene::{Scene, Seen};

/// What the program may ever have for its data, and what of it may be in memory at once.
pub(crate) const LIMIT_KIB: u64 = 128 << 10;
/// By so much the same command differs from one run to the next.
const NOISE_KIB: u64 = 8 << 10;
/// And by so much the one that fills every queue of the writer: how full they all are at once is chance, and the longer it takes the more
/// often there is one. 21 MiB were seen.
const CHANCE_KIB: u64 = 32 << 10;
/// That one.
pub(crate) const FIRST: &str = "backup, the first";

/// Where what it printed is, with `stdout` or `stderr` behind.
pub(crate) const PRINTED: &str = "printed";
/// How much of what it printed is looked at.
const SEEN: u64 = 1 << 20;

/// What was done, and the most memory that it was seen to have, in KiB.
pub(crate) type Peak = (&'static str, u64);

/// How a command ended that was refused more than [`LIMIT_KIB`], and the most memory that it was seen to have, in KiB.
pub(crate) fn bounded(scene: &Scene, arguments: &[&str]) -> (Seen, u64) {
    // The soft limit: another program that it starts may raise it again.
    let script = format!("ulimit -S -d {LIMIT_KIB}; exec \"$0\" \"$@\"");
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

/// Says what each command needed in memory for more and more data, in KiB, and that this was within the limit, and for the most data no more
/// than for the last but one, which fills all that is read ahead.
pub(crate) fn judge<const SIZES: usize>(sizes: &[Vec<Peak>; SIZES]) {
    let commands = 0..sizes[0].len();
    let commands = commands.map(|at| (sizes[0][at].0, sizes.each_ref().map(|peaks| peaks[at].1)));
    let commands: Vec<(&str, [u64; SIZES])> = commands.collect();
    for (command, peaks) in &commands {
        say(&format!("{command}: {peaks:?} KiB"));
    }
    for (command, peaks) in &commands {
        let within = peaks.iter().all(|peak| *peak <= LIMIT_KIB);
        let [.., less, most] = peaks[..] else {
            panic!("two sizes are compared")
        };
        let more = match *command {
            FIRST => CHANCE_KIB,
            _ => less / 4 + NOISE_KIB,
        };
        let same = most <= less + more;
        assert!(within && same, "{command}: {peaks:?} KiB");
    }
}

#[expect(clippy::print_stderr, reason = "for docs/reliability.md")]
fn say(text: &str) {
    eprintln!("{text}");
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
