use std::collections::{BTreeMap, HashMap, HashSet};

use format::{IdentityError, JobName, KeyName, KeyPair, RunId};

use crate::Error;
use crate::recipients::same_recipients;
use crate::view::{Trust, View};

/// How the recipients of a job's runs change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// They become these.
    To(Vec<String>),
    /// Some come, others go.
    By {
        /// Who comes.
        add: Vec<String>,
        /// Who goes.
        remove: Vec<String>,
    },
}

impl Change {
    /// Who the recipients `now` become.
    fn apply(&self, now: &[String]) -> Vec<String> {
        let mut seen = HashSet::new();
        let texts: Vec<&String> = match self {
            Self::To(texts) => texts.iter().collect(),
            Self::By { add, remove } => {
                let all = now.iter().chain(add);
                all.filter(|text| !remove.contains(text)).collect()
            }
        };
        let texts = texts.into_iter().filter(|text| seen.insert(*text));
        texts.cloned().collect()
    }
}

/// A run that is to be sealed anew.
pub(super) struct Task {
    pub(super) run: RunId,
    /// What opens it now.
    pub(super) keys: KeyPair,
    /// The last name of a key object that is there, named by a commit or not.
    pub(super) after: KeyName,
    /// Whom that is sealed to.
    pub(super) recipients: Vec<String>,
    /// The newest snapshot that needs it, for messages.
    pub(super) snapshot: String,
}

impl Task {
    /// What it means that key objects of the run which are sealed to `recipients` do not open.
    pub(super) fn refused(
        &self,
        recipients: &[String],
        error: IdentityError,
        object: String,
    ) -> Error {
        let snapshot = self.snapshot.clone();
        match error {
            IdentityError::NoneOpens => Error::NoIdentity {
                snapshot,
                recipients: recipients.join(", "),
            },
            IdentityError::Plugin(cause) => Error::Plugin { snapshot, cause },
            error => Error::damaged(object, error),
        }
    }
}

/// What a rotation would do.
#[derive(Default)]
pub(super) struct Plan {
    /// By their recipients to be.
    pub(super) tasks: BTreeMap<Vec<String>, Vec<Task>>,
    /// Runs that are sealed to these already.
    pub(super) already: u64,
    /// Runs that only snapshots name which are not accepted.
    pub(super) untrusted: u64,
}

impl Plan {
    /// Runs in `left` have key objects that nobody names, up to that name, and are sealed anew whatever their recipients are.
    pub(super) fn of(
        view: &View,
        job: &JobName,
        trust: &Trust,
        change: &Change,
        left: &HashMap<RunId, KeyName>,
    ) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        for snapshot in view.snapshots().rev().filter(|it| trust.accepts(it)) {
            for (index, run) in snapshot.runs().iter().enumerate() {
                if !seen.insert(run.run) {
                    continue;
                }
                let last = view.last_rotation(run.run);
                let recipients = last.map_or(snapshot.recipients(index), |it| &it.recipients);
                let wanted = change.apply(recipients);
                let name = format!("{job}/{}", snapshot.at.number);
                if wanted.is_empty() {
                    return Err(Error::NobodyLeft { snapshot: name });
                }
                if same_recipients(&wanted, recipients) && !left.contains_key(&run.run) {
                    plan.already += 1;
                    continue;
                }
                let keys = last.map_or_else(|| snapshot.keys_of(run), |it| it.keys);
                plan.tasks.entry(wanted).or_default().push(Task {
                    run: run.run,
                    keys,
                    after: left.get(&run.run).copied().unwrap_or(keys.name),
                    recipients: recipients.to_vec(),
                    snapshot: name,
                });
            }
        }
        let all = view.snapshots().flat_map(|it| {
            let runs = it.runs();
            runs.iter().map(|run| run.run).collect::<Vec<_>>()
        });
        let untrusted: HashSet<RunId> = all.filter(|run| !seen.contains(run)).collect();
        plan.untrusted = untrusted.len() as u64;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn some_come_and_others_go() {
        let change = Change::By {
            add: texts(&["c", "b", "c"]),
            remove: texts(&["a", "x"]),
        };
        assert_eq!(change.apply(&texts(&["a", "b"])), texts(&["b", "c"]));
        assert_eq!(change.apply(&texts(&["a"])), texts(&["c", "b"]));
        let to = Change::To(texts(&["b", "b", "a"]));
        assert_eq!(to.apply(&texts(&["x"])), texts(&["b", "a"]));
        let nobody = Change::By {
            add: vec![],
            remove: texts(&["a"]),
        };
        assert!(nobody.apply(&texts(&["a"])).is_empty());
    }
}
