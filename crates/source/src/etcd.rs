//! etcd: the gRPC snapshot of one member, streamed; restored as a verified file or as a data directory.
//!
//! The archive has one entry, `snapshot.db`: byte for byte the file that `etcdctl snapshot save` would write, the Bolt
//! database followed by its SHA-256. `docs/sources/etcd.md` says what that holds and how to restore it.
//!
//! Read in this order: what the operator says, how a member is chosen, how its stream is judged, what is in its database, how a restore is
//! made; and at last single keys, out of that file and into an etcd that runs.

mod options;
mod settings;

mod agreement;
mod capture;
mod choice;
mod connection;
mod member;
mod proxy;
mod refusal;
mod stream;

pub mod database;
pub mod snapshot;

mod data_dir;
mod draft;
mod glance;
mod raise;
mod roster;
mod site;
mod target;
mod tool;

mod api_server;
mod keyspace;
mod lease;
mod live_keys;

use std::collections::BTreeMap;

use archive::{Entry, Name};
use async_trait::async_trait;

use crate::{
    Action, Capture, Contents, Entries, Error, ErrorKind, Finding, Plan, Report, RestoreOptions,
    Sink, Source, Step,
};
use snapshot::Verifier;
use target::Target;

pub use api_server::ApiServer;
pub use capture::pour_saved;
pub use keyspace::{Held, Keyspace, StoredKeys};
pub use live_keys::{ENDPOINTS, LiveKeys, Reach, holds_keys};
pub use options::{ClientCertificate, LoadPassword, Login, Options, Password, Timeouts, Tls};
pub use proxy::{LoadProxy, Proxies, Proxy, ProxyUrl};
pub use settings::{API_SERVER_KEYS, SETTINGS};

/// The name of the one entry.
pub const ENTRY: &str = "snapshot.db";

/// The attribute of the entry that names the etcd release that wrote it.
const VERSION: &str = "etcd.version";

/// Whether it holds keys of Kubernetes: `yes` or `no`. The same is a fact of the capture.
const KUBERNETES: &str = "etcd.kubernetes";

/// Whether a capture with these facts is known to hold no keys of Kubernetes.
pub fn is_without_kubernetes(facts: &BTreeMap<String, String>) -> bool {
    facts.get(KUBERNETES).is_some_and(|said| said == "no")
}

/// An etcd cluster.
pub struct Etcd {
    options: Options,
}

impl Etcd {
    /// A cluster that is reached as `options` say. Nothing is checked or connected yet: restoring and checking need
    /// no server. [`Options::validate`] says whether reading could work.
    pub fn new(options: Options) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Source for Etcd {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        capture::read(&self.options, sink).await
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        let target = Target::asked_for(options)?;
        let mut plan = Plan::default();
        while let Some(entry) = entries.next().await? {
            let action = action(&entry, target.as_ref(), &mut plan.notes).await?;
            plan.steps.push(Step {
                name: entry.name,
                action,
            });
        }
        Ok(plan)
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        options: &RestoreOptions,
    ) -> Result<Report, Error> {
        let conflict = plan.steps.iter().find_map(|step| match &step.action {
            Action::Conflict { reason } => Some(reason),
            _ => None,
        });
        if let Some(reason) = conflict {
            return Err(Error::new(ErrorKind::Conflict, reason));
        }
        let mut report = Report::default();
        if !plan.steps.iter().any(|step| step.action.writes()) {
            return Ok(report);
        }
        let target = Target::asked_for(options)?.ok_or_else(no_target)?;
        while let Some(entry) = contents.next().await? {
            if entry.name.as_bytes() != ENTRY.as_bytes() {
                let message = format!("entry {} is not an etcd snapshot", entry.name);
                return Err(Error::new(ErrorKind::Bug, message));
            }
            let notes = target.restore(&entry, contents).await?;
            report.notes.extend(notes);
            report.written += 1;
        }
        Ok(report)
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        while let Some(entry) = contents.next().await? {
            if let Some(message) = judge(&entry, contents).await? {
                findings.push(Finding {
                    bad: true,
                    name: entry.name,
                    message,
                });
            }
        }
        Ok(findings)
    }
}

async fn action(
    entry: &Entry,
    target: Option<&Target>,
    notes: &mut Vec<String>,
) -> Result<Action, Error> {
    if entry.name.as_bytes() != ENTRY.as_bytes() {
        let reason = format!("etcd restores only {ENTRY}");
        return Ok(Action::Unmanageable { reason });
    }
    match target {
        Some(target) => target.action(entry, notes).await,
        None => Ok(Action::Unmanageable {
            reason: no_target().to_string(),
        }),
    }
}

fn no_target() -> Error {
    let message = "where the cluster keeps its data is not known: say --to FILE or --data-dir DIR";
    Error::new(ErrorKind::Configuration, message)
}

/// What is wrong with an entry, in a sentence.
async fn judge(entry: &Entry, contents: &mut dyn Contents) -> Result<Option<String>, Error> {
    if entry.name.as_bytes() != ENTRY.as_bytes() {
        return Ok(Some(format!(
            "{} does not belong to an etcd snapshot",
            entry.name
        )));
    }
    let mut verifier = Verifier::thorough();
    while let Some(content) = contents.data().await? {
        verifier.feed(content.as_bytes());
    }
    Ok(match verifier.finish() {
        Err(fault) => Some(format!("the etcd snapshot cannot be restored: {fault}")),
        Ok(summary) => summary.damage().map(damaged),
    })
}

/// What to say of a snapshot that is what etcd sent, and damaged.
fn damaged(damage: impl std::fmt::Display) -> String {
    format!("the etcd snapshot is as the server sent it, and was damaged there: {damage}")
}

/// A path for a message: what could drive a terminal is escaped.
fn shown(path: &std::path::Path) -> Name {
    Name::new(path.as_os_str().as_encoded_bytes())
}
