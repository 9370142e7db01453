use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archive::{Content, Name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::CommandOptions;
use super::words::Words;
use crate::group::Group;
use crate::{Contents, Error, ErrorKind};

/// Output is handed on in pieces of at most this size.
const PIECE: usize = 256 * 1024;
/// How long a program's last words are waited for when it has ended: something that it left running may hold them open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program to run, and what may be said of it: its name, never its arguments.
pub(super) struct Program {
    arguments: Vec<String>,
    environment: Vec<(String, Content)>,
    working_directory: Option<PathBuf>,
    timeout: Option<Duration>,
}

/// How a program ended.
pub(super) struct Ended {
    status: ExitStatus,
    words: Words,
}

impl Program {
    pub(super) fn new(arguments: &[String], options: &CommandOptions) -> Self {
        Self {
            arguments: arguments.to_vec(),
            environment: options.environment.clone(),
            working_directory: options.working_directory.clone(),
            timeout: options.timeout,
        }
    }

    /// The program without its arguments.
    pub(super) fn name(&self) -> Name {
        Name::from(self.arguments[0].as_str())
    }

    /// Starts it for its output.
    pub(super) fn listen(&self) -> Result<Running, Error> {
        self.start(Stdio::null(), Stdio::piped())
    }

    /// Starts it for its input.
    pub(super) fn feed(&self) -> Result<Running, Error> {
        self.start(Stdio::piped(), Stdio::null())
    }

    /// What `work` gives, unless the program takes too long for it.
    pub(super) async fn limited<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(limit) = self.timeout else {
            return work.await;
        };
        timeout(limit, work).await.unwrap_or_else(|_| {
            let message = format!(
                "`{}` had not ended after {limit:?} and was killed",
                self.name()
            );
            Err(Error::new(ErrorKind::Program, message))
        })
    }

    /// An error unless it ended with exit code 0.
    pub(super) fn judge(&self, ended: &Ended) -> Result<(), Error> {
        let name = self.name();
        let how = match (ended.status.code(), ended.status.signal()) {
            (Some(0), _) => return Ok(()),
            (Some(code), _) => format!("`{name}` failed with exit code {code}"),
            (None, Some(signal)) => format!("`{name}` was killed by signal {signal}"),
            (None, None) => format!("`{name}` ended in an unknown way"),
        };
        let words = ended.words.shown(&self.environment);
        let message = if words.is_empty() {
            how
        } else {
            format!("{how}; its last words were: {words}")
        };
        Err(Error::new(ErrorKind::Program, message))
    }

    fn start(&self, input: Stdio, output: Stdio) -> Result<Running, Error> {
        let mut command = tokio::process::Command::new(&self.arguments[0]);
        command
            .args(&self.arguments[1..])
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped());
        for (name, value) in &self.environment {
            command.env(name, OsStr::from_bytes(value.as_bytes()));
        }
        if let Some(folder) = &self.working_directory {
            command.current_dir(folder);
        }
        // A group of its own, so that what it starts is killed with it.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.not_started(error))?;
        let errors = child.stderr.take().expect("it is piped");
        let words: Arc<Mutex<Words>> = Arc::default();
        Ok(Running {
            name: self.name(),
            input: child.stdin.take(),
            output: child.stdout.take(),
            listening: tokio::spawn(listen_to_errors(errors, words.clone())),
            words,
            group: Group(child),
        })
    }

    fn not_started(&self, error: io::Error) -> Error {
        let message = match &self.working_directory {
            Some(folder) if !folder.is_dir() => format!(
                "`{}` could not be started: its folder {} is not there",
                self.name(),
                Name::new(folder.as_os_str().as_bytes())
            ),
            _ => format!("`{}` could not be started", self.name()),
        };
        Error::new(ErrorKind::Program, message).because(error)
    }
}

/// A program that runs. Dropped, it is killed with all that it started.
pub(super) struct Running {
    name: Name,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    words: Arc<Mutex<Words>>,
    listening: JoinHandle<()>,
    group: Group,
}

impl Running {
    /// The next piece of its standard output; `None` at the end.
    pub(super) async fn output(&mut self) -> Result<Option<Content>, Error> {
        let Some(output) = &mut self.output else {
            return Ok(None);
        };
        match fill(output).await {
            Ok(piece) => Ok((!piece.is_empty()).then(|| Content::new(piece))),
            Err(error) => Err(self.broken("standard output", error)),
        }
    }

    /// Gives it the current entry; false if it stopped reading before the end.
    pub(super) async fn give(&mut self, contents: &mut dyn Contents) -> Result<bool, Error> {
        let Some(mut input) = self.input.take() else {
            return Ok(false);
        };
        let mut reads = true;
        // What it does not read is still fetched to the end, where the whole entry is found to be authentic.
        while let Some(content) = contents.data().await? {
            if reads {
                match input.write_all(content.as_bytes()).await {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => reads = false,
                    written => {
                        written.map_err(|error| self.broken("standard input", error))?;
                    }
                }
            }
        }
        Ok(reads)
    }

    /// Waits until it has ended.
    pub(super) async fn end(mut self) -> Result<Ended, Error> {
        drop(self.input.take());
        let status = self.group.0.wait().await;
        let status = status.map_err(|error| self.broken("exit code", error))?;
        // Whether they came to an end or not: what has been heard is what there is to say.
        let _ = timeout(LAST_WORDS, &mut self.listening).await;
        let words = std::mem::take(&mut *self.words.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Ended { status, words })
    }

    fn broken(&self, what: &str, error: io::Error) -> Error {
        let message = format!("the {what} of `{}` was cut off", self.name);
        Error::new(ErrorKind::Program, message).because(error)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen_to_errors(mut errors: ChildStderr, words: Arc<Mutex<Words>>) {
    let mut piece = vec![0; 8192];
    while let Ok(length @ 1..) = errors.read(&mut piece).await {
        words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(&piece[..length]);
    }
}

/// Several small writes of the program make one piece; an empty one is the end.
async fn fill(input: &mut ChildStdout) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    while piece.len() < PIECE / 2 {
        if input.read_buf(&mut piece).await? == 0 {
            piece.shrink_to_fit();
            break;
        }
    }
    Ok(piece)
}
