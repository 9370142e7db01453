//! Each function takes any bytes and must neither panic, nor hang, nor take memory that the bytes do not justify; most also
//! say what must hold for what was accepted.

use archive::{CatalogError, CatalogReader, Entry, Name, get_varint, put_varint};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signer, SigningKey};
use format::{
    Bundle, BundlePlace, Commit, DataKey, Description, FRAME_MAX, Identities, JobName, Manifest,
    Map, Place, RepositoryId, RunId, WriterKey, open_frame, read_shares,
};
use zeroize::Zeroizing;

/// Takes whatever it is given.
pub type Body = fn(&[u8]);

/// All of them, by the names of their targets and corpora.
pub const BODIES: &[(&str, Body)] = &[
    ("bundle", bundle),
    ("catalog", catalog),
    ("commit", commit),
    ("commit_signed", commit_signed),
    ("description", description),
    ("frame", frame),
    ("identity", identity),
    ("key", key),
    ("manifest", manifest),
    ("manifest_sealed", manifest_sealed),
    ("map", map),
    ("map_sealed", map_sealed),
    ("name", name),
    ("share", share),
    ("varint", varint),
    ("writer", writer),
];

const KEY: [u8; 32] = [0x33; 32];
const SEED: [u8; 32] = [0x44; 32];
const SECRET: [u8; 32] = [0x55; 32];
/// The test kit's: it protects nothing.
const IDENTITY: &str = "AGE-SECRET-KEY-1P873HY9PTGPZAPQ8RZ9YGUAMTL0L23D2Z57UZQEQXGKN4DZ27X2SF47JGJ";

fn place() -> Place {
    Place {
        repository: RepositoryId([0x11; 16]),
        job: job(),
        run: RunId([0x22; 16]),
    }
}

fn job() -> JobName {
    "prod".parse().expect("a job name")
}

fn data_key() -> DataKey {
    DataKey::from_bytes(Zeroizing::new(KEY))
}

fn writer_key() -> WriterKey {
    let digits = hex::encode([SEED, SECRET].concat());
    let file = format!("STRONGROOM-WRITER-KEY-1-{digits}");
    WriterKey::from_file(file.as_bytes()).expect("a writer key")
}

fn seal(
    context: &str,
    material: &[&[u8]],
    (kind, stream, ordinal): (u8, u32, u64),
    message: &[u8],
) -> Vec<u8> {
    let key = blake3::derive_key(context, &material.concat());
    let place = place();
    let additional = [
        b"strongroom v1",
        &place.repository.0[..],
        &place.run.0,
        &[kind],
        &stream.to_le_bytes(),
        &ordinal.to_le_bytes(),
        place.job.as_str().as_bytes(),
    ]
    .concat();
    let payload = Payload {
        msg: message,
        aad: &additional,
    };
    XChaCha20Poly1305::new(&key.into())
        .encrypt(&XNonce::default(), payload)
        .expect("a short message can be sealed")
}

/// A catalog says the same however it arrives, and what it says can be written again.
pub fn catalog(bytes: &[u8]) {
    let whole = read_catalog(bytes, bytes.len().max(1));
    assert!(whole == read_catalog(bytes, 1));
    if let Ok(entries) = whole {
        let mut again = Vec::new();
        for entry in &entries {
            archive::encode_entry(entry, &mut again);
        }
        assert!(again == bytes, "there is one encoding");
    }
}

fn read_catalog(bytes: &[u8], piece: usize) -> Result<Vec<Entry>, CatalogError> {
    let mut reader = CatalogReader::default();
    let mut entries = Vec::new();
    for part in bytes.chunks(piece) {
        reader.feed(part);
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
    }
    reader.finish()?;
    Ok(entries)
}

/// A commit as it comes.
pub fn commit(bytes: &[u8]) {
    let decoded = Commit::decode(bytes, place().repository, &job(), 7);
    assert!(decoded.is_err() || bytes.len() > 300);
}

/// Statement and log line, between which stands a newline, well signed.
pub fn commit_signed(bytes: &[u8]) {
    let key = SigningKey::from_bytes(&SEED);
    let sign = |context: &[u8], message: &[u8]| {
        hex::encode(key.sign(&[context, message].concat()).to_bytes())
    };
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (statement, log) = bytes.split_at(at.unwrap_or(bytes.len()));
    let log = log.get(1..).unwrap_or_default();
    let first = sign(b"strongroom v1 statement\n", statement);
    let four = [
        b"strongroom commit v1\n",
        statement,
        b"\n",
        first.as_bytes(),
        b"\n",
        log,
        b"\n",
    ]
    .concat();
    let second = sign(b"strongroom v1 log\n", &four);
    let object = [&four, second.as_bytes(), b"\n"].concat();
    if let Ok(commit) = Commit::decode(&object, place().repository, &job(), 7) {
        assert_eq!(commit.log.number, 7);
        let again = Commit::encode(&commit.statement, &commit.log, &writer_key());
        let again = Commit::decode(&again, place().repository, &job(), 7);
        let again = again.expect("what was read can be written");
        assert!(again.statement == commit.statement && again.log == commit.log);
    }
}

/// `strongroom.json`.
pub fn description(bytes: &[u8]) {
    if let Ok(description) = Description::decode(bytes) {
        assert_eq!(Description::decode(&description.encode()), Ok(description));
    }
}

/// Two bytes that give the length of the chunks, then the message that is sealed.
pub fn frame(bytes: &[u8]) {
    let Some((length, message)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let position = [&3_u32.to_le_bytes()[..], &7_u64.to_le_bytes()].concat();
    let sealed = seal(
        "strongroom v1 frame key",
        &[&KEY, &position],
        (1, 3, 7),
        message,
    );
    for length in [length, FRAME_MAX] {
        let (sealed, mut plain) = (&mut sealed.clone(), Vec::new());
        let opened = open_frame(&data_key(), &place(), 3, 7, sealed, length, &mut plain);
        assert!(opened.is_err() || plain.len() == length);
    }
}

/// An identity file.
pub fn identity(bytes: &[u8]) {
    let mut identities = Identities::none();
    let added = identities.add_file(bytes);
    assert_eq!(added.is_ok(), !identities.is_empty());
}

/// A key object.
pub fn key(bytes: &[u8]) {
    let mut identities = Identities::none();
    identities
        .add_file(IDENTITY.as_bytes())
        .expect("an identity");
    let _ = DataKey::open_with(bytes, &identities);
}

/// A manifest as it comes.
pub fn manifest(bytes: &[u8]) {
    let _ = Manifest::open(bytes, &data_key(), &place());
}

/// A manifest's padded body, sealed: what opens can be sealed again, and is the same.
pub fn manifest_sealed(bytes: &[u8]) {
    let commitment = blake3::derive_key("strongroom v1 key commitment", &KEY);
    let sealed = seal("strongroom v1 manifest key", &[&KEY], (2, 0, 0), bytes);
    let object = [&b"SRMANIF1"[..], &commitment, &sealed].concat();
    if let Ok(manifest) = Manifest::open(&object, &data_key(), &place()) {
        let again = manifest.seal(&data_key(), &place());
        let again = again.expect("what was read can be written");
        assert_eq!(
            Manifest::open(&again, &data_key(), &place()).as_ref(),
            Ok(&manifest)
        );
    }
}

/// A map as it comes.
pub fn map(bytes: &[u8]) {
    let _ = Map::open(bytes, &writer_key(), &place());
}

/// What stands behind a bundle's signature, signed: what is read can be written again, and is the same.
pub fn bundle(bytes: &[u8]) {
    let (repository, job) = (place().repository, job());
    let place = BundlePlace {
        repository,
        job: &job,
        number: 7,
        part: 1,
    };
    let _ = Bundle::decode(bytes, place, |_| true);
    let name = [
        &7_u64.to_le_bytes()[..],
        &1_u32.to_le_bytes(),
        &[4],
        b"prod",
    ]
    .concat();
    let signed = [b"strongroom v1 bundle\n", &repository.0[..], &name, bytes].concat();
    let key = SigningKey::from_bytes(&SEED);
    let signature = key.sign(&signed).to_bytes();
    let maintainer = key.verifying_key().to_bytes();
    let object = [&b"SRBUND01"[..], &maintainer, &signature, bytes].concat();
    if let Some((who, bundle)) = Bundle::decode(&object, place, |who| who.0 == maintainer) {
        assert_eq!(who.0, maintainer);
        let again = bundle.encode(place, &writer_key());
        let again = Bundle::decode(&again, place, |_| true).expect("what was read can be written");
        assert_eq!(again.1.into_commits(), bundle.into_commits());
    }
}

/// A map's padded body, sealed: what opens can be sealed again, and is the same.
pub fn map_sealed(bytes: &[u8]) {
    let material: [&[u8]; 2] = [&SECRET, &place().run.0];
    let sealed = seal("strongroom v1 map key", &material, (3, 0, 0), bytes);
    let object = [&b"SRMAP001"[..], &sealed].concat();
    if let Ok(map) = Map::open(&object, &writer_key(), &place()) {
        for stored in &map.stored {
            let chunks: usize = stored.packs().map(|(_, chunks)| chunks.len()).sum();
            assert_eq!(chunks, stored.tags.len());
        }
        let again = map.seal(&writer_key(), &place());
        let again = again.expect("what was read can be written");
        assert_eq!(Map::open(&again, &writer_key(), &place()), Ok(map));
    }
}

/// Names are shown without anything that a terminal obeys, and what is shown can be typed.
pub fn name(bytes: &[u8]) {
    let name = Name::new(bytes);
    let shown = name.to_string();
    assert!(!shown.chars().any(char::is_control));
    assert_eq!(Name::unescape(&shown), Some(name));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Name::unescape(text);
    }
}

/// Shares of an identity as somebody typed them: what is read is printed again.
pub fn share(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for share in read_shares(text).unwrap_or_default() {
        let page = share.to_page("age1", "now");
        let again = read_shares(&page);
        assert!(again.is_ok_and(|again| again.len() == 1 && again[0] == share));
    }
}

/// A number has one encoding.
pub fn varint(bytes: &[u8]) {
    let mut rest = bytes;
    if let Some(value) = get_varint(&mut rest) {
        let mut again = Vec::new();
        put_varint(&mut again, value);
        assert_eq!([&again, rest].concat(), bytes);
    } else {
        assert_eq!(rest, bytes);
    }
}

/// A writer key file.
pub fn writer(bytes: &[u8]) {
    if let Ok(key) = WriterKey::from_file(bytes) {
        let again = WriterKey::from_file(key.to_file("now").as_bytes());
        assert!(again.is_ok_and(|again| again.id() == key.id()));
    }
}
