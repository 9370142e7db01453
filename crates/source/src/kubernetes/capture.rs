use std::collections::{BTreeMap, BTreeSet};

use archive::Name;

use super::client::Client;
use super::id::Id;
use super::listing::{Listing, Query, ask};
use super::object::Object;
use super::options::{Objects, Options};
use super::refusal::Failure;
use super::resource::Resource;
use super::selection::{Chosen, Wanted, is_there, kinds, namespace};
use crate::{Capture, Error, ErrorKind, Incomplete, Sink};

/// Pours all that `options` select into `sink`.
pub(super) async fn read(options: &Options, sink: &mut Sink) -> Result<Capture, Error> {
    options.validate()?;
    let client = Client::new(options).await?;
    let mut capture = Capture::default();
    let version = client.greet().await?;
    let fact = |name: &str| name.to_owned();
    capture
        .facts
        .insert(fact("kubernetes.version"), version.to_string());
    let chosen = Chosen::find(&client, &options.namespaces).await?;
    let mut reading = Reading {
        client: &client,
        options,
        wanted: Wanted::new(&options.objects)?,
        chosen,
        sink,
        capture,
        objects: BTreeMap::new(),
        seen: BTreeSet::new(),
    };
    for kind in kinds(&client, options).await? {
        reading.kind(&kind).await?;
    }
    reading.look_at_empty().await?;
    Ok(reading.finish())
}

/// A capture on its way.
struct Reading<'a> {
    client: &'a Client,
    options: &'a Options,
    wanted: Wanted,
    chosen: Chosen,
    sink: &'a mut Sink,
    capture: Capture,
    /// How many of each kind.
    objects: BTreeMap<String, u64>,
    /// The namespaces that any of them is in, or of which it was said what is missing.
    seen: BTreeSet<String>,
}

impl Reading<'_> {
    async fn kind(&mut self, kind: &Resource) -> Result<(), Error> {
        match &self.chosen {
            Chosen::These(names) if *kind == Resource::namespaces() => {
                let mut names = names.clone();
                names.sort();
                let several = names.len() > 1;
                for name in names {
                    match namespace(self.client, &name).await {
                        Ok(object) => self.pour(object).await?,
                        // One of several is missing, as it would be from a list.
                        Err(error) if several && error.kind() == ErrorKind::Denied => {
                            let name = format!("namespaces/{name}");
                            self.capture.incomplete.push(Incomplete {
                                name: Name::from(name.as_str()),
                                reason: error.to_string(),
                            });
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
            chosen => {
                // The selectors are about what lies in namespaces.
                let queries = if *kind == Resource::namespaces() {
                    chosen.queries(kind, &Objects::default())
                } else {
                    chosen.queries(kind, &self.options.objects)
                };
                self.lists(kind, queries).await
            }
        }
    }

    /// All lists of a kind, as of one version.
    async fn lists(&mut self, kind: &Resource, queries: Vec<Query>) -> Result<(), Error> {
        let mut versions: Vec<String> = Vec::new();
        let several = queries.len() > 1;
        let (mut queries, mut ahead) = (queries.into_iter().peekable(), None);
        while let Some(mut query) = queries.next() {
            query.at = versions.last().cloned();
            let question = ask(&query, None);
            let mut listing = Listing::new(self.client, query.clone())
                .before(queries.peek().cloned())
                .after(ahead.take());
            loop {
                match listing.next().await {
                    Ok(Some(object)) => {
                        if *kind == Resource::namespaces() || self.wanted.takes(&object) {
                            self.pour(object).await?;
                        }
                    }
                    Ok(None) => break,
                    Err(Failure::Refused(refusal)) if several && refusal.is_about_rights() => {
                        self.missing(&query, refusal.clause(&question));
                        break;
                    }
                    Err(failure) => return Err(failure.explain(&question)),
                }
            }
            for version in listing.versions() {
                if versions.last() != Some(version) {
                    versions.push(version.clone());
                }
            }
            ahead = listing.into_ahead();
        }
        if !versions.is_empty() {
            let fact = format!("kubernetes.resource-version.{}", kind.key());
            self.capture.facts.insert(fact, versions.join(", "));
        }
        Ok(())
    }

    async fn pour(&mut self, object: Object) -> Result<(), Error> {
        *self.objects.entry(object.id.kind.clone()).or_default() += 1;
        if let Some(namespace) = &object.id.namespace
            && !self.seen.contains(namespace)
        {
            self.seen.insert(namespace.clone());
        }
        self.sink.begin(object.header()).await?;
        for content in object.into_content() {
            self.sink.data(content).await?;
        }
        self.sink.end().await?;
        Ok(())
    }

    /// A namespace that is not there lists as one that is empty: where its object is not captured, whoever mistyped its name must be told.
    async fn look_at_empty(&mut self) -> Result<(), Error> {
        let Chosen::These(names) = &self.chosen else {
            return Ok(());
        };
        if self.options.namespace_objects {
            return Ok(());
        }
        for name in names.iter().filter(|name| !self.seen.contains(*name)) {
            if is_there(self.client, name).await? {
                continue;
            }
            self.capture.notes.push(format!(
                "nothing was found in the namespace {}, and there is no right to see whether it exists",
                Name::from(name.as_str())
            ));
        }
        Ok(())
    }

    fn missing(&mut self, query: &Query, reason: String) {
        let id = Id {
            kind: query.resource.key(),
            namespace: query.namespace.clone(),
            name: "*".to_owned(),
        };
        self.seen.extend(query.namespace.clone());
        self.capture.incomplete.push(Incomplete {
            name: id.entry(),
            reason,
        });
    }

    fn finish(mut self) -> Capture {
        for (kind, objects) in self.objects {
            let fact = format!("kubernetes.objects.{kind}");
            self.capture.facts.insert(fact, objects.to_string());
        }
        self.capture
    }
}
