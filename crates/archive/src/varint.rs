/// Appends `value` as LEB128: seven bits a byte, least significant first, the high bit set on all but the last.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one LEB128 number off the front of `input`.
///
/// `None` if it is cut short, longer than 64 bits, or not in its shortest form (so that equal values are equal bytes);
/// `input` is then unchanged.
pub fn get_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (i, &byte) in input.iter().enumerate().take(10) {
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            if byte == 0 && i > 0 {
                return None;
            }
            *input = &input[i + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_number_comes_back(value: u64, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.extend_from_slice(&tail);
            let mut input = bytes.as_slice();
            prop_assert_eq!(get_varint(&mut input), Some(value));
            prop_assert_eq!(input, tail.as_slice());
        }
    }

    #[test]
    fn cut_overlong_and_padded_numbers_are_refused() {
        for bytes in [&[][..], &[0x80], &[0x80, 0x00], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(get_varint(&mut &bytes[..]), None, "{bytes:x?}");
        }
    }
}
