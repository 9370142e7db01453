//! `copy --reseal`: snapshots are opened, and taken once more into another repository, under new keys.

use std::sync::Arc;

use anyhow::Context as _;
use archive::{Body, FieldHeader, Header};
use async_trait::async_trait;
use format::{CommitRef, Identities, JobName};
use repository::{Repository, Select, Snapshot, Trust, Valid};
use source::etcd::{holds_keys, pour_saved};
use source::{Capture, Contents, Error, Finding, Incomplete, Sink, Source};

use super::{JobCopied, Row, astray};
use crate::captured::Whole;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::moments::Moments;
use crate::progress::Progress;
use crate::session::{Session, with_hint};
use crate::sources::{kind_compresses, known_kind};
use crate::take::{Shot, Target, Task, Times, options, take_with};
use crate::units::now;

/// What is to be stored anew, and how.
pub(super) struct Reseal<'a> {
    pub(super) session: &'a Session,
    pub(super) from: &'a Repository,
    pub(super) to: &'a Repository,
    pub(super) identities: Arc<Identities>,
    pub(super) dry_run: bool,
}

impl Reseal<'_> {
    /// Stores the snapshots of a job that are not there yet, the oldest first; those in `only`, or all if it is empty. Cut short, it has
    /// stored some, each whole, and can be run again. Returns what failed, with the snapshot's name if it is about one.
    pub(super) async fn job(
        &self,
        job: &JobName,
        only: &[u64],
        copied: &mut JobCopied,
    ) -> Vec<(Option<String>, anyhow::Error)> {
        let mut failures = Vec::new();
        let planned = async {
            let mut trust = self.session.trust()?;
            let view = self.session.view(self.from, job, &mut trust).await?;
            view.refuse_foreign_prune(job).map_err(with_hint)?;
            let moments = Moments::of(self.session, self.to, job).await?;
            let moments = moments.adding(&view, &trust);
            Ok((view, moments, trust))
        };
        let (view, mut moments, trust) = match planned.await {
            Ok(planned) => planned,
            Err(error) => return vec![(None, error)],
        };
        for snapshot in view.snapshots().chain(view.strays()) {
            let number = snapshot.at.number;
            let name = format!("{job}/{number}");
            if !only.is_empty() && !only.contains(&number) {
                continue;
            }
            if only.is_empty() && snapshot.forgotten() {
                copied.forgotten += 1;
                continue;
            }
            if !trust.accepts(&snapshot) {
                copied.untrusted.push(name);
                continue;
            }
            let Ok(moment) = snapshot.statement.finished.parse() else {
                copied.untrusted.push(name);
                continue;
            };
            if moments.has(moment) {
                copied.there += 1;
                // It was cut short between the snapshot and its pin.
                let lacking = moments.unsaid(moment).filter(|_| snapshot.pinned());
                match self.pin_late(job, lacking).await {
                    Ok(pinned) => copied.pinned += pinned,
                    Err(error) => failures.push((Some(name), error)),
                }
                continue;
            }
            if only.is_empty() && !view.holds(snapshot.at) {
                failures.push((Some(name.clone()), astray(&name)));
                continue;
            }
            let done = async {
                moments.refuse(moment)?;
                if self.dry_run {
                    return Ok((None, snapshot.statement.bytes));
                }
                let taken = self.snapshot(snapshot, &trust).await?;
                Ok::<_, anyhow::Error>((Some(taken.0), taken.1))
            };
            match self.session.unless_stopped(done).await {
                Ok((there, bytes)) => {
                    moments.adds(moment);
                    copied.bytes += bytes;
                    copied.copied.push(Row {
                        snapshot: name,
                        there,
                        bytes,
                    });
                }
                Err(error) => {
                    let goes_on = exit::of(&error) == Exit::Damage;
                    failures.push((Some(name), error));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        failures
    }

    /// The name that it has there, and how much was stored for it.
    async fn snapshot(&self, valid: Valid<'_>, trust: &Trust) -> anyhow::Result<(String, u64)> {
        let pinned = valid.pinned();
        let identities = Arc::clone(&self.identities);
        let opened = self
            .session
            .open_snapshot(self.from, valid, identities, trust);
        let snapshot = Arc::new(opened.await?);
        let job = snapshot.job().clone();
        let tasks = tasks(&snapshot)?;
        let configuration = snapshot.manifest().configuration.clone();
        let options = options(self.session, &job, configuration.clone())?;
        let shot = Shot {
            job: &job,
            tasks: &tasks,
            configuration,
            // It was allowed when it was taken.
            allow_partial: true,
            window: None,
            times: Some(Times::of(snapshot.statement())),
        };
        let targets = [Target::only(self.to.clone())];
        let mut taken = take_with(self.session, &targets, &shot, &options).await?;
        let taken = taken.pop().expect("there is one target")?;
        if pinned {
            let name = taken.snapshot.as_str();
            let pinned = self.pin(&job, name).await;
            pinned.with_context(|| format!("pin {name} there: run it again"))?;
        }
        Ok((taken.snapshot, taken.added))
    }

    async fn pin(&self, job: &JobName, name: &str) -> anyhow::Result<()> {
        let maintenance = self
            .session
            .maintenance(job, super::signer(self.session)?)?;
        let view = self.to.view(job, &maintenance.trust).await?;
        let number = name.rsplit('/').next().and_then(|it| it.parse().ok());
        let snapshot = number.and_then(|number| view.snapshot(number));
        let at = snapshot.context("it is gone")?.at;
        maintenance.pin(self.to, at, true, &now()).await?;
        Ok(())
    }

    /// How many were pinned.
    async fn pin_late(&self, job: &JobName, at: Option<CommitRef>) -> anyhow::Result<u64> {
        let Some(at) = at.filter(|_| !self.dry_run) else {
            return Ok(0);
        };
        let signer = super::signer(self.session)?;
        let maintenance = self.session.maintenance(job, signer)?;
        maintenance.pin(self.to, at, true, &now()).await?;
        Ok(1)
    }
}

/// One for each source of the snapshot.
fn tasks(snapshot: &Arc<Snapshot>) -> anyhow::Result<Vec<Task>> {
    let sources = snapshot.manifest().sources.iter().enumerate();
    let tasks = sources.map(|(index, source)| {
        let kind = known_kind(&source.kind).ok_or_else(|| {
            let message = format!(
                "source `{}` of {} is of the kind {}, which this version does not know",
                source.name,
                snapshot.name(),
                source.kind
            );
            Failure::new(Exit::Newer, message)
        })?;
        Ok(Task {
            name: source.name.clone(),
            compress: kind_compresses(kind),
            source: Box::new(Stored {
                snapshot: Arc::clone(snapshot),
                index,
                kind,
            }),
            only: None,
        })
    });
    tasks.collect()
}

/// A source of a snapshot in place of the system that it was captured of.
struct Stored {
    snapshot: Arc<Snapshot>,
    index: usize,
    kind: &'static str,
}

#[async_trait]
impl Source for Stored {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let source = &self.snapshot.manifest().sources[self.index];
        let reader = self.snapshot.entries(self.index).selecting(Select::Most);
        let progress = Progress::hidden();
        let mut contents = Whole::new(reader, &progress);
        while let Some(entry) = contents.next().await? {
            if self.kind == "etcd" && !holds_keys(&source.facts) {
                // Cut again where the pages of its database begin.
                pour_saved(&mut contents, sink).await?;
                continue;
            }
            let fields = match &entry.body {
                Body::Blob { .. } => None,
                Body::Record { fields } => Some(
                    fields
                        .iter()
                        .map(|field| FieldHeader {
                            key: field.key.clone(),
                            length: field.length,
                        })
                        .collect(),
                ),
            };
            sink.begin(Header {
                name: entry.name,
                attributes: entry.attributes,
                fields,
            })
            .await?;
            while let Some(content) = contents.data().await? {
                sink.data(content).await?;
            }
            sink.end().await?;
        }
        let incomplete = source.incomplete.iter().map(|it| Incomplete {
            name: it.name.clone(),
            reason: it.reason.clone(),
        });
        Ok(Capture {
            facts: source.facts.clone(),
            incomplete: incomplete.collect(),
            notes: Vec::new(),
        })
    }

    async fn check(&self, _: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        Ok(Vec::new())
    }
}
