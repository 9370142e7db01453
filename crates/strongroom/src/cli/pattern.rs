use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// A pattern over names as `show` prints them (`SOURCE:ENTRY`), to look for entries: a text without `*`, `?`, `[` and `{` is a piece of
/// the name.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    glob: Option<GlobMatcher>,
}

/// Which entries are meant, to choose some: a pattern, or without those signs a whole name, which also means all that lies below it. A
/// piece of a name would be too much: `secrets/shop/db` must not bring back `secrets/shop/db-replica`.
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
    pub(crate) fn matches(&self, source: &str, entry: &str) -> bool {
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

    /// How all names in `source` begin that can match, as far as that is said; `None`: in any way.
    pub(crate) fn front(&self, source: &str) -> Option<&str> {
        let Self(Pattern { text, glob }) = self;
        let own = text
            .strip_prefix(source)
            .and_then(|rest| rest.strip_prefix(':'));
        let text = own.unwrap_or(text);
        // Without a slash, the last part of a name may match alone.
        if !text.contains('/') {
            return None;
        }
        let signs: &[char] = match glob {
            Some(_) => &['*', '?', '[', '{', '\\'],
            None => &['\\'],
        };
        let front = text.split(signs).next().unwrap_or_default();
        Some(if glob.is_none() {
            front.trim_end_matches('/')
        } else {
            front
        })
    }
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
    pub(crate) fn takes(&mut self, source: &str, entry: &str) -> bool {
        let mut taken = self.only.is_empty();
        for (only, used) in self.only.iter().zip(&mut self.used) {
            if only.matches(source, entry) {
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
            only.matches("config", ENTRY)
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
        for (text, front) in [
            ("/app/db", Some("/app/db")),
            ("etcd:/app/db/", Some("/app/db")),
            ("/app/*/db", Some("/app/")),
            ("/app/a\\x00", Some("/app/a")),
            ("**/db", Some("")),
            ("/", Some("")),
            ("etcd:", None),
            ("db", None),
            ("d*", None),
        ] {
            let only: Only = text.parse().expect(text);
            assert_eq!(only.front("etcd"), front, "{text}");
        }
        let only = Only::entry("secrets/n/a[b]*");
        assert!(only.matches("s", "secrets/n/a[b]*") && !only.matches("s", "secrets/n/ab"));
    }
}
