//! Makes the kit, by hand and from docs/format/v1.md, so that a mistake in the library's own writing side is seen too.

use archive::put_varint;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use format::{DataKey, FRAME_MAX, Recipients, WriterKey};
use zeroize::Zeroizing;

use crate::case::Case;
use crate::judge::{bytes_of, chunk_lengths, fingerprint};
use crate::{commits, manifests};

pub(crate) const KEY: [u8; 32] = [0x33; 32];
pub(crate) const SEED: [u8; 32] = [0x44; 32];
pub(crate) const SECRET: [u8; 32] = [0x55; 32];
/// Made for this kit by `age-keygen`; they open nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-1P873HY9PTGPZAPQ8RZ9YGUAMTL0L23D2Z57UZQEQXGKN4DZ27X2SF47JGJ";
const RECIPIENT: &str = "age19tpaqqzsngd72z76c8gw3fughtz7nuhpuxjtz7aq8y3fdhfvwfks9j23uj";
const STRANGER: &str = "AGE-SECRET-KEY-1VZEUN2QRFYMN3R4E8V4XLGZWGE597LTQTPV3AK3UP7U9N50T8J7SUGTZQS";

/// Where a message is sealed, and where it is opened.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) repository: [u8; 16],
    pub(crate) job: &'static str,
    pub(crate) run: [u8; 16],
}

pub(crate) const HOME: Spot = Spot {
    repository: [0x11; 16],
    job: "prod",
    run: [0x22; 16],
};

/// Other repositories, jobs and runs, by name.
pub(crate) const ELSEWHERE: [(&str, Spot); 4] = [
    (
        "repository",
        Spot {
            repository: [0x12; 16],
            ..HOME
        },
    ),
    (
        "job",
        Spot {
            job: "test",
            ..HOME
        },
    ),
    (
        "undo-job",
        Spot {
            job: "prod.undo",
            ..HOME
        },
    ),
    (
        "run",
        Spot {
            run: [0x23; 16],
            ..HOME
        },
    ),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = descriptions();
    cases.extend(keys());
    cases.extend(frames());
    cases.extend(manifests::manifests());
    cases.extend(manifests::maps());
    cases.extend(commits::cases());
    cases.extend(catalogs());
    cases.extend(varints());
    cases.extend(files());
    cases.extend(small());
    cases
}

pub(crate) fn derive(context: &str, material: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(context, &material.concat())
}

pub(crate) fn seal(
    key: &[u8; 32],
    at: &Spot,
    (kind, stream, ordinal): (u8, u32, u64),
    message: &[u8],
) -> Vec<u8> {
    let aad = [
        b"strongroom v1",
        &at.repository[..],
        &at.run,
        &[kind],
        &stream.to_le_bytes(),
        &ordinal.to_le_bytes(),
        at.job.as_bytes(),
    ]
    .concat();
    XChaCha20Poly1305::new(key.into())
        .encrypt(
            &XNonce::default(),
            Payload {
                msg: message,
                aad: &aad,
            },
        )
        .expect("small messages can be sealed")
}

pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, value);
    out
}

pub(crate) fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&varint(bytes.as_ref().len() as u64), bytes.as_ref()].concat()
}

pub(crate) fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).expect("zstd compresses")
}

pub(crate) fn zstd_without_size(plain: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).expect("a level of zstd");
    compressor
        .set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false))
        .expect("a parameter of zstd");
    compressor.compress(plain).expect("zstd compresses")
}

/// A zstd frame that says that it holds nothing.
const EMPTY_ZSTD: [u8; 9] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00];

/// A frame that a zstd decoder skips.
const SKIPPABLE: [u8; 11] = *b"\x50\x2a\x4d\x18\x03\0\0\0abc";

/// A header that promises 2⁴⁰ bytes.
pub(crate) fn bomb() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x58];
    frame.extend((1_u64 << 40).to_le_bytes());
    frame.extend([0x03, 0x00, 0x00]);
    frame
}

/// What can be done to any object: (name, what it is, the bytes).
pub(crate) fn harms(object: &[u8], header: usize) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let flip = |at: usize| {
        let mut bytes = object.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let last = object.len() - 1;
    vec![
        ("empty", "zero bytes", Vec::new()),
        ("cut", "the last byte is missing", object[..last].to_vec()),
        (
            "half",
            "half is missing",
            object[..object.len() / 2].to_vec(),
        ),
        ("longer", "a byte too many", [object, &[0]].concat()),
        ("zeros", "all bytes are zero", vec![0; object.len()]),
        (
            "flipped-first",
            "the first bit of what is sealed is wrong",
            flip(header),
        ),
        (
            "flipped-middle",
            "a bit in the middle is wrong",
            flip(header.midpoint(last)),
        ),
        ("flipped-last", "a bit of the tag is wrong", flip(last)),
    ]
}

fn descriptions() -> Vec<Case> {
    let id = hex::encode(HOME.repository);
    let text = |version: &str, rest: &str| {
        format!(
            "{{\"format\":\"strongroom repository\",\"version\":{version},\"id\":\"{id}\",\"created\":\"2026-11-22T08:00:00Z\"{rest}}}\n"
        )
    };
    let holds = format!("repository {id} created 2026-11-22T08:00:00Z");
    let ok = [
        ("good", "a repository", text("1", "")),
        (
            "no-newline",
            "white space does not matter",
            text("1", "").trim().to_owned(),
        ),
        (
            "field-more",
            "unknown fields are ignored once the version is known",
            text("1", ",\"x\":[1]"),
        ),
    ];
    let newer = [
        ("newer", "a version from the future", text("2", "")),
        (
            "newer-other-fields",
            "the version is judged before the fields",
            r#"{"format":"strongroom repository","version":3,"id":7}"#.to_owned(),
        ),
    ];
    let good = text("1", "");
    let not_one = [
        ("empty", "zero bytes", String::new()),
        ("cut", "cut in the middle", good[..40].to_owned()),
        ("list", "JSON, and no object", "[]".to_owned()),
        ("zeros", "bytes that are zero", "\0".repeat(100)),
        ("trailing", "two objects", format!("{good}{{}}")),
        (
            "other-format",
            "another program's",
            good.replace("strongroom", "restic"),
        ),
        ("version-zero", "there was no version 0", text("0", "")),
        ("version-negative", "no number of a version", text("-1", "")),
        ("version-text", "no number at all", text("\"1\"", "")),
        ("short-id", "an id of 15 bytes", good.replacen("11", "", 1)),
        (
            "upper-case-id",
            "ids have one form",
            good.replace(&id, &"AB".repeat(16)),
        ),
        ("no-id", "without an id", good.replace("\"id\"", "\"di\"")),
        (
            "id-twice",
            "a field twice",
            text("1", &format!(",\"id\":\"{id}\"")),
        ),
        ("too-long", "longer than 64 KiB", good + &" ".repeat(65_536)),
    ];
    let case = |(name, comment, object): (&str, &str, String), expect| {
        Case::new(
            &format!("description-{name}"),
            expect,
            comment,
            object.into(),
        )
    };
    let mut cases: Vec<_> = ok
        .map(|parts| case(parts, "ok").with("holds", &holds))
        .into();
    cases.extend(newer.map(|parts| case(parts, "newer")));
    cases.extend(not_one.map(|parts| case(parts, "not one")));
    let invalid = Case::new(
        "description-not-text",
        "not one",
        "not UTF-8",
        vec![0xff; 64],
    );
    cases.push(invalid);
    cases
}

/// age files are different each time: those that are there are read, and harmed.
fn keys() -> Vec<Case> {
    let recipient: age::x25519::Recipient = RECIPIENT.parse().expect("the kit's recipient");
    let sealed = |plain: &[u8]| age::encrypt(&recipient, plain).expect("age seals");
    let keep = |case: Case| {
        let path = crate::case::folder().join(&case.name);
        if path.exists() {
            Case::read(&path)
        } else {
            case
        }
    };
    let case = |name: &str, expect, comment, identity, object| {
        Case::new(&format!("key-{name}"), expect, comment, object).with("identity", identity)
    };
    let key = DataKey::from_bytes(Zeroizing::new(KEY));
    let told = format!("key that seals 'x' as {}", fingerprint(&key));
    let both = Recipients::parse([
        RECIPIENT,
        "age138gkj3sdcw5zrhj8p9ad3fcn82c9pqxqufl2lcv50xkmgvthgdpsxwmqqg",
    ]);
    let for_two = key.seal_to(&both.expect("two recipients"));
    let for_two = for_two.expect("no plugin is needed").key;
    let good = keep(
        case(
            "good",
            "ok",
            "32 bytes for one recipient",
            IDENTITY,
            sealed(&KEY),
        )
        .with("holds", &told),
    );
    let mut cases = vec![
        case(
            "for-two",
            "ok",
            "either of two recipients",
            IDENTITY,
            for_two,
        )
        .with("holds", &told),
        case(
            "second-identity",
            "ok",
            "the second identity opens it",
            STRANGER,
            good.object.clone(),
        )
        .with("identity", IDENTITY)
        .with("holds", &told),
        case(
            "stranger",
            "none opens",
            "another identity",
            STRANGER,
            good.object.clone(),
        ),
        case("short", "damaged", "31 bytes", IDENTITY, sealed(&KEY[..31])),
        case("long", "damaged", "33 bytes", IDENTITY, sealed(&[0x33; 33])),
        case(
            "empty-plaintext",
            "damaged",
            "no bytes",
            IDENTITY,
            sealed(b""),
        ),
    ];
    let mut trailing = sealed(&vec![0x33; 65_536 + 32]);
    trailing.truncate(trailing.len() - 1);
    cases.push(case(
        "long-and-cut",
        "damaged",
        "two age chunks, the second cut",
        IDENTITY,
        trailing,
    ));
    for (name, comment, object) in harms(&good.object, 0) {
        cases.push(case(name, "damaged", comment, IDENTITY, object));
    }
    let text = String::from_utf8_lossy(&good.object[..22]).into_owned();
    let newer = [text.replace("/v1", "/v2").as_bytes(), &good.object[22..]].concat();
    cases.push(case(
        "newer-age",
        "damaged",
        "a version of age from the future",
        IDENTITY,
        newer,
    ));
    cases.push(good);
    cases.into_iter().map(keep).collect()
}

fn frame_key(stream: u32, frame: u64) -> [u8; 32] {
    let numbers = [&stream.to_le_bytes()[..], &frame.to_le_bytes()].concat();
    derive("strongroom v1 frame key", &[&KEY, &numbers])
}

fn seal_frame(at: &Spot, stream: u32, frame: u64, message: &[u8]) -> Vec<u8> {
    seal(&frame_key(stream, frame), at, (1, stream, frame), message)
}

fn frames() -> Vec<Case> {
    let plain = b"all work and no play ".repeat(20);
    let case = |name: &str, expect, comment: &str, length: usize, object| {
        let case = Case::new(&format!("frame-{name}"), expect, comment, object)
            .with("key", hex::encode(KEY))
            .with("stream", 3)
            .with("frame", 7)
            .with("length", length);
        at_home(case)
    };
    let stored = |data: &[u8]| seal_frame(&HOME, 3, 7, &[&[0], data].concat());
    let packed = |data: &[u8]| seal_frame(&HOME, 3, 7, &[&[1], data].concat());
    let good = stored(&plain);
    let holds = bytes_of(&plain);
    let n = plain.len();
    let mut cases = vec![
        case("stored", "ok", "encoding 0", n, good.clone()).with("holds", &holds),
        case("zstd", "ok", "encoding 1", n, packed(&zstd(&plain))).with("holds", &holds),
        case("nothing", "ok", "no chunk", 0, stored(b"")).with("holds", bytes_of(b"")),
        case(
            "zstd-nothing",
            "ok",
            "no chunk, compressed",
            0,
            packed(&EMPTY_ZSTD),
        )
        .with("holds", bytes_of(b"")),
    ];
    for (name, comment, object) in harms(&good, 0) {
        cases.push(case(name, "damaged", comment, n, object));
    }
    for (name, spot) in ELSEWHERE {
        let object = seal_frame(&spot, 3, 7, &[&[0], &plain[..]].concat());
        cases.push(case(
            &format!("other-{name}"),
            "damaged",
            &format!("of another {name}"),
            n,
            object,
        ));
    }
    let message = [&[0], &plain[..]].concat();
    let other_key = derive(
        "strongroom v1 frame key",
        &[&[0x34; 32], &3_u32.to_le_bytes(), &7_u64.to_le_bytes()],
    );
    let moved = [
        (
            "other-stream",
            "of stream 2",
            seal_frame(&HOME, 2, 7, &message),
        ),
        (
            "other-frame",
            "frame 8 of the stream: two frames were exchanged",
            seal_frame(&HOME, 3, 8, &message),
        ),
        (
            "other-key",
            "of another data key",
            seal(&other_key, &HOME, (1, 3, 7), &message),
        ),
        (
            "key-of-other-frame",
            "the right additional data under the key of frame 8",
            seal(&frame_key(3, 8), &HOME, (1, 3, 7), &message),
        ),
        (
            "as-manifest",
            "the right key, sealed as a manifest",
            seal(&frame_key(3, 7), &HOME, (2, 3, 7), &message),
        ),
        (
            "as-map",
            "the right key, sealed as a map",
            seal(&frame_key(3, 7), &HOME, (3, 3, 7), &message),
        ),
        ("only-a-tag", "16 bytes that are no tag", vec![0; 16]),
        ("plain", "not sealed at all", message.clone()),
    ];
    cases.extend(moved.map(|(name, comment, object)| case(name, "damaged", comment, n, object)));
    let contents = [
        (
            "no-encoding",
            "an empty message",
            0,
            seal_frame(&HOME, 3, 7, b""),
        ),
        (
            "encoding-2",
            "an encoding that there is not",
            n,
            seal_frame(&HOME, 3, 7, &[&[2], &plain[..]].concat()),
        ),
        (
            "encoding-255",
            "an encoding that there is not",
            n,
            seal_frame(&HOME, 3, 7, &[&[255], &plain[..]].concat()),
        ),
        (
            "too-short",
            "a byte fewer than the table says",
            n + 1,
            good.clone(),
        ),
        (
            "too-long",
            "a byte more than the table says",
            n - 1,
            good.clone(),
        ),
        (
            "zstd-too-short",
            "a byte fewer than the table says",
            n + 1,
            packed(&zstd(&plain)),
        ),
        (
            "zstd-too-long",
            "a byte more than the table says",
            n - 1,
            packed(&zstd(&plain)),
        ),
        (
            "absurd-length",
            "the table gives more than 4 MiB",
            FRAME_MAX + 1,
            good.clone(),
        ),
        (
            "zstd-bomb",
            "a zstd header that promises 2^40 bytes",
            FRAME_MAX,
            packed(&bomb()),
        ),
        (
            "zstd-no-size",
            "zstd without a content size",
            n,
            packed(&zstd_without_size(&plain)),
        ),
        (
            "zstd-cut",
            "zstd that ends early",
            n,
            packed(&zstd(&plain)[..20]),
        ),
        ("zstd-empty", "no zstd frame at all", 0, packed(b"")),
        (
            "zstd-no-magic",
            "stored bytes that claim to be zstd",
            n,
            packed(&plain),
        ),
        (
            "zstd-trailing-byte",
            "a byte behind the zstd frame",
            n,
            packed(&[&zstd(&plain)[..], &[0]].concat()),
        ),
        (
            "zstd-then-empty",
            "a second zstd frame that holds nothing",
            n,
            packed(&[&zstd(&plain)[..], &EMPTY_ZSTD].concat()),
        ),
        (
            "zstd-then-skippable",
            "a frame that zstd skips behind the frame",
            n,
            packed(&[&zstd(&plain)[..], &SKIPPABLE].concat()),
        ),
        (
            "zstd-only-skippable",
            "nothing but a frame that zstd skips",
            0,
            packed(&SKIPPABLE),
        ),
        (
            "zstd-twice",
            "a second zstd frame",
            n,
            packed(&zstd(&plain).repeat(2)),
        ),
    ];
    cases
        .extend(contents.map(|(name, comment, length, object)| {
            case(name, "contents", comment, length, object)
        }));
    cases
}

pub(crate) fn at_home(case: Case) -> Case {
    case.with("repository", hex::encode(HOME.repository))
        .with("job", HOME.job)
        .with("run", hex::encode(HOME.run))
}

fn blob(name: &[u8], attributes: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut record = [&[1][..], &string(name), &varint(attributes.len() as u64)].concat();
    for (name, value) in attributes {
        record.extend([string(name), string(value)].concat());
    }
    record.extend(varint(5));
    record.extend(blake3::hash(b"value").as_bytes());
    record
}

fn record(name: &[u8], keys: &[(&[u8], u64)]) -> Vec<u8> {
    let mut record = [&[2][..], &string(name), &[0], &varint(keys.len() as u64)].concat();
    for (key, length) in keys {
        record.extend([string(key), varint(*length)].concat());
        record.extend(blake3::hash(b"value").as_bytes());
    }
    record
}

fn catalogs() -> Vec<Case> {
    let digest = blake3::hash(b"value");
    let list = |records: &[Vec<u8>]| records.iter().flat_map(string).collect::<Vec<u8>>();
    let odd = b"../\n\xff\xf0\x9f\x94\x91";
    let good = list(&[
        blob(b"", &[]),
        blob(odd, &[(b"mode", b"0600"), (b"owner", b"\x00\xff")]),
        record(b"token", &[(b"", 0), (b"key", 5)]),
        record(b"unset", &[]),
    ]);
    let told = [
        format!("entry \"\" blob 5 {digest}"),
        format!("entry \"../\\x0a\\xff🔑\" mode=\"0600\" owner=\"\\x00\\xff\" blob 5 {digest}"),
        format!("entry \"token\" record \"\" 0 {digest} \"key\" 5 {digest}"),
        "entry \"unset\" record".to_owned(),
    ];
    let mut first = Case::new(
        "catalog-good",
        "ok",
        "blobs and records, odd names",
        good.clone(),
    );
    for line in told {
        first = first.with("holds", line);
    }
    let case = |name: &str, expect, comment: &str, object| {
        Case::new(&format!("catalog-{name}"), expect, comment, object)
    };
    let mut cases = vec![first, case("empty", "ok", "no entry", Vec::new())];
    let two = |a: &[u8], b: &[u8]| list(&[blob(a, &[]), blob(b, &[])]);
    let order = [
        ("twice", "a name twice", two(b"a", b"a")),
        ("unsorted", "names that descend", two(b"b", b"a")),
        (
            "prefix-later",
            "the shorter name is first",
            two(b"ab", b"a"),
        ),
        (
            "signed-bytes",
            "bytes are compared as unsigned",
            two(b"\xff", b"a"),
        ),
    ];
    cases.extend(order.map(|(name, comment, object)| case(name, "order", comment, object)));
    let long = |n: usize| blob(&vec![b'n'; n], &[]);
    cases.push(
        case(
            "longest-name",
            "ok",
            "a name of 64 KiB",
            list(&[long(65_536)]),
        )
        .with(
            "holds",
            format!("entry \"{}\" blob 5 {digest}", "n".repeat(65_536)),
        ),
    );
    let without_end = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
    let more = |mut bytes: Vec<u8>| {
        bytes.push(0);
        bytes
    };
    let malformed = [
        ("name-too-long", "a name of 64 KiB and a byte", long(65_537)),
        (
            "key-too-long",
            "a key of 64 KiB and a byte",
            record(b"a", &[(&vec![b'k'; 65_537], 5)]),
        ),
        (
            "kind-0",
            "a kind that there is not",
            [&[0], &blob(b"a", &[])[1..]].concat(),
        ),
        (
            "kind-3",
            "a kind that there is not",
            [&[3], &blob(b"a", &[])[1..]].concat(),
        ),
        ("no-bytes", "a record of no bytes", Vec::new()),
        ("zeros", "a record of zeros", vec![0; 40]),
        (
            "record-cut",
            "a digest that is short",
            without_end(blob(b"a", &[])),
        ),
        (
            "record-longer",
            "a byte behind the record",
            more(blob(b"a", &[])),
        ),
        (
            "key-twice",
            "a key twice",
            record(b"a", &[(b"k", 5), (b"k", 5)]),
        ),
        (
            "key-unsorted",
            "keys that descend",
            record(b"a", &[(b"l", 5), (b"k", 5)]),
        ),
        (
            "attribute-twice",
            "an attribute twice",
            blob(b"a", &[(b"m", b""), (b"m", b"")]),
        ),
        (
            "attribute-unsorted",
            "attributes that descend",
            blob(b"a", &[(b"n", b""), (b"m", b"")]),
        ),
        (
            "attribute-not-text",
            "an attribute's name that is not UTF-8",
            blob(b"a", &[(b"\xff", b"")]),
        ),
        (
            "lengths-overflow",
            "lengths whose sum is no number",
            record(b"a", &[(b"k", u64::MAX), (b"l", 1)]),
        ),
        (
            "absurd-name",
            "a name longer than the record",
            [&[1][..], &varint(1 << 40), b"a"].concat(),
        ),
        (
            "absurd-attributes",
            "more attributes than bytes",
            [&[1, 1, b'a'][..], &varint(u64::MAX), b"x"].concat(),
        ),
        (
            "absurd-fields",
            "more fields than bytes",
            [&[2, 1, b'a', 0][..], &varint(u64::MAX), b"x"].concat(),
        ),
        (
            "long-varint",
            "a length that is not in its shortest form",
            [&[1, 0x81, 0x00, b'a'][..], &blob(b"a", &[])[3..]].concat(),
        ),
    ];
    cases.extend(
        malformed.map(|(name, comment, bad)| case(name, "malformed", comment, list(&[bad]))),
    );
    let length = [
        (
            "too-long",
            "a record of 4 MiB and a byte",
            varint((4 << 20) + 1),
        ),
        (
            "absurd-length",
            "a record of 2^64 - 1 bytes",
            varint(u64::MAX),
        ),
        ("no-length", "a length that does not end", vec![0xff; 12]),
        (
            "long-length",
            "a record's length that is not in its shortest form",
            [&[0x80, 0x80, 0x00][..], &[0; 20]].concat(),
        ),
    ];
    cases.extend(length.map(|(name, comment, object)| case(name, "length", comment, object)));
    let cut = [
        (
            "cut",
            "ends inside the last record",
            without_end(good.clone()),
        ),
        (
            "cut-in-length",
            "ends inside a length",
            [&good[..], &[0x80]].concat(),
        ),
        (
            "promise",
            "a record of 4 MiB of which nothing is there",
            varint(4 << 20),
        ),
    ];
    cases.extend(cut.map(|(name, comment, object)| case(name, "cut", comment, object)));
    cases
}

fn varints() -> Vec<Case> {
    let most = [&[0xff; 9][..], &[0x01]].concat();
    let good: [(&str, &str, u64, &[u8]); 7] = [
        ("zero", "one byte", 0, &[0]),
        ("one-byte", "the largest of one byte", 127, &[0x7f]),
        ("two-bytes", "the smallest of two", 128, &[0x80, 0x01]),
        ("spec", "least significant first", 300, &[0xac, 0x02]),
        ("u32", "2^32", 1 << 32, &[0x80, 0x80, 0x80, 0x80, 0x10]),
        ("most", "2^64 - 1", u64::MAX, &most),
        (
            "inner-zero",
            "a zero group inside is no padding",
            1 << 14,
            &[0x80, 0x80, 0x01],
        ),
    ];
    let bad: [(&str, &str, &[u8]); 8] = [
        ("empty", "zero bytes", &[]),
        ("cut", "the last byte is missing", &[0x80]),
        ("padded-zero", "zero in two bytes", &[0x80, 0x00]),
        ("padded-one", "one in two bytes", &[0x81, 0x00]),
        (
            "padded-long",
            "one in ten bytes",
            &[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ),
        (
            "65-bits",
            "2^64",
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
        ),
        (
            "eleven-bytes",
            "a byte too many",
            &[
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00,
            ],
        ),
        ("endless", "never ends", &[0xff; 20]),
    ];
    let tail = b"tail";
    let mut cases: Vec<_> = good
        .map(|(name, comment, value, bytes)| {
            Case::new(
                &format!("varint-{name}"),
                "ok",
                comment,
                [bytes, tail].concat(),
            )
            .with("holds", format!("{value}, then 4 bytes"))
        })
        .into();
    cases.extend(bad.map(|(name, comment, bytes)| {
        Case::new(
            &format!("varint-{name}"),
            "malformed",
            comment,
            bytes.to_vec(),
        )
    }));
    cases
}

/// Writer key files and identity files.
fn files() -> Vec<Case> {
    let line = format!(
        "STRONGROOM-WRITER-KEY-1-{}{}",
        hex::encode(SEED),
        hex::encode(SECRET)
    );
    let id = commits::id(&SEED);
    let holds = format!("writer {id}");
    let writers = [
        (
            "good",
            "ok",
            "with comments",
            format!("# comment\n\n{line}\n"),
        ),
        ("bare", "ok", "nothing but the line", line.clone()),
        (
            "windows",
            "ok",
            "with a carriage return",
            format!("{line}\r\n"),
        ),
        ("empty", "not one", "zero bytes", String::new()),
        (
            "comments",
            "not one",
            "comments only",
            "# a\n# b\n".to_owned(),
        ),
        (
            "cut",
            "not one",
            "a digit is missing",
            line[..line.len() - 1].to_owned(),
        ),
        ("longer", "not one", "a byte too many", format!("{line}00")),
        ("twice", "not one", "two keys", format!("{line}\n{line}\n")),
        (
            "newer",
            "not one",
            "a version from the future",
            line.replace("KEY-1-", "KEY-2-"),
        ),
        (
            "identity",
            "not one",
            "an identity in its place",
            format!("{IDENTITY}\n"),
        ),
        (
            "not-hex",
            "not one",
            "a letter that is no digit",
            line.replacen("44", "4g", 1),
        ),
        ("zeros", "not one", "bytes that are zero", "\0".repeat(100)),
    ];
    let identities = [
        (
            "good",
            "ok",
            "as age-keygen writes it",
            format!("# created: now\n# public key: {RECIPIENT}\n{IDENTITY}\n"),
        ),
        (
            "two",
            "ok",
            "two identities",
            format!("{IDENTITY}\n{STRANGER}\n"),
        ),
        ("empty", "not one", "zero bytes", String::new()),
        ("comments", "not one", "comments only", "# a\n".to_owned()),
        (
            "cut",
            "not one",
            "a letter is missing",
            IDENTITY[..IDENTITY.len() - 1].to_owned(),
        ),
        (
            "flipped",
            "not one",
            "a letter is wrong",
            IDENTITY.replacen('C', "D", 1),
        ),
        (
            "recipient",
            "not one",
            "a public key in its place",
            format!("{RECIPIENT}\n"),
        ),
        (
            "writer",
            "not one",
            "a writer key in its place",
            format!("{line}\n"),
        ),
        (
            "second-bad",
            "not one",
            "one of two is wrong",
            format!("{IDENTITY}\nAGE-SECRET-KEY-1\n"),
        ),
    ];
    let case = |kind: &str, (name, expect, comment, text): (&str, &str, &str, String)| {
        Case::new(&format!("{kind}-{name}"), expect, comment, text.into())
    };
    let mut cases: Vec<_> = writers
        .map(|parts| {
            let made = case("writer", parts);
            if made.one("expect") == "ok" {
                made.with("holds", &holds)
            } else {
                made
            }
        })
        .into();
    cases.extend(identities.map(|parts| case("identity", parts)));
    for (kind, name) in [
        ("writer", "writer-not-text"),
        ("identity", "identity-not-text"),
    ] {
        assert!(name.starts_with(kind));
        cases.push(Case::new(name, "not one", "not UTF-8", vec![0xff; 90]));
    }
    cases
}

/// Where a known writer cuts, how it tags, and how lengths are padded.
fn small() -> Vec<Case> {
    let writer =
        |case: Case, secret: [u8; 32]| case.with("writer", hex::encode([SEED, secret].concat()));
    let mut cases = Vec::new();
    let line = format!(
        "STRONGROOM-WRITER-KEY-1-{}",
        hex::encode([SEED, SECRET].concat())
    );
    let known = WriterKey::from_file(line.as_bytes()).expect("the kit's writer key");
    // The one thing here that no document fixes: what the code of version 0.1 does, so that later versions find its chunks again.
    for stream in ["content", "catalog"] {
        let chunks = chunk_lengths(&known, stream, &[0x66; 32]);
        let case = |name: &str, expect, comment| {
            Case::new(
                &format!("cut-{stream}{name}"),
                expect,
                comment,
                vec![0x66; 32],
            )
            .with("stream", stream)
            .with("chunks", &chunks)
        };
        cases.push(writer(
            case(
                "",
                "ok",
                "300,000 bytes of keyed BLAKE3 output under this key",
            ),
            SECRET,
        ));
        cases.push(writer(
            case(
                "-other-secret",
                "differs",
                "nobody cuts there who has another secret",
            ),
            [0x56; 32],
        ));
    }
    let tag_key = derive("strongroom v1 tag key", &[&SECRET]);
    let tag = |chunk: &[u8]| {
        hex::encode(&blake3::keyed_hash(&tag_key, blake3::hash(chunk).as_bytes()).as_bytes()[..16])
    };
    let tags = [
        (
            "good",
            "ok",
            "of a chunk",
            &b"chunk"[..],
            tag(b"chunk"),
            SECRET,
        ),
        ("empty", "ok", "of no bytes", b"", tag(b""), SECRET),
        (
            "other-chunk",
            "differs",
            "of another chunk",
            b"chunk",
            tag(b"chump"),
            SECRET,
        ),
        (
            "other-secret",
            "differs",
            "of another writer",
            b"chunk",
            tag(b"chunk"),
            [0x56; 32],
        ),
        (
            "plain",
            "differs",
            "the chunk's plain hash",
            b"chunk",
            hex::encode(&blake3::hash(b"chunk").as_bytes()[..16]),
            SECRET,
        ),
    ];
    for (name, expect, comment, chunk, tag, secret) in tags {
        let case =
            Case::new(&format!("tag-{name}"), expect, comment, chunk.to_vec()).with("tag", tag);
        cases.push(writer(case, secret));
    }
    for (length, padded) in [
        (0, 0),
        (1, 1),
        (9, 10),
        (100, 104),
        (1000, 1024),
        (4097, 4352),
        (1 << 24, 1 << 24),
        ((1 << 24) + 1, (1 << 24) + (1 << 19)),
    ] {
        for (name, expect, comment, padded) in [
            ("", "ok", "of the paper", padded),
            ("-wrong", "differs", "one more", padded + 1),
        ] {
            let case = Case::new(
                &format!("padme-{length}{name}"),
                expect,
                comment,
                Vec::new(),
            );
            cases.push(case.with("length", length).with("padded", padded));
        }
    }
    cases
}
