//! Finding the entry that the user means: `SOURCE:NAME` as `show` prints it, or `NAME` if only one source has it.

use archive::{Entry, Name};
use format::ManifestSource;
use repository::{EntryReader, Snapshot};
use source::etcd::holds_keys;

use crate::cli::Inside;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inside::listing;

/// The name of a source, and how its entries are named.
#[derive(Clone, Copy)]
pub(crate) enum Named<'a> {
    /// As files and objects are, in parts between slashes: whether one stands before the first does not matter.
    InParts(&'a str),
    /// As keys of an etcd are, in which a slash is a byte like others.
    ByKey(&'a str),
}

/// An entry as the user typed it.
pub(crate) struct EntryName {
    typed: String,
}

/// An entry that was found: its source, and the reader that stands on it.
pub(crate) struct Found<'a> {
    pub(crate) source: &'a str,
    pub(crate) entry: Entry,
    pub(crate) reader: EntryReader<'a>,
}

impl EntryName {
    pub(crate) fn new(typed: &str) -> Self {
        Self {
            typed: typed.to_owned(),
        }
    }

    /// Whether the entry `name` is meant. A slash in front, as files have it, may stand or not; a key is named exactly.
    pub(crate) fn is(&self, named: Named<'_>, name: &Name) -> bool {
        let typed = self.typed.as_str();
        let own = named.own(typed);
        let is = |typed: &str| Name::unescape(typed).as_ref() == Some(name);
        match named {
            Named::ByKey(_) => is(own.unwrap_or(typed)),
            Named::InParts(_) => [Some(typed), own].into_iter().flatten().any(|typed| {
                let slashless = typed.strip_prefix('/').unwrap_or(typed);
                [typed, slashless].into_iter().any(is)
            }),
        }
    }

    /// Looks for entries whose names are like it.
    pub(crate) fn near(&self) -> Near {
        Near::new(&self.typed)
    }

    /// The one entry of `snapshot`, or of what lies `inside`, that is meant.
    pub(crate) async fn find<'a>(
        &self,
        snapshot: &'a Snapshot,
        inside: &Inside,
    ) -> anyhow::Result<Found<'a>> {
        let mut found: Option<Found<'a>> = None;
        let mut near = self.near();
        for (index, source) in snapshot.manifest().sources.iter().enumerate() {
            let mut reader = snapshot.entries(index);
            while let Some(entry) = reader.next().await? {
                if !self.is(Named::of(source), &entry.name) {
                    near.look_at(&source.name, &entry.name);
                    continue;
                }
                if let Some(first) = &found {
                    return Err(ambiguous(&self.typed, first, &source.name).into());
                }
                found = Some(Found {
                    source: &source.name,
                    entry,
                    reader,
                });
                break;
            }
        }
        if let Some(found) = found {
            return Ok(found);
        }
        Err(match self.missing(snapshot) {
            Some(missing) => missing.into(),
            None => near.failure(self, snapshot, inside).into(),
        })
    }

    /// The entry is known, and was left out of the snapshot.
    fn missing(&self, snapshot: &Snapshot) -> Option<Failure> {
        let sources = snapshot.manifest().sources.iter();
        let mut missing = sources.flat_map(|source| {
            let all = source.incomplete.iter();
            all.map(move |it| (source, it))
        });
        let (source, missing) =
            missing.find(|(source, it)| self.is(Named::of(source), &it.name))?;
        let message = format!("{}:{}: {}", source.name, missing.name, missing.reason);
        Some(Failure::new(Exit::Failure, message))
    }
}

impl<'a> Named<'a> {
    pub(crate) fn of(source: &'a ManifestSource) -> Self {
        if holds_keys(&source.facts) {
            Self::ByKey(&source.name)
        } else {
            Self::InParts(&source.name)
        }
    }

    /// The name of the source.
    pub(crate) fn source(self) -> &'a str {
        match self {
            Self::InParts(source) | Self::ByKey(source) => source,
        }
    }

    /// What stands behind `SOURCE:` in what was typed, if that is this source.
    pub(crate) fn own(self, typed: &str) -> Option<&str> {
        let rest = typed.strip_prefix(self.source())?;
        rest.strip_prefix(':')
    }
}

fn ambiguous(typed: &str, first: &Found<'_>, second: &str) -> Failure {
    let message = format!("{} and {second} both have an entry {typed}", first.source);
    Failure::new(Exit::Failure, message).hint(format!("{}:{}", first.source, first.entry.name))
}

/// The entries whose names are nearest to one that does not exist, found while looking for it.
pub(crate) struct Near {
    typed: String,
    best: Vec<(usize, String)>,
}

/// So many are offered.
const OFFERED: usize = 3;

impl Near {
    pub(crate) fn new(typed: &str) -> Self {
        Self {
            typed: typed.chars().take(256).collect(),
            best: Vec::new(),
        }
    }

    pub(crate) fn look_at(&mut self, source: &str, name: &Name) {
        if let Some(distance) = self.distance(source, name) {
            self.best.push((distance, format!("{source}:{name}")));
            self.best.sort();
            self.best.dedup();
            self.best.truncate(OFFERED);
        }
    }

    /// How far the name is from what was typed; `None`: too far.
    pub(crate) fn distance(&self, source: &str, name: &Name) -> Option<usize> {
        let full = format!("{source}:{name}");
        let base = full.rsplit(['/', ':']).next().unwrap_or_default();
        let short = self.typed.chars().count() / 3;
        let distances = [full.as_str(), &full[source.len() + 1..], base]
            .map(|known| near_distance(&self.typed, known, short.max(1)));
        // The same last part in another folder is a good guess too.
        let typed_base = self.typed.rsplit(['/', ':']).next().unwrap_or_default();
        let same_base = (typed_base == base).then_some(short);
        distances.into_iter().chain([same_base]).flatten().min()
    }

    /// That `entry` is not there.
    pub(crate) fn failure(
        &self,
        entry: &EntryName,
        snapshot: &Snapshot,
        inside: &Inside,
    ) -> Failure {
        let message = format!("{} has no entry {}", snapshot.name(), entry.typed);
        let hint = self.hint().unwrap_or_else(|| listing(snapshot, inside));
        Failure::new(Exit::Failure, message).hint(hint)
    }

    /// What may have been meant.
    pub(crate) fn hint(&self) -> Option<String> {
        let names: Vec<&str> = self.best.iter().map(|(_, name)| name.as_str()).collect();
        (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
    }
}

/// Names of very different lengths are not compared: that would cost their product for every entry.
fn near_distance(typed: &str, known: &str, allowed: usize) -> Option<usize> {
    if typed.len().abs_diff(known.len()) > allowed * 4 {
        return None;
    }
    Some(strsim::damerau_levenshtein(typed, known)).filter(|distance| *distance <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_with_or_without_its_source_and_slash() {
        let name = Name::from("etc/app/tls.key");
        for typed in [
            "etc/app/tls.key",
            "/etc/app/tls.key",
            "config:etc/app/tls.key",
            "config:/etc/app/tls.key",
        ] {
            assert!(
                EntryName::new(typed).is(Named::InParts("config"), &name),
                "{typed}"
            );
        }
        for typed in [
            "other:etc/app/tls.key",
            "tls.key",
            "config:",
            "",
            "config:etc/app/tls.ke",
        ] {
            assert!(
                !EntryName::new(typed).is(Named::InParts("config"), &name),
                "{typed}"
            );
        }
        let odd = Name::new(&b"odd:\xff\n\\"[..]);
        for named in [Named::InParts("s"), Named::ByKey("s")] {
            assert!(EntryName::new("odd:\\xff\\x0a\\\\").is(named, &odd));
            assert!(EntryName::new("s:odd:\\xff\\x0a\\\\").is(named, &odd));
        }
    }

    #[test]
    fn a_key_is_named_with_the_slash_that_it_has() {
        let is = |typed: &str, key: &str| {
            EntryName::new(typed).is(Named::ByKey("etcd"), &Name::from(key))
        };
        assert!(is("/a", "/a") && is("etcd:/a", "/a") && is("etcd:etcd:a", "etcd:a"));
        assert!(!is("/a", "a") && !is("a", "/a") && !is("etcd:/a", "a") && !is("etcd:a", "etcd:a"));
    }

    #[test]
    fn near_names_are_offered() {
        let mut near = Near::new("config:etc/app/tls.kye");
        for name in [
            "etc/app/tls.key",
            "etc/app/tls.pem",
            "etc/other",
            "usr/lib/x",
        ] {
            near.look_at("config", &Name::from(name));
        }
        assert_eq!(near.best[0].1, "config:etc/app/tls.key");
        let mut near = Near::new("tls.key");
        near.look_at("config", &Name::from("etc/app/tls.key"));
        assert_eq!(near.best.len(), 1);
    }
}
