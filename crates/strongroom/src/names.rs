//! What a user may call a job, a source and a snapshot, and what a mistyped name was probably meant to be.

use std::fmt;
use std::str::FromStr;

use format::JobName;
use jiff::Timestamp;

use crate::units::parse_moment;

/// The longest name of a job or a source.
const NAME_MAX: usize = 63;

/// Why a text cannot name a job or a source in the configuration.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name {0:?} is not usable: use 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or a digit"
)]
pub(crate) struct NameError(String);

/// Accepts what may name a job or a source in the configuration.
pub(crate) fn check_name(text: &str) -> Result<(), NameError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if first && text.len() <= NAME_MAX && text.bytes().all(inner) {
        Ok(())
    } else {
        Err(NameError(text.chars().take(80).collect()))
    }
}

/// A snapshot as a user names it: `prod/42`, `prod` (its newest), or `prod@2026-11-22T01:00Z` (the newest not after it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotName {
    pub(crate) job: JobName,
    pub(crate) which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Newest,
    Number(u64),
    NotAfter(Timestamp),
}

/// Why a text does not name a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotNameError {
    #[error(transparent)]
    Job(#[from] format::IdError),
    #[error("{0:?} is not the number of a snapshot; write JOB/NUMBER, like prod/42")]
    Number(String),
    #[error(transparent)]
    Moment(#[from] crate::units::MomentError),
}

impl FromStr for SnapshotName {
    type Err = SnapshotNameError;

    fn from_str(text: &str) -> Result<Self, SnapshotNameError> {
        if let Some((job, moment)) = text.split_once('@') {
            return Ok(Self {
                job: job.parse()?,
                which: Which::NotAfter(parse_moment(moment)?),
            });
        }
        let Some((job, number)) = text.split_once('/') else {
            return Ok(Self {
                job: text.parse()?,
                which: Which::Newest,
            });
        };
        let job = job.parse()?;
        match number.parse() {
            Ok(parsed) if number.bytes().all(|b| b.is_ascii_digit()) => Ok(Self {
                job,
                which: Which::Number(parsed),
            }),
            _ => Err(SnapshotNameError::Number(number.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Newest => write!(f, "{}", self.job),
            Which::Number(number) => write!(f, "{}/{number}", self.job),
            Which::NotAfter(moment) => write!(f, "{}@{moment}", self.job),
        }
    }
}

/// "1 entry", "2 entries".
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The known name that `typed` was probably meant to be: at most a third of it differs, or it is how this one begins and no other.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).max(1);
    let typed: String = typed.chars().take(256).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&typed, name), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min();
    near.map(|(_, name)| name)
        .or_else(|| only_longer(&typed, &known))
}

/// The one name that begins with `typed`. Two letters could be anything.
fn only_longer<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let mut longer = known.iter().filter(|name| name.starts_with(typed));
    let one = longer.next().filter(|_| typed.chars().count() > 2);
    one.filter(|_| longer.next().is_none()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_jobs() {
        for good in ["prod", "0", "a-b_c", &"a".repeat(63)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "_a",
            "Prod",
            "a/b",
            "a.undo",
            "ä",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_snapshots() {
        for text in [
            "prod",
            "prod/42",
            "prod.undo/3",
            "prod@2026-11-22T01:00:00Z",
        ] {
            assert_eq!(text.parse::<SnapshotName>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "/",
            "prod/",
            "prod/x",
            "prod/+4",
            "prod/4/5",
            "prod@",
            "prod@noon",
            "../x",
        ] {
            assert!(text.parse::<SnapshotName>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_name_is_offered_and_no_far_one() {
        let known = ["recipients", "repository", "jobs"];
        assert_eq!(nearest("recipient", known), Some("recipients"));
        assert_eq!(nearest("repositroy", known), Some("repository"));
        assert_eq!(nearest("job", known), Some("jobs"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("rep", known), Some("repository"));
        assert_eq!(nearest("re", known), None);
        assert_eq!(nearest("user", ["username", "password"]), Some("username"));
        assert_eq!(nearest("timeout", ["timeout_in", "timeout_of_all"]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Ok(name) = text.parse::<SnapshotName>() {
                prop_assert_eq!(name.to_string().parse::<SnapshotName>().expect("reads back"), name);
            }
        }
    }
}
