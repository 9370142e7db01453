//! `backup`: captures every source of a job at the same time into one snapshot, in one repository or in several. No identity is read
//! here.

use std::fmt;

use anyhow::Context as _;
use format::JobName;
use serde::Serialize;
use source::Source;

use crate::config::resolve::{Job, KeysApart, Kind};
use crate::datarobot::{Apart, DataRobot, Found};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::names::{counted, nearest};
use crate::recipients::RecipientsChanged;
use crate::session::Session;
use crate::sources::{self, Secrets};
use crate::take::{Shot, Target, Task, take_snapshots};
use crate::units::Size;

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
        /// Where it failed, if the job goes to several and does not fail everywhere.
        #[serde(skip_serializing_if = "Option::is_none")]
        repository: Option<String>,
        error: String,
        exit_code: u8,
    },
}

/// A snapshot that was just taken.
#[derive(Serialize)]
pub(crate) struct Taken {
    pub(crate) job: String,
    /// Of several repositories, the name of the one that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<String>,
    pub(crate) snapshot: String,
    pub(crate) unchanged: bool,
    pub(crate) partial: bool,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) added: u64,
    pub(crate) incomplete: Vec<Missing>,
    /// Sentences about what was captured all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Where it is sealed to others than the snapshot before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipients_changed: Option<RecipientsChanged>,
    /// Where the job's log is not whole: for whoever sees what is missing here the snapshot does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_damaged: Option<LogDamaged>,
}

/// The newest commit of a log that is damaged.
#[derive(Serialize)]
pub(crate) struct LogDamaged {
    pub(crate) commit: String,
    pub(crate) reason: String,
}

/// An entry that could not be captured.
#[derive(Clone, Serialize)]
pub(crate) struct Missing {
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Backups {
    /// What a person should know beside it: each note once, however many repositories it is of.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for job in &self.jobs {
            let JobBackup::Taken(taken) = job else {
                continue;
            };
            for note in &taken.notes {
                let note = format!("{}: {note}", taken.job);
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }

    /// Counts what became of a job in each repository. Returns those that have it.
    fn add(&mut self, job: &JobName, results: Results) -> Vec<Option<String>> {
        let mut having = Vec::new();
        for (repository, taken) in results {
            match taken {
                Ok(taken) => {
                    self.jobs.push(JobBackup::Taken(taken));
                    having.push(repository);
                }
                Err(error) => self.failed(job, repository, error),
            }
        }
        having
    }

    fn failed(&mut self, job: &JobName, repository: Option<String>, error: anyhow::Error) {
        let error = error.context(match &repository {
            Some(repository) => format!("back up {job} to {repository}"),
            None => format!("back up {job}"),
        });
        self.jobs.push(JobBackup::Failed {
            job: job.to_string(),
            repository,
            exit_code: exit::of(&error).code(),
            error: crate::output::chain(&error),
        });
        self.failures.push(error);
    }

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
    let mut known = Vec::new();
    if !session.settings.several {
        known.push(Target::only(session.open_remembered().await?));
    }
    let mut backups = Backups {
        jobs: Vec::new(),
        failures: Vec::new(),
    };
    for (name, job) in jobs {
        let allow_partial = allow_partial || job.allow_partial.value;
        let found = Found::default();
        let results = back_up_job(session, &mut known, name, job, allow_partial, &found).await;
        let having = match results {
            Ok(results) => backups.add(name, results),
            // Whoever interrupts knows, and is told once, at the end.
            Err(error) if exit::of(&error) == Exit::Interrupted => break,
            Err(error) => {
                backups.failed(name, None, error);
                continue;
            }
        };
        let Some(apart) = job.keys_apart(name).filter(|_| !having.is_empty()) else {
            continue;
        };
        let targets = known.iter().filter(|target| having.contains(&target.name));
        let targets: Vec<Target> = targets.cloned().collect();
        match back_up_keys(session, &targets, &apart, &found).await {
            Ok(results) => {
                backups.add(&apart.job, results);
            }
            Err(error) if exit::of(&error) == Exit::Interrupted => break,
            Err(error) => backups.failed(&apart.job, None, error),
        }
    }
    Ok(backups)
}

/// Each repository of a job with what became of the snapshot there.
type Results = Vec<(Option<String>, anyhow::Result<Taken>)>;

/// Seals the keys that the job found to those who keep them, in a job of their own.
async fn back_up_keys(
    session: &Session,
    targets: &[Target],
    apart: &KeysApart<'_>,
    found: &Found,
) -> anyhow::Result<Results> {
    let keys = found.take().ok_or_else(|| {
        let message = "the keys are not whole, so they were not sealed a second time";
        Failure::new(Exit::Failure, message)
    })?;
    let settings = apart.source;
    let tasks = [Task {
        name: settings.name.value.clone(),
        compress: sources::compresses(&settings.kind),
        source: Box::new(Apart(keys)),
        only: None,
    }];
    let shot = Shot {
        job: &apart.job,
        tasks: &tasks,
        configuration: apart_configuration(apart)?,
        allow_partial: false,
        window: None,
        times: None,
    };
    let taken = take_snapshots(session, targets, shot).await?;
    let names = targets.iter().map(|target| target.name.clone());
    Ok(names.zip(taken).collect())
}

/// Names no source: a restore would put the two keys in the place of a Secret that has more than these.
fn apart_configuration(apart: &KeysApart<'_>) -> anyhow::Result<String> {
    let recipients = apart.recipients.iter().map(|it| it.value.as_str());
    let configuration = serde_json::json!({"recipients": recipients.collect::<Vec<_>>()});
    let configuration = serde_json::to_string_pretty(&configuration).context("write JSON")?;
    Ok(format!("# /keys of {}\n{configuration}\n", apart.job))
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

/// Each repository of the job with what became of the snapshot there.
async fn back_up_job(
    session: &Session,
    known: &mut Vec<Target>,
    name: &JobName,
    job: &Job,
    allow_partial: bool,
    found: &Found,
) -> anyhow::Result<Results> {
    let apart = job.keys_apart(name);
    let mut tasks = Vec::new();
    for settings in &job.sources {
        let apart = apart.as_ref();
        let apart = apart.is_some_and(|apart| std::ptr::eq(apart.source, settings));
        let source: Box<dyn Source> = match &settings.kind {
            Kind::Kubernetes(cluster) if apart && let Some(preset) = &cluster.preset => {
                Box::new(DataRobot::new(cluster, preset, found.clone()))
            }
            _ => sources::build(settings, Secrets::Read)?,
        };
        tasks.push(Task {
            name: settings.name.value.clone(),
            compress: sources::compresses(&settings.kind),
            source,
            only: None,
        });
    }
    let mut results = open_targets(session, known, job).await;
    let opened = |name: &Option<String>| !results.iter().any(|(failed, _)| failed == name);
    let targets: Vec<Target> = targets_of(session, job)
        .into_iter()
        .filter(opened)
        .filter_map(|name| known.iter().find(|target| target.name == name))
        .cloned()
        .collect();
    if targets.is_empty() {
        return Ok(results);
    }
    let shot = Shot {
        job: name,
        tasks: &tasks,
        configuration: session.settings.configuration.clone(),
        allow_partial,
        window: job.window.as_ref().map(|setting| setting.value),
        times: None,
    };
    let taken = take_snapshots(session, &targets, shot);
    let names = targets.iter().map(|target| target.name.clone());
    results.extend(names.zip(taken.await?));
    Ok(results)
}

/// The names of the repositories that a job goes to; one without a name if there is only one.
fn targets_of(session: &Session, job: &Job) -> Vec<Option<String>> {
    let named = |name: &String| Some(name.clone());
    let settings = &session.settings;
    if !settings.several {
        vec![None]
    } else if job.repositories.is_empty() {
        settings
            .repositories
            .iter()
            .map(|it| named(&it.name))
            .collect()
    } else {
        job.repositories.iter().map(|it| named(&it.value)).collect()
    }
}

/// Opens what is not open yet. Returns those that cannot be.
async fn open_targets(session: &Session, known: &mut Vec<Target>, job: &Job) -> Results {
    let mut failures = Vec::new();
    for name in targets_of(session, job).into_iter().flatten() {
        if known
            .iter()
            .any(|target| target.name.as_ref() == Some(&name))
        {
            continue;
        }
        let named = session
            .settings
            .named(&name)
            .expect("the names of a job were checked");
        match session.open_remembered_at(&named.place).await {
            Ok(repository) => known.push(Target {
                name: Some(name),
                repository,
            }),
            Err(error) => failures.push((Some(name), Err(error))),
        }
    }
    failures
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.source, self.name, self.reason)
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = (counted(self.entries, "entry", "entries"), Size(self.bytes));
        f.write_str(&self.snapshot)?;
        if let Some(repository) = &self.repository {
            write!(f, " in {repository}")?;
        }
        write!(f, ": {entries}, {bytes}")?;
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
        if let Some(LogDamaged { commit, reason }) = &self.log_damaged {
            writeln!(
                f,
                "  the log is damaged, and the snapshot follows what is left: commit {commit}: {reason}; \
                 `strongroom verify {}` says more",
                self.job
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
