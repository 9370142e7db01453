use serde::{Deserialize, Serialize};

use crate::{DigestText, JobName, RepositoryId, RunId, WriterId};

/// What a maintainer says may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneStatement {
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
    /// The commits below that stay valid.
    pub retains: Vec<(u64, DigestText)>,
    /// What may be deleted.
    pub condemns: Vec<Condemned>,
}

/// A run, or some packs of it, that may be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condemned {
    /// The run.
    pub run: RunId,
    /// All of its objects.
    pub whole: bool,
    /// If not: these packs.
    pub packs: Vec<u32>,
}
