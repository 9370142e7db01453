use zeroize::Zeroizing;

/// The key that all keys of a cluster's dumps are sealed to. No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub struct MasterKey(pub(super) Zeroizing<[u8; 32]>);

/// Why the bytes of a file are no master key. Nothing of them is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyFault {
    /// Not one of `0` to `9`, `a` to `f`, `A` to `F`.
    #[error("it holds something else than hexadecimal digits")]
    Digits,
    /// A key has 32 bytes.
    #[error("it has {0} hexadecimal digits, where a master key has 64")]
    Length(usize),
}

impl MasterKey {
    /// Reads the contents of a key file: 64 hexadecimal digits, blanks and line ends around them apart.
    pub fn parse(text: &[u8]) -> Result<Self, MasterKeyFault> {
        let digits = text.trim_ascii();
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(MasterKeyFault::Digits);
        }
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut *key)
            .map_err(|_| MasterKeyFault::Length(digits.len()))?;
        Ok(Self(key))
    }

    /// Whether both are the same key.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_does_no_harm() {
        let digits = "22aB".repeat(16);
        let plain = MasterKey::parse(digits.as_bytes()).expect("a key");
        for text in [
            format!("{digits}\n"),
            format!(" {digits}\r\n"),
            digits.to_lowercase(),
        ] {
            let key = MasterKey::parse(text.as_bytes()).expect("a key");
            assert!(key.is_same(&plain));
        }
        assert_eq!(plain.0[..2], [0x22, 0xab]);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let digits = "2".repeat(64);
        for (text, fault) in [
            (String::new(), MasterKeyFault::Length(0)),
            ("2".repeat(62), MasterKeyFault::Length(62)),
            ("2".repeat(63), MasterKeyFault::Length(63)),
            ("2".repeat(66), MasterKeyFault::Length(66)),
            (format!("{digits}\n{digits}"), MasterKeyFault::Digits),
            (format!("0x{digits}"), MasterKeyFault::Digits),
            ("hunter2".to_owned(), MasterKeyFault::Digits),
        ] {
            assert_eq!(
                MasterKey::parse(text.as_bytes()).err(),
                Some(fault),
                "{text:?}"
            );
        }
        assert_eq!(
            MasterKey::parse(&[0xff; 64]).err(),
            Some(MasterKeyFault::Digits)
        );
    }
}
