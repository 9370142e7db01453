//! A small world for tests: a store in memory, one writer, one recipient, sources that are maps.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate that uses a part of it"
)]

pub mod dice;
pub mod faults;
pub mod maintenance;
pub mod plugins;

use std::collections::BTreeMap;
use std::sync::Arc;

use archive::{Attributes, Content, FieldHeader, Header, Item};
use format::{Identities, JobName, Recipients, SourceTimes, WriterKey, generate_identity};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use repository::{
    Backup, BackupOptions, Compute, Error, Outcome, Repository, Select, Snapshot, SourceResult,
    Store, Trust,
};

pub const NOW: &str = "2026-11-22T08:00:00Z";

pub fn job() -> JobName {
    "prod".parse().expect("a job name")
}

/// A source: names and contents of its entries.
pub type Secrets = BTreeMap<String, Vec<u8>>;

pub struct World {
    pub store: Arc<dyn ObjectStore>,
    pub repository: Repository,
    pub writer: Arc<WriterKey>,
    pub identities: Arc<Identities>,
    pub recipients: Recipients,
}

impl World {
    pub async fn new() -> Self {
        Self::on(Arc::new(InMemory::new())).await
    }

    pub async fn on(store: Arc<dyn ObjectStore>) -> Self {
        Self::with(Store::new(Arc::clone(&store), "memory"), store).await
    }

    /// In a real place. `store` stays empty: what is there is not for tests to touch.
    pub async fn at(place: Store) -> Self {
        Self::with(place, Arc::new(InMemory::new())).await
    }

    async fn with(place: Store, store: Arc<dyn ObjectStore>) -> Self {
        let repository = Repository::create(place, NOW.to_owned())
            .await
            .expect("an empty store takes a repository");
        let (secret, recipient) = generate_identity();
        let mut identities = Identities::none();
        identities
            .add_file(secret.as_bytes())
            .expect("our own identity");
        Self {
            store,
            repository,
            writer: Arc::new(WriterKey::generate()),
            identities: Arc::new(identities),
            recipients: Recipients::parse([recipient.as_str()]).expect("our own recipient"),
        }
    }

    pub fn trust(&self) -> Trust {
        Trust {
            writers: [self.writer.id()].into(),
            ..Trust::default()
        }
    }

    pub fn options(&self) -> BackupOptions {
        BackupOptions {
            job: job(),
            recipients: self.recipients.clone(),
            writer: Arc::clone(&self.writer),
            trust: self.trust(),
            program: "test".to_owned(),
            configuration: "jobs: {}\n".to_owned(),
        }
    }

    /// The same repository through another store, as another process would see it.
    pub async fn through(&self, store: Arc<dyn ObjectStore>) -> Result<Repository, Error> {
        Repository::open(Store::new(store, "memory")).await
    }

    pub async fn back_up(&self, secrets: &Secrets) -> Outcome {
        self.back_up_to(&self.repository, secrets)
            .await
            .expect("the store is sound")
    }

    pub async fn back_up_to(
        &self,
        repository: &Repository,
        secrets: &Secrets,
    ) -> Result<Outcome, Error> {
        let backup = Backup::start(repository, self.options(), Compute::inline()).await?;
        let results = vec![take(&backup, 0, "files", secrets).await?];
        backup.finish(results, NOW, NOW).await
    }

    pub async fn open(&self, number: u64) -> Result<Snapshot, Error> {
        let view = self.repository.view(&job(), &self.trust()).await?;
        let snapshot = view.snapshot(number).expect("the snapshot exists");
        let identities = Arc::clone(&self.identities);
        Snapshot::open(
            &self.repository,
            snapshot,
            identities,
            &self.trust(),
            Compute::inline(),
        )
        .await
    }

    pub async fn read(&self, number: u64) -> Result<Secrets, Error> {
        read(&self.open(number).await?, 0).await
    }

    pub async fn numbers(&self) -> Vec<u64> {
        let view = self
            .repository
            .view(&job(), &self.trust())
            .await
            .expect("a sound store");
        view.snapshots()
            .map(|snapshot| snapshot.at.number)
            .collect()
    }
}

pub async fn take(
    backup: &Backup,
    index: usize,
    name: &str,
    secrets: &Secrets,
) -> Result<SourceResult, Error> {
    take_items(backup, index, name, batches(secrets)).await
}

pub async fn take_items(
    backup: &Backup,
    index: usize,
    name: &str,
    batches: Vec<Vec<Item>>,
) -> Result<SourceResult, Error> {
    let items = futures::stream::iter(batches);
    let captured = backup.take(index, name, true, items).await?;
    let times = SourceTimes {
        started: NOW.to_owned(),
        finished: NOW.to_owned(),
    };
    Ok(SourceResult {
        name: name.to_owned(),
        kind: "test".to_owned(),
        captured,
        facts: BTreeMap::from([("version".to_owned(), "1".to_owned())]),
        incomplete: Vec::new(),
        times,
    })
}

/// Entries whose name ends in `.record` are records of two fields, the others are blobs.
fn batches(secrets: &Secrets) -> Vec<Vec<Item>> {
    secrets
        .iter()
        .map(|(name, content)| items(name, content))
        .collect()
}

pub fn items(name: &str, content: &[u8]) -> Vec<Item> {
    let half = content.len() / 2;
    let field = |key: &str, length: usize| FieldHeader {
        key: key.into(),
        length: length as u64,
    };
    let fields = name.ends_with(".record").then(|| {
        vec![
            field("a", half),
            field("b", content.len() - half),
            field("empty", 0),
        ]
    });
    let header = Header {
        name: name.into(),
        attributes: Attributes::default(),
        fields,
    };
    let mut items = vec![Item::Begin(header)];
    items.extend(
        content
            .chunks(100_000)
            .map(|part| Item::Data(Content::new(part.to_vec()))),
    );
    items.push(Item::End);
    items
}

pub async fn read(snapshot: &Snapshot, source: usize) -> Result<Secrets, Error> {
    let mut reader = snapshot.entries(source).selecting(Select::Most);
    let mut secrets = Secrets::new();
    while let Some(entry) = reader.next().await? {
        let mut content = Vec::new();
        while let Some(piece) = reader.data().await? {
            content.extend_from_slice(piece.as_bytes());
        }
        secrets.insert(entry.name.to_string(), content);
    }
    Ok(secrets)
}

/// Bytes that no compressor and no deduplication makes smaller, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(&key)
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Some of everything: empty, small, record, compressible, several frames long.
pub fn sample() -> Secrets {
    let mut secrets: Secrets = (0..50)
        .map(|i| (format!("small/{i:03}"), noise(300 + i as usize, i)))
        .collect();
    secrets.insert("empty".into(), Vec::new());
    secrets.insert("token.record".into(), noise(99, 1000));
    secrets.insert("text".into(), b"all work and no play ".repeat(10_000));
    secrets.insert("large".into(), noise(1_500_000, 1001));
    secrets
}

/// A key that opens nothing here.
pub fn stranger() -> Arc<Identities> {
    let (secret, _) = generate_identity();
    let mut identities = Identities::none();
    identities
        .add_file(secret.as_bytes())
        .expect("a fresh identity");
    Arc::new(identities)
}

/// Every object of the store with its bytes.
pub async fn dump(store: &dyn ObjectStore) -> BTreeMap<String, bytes::Bytes> {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    let listed: Vec<_> = store.list(None).try_collect().await.expect("memory lists");
    let mut objects = BTreeMap::new();
    for meta in listed {
        let got = store.get(&meta.location).await.expect("memory reads");
        objects.insert(
            meta.location.to_string(),
            got.bytes().await.expect("memory reads"),
        );
    }
    objects
}

/// A store of these objects.
pub async fn store_of(objects: &BTreeMap<String, bytes::Bytes>) -> Arc<dyn ObjectStore> {
    use object_store::ObjectStoreExt;
    let store = InMemory::new();
    for (name, bytes) in objects {
        let name = object_store::path::Path::from(name.as_str());
        let put = store.put(&name, bytes.clone().into()).await;
        put.expect("memory takes it");
    }
    Arc::new(store)
}

/// What kind of object has this name.
pub fn kind(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((folder, _)) if folder.ends_with("/log") => "commit",
        Some((_, object)) if object.starts_with("pack-") => "pack",
        Some((_, object)) => object,
        None => name,
    }
}
