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
    /// Those of which this host may not ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    untold: Option<Untold>,
    /// When the first of the locked ones is locked no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

/// Objects that a prune deleted and that are locked.
#[derive(Serialize)]
pub(crate) struct LockedGone {
    objects: u64,
    /// When none of them is locked any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Those of which this host may not ask whether they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    untold: Option<Untold>,
}

impl LocksFound {
    pub(crate) fn of(locks: Locks) -> Self {
        Self {
            locked: locks.locked,
            loose: locks.loose,
            untold: Untold::of(locks),
            first: locks.first.map(|first| first.to_string()),
        }
    }
}

impl LockedGone {
    /// `None`: none is locked.
    pub(crate) fn of(locks: Locks) -> Option<Self> {
        (locks.locked > 0 || locks.untold > 0).then(|| Self {
            objects: locks.locked,
            until: locks.last.map(|last| last.to_string()),
            untold: Untold::of(locks),
        })
    }
}

impl fmt::Display for LocksFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(untold), 0) = (&self.untold, self.locked + self.loose) {
            return write!(f, "{untold}");
        }
        let locked = counted(self.locked, "object is locked", "objects are locked");
        f.write_str(&locked)?;
        if let Some(first) = &self.first {
            write!(f, ", until {first} at least")?;
        }
        if self.loose > 0 {
            let loose = counted(self.loose, "other is not", "others are not");
            write!(f, "; {loose}")?;
        }
        if let Some(untold) = &self.untold {
            write!(f, "; {untold}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LockedGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(until) = &self.until {
            let objects = counted(
                self.objects,
                "object of these is locked",
                "objects of these are locked",
            );
            write!(
                f,
                "{objects} until {until}: the bucket keeps them as old versions that nobody can remove before, and they take up their \
                 room until its lifecycle rules do"
            )?;
        }
        if let Some(untold) = &self.untold {
            let between = if self.until.is_some() { "; " } else { "" };
            write!(f, "{between}{untold}")?;
        }
        Ok(())
    }
}

/// So many objects of which nothing is known.
#[derive(Serialize)]
#[serde(transparent)]
struct Untold(u64);

impl Untold {
    fn of(locks: Locks) -> Option<Self> {
        (locks.untold > 0).then_some(Self(locks.untold))
    }
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locks = counted(self.0, "lock", "locks");
        write!(
            f,
            "{locks} cannot be looked at from this host, which takes the right s3:GetObjectRetention"
        )
    }
}
