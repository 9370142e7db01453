//! What an etcd held at one revision, and its keys as entries.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::database::{Item, Lease, Record, Revision};
use super::live_keys::{facts, pour};
use crate::{Capture, Contents, Error, Finding, Sink, Source};

/// So many leases are known; more are as if they had ended.
const LEASES_MAX: usize = 1 << 20;

/// The state of keys at a revision, out of the records of a database in whatever order they come.
#[derive(Default)]
pub struct Keyspace {
    at: Option<u64>,
    keys: BTreeMap<Vec<u8>, Version>,
    bytes: u64,
    compacted: Option<u64>,
    leases: BTreeMap<i64, i64>,
}

/// The newest record of a key so far.
struct Version {
    revision: Revision,
    /// `None`: it was deleted.
    held: Option<Held>,
}

/// What a key holds.
pub struct Held {
    /// Its value, which is wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
    /// The number of the lease that it goes with; 0: none.
    pub lease: i64,
    /// The seconds for which that was granted, if it had not ended.
    pub ttl: Option<i64>,
}

impl Keyspace {
    /// Nothing yet. Records that are newer than `revision` will not count.
    pub fn at(revision: Option<u64>) -> Self {
        Self {
            at: revision,
            ..Self::default()
        }
    }

    /// Takes what is in the database; of keys, those that are `wanted`.
    pub fn take(&mut self, item: Item<'_>, wanted: impl FnOnce(&[u8]) -> bool) {
        match item {
            Item::Record(record) if wanted(record.key) => self.record(&record),
            Item::Other {
                bucket: b"meta",
                key: b"finishedCompactRev",
                value,
            } => {
                self.compacted = Revision::parse(value).map(|(revision, _)| revision.main);
            }
            Item::Other { bucket, value, .. } => {
                if let Some(Lease { id, ttl }) = Lease::parse(bucket, value)
                    && self.leases.len() < LEASES_MAX
                {
                    self.leases.insert(id, ttl);
                }
            }
            Item::Record(_) => {}
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let revision = record.revision;
        // A restore that raised the revision wrote a record of no key.
        if record.key.is_empty() || self.at.is_some_and(|at| revision.main > at) {
            return;
        }
        let known = self.keys.get(record.key);
        if known.is_some_and(|known| known.revision >= revision) {
            return;
        }
        let held = (!record.tombstone).then(|| Held {
            value: Zeroizing::new(record.value.to_vec()),
            lease: record.lease,
            ttl: None,
        });
        self.bytes += held.as_ref().map_or(0, Held::bytes);
        let version = Version { revision, held };
        let before = self.keys.insert(record.key.to_vec(), version);
        let before = before.and_then(|before| before.held);
        self.bytes -= before.as_ref().map_or(0, Held::bytes);
    }

    /// The revision up to which what was overwritten or deleted is gone, once all of the database was taken.
    pub fn compacted(&self) -> Option<u64> {
        self.compacted
    }

    /// How many bytes of values are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The keys that were there, ascending, and what they held.
    pub fn into_held(self) -> impl Iterator<Item = (Vec<u8>, Held)> {
        let leases = self.leases;
        let keys = self.keys.into_iter();
        keys.filter_map(move |(key, version)| {
            let mut held = version.held?;
            held.ttl = leases.get(&held.lease).copied();
            Some((key, held))
        })
    }
}

impl Held {
    fn bytes(&self) -> u64 {
        self.value.len() as u64
    }
}

/// Keys of an etcd as entries of the same names, as a source that can only be read.
#[derive(Default)]
pub struct StoredKeys {
    keys: BTreeMap<Vec<u8>, Held>,
    revision: u64,
}

impl StoredKeys {
    /// None yet, of this revision.
    pub fn at(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// Adds one.
    pub fn add(&mut self, key: Vec<u8>, held: Held) {
        self.keys.insert(key, held);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[async_trait]
impl Source for StoredKeys {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        for (key, held) in &self.keys {
            pour(sink, key.as_slice(), &held.value, held.lease, held.ttl).await?;
        }
        Ok(Capture {
            facts: facts(self.revision),
            ..Capture::default()
        })
    }

    async fn check(&self, _: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(main: u64, key: &'static [u8], value: Option<&'static [u8]>) -> Record<'static> {
        Record {
            revision: Revision { main, sub: 0 },
            tombstone: value.is_none(),
            key,
            value: value.unwrap_or_default(),
            create_revision: 0,
            mod_revision: 0,
            version: 0,
            lease: 0,
        }
    }

    #[test]
    fn the_newest_record_up_to_the_revision_counts_in_whatever_order_they_come() {
        let records = [
            record(5, b"a", Some(b"new")),
            record(3, b"a", Some(b"old")),
            record(4, b"b", None),
            record(2, b"b", Some(b"gone")),
            record(7, b"c", Some(b"late")),
            record(6, b"c", None),
        ];
        for (at, expected) in [
            (None, vec![("a", "new"), ("c", "late")]),
            (Some(6), vec![("a", "new")]),
            (Some(3), vec![("a", "old"), ("b", "gone")]),
            (Some(1), vec![]),
        ] {
            for backwards in [false, true] {
                let mut keys = Keyspace::at(at);
                let mut order: Vec<&Record<'_>> = records.iter().collect();
                if backwards {
                    order.reverse();
                }
                for record in order {
                    keys.take(Item::Record(*record), |_| true);
                }
                let bytes: usize = expected.iter().map(|(_, value)| value.len()).sum();
                assert_eq!(keys.bytes(), bytes as u64);
                let held: Vec<(String, String)> = keys
                    .into_held()
                    .map(|(key, held)| {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        (text(&key), text(&held.value))
                    })
                    .collect();
                let expected = expected
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
                assert_eq!(held, expected.collect::<Vec<_>>(), "at {at:?}");
            }
        }
    }
}
