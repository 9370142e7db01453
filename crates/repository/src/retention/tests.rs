use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// 2026-11-22T08:00:00Z, a Sunday.
const NOW: i64 = 1_795_334_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

fn now() -> Timestamp {
    at(NOW)
}

fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

/// A complete snapshot of one writer, finished so many hours before now.
fn candidate(number: u64, hours: i64) -> Candidate {
    let time = Some(at(NOW - hours * HOUR));
    Candidate {
        number,
        writer: WriterId([1; 32]),
        standing: Standing::Trusted,
        finished: time,
        appended: time,
        stored: time,
        partial: false,
        pinned: false,
        forgotten: false,
    }
}

/// Hourly, up to now: number 1 is the oldest.
fn hourly(count: i64) -> Vec<Candidate> {
    let hours = (0..count).rev().zip(1..);
    hours
        .map(|(hours, number)| candidate(number, hours))
        .collect()
}

/// A policy without `min_age`, so that its other rules show.
fn policy() -> Policy {
    Policy {
        min_age: Duration::ZERO,
        ..Policy::default()
    }
}

fn kept(snapshots: &[Candidate], policy: &Policy) -> BTreeSet<u64> {
    let verdicts = judge(snapshots, policy, now());
    let kept = verdicts.iter().filter(|verdict| verdict.keep);
    kept.map(|verdict| verdict.number).collect()
}

fn reason(snapshots: &[Candidate], policy: &Policy, number: u64) -> Reason {
    let verdicts = judge(snapshots, policy, now());
    let found = verdicts.iter().find(|verdict| verdict.number == number);
    found.expect("it was judged").reason
}

/// Any snapshots: three writers, times in any order, over some months, some of them years, and a little into the future.
fn snapshots() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        1_u8..4,
        prop_oneof![4 => -50_i64..3000, 1 => 3000_i64..40_000],
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        0_u8..8,
    );
    vec(one, 0..60).prop_map(|found| {
        let found = found.into_iter().enumerate();
        let one = |(index, (writer, hours, partial, pinned, forgotten, standing))| Candidate {
            writer: WriterId([writer; 32]),
            standing: match standing {
                0 => Standing::Revoked,
                1 => Standing::Unknown,
                _ => Standing::Trusted,
            },
            partial,
            pinned,
            forgotten,
            ..candidate(index as u64 + 1, hours)
        };
        found.map(one).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let days = |most: u64| prop::option::of((0..most).prop_map(self::days));
    (
        [0_u32..5, 0..5, 0..5, 0..5, 0..5, 0..5, 0..5],
        days(60),
        days(120),
        0_u64..20,
    )
        .prop_map(|(counts, within, max_age, min_age)| {
            let [keep_last, hourly, daily, weekly, monthly, yearly, min_count] = counts;
            Policy {
                keep_last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                within,
                max_age,
                min_count,
                min_age: self::days(min_age),
                zone: TimeZone::UTC,
            }
        })
}

/// The policy that keeps so many of a period.
type Keeping = fn(u32) -> Policy;

fn periods() -> impl Strategy<Value = (Period, Keeping)> {
    let all: [(Period, Keeping); 5] = [
        (Period::Hour, |hourly| Policy { hourly, ..policy() }),
        (Period::Day, |daily| Policy { daily, ..policy() }),
        (Period::Week, |weekly| Policy { weekly, ..policy() }),
        (Period::Month, |monthly| Policy {
            monthly,
            ..policy()
        }),
        (Period::Year, |yearly| Policy { yearly, ..policy() }),
    ];
    prop::sample::select(all.to_vec())
}

proptest! {
    #[test]
    fn what_may_never_go_stays(snapshots in snapshots(), policy in policies()) {
        let verdicts = judge(&snapshots, &policy, now());
        let whole = snapshots.iter().rev();
        let newest = whole.clone().find(|it| it.counts() && !it.partial);
        for (snapshot, verdict) in snapshots.iter().zip(verdicts) {
            prop_assert_eq!(snapshot.number, verdict.number);
            let young = snapshot.finished.is_some_and(|time| {
                now().duration_since(time).max(SignedDuration::ZERO) < signed(policy.min_age)
            });
            let is_newest = newest.is_some_and(|newest| newest.number == snapshot.number);
            let unknown = snapshot.standing == Standing::Unknown;
            if snapshot.pinned {
                prop_assert!(verdict.keep);
            } else if snapshot.forgotten {
                prop_assert!(!verdict.keep);
            } else if young || is_newest || unknown || policy.is_empty() {
                prop_assert!(verdict.keep, "{:?}", verdict);
            }
        }
    }

    #[test]
    fn whoever_adds_snapshots_pushes_none_of_another_writer_out_of_its_periods(
        snapshots in snapshots(),
        junk in vec((-200_i64..3000, any::<prop::sample::Index>()), 0..40),
        mut policy in policies(),
    ) {
        policy.keep_last = 0;
        policy.min_count = 0;
        // A snapshot of now, so that junk cannot seem to be the first after a long silence.
        let mut before = snapshots;
        let newest = before.len() as u64 + 1;
        before.push(candidate(newest, 0));
        let honest: BTreeSet<u64> = kept(&before, &policy);
        let mut names: Vec<u64> = before.iter().map(|it| it.number).collect();
        for (hours, place) in junk {
            let place = place.index(before.len() + 1);
            before.insert(place, Candidate { writer: WriterId([9; 32]), ..candidate(0, hours) });
            names.insert(place, 0);
        }
        for (index, snapshot) in before.iter_mut().enumerate() {
            snapshot.number = index as u64 + 1;
        }
        let kept = kept(&before, &policy);
        for (index, name) in names.iter().enumerate().filter(|(_, name)| honest.contains(name)) {
            let kept = kept.contains(&(index as u64 + 1));
            prop_assert!(kept || *name == newest, "{} was pushed out", name);
        }
    }

    #[test]
    fn partial_ones_change_nothing_for_complete_ones(snapshots in snapshots(), policy in policies()) {
        let complete: Vec<Candidate> =
            snapshots.iter().filter(|it| !it.partial).cloned().collect();
        let numbers: BTreeSet<u64> = complete.iter().map(|it| it.number).collect();
        let among_all: BTreeSet<u64> = kept(&snapshots, &policy)
            .intersection(&numbers)
            .copied()
            .collect();
        prop_assert_eq!(among_all, kept(&complete, &policy));
    }

    #[test]
    fn what_was_kept_is_kept_again(snapshots in snapshots(), policy in policies()) {
        let first = kept(&snapshots, &policy);
        let left: Vec<Candidate> =
            snapshots.into_iter().filter(|it| first.contains(&it.number)).collect();
        prop_assert_eq!(kept(&left, &policy), first);
    }

    /// `prune --max-age --min-count` of etcd-backup, as its documentation has it.
    #[test]
    fn max_age_and_min_count_are_those_of_etcd_backup(
        ages in vec(0_i64..60, 0..40),
        max_age in 0_u64..50,
        min_count in 1_u32..30,
    ) {
        let mut ages = ages;
        ages.sort_unstable_by(|a, b| b.cmp(a));
        let snapshots: Vec<Candidate> = ages
            .iter()
            .zip(1..)
            .map(|(age, number)| candidate(number, age * 24))
            .collect();
        let policy = Policy { max_age: Some(days(max_age)), min_count, ..policy() };

        let valid = ages.len();
        let mut expected: BTreeSet<u64> = (1..=valid as u64).collect();
        if valid > min_count as usize {
            let old = ages.iter().filter(|age| **age >= max_age.cast_signed()).count();
            let deleted = old.min(valid - min_count as usize);
            expected = (deleted as u64 + 1..=valid as u64).collect();
        }
        prop_assert_eq!(kept(&snapshots, &policy), expected);
    }

    #[test]
    fn the_newest_are_counted_by_number(snapshots in snapshots(), count in 1_u32..9) {
        let policy = Policy { keep_last: count, ..policy() };
        let whole = snapshots.iter().rev().filter(|it| it.counts() && !it.partial);
        let newest: BTreeSet<u64> = whole.take(count as usize).map(|it| it.number).collect();
        let verdicts = judge(&snapshots, &policy, now());
        let last = verdicts.iter().filter(|it| {
            let partial = snapshots[it.number as usize - 1].partial;
            !partial && matches!(it.reason, Reason::Last | Reason::Newest)
        });
        let last: BTreeSet<u64> = last.map(|it| it.number).collect();
        let pinned = snapshots.iter().filter(|it| it.pinned).map(|it| it.number);
        prop_assert_eq!(&last | &pinned.clone().collect(), &newest | &pinned.collect());
    }

    #[test]
    fn within_keeps_what_is_not_much_older_than_the_newest(snapshots in snapshots(), hours in 0_u64..200) {
        let within = Duration::from_hours(hours);
        let policy = Policy { within: Some(within), ..policy() };
        let time = |it: &Candidate| it.finished.expect("all have one").min(now());
        let whole = || snapshots.iter().filter(|it| it.counts() && !it.partial);
        let Some(newest) = whole().map(time).max() else {
            return Ok(());
        };
        let kept = kept(&snapshots, &policy);
        for snapshot in whole() {
            if newest.duration_since(time(snapshot)).unsigned_abs() <= within {
                prop_assert!(kept.contains(&snapshot.number), "{}", snapshot.number);
            } else if kept.contains(&snapshot.number) {
                let reason = reason(&snapshots, &policy, snapshot.number);
                prop_assert!(matches!(reason, Reason::Pinned | Reason::Newest), "{:?}", reason);
            }
        }
    }

    #[test]
    fn each_period_keeps_the_oldest_of_each_writer(
        snapshots in snapshots(),
        count in 1_u32..40,
        (period, policy) in periods(),
    ) {
        let policy = policy(count);
        // The periods of UTC, by another way than the one that is tested.
        let number = |it: &Candidate| {
            let time = it.finished.expect("all have one").min(now());
            let date = time.to_zoned(TimeZone::UTC).date();
            match period {
                Period::Hour => time.as_second().div_euclid(HOUR),
                Period::Day => time.as_second().div_euclid(DAY),
                // 1 January 1970 was a Thursday.
                Period::Week => (time.as_second().div_euclid(DAY) + 3).div_euclid(7),
                Period::Month => i64::from(date.year()) * 12 + i64::from(date.month()),
                Period::Year => i64::from(date.year()),
            }
        };
        let whole = || snapshots.iter().filter(|it| it.counts() && !it.partial);
        let Some(last) = whole().map(&number).max() else {
            return Ok(());
        };
        let mut seen = BTreeSet::new();
        let kept = kept(&snapshots, &policy);
        for snapshot in whole() {
            let oldest = seen.insert((snapshot.writer, number(snapshot)));
            if oldest && number(snapshot) > last - i64::from(count) {
                prop_assert!(kept.contains(&snapshot.number), "{}", snapshot.number);
            } else if kept.contains(&snapshot.number) {
                let reason = reason(&snapshots, &policy, snapshot.number);
                prop_assert!(matches!(reason, Reason::Pinned | Reason::Newest), "{:?}", reason);
            }
        }
    }
}

#[test]
fn what_goes_for_its_age_stands_for_no_period() {
    // Mondays begin weeks: the first snapshot of this one is too old, and the second stands for it.
    let mut snapshots = hourly(3);
    for (snapshot, days) in snapshots.iter_mut().zip([5, 3, 1]) {
        let time = Some(at(NOW - days * DAY));
        (snapshot.finished, snapshot.stored) = (time, time);
    }
    let weekly = Policy {
        weekly: 1,
        max_age: Some(days(4)),
        ..policy()
    };
    assert_eq!(kept(&snapshots, &weekly), BTreeSet::from([2, 3]));
    assert_eq!(reason(&snapshots, &weekly, 2), Reason::Oldest(Period::Week));
    assert_eq!(kept(&snapshots[1..], &weekly), BTreeSet::from([2, 3]));
}

#[test]
fn hourly_snapshots_under_the_usual_policy() {
    let snapshots = hourly(24 * 90);
    let policy = Policy {
        hourly: 24,
        daily: 7,
        weekly: 4,
        monthly: 3,
        ..policy()
    };
    let verdicts = judge(&snapshots, &policy, now());
    let count = |reason| {
        let kept = verdicts.iter().filter(|verdict| verdict.reason == reason);
        kept.count()
    };
    assert_eq!(
        (count(Reason::Newest), count(Reason::Oldest(Period::Hour))),
        (1, 23)
    );
    // The last of the seven days began within the last 24 hours: that one is named hourly.
    assert_eq!(count(Reason::Oldest(Period::Day)), 6);
    // The last of the four Mondays is among the days.
    assert_eq!(count(Reason::Oldest(Period::Week)), 3);
    assert_eq!(count(Reason::Oldest(Period::Month)), 3);
    let kept = verdicts.iter().filter(|verdict| verdict.keep).count();
    assert_eq!(kept, 24 + 6 + 3 + 3);
}

#[test]
fn periods_wait_while_nothing_is_backed_up() {
    let mut snapshots = hourly(24 * 5);
    let silence = SignedDuration::from_hours(24 * 60);
    for snapshot in &mut snapshots {
        snapshot.finished = snapshot.finished.map(|time| time - silence);
    }
    let daily = Policy {
        daily: 3,
        ..policy()
    };
    // The oldest of three days, and the newest.
    assert_eq!(kept(&snapshots, &daily).len(), 4);
}

#[test]
fn days_begin_at_midnight_where_the_policy_says() {
    // In Zurich half an hour before and after midnight, in UTC an hour earlier.
    let midnight = NOW - 3 * DAY - 8 * HOUR;
    let mut snapshots = hourly(3);
    snapshots[0].finished = Some(at(midnight - 3 * HOUR / 2));
    snapshots[1].finished = Some(at(midnight - HOUR / 2));
    let zurich = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
    for (zone, expected) in [(TimeZone::UTC, vec![1, 3]), (zurich, vec![1, 2, 3])] {
        let daily = Policy {
            daily: 9,
            zone,
            ..policy()
        };
        assert_eq!(kept(&snapshots, &daily), expected.into_iter().collect());
    }
}

#[test]
fn periods_follow_one_another() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
    for period in [
        Period::Hour,
        Period::Day,
        Period::Week,
        Period::Month,
        Period::Year,
    ] {
        let mut last = period.number(at(NOW - 800 * DAY), &zone);
        let mut steps = 0;
        for half_hours in 1..800 * 48 {
            let number = period.number(at(NOW - 800 * DAY + half_hours * HOUR / 2), &zone);
            // In autumn an hour comes twice and in spring one is left out.
            let steps_allowed = if period == Period::Hour {
                -1..=2
            } else {
                0..=1
            };
            assert!(
                steps_allowed.contains(&(number - last)),
                "{period:?} {half_hours}"
            );
            steps += number - last;
            last = number;
        }
        assert!(steps > 1, "{period:?}");
    }
    let week = |days: i64| Period::Week.number(at(NOW + days * DAY), &TimeZone::UTC);
    // It is Sunday: tomorrow a week begins.
    assert_eq!((week(-6), week(0)), (week(0), week(1) - 1));
}

#[test]
fn an_empty_policy_drops_only_what_was_forgotten() {
    let mut snapshots = hourly(50);
    snapshots[7].forgotten = true;
    snapshots[9].standing = Standing::Revoked;
    let empty = Policy {
        min_count: 3,
        ..policy()
    };
    assert!(empty.is_empty());
    assert_eq!(kept(&snapshots, &empty).len(), 49);
    assert_eq!(reason(&snapshots, &empty, 1), Reason::NoPolicy);
    assert_eq!(reason(&snapshots, &empty, 8), Reason::Forgotten);
}

#[test]
fn writers_who_are_not_trusted_take_no_place_and_are_left_for_a_person() {
    let mut snapshots = hourly(10);
    snapshots[9].standing = Standing::Unknown;
    snapshots[8].standing = Standing::Revoked;
    let last = Policy {
        keep_last: 2,
        ..policy()
    };
    assert_eq!(kept(&snapshots, &last), BTreeSet::from([7, 8, 10]));
    assert_eq!(reason(&snapshots, &last, 10), Reason::UnknownWriter);
    assert_eq!(reason(&snapshots, &last, 9), Reason::Revoked);
    let young = Policy {
        min_age: days(1),
        ..last
    };
    assert_eq!(reason(&snapshots, &young, 9), Reason::Young);
}

#[test]
fn the_clock_that_makes_a_snapshot_younger_counts_for_min_age() {
    // A clock that was years behind, or a lie.
    let mut behind = candidate(1, 24 * 365 * 3);
    behind.stored = Some(at(NOW - HOUR));
    let snapshots = [behind, candidate(2, 0)];
    let policy = Policy {
        keep_last: 1,
        ..Policy::default()
    };
    assert_eq!(reason(&snapshots, &policy, 1), Reason::Young);
}

#[test]
fn a_clock_that_differs_from_the_stores_is_pointed_out() {
    let mut ahead = candidate(1, 0);
    ahead.stored = Some(at(NOW - 2 * HOUR));
    let mut behind = candidate(2, 0);
    behind.stored = Some(at(NOW + 61 * 60));
    let snapshots = [ahead, behind, candidate(3, 0)];
    let strange: Vec<_> = judge(&snapshots, &policy(), now())
        .into_iter()
        .map(|verdict| verdict.strange.map(|by| by.as_mins()))
        .collect();
    assert_eq!(strange, [Some(120), Some(-61), None]);
}

#[test]
fn a_time_that_cannot_be_read_is_kept() {
    let mut snapshots = hourly(5);
    snapshots[0].finished = None;
    snapshots[0].stored = Some(at(NOW - 400 * DAY));
    let last = Policy {
        keep_last: 1,
        ..Policy::default()
    };
    assert_eq!(reason(&snapshots, &last, 1), Reason::NoTime);
}
