use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Backup;

/// A key without a dump is left alone for so long: the dump may be on its way.
pub const KEY_SPARED: Duration = Duration::from_hours(24);

/// What the original's `prune` deletes, the oldest first: what is as old as `max_age` or older, as long as `min_count` dumps stay. Nothing
/// at all while there are no more dumps than that.
///
/// Keys without a dump go when they are that old, and [`KEY_SPARED`]; the original does not wait for the latter.
pub fn doomed(
    backups: &[Backup],
    now: Timestamp,
    max_age: Duration,
    min_count: u64,
) -> Vec<&Backup> {
    let whole = backups.iter().filter(|backup| backup.dump.is_some());
    let spare = (whole.count() as u64).saturating_sub(min_count);
    if spare == 0 {
        return Vec::new();
    }
    let is_older = |backup: &Backup, age: Duration| {
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        now.duration_since(backup.stamp.moment()) >= age
    };
    let mut backups: Vec<&Backup> = backups.iter().collect();
    backups.sort_by(|one, other| one.stamp.cmp(&other.stamp));
    let mut left = spare;
    backups.retain(|backup| {
        let age = match backup.dump {
            Some(_) => max_age,
            None => max_age.max(KEY_SPARED),
        };
        if !is_older(backup, age) {
            return false;
        }
        if backup.dump.is_none() {
            return true;
        }
        let goes = left > 0;
        left = left.saturating_sub(1);
        goes
    });
    backups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd_backup::Stamp;

    const NOW: &str = "2026-11-26T00:00:00Z";

    /// One of so many days ago.
    fn backup(days: i64, dump: bool) -> Backup {
        let now: Timestamp = NOW.parse().expect("a time");
        let stamp = Stamp::at(now - SignedDuration::from_hours(24 * days));
        let key = Some(72);
        let dump = dump.then_some(1);
        Backup { stamp, dump, key }
    }

    fn ages(backups: &[Backup], max_age: u64, min_count: u64) -> Vec<i64> {
        let now: Timestamp = NOW.parse().expect("a time");
        let max_age = Duration::from_hours(24 * max_age);
        let doomed = doomed(backups, now, max_age, min_count);
        let age = |backup: &&Backup| now.duration_since(backup.stamp.moment()).as_hours() / 24;
        doomed.iter().map(age).collect()
    }

    #[test]
    fn the_rule_is_the_one_of_the_original() {
        // The fourth has no dump.
        let all: Vec<Backup> = [(1, true), (5, true), (15, true), (16, false), (20, true)]
            .map(|(days, dump)| backup(days, dump))
            .into();
        // As old as that is old enough.
        assert_eq!(ages(&all, 15, 1), [20, 16, 15]);
        assert_eq!(ages(&all, 16, 1), [20, 16]);
        assert_eq!(ages(&all, 17, 1), [20]);
        assert_eq!(ages(&all, 15, 2), [20, 16, 15]);
        // One less may go, the oldest: and what is no backup at all.
        assert_eq!(ages(&all, 15, 3), [20, 16]);
        // As many as should stay: nothing at all.
        assert_eq!(ages(&all, 15, 4), [] as [i64; 0]);
        assert_eq!(ages(&all, 15, u64::MAX), [] as [i64; 0]);
        assert_eq!(ages(&all, 0, 0), [20, 16, 15, 5, 1]);
        assert_eq!(ages(&[], 0, 0), [] as [i64; 0]);
    }

    #[test]
    fn a_key_whose_dump_may_be_on_its_way_stays() {
        let mut all = vec![backup(0, false), backup(1, false), backup(0, true)];
        assert_eq!(ages(&all, 0, 0), [1, 0]);
        all[1].dump = Some(1);
        assert_eq!(ages(&all, 0, 0), [1, 0]);
        assert_eq!(ages(&all[..1], 0, 0), [] as [i64; 0]);
    }

    #[test]
    fn times_to_come_are_young() {
        let all = [backup(-3, true), backup(3, true)];
        assert_eq!(ages(&all, 1, 0), [3]);
    }
}
