use std::sync::{Arc, Mutex};

use bytes::Bytes;
use format::PACK_TARGET;

/// Buffers of a pack's size that are used again: asking for such memory anew for each pack would cost a page fault for each
/// page of it, and pieces of it that are freed in another order would never be given back.
#[derive(Clone, Default)]
pub(crate) struct PackBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A pack that is full, until nobody reads it any more.
struct Full {
    bytes: Vec<u8>,
    home: PackBuffers,
}

impl PackBuffers {
    /// An empty buffer with room for a pack.
    pub(crate) fn empty(&self) -> Vec<u8> {
        let known = self.0.lock().expect("nothing panics there").pop();
        known.unwrap_or_else(|| Vec::with_capacity(PACK_TARGET + PACK_TARGET / 16))
    }

    /// The pack's bytes, to be shared; the buffer is used again when the last of those who share them is gone.
    pub(crate) fn share(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Full {
            bytes,
            home: self.clone(),
        })
    }
}

impl AsRef<[u8]> for Full {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.home
            .0
            .lock()
            .expect("nothing panics there")
            .push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_nobody_reads_it() {
        let buffers = PackBuffers::default();
        let mut pack = buffers.empty();
        pack.extend_from_slice(b"sealed");
        let place = pack.as_ptr();
        let shared = buffers.share(pack);
        let reader = shared.clone();
        drop(shared);
        let another = buffers.empty();
        assert_ne!(another.as_ptr(), place, "somebody reads it still");
        assert_eq!(reader, "sealed");
        drop(reader);
        let again = buffers.empty();
        assert!(again.is_empty() && again.as_ptr() == place);
    }
}
