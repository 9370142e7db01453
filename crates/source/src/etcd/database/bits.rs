/// One bit for each page of the file.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(pages: u64) -> Self {
        Self(vec![0; pages.div_ceil(64) as usize])
    }

    pub(super) fn has(&self, page: u64) -> bool {
        self.0[(page / 64) as usize] >> (page % 64) & 1 == 1
    }

    /// Whether it was not set before.
    pub(super) fn set(&mut self, page: u64) -> bool {
        let new = !self.has(page);
        self.0[(page / 64) as usize] |= 1 << (page % 64);
        new
    }
}
