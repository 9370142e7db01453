use std::cmp::Ordering;

use super::revision::Revision;

/// Longer keys than this, all together, are not kept: etcd has few that are not revisions.
const OTHERS_MAX: usize = 32 * 1024 * 1024;
/// What keys are kept in, at most: places in it are 32 bits.
const BYTES_MAX: usize = 1 << 30;

/// Keys of a Bolt tree, kept small: nearly all of them are revisions, of which the numbers are small.
#[derive(Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    others: usize,
    /// Whether some did not fit, so that what was returned for them is not to be read.
    overfull: bool,
}

/// A key that was kept. They are ordered as their bytes are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Revision(Revision, bool),
    Other(&'a [u8]),
}

impl Keys {
    /// Keeps `key` and says where.
    pub(super) fn put(&mut self, key: &[u8]) -> u32 {
        let at = self.bytes.len();
        if let Some((revision, tombstone)) = Revision::parse(key) {
            self.bytes.push(tombstone.into());
            self.number(revision.main);
            self.number(revision.sub);
        } else {
            self.others += key.len();
            self.bytes.push(2);
            self.number(key.len() as u64);
            self.bytes.extend_from_slice(key);
        }
        self.settle(at)
    }

    /// Keeps a number, which is the page of a branch's child.
    pub(super) fn put_number(&mut self, number: u32) -> u32 {
        let at = self.bytes.len();
        self.number(number.into());
        self.settle(at)
    }

    /// Where the next one will be.
    pub(super) fn end(&self) -> u32 {
        self.bytes.len() as u32
    }

    pub(super) fn overfull(&self) -> bool {
        self.overfull
    }

    /// The keys and numbers that were put from `at` on.
    pub(super) fn from(&self, at: u32) -> Reader<'_> {
        Reader(&self.bytes[at as usize..])
    }

    fn settle(&mut self, at: usize) -> u32 {
        if self.others > OTHERS_MAX || self.bytes.len() > BYTES_MAX {
            self.bytes.truncate(at);
            self.overfull = true;
        }
        at as u32
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

/// Reads what was put, in the same order.
#[derive(Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn key(&mut self) -> Key<'a> {
        let kind = self.number();
        if kind < 2 {
            let revision = Revision {
                main: self.number(),
                sub: self.number(),
            };
            return Key::Revision(revision, kind == 1);
        }
        let length = self.number() as usize;
        let (key, rest) = self.0.split_at(length);
        self.0 = rest;
        Key::Other(key)
    }

    pub(super) fn number(&mut self) -> u64 {
        let mut number = 0;
        for (index, byte) in self.0.iter().enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return number;
            }
        }
        unreachable!("only what was put is read")
    }
}

impl<'a> Key<'a> {
    pub(super) fn of(key: &'a [u8]) -> Self {
        match Revision::parse(key) {
            Some((revision, tombstone)) => Self::Revision(revision, tombstone),
            None => Self::Other(key),
        }
    }
}

impl Key<'_> {
    fn bytes<'a>(&'a self, room: &'a mut [u8; 18]) -> &'a [u8] {
        match self {
            Self::Other(key) => key,
            Self::Revision(revision, tombstone) => {
                room[..8].copy_from_slice(&revision.main.to_be_bytes());
                room[8] = b'_';
                room[9..17].copy_from_slice(&revision.sub.to_be_bytes());
                room[17] = b't';
                &room[..17 + usize::from(*tombstone)]
            }
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Self::Revision(one, deleted), Self::Revision(other, other_deleted)) = (self, other)
        {
            return (one, deleted).cmp(&(other, other_deleted));
        }
        let (mut room, mut other_room) = ([0; 18], [0; 18]);
        self.bytes(&mut room).cmp(other.bytes(&mut other_room))
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let revision = (0_u64..70_000, 0_u64..300, any::<bool>()).prop_map(|(main, sub, gone)| {
            let mut key = [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes()].concat();
            key.extend(gone.then_some(b't'));
            key
        });
        prop_oneof![revision, prop::collection::vec(any::<u8>(), 1..30)]
    }

    proptest! {
        #[test]
        fn keys_come_back_in_their_order(all in prop::collection::vec(key(), 1..20)) {
            let mut keys = Keys::default();
            let places: Vec<u32> = all.iter().map(|key| keys.put(key)).collect();
            for (one, at) in all.iter().zip(&places) {
                let read = keys.from(*at).key();
                let mut room = [0; 18];
                prop_assert_eq!(read.bytes(&mut room), &one[..]);
                for (other, at) in all.iter().zip(&places) {
                    prop_assert_eq!(read.cmp(&keys.from(*at).key()), one.cmp(other));
                }
            }
        }
    }

    #[test]
    fn what_is_too_much_is_not_kept() {
        let mut keys = Keys::default();
        let long = vec![7; OTHERS_MAX / 2];
        keys.put(&long);
        assert!(!keys.overfull());
        keys.put(&long);
        keys.put(b"x");
        assert!(keys.overfull());
        assert!(keys.bytes.len() < OTHERS_MAX + 100);
    }
}
