use std::collections::{BTreeMap, HashSet};

use archive::{Digest, Name, put_varint};

use crate::parse::{Parse, put_bytes};
use crate::seal::{Kind, open, seal};
use crate::{
    CHUNK_MAX, DataKey, FRAME_MAX, GROUP_MAX, MANIFEST_MAX, OpenError, Origin, Place, RUNS_MAX,
    Ranges, RunId, SOURCES_MAX, WriterKey, padding,
};

const MAGIC: &[u8; 8] = b"SRMANIF1";
const VERSION: u64 = 1;

/// What a snapshot holds: its sources, where the chunks of their streams are, and what this run stored anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration that took the snapshot, without secrets; may be empty.
    pub configuration: String,
    /// What ranges refer to by index.
    pub origins: Vec<Origin>,
    /// In the order of the job's sources.
    pub sources: Vec<ManifestSource>,
    /// This run's new chunks: exactly two streams a source, content then catalog; empty where nothing was new.
    pub stored: Vec<Vec<FrameRow>>,
}

/// One source of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestSource {
    /// Unique in the snapshot.
    pub name: String,
    /// `files`, `etcd`, and so on.
    pub kind: String,
    /// What the source said about the system.
    pub facts: BTreeMap<String, String>,
    /// What could not be read whole.
    pub incomplete: Vec<Incomplete>,
    /// How many entries the catalog has.
    pub entries: u64,
    /// Values and files, end to end.
    pub content: Stream,
    /// One record per entry.
    pub catalog: Stream,
}

/// An entry that is missing from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// The entry.
    pub name: Name,
    /// One clause.
    pub reason: String,
}

/// The chunks of a stream and what they must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// In stream order.
    pub ranges: Ranges,
    /// Tile the stream's chunks.
    pub groups: Vec<Group>,
}

/// Consecutive chunks that are authenticated together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How many, at least one.
    pub chunks: u32,
    /// Of all of them, in bytes.
    pub length: u64,
    /// BLAKE3 of their plain hashes, end to end.
    pub digest: Digest,
}

/// One frame of a stored stream; its number is its position in the stream's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRow {
    /// The pack that holds it.
    pub pack: u32,
    /// Where in the pack, in bytes.
    pub offset: u32,
    /// With the tag, in bytes.
    pub sealed: u32,
    /// The lengths of its chunks; none: padding.
    pub chunks: Vec<u32>,
}

/// Why a manifest object is not one, or not of this run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The seal does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It commits to another data key than the key object holds.
    #[error("it was sealed with another data key than the run's key object holds")]
    Commitment,
    /// It opens, and contradicts itself or the limits.
    #[error("it opens, but what it says makes no sense: {0}")]
    Contents(&'static str),
    /// It is longer than the format allows.
    #[error(
        "it would be longer than the {MANIFEST_MAX} bytes that the format allows: split the job"
    )]
    TooLong,
}

impl Manifest {
    /// The manifest's bytes for the run at `place`.
    pub fn seal(&self, key: &DataKey, place: &Place) -> Result<Vec<u8>, ManifestError> {
        let mut body = self.head();
        encode_stored(&self.stored, &mut body);
        let mut message = padding::pad(&body);
        if body.len() as u64 > MANIFEST_MAX || message.len() as u64 > MANIFEST_MAX - 64 {
            return Err(ManifestError::TooLong);
        }
        seal(&key.manifest_key(), place, Kind::Manifest, &mut message);
        Ok([&MAGIC[..], &key.commitment(), &message].concat())
    }

    /// Opens and checks a manifest object. What it returns agrees with itself and with the limits.
    pub fn open(object: &[u8], key: &DataKey, place: &Place) -> Result<Self, ManifestError> {
        let rest = object.strip_prefix(MAGIC).ok_or(OpenError)?;
        let (commitment, sealed) = rest.split_first_chunk::<32>().ok_or(OpenError)?;
        if *commitment != key.commitment() {
            return Err(ManifestError::Commitment);
        }
        let mut message = sealed.to_vec();
        let padded = open(&key.manifest_key(), place, Kind::Manifest, &mut message)?;
        let body = padding::unpad(padded).ok_or(ManifestError::Contents("its padding"))?;
        let manifest = decode(&body).ok_or(ManifestError::Contents("its grammar"))?;
        manifest.check().map_err(ManifestError::Contents)?;
        Ok(manifest)
    }

    /// A keyed digest of everything but what was stored anew: equal for a source that did not change.
    pub fn head_digest(&self, writer: &WriterKey) -> [u8; 32] {
        writer.head_digest(&self.head())
    }

    fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, VERSION);
        put_bytes(&mut out, self.configuration.as_bytes());
        encode_origins(&self.origins, &mut out);
        put_varint(&mut out, self.sources.len() as u64);
        for source in &self.sources {
            source.encode(&mut out);
        }
        out
    }

    /// What the grammar alone does not say. An error names the rule that is broken.
    fn check(&self) -> Result<(), &'static str> {
        if self.sources.len() > SOURCES_MAX || self.origins.len() > RUNS_MAX * 2 * SOURCES_MAX {
            return Err("its number of sources or origins");
        }
        let distinct: HashSet<&Origin> = self.origins.iter().collect();
        if distinct.len() != self.origins.len() {
            return Err("an origin that is listed twice");
        }
        if self.stored.len() != self.sources.len() * 2 {
            return Err("its number of streams");
        }
        for source in &self.sources {
            check_stream(&source.content)?;
            check_stream(&source.catalog)?;
        }
        for frame in self.stored.iter().flatten() {
            let length: u64 = frame.chunks.iter().map(|length| u64::from(*length)).sum();
            let sane = |length: &u32| (1..=CHUNK_MAX as u32).contains(length);
            if length > FRAME_MAX as u64 || !frame.chunks.iter().all(sane) {
                return Err("the lengths of a frame's chunks");
            }
        }
        Ok(())
    }
}

fn check_stream(stream: &Stream) -> Result<(), &'static str> {
    if stream.groups.iter().any(|group| group.length > GROUP_MAX) {
        return Err("the length of a group");
    }
    let chunks: u64 = stream
        .groups
        .iter()
        .map(|group| u64::from(group.chunks))
        .sum();
    let length = stream
        .groups
        .iter()
        .try_fold(0_u64, |sum, group| sum.checked_add(group.length));
    if chunks != stream.ranges.chunks() || length != Some(stream.ranges.length()) {
        return Err("ranges and groups disagree");
    }
    Ok(())
}

impl ManifestSource {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name.as_bytes());
        put_bytes(out, self.kind.as_bytes());
        put_varint(out, self.facts.len() as u64);
        for (name, value) in &self.facts {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
        put_varint(out, self.incomplete.len() as u64);
        for incomplete in &self.incomplete {
            put_bytes(out, incomplete.name.as_bytes());
            put_bytes(out, incomplete.reason.as_bytes());
        }
        put_varint(out, self.entries);
        self.content.encode(out);
        self.catalog.encode(out);
    }

    fn decode(input: &mut Parse<'_>, origins: usize) -> Option<Self> {
        Some(Self {
            name: input.string()?,
            kind: input.string()?,
            facts: decode_facts(input)?,
            incomplete: input.list(2, |input| {
                Some(Incomplete {
                    name: Name::new(input.bytes()?),
                    reason: input.string()?,
                })
            })?,
            entries: input.varint()?,
            content: Stream::decode(input, origins)?,
            catalog: Stream::decode(input, origins)?,
        })
    }
}

fn decode_facts(input: &mut Parse<'_>) -> Option<BTreeMap<String, String>> {
    let facts = input.list(2, |input| Some((input.string()?, input.string()?)))?;
    facts
        .is_sorted_by(|a, b| a.0 < b.0)
        .then(|| facts.into_iter().collect())
}

impl Stream {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ranges.length());
        self.ranges.encode(out);
        put_varint(out, self.groups.len() as u64);
        for group in &self.groups {
            put_varint(out, group.chunks.into());
            put_varint(out, group.length);
            out.extend_from_slice(&group.digest.0);
        }
    }

    fn decode(input: &mut Parse<'_>, origins: usize) -> Option<Self> {
        let length = input.varint()?;
        let ranges = Ranges::decode(input, origins)?;
        let groups = input.list(34, |input| {
            let chunks = input.u32().filter(|chunks| *chunks > 0)?;
            Some(Group {
                chunks,
                length: input.varint()?,
                digest: input.digest()?,
            })
        })?;
        (ranges.length() == length).then_some(Self { ranges, groups })
    }
}

pub(crate) fn encode_origins(origins: &[Origin], out: &mut Vec<u8>) {
    put_varint(out, origins.len() as u64);
    for origin in origins {
        out.extend_from_slice(&origin.run.0);
        put_varint(out, origin.stream.into());
    }
}

pub(crate) fn decode_origins(input: &mut Parse<'_>) -> Option<Vec<Origin>> {
    input.list(17, |input| {
        Some(Origin {
            run: RunId(input.array()?),
            stream: input.u32()?,
        })
    })
}

fn encode_stored(stored: &[Vec<FrameRow>], out: &mut Vec<u8>) {
    put_varint(out, stored.len() as u64);
    for frames in stored {
        put_varint(out, frames.len() as u64);
        for frame in frames {
            put_varint(out, frame.pack.into());
            put_varint(out, frame.offset.into());
            put_varint(out, frame.sealed.into());
            put_varint(out, frame.chunks.len() as u64);
            for length in &frame.chunks {
                put_varint(out, (*length).into());
            }
        }
    }
}

fn decode(body: &[u8]) -> Option<Manifest> {
    let mut input = Parse(body);
    (input.varint()? == VERSION).then_some(())?;
    let configuration = input.string()?;
    let origins = decode_origins(&mut input)?;
    let sources = input.list(8, |input| ManifestSource::decode(input, origins.len()))?;
    let stored = input.list(1, |input| {
        input.list(4, |input| {
            Some(FrameRow {
                pack: input.u32()?,
                offset: input.u32()?,
                sealed: input.u32()?,
                chunks: input.list(1, Parse::u32)?,
            })
        })
    })?;
    input.end()?;
    Some(Manifest {
        configuration,
        origins,
        sources,
        stored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RepositoryId;

    fn place() -> Place {
        Place {
            repository: RepositoryId([1; 16]),
            job: "prod".parse().expect("a job name"),
            run: RunId([2; 16]),
        }
    }

    fn manifest() -> Manifest {
        let mut ranges = Ranges::default();
        ranges.push(0, 0, 100);
        ranges.push(1, 7, 50);
        let digest = Digest::of(b"hashes");
        let content = Stream {
            ranges,
            groups: vec![Group {
                chunks: 2,
                length: 150,
                digest,
            }],
        };
        Manifest {
            configuration: "jobs: {}".into(),
            origins: vec![
                Origin {
                    run: RunId([2; 16]),
                    stream: 0,
                },
                Origin {
                    run: RunId([3; 16]),
                    stream: 4,
                },
            ],
            sources: vec![ManifestSource {
                name: "etcd".into(),
                kind: "etcd".into(),
                facts: BTreeMap::from([("revision".into(), "7".into())]),
                incomplete: vec![Incomplete {
                    name: "x".into(),
                    reason: "vanished".into(),
                }],
                entries: 1,
                content,
                catalog: Stream::default(),
            }],
            stored: vec![
                vec![FrameRow {
                    pack: 0,
                    offset: 0,
                    sealed: 117,
                    chunks: vec![100],
                }],
                vec![],
            ],
        }
    }

    #[test]
    fn a_manifest_comes_back_under_its_key_only() {
        let (key, other) = (DataKey::random(), DataKey::random());
        let object = manifest().seal(&key, &place()).expect("a small manifest");
        assert_eq!(Manifest::open(&object, &key, &place()), Ok(manifest()));
        assert_eq!(
            Manifest::open(&object, &other, &place()),
            Err(ManifestError::Commitment)
        );
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 1;
            assert!(
                Manifest::open(&damaged, &key, &place()).is_err(),
                "byte {at}"
            );
            assert!(
                Manifest::open(&object[..at], &key, &place()).is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn manifests_that_contradict_themselves_are_refused() {
        type Break = fn(&mut Manifest);
        let breaks: [(&str, Break); 8] = [
            ("an origin twice", |m| m.origins[1] = m.origins[0]),
            ("a giant group", |m| {
                m.sources[0].content.groups[0].length = GROUP_MAX + 1;
            }),
            ("a group too few", |m| m.sources[0].content.groups.clear()),
            ("a group too long", |m| {
                m.sources[0].content.groups[0].length += 1;
            }),
            ("a stream too few", |m| drop(m.stored.pop())),
            ("an empty chunk", |m| m.stored[0][0].chunks = vec![0]),
            ("a giant chunk", |m| {
                m.stored[0][0].chunks = vec![CHUNK_MAX as u32 + 1];
            }),
            ("a giant frame", |m| {
                m.stored[0][0].chunks = vec![CHUNK_MAX as u32; 5];
            }),
        ];
        let key = DataKey::random();
        for (case, harm) in breaks {
            let mut manifest = manifest();
            harm(&mut manifest);
            let object = manifest.seal(&key, &place()).expect("a small manifest");
            let opened = Manifest::open(&object, &key, &place());
            assert!(matches!(opened, Err(ManifestError::Contents(_))), "{case}");
        }
    }

    #[test]
    fn the_head_says_whether_a_source_changed() {
        let writer = WriterKey::generate();
        let (same, mut changed) = (manifest(), manifest());
        changed.sources[0]
            .facts
            .insert("revision".into(), "8".into());
        assert_eq!(manifest().head_digest(&writer), same.head_digest(&writer));
        assert_ne!(
            manifest().head_digest(&writer),
            changed.head_digest(&writer)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body: Vec<u8>) {
            let _ = decode(&body).map(|manifest| manifest.check());
        }
    }
}
