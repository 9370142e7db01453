use std::collections::BTreeMap;

use format::{COMMIT_MAX, Commit, CommitError, JobName};
use futures::{StreamExt, TryStreamExt, stream};

use crate::store::Name;
use crate::view::{Trust, View};
use crate::{Error, Repository};

/// Commits that are read at the same time.
const CONCURRENT_READS: usize = 16;

/// Lists and reads the whole log of `job` and takes its view.
pub(crate) async fn read(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
) -> Result<View, Error> {
    let listed = repository.store.list(&Name::log(job)).await?;
    let numbers = listed
        .iter()
        .filter_map(|meta| Name::commit_number(job, meta));
    let objects: BTreeMap<_, _> = stream::iter(numbers)
        .map(|number| read_one(repository, job, number))
        .buffer_unordered(CONCURRENT_READS)
        .try_filter_map(async |read| Ok(read))
        .try_collect()
        .await?;
    View::of(job, objects, trust)
}

type Read = (u64, Result<Commit, CommitError>);

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
        Ok(Some(object)) => Ok(Some((
            number,
            Commit::decode(&object, repository.id(), job, number),
        ))),
        Ok(None) => Ok(None),
        Err(Error::Damaged { .. }) => Ok(Some((number, Err(CommitError::Shape)))),
        Err(error) => Err(error),
    }
}
