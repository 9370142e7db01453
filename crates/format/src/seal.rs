use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::{JobName, RepositoryId, RunId};

/// A key that seals exactly one message, wiped when dropped.
pub(crate) type SealKey = Zeroizing<[u8; 32]>;

/// Bytes that a sealed message is longer than its plaintext.
pub(crate) const TAG: usize = 16;

/// Where a run's objects lie. Part of everything that is sealed, so that no message opens anywhere else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The repository.
    pub repository: RepositoryId,
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunId,
}

/// What a sealed message is, with its position in the run.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Frame { stream: u32, frame: u64 },
    Manifest,
    Map,
}

/// The message is damaged, was moved, or is not for this key. Deliberately without detail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged, or not what belongs here")]
pub struct OpenError;

impl Place {
    fn additional_data(&self, kind: Kind) -> Vec<u8> {
        let (code, stream, ordinal) = match kind {
            Kind::Frame { stream, frame } => (1, stream, frame),
            Kind::Manifest => (2, 0, 0),
            Kind::Map => (3, 0, 0),
        };
        let mut data = b"strongroom v1".to_vec();
        data.extend_from_slice(&self.repository.0);
        data.extend_from_slice(&self.run.0);
        data.push(code);
        data.extend_from_slice(&u32::to_le_bytes(stream));
        data.extend_from_slice(&u64::to_le_bytes(ordinal));
        data.extend_from_slice(self.job.as_str().as_bytes());
        data
    }
}

/// The nonce is fixed because each key seals one message: docs/format/v1.md, "Keys".
fn nonce() -> XNonce {
    XNonce::default()
}

/// Seals `message` in place; it grows by the tag.
pub(crate) fn seal(key: &SealKey, place: &Place, kind: Kind, message: &mut Vec<u8>) {
    XChaCha20Poly1305::new((&**key).into())
        .encrypt_in_place(&nonce(), &place.additional_data(kind), message)
        .expect("a message of bounded size can be sealed");
}

/// Opens `message` in place, and returns what it said; on failure its bytes are meaningless.
pub(crate) fn open<'a>(
    key: &SealKey,
    place: &Place,
    kind: Kind,
    message: &'a mut [u8],
) -> Result<&'a [u8], OpenError> {
    decrypt(key, &nonce(), &place.additional_data(kind), message)
}

fn decrypt<'a>(
    key: &[u8; 32],
    nonce: &XNonce,
    additional_data: &[u8],
    message: &'a mut [u8],
) -> Result<&'a [u8], OpenError> {
    let (plain, tag) = message.split_last_chunk_mut::<TAG>().ok_or(OpenError)?;
    let tag = Tag::from(*tag);
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce, additional_data, (&mut *plain).into(), &tag)
        .map_err(|_| OpenError)?;
    Ok(plain)
}

/// BLAKE3's key derivation mode.
pub(crate) fn derive(context: &str, material: &[&[u8]]) -> SealKey {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in material {
        hasher.update(part);
    }
    Zeroizing::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            repository: RepositoryId([1; 16]),
            job: "prod".parse().expect("a job name"),
            run: RunId([2; 16]),
        }
    }

    #[test]
    fn a_message_opens_only_where_it_belongs() {
        let key = derive("test", &[b"key"]);
        let kind = Kind::Frame {
            stream: 1,
            frame: 2,
        };
        let mut sealed = b"value".to_vec();
        seal(&key, &place(), kind, &mut sealed);

        let opens = |key: &SealKey, place: &Place, kind, sealed: &[u8]| {
            open(key, place, kind, &mut sealed.to_vec()).map(<[u8]>::to_vec)
        };
        assert_eq!(opens(&key, &place(), kind, &sealed), Ok(b"value".to_vec()));

        let other_key = derive("test", &[b"other"]);
        let elsewhere = [
            Place {
                repository: RepositoryId([9; 16]),
                ..place()
            },
            Place {
                job: "test".parse().expect("a job name"),
                ..place()
            },
            Place {
                run: RunId([9; 16]),
                ..place()
            },
        ];
        let kinds = [
            Kind::Frame {
                stream: 2,
                frame: 2,
            },
            Kind::Frame {
                stream: 1,
                frame: 3,
            },
            Kind::Manifest,
            Kind::Map,
        ];
        assert_eq!(opens(&other_key, &place(), kind, &sealed), Err(OpenError));
        for place in &elsewhere {
            assert_eq!(opens(&key, place, kind, &sealed), Err(OpenError));
        }
        for other in kinds {
            assert_eq!(opens(&key, &place(), other, &sealed), Err(OpenError));
        }
        for cut in 0..sealed.len() {
            assert_eq!(opens(&key, &place(), kind, &sealed[..cut]), Err(OpenError));
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&key, &place(), kind, &flipped), Err(OpenError));
        }
    }

    /// Project Wycheproof's vectors, on the library as it is called above: a ciphertext opens if and only if it is valid.
    #[test]
    fn the_cipher_does_what_wycheproof_says() {
        use wycheproof::TestResult;
        use wycheproof::aead::{TestName, TestSet};

        let set = TestSet::load(TestName::XChaCha20Poly1305).expect("the vectors are there");
        let (mut valid, mut invalid) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = XNonce::try_from(&test.nonce[..]).is_ok_and(|nonce| {
                let key = test.key[..].try_into().expect("32 bytes");
                let mut message = sealed.clone();
                let opened = decrypt(key, &nonce, &test.aad, &mut message);
                if let Ok(plain) = opened {
                    assert_eq!(plain, &test.pt[..], "{}", test.tc_id);
                    let mut message = plain.to_vec();
                    let cipher = XChaCha20Poly1305::new(key.into());
                    let sealed_again = cipher.encrypt_in_place(&nonce, &test.aad, &mut message);
                    assert!(sealed_again.is_ok() && message == sealed, "{}", test.tc_id);
                }
                opened.is_ok()
            });
            assert_eq!(opened, test.result == TestResult::Valid, "{}", test.tc_id);
            *(if opened { &mut valid } else { &mut invalid }) += 1;
        }
        assert!(valid > 100 && invalid > 50, "{valid} valid, {invalid} not");
    }
}
