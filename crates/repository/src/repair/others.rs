use std::collections::HashMap;

use archive::Digest;
use bytes::Bytes;
use format::JobName;

use crate::named::all_named_objects;
use crate::store::{Name, StoreFailureKind};
use crate::view::{Trust, View};
use crate::{Error, Repository};

/// A repository that could not be asked for everything, and why not.
#[derive(Debug)]
pub struct Unasked {
    /// What messages call it.
    pub place: String,
    /// What happened first.
    pub error: Error,
}

/// The repositories that may have what is lost. None that does not answer keeps the others from being asked.
pub(super) struct Others<'a> {
    logs: Vec<(&'a Repository, View)>,
    pub(super) unasked: Vec<Unasked>,
}

/// Where else an object lies.
#[derive(Clone)]
pub(super) struct Place<'a> {
    repository: &'a Repository,
    name: Name,
}

impl<'a> Others<'a> {
    /// Reads their logs.
    pub(super) async fn of(all: &'a [Repository], job: &JobName, trust: &Trust) -> Self {
        let mut others = Self {
            logs: Vec::new(),
            unasked: Vec::new(),
        };
        for repository in all {
            match repository.view(job, trust).await {
                Ok(view) => others.logs.push((repository, view)),
                Err(error) => others.failed(repository, error),
            }
        }
        others
    }

    /// The logs of those that could be read.
    pub(super) fn logs(&self) -> Vec<(&'a Repository, View)> {
        self.logs.clone()
    }

    /// Every object that a snapshot of this job names in them, by its digest: all places of each.
    pub(super) fn places(&self, job: &JobName) -> HashMap<Digest, Vec<Place<'a>>> {
        let mut places: HashMap<Digest, Vec<Place<'a>>> = HashMap::new();
        for (repository, view) in &self.logs {
            for ((run, object), named) in all_named_objects(view) {
                for named in named {
                    places.entry(named.object.digest).or_default().push(Place {
                        repository,
                        name: Name::in_run(job, run, &object),
                    });
                }
            }
        }
        places
    }

    /// The object at a place. `None`: it is not there, it is damaged too, or there is no answer.
    pub(super) async fn read_at(&mut self, place: &Place<'_>, limit: u64) -> Option<Bytes> {
        self.read(place.repository, &place.name, limit).await
    }

    pub(super) async fn read(
        &mut self,
        repository: &Repository,
        name: &Name,
        limit: u64,
    ) -> Option<Bytes> {
        // Each further question would take as long as it takes to give up.
        let hangs = |it: &Unasked| it.place == repository.place() && is_unreachable(&it.error);
        if self.unasked.iter().any(hangs) {
            return None;
        }
        match repository.store.read(name, limit).await {
            Ok(bytes) => bytes,
            Err(Error::Damaged { .. }) => None,
            Err(error) => {
                self.failed(repository, error);
                None
            }
        }
    }

    fn failed(&mut self, repository: &Repository, error: Error) {
        let place = repository.place();
        let known = self.unasked.iter_mut().find(|it| it.place == place);
        match known {
            // That it does not answer at all says more than that one object could not be read.
            Some(known) if is_unreachable(&error) => known.error = error,
            Some(_) => {}
            None => self.unasked.push(Unasked {
                place: place.to_owned(),
                error,
            }),
        }
    }
}

impl Place<'_> {
    /// What messages call the repository.
    pub(super) fn repository(&self) -> &str {
        self.repository.place()
    }
}

fn is_unreachable(error: &Error) -> bool {
    matches!(error.kind(), Error::Store { source, .. } if source.kind() == StoreFailureKind::Unreachable)
}
