use crate::{MANIFEST_MAX, frame};

/// The Padmé length for `length`: at most 12 % longer, and only O(log log) of the length is told to who sees it
/// (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019, §4).
pub fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = u64::from(length.ilog2());
    let kept = u64::from(exponent.ilog2()) + 1;
    let mask = (1 << (exponent - kept.min(exponent))) - 1;
    (length + mask) & !mask
}

/// `u8 encoding ‖ u64 length of data ‖ data ‖ zeros`, compressed where that helps, padded to a Padmé length.
pub(crate) fn pad(body: &[u8]) -> Vec<u8> {
    let encoded = frame::encode(body, true);
    let (encoding, data) = encoded.split_at(1);
    let mut padded = Vec::with_capacity(data.len() + data.len() / 8 + 64);
    padded.extend_from_slice(encoding);
    padded.extend_from_slice(&(data.len() as u64).to_le_bytes());
    padded.extend_from_slice(data);
    padded.resize(padme(padded.len() as u64) as usize, 0);
    padded
}

/// Undoes [`pad`]; `None` if the lengths make no sense or the body would be longer than a manifest may be.
pub(crate) fn unpad(padded: &[u8]) -> Option<Vec<u8>> {
    let (&encoding, rest) = padded.split_first()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let data = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let mut body = Vec::new();
    frame::decode(encoding, data, MANIFEST_MAX as usize, &mut body).ok()?;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padme_of_the_paper() {
        for (length, padded) in [
            (0, 0),
            (1, 1),
            (9, 10),
            (100, 104),
            (1000, 1024),
            (4097, 4352),
        ] {
            assert_eq!(padme(length), padded, "{length}");
        }
    }

    proptest! {
        #[test]
        fn padme_is_at_most_twelve_percent(length in 2_u64..1 << 50) {
            let padded = padme(length);
            prop_assert!(padded >= length);
            prop_assert!(padded - length <= length * 12 / 100 + 1);
            prop_assert_eq!(padme(padded), padded);
        }

        #[test]
        fn bodies_come_back(body: Vec<u8>) {
            prop_assert_eq!(unpad(&pad(&body)), Some(body));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = unpad(&bytes);
        }
    }
}
