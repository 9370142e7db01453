//! Which part of the packs is read, so that whoever reads a part at a time has read all of them in the end.

use archive::Digest;
use jiff::Timestamp;
use repository::Slice;

use crate::cli::Sample;

const HOUR: i64 = 60 * 60;
const HOURS: i64 = 24;

/// The part that is due at `now`, where `last` was read last: the next one. Then so many runs as there are parts read all of it, at
/// whatever times they come.
///
/// Who remembers nothing gets one by the clock. No such choice is good for every rhythm: of any that a day's number tells, some rhythm
/// always meets the same. So the parts come in an order that is drawn anew for each round of so many days as there are parts, and
/// move on by the hour of the day. One run a day, or several at the same hours each day, read all of it in any two rounds; other
/// rhythms meet parts as if they were drawn by lot.
pub(super) fn part(sample: Sample, last: Option<Slice>, now: Timestamp) -> Slice {
    match (sample, last) {
        (Sample::Part(part, of), _) => Slice {
            number: part - 1,
            of,
        },
        (Sample::OneOf(of), Some(last)) if last.of == of => Slice {
            number: (last.number + 1) % of,
            of,
        },
        (Sample::OneOf(of), _) => Slice {
            number: by_the_clock(of, now.as_second().div_euclid(HOUR), |round| {
                drawn(of, round)
            }),
            of,
        },
    }
}

/// As it is printed: the first part is 1.
pub(super) fn name(Slice { number, of }: Slice) -> String {
    format!("{}/{of}", number + 1)
}

fn by_the_clock<D: AsRef<[u32]>>(of: u32, hour: i64, drawn: impl FnOnce(i64) -> D) -> u32 {
    let (day, hour) = (hour.div_euclid(HOURS), hour.rem_euclid(HOURS) as u64);
    let (round, place) = (
        day.div_euclid(of.into()),
        day.rem_euclid(of.into()) as usize,
    );
    let first = u64::from(drawn(round).as_ref()[place]);
    // Within a day the parts are met in even steps.
    let on = hour * u64::from(of) / HOURS as u64;
    ((first + on) % u64::from(of)) as u32
}

/// All parts, in the order of that round.
fn drawn(of: u32, round: i64) -> Vec<u32> {
    let lot = |part: &u32| Digest::of(format!("{round}/{part}").as_bytes());
    let mut parts: Vec<u32> = (0..of).collect();
    parts.sort_by_cached_key(lot);
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const PARTS: [u32; 7] = [2, 3, 7, 10, 20, 33, 100];
    /// Who has not met all parts after so many runs never will.
    const NEVER: u32 = 10_000;
    /// Hours since 1970: one before that, and some of these years.
    const STARTS: [i64; 4] = [-24_001, 0, 497_000, 500_003];

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * HOUR + 1234).expect("a time")
    }

    fn slice(number: u32, of: u32) -> Slice {
        Slice { number, of }
    }

    /// The order of each round is made once.
    #[derive(Default)]
    struct Clock(HashMap<(u32, i64), Vec<u32>>);

    impl Clock {
        /// How many runs read all parts, so many hours apart.
        fn runs(&mut self, of: u32, start: i64, rhythm: i64) -> u32 {
            let mut read = vec![false; of as usize];
            let (mut left, mut runs, mut hour) = (of, 0, start);
            while left > 0 && runs < NEVER {
                let part = by_the_clock(of, hour, |round| {
                    &*self
                        .0
                        .entry((of, round))
                        .or_insert_with(|| drawn(of, round))
                });
                left -= u32::from(!std::mem::replace(&mut read[part as usize], true));
                runs += 1;
                hour += rhythm;
            }
            runs
        }
    }

    #[test]
    fn whoever_remembers_reads_all_in_as_many_runs_as_there_are_parts() {
        for of in PARTS {
            for start in STARTS {
                for rhythm in 1..=45 * HOURS {
                    let mut last = None;
                    let mut read = vec![false; of as usize];
                    for run in 0..i64::from(of) {
                        let now = at(start + run * rhythm);
                        let next = part(Sample::OneOf(of), last, now);
                        assert_eq!(next.of, of);
                        read[next.number as usize] = true;
                        last = Some(next);
                    }
                    assert!(read.iter().all(|it| *it), "{of} parts, each {rhythm} hours");
                }
            }
        }
        // Another share begins anew, and who names a part gets it.
        let (now, last) = (at(0), Some(slice(6, 20)));
        let other = part(Sample::OneOf(10), last, now);
        assert_eq!(other, part(Sample::OneOf(10), None, now));
        assert_eq!(part(Sample::Part(3, 20), last, now), slice(2, 20));
        assert_eq!(name(slice(2, 20)), "3/20");
    }

    #[test]
    fn by_the_clock_every_day_reads_all_within_two_rounds() {
        let mut clock = Clock::default();
        for of in PARTS {
            for start in (0..100).map(|day| 497_000 + 25 * day) {
                let runs = clock.runs(of, start, HOURS);
                assert!(runs < 2 * of, "{runs} days for {of} parts");
            }
        }
    }

    /// As if by lot: to meet each of n takes n ln n draws on average, and in one case of a million n (ln n + 14).
    #[test]
    fn by_the_clock_no_rhythm_from_an_hour_to_45_days_stays_with_some_parts() {
        let mut clock = Clock::default();
        for of in PARTS {
            let n = f64::from(of);
            let most = n * (n.ln() + 14.0);
            for start in STARTS {
                for rhythm in 1..=45 * HOURS {
                    let runs = clock.runs(of, start, rhythm);
                    assert!(
                        f64::from(runs) <= most,
                        "{runs} runs, {of} parts, each {rhythm} hours"
                    );
                }
            }
        }
    }
}
