//! What is there and not in a snapshot.

use std::collections::BTreeSet;

use archive::{Header, Item, Name};
use futures::stream::{FuturesUnordered, StreamExt as _};
use http::StatusCode;

use super::capture::read;
use super::client::{Ask, Client, Verb};
use super::id::Id;
use super::object::OWNERS;
use super::options::Options;
use super::refusal::Failure;
use super::resource::Resource;
use super::tokens::is_token;
use crate::{Error, Plan, Report, Sink};

/// So many are deleted at the same time.
const IN_FLIGHT: usize = 16;

/// What `options` select of the cluster and `plan` has no step for, ascending; but for what the cluster itself puts there.
pub(super) async fn find(options: &Options, plan: &Plan) -> Result<Vec<Name>, Error> {
    let planned: BTreeSet<&Name> = plan.steps.iter().map(|step| &step.name).collect();
    let (mut sink, mut receiver) = Sink::channel();
    let reading = async move {
        let capture = read(options, &mut sink).await?;
        sink.finish().await?;
        Ok::<_, Error>(capture)
    };
    let gathering = async {
        let mut extra = Vec::new();
        while let Some(batch) = receiver.recv().await {
            let begun = batch.into_iter().filter_map(|item| match item {
                Item::Begin(header) => Some(header),
                _ => None,
            });
            let surplus = |header: &Header| !planned.contains(&header.name) && is_somebodys(header);
            extra.extend(begun.filter(surplus).map(|header| header.name));
        }
        extra
    };
    let (capture, extra) = futures::join!(reading, gathering);
    // What could not be seen is not deleted either.
    capture?;
    Ok(extra)
}

/// Whether a person or a program put it there on purpose, and nobody would put it there again by himself.
fn is_somebodys(header: &Header) -> bool {
    let Ok(id) = Id::parse(&header.name) else {
        return false;
    };
    let made = match id.kind.as_str() {
        // With all that is in them, chosen or not.
        "namespaces" => true,
        "serviceaccounts" => id.name == "default",
        "configmaps" => id.name == "kube-root-ca.crt",
        _ => is_token(&header.attributes),
    };
    !made && header.attributes.get(OWNERS).is_none()
}

/// Deletes them, and says in `report` which the server did not let go.
pub(super) async fn delete(
    client: &Client,
    extra: &[Name],
    report: &mut Report,
) -> Result<(), Error> {
    let mut flights = FuturesUnordered::new();
    let mut names = extra.iter();
    loop {
        while flights.len() < IN_FLIGHT
            && let Some(name) = names.next()
        {
            flights.push(one(client, name));
        }
        let Some(deleted) = flights.next().await else {
            return Ok(());
        };
        match deleted? {
            (_, None) => report.deleted += 1,
            (name, Some(reason)) => report.failed.push((name.clone(), reason)),
        }
    }
}

/// Deletes one; or says in one clause why it is still there.
async fn one<'n>(client: &Client, name: &'n Name) -> Result<(&'n Name, Option<String>), Error> {
    let id = match Id::parse(name) {
        Ok(id) => id,
        Err(reason) => return Ok((name, Some(reason.to_owned()))),
    };
    let Some(resource) = Resource::find(client, &id.kind).await? else {
        return Ok((name, None));
    };
    let ask = Ask::object(Verb::Delete, &resource, id.namespace.as_deref(), &id.name);
    // Asked again if there was no answer: what is deleted twice is not there.
    match client.insist(&ask).await {
        Ok(_) => Ok((name, None)),
        Err(Failure::Refused(refusal)) if refusal.code == StatusCode::NOT_FOUND => Ok((name, None)),
        Err(Failure::Refused(refusal)) => Ok((name, Some(refusal.clause(&ask)))),
        Err(failure) => Err(failure.explain(&ask)),
    }
}
