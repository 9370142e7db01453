use archive::put_varint;

use crate::manifest::{decode_origins, encode_origins};
use crate::parse::{Parse, put_bytes};
use crate::seal::{Kind, open, seal};
use crate::{MANIFEST_MAX, OpenError, Origin, Place, Ranges, Tag, WriterKey, padding};

const MAGIC: &[u8; 8] = b"SRMAP001";
const VERSION: u64 = 1;

/// What the writer needs to find again what is stored: positions and tags, never contents. Disposable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// [`crate::Manifest::head_digest`] of the manifest beside it.
    pub head: [u8; 32],
    /// What ranges refer to by index.
    pub origins: Vec<Origin>,
    /// As in the manifest.
    pub sources: Vec<MappedSource>,
    /// What this run stored, by stream number.
    pub stored: Vec<StoredTags>,
}

/// Where a source's streams are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedSource {
    /// The source.
    pub name: String,
    /// Its content stream.
    pub content: Ranges,
    /// Its catalog stream.
    pub catalog: Ranges,
}

/// The new chunks of one stream of this run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredTags {
    /// Per frame: its pack, and how many chunks it has.
    pub frames: Vec<(u32, u32)>,
    /// Per chunk.
    pub tags: Vec<Tag>,
}

impl StoredTags {
    /// The pack that holds chunk number `chunk`.
    pub fn packs(&self) -> impl Iterator<Item = (u32, std::ops::Range<u32>)> {
        self.frames.iter().scan(0_u32, |first, &(pack, chunks)| {
            let start = *first;
            *first += chunks;
            Some((pack, start..*first))
        })
    }
}

/// Why a map cannot be used. The remedy is always the same: store everything again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the map does not open: it is damaged, or another writer's")]
pub struct MapError;

impl From<OpenError> for MapError {
    fn from(_: OpenError) -> Self {
        Self
    }
}

impl Map {
    /// The map's bytes for the run at `place`; `None` if they would be longer than the format allows: do without.
    pub fn seal(&self, writer: &WriterKey, place: &Place) -> Option<Vec<u8>> {
        let mut message = padding::pad(&self.encode());
        if message.len() as u64 > MANIFEST_MAX - 64 {
            return None;
        }
        seal(&writer.map_key(place.run), place, Kind::Map, &mut message);
        Some([&MAGIC[..], &message].concat())
    }

    /// Opens a map object.
    pub fn open(object: &[u8], writer: &WriterKey, place: &Place) -> Result<Self, MapError> {
        let mut message = object.strip_prefix(MAGIC).ok_or(MapError)?.to_vec();
        let padded = open(&writer.map_key(place.run), place, Kind::Map, &mut message)?;
        let body = padding::unpad(padded).ok_or(MapError)?;
        decode(&body).ok_or(MapError)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, VERSION);
        out.extend_from_slice(&self.head);
        encode_origins(&self.origins, &mut out);
        put_varint(&mut out, self.sources.len() as u64);
        for source in &self.sources {
            put_bytes(&mut out, source.name.as_bytes());
            source.content.encode(&mut out);
            source.catalog.encode(&mut out);
        }
        put_varint(&mut out, self.stored.len() as u64);
        for stored in &self.stored {
            put_varint(&mut out, stored.frames.len() as u64);
            for (pack, chunks) in &stored.frames {
                put_varint(&mut out, (*pack).into());
                put_varint(&mut out, (*chunks).into());
            }
            out.extend_from_slice(stored.tags.as_flattened());
        }
        out
    }
}

fn decode(body: &[u8]) -> Option<Map> {
    let mut input = Parse(body);
    (input.varint()? == VERSION).then_some(())?;
    let head = input.array()?;
    let origins = decode_origins(&mut input)?;
    let sources = input.list(3, |input| {
        Some(MappedSource {
            name: input.string()?,
            content: Ranges::decode(input, origins.len())?,
            catalog: Ranges::decode(input, origins.len())?,
        })
    })?;
    let stored = input.list(1, decode_stored)?;
    input.end()?;
    Some(Map {
        head,
        origins,
        sources,
        stored,
    })
}

fn decode_stored(input: &mut Parse<'_>) -> Option<StoredTags> {
    let frames = input.list(2, |input| Some((input.u32()?, input.u32()?)))?;
    let chunks = frames
        .iter()
        .try_fold(0_u32, |sum, (_, chunks)| sum.checked_add(*chunks))?;
    let tags = input.take((chunks as usize).checked_mul(16)?)?;
    Some(StoredTags {
        frames,
        tags: tags.as_chunks().0.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RepositoryId, RunId};

    #[test]
    fn a_map_opens_for_its_writer_and_run_only() {
        let place = Place {
            repository: RepositoryId([1; 16]),
            job: "prod".parse().expect("a job name"),
            run: RunId([2; 16]),
        };
        let mut content = Ranges::default();
        content.push(0, 0, 4096);
        let map = Map {
            head: [5; 32],
            origins: vec![Origin {
                run: RunId([2; 16]),
                stream: 0,
            }],
            sources: vec![MappedSource {
                name: "etcd".into(),
                content,
                ..Default::default()
            }],
            stored: vec![
                StoredTags {
                    frames: vec![(0, 2), (1, 1)],
                    tags: vec![[1; 16], [2; 16], [3; 16]],
                },
                StoredTags::default(),
            ],
        };
        let writer = WriterKey::generate();
        let object = map.seal(&writer, &place).expect("a small map");
        assert_eq!(Map::open(&object, &writer, &place).as_ref(), Ok(&map));
        assert_eq!(
            Map::open(&object, &WriterKey::generate(), &place),
            Err(MapError)
        );
        let elsewhere = Place {
            run: RunId([3; 16]),
            ..place.clone()
        };
        assert_eq!(Map::open(&object, &writer, &elsewhere), Err(MapError));
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 0x40;
            assert_eq!(
                Map::open(&damaged, &writer, &place),
                Err(MapError),
                "byte {at}"
            );
        }
        let packs: Vec<_> = map.stored[0].packs().collect();
        assert_eq!(packs, [(0, 0..2), (1, 2..3)]);
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body: Vec<u8>) {
            let _ = decode(&body);
        }

        #[test]
        fn a_chunk_is_found_in_the_pack_that_its_frame_went_to(
            frames in proptest::collection::vec((0_u32..4, 0_u32..9), 0..30),
        ) {
            // As a reader would look: every chunk by its number.
            let mut model = std::collections::BTreeMap::new();
            for (pack, chunks) in &frames {
                for _ in 0..*chunks {
                    model.insert(model.len() as u32, *pack);
                }
            }
            let stored = StoredTags { frames, tags: vec![[0; 16]; model.len()] };
            let found = stored.packs().flat_map(|(pack, chunks)| chunks.map(move |chunk| (chunk, pack)));
            proptest::prop_assert!(found.eq(model));
        }
    }
}
