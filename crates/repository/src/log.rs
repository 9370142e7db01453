use std::collections::BTreeSet;
use std::sync::Arc;

use format::{COMMIT_MAX, Commit, CommitError, JobName};
use futures::{StreamExt, TryStreamExt, stream};

use crate::store::Name;
use crate::view::{Objects, Trust, View};
use crate::{Error, Repository};

/// Commits that are read at the same time.
const CONCURRENT_READS: usize = 16;

/// How often a log is listed while a prune deletes what was just listed.
const LISTINGS: usize = 8;

/// Numbers that a list lacks and that are asked for by name.
const ASKED_BY_NAME: usize = 16;

/// Lists the log of `job`, reads what `known` does not have, and takes the view.
///
/// Commits that are in `known` and still listed are not read again: none is ever rewritten, and one that a prune deleted is
/// listed no more. What was no commit is: it may have been read badly.
pub(crate) async fn read(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    mut known: Objects,
) -> Result<View, Error> {
    known.retain(|_, object| object.is_ok());
    let mut listings = 1;
    loop {
        let listed = repository.store.list(&Name::log(job)).await?;
        let numbers: BTreeSet<u64> = listed
            .iter()
            .filter_map(|meta| Name::commit_number(job, meta))
            .collect();
        known.retain(|number, _| numbers.contains(number));
        let gone = read_unknown(repository, job, numbers, &mut known).await?;
        let view = View::of(job, known, trust)?;
        let in_force = view.in_force().map_or(0, |(at, _)| at.number);
        // What was listed and is gone was deleted by a prune. It may have come after the list: then what it retains and what
        // follows it would seem to hang in the air.
        if gone.iter().all(|number| *number < in_force) || listings == LISTINGS {
            return ask_by_name(repository, job, trust, view).await;
        }
        listings += 1;
        known = view.into_objects();
    }
}

/// Above the prune in force no number is missing. Where one is, a commit was lost, or the list is not up to date, as lists of some
/// stores are not: who took that for the log would append what nobody else counts.
async fn ask_by_name(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    view: View,
) -> Result<View, Error> {
    let missing: BTreeSet<u64> = view.missing().take(ASKED_BY_NAME).collect();
    if missing.is_empty() {
        return Ok(view);
    }
    let mut known = view.into_objects();
    read_unknown(repository, job, missing, &mut known).await?;
    View::of(job, known, trust)
}

/// Reads those of `numbers` that are not `known`; returns those that are not there.
async fn read_unknown(
    repository: &Repository,
    job: &JobName,
    numbers: BTreeSet<u64>,
    known: &mut Objects,
) -> Result<Vec<u64>, Error> {
    let unknown: Vec<u64> = numbers
        .into_iter()
        .filter(|number| !known.contains_key(number))
        .collect();
    let read: Vec<_> = stream::iter(unknown)
        .map(async |number| Ok((number, read_one(repository, job, number).await?)))
        .buffer_unordered(CONCURRENT_READS)
        .try_collect::<Vec<_>>()
        .await?;
    let mut gone = Vec::new();
    for (number, object) in read {
        match object {
            Some(object) => drop(known.insert(number, object)),
            None => gone.push(number),
        }
    }
    Ok(gone)
}

/// `None`: there is none.
async fn read_one(
    repository: &Repository,
    job: &JobName,
    number: u64,
) -> Result<Option<Result<Arc<Commit>, CommitError>>, Error> {
    let name = Name::commit(job, number);
    match repository.store.read(&name, COMMIT_MAX).await {
        Ok(Some(object)) => {
            let commit = Commit::decode(&object, repository.id(), job, number);
            Ok(Some(commit.map(Arc::new)))
        }
        Ok(None) => Ok(None),
        Err(Error::Damaged { .. }) => Ok(Some(Err(CommitError::Shape))),
        Err(error) => Err(error),
    }
}
