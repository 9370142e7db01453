use serde::{Deserialize, Serialize};

use crate::{CommitRef, JobName, RepositoryId, WriterId};

/// A snapshot that no prune may drop, or may drop again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinStatement {
    /// The repository that it was made for.
    pub repository: RepositoryId,
    /// The job that it was made for.
    pub job: JobName,
    /// Who pins: a writer or a maintainer. Only a maintainer may lift a pin.
    pub writer: WriterId,
    /// Program and version.
    pub program: String,
    /// RFC 3339.
    pub started: String,
    /// The snapshot.
    pub snapshot: CommitRef,
    /// `false` lifts the pin.
    pub pinned: bool,
}
