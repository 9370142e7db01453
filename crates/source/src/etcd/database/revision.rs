use std::fmt;

/// When a key was changed: the number of the transaction, and of the change in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The transaction: what etcd calls the revision of the store.
    pub main: u64,
    /// The change in the transaction, from 0.
    pub sub: u64,
}

impl Revision {
    /// What a key of the bucket `key` says: `main u64 '_' sub u64`, both big-endian, and a `t` behind it if the change was a
    /// deletion. `None`: it is no such key.
    pub fn parse(key: &[u8]) -> Option<(Self, bool)> {
        let (revision, tombstone) = match key {
            [revision @ .., b't'] if revision.len() == 17 => (revision, true),
            revision => (revision, false),
        };
        let (main, rest) = revision.split_first_chunk::<8>()?;
        let [b'_', sub @ ..] = rest else { return None };
        let revision = Self {
            main: u64::from_be_bytes(*main),
            sub: u64::from_be_bytes(sub.try_into().ok()?),
        };
        // To etcd these are signed, and none is negative.
        let sound = i64::try_from(revision.main).is_ok() && i64::try_from(revision.sub).is_ok();
        sound.then_some((revision, tombstone))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_revisions_are_revisions() {
        let key = *b"\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\x03";
        let revision = Revision { main: 258, sub: 3 };
        assert_eq!(Revision::parse(&key), Some((revision, false)));
        let deletion = [&key[..], b"t"].concat();
        assert_eq!(Revision::parse(&deletion), Some((revision, true)));
        // The last byte of a revision may be a `t` too.
        let key = *b"\0\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0t";
        let revision = Revision { main: 1, sub: 0x74 };
        assert_eq!(Revision::parse(&key), Some((revision, false)));
        for other in [
            &b""[..],
            &key[..16],
            &[&key[..], b"x"].concat(),
            &[&key[..], b"tt"].concat(),
            b"\0\0\0\0\0\0\0\x01-\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\x01_\x80\0\0\0\0\0\0\0",
            b"\x80\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Revision::parse(other), None, "{other:?}");
        }
    }
}
