use std::collections::{BTreeMap, BTreeSet};

use format::{KeyPair, Object, Run, RunId};

use crate::view::{Valid, View};

/// Every object that valid snapshots name, by run and name within the run.
///
/// Two snapshots that disagree about an object are both listed: at most one of them is right.
pub(crate) type NamedObjects = BTreeMap<(RunId, String), Vec<Named>>;

/// An object, and who names it.
pub(crate) struct Named {
    pub(crate) object: Object,
    pub(crate) snapshots: BTreeSet<u64>,
}

/// What must be there for every snapshot of `view` to be whole. Of the key objects that may open a run these are the ones that a reader
/// takes, who finds what is `there`.
pub(crate) fn named_objects(view: &View, there: impl Fn(RunId, &str) -> bool) -> NamedObjects {
    collect(view, |snapshot, index, run| {
        let opening = snapshot.opening(index, |name| there(run.run, name));
        vec![opening.keys]
    })
}

/// Also the key objects that nobody needs as long as others open the same run.
pub(crate) fn all_named_objects(view: &View) -> NamedObjects {
    collect(view, |snapshot, index, _| {
        let openings = snapshot.openings(index).into_iter();
        openings.map(|it| it.keys).collect()
    })
}

/// `keys` says which key objects count, of a run by its number in a snapshot.
fn collect(view: &View, keys: impl Fn(&Valid<'_>, usize, &Run) -> Vec<KeyPair>) -> NamedObjects {
    let mut named = NamedObjects::new();
    for snapshot in view.snapshots() {
        for (index, run) in snapshot.runs().iter().enumerate() {
            for keys in keys(&snapshot, index, run) {
                for (name, object) in run.objects(keys) {
                    let known = named.entry((run.run, name)).or_default();
                    add(known, object, snapshot.at.number);
                }
            }
        }
    }
    named
}

fn add(known: &mut Vec<Named>, object: Object, snapshot: u64) {
    match known.iter_mut().find(|named| named.object == object) {
        Some(named) => drop(named.snapshots.insert(snapshot)),
        None => known.push(Named {
            object,
            snapshots: [snapshot].into(),
        }),
    }
}
