//! A Bolt file (etcd's database), as it arrives: its meta pages, where it is best cut, and its pages one by one.
//!
//! Bolt writes in pages. A node that does not fit one page continues in the *overflow* pages behind it; together they
//! are a *unit*, and a transaction rewrites whole units. Chunks cut at units are therefore the chunks that come back
//! unchanged in the next snapshot. A unit is a branch or a leaf of a tree of keys, or a list of free pages. Layout:
//! `bbolt:internal/common/{page,meta,inode,bucket}.go`. Integers have the byte order of the machine that wrote the file;
//! the magic number tells which.
//!
//! What etcd keeps in such a file is in `etcd/database`.

mod meta;
mod units;

mod page;
mod walk;

pub use meta::{META_BYTES, Meta};
pub use units::{Unit, Units};

pub(crate) use meta::Order;
pub(crate) use page::{Branch, Header, Kind, Leaf, LeafElement, Misplaced};
pub(crate) use walk::{UNIT_MAX, Walk};

#[cfg(test)]
pub(crate) use units::tests;
