use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::Duration;

use archive::{Entry, Name};
use futures::stream::{FuturesUnordered, StreamExt as _};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::client::{Ask, Client, Verb};
use super::compare::{differences, obstacle};
use super::extra;
use super::id::Id;
use super::manifest::Manifest;
use super::object::{MANAGED_FIELDS, MANAGER, OWNERS, Object, canonical};
use super::owners::Lookup;
use super::planning::seen;
use super::refusal::{Failure, Refusal};
use super::resource::Resource;
use super::settings::{Owners, Wishes};
use super::tokens::{account, is_token};
use crate::files::refuse_conflicts;
use crate::patience::Patience;
use crate::{Action, Contents, Error, ErrorKind, Plan, Report};

/// Objects that are written at the same time: more make an API server no faster.
const IN_FLIGHT: usize = 16;
/// How often an object is tried again that others write at the same time.
const RACES: u32 = 10;
/// How long an object is tried again whose request got no answer.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long the account is waited for that the cluster itself makes in every namespace.
const DEFAULT_ACCOUNT: Duration = Duration::from_secs(5);
/// The largest entry that can be an object.
const ENTRY_MAX: u64 = 16 * 1024 * 1024;

/// Carries out `plan`.
pub(super) async fn write(
    client: &Client,
    plan: &Plan,
    contents: &mut dyn Contents,
    wishes: &Wishes,
) -> Result<Report, Error> {
    refuse_conflicts(plan)?;
    wishes.agree_to_delete(plan.extra.len())?;
    let mut report = Report::default();
    let ended = carry_out(client, plan, contents, wishes, &mut report).await;
    ended.map_err(|error| cut_short(plan, &report, error))?;
    // They finish in any order, and are reported in one.
    report.failed.sort();
    report.notes.sort();
    Ok(report)
}

/// What was on its way when it ended may have arrived.
fn cut_short(plan: &Plan, report: &Report, error: Error) -> Error {
    let writes = plan.steps.iter().filter(|step| step.action.writes());
    let mut done = format!(
        "{} of {} objects were written",
        report.written,
        writes.count()
    );
    if !plan.extra.is_empty() {
        let extra = plan.extra.len();
        done = format!("{done}, and {} of {extra} deleted", report.deleted);
    }
    let message = match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Denied => {
            format!("{done} before it ended, and the same command does what is left")
        }
        _ => format!("{done} before it ended"),
    };
    Error::new(error.kind(), message).because(error)
}

async fn carry_out(
    client: &Client,
    plan: &Plan,
    contents: &mut dyn Contents,
    wishes: &Wishes,
    report: &mut Report,
) -> Result<(), Error> {
    let restore = Restore {
        client,
        wishes,
        owners: Lookup::new(client),
        kinds: Mutex::default(),
        made: Mutex::default(),
        orphans: Mutex::default(),
    };
    // A token's Secret is deleted again if its account is not there yet, and accounts come after Secrets.
    let mut tokens = Vec::new();
    let mut flights = FuturesUnordered::new();
    for step in &plan.steps {
        if !step.action.writes() {
            continue;
        }
        let mut reading = pin!(Work::read(&mut *contents, &step.name, &step.action));
        let work = loop {
            tokio::select! {
                work = &mut reading => break work?,
                Some(done) = flights.next() => Done::tell(done?, report),
            }
        };
        if is_token(&work.entry.attributes) {
            tokens.push(work);
            continue;
        }
        flights.push(restore.one(work));
        if flights.len() == IN_FLIGHT
            && let Some(done) = flights.next().await
        {
            done?.tell(report);
        }
    }
    while let Some(done) = flights.next().await {
        done?.tell(report);
    }
    for work in tokens {
        flights.push(restore.one(work));
        if flights.len() == IN_FLIGHT
            && let Some(done) = flights.next().await
        {
            done?.tell(report);
        }
    }
    while let Some(done) = flights.next().await {
        done?.tell(report);
    }
    drop(flights);
    restore.find_late_owners(report).await?;
    extra::delete(client, &plan.extra, report).await
}

/// An entry with all that is to be written of it.
struct Work {
    entry: Entry,
    content: Zeroizing<Vec<u8>>,
    /// In what it may differ from what is there; `None`: nothing is there.
    what: Option<Vec<String>>,
}

impl Work {
    async fn read(
        contents: &mut dyn Contents,
        name: &Name,
        action: &Action,
    ) -> Result<Self, Error> {
        let entry = contents.next().await?.filter(|entry| entry.name == *name);
        let entry = entry.ok_or_else(|| {
            let message = format!("the plan writes {name}, but another entry came");
            Error::new(ErrorKind::Bug, message)
        })?;
        let mut content = Zeroizing::new(Vec::new());
        if entry.length() <= ENTRY_MAX {
            content.reserve(entry.length() as usize);
            while let Some(piece) = contents.data().await? {
                content.extend_from_slice(piece.as_bytes());
            }
        }
        let what = match action {
            Action::Update { what } => Some(what.clone()),
            _ => None,
        };
        Ok(Self {
            entry,
            content,
            what,
        })
    }
}

/// What became of an entry.
struct Done {
    name: Name,
    /// One clause if nothing.
    failed: Option<String>,
    notes: Vec<String>,
}

impl Done {
    fn tell(self, report: &mut Report) {
        report.notes.extend(self.notes);
        match self.failed {
            None => report.written += 1,
            Some(reason) => report.failed.push((self.name, reason)),
        }
    }
}

/// Why an entry was not written.
enum Stop {
    /// It alone; one clause.
    Entry(String),
    /// Nothing more can be written.
    All(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::All(error)
    }
}

struct Restore<'c> {
    client: &'c Client,
    wishes: &'c Wishes,
    owners: Lookup<'c>,
    kinds: Mutex<HashMap<String, Option<Resource>>>,
    /// Namespaces that were made, bare, because something was to go into them before they had their turn.
    made: Mutex<BTreeSet<String>>,
    /// What was written without owners that were not there: they may have been written after it.
    orphans: Mutex<Vec<Orphan>>,
}

/// Something that lacks an owner.
struct Orphan {
    name: Name,
    id: Id,
    resource: Resource,
    /// As they were captured.
    owners: Vec<Value>,
}

impl Restore<'_> {
    async fn one(&self, work: Work) -> Result<Done, Error> {
        let mut notes = Vec::new();
        let name = work.entry.name.clone();
        let failed = match self.write(work, &mut notes).await {
            Ok(()) => None,
            Err(Stop::Entry(reason)) => Some(reason),
            Err(Stop::All(error)) => return Err(error),
        };
        Ok(Done {
            name,
            failed,
            notes,
        })
    }

    async fn write(&self, mut work: Work, notes: &mut Vec<String>) -> Result<(), Stop> {
        if work.entry.length() > ENTRY_MAX {
            return Err(Stop::Entry(format!(
                "an object of {} bytes is larger than any server takes",
                work.entry.length()
            )));
        }
        let captured = Id::parse(&work.entry.name);
        let captured = captured.map_err(|reason| Stop::Entry(reason.to_owned()))?;
        let resource = self.kind(&captured.kind).await?;
        let resource = resource.ok_or_else(|| Stop::Entry("its kind is gone".to_owned()))?;
        let id = self.wishes.mapping.place(&captured);
        let manifest = Manifest::new(&work.entry, &work.content, id, resource, self.wishes);
        let mut manifest = manifest.map_err(Stop::Entry)?;
        self.look_for_account(&work, &manifest).await?;
        let orphan = self.look_up_owners(&mut work, &mut manifest).await?;
        let one = One {
            restore: self,
            work: &work,
            captured: &captured,
            manifest: &manifest,
        };
        one.write(notes).await?;
        self.orphans.lock().await.extend(orphan);
        Ok(())
    }

    /// A token whose account is not there would be written, and deleted by the cluster a moment later.
    async fn look_for_account(&self, work: &Work, manifest: &Manifest) -> Result<(), Stop> {
        let attributes = &work.entry.attributes;
        let Some(account) = account(attributes).filter(|_| is_token(attributes)) else {
            return Ok(());
        };
        let namespace = manifest.id.namespace.as_deref();
        let accounts = Resource::service_accounts();
        let ask = Ask::object(Verb::Get, &accounts, namespace, &account);
        let patience = if account == "default" {
            DEFAULT_ACCOUNT
        } else {
            Duration::ZERO
        };
        let until = Instant::now() + patience;
        loop {
            match self.client.insist(&ask).await {
                Err(Failure::Broken(error)) => return Err(Stop::All(error)),
                Err(Failure::Refused(refusal)) if refusal.code == StatusCode::NOT_FOUND => {
                    if Instant::now() >= until {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // Without the right to see it, it may be there.
                Ok(_) | Err(Failure::Refused(_)) => return Ok(()),
            }
        }
        let id = Id::new(&accounts, namespace, &account);
        Err(Stop::Entry(format!(
            "its account {} is not there, and the cluster deletes a token without one: restore the account, or create it",
            id.entry()
        )))
    }

    /// Gives `manifest` its owners' uids of today, and leaves out those that are not there.
    async fn look_up_owners(
        &self,
        work: &mut Work,
        manifest: &mut Manifest,
    ) -> Result<Option<Orphan>, Error> {
        let owners = manifest.owners().and_then(Value::as_array).cloned();
        let Some(owners) = owners.filter(|_| self.wishes.owners == Owners::Lookup) else {
            return Ok(None);
        };
        let namespace = manifest.id.namespace.as_deref();
        let (there, missing) = self.owners.find(namespace, &owners).await?;
        manifest.set_owners(there.clone());
        if missing.is_empty() {
            return Ok(None);
        }
        // What is there after an answer that was lost is compared with this.
        work.entry.attributes.set(OWNERS, canonical(&there.into()));
        Ok(Some(Orphan {
            name: work.entry.name.clone(),
            id: manifest.id.clone(),
            resource: manifest.resource.clone(),
            owners,
        }))
    }

    /// Once everything is written, what lacks owners gets those that were written after it.
    async fn find_late_owners(&self, report: &mut Report) -> Result<(), Error> {
        let orphans = std::mem::take(&mut *self.orphans.lock().await);
        self.owners.forget_missing().await;
        let mut orphans = orphans.iter();
        let mut adoptions = FuturesUnordered::new();
        loop {
            while adoptions.len() < IN_FLIGHT
                && let Some(orphan) = orphans.next()
            {
                adoptions.push(self.adopt(orphan));
            }
            let Some(notes) = adoptions.next().await else {
                return Ok(());
            };
            report.notes.extend(notes?);
        }
    }

    async fn adopt(&self, orphan: &Orphan) -> Result<Vec<String>, Error> {
        let Orphan {
            name,
            id,
            resource,
            owners,
        } = orphan;
        let namespace = id.namespace.as_deref();
        let (there, missing) = self.owners.find(namespace, owners).await?;
        let mut notes: Vec<String> = missing
            .iter()
            .map(|owner| {
                format!("{name}: its owner {owner} is not there, so it does not belong to it now")
            })
            .collect();
        if there.is_empty() {
            return Ok(notes);
        }
        let mut patch = json!({"metadata": {}});
        patch["metadata"][OWNERS] = there.into();
        let ask = Ask::object(Verb::Patch, resource, namespace, &id.name);
        let ask = ask.with("fieldManager", MANAGER).saying(patch.to_string());
        match self.client.insist(&ask).await {
            Ok(_) => {}
            Err(Failure::Refused(refusal)) => {
                let clause = refusal.clause(&ask);
                notes.push(format!("{name}: it is there without its owner: {clause}"));
            }
            Err(failure) => return Err(failure.explain(&ask)),
        }
        Ok(notes)
    }

    async fn kind(&self, key: &str) -> Result<Option<Resource>, Error> {
        let mut kinds = self.kinds.lock().await;
        if !kinds.contains_key(key) {
            let found = Resource::find(self.client, key).await?;
            kinds.insert(key.to_owned(), found);
        }
        Ok(kinds[key].clone())
    }

    /// Makes the namespace that something is to go into.
    async fn make_namespace(&self, name: &str) -> Result<(), Failed> {
        // Held meanwhile: sixteen objects may miss it at the same time.
        let mut made = self.made.lock().await;
        if made.contains(name) {
            return Ok(());
        }
        let resource = Resource::namespaces();
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let ask = Ask::list(Verb::Create, &resource, None).with("fieldManager", MANAGER);
        let ask = ask.saying(object.to_string());
        match self.client.send(&ask).await {
            Ok(_) => {
                made.insert(name.to_owned());
                Ok(())
            }
            // Its own entry was faster.
            Err(Failure::Refused(refusal)) if refusal.reason == "AlreadyExists" => Ok(()),
            Err(Failure::Refused(refusal)) => {
                let name = Name::from(name);
                let clause = refusal.clause(&ask);
                let reason =
                    format!("its namespace {name} is not there and cannot be made: {clause}");
                Err(Stop::Entry(reason).into())
            }
            Err(failure) => Err(Failed::Server(Box::new(ask), failure)),
        }
    }
}

/// One object on its way to the server.
struct One<'a> {
    restore: &'a Restore<'a>,
    work: &'a Work,
    captured: &'a Id,
    manifest: &'a Manifest,
}

/// What an attempt came to.
enum Attempt {
    Written,
    /// Something else happened to it meanwhile: look again.
    Again,
}

impl One<'_> {
    /// Until it is written, or it is certain that it will not be. An answer that was lost is found out about by looking.
    async fn write(&self, notes: &mut Vec<String>) -> Result<(), Stop> {
        let mut look_first = self.work.what.is_some();
        let mut patience = Patience::new(PATIENCE);
        let mut races = 0;
        while races <= RACES {
            let asked = Instant::now();
            let attempt = self.attempt(look_first).await;
            look_first = true;
            match attempt {
                Ok(Attempt::Written) => return self.keep_managers(notes).await,
                Ok(Attempt::Again) => races += 1,
                Err(Failed::Server(ask, failure))
                    if failure.may_pass() && patience.go_on(asked).await =>
                {
                    tracing::debug!(verb = ask.verb.as_str(), "tried again");
                }
                Err(Failed::Server(ask, Failure::Refused(refusal))) => {
                    if refusal.is_about_credentials() {
                        return Err(Stop::All(Failure::Refused(refusal).explain(&ask)));
                    }
                    return Err(Stop::Entry(refusal.clause(&ask)));
                }
                Err(Failed::Server(_, Failure::Broken(error))) => return Err(Stop::All(error)),
                Err(Failed::Stop(stop)) => return Err(stop),
            }
        }
        Err(Stop::Entry(
            "somebody else changes it all the time".to_owned(),
        ))
    }

    async fn attempt(&self, look_first: bool) -> Result<Attempt, Failed> {
        if !look_first {
            return self.create().await;
        }
        let (client, manifest) = (self.restore.client, self.manifest);
        let ask = self.ask_about(Verb::Get);
        let live = seen(client, &manifest.resource, client.send(&ask).await);
        let live = live.map_err(|failure| Failed::Server(Box::new(ask), failure))?;
        let Some(live) = live else {
            return self.create().await;
        };
        let what = differences(&self.work.entry, self.captured, &live, self.restore.wishes);
        if what.is_empty() {
            return Ok(Attempt::Written);
        }
        // What another restore of ours has made bare, it or this one fills.
        if !live.bare {
            self.refuse_surprises(&what).await?;
        }
        match obstacle(&self.work.entry, &live, &what) {
            None => self.replace(&live).await,
            Some(_) if self.restore.wishes.recreate => self.delete(&live).await,
            Some(obstacle) => Err(Stop::Entry(obstacle.to_owned()).into()),
        }
    }

    /// Nothing is overwritten that the plan did not say.
    async fn refuse_surprises(&self, what: &[String]) -> Result<(), Failed> {
        let reason = if let Some(planned) = &self.work.what {
            let surprises = what.iter().filter(|it| !planned.contains(it));
            let surprises: Vec<&str> = surprises.map(String::as_str).collect();
            if surprises.is_empty() {
                return Ok(());
            }
            format!(
                "it has changed in {} since the plan was made",
                surprises.join(", ")
            )
        } else {
            let Manifest { id, .. } = self.manifest;
            if id.is_namespace() && self.restore.made.lock().await.contains(&id.name) {
                return Ok(());
            }
            "it was made by somebody else since the plan was made, and differs".to_owned()
        };
        Err(Stop::Entry(reason).into())
    }

    async fn create(&self) -> Result<Attempt, Failed> {
        let ask = self.ask_to_create().saying(self.manifest.json(None));
        let refusal = match self.restore.client.send(&ask).await {
            Ok(_) => return Ok(Attempt::Written),
            Err(Failure::Refused(refusal)) => refusal,
            Err(failure) => return Err(Failed::Server(Box::new(ask), failure)),
        };
        if refusal.reason == "AlreadyExists" {
            return Ok(Attempt::Again);
        }
        match &self.manifest.id.namespace {
            Some(namespace) if refusal.names_namespace(namespace) => {
                self.restore.make_namespace(namespace).await?;
                Ok(Attempt::Again)
            }
            _ => Err(Failed::Server(Box::new(ask), Failure::Refused(refusal))),
        }
    }

    fn ask_to_create(&self) -> Ask {
        let Manifest { id, resource, .. } = self.manifest;
        Ask::list(Verb::Create, resource, id.namespace.as_deref()).with("fieldManager", MANAGER)
    }

    /// In place of exactly `live`. Not applied: what the snapshot does not have would stay.
    async fn replace(&self, live: &Object) -> Result<Attempt, Failed> {
        let ask = self
            .ask_about(Verb::Update)
            .with("fieldManager", MANAGER)
            .saying(self.manifest.json(Some(&live.resource_version)));
        match self.restore.client.send(&ask).await {
            Ok(_) => Ok(Attempt::Written),
            Err(Failure::Refused(refusal)) if is_race(&refusal) => Ok(Attempt::Again),
            Err(failure) => Err(Failed::Server(Box::new(ask), failure)),
        }
    }

    /// Deletes exactly `live`, once it is certain that nothing but it stands against the new one.
    async fn delete(&self, live: &Object) -> Result<Attempt, Failed> {
        let trial = self.ask_to_create().with("dryRun", "All");
        let trial = trial.saying(self.manifest.json(None));
        match self.restore.client.send(&trial).await {
            Ok(_) => {}
            Err(Failure::Refused(refusal)) if refusal.reason == "AlreadyExists" => {}
            Err(failure) => return Err(Failed::Server(Box::new(trial), failure)),
        }
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": live.uid, "resourceVersion": live.resource_version},
        });
        let ask = self.ask_about(Verb::Delete).saying(options.to_string());
        match self.restore.client.send(&ask).await {
            Ok(_) => Ok(Attempt::Again),
            Err(Failure::Refused(refusal)) if is_race(&refusal) => Ok(Attempt::Again),
            Err(failure) => Err(Failed::Server(Box::new(ask), failure)),
        }
    }

    /// Gives those who applied it back what they hold in it, so that they are not told of a conflict with us.
    async fn keep_managers(&self, notes: &mut Vec<String>) -> Result<(), Stop> {
        let Some(fields) = &self.manifest.managed_fields else {
            return Ok(());
        };
        let mut patch = json!({"metadata": {}});
        patch["metadata"][MANAGED_FIELDS] = Value::clone(fields);
        let ask = self.ask_about(Verb::Patch).saying(patch.to_string());
        match self.restore.client.insist(&ask).await {
            Ok(_) => {}
            Err(Failure::Broken(error)) => return Err(Stop::All(error)),
            Err(Failure::Refused(refusal)) => notes.push(format!(
                "{}: who applied which of its fields is not restored, so that they are told of conflicts: {}",
                self.work.entry.name,
                refusal.clause(&ask)
            )),
        }
        Ok(())
    }

    fn ask_about(&self, verb: Verb) -> Ask {
        let Manifest { id, resource, .. } = self.manifest;
        Ask::object(verb, resource, id.namespace.as_deref(), &id.name)
    }
}

/// Why an attempt did not succeed.
enum Failed {
    Server(Box<Ask>, Failure),
    Stop(Stop),
}

impl From<Stop> for Failed {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Somebody else was faster: it has another version by now, or is not there.
fn is_race(refusal: &Refusal) -> bool {
    refusal.code == StatusCode::CONFLICT || refusal.code == StatusCode::NOT_FOUND
}
