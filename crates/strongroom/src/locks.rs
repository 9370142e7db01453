//! How objects are locked in a bucket, as commands report it.

use std::fmt;

use repository::Locks;
use serde::Serialize;

use crate::names::counted;

/// How the objects that snapshots need are locked.
#[derive(Serialize)]
pub(crate) struct LocksFound {
    locked: u64,
    /// Those that are not locked, or not any more.
    loose: u64,
    /// When the first of the locked ones is locked no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

/// Objects that a prune deleted and that are locked.
#[derive(Serialize)]
pub(crate) struct LockedGone {
    pub(crate) objects: u64,
    /// When none of them is locked any more.
    pub(crate) until: String,
}

impl LocksFound {
    pub(crate) fn of(locks: Locks) -> Self {
        Self {
            locked: locks.locked,
            loose: locks.loose,
            first: locks.first.map(|first| first.to_string()),
        }
    }
}

impl LockedGone {
    /// `None`: none is locked.
    pub(crate) fn of(locks: Locks) -> Option<Self> {
        let until = locks.last?.to_string();
        let objects = locks.locked;
        Some(Self { objects, until })
    }
}

impl fmt::Display for LocksFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locked = counted(self.locked, "object is locked", "objects are locked");
        f.write_str(&locked)?;
        if let Some(first) = &self.first {
            write!(f, ", until {first} at least")?;
        }
        if self.loose > 0 {
            let loose = counted(self.loose, "other is not", "others are not");
            write!(f, "; {loose}")?;
        }
        Ok(())
    }
}
