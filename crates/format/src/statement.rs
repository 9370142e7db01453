use archive::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    IdError, JobName, PACK_MAX, RECIPIENT_MAX, RECIPIENTS_MAX, RUNS_MAX, RepositoryId, RunId,
    SOURCES_MAX, WriterId,
};

/// What a commit says, signed by its writer apart from the log, so that `copy` can carry it to another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Statement {
    /// A snapshot.
    Snapshot(Box<SnapshotStatement>),
    /// What may be deleted.
    Prune(PruneStatement),
}

/// A snapshot and everything that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotStatement {
    /// The repository that it was made for.
    pub repository: RepositoryId,
    /// The job that it was made for.
    pub job: JobName,
    /// Who made it.
    pub writer: WriterId,
    /// Program and version.
    pub program: String,
    /// When the backup began, RFC 3339.
    pub started: String,
    /// When the last source had been read, RFC 3339.
    pub finished: String,
    /// The times of each source, in the manifest's order.
    pub sources: Vec<SourceTimes>,
    /// An entry could not be read whole.
    pub partial: bool,
    /// Entries of all sources.
    pub entries: u64,
    /// Content of all sources, in bytes.
    pub bytes: u64,
    /// Bytes of the objects that this backup uploaded, without the commit.
    pub added: u64,
    /// The recipients of its first run.
    pub recipients: Vec<String>,
    /// The snapshot that it was deduplicated against.
    pub parent: Option<CommitRef>,
    /// The run that holds manifest and map, then the runs of its origins; all objects that it needs.
    pub runs: Vec<Run>,
}

/// When a source was read, RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTimes {
    /// Before the first byte.
    pub started: String,
    /// After the last.
    pub finished: String,
}

/// A commit by number and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitRef {
    /// In the job's log.
    pub number: u64,
    /// Of the whole object.
    #[serde(with = "digest_text")]
    pub digest: Digest,
}

/// The objects of a run that a snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The run.
    pub run: RunId,
    /// Its data key for the recipients.
    pub key: Object,
    /// Its manifest.
    pub manifest: Object,
    /// Its map.
    pub map: Object,
    /// Number, size and digest of its packs, ascending.
    pub packs: Vec<Pack>,
}

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    #[serde(with = "digest_text")]
    pub digest: Digest,
}

/// A pack: `[number, size, digest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// In its run.
    pub number: u32,
    /// The object.
    pub object: Object,
}

impl Serialize for Pack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            self.number,
            self.object.size,
            self.object.digest.to_string(),
        )
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, size, digest) = <(u32, u64, String)>::deserialize(deserializer)?;
        let digest = digest.parse().map_err(de::Error::custom)?;
        Ok(Self {
            number,
            object: Object { size, digest },
        })
    }
}

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

/// A digest as JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DigestText(#[serde(with = "digest_text")] pub Digest);

mod digest_text {
    use super::{Deserialize, Deserializer, Digest, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        digest.to_string().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}

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
            Self::Snapshot(snapshot) => (snapshot.repository, &snapshot.job, snapshot.writer),
            Self::Prune(prune) => (prune.repository, &prune.job, prune.writer),
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
        if head.kind != "snapshot" && head.kind != "prune" {
            let made_for = (head.repository, head.job);
            return Err(StatementError::UnknownKind { made_for });
        }
        let statement: Self = serde_json::from_str(line).map_err(|_| StatementError::Grammar)?;
        if let Self::Snapshot(snapshot) = &statement {
            snapshot.check().map_err(StatementError::Rule)?;
        }
        Ok(statement)
    }
}

impl SnapshotStatement {
    /// All objects that the snapshot needs, as (run, object name within the run, object).
    pub fn objects(&self) -> impl Iterator<Item = (RunId, String, Object)> {
        self.runs.iter().flat_map(|run| {
            let fixed = [
                ("key", run.key),
                ("manifest", run.manifest),
                ("map", run.map),
            ];
            let packs = run
                .packs
                .iter()
                .map(|pack| (pack_name(pack.number), pack.object));
            fixed
                .into_iter()
                .map(|(name, object)| (name.to_owned(), object))
                .chain(packs)
                .map(|(name, object)| (run.run, name, object))
        })
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.runs.is_empty() || self.runs.len() > RUNS_MAX {
            return Err("its number of runs");
        }
        if self.sources.len() > SOURCES_MAX {
            return Err("its number of sources");
        }
        let recipients = &self.recipients;
        if recipients.len() > RECIPIENTS_MAX || recipients.iter().any(|r| r.len() > RECIPIENT_MAX) {
            return Err("its recipients");
        }
        let mut runs: Vec<RunId> = self.runs.iter().map(|run| run.run).collect();
        runs.sort_unstable();
        if runs.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it lists a run twice");
        }
        for run in &self.runs {
            if !run.packs.is_sorted_by(|a, b| a.number < b.number) {
                return Err("its packs are out of order");
            }
            if run.packs.iter().any(|pack| pack.object.size > PACK_MAX) {
                return Err("a pack is too long");
            }
        }
        Ok(())
    }
}

/// The name of a pack within its run.
pub fn pack_name(number: u32) -> String {
    format!("pack-{number:06}")
}
