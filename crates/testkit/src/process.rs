use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::port::free_port;

/// How long any server may take until it answers, or a cluster of them. That is only not for ever: a busy machine takes its time.
pub(crate) const DEADLINE: Duration = Duration::from_mins(10);
/// How often one is started that exits instead of answering.
const ATTEMPTS: u32 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two questions whether it answers.
const LOOK: Duration = Duration::from_millis(20);

/// Starts a server, which is to answer until the deadline, again and again if it exits: another process that tests, with ports of its own
/// choice, may have its port. `false`: it exited each time.
pub(crate) fn starts(mut start: impl FnMut(Instant) -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    (0..ATTEMPTS).any(|attempt| {
        if attempt > 0 {
            sleep(PAUSE);
        }
        start(deadline)
    })
}

/// Waits until `server`, whose process was just started, answers. `false`: it ended instead.
pub(crate) fn comes_up<S>(
    server: &mut S,
    deadline: Instant,
    child: fn(&mut S) -> &mut Option<Child>,
    answers: fn(&S) -> bool,
    complaint: fn(&S) -> String,
) -> bool {
    let ended = |server: &mut S| {
        let child = child(server).as_mut().expect("just started");
        child.try_wait().expect("it is ours").is_some()
    };
    loop {
        if ended(server) {
            return false;
        }
        // Another may answer on that port, so that this one exits.
        if answers(server) && !ended(server) {
            return true;
        }
        assert!(Instant::now() < deadline, "{}", complaint(server));
        sleep(LOOK);
    }
}

/// Whether a process of this id, as a shell writes it, is there (and not only waiting to be buried).
pub fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// A server's process on loopback, its output in a log. Killed when dropped.
pub(crate) struct Process {
    name: &'static str,
    log: PathBuf,
    port: u16,
    child: Option<Child>,
    command: Box<dyn Fn(u16) -> Command + Send + Sync>,
    answers: Box<dyn Fn(u16) -> bool + Send + Sync>,
}

impl Process {
    /// Starts what `command` makes of a free port, and waits until `answers` says that it serves there.
    pub(crate) fn start(
        name: &'static str,
        log: PathBuf,
        command: impl Fn(u16) -> Command + Send + Sync + 'static,
        answers: impl Fn(u16) -> bool + Send + Sync + 'static,
    ) -> Self {
        let mut process = Self {
            name,
            log,
            port: 0,
            child: None,
            command: Box::new(command),
            answers: Box::new(answers),
        };
        let started = starts(|deadline| {
            process.port = free_port();
            process.spawn(deadline)
        });
        assert!(started, "{}", process.complaint());
        process
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be stopped, which a kill ends too.
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let mut child = self.child.take().expect("it is running");
        child.wait().expect("it is ours");
    }

    /// Starts it again, on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let started = starts(|deadline| self.spawn(deadline));
        assert!(started, "{}", self.complaint());
    }

    /// Lets it hang: connections are taken by the kernel, and nothing is answered until [`Self::resume`].
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it is running");
        let mut kill = Command::new("kill");
        let status = kill.args([&format!("-{signal}"), &child.id().to_string()]);
        assert!(status.status().expect("kill runs").success());
    }

    /// `false`: it ended at once.
    fn spawn(&mut self, deadline: Instant) -> bool {
        let log = File::create(&self.log).expect("the folder is ours");
        let mut command = (self.command)(self.port);
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a second handle"));
        self.child = Some(command.stderr(log).spawn().expect("the server runs"));
        let answers = |it: &Self| (it.answers)(it.port);
        comes_up(self, deadline, |it| &mut it.child, answers, Self::complaint)
    }

    fn complaint(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!("{} does not answer: {log}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
