use archive::{Body, Digest, Entry};

use super::looking::{AT_ONCE, Now, look_up};
use super::server::Server;
use super::wishes::{Policy, Wishes};
use crate::etcd::ApiServer;
use crate::etcd::lease::Attached;
use crate::etcd::settings::API_SERVER_KEYS;
use crate::{Action, Conflict, Entries, Error, Plan, Step};

/// So many bytes of captured values are compared at once: what is there will be about as long.
const TOGETHER: u64 = 1 << 20;

/// Compares `entries` with what is there.
pub(super) async fn plan(
    server: &mut Server<'_>,
    api_server: &ApiServer,
    entries: &mut dyn Entries,
    wishes: &Wishes,
) -> Result<Plan, Error> {
    let mut planning = Planning {
        server,
        api_server,
        wishes,
        plan: Plan::default(),
        leased: 0,
    };
    let mut waiting: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    while let Some(entry) = entries.next().await? {
        bytes += entry.length();
        waiting.push(entry);
        if bytes >= TOGETHER || waiting.len() == AT_ONCE {
            planning.compare(std::mem::take(&mut waiting)).await?;
            bytes = 0;
        }
    }
    planning.compare(waiting).await?;
    Ok(planning.finish())
}

struct Planning<'p, 'o> {
    server: &'p mut Server<'o>,
    api_server: &'p ApiServer,
    wishes: &'p Wishes,
    plan: Plan,
    /// Keys that will be written with a lease.
    leased: u64,
}

impl Planning<'_, '_> {
    async fn compare(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let keys: Vec<&[u8]> = entries.iter().map(|it| it.name.as_bytes()).collect();
        let asked: Vec<&[u8]> = keys
            .iter()
            .copied()
            .filter(|key| !self.is_refused(key))
            .collect();
        let mut found = look_up(self.server, &asked).await?.into_iter();
        for entry in entries {
            let action = if self.is_refused(entry.name.as_bytes()) {
                Action::Unmanageable {
                    reason: format!(
                        "it is a Kubernetes API server's: restore the object, as `show --inside` names it under kubernetes, or say \
                         --{API_SERVER_KEYS} to write past the server what it has stored"
                    ),
                }
            } else {
                let now = found.next().expect("one answer for each key");
                self.decide(&entry, now.as_ref())
            };
            if action.writes()
                && self.wishes.leases == Policy::Recreate
                && Attached::of(&entry.attributes).is_some()
            {
                self.leased += 1;
            }
            self.plan.steps.push(Step {
                name: entry.name,
                action,
            });
        }
        Ok(())
    }

    fn is_refused(&self, key: &[u8]) -> bool {
        !self.wishes.past_the_server && self.api_server.owns(key)
    }

    fn decide(&mut self, entry: &Entry, now: Option<&Now>) -> Action {
        let lease = Attached::of(&entry.attributes);
        let lease = lease.filter(|_| self.wishes.leases == Policy::Recreate);
        let what = now.map(|now| differences(entry, lease.is_some(), now));
        if what.as_ref().is_some_and(Vec::is_empty) {
            return Action::Same;
        }
        if lease.is_some_and(|lease| lease.ttl.is_none()) {
            return Action::Unmanageable {
                reason: "its lease had ended by then, and how long it was to live is not known: --leases drop writes it without one"
                    .to_owned(),
            };
        }
        let Some((now, what)) = now.zip(what) else {
            return Action::Create;
        };
        match self.wishes.conflict {
            Conflict::Fail => Action::Conflict {
                reason: format!("differs in {}", what.join(", ")),
            },
            Conflict::Skip => Action::Skip { what },
            Conflict::Overwrite => {
                let versions = &mut self.plan.versions;
                versions.insert(entry.name.clone(), now.revision);
                Action::Update { what }
            }
        }
    }

    fn finish(self) -> Plan {
        let mut plan = self.plan;
        plan.notes.extend(self.server.notes.iter().cloned());
        if plan.steps.iter().any(|step| step.action.writes()) {
            // Who agrees to the plan may have another one in mind.
            let (endpoint, cluster) = (self.server.endpoint(), self.server.cluster());
            plan.notes.push(format!(
                "written into the etcd at {endpoint}, cluster {cluster:x}"
            ));
        }
        match self.leased {
            0 => {}
            1 => plan.notes.push(
                "one key goes when the lease ends that it gets again, unless its owner renews it: --leases drop lets it stay".to_owned(),
            ),
            leased => plan.notes.push(format!(
                "{leased} of the keys go when the lease ends that they get again, unless their owner renews it: --leases drop lets them stay"
            )),
        }
        let steps = plan.steps.iter().filter(|step| step.action.writes());
        let past = steps.filter(|step| self.api_server.owns(step.name.as_bytes()));
        match past.count() {
            0 => {}
            1 => plan.notes.push(
                "one key is a Kubernetes API server's: it does not check what is written past it".to_owned(),
            ),
            past => plan.notes.push(format!(
                "{past} of the keys are a Kubernetes API server's: it does not check what is written past it"
            )),
        }
        plan
    }
}

/// In what a key differs: its value, or whether it has a lease. Which one it has is no difference: an owner that has come back has put its
/// key to another.
fn differences(entry: &Entry, leased: bool, now: &Now) -> Vec<String> {
    let mut what = Vec::new();
    let same = matches!(&entry.body, Body::Blob { length, digest }
        if *length == now.value.len() as u64 && *digest == Digest::of(&now.value));
    if !same {
        what.push("content".to_owned());
    }
    if leased != (now.lease != 0) {
        what.push("lease".to_owned());
    }
    what
}
