//! Durations, sizes and times as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: `30s`, `1h30m`, `15d`, `2w`. A day is 24 hours. Not negative, at most a century.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(Duration);

const CENTURY: Duration = Duration::from_hours(100 * 366 * 24);

/// Why a text is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a duration; write it like 30s, 5m, 1h30m, 15d or 2w")]
pub(crate) struct PeriodError(String);

impl Period {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// At most the longest that there is.
    pub(crate) fn of(duration: Duration) -> Self {
        Self(duration.min(CENTURY))
    }

    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let error = || PeriodError(text.chars().take(64).collect());
        let span: Span = text.parse().map_err(|_| error())?;
        let signed = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| error())?;
        let duration = Duration::try_from(signed).map_err(|_| error())?;
        // "-0s" is zero, and nobody means it; a bare number has no unit and does not parse.
        if signed < SignedDuration::ZERO || duration > CENTURY {
            Err(error())
        } else {
            Ok(Self(duration))
        }
    }
}

impl fmt::Display for Period {
    /// Exact down to the nanosecond; parses back to the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] = [
            (7 * 86400, "w"),
            (86400, "d"),
            (3600, "h"),
            (60, "m"),
            (1, "s"),
        ];
        let mut rest = self.0.as_secs();
        let fraction = self.0.subsec_nanos();
        if rest == 0 && fraction == 0 {
            return f.write_str("0s");
        }
        for (seconds, unit) in UNITS {
            if rest >= seconds {
                write!(f, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        for (nanoseconds, unit) in [(1_000_000, "ms"), (1_000, "us"), (1, "ns")] {
            let amount = fraction / nanoseconds % 1_000;
            if amount > 0 {
                write!(f, "{amount}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration: 30s, 5m, 1h30m, 15d, 2w.",
            "examples": ["30s", "1h30m", "2w"],
        })
    }
}

/// A number of bytes: `64MiB`, `1.5GB`, `512`. `K`, `M`, `G` and `T` alone mean powers of 1024, as `du` and restic have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

/// Why a text is not a size.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a size; write it like 512, 64KiB, 1.5GB or 2GiB")]
pub(crate) struct SizeError(String);

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        parse_size(text.trim())
            .map(Self)
            .ok_or_else(|| SizeError(text.chars().take(64).collect()))
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit: u128 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 || whole.len() > 20 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let bytes = whole.parse::<u128>().ok()?.checked_mul(unit)?
        + fraction.parse::<u128>().ok()? * unit / scale;
    u64::try_from(bytes).ok()
}

impl fmt::Display for Size {
    /// For people: three significant digits and a binary unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // In hundredths, so that no floating point decides what is printed; u128 holds u64::MAX * 100.
        let mut unit = 0;
        let mut divisor = 1024_u128;
        while u128::from(self.0) * 100 / divisor >= 102_400 {
            unit += 1;
            divisor <<= 10;
        }
        let hundredths = (u128::from(self.0) * 100 + divisor / 2) / divisor;
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        match whole {
            0..=9 => write!(f, "{whole}.{rest:02} {}", UNITS[unit]),
            10..=99 => write!(f, "{whole}.{} {}", rest / 10, UNITS[unit]),
            _ => write!(f, "{whole} {}", UNITS[unit]),
        }
    }
}

/// Bytes in a second: `10MiB/s`, `500KB/s`. Not nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(u64);

/// Why a text is not a rate.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a rate; write it like 10MiB/s or 500KB/s")]
pub(crate) struct RateError(String);

impl Rate {
    pub(crate) fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let size = text.trim().strip_suffix("/s").unwrap_or(text);
        match parse_size(size.trim()) {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err(RateError(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Rate {
    /// Exact; parses back to the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = UNITS.iter().find(|(unit, _)| self.0.is_multiple_of(*unit));
        let (unit, name) = whole.copied().unwrap_or((1, "B"));
        write!(f, "{}{name}/s", self.0 / unit)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Bytes in a second: 10MiB/s, 500KB/s.",
            "examples": ["10MiB/s"],
        })
    }
}

/// The time now, RFC 3339, to the millisecond: enough to tell captures apart, and short to read.
pub(crate) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// The same in seconds since 1970.
pub(crate) fn now_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

/// Why a text is not a moment.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a time; write it like 2026-11-22T01:00Z or 2026-11-22T02:00+01:00")]
pub(crate) struct MomentError(String);

/// A moment with its zone said: a bare local time would mean something else on the next machine.
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, MomentError> {
    text.parse()
        .map_err(|_| MomentError(text.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, seconds) in [
            ("15d", 15 * 86400),
            ("2w", 14 * 86400),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("5s", 5),
            ("0s", 0),
        ] {
            assert_eq!(
                text.parse::<Period>().expect(text).duration(),
                Duration::from_secs(seconds)
            );
        }
        assert_eq!(
            "250ms".parse::<Period>().expect("ms").duration(),
            Duration::from_millis(250)
        );
        for text in [
            "",
            "5",
            "-5s",
            "5 parsecs",
            "1mo",
            "200y",
            "9999999999999999h",
            "5s\u{7}",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("512", 512),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("64M", 64 << 20),
            ("1.5GB", 1_500_000_000),
            ("1.5k", 1536),
            ("2tib", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse::<Size>().expect(text).0, bytes, "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.",
            "1.2.3",
            "1e3",
            "64 MB/s",
            "18446744073709551616",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (64 << 20, "64.0 MiB"),
            (1 << 30, "1.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn moments_say_their_zone() {
        let moment = parse_moment("2026-11-22T01:00Z").expect("without seconds");
        assert_eq!(
            moment,
            parse_moment("2026-11-22T02:00:00+01:00").expect("with an offset")
        );
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T01:00",
            "yesterday",
            "2026-13-01T00:00Z",
        ] {
            assert!(parse_moment(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(nanoseconds in 0..u64::MAX / 8) {
            let period = Period(Duration::from_nanos(nanoseconds));
            prop_assert_eq!(period.to_string().parse::<Period>().expect("parses"), period);
        }

        #[test]
        fn a_whole_size_reads_back(count in 0_u64..1 << 24, unit in 0_usize..5) {
            let (name, bytes) = [("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GB", 1_000_000_000), ("TiB", 1 << 40)][unit];
            prop_assert_eq!(format!("{count}{name}").parse::<Size>().expect("parses").0, count * bytes);
        }

        #[test]
        fn a_printed_size_is_near_the_truth(bytes: u64) {
            let printed = Size(bytes).to_string();
            let (number, unit) = printed.split_once(' ').expect("a unit");
            let power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter().position(|u| *u == unit).expect("known");
            let value = number.parse::<f64>().expect("a number") * 1024_f64.powi(i32::try_from(power).expect("small"));
            #[expect(clippy::cast_precision_loss, reason = "compared to one part in a hundred")]
            let bytes = bytes as f64;
            prop_assert!((value - bytes).abs() <= bytes / 100.0);
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = (text.parse::<Period>(), text.parse::<Size>(), parse_moment(&text));
        }
    }
}
