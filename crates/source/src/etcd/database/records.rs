use super::KEY;
use super::damage::Damage;
use super::key_value::KeyValue;
use super::look::inline_elements;
use super::revision::Revision;
use super::tree::{Database, TABLE};
use crate::bolt::{Kind, Leaf, LeafElement, Order, Walk};

/// Hands out what is in a database, when its bytes go by a second time.
///
/// In the order of the file, which is no order of keys: who wants the newest record of a key compares revisions.
pub struct Records<'d> {
    database: &'d Database,
    walk: Walk,
    /// How many of the leaves have been read.
    read: usize,
}

/// A thing that etcd keeps.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    /// A change of a key, from the bucket `key`.
    Record(Record<'a>),
    /// A key and its value in another bucket.
    Other {
        /// The bucket's name.
        bucket: &'a [u8],
        /// The key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
}

/// A key as a transaction left it. It may hold a secret, so nothing prints it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// When that was.
    pub revision: Revision,
    /// Whether it was deleted; then only the key is there.
    pub tombstone: bool,
    /// The key. Empty in one case: a restore that raised the revision writes a record without key and value.
    pub key: &'a [u8],
    /// The revision that made it.
    pub create_revision: i64,
    /// The same as the main revision, as the record says it.
    pub mod_revision: i64,
    /// How often it was written since it was made, that time included.
    pub version: i64,
    /// Its value.
    pub value: &'a [u8],
    /// The lease that it goes with, or 0.
    pub lease: i64,
}

impl<'d> Records<'d> {
    /// Of a file that was read before. What is damaged in it is passed over.
    pub fn new(database: &'d Database) -> Self {
        Self {
            database,
            walk: Walk::default(),
            read: 0,
        }
    }

    /// Takes the next bytes of the file and hands every thing that has become whole with them to `take`.
    ///
    /// Fails if they are not the bytes that were read before.
    pub fn feed(&mut self, bytes: &[u8], take: &mut dyn FnMut(Item<'_>)) -> Result<(), Damage> {
        self.walk.push(bytes);
        let leaves = self.database.leaves();
        while let Some(leaf) = leaves.get(self.read) {
            let page = u64::from(leaf.page);
            self.walk.go_on(page);
            let Some(header) = self.walk.page() else {
                return Ok(());
            };
            if header.id != page || header.kind != Kind::Leaf {
                return Err(Damage::Changed { page });
            }
            let Some(unit) = self.walk.unit(&header) else {
                return Ok(());
            };
            let order = self.database.meta().order;
            for element in Leaf::new(unit, header.count, order) {
                let element = element.map_err(|_| Damage::Changed { page })?;
                match leaf.bucket {
                    TABLE => {
                        small_bucket(&element, order, take).ok_or(Damage::Changed { page })?;
                    }
                    bucket => {
                        let bucket = &self.database.buckets()[usize::from(bucket)].name;
                        hand_out(bucket.as_bytes(), &element, take);
                    }
                }
            }
            self.read += 1;
            self.walk.go_on(page + 1);
        }
        Ok(())
    }

    /// Judges whether everything was handed out, when the whole file has been fed.
    pub fn finish(self) -> Result<(), Damage> {
        match self.database.leaves().get(self.read) {
            None => Ok(()),
            Some(leaf) => Err(Damage::Changed {
                page: leaf.page.into(),
            }),
        }
    }
}

/// Hands out what an entry of the table of buckets stores itself.
fn small_bucket(
    entry: &LeafElement<'_>,
    order: Order,
    take: &mut dyn FnMut(Item<'_>),
) -> Option<()> {
    let (head, page) = entry.value.split_at_checked(16)?;
    if order.u64(head, 0) != 0 {
        return Some(());
    }
    for element in inline_elements(page, order)? {
        hand_out(entry.key, &element.ok()?, take);
    }
    Some(())
}

/// What is no record in the bucket `key` was found to be damage before.
fn hand_out(bucket: &[u8], element: &LeafElement<'_>, take: &mut dyn FnMut(Item<'_>)) {
    if bucket != KEY {
        take(Item::Other {
            bucket,
            key: element.key,
            value: element.value,
        });
    } else if let Some((revision, tombstone)) = Revision::parse(element.key)
        && let Some(record) = KeyValue::parse(element.value)
    {
        take(Item::Record(Record {
            revision,
            tombstone,
            key: record.key,
            create_revision: record.create_revision,
            mod_revision: record.mod_revision,
            version: record.version,
            value: record.value,
            lease: record.lease,
        }));
    }
}
