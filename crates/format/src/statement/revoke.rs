use serde::{Deserialize, Serialize};

use crate::{JobName, REVOKED_MAX, RepositoryId, WriterId};

/// Writers whose later snapshots nobody is to trust, whatever a configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeStatement {
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
    /// The public keys, ascending, at least one.
    pub writers: Vec<WriterId>,
    /// The last number of which a commit by them still counts; 0: none does.
    pub after: u64,
}

impl RevokeStatement {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.writers.is_empty() || self.writers.len() > REVOKED_MAX {
            return Err("its number of writers");
        }
        if !self.writers.is_sorted_by(|a, b| a < b) {
            return Err("its writers are out of order");
        }
        Ok(())
    }
}
