//! A repository in memory, for parsers that see a store's objects.

use std::future::Future;
use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use format::{Description, JobName, Log, RepositoryId, WriterId};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Repository, Store};

pub const REPOSITORY: RepositoryId = RepositoryId([0x11; 16]);

pub fn job() -> JobName {
    "prod".parse().expect("a job name")
}

/// The objects of a repository.
pub struct Shelf(Arc<InMemory>);

impl Shelf {
    /// One without a log.
    pub fn new() -> Self {
        let shelf = Self(Arc::new(InMemory::new()));
        let description = Description::new(REPOSITORY, "2026-11-22T08:00:00Z".to_owned());
        shelf.put("strongroom.json", description.encode());
        shelf
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let put = async { self.0.put(&Path::from(name), bytes.into()).await };
        run(put).expect("memory takes bytes");
    }

    /// As a reader meets it.
    pub fn open(&self) -> Repository {
        let store = Arc::clone(&self.0) as Arc<dyn ObjectStore>;
        run(Repository::open(Store::new(store, "memory"))).expect("a repository")
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Self::new()
    }
}

/// Nothing here waits for anything: a store in memory answers at once.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without devices").block_on(future)
}

/// Somebody who signs: 1 is one writer, 2 another.
pub struct Hand(SigningKey);

impl Hand {
    pub fn number(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    pub fn id(&self) -> WriterId {
        WriterId(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, context: &str, message: &[u8]) -> String {
        let signed = [context.as_bytes(), message].concat();
        hex::encode(self.0.sign(&signed).to_bytes())
    }

    /// A commit of any statement that this hand wrote, appended by `appender` at the place that `log` says.
    pub fn commit(&self, statement: &impl serde::Serialize, log: &Log, appender: &Self) -> Vec<u8> {
        let statement = serde_json::to_string(statement).expect("strings and numbers serialise");
        let log = serde_json::to_string(log).expect("strings and numbers serialise");
        let first = self.sign("strongroom v1 statement\n", statement.as_bytes());
        let four = format!("strongroom commit v1\n{statement}\n{first}\n{log}\n");
        let second = appender.sign("strongroom v1 log\n", four.as_bytes());
        format!("{four}{second}\n").into_bytes()
    }
}
