use std::error::Error as StdError;
use std::fmt::Display;

use archive::WriterError;
use format::{DescriptionError, JobName, PluginError, RecipientError, SealError, WriterId};

use crate::store::StoreFailure;

/// What went wrong with a repository, and with which of its objects.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing.
    #[error("there is no repository at {place}")]
    NoRepository {
        /// The address.
        place: String,
    },
    /// There is something else, or a newer version.
    #[error("{place} cannot be used: {reason}")]
    Unusable {
        /// The address.
        place: String,
        /// Why: in particular whether it is newer.
        reason: DescriptionError,
    },
    /// `init` found one.
    #[error("there is a repository at {place} already")]
    Exists {
        /// The address.
        place: String,
    },
    /// The store refused or failed.
    #[error("{operation} {object}")]
    Store {
        /// "read", "create", "list".
        operation: &'static str,
        /// The object's name.
        object: String,
        /// Why, in the store's own words.
        source: StoreFailure,
    },
    /// An object that a commit names is not there.
    #[error("{object} is missing")]
    Missing {
        /// The object's name.
        object: String,
    },
    /// An object is not what the commit says, or what it must be.
    #[error("{object} is damaged: {detail}")]
    Damaged {
        /// The object's name.
        object: String,
        /// One clause.
        detail: String,
    },
    /// No identity opens the run.
    #[error("none of the identities given opens {snapshot}, which is sealed to {recipients}")]
    NoIdentity {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// Their public keys.
        recipients: String,
    },
    /// What would open the run needs a plugin, which did not do it.
    #[error("{snapshot} cannot be opened")]
    Plugin {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// The plugin, and what it did.
        #[source]
        cause: PluginError,
    },
    /// The data key of a new run cannot be sealed to the recipients.
    #[error("the snapshot of {job} cannot be sealed to its recipients")]
    Seal {
        /// The job.
        job: JobName,
        /// Which of them, and why.
        #[source]
        cause: SealError,
    },
    /// What runs are to be sealed to is no list of recipients.
    #[error("{job} cannot be sealed to these recipients")]
    Recipients {
        /// The job.
        job: JobName,
        /// Which of them, and why.
        #[source]
        cause: RecipientError,
    },
    /// A rotation would leave a run without recipients.
    #[error("{snapshot} would be sealed to nobody; nothing was changed")]
    NobodyLeft {
        /// `JOB/NUMBER`.
        snapshot: String,
    },
    /// What a rotation seals must be opened again before what was there goes.
    #[error(
        "{snapshot} would be sealed to {recipients}, and none of the identities given can show that one of these opens it; it was left as it was"
    )]
    NotOpenedAgain {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// Their public keys.
        recipients: String,
    },
    /// The snapshot is signed by someone whom the reader does not trust.
    #[error("{snapshot} was written by {writer}, which is not a trusted writer")]
    Untrusted {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// Its writer.
        writer: WriterId,
    },
    /// The snapshot's writer was revoked before it was written.
    #[error("{snapshot} was written by {writer}, whom commit {job}/{by} revoked")]
    Revoked {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// Its writer.
        writer: WriterId,
        /// The job.
        job: JobName,
        /// The number of the commit that says so.
        by: u64,
    },
    /// The snapshot is by a trusted writer, but somebody else put it there.
    #[error("{snapshot} was put there by {appender}, which is not a trusted key")]
    UntrustedAppender {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// Who signed its place in the log.
        appender: WriterId,
    },
    /// Whoever wants to append was revoked.
    #[error(
        "the writer {writer} of this host was revoked by commit {job}/{by}: nothing that it signs counts"
    )]
    WriterRevoked {
        /// The writer.
        writer: WriterId,
        /// The job.
        job: JobName,
        /// The number of the commit that says so.
        by: u64,
    },
    /// The log was pruned by a maintainer whom the reader does not trust, so that it cannot tell what counts.
    #[error(
        "{job} was pruned (commit {job}/{number}) by {maintainer}, who is not a trusted maintainer: which of its commits count cannot be told"
    )]
    ForeignPrune {
        /// The job.
        job: JobName,
        /// The prune.
        number: u64,
        /// Who signed it.
        maintainer: WriterId,
    },
    /// What opens the snapshot was put in place by a maintainer whom the reader does not trust.
    #[error(
        "{snapshot} was sealed anew (commit {job}/{number}) by {maintainer}, who is not a trusted maintainer, and what opened it before is gone"
    )]
    ForeignRotation {
        /// `JOB/NUMBER`.
        snapshot: String,
        /// The job.
        job: JobName,
        /// The rotation.
        number: u64,
        /// Who signed it.
        maintainer: WriterId,
    },
    /// A prune would make it final that commits are lost, a rotation would leave out what stands behind them.
    #[error(
        "commit {job}/{number} is damaged ({reason}), and what only it names, or what stands behind it, would be left out of account"
    )]
    DamagedLog {
        /// The job.
        job: JobName,
        /// The highest damaged commit.
        number: u64,
        /// One clause.
        reason: String,
    },
    /// A trusted key appended a commit of a kind from the future.
    #[error(
        "commit {number} of {job} is of a kind that this program does not know: a newer strongroom is needed"
    )]
    NewerCommit {
        /// The job.
        job: JobName,
        /// The commit.
        number: u64,
    },
    /// A list lacks what is there: the highest number of a log never goes away.
    #[error(
        "{object} is there, and the store does not list it: its lists are not up to date; look later whether something was committed"
    )]
    NotListed {
        /// The object's name.
        object: String,
    },
    /// Others kept appending to the log.
    #[error("other backups of {job} were faster each time; nothing was committed")]
    Contended {
        /// The job.
        job: JobName,
    },
    /// A repository would be copied to itself, or to what was moved from it.
    #[error("{place} and {other} are one repository: there is nothing to copy between them")]
    SameRepository {
        /// Its address.
        place: String,
        /// And the other one.
        other: String,
    },
    /// There is no such snapshot.
    #[error("there is no snapshot {snapshot}")]
    NoSnapshot {
        /// As it was asked for.
        snapshot: String,
    },
    /// A source broke the contract of the archive, or a limit of it.
    #[error("source {source_name} cannot be stored")]
    Source {
        /// Its name in the job.
        source_name: String,
        /// What it did.
        #[source]
        cause: WriterError,
    },
    /// What would be written exceeds a limit of the format.
    #[error("{what} exceeds a limit of the format")]
    Limit {
        /// What, and which limit.
        what: String,
    },
    /// The same failure, seen by several readers of one object.
    #[error("{0}")]
    Shared(std::sync::Arc<Error>),
}

impl Error {
    pub(crate) fn damaged(object: impl Into<String>, detail: impl Display) -> Self {
        Self::Damaged {
            object: object.into(),
            detail: format!("{detail}"),
        }
    }

    /// Whether it says that stored bytes are lost or wrong.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } => true,
            Self::Shared(error) => error.is_damage(),
            _ => false,
        }
    }

    /// The same damage once more, for the next who needs what is damaged; `None` if it is none.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Missing { object } => Some(Self::Missing {
                object: object.clone(),
            }),
            Self::Damaged { object, detail } => Some(Self::damaged(object.as_str(), detail)),
            Self::Shared(error) => error.again(),
            _ => None,
        }
    }

    /// Whether it says that nothing was changed: the store refused.
    pub(crate) fn is_certain(&self) -> bool {
        matches!(self, Self::Store { source, .. } if source.is_certain())
    }

    /// The error itself, where several readers share it.
    pub fn kind(&self) -> &Self {
        match self {
            Self::Shared(error) => error.kind(),
            error => error,
        }
    }
}

/// A short text for what a `?` on a foreign error found.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
