use std::fmt;
use std::str::FromStr;

use archive::Name;
use globset::{GlobBuilder, GlobMatcher};
use source::etcd::Reach;

use crate::entry::Named;

/// A pattern over names as `show` prints them (`SOURCE:ENTRY`), to look for entries: a text without `*`, `?`, `[` and `{` is a piece of
/// the name.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    glob: Option<GlobMatcher>,
}

/// Which entries are meant, to choose some: a pattern, or without those signs a whole name, which also means all that lies below it. A
/// piece of a name would be too much: `secrets/shop/db` must not bring back `secrets/shop/db-replica`.
///
/// Keys of an etcd lie in no folders: `/a`, `a` and `x/a` are three, and `/a` may be one of them and `/a/b` another. A whole name is that
/// key alone, and with a slash at its end all keys that begin so.
#[derive(Clone, Debug)]
pub(crate) struct Only(Pattern);

impl Pattern {
    /// Whether an entry's printed name matches, with or without its source, and with or without the root's slash. A
    /// pattern without a slash may match the last part of the name alone, as with `find -name`.
    pub(crate) fn matches(&self, source: &str, entry: &str) -> bool {
        self.any(source, entry, |name| match &self.glob {
            Some(glob) => glob.is_match(name),
            None => name.contains(&self.text),
        })
    }

    /// Whether the entry is called so in any of the ways in which its name can be given.
    fn any(&self, source: &str, entry: &str, is: impl Fn(&str) -> bool) -> bool {
        let last = entry
            .rsplit('/')
            .next()
            .filter(|_| !self.text.contains('/'));
        let rooted = format!("/{entry}");
        let mut names = [Some(entry), last, Some(rooted.as_str())]
            .into_iter()
            .flatten();
        names.any(|name| is(name) || is(&format!("{source}:{name}")))
    }
}

impl Only {
    /// This entry, which is no folder, and no other.
    pub(crate) fn entry(name: &str) -> Self {
        Self(Pattern {
            text: name.to_owned(),
            glob: None,
        })
    }

    /// Whether an entry's printed name is meant.
    pub(crate) fn matches(&self, named: Named<'_>, entry: &str) -> bool {
        match named {
            Named::InParts(source) => self.matches_part(source, entry),
            Named::ByKey(source) => self.matches_key(source, entry),
        }
    }

    fn matches_part(&self, source: &str, entry: &str) -> bool {
        let Self(pattern) = self;
        if pattern.glob.is_some() {
            return pattern.matches(source, entry);
        }
        let whole = pattern.text.strip_suffix('/').unwrap_or(&pattern.text);
        let below = |name: &str| {
            let rest = name.strip_prefix(whole);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        pattern.any(source, entry, below)
    }

    /// A key that holds those signs is meant by its own name too, as `show` prints it.
    fn matches_key(&self, source: &str, key: &str) -> bool {
        let Self(Pattern { text, glob }) = self;
        let own = Named::ByKey(source).own(text);
        let said = own.unwrap_or(text);
        said == key
            || match (glob, own) {
                (Some(glob), Some(_)) => glob.is_match(format!("{source}:{key}")),
                (Some(glob), None) => glob.is_match(key),
                (None, _) => begins(said) && key.starts_with(said),
            }
    }

    /// The keys of the etcd `source` among which all are that can match.
    pub(crate) fn reach(&self, source: &str) -> Reach {
        let Self(Pattern { text, glob }) = self;
        let said = Named::ByKey(source).own(text).unwrap_or(text);
        let bytes = |said: &str| {
            let name = Name::unescape(said).unwrap_or_else(|| Name::from(said));
            name.as_bytes().to_vec()
        };
        if glob.is_some() {
            let front = said.split(['*', '?', '[', '{', '\\']).next();
            Reach::Beginning(front.unwrap_or_default().into())
        } else if begins(said) {
            Reach::Beginning(bytes(said))
        } else {
            Reach::Key(bytes(said))
        }
    }

    /// Whether it means one key, and none that begins so.
    pub(crate) fn is_one_key(&self) -> bool {
        let Self(Pattern { text, glob }) = self;
        glob.is_none() && !text.ends_with(['/', ':'])
    }
}

/// Whether what is said of keys is how they begin: with a slash at its end, or nothing at all, which is all keys of a source.
fn begins(said: &str) -> bool {
    said.is_empty() || said.ends_with('/')
}

/// Which of several names and patterns were of some use. One that chose nothing is most likely mistyped, and what was meant by it would be
/// missed.
pub(crate) struct Chosen<'o> {
    only: &'o [Only],
    used: Vec<bool>,
}

impl<'o> Chosen<'o> {
    pub(crate) fn new(only: &'o [Only]) -> Self {
        Self {
            only,
            used: vec![false; only.len()],
        }
    }

    /// Whether an entry is chosen; all are if nothing was said.
    pub(crate) fn takes(&mut self, named: Named<'_>, entry: &str) -> bool {
        let mut taken = self.only.is_empty();
        for (only, used) in self.only.iter().zip(&mut self.used) {
            if only.matches(named, entry) {
                *used = true;
                taken = true;
            }
        }
        taken
    }

    /// The first that has chosen nothing.
    pub(crate) fn unused(&self) -> Option<&'o Only> {
        let mut only = self.only.iter().zip(&self.used);
        only.find_map(|(only, used)| (!used).then_some(only))
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = String;

    /// An empty pattern is most likely a variable that was not set; as a part of every name it would mean everything.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty; `**` means every entry".to_owned());
        }
        let plain = !text.contains(['*', '?', '[', '{']);
        let glob = if plain {
            None
        } else {
            Some(
                GlobBuilder::new(text)
                    .literal_separator(true)
                    .build()
                    .map_err(|error| error.to_string())?
                    .compile_matcher(),
            )
        };
        Ok(Self {
            text: text.to_owned(),
            glob,
        })
    }
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "etc/app/a.pem";

    #[test]
    fn patterns_match_names_as_they_are_printed() {
        let matches = |text: &str| {
            let pattern: Pattern = text.parse().expect(text);
            pattern.matches("config", ENTRY)
        };
        for good in [
            "**/*.pem",
            "config:etc/**",
            "/etc/**",
            "config:/etc/app/*",
            "app/a",
            "fig:/etc",
            "*.pem",
            "config:a.*",
            "*em",
        ] {
            assert!(matches(good), "{good}");
        }
        for bad in [
            "config:etc/*",
            "other:etc/**",
            "app/b",
            "*.key",
            "other:*.pem",
            "app/*.key",
        ] {
            assert!(!matches(bad), "{bad}");
        }
        assert!("[".parse::<Pattern>().is_err());
    }

    #[test]
    fn what_is_chosen_by_name_is_that_and_what_lies_below_it() {
        let chosen = |text: &str| {
            let only: Only = text.parse().expect(text);
            only.matches(Named::InParts("config"), ENTRY)
        };
        for good in [
            "etc/app/a.pem",
            "/etc/app/a.pem",
            "config:etc/app/a.pem",
            "config:/etc/app/a.pem",
            "etc/app",
            "etc/app/",
            "/etc",
            "config:etc",
            "config:",
            "a.pem",
            "config:a.pem",
            "/",
            "**/*.pem",
            "*.pem",
        ] {
            assert!(chosen(good), "{good}");
        }
        for bad in [
            "etc/app/a.pe",
            "etc/app/a.pem/b",
            "etc/ap",
            "app/a.pem",
            "app",
            "tc/app/a.pem",
            "pem",
            "config",
            "other:etc",
            "fig:etc",
            "*.key",
        ] {
            assert!(!chosen(bad), "{bad}");
        }
        assert!("".parse::<Only>().is_err());
        let only = Only::entry("secrets/n/a[b]*");
        let matches = |entry| only.matches(Named::InParts("s"), entry);
        assert!(matches("secrets/n/a[b]*") && !matches("secrets/n/ab"));
    }

    /// Every key, and what is meant by each text.
    const KEYS: [&str; 9] = [
        "/a", "/a/b", "/ab", "a", "a/", "a/b", "c[1]", "etcd:a", "x/a",
    ];

    #[test]
    fn a_key_is_meant_alone_and_with_a_slash_what_begins_so() {
        for (text, meant) in [
            ("a", &["a"][..]),
            ("/a", &["/a"]),
            ("x/a", &["x/a"]),
            ("etcd:a", &["a"]),
            ("etcd:/a", &["/a"]),
            ("etcd:etcd:a", &["etcd:a"]),
            ("a/", &["a/", "a/b"]),
            ("{a/}", &["a/"]),
            ("/a/", &["/a/b"]),
            ("etcd:/a/", &["/a/b"]),
            ("/", &["/a", "/a/b", "/ab"]),
            ("etcd:", &KEYS),
            ("**", &KEYS),
            ("a*", &["a"]),
            ("e*", &["etcd:a"]),
            ("etcd:e*", &["etcd:a"]),
            ("/a*", &["/a", "/ab"]),
            ("etcd:/a*", &["/a", "/ab"]),
            ("*/a", &["/a", "x/a"]),
            ("c[1]", &["c[1]"]),
            ("b", &[]),
            ("x", &[]),
            ("other:a", &[]),
        ] {
            let only: Only = text.parse().expect(text);
            let found = KEYS.iter().copied();
            let found = found.filter(|key| only.matches(Named::ByKey("etcd"), key));
            assert_eq!(found.collect::<Vec<_>>(), meant, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_is_no_more_than_what_is_said() {
        let beginning = |front: &str| Reach::Beginning(front.into());
        let key = |key: &[u8]| Reach::Key(key.to_vec());
        for (text, reach) in [
            ("/app/db", key(b"/app/db")),
            ("db", key(b"db")),
            ("etcd:/app/db", key(b"/app/db")),
            ("/app/a\\x00", key(b"/app/a\0")),
            ("etcd:/app/db/", beginning("/app/db/")),
            ("/app/*/db", beginning("/app/")),
            ("/app/a[\\\\]", beginning("/app/a")),
            ("**/db", beginning("")),
            ("d*", beginning("d")),
            ("/", beginning("/")),
            ("etcd:", beginning("")),
        ] {
            let only: Only = text.parse().expect(text);
            assert_eq!(only.reach("etcd"), reach, "{text}");
        }
    }
}
