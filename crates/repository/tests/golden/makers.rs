//! Makes golden repositories that are not there yet, with the code as it is now.

#[path = "maintained.rs"]
mod maintained;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{Attributes, Content, Digest, FieldHeader, Header, Item, Name};
use bytes::Bytes;
use format::{
    Commit, Condemned, DigestText, Identities, Incomplete, Log, PruneStatement, Recipients, RunId,
    SourceTimes, Statement, WriterKey, generate_identity,
};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Backup, Compute, Outcome, Repository, SourceResult, Store, Trust};

use crate::Golden;
use crate::common::{NOW, World, dump, job, noise};

/// The largest golden repository, in bytes.
const LARGEST: usize = 60_000;

/// An entry: its name, and its value or its fields.
type Entries = BTreeMap<Vec<u8>, Value>;

#[derive(Clone)]
pub(crate) enum Value {
    Blob(Vec<u8>),
    Record(Vec<(&'static [u8], Vec<u8>)>),
}

type Maker = fn() -> BoxedScene;
type BoxedScene = std::pin::Pin<Box<dyn Future<Output = Scene>>>;

/// Name, what it shows, and how it is made.
pub(crate) const MAKERS: [(&str, &str, Maker); 13] = [
    ("v1-first", "one blob and one record", || Box::pin(first())),
    (
        "v1-reuse",
        "three snapshots, each of which refers to chunks of the runs before it",
        || Box::pin(reuse()),
    ),
    (
        "v1-unchanged",
        "the second snapshot found nothing changed and names the first one's run",
        || Box::pin(unchanged()),
    ),
    ("v1-partial", "an entry could not be read whole", || {
        Box::pin(partial())
    }),
    (
        "v1-names",
        "names with newlines, escapes, zeros, bytes that are no text, emoji, and paths that lead out",
        || Box::pin(names()),
    ),
    ("v1-empty", "a source without entries", || Box::pin(empty())),
    (
        "v1-race",
        "number 3 lost a race: it hangs behind number 1, and is garbage; number 4 is no commit at all",
        || Box::pin(race()),
    ),
    (
        "v1-prune",
        "a maintainer's prune (4) retains 3; 1 is deleted, 2 is dropped and still there; 5 came after",
        || Box::pin(prune()),
    ),
    (
        "v1-pins",
        "1 is pinned (4); the pin of 2 (5) was lifted (6), and 2 is forgotten (7); 8 came after",
        || Box::pin(maintained::pins()),
    ),
    (
        "v1-pruned-pins",
        "the program's own prune (5) keeps 1, which is pinned (4), and 3; 2 is deleted; 6 came after",
        || Box::pin(maintained::pruned_pins()),
    ),
    (
        "v1-revoked",
        "a second writer took 2 and 3, and is revoked after 2 (4); 5 is the first one's",
        || Box::pin(maintained::revoked()),
    ),
    (
        "v1-rotated",
        "1 and 2 were rotated to the identity beside this (3), with new key objects; 4 came after",
        || Box::pin(maintained::rotated()),
    ),
    (
        "v1-copied",
        "1 was taken here; 2 and 4 are older, copied from elsewhere; the run of 2 had been rotated there, and it is pinned (3)",
        || Box::pin(maintained::copied()),
    ),
];

/// Those that take more than this crate to make; its README says what. The rest is written beside them as beside the others.
pub(crate) const MADE_BY_THE_PROGRAM: [&str; 1] = ["v1-post-quantum"];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden")
}

/// Digest, length and name of every file below `repository`.
pub(crate) fn sums(repository: &Path) -> String {
    let mut files = Vec::new();
    let mut folders = vec![repository.to_owned()];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(folder).expect("a folder") {
            let path = found.expect("a folder").path();
            let list = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    files.sort();
    let mut sums = String::new();
    for path in files {
        let bytes = fs::read(&path).expect("a file");
        let name = path.strip_prefix(repository).expect("below it");
        let line = format!("{} {} {}", Digest::of(&bytes), bytes.len(), name.display());
        writeln!(sums, "{line}").expect("text takes text");
    }
    sums
}

/// On a thread of its own: the tests that ask for it have a runtime already.
pub(crate) fn write_missing() {
    let made = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        for (name, shows, make) in MAKERS {
            if !folder().join(name).exists() {
                runtime.block_on(async { make().await.write(name, shows).await });
            }
        }
        for name in MADE_BY_THE_PROGRAM {
            if !folder().join(name).join("expected").exists() {
                runtime.block_on(describe(&folder().join(name)));
            }
        }
    });
    made.join().expect("they are made");
}

pub(crate) struct Scene {
    world: World,
    identity: String,
    maintainer: Option<Arc<WriterKey>>,
    /// Other writers than the world's.
    writers: Vec<Arc<WriterKey>>,
    /// When snapshots are taken.
    now: &'static str,
    /// Objects to take away at the end.
    deleted: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let repository = Repository::create(Store::new(Arc::clone(&store), "memory"), NOW.into());
        let (identity, recipient) = generate_identity();
        let mut identities = Identities::none();
        identities
            .add_file(identity.as_bytes())
            .expect("our own identity");
        let world = World {
            repository: repository.await.expect("an empty store"),
            store,
            writer: Arc::new(WriterKey::generate()),
            identities: Arc::new(identities),
            recipients: Recipients::parse([&*recipient]).expect("our own recipient"),
        };
        Self {
            world,
            identity: identity_file(&identity),
            maintainer: None,
            writers: Vec::new(),
            now: NOW,
            deleted: Vec::new(),
        }
    }

    fn trust(&self) -> Trust {
        let mut trust = self.world.trust();
        trust.writers.extend(self.writers.iter().map(|it| it.id()));
        trust
            .maintainers
            .extend(self.maintainer.iter().map(|it| it.id()));
        trust
    }

    async fn back_up(&self, entries: &Entries) {
        self.back_up_with(entries, Vec::new()).await;
    }

    async fn back_up_with(&self, entries: &Entries, incomplete: Vec<Incomplete>) {
        let mut options = self.world.options();
        options.trust = self.trust();
        let backup = Backup::start(&self.world.repository, options, Compute::inline()).await;
        let backup = backup.expect("memory answers");
        let batches: Vec<Vec<Item>> = entries
            .iter()
            .map(|(name, value)| items(name, value))
            .collect();
        let captured = backup
            .take(0, "files", true, futures::stream::iter(batches))
            .await
            .expect("memory answers");
        let result = SourceResult {
            name: "files".to_owned(),
            kind: "files".to_owned(),
            captured,
            facts: BTreeMap::from([("root".to_owned(), "/srv/secrets".to_owned())]),
            incomplete,
            times: SourceTimes {
                started: self.now.to_owned(),
                finished: self.now.to_owned(),
            },
        };
        let outcome = backup.finish(vec![result], self.now, self.now).await;
        assert!(
            matches!(outcome, Ok(Outcome::Committed(_))),
            "it is committed"
        );
    }

    async fn commit(&self, number: u64) -> Commit {
        let name = log_name(number);
        let object = dump(&*self.world.store).await.remove(&name);
        let id = self.world.repository.id();
        Commit::decode(&object.expect("a commit"), id, &job(), number).expect("our own commit")
    }

    /// Appends what the program itself would not.
    async fn append(&self, number: u64, previous: Digest, statement: &Statement, key: &WriterKey) {
        let log = Log {
            number,
            previous: Some(DigestText(previous)),
            appender: key.id(),
            appended: NOW.to_owned(),
            copied: None,
            witness: Vec::new(),
        };
        self.put(number, Commit::encode(statement, &log, key)).await;
    }

    async fn put(&self, number: u64, object: Vec<u8>) {
        let at = ObjectPath::from(log_name(number));
        let bytes = Bytes::from(object);
        let put = self.world.store.put(&at, bytes.into()).await;
        put.expect("memory takes it");
    }

    async fn write(self, name: &str, shows: &str) {
        let folder = folder().join(name);
        let mut size = 0;
        for (object, bytes) in dump(&*self.world.store).await {
            if self.deleted.contains(&object) {
                continue;
            }
            let path = folder.join("repository").join(&object);
            fs::create_dir_all(path.parent().expect("a folder")).expect("can be written");
            fs::write(path, &bytes).expect("can be written");
            size += bytes.len();
        }
        assert!(size < LARGEST, "{name} has {size} bytes");
        let mut trust = format!("writer {}\n", self.world.writer.id());
        for writer in &self.writers {
            writeln!(trust, "writer {}", writer.id()).expect("text takes text");
        }
        if let Some(maintainer) = &self.maintainer {
            writeln!(trust, "maintainer {}", maintainer.id()).expect("text takes text");
        }
        let readme = format!("{shows}\n");
        for (file, text) in [
            ("identity", self.identity),
            ("trust", trust),
            ("README", readme),
        ] {
            fs::write(folder.join(file), text).expect("can be written");
        }
        describe(&folder).await;
    }
}

/// Writes down what there is to see.
async fn describe(folder: &Path) {
    let sums = sums(&folder.join("repository"));
    fs::write(folder.join("sums"), sums).expect("can be written");
    let listing = Golden::at(folder.to_owned()).listing().await;
    fs::write(folder.join("expected"), listing).expect("can be written");
}

fn identity_file(identity: &str) -> String {
    format!("# Opens this golden repository and nothing else.\n{identity}\n")
}

fn log_name(number: u64) -> String {
    format!("prod/log/{number:012}")
}

fn items(name: &[u8], value: &Value) -> Vec<Item> {
    let (fields, content) = match value {
        Value::Blob(content) => (None, content.clone()),
        Value::Record(fields) => {
            let header = |(key, value): &(&[u8], Vec<u8>)| FieldHeader {
                key: Name::new(*key),
                length: value.len() as u64,
            };
            let values: Vec<_> = fields.iter().map(|(_, value)| &value[..]).collect();
            (Some(fields.iter().map(header).collect()), values.concat())
        }
    };
    let header = Header {
        name: Name::new(name),
        attributes: Attributes::default(),
        fields,
    };
    vec![
        Item::Begin(header),
        Item::Data(Content::new(content)),
        Item::End,
    ]
}

fn blob(content: impl Into<Vec<u8>>) -> Value {
    Value::Blob(content.into())
}

/// `count` entries of 300 bytes, and one of 12,000.
fn entries(count: u64, seed: u64) -> Entries {
    let small = (0..count).map(|i| {
        let name = format!("small/{i:03}").into_bytes();
        (name, blob(noise(300, seed + i)))
    });
    let large = (b"large".to_vec(), blob(noise(12_000, seed + 1000)));
    small.chain([large]).collect()
}

async fn first() -> Scene {
    let scene = Scene::new().await;
    let record = Value::Record(vec![
        (b"", b"an empty key".to_vec()),
        (b"empty", Vec::new()),
        (b"password", b"correct horse".to_vec()),
    ]);
    let entries = [
        (b"blob".to_vec(), blob(*b"a value\n")),
        (b"record".to_vec(), record),
    ];
    scene.back_up(&entries.into()).await;
    scene
}

async fn reuse() -> Scene {
    let scene = Scene::new().await;
    let mut secrets = entries(20, 0);
    scene.back_up(&secrets).await;
    secrets.insert(b"second".to_vec(), blob(noise(6000, 2000)));
    scene.back_up(&secrets).await;
    secrets.insert(b"another".to_vec(), blob(noise(6000, 3000)));
    secrets.remove(&b"small/007"[..]);
    scene.back_up(&secrets).await;
    let third = scene.commit(3).await;
    let Statement::Snapshot(third) = third.statement else {
        panic!("a snapshot")
    };
    assert_eq!(third.runs.len(), 3, "it refers to both runs before it");
    scene
}

async fn unchanged() -> Scene {
    let scene = Scene::new().await;
    scene.back_up(&entries(5, 0)).await;
    scene.back_up(&entries(5, 0)).await;
    scene
}

async fn partial() -> Scene {
    let scene = Scene::new().await;
    let lost = Incomplete {
        name: Name::new(*b"secret \xff/gone\n"),
        reason: "it vanished while it was read".to_owned(),
    };
    scene.back_up_with(&entries(3, 0), vec![lost]).await;
    scene
}

async fn names() -> Scene {
    let scene = Scene::new().await;
    let long = vec![b'n'; 5000];
    let names: [&[u8]; 20] = [
        b"",
        b" ",
        b"-rf",
        b".",
        b"..",
        b"../../etc/passwd",
        b"/etc/shadow",
        b"a",
        b"a/b",
        b"a//b/",
        b"%41",
        b"%index.jsonl",
        b"back\\slash \"quoted\"",
        b"line\nline\r\n",
        b"\x1b[2J\x07",
        b"zero\0zero",
        "\u{1f511} \u{202e}txt.exe".as_bytes(),
        b"latin \xe9",
        b"\xff\xfe\xf0\x9f",
        &long,
    ];
    let value = |name: &&[u8]| (name.to_vec(), blob(name.to_vec()));
    let mut entries: Entries = names.iter().map(value).collect();
    let record = Value::Record(vec![
        (b"", b"1".to_vec()),
        (b"../key\n", b"2".to_vec()),
        (b"\xff", b"3".to_vec()),
    ]);
    entries.insert(b"record\n".to_vec(), record);
    scene.back_up(&entries).await;
    scene
}

async fn empty() -> Scene {
    let scene = Scene::new().await;
    scene.back_up(&Entries::new()).await;
    scene
}

async fn race() -> Scene {
    let scene = Scene::new().await;
    scene.back_up(&entries(3, 0)).await;
    scene.back_up(&entries(4, 0)).await;
    let first = scene.commit(1).await;
    let writer = &scene.world.writer;
    scene
        .append(3, first.digest, &first.statement, writer)
        .await;
    scene.put(4, b"strongroom commit v1\ncut".to_vec()).await;
    scene.back_up(&entries(5, 0)).await;
    assert_eq!(scene.world.numbers().await, [1, 2, 5]);
    scene
}

async fn prune() -> Scene {
    let mut scene = Scene::new().await;
    for seed in [0, 5000, 10_000] {
        scene.back_up(&entries(3, seed)).await;
    }
    let maintainer = WriterKey::generate();
    let (first, third) = (scene.commit(1).await, scene.commit(3).await);
    let run = |commit: &Commit| -> Vec<RunId> {
        let Statement::Snapshot(snapshot) = &commit.statement else {
            panic!("a snapshot")
        };
        snapshot.runs.iter().map(|run| run.run).collect()
    };
    let gone = run(&first)[0];
    assert!(!run(&third).contains(&gone), "nothing of it is used again");
    let statement = Statement::Prune(PruneStatement {
        repository: scene.world.repository.id(),
        job: job(),
        writer: maintainer.id(),
        program: "strongroom 0.1.0".to_owned(),
        started: NOW.to_owned(),
        retains: vec![(3, DigestText(third.digest))],
        condemns: vec![Condemned {
            run: gone,
            whole: true,
            packs: Vec::new(),
        }],
    });
    scene.append(4, third.digest, &statement, &maintainer).await;
    scene.maintainer = Some(Arc::new(maintainer));
    scene.back_up(&entries(4, 10_000)).await;
    let condemned = format!("prod/runs/{gone}/");
    let objects = dump(&*scene.world.store).await;
    let deleted = objects.keys().filter(|name| name.starts_with(&condemned));
    scene.deleted = deleted.cloned().chain([log_name(1)]).collect();
    scene
}
