//! Whether each snapshot of an etcd is at least as new as the one before it.

use std::collections::BTreeMap;
use std::fmt;

use format::Manifest;
use serde::Serialize;

/// Facts that a capture of an etcd has.
const REVISION: &str = "etcd.revision";
const CLUSTER: &str = "etcd.cluster";

/// What snapshots say of the revisions of their etcds, one after the other.
#[derive(Default)]
pub(super) struct Revisions {
    /// By source: where it was seen last.
    last: BTreeMap<String, Seen>,
    pub(super) went_back: Vec<WentBack>,
}

struct Seen {
    snapshot: String,
    cluster: Option<String>,
    revision: u64,
}

/// A snapshot with less history than the one before it, of the same cluster.
#[derive(Serialize)]
pub(super) struct WentBack {
    snapshot: String,
    source: String,
    revision: u64,
    before: String,
    revision_before: u64,
}

impl Revisions {
    /// Compares with those that were added before, which are older.
    pub(super) fn add(&mut self, snapshot: &str, manifest: &Manifest) {
        for source in &manifest.sources {
            let fact = |name: &str| source.facts.get(name);
            let Some(revision) = fact(REVISION).and_then(|text| text.parse().ok()) else {
                continue;
            };
            let seen = Seen {
                snapshot: snapshot.to_owned(),
                cluster: fact(CLUSTER).cloned(),
                revision,
            };
            let before = self.last.get(&source.name);
            if let Some(before) = before.filter(|before| before.is_newer_than(&seen)) {
                self.went_back.push(WentBack {
                    snapshot: snapshot.to_owned(),
                    source: source.name.clone(),
                    revision,
                    before: before.snapshot.clone(),
                    revision_before: before.revision,
                });
            }
            self.last.insert(source.name.clone(), seen);
        }
    }
}

impl Seen {
    /// Revisions of another cluster say nothing. One that was imported from elsewhere does not name its cluster.
    fn is_newer_than(&self, other: &Self) -> bool {
        let named = self.cluster.as_ref().zip(other.cluster.as_ref());
        self.revision > other.revision && named.is_none_or(|(one, other)| one == other)
    }
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            snapshot,
            source,
            revision,
            before,
            revision_before,
        } = self;
        write!(
            f,
            "{snapshot}: the revision of {source} is {revision}, older than {revision_before} of {before}: the cluster was restored to an \
             earlier state, or the snapshot is of a member that had fallen behind"
        )
    }
}
