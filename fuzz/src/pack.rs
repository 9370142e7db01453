//! Packs read by a frame table: a small backup is described by the bytes, then harmed where they say; what is read is what was
//! backed up, or an error. Everything is sealed and signed after the harm, so that no seal hides what lies behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use archive::{Attributes, Content, Digest, Entry, Header, Item, Name, Streams, Writer};
use format::{
    DataKey, FrameRow, Group, Identities, Log, Manifest, ManifestSource, Object, Origin, PACK_MAX,
    Pack, Place, Recipients, Run, RunId, SnapshotStatement, SourceTimes, Statement, Stream,
    pack_name, seal_frame, seal_padding,
};
use repository::{
    Compute, EntryReader, Error, Level, Repository, Select, Snapshot, Trust, verify_job,
};
use zeroize::Zeroizing;

use crate::script::Script;
use crate::shelf::{Hand, REPOSITORY, Shelf, job, run};

const RUN: RunId = RunId([0x22; 16]);
/// More harm than this hides the harm before it.
const HARMS: usize = 12;
/// As in the other bodies: they protect nothing.
const RECIPIENT: &str = "age19tpaqqzsngd72z76c8gw3fughtz7nuhpuxjtz7aq8y3fdhfvwfks9j23uj";
const IDENTITY: &str = "AGE-SECRET-KEY-1P873HY9PTGPZAPQ8RZ9YGUAMTL0L23D2Z57UZQEQXGKN4DZ27X2SF47JGJ";

pub fn pack(bytes: &[u8]) {
    let mut script = Script(bytes);
    let archive = Archive::described(&mut script);
    let mut backup = Backup::of(&archive, &mut script);
    let harmed = !script.is_over();
    for _ in 0..HARMS {
        if script.is_over() {
            break;
        }
        backup.harm(&mut script);
    }
    let repository = backup.store().open();
    run(async {
        // An error is an answer to harm; what is handed out before it must be right.
        let read = archive.compare(&repository).await;
        assert!(harmed || read.is_ok(), "{:?}", read.err());
        let (job, trust, compute) = (job(), trust(), Compute::inline());
        let report = verify_job(&repository, &job, &trust, Level::Data, &compute, &|_| ());
        report.await.expect("memory answers");
    });
}

fn trust() -> Trust {
    Trust {
        writers: [Hand::number(1).id()].into(),
        ..Trust::default()
    }
}

fn place() -> Place {
    Place {
        repository: REPOSITORY,
        job: job(),
        run: RUN,
    }
}

fn data_key() -> DataKey {
    DataKey::from_bytes(Zeroizing::new([0x33; 32]))
}

fn identities() -> Arc<Identities> {
    static OPENED: OnceLock<Arc<Identities>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let mut identities = Identities::none();
        identities
            .add_file(IDENTITY.as_bytes())
            .expect("an identity");
        Arc::new(identities)
    });
    Arc::clone(opened)
}

/// Made once: it is not what is tried here, and takes longer than all the rest.
fn key_object() -> &'static [u8] {
    static SEALED: OnceLock<Vec<u8>> = OnceLock::new();
    SEALED.get_or_init(|| {
        let recipients = Recipients::parse([RECIPIENT]).expect("a recipient");
        data_key()
            .seal_to(&recipients)
            .expect("no plugin is needed")
            .key
    })
}

/// What was backed up.
#[derive(Default)]
struct Archive {
    values: BTreeMap<Name, Vec<u8>>,
    content: Vec<u8>,
    catalog: Vec<u8>,
}

impl Streams for Archive {
    fn content(&mut self, content: Content) {
        self.content.extend_from_slice(content.as_bytes());
    }
    fn unit(&mut self, _length: u64) {}
    fn entry_ends(&mut self, _entry: &Entry) {}
    fn catalog(&mut self, record: &[u8]) {
        self.catalog.extend_from_slice(record);
    }
    fn give_up(&mut self) {
        self.content.clear();
        self.catalog.clear();
    }
}

impl Archive {
    fn described(script: &mut Script<'_>) -> Self {
        let (mut archive, mut writer) = (Self::default(), Writer::default());
        for number in 0..script.below(5) {
            let length = script.below(64) * script.below(64);
            let value = vec![script.byte(); length];
            let header = Header {
                name: format!("entry {number}").as_str().into(),
                attributes: Attributes::default(),
                fields: None,
            };
            archive.values.insert(header.name.clone(), value.clone());
            let items = [
                Item::Begin(header),
                Item::Data(Content::new(value)),
                Item::End,
            ];
            for item in items {
                writer.push(item, &mut archive).expect("a sound source");
            }
        }
        archive
    }

    /// Reads the snapshot in both ways; whatever comes out of it is the beginning of what went in.
    async fn compare(&self, repository: &Repository) -> Result<(), Error> {
        let trust = trust();
        let view = repository.view(&job(), &trust).await?;
        let snapshot = view.snapshot(1).expect("its commit is not harmed");
        let opened = Snapshot::open(
            repository,
            snapshot,
            identities(),
            &trust,
            Compute::inline(),
        )
        .await?;
        let most = self.compare_entries(&opened, Select::Most).await;
        self.compare_entries(&opened, Select::Few).await.and(most)
    }

    async fn compare_entries(&self, snapshot: &Snapshot, select: Select) -> Result<(), Error> {
        let mut reader = snapshot.entries(0).selecting(select);
        let mut values = self.values.iter();
        while let Some(entry) = reader.next().await? {
            let (name, value) = values.next().expect("no entry too many");
            assert!(entry.name == *name);
            if select == Select::Most || value.len() % 2 == 0 {
                compare_value(&mut reader, value).await?;
            }
        }
        assert!(values.next().is_none(), "an entry is missing");
        Ok(())
    }
}

async fn compare_value(reader: &mut EntryReader<'_>, mut value: &[u8]) -> Result<(), Error> {
    while let Some(piece) = reader.data().await? {
        value = value
            .strip_prefix(piece.as_bytes())
            .expect("bytes that were never backed up");
    }
    assert!(value.is_empty(), "the value was cut");
    Ok(())
}

/// What is about to be stored of it.
struct Backup {
    manifest: Manifest,
    /// Sealed frames with stream and number in the order of the packs that they go to.
    packs: [Vec<u8>; 2],
    listed: Vec<Pack>,
}

impl Backup {
    fn of(archive: &Archive, script: &mut Script<'_>) -> Self {
        let mut packs = [Vec::new(), Vec::new()];
        let mut stored = Vec::new();
        let mut streams = Vec::new();
        for (number, bytes) in (0..).zip([&archive.content, &archive.catalog]) {
            let chunks: Vec<&[u8]> = bytes.chunks(16 * (1 + script.below(64))).collect();
            stored.push(frames(number, &chunks, &mut packs, script));
            streams.push(stream(number, &chunks, 1 + script.below(4)));
        }
        let mut streams = streams.into_iter();
        let mut next = || streams.next().expect("there are two");
        let source = ManifestSource {
            name: "files".into(),
            kind: "files".into(),
            entries: archive.values.len() as u64,
            content: next(),
            catalog: next(),
            ..ManifestSource::default()
        };
        let manifest = Manifest {
            origins: (0..2).map(|stream| Origin { run: RUN, stream }).collect(),
            sources: vec![source],
            stored,
            ..Manifest::default()
        };
        let listed = (0..).zip(&packs).map(|(number, pack)| Pack {
            number,
            object: object(pack),
        });
        Self {
            manifest,
            listed: listed.collect(),
            packs,
        }
    }

    fn harm(&mut self, script: &mut Script<'_>) {
        let what = script.byte();
        let which = usize::from(what >> 7);
        match what % 16 {
            0 => self.manifest.origins[which].stream = script.u32(),
            1 => self.manifest.sources[0].entries = script.u32().into(),
            2 => flip(&mut self.packs[which], script),
            3 => self.listed[which].object.size = u64::from(script.u32()) % (PACK_MAX + 1),
            4 => self.listed[which].number = script.byte().into(),
            5 => self.listed.truncate(2 - which),
            6 => self.manifest.origins[which].run = RunId([0x23; 16]),
            7 => self.manifest.stored.swap(0, 1),
            8..=10 => harm_stream(self.stream(which), script),
            _ => harm_rows(&mut self.manifest.stored[which], script),
        }
        // `truncate` above may have taken what a later step names.
        self.listed.resize(
            2,
            Pack {
                number: 9,
                object: object(b""),
            },
        );
    }

    fn stream(&mut self, which: usize) -> &mut Stream {
        let source = &mut self.manifest.sources[0];
        if which == 0 {
            &mut source.content
        } else {
            &mut source.catalog
        }
    }

    /// Seals, signs and shelves it.
    fn store(&self) -> Shelf {
        let shelf = Shelf::new();
        let manifest = self
            .manifest
            .seal(&data_key(), &place())
            .expect("a small manifest");
        let key = key_object();
        let statement = self.statement(object(key), object(&manifest));
        let hand = Hand::number(1);
        let log = Log {
            number: 1,
            previous: None,
            appender: hand.id(),
            appended: String::new(),
            copied: None,
            witness: Vec::new(),
        };
        let put = |name: &str, bytes: Vec<u8>| shelf.put(&format!("prod/runs/{RUN}/{name}"), bytes);
        put("key", key.to_vec());
        put("manifest", manifest);
        put("map", Vec::new());
        for (number, pack) in (0..).zip(&self.packs) {
            put(&pack_name(number), pack.clone());
        }
        shelf.put(
            "prod/log/000000000001",
            hand.commit(&statement, &log, &hand),
        );
        shelf
    }

    fn statement(&self, key: Object, manifest: Object) -> Statement {
        let mut packs = self.listed.clone();
        packs.sort_by_key(|pack| pack.number);
        packs.dedup_by_key(|pack| pack.number);
        let run = Run {
            run: RUN,
            key,
            key_pq: None,
            manifest,
            map: object(b""),
            packs,
        };
        let time = SourceTimes {
            started: String::new(),
            finished: String::new(),
        };
        Statement::Snapshot(Box::new(SnapshotStatement {
            repository: REPOSITORY,
            job: job(),
            writer: Hand::number(1).id(),
            program: String::new(),
            started: String::new(),
            finished: String::new(),
            sources: vec![time],
            partial: false,
            entries: 0,
            bytes: 0,
            added: 0,
            recipients: Vec::new(),
            parent: None,
            runs: vec![run],
        }))
    }
}

fn object(bytes: &[u8]) -> Object {
    Object {
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
    }
}

/// Seals the chunks of a stream into frames, padding between them, and appends these to one pack or the other.
fn frames(
    stream: u32,
    chunks: &[&[u8]],
    packs: &mut [Vec<u8>; 2],
    script: &mut Script<'_>,
) -> Vec<FrameRow> {
    let (mut rows, mut rest) = (Vec::new(), chunks);
    while !rest.is_empty() {
        let how = script.byte();
        let (now, later) = rest.split_at(usize::from(how % 8).min(rest.len()));
        // The last chunks are taken whatever the bytes say, so that this ends.
        let (now, later) = if script.is_over() {
            (rest, &rest[..0])
        } else {
            (now, later)
        };
        rest = later;
        let (key, place, number) = (data_key(), place(), rows.len() as u64);
        let sealed = if now.is_empty() {
            seal_padding(&key, &place, stream, number, usize::from(how))
        } else {
            seal_frame(&key, &place, stream, number, &now.concat(), how & 8 != 0)
        };
        let at = usize::from(how >> 7);
        rows.push(FrameRow {
            pack: at as u32,
            offset: packs[at].len() as u32,
            sealed: sealed.len() as u32,
            chunks: now.iter().map(|chunk| chunk.len() as u32).collect(),
        });
        packs[at].extend_from_slice(&sealed);
    }
    rows
}

/// All chunks of an origin in order, so many to a group.
fn stream(origin: u32, chunks: &[&[u8]], each: usize) -> Stream {
    let mut stream = Stream::default();
    for (number, chunk) in (0..).zip(chunks) {
        stream.ranges.push(origin, number, chunk.len());
    }
    for chunks in chunks.chunks(each) {
        let hashes: Vec<u8> = chunks
            .iter()
            .flat_map(|chunk| Digest::of(chunk).0)
            .collect();
        stream.groups.push(Group {
            chunks: chunks.len() as u32,
            length: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            digest: Digest::of(&hashes),
        });
    }
    stream
}

fn harm_stream(stream: &mut Stream, script: &mut Script<'_>) {
    let (what, at) = (script.byte(), script.below(stream.groups.len()));
    match (what % 5, stream.groups.get_mut(at)) {
        (0, Some(group)) => flip(&mut group.digest.0, script),
        (1, Some(group)) => group.length = group.length.wrapping_add(script.u32().into()),
        (2, Some(group)) => group.chunks = script.u32().max(1),
        (3, _) => {
            // Another chunk at the end, with a group of its own that tells a length.
            let (chunk, length) = (script.byte().into(), script.byte().into());
            stream.ranges.push(script.byte().into(), chunk, length);
            stream.groups.push(Group {
                chunks: 1,
                length: length as u64,
                digest: Digest::of(b""),
            });
        }
        _ => drop(stream.groups.pop()),
    }
}

fn harm_rows(rows: &mut [FrameRow], script: &mut Script<'_>) {
    let (what, at) = (script.byte(), script.below(rows.len()));
    if at >= rows.len() {
        return;
    }
    match what % 9 {
        0 => rows[at].pack = script.byte().into(),
        1 => rows[at].offset = script.u32(),
        2 => rows[at].offset = rows[at].offset.wrapping_add(script.byte().into()),
        3 => rows[at].sealed = script.u32(),
        4 => rows[at].sealed = rows[at].sealed.saturating_sub(script.byte().into()),
        5 => rows[at].chunks.push(script.u32()),
        6 => drop(rows[at].chunks.pop()),
        7 => {
            let other = script.below(rows.len());
            rows.swap(at, other);
        }
        _ => {
            let length = script.byte().into();
            let chunks = &mut rows[at].chunks;
            let chunk = script.below(chunks.len());
            if let Some(chunk) = chunks.get_mut(chunk) {
                *chunk = length;
            }
        }
    }
}

fn flip(bytes: &mut [u8], script: &mut Script<'_>) {
    let (at, bit) = (script.u32() as usize, script.below(8));
    if !bytes.is_empty() {
        bytes[at % bytes.len()] ^= 1 << bit;
    }
}
