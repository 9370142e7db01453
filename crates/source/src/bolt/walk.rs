use super::meta::{HEADER_BYTES, META_BYTES, Meta};
use super::page::Header;

/// A longer unit is not followed: so much is held of it. A leaf has two values at least, each of at most what etcd lets a request have.
pub(crate) const UNIT_MAX: u64 = 64 * 1024 * 1024;
/// What is held of what nobody asks for any more, rather than moving the rest each time.
const SLACK: usize = 128 * 1024;

/// Shows the pages of a Bolt file that arrives in pieces, one after the other, to whoever asks.
///
/// Holds the unit that it is at, and the last piece. Pages of which the header does not fit their place are passed over.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    metas: [Option<Meta>; 2],
    meta: Option<Meta>,
    /// Whether a meta page was seen that is not valid: then nothing is shown.
    lost: bool,
    /// The page that is shown next.
    next: u64,
    /// Bytes from `start` of the file.
    held: Vec<u8>,
    start: u64,
    fed: u64,
}

impl Walk {
    /// Takes the next bytes of the file.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.fed += bytes.len() as u64;
        if self.lost {
            return;
        }
        self.pass();
        let missing = (self.start.saturating_sub(self.fed - bytes.len() as u64))
            .min(bytes.len() as u64) as usize;
        self.held.extend_from_slice(&bytes[missing..]);
        while self.meta.is_none() && !self.lost && self.read_meta() {}
    }

    /// What the meta pages say, when both have been seen, are valid and agree.
    pub(crate) fn meta(&self) -> Option<Meta> {
        self.meta
    }

    /// How many bytes it was given.
    pub(crate) fn fed(&self) -> u64 {
        self.fed
    }

    /// The next page that is where its header says, and inside the file. `None`: there is none, or it has not arrived.
    pub(crate) fn page(&mut self) -> Option<Header> {
        let meta = self.meta?;
        let page_size = u64::from(meta.page_size);
        while self.next < meta.pages {
            let header = self.bytes(self.next * page_size, HEADER_BYTES)?;
            let header = Header::parse(header, meta.order).filter(|header| {
                let length = header.length(meta.page_size);
                let inside = header.id.saturating_add(header.overflow.into()) < meta.pages;
                header.id == self.next && inside && length <= UNIT_MAX
            });
            if let Some(header) = header {
                self.make_room(&header, page_size);
                return Some(header);
            }
            self.next += 1;
        }
        None
    }

    /// Room for all of a page's unit at once: memory that grows by doubling takes three times as much while it grows.
    fn make_room(&mut self, header: &Header, page_size: u64) {
        let before = (self.next * page_size - self.start) as usize;
        let wanted = before + header.length(page_size as u32) as usize + SLACK;
        if wanted > self.held.capacity() {
            self.held.reserve_exact(wanted - self.held.len());
        }
    }

    /// The whole of a page that was shown, with its overflow pages, once it has arrived.
    pub(crate) fn unit(&self, header: &Header) -> Option<&[u8]> {
        let page_size = self.meta?.page_size;
        let length = usize::try_from(header.length(page_size)).ok()?;
        self.bytes(header.id * u64::from(page_size), length)
    }

    /// The next page to show is `page`, which is not before any that was shown.
    pub(crate) fn go_on(&mut self, page: u64) {
        self.next = self.next.max(page);
    }

    fn bytes(&self, start: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(start.checked_sub(self.start)?).ok()?;
        self.held.get(at..at.checked_add(length)?)
    }

    /// Lets go of what lies before the next page.
    fn pass(&mut self) {
        let Some(meta) = self.meta else { return };
        let next = self.next.saturating_mul(meta.page_size.into());
        let passed = next.saturating_sub(self.start);
        match usize::try_from(passed) {
            Ok(passed) if passed < self.held.len() => {
                if passed > SLACK || passed * 2 > self.held.len() {
                    self.held.drain(..passed);
                    self.start = next;
                }
            }
            _ => {
                self.held.clear();
                self.start = next;
            }
        }
    }

    /// Reads the next meta page, if it has arrived.
    fn read_meta(&mut self) -> bool {
        let (number, at) = match self.metas[0] {
            None => (0, 0),
            Some(first) => (1, first.page_size as usize),
        };
        let Some(page) = self.held.get(at..at + META_BYTES) else {
            return false;
        };
        self.metas[number] = Meta::parse(number as u64, page);
        self.lost = self.metas[number].is_none();
        if number == 1 {
            self.meta = Meta::in_force(self.metas);
            self.lost = self.meta.is_none();
            self.next = 2;
        }
        if self.lost {
            self.held = Vec::new();
        }
        true
    }
}
