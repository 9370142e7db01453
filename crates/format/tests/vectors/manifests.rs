//! Manifests and maps: a good body in pieces, and what is wrong with the broken ones, piece by piece.

use crate::case::Case;
use crate::generator::{
    ELSEWHERE, HOME, KEY, SECRET, SEED, Spot, at_home, bomb, derive, harms, seal, string, varint,
    zstd, zstd_without_size,
};

/// A body in pieces, each with the name of what it is.
type Body = Vec<(&'static str, Vec<u8>)>;

/// How a body is broken: the case, what is wrong, the piece, what stands there instead.
type Break = (&'static str, &'static str, &'static str, Vec<u8>);

const D: [u8; 32] = [0xdd; 32];

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [varint(items.len() as u64), items.concat()].concat()
}

fn varints(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| varint(*number)).collect()
}

/// Origins, zigzagged differences, counts and lengths, by column.
fn ranges(columns: [&[u64]; 4]) -> Vec<u8> {
    let n = columns[0].len() as u64;
    [varint(n), varints(&columns.concat())].concat()
}

fn group(chunks: u64, length: u64) -> Vec<u8> {
    [varint(chunks), varint(length), D.to_vec()].concat()
}

fn stream(length: u64, columns: [&[u64]; 4], groups: &[Vec<u8>]) -> Vec<u8> {
    [varint(length), ranges(columns), list(groups)].concat()
}

fn origin(run: u8, stream: u64) -> Vec<u8> {
    [vec![run; 16], varint(stream)].concat()
}

fn frame(pack: u64, offset: u64, sealed: u64, chunks: &[u64]) -> Vec<u8> {
    let lengths: Vec<_> = chunks.iter().map(|length| varint(*length)).collect();
    [varints(&[pack, offset, sealed]), list(&lengths)].concat()
}

fn facts(facts: &[(&[u8], &str)]) -> Vec<u8> {
    let each: Vec<_> = facts
        .iter()
        .map(|(name, value)| [string(name), string(value)].concat())
        .collect();
    list(&each)
}

/// Content: 2 chunks of the run, 1 of another, then 1 of the run again. Catalog: one chunk.
const CONTENT: [&[u64]; 4] = [&[0, 1, 0], &[0, 14, 2], &[2, 1, 1], &[100, 50, 30]];

fn manifest_body() -> Body {
    vec![
        ("version", varint(1)),
        ("configuration", string("jobs: {}\n")),
        (
            "origins",
            list(&[origin(0x22, 0), origin(0x77, 4), origin(0x22, 1)]),
        ),
        ("sources", varint(1)),
        ("name", string("etcd")),
        ("kind", string("etcd")),
        ("facts", facts(&[(b"revision", "7"), (b"version", "3.6")])),
        (
            "incomplete",
            list(&[[string(b"x\n\xff"), string("vanished")].concat()]),
        ),
        ("entries", varint(3)),
        (
            "content",
            stream(180, CONTENT, &[group(2, 100), group(2, 80)]),
        ),
        (
            "catalog",
            stream(60, [&[2], &[0], &[1], &[60]], &[group(1, 60)]),
        ),
        (
            "stored",
            list(&[
                list(&[
                    frame(0, 0, 117, &[60, 40, 1]),
                    frame(0, 117, 100, &[]),
                    frame(1, 0, 47, &[30]),
                ]),
                list(&[frame(0, 217, 77, &[60])]),
            ]),
        ),
        ("end", Vec::new()),
    ]
}

const MANIFEST_TOLD: [&str; 20] = [
    "configuration \"jobs: {}\\n\"",
    "origin 22222222222222222222222222222222/0",
    "origin 77777777777777777777777777777777/4",
    "origin 22222222222222222222222222222222/1",
    "source \"etcd\" \"etcd\"",
    "fact \"revision\" \"7\"",
    "fact \"version\" \"3.6\"",
    "incomplete x\\x0a\\xff \"vanished\"",
    "entries 3",
    "content range origin 0 first 0 count 2 length 100",
    "content range origin 1 first 7 count 1 length 50",
    "content range origin 0 first 3 count 1 length 30",
    "content group 2 chunks 100 bytes dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
    "content group 2 chunks 80 bytes dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
    "catalog range origin 2 first 0 count 1 length 60",
    "catalog group 1 chunks 60 bytes dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
    "stored 0 pack 0 at 0 sealed 117 chunks [60, 40, 1]",
    "stored 0 pack 0 at 117 sealed 100 chunks []",
    "stored 0 pack 1 at 0 sealed 47 chunks [30]",
    "stored 1 pack 0 at 217 sealed 77 chunks [60]",
];

fn whole(body: &Body) -> Vec<u8> {
    body.iter().flat_map(|(_, piece)| piece.clone()).collect()
}

fn broken(mut body: Body, piece: &str, instead: &[u8]) -> Vec<u8> {
    let found = body.iter_mut().find(|(name, _)| *name == piece);
    let (_, old) = found.expect("a piece of the body");
    assert_ne!(old, instead, "something must be broken");
    old.clone_from(&instead.to_vec());
    whole(&body)
}

fn pad(encoding: u8, length: u64, data: &[u8], padding: &[u8]) -> Vec<u8> {
    [&[encoding][..], &length.to_le_bytes(), data, padding].concat()
}

/// As it comes: stored, and padded with 20 zeros.
fn padded(body: &[u8]) -> Vec<u8> {
    pad(0, body.len() as u64, body, &[0; 20])
}

/// The case, what is special, and what is sealed.
type Messages = Vec<(&'static str, &'static str, Vec<u8>)>;

/// What may stand in the padded form of `body`, and what may not: the same for manifests and maps.
fn paddings(body: &[u8], limit: u64) -> (Messages, Messages) {
    let n = body.len() as u64;
    let packed = |data: &[u8]| pad(1, data.len() as u64, data, &[0; 7]);
    let good = vec![
        ("no-padding", "padding is not needed", pad(0, n, body, &[])),
        (
            "padding-not-zero",
            "readers must not look at the padding",
            pad(0, n, body, &[0xa5; 20]),
        ),
        ("zstd", "compressed", packed(&zstd(body))),
    ];
    let bad = vec![
        ("no-message", "an empty message", Vec::new()),
        ("no-length", "ends inside the length", vec![0, 1, 0, 0]),
        (
            "encoding-2",
            "an encoding that there is not",
            pad(2, n, body, &[]),
        ),
        (
            "length-cut",
            "a byte fewer than it has",
            pad(0, n - 1, body, &[]),
        ),
        (
            "length-beyond",
            "a byte more than there is",
            pad(0, n + 1, body, &[]),
        ),
        (
            "length-absurd",
            "2^64 - 1 bytes",
            pad(0, u64::MAX, body, &[]),
        ),
        (
            "length-limit",
            "longer than 256 MiB, and not there",
            pad(0, limit + 1, body, &[]),
        ),
        ("length-zero", "no body", pad(0, 0, body, &[])),
        (
            "zstd-no-size",
            "zstd without a content size",
            packed(&zstd_without_size(body)),
        ),
        (
            "zstd-bomb",
            "a zstd header that promises 2^40 bytes",
            packed(&bomb()),
        ),
        (
            "zstd-twice",
            "a second zstd frame",
            packed(&zstd(body).repeat(2)),
        ),
        (
            "zstd-trailing",
            "a byte behind the zstd frame, and counted",
            packed(&[&zstd(body)[..], &[0]].concat()),
        ),
        (
            "zstd-cut",
            "zstd that ends early",
            packed(&zstd(body)[..30]),
        ),
        (
            "zstd-stored",
            "stored bytes that claim to be zstd",
            pad(1, n, body, &[]),
        ),
    ];
    (good, bad)
}

fn seal_manifest(key: &[u8; 32], at: &Spot, message: &[u8]) -> Vec<u8> {
    let commitment = derive("strongroom v1 key commitment", &[key]);
    let sealed = seal(
        &derive("strongroom v1 manifest key", &[key]),
        at,
        (2, 0, 0),
        message,
    );
    [&b"SRMANIF1"[..], &commitment, &sealed].concat()
}

fn manifest_case(name: &str, expect: &str, comment: &str, object: Vec<u8>) -> Case {
    let case = Case::new(&format!("manifest-{name}"), expect, comment, object);
    let case = at_home(case.with("key", hex::encode(KEY)));
    let told = MANIFEST_TOLD.iter().filter(|_| expect == "ok");
    told.fold(case, |case, line| case.with("holds", line))
}

pub(crate) fn manifests() -> Vec<Case> {
    let body = whole(&manifest_body());
    let sealed = |message: &[u8]| seal_manifest(&KEY, &HOME, message);
    let good = sealed(&padded(&body));
    let mut cases = vec![manifest_case(
        "good",
        "ok",
        "one source with two streams",
        good.clone(),
    )];
    for (name, comment, object) in harms(&good, 40) {
        cases.push(manifest_case(name, "damaged", comment, object));
    }
    for (name, spot) in ELSEWHERE {
        let object = seal_manifest(&KEY, &spot, &padded(&body));
        cases.push(manifest_case(
            &format!("other-{name}"),
            "damaged",
            &format!("of another {name}"),
            object,
        ));
    }
    let other = seal_manifest(&[0x34; 32], &HOME, &padded(&body));
    let commitment = derive("strongroom v1 key commitment", &[&KEY]);
    let key = derive("strongroom v1 manifest key", &[&KEY]);
    let damaged = [
        (
            "other-key-same-commitment",
            "of another data key under this one's commitment",
            [&other[..8], &commitment, &other[40..]].concat(),
        ),
        (
            "other-magic",
            "a header from the future",
            [b"SRMANIF2", &good[8..]].concat(),
        ),
        (
            "map-magic",
            "a map's header",
            [b"SRMAP001", &good[8..]].concat(),
        ),
        (
            "header-only",
            "header and commitment, nothing sealed",
            good[..40].to_vec(),
        ),
        (
            "header-cut",
            "ends inside the commitment",
            good[..39].to_vec(),
        ),
        (
            "as-map",
            "sealed as a map",
            [&good[..40], &seal(&key, &HOME, (3, 0, 0), &padded(&body))].concat(),
        ),
        (
            "as-frame",
            "sealed as a frame",
            [&good[..40], &seal(&key, &HOME, (1, 0, 0), &padded(&body))].concat(),
        ),
    ];
    cases.extend(
        damaged.map(|(name, comment, object)| manifest_case(name, "damaged", comment, object)),
    );
    let mut flipped = good.clone();
    flipped[8] ^= 1;
    let swapped = [&good[..8], &other[8..40], &good[40..]].concat();
    let commitments = [
        ("other-key", "of another data key", other),
        (
            "other-commitment",
            "opens, and commits to another key",
            swapped,
        ),
        (
            "flipped-commitment",
            "a bit of the commitment is wrong",
            flipped,
        ),
    ];
    cases.extend(
        commitments
            .map(|(name, comment, object)| manifest_case(name, "commitment", comment, object)),
    );
    let (fine, bad) = paddings(&body, 256 << 20);
    cases.extend(
        fine.into_iter()
            .map(|(name, comment, message)| manifest_case(name, "ok", comment, sealed(&message))),
    );
    cases.extend(bad.into_iter().map(|(name, comment, message)| {
        manifest_case(name, "contents", comment, sealed(&message))
    }));
    for (name, comment, piece, instead) in manifest_breaks() {
        let object = sealed(&padded(&broken(manifest_body(), piece, &instead)));
        cases.push(manifest_case(name, "contents", comment, object));
    }
    cases
}

fn manifest_breaks() -> Vec<Break> {
    let content = |length, columns, groups: &[Vec<u8>]| stream(length, columns, groups);
    let whole_group = [group(4, 180)];
    let absurd = varint(u64::MAX);
    let origins = [origin(0x22, 0), origin(0x77, 4), origin(0x22, 1)].concat();
    let stored = |frames: &[Vec<u8>]| list(&[list(frames), list(&[])]);
    let mut breaks: Vec<Break> = vec![
        (
            "version-2",
            "a version from the future",
            "version",
            varint(2),
        ),
        ("version-0", "there was no version 0", "version", varint(0)),
        (
            "long-varint",
            "a version that is not in its shortest form",
            "version",
            vec![0x81, 0x00],
        ),
        (
            "configuration-not-text",
            "not UTF-8",
            "configuration",
            string(b"\xff"),
        ),
        (
            "configuration-absurd",
            "longer than the body",
            "configuration",
            absurd.clone(),
        ),
        (
            "origins-absurd",
            "more origins than bytes",
            "origins",
            absurd.clone(),
        ),
        (
            "origins-more",
            "one origin more than there are",
            "origins",
            [varint(4), origins.clone()].concat(),
        ),
        (
            "origin-stream-absurd",
            "a stream above 2^32",
            "origins",
            list(&[origin(0x22, 1 << 32), origin(0x77, 4), origin(0x22, 1)]),
        ),
        (
            "sources-absurd",
            "more sources than bytes",
            "sources",
            absurd.clone(),
        ),
        (
            "sources-none",
            "no source, and yet one follows",
            "sources",
            varint(0),
        ),
        (
            "name-not-text",
            "a source's name that is not UTF-8",
            "name",
            string(b"\xc3"),
        ),
        (
            "name-absurd",
            "longer than the body",
            "name",
            varint(1 << 62),
        ),
        (
            "facts-twice",
            "a fact twice",
            "facts",
            facts(&[(b"a", "1"), (b"a", "2")]),
        ),
        (
            "facts-unsorted",
            "facts that descend",
            "facts",
            facts(&[(b"b", "1"), (b"a", "2")]),
        ),
        (
            "facts-not-text",
            "a fact's name that is not UTF-8",
            "facts",
            facts(&[(b"\xff", "1")]),
        ),
        (
            "facts-absurd",
            "more facts than bytes",
            "facts",
            absurd.clone(),
        ),
        (
            "incomplete-absurd",
            "more entries than bytes",
            "incomplete",
            absurd.clone(),
        ),
        (
            "entries-long-varint",
            "a number that is not in its shortest form",
            "entries",
            vec![0x83, 0x80, 0x00],
        ),
        ("trailing", "a byte behind the body", "end", vec![0]),
    ];
    let streams: [(&str, &str, Vec<u8>); 17] = [
        (
            "stream-length",
            "the length is not the ranges' sum",
            content(181, CONTENT, &whole_group),
        ),
        (
            "ranges-absurd",
            "more ranges than bytes",
            [varint(180), absurd.clone()].concat(),
        ),
        (
            "range-origin",
            "an origin that is not in the list",
            content(
                180,
                [&[3, 1, 0], CONTENT[1], CONTENT[2], CONTENT[3]],
                &whole_group,
            ),
        ),
        (
            "range-before",
            "before the first chunk",
            content(
                180,
                [CONTENT[0], &[1, 14, 2], CONTENT[2], CONTENT[3]],
                &whole_group,
            ),
        ),
        (
            "range-beyond",
            "beyond the last number",
            content(
                180,
                [CONTENT[0], &[(1 << 33) - 2, 14, 2], CONTENT[2], CONTENT[3]],
                &whole_group,
            ),
        ),
        (
            "range-zigzag-most",
            "a difference of 2^63 - 1",
            content(
                180,
                [CONTENT[0], &[0, u64::MAX - 1, 2], CONTENT[2], CONTENT[3]],
                &whole_group,
            ),
        ),
        (
            "range-zigzag-least",
            "a difference of -2^63",
            content(
                180,
                [CONTENT[0], &[0, u64::MAX, 2], CONTENT[2], CONTENT[3]],
                &whole_group,
            ),
        ),
        (
            "range-empty",
            "a range of no chunk",
            content(
                180,
                [CONTENT[0], CONTENT[1], &[2, 0, 1], CONTENT[3]],
                &[group(3, 180)],
            ),
        ),
        (
            "range-count-absurd",
            "chunks above 2^32",
            content(
                180,
                [CONTENT[0], CONTENT[1], &[2, 1 << 32, 1], CONTENT[3]],
                &whole_group,
            ),
        ),
        (
            "range-count-overflow",
            "chunks whose sum is above 2^32",
            content(
                180,
                [
                    CONTENT[0],
                    CONTENT[1],
                    &[0xffff_ffff, 0xffff_fff0, 1],
                    CONTENT[3],
                ],
                &whole_group,
            ),
        ),
        (
            "range-length-overflow",
            "lengths whose sum is no number",
            content(
                180,
                [CONTENT[0], CONTENT[1], CONTENT[2], &[u64::MAX, 181, 0]],
                &whole_group,
            ),
        ),
        (
            "groups-none",
            "ranges without groups",
            content(180, CONTENT, &[]),
        ),
        (
            "groups-chunks",
            "a chunk more than the ranges have",
            content(180, CONTENT, &[group(5, 180)]),
        ),
        (
            "groups-length",
            "a byte more than the ranges have",
            content(180, CONTENT, &[group(4, 181)]),
        ),
        (
            "group-empty",
            "a group of no chunk",
            content(180, CONTENT, &[group(0, 0), group(4, 180)]),
        ),
        (
            "groups-absurd",
            "more groups than bytes",
            [varint(180), ranges(CONTENT), absurd.clone()].concat(),
        ),
        (
            "groups-overflow",
            "lengths whose sum is no number",
            content(180, CONTENT, &[group(2, u64::MAX), group(2, 181)]),
        ),
    ];
    breaks.extend(streams.map(|(name, comment, instead)| (name, comment, "content", instead)));
    let tables: [(&str, &str, Vec<u8>); 10] = [
        (
            "streams-one",
            "one stream of a source",
            list(&[list(&[frame(0, 0, 117, &[100])])]),
        ),
        (
            "streams-three",
            "three streams of a source",
            list(&[list(&[]), list(&[]), list(&[])]),
        ),
        ("streams-absurd", "more streams than bytes", absurd.clone()),
        (
            "frames-absurd",
            "more frames than bytes",
            [varint(2), absurd.clone()].concat(),
        ),
        (
            "frame-chunks-absurd",
            "more chunks than bytes",
            [varint(2), varint(1), varints(&[0, 0, 117]), absurd].concat(),
        ),
        (
            "frame-offset-absurd",
            "an offset above 2^32",
            stored(&[frame(0, 1 << 32, 117, &[100])]),
        ),
        (
            "chunk-empty",
            "a chunk of no byte",
            stored(&[frame(0, 0, 117, &[100, 0])]),
        ),
        (
            "chunk-too-long",
            "a chunk of 1 MiB and a byte",
            stored(&[frame(0, 0, 117, &[(1 << 20) + 1])]),
        ),
        (
            "frame-too-long",
            "a frame of 4 MiB and a byte",
            stored(&[frame(0, 0, 117, &[1 << 20, 1 << 20, 1 << 20, 1 << 20, 1])]),
        ),
        (
            "chunk-absurd",
            "a chunk's length above 2^32",
            stored(&[frame(0, 0, 117, &[1 << 32])]),
        ),
    ];
    breaks.extend(tables.map(|(name, comment, instead)| (name, comment, "stored", instead)));
    breaks
}

fn map_body() -> Body {
    vec![
        ("version", varint(1)),
        ("head", vec![0xee; 32]),
        ("origins", list(&[origin(0x22, 0), origin(0x77, 4)])),
        ("sources", varint(1)),
        ("name", string("etcd")),
        ("content", ranges(CONTENT)),
        ("catalog", ranges([&[], &[], &[], &[]])),
        ("streams", varint(2)),
        ("frames", list(&[varints(&[0, 2]), varints(&[1, 1])])),
        ("tags", [[0xa1; 16], [0xa2; 16], [0xa3; 16]].concat()),
        ("no-frames", list(&[])),
        ("end", Vec::new()),
    ]
}

const MAP_TOLD: [&str; 12] = [
    "head eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
    "origin 22222222222222222222222222222222/0",
    "origin 77777777777777777777777777777777/4",
    "source \"etcd\"",
    "content range origin 0 first 0 count 2 length 100",
    "content range origin 1 first 7 count 1 length 50",
    "content range origin 0 first 3 count 1 length 30",
    "stored 0 pack 0 chunks 2",
    "stored 0 pack 1 chunks 1",
    "stored 0 tag a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
    "stored 0 tag a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2",
    "stored 0 tag a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3",
];

fn seal_map(secret: &[u8; 32], at: &Spot, message: &[u8]) -> Vec<u8> {
    let key = derive("strongroom v1 map key", &[secret, &at.run]);
    [&b"SRMAP001"[..], &seal(&key, at, (3, 0, 0), message)].concat()
}

fn map_case(name: &str, expect: &str, comment: &str, object: Vec<u8>) -> Case {
    let case = Case::new(&format!("map-{name}"), expect, comment, object);
    let case = at_home(case.with("writer", hex::encode([SEED, SECRET].concat())));
    let told = MAP_TOLD.iter().filter(|_| expect == "ok");
    told.fold(case, |case, line| case.with("holds", line))
}

pub(crate) fn maps() -> Vec<Case> {
    let body = whole(&map_body());
    let sealed = |message: &[u8]| seal_map(&SECRET, &HOME, message);
    let good = sealed(&padded(&body));
    let lost = |name: &str, comment: &str, object| map_case(name, "lost", comment, object);
    let mut cases = vec![map_case(
        "good",
        "ok",
        "one source with two streams",
        good.clone(),
    )];
    cases.extend(
        harms(&good, 8)
            .into_iter()
            .map(|(name, comment, object)| lost(name, comment, object)),
    );
    for (name, spot) in ELSEWHERE {
        let object = seal_map(&SECRET, &spot, &padded(&body));
        cases.push(lost(
            &format!("other-{name}"),
            &format!("of another {name}"),
            object,
        ));
    }
    let key = derive("strongroom v1 map key", &[&SECRET, &HOME.run]);
    let other_kind = [
        &b"SRMAP001"[..],
        &seal(&key, &HOME, (2, 0, 0), &padded(&body)),
    ]
    .concat();
    let moved = [
        (
            "other-writer",
            "of another writer",
            seal_map(&[0x56; 32], &HOME, &padded(&body)),
        ),
        (
            "other-magic",
            "a header from the future",
            [b"SRMAP002", &good[8..]].concat(),
        ),
        ("as-manifest", "sealed as a manifest", other_kind),
        (
            "manifest",
            "a manifest in its place",
            seal_manifest(&KEY, &HOME, &padded(&body)),
        ),
    ];
    cases.extend(moved.map(|(name, comment, object)| lost(name, comment, object)));
    let (fine, bad) = paddings(&body, 256 << 20);
    cases.extend(
        fine.into_iter()
            .map(|(name, comment, message)| map_case(name, "ok", comment, sealed(&message))),
    );
    cases.extend(
        bad.into_iter()
            .map(|(name, comment, message)| lost(name, comment, sealed(&message))),
    );
    let absurd = varint(u64::MAX);
    let breaks: [Break; 14] = [
        (
            "version-2",
            "a version from the future",
            "version",
            varint(2),
        ),
        (
            "head-short",
            "a head digest of 31 bytes",
            "head",
            vec![0xee; 31],
        ),
        (
            "origins-absurd",
            "more origins than bytes",
            "origins",
            absurd.clone(),
        ),
        (
            "origins-fewer",
            "a range of an origin that is not in the list",
            "origins",
            list(&[origin(0x22, 0)]),
        ),
        (
            "sources-absurd",
            "more sources than bytes",
            "sources",
            absurd.clone(),
        ),
        (
            "name-not-text",
            "a source's name that is not UTF-8",
            "name",
            string(b"\xff"),
        ),
        (
            "ranges-absurd",
            "more ranges than bytes",
            "content",
            absurd.clone(),
        ),
        (
            "ranges-empty",
            "a range of no chunk",
            "content",
            ranges([&[0], &[0], &[0], &[0]]),
        ),
        (
            "streams-absurd",
            "more streams than bytes",
            "streams",
            absurd.clone(),
        ),
        ("frames-absurd", "more frames than bytes", "frames", absurd),
        (
            "chunks-absurd",
            "more chunks than tags",
            "frames",
            list(&[varints(&[0, 0xffff_ffff]), varints(&[1, 1])]),
        ),
        (
            "chunks-overflow",
            "chunks whose sum is above 2^32",
            "frames",
            list(&[varints(&[0, 0xffff_ffff]), varints(&[1, 0xffff_ffff])]),
        ),
        ("tags-cut", "a tag is short", "tags", vec![0xa1; 47]),
        ("trailing", "a byte behind the body", "end", vec![0]),
    ];
    cases.extend(breaks.map(|(name, comment, piece, instead)| {
        lost(
            name,
            comment,
            sealed(&padded(&broken(map_body(), piece, &instead))),
        )
    }));
    cases
}
