use std::collections::{BTreeMap, HashMap, HashSet};

use format::{CommitRef, Condemned, JobName, PruneStatement, RunId};

use super::plan::Stored;
use crate::store::Name;
use crate::view::View;
use crate::{Error, Repository};

/// What a prune condemns of a run.
#[derive(Default)]
struct Fate {
    whole: bool,
    packs: HashSet<u32>,
}

fn fates(condemns: &[Condemned]) -> HashMap<RunId, Fate> {
    let mut fates: HashMap<RunId, Fate> = HashMap::new();
    for condemned in condemns {
        let fate = fates.entry(condemned.run).or_default();
        fate.whole |= condemned.whole;
        fate.packs.extend(&condemned.packs);
    }
    fates
}

/// Those of the objects that are condemned.
pub(super) fn condemned<'a>(
    condemns: &[Condemned],
    stored: &'a [Stored],
) -> impl Iterator<Item = &'a Stored> {
    let fates = fates(condemns);
    stored.iter().filter(move |stored| {
        fates.get(&stored.run).is_some_and(|fate| {
            fate.whole || stored.pack().is_some_and(|pack| fate.packs.contains(&pack))
        })
    })
}

/// Deletes what the prune `at` condemns of what is `stored`, then the commits below it that it does not retain. Returns how many
/// objects that were.
///
/// Safe for anybody at any time while that prune was seen in force once: no name that it condemns is ever written again, nor is a
/// number below it that it does not retain ever valid again. What is stored later under such a name is nobody's.
pub(super) async fn sweep(
    repository: &Repository,
    job: &JobName,
    view: &View,
    at: CommitRef,
    prune: &PruneStatement,
    stored: &[Stored],
    each: &(dyn Fn() + Sync),
) -> Result<u64, Error> {
    let store = &repository.store;
    let fates = fates(&prune.condemns);
    let gone: Vec<&Stored> = condemned(&prune.condemns, stored).collect();
    let paths: Vec<_> = gone.iter().map(|stored| stored.path.clone()).collect();
    let objects = paths.len();
    store.delete_all(&Name::runs(job), paths, each).await?;
    for run in gone.iter().map(|stored| stored.run).collect::<HashSet<_>>() {
        if fates[&run].whole {
            store.remove_folder(&Name::run(job, run));
        }
    }
    let retained: BTreeMap<u64, _> = prune.retains.iter().copied().collect();
    let dropped = view
        .numbers()
        .take_while(|number| *number < at.number)
        .filter(|number| !retained.contains_key(number));
    let paths: Vec<_> = dropped
        .map(|number| Name::commit(job, number).into_path())
        .collect();
    let commits = paths.len();
    store.delete_all(&Name::log(job), paths, each).await?;
    Ok((objects + commits) as u64)
}
