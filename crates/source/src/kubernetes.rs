//! Kubernetes: Secrets and whatever else is chosen, object by object, over the API.
//!
//! An entry is an object, named `KIND/NAMESPACE/NAME`. Secrets and ConfigMaps are records: their values are the bytes that pods see,
//! and what else they say is in attributes. Other kinds are one JSON text. What the server owns is dropped
//! (`docs/sources/kubernetes.md` says what that is, and how objects are restored).
//!
//! Read in this order: what the operator says, how the server is asked, what an object is, how lists are read, how a capture is
//! made, how a restore is planned and carried out.

mod options;
mod settings;

mod access;
mod client;
mod login;
mod plugin;
mod refusal;

mod id;
mod object;
mod resource;

mod cutter;
mod listing;

mod capture;
mod selection;

mod bootstrap;
mod compare;
mod extra;
mod managers;
mod mapping;
mod planning;
mod tokens;

mod manifest;
mod owners;
mod restore;

mod export;
mod import;
mod rules;
mod stored;
mod yaml;

mod check;
mod completeness;
mod policy;

use std::collections::BTreeSet;

use archive::Name;
use async_trait::async_trait;

use crate::{
    Capture, Contents, Entries, Error, Finding, Plan, Report, RestoreOptions, Sink, Source,
};
use client::Client;
use id::Id;
use mapping::Mapping;
use settings::Wishes;

pub use export::manifest;
pub use import::Manifests;
pub use options::{Access, Namespaces, Objects, Options, Timeouts, check_kind};
pub use policy::{Purpose, Subject, policy};
pub use settings::{PRUNE_EXTRA, SETTINGS};
pub use stored::{EncryptionConfiguration, EncryptionKeys, StoredObjects};

/// A Kubernetes cluster, or some namespaces of it.
pub struct Kubernetes {
    options: Options,
}

impl Kubernetes {
    /// What `options` select of the cluster that they name. Nothing is checked or connected yet: checking needs no server.
    /// [`Options::validate`] says whether reading could work.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// The kinds and namespaces of the objects `names` in the cluster of `options`, and all else that lies there: for a snapshot
    /// of what is about to be overwritten.
    pub fn holding<'a>(options: Options, names: impl IntoIterator<Item = &'a Name>) -> Self {
        let ids = names.into_iter().filter_map(|name| Id::parse(name).ok());
        let (mut kinds, mut namespaces) = (BTreeSet::new(), BTreeSet::new());
        for id in ids {
            let namespace = if id.is_namespace() {
                Some(id.name)
            } else {
                id.namespace
            };
            namespaces.extend(namespace);
            kinds.insert(id.kind);
        }
        Self::new(Options {
            access: options.access,
            timeouts: options.timeouts,
            namespaces: Namespaces {
                include: namespaces.into_iter().collect(),
                ..Namespaces::default()
            },
            namespace_objects: kinds.contains("namespaces"),
            resources: kinds.into_iter().collect(),
            objects: Objects::default(),
            check: false,
        })
    }
}

impl Kubernetes {
    /// What of the cluster a restore will need and a capture does not have: Secrets that pods, accounts and ingresses refer to, and
    /// the keys of controllers. Reads what refers, and the Secrets, and changes nothing.
    pub async fn completeness(&self) -> Result<Vec<Finding>, Error> {
        completeness::report(&self.options).await
    }
}

/// Where a restore puts what was captured.
pub struct Places(Mapping);

impl Places {
    /// As `options` say.
    pub fn of(options: &RestoreOptions) -> Result<Self, Error> {
        Ok(Self(Wishes::read(options)?.mapping))
    }

    /// The name under which the object that was captured as `name` is captured there.
    pub fn place(&self, name: &Name) -> Name {
        Id::parse(name).map_or_else(|_| name.clone(), |id| self.0.place(&id).entry())
    }
}

#[async_trait]
impl Source for Kubernetes {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let mut capture = capture::read(&self.options, sink).await?;
        if self.options.check {
            let found = self.completeness().await.map_or_else(
                // What was captured is whole all the same.
                |error| {
                    vec![format!(
                        "what a restore will need beside it is not known: {error}"
                    )]
                },
                |found| found.into_iter().map(|found| found.message).collect(),
            );
            capture.notes.extend(found);
        }
        Ok(capture)
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        let wishes = Wishes::read(options)?;
        let client = Client::new(&self.options).await?;
        client.greet().await?;
        let mut plan = planning::plan(&client, entries, &wishes).await?;
        if wishes.prune.is_some() {
            plan.extra = extra::find(&self.options, &plan).await?;
        }
        Ok(plan)
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        options: &RestoreOptions,
    ) -> Result<Report, Error> {
        let wishes = Wishes::read(options)?;
        let client = Client::new(&self.options).await?;
        restore::write(&client, plan, contents, &wishes).await
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        check::check(contents).await
    }
}
