use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name or id that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct IdError {
    what: &'static str,
    rule: &'static str,
}

/// Fixed-size ids with one text form: lower-case hexadecimal, on disk, in flags and in messages.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { what: $what, rule: $rule };
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(error);
                }
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| error)?;
                Ok(Self(bytes))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
    };
}

hex_id!(
    /// Names a repository: 128 random bits.
    RepositoryId, 16, "a repository id", "32 lower-case hexadecimal digits"
);
hex_id!(
    /// Names a run: 128 random bits, so that no two processes ever write the same object.
    RunId, 16, "a run", "32 lower-case hexadecimal digits"
);
hex_id!(
    /// A writer's Ed25519 public key, which is also its name and fingerprint.
    WriterId, 32, "a writer", "its public key of 64 lower-case hexadecimal digits"
);

impl RepositoryId {
    /// A new one.
    pub fn random() -> Self {
        Self(random())
    }
}

impl RunId {
    /// A new one.
    pub fn random() -> Self {
        Self(random())
    }
}

/// Bytes from the operating system's generator, without which nothing here can work.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random number generator");
    bytes
}

/// The name of a job: `[a-z0-9][a-z0-9_-]{0,62}`, optionally followed by `.undo`. Safe in paths and URLs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct JobName(String);

/// Marks the job that holds what a restore of the job was about to overwrite.
const UNDO: &str = ".undo";

impl JobName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The job for snapshots that are taken before a restore of this one overwrites live state.
    #[must_use]
    pub fn undo(&self) -> Self {
        if self.is_undo() {
            self.clone()
        } else {
            Self(format!("{}{UNDO}", self.0))
        }
    }

    /// Whether this is such a job.
    pub fn is_undo(&self) -> bool {
        self.0.ends_with(UNDO)
    }
}

impl FromStr for JobName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let base = text.strip_suffix(UNDO).unwrap_or(text);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = base.bytes().next().is_some_and(plain)
            && base.len() <= 63
            && base.bytes().all(|b| plain(b) || b == b'-' || b == b'_');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(JOB_ERROR)
        }
    }
}

const JOB_ERROR: IdError = IdError {
    what: "a job's name",
    rule: "1 to 63 lower-case letters, digits, '-' and '_', starting with a letter or digit",
};

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> Self {
        name.0
    }
}

impl TryFrom<String> for JobName {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_cannot_leave_their_folder() {
        for good in ["a", "prod", "0-x_y", "prod.undo", &"x".repeat(63)] {
            assert_eq!(
                good.parse::<JobName>().map(|name| name.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            ".undo",
            "..",
            "a/b",
            "A",
            "-a",
            "a.b",
            "a\n",
            "é",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<JobName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_have_one_text_form() {
        let id = RunId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("AB".repeat(16).parse::<RunId>().is_err());
        assert!("ab".repeat(15).parse::<RunId>().is_err());
    }
}
