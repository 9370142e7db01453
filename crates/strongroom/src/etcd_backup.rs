//! What the commands that know etcd-backup share: its configuration, its bucket, and a dump that is being read.

mod bucket;
mod config;
mod dump;

pub(crate) use bucket::{Bucket, exit_of};
pub(crate) use config::{Config, read_master_key};
pub(crate) use dump::{AnyDump, Dump};
