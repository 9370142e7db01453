//! Bolt files for tests: trees of any shape, their pages in any order, with free pages between that still hold what they were.

use std::collections::BTreeMap;

use crate::bolt::tests::put_metas;

/// How a file is to be.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is tried with all of the others"
)]
pub(crate) struct Shape {
    pub(crate) page_size: u32,
    pub(crate) big_endian: bool,
    /// Elements of a leaf and children of a branch, at most; 2 or more.
    pub(crate) leaf: usize,
    pub(crate) branch: usize,
    /// Where pages come to lie; and, if any are to be free, which.
    pub(crate) seed: u64,
    pub(crate) free: bool,
    pub(crate) free_list: bool,
    /// Whether buckets that fit a quarter of a page are stored in the table, as Bolt does.
    pub(crate) inline: bool,
}

/// The buckets of a file with their keys and values.
pub(crate) type Buckets = BTreeMap<Vec<u8>, Pairs>;
pub(crate) type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Flags, key and value.
type Element = (u32, Vec<u8>, Vec<u8>);

enum Node {
    Leaf(Vec<Element>),
    /// The least key and the node.
    Branch(Vec<(Vec<u8>, usize)>),
}

struct Builder<'a> {
    shape: &'a Shape,
    random: u64,
    nodes: Vec<Node>,
    file: Vec<u8>,
    free: Vec<u64>,
}

/// A database with these buckets.
pub(crate) fn build(shape: &Shape, buckets: &Buckets) -> Vec<u8> {
    let mut builder = Builder {
        shape,
        random: shape.seed | 1,
        nodes: Vec::new(),
        file: vec![0; 2 * shape.page_size as usize],
        free: Vec::new(),
    };
    // A bucket's root is known only when it has its place, so the table is made last.
    let mut table = Vec::new();
    for (name, pairs) in buckets {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (0, key.clone(), value.clone()))
            .collect();
        let small = Node::Leaf(pairs.clone()).bytes(shape, 0, &[]);
        let value = if shape.inline && small.len() <= shape.page_size as usize / 4 {
            [&[0; 16][..], &small].concat()
        } else {
            let root = builder.tree(&pairs);
            let root = builder.place(root);
            [order(shape.big_endian, &root.to_le_bytes()), vec![0; 8]].concat()
        };
        table.push((1, name.clone(), value));
    }
    let root = builder.tree(&table);
    let root = builder.place(root);
    let list = shape.free_list.then(|| builder.list_free());
    let pages = (builder.file.len() / shape.page_size as usize) as u64;
    let metas = [root, list.unwrap_or(u64::MAX), pages];
    put_metas(&mut builder.file, shape.page_size, shape.big_endian, metas);
    builder.file
}

/// A number's little-endian bytes in the order of the file.
fn order(big_endian: bool, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if big_endian {
        bytes.reverse();
    }
    bytes
}

impl Builder<'_> {
    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as usize % below.max(1)
    }

    /// Adds a tree of these elements, which ascend, and returns its root.
    fn tree(&mut self, elements: &[Element]) -> usize {
        let mut level: Vec<(Vec<u8>, usize)> = Vec::new();
        for some in elements.chunks(self.shape.leaf) {
            level.push((some[0].1.clone(), self.nodes.len()));
            self.nodes.push(Node::Leaf(some.to_vec()));
        }
        if level.is_empty() {
            self.nodes.push(Node::Leaf(Vec::new()));
            return self.nodes.len() - 1;
        }
        while level.len() > 1 {
            let mut above = Vec::new();
            for some in level.chunks(self.shape.branch) {
                above.push((some[0].0.clone(), self.nodes.len()));
                self.nodes.push(Node::Branch(some.to_vec()));
            }
            level = above;
        }
        level[0].1
    }

    /// Gives every node a place, in any order, and the page of `root`.
    fn place(&mut self, root: usize) -> u64 {
        let mut waiting: Vec<usize> = (0..self.nodes.len()).collect();
        let mut places = vec![0; self.nodes.len()];
        let mut end = self.pages();
        let mut gaps = Vec::new();
        while !waiting.is_empty() {
            for _ in 0..self.random(if self.shape.free { 3 } else { 1 }) {
                gaps.push(end);
                end += 1;
            }
            let next = self.random(waiting.len());
            let node = waiting.swap_remove(next);
            places[node] = end;
            end += self.nodes[node].pages(self.shape.page_size);
        }
        self.file
            .resize(end as usize * self.shape.page_size as usize, 0);
        for (node, place) in std::mem::take(&mut self.nodes).iter().zip(&places) {
            let bytes = node.bytes(self.shape, *place, &places);
            self.write(*place, &bytes);
        }
        for gap in gaps {
            self.leave(gap, end);
        }
        places[root]
    }

    fn pages(&self) -> u64 {
        self.file.len() as u64 / u64::from(self.shape.page_size)
    }

    fn write(&mut self, page: u64, bytes: &[u8]) {
        let at = page as usize * self.shape.page_size as usize;
        self.file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes `page` a free one that was something else before, perhaps with overflow pages that others have now.
    fn leave(&mut self, page: u64, end: u64) {
        self.free.push(page);
        let old = match self.random(4) {
            0 => return,
            1 => Node::Branch(vec![(b"a".to_vec(), 0), (b"b".to_vec(), 0)]),
            2 => Node::Leaf(vec![(1, b"old".to_vec(), vec![9; 16])]),
            _ => Node::Leaf(vec![(0, b"old".to_vec(), b"value".to_vec())]),
        };
        let mut bytes = old.bytes(self.shape, page, &[2]);
        if self.random(2) == 0 {
            let overflow = self.random((end - page).min(9) as usize) as u32;
            bytes[12..16].copy_from_slice(&order(self.shape.big_endian, &overflow.to_le_bytes()));
        }
        self.write(page, &bytes);
    }

    fn list_free(&mut self) -> u64 {
        let page = self.pages();
        let big = self.shape.big_endian;
        let mut bytes = order(big, &page.to_le_bytes());
        bytes.extend(order(big, &0x10_u16.to_le_bytes()));
        bytes.extend(order(big, &(self.free.len() as u16).to_le_bytes()));
        let length = 16 + 8 * self.free.len() as u32;
        let overflow = length / self.shape.page_size;
        bytes.extend(order(big, &overflow.to_le_bytes()));
        for free in &self.free {
            bytes.extend(order(big, &free.to_le_bytes()));
        }
        let end = page + u64::from(overflow) + 1;
        self.file
            .resize(end as usize * self.shape.page_size as usize, 0);
        self.write(page, &bytes);
        page
    }
}

impl Node {
    /// Each element's description without its position, and its data.
    fn elements(&self, big: bool, places: &[u64]) -> Vec<([Vec<u8>; 2], Vec<u8>)> {
        let number = |number: usize| order(big, &(number as u32).to_le_bytes());
        match self {
            Self::Leaf(elements) => elements
                .iter()
                .map(|(flags, key, value)| {
                    let lengths = [number(key.len()), number(value.len())].concat();
                    let flags = number(*flags as usize);
                    ([flags, lengths], [&key[..], value].concat())
                })
                .collect(),
            Self::Branch(children) => children
                .iter()
                .map(|(key, child)| {
                    let child = places.get(*child).copied().unwrap_or(2);
                    let rest = [number(key.len()), order(big, &child.to_le_bytes())].concat();
                    ([Vec::new(), rest], key.clone())
                })
                .collect(),
        }
    }

    fn pages(&self, page_size: u32) -> u64 {
        let elements = self.elements(false, &[]);
        let data: usize = elements.iter().map(|(_, data)| data.len()).sum();
        ((16 + 16 * elements.len() + data) as u64).div_ceil(page_size.into())
    }

    /// The page at `place`, without what fills it up; children are at `places`.
    fn bytes(&self, shape: &Shape, place: u64, places: &[u64]) -> Vec<u8> {
        let big = shape.big_endian;
        let flags: u16 = match self {
            Self::Leaf(_) => 2,
            Self::Branch(_) => 1,
        };
        let elements = self.elements(big, places);
        let mut bytes = order(big, &place.to_le_bytes());
        bytes.extend(order(big, &flags.to_le_bytes()));
        bytes.extend(order(big, &(elements.len() as u16).to_le_bytes()));
        let overflow = self.pages(shape.page_size) as u32 - 1;
        bytes.extend(order(big, &overflow.to_le_bytes()));
        let mut data_at = 16 + 16 * elements.len();
        for ([before, behind], data) in &elements {
            let position = (data_at - bytes.len()) as u32;
            bytes.extend_from_slice(before);
            bytes.extend(order(big, &position.to_le_bytes()));
            bytes.extend_from_slice(behind);
            data_at += data.len();
        }
        for (_, data) in elements {
            bytes.extend(data);
        }
        bytes
    }
}
