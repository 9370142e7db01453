use std::error::Error as StdError;
use std::fmt;

/// What went wrong with a source: one sentence naming the object, the kind that chooses the exit code, and the cause.
///
/// `Display` speaks for this layer only; the cause is `source()`. Values of secrets never enter a message.
pub struct Error {
    kind: ErrorKind,
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds that a caller acts on differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The system did not answer: wrong address, down, timed out, cut off.
    Unreachable,
    /// It answered, and refused us: password, certificate, permission.
    Denied,
    /// What it sent, or what was captured, is not whole or not what it claims to be.
    Invalid,
    /// An entry could not be read whole: it changed, vanished or was not readable.
    Incomplete,
    /// The target of a restore holds something that must not be overwritten.
    Conflict,
    /// The configuration cannot work: a pattern, an address, a path.
    Configuration,
    /// A program that we ran failed.
    Program,
    /// The local system refused: disk full, no such folder, no right to write.
    Local,
    /// What is asked cannot be done by this source.
    Unsupported,
    /// A bug of strongroom: a source broke the contract of the archive.
    Bug,
}

impl Error {
    /// An error of `kind` that says `message`: what happened, to which object, and what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
        }
    }

    /// The same with its cause, which is printed after it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What a caller acts on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause:?}")
        } else {
            Ok(())
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}
