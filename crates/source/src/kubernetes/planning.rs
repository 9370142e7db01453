use std::collections::HashMap;

use archive::Entry;
use http::StatusCode;
use zeroize::Zeroizing;

use super::bootstrap::Ending;
use super::client::{Ask, Client, Verb};
use super::compare::{decide, differences};
use super::id::Id;
use super::listing::{Listing, Query, ask};
use super::managers::Managers;
use super::mapping::Met;
use super::object::Object;
use super::refusal::Failure;
use super::resource::Resource;
use super::settings::Wishes;
use super::tokens::is_automatic;
use crate::{Action, Entries, Error, Plan, Step};

/// Of one kind in one namespace so many objects are asked for one by one; if there are more, all that are there are listed.
const FEW: usize = 8;

/// Compares captured entries with what is live.
pub(super) async fn plan(
    client: &Client,
    entries: &mut dyn Entries,
    wishes: &Wishes,
) -> Result<Plan, Error> {
    let mut planner = Planner {
        client,
        wishes,
        kinds: HashMap::new(),
        managers: Managers::default(),
        ending: Ending::default(),
        group: Vec::new(),
        listed: None,
        met: wishes.mapping.unmet(),
        plan: Plan::default(),
    };
    while let Some(entry) = entries.next().await? {
        planner.take(entry).await?;
    }
    planner.finish().await
}

struct Planner<'c> {
    client: &'c Client,
    wishes: &'c Wishes,
    /// Kinds that the cluster was asked for: `None` if it does not have them.
    kinds: HashMap<String, Option<Resource>>,
    managers: Managers,
    ending: Ending,
    /// Entries of one kind in one namespace that were not compared yet.
    group: Vec<Planned>,
    /// What lies where the group lies, once that turned out not to be small.
    listed: Option<Listed<'c>>,
    met: Met,
    plan: Plan,
}

/// An entry, what it was, and where it goes.
struct Planned {
    entry: Entry,
    captured: Id,
    id: Id,
    resource: Resource,
}

struct Listed<'c> {
    listing: Listing<'c>,
    query: Query,
    ahead: Option<Object>,
}

impl Planner<'_> {
    async fn take(&mut self, entry: Entry) -> Result<(), Error> {
        let planned = match self.judge(entry).await? {
            Ok(planned) => planned,
            Err((entry, reason)) => {
                self.flush().await?;
                self.step(entry, Action::Unmanageable { reason });
                return Ok(());
            }
        };
        let same_place = |other: &Planned| {
            other.id.kind == planned.id.kind && other.id.namespace == planned.id.namespace
        };
        // By its new name it does not stand where the order of the entries has it.
        let alone = self.wishes.mapping.renames(&planned.captured);
        if alone || !self.group.first().is_none_or(same_place) {
            self.flush().await?;
        }
        self.group.push(planned);
        if alone {
            self.flush().await?;
        } else if self.group.len() > FEW {
            self.compare_with_list().await?;
        }
        Ok(())
    }

    /// Whether the entry is an object of this cluster's kinds.
    async fn judge(&mut self, entry: Entry) -> Result<Result<Planned, (Entry, String)>, Error> {
        let captured = match Id::parse(&entry.name) {
            Ok(captured) => captured,
            Err(reason) => return Ok(Err((entry, reason.to_owned()))),
        };
        self.wishes.mapping.meet(&captured, &mut self.met);
        if !self.kinds.contains_key(&captured.kind) {
            let found = Resource::find(self.client, &captured.kind).await?;
            self.kinds.insert(captured.kind.clone(), found);
        }
        let resource = self.kinds[&captured.kind].clone();
        Ok(match resource {
            Some(resource) if resource.namespaced == captured.namespace.is_some() => Ok(Planned {
                id: self.wishes.mapping.place(&captured),
                entry,
                captured,
                resource,
            }),
            Some(_) => Err((
                entry,
                "its kind does not lie in namespaces as it did".to_owned(),
            )),
            None => {
                let kind = archive::Name::from(captured.kind.as_str());
                Err((entry, format!("the cluster has no kind {kind}")))
            }
        })
    }

    /// Compares what is waiting, and whatever comes after lies elsewhere.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.listed.is_some() {
            self.compare_with_list().await?;
            self.listed = None;
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let client = self.client;
        let live = group
            .iter()
            .map(|planned| look(client, &planned.resource, &planned.id));
        let live = futures::future::try_join_all(live).await?;
        for (planned, live) in group.into_iter().zip(live) {
            self.compare(planned, live.as_ref());
        }
        Ok(())
    }

    async fn compare_with_list(&mut self) -> Result<(), Error> {
        for planned in std::mem::take(&mut self.group) {
            let listed = match &mut self.listed {
                Some(listed) => listed,
                none => none.insert(Listed::start(self.client, &planned).await?),
            };
            let key = planned.id.key();
            while listed
                .ahead
                .as_ref()
                .is_some_and(|live| live.id.key() < key)
            {
                listed.advance().await?;
            }
            let live = listed.ahead.take_if(|live| live.id.key() == key);
            self.compare(planned, live.as_ref());
            if let (Some(listed), Some(_)) = (&mut self.listed, live) {
                listed.advance().await?;
            }
        }
        Ok(())
    }

    fn compare(&mut self, planned: Planned, live: Option<&Object>) {
        let Planned {
            entry, captured, ..
        } = planned;
        let action = match live {
            None if is_automatic(&captured.name, &entry.attributes) => Action::Unmanageable {
                reason: "a token that clusters made by themselves: the account that it is for has no need of it".to_owned(),
            },
            None => Action::Create,
            Some(live) => {
                let what = differences(&entry, &captured, live, self.wishes);
                decide(what, &entry, live, self.wishes)
            }
        };
        if action.writes() {
            self.managers.note(&entry);
            if let Some(now) = self.wishes.now {
                self.ending.note(&entry, now);
            }
        }
        self.step(entry, action);
    }

    fn step(&mut self, entry: Entry, action: Action) {
        self.plan.steps.push(Step {
            name: entry.name,
            action,
        });
    }

    async fn finish(mut self) -> Result<Plan, Error> {
        self.flush().await?;
        let names = self.plan.steps.iter().map(|step| &step.name);
        self.wishes.mapping.refuse_unmet(&self.met, names)?;
        self.plan.notes.extend(self.wishes.mapping.notes());
        self.plan.notes.extend(self.managers.notes());
        self.plan.notes.extend(self.ending.notes());
        Ok(self.plan)
    }
}

impl<'c> Listed<'c> {
    async fn start(client: &'c Client, planned: &Planned) -> Result<Self, Error> {
        let query = Query {
            resource: planned.resource.clone(),
            namespace: planned.id.namespace.clone(),
            labels: None,
            fields: None,
            at: None,
        };
        let mut listed = Self {
            listing: Listing::new(client, query.clone()),
            query,
            ahead: None,
        };
        listed.advance().await?;
        Ok(listed)
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let next = self.listing.next().await;
        self.ahead = next.map_err(|failure| failure.explain(&ask(&self.query, None)))?;
        Ok(())
    }
}

/// The object as it is now; `None` if it is not there.
async fn look(client: &Client, resource: &Resource, id: &Id) -> Result<Option<Object>, Error> {
    let ask = Ask::object(Verb::Get, resource, id.namespace.as_deref(), &id.name);
    let seen = seen(client, resource, client.insist(&ask).await);
    seen.map_err(|failure| failure.explain(&ask))
}

/// What an answer to the question for an object says; `None` if it is not there.
pub(super) fn seen(
    client: &Client,
    resource: &Resource,
    answer: Result<Zeroizing<Vec<u8>>, Failure>,
) -> Result<Option<Object>, Failure> {
    match answer {
        Ok(json) => match Object::parse(resource, &json) {
            Ok(object) => Ok(Some(object)),
            Err(_) => Err(Failure::Broken(client.nonsense())),
        },
        Err(Failure::Refused(refusal)) if refusal.code == StatusCode::NOT_FOUND => Ok(None),
        Err(failure) => Err(failure),
    }
}
