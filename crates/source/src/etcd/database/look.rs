use super::checksum::Checksum;
use super::compaction::Compaction;
use super::damage::PageFault;
use super::key_value::KeyValue;
use super::keys::Keys;
use super::revision::Revision;
use crate::bolt::{Branch, Header, Kind, Leaf, Meta, Order};

/// Different names of buckets. etcd has ten.
pub(super) const NAMES_MAX: usize = 200;
/// A bucket's root page and its sequence, before the page itself if that is small enough to be stored here.
const BUCKET_BYTES: usize = 16;

/// What is kept of a page that was somewhere in the file, in use or not.
pub(super) struct Page {
    pub(super) id: u32,
    /// Where its keys are; of a table, which one it is.
    pub(super) keys: u32,
    /// Of a leaf, of the keys and values.
    pub(super) crc: u32,
    /// The length of keys and values.
    pub(super) bytes: u32,
    pub(super) count: u16,
    pub(super) content: Content,
    /// Whether it has a page more than it needs.
    pub(super) more: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The number of each child and its least key.
    Branch,
    /// Its first and its last key, unless it has none.
    Leaf,
    /// The same, of a leaf of records by revision.
    Records,
    /// A leaf of buckets.
    Table,
    Faulty(PageFault),
}

/// A table's entry: a bucket.
pub(super) struct Slot {
    /// Which of the names.
    pub(super) name: u8,
    pub(super) bucket: SlotBucket,
}

pub(super) enum SlotBucket {
    Root(u32),
    /// A bucket so small that its only page is stored in the table.
    Inline {
        sum: Checksum,
        count: u16,
        records: bool,
        last: Option<Revision>,
    },
}

impl Page {
    /// The pages that it takes, its overflow pages included.
    pub(super) fn pages(&self, page_size: u32) -> u32 {
        let end = 16 + 16 * u32::from(self.count) + self.bytes;
        end.div_ceil(page_size) + u32::from(self.more)
    }
}

/// One page that is looked at.
pub(super) struct Look<'a> {
    pub(super) meta: &'a Meta,
    pub(super) header: &'a Header,
    pub(super) unit: &'a [u8],
    pub(super) keys: &'a mut Keys,
    pub(super) names: &'a mut Vec<Vec<u8>>,
    /// What the page says about compaction, itself or in a bucket that is stored in it.
    pub(super) compaction: Compaction,
}

impl Look<'_> {
    fn page(&self, content: Content) -> Page {
        Page {
            id: self.header.id as u32,
            keys: 0,
            crc: 0,
            bytes: 0,
            count: self.header.count,
            content,
            more: false,
        }
    }

    fn faulty(&self, fault: impl Into<PageFault>) -> Page {
        self.page(Content::Faulty(fault.into()))
    }

    /// With the length of its data, which ends at `end`, if that fits the page.
    fn measured(&self, content: Content, start: usize, end: usize) -> Page {
        if !self.header.holds(end, self.meta.page_size) {
            return self.faulty(PageFault::Length);
        }
        let mut page = self.page(content);
        page.bytes = (end - start) as u32;
        page.more = page.pages(self.meta.page_size) == self.header.overflow;
        page
    }

    pub(super) fn branch(&mut self) -> Page {
        let at = self.keys.end();
        let mut elements = Branch::new(self.unit, self.header.count, self.meta.order);
        let start = elements.position();
        let mut last: &[u8] = &[];
        for element in elements.by_ref() {
            let (key, child) = match element {
                Ok(element) => element,
                Err(fault) => return self.faulty(fault),
            };
            if key <= last {
                return self.faulty(PageFault::Order);
            }
            let Some(child) = u32::try_from(child)
                .ok()
                .filter(|child| (2..self.meta.pages).contains(&u64::from(*child)))
            else {
                return self.faulty(PageFault::Child);
            };
            last = key;
            self.keys.put_number(child);
            self.keys.put(key);
        }
        if self.header.count == 0 {
            return self.faulty(PageFault::Child);
        }
        let mut page = self.measured(Content::Branch, start, elements.position());
        page.keys = at;
        page
    }

    pub(super) fn leaf(&mut self) -> (Page, Option<Vec<Slot>>) {
        let mut contents = Contents::default();
        let mut elements = Leaf::new(self.unit, self.header.count, self.meta.order);
        let start = elements.position();
        let mut table = Vec::new();
        for element in elements.by_ref() {
            let element = match element {
                Ok(element) => element,
                Err(fault) => return (self.faulty(fault), None),
            };
            if let Err(fault) = contents.add(element.key, element.value, !element.bucket) {
                return (self.faulty(fault), None);
            }
            if element.bucket {
                match self.bucket(element.value) {
                    Ok(bucket) => table.push(Slot {
                        name: self.name(element.key),
                        bucket,
                    }),
                    Err(fault) => return (self.faulty(fault), None),
                }
            } else {
                self.compaction.note(element.key, element.value);
            }
        }
        let end = elements.position();
        if !table.is_empty() {
            if table.len() < usize::from(self.header.count) {
                return (self.faulty(PageFault::Mixed), None);
            }
            return (self.measured(Content::Table, start, end), Some(table));
        }
        let content = if contents.records {
            Content::Records
        } else {
            Content::Leaf
        };
        let mut page = self.measured(content, start, end);
        page.crc = Checksum::of(&self.unit[start..end]).crc;
        if let Some((first, last)) = contents.ends {
            page.keys = self.keys.put(first);
            self.keys.put(last);
        }
        (page, None)
    }

    /// What the value of a bucket's entry says.
    fn bucket(&mut self, value: &[u8]) -> Result<SlotBucket, PageFault> {
        let (head, page) = value
            .split_at_checked(BUCKET_BYTES)
            .ok_or(PageFault::Inline)?;
        let root = self.meta.order.u64(head, 0);
        if root == 0 {
            return self.inline(page);
        }
        let inside = (2..self.meta.pages).contains(&root) && page.is_empty();
        let root = u32::try_from(root).ok().filter(|_| inside);
        root.map(SlotBucket::Root).ok_or(PageFault::Child)
    }

    fn inline(&mut self, page: &[u8]) -> Result<SlotBucket, PageFault> {
        let elements = inline_elements(page, self.meta.order);
        let mut elements = elements.ok_or(PageFault::Inline)?;
        let start = elements.position();
        let mut contents = Contents::default();
        let mut count = 0;
        for element in elements.by_ref() {
            let element = element.map_err(|_| PageFault::Inline)?;
            if element.bucket {
                return Err(PageFault::Inline);
            }
            contents
                .add(element.key, element.value, true)
                .map_err(|_| PageFault::Inline)?;
            self.compaction.note(element.key, element.value);
            count += 1;
        }
        if elements.position() != page.len() {
            return Err(PageFault::Inline);
        }
        let last = contents.ends.and_then(|(_, last)| Revision::parse(last));
        Ok(SlotBucket::Inline {
            sum: Checksum::of(&page[start..]),
            count,
            records: contents.records,
            last: last.map(|(revision, _)| revision),
        })
    }

    fn name(&mut self, name: &[u8]) -> u8 {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            if self.names.len() <= NAMES_MAX {
                self.names.push(name.to_vec());
            }
            self.names.len() - 1
        });
        index as u8
    }

    /// The pages that are free, and those that the list takes; `None` if it contradicts itself.
    pub(super) fn free_list(&self) -> Option<(Vec<u64>, u64)> {
        let numbers = self.unit[16..].chunks_exact(8);
        let mut numbers = numbers.map(|number| self.meta.order.u64(number, 0));
        let count = match self.header.count {
            // More than fit the header's field: then the number stands before the list.
            u16::MAX => usize::try_from(numbers.next()?).ok()?,
            count => count.into(),
        };
        let list: Vec<u64> = numbers.take(count).collect();
        (list.len() == count).then_some((list, u64::from(self.header.overflow) + 1))
    }
}

/// What a leaf's elements come to.
struct Contents<'a> {
    ends: Option<(&'a [u8], &'a [u8])>,
    /// Whether all are records by revision.
    records: bool,
}

impl Default for Contents<'_> {
    fn default() -> Self {
        Self {
            ends: None,
            records: true,
        }
    }
}

impl<'a> Contents<'a> {
    fn add(&mut self, key: &'a [u8], value: &'a [u8], plain: bool) -> Result<(), PageFault> {
        let first = match self.ends {
            Some((_, last)) if last >= key => return Err(PageFault::Order),
            Some((first, _)) => first,
            None => key,
        };
        self.ends = Some((first, key));
        self.records = self.records
            && plain
            && Revision::parse(key).is_some()
            && KeyValue::parse(value).is_some();
        Ok(())
    }
}

/// The elements of the page that is stored as a bucket's value.
pub(super) fn inline_elements(page: &[u8], order: Order) -> Option<Leaf<'_>> {
    let header = Header::parse(page.get(..16)?, order)?;
    let sound = header.kind == Kind::Leaf && header.id == 0 && header.overflow == 0;
    sound.then(|| Leaf::new(page, header.count, order))
}
