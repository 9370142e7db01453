use archive::Name;

use super::KEY;
use super::bits::Bits;
use super::checksum::Checksum;
use super::compaction::Compaction;
use super::damage::{Damage, Owner, PageFault};
use super::keys::Key;
use super::look::{Content, Page, Slot, SlotBucket};
use super::revision::Revision;
use super::skeleton::Kept;
use crate::bolt::Meta;

/// Levels of a tree. Bolt splits pages in two at least, and there are less than 2^32 of them.
const DEPTH_MAX: u32 = 40;
/// As many kinds of damage are described; the others are counted.
const DESCRIBED: usize = 16;
const META: &[u8] = b"meta";
/// The buckets that every etcd makes when it starts for the first time.
const BUCKETS: [&str; 10] = [
    "key",
    "meta",
    "lease",
    "alarm",
    "cluster",
    "members",
    "members_removed",
    "auth",
    "authUsers",
    "authRoles",
];

/// What a whole file is.
pub struct Database {
    meta: Meta,
    hash: u32,
    compaction: Compaction,
    buckets: Vec<Bucket>,
    leaves: Vec<LiveLeaf>,
    damage: Vec<Damage>,
    more_damage: u64,
}

/// What is known of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: Name,
    /// How many keys it has.
    pub keys: u64,
    /// The bytes of its keys and values.
    pub bytes: u64,
    /// Of the bucket `key`: the revision of its last record, if it has one.
    pub last: Option<Revision>,
}

/// A leaf that is in use.
#[derive(Clone, Copy)]
pub(super) struct LiveLeaf {
    pub(super) page: u32,
    /// Which of the buckets it belongs to; of a table: [`TABLE`].
    pub(super) bucket: u8,
}

/// A leaf of the table of buckets: the small ones are stored in it.
pub(super) const TABLE: u8 = u8::MAX;

impl Database {
    /// The meta page in force.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The buckets, ascending by name.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The bucket of this name.
    pub fn bucket(&self, name: &[u8]) -> Option<&Bucket> {
        let mut buckets = self.buckets.iter();
        buckets.find(|bucket| bucket.name.as_bytes() == name)
    }

    /// The revision of the store, which etcd says with every answer: that of the last record, unless a compaction has removed that too.
    ///
    /// 1 if nothing was ever written. Too low if the end of the bucket `key` is damaged.
    pub fn revision(&self) -> u64 {
        let last = self.bucket(KEY).and_then(|bucket| bucket.last);
        let Compaction {
            finished,
            scheduled,
        } = self.compaction;
        let known = [last.map(|last| last.main), finished, scheduled];
        known.into_iter().flatten().fold(1, u64::max)
    }

    /// How far history was removed.
    pub fn compaction(&self) -> Compaction {
        self.compaction
    }

    /// What `etcdutl snapshot status` prints as the hash, if nothing is damaged.
    pub fn hash(&self) -> Option<u32> {
        self.damage.is_empty().then_some(self.hash)
    }

    /// What is damaged, as far as it is described; what can be reached all the same is [read](super::Records).
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How much else is damaged.
    pub fn more_damage(&self) -> u64 {
        self.more_damage
    }

    pub(super) fn leaves(&self) -> &[LiveLeaf] {
        &self.leaves
    }
}

/// Follows the tree from its root through what was kept of its pages.
pub(super) fn follow(kept: &Kept, meta: Meta) -> Database {
    let mut tree = Tree {
        kept,
        meta,
        reached: Bits::new(meta.pages),
        owners: vec![None; kept.pages.len()],
        damage: Vec::new(),
        more_damage: 0,
        sum: Checksum::default(),
        keys: 0,
        entries: Vec::new(),
        owner: Owner::Root,
        compaction: Compaction::default(),
    };
    tree.page(meta.root, Bounds::default(), 0, TABLE);
    let mut hash = Checksum::default();
    let mut buckets = Vec::new();
    for entry in std::mem::take(&mut tree.entries) {
        if buckets.len() == usize::from(TABLE) {
            tree.found(Damage::TooMany("buckets"));
            break;
        }
        let found = tree.bucket(&entry, buckets.len() as u8);
        hash = hash.then(Checksum::of(entry.name)).then(tree.sum);
        buckets.push(found);
    }
    tree.missing(&buckets);
    tree.unreached();
    let leaves = kept.pages.iter().zip(&tree.owners);
    let leaves = leaves.filter_map(|(page, owner)| {
        owner.map(|bucket| LiveLeaf {
            page: page.id,
            bucket,
        })
    });
    Database {
        meta,
        hash: hash.crc,
        compaction: tree.compaction,
        leaves: leaves.collect(),
        buckets,
        damage: tree.damage,
        more_damage: tree.more_damage,
    }
}

struct Tree<'a> {
    kept: &'a Kept,
    meta: Meta,
    reached: Bits,
    /// Which bucket each page that was kept is a leaf of, if it is a sound one with something in it.
    owners: Vec<Option<u8>>,
    damage: Vec<Damage>,
    more_damage: u64,
    /// Of the bucket that is being followed.
    sum: Checksum,
    keys: u64,
    owner: Owner,
    compaction: Compaction,
    /// The buckets that the table has, in its order.
    entries: Vec<TableEntry<'a>>,
}

struct TableEntry<'a> {
    name: &'a [u8],
    bucket: &'a SlotBucket,
    /// The leaf that it stands in.
    page: u32,
}

/// Between what the keys of a page must be: not less than the first, less than the second.
#[derive(Default, Clone, Copy)]
struct Bounds<'a> {
    least: Option<Key<'a>>,
    end: Option<Key<'a>>,
}

impl<'a> Bounds<'a> {
    fn hold(&self, first: Key<'a>, last: Key<'a>) -> bool {
        self.least.is_none_or(|least| least <= first) && self.end.is_none_or(|end| last < end)
    }
}

impl<'a> Tree<'a> {
    fn bucket(&mut self, entry: &TableEntry<'a>, index: u8) -> Bucket {
        let name = entry.name;
        self.owner = Owner::Bucket(Name::new(name));
        (self.sum, self.keys) = (Checksum::default(), 0);
        let key = name == KEY;
        let last = match entry.bucket {
            SlotBucket::Root(root) => {
                let root = u64::from(*root);
                match self.page(root, Bounds::default(), 0, index) {
                    Some(Key::Revision(last, _)) => Some(last),
                    _ => None,
                }
            }
            SlotBucket::Inline {
                sum,
                count,
                records,
                last,
            } => {
                (self.sum, self.keys) = (*sum, (*count).into());
                if key && !records {
                    self.fault(entry.page.into(), PageFault::Record);
                }
                self.note_compaction(entry.page);
                *last
            }
        };
        Bucket {
            name: Name::new(name),
            keys: self.keys,
            bytes: self.sum.bytes,
            last: last.filter(|_| key),
        }
    }

    /// Follows a page and what is below it; its last key, if it has one that is to be believed.
    fn page(&mut self, id: u64, bounds: Bounds<'a>, depth: u32, bucket: u8) -> Option<Key<'a>> {
        let kept = self.kept;
        let found = (kept.pages).binary_search_by_key(&id, |page| page.id.into());
        let (Ok(index), false) = (found, depth > DEPTH_MAX) else {
            let deep = depth > DEPTH_MAX;
            return self.fault(
                id,
                if deep {
                    PageFault::Depth
                } else {
                    PageFault::Header
                },
            );
        };
        let page = &kept.pages[index];
        if let Content::Faulty(fault) = page.content {
            return self.fault(id, fault);
        }
        for page in id..id + u64::from(page.pages(self.meta.page_size)) {
            if !self.reached.set(page) {
                return self.fault(page, PageFault::Twice);
            }
        }
        match (page.content, bucket) {
            (Content::Branch, _) => self.branch(page, bounds, depth, bucket),
            (Content::Table, TABLE) => {
                let last = self.table(page, bounds);
                self.owners[index] = last.map(|_| TABLE);
                last
            }
            (Content::Leaf | Content::Records, bucket) if bucket != TABLE || page.count == 0 => {
                let last = self.leaf(page, bounds);
                self.owners[index] = last.map(|_| bucket);
                last
            }
            _ => self.fault(id, PageFault::Mixed),
        }
    }

    fn branch(
        &mut self,
        page: &Page,
        bounds: Bounds<'a>,
        depth: u32,
        bucket: u8,
    ) -> Option<Key<'a>> {
        let mut reader = self.kept.keys.from(page.keys);
        let mut next = Some((reader.number(), reader.key()));
        let mut last = None;
        for index in 0..page.count {
            let Some((child, least)) = next else { break };
            next = (index + 1 < page.count).then(|| (reader.number(), reader.key()));
            if !bounds.hold(least, least) {
                return self.fault(page.id.into(), PageFault::Bounds);
            }
            let within = Bounds {
                least: Some(least),
                end: next.map(|(_, key)| key).or(bounds.end),
            };
            last = self.page(child, within, depth + 1, bucket);
        }
        last
    }

    fn leaf(&mut self, page: &Page, bounds: Bounds<'a>) -> Option<Key<'a>> {
        let id = u64::from(page.id);
        if page.count == 0 {
            return None;
        }
        let mut reader = self.kept.keys.from(page.keys);
        let (first, last) = (reader.key(), reader.key());
        if !bounds.hold(first, last) {
            return self.fault(id, PageFault::Bounds);
        }
        if self.owner.is(KEY) && page.content != Content::Records {
            return self.fault(id, PageFault::Record);
        }
        self.sum = self.sum.then(Checksum {
            crc: page.crc,
            bytes: page.bytes.into(),
        });
        self.keys += u64::from(page.count);
        self.note_compaction(page.id);
        Some(last)
    }

    fn note_compaction(&mut self, page: u32) {
        let notes = &self.kept.compactions;
        if self.owner.is(META)
            && let Ok(index) = notes.binary_search_by_key(&page, |(page, _)| *page)
        {
            self.compaction = self.compaction.and(notes[index].1);
        }
    }

    fn table(&mut self, page: &Page, bounds: Bounds<'a>) -> Option<Key<'a>> {
        let kept = self.kept;
        let slots = &kept.tables[page.keys as usize];
        let name = |slot: &Slot| &kept.names[usize::from(slot.name)][..];
        let ends = slots.first().zip(slots.last());
        if let Some((first, last)) = ends
            && !bounds.hold(Key::of(name(first)), Key::of(name(last)))
        {
            return self.fault(page.id.into(), PageFault::Bounds);
        }
        self.entries.extend(slots.iter().map(|slot| TableEntry {
            name: name(slot),
            bucket: &slot.bucket,
            page: page.id,
        }));
        ends.map(|(_, last)| Key::of(name(last)))
    }

    /// Names buckets that are not there. A database whose table is damaged has said so.
    fn missing(&mut self, buckets: &[Bucket]) {
        if !self.damage.is_empty() {
            return;
        }
        for expected in BUCKETS {
            let is = |bucket: &Bucket| bucket.name.as_bytes() == expected.as_bytes();
            if !buckets.iter().any(is) {
                self.found(Damage::NoBucket(expected));
            }
        }
    }

    /// Compares what was reached with the list of free pages, if there is one. Where a branch is damaged, much is not reached.
    fn unreached(&mut self) {
        let Some(list) = self.meta.free_list else {
            return;
        };
        self.owner = Owner::FreeList;
        let kept = self.kept;
        let Some((free, pages)) = &kept.free else {
            self.fault(list, PageFault::Header);
            return;
        };
        for page in list..list + pages {
            if !self.reached.set(page) {
                self.fault(page, PageFault::Twice);
            }
        }
        let mut listed = Bits::new(self.meta.pages);
        for &page in free {
            if page < 2 || page >= self.meta.pages || !listed.set(page) {
                self.fault(list, PageFault::Listed);
                return;
            }
        }
        if !self.damage.is_empty() {
            return;
        }
        self.owner = Owner::Nothing;
        for page in 2..self.meta.pages {
            match (self.reached.has(page), listed.has(page)) {
                (true, true) => {
                    self.fault(page, PageFault::Free);
                }
                (false, false) => {
                    self.fault(page, PageFault::Unreached);
                }
                _ => {}
            }
        }
    }

    /// Returns that there is no last key, as its callers do.
    fn fault(&mut self, page: u64, fault: PageFault) -> Option<Key<'a>> {
        let owner = self.owner.clone();
        self.found(Damage::Page { page, owner, fault });
        None
    }

    fn found(&mut self, damage: Damage) {
        if self.damage.len() < DESCRIBED {
            self.damage.push(damage);
        } else {
            self.more_damage += 1;
        }
    }
}
