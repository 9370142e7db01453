use std::sync::{Arc, Mutex};

/// So many are kept while nobody uses them.
const SPARE: usize = 8;

/// Memory that is used again and again.
///
/// What is asked for anew comes from the kernel page by page, each cleared and entered into the page tables: for what is decoded and
/// dropped at a gigabyte a second that is as much work as to open and to decode it.
#[derive(Clone)]
pub(crate) struct Buffers(Arc<Home>);

struct Home {
    spare: Mutex<Vec<Vec<u8>>>,
    /// Larger ones are given back to the system: they are rare.
    largest: usize,
}

/// Bytes in memory that goes back to where it came from.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    pub(crate) fn up_to(largest: usize) -> Self {
        Self(Arc::new(Home {
            spare: Mutex::default(),
            largest,
        }))
    }

    /// An empty one.
    pub(crate) fn take(&self) -> Buffer {
        let spare = self.0.spare.lock().expect("nobody panics holding it").pop();
        Buffer {
            bytes: spare.unwrap_or_default(),
            home: self.clone(),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut spare = self.home.0.spare.lock().expect("nobody panics holding it");
        if bytes.capacity() <= self.home.0.largest && spare.len() < SPARE {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_empty() {
        let buffers = Buffers::up_to(100);
        let mut first = buffers.take();
        first.bytes.extend_from_slice(&[7; 80]);
        let address = first.bytes.as_ptr();
        drop(first);
        let again = buffers.take();
        assert_eq!((again.bytes.as_ptr(), again.bytes.len()), (address, 0));
        assert_eq!(buffers.take().bytes.capacity(), 0, "that was the only one");
    }

    #[test]
    fn neither_many_nor_large_ones_are_kept() {
        let buffers = Buffers::up_to(100);
        let mut taken: Vec<Buffer> = (0..SPARE + 3).map(|_| buffers.take()).collect();
        for (number, buffer) in taken.iter_mut().enumerate() {
            buffer
                .bytes
                .reserve_exact(if number == 0 { 101 } else { 50 });
        }
        drop(taken);
        let spare = buffers.0.spare.lock().expect("nobody panics holding it");
        assert_eq!(spare.len(), SPARE);
        assert!(spare.iter().all(|bytes| bytes.capacity() <= 100));
    }
}
