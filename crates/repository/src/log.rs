use std::collections::BTreeSet;
use std::sync::Arc;

use format::{COMMIT_MAX, Commit, CommitError, JobName};
use futures::{StreamExt, TryStreamExt, stream};

use crate::store::Name;
use crate::view::{Objects, Trust, View};
use crate::{Error, Repository};

/// Commits that are read at the same time.
const CONCURRENT_READS: usize = 16;

/// Lists the log of `job`, reads what `known` does not have, and takes the view.
///
/// Objects that are in `known` and still listed are not read again: none is ever rewritten, and one that a prune deleted
/// is listed no more.
pub(crate) async fn read(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    mut known: Objects,
) -> Result<View, Error> {
    let listed = repository.store.list(&Name::log(job)).await?;
    let numbers: BTreeSet<u64> = listed
        .iter()
        .filter_map(|meta| Name::commit_number(job, meta))
        .collect();
    known.retain(|number, _| numbers.contains(number));
    let unread: Vec<u64> = numbers
        .into_iter()
        .filter(|number| !known.contains_key(number))
        .collect();
    let read: Vec<_> = stream::iter(unread)
        .map(|number| read_one(repository, job, number))
        .buffer_unordered(CONCURRENT_READS)
        .try_collect()
        .await?;
    known.extend(read.into_iter().flatten());
    View::of(job, known, trust)
}

type Read = (u64, Result<Arc<Commit>, CommitError>);

/// `None`: a prune deleted it between the listing and now.
async fn read_one(
    repository: &Repository,
    job: &JobName,
    number: u64,
) -> Result<Option<Read>, Error> {
    match repository
        .store
        .read(&Name::commit(job, number), COMMIT_MAX)
        .await
    {
        Ok(Some(object)) => {
            let commit = Commit::decode(&object, repository.id(), job, number);
            Ok(Some((number, commit.map(Arc::new))))
        }
        Ok(None) => Ok(None),
        Err(Error::Damaged { .. }) => Ok(Some((number, Err(CommitError::Shape)))),
        Err(error) => Err(error),
    }
}
