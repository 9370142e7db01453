use std::collections::{BTreeMap, BTreeSet};

use archive::Name;

use super::id::Id;
use super::options::is_exact;
use super::resource::Resource;
use super::rules::{is_label, judge_name};
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
    /// Of these, and of what goes into a namespace that another one is led into, what something becomes.
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
            judge_target(&id, to)?;
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

    /// Whether it lies in, or is, a namespace that another one is led into.
    fn leads_into(&self, placed: &Id) -> bool {
        let namespace = if placed.is_namespace() {
            Some(&placed.name)
        } else {
            placed.namespace.as_ref()
        };
        let mut targets = self.namespaces.values();
        namespace.is_some_and(|namespace| targets.any(|target| target == namespace))
    }

    /// Whether the object gets another name, by which it stands elsewhere among others of its kind.
    pub(super) fn renames(&self, id: &Id) -> bool {
        self.names.contains_key(&id.entry())
    }

    /// What a renamed object leaves behind, in one sentence.
    pub(super) fn notes(&self) -> Option<String> {
        let ((first, name), count) = (self.names.first_key_value()?, self.names.len());
        let name = Name::from(name.as_str());
        Some(match count {
            1 => format!(
                "what refers to {first} by its name (pods, service accounts) does not refer to {name}"
            ),
            count => format!(
                "what refers to {first} and {} more by their names (pods, service accounts) does not refer to what they are called then",
                count - 1
            ),
        })
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
        if self.is_empty() {
            return;
        }
        if self.renames(id) {
            met.names.insert(id.entry());
        }
        let placed = self.place(id);
        let entry = placed.entry();
        let may_clash = self.leads_into(&placed) || met.targets.contains(&entry);
        if may_clash && !met.taken.insert(entry.clone()) {
            met.twice.get_or_insert(entry);
        }
    }

    /// What is not among what is to be restored was mistyped: what was meant to go elsewhere would be written over where it was. And two
    /// objects cannot become one.
    pub(super) fn refuse_unmet<'n>(
        &self,
        met: &Met,
        restored: impl Iterator<Item = &'n Name>,
    ) -> Result<(), Error> {
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
            let hint = match meant(from, restored) {
                Some(other) => format!(": did you mean {other}?"),
                None if !is_exact(&from.to_string()) => {
                    "; it is for one object, and knows no patterns".to_owned()
                }
                None => String::new(),
            };
            return Err(wrong(format!(
                "--{MAP_NAME} renames {from}, which is not among what is to be restored{hint}"
            )));
        }
        match &met.twice {
            None => Ok(()),
            Some(target) => Err(wrong(format!(
                "two of the objects that are to be restored would become {target}: --only chooses one of them, or map the other too"
            ))),
        }
    }
}

/// The first of the objects that are called as `mistyped` is, but for their kind or their namespace.
fn meant<'n>(mistyped: &Name, mut restored: impl Iterator<Item = &'n Name>) -> Option<&'n Name> {
    let last = |name: &Name| Id::parse(name).ok().map(|id| id.name);
    let name = last(mistyped)?;
    restored.find(|other| last(other).is_some_and(|other| other == name))
}

fn pair_of<'t>(flag: &str, form: &str, pair: &'t str) -> Result<(&'t str, &'t str), Error> {
    let pair = pair.trim();
    if pair.is_empty() {
        return Err(wrong(format!(
            "--{flag} takes {form},... and is given nothing, or a comma too many"
        )));
    }
    let split = pair.split_once('=');
    let split = split.map(|(from, to)| (from.trim(), to.trim()));
    let whole = |(from, to): &(&str, &str)| !from.is_empty() && !to.is_empty() && !to.contains('=');
    split.filter(whole).ok_or_else(|| {
        let pair = Name::from(pair);
        wrong(format!("--{flag} takes {form}, not {pair}"))
    })
}

/// The server would refuse the name, but not before everything else is restored.
fn judge_target(id: &Id, to: &str) -> Result<(), Error> {
    if to.contains('/') {
        let (whole, last) = (
            Name::from(to),
            Name::from(to.rsplit('/').next().unwrap_or(to)),
        );
        return Err(wrong(format!(
            "--{MAP_NAME}: {whole} cannot be the name of an object, which keeps its kind and its namespace: say {}={last}, and \
             --{MAP_NAMESPACE} for another namespace",
            id.entry()
        )));
    }
    let judged = if has_usual_names(id) {
        judge_name(&Resource::of_entry(id), to)
    } else if to.len() > 253 || [".", ".."].contains(&to) || to.contains('%') {
        Err("at most 253 characters and no / or %")
    } else {
        Ok(())
    };
    judged.map_err(|rule| {
        let to = Name::from(to);
        wrong(format!(
            "--{MAP_NAME}: {to} cannot be the name of an object: it has {rule}"
        ))
    })
}

/// Whether objects of its kind are named as those of Kubernetes itself are. Other servers behind the API have other rules.
fn has_usual_names(id: &Id) -> bool {
    match id.kind.split_once('.') {
        None => true,
        Some((_, group)) => group.ends_with(".k8s.io") || !group.contains('.'),
    }
}

fn must_be_first(flag: &str, from: &str, first: bool) -> Result<(), Error> {
    if first {
        return Ok(());
    }
    let from = Name::from(from);
    Err(wrong(format!("--{flag} maps {from} twice")))
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
        let names: Vec<Name> = entries.iter().map(|entry| Name::from(*entry)).collect();
        mapping
            .refuse_unmet(&met, names.iter())
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
    fn others_have_other_names() {
        for names in [
            "roles.rbac.authorization.k8s.io/a/x=system:Reader",
            "users.user.openshift.io/x=kube:Admin",
            "certificates.cert-manager.io/a/x=a.b",
        ] {
            assert!(mapping("", names).is_ok(), "{names}");
        }
    }

    #[test]
    fn what_is_not_there_was_mistyped() {
        let mapping = mapping("shop=staging,old=new", "secrets/shop/a=b").expect("a map");
        let refused = |entries: &[&str]| met(&mapping, entries).expect_err("something is missing");
        assert_eq!(met(&mapping, &["secrets/shop/a", "secrets/old/x"]), Ok(()));
        assert!(refused(&["secrets/shop/a"]).contains("namespace old,"));
        assert!(refused(&["secrets/shop/x", "secrets/old/x"]).contains("secrets/shop/a, which"));
        let other = refused(&["secrets/shop/x", "secrets/old/a"]);
        assert!(other.ends_with("did you mean secrets/old/a?"), "{other}");
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
        let into = mapping("b=a", "").expect("a map");
        for (mine, other) in [
            ("secrets/a/x", "secrets/b/x"),
            ("namespaces/a", "namespaces/b"),
        ] {
            assert!(met(&into, &[mine, other]).is_err(), "{mine}");
        }
        assert_eq!(met(&into, &["secrets/a/x", "secrets/b/y"]), Ok(()));
        let changed = mapping("a=b,b=a", "").expect("a map");
        assert_eq!(met(&changed, &["secrets/a/x", "secrets/b/x"]), Ok(()));
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
            "secrets/a/x=Db",
            "secrets/a/x=db_before",
            "secrets/a/x=-db",
            "services/a/x=a.b",
            "x.example.com/a/x=a%b",
            "namespaces/a=b",
            "secrets/a/x=y,secrets/a/x=z",
            "secrets/a/x=y=z",
        ] {
            assert!(mapping("", names).is_err(), "{names}");
        }
    }
}
