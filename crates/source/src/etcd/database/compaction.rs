use super::revision::Revision;

/// Where a compaction is noted, in the bucket `meta`.
const FINISHED: &[u8] = b"finishedCompactRev";
const SCHEDULED: &[u8] = b"scheduledCompactRev";

/// Up to which revision history was removed: of each key only the newest change up to it is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Up to here it is done.
    pub finished: Option<u64>,
    /// Up to here it was asked for. Beyond what is finished: it was under way.
    pub scheduled: Option<u64>,
}

impl Compaction {
    /// Remembers what this entry of the bucket `meta` says about it.
    pub(super) fn note(&mut self, key: &[u8], value: &[u8]) {
        let place = match key {
            FINISHED => &mut self.finished,
            SCHEDULED => &mut self.scheduled,
            _ => return,
        };
        *place = Revision::parse(value).map(|(revision, _)| revision.main);
    }

    /// What this and another part of the bucket say.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            finished: self.finished.or(other.finished),
            scheduled: self.scheduled.or(other.scheduled),
        }
    }
}
