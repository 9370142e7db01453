//! A plugin that runs, and what is said on both sides. Dropped, the plugin is killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use format::{PluginError, Stanza};
use zeroize::Zeroizing;

use super::stanza;

/// A line of a plugin. The longest that honest ones print is the recipient of a post-quantum key, some 2 KiB.
const LINE_MAX: u64 = 64 * 1024;
/// A stanza's body: one for a post-quantum recipient has 32 bytes, and a message is a sentence.
const BODY_MAX: usize = 64 * 1024;
/// Stanzas of a conversation.
const STANZAS_MAX: usize = 4096;
/// Of what a plugin says of an error, so many bytes are repeated.
const WORDS_MAX: usize = 500;
/// How long a plugin that has closed its output may take to end, for its exit status.
const LAST_MOMENT: Duration = Duration::from_millis(500);

pub(super) struct Conversation {
    program: String,
    child: Child,
    to: Sender<Zeroizing<Vec<u8>>>,
    from: Receiver<Line>,
    heard: usize,
    patience: Duration,
}

type Line = std::io::Result<Zeroizing<Vec<u8>>>;

impl Conversation {
    /// Starts the plugin's state machine `machine`. What it prints on standard error is dropped: it may hold a key.
    pub(super) fn start(
        program: &str,
        path: &Path,
        machine: &str,
        patience: Duration,
    ) -> Result<Self, PluginError> {
        let spawned = Command::new(path)
            .arg(format!("--age-plugin={machine}"))
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = spawned
            .map_err(|error| PluginError(format!("{program} could not be started: {error}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (to, messages) = mpsc::channel();
        // Few wait for us: a plugin that floods us waits, too.
        let (lines, from) = mpsc::sync_channel(16);
        // Threads, for a pipe waits as long as anybody holds its other end: each ends when the plugin and all that it started
        // have ended.
        thread::spawn(move || talk(stdin.expect("it is piped"), &messages));
        thread::spawn(move || listen(stdout.expect("it is piped"), &lines));
        Ok(Self {
            program: program.to_owned(),
            child,
            to,
            from,
            heard: 0,
            patience,
        })
    }

    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Sends a stanza. If nobody takes it any more, the line that does not come says so.
    pub(super) fn say(&self, tag: &str, arguments: &[&str], body: &[u8]) {
        let _ = self.to.send(stanza::encode(tag, arguments, body));
    }

    /// Waits for a stanza.
    pub(super) fn hear(&mut self) -> Result<Stanza, PluginError> {
        self.heard += 1;
        if self.heard > STANZAS_MAX {
            return Err(self.nonsense());
        }
        let deadline = Instant::now() + self.patience;
        let line = self.line(deadline)?;
        let (tag, args) = stanza::first_line(&line).ok_or_else(|| self.nonsense())?;
        let body = Vec::with_capacity(1024);
        let mut heard = Stanza { tag, args, body };
        loop {
            let line = self.line(deadline)?;
            let last = stanza::body_line(&line, &mut heard).ok_or_else(|| self.nonsense())?;
            if last {
                return Ok(heard);
            }
            if heard.body.len() > BODY_MAX {
                return Err(self.nonsense());
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, PluginError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.from.recv_timeout(left) {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(_)) => Err(self.nonsense()),
            Err(RecvTimeoutError::Timeout) => Err(PluginError(format!(
                "{} said nothing for {:?} and was stopped",
                self.program, self.patience
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    fn ended(&mut self) -> PluginError {
        let deadline = Instant::now() + LAST_MOMENT;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break format!(" ({status})"),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                _ => break String::new(),
            }
        };
        PluginError(format!(
            "{} ended before it was done{status}: is it a plugin of age, and not too old?",
            self.program
        ))
    }

    /// What it said is not of age's protocol.
    pub(super) fn nonsense(&self) -> PluginError {
        PluginError(format!(
            "{} does not speak the protocol of age plugins, and was stopped",
            self.program
        ))
    }

    /// What it said is why it cannot.
    pub(super) fn refused(&self, error: &Stanza) -> PluginError {
        let words: String = String::from_utf8_lossy(&error.body)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let words: String = words.chars().take(WORDS_MAX).collect();
        PluginError(format!("{} refused: {words}", self.program))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // It may have ended long ago, and then nothing is killed: the child is ours until it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn talk(mut stdin: ChildStdin, messages: &Receiver<Zeroizing<Vec<u8>>>) {
    for message in messages {
        if stdin
            .write_all(&message)
            .and_then(|()| stdin.flush())
            .is_err()
        {
            return;
        }
    }
}

fn listen(stdout: ChildStdout, lines: &SyncSender<Line>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Zeroizing::new(Vec::with_capacity(256));
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) => return,
            Ok(_) if line.pop() == Some(b'\n') => Ok(line),
            Ok(_) => Err(std::io::ErrorKind::InvalidData.into()),
            Err(error) => Err(error),
        };
        let last = line.is_err();
        if lines.send(line).is_err() || last {
            return;
        }
    }
}
