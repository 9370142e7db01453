use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::statement::{Object, Run, SnapshotStatement, check_recipients, present};
use crate::{RepositoryId, RunId, SMALL_OBJECT_MAX};

/// Where a snapshot lies that was copied here from another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copied {
    /// The repository whose log this is, for the statement names the one that it was made for.
    pub repository: RepositoryId,
    /// One for each run of the statement, in its order.
    pub runs: Vec<StoredRun>,
    /// The snapshot of this log that it was taken before, if it was not the newest when it was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Where the objects of one run of a copied snapshot lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRun {
    /// The run that they lie under here: a fresh one, for a name that a prune condemned must never come back.
    pub run: RunId,
    /// Where the key object is not the statement's, because the run's key had been rotated when it was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Rotated>,
}

/// A key object that a rotation had put in the place of the one that a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotated {
    /// The object; it lies under the name of any key object that was not rotated since.
    pub key: Object,
    /// The same for the post-quantum recipients, where there are others too.
    #[serde(
        rename = "key-pq",
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_pq: Option<Object>,
    /// Whom it is sealed to; at least one.
    pub recipients: Vec<String>,
}

impl Copied {
    /// The rules of a copy of `statement` that stands under `number`.
    pub(crate) fn check(
        &self,
        statement: &SnapshotStatement,
        number: u64,
    ) -> Result<(), &'static str> {
        if self
            .before
            .is_some_and(|before| before == 0 || before >= number)
        {
            return Err("it was taken before a snapshot that cannot be there yet");
        }
        if self.runs.len() != statement.runs.len() {
            return Err("it does not say where each run lies");
        }
        for rotated in self.runs.iter().filter_map(|run| run.rotated.as_ref()) {
            check_recipients(&rotated.recipients)?;
            let mut keys = [Some(rotated.key), rotated.key_pq].into_iter().flatten();
            if rotated.recipients.is_empty() || keys.any(|key| key.size > SMALL_OBJECT_MAX) {
                return Err("a key object is absurd");
            }
        }
        let mut seen = HashSet::new();
        if self.runs.iter().all(|stored| seen.insert(stored.run)) {
            Ok(())
        } else {
            Err("two runs lie in one place")
        }
    }

    /// The runs of `statement` under the names and with the key objects that they have here.
    pub(crate) fn locate<'a>(&self, statement: &'a SnapshotStatement) -> Cow<'a, [Run]> {
        let runs = statement.runs.iter().zip(&self.runs);
        let located = runs.map(|(run, stored)| {
            let rotated = stored.rotated.as_ref();
            let (key, key_pq) = rotated.map_or((run.key, run.key_pq), |it| (it.key, it.key_pq));
            Run {
                run: stored.run,
                key,
                key_pq,
                ..run.clone()
            }
        });
        Cow::Owned(located.collect())
    }
}
