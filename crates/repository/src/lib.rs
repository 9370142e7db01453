//! Where bytes rest: object names, commit rules, log, backup, read, retention, prune, verify.
//!
//! The commit rules of `docs/format/v1.md` on top of an object store. No clock, timer, thread or task is started here:
//! times are handed in, and work for a processor goes to a [`Compute`] that the caller gives, so that a test can decide
//! the order in which everything happens.
//!
//! Read in this order: the store and its names, the repository, a job's log and its view, how a backup is written, how a
//! snapshot is read, how it is copied to another
//! repository, how what nobody needs is deleted, how everything is verified.
// What clippy.toml beside Cargo.toml lists. Tests may.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod error;
mod store;

mod cache;
mod repository;

mod effects;
mod log;
mod recipients;
mod rules;
mod view;

mod base;
mod compute;
mod lane;
mod pack_buffer;
mod packer;

mod append;
mod backup;
mod named;

mod buffers;
mod frames;
mod gathering;
mod keys;
mod snapshot;

mod reader;

mod copy;
mod maintain;
mod prune;
mod retention;
mod rotate;

mod repair;
mod verify;

pub use append::Appended;
pub use backup::{Backup, BackupOptions, Captured, Finished, Outcome, SourceResult};
pub use cache::Cache;
pub use compute::{Compute, Work};
pub use copy::{CopiedSnapshot, Copy, Copying, Fate};
pub use effects::{Revocation, Rotation};
pub use error::Error;
pub use maintain::Maintenance;
pub use prune::{Plan, Prune, PruneOptions, Pruned};
pub use reader::{EntryReader, Select};
pub use recipients::RecipientChange;
pub use repair::{KEPT, Left, Mended, OLDER_VERSION, Repair, Repaired, Unasked};
pub use repository::Repository;
pub use retention::{Candidate, Period, Policy, Reason, Standing, Verdict, judge};
pub use rotate::{Change, Rekeyed, Rotate};
#[doc(hidden)]
pub use rules::Rule;
pub use snapshot::Snapshot;
pub use store::{
    Account, Address, AddressError, AzAccount, AzProof, AzSecret, Beside, Bucket, Conditions,
    Download, GsAccount, Lock, LockMode, Locks, Objects, Patience, Probe, Probed, Remote,
    S3Account, S3Encryption, S3Key, S3Keys, SecretText, Service, Store, StoreFailure,
    StoreFailureKind, Timing, Upload, Wait, create_root,
};
pub use verify::{Damage, Level, Report, Slice, verify_from, verify_job};
pub use view::{Garbage, Remembered, Trust, Valid, View};
