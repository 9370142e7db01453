use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, write};

/// From this length on a file is written past the cache.
const LARGE: u64 = 8 << 20;
/// So many bytes are written past the cache at once: the disk is told where they go, and waited for, each time.
const BLOCK: usize = 1 << 20;
/// What addresses, offsets and lengths past the cache must be multiples of: the largest sector there is, and a page.
const ALIGNMENT: usize = 4096;

/// A file that is being written, from its start.
///
/// A large one is written past the page cache where the filesystem can do that. Its bytes must be on disk before it gets its name, so
/// that nothing is gained by copying them into the cache first: that costs more than to decode them, and puts out what others
/// keep there.
pub(super) struct Output {
    file: OwnedFd,
    block: Option<Block>,
}

/// Bytes that wait until they are worth a write past the cache.
struct Block {
    memory: Box<[u8]>,
    /// Where in it the first address is that a disk can read from.
    start: usize,
    filled: usize,
}

impl Output {
    /// `length` is what the file is going to have, as far as that is known: nothing but time depends on it.
    pub(super) fn new(file: OwnedFd, length: u64) -> Self {
        let large = length >= LARGE && past_the_cache(file.as_fd(), true);
        Self {
            block: large.then(Block::new),
            file,
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while let Some(block) = self.block.as_mut().filter(|_| !bytes.is_empty()) {
            bytes = block.take(bytes);
            if block.filled == BLOCK && !block.write_past_the_cache(self.file.as_fd())? {
                self.stop()?;
            }
        }
        write_all(self.file.as_fd(), bytes)
    }

    /// On return all that was written is the kernel's; it may not be on disk.
    pub(super) fn finish(mut self) -> Result<OwnedFd, Errno> {
        self.stop()?;
        Ok(self.file)
    }

    /// What waits, and all that comes, goes through the cache.
    fn stop(&mut self) -> Result<(), Errno> {
        let Some(block) = self.block.take() else {
            return Ok(());
        };
        past_the_cache(self.file.as_fd(), false);
        write_all(self.file.as_fd(), block.bytes())
    }
}

impl Block {
    fn new() -> Self {
        let memory = vec![0; BLOCK + ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            filled: 0,
        }
    }

    /// Takes as many bytes as there is room for, and returns the others.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
        let from = self.start + self.filled;
        self.memory[from..from + now.len()].copy_from_slice(now);
        self.filled += now.len();
        later
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.filled]
    }

    /// False if it cannot be done any more: then what was not written is what waits.
    fn write_past_the_cache(&mut self, file: BorrowedFd<'_>) -> Result<bool, Errno> {
        while self.filled > 0 {
            match write(file, self.bytes()) {
                // Some of it at the end of the space; the rest lies at no address that a disk can read from.
                Ok(written) if written < self.filled => {
                    self.memory
                        .copy_within(self.start + written..self.start + self.filled, self.start);
                    self.filled -= written;
                    return Ok(false);
                }
                Ok(_) => self.filled = 0,
                Err(Errno::INTR) => {}
                // Sectors larger than any that we know, or a filesystem that only said that it can.
                Err(Errno::INVAL) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
        Ok(true)
    }
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether the file's writes now go where `past` says.
#[cfg(target_os = "linux")]
fn past_the_cache(file: BorrowedFd<'_>, past: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    fcntl_getfl(file).is_ok_and(|mut flags| {
        flags.set(OFlags::DIRECT, past);
        fcntl_setfl(file, flags).is_ok()
    })
}

#[cfg(not(target_os = "linux"))]
fn past_the_cache(_: BorrowedFd<'_>, past: bool) -> bool {
    !past
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    /// Written in pieces of these lengths, over and over, until there are `length` bytes, of which `promised` were promised.
    fn written(folder: &std::path::Path, length: usize, promised: u64, pieces: &[usize]) -> bool {
        let bytes: Vec<u8> = (0..length).map(|at| (at / 251 + at % 251) as u8).collect();
        let path = folder.join("file");
        let file = File::create(&path).expect("a file");
        let mut output = Output::new(file.into(), promised);
        let past = output.block.is_some();
        let mut rest = &bytes[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*piece));
            output.write(now).expect("there is room");
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        output.finish().expect("there is room");
        assert!(
            fs::read(&path).expect("it is there") == bytes,
            "{length} {promised}"
        );
        past
    }

    #[test]
    fn what_is_written_stands_in_the_file() {
        const MANY: usize = LARGE as usize + 2 * BLOCK;
        let folder = tempfile::tempdir().expect("a folder");
        let memory = tempfile::tempdir_in("/dev/shm").ok();
        let folders = [Some(&folder), memory.as_ref()];
        for folder in folders.into_iter().flatten() {
            for length in [0, 1, BLOCK, MANY - 1, MANY, MANY + ALIGNMENT, MANY + 4097] {
                for pieces in [&[1 << 20][..], &[5_000, 1_300_000, 1], &[3 * BLOCK + 1]] {
                    written(folder.path(), length, length as u64, pieces);
                }
            }
            // A length that was not kept.
            for promised in [0, LARGE, u64::MAX] {
                written(folder.path(), 12_345, promised, &[1_000]);
                let past = written(folder.path(), MANY + 1, promised, &[70_000]);
                assert!(
                    promised >= LARGE || !past,
                    "small ones go through the cache"
                );
            }
        }
    }

    #[test]
    fn what_the_system_refuses_is_said() {
        let file = File::open("/dev/null").expect("it is there");
        let mut output = Output::new(file.into(), LARGE);
        let refused = output.write(&vec![0; 2 * BLOCK]);
        assert_eq!(refused, Err(Errno::BADF), "it is open for reading alone");
    }
}
