//! What a backup is made of: entries in a stream.
//!
//! A source pours [`Item`]s into a [`Writer`]; out come two byte streams, the *content* (every value and file, end to
//! end) and the *catalog* (one record per entry: its name, attributes, length and digest). [`CatalogReader`] turns the
//! catalog back into [`Entry`]s. Everything here is a plain function of bytes: no I/O, no async, no cryptography beyond
//! the digests. The bytes are fixed in `docs/format/v1.md`, section "The archive".
//!
//! Read in this order: what an entry is, what a source says, what is written, how it is read back.

mod digest;
mod entry;
mod item;
mod name;
mod varint;

mod catalog;
mod writer;

pub use catalog::{CatalogError, CatalogReader, encode_entry};
pub use digest::{Digest, DigestParseError};
pub use entry::{Attributes, Body, Entry, Field};
pub use item::{Content, FieldHeader, Header, Item};
pub use name::Name;
pub use varint::{get_varint, put_varint};
pub use writer::{Streams, Writer, WriterError};

/// The longest entry name, in bytes. Longer than `PATH_MAX` of any system we capture; shorter than what would hurt.
pub const NAME_MAX: usize = 64 * 1024;

/// The longest catalog record, in bytes: name, attributes and keys of one entry.
pub const RECORD_MAX: usize = 4 * 1024 * 1024;
