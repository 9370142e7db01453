//! Taking one snapshot: the sources of a job are read once, all at the same time, into one repository or into several.

mod tee;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use archive::{Item, Name};
use format::{JobName, Recipients, SnapshotStatement, SourceTimes};
use futures::future::{join_all, try_join_all};
use repository::{Backup, BackupOptions, Captured, Finished, Outcome, Repository, SourceResult};
use source::{Batch, Source};

use crate::commands::backup::{LogDamaged, Missing, Taken};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;
use crate::plugins::Programs;
use crate::progress::Progress;
use crate::recipients::RecipientsChanged;
use crate::session::{PROGRAM, Session, with_hint};
use crate::units::{Period, now};

/// A log that moves on under a backup makes it start over; this often.
const ATTEMPTS: usize = 3;
/// So many entries that are missing are named in an error.
const NAMED_MAX: usize = 10;

/// One source of a snapshot that is taken.
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) compress: bool,
    pub(crate) source: Box<dyn Source>,
    /// Only these entries, for what a restore is about to overwrite; `None`: all of them.
    pub(crate) only: Option<HashSet<Name>>,
}

impl Task {
    /// All of `source`.
    pub(crate) fn reading(name: &str, source: Box<dyn Source>) -> Self {
        Self {
            name: name.to_owned(),
            compress: true,
            source,
            only: None,
        }
    }
}

/// A snapshot that is to be taken.
pub(crate) struct Shot<'a> {
    pub(crate) job: &'a JobName,
    pub(crate) tasks: &'a [Task],
    pub(crate) configuration: String,
    pub(crate) allow_partial: bool,
    /// How long the captures may take together.
    pub(crate) window: Option<Period>,
    /// When it was taken, if that was before.
    pub(crate) times: Option<Times>,
}

/// When the snapshot was taken of which this one has what is in it, RFC 3339.
pub(crate) struct Times {
    started: String,
    finished: String,
    sources: Vec<SourceTimes>,
}

impl Times {
    /// All of it at this moment.
    pub(crate) fn at(moment: &str, sources: usize) -> Self {
        let times = SourceTimes {
            started: moment.to_owned(),
            finished: moment.to_owned(),
        };
        Self {
            started: moment.to_owned(),
            finished: moment.to_owned(),
            sources: vec![times; sources],
        }
    }

    /// As another snapshot says.
    pub(crate) fn of(statement: &SnapshotStatement) -> Self {
        Self {
            started: statement.started.clone(),
            finished: statement.finished.clone(),
            sources: statement.sources.clone(),
        }
    }
}

impl Shot<'_> {
    fn started(&self) -> String {
        let times = self.times.as_ref();
        times.map_or_else(now, |times| times.started.clone())
    }

    fn finished(&self) -> String {
        let times = self.times.as_ref();
        times.map_or_else(now, |times| times.finished.clone())
    }

    /// Of source number `index`, which began then and ends now.
    fn times_of(&self, index: usize, started: String) -> SourceTimes {
        match &self.times {
            Some(times) => times.sources[index].clone(),
            None => SourceTimes {
                started,
                finished: now(),
            },
        }
    }
}

/// A repository that a snapshot goes to.
#[derive(Clone)]
pub(crate) struct Target {
    /// Of several, what the configuration calls it.
    pub(crate) name: Option<String>,
    pub(crate) repository: Repository,
}

impl Target {
    /// The only one.
    pub(crate) fn only(repository: Repository) -> Self {
        Self {
            name: None,
            repository,
        }
    }
}

/// A source that was read to its end, and what each repository made of it.
struct Read {
    name: String,
    kind: String,
    facts: BTreeMap<String, String>,
    incomplete: Vec<format::Incomplete>,
    notes: Vec<String>,
    times: SourceTimes,
    taken: Vec<anyhow::Result<Captured>>,
}

/// Captures all tasks of `shot` into one snapshot, sealed to the recipients of its job. Interrupted or failed, it leaves at most objects that nothing names.
pub(crate) async fn take_snapshot(
    session: &Session,
    repository: &Repository,
    shot: Shot<'_>,
) -> anyhow::Result<Taken> {
    let targets = [Target::only(repository.clone())];
    let taken = take_snapshots(session, &targets, shot);
    taken.await?.pop().expect("there is one target")
}

/// The same into each of `targets`, in one pass over the sources: what became of it there, in their order. What fails in one does not
/// keep the others from having it; an error is about all of them.
pub(crate) async fn take_snapshots(
    session: &Session,
    targets: &[Target],
    shot: Shot<'_>,
) -> anyhow::Result<Vec<anyhow::Result<Taken>>> {
    let options = options(session, shot.job, shot.configuration.clone())?;
    take_with(session, targets, &shot, &options).await
}

/// The same with other recipients, and signed by somebody else, than the configuration says.
pub(crate) async fn take_with(
    session: &Session,
    targets: &[Target],
    shot: &Shot<'_>,
    options: &BackupOptions,
) -> anyhow::Result<Vec<anyhow::Result<Taken>>> {
    refuse_twice(targets)?;
    let job = shot.job;
    let mut results: Vec<Option<anyhow::Result<Taken>>> = targets.iter().map(|_| None).collect();
    for attempt in 1..=ATTEMPTS {
        tracing::info!(job = job.as_str(), attempt, "backup started");
        let started = shot.started();
        let backups = start(session, targets, options, &mut results).await;
        if backups.is_empty() {
            break;
        }
        let what = format!("back up {job}");
        let expected = backups
            .iter()
            .find_map(|(_, backup)| backup.expected_bytes());
        let progress = Progress::new(session.output, &what, expected);
        let captures = capture_all(&backups, shot, &progress);
        let reads = match session.unless_stopped(captures).await {
            Ok(reads) => reads,
            Err(error) => {
                join_all(backups.into_iter().map(|(_, backup)| backup.abandon())).await;
                return Err(error);
            }
        };
        drop(progress);
        let missing = missing(&reads);
        let notes: Vec<String> = reads.iter().flat_map(|read| read.notes.clone()).collect();
        // A repository that does not answer keeps no other from having its snapshot now.
        let finishing = backups.into_iter().zip(by_target(reads));
        let finishing = finishing.map(async |((index, backup), sources)| {
            let outcome = match sources {
                Ok(sources) => backup
                    .finish(sources, &started, &shot.finished())
                    .await
                    .map_err(with_hint),
                Err(error) => {
                    backup.abandon().await;
                    Err(error)
                }
            };
            (index, outcome)
        });
        for (index, outcome) in join_all(finishing).await {
            results[index] = match outcome {
                Ok(Outcome::Committed(finished)) => {
                    let taken = taken(job, &targets[index], &finished);
                    Some(Ok(Taken {
                        incomplete: missing.clone(),
                        notes: notes.clone(),
                        ..taken
                    }))
                }
                Ok(Outcome::StartOver) => None,
                Err(error) => Some(Err(error)),
            };
        }
        if results.iter().all(Option::is_some) {
            break;
        }
        session.output.note(format_args!(
            "the log of {job} changed under the backup; starting over"
        ));
    }
    let contended = || Err(repository::Error::Contended { job: job.clone() }.into());
    Ok(results
        .into_iter()
        .map(|result| result.unwrap_or_else(contended))
        .collect())
}

/// Two places with one repository would fork its logs.
fn refuse_twice(targets: &[Target]) -> Result<(), Failure> {
    for (at, target) in targets.iter().enumerate() {
        let before = targets[..at].iter();
        let twice = before
            .clone()
            .find(|it| it.repository.id() == target.repository.id());
        if let (Some(twice), Some(name)) = (twice, &target.name) {
            let message = format!(
                "{} and {name} are one repository, or one was moved from the other",
                twice.name.as_deref().unwrap_or("the other")
            );
            return Err(Failure::usage(message).hint(format!(
                "make {name} anew with `strongroom init`, or leave it out"
            )));
        }
    }
    Ok(())
}

/// What a backup of the job is told, by the configuration.
pub(crate) fn options(
    session: &Session,
    job: &JobName,
    configuration: String,
) -> anyhow::Result<BackupOptions> {
    let recipients = session.settings.recipients(job).iter();
    let recipients = recipients.map(|setting| setting.value.as_str());
    let writer = session.writer()?;
    let mut trust = session.trust()?;
    trust.writers.insert(writer.id());
    Ok(BackupOptions {
        job: job.clone(),
        recipients: Recipients::parse(recipients)?.with_plugins(Arc::new(Programs::alone())),
        writer,
        trust,
        program: PROGRAM.to_owned(),
        configuration,
    })
}

/// A backup in each target that has no result yet. Every log will remember what the others looked like.
async fn start(
    session: &Session,
    targets: &[Target],
    options: &BackupOptions,
    results: &mut [Option<anyhow::Result<Taken>>],
) -> Vec<(usize, Backup)> {
    let open = targets
        .iter()
        .enumerate()
        .filter(|(index, _)| results[*index].is_none());
    let starting = open.map(async |(index, target)| {
        let compute = session.compute.clone();
        let backup = Backup::start(&target.repository, options.clone(), compute).await;
        (index, backup.map_err(with_hint))
    });
    let mut backups = Vec::new();
    for (index, started) in join_all(starting).await {
        match started {
            Ok(backup) => backups.push((index, backup)),
            Err(error) => results[index] = Some(Err(error)),
        }
    }
    let seen: Vec<_> = backups.iter().map(|(_, backup)| backup.seen()).collect();
    for (at, (_, backup)) in backups.iter_mut().enumerate() {
        let others = seen.iter().enumerate().filter(|(other, _)| *other != at);
        backup.remember(others.filter_map(|(_, seen)| seen.clone()).collect());
    }
    backups
}

/// Reads all sources at the same time; the first that fails ends the others.
async fn capture_all(
    backups: &[(usize, Backup)],
    shot: &Shot<'_>,
    progress: &Progress,
) -> anyhow::Result<Vec<Read>> {
    let captures = 0..shot.tasks.len();
    let captures = captures.map(|index| capture(backups, index, shot, progress));
    let reads = within(shot.window, try_join_all(captures)).await?;
    let missing = missing(&reads);
    if missing.is_empty() || shot.allow_partial {
        Ok(reads)
    } else {
        Err(incomplete(&missing).into())
    }
}

/// What is of one window or of none.
async fn within<T>(
    window: Option<Period>,
    captures: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let Some(window) = window else {
        return captures.await;
    };
    let captured = tokio::time::timeout(window.duration(), captures).await;
    captured.unwrap_or_else(|_| {
        let message = format!(
            "the sources were not captured within the window of {window}, so nothing was kept"
        );
        let hint = "a longer `window`, or what takes so long in a job of its own";
        Err(Failure::new(Exit::Failure, message).hint(hint).into())
    })
}

/// Reads one source to its end while the repositories take it in.
async fn capture(
    backups: &[(usize, Backup)],
    index: usize,
    shot: &Shot<'_>,
    progress: &Progress,
) -> anyhow::Result<Read> {
    let task = &shot.tasks[index];
    let named = || format!("source `{}`", task.name);
    let started = now();
    let mut filter = Filter {
        only: task.only.as_ref(),
        keeping: true,
    };
    let filter = move |batch| {
        progress.add(crate::live::content_bytes(&batch));
        filter.keep(batch)
    };
    let takers = backups
        .iter()
        .map(|(_, backup)| move |batches| backup.take(index, &task.name, task.compress, batches));
    let (mut capture, taken) = tee::read(task.source.as_ref(), filter, takers)
        .await
        .with_context(named)?;
    if let Some(only) = &task.only {
        capture
            .incomplete
            .retain(|incomplete| only.contains(&incomplete.name));
    }
    let incomplete = capture.incomplete.into_iter();
    Ok(Read {
        name: task.name.clone(),
        kind: task.source.kind().to_owned(),
        facts: capture.facts,
        incomplete: incomplete
            .map(|missing| format::Incomplete {
                name: missing.name,
                reason: missing.reason,
            })
            .collect(),
        notes: capture.notes,
        times: shot.times_of(index, started),
        taken: taken
            .into_iter()
            .map(|taken| taken.with_context(named))
            .collect(),
    })
}

/// What each target is to finish with: all its sources, or the first failure.
fn by_target(reads: Vec<Read>) -> Vec<anyhow::Result<Vec<SourceResult>>> {
    let targets = reads.iter().map(|read| read.taken.len()).max();
    let mut all: Vec<_> = (0..targets.unwrap_or(0)).map(|_| Ok(Vec::new())).collect();
    for read in reads {
        for (result, taken) in all.iter_mut().zip(read.taken) {
            match (result.as_mut(), taken) {
                (Ok(sources), Ok(captured)) => sources.push(SourceResult {
                    name: read.name.clone(),
                    kind: read.kind.clone(),
                    captured,
                    facts: read.facts.clone(),
                    incomplete: read.incomplete.clone(),
                    times: read.times.clone(),
                }),
                (Ok(_), Err(error)) => *result = Err(error),
                (Err(_), _) => {}
            }
        }
    }
    all
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

fn missing(reads: &[Read]) -> Vec<Missing> {
    let all = reads.iter().flat_map(|read| {
        read.incomplete.iter().map(|missing| Missing {
            source: read.name.clone(),
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

fn taken(job: &JobName, target: &Target, finished: &Finished) -> Taken {
    let statement = &finished.statement;
    Taken {
        job: job.to_string(),
        repository: target.name.clone(),
        snapshot: format!("{job}/{}", finished.at.number),
        unchanged: finished.unchanged,
        partial: statement.partial,
        entries: statement.entries,
        bytes: statement.bytes,
        added: statement.added,
        incomplete: Vec::new(),
        notes: Vec::new(),
        recipients_changed: finished
            .recipient_change
            .as_ref()
            .map(RecipientsChanged::of),
        log_damaged: finished.damage.as_ref().map(|damage| LogDamaged {
            commit: format!("{job}/{}", damage.number),
            reason: damage.reason.clone(),
        }),
    }
}
