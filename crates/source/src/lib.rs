//! Where secrets live: one folder or file per system.
//!
//! A [`Source`] reads its system into an archive, plans a restore against what is live, carries that plan out, and
//! judges a captured archive offline. Nothing here knows how or where archives are stored.
//!
//! Read in this order: the trait, what a source pours into, what a restore is, then the systems.

mod error;
mod source;

mod contents;
mod plan;
mod sink;

pub use contents::{Contents, Entries};
pub use error::{Error, ErrorKind};
pub use plan::{Action, Conflict, Plan, Report, RestoreOptions, Setting, Step};
pub use sink::{Batch, Sink, SinkClosed};
pub use source::{Capture, Finding, Incomplete, Source};

mod group;
mod patience;
mod said;

pub mod bolt;
pub mod etcd;
pub mod kubernetes;

pub mod command;
pub mod files;

#[cfg(any(test, feature = "suite"))]
pub mod memory;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
