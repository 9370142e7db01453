use std::collections::VecDeque;

use crate::seal::derive;

/// Where a stream is cut: by a keyed rolling hash over its bytes, at the ends of entries, and at the ends of units that
/// a source names. Equal bytes are cut equally wherever they stand, and nobody without the secret can tell where.
pub struct Cutter {
    gear: Gear,
    sizes: Sizes,
    /// The start of a chunk that is not complete.
    pending: Vec<u8>,
    hash: u64,
    /// Bytes of the current entry so far: large entries get larger chunks.
    depth: u64,
    /// The current unit, if there is one, and those announced to follow it.
    units: VecDeque<Unit>,
}

/// The sizes of chunks, in bytes.
#[derive(Clone, Copy)]
struct Sizes {
    min: usize,
    /// A power of two.
    average: usize,
    max: usize,
}

#[derive(Clone, Copy)]
struct Unit {
    left: u64,
    whole: bool,
}

/// What a [`Cutter`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Content streams: about 16 KiB.
    Content,
    /// Catalog streams: about 4 KiB, so that one changed entry stores little.
    Catalog,
}

const CONTENT: Sizes = Sizes {
    min: 4 << 10,
    average: 16 << 10,
    max: 64 << 10,
};
const CATALOG: Sizes = Sizes {
    min: 1 << 10,
    average: 4 << 10,
    max: 16 << 10,
};
const LARGE_UNIT: Sizes = Sizes {
    min: 4 << 10,
    average: 8 << 10,
    max: 32 << 10,
};

/// Units up to this long are one chunk.
const WHOLE_UNIT: u64 = 32 << 10;
/// Entries at least this long end a chunk; among shorter ones, about one of four does.
const LONG_ENTRY: u64 = 4 << 10;
/// A chunk of short entries that is not at least this long goes on.
const SHORT_CHUNK: usize = 1 << 10;
/// From here on chunks of an entry are twice as large, and from sixteen times here four times.
const DEEP: u64 = 256 << 20;

impl Cutter {
    /// A cutter at the start of a stream.
    pub fn new(gear: Gear, cut: Cut) -> Self {
        let sizes = if cut == Cut::Content {
            CONTENT
        } else {
            CATALOG
        };
        Self {
            gear,
            sizes,
            pending: Vec::new(),
            hash: 0,
            depth: 0,
            units: VecDeque::new(),
        }
    }

    /// Takes the stream's next bytes and hands every chunk that they complete to `chunk`.
    pub fn push(&mut self, mut bytes: &[u8], mut chunk: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let (taken, ends) = self.scan(bytes);
            let (head, rest) = bytes.split_at(taken);
            self.depth += head.len() as u64;
            if !ends {
                self.pending.extend_from_slice(head);
            } else if self.pending.is_empty() {
                self.hash = 0;
                chunk(head);
            } else {
                self.pending.extend_from_slice(head);
                self.flush(&mut chunk);
            }
            bytes = rest;
        }
    }

    /// The next `length` bytes that no earlier unit covers are one unit: cut before and after it, and inside only if it is
    /// large.
    pub fn unit(&mut self, length: u64, mut chunk: impl FnMut(&[u8])) {
        if self.units.is_empty() {
            self.flush(&mut chunk);
        }
        if length > 0 {
            self.units.push_back(Unit {
                left: length,
                whole: length <= WHOLE_UNIT,
            });
        }
    }

    /// An entry of this name and length is complete: a good place to cut, and the same one next time.
    pub fn entry_ends(&mut self, name: &[u8], length: u64, mut chunk: impl FnMut(&[u8])) {
        self.depth = 0;
        self.units.clear();
        let long = length >= LONG_ENTRY;
        if long || (self.pending.len() >= SHORT_CHUNK && self.gear.marks(name)) {
            self.flush(&mut chunk);
        }
    }

    /// The stream is complete.
    pub fn finish(&mut self, mut chunk: impl FnMut(&[u8])) {
        self.flush(&mut chunk);
    }

    fn flush(&mut self, chunk: &mut impl FnMut(&[u8])) {
        if !self.pending.is_empty() {
            chunk(&self.pending);
            self.pending.clear();
        }
        self.hash = 0;
    }

    /// How many of `bytes` belong to the current chunk, and whether it ends there.
    fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
        let Some(unit) = self.units.front_mut() else {
            // Where the chunk starts, not where these bytes do: pieces of a stream must not show in its chunks.
            let start = self.depth.saturating_sub(self.pending.len() as u64);
            let sizes = self.sizes.at(start);
            return self
                .gear
                .scan(sizes, self.pending.len(), bytes, &mut self.hash);
        };
        let inside = usize::try_from(unit.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let (taken, ends) = if unit.whole {
            (inside, false)
        } else {
            let inside = &bytes[..inside];
            self.gear
                .scan(LARGE_UNIT, self.pending.len(), inside, &mut self.hash)
        };
        unit.left -= taken as u64;
        let complete = unit.left == 0;
        if complete {
            self.units.pop_front();
        }
        (taken, ends || complete)
    }
}

impl Sizes {
    fn at(self, depth: u64) -> Self {
        let times = match depth {
            0..DEEP => 1,
            DEEP..0x1_0000_0000 => 2,
            _ => 4,
        };
        Self {
            min: self.min * times,
            average: self.average * times,
            max: self.max * times,
        }
    }
}

/// 256 random numbers that depend on the writer's deduplication secret.
///
/// The gear hash of Xia et al., "FastCDC" (USENIX ATC 2016), with its normalised chunking of one level: a stricter mask
/// before the average size and a looser one after it. Keyed, because the sizes of chunks of known content must not be
/// predictable.
#[derive(Clone)]
pub struct Gear {
    table: Box<[u64; 256]>,
    /// The same numbers doubled, so that two bytes are one step.
    doubled: Box<[u64; 256]>,
}

impl Gear {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let key = derive("strongroom v1 gear", &[secret]);
        let mut bytes = [0; 2048];
        blake3::Hasher::new_keyed(&key)
            .finalize_xof()
            .fill(&mut bytes);
        let mut table = Box::new([0; 256]);
        for (number, bytes) in table.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        let mut doubled = table.clone();
        doubled.iter_mut().for_each(|number| *number <<= 1);
        Self { table, doubled }
    }

    /// Scans for the end of a chunk that has `before` bytes already.
    fn scan(&self, sizes: Sizes, before: usize, bytes: &[u8], hash: &mut u64) -> (usize, bool) {
        let room = sizes.max - before.min(sizes.max);
        let bytes = &bytes[..bytes.len().min(room)];
        let bits = sizes.average.ilog2();
        let limits = [
            (sizes.min.saturating_sub(before), 0),
            (sizes.average.saturating_sub(before), mask(bits + 1)),
            (room, mask(bits - 1)),
        ];
        // Bytes below the smallest size cannot end a chunk and are not even hashed.
        let mut at = limits[0].0.min(bytes.len());
        let mut h = *hash;
        for (end, mask) in &limits[1..] {
            let end = (*end).min(bytes.len());
            if at >= end {
                continue;
            }
            if let Some(found) = self.roll(&bytes[at..end], *mask, &mut h) {
                *hash = 0;
                return (at + found, true);
            }
            at = end;
        }
        *hash = h;
        (bytes.len(), bytes.len() == room)
    }

    /// Rolls `hash` over `bytes` until none of the mask's bits is set: how many bytes that took.
    ///
    /// Each byte's hash needs the one before it. Two bytes at a time shorten that chain, as in Xia et al., "The Design of Fast
    /// Content-Defined Chunking" (IEEE TPDS 2020), section 3.6.
    fn roll(&self, bytes: &[u8], mask: u64, hash: &mut u64) -> Option<usize> {
        let number = |byte: u8| self.table[usize::from(byte)];
        let mut h = *hash;
        let (pairs, last) = bytes.as_chunks::<2>();
        for (i, &[a, b]) in pairs.iter().enumerate() {
            let first = (h << 1).wrapping_add(number(a));
            let both = self.doubled[usize::from(a)].wrapping_add(number(b));
            h = (h << 2).wrapping_add(both);
            if first & mask == 0 {
                return Some(2 * i + 1);
            }
            if h & mask == 0 {
                return Some(2 * i + 2);
            }
        }
        for &byte in last {
            h = (h << 1).wrapping_add(number(byte));
            if h & mask == 0 {
                return Some(bytes.len());
            }
        }
        *hash = h;
        None
    }

    /// True for about a quarter of all names, always the same ones.
    fn marks(&self, name: &[u8]) -> bool {
        let mix = name.iter().fold(0_u64, |hash, &byte| {
            hash.rotate_left(5)
                .wrapping_add(self.table[usize::from(byte)])
        });
        mix >> 62 == 0
    }
}

/// `bits` ones at the top, where the gear hash has seen the most bytes.
const fn mask(bits: u32) -> u64 {
    !(u64::MAX >> bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cutter(cut: Cut) -> Cutter {
        Cutter::new(Gear::new(&[7; 32]), cut)
    }

    /// Pseudo-random bytes that are the same on every run.
    fn noise(length: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed; 32])
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    fn chunks(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut cutter = cutter(Cut::Content);
        for piece in bytes.chunks(piece.max(1)) {
            cutter.push(piece, |chunk| found.push(chunk.to_vec()));
        }
        cutter.finish(|chunk| found.push(chunk.to_vec()));
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn however_the_stream_arrives_it_is_cut_alike(length in 0_usize..400_000, piece in 1_usize..100_000) {
            let bytes = noise(length, 1);
            let whole = chunks(&bytes, usize::MAX);
            prop_assert_eq!(whole.concat(), bytes.clone());
            prop_assert_eq!(&whole, &chunks(&bytes, piece));
            prop_assert!(whole.iter().all(|chunk| chunk.len() <= CONTENT.max));
            let complete = whole.len().saturating_sub(1);
            prop_assert!(whole[..complete].iter().all(|chunk| chunk.len() >= CONTENT.min));
        }
    }

    /// An entry as a source tells it: units, then bytes that are in none.
    #[derive(Debug, Clone)]
    struct Told {
        name: String,
        units: Vec<u64>,
        rest: u64,
    }

    impl Told {
        fn length(&self) -> u64 {
            self.units.iter().sum::<u64>() + self.rest
        }

        fn any() -> impl Strategy<Value = Self> {
            let unit = prop_oneof![1_u64..9000, 1_u64..100_000];
            let units = prop::collection::vec(unit, 0..12);
            ("[a-z]{1,9}", units, 0_u64..60_000).prop_map(|(name, units, rest)| Self {
                name,
                units,
                rest,
            })
        }

        /// Pushes the entry in pieces, announcing each unit when at most `ahead` announced ones have not begun.
        fn push(
            &self,
            cutter: &mut Cutter,
            mut bytes: &[u8],
            pieces: &mut dyn Iterator<Item = usize>,
            ahead: usize,
            chunk: &mut dyn FnMut(&[u8]),
        ) {
            let (mut announced, mut covered, mut at) = (0, 0, 0);
            let mut ends = 0;
            let ends: Vec<u64> = self
                .units
                .iter()
                .map(|unit| {
                    ends += unit;
                    ends
                })
                .collect();
            while at < self.length() {
                let complete = ends.partition_point(|end| *end <= at);
                while announced < self.units.len() && announced <= complete + ahead {
                    cutter.unit(self.units[announced], &mut *chunk);
                    covered = ends[announced];
                    announced += 1;
                }
                let all = announced == self.units.len();
                let end = if all { self.length() } else { covered };
                let piece = pieces.next().expect("endless").min((end - at) as usize);
                cutter.push(&bytes[..piece], &mut *chunk);
                bytes = &bytes[piece..];
                at += piece as u64;
            }
            cutter.entry_ends(self.name.as_bytes(), self.length(), chunk);
        }
    }

    fn told(entries: &[Told], bytes: &[u8], pieces: &[usize], ahead: usize) -> Vec<Vec<u8>> {
        let (mut cutter, mut found) = (cutter(Cut::Content), Vec::new());
        let (mut pieces, mut rest) = (pieces.iter().copied().cycle(), bytes);
        let mut keep = |chunk: &[u8]| found.push(chunk.to_vec());
        for entry in entries {
            let (now, later) = rest.split_at(entry.length() as usize);
            entry.push(&mut cutter, now, &mut pieces, ahead, &mut keep);
            rest = later;
        }
        cutter.finish(keep);
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn however_units_are_told_they_are_cut_alike(
            entries in prop::collection::vec(Told::any(), 0..6),
            pieces in prop::collection::vec(1_usize..30_000, 1..20),
            ahead in 0_usize..9,
        ) {
            let length: u64 = entries.iter().map(Told::length).sum();
            let bytes = noise(length as usize, 9);
            let found = told(&entries, &bytes, &[usize::MAX], 0);
            prop_assert_eq!(found.concat(), bytes.clone());
            prop_assert!(found.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CONTENT.max));
            prop_assert_eq!(&found, &told(&entries, &bytes, &pieces, ahead));
            // Chunks end where units do, and inside only of large ones.
            let ends: Vec<u64> = found
                .iter()
                .scan(0, |end, chunk| {
                    *end += chunk.len() as u64;
                    Some(*end)
                })
                .collect();
            let mut start = 0;
            for entry in &entries {
                let mut at = start;
                for unit in &entry.units {
                    let inside = ends.iter().filter(|end| (at + 1..at + unit).contains(end)).count();
                    prop_assert!(ends.contains(&(at + unit)), "a unit's end at {}", at + unit);
                    prop_assert!(*unit > WHOLE_UNIT || inside == 0);
                    at += unit;
                }
                start += entry.length();
            }
        }

        #[test]
        fn chunks_grow_with_the_depth_at_the_same_place(
            before in 1_u64..200_000,
            pieces in prop::collection::vec(1_usize..40_000, 1..9),
        ) {
            let bytes = noise(400_000, 10);
            let cut = |pieces: &[usize]| {
                let (mut cutter, mut found) = (cutter(Cut::Content), Vec::new());
                cutter.depth = DEEP - before;
                let (mut pieces, mut rest) = (pieces.iter().copied().cycle(), &bytes[..]);
                while !rest.is_empty() {
                    let piece = pieces.next().expect("endless").min(rest.len());
                    cutter.push(&rest[..piece], |chunk| found.push(chunk.len()));
                    rest = &rest[piece..];
                }
                found
            };
            prop_assert_eq!(cut(&pieces), cut(&[usize::MAX]));
        }

        #[test]
        fn an_insertion_leaves_what_is_before_it_and_what_follows_a_common_cut(
            at in 0_usize..300_000,
            inserted in prop::collection::vec(any::<u8>(), 1..3000),
        ) {
            let bytes = noise(300_000, 11);
            let mut longer = bytes.clone();
            longer.splice(at..at, inserted.iter().copied());
            let (old, new) = (chunks(&bytes, usize::MAX), chunks(&longer, usize::MAX));
            let same = old.iter().zip(&new).take_while(|(old, new)| old == new);
            let kept: usize = same.map(|(chunk, _)| chunk.len()).sum();
            // The chunk that holds the insertion may start as far before it as a chunk is long.
            prop_assert!(kept + CONTENT.max >= at, "{kept} bytes are kept before {at}");
            let same = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new);
            let kept: usize = same.map(|(chunk, _)| chunk.len()).sum();
            // Behind it chunks are equal from the first place on where both are cut.
            let ends = |chunks: &[Vec<u8>], shift: usize| -> Vec<usize> {
                let ends = chunks.iter().scan(0, |end, chunk| { *end += chunk.len(); Some(*end) });
                ends.filter(|end| *end >= at + shift).map(|end| end - shift).collect()
            };
            let (old, new) = (ends(&old, 0), ends(&new, inserted.len()));
            let common = old.iter().find(|end| new.contains(end)).expect("both end at the end");
            prop_assert_eq!(kept, bytes.len() - common);
        }
    }

    #[test]
    fn an_insertion_anywhere_changes_few_chunks() {
        let bytes = noise(1 << 20, 12);
        let before: std::collections::HashSet<_> = chunks(&bytes, 1 << 20).into_iter().collect();
        let mut most = 0;
        for at in (0..bytes.len()).step_by(bytes.len() / 64) {
            let mut longer = bytes.clone();
            longer.splice(at..at, *b"some bytes");
            let after = chunks(&longer, 1 << 20);
            most = most.max(
                after
                    .iter()
                    .filter(|chunk| !before.contains(*chunk))
                    .count(),
            );
        }
        assert!((1..=6).contains(&most), "{most} of {} chunks", before.len());
    }

    #[test]
    fn the_average_is_near_what_is_asked() {
        let found = chunks(&noise(8 << 20, 2), 1 << 20);
        let average = (8 << 20) / found.len();
        assert!((12 << 10..24 << 10).contains(&average), "{average}");
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let bytes = noise(4 << 20, 3);
        let mut longer = bytes.clone();
        longer.splice(1 << 20..1 << 20, b"inserted".iter().copied());
        let before: std::collections::HashSet<_> = chunks(&bytes, 1 << 16).into_iter().collect();
        let new = chunks(&longer, 1 << 16)
            .into_iter()
            .filter(|chunk| !before.contains(chunk));
        assert!(new.count() <= 3);
    }

    #[test]
    fn another_secret_cuts_elsewhere() {
        let bytes = noise(1 << 20, 4);
        let mut found = Vec::new();
        let mut other = Cutter::new(Gear::new(&[8; 32]), Cut::Content);
        other.push(&bytes, |chunk| found.push(chunk.to_vec()));
        other.finish(|chunk| found.push(chunk.to_vec()));
        assert_ne!(found, chunks(&bytes, 1 << 20));
    }

    #[test]
    fn units_are_chunks_and_large_ones_are_cut_inside() {
        let mut cutter = cutter(Cut::Content);
        let mut lengths = Vec::new();
        let bytes = noise(200_000, 5);
        cutter.push(&bytes[..100], |chunk| lengths.push(chunk.len()));
        for unit in [4096, 8192, 4096] {
            cutter.unit(unit, |chunk| lengths.push(chunk.len()));
            for piece in bytes[..unit as usize].chunks(1000) {
                cutter.push(piece, |chunk| lengths.push(chunk.len()));
            }
        }
        assert_eq!(lengths, [100, 4096, 8192, 4096]);

        lengths.clear();
        for unit in [4096, 8192, 4096] {
            cutter.unit(unit, |chunk| lengths.push(chunk.len()));
        }
        cutter.push(&bytes[..2 * 8192], |chunk| lengths.push(chunk.len()));
        assert_eq!(lengths, [4096, 8192, 4096], "announced ahead");

        cutter.unit(100_000, |chunk| lengths.push(chunk.len()));
        cutter.push(&bytes[..100_000], |chunk| lengths.push(chunk.len()));
        let inside = &lengths[3..];
        assert_eq!(inside.iter().sum::<usize>(), 100_000);
        assert!(inside.len() > 5 && inside.iter().all(|length| *length <= LARGE_UNIT.max));
    }

    #[test]
    fn chunks_end_with_long_entries_and_with_some_short_ones() {
        let mut cutter = cutter(Cut::Content);
        let mut found = 0;
        cutter.push(&noise(5000, 6), |chunk| found += chunk.len());
        cutter.entry_ends(b"long", 5000, |chunk| found += chunk.len());
        assert_eq!(found, 5000);

        let mut lengths = Vec::new();
        for i in 0..1000 {
            cutter.push(&[0; 500], |chunk| lengths.push(chunk.len()));
            let name = format!("short/{i}");
            cutter.entry_ends(name.as_bytes(), 500, |chunk| lengths.push(chunk.len()));
        }
        assert!(lengths.iter().all(|length| *length >= SHORT_CHUNK));
        let average = lengths.iter().sum::<usize>() / lengths.len();
        assert!((1500..4500).contains(&average), "{average}");
    }
}
