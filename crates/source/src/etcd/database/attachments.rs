use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::records::Record;
use super::revision::Revision;

/// The newest changes of so many keys are remembered, which takes 24 to 48 MiB; of more keys nobody counts whose lease they have.
const KEYS_MAX: usize = 1 << 19;

/// Which lease each key has at the newest revision, out of records in whatever order they come.
#[derive(Default)]
pub(super) struct Attachments {
    hasher: RandomState,
    /// By a hash of the key.
    newest: HashMap<u64, (Revision, i64)>,
    too_many: bool,
}

impl Attachments {
    pub(super) fn take(&mut self, record: &Record<'_>) {
        if self.too_many {
            return;
        }
        let lease = if record.tombstone { 0 } else { record.lease };
        let newest = self.newest.entry(self.hasher.hash_one(record.key));
        let newest = newest.or_insert((record.revision, lease));
        if record.revision > newest.0 {
            *newest = (record.revision, lease);
        }
        if self.newest.len() > KEYS_MAX {
            self.too_many = true;
            self.newest = HashMap::new();
        }
    }

    /// The number of keys of each lease that has any. `None`: there were too many keys.
    pub(super) fn counts(&self) -> Option<HashMap<i64, u64>> {
        if self.too_many {
            return None;
        }
        let mut counts = HashMap::new();
        for (_, lease) in self.newest.values() {
            *counts.entry(*lease).or_default() += 1;
        }
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(main: u64, key: &'static [u8], lease: i64) -> Record<'static> {
        Record {
            revision: Revision { main, sub: 0 },
            tombstone: false,
            key,
            value: b"",
            create_revision: 0,
            mod_revision: 0,
            version: 0,
            lease,
        }
    }

    #[test]
    fn the_newest_change_of_a_key_says_its_lease() {
        let gone = Record {
            tombstone: true,
            ..record(9, b"d", 7)
        };
        let mut records = [
            record(2, b"a", 7),
            record(3, b"a", 8),
            record(4, b"b", 7),
            record(5, b"b", 0),
            record(6, b"c", 7),
            record(7, b"d", 7),
            gone,
        ];
        for _ in 0..2 {
            let mut attachments = Attachments::default();
            for record in &records {
                attachments.take(record);
            }
            let counts = attachments.counts().expect("few");
            assert_eq!((counts.get(&7), counts.get(&8)), (Some(&1), Some(&1)));
            records.reverse();
        }
    }
}
