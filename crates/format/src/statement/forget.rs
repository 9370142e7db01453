use serde::{Deserialize, Serialize};

use crate::{CommitRef, JobName, RepositoryId, WriterId};

/// Snapshots that are listed no more, and that the next prune drops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetStatement {
    /// The repository that it was made for.
    pub repository: RepositoryId,
    /// The job that it was made for.
    pub job: JobName,
    /// The maintainer.
    pub writer: WriterId,
    /// Program and version.
    pub program: String,
    /// RFC 3339.
    pub started: String,
    /// The snapshots, ascending by number, at least one.
    pub snapshots: Vec<CommitRef>,
}

impl ForgetStatement {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.snapshots.is_empty() {
            return Err("it forgets nothing");
        }
        if !self.snapshots.is_sorted_by(|a, b| a.number < b.number) {
            return Err("its snapshots are out of order");
        }
        Ok(())
    }
}
