use std::ops::Range;

use zeroize::Zeroize as _;

use super::DumpKey;
use super::key_object::{NONCE_BYTES, TAG_BYTES, fill, open, seal};

/// So much of a snapshot is sealed at a time. The last chunk has what is left, and at least one byte.
pub const CHUNK_BYTES: usize = 1 << 20;
/// So much longer than what it holds is a sealed chunk.
const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// Of a sealed chunk that is full.
pub const STRIDE_BYTES: usize = CHUNK_BYTES + OVERHEAD_BYTES;

/// What all nonces of a dump begin with: the time, and eight random bytes. The counter of chunks follows.
const BASE_BYTES: usize = 16;

/// Seals a snapshot chunk by chunk.
pub struct Sealer {
    key: DumpKey,
    base: [u8; BASE_BYTES],
    counter: u64,
}

/// Opens a dump chunk by chunk, in its order: what was left out, doubled, moved or taken from elsewhere is refused.
pub struct Opener {
    key: DumpKey,
    base: Option<[u8; BASE_BYTES]>,
    counter: u64,
}

/// Why a dump is not what was stored: a clause about "it".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpFault {
    /// Its length alone says so.
    #[error("its {0} bytes cannot be a whole snapshot: it was cut, or something was appended")]
    Size(u64),
    /// No byte of it may be used.
    #[error("its chunk {0} is damaged, or sealed with another key")]
    Closed(u64),
    /// Authentic, and not at its place.
    #[error(
        "its chunk {found} stands where chunk {expected} belongs: chunks were left out, doubled or moved"
    )]
    Order {
        /// Counted from 0.
        expected: u64,
        /// The counter that was sealed with it.
        found: u64,
    },
    /// Authentic, and of another run of the writer.
    #[error("its chunk {0} belongs to another dump")]
    Foreign(u64),
}

impl Sealer {
    /// For the dump of this key, which is used for no other. `unix_nanoseconds` is the time.
    pub fn new(key: DumpKey, unix_nanoseconds: u64) -> Self {
        let mut base = [0; BASE_BYTES];
        base[..8].copy_from_slice(&unix_nanoseconds.to_be_bytes());
        fill(&mut base[8..]);
        Self::with_base(key, base)
    }

    pub(super) fn with_base(key: DumpKey, base: [u8; BASE_BYTES]) -> Self {
        let counter = 0;
        Self { key, base, counter }
    }

    /// Appends the sealed chunk to `out`. All chunks but the last have [`CHUNK_BYTES`], and the last one is not empty.
    pub fn seal(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..BASE_BYTES].copy_from_slice(&self.base);
        nonce[BASE_BYTES..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(chunk);
        let tag = seal(self.key.bytes(), &nonce, &mut out[start..]);
        out.extend_from_slice(&tag);
    }
}

impl Opener {
    /// For the dump of this key.
    pub fn new(key: DumpKey) -> Self {
        Self {
            key,
            base: None,
            counter: 0,
        }
    }

    /// Opens the next [`STRIDE_BYTES`] of the dump in place, or what is left of it, and says where in it the chunk is. On failure nothing
    /// of it may be used, and its bytes are wiped.
    pub fn open(&mut self, sealed: &mut [u8]) -> Result<Range<usize>, DumpFault> {
        match self.judge(sealed) {
            Ok(()) => Ok(NONCE_BYTES..sealed.len() - TAG_BYTES),
            Err(fault) => {
                sealed.zeroize();
                Err(fault)
            }
        }
    }

    fn judge(&mut self, sealed: &mut [u8]) -> Result<(), DumpFault> {
        let expected = self.counter;
        let closed = DumpFault::Closed(expected);
        // The nonce is believed after the chunk has opened: under another one it does not.
        let opened = open(self.key.bytes(), sealed).ok_or_else(|| closed.clone())?;
        if opened.is_empty() {
            return Err(closed);
        }
        let (base, rest) = sealed.split_first_chunk::<BASE_BYTES>().expect("it opened");
        let counter = rest.first_chunk().expect("it opened");
        let found = u64::from_be_bytes(*counter);
        if self.base.is_some_and(|known| known != *base) {
            return Err(DumpFault::Foreign(expected));
        }
        if found != expected {
            return Err(DumpFault::Order { expected, found });
        }
        self.base = Some(*base);
        self.counter += 1;
        Ok(())
    }
}

/// What the length of an object says about a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Of the snapshot in it.
    pub plain_bytes: u64,
}

impl Shape {
    /// Of an object that holds a snapshot as it is.
    ///
    /// The length of every snapshot leaves 32 when divided by 512: pages, and the SHA-256 at its end.
    pub fn plain(bytes: u64) -> Result<Self, DumpFault> {
        if bytes > 512 && bytes % 512 == 32 {
            Ok(Self { plain_bytes: bytes })
        } else {
            Err(DumpFault::Size(bytes))
        }
    }

    /// Of one that holds it sealed. A dump that was cut between two chunks, where every chunk that is left opens and stands at its
    /// place, is found here: full chunks hold a whole number of pages, and no SHA-256 behind them.
    pub fn sealed(bytes: u64) -> Result<Self, DumpFault> {
        let (full, rest) = (bytes / STRIDE_BYTES as u64, bytes % STRIDE_BYTES as u64);
        let last = match rest {
            0 => 0,
            rest => rest
                .checked_sub(OVERHEAD_BYTES as u64)
                .ok_or(DumpFault::Size(bytes))?,
        };
        Self::plain(full * CHUNK_BYTES as u64 + last).map_err(|_| DumpFault::Size(bytes))
    }

    /// How long the object is that holds a snapshot of this length sealed.
    pub fn sealed_bytes(self) -> u64 {
        let chunks = self.plain_bytes.div_ceil(CHUNK_BYTES as u64);
        self.plain_bytes + chunks * OVERHEAD_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DumpKey {
        DumpKey::from_bytes([7; 32])
    }

    /// Three chunks of five bytes, as they lie in a dump.
    fn chunks() -> [Vec<u8>; 3] {
        let mut sealer = Sealer::new(key(), 9);
        [b"one..", b"two..", b"three"].map(|chunk| {
            let mut sealed = Vec::new();
            sealer.seal(chunk, &mut sealed);
            sealed
        })
    }

    fn open(key: DumpKey, chunks: &[&Vec<u8>]) -> Result<Vec<u8>, DumpFault> {
        let mut opener = Opener::new(key);
        let mut plain = Vec::new();
        for chunk in chunks {
            let mut chunk = (*chunk).clone();
            match opener.open(&mut chunk) {
                Ok(opened) => plain.extend_from_slice(&chunk[opened]),
                Err(fault) => {
                    assert!(chunk.iter().all(|byte| *byte == 0), "it is wiped");
                    return Err(fault);
                }
            }
        }
        Ok(plain)
    }

    #[test]
    fn what_was_sealed_opens() {
        let [one, two, three] = &chunks();
        let plain = open(key(), &[one, two, three]);
        assert_eq!(plain.as_deref(), Ok(&b"one..two..three"[..]));
        assert_eq!(one.len(), 45);
        assert_eq!(one[..8], 9_u64.to_be_bytes());
        let fault = open(DumpKey::random(), &[one]);
        assert_eq!(fault, Err(DumpFault::Closed(0)));
    }

    #[test]
    fn left_out_doubled_and_moved_chunks_are_told() {
        let [one, two, three] = &chunks();
        let order = |expected, found| Err(DumpFault::Order { expected, found });
        assert_eq!(open(key(), &[two, three]), order(0, 1));
        assert_eq!(open(key(), &[one, three]), order(1, 2));
        assert_eq!(open(key(), &[one, one, two]), order(1, 0));
        assert_eq!(open(key(), &[one, two, three, three]), order(3, 2));
        assert_eq!(open(key(), &[one, three, two]), order(1, 2));
        let [_, other, _] = &chunks();
        assert_eq!(open(key(), &[one, other]), Err(DumpFault::Foreign(1)));
    }

    #[test]
    fn any_change_and_any_cut_of_a_chunk_is_noticed() {
        let [one, ..] = &chunks();
        for bit in 0..one.len() * 8 {
            let mut flipped = one.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(key(), &[&flipped]), Err(DumpFault::Closed(0)));
        }
        for length in 0..one.len() {
            let cut = one[..length].to_vec();
            assert_eq!(open(key(), &[&cut]), Err(DumpFault::Closed(0)));
        }
        let mut empty = Vec::new();
        Sealer::new(key(), 0).seal(b"", &mut empty);
        assert_eq!(open(key(), &[&empty]), Err(DumpFault::Closed(0)));
    }

    #[test]
    fn a_length_says_what_was_cut_between_chunks() {
        let (chunk, stride) = (CHUNK_BYTES as u64, STRIDE_BYTES as u64);
        for plain in [544, chunk - 480, chunk + 32, 20 * chunk + 4096 + 32] {
            let shape = Shape::plain(plain).expect("it is one");
            let sealed = shape.sealed_bytes();
            assert_eq!(Shape::sealed(sealed), Ok(shape));
            assert!(sealed > plain);
            // The original's formula.
            assert_eq!(sealed, plain + 40 * plain.div_ceil(chunk));
        }
        for sealed in [
            0,
            1,
            40,
            41,
            72,
            stride,
            5 * stride,
            5 * stride + 39,
            5 * stride + 40,
        ] {
            assert_eq!(Shape::sealed(sealed), Err(DumpFault::Size(sealed)));
        }
        for plain in [0, 32, 512, 4096, 4096 + 31, 4096 + 33] {
            assert_eq!(Shape::plain(plain), Err(DumpFault::Size(plain)));
        }
        // No number overflows.
        let _ = (Shape::sealed(u64::MAX), Shape::plain(u64::MAX));
    }
}
