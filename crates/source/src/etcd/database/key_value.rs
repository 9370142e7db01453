/// A key at one revision: etcd's `mvccpb.KeyValue`, not copied.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeyValue<'a> {
    pub(super) key: &'a [u8],
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    pub(super) version: i64,
    pub(super) value: &'a [u8],
    pub(super) lease: i64,
}

impl<'a> KeyValue<'a> {
    /// `None`: the bytes are not one. Fields that are not known are passed over, as protobuf has it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut found = Self::default();
        let mut fields = Fields(bytes);
        while !fields.0.is_empty() {
            match fields.next()? {
                (1, Field::Bytes(key)) => found.key = key,
                (2, Field::Number(revision)) => found.create_revision = revision.cast_signed(),
                (3, Field::Number(revision)) => found.mod_revision = revision.cast_signed(),
                (4, Field::Number(version)) => found.version = version.cast_signed(),
                (5, Field::Bytes(value)) => found.value = value,
                (6, Field::Number(lease)) => found.lease = lease.cast_signed(),
                (1..=6, _) => return None,
                _ => {}
            }
        }
        Some(found)
    }
}

/// What is left of a protobuf message, field by field.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

/// What a field holds.
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A number of four or eight bytes; etcd stores none that we read.
    Fixed,
}

impl<'a> Fields<'a> {
    /// The next field's number and content; `None` if there is none, or the rest is no message.
    pub(super) fn next(&mut self) -> Option<(u32, Field<'a>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        // As in etcd, 32 bits of it count, and the first of these is a sign.
        let number = (tag >> 3) as u32;
        (1..=i32::MAX as u32)
            .contains(&number)
            .then_some((number, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for (index, &byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            number |= bits << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return (index < 9 || bits < 2).then_some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_etcd_writes_it() {
        let bytes = b"\x0a\x03key\x10\x80\x01\x18\x83\x01\x20\x04\x2a\x05value\x30\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
        let read = KeyValue::parse(bytes).expect("it is one");
        assert_eq!((read.key, read.value), (&b"key"[..], &b"value"[..]));
        assert_eq!((read.create_revision, read.mod_revision), (128, 131));
        assert_eq!((read.version, read.lease), (4, i64::MAX));
        for cut in 1..bytes.len() {
            // At the end of a field it is another message, otherwise none.
            if let Some(read) = KeyValue::parse(&bytes[..cut]) {
                assert_eq!(read.lease, 0, "{cut}");
            }
        }
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_what_is_wrong_is_not() {
        let known = |bytes: &[u8]| KeyValue::parse(bytes).is_some();
        assert!(known(b""), "a bumped revision has an empty record");
        assert!(known(b"\x38\x01\x3a\x02ab\x45abcd\x49abcdefgh"));
        for wrong in [
            &b"\x08\x01"[..],                                // the key as a number
            b"\x12\x01a",                                    // a revision as bytes
            b"\x0a\x05key",                                  // a length beyond the end
            b"\x0b",                                         // a group
            b"\x02\x00",                                     // the field 0
            b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", // a number of 65 bits
        ] {
            assert!(!known(wrong), "{wrong:?}");
        }
    }
}
