use std::collections::BTreeMap;

use jiff::Timestamp;

/// What the original calls its objects where the configuration does not say.
const USUAL_PREFIX: &str = "backup";
/// A key of S3 has 1,024 bytes at most.
const PREFIX_MAX: usize = 900;

/// How the objects of one cluster are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

/// Why a text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixFault {
    /// A name of an object would be too long.
    #[error("it is longer than {PREFIX_MAX} bytes")]
    Long,
    /// Servers and their clients disagree about what such names mean.
    #[error("between its slashes stands nothing, `.` or `..`")]
    Part,
    /// Not to be had in a listing.
    #[error("it holds a control character")]
    Control,
}

/// The moment of a backup, with its spelling, which is a part of the names of its objects. In order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    moment: Timestamp,
    text: String,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The snapshot.
    Dump,
    /// The key that opens it.
    Key,
}

/// The objects of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// When.
    pub stamp: Stamp,
    /// The bytes of the dump, if it is there.
    pub dump: Option<u64>,
    /// The bytes of the key object, if it is there.
    pub key: Option<u64>,
}

impl Names {
    /// With this prefix; an empty one means the usual one.
    pub fn new(prefix: &str) -> Result<Self, PrefixFault> {
        let prefix = if prefix.is_empty() {
            USUAL_PREFIX
        } else {
            prefix
        };
        if prefix.len() > PREFIX_MAX {
            return Err(PrefixFault::Long);
        }
        if prefix.chars().any(char::is_control) {
            return Err(PrefixFault::Control);
        }
        // What follows the last slash is continued by `-` and a time.
        let folders = prefix.rsplit_once('/').map(|(folders, _)| folders);
        let part = |part: &str| ["", ".", ".."].contains(&part);
        if folders.is_some_and(|folders| folders.split('/').any(part)) {
            return Err(PrefixFault::Part);
        }
        let prefix = prefix.to_owned();
        Ok(Self { prefix })
    }

    /// The prefix, as configured.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What all of these names start with.
    pub fn start(&self) -> String {
        format!("{}-", self.prefix)
    }

    /// The name of the object of this kind and moment.
    pub fn of(&self, stamp: &Stamp, kind: Kind) -> String {
        let ending = match kind {
            Kind::Dump => "dump",
            Kind::Key => "key",
        };
        format!("{}-{}.{ending}", self.prefix, stamp.text)
    }

    /// What an object is, if it is one of these.
    pub fn understand(&self, name: &str) -> Option<(Stamp, Kind)> {
        let rest = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let (text, ending) = rest.rsplit_once('.')?;
        let kind = match ending {
            "dump" => Kind::Dump,
            "key" => Kind::Key,
            _ => return None,
        };
        Some((Stamp::parse(text)?, kind))
    }
}

impl Stamp {
    /// As the original writes it: UTC, whole seconds.
    pub fn at(moment: Timestamp) -> Self {
        let moment = Timestamp::from_second(moment.as_second()).expect("it was in range");
        let text = moment.to_string();
        Self { moment, text }
    }

    /// RFC 3339 with whole seconds, ending in `Z` or an offset.
    pub fn parse(text: &str) -> Option<Self> {
        // jiff reads more than Go writes: names with anything else are not of etcd-backup.
        let shape = |text: &str, shape: &str| {
            text.len() == shape.len()
                && text
                    .bytes()
                    .zip(shape.bytes())
                    .all(|(byte, as_in)| as_in == byte || as_in == b'0' && byte.is_ascii_digit())
        };
        let (time, zone) = text.split_at_checked(19)?;
        let zoned = zone == "Z" || ["+00:00", "-00:00"].iter().any(|it| shape(zone, it));
        if !zoned || !shape(time, "0000-00-00T00:00:00") {
            return None;
        }
        let moment = text.parse().ok()?;
        let text = text.to_owned();
        Some(Self { moment, text })
    }

    /// The moment.
    pub fn moment(&self) -> Timestamp {
        self.moment
    }

    /// As it stands in the names.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The backups that these objects are, the oldest first. Whatever has another name is passed over.
pub fn gather(names: &Names, objects: impl IntoIterator<Item = (String, u64)>) -> Vec<Backup> {
    let mut found: BTreeMap<Stamp, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for (name, bytes) in objects {
        let Some((stamp, kind)) = names.understand(&name) else {
            continue;
        };
        let (dump, key) = found.entry(stamp).or_default();
        match kind {
            Kind::Dump => *dump = Some(bytes),
            Kind::Key => *key = Some(bytes),
        }
    }
    let backups = found.into_iter();
    backups
        .map(|(stamp, (dump, key))| Backup { stamp, dump, key })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        let names = Names::new("").expect("the usual one");
        let stamp = Stamp::at("2024-12-06T21:22:25.9Z".parse().expect("a time"));
        assert_eq!(
            names.of(&stamp, Kind::Dump),
            "backup-2024-12-06T21:22:25Z.dump"
        );
        assert_eq!(
            names.of(&stamp, Kind::Key),
            "backup-2024-12-06T21:22:25Z.key"
        );
        let read = names.understand("backup-2024-12-06T21:22:25Z.dump");
        assert_eq!(read, Some((stamp, Kind::Dump)));
    }

    #[test]
    fn every_spelling_of_a_time_is_read_and_kept() {
        let names = Names::new("a/b.c").expect("a prefix");
        for text in [
            "2024-12-06T21:22:25Z",
            "2024-12-06T21:22:25+00:00",
            "2024-12-06T16:22:25-05:00",
            "2024-12-07T03:07:25+05:45",
        ] {
            let name = format!("a/b.c-{text}.key");
            let (stamp, kind) = names.understand(&name).expect(text);
            assert_eq!(
                (kind, stamp.moment().as_second()),
                (Kind::Key, 1_733_520_145)
            );
            assert_eq!(names.of(&stamp, kind), name);
        }
    }

    #[test]
    fn other_names_are_passed_over() {
        let names = Names::new("a.b").expect("a prefix");
        for name in [
            "",
            "a.b",
            "a.b-",
            "a.b-.dump",
            "axb-2024-12-06T21:22:25Z.dump",
            "a.b-2024-12-06T21:22:25Z",
            "a.b-2024-12-06T21:22:25Z.dump.part",
            "a.b-2024-12-06T21:22:25.5Z.dump",
            "a.b-2024-12-06 21:22:25Z.dump",
            "a.b-2024-12-06t21:22:25z.dump",
            "a.b-2024-13-06T21:22:25Z.dump",
            "a.b-2024-12-06T21:22:25.dump",
            "a.b-2024-12-06T21:22:25+0000.dump",
            "a.b-2024-12-06T21:22:25Z[UTC].dump",
            "a.b-+24-12-06T21:22:25Z.dump",
            "a.b-2024-12-06T21:22:2\u{e9}Z.dump",
            "x/a.b-2024-12-06T21:22:25Z.dump",
        ] {
            assert_eq!(names.understand(name), None, "{name}");
        }
    }

    #[test]
    fn a_prefix_leads_somewhere() {
        for good in ["backup", "prod/etcd", "a/", "a..b", "ä b", ".a"] {
            assert!(Names::new(good).is_ok(), "{good}");
        }
        for (bad, fault) in [
            ("/a", PrefixFault::Part),
            ("a//b", PrefixFault::Part),
            ("a/../b", PrefixFault::Part),
            ("a\n", PrefixFault::Control),
            (&"x".repeat(1000), PrefixFault::Long),
        ] {
            assert_eq!(Names::new(bad), Err(fault), "{bad}");
        }
    }

    #[test]
    fn objects_become_backups() {
        let names = Names::new("b").expect("a prefix");
        let objects = [
            ("b-2024-01-02T00:00:00Z.dump", 5),
            ("b-2024-01-01T00:00:00Z.key", 72),
            ("b-2024-01-01T00:00:00Z.dump", 3),
            ("b-2024-01-01T00:00:00+00:00.key", 72),
            ("readme", 1),
        ];
        let found = gather(
            &names,
            objects.map(|(name, bytes)| (name.to_owned(), bytes)),
        );
        let seen: Vec<_> = found
            .iter()
            .map(|it| (it.stamp.text(), it.dump, it.key))
            .collect();
        assert_eq!(
            seen,
            [
                ("2024-01-01T00:00:00+00:00", None, Some(72)),
                ("2024-01-01T00:00:00Z", Some(3), Some(72)),
                ("2024-01-02T00:00:00Z", Some(5), None),
            ]
        );
    }
}
