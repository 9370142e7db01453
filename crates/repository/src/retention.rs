//! Which snapshots of a job stay: docs/retention.md. Pure: a list, a policy and a moment in, a verdict for each out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use format::WriterId;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Clocks that differ by more than this are pointed out.
const STRANGE: SignedDuration = SignedDuration::from_hours(1);

/// What is to stay. A snapshot stays if one of the rules keeps it.
///
/// Whoever may add snapshots must not be able to push others out, whatever times they claim: the rules about periods look at
/// the oldest of each period by number, at each writer apart, and at the periods up to now, not at those that have
/// snapshots. Nothing that is younger than `min_age` goes, so that the rules that count can be abused only in the open.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The newest ones, so many.
    pub keep_last: u32,
    /// The oldest of each of so many hours, days, weeks, months and years up to the newest snapshot.
    pub hourly: u32,
    /// See `hourly`.
    pub daily: u32,
    /// See `hourly`. Weeks begin on Monday.
    pub weekly: u32,
    /// See `hourly`.
    pub monthly: u32,
    /// See `hourly`.
    pub yearly: u32,
    /// All that are at most so much older than the newest.
    pub within: Option<Duration>,
    /// None that is so old, whatever the rules above say. Alone: all that are younger.
    pub max_age: Option<Duration>,
    /// But so many of the newest all the same.
    pub min_count: u32,
    /// All that are younger than this, whatever else is said.
    pub min_age: Duration,
    /// Where days begin at midnight.
    pub zone: TimeZone,
}

impl Default for Policy {
    /// No rule; a week of `min_age`; UTC.
    fn default() -> Self {
        Self {
            keep_last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: None,
            max_age: None,
            min_count: 0,
            min_age: Duration::from_hours(7 * 24),
            zone: TimeZone::UTC,
        }
    }
}

impl Policy {
    /// Whether it says of any snapshot that it may go.
    pub fn is_empty(&self) -> bool {
        !self.chooses() && self.max_age.is_none()
    }

    /// Whether it has a rule that keeps some snapshots and not others.
    fn chooses(&self) -> bool {
        let periods = self.periods().iter().any(|(_, count)| *count > 0);
        periods || self.keep_last > 0 || self.within.is_some()
    }

    fn periods(&self) -> [(Period, u32); 5] {
        [
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ]
    }
}

/// A valid snapshot, as far as retention looks at it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its number: what came first.
    pub number: u64,
    /// Who wrote it.
    pub writer: WriterId,
    /// Whether that is someone trusted.
    pub standing: Standing,
    /// When it was finished by its writer's clock, if that can be read.
    pub finished: Option<Timestamp>,
    /// When its commit was made by its appender's clock, if that can be read.
    pub appended: Option<Timestamp>,
    /// When its commit was stored, by the store's clock.
    pub stored: Option<Timestamp>,
    /// An entry could not be read whole.
    pub partial: bool,
    /// No prune may drop it.
    pub pinned: bool,
    /// A maintainer wants it gone.
    pub forgotten: bool,
}

/// Of a snapshot's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Trusted by whoever prunes.
    Trusted,
    /// Revoked before it wrote this.
    Revoked,
    /// Neither.
    Unknown,
}

/// What becomes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number.
    pub number: u64,
    /// Whether it stays.
    pub keep: bool,
    /// The rule that says so; of several the first.
    pub reason: Reason,
    /// By how much its time lies behind (or, negative, before) what the store's clock said, if that is more than an hour.
    pub strange: Option<SignedDuration>,
}

/// Why a snapshot stays or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Stays: it is pinned.
    Pinned,
    /// Goes: it was forgotten.
    Forgotten,
    /// Stays: who wrote it is for a person to find out.
    UnknownWriter,
    /// Stays: no policy says that anything may go.
    NoPolicy,
    /// Stays: it is the newest that is complete.
    Newest,
    /// Stays: it is younger than `min_age`.
    Young,
    /// Stays: it does not say when it was taken.
    NoTime,
    /// Goes: its writer was revoked before.
    Revoked,
    /// Goes: it is older than `max_age`.
    TooOld,
    /// Stays: it is one of the newest `keep_last`.
    Last,
    /// Stays: it is the oldest of its hour, day, week, month or year.
    Oldest(Period),
    /// Stays: it is not older than `within`.
    Within,
    /// Stays: it is younger than `max_age`, and no other rule was asked for.
    YoungEnough,
    /// Stays: it is one of the newest `min_count`.
    MinCount,
    /// Goes: no rule keeps it.
    Unneeded,
}

/// A stretch of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "pinned",
            Self::Forgotten => "forgotten",
            Self::UnknownWriter => "untrusted writer",
            Self::NoPolicy => "no retention",
            Self::Newest => "newest",
            Self::Young => "min_age",
            Self::NoTime => "no time",
            Self::Revoked => "revoked writer",
            Self::TooOld | Self::YoungEnough => "max_age",
            Self::Last => "keep_last",
            Self::Oldest(Period::Hour) => "hourly",
            Self::Oldest(Period::Day) => "daily",
            Self::Oldest(Period::Week) => "weekly",
            Self::Oldest(Period::Month) => "monthly",
            Self::Oldest(Period::Year) => "yearly",
            Self::Within => "within",
            Self::MinCount => "min_count",
            Self::Unneeded => "no rule",
        })
    }
}

/// Judges all snapshots of a job, which stand in the order in which they were taken.
pub fn judge(snapshots: &[Candidate], policy: &Policy, now: Timestamp) -> Vec<Verdict> {
    let bench = Bench::new(snapshots, policy, now);
    let verdicts = snapshots.iter().enumerate().map(|(at, snapshot)| {
        let (keep, reason) = bench.judge(at, snapshot);
        Verdict {
            number: snapshot.number,
            keep,
            reason,
            strange: snapshot.strange(),
        }
    });
    verdicts.collect()
}

impl Candidate {
    /// Whether it may stand for its period, or be counted.
    fn counts(&self) -> bool {
        self.standing == Standing::Trusted && !self.forgotten
    }

    /// A copy is stored, and appended, long after it was finished; any other snapshot at once.
    fn strange(&self) -> Option<SignedDuration> {
        let stored = self.stored?;
        let by = self.appended?.duration_since(stored);
        (by.abs() > STRANGE).then_some(by)
    }

    /// For how long it has been here: by the store's clock, where that is known.
    fn age(&self, now: Timestamp) -> SignedDuration {
        let since = self.stored.or(self.finished);
        let age = since.map_or(SignedDuration::MAX, |time| now.duration_since(time));
        age.max(SignedDuration::ZERO)
    }
}

/// What has to be known of all snapshots to judge one.
struct Bench<'a> {
    policy: &'a Policy,
    now: Timestamp,
    /// The newest time that a complete one claims that is not too old, now at most: where the periods end. They do not go on while
    /// nothing is backed up.
    end: Timestamp,
    /// The newest that is complete.
    newest: Option<u64>,
    /// How many that count are newer, by number: of complete ones the complete ones, of partial ones all.
    newer: Vec<u32>,
    /// Those that stand for a period.
    oldest: HashMap<u64, Period>,
}

impl<'a> Bench<'a> {
    fn new(snapshots: &'a [Candidate], policy: &'a Policy, now: Timestamp) -> Self {
        let mut whole = snapshots.iter().filter(|it| it.counts() && !it.partial);
        let newest = whole.next_back();
        let mut bench = Self {
            policy,
            now,
            end: now,
            newest: newest.map(|snapshot| snapshot.number),
            newer: newer(snapshots),
            oldest: HashMap::new(),
        };
        // What goes for its age stands for no period and ends none: the next judgement, without it, would say otherwise.
        // Whether it does is judged before periods are looked at, of which nothing is known yet.
        let stands = |at, it: &Candidate| it.counts() && bench.judge(at, it).1 != Reason::TooOld;
        let standing = snapshots.iter().enumerate();
        let standing = standing.filter(|(at, it)| stands(*at, it));
        let standing: Vec<&Candidate> = standing.map(|(_, snapshot)| snapshot).collect();
        let whole = standing.iter().filter(|it| !it.partial);
        let end = whole.filter_map(|snapshot| snapshot.finished).max();
        bench.end = end.unwrap_or(now).min(now);
        // The shortest period that keeps a snapshot is the one that is named.
        for (period, count) in policy.periods().into_iter().rev() {
            let oldest = bench.oldest_of_each(&standing, period, count);
            bench.oldest.extend(oldest.map(|number| (number, period)));
        }
        bench
    }

    /// The snapshots that stand for one of the last `count` periods: of each writer the oldest complete one, and where there is
    /// none the oldest partial one.
    fn oldest_of_each(
        &self,
        snapshots: &[&Candidate],
        period: Period,
        count: u32,
    ) -> impl Iterator<Item = u64> + use<> {
        let zone = &self.policy.zone;
        let first = period.number(self.end, zone) - i64::from(count) + 1;
        let mut taken: HashSet<(WriterId, i64)> = HashSet::new();
        let mut found = Vec::new();
        for partial in [false, true] {
            for snapshot in snapshots.iter().filter(|it| it.partial == partial) {
                let Some(finished) = snapshot.finished else {
                    continue;
                };
                // A clock that runs ahead does not make periods that nobody has reached.
                let place = period.number(finished.min(self.end), zone);
                if place >= first && taken.insert((snapshot.writer, place)) {
                    found.push(snapshot.number);
                }
            }
        }
        found.into_iter().filter(move |_| count > 0)
    }

    fn judge(&self, at: usize, snapshot: &Candidate) -> (bool, Reason) {
        let policy = self.policy;
        let is_last = |count: u32| snapshot.counts() && self.newer[at] < count;
        if snapshot.pinned {
            return (true, Reason::Pinned);
        }
        if snapshot.forgotten {
            return (false, Reason::Forgotten);
        }
        if snapshot.standing == Standing::Unknown {
            return (true, Reason::UnknownWriter);
        }
        if policy.is_empty() {
            return (true, Reason::NoPolicy);
        }
        if self.newest == Some(snapshot.number) {
            return (true, Reason::Newest);
        }
        if snapshot.age(self.now) < signed(policy.min_age) {
            return (true, Reason::Young);
        }
        if snapshot.standing == Standing::Revoked {
            return (false, Reason::Revoked);
        }
        let Some(finished) = snapshot.finished else {
            return (true, Reason::NoTime);
        };
        let age = self.now.duration_since(finished);
        if policy.max_age.is_some_and(|max_age| age >= signed(max_age)) {
            let keep = is_last(policy.min_count);
            return (
                keep,
                if keep {
                    Reason::MinCount
                } else {
                    Reason::TooOld
                },
            );
        }
        if is_last(policy.keep_last) {
            return (true, Reason::Last);
        }
        if let Some(period) = self.oldest.get(&snapshot.number) {
            return (true, Reason::Oldest(*period));
        }
        let behind = self.end.duration_since(finished);
        if policy.within.is_some_and(|within| behind <= signed(within)) {
            return (true, Reason::Within);
        }
        if !policy.chooses() {
            return (true, Reason::YoungEnough);
        }
        let keep = is_last(policy.min_count);
        (
            keep,
            if keep {
                Reason::MinCount
            } else {
                Reason::Unneeded
            },
        )
    }
}

fn newer(snapshots: &[Candidate]) -> Vec<u32> {
    let (mut complete, mut all) = (0, 0);
    let mut newer: Vec<u32> = snapshots
        .iter()
        .rev()
        .map(|snapshot| {
            let before = if snapshot.partial { all } else { complete };
            if snapshot.counts() {
                all += 1;
                complete += u32::from(!snapshot.partial);
            }
            before
        })
        .collect();
    newer.reverse();
    newer
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

impl Period {
    /// Which one it is: periods that follow one another have numbers that do.
    fn number(self, time: Timestamp, zone: &TimeZone) -> i64 {
        let local = Zoned::new(time, zone.clone());
        let date = local.date();
        let (year, month) = (i64::from(date.year()), i64::from(date.month()));
        // The first of January 1970 was a Thursday.
        let day = (date - jiff::civil::date(1970, 1, 1)).get_days();
        let day = i64::from(day);
        match self {
            Self::Hour => day * 24 + i64::from(local.hour()),
            Self::Day => day,
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => year * 12 + month,
            Self::Year => year,
        }
    }
}

#[cfg(test)]
mod tests;
