/// A page header: `id u64, flags u16, count u16, overflow u32`.
pub(super) const HEADER_BYTES: usize = 16;
/// The part of a page 0 or 1 that [`Meta::parse`] reads: its header, then the 64 bytes of the meta.
pub const META_BYTES: usize = HEADER_BYTES + 64;

/// What the header of a meta page says that it is.
const FLAG: u16 = 0x04;
pub(super) const MAGIC: u32 = 0xED0C_DAED;
pub(super) const VERSION: u32 = 2;
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What a meta page says, if its magic number, version and checksum are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// In bytes; a power of two.
    pub page_size: u32,
    /// The high-water mark: no page in use has this id or a greater one. A snapshot has exactly this many pages.
    pub pages: u64,
    /// The transaction that wrote it: of two metas, the greater one is in force.
    pub transaction: u64,
    /// The page where the table of buckets starts.
    pub root: u64,
    /// The page where the list of free pages starts, if it is stored; etcd does not store it any more.
    pub free_list: Option<u64>,
    /// The byte order of the whole file.
    pub(crate) order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Meta {
    /// Reads the meta in the first [`META_BYTES`] of `page`, which is page `number`; `None` if it is not a valid one.
    pub fn parse(number: u64, page: &[u8]) -> Option<Self> {
        let meta: &[u8; META_BYTES - HEADER_BYTES] =
            page.get(HEADER_BYTES..META_BYTES)?.try_into().ok()?;
        let order = [Order::Little, Order::Big]
            .into_iter()
            .find(|order| order.u32(meta, 0) == MAGIC)?;
        let found = Self {
            page_size: order.u32(meta, 8),
            root: order.u64(meta, 16),
            free_list: Some(order.u64(meta, 32)).filter(|page| *page != u64::MAX),
            pages: order.u64(meta, 40),
            transaction: order.u64(meta, 48),
            order,
        };
        let here = order.u64(page, 0) == number && order.u16(page, 8) == FLAG;
        let whole =
            here && order.u32(meta, 4) == VERSION && order.u64(meta, 56) == fnv1a(&meta[..56]);
        let sane = found.page_size.is_power_of_two() && PAGE_SIZES.contains(&found.page_size);
        (whole && sane && found.length().is_some() && found.pages >= 2).then_some(found)
    }

    /// The one of the two that is in force, if both are valid and agree on the size of pages.
    pub(super) fn in_force([first, second]: [Option<Self>; 2]) -> Option<Self> {
        let [first, second] = [first?, second?];
        let agree = first.page_size == second.page_size && first.order == second.order;
        agree.then_some(if first.transaction >= second.transaction {
            first
        } else {
            second
        })
    }

    /// The bytes that a snapshot with this meta has, without the hash that etcd appends.
    pub fn length(&self) -> Option<u64> {
        self.pages.checked_mul(self.page_size.into())
    }
}

impl Order {
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = bytes[at..at + 2].try_into().expect("two bytes");
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = bytes[at..at + 4].try_into().expect("four bytes");
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_fnv_1a() {
        // The published vectors of FNV-1a 64.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
