use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::object::present;
use super::rotate::check_recipients;
use crate::{
    CommitRef, JobName, KeyName, KeyPair, Object, PACK_MAX, RUNS_MAX, RepositoryId, RunId,
    SOURCES_MAX, WriterId,
};

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

/// The objects of a run that a snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The run.
    pub run: RunId,
    /// Its data key for the recipients.
    pub key: Object,
    /// Its data key for the post-quantum recipients, where there are others too.
    #[serde(
        rename = "key-pq",
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_pq: Option<Object>,
    /// Its manifest.
    pub manifest: Object,
    /// Its map.
    pub map: Object,
    /// Number, size and digest of its packs, ascending.
    pub packs: Vec<Pack>,
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

impl Run {
    /// The key objects that its backup made.
    pub fn keys(&self) -> KeyPair {
        KeyPair {
            name: KeyName::ORIGINAL,
            key: self.key,
            key_pq: self.key_pq,
        }
    }

    /// All its objects that a snapshot needs, by their names within the run; `keys` are those that open it now.
    pub fn objects(&self, keys: KeyPair) -> impl Iterator<Item = (String, Object)> {
        let fixed = [("manifest", self.manifest), ("map", self.map)];
        let fixed = fixed.map(|(name, object)| (name.to_owned(), object));
        let packs = self.packs.iter();
        let packs = packs.map(|pack| (pack_name(pack.number), pack.object));
        keys.objects().chain(fixed).chain(packs)
    }
}

impl SnapshotStatement {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.runs.is_empty() || self.runs.len() > RUNS_MAX {
            return Err("its number of runs");
        }
        if self.sources.len() > SOURCES_MAX {
            return Err("its number of sources");
        }
        check_recipients(&self.recipients)?;
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
