//! One function per kind of vector: what our code makes of the object.

use archive::{Body, CatalogError, CatalogReader, Entry, Field, Name, get_varint};
use format::{
    Commit, CommitError, CommitRef, Cut, Cutter, DataKey, Description, DescriptionError,
    FrameError, Identities, IdentityError, JobName, Manifest, ManifestError, Map, Place, Range,
    RotatedRun, RunId, Statement, Stream, WriterKey, open_frame, padme, seal_frame,
};
use zeroize::Zeroizing;

use crate::case::Case;

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) headers: &'static [&'static str],
    pub(crate) verdicts: &'static [&'static str],
    pub(crate) judge: fn(&Case) -> Judged,
}

/// What became of an object, and what it holds if it is good.
pub(crate) struct Judged {
    pub(crate) verdict: &'static str,
    pub(crate) holds: Vec<String>,
}

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "description",
        headers: &[],
        verdicts: &["ok", "not one", "newer"],
        judge: description,
    },
    Kind {
        name: "key",
        headers: &["identity"],
        verdicts: &["ok", "none opens", "damaged"],
        judge: key,
    },
    Kind {
        name: "frame",
        headers: &[
            "key",
            "repository",
            "job",
            "run",
            "stream",
            "frame",
            "length",
        ],
        verdicts: &["ok", "damaged", "contents"],
        judge: frame,
    },
    Kind {
        name: "manifest",
        headers: &["key", "repository", "job", "run"],
        verdicts: &["ok", "damaged", "commitment", "contents"],
        judge: manifest,
    },
    Kind {
        name: "map",
        headers: &["writer", "repository", "job", "run"],
        verdicts: &["ok", "lost"],
        judge: map,
    },
    Kind {
        name: "commit",
        headers: &["repository", "job", "number"],
        verdicts: &["ok", "shape", "malformed", "signature", "place", "newer"],
        judge: commit,
    },
    Kind {
        name: "catalog",
        headers: &[],
        verdicts: &["ok", "length", "malformed", "order", "cut"],
        judge: catalog,
    },
    Kind {
        name: "varint",
        headers: &[],
        verdicts: &["ok", "malformed"],
        judge: varint,
    },
    Kind {
        name: "writer",
        headers: &[],
        verdicts: &["ok", "not one"],
        judge: writer,
    },
    Kind {
        name: "identity",
        headers: &[],
        verdicts: &["ok", "not one"],
        judge: identity,
    },
    Kind {
        name: "cut",
        headers: &["writer", "stream", "chunks"],
        verdicts: &["ok", "differs"],
        judge: cut,
    },
    Kind {
        name: "tag",
        headers: &["writer", "tag"],
        verdicts: &["ok", "differs"],
        judge: tag,
    },
    Kind {
        name: "padme",
        headers: &["length", "padded"],
        verdicts: &["ok", "differs"],
        judge: padded,
    },
];

fn refused(verdict: &'static str) -> Judged {
    Judged {
        verdict,
        holds: Vec::new(),
    }
}

fn good(holds: Vec<String>) -> Judged {
    Judged {
        verdict: "ok",
        holds,
    }
}

fn same(same: bool) -> Judged {
    refused(if same { "ok" } else { "differs" })
}

fn place(case: &Case) -> Place {
    Place {
        repository: case.one("repository").parse().expect("a repository id"),
        job: job(case),
        run: case.one("run").parse().expect("a run"),
    }
}

fn job(case: &Case) -> JobName {
    case.one("job").parse().expect("a job name")
}

fn data_key(case: &Case) -> DataKey {
    DataKey::from_bytes(Zeroizing::new(case.bytes("key")))
}

fn writer_key(case: &Case) -> WriterKey {
    let file = format!("STRONGROOM-WRITER-KEY-1-{}", case.one("writer"));
    WriterKey::from_file(file.as_bytes()).expect("the kit's writer key")
}

fn description(case: &Case) -> Judged {
    match Description::decode(&case.object) {
        Ok(found) => good(vec![format!(
            "repository {} created {}",
            found.id, found.created
        )]),
        Err(DescriptionError::NotOne) => refused("not one"),
        Err(DescriptionError::Newer(_)) => refused("newer"),
    }
}

fn key(case: &Case) -> Judged {
    let mut identities = Identities::none();
    for identity in case.all("identity") {
        identities
            .add_file(identity.as_bytes())
            .expect("the kit's identity");
    }
    match DataKey::open_with(&case.object, &identities) {
        Ok(key) => good(vec![format!("key that seals 'x' as {}", fingerprint(&key))]),
        Err(IdentityError::NoneOpens) => refused("none opens"),
        Err(_) => refused("damaged"),
    }
}

/// A data key shows nothing of itself; what it seals tells it from any other.
pub(crate) fn fingerprint(key: &DataKey) -> String {
    let place = Place {
        repository: format::RepositoryId([0; 16]),
        job: "x".parse().expect("a job name"),
        run: RunId([0; 16]),
    };
    hex::encode(seal_frame(key, &place, 0, 0, b"x", false))
}

fn frame(case: &Case) -> Judged {
    let (stream, frame, length) = (
        case.number("stream"),
        case.number("frame"),
        case.number("length"),
    );
    let (mut sealed, mut plain) = (case.object.clone(), Vec::new());
    let (key, place) = (data_key(case), place(case));
    match open_frame(&key, &place, stream, frame, &mut sealed, length, &mut plain) {
        Ok(()) => good(vec![bytes_of(&plain)]),
        Err(FrameError::Open(_)) => refused("damaged"),
        Err(FrameError::Contents) => refused("contents"),
    }
}

pub(crate) fn bytes_of(plain: &[u8]) -> String {
    format!("{} bytes {}", plain.len(), archive::Digest::of(plain))
}

fn manifest(case: &Case) -> Judged {
    match Manifest::open(&case.object, &data_key(case), &place(case)) {
        Ok(manifest) => good(tell_manifest(&manifest)),
        Err(ManifestError::Open(_)) => refused("damaged"),
        Err(ManifestError::Commitment) => refused("commitment"),
        Err(ManifestError::Contents(_) | ManifestError::TooLong) => refused("contents"),
    }
}

fn tell_manifest(manifest: &Manifest) -> Vec<String> {
    let mut told = vec![format!("configuration {:?}", manifest.configuration)];
    for origin in &manifest.origins {
        told.push(format!("origin {}/{}", origin.run, origin.stream));
    }
    for source in &manifest.sources {
        told.push(format!("source {:?} {:?}", source.name, source.kind));
        for (name, value) in &source.facts {
            told.push(format!("fact {name:?} {value:?}"));
        }
        for incomplete in &source.incomplete {
            told.push(format!(
                "incomplete {} {:?}",
                incomplete.name, incomplete.reason
            ));
        }
        told.push(format!("entries {}", source.entries));
        tell_stream("content", &source.content, &mut told);
        tell_stream("catalog", &source.catalog, &mut told);
    }
    for (stream, frames) in manifest.stored.iter().enumerate() {
        for frame in frames {
            told.push(format!(
                "stored {stream} pack {} at {} sealed {} chunks {:?}",
                frame.pack, frame.offset, frame.sealed, frame.chunks
            ));
        }
    }
    told
}

fn tell_stream(name: &str, stream: &Stream, told: &mut Vec<String>) {
    told.extend(
        stream
            .ranges
            .iter()
            .map(|range| format!("{name} {}", tell_range(range))),
    );
    for group in &stream.groups {
        told.push(format!(
            "{name} group {} chunks {} bytes {}",
            group.chunks, group.length, group.digest
        ));
    }
}

fn tell_range(range: &Range) -> String {
    let Range {
        origin,
        first,
        count,
        length,
    } = range;
    format!("range origin {origin} first {first} count {count} length {length}")
}

fn map(case: &Case) -> Judged {
    let Ok(map) = Map::open(&case.object, &writer_key(case), &place(case)) else {
        return refused("lost");
    };
    let mut told = vec![format!("head {}", hex::encode(map.head))];
    for origin in &map.origins {
        told.push(format!("origin {}/{}", origin.run, origin.stream));
    }
    for source in &map.sources {
        told.push(format!("source {:?}", source.name));
        for (name, ranges) in [("content", &source.content), ("catalog", &source.catalog)] {
            told.extend(
                ranges
                    .iter()
                    .map(|range| format!("{name} {}", tell_range(range))),
            );
        }
    }
    for (stream, stored) in map.stored.iter().enumerate() {
        for (pack, chunks) in &stored.frames {
            told.push(format!("stored {stream} pack {pack} chunks {chunks}"));
        }
        told.extend(
            stored
                .tags
                .iter()
                .map(|tag| format!("stored {stream} tag {}", hex::encode(tag))),
        );
    }
    good(told)
}

fn commit(case: &Case) -> Judged {
    let repository = case.one("repository").parse().expect("a repository id");
    match Commit::decode(&case.object, repository, &job(case), case.number("number")) {
        Ok(commit) => good(tell_commit(&commit)),
        Err(CommitError::Shape) => refused("shape"),
        Err(CommitError::Malformed(_)) => refused("malformed"),
        Err(CommitError::Signature) => refused("signature"),
        Err(CommitError::Place) => refused("place"),
        Err(CommitError::UnknownKind { appender }) => Judged {
            verdict: "newer",
            holds: vec![format!("appender {appender}")],
        },
    }
}

fn tell_commit(commit: &Commit) -> Vec<String> {
    let mut told = vec![format!(
        "number {} appender {} digest {}",
        commit.log.number, commit.log.appender, commit.digest
    )];
    told.extend(
        commit
            .log
            .previous
            .iter()
            .map(|previous| format!("previous {}", previous.0)),
    );
    for witness in &commit.log.witness {
        told.push(format!("witness {}/{}", witness.repository, witness.number));
    }
    match &commit.statement {
        Statement::Snapshot(snapshot) => {
            told.push(format!("snapshot by {}", snapshot.writer));
            if let Some(copied) = &commit.log.copied {
                told.push(format!("made for {}", snapshot.repository));
                told.extend(copied.before.map(|before| format!("taken before {before}")));
            }
            for run in &*commit.runs() {
                told.extend(run.objects().map(|(name, object)| {
                    let (run, size) = (run.run, object.size);
                    format!("object {run}/{name} {size} {}", object.digest)
                }));
            }
        }
        Statement::Prune(prune) => {
            told.push(format!("prune by {}", prune.writer));
            for (number, digest) in &prune.retains {
                told.push(format!("retains {number} {}", digest.0));
            }
            for condemned in &prune.condemns {
                told.push(format!(
                    "condemns {} whole {} packs {:?}",
                    condemned.run, condemned.whole, condemned.packs
                ));
            }
        }
        maintenance => told.extend(tell_maintenance(maintenance)),
    }
    told
}

fn tell_maintenance(statement: &Statement) -> Vec<String> {
    let (.., writer) = statement.made_for();
    match statement {
        Statement::Snapshot(_) | Statement::Prune(_) => Vec::new(),
        Statement::Pin(pin) => {
            let CommitRef { number, digest } = pin.snapshot;
            let pinned = format!("pinned {} {number} {digest}", pin.pinned);
            vec![format!("pin by {writer}"), pinned]
        }
        Statement::Forget(forget) => {
            let forgets = forget
                .snapshots
                .iter()
                .map(|at| format!("forgets {} {}", at.number, at.digest));
            [format!("forget by {writer}")]
                .into_iter()
                .chain(forgets)
                .collect()
        }
        Statement::Revoke(revoke) => {
            let revokes = revoke
                .writers
                .iter()
                .map(|revoked| format!("revokes {revoked} after {}", revoke.after));
            [format!("revoke by {writer}")]
                .into_iter()
                .chain(revokes)
                .collect()
        }
        Statement::Rotate(rotate) => {
            let recipients = rotate.recipients.iter();
            let rotates = rotate.runs.iter().map(|rotated| {
                let RotatedRun { run, object, key } = rotated;
                format!("rotates {run}/{object} {} {}", key.size, key.digest)
            });
            [format!("rotate by {writer}")]
                .into_iter()
                .chain(recipients.map(|recipient| format!("recipient {recipient}")))
                .chain(rotates)
                .collect()
        }
    }
}

/// Fed whole, and byte by byte: the verdict must be the same.
fn catalog(case: &Case) -> Judged {
    let [whole, bytewise] = [usize::MAX, 1].map(|piece| read_catalog(&case.object, piece));
    assert!(whole == bytewise, "{}: depends on pieces", case.name);
    match whole {
        Ok(entries) => good(entries.iter().map(tell_entry).collect()),
        Err(CatalogError::Length) => refused("length"),
        Err(CatalogError::Malformed { .. }) => refused("malformed"),
        Err(CatalogError::Order { .. }) => refused("order"),
        Err(CatalogError::Cut) => refused("cut"),
    }
}

fn read_catalog(bytes: &[u8], piece: usize) -> Result<Vec<Entry>, CatalogError> {
    let mut reader = CatalogReader::default();
    let mut entries = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.feed(piece);
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
    }
    reader.finish()?;
    Ok(entries)
}

fn tell_entry(entry: &Entry) -> String {
    let mut told = vec![format!("entry {:?}", entry.name)];
    for (name, value) in entry.attributes.iter() {
        told.push(format!("{name}={:?}", Name::new(value)));
    }
    match &entry.body {
        Body::Blob { length, digest } => told.push(format!("blob {length} {digest}")),
        Body::Record { fields } => {
            told.push("record".to_owned());
            for field in fields {
                let Field {
                    key,
                    length,
                    digest,
                } = field;
                told.push(format!("{key:?} {length} {digest}"));
            }
        }
    }
    told.join(" ")
}

fn varint(case: &Case) -> Judged {
    let mut input = &case.object[..];
    match get_varint(&mut input) {
        Some(value) => good(vec![format!("{value}, then {} bytes", input.len())]),
        None => refused("malformed"),
    }
}

fn writer(case: &Case) -> Judged {
    match WriterKey::from_file(&case.object) {
        Ok(key) => good(vec![format!("writer {}", key.id())]),
        Err(_) => refused("not one"),
    }
}

fn identity(case: &Case) -> Judged {
    let mut identities = Identities::none();
    match identities.add_file(&case.object) {
        Ok(()) if !identities.is_empty() => refused("ok"),
        _ => refused("not one"),
    }
}

/// The object is a seed: a long stream is a short vector.
fn cut(case: &Case) -> Judged {
    let seed = case.object.as_slice().try_into().expect("a seed");
    let lengths = chunk_lengths(&writer_key(case), case.one("stream"), seed);
    same(lengths == case.one("chunks"))
}

/// Where `writer` cuts 300,000 bytes that BLAKE3 makes of `seed`.
pub(crate) fn chunk_lengths(writer: &WriterKey, stream: &str, seed: &[u8; 32]) -> String {
    let mut bytes = vec![0; 300_000];
    blake3::Hasher::new_keyed(seed)
        .finalize_xof()
        .fill(&mut bytes);
    let kind = match stream {
        "catalog" => Cut::Catalog,
        "content" => Cut::Content,
        other => panic!("there is no stream '{other}'"),
    };
    let mut cutter = Cutter::new(writer.gear(), kind);
    let mut lengths = Vec::new();
    cutter.push(&bytes, |chunk| lengths.push(chunk.len().to_string()));
    cutter.finish(|chunk| lengths.push(chunk.len().to_string()));
    lengths.join(" ")
}

fn tag(case: &Case) -> Judged {
    let hash = blake3::hash(&case.object);
    same(writer_key(case).tag(hash.as_bytes()) == case.bytes("tag"))
}

fn padded(case: &Case) -> Judged {
    same(padme(case.number("length")) == case.number::<u64>("padded"))
}
