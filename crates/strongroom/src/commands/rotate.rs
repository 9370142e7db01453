//! `rotate`: the data keys of all runs, sealed to other recipients.

use std::fmt;
use std::sync::Arc;

use format::{Identities, JobName, WriterKey};
use repository::{Change, Rekeyed, Repository, Rotate};
use serde::Serialize;

use crate::cli;
use crate::names::counted;
use crate::outcomes::Outcomes;
use crate::plugins::Programs;
use crate::session::{Session, with_hint};
use crate::units::now;

/// What `rotate` did, or would do, job by job.
#[derive(Serialize)]
pub(crate) struct Rotations {
    dry_run: bool,
    #[serde(flatten)]
    pub(crate) outcomes: Outcomes<JobRotated>,
}

#[derive(Serialize)]
pub(crate) struct JobRotated {
    job: String,
    /// Runs that were sealed anew, or would be.
    runs: u64,
    /// Runs that were sealed to these recipients already.
    already: u64,
    /// Runs that only snapshots name which are not trusted.
    untrusted: u64,
    commits: Vec<String>,
    /// Old key objects that were deleted.
    deleted: u64,
}

/// Rotates the jobs that are asked for.
pub(crate) async fn rotate(session: &Session, asked: &cli::Rotate) -> anyhow::Result<Rotations> {
    let maintainer = session.maintainer()?;
    let repository = session.open().await?;
    let jobs = session.jobs_with_undo(&repository, &asked.jobs).await?;
    let identities = session.identities().await?;
    let mut rotations = Rotations {
        dry_run: asked.dry_run,
        outcomes: Outcomes::new(),
    };
    for job in jobs {
        note_configured(session, &job, asked);
        let change = change(session, &job, asked);
        let rotate = job_rotation(session, &job, &maintainer, change, &identities, asked)?;
        let rekeyed = rotate_job(&repository, &rotate, asked.dry_run).await;
        let rotated = rekeyed.map(|rekeyed| JobRotated::of(&job, &rekeyed));
        rotations.outcomes.push("rotate", &job, rotated);
    }
    Ok(rotations)
}

/// Where neither flag is given, the configuration says who the recipients are.
fn change(session: &Session, job: &JobName, asked: &cli::Rotate) -> Change {
    if asked.add.is_empty() && asked.remove.is_empty() {
        let configured = session.settings.recipients(job).iter();
        return Change::To(configured.map(|setting| setting.value.clone()).collect());
    }
    Change::By {
        add: asked.add.clone(),
        remove: asked.remove.clone(),
    }
}

/// What is rotated is what there is; the next backup is sealed to whom the configuration names.
fn note_configured(session: &Session, job: &JobName, asked: &cli::Rotate) {
    let configured = session.settings.recipients(job);
    let has = |text: &String| configured.iter().any(|it| it.value == *text);
    if configured.is_empty() {
        return;
    }
    for gone in asked.remove.iter().filter(|text| has(text)) {
        session.output.note(format_args!(
            "the configuration still seals {job} to {gone}, and the next backup would: take it out of `recipients`, on every host that backs up"
        ));
    }
    for come in asked.add.iter().filter(|text| !has(text)) {
        session.output.note(format_args!(
            "the configuration does not seal {job} to {come}, and the next backup would not: add it to `recipients`, on every host that backs up"
        ));
    }
}

fn job_rotation(
    session: &Session,
    job: &JobName,
    maintainer: &Arc<WriterKey>,
    change: Change,
    identities: &Arc<Identities>,
    asked: &cli::Rotate,
) -> anyhow::Result<Rotate> {
    Ok(Rotate {
        maintenance: session.maintenance(job, Arc::clone(maintainer))?,
        change,
        despite_damage: asked.despite_damage,
        identities: Arc::clone(identities),
        plugins: Arc::new(Programs::alone()),
        compute: session.compute.clone(),
    })
}

async fn rotate_job(
    repository: &Repository,
    rotate: &Rotate,
    dry_run: bool,
) -> anyhow::Result<Rekeyed> {
    let rekeyed = if dry_run {
        rotate.plan(repository).await
    } else {
        rotate.carry_out(repository, &now, &|| ()).await
    };
    rekeyed.map_err(with_hint)
}

impl JobRotated {
    fn of(job: &JobName, rekeyed: &Rekeyed) -> Self {
        let commits = rekeyed.commits.iter();
        Self {
            job: job.to_string(),
            runs: rekeyed.rotated,
            already: rekeyed.already,
            untrusted: rekeyed.untrusted,
            commits: commits.map(|at| format!("{job}/{}", at.number)).collect(),
            deleted: rekeyed.deleted,
        }
    }
}

impl Rotations {
    /// What a person should know beside it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let done = self.outcomes.done();
        for job in done.clone().filter(|job| job.untrusted > 0) {
            notes.push(format!(
                "{}: {} only in snapshots of writers that are not trusted, and left as they were",
                job.job,
                counted(job.untrusted, "run is named", "runs are named")
            ));
        }
        if done.map(|job| job.runs).sum::<u64>() > 0 {
            notes.push(
                "whoever kept an old key object, and has an identity that opens it, can still read what it belongs to: to shut them \
                 out for good, take a new snapshot (one to other recipients gets a new key), then forget and prune the old ones, or \
                 keep what `copy --reseal` makes of them"
                    .to_owned(),
            );
        }
        notes
    }
}

impl fmt::Display for Rotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcomes
            .done()
            .try_for_each(|job| job.write(f, self.dry_run))
    }
}

impl JobRotated {
    fn write(&self, f: &mut fmt::Formatter<'_>, dry_run: bool) -> fmt::Result {
        let runs = counted(self.runs, "run", "runs");
        let what = if dry_run { "would be sealed" } else { "sealed" };
        write!(
            f,
            "{}: {runs} {what} anew, {} already",
            self.job, self.already
        )?;
        if self.deleted > 0 {
            let old = counted(self.deleted, "old key object", "old key objects");
            write!(f, ", {old} deleted")?;
        }
        if !self.commits.is_empty() {
            write!(f, " (commit {})", self.commits.join(", "))?;
        }
        writeln!(f)
    }
}
