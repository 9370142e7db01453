//! What there is before a schedule begins: keys, and a repository with some snapshots. Made once, for keys take time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use format::{Identities, Recipients, RunId, WriterKey, generate_identity};
use futures::FutureExt;
use repository::{
    Backup, BackupOptions, Compute, Error, Outcome, Repository, Snapshot, Store, Trust, Valid,
};

use crate::bucket::Bucket;
use crate::common::{NOW, Secrets, job, noise, read, take};
use crate::parking::{Handle, Lot, Manner};

/// When the snapshots elsewhere were taken.
const BEFORE: &str = "2026-11-20T08:00:00Z";

/// Who there is. All schedules share them.
pub(crate) struct Keys {
    pub(crate) writers: [Arc<WriterKey>; 2],
    pub(crate) maintainer: Arc<WriterKey>,
    /// Of all recipients.
    pub(crate) identities: Arc<Identities>,
    /// Whom backups seal to.
    recipients: Recipients,
    /// Whom a rotation seals to.
    pub(crate) others: Recipients,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let people = [0, 1].map(|_| generate_identity());
        let mut identities = Identities::none();
        for (secret, _) in &people {
            let added = identities.add_file(secret.as_bytes());
            added.expect("our own identity");
        }
        let [recipients, others] = [0, 1].map(|it: usize| {
            let recipient = people[it].1.as_str();
            Recipients::parse([recipient]).expect("our own recipient")
        });
        Keys {
            writers: [1, 2].map(|number| Arc::new(writer(number))),
            maintainer: Arc::new(writer(3)),
            identities: Arc::new(identities),
            recipients,
            others,
        }
    })
}

/// The same each time: where a source is cut depends on its writer's secret, and with it what is stored.
fn writer(number: u8) -> WriterKey {
    let file = format!("STRONGROOM-WRITER-KEY-1-{}", hex::encode([number; 64]));
    WriterKey::from_file(file.as_bytes()).expect("it has the form of one")
}

pub(crate) fn trust() -> Trust {
    Trust {
        writers: keys().writers.iter().map(|writer| writer.id()).collect(),
        maintainers: HashSet::from([keys().maintainer.id()]),
    }
}

/// A backup by one of the writers: what its source holds is told by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    pub(crate) writer: usize,
    pub(crate) source: u64,
}

impl Capture {
    /// The source's number stands in the commit, so that whoever reads the snapshot knows what it must hold.
    pub(crate) fn options(self) -> BackupOptions {
        BackupOptions {
            job: job(),
            recipients: keys().recipients.clone(),
            writer: Arc::clone(&keys().writers[self.writer]),
            trust: trust(),
            program: self.source.to_string(),
            configuration: String::new(),
        }
    }

    pub(crate) async fn back_up(self, repository: &Repository) -> Result<Outcome, Error> {
        self.back_up_at(repository, NOW).await
    }

    async fn back_up_at(self, repository: &Repository, now: &str) -> Result<Outcome, Error> {
        let backup = Backup::start(repository, self.options(), Compute::inline()).await?;
        let taken = take(&backup, 0, "files", &secrets(self.source)).await?;
        backup.finish(vec![taken], now, now).await
    }
}

/// A part that is of this source, and one that all of the same ten have, so that their snapshots share packs.
pub(crate) fn secrets(source: u64) -> Secrets {
    Secrets::from([
        ("a steady".to_owned(), noise(9_000, 1_000 + source / 10)),
        ("of its own".to_owned(), noise(300, source)),
    ])
}

/// The bucket with a repository of these snapshots.
pub(crate) fn bucket(snapshots: &[Capture]) -> Bucket {
    let (lot, _) = made(snapshots, NOW);
    let lot = lot.lock().expect("nothing panics there");
    lot.bucket.clone()
}

/// Another repository, with snapshots that are older than all others. Whatever is asked of it happens at once.
pub(crate) fn elsewhere() -> &'static Repository {
    static ELSEWHERE: OnceLock<Repository> = OnceLock::new();
    ELSEWHERE.get_or_init(|| {
        let sources = [11, 12].map(|source| Capture { writer: 0, source });
        made(&sources, BEFORE).1
    })
}

fn made(snapshots: &[Capture], now: &str) -> (Arc<Mutex<Lot>>, Repository) {
    let lot = Arc::new(Mutex::new(Lot::new(Bucket::default())));
    let handle = Handle::new(Arc::clone(&lot), Manner::AtOnce);
    let store = Store::new(Arc::new(handle), "the bucket");
    let repository = at_once(Repository::create(store, NOW.to_owned()));
    let repository = repository.expect("an empty bucket takes a repository");
    let names = AtomicU8::new(0);
    let repository = repository.naming_runs(move || {
        let mut run = [0x80; 16];
        run[1] = names.fetch_add(1, Ordering::Relaxed);
        RunId(run)
    });
    for capture in snapshots {
        match at_once(capture.back_up_at(&repository, now)) {
            Ok(Outcome::Committed(_)) => {}
            _ => panic!("nothing interferes"),
        }
    }
    (lot, repository)
}

/// What a future gives that waits for nothing: all that it asks of the bucket happens at once.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the bucket answers at once")
}

/// Reads all of a snapshot.
pub(crate) async fn restore(
    repository: &Repository,
    snapshot: Valid<'_>,
) -> Result<Secrets, Error> {
    let identities = Arc::clone(&keys().identities);
    let compute = Compute::inline();
    let opened = Snapshot::open(repository, snapshot, identities, &trust(), compute).await?;
    read(&opened, 0).await
}
