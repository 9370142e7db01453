//! What is in etcd's database, read from the file of a snapshot in the order of its bytes, in bounded memory.
//!
//! The file is a tree of pages in no order (`crate::bolt`), with pages between that are free and still hold what they once were. So it
//! is read twice where its contents are wanted. A [`Skeleton`] takes the whole file once: it keeps about 50 bytes of each page, and at the end
//! it knows which pages are in use, by which bucket, whether anything is damaged, the revision, and the hash that `etcdutl snapshot
//! status` prints. [`Records`] takes the same bytes again and hands out every record of the pages in use, in the order of the file.
//!
//! Both take pieces of any size, and neither waits for anything: whoever has the bytes feeds them.
//!
//! etcd has a fixed set of buckets (`etcd:server/storage/schema/bucket.go`). `key` holds every change of every key since the last
//! compaction, by revision; the others hold a few things each by names of their own.

mod bits;
mod checksum;
mod compaction;
mod key_value;
mod keys;
mod lease;
mod revision;

mod damage;
mod look;
mod records;
mod skeleton;
mod tree;

mod attachments;
mod report;

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;

pub use compaction::Compaction;
pub use damage::{Damage, PageFault};
pub use lease::Lease;
pub use records::{Item, Record, Records};
pub use report::{GrantedLease, Member, Prefix, Report, Reporter, User};
pub use revision::Revision;
pub use skeleton::Skeleton;
pub use tree::{Bucket, Database};

/// The bucket of all changes of all keys.
pub const KEY: &[u8] = b"key";
