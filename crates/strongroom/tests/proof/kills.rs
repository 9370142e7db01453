//! Commands that are ended on their way, at moments that are spread over the time they take.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a command takes is measured once, and by chance long. So whoever is found to have ended is given less the next time, and the
/// kills go on until half of those that were planned met somebody who was running.
pub(crate) struct Kills {
    planned: u32,
    tried: u32,
    met: u32,
    takes: Duration,
}

/// A command that was ended, or had ended before.
pub(crate) struct Ended {
    pub(crate) process: u32,
    /// From the signal on; nothing, if it had ended before.
    pub(crate) took: Duration,
}

impl Kills {
    /// So many kills of a command that took that long when nobody killed it.
    pub(crate) fn of(planned: u32, takes: Duration) -> Self {
        Self {
            planned,
            tried: 0,
            met: 0,
            takes,
        }
    }

    /// The number of the next one, from 0. `None`: they were enough.
    pub(crate) fn next(&self) -> Option<u32> {
        let enough = self.tried >= self.planned && 2 * self.met >= self.planned;
        assert!(
            enough || self.tried < 5 * self.planned,
            "only {} of {} commands were killed before they ended, and in time",
            self.met,
            self.tried
        );
        (!enough).then_some(self.tried)
    }

    /// The last one proves nothing, though it was met: another one has to.
    pub(crate) fn discount(&mut self) {
        self.met -= 1;
    }

    /// Starts it, sends it that signal on its way, and waits until it has ended.
    pub(crate) fn end(&mut self, command: &mut Command, signal: &str) -> Ended {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().expect("it runs");
        let after = self.takes * (2 * (self.tried % self.planned) + 1) / (2 * self.planned);
        sleep(after);
        let mut signalled = None;
        if child.try_wait().expect("it is ours").is_none() {
            self.met += 1;
            signalled = Some(Instant::now());
            let mut kill = Command::new("kill");
            kill.args([&format!("-{signal}"), &child.id().to_string()]);
            assert!(kill.status().expect("kill runs").success());
        } else {
            self.takes = after;
        }
        self.tried += 1;
        child.wait().expect("it is ours");
        Ended {
            process: child.id(),
            took: signalled.map_or(Duration::ZERO, |at| at.elapsed()),
        }
    }
}
