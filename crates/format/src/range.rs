use archive::put_varint;

use crate::RunId;
use crate::parse::Parse;

/// Where a chunk was first stored: a stream of a run. Its chunks are numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Origin {
    /// The run.
    pub run: RunId,
    /// The stream of that run.
    pub stream: u32,
}

/// Consecutive chunks of one origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Index into the list of origins.
    pub origin: u32,
    /// Number of the first chunk.
    pub first: u32,
    /// How many, at least one.
    pub count: u32,
    /// Of all of them, in bytes.
    pub length: u64,
}

/// The chunks of a stream, in order, as few ranges as possible.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// Appends one chunk.
    pub fn push(&mut self, origin: u32, chunk: u32, length: usize) {
        if let Some(last) = self.0.last_mut()
            && last.origin == origin
            && last.first + last.count == chunk
        {
            last.count += 1;
            last.length += length as u64;
        } else {
            self.0.push(Range {
                origin,
                first: chunk,
                count: 1,
                length: length as u64,
            });
        }
    }

    /// The ranges in stream order.
    pub fn iter(&self) -> std::slice::Iter<'_, Range> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Chunks in all.
    pub fn chunks(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.count)).sum()
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.0.iter().map(|range| range.length).sum()
    }

    /// The same ranges where origin i is called `origins[i]`.
    #[must_use]
    pub fn renumbered(&self, origins: &[u32]) -> Self {
        let renumber = |range: &Range| Range {
            origin: origins[range.origin as usize],
            ..*range
        };
        Self(self.0.iter().map(renumber).collect())
    }

    /// By column, because equal kinds of numbers compress together.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for range in &self.0 {
            put_varint(out, range.origin.into());
        }
        let mut ends = Ends::default();
        for range in &self.0 {
            let expected = ends.replace(range.origin, range.first, range.count);
            put_varint(out, zigzag(i64::from(range.first) - i64::from(expected)));
        }
        for range in &self.0 {
            put_varint(out, range.count.into());
        }
        for range in &self.0 {
            put_varint(out, range.length);
        }
    }

    /// Reads them back; every origin is below `origins`, and sums fit their types.
    pub(crate) fn decode(input: &mut Parse<'_>, origins: usize) -> Option<Self> {
        let count = input.count(4)?;
        let column = |input: &mut Parse<'_>| -> Option<Vec<u64>> {
            (0..count).map(|_| input.varint()).collect()
        };
        let (origin, first, counts) = (column(input)?, column(input)?, column(input)?);
        let mut ends = Ends::default();
        let mut ranges = Vec::with_capacity(count);
        let (mut chunks, mut bytes) = (0_u32, 0_u64);
        for i in 0..count {
            let origin = u32::try_from(origin[i])
                .ok()
                .filter(|o| (*o as usize) < origins)?;
            let count = u32::try_from(counts[i]).ok().filter(|count| *count > 0)?;
            let first = i64::from(ends.of(origin)).checked_add(unzigzag(first[i]))?;
            let first = u32::try_from(first).ok()?;
            first.checked_add(count)?;
            ends.replace(origin, first, count);
            let length = input.varint()?;
            chunks = chunks.checked_add(count)?;
            bytes = bytes.checked_add(length)?;
            ranges.push(Range {
                origin,
                first,
                count,
                length,
            });
        }
        Some(Self(ranges))
    }
}

impl<'a> IntoIterator for &'a Ranges {
    type Item = &'a Range;
    type IntoIter = std::slice::Iter<'a, Range>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Where the last range of each origin ended.
#[derive(Default)]
struct Ends(Vec<u32>);

impl Ends {
    fn of(&self, origin: u32) -> u32 {
        self.0.get(origin as usize).copied().unwrap_or(0)
    }

    fn replace(&mut self, origin: u32, first: u32, count: u32) -> u32 {
        if self.0.len() <= origin as usize {
            self.0.resize(origin as usize + 1, 0);
        }
        std::mem::replace(&mut self.0[origin as usize], first + count)
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_come_back(chunks in prop::collection::vec((0_u32..5, 0_u32..50, 1_usize..9), 0..200)) {
            let mut ranges = Ranges::default();
            for (origin, chunk, length) in &chunks {
                ranges.push(*origin, *chunk, *length);
            }
            let mut bytes = Vec::new();
            ranges.encode(&mut bytes);
            let mut input = Parse(&bytes);
            prop_assert_eq!(Ranges::decode(&mut input, 5), Some(ranges.clone()));
            prop_assert!(input.end().is_some());
            prop_assert_eq!(ranges.chunks(), chunks.len() as u64);
            let length: usize = chunks.iter().map(|(_, _, length)| *length).sum();
            prop_assert_eq!(ranges.length(), length as u64);
            // Under other names of the origins it is what it would have been under these from the start.
            let (names, mut renamed) = ([7, 6, 9, 8, 5], Ranges::default());
            for (origin, chunk, length) in &chunks {
                renamed.push(names[*origin as usize], *chunk, *length);
            }
            prop_assert_eq!(ranges.renumbered(&names), renamed);
            let expanded: Vec<_> = ranges
                .iter()
                .flat_map(|range| (0..range.count).map(|i| (range.origin, range.first + i)))
                .collect();
            let given: Vec<_> = chunks.iter().map(|(origin, chunk, _)| (*origin, *chunk)).collect();
            prop_assert_eq!(expanded, given);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, origins in 0_usize..4) {
            let _ = Ranges::decode(&mut Parse(&bytes), origins);
        }

        #[test]
        fn bytes_that_are_read_are_the_ones_that_are_written(
            bytes in prop::collection::vec(0_u8..8, 0..40), origins in 1_usize..4,
        ) {
            let mut input = Parse(&bytes);
            if let Some(ranges) = Ranges::decode(&mut input, origins) {
                let mut again = Vec::new();
                ranges.encode(&mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - input.0.len()]);
            }
        }
    }

    #[test]
    fn consecutive_chunks_are_one_range() {
        let mut ranges = Ranges::default();
        for chunk in 0..100_000 {
            ranges.push(0, chunk, 4096);
        }
        let mut bytes = Vec::new();
        ranges.encode(&mut bytes);
        assert!(bytes.len() < 12);
    }

    #[test]
    fn absurd_ranges_are_refused() {
        let decode = |bytes: &[u8]| Ranges::decode(&mut Parse(bytes), 1);
        assert!(decode(&[1, 0, 0, 1, 9]).is_some());
        assert_eq!(
            decode(&[1, 1, 0, 1, 9]),
            None,
            "an origin that is not in the list"
        );
        assert_eq!(decode(&[1, 0, 0, 0, 9]), None, "no chunk");
        assert_eq!(decode(&[1, 0, 1, 1, 9]), None, "before the first chunk");
        assert_eq!(
            decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            None,
            "a count without its list"
        );
    }
}
