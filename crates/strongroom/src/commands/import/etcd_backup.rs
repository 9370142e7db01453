//! `import etcd-backup`: the history of etcd-backup as snapshots of a job, each with its time.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use foreign::etcd_backup::{Backup, Kind, MasterKey};
use format::JobName;
use jiff::Timestamp;
use repository::Repository;
use serde::Serialize;
use source::etcd::{Etcd, Options, pour_saved};
use source::{Capture, Contents, Error, ErrorKind, Finding, Sink, Source};

use super::source as configured;
use crate::cli::ImportEtcdBackup;
use crate::commands::etcd_backup::load;
use crate::config::resolve;
use crate::etcd_backup::Bucket;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::moments::Moments;
use crate::names::counted;
use crate::output::chain;
use crate::session::Session;
use crate::sources::compresses;
use crate::take::{Shot, Task, Times, take_snapshot};
use crate::units::Size;

/// What was taken over.
#[derive(Serialize)]
pub(crate) struct TakenOver {
    job: String,
    imported: Vec<Row>,
    /// Backups that the job had before.
    already: u64,
    /// Those that are older than the newest of them and were not there: they would pass for newer.
    passed_over: Vec<String>,
    /// Those that could not be read, and were left out because that was asked for.
    unreadable: Vec<Unreadable>,
    /// What ended it.
    #[serde(skip)]
    pub(crate) failure: Option<anyhow::Error>,
}

#[derive(Serialize)]
struct Row {
    object: String,
    snapshot: String,
    timestamp: String,
    bytes: u64,
    added: u64,
}

#[derive(Serialize)]
struct Unreadable {
    object: String,
    error: String,
}

impl TakenOver {
    /// How it ends if nothing ended it before.
    pub(crate) fn exit(&self) -> Exit {
        if self.unreadable.is_empty() {
            Exit::Ok
        } else {
            Exit::Partial
        }
    }
}

/// Takes over what the job does not have yet, the oldest first. Cut short, it has taken over some, each whole, and can be run again: what was
/// left out by then, or was removed since, is passed over.
pub(crate) async fn import(
    session: &Session,
    import: &ImportEtcdBackup,
) -> anyhow::Result<TakenOver> {
    let config = load(&import.from, session.output)?;
    let is_etcd = |kind: &resolve::Kind| matches!(kind, resolve::Kind::Etcd(_));
    let named = import.source.as_deref();
    let settings = configured(session, &import.job, named, "etcd", is_etcd)?;
    let cluster = Arc::new(Cluster {
        bucket: Bucket::open(&config, None)?,
        master: config.master_key()?,
    });
    let repository = session.open().await?;
    let mut history = Moments::of(session, &repository, &import.job).await?;
    let backups = cluster.bucket.backups().await?;
    let mut imported = TakenOver {
        job: import.job.to_string(),
        imported: Vec::new(),
        already: 0,
        passed_over: Vec::new(),
        unreadable: Vec::new(),
        failure: None,
    };
    for backup in backups.into_iter().filter(|it| it.dump.is_some()) {
        let object = cluster.bucket.shown(&backup.stamp, Kind::Dump);
        let moment = backup.stamp.moment();
        if history.has(moment) {
            imported.already += 1;
            continue;
        }
        if history.is_behind(moment) {
            imported.passed_over.push(object);
            continue;
        }
        let task = Task {
            name: settings.name.value.clone(),
            compress: compresses(&settings.kind),
            source: Box::new(Saved {
                cluster: Arc::clone(&cluster),
                backup,
            }),
            only: None,
        };
        let taken = match history.refuse(moment) {
            Err(failure) => Err(anyhow::Error::new(failure)),
            Ok(()) => take(session, &repository, &import.job, task, moment).await,
        };
        match taken.with_context(|| format!("import {object}")) {
            Ok(taken) => {
                session
                    .output
                    .note(format_args!("{object} is {}", taken.snapshot));
                history.adds(moment);
                imported.imported.push(Row { object, ..taken });
            }
            Err(error) if import.skip_unreadable && is_unreadable(&error) => {
                let error = chain(&error);
                imported.unreadable.push(Unreadable { object, error });
            }
            Err(error) => {
                imported.failure = Some(with_way_out(error));
                break;
            }
        }
    }
    Ok(imported)
}

async fn take(
    session: &Session,
    repository: &Repository,
    job: &JobName,
    task: Task,
    moment: Timestamp,
) -> anyhow::Result<Row> {
    let timestamp = moment.to_string();
    let shot = Shot {
        job,
        tasks: &[task],
        configuration: session.settings.configuration.clone(),
        allow_partial: false,
        window: None,
        times: Some(Times::at(&timestamp, 1)),
    };
    let taken = take_snapshot(session, repository, shot).await?;
    Ok(Row {
        object: String::new(),
        snapshot: taken.snapshot,
        bytes: taken.bytes,
        added: taken.added,
        timestamp,
    })
}

/// Whether it is the backup's own fault, and will be so tomorrow.
fn is_unreadable(error: &anyhow::Error) -> bool {
    let of_source = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<Error>();
        error.is_some_and(|error| error.kind() == ErrorKind::Invalid)
    };
    let in_reach = [Exit::Failure, Exit::Damage, Exit::NoIdentity].contains(&exit::of(error));
    in_reach && error.chain().any(of_source)
}

fn with_way_out(error: anyhow::Error) -> anyhow::Error {
    if !is_unreadable(&error) || crate::failure::hint_of(&error).is_some() {
        return error;
    }
    let failure = Failure::new(exit::of(&error), "the import ends here");
    error.context(failure.hint(
        "--skip-unreadable leaves it out, for good: what is older than the newest snapshot of a job cannot get into it",
    ))
}

/// Where the backups lie, and what opens them.
struct Cluster {
    bucket: Bucket,
    master: Option<MasterKey>,
}

/// A backup of etcd-backup in place of the cluster that it was taken of.
struct Saved {
    cluster: Arc<Cluster>,
    backup: Backup,
}

#[async_trait]
impl Source for Saved {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let Cluster { bucket, master } = &*self.cluster;
        let mut dump = bucket.dump(&self.backup, master.as_ref()).await?;
        dump.next().await?;
        let mut capture = pour_saved(&mut dump, sink).await.map_err(|error| {
            let unexplained = std::error::Error::source(&error).is_none();
            if unexplained && error.kind() == ErrorKind::Invalid {
                let failure = Failure::new(Exit::Damage, error.to_string());
                return Error::new(ErrorKind::Invalid, format!("read {}", dump.object()))
                    .because(failure);
            }
            error
        })?;
        let object = dump.object().to_owned();
        capture
            .facts
            .insert("etcd-backup.object".to_owned(), object);
        Ok(capture)
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        Etcd::new(Options::default()).check(contents).await
    }
}

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.imported {
            writeln!(
                f,
                "{}: {}, {}, {} stored",
                it.snapshot,
                it.timestamp,
                Size(it.bytes),
                Size(it.added)
            )?;
        }
        for it in &self.unreadable {
            writeln!(f, "left out: {}", it.error)?;
        }
        for object in &self.passed_over {
            writeln!(f, "passed over: {object}")?;
        }
        let count = |count| counted(count, "backup", "backups");
        if !self.passed_over.is_empty() {
            writeln!(
                f,
                "{} passed over: left out or removed before, older than the newest snapshot of {}, and would pass for newer",
                count(self.passed_over.len() as u64),
                self.job
            )?;
        }
        writeln!(
            f,
            "{} imported into {}, {} were there before",
            count(self.imported.len() as u64),
            self.job,
            count(self.already)
        )
    }
}
