use std::fmt;

/// How long, and how firmly, an object is kept from being deleted or overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// How firmly.
    pub mode: LockMode,
    /// How long from when it is set.
    pub days: u64,
}

/// Who may break a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody, not even the account's owner.
    Compliance,
    /// Whoever has a right of its own for that.
    Governance,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            LockMode::Compliance => "compliance",
            LockMode::Governance => "governance",
        };
        write!(f, "{mode}, {}d", self.days)
    }
}
