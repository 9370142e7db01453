use std::collections::{BTreeMap, BTreeSet};

use archive::Name;

use super::id::Id;
use super::settings::wrong;
use crate::Error;

pub(super) const MAP_NAMESPACE: &str = "map-namespace";
pub(super) const MAP_NAME: &str = "map-name";

/// Where what was captured goes: into another namespace, or to another name.
#[derive(Default)]
pub(super) struct Mapping {
    namespaces: BTreeMap<String, String>,
    /// By the entry's name, as it was captured.
    names: BTreeMap<Name, String>,
}

/// What a plan has met of a mapping.
pub(super) struct Met {
    /// Where what is renamed goes.
    targets: BTreeSet<Name>,
    namespaces: BTreeSet<String>,
    names: BTreeSet<Name>,
    /// Of the targets those that something goes to.
    taken: BTreeSet<Name>,
    /// The first that two objects would become.
    twice: Option<Name>,
}

impl Mapping {
    /// Takes `A=B,...`.
    pub(super) fn namespaces(&mut self, text: &str) -> Result<(), Error> {
        for pair in text.split(',') {
            let (from, to) = pair_of(MAP_NAMESPACE, "A=B", pair)?;
            if from.contains('/') || !is_label(to) {
                let wrong_one = Name::from(if from.contains('/') { from } else { to });
                return Err(wrong(format!(
                    "--{MAP_NAMESPACE}: {wrong_one} cannot be the name of a namespace: a-z, 0-9 and '-', at most 63"
                )));
            }
            let before = self.namespaces.insert(from.to_owned(), to.to_owned());
            must_be_first(MAP_NAMESPACE, from, before.is_none())?;
        }
        // Two objects of one name could be meant to end in one.
        let targets: BTreeSet<&String> = self.namespaces.values().collect();
        if targets.len() < self.namespaces.len() {
            return Err(wrong(format!(
                "--{MAP_NAMESPACE} maps two namespaces onto one"
            )));
        }
        Ok(())
    }

    /// Takes `KIND/NAMESPACE/A=B,...`.
    pub(super) fn names(&mut self, text: &str) -> Result<(), Error> {
        for pair in text.split(',') {
            let (from, to) = pair_of(MAP_NAME, "KIND/NAMESPACE/A=B", pair)?;
            let entry = Name::from(from);
            let id = Id::parse(&entry)
                .map_err(|reason| wrong(format!("--{MAP_NAME}: {entry} is no object: {reason}")))?;
            if id.is_namespace() {
                return Err(wrong(format!(
                    "--{MAP_NAME} does not rename namespaces: say --{MAP_NAMESPACE} {}={to}",
                    id.name
                )));
            }
            if to.len() > 253 || [".", ".."].contains(&to) || to.contains(['/', '%']) {
                let to = Name::from(to);
                return Err(wrong(format!(
                    "--{MAP_NAME}: {to} cannot be the name of an object"
                )));
            }
            let before = self.names.insert(entry, to.to_owned());
            must_be_first(MAP_NAME, from, before.is_none())?;
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.is_empty() && self.names.is_empty()
    }

    /// Where the object that was `id` goes.
    pub(super) fn place(&self, id: &Id) -> Id {
        let mapped = |name: &String| self.namespaces.get(name).unwrap_or(name).clone();
        let mut placed = id.clone();
        if let Some(name) = self.names.get(&id.entry()) {
            placed.name.clone_from(name);
        }
        placed.namespace = placed.namespace.as_ref().map(mapped);
        if placed.is_namespace() {
            placed.name = mapped(&placed.name);
        }
        placed
    }

    /// Whether the object gets another name, by which it stands elsewhere among others of its kind.
    pub(super) fn renames(&self, id: &Id) -> bool {
        self.names.contains_key(&id.entry())
    }

    /// Nothing was met yet.
    pub(super) fn unmet(&self) -> Met {
        let renamed = self.names.keys().filter_map(|entry| Id::parse(entry).ok());
        Met {
            targets: renamed.map(|id| self.place(&id).entry()).collect(),
            namespaces: BTreeSet::new(),
            names: BTreeSet::new(),
            taken: BTreeSet::new(),
            twice: None,
        }
    }

    /// Remembers that the object is among what is to be restored.
    pub(super) fn meet(&self, id: &Id, met: &mut Met) {
        let namespace = if id.is_namespace() {
            Some(&id.name)
        } else {
            id.namespace.as_ref()
        };
        let namespace = namespace.filter(|it| self.namespaces.contains_key(*it));
        met.namespaces.extend(namespace.cloned());
        if self.names.is_empty() {
            return;
        }
        if self.renames(id) {
            met.names.insert(id.entry());
        }
        let placed = self.place(id).entry();
        if met.targets.contains(&placed) && !met.taken.insert(placed.clone()) {
            met.twice.get_or_insert(placed);
        }
    }

    /// What is not among what is to be restored was mistyped: what was meant to go elsewhere would be written over where it was. And two
    /// objects cannot become one.
    pub(super) fn refuse_unmet(&self, met: &Met) -> Result<(), Error> {
        let namespace = self
            .namespaces
            .keys()
            .find(|from| !met.namespaces.contains(*from));
        if let Some(from) = namespace {
            let from = Name::from(from.as_str());
            return Err(wrong(format!(
                "--{MAP_NAMESPACE} leads out of the namespace {from}, and nothing of what is to be restored lies in it"
            )));
        }
        if let Some(from) = self.names.keys().find(|from| !met.names.contains(*from)) {
            return Err(wrong(format!(
                "--{MAP_NAME} renames {from}, which is not among what is to be restored"
            )));
        }
        match &met.twice {
            None => Ok(()),
            Some(target) => Err(wrong(format!(
                "--{MAP_NAME}: two of the objects that are to be restored would become {target}"
            ))),
        }
    }
}

fn pair_of<'t>(flag: &str, form: &str, pair: &'t str) -> Result<(&'t str, &'t str), Error> {
    let pair = pair.trim();
    let split = pair.split_once('=');
    let whole = |(from, to): &(&str, &str)| !from.is_empty() && !to.is_empty() && !to.contains('=');
    split.filter(whole).ok_or_else(|| {
        let pair = Name::from(pair);
        wrong(format!("--{flag} takes {form}, not {pair}"))
    })
}

fn must_be_first(flag: &str, from: &str, first: bool) -> Result<(), Error> {
    if first {
        return Ok(());
    }
    let from = Name::from(from);
    Err(wrong(format!("--{flag} maps {from} twice")))
}

/// A label of RFC 1123, as a namespace must be named.
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(entry: &str) -> Id {
        Id::parse(&Name::from(entry)).expect("an object")
    }

    fn mapping(namespaces: &str, names: &str) -> Result<Mapping, Error> {
        let mut mapping = Mapping::default();
        if !namespaces.is_empty() {
            mapping.namespaces(namespaces)?;
        }
        if !names.is_empty() {
            mapping.names(names)?;
        }
        Ok(mapping)
    }

    fn met(mapping: &Mapping, entries: &[&str]) -> Result<(), String> {
        let mut met = mapping.unmet();
        for entry in entries {
            mapping.meet(&id(entry), &mut met);
        }
        mapping
            .refuse_unmet(&met)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn objects_go_where_they_are_meant_to() {
        let mapping = mapping("a=b, c=d", "secrets/a/x=y,clusterroles.x/r=s").expect("a map");
        for (from, to) in [
            ("secrets/a/x", "secrets/b/y"),
            ("secrets/a/z", "secrets/b/z"),
            ("secrets/b/x", "secrets/b/x"),
            ("configmaps/a/x", "configmaps/b/x"),
            ("namespaces/c", "namespaces/d"),
            ("clusterroles.x/a", "clusterroles.x/a"),
            ("clusterroles.x/r", "clusterroles.x/s"),
        ] {
            assert_eq!(mapping.place(&id(from)).entry(), Name::from(to));
        }
    }

    #[test]
    fn what_is_not_there_was_mistyped() {
        let mapping = mapping("shop=staging,old=new", "secrets/shop/a=b").expect("a map");
        let refused = |entries: &[&str]| met(&mapping, entries).expect_err("something is missing");
        assert_eq!(met(&mapping, &["secrets/shop/a", "secrets/old/x"]), Ok(()));
        assert!(refused(&["secrets/shop/a"]).contains("namespace old,"));
        assert!(refused(&["secrets/shop/x", "secrets/old/x"]).contains("secrets/shop/a, which"));
    }

    #[test]
    fn two_objects_do_not_become_one() {
        let one = mapping("", "secrets/a/x=y").expect("a map");
        let refused = met(&one, &["secrets/a/x", "secrets/a/y"]);
        assert!(refused.is_err_and(|it| it.contains("would become secrets/a/y")));
        // What has the name in the cluster is another question, and what gives it up another object.
        assert_eq!(met(&one, &["secrets/a/x"]), Ok(()));
        let both = mapping("", "secrets/a/x=y,secrets/a/y=x").expect("a map");
        assert_eq!(met(&both, &["secrets/a/x", "secrets/a/y"]), Ok(()));
        let onto = mapping("", "secrets/a/x=z,secrets/a/y=z").expect("a map");
        assert!(met(&onto, &["secrets/a/x", "secrets/a/y"]).is_err());
        let into = mapping("b=a", "secrets/a/x=y").expect("a map");
        assert!(met(&into, &["secrets/a/x", "secrets/b/y"]).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for namespaces in [
            "a",
            "a=",
            "a=b,a=c",
            "a=c,b=c",
            "a=b/c",
            "a/x=b",
            "a=Bad_Name",
            "a=-b",
            "a=b-",
        ] {
            assert!(mapping(namespaces, "").is_err(), "{namespaces}");
        }
        for names in [
            "x=y",
            "secrets/a/x",
            "secrets/a/x=",
            "secrets/a/x=b/y",
            "secrets/a/x=..",
            "namespaces/a=b",
            "secrets/a/x=y,secrets/a/x=z",
            "secrets/a/x=y=z",
        ] {
            assert!(mapping("", names).is_err(), "{names}");
        }
    }
}
