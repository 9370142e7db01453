//! What is sealed or signed comes back as it was, and with any one bit changed it does not come back at all.

#[path = "properties/described.rs"]
mod described;

use std::sync::LazyLock;

use described::{JOB, NUMBER, RUN, commit, copy, manifest, map};
use format::{
    Commit, DataKey, Description, FRAME_MAX, Manifest, Map, Place, RepositoryId, Signed, WriterKey,
    open_frame, seal_frame, seal_padding,
};
use proptest::prelude::*;
use proptest::sample::Index;

static WRITER: LazyLock<WriterKey> = LazyLock::new(WriterKey::generate);
static APPENDER: LazyLock<WriterKey> = LazyLock::new(WriterKey::generate);
static KEY: LazyLock<DataKey> = LazyLock::new(DataKey::random);
static PLACE: LazyLock<Place> = LazyLock::new(|| Place {
    repository: described::REPOSITORY,
    job: JOB.parse().expect("a job name"),
    run: RUN,
});

fn flipped(object: &[u8], at: Index, bit: u8) -> Vec<u8> {
    let mut object = object.to_vec();
    let at = at.index(object.len());
    object[at] ^= 1 << bit;
    object
}

proptest! {
    #[test]
    fn a_manifest_comes_back(manifest in manifest(), at: Index, bit in 0_u8..8) {
        let object = manifest.seal(&KEY, &PLACE).expect("a small manifest");
        prop_assert_eq!(Manifest::open(&object, &KEY, &PLACE), Ok(manifest));
        prop_assert!(Manifest::open(&flipped(&object, at, bit), &KEY, &PLACE).is_err());
    }

    #[test]
    fn a_map_comes_back(map in map(), at: Index, bit in 0_u8..8) {
        let object = map.seal(&WRITER, &PLACE).expect("a small map");
        prop_assert_eq!(Map::open(&object, &WRITER, &PLACE), Ok(map));
        prop_assert!(Map::open(&flipped(&object, at, bit), &WRITER, &PLACE).is_err());
    }

    #[test]
    fn a_commit_comes_back((statement, log) in commit(WRITER.id()), at: Index, bit in 0_u8..8) {
        let object = Commit::encode(&statement, &log, &WRITER);
        let decode = |object: &[u8]| Commit::decode(object, PLACE.repository, &PLACE.job, NUMBER);
        let decoded = decode(&object).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(decoded.statement, statement);
        prop_assert_eq!(decoded.log, log);
        prop_assert_eq!(decoded.digest, archive::Digest::of(&object));
        prop_assert!(decode(&flipped(&object, at, bit)).is_err());
    }

    #[test]
    fn a_copied_commit_comes_back((statement, log) in copy(WRITER.id(), APPENDER.id()), at: Index, bit in 0_u8..8) {
        let object = Signed::new(&statement, &WRITER).append(&log, &APPENDER);
        let decode = |object: &[u8]| Commit::decode(object, PLACE.repository, &PLACE.job, NUMBER);
        let decoded = decode(&object).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let copied = log.copied.clone().expect("it is a copy");
        let places = decoded.runs().iter().map(|run| run.run).eq(copied.runs.iter().map(|stored| stored.run));
        prop_assert!(places);
        prop_assert_eq!(decoded.statement, statement);
        prop_assert_eq!(&decoded.log, &log);
        prop_assert!(decode(&flipped(&object, at, bit)).is_err());
        let carried = Signed::of(&object).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(carried.append(&log, &APPENDER), object);
    }

    #[test]
    fn a_frame_comes_back(
        plain in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            (any::<u8>(), 0_usize..60_000).prop_map(|(byte, length)| vec![byte; length]),
        ],
        stream: u32,
        frame: u64,
        compress: bool,
        at: Index,
        bit in 0_u8..8,
    ) {
        let sealed = seal_frame(&KEY, &PLACE, stream, frame, &plain, compress);
        let open = |sealed: &[u8], length| {
            let mut plain = Vec::new();
            open_frame(&KEY, &PLACE, stream, frame, &mut sealed.to_vec(), length, &mut plain).map(|()| plain)
        };
        prop_assert!(open(&flipped(&sealed, at, bit), plain.len()).is_err());
        prop_assert!(open(&sealed, plain.len() + 1).is_err());
        prop_assert_eq!(open(&sealed, plain.len()), Ok(plain));
    }

    #[test]
    fn padding_is_as_long_as_asked_and_holds_nothing(length in 0_usize..10_000, stream: u32, frame: u64) {
        let mut sealed = seal_padding(&KEY, &PLACE, stream, frame, length);
        // An encoding and a tag are the least that a frame can be.
        prop_assert_eq!(sealed.len(), length.max(17));
        prop_assert!(open_frame(&KEY, &PLACE, stream, frame, &mut sealed, FRAME_MAX, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_description_comes_back(id: [u8; 16], created in "[ -~]{0,40}") {
        let description = Description::new(RepositoryId(id), created);
        prop_assert_eq!(Description::decode(&description.encode()), Ok(description));
    }

    #[test]
    fn a_key_opens_for_its_recipient_only_unchanged(at: Index, bit in 0_u8..8) {
        static MADE: LazyLock<(format::Identities, Vec<u8>)> = LazyLock::new(|| {
            let (secret, recipient) = format::generate_identity();
            let mut identities = format::Identities::none();
            identities.add_file(secret.as_bytes()).expect("an identity");
            let recipients = format::Recipients::parse([recipient.as_str()]).expect("a recipient");
            (identities, DataKey::random().seal_to(&recipients))
        });
        let (identities, object) = &*MADE;
        prop_assert!(DataKey::open_with(object, identities).is_ok());
        prop_assert!(DataKey::open_with(&flipped(object, at, bit), identities).is_err());
    }
}
