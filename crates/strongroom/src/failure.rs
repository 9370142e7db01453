//! An error that the program itself raises: what happened to which object, the exit code, and what to type next.

use std::fmt;

use repository::{StoreFailure, StoreFailureKind};

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
    let below = || {
        let mut failures = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<Failure>());
        failures.find_map(|failure| failure.hint.as_deref())
    };
    outermost.or_else(below).or_else(|| {
        let mut stores = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<StoreFailure>());
        stores.find_map(of_store)
    })
}

/// What to look at when a bucket cannot be used. Whoever has a directory knows.
fn of_store(failure: &StoreFailure) -> Option<&'static str> {
    if !failure.is_remote() {
        return None;
    }
    if failure.is_of_login() {
        return Some(
            "are keys to come from there? `strongroom config` says what is in force, and docs/stores.md in which order keys are \
             looked for, and what else there is",
        );
    }
    match failure.kind() {
        StoreFailureKind::Unreachable => Some(
            "is the endpoint right, and can this host reach it? `strongroom config` says what is in force; docs/stores.md",
        ),
        StoreFailureKind::Denied => Some(
            "are these the right keys, and do they have the rights that docs/stores.md lists? `strongroom config` says where they \
             come from",
        ),
        StoreFailureKind::NoBucket => Some(
            "make the bucket first, for strongroom makes none; or the address, the endpoint or the region is another one's",
        ),
        StoreFailureKind::Elsewhere => {
            Some("say in the configuration where the bucket is: `region`, or `endpoint`")
        }
        StoreFailureKind::Unsupported => {
            Some("strongroom doctor, which says what the store can do")
        }
        StoreFailureKind::Other => None,
    }
}
