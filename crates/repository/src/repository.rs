use std::sync::Arc;

use bytes::Bytes;
use format::{
    CommitRef, Description, DescriptionError, DigestText, JobName, RepositoryId, SMALL_OBJECT_MAX,
    Witness,
};

use crate::cache::Cache;
use crate::rules::Rules;
use crate::store::{Lock, Name, Settled, Store};
use crate::view::{Trust, View};
use crate::{Compute, Error};

/// A repository: a place whose `strongroom.json` says so.
#[derive(Clone)]
pub struct Repository {
    pub(crate) store: Store,
    pub(crate) rules: Rules,
    /// What this host has read of it before.
    pub(crate) cache: Option<Arc<Cache>>,
    /// Whether commits may be read out of bundles.
    pub(crate) bundles: bool,
    /// Where commits are decoded.
    pub(crate) decoding: Compute,
    description: Description,
}

impl Repository {
    /// Makes a new one. Refused if there is one; otherwise the place is a repository on return, and after a crash it is
    /// one or it is not.
    pub async fn create(store: Store, created: String) -> Result<Self, Error> {
        let description = Description::new(RepositoryId::random(), created);
        let bytes = Bytes::from(description.encode());
        if store.settle(&Name::description(), &bytes).await? == Settled::Ours {
            Ok(Self::with(store, description))
        } else {
            Err(Error::Exists {
                place: store.place().to_owned(),
            })
        }
    }

    /// Opens the one that is there.
    pub async fn open(store: Store) -> Result<Self, Error> {
        let unusable = |reason| Error::Unusable {
            place: store.place().to_owned(),
            reason,
        };
        match store.read(&Name::description(), SMALL_OBJECT_MAX).await {
            Ok(Some(bytes)) => {
                let description = Description::decode(&bytes).map_err(unusable)?;
                Ok(Self::with(store, description))
            }
            Ok(None) => Err(Error::NoRepository {
                place: store.place().to_owned(),
            }),
            Err(Error::Damaged { .. }) => Err(unusable(DescriptionError::NotOne)),
            Err(error) => Err(error),
        }
    }

    fn with(store: Store, description: Description) -> Self {
        Self {
            store,
            rules: Rules::default(),
            cache: None,
            bundles: false,
            decoding: Compute::inline(),
            description,
        }
    }

    /// The same, used with what this host has read of it before. Not for whoever is to judge what is stored.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// The same, whose commits are read many at a time where they lie together. Not for whoever is to judge what is stored.
    #[must_use]
    pub fn with_bundles(mut self) -> Self {
        self.bundles = true;
        self
    }

    /// The same, whose commits are read each for itself.
    pub(crate) fn without_bundles(&self) -> Self {
        Self {
            bundles: false,
            ..self.clone()
        }
    }

    /// The same, whose commits are verified there and not while everything else waits: a log may have thousands.
    #[must_use]
    pub fn decoding_on(mut self, compute: Compute) -> Self {
        self.decoding = compute;
        self
    }

    /// The same, all of which is read from the store, each object for itself.
    pub(crate) fn without_cache(&self) -> Self {
        Self {
            cache: None,
            ..self.without_bundles()
        }
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.description.id
    }

    /// What everything that is stored is locked with, if that is asked for.
    pub fn lock(&self) -> Option<Lock> {
        self.store.lock()
    }

    /// What a log in another repository remembers of a commit of this one.
    pub(crate) fn witness(&self, at: CommitRef) -> Witness {
        Witness {
            repository: self.id(),
            number: at.number,
            digest: DigestText(at.digest),
        }
    }

    /// What messages call it.
    pub fn place(&self) -> &str {
        self.store.place()
    }

    /// When it was made, RFC 3339.
    pub fn created(&self) -> &str {
        &self.description.created
    }

    /// The jobs that have a log, by name.
    pub async fn jobs(&self) -> Result<Vec<JobName>, Error> {
        let folders = self.store.folders().await?;
        let mut jobs: Vec<JobName> = folders
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        jobs.sort();
        // Some stores list a folder once a page.
        jobs.dedup();
        Ok(jobs)
    }

    /// The log of a job as it is now. A job that has none has an empty view.
    pub async fn view(&self, job: &JobName, trust: &Trust) -> Result<View, Error> {
        crate::log::read(self, job, trust).await
    }

    /// The same, reading only what is new since `before`.
    pub(crate) async fn view_again(
        &self,
        job: &JobName,
        trust: &Trust,
        before: View,
    ) -> Result<View, Error> {
        crate::log::read_again(self, job, trust, before.into_objects()).await
    }
}
