//! `backup`: captures every source of a job at the same time into one snapshot. No identity is read here.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use archive::{Item, Name};
use format::{JobName, Recipients, SourceTimes};
use futures::future::try_join_all;
use futures::{StreamExt as _, stream};
use repository::{Backup, BackupOptions, Finished, Outcome, Repository, SourceResult};
use serde::Serialize;
use source::{Batch, Sink, Source};

use crate::config::resolve::Job;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::live::{content_bytes, read_while};
use crate::names::{counted, nearest};
use crate::plugins::Programs;
use crate::progress::Progress;
use crate::recipients::RecipientsChanged;
use crate::session::{PROGRAM, Session, with_hint};
use crate::sources::{self, Secrets};
use crate::units::{Size, now};

/// A log that moves on under a backup makes it start over; this often.
const ATTEMPTS: usize = 3;
/// So many entries that are missing are named in an error.
const NAMED_MAX: usize = 10;

/// What `backup` did, job by job. A job that failed does not keep the others from running.
#[derive(Serialize)]
pub(crate) struct Backups {
    pub(crate) jobs: Vec<JobBackup>,
    #[serde(skip)]
    pub(crate) failures: Vec<anyhow::Error>,
}

/// What became of one job.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum JobBackup {
    Taken(Taken),
    Failed {
        job: String,
        error: String,
        exit_code: u8,
    },
}

/// A snapshot that was just taken.
#[derive(Serialize)]
pub(crate) struct Taken {
    pub(crate) job: String,
    pub(crate) snapshot: String,
    pub(crate) unchanged: bool,
    pub(crate) partial: bool,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) added: u64,
    pub(crate) incomplete: Vec<Missing>,
    /// Where it is sealed to others than the snapshot before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipients_changed: Option<RecipientsChanged>,
}

/// An entry that could not be captured.
#[derive(Clone, Serialize)]
pub(crate) struct Missing {
    source: String,
    name: String,
    reason: String,
}

impl Backups {
    /// How it ends if no job failed.
    pub(crate) fn exit(&self) -> Exit {
        let partial = |job: &JobBackup| matches!(job, JobBackup::Taken(taken) if taken.partial);
        if self.jobs.iter().any(partial) {
            Exit::Partial
        } else {
            Exit::Ok
        }
    }
}

/// Takes a snapshot of the jobs named, or of all.
pub(crate) async fn backup(
    session: &Session,
    wanted: &[JobName],
    allow_partial: bool,
) -> anyhow::Result<Backups> {
    let jobs = configured(session, wanted)?;
    let repository = session.open().await?;
    let mut backups = Backups {
        jobs: Vec::new(),
        failures: Vec::new(),
    };
    for (name, job) in jobs {
        let allow_partial = allow_partial || job.allow_partial.value;
        match back_up_job(session, &repository, name, job, allow_partial).await {
            Ok(taken) => backups.jobs.push(JobBackup::Taken(taken)),
            // Whoever interrupts knows, and is told once, at the end.
            Err(error) if exit::of(&error) == Exit::Interrupted => break,
            Err(error) => {
                let error = error.context(format!("back up {name}"));
                let exit_code = exit::of(&error).code();
                let text = crate::output::chain(&error);
                let failed = JobBackup::Failed {
                    job: name.to_string(),
                    error: text,
                    exit_code,
                };
                backups.jobs.push(failed);
                backups.failures.push(error);
            }
        }
    }
    Ok(backups)
}

fn configured<'a>(
    session: &'a Session,
    wanted: &[JobName],
) -> anyhow::Result<Vec<(&'a JobName, &'a Job)>> {
    let jobs = &session.settings.jobs;
    if jobs.is_empty() {
        let failure = Failure::usage("there are no jobs in the configuration");
        return Err(failure
            .hint("docs/configuration.md shows one; `strongroom config` says which file is read")
            .into());
    }
    if wanted.is_empty() {
        return Ok(jobs.iter().collect());
    }
    let found = wanted.iter().map(|name| {
        jobs.get_key_value(name).ok_or_else(|| {
            let failure = Failure::usage(format!("there is no job {name} in the configuration"));
            match nearest(name.as_str(), jobs.keys().map(JobName::as_str)) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("strongroom config"),
            }
        })
    });
    Ok(found.collect::<Result<_, _>>()?)
}

async fn back_up_job(
    session: &Session,
    repository: &Repository,
    name: &JobName,
    job: &Job,
    allow_partial: bool,
) -> anyhow::Result<Taken> {
    let mut tasks = Vec::new();
    for settings in &job.sources {
        tasks.push(Task {
            name: settings.name.value.clone(),
            compress: sources::compresses(&settings.kind),
            source: sources::build(settings, Secrets::Read)?,
            only: None,
        });
    }
    let configuration = session.settings.configuration.clone();
    take_snapshot(
        session,
        repository,
        name,
        &tasks,
        configuration,
        allow_partial,
    )
    .await
}

/// One source of a snapshot that is taken.
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) compress: bool,
    pub(crate) source: Box<dyn Source>,
    /// Only these entries, for what a restore is about to overwrite; `None`: all of them.
    pub(crate) only: Option<HashSet<Name>>,
}

/// Captures all of `tasks` into one snapshot of `job`. Interrupted or failed, it leaves at most objects that nothing names.
pub(crate) async fn take_snapshot(
    session: &Session,
    repository: &Repository,
    job: &JobName,
    tasks: &[Task],
    configuration: String,
    allow_partial: bool,
) -> anyhow::Result<Taken> {
    let recipients = session
        .settings
        .recipients
        .iter()
        .map(|setting| setting.value.as_str());
    let writer = session.writer()?;
    let mut trust = session.trust()?;
    trust.writers.insert(writer.id());
    let options = BackupOptions {
        job: job.clone(),
        recipients: Recipients::parse(recipients)?.with_plugins(Arc::new(Programs::alone())),
        writer,
        trust,
        program: PROGRAM.to_owned(),
        configuration,
    };
    for attempt in 1..=ATTEMPTS {
        tracing::info!(job = job.as_str(), attempt, "backup started");
        let started = now();
        let backup = Backup::start(repository, options.clone(), session.compute.clone()).await;
        let backup = backup.map_err(with_hint)?;
        let what = format!("back up {job}");
        let progress = Progress::new(session.output, &what, backup.expected_bytes());
        let captures = capture_all(&backup, tasks, allow_partial, &progress);
        let results = match session.unless_stopped(captures).await {
            Ok(results) => results,
            Err(error) => {
                backup.abandon().await;
                return Err(error);
            }
        };
        drop(progress);
        let missing = missing(&results);
        let outcome = backup.finish(results, &started, &now()).await;
        if let Outcome::Committed(finished) = outcome.map_err(with_hint)? {
            return Ok(taken(job, &finished, missing));
        }
        session.output.note(format_args!(
            "the log of {job} changed under the backup; starting over"
        ));
    }
    Err(repository::Error::Contended { job: job.clone() }.into())
}

/// Reads all sources at the same time; the first that fails ends the others.
async fn capture_all(
    backup: &Backup,
    tasks: &[Task],
    allow_partial: bool,
    progress: &Progress,
) -> anyhow::Result<Vec<SourceResult>> {
    let captures = tasks.iter().enumerate();
    let captures = captures.map(|(index, task)| capture(backup, index, task, progress));
    let results = try_join_all(captures).await?;
    let missing = missing(&results);
    if missing.is_empty() || allow_partial {
        Ok(results)
    } else {
        Err(incomplete(&missing).into())
    }
}

/// Reads one source to its end while the repository takes it in.
async fn capture(
    backup: &Backup,
    index: usize,
    task: &Task,
    progress: &Progress,
) -> anyhow::Result<SourceResult> {
    let started = now();
    let (sink, mut receiver) = Sink::channel();
    let mut filter = Filter {
        only: task.only.as_ref(),
        keeping: true,
    };
    let batches = stream::poll_fn(move |context| receiver.poll_recv(context));
    let batches = batches.map(move |batch| {
        progress.add(content_bytes(&batch));
        filter.keep(batch)
    });
    let taking = backup.take(index, &task.name, task.compress, batches);
    let (mut capture, captured) = read_while(task.source.as_ref(), sink, taking)
        .await
        .with_context(|| format!("source `{}`", task.name))?;
    if let Some(only) = &task.only {
        capture
            .incomplete
            .retain(|incomplete| only.contains(&incomplete.name));
    }
    let incomplete = capture.incomplete.into_iter();
    Ok(SourceResult {
        name: task.name.clone(),
        kind: task.source.kind().to_owned(),
        captured,
        facts: capture.facts,
        incomplete: incomplete
            .map(|missing| format::Incomplete {
                name: missing.name,
                reason: missing.reason,
            })
            .collect(),
        times: SourceTimes {
            started,
            finished: now(),
        },
    })
}

/// Lets the items of wanted entries through.
struct Filter<'a> {
    only: Option<&'a HashSet<Name>>,
    keeping: bool,
}

impl Filter<'_> {
    fn keep(&mut self, batch: Batch) -> Batch {
        let Some(only) = self.only else { return batch };
        let wanted = batch.into_iter().filter(|item| {
            if let Item::Begin(header) = item {
                self.keeping = only.contains(&header.name);
            }
            self.keeping
        });
        wanted.collect()
    }
}

fn missing(results: &[SourceResult]) -> Vec<Missing> {
    let all = results.iter().flat_map(|result| {
        result.incomplete.iter().map(|missing| Missing {
            source: result.name.clone(),
            name: missing.name.to_string(),
            reason: missing.reason.clone(),
        })
    });
    all.collect()
}

fn incomplete(missing: &[Missing]) -> Failure {
    let mut named: Vec<String> = missing
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    if missing.len() > NAMED_MAX {
        named.push(format!("and {} more", missing.len() - NAMED_MAX));
    }
    let count = counted(missing.len() as u64, "entry", "entries");
    let message = format!(
        "{count} could not be captured, so nothing was kept: {}",
        named.join("; ")
    );
    Failure::new(Exit::Failure, message)
        .hint("--allow-partial keeps a snapshot without them, marked as partial")
}

fn taken(job: &JobName, finished: &Finished, incomplete: Vec<Missing>) -> Taken {
    let statement = &finished.statement;
    Taken {
        job: job.to_string(),
        snapshot: format!("{job}/{}", finished.at.number),
        unchanged: finished.unchanged,
        partial: statement.partial,
        entries: statement.entries,
        bytes: statement.bytes,
        added: statement.added,
        incomplete,
        recipients_changed: finished
            .recipient_change
            .as_ref()
            .map(RecipientsChanged::of),
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.source, self.name, self.reason)
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = (counted(self.entries, "entry", "entries"), Size(self.bytes));
        write!(f, "{}: {entries}, {bytes}", self.snapshot)?;
        if self.unchanged {
            f.write_str(", nothing changed")?;
        } else {
            write!(f, ", {} stored", Size(self.added))?;
        }
        writeln!(f, "{}", if self.partial { ", PARTIAL" } else { "" })?;
        if let Some(changed) = &self.recipients_changed {
            writeln!(
                f,
                "  sealed to others than the snapshot before it: {changed}"
            )?;
        }
        self.incomplete
            .iter()
            .try_for_each(|missing| writeln!(f, "  missing: {missing}"))
    }
}

impl fmt::Display for Backups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.jobs.iter().try_for_each(|job| match job {
            JobBackup::Taken(taken) => taken.fmt(f),
            // Said on stderr, with its hint.
            JobBackup::Failed { .. } => Ok(()),
        })
    }
}
