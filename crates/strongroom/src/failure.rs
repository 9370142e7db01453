//! An error that the program itself raises: what happened to which object, the exit code, and what to type next.

use std::fmt;

use crate::exit::Exit;

/// Usable as an error of its own and as context around another (`.context(Failure::new(…))`).
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// For what the user wrote, on the command line or in the configuration, and can only mend there. Much of it quotes that: line
    /// feeds in it must not become lines of ours.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let message = message.into().replace('\n', "\\x0a");
        Self::new(Exit::Usage, message.replace('\r', "\\x0d"))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What to type next, if anything in the chain knows.
pub(crate) fn hint_of(error: &anyhow::Error) -> Option<&str> {
    let outermost = error
        .downcast_ref::<Failure>()
        .and_then(|failure| failure.hint.as_deref());
    outermost.or_else(|| {
        error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Failure>()?.hint.as_deref())
    })
}
