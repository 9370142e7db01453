//! The objects of etcd-backup (`Ferlab-Ste-Justine/etcd-backup`) in a bucket: `<prefix>-<timestamp>.dump`, an etcd snapshot as it is or
//! sealed chunk by chunk, and then beside it `<prefix>-<timestamp>.key`, the key of that dump sealed to the master key.
//!
//! Bytes in, bytes out, in both directions as the original reads and writes them; what is broken there and works here stands in
//! `docs/sources/etcd-backup.md`.
//!
//! Read in this order: names, what may be deleted, the master key, the key of a dump, the dump.

mod names;
mod period;
mod prune;

mod dump;
mod key_object;
mod master_key;

pub use dump::{CHUNK_BYTES, DumpFault, Opener, STRIDE_BYTES, Sealer, Shape};
pub use key_object::{DumpKey, KEY_OBJECT_BYTES, KeyFault};
pub use master_key::{MasterKey, MasterKeyFault};
pub use names::{Backup, Kind, Names, PrefixFault, Stamp, gather};
pub use period::{PeriodFault, parse_period};
pub use prune::{KEY_SPARED, doomed};

#[cfg(test)]
mod cases;
