use std::collections::BTreeMap;

use archive::Name;
use async_trait::async_trait;

use crate::{Contents, Entries, Error, ErrorKind, Plan, Report, RestoreOptions, Sink};

/// A system that holds secrets: the joint where strangers' systems plug in.
///
/// Four verbs and nothing about storage. Dropping a future cancels it; a source leaves nothing half-written that its
/// documentation does not name.
#[async_trait]
pub trait Source: Send + Sync {
    /// The kind as the configuration names it: `files`, `command`, `etcd`.
    fn kind(&self) -> &'static str;

    /// Pours every entry into `sink`, ascending by name, so that an unchanged system gives identical bytes.
    ///
    /// Streams: holds neither a blob in memory nor plaintext in a file. An entry that could not be read whole is either
    /// an error, or left out and listed in [`Capture::incomplete`]; it is never cut short silently.
    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error>;

    /// Compares captured `entries` with what is live (or with `options.target`). Changes nothing.
    ///
    /// The plan has one step per entry, in the order of the entries.
    ///
    /// Unsupported, where a source can only be read.
    async fn plan(&self, _: &mut dyn Entries, _: &RestoreOptions) -> Result<Plan, Error> {
        Err(read_only(self.kind()))
    }

    /// Carries out exactly the steps of `plan` that write; `contents` yields exactly their entries, in order.
    ///
    /// What `contents` yields has been authenticated. An entry that the system refuses is counted in the report and the
    /// rest goes on; an error means that nothing further was written.
    async fn write(
        &self,
        _plan: &Plan,
        _contents: &mut dyn Contents,
        _options: &RestoreOptions,
    ) -> Result<Report, Error> {
        Err(read_only(self.kind()))
    }

    /// Judges a captured archive offline: is it whole, does it make sense, would a restore work.
    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error>;
}

fn read_only(kind: &str) -> Error {
    let message = format!("this source of the kind {kind} can be read and not written");
    Error::new(ErrorKind::Unsupported, message)
}

/// What a source says about a capture beside its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    /// Facts of the system at that moment (an etcd revision, a server's version). Not secret, but sealed all the same.
    pub facts: BTreeMap<String, String>,
    /// Entries that could not be read whole and were left out. Not empty: the snapshot is partial, or the job fails.
    pub incomplete: Vec<Incomplete>,
    /// Sentences that whoever takes backups should read, about what was captured all the same.
    pub notes: Vec<String>,
}

/// An entry that is missing from a capture, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// The entry.
    pub name: Name,
    /// One clause: "changed while it was read", "permission denied".
    pub reason: String,
}

/// What `check` found. No findings of severity `bad` means that a restore is expected to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether a restore would fail or lose something.
    pub bad: bool,
    /// The entry it is about.
    pub name: Name,
    /// One sentence.
    pub message: String,
}
