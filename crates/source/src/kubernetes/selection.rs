use std::collections::BTreeSet;

use super::client::{Ask, Client, Verb};
use super::listing::{Listing, Query};
use super::object::{Object, TYPE};
use super::options::{Namespaces, Objects, Options, Patterns, is_exact};
use super::refusal::Failure;
use super::resource::{Resource, Shape};
use crate::{Error, ErrorKind};

/// Which objects of a kind are wanted, beyond what the server selects by itself.
pub(super) struct Wanted {
    types: Vec<String>,
    names: Patterns,
    exclude: Patterns,
}

impl Wanted {
    pub(super) fn new(objects: &Objects) -> Result<Self, Error> {
        Ok(Self {
            types: objects.types.clone(),
            names: Patterns::new(&objects.names)?,
            exclude: Patterns::new(&objects.exclude_names)?,
        })
    }

    pub(super) fn takes(&self, object: &Object) -> bool {
        // Which only Secrets have.
        let kind = object.attributes.text(TYPE);
        let of_type = |kind: &str| self.types.iter().any(|wanted| wanted == kind);
        let wrong_type = !self.types.is_empty() && kind.is_some_and(|kind| !of_type(kind));
        let name = &object.id.name;
        !wrong_type
            && (self.names.is_empty() || self.names.matches(name))
            && !self.exclude.matches(name)
    }
}

/// The namespaces of a capture.
pub(super) enum Chosen {
    /// Every one, asked for together.
    All,
    /// These, each asked for on its own, in the order in which the server sorts what lies in them.
    These(Vec<String>),
}

impl Chosen {
    /// Finds out. Asks the server only if there are patterns or labels: whoever may read one namespace need not see the others.
    pub(super) async fn find(client: &Client, namespaces: &Namespaces) -> Result<Self, Error> {
        let Namespaces {
            include,
            exclude,
            labels,
        } = namespaces;
        if include.is_empty() && exclude.is_empty() && labels.is_none() {
            return Ok(Self::All);
        }
        let excluded = Patterns::new(exclude)?;
        let exact = !include.is_empty() && include.iter().all(|text| is_exact(text));
        let mut chosen: BTreeSet<String> = if exact && labels.is_none() {
            include.iter().cloned().collect()
        } else {
            let included = Patterns::new(include)?;
            let all = existing(client, labels.clone()).await?;
            let wanted = |name: &String| included.is_empty() || included.matches(name);
            all.into_iter().filter(wanted).collect()
        };
        chosen.retain(|name| !excluded.matches(name));
        if chosen.is_empty() {
            let message = "no namespace matches what is configured, so there is nothing to capture";
            return Err(Error::new(ErrorKind::Incomplete, message));
        }
        let mut chosen: Vec<String> = chosen.into_iter().collect();
        // As a part of `NAMESPACE/NAME`: the server has `a-b/x` before `a/x`.
        chosen.sort_by_key(|name| format!("{name}/"));
        Ok(Self::These(chosen))
    }

    /// The queries that together list the kind `resource`, in order.
    pub(super) fn queries(&self, resource: &Resource, objects: &Objects) -> Vec<Query> {
        let query = |namespace: Option<String>| Query {
            resource: resource.clone(),
            namespace,
            labels: objects.labels.clone(),
            // The fields of one kind are not those of another.
            fields: objects
                .fields
                .clone()
                .filter(|_| resource.shape() == Shape::Secret),
            at: None,
        };
        match self {
            Self::These(names) if resource.namespaced => {
                names.iter().cloned().map(Some).map(query).collect()
            }
            _ => vec![query(None)],
        }
    }
}

async fn existing(client: &Client, labels: Option<String>) -> Result<Vec<String>, Error> {
    let query = Query {
        resource: Resource::namespaces(),
        namespace: None,
        labels,
        fields: None,
        at: None,
    };
    let ask = super::listing::ask(&query, None);
    let mut listing = Listing::new(client, query);
    let mut names = Vec::new();
    while let Some(namespace) = listing.next().await.map_err(|it| it.explain(&ask))? {
        names.push(namespace.id.name);
    }
    Ok(names)
}

/// The kinds of a capture, in the order of their entries.
pub(super) async fn kinds(client: &Client, options: &Options) -> Result<Vec<Resource>, Error> {
    let mut kinds = vec![Resource::secrets()];
    if options.namespace_objects {
        kinds.push(Resource::namespaces());
    }
    for key in &options.resources {
        if !kinds.iter().any(|kind| kind.key() == *key) {
            let kind = Resource::find(client, key).await?;
            kinds.push(kind.ok_or_else(|| unknown(key))?);
        }
    }
    // As the beginning of a name: `secrets.x.io/` comes before `secrets/`.
    kinds.sort_by_key(|kind| format!("{}/", kind.key()));
    Ok(kinds)
}

fn unknown(key: &str) -> Error {
    let message = format!(
        "the cluster has no kind {key:?}: `kubectl api-resources` lists those it has, by NAME and APIVERSION"
    );
    Error::new(ErrorKind::Incomplete, message)
}

/// The Namespace object; an error if there is none, or no right to see it.
pub(super) async fn namespace(client: &Client, name: &str) -> Result<Object, Error> {
    let (ask, answer) = look(client, name).await;
    match answer {
        Ok(object) => object,
        Err(failure) => Err(explained(failure, &ask, name)),
    }
}

/// Whether there is a namespace of that name: an error if there is none, false if there is no right to see it.
pub(super) async fn is_there(client: &Client, name: &str) -> Result<bool, Error> {
    let (ask, answer) = look(client, name).await;
    match answer {
        Ok(_) => Ok(true),
        Err(Failure::Refused(refusal)) if refusal.is_about_rights() => Ok(false),
        Err(failure) => Err(explained(failure, &ask, name)),
    }
}

async fn look(client: &Client, name: &str) -> (Ask, Result<Result<Object, Error>, Failure>) {
    let resource = Resource::namespaces();
    let ask = Ask::object(Verb::Get, &resource, None, name);
    let answer = client.insist(&ask).await;
    let object = answer.map(|json| Object::parse(&resource, &json).map_err(|_| client.nonsense()));
    (ask, object)
}

fn explained(failure: Failure, ask: &Ask, name: &str) -> Error {
    match failure {
        Failure::Refused(refusal) if refusal.code == http::StatusCode::NOT_FOUND => {
            let message = format!(
                "the namespace {} does not exist: remove it from the configuration if that is as it should be",
                archive::Name::from(name)
            );
            Error::new(ErrorKind::Incomplete, message)
        }
        failure => failure.explain(ask),
    }
}
