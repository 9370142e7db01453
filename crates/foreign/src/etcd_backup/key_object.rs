use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::MasterKey;

/// Of a nonce.
pub(super) const NONCE_BYTES: usize = 24;
/// Of what authenticates a message.
pub(super) const TAG_BYTES: usize = 16;

/// The bytes of every key object: a nonce, the sealed key, its tag.
pub const KEY_OBJECT_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;

/// The key of one dump. No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub struct DumpKey(Zeroizing<[u8; 32]>);

/// Why bytes are no key object, or not ours: a clause about "it".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Cut, or something else altogether.
    #[error("it has {0} bytes, where a key object has {KEY_OBJECT_BYTES}")]
    Length(usize),
    /// Which of the two cannot be told.
    #[error(
        "the master key does not open it: it is another cluster's or an older one, or the object is damaged"
    )]
    Closed,
}

impl DumpKey {
    /// A fresh one, for one dump.
    pub fn random() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        fill(&mut *key);
        Self(key)
    }

    /// The key object, under a fresh nonce, which begins with the time, as the original's do.
    pub fn seal(&self, master: &MasterKey, unix_nanoseconds: u64) -> [u8; KEY_OBJECT_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&unix_nanoseconds.to_be_bytes());
        fill(&mut nonce[8..]);
        self.seal_with(master, nonce)
    }

    pub(super) fn seal_with(
        &self,
        master: &MasterKey,
        nonce: [u8; NONCE_BYTES],
    ) -> [u8; KEY_OBJECT_BYTES] {
        let mut object = [0; KEY_OBJECT_BYTES];
        object[..NONCE_BYTES].copy_from_slice(&nonce);
        let sealed = &mut object[NONCE_BYTES..NONCE_BYTES + 32];
        sealed.copy_from_slice(&*self.0);
        let tag = seal(&master.0, &nonce, sealed);
        object[NONCE_BYTES + 32..].copy_from_slice(&tag);
        object
    }

    /// Opens a key object.
    pub fn open(object: &[u8], master: &MasterKey) -> Result<Self, KeyFault> {
        let object: &[u8; KEY_OBJECT_BYTES] = object
            .try_into()
            .map_err(|_| KeyFault::Length(object.len()))?;
        let mut sealed = Zeroizing::new(*object);
        let opened = open(&master.0, &mut *sealed).ok_or(KeyFault::Closed)?;
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(opened);
        Ok(Self(key))
    }

    /// Whether both open the same dump.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

pub(super) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has randomness");
}

/// Seals in place, and returns what authenticates it.
pub(super) fn seal(key: &[u8; 32], nonce: &[u8; NONCE_BYTES], message: &mut [u8]) -> Tag {
    XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&XNonce::from(*nonce), b"", message.into())
        .expect("a message of bounded size can be sealed")
}

/// Opens a nonce, a message and its tag in place; `None`: it is damaged, or not for this key. Then its bytes are meaningless.
pub(super) fn open<'a>(key: &[u8; 32], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
    let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_BYTES>()?;
    let (message, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            b"",
            (&mut *message).into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_sealed_key_opens_under_its_master_key_only() {
        let key = DumpKey::random();
        let object = key.seal(&master(1), 0x0102_0304_0506_0708);
        assert_eq!(object[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(DumpKey::open(&object, &master(1)).is_ok_and(|opened| opened.is_same(&key)));
        assert_eq!(
            DumpKey::open(&object, &master(2)).err(),
            Some(KeyFault::Closed)
        );
        assert_ne!(object, key.seal(&master(1), 0x0102_0304_0506_0708));
        assert!(!key.is_same(&DumpKey::random()));
    }

    #[test]
    fn any_change_and_any_cut_is_noticed() {
        let object = DumpKey::random().seal(&master(1), 0);
        for bit in 0..object.len() * 8 {
            let mut flipped = object;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                DumpKey::open(&flipped, &master(1)).err(),
                Some(KeyFault::Closed)
            );
        }
        for length in 0..object.len() {
            let fault = DumpKey::open(&object[..length], &master(1)).err();
            assert_eq!(fault, Some(KeyFault::Length(length)));
        }
        let longer = [&object[..], b"x"].concat();
        assert_eq!(
            DumpKey::open(&longer, &master(1)).err(),
            Some(KeyFault::Length(73))
        );
    }
}
