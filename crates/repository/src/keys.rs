use std::sync::Arc;

use archive::Digest;
use bytes::Bytes;
use format::{DataKey, Identities, IdentityError, JobName, KeyPair, RunId, SMALL_OBJECT_MAX};

use crate::store::Name;
use crate::{Compute, Error, Repository};

/// What opens key objects, and where plugins run for it.
pub(crate) type Opener<'a> = (&'a Arc<Identities>, &'a Compute);

/// Opens one of the key objects of a run, each checked against what a commit says of it; `refused` says what it means that one does
/// not open.
pub(crate) async fn open_keys(
    repository: &Repository,
    job: &JobName,
    run: RunId,
    keys: KeyPair,
    opener: Opener<'_>,
    refused: &(dyn Fn(IdentityError, String) -> Error + Sync),
) -> Result<DataKey, Error> {
    let mut last = None;
    for (name, expected) in keys.objects() {
        let name = Name::in_run(job, run, &name);
        let object = repository.store.read(&name, SMALL_OBJECT_MAX).await?;
        let name = name.to_string();
        let Some(object) = object else {
            return Err(Error::Missing { object: name });
        };
        if Digest::of(&object) != expected.digest {
            return Err(Error::damaged(name, "it is not what the commit says"));
        }
        match open_key(object, opener).await {
            // The second one is for post-quantum recipients.
            Err(IdentityError::NoneOpens) => last = Some(name),
            opened => return opened.map_err(|error| refused(error, name)),
        }
    }
    let name = last.expect("there is a key object");
    Err(refused(IdentityError::NoneOpens, name))
}

/// Elsewhere if a plugin runs for it: that takes its time, and may wait for a person.
pub(crate) async fn open_key(
    object: Bytes,
    (identities, compute): Opener<'_>,
) -> Result<DataKey, IdentityError> {
    if !identities.need_plugins() {
        return DataKey::open_with(&object, identities);
    }
    let identities = Arc::clone(identities);
    compute
        .run(move || DataKey::open_with(&object, &identities))
        .await
}
