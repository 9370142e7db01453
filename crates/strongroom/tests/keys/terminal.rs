//! A pseudoterminal, and somebody who types at it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// No answer of the program takes that long.
const PATIENCE: Duration = Duration::from_mins(2);

/// A program whose standard input and standard error are a terminal.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    slave: OwnedFd,
    printed: Receiver<Vec<u8>>,
    /// All that appeared on the screen.
    screen: String,
}

impl Terminal {
    pub(crate) fn start(command: &mut Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("a terminal");
        // For no other program that is started meanwhile: this one is to be the last that has it open.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&*name, flags, Mode::empty()).expect("a terminal");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let child = command.stdin(end()).stderr(end()).spawn().expect("it runs");
        // Whoever has the command would keep the terminal open with it.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut screen = File::from(master.try_clone().expect("a descriptor"));
        let (sender, printed) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = screen.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys: File::from(master),
            slave,
            printed,
            screen: String::new(),
        }
    }

    /// Waits until the end of the screen holds these words.
    pub(crate) fn sees(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut from = 0;
        while !self.screen[from..].contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.printed.recv_timeout(left) else {
                panic!("no {words:?} on the screen: {}", self.screen);
            };
            self.screen.push_str(&String::from_utf8_lossy(&bytes));
        }
        from += self.screen[from..].find(words).expect("it was seen") + words.len();
        self.screen.drain(..from);
    }

    /// Types when the terminal does not echo any more: before, keys would be shown and dropped.
    pub(crate) fn types_hidden(&mut self, keys: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.echoes() {
            assert!(Instant::now() < deadline, "it never hides what is typed");
            thread::sleep(Duration::from_millis(5));
        }
        self.types(keys);
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Waits for the end: the exit code, and what was left on the screen.
    pub(crate) fn ends(mut self) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {}",
                self.screen
            );
            thread::sleep(Duration::from_millis(5));
        };
        assert!(self.echoes(), "the terminal was left as it was not found");
        // When nobody has it open any more, the reader gets what is left on the screen, and then an error.
        drop(self.slave);
        loop {
            match self.printed.recv_timeout(PATIENCE) {
                Ok(bytes) => self.screen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("somebody keeps the terminal open"),
            }
        }
        (status.code().unwrap_or(-1), self.screen)
    }
}
