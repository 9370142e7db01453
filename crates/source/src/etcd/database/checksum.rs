/// The polynomial of CRC-32C, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// A CRC-32C (Castagnoli) and how many bytes it is of, so that those of pieces can be put together in another order than they were computed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) crc: u32,
    pub(super) bytes: u64,
}

impl Checksum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            crc: crc_fast::crc32_iscsi(bytes),
            bytes: bytes.len() as u64,
        }
    }

    /// The checksum of these bytes with those of `next` behind them.
    pub(super) fn then(self, next: Self) -> Self {
        let mut shifted = self.crc;
        let mut left = next.bytes;
        while left != 0 {
            shifted = multiply(SHIFTS[left.trailing_zeros() as usize], shifted);
            left &= left - 1;
        }
        Self {
            crc: shifted ^ next.crc,
            bytes: self.bytes + next.bytes,
        }
    }
}

/// What a checksum is multiplied by when 2^n bytes follow: x to the power of 8 * 2^n.
static SHIFTS: [u32; 64] = {
    let mut shifts = [1 << (31 - 8); 64];
    let mut n = 1;
    while n < 64 {
        shifts[n] = multiply(shifts[n - 1], shifts[n - 1]);
        n += 1;
    }
    shifts
};

/// The product of two polynomials modulo that of CRC-32C; the highest bit is the coefficient of 1.
const fn multiply(one: u32, mut other: u32) -> u32 {
    let mut product = 0;
    let mut bit = 31;
    loop {
        if one >> bit & 1 == 1 {
            product ^= other;
        }
        if bit == 0 {
            return product;
        }
        bit -= 1;
        let carry = if other & 1 == 1 { POLYNOMIAL } else { 0 };
        other = other >> 1 ^ carry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_crc_32c() {
        assert_eq!(Checksum::of(b"123456789").crc, 0xe306_9283);
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_whole(bytes: Vec<u8>, cut in any::<prop::sample::Index>()) {
            let (front, back) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(Checksum::of(front).then(Checksum::of(back)), Checksum::of(&bytes));
        }
    }

    #[test]
    fn many_bytes_behind_are_as_if_they_came_in_pieces() {
        let (first, zeros) = (Checksum::of(b"first"), vec![0; 1 << 16]);
        let step = |sum: Checksum, _| sum.then(Checksum::of(&zeros));
        let pieces = (0..300).fold(first, step);
        let whole = first.then((0..300).fold(Checksum::default(), step));
        assert_eq!(pieces, whole);
    }
}
