//! The program under a limit of the kernel for its memory, and how much of it it needed.

use std::fs;
use std::io::Read as _;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

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

/// Where more than this passes between two looks at a program, the second look takes the kernel's word for what was in between.
const GAP: Duration = Duration::from_millis(100);
/// Nobody has a word for what came after the last look. If that was long, a command that stands in nobody's way a second time is run
/// again, so many times at most. (Of the first backup the second has little to do: what was seen of the first counts.)
const AGAIN: usize = 3;
const REPEATABLE: [&str; 5] = ["backup", "cat", "get", "show", "verify"];

/// What was done, and the most memory that it was seen to have, in KiB.
pub(crate) type Peak = (&'static str, u64);

/// How a command ended that was refused more than [`LIMIT_KIB`], and the most memory that it was seen to have, in KiB.
pub(crate) fn bounded(scene: &Scene, arguments: &[&str]) -> (Seen, u64) {
    let mut run = Run::of(scene, arguments);
    for _ in 0..AGAIN {
        let may_be_repeated = run.seen.code == 0 && REPEATABLE.contains(&arguments[0]);
        if run.unseen <= GAP || !may_be_repeated {
            break;
        }
        let peak = run.peak;
        run = Run::of(scene, arguments);
        run.peak = run.peak.max(peak);
    }
    (run.seen, run.peak)
}

/// One run of a command.
struct Run {
    seen: Seen,
    peak: u64,
    /// How long it went on at most after it was looked at for the last time.
    unseen: Duration,
}

impl Run {
    fn of(scene: &Scene, arguments: &[&str]) -> Self {
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
        let (status, peak, unseen) = watch(&mut child);
        let read = |end: &str| {
            let file = fs::File::open(out.with_extension(end)).expect("a file");
            let mut start = Vec::new();
            file.take(SEEN)
                .read_to_end(&mut start)
                .expect("it can be read");
            start
        };
        let output = Output {
            status,
            stdout: read("stdout"),
            stderr: read("stderr"),
        };
        Self {
            seen: Seen::new(format!("{arguments:?}"), output),
            peak,
            unseen,
        }
    }
}

/// Looks at it until it ends: how it did, the most memory that it had, and how long nobody looked at last.
fn watch(child: &mut Child) -> (ExitStatus, u64, Duration) {
    let (mut peak, mut program) = (0, 0);
    let mut looked = Instant::now();
    loop {
        let now = Instant::now();
        if let Some(memory) = Memory::of(child.id()) {
            peak = peak.max(memory.own);
            program = memory.program.max(program);
            if now.duration_since(looked) > GAP {
                // The kernel counts the program file too, of which no more was in memory then than we have seen.
                peak = peak.max(memory.most.saturating_sub(program));
            }
            looked = now;
        }
        if let Some(status) = child.try_wait().expect("it is ours") {
            return (status, peak, looked.elapsed());
        }
        sleep(Duration::from_millis(3));
    }
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

/// What a process has in memory, in KiB.
struct Memory {
    /// Now, but for its program file: of that a test build has five times as much as what is shipped, and the kernel may take it back at any
    /// time.
    own: u64,
    /// Of its program file.
    program: u64,
    /// Of both, at most so far. The kernel notes it whenever memory is given back.
    most: u64,
}

impl Memory {
    fn of(process: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            own: field("RssAnon:")?,
            program: field("RssFile:").unwrap_or_default(),
            most: field("VmHWM:").unwrap_or_default(),
        })
    }
}
