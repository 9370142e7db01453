use std::collections::{BTreeMap, BTreeSet};

use format::{Object, RunId};

use crate::view::View;

/// Every object that valid snapshots name, by run and name within the run.
///
/// Two snapshots that disagree about an object are both listed: at most one of them is right.
pub(crate) type NamedObjects = BTreeMap<(RunId, String), Vec<Named>>;

/// An object, and who names it.
pub(crate) struct Named {
    pub(crate) object: Object,
    pub(crate) snapshots: BTreeSet<u64>,
}

/// What must be there for every snapshot of `view` to be whole.
pub(crate) fn named_objects(view: &View) -> NamedObjects {
    let mut named = NamedObjects::new();
    for snapshot in view.snapshots() {
        for (run, name, object) in snapshot.objects() {
            let known = named.entry((run, name)).or_default();
            match known.iter_mut().find(|named| named.object == object) {
                Some(named) => drop(named.snapshots.insert(snapshot.at.number)),
                None => known.push(Named {
                    object,
                    snapshots: [snapshot.at.number].into(),
                }),
            }
        }
    }
    named
}
