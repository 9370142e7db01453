use std::time::Duration;

/// Longer than this nobody means.
const MAX: Duration = Duration::from_hours(200 * 366 * 24);

const SECOND: u128 = 1_000_000_000;
const DAY: u128 = 24 * 3600 * SECOND;

/// What Go knows, in nanoseconds, and what etcd-backup's documents promise besides.
const UNITS: [(&str, u128); 11] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", DAY),
    ("w", 7 * DAY),
    ("y", 365 * DAY),
];

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodFault {
    /// The original takes it for a moment in the future, and would delete everything.
    #[error("it is negative")]
    Negative,
    /// Neither Go's form nor the one with days.
    #[error("it is not written like 15d, 10w, 1y, 360h or 1h30m")]
    Form,
    /// Beyond two centuries.
    #[error("it is longer than 200 years")]
    Long,
}

/// A length of time as Go's `time.ParseDuration` reads it, and in days, weeks and years of 365 days: `1h30m`, `1.5h`, `15d`, `0`.
pub fn parse_period(text: &str) -> Result<Duration, PeriodFault> {
    if text.starts_with('-') {
        return Err(PeriodFault::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(PeriodFault::Form);
    }
    let mut nanoseconds = 0_u128;
    while !rest.is_empty() {
        let (number, tail) = split(rest, |c| !(c.is_ascii_digit() || c == '.'));
        let (unit, tail) = split(tail, |c| c.is_ascii_digit() || c == '.');
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, unit) = unit.ok_or(PeriodFault::Form)?;
        nanoseconds += amount(number, *unit)?;
        if nanoseconds > MAX.as_nanos() {
            return Err(PeriodFault::Long);
        }
        rest = tail;
    }
    let (seconds, fraction) = (nanoseconds / SECOND, nanoseconds % SECOND);
    Ok(Duration::new(seconds as u64, fraction as u32))
}

fn split(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// So many nanoseconds; what is less than one is dropped.
fn amount(number: &str, unit: u128) -> Result<u128, PeriodFault> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(PeriodFault::Form);
    }
    let digits = |digits: &str| match digits {
        "" => Ok(0),
        digits if digits.len() > 20 => Err(PeriodFault::Long),
        digits => digits.parse::<u128>().map_err(|_| PeriodFault::Form),
    };
    // Eighteen digits behind the point are more than a nanosecond of a year.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(fraction.len() as u32);
    Ok(digits(whole)? * unit + digits(fraction)? * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_and_what_the_documents_promise() {
        let day = 24 * 3600;
        for (text, seconds) in [
            ("15d", 15 * day),
            ("10w", 70 * day),
            ("1y", 365 * day),
            ("1y2w3d", (365 + 14 + 3) * day),
            ("360h", 15 * day),
            ("1h30m", 5400),
            ("1.5h", 5400),
            (".5m", 30),
            ("1.m", 60),
            ("+5s", 5),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_period(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(parse_period("1us2ns"), Ok(Duration::from_nanos(1002)));
        assert_eq!(parse_period("3\u{b5}s"), Ok(Duration::from_micros(3)));
        assert_eq!(
            parse_period("0.1234567890123456789s"),
            Ok(Duration::from_nanos(123_456_789))
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        use PeriodFault::{Form, Long, Negative};
        for (text, fault) in [
            ("", Form),
            ("+", Form),
            ("15", Form),
            ("d", Form),
            (".d", Form),
            ("1..2d", Form),
            ("15 d", Form),
            ("15D", Form),
            ("1month", Form),
            ("15d!", Form),
            ("-15d", Negative),
            ("201y", Long),
            ("99999999999999999999y", Long),
            ("999999999999999999999999d", Long),
        ] {
            assert_eq!(parse_period(text), Err(fault), "{text}");
        }
    }
}
