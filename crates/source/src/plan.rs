use std::collections::BTreeMap;
use std::path::PathBuf;

use archive::Name;

/// How a restore shall be done: what the user said, the same for every source.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Another place than the origin (`--to`): a folder, a file, a data directory.
    pub target: Option<PathBuf>,
    /// What to do with an entry that exists and differs.
    pub conflict: Conflict,
    /// When the restore began, RFC 3339, for the names of what it moves aside.
    pub moment: String,
    /// The source's own settings (`--initial-cluster` and so on), by name; never secret.
    pub settings: BTreeMap<String, String>,
}

/// A setting of a restore, for the program to make a flag of.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in [`RestoreOptions::settings`], without dashes in front.
    pub name: &'static str,
    /// What stands for the value in help; `None`: a switch, whose value is `true` or `false`.
    pub value: Option<&'static str>,
    /// One line.
    pub help: &'static str,
}

/// What to do with an entry that exists and differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// Write nothing at all if any entry is in the way.
    #[default]
    Fail,
    /// Leave what exists, write the rest.
    Skip,
    /// Replace it.
    Overwrite,
}

/// What a restore will do, entry by entry, in the order of the archive. Printed before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One step per entry.
    pub steps: Vec<Step>,
    /// What is there and not in the archive, ascending, and will be deleted because exactly that was asked for.
    pub extra: Vec<Name>,
    /// Of entries that are there and will be written: which version of them was compared, in a number of the system's. A source
    /// that has such numbers writes over no other version.
    pub versions: BTreeMap<Name, u64>,
    /// Things worth knowing that belong to no entry, one sentence each.
    pub notes: Vec<String>,
}

/// What happens to one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The entry.
    pub name: Name,
    /// What happens to it.
    pub action: Action,
}

/// What happens to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is not there; it will be created.
    Create,
    /// It is there and differs; it will be replaced. `what` says in which keys or properties, never in which values.
    Update {
        /// "content", "mode", a record's keys.
        what: Vec<String>,
    },
    /// It is there and equal; nothing is done.
    Same,
    /// It is there, differs, and the policy says to leave it.
    Skip {
        /// As in `Update`.
        what: Vec<String>,
    },
    /// It is there, differs, and the policy says to fail.
    Conflict {
        /// One clause.
        reason: String,
    },
    /// It cannot be restored by this source, here.
    Unmanageable {
        /// One clause.
        reason: String,
    },
}

impl Action {
    /// Whether `write` will be given the entry.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Create | Self::Update { .. })
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries written.
    pub written: u64,
    /// Of [`Plan::extra`], those that were deleted.
    pub deleted: u64,
    /// Entries that the system refused, with the reason. Not empty: exit code 3.
    pub failed: Vec<(Name, String)>,
    /// What the user should know or do next, one sentence each.
    pub notes: Vec<String>,
}
