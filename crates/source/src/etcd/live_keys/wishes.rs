use archive::Name;

use crate::etcd::settings::{API_SERVER_KEYS, DATA_DIR, LEASES};
use crate::{Conflict, Error, ErrorKind, RestoreOptions};

/// A restore of keys, as it was asked for.
pub(super) struct Wishes {
    pub(super) conflict: Conflict,
    pub(super) leases: Policy,
    /// Keys of a Kubernetes API server too.
    pub(super) past_the_server: bool,
}

/// What becomes of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Policy {
    /// They are granted again. What was to go with its owner goes, if the owner is not there: a lock that nobody holds, a service that
    /// does not run.
    #[default]
    Recreate,
    /// Keys are written without one, and stay.
    Drop,
}

impl Wishes {
    pub(super) fn read(options: &RestoreOptions) -> Result<Self, Error> {
        if options.target.is_some() {
            return Err(wrong(
                "an etcd that runs is no folder, so --to cannot be used for its keys: another etcd is another job of the configuration, \
                 by --into JOB",
            ));
        }
        let mut wishes = Self {
            conflict: options.conflict,
            leases: Policy::default(),
            past_the_server: false,
        };
        for (name, value) in &options.settings {
            match name.as_str() {
                LEASES => wishes.leases = Policy::parse(value)?,
                API_SERVER_KEYS => wishes.past_the_server = value == "true",
                DATA_DIR => {
                    return Err(wrong(format!(
                        "--{DATA_DIR} makes a data directory of a whole snapshot: leave out --inside"
                    )));
                }
                other => {
                    let other = Name::from(other);
                    return Err(wrong(format!("a restore of keys knows no --{other}")));
                }
            }
        }
        Ok(wishes)
    }
}

impl Policy {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "recreate" => Ok(Self::Recreate),
            "drop" => Ok(Self::Drop),
            other => Err(wrong(format!(
                "--{LEASES} is recreate or drop, not {}",
                Name::from(other)
            ))),
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Wishes, String> {
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = RestoreOptions {
            settings: settings.collect(),
            ..RestoreOptions::default()
        };
        Wishes::read(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_become_wishes_and_others_are_refused() {
        let wishes = read(&[("leases", "drop"), ("api-server-keys", "true")]).expect("valid");
        assert!(wishes.leases == Policy::Drop && wishes.past_the_server);
        let wishes = read(&[]).expect("valid");
        assert!(wishes.leases == Policy::Recreate && !wishes.past_the_server);
        for (setting, part) in [
            (("leases", "keep"), "recreate or drop"),
            (("data-dir", "/d"), "--inside"),
            (("cluster", "a=b"), "knows no --cluster"),
        ] {
            let error = read(&[setting]).err().expect("refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
