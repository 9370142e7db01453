//! Data to fill something large with: no chunk of it comes twice, and a repository needs a quarter of it.

use std::fs::File;
use std::io::Read as _;

/// Never ends.
pub(crate) struct Noise(File);

impl Noise {
    pub(crate) fn new() -> Self {
        Self(File::open("/dev/urandom").expect("Linux has it"))
    }

    /// 4 MiB: so much of noise, and three times as much that can be compressed to nearly nothing.
    pub(crate) fn block(&mut self) -> Vec<u8> {
        let mut block = vec![0; 1 << 20];
        self.0.read_exact(&mut block).expect("it never ends");
        block.reserve(3 << 20);
        for at in 0..(3 << 20) >> 12 {
            let page = block[at * 64..][..64].repeat(64);
            block.extend_from_slice(&page);
        }
        block
    }
}
