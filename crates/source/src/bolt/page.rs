use super::meta::{HEADER_BYTES, Order};

/// What describes an element, at the front of a page: of a leaf `flags u32, position u32, key u32, value u32`, of a branch
/// `position u32, key u32, child u64`. Positions count from the description itself; the rest are lengths.
const ELEMENT_BYTES: usize = 16;
/// The flag of a leaf's element whose value is a bucket.
const BUCKET: u32 = 1;

/// What a page says at its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of the page: its place in the file.
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    /// Of its elements.
    pub(crate) count: u16,
    /// How many more pages belong to it.
    pub(crate) overflow: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Branch,
    Leaf,
    FreeList,
}

/// The elements of a page do not lie one behind the other inside it, as Bolt writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misplaced;

impl Header {
    /// Reads the header at the front of `page`, which has at least these bytes; `None` if no page starts like this.
    pub(crate) fn parse(page: &[u8], order: Order) -> Option<Self> {
        let kind = match order.u16(page, 8) {
            0x01 => Kind::Branch,
            0x02 => Kind::Leaf,
            0x10 => Kind::FreeList,
            _ => return None,
        };
        Some(Self {
            id: order.u64(page, 0),
            kind,
            count: order.u16(page, 10),
            overflow: order.u32(page, 12),
        })
    }

    /// The bytes of the page with its overflow pages.
    pub(crate) fn length(&self, page_size: u32) -> u64 {
        (u64::from(self.overflow) + 1) * u64::from(page_size)
    }

    /// Whether Bolt would take as many pages for elements that end at `end`.
    ///
    /// Until 2015 it took one more where they filled the last one exactly.
    pub(crate) fn holds(&self, end: usize, page_size: u32) -> bool {
        let (end, pages) = (end as u64, u64::from(self.overflow) + 1);
        let page_size = u64::from(page_size);
        pages == end.div_ceil(page_size) || pages == end / page_size + 1
    }
}

/// The descriptions of a page's elements, followed as Bolt writes what they describe: one behind the other, without a gap.
#[derive(Clone)]
struct Elements<'a> {
    page: &'a [u8],
    order: Order,
    /// Where the next description is, and where they end.
    description: usize,
    descriptions_end: usize,
    /// Where what the next one describes must start.
    data: usize,
}

impl<'a> Elements<'a> {
    fn new(page: &'a [u8], count: u16, order: Order) -> Self {
        let descriptions_end = HEADER_BYTES + usize::from(count) * ELEMENT_BYTES;
        Self {
            page,
            order,
            description: HEADER_BYTES,
            descriptions_end,
            data: descriptions_end,
        }
    }

    /// The next description, if it says that the data is where it must be.
    fn next(&mut self, position_at: usize) -> Option<Result<&'a [u8], Misplaced>> {
        if self.description == self.descriptions_end {
            return None;
        }
        let at = self.description;
        self.description += ELEMENT_BYTES;
        let Some(description) = self.page.get(at..at + ELEMENT_BYTES) else {
            return Some(Err(Misplaced));
        };
        let position = self.order.u32(description, position_at) as usize;
        Some(if at + position == self.data {
            Ok(description)
        } else {
            Err(Misplaced)
        })
    }

    fn data(&mut self, length: u32) -> Result<&'a [u8], Misplaced> {
        let end = self.data.checked_add(length as usize);
        let end = end.ok_or(Misplaced)?;
        let data = self.page.get(self.data..end).ok_or(Misplaced)?;
        self.data = end;
        Ok(data)
    }
}

/// The elements of a leaf, in their order, as far as they are sound: after a fault nothing that comes is to be believed.
#[derive(Clone)]
pub(crate) struct Leaf<'a>(Elements<'a>);

/// A key and its value, or a bucket and what it is.
pub(crate) struct LeafElement<'a> {
    pub(crate) bucket: bool,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Leaf<'a> {
    /// Of the leaf that `page`, with its overflow pages, is according to its header.
    pub(crate) fn new(page: &'a [u8], count: u16, order: Order) -> Self {
        Self(Elements::new(page, count, order))
    }

    /// Where the data of the next element starts: before the first one, of all; after the last one, their end.
    pub(crate) fn position(&self) -> usize {
        self.0.data
    }

    fn element(&mut self, description: &[u8]) -> Result<LeafElement<'a>, Misplaced> {
        let order = self.0.order;
        let key = self.0.data(order.u32(description, 8))?;
        let value = self.0.data(order.u32(description, 12))?;
        if key.is_empty() {
            return Err(Misplaced);
        }
        let bucket = match order.u32(description, 0) {
            0 => false,
            BUCKET => true,
            _ => return Err(Misplaced),
        };
        Ok(LeafElement { bucket, key, value })
    }
}

impl<'a> Iterator for Leaf<'a> {
    type Item = Result<LeafElement<'a>, Misplaced>;

    fn next(&mut self) -> Option<Self::Item> {
        let description = self.0.next(4)?;
        Some(description.and_then(|description| self.element(description)))
    }
}

/// The elements of a branch, as those of a [`Leaf`]: the least key of each child, and its page.
pub(crate) struct Branch<'a>(Elements<'a>);

impl<'a> Branch<'a> {
    /// Of the branch that `page`, with its overflow pages, is according to its header.
    pub(crate) fn new(page: &'a [u8], count: u16, order: Order) -> Self {
        Self(Elements::new(page, count, order))
    }

    /// Where the data of the next element starts.
    pub(crate) fn position(&self) -> usize {
        self.0.data
    }

    fn element(&mut self, description: &[u8]) -> Result<(&'a [u8], u64), Misplaced> {
        let order = self.0.order;
        let key = self.0.data(order.u32(description, 4))?;
        if key.is_empty() {
            return Err(Misplaced);
        }
        Ok((key, order.u64(description, 8)))
    }
}

impl<'a> Iterator for Branch<'a> {
    type Item = Result<(&'a [u8], u64), Misplaced>;

    fn next(&mut self) -> Option<Self::Item> {
        let description = self.0.next(0)?;
        Some(description.and_then(|description| self.element(description)))
    }
}
