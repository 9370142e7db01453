use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;

use super::failure::{StoreFailure, StoreFailureKind};
use super::s3::Retained;
use super::{Name, Store};
use crate::Error;

/// Objects that are asked about at the same time.
const CONCURRENT: usize = 16;

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

/// The lock of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) mode: LockMode,
    pub(crate) until: Timestamp,
}

/// What became of an object that was to be kept locked.
pub(crate) struct KeptLock {
    pub(crate) name: Name,
    /// Its lock now, or why it has none that is long enough.
    pub(crate) held: Result<Held, StoreFailure>,
}

/// How the objects of something are locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Objects that are locked now.
    pub locked: u64,
    /// Objects that are not, or not any more.
    pub loose: u64,
    /// Objects whose locks cannot be looked at, by this host or at all.
    pub untold: u64,
    /// When the first of those that are locked is locked no more.
    pub first: Option<Timestamp>,
    /// When none of them is.
    pub last: Option<Timestamp>,
}

impl Lock {
    fn period(self) -> SignedDuration {
        let hours = self.days.saturating_mul(24);
        SignedDuration::from_hours(i64::try_from(hours).unwrap_or(i64::MAX / 3600))
    }

    /// What an object is locked with at `now`.
    pub(super) fn from(self, now: Timestamp) -> Held {
        let until = now.checked_add(self.period()).unwrap_or(Timestamp::MAX);
        let until = until.round(jiff::Unit::Second).unwrap_or(Timestamp::MAX);
        Held {
            mode: self.mode,
            until,
        }
    }

    /// What an object that is locked like this is to be locked with, if less than half of the time is left.
    fn renewed(self, held: Option<Held>, now: Timestamp) -> Option<Held> {
        let held = held.filter(|held| held.until > now);
        let left = held.map_or(SignedDuration::ZERO, |held| held.until.duration_since(now));
        (left < self.period() / 2).then(|| Held {
            // A lock is prolonged as it is: to change how firm it is takes a right of its own.
            mode: held.map_or(self.mode, |held| held.mode),
            ..self.from(now)
        })
    }
}

impl Locks {
    fn add(&mut self, held: Option<Held>, now: Timestamp) {
        match held.filter(|held| held.until > now) {
            None => self.loose += 1,
            Some(Held { until, .. }) => {
                self.locked += 1;
                self.first = Some(self.first.map_or(until, |first| first.min(until)));
                self.last = self.last.max(Some(until));
            }
        }
    }
}

impl Store {
    /// What everything that is stored is locked with, if that is asked for.
    pub fn lock(&self) -> Option<Lock> {
        self.s3.as_ref()?.lock
    }

    /// Sees to it that these objects are locked for half of the lock's time at least, as far as the store lets us: what became of each.
    /// An error is that it does not answer. `None`: no lock is asked for.
    pub(crate) async fn keep_locked(
        &self,
        names: Vec<Name>,
    ) -> Result<Option<Vec<KeptLock>>, Error> {
        let Some((s3, lock)) = self.s3.as_ref().zip(self.lock()) else {
            return Ok(None);
        };
        let keeping = stream::iter(names).map(async |name| {
            let keep = async {
                let held = match s3.retained(&name.0).await? {
                    Retained::Gone => return Err(gone()),
                    retained => retained.held(),
                };
                match lock.renewed(held, s3.now()) {
                    Some(held) if s3.hold(&name.0, held).await? => Ok(held),
                    Some(_) => Err(gone()),
                    // More than half is left, so that it is locked.
                    None => Ok(held.expect("what is not locked is renewed")),
                }
            };
            match keep.await {
                Err(failure) if failure.kind() == StoreFailureKind::Unreachable => {
                    Err(self.cannot_lock(&name, failure))
                }
                held => Ok(KeptLock { name, held }),
            }
        });
        let keeping = keeping.buffer_unordered(CONCURRENT);
        keeping.try_collect().await.map(Some)
    }

    /// The same, some time later, for objects that were kept locked then: those of which less than half is left now are locked anew.
    pub(crate) async fn keep_on(&self, kept: Vec<(Name, Held)>) -> Result<(), Error> {
        let Some((s3, lock)) = self.s3.as_ref().zip(self.lock()) else {
            return Ok(());
        };
        let now = s3.now();
        let due = kept.into_iter();
        let due = due.filter_map(|(name, held)| Some((name, lock.renewed(Some(held), now)?)));
        let holding = stream::iter(due).map(async |(name, held)| {
            // One that is gone by then was there when the backup began: whoever needs it finds that out.
            let done = s3.hold(&name.0, held).await;
            done.map_err(|source| self.cannot_lock(&name, source))
        });
        let mut holding = holding.buffer_unordered(CONCURRENT);
        while let Some(held) = holding.next().await {
            held?;
        }
        Ok(())
    }

    fn cannot_lock(&self, name: &Name, source: StoreFailure) -> Error {
        Error::Store {
            operation: "lock",
            object: self.named(name),
            source,
        }
    }

    /// How these objects are locked. An error is that the store does not answer. `None`: no lock is asked for.
    pub(crate) async fn locks_of(&self, names: Vec<Path>) -> Result<Option<Locks>, Error> {
        let Some(s3) = self.s3.as_ref().filter(|_| self.lock().is_some()) else {
            return Ok(None);
        };
        let asking = stream::iter(names).map(async |path| {
            let retained = s3.retained(&path).await;
            (self.named(&Name(path)), retained)
        });
        let mut asking = asking.buffer_unordered(CONCURRENT);
        let mut locks = Locks::default();
        while let Some((object, retained)) = asking.next().await {
            match retained {
                Ok(retained) => locks.add(retained.held(), s3.now()),
                Err(source) if source.kind() == StoreFailureKind::Unreachable => {
                    return Err(Error::Store {
                        operation: "read the lock of",
                        object,
                        source,
                    });
                }
                Err(failure) => {
                    if locks.untold == 0 {
                        tracing::warn!(%object, %failure, "its lock cannot be looked at");
                    }
                    locks.untold += 1;
                }
            }
        }
        Ok(Some(locks))
    }
}

/// An object that snapshots need, and that the store does not show.
fn gone() -> StoreFailure {
    StoreFailure::new(
        StoreFailureKind::Other,
        "it is not there, or was hidden by a delete",
    )
}

impl LockMode {
    /// As S3 writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        let modes = [Self::Compliance, Self::Governance];
        modes.into_iter().find(|mode| mode.name() == name)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_prolonged_when_less_than_half_is_left() {
        let lock = Lock {
            mode: LockMode::Compliance,
            days: 30,
        };
        let start: Timestamp = "2026-11-01T00:00:00.4Z".parse().expect("a time");
        let later = |days: i64| start + SignedDuration::from_hours(24 * days);
        let held = lock.from(start);
        assert_eq!(held.until.to_string(), "2026-12-01T00:00:00Z");
        for days in [0, 14] {
            assert_eq!(lock.renewed(Some(held), later(days)), None);
        }
        for days in [16, 29, 31] {
            let renewed = lock.renewed(Some(held), later(days));
            assert_eq!(renewed, Some(lock.from(later(days))), "{days}");
        }
        assert_eq!(lock.renewed(None, start), Some(held));
        // Its firmness is left alone as long as it holds.
        let governance = Held {
            mode: LockMode::Governance,
            ..held
        };
        let mode = |days| {
            lock.renewed(Some(governance), later(days))
                .map(|it| it.mode)
        };
        assert_eq!(mode(16), Some(LockMode::Governance));
        assert_eq!(mode(31), Some(LockMode::Compliance));
    }
}
