//! The file that etcd sends: a database, then its SHA-256.

use sha2::{Digest as _, Sha256};

use super::database::{Damage, Database, Skeleton};
use crate::bolt::{Unit, Units};

/// The SHA-256 that etcd appends to the database.
pub const HASH_BYTES: usize = 32;

/// Judges a snapshot file that arrives in pieces: the hash at its end, Bolt's meta pages, the length they give. A
/// [thorough](Self::thorough) one looks at every page of the database too.
#[derive(Default)]
pub struct Verifier {
    units: Units,
    found: Vec<Unit>,
    hash: Sha256,
    /// The last bytes so far: the hash, if no more come.
    tail: Vec<u8>,
    length: u64,
    skeleton: Option<Skeleton>,
}

/// What a whole snapshot is: the bytes that etcd sent. Whether its database was sound is another question.
pub struct Summary {
    /// Of the database, without the hash.
    pub database_bytes: u64,
    /// The SHA-256 of the database.
    pub hash: [u8; HASH_BYTES],
    /// What its pages are; of a thorough judgement only.
    database: Option<Result<Database, Damage>>,
}

/// Why a file is not a whole snapshot: a clause about "it".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A meta page is not valid, or the two contradict.
    #[error("its first pages are not those of a Bolt database")]
    Metas,
    /// The database is whole, and nothing follows.
    #[error("it is a copy of a member's database, without the hash that a snapshot ends with")]
    NoHash,
    /// Something is missing, or too much.
    #[error("it has {found} bytes of database where its meta pages say {expected}")]
    Length {
        /// How many bytes there are, without the hash.
        found: u64,
        /// How many bytes there should be.
        expected: u64,
    },
    /// Bytes are not those that etcd sent.
    #[error("its SHA-256 is not the one that it ends with")]
    Hash,
}

impl Verifier {
    /// One that looks at every page: for an eightieth of the database's length in memory, [`Summary::revision`] and
    /// [`Summary::damage`] have an answer.
    pub fn thorough() -> Self {
        Self {
            skeleton: Some(Skeleton::default()),
            ..Self::default()
        }
    }

    /// Takes the next bytes of the file. The units that became known with them are returned.
    pub fn feed(&mut self, bytes: &[u8]) -> &[Unit] {
        self.length += bytes.len() as u64;
        if bytes.len() >= HASH_BYTES {
            let (body, tail) = bytes.split_at(bytes.len() - HASH_BYTES);
            self.hash.update(&self.tail);
            self.hash.update(body);
            self.tail.clear();
            self.tail.extend_from_slice(tail);
        } else {
            self.tail.extend_from_slice(bytes);
            let old = self.tail.len().saturating_sub(HASH_BYTES);
            self.hash.update(&self.tail[..old]);
            self.tail.drain(..old);
        }
        if let Some(skeleton) = &mut self.skeleton {
            skeleton.feed(bytes);
        }
        self.found.clear();
        self.units.feed(bytes, &mut self.found);
        &self.found
    }

    /// As [`Units::known`].
    pub fn known(&self) -> Option<u64> {
        self.units.known()
    }

    /// The verdict, when all bytes have been fed.
    pub fn finish(self) -> Result<Summary, Fault> {
        let expected = self.units.file_length().ok_or(Fault::Metas)?;
        let found = self.length.saturating_sub(HASH_BYTES as u64);
        if self.length == expected {
            return Err(Fault::NoHash);
        }
        if found != expected {
            return Err(Fault::Length { found, expected });
        }
        let hash: [u8; HASH_BYTES] = self.hash.finalize().into();
        if self.tail != hash {
            return Err(Fault::Hash);
        }
        Ok(Summary {
            database_bytes: found,
            hash,
            database: self.skeleton.map(Skeleton::finish),
        })
    }
}

impl Summary {
    /// The revision of the store in the file: a client that read the cluster before it was captured saw no greater one, or the member lagged
    /// behind. `None` if the pages were not looked at, or are damaged.
    pub fn revision(&self) -> Option<u64> {
        let database = self.database()?;
        database.damage().is_empty().then(|| database.revision())
    }

    /// The database, if its pages were looked at and can be followed.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()?.as_ref().ok()
    }

    /// What is damaged in the database, a clause about the file; `None` if nothing is, or nobody looked.
    ///
    /// Where the hash is right, it was damaged before etcd sent it.
    pub fn damage(&self) -> Option<String> {
        let (first, others) = match self.database.as_ref()? {
            Ok(database) => {
                let (first, others) = database.damage().split_first()?;
                (first, others.len() as u64 + database.more_damage())
            }
            Err(damage) => (damage, 0),
        };
        Some(match others {
            0 => first.to_string(),
            1 => format!("{first}; and one more thing is wrong with it"),
            others => format!("{first}; and {others} more things are wrong with it"),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bolt::tests::file;
    use proptest::prelude::*;

    pub(in crate::etcd) fn snapshot(overflows: &[u32]) -> Vec<u8> {
        let mut bytes = file(4096, overflows, false);
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        bytes
    }

    fn verify(bytes: &[u8], piece: usize) -> Result<Summary, Fault> {
        let mut verifier = Verifier::default();
        for piece in bytes.chunks(piece) {
            verifier.feed(piece);
        }
        verifier.finish()
    }

    proptest! {
        #[test]
        fn a_whole_snapshot_is_whole_however_it_is_cut(
            overflows in prop::collection::vec(0_u32..3, 0..6),
            piece in 1_usize..10_000,
        ) {
            let bytes = snapshot(&overflows);
            let summary = verify(&bytes, piece).expect("it is whole");
            prop_assert_eq!(summary.database_bytes + 32, bytes.len() as u64);
            prop_assert_eq!(&summary.hash[..], &bytes[bytes.len() - 32..]);
        }

        #[test]
        fn any_change_is_noticed(at in any::<prop::sample::Index>(), piece in 1_usize..10_000) {
            let mut bytes = snapshot(&[0, 1]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert!(verify(&bytes, piece).is_err());
        }

        #[test]
        fn any_cut_is_noticed(at in any::<prop::sample::Index>(), piece in 1_usize..10_000) {
            let bytes = snapshot(&[0, 1]);
            prop_assert!(verify(&bytes[..at.index(bytes.len())], piece).is_err());
        }
    }

    #[test]
    fn a_fault_says_what_is_wrong() {
        let whole = snapshot(&[2]);
        let longer = [&whole[..], b"x"].concat();
        let mut other_hash = whole.clone();
        *other_hash.last_mut().expect("not empty") ^= 1;
        for (bytes, fault) in [
            (&b""[..], Fault::Metas),
            (&[7; 9000][..], Fault::Metas),
            (&whole[..whole.len() - 32], Fault::NoHash),
            (
                &whole[..10_000],
                Fault::Length {
                    found: 9968,
                    expected: 20480,
                },
            ),
            (
                &longer,
                Fault::Length {
                    found: 20481,
                    expected: 20480,
                },
            ),
            (&other_hash, Fault::Hash),
        ] {
            assert_eq!(verify(bytes, 1000).err(), Some(fault));
        }
    }
}
