//! `prune`: drops the snapshots that no rule keeps, and deletes what only they needed.

use std::fmt;
use std::sync::Arc;

use format::{JobName, WriterKey};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use repository::{Plan, Prune, PruneOptions, Pruned, Repository};
use serde::Serialize;

use crate::cli;
use crate::locks::LockedGone;
use crate::names::counted;
use crate::outcomes::Outcomes;
use crate::session::{PROGRAM, Session, with_hint};
use crate::units::{Size, now};

/// Jobs that are pruned at the same time: a bucket answers slowly, and there may be many.
const JOBS_AT_ONCE: usize = 4;
/// A log that moves on under a prune makes it plan again; this often.
const ATTEMPTS: usize = 5;

/// What `prune` did, or would do, job by job.
#[derive(Serialize)]
pub(crate) struct Prunes {
    dry_run: bool,
    #[serde(flatten)]
    pub(crate) outcomes: Outcomes<JobPruned>,
}

#[derive(Serialize)]
pub(crate) struct JobPruned {
    job: String,
    /// The prune's own commit; none if there was nothing to do, or it is a dry run.
    commit: Option<String>,
    snapshots: Vec<Row>,
    /// Objects of runs that go, and their bytes.
    objects: u64,
    bytes: u64,
    /// Of these what no snapshot named: left by interrupted backups.
    unnamed_objects: u64,
    unnamed_bytes: u64,
    /// Objects that nothing names and that are too young to go.
    young_objects: u64,
    young_bytes: u64,
    /// Everything that was deleted, commits and what an earlier prune had left undone among it.
    deleted: u64,
    /// Of what goes, where objects are locked: what the bucket keeps all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<LockedGone>,
    /// Whether there are rules that let anything go.
    retention: bool,
}

#[derive(Serialize)]
struct Row {
    snapshot: String,
    finished: String,
    keep: bool,
    rule: String,
    /// What goes with it. What several that go had counts for the newest of them.
    bytes: u64,
    /// By how many seconds its time lies after the store's, if that is more than an hour; negative: before.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<i64>,
}

/// Prunes the jobs that are asked for, as things are at `at`.
pub(crate) async fn prune(
    session: &Session,
    asked: &cli::Prune,
    at: Timestamp,
) -> anyhow::Result<Prunes> {
    let maintainer = session.maintainer()?;
    let repository = session.open_remembered().await?;
    let mut prunes = Prunes {
        dry_run: asked.dry_run,
        outcomes: Outcomes::new(),
    };
    let jobs = session.jobs_with_undo(&repository, &asked.jobs).await?;
    let pruning = stream::iter(jobs).map(async |job| {
        let pruned = prune_job(session, &repository, &job, &maintainer, asked, at).await;
        (job, pruned)
    });
    let mut pruning = pruning.buffered(JOBS_AT_ONCE);
    while let Some((job, pruned)) = pruning.next().await {
        prunes.outcomes.push("prune", &job, pruned);
    }
    Ok(prunes)
}

async fn prune_job(
    session: &Session,
    repository: &Repository,
    job: &JobName,
    maintainer: &Arc<WriterKey>,
    asked: &cli::Prune,
    at: Timestamp,
) -> anyhow::Result<JobPruned> {
    let retention = session.settings.retention(job);
    let options = PruneOptions {
        job: job.clone(),
        policy: retention.policy(),
        grace: retention.grace.value.duration(),
        maintainer: Arc::clone(maintainer),
        trust: session.trust()?,
        program: PROGRAM.to_owned(),
        despite_damage: asked.despite_damage,
    };
    for _ in 0..ATTEMPTS {
        let started = now();
        let prune = Prune::plan(repository, options.clone(), at).await;
        let prune = prune.map_err(with_hint)?;
        let mut pruned = planned(job, &prune, !options.policy.is_empty());
        pruned.locked = prune
            .locks()
            .await
            .map_err(with_hint)?
            .and_then(LockedGone::of);
        if asked.dry_run {
            return Ok(pruned);
        }
        let carried_out = prune.carry_out(&started, &now(), &|| ()).await;
        match carried_out.map_err(with_hint)? {
            Pruned::Done { at, deleted } => {
                pruned.commit = at.map(|at| format!("{job}/{}", at.number));
                pruned.deleted = deleted;
                return Ok(pruned);
            }
            Pruned::StartOver => session.output.note(format_args!(
                "the log of {job} changed under the prune; planning again"
            )),
        }
    }
    Err(repository::Error::Contended { job: job.clone() }.into())
}

fn planned(job: &JobName, prune: &Prune, retention: bool) -> JobPruned {
    let plan: &Plan = prune.planned();
    let snapshots = prune.view().snapshots().zip(&plan.verdicts);
    let rows = snapshots.map(|(snapshot, verdict)| Row {
        snapshot: format!("{job}/{}", verdict.number),
        finished: snapshot.statement.finished.clone(),
        keep: verdict.keep,
        rule: verdict.reason.to_string(),
        bytes: plan.freed.get(&verdict.number).copied().unwrap_or_default(),
        clock: verdict.strange.map(|by| by.as_secs()),
    });
    JobPruned {
        job: job.to_string(),
        commit: None,
        snapshots: rows.collect(),
        objects: plan.objects.0,
        bytes: plan.objects.1,
        unnamed_objects: plan.unnamed.0,
        unnamed_bytes: plan.unnamed.1,
        young_objects: plan.spared.0,
        young_bytes: plan.spared.1,
        deleted: 0,
        locked: None,
        retention,
    }
}

impl Prunes {
    /// What a person should know beside the list.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.outcomes.done().flat_map(JobPruned::notes).collect()
    }
}

impl JobPruned {
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let name = &self.job;
        if !self.retention && !self.snapshots.is_empty() {
            notes.push(format!(
                "{name}: there is no retention in the configuration, so nothing is dropped but what was forgotten; \
                 docs/retention.md says how"
            ));
        }
        let strange = self
            .snapshots
            .iter()
            .filter(|row| row.clock.is_some())
            .count();
        if let Some(locked) = &self.locked {
            notes.push(format!("{name}: {locked}"));
        }
        if strange > 0 {
            notes.push(format!(
                "{name}: {} more than an hour from the store's clock: a clock is wrong, or somebody lies about the time",
                counted(strange as u64, "snapshot is dated", "snapshots are dated")
            ));
        }
        notes
    }
}

impl fmt::Display for Prunes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcomes
            .done()
            .try_for_each(|job| job.write(f, self.dry_run))
    }
}

impl JobPruned {
    fn write(&self, f: &mut fmt::Formatter<'_>, dry_run: bool) -> fmt::Result {
        let names = self.snapshots.iter().map(|row| row.snapshot.len());
        let width = names.max().unwrap_or_default();
        for row in &self.snapshots {
            let finished = archive::Name::from(row.finished.as_str()).to_string();
            let what = if row.keep { "keep" } else { "drop" };
            write!(
                f,
                "{what}  {:width$}  {finished:24}  {}",
                row.snapshot, row.rule
            )?;
            if row.bytes > 0 {
                write!(f, ", {}", Size(row.bytes))?;
            }
            if let Some(clock) = row.clock {
                write!(f, "  ({})", off(clock))?;
            }
            writeln!(f)?;
        }
        let kept = self.snapshots.iter().filter(|row| row.keep).count() as u64;
        let dropped = self.snapshots.len() as u64 - kept;
        let went = if dry_run { "would go" } else { "went" };
        writeln!(
            f,
            "{}: {}, {} {went} with {} ({})",
            self.job,
            counted(kept, "snapshot stays", "snapshots stay"),
            dropped,
            counted(self.objects, "object", "objects"),
            Size(self.bytes)
        )?;
        if self.unnamed_objects > 0 {
            let unnamed = counted(self.unnamed_objects, "object", "objects");
            let size = Size(self.unnamed_bytes);
            writeln!(
                f,
                "  {unnamed} of these ({size}) left by interrupted backups"
            )?;
        }
        if self.young_objects > 0 {
            let young = counted(self.young_objects, "object", "objects");
            let size = Size(self.young_bytes);
            writeln!(
                f,
                "  {young} ({size}) that no snapshot needs, too young to go yet"
            )?;
        }
        Ok(())
    }
}

/// How a snapshot's time stands to the store's.
fn off(seconds: i64) -> String {
    let by = SignedDuration::from_secs(seconds.abs());
    let hours = by.as_hours();
    let by = if hours < 48 {
        format!("{hours} h")
    } else {
        format!("{} d", hours / 24)
    };
    let side = if seconds > 0 { "after" } else { "before" };
    format!("{by} {side} the store's clock")
}
