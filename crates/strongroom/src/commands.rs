//! The commands. Each is a function from typed arguments to a value that `output` renders as text or JSON, so that the
//! command line and the daemon call the same ones.

pub(crate) mod combine;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod keygen;
pub(crate) mod man;
pub(crate) mod policy;

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod verify;

pub(crate) mod diff;
pub(crate) mod find;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod show;
pub(crate) mod snapshots;

pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod restore;

pub(crate) mod etcd_backup;

pub(crate) mod copy;
pub(crate) mod forget;
pub(crate) mod pin;
pub(crate) mod prune;
pub(crate) mod repair;

pub(crate) mod keys;
pub(crate) mod rotate;
pub(crate) mod writer;
