use serde::{Deserialize, Serialize};

use crate::{IdError, JobName, RepositoryId, WriterId};

mod object;

mod snapshot;

mod forget;
mod pin;
mod prune;
mod revoke;
mod rotate;

pub use forget::ForgetStatement;
pub(crate) use object::present;
pub use object::{CommitRef, DigestText, Object};
pub use pin::PinStatement;
pub use prune::{Condemned, PruneStatement};
pub use revoke::RevokeStatement;
pub(crate) use rotate::check_recipients;
pub use rotate::{KeyName, KeyNameError, KeyPair, RotateStatement, RotatedRun};
pub use snapshot::{Pack, Run, SnapshotStatement, SourceTimes, pack_name};

/// What a commit says, signed by its writer apart from the log, so that `copy` can carry it to another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Statement {
    /// A snapshot.
    Snapshot(Box<SnapshotStatement>),
    /// What may be deleted.
    Prune(PruneStatement),
    /// A snapshot that is to stay.
    Pin(PinStatement),
    /// Snapshots that are to go.
    Forget(ForgetStatement),
    /// Writers that are trusted no more.
    Revoke(RevokeStatement),
    /// Data keys that were sealed to other recipients.
    Rotate(RotateStatement),
}

/// The kinds that this version knows.
const KINDS: [&str; 6] = ["snapshot", "prune", "pin", "forget", "revoke", "rotate"];

/// A well-formed statement that breaks a rule of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    #[error("it is not a statement that this version knows")]
    Grammar,
    #[error("it is of a kind that this version does not know")]
    UnknownKind { made_for: (RepositoryId, JobName) },
    #[error("{0}")]
    Rule(&'static str),
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Statement {
    /// The repository, job and writer that it names.
    pub fn made_for(&self) -> (RepositoryId, &JobName, WriterId) {
        match self {
            Self::Snapshot(it) => (it.repository, &it.job, it.writer),
            Self::Prune(it) => (it.repository, &it.job, it.writer),
            Self::Pin(it) => (it.repository, &it.job, it.writer),
            Self::Forget(it) => (it.repository, &it.job, it.writer),
            Self::Revoke(it) => (it.repository, &it.job, it.writer),
            Self::Rotate(it) => (it.repository, &it.job, it.writer),
        }
    }

    pub(crate) fn parse(line: &str) -> Result<Self, StatementError> {
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            repository: RepositoryId,
            job: JobName,
        }
        let head: Head = serde_json::from_str(line).map_err(|_| StatementError::Grammar)?;
        if !KINDS.contains(&head.kind.as_str()) {
            let made_for = (head.repository, head.job);
            return Err(StatementError::UnknownKind { made_for });
        }
        let statement: Self = serde_json::from_str(line).map_err(|_| StatementError::Grammar)?;
        statement.check().map_err(StatementError::Rule)?;
        Ok(statement)
    }

    /// What the grammar does not say.
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Snapshot(snapshot) => snapshot.check(),
            Self::Forget(forget) => forget.check(),
            Self::Revoke(revoke) => revoke.check(),
            Self::Rotate(rotate) => rotate.check(),
            Self::Prune(_) | Self::Pin(_) => Ok(()),
        }
    }
}
