use super::meta::{HEADER_BYTES, META_BYTES, Meta};

/// A branch, a leaf, a free list; exactly one of them. Pages 0 and 1 are metas and nothing else is.
const UNIT_FLAGS: [u16; 3] = [0x01, 0x02, 0x10];
/// A longer unit is not believed. etcd's largest values are some MiB; its free list is not stored at all.
const UNIT_MAX: u64 = 256 * 1024 * 1024;

/// One page and its overflow pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Where in the file it starts.
    pub start: u64,
    /// In bytes; never 0.
    pub length: u64,
}

/// Finds the units of a Bolt file that arrives in pieces.
///
/// Units tile the file from its first byte to its high-water mark, however the pieces were cut. Cutting is an
/// optimisation, so there is no error: what is not Bolt, or has a damaged meta page, has no (further) units.
///
/// A free page keeps the header it had in its last life. One that does not know its own place, or whose overflow is
/// absurd, is a unit of its own. One that does may take live pages behind it into its unit; that costs a little
/// deduplication, and ends with that unit.
#[derive(Debug)]
pub struct Units {
    stage: Stage,
    position: u64,
    next: u64,
    header: [u8; META_BYTES],
    held: usize,
    metas: [Option<Meta>; 2],
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    First,
    Second,
    Pages(Meta),
    Over,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            stage: Stage::First,
            position: 0,
            next: 0,
            header: [0; META_BYTES],
            held: 0,
            metas: [None; 2],
        }
    }
}

impl Units {
    /// Takes the next bytes of the file and appends the units that have become known to `found`.
    ///
    /// A unit becomes known with the header of its first page, so at most [`META_BYTES`] behind its start.
    pub fn feed(&mut self, bytes: &[u8], found: &mut Vec<Unit>) {
        let mut rest = bytes;
        while let Some(needed) = self.header_bytes() {
            let skip = (self.next + self.held as u64).saturating_sub(self.position);
            let Some(after) = usize::try_from(skip).ok().and_then(|skip| rest.get(skip..)) else {
                break;
            };
            let taken = (needed - self.held).min(after.len());
            self.header[self.held..self.held + taken].copy_from_slice(&after[..taken]);
            self.held += taken;
            self.position += (rest.len() - after.len() + taken) as u64;
            rest = &after[taken..];
            if self.held < needed {
                return;
            }
            self.held = 0;
            if let Some(length) = self.unit_length() {
                found.push(Unit {
                    start: self.next,
                    length,
                });
                self.next += length;
            }
        }
        self.position += rest.len() as u64;
    }

    /// How much of the file is spoken for: a unit that starts before this is known; `None`: no more units will come.
    ///
    /// Whoever sends a unit's length before its bytes holds back what lies behind.
    pub fn known(&self) -> Option<u64> {
        self.header_bytes().map(|_| self.next)
    }

    /// The length that the file must have, if both meta pages have been seen, are valid, and do not contradict.
    pub fn file_length(&self) -> Option<u64> {
        self.meta()?.length()
    }

    /// The meta in force, if both are valid and agree on the size of pages.
    fn meta(&self) -> Option<Meta> {
        Meta::in_force(self.metas)
    }

    fn header_bytes(&self) -> Option<usize> {
        match self.stage {
            Stage::First | Stage::Second => Some(META_BYTES),
            Stage::Pages(_) => Some(HEADER_BYTES),
            Stage::Over => None,
        }
    }

    /// Judges the complete header of the page at `next` and moves the stage on.
    fn unit_length(&mut self) -> Option<u64> {
        let (stage, length) = match self.stage {
            Stage::First => {
                self.metas[0] = Meta::parse(0, &self.header);
                self.metas[0].map(|meta| (Stage::Second, meta.page_size.into()))
            }
            Stage::Second => {
                self.metas[1] = Meta::parse(1, &self.header);
                self.meta()
                    .map(|meta| (Stage::Pages(meta), meta.page_size.into()))
            }
            Stage::Pages(meta) => Some((
                Stage::Pages(meta),
                page_and_overflow(&self.header, self.next, meta),
            )),
            Stage::Over => None,
        }
        .unzip();
        let end = length.map(|length| self.next + length);
        self.stage = stage
            .filter(|_| end != self.file_length())
            .unwrap_or(Stage::Over);
        length
    }
}

fn page_and_overflow(header: &[u8; META_BYTES], start: u64, meta: Meta) -> u64 {
    let page_size = u64::from(meta.page_size);
    let id = meta.order.u64(header, 0);
    let flags = meta.order.u16(header, 8);
    let length = (u64::from(meta.order.u32(header, 12)) + 1) * page_size;
    let fits = meta.length().is_some_and(|end| start + length <= end);
    let believed = id == start / page_size && UNIT_FLAGS.contains(&flags) && length <= UNIT_MAX;
    if fits && believed { length } else { page_size }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::meta::{MAGIC, VERSION, fnv1a};
    use super::*;
    use proptest::prelude::*;

    /// A file in Bolt's layout with units of the given numbers of overflow pages behind the two metas.
    pub(crate) fn file(page_size: u32, overflows: &[u32], big_endian: bool) -> Vec<u8> {
        let pages = 2 + overflows
            .iter()
            .map(|overflow| u64::from(*overflow) + 1)
            .sum::<u64>();
        let mut file = vec![0xA5; usize::try_from(pages).expect("small") * page_size as usize];
        put_metas(&mut file, page_size, big_endian, [0, 0, pages]);
        let mut id = 2_u64;
        for overflow in overflows {
            let at = usize::try_from(id).expect("small") * page_size as usize;
            let put = |file: &mut [u8], at, bytes: &[u8]| put(file, at, bytes, big_endian);
            put(&mut file, at, &id.to_le_bytes());
            put(&mut file, at + 8, &2_u16.to_le_bytes());
            put(&mut file, at + 10, &7_u16.to_le_bytes());
            put(&mut file, at + 12, &overflow.to_le_bytes());
            id += u64::from(*overflow) + 1;
        }
        file
    }

    /// Puts a number's little-endian bytes into `file`, in its order.
    fn put(file: &mut [u8], at: usize, bytes: &[u8], big_endian: bool) {
        let place = &mut file[at..at + bytes.len()];
        place.copy_from_slice(bytes);
        if big_endian {
            place.reverse();
        }
    }

    /// Writes both meta pages of a file with this root, list of free pages and number of pages.
    pub(crate) fn put_metas(
        file: &mut [u8],
        page_size: u32,
        big_endian: bool,
        [root, free_list, pages]: [u64; 3],
    ) {
        for id in 0..2_u64 {
            let at = usize::try_from(id).expect("small") * page_size as usize;
            file[at..at + META_BYTES].fill(0);
            let mut put = |at, bytes: &[u8]| put(file, at, bytes, big_endian);
            put(at, &id.to_le_bytes());
            put(at + 8, &4_u16.to_le_bytes());
            put(at + 16, &MAGIC.to_le_bytes());
            put(at + 20, &VERSION.to_le_bytes());
            put(at + 24, &page_size.to_le_bytes());
            put(at + 32, &root.to_le_bytes());
            put(at + 48, &free_list.to_le_bytes());
            put(at + 56, &pages.to_le_bytes());
            put(at + 64, &(9 - id).to_le_bytes());
            let sum = fnv1a(&file[at + 16..at + 72]);
            self::put(file, at + 72, &sum.to_le_bytes(), big_endian);
        }
    }

    /// The units of `bytes` fed in pieces, checking that none is announced later than `known` allows.
    fn units(bytes: &[u8], pieces: &[usize]) -> (Vec<Unit>, Units) {
        let (mut units, mut found) = (Units::default(), Vec::new());
        let (mut rest, mut pieces) = (bytes, pieces.iter().cycle());
        while !rest.is_empty() {
            let piece = pieces
                .next()
                .map_or(rest.len(), |piece| (*piece).clamp(1, rest.len()));
            units.feed(&rest[..piece], &mut found);
            rest = &rest[piece..];
            let fed = (bytes.len() - rest.len()) as u64;
            let covered = found.iter().map(|unit| unit.length).sum::<u64>();
            let Some(known) = units.known() else { continue };
            assert_eq!(known, covered, "units tile");
            assert!(
                fed < known + META_BYTES as u64,
                "{fed} bytes fed, {known} known"
            );
        }
        (found, units)
    }

    fn lengths(bytes: &[u8]) -> Vec<u64> {
        units(bytes, &[]).0.iter().map(|unit| unit.length).collect()
    }

    proptest! {
        #[test]
        fn units_tile_the_file_however_it_is_cut(
            overflows in prop::collection::vec(0_u32..5, 0..40),
            page_bits in 9_u32..14,
            big_endian: bool,
            trailer in 0_usize..100,
            pieces in prop::collection::vec(1_usize..9000, 1..20),
        ) {
            let page_size = 1 << page_bits;
            let mut bytes = file(page_size, &overflows, big_endian);
            let length = bytes.len() as u64;
            bytes.resize(bytes.len() + trailer, 7);
            let (cut, state) = units(&bytes, &pieces);
            prop_assert_eq!(&cut, &units(&bytes, &[]).0);
            prop_assert_eq!(cut.iter().map(|unit| unit.length).sum::<u64>(), length);
            prop_assert_eq!(state.file_length(), Some(length));
            prop_assert!(state.known().is_none());
            let expected = [0, 0].iter().chain(&overflows);
            prop_assert!(cut.iter().map(|unit| unit.length).eq(
                expected.map(|overflow| u64::from(overflow + 1) * u64::from(page_size))
            ));
        }

        #[test]
        fn any_bytes_have_some_units_and_the_same_ones_however_cut(
            overflows in prop::collection::vec(0_u32..5, 0..12),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
            length in any::<prop::sample::Index>(),
            pieces in prop::collection::vec(1_usize..2000, 1..20),
        ) {
            let mut bytes = file(1024, &overflows, false);
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(length.index(bytes.len() + 1));
            prop_assert_eq!(units(&bytes, &pieces).0, units(&bytes, &[]).0);
        }

        #[test]
        fn noise_has_no_units(bytes: Vec<u8>, pieces in prop::collection::vec(1_usize..50, 1..9)) {
            prop_assert!(units(&bytes, &pieces).0.is_empty());
        }
    }

    #[test]
    fn a_header_in_the_wrong_place_or_with_an_absurd_overflow_is_one_page() {
        for (at, bytes) in [
            (0, 3_u64.to_le_bytes().to_vec()),     // the id of another page
            (8, 4_u16.to_le_bytes().to_vec()),     // a meta where none may be
            (12, u32::MAX.to_le_bytes().to_vec()), // overflow beyond everything
            (12, 11_u32.to_le_bytes().to_vec()),   // one page beyond the end
        ] {
            let mut damaged = file(4096, &[3, 0, 4, 0], false);
            damaged[2 * 4096 + at..2 * 4096 + at + bytes.len()].copy_from_slice(&bytes);
            // Its overflow pages know no place of their own either; the live page behind them is found again.
            let mut expected = vec![4096; 2 + 4 + 1];
            expected.extend([5 * 4096, 4096]);
            assert_eq!(lengths(&damaged), expected, "{at} {bytes:?}");
        }
    }

    #[test]
    fn a_damaged_meta_ends_the_units_and_gives_no_length() {
        for (page, at) in [
            (0, 0),
            (0, 8),
            (1, 0),
            (1, 9),
            (0, 16),
            (0, 20),
            (0, 56),
            (0, 79),
            (1, 16),
            (1, 56),
            (1, 79),
        ] {
            let mut damaged = file(4096, &[0, 1], false);
            damaged[page * 4096 + at] ^= 1;
            let (found, state) = units(&damaged, &[]);
            assert_eq!(found.len(), page, "page {page}, byte {at}");
            assert_eq!((state.known(), state.file_length()), (None, None));
        }
    }
}
