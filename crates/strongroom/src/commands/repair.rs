//! `repair`: what is lost or damaged, put back from a repository that has it, or from older versions of the bucket.

use std::fmt;

use repository::{Address, Mended, Repair, Repository, Service};
use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;
use crate::progress::Progress;
use crate::session::{Session, with_hint};

/// What was found and put back, job by job.
#[derive(Serialize)]
pub(crate) struct Repaired {
    dry_run: bool,
    repository: String,
    jobs: Vec<Job>,
    /// Whether the store may keep older versions that are not read here.
    #[serde(skip)]
    unread_versions: bool,
}

#[derive(Serialize)]
struct Job {
    job: String,
    objects: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    object: String,
    what: String,
    snapshots: Vec<String>,
    /// The repository that has it; none: it is lost.
    from: Option<String>,
}

/// Repairs the jobs that are asked for.
pub(crate) async fn repair(session: &Session, asked: &cli::Repair) -> anyhow::Result<Repaired> {
    let repository = session.open().await?;
    let others = others(session, asked, &repository).await?;
    let mut repaired = Repaired {
        dry_run: asked.dry_run,
        repository: repository.place().to_owned(),
        jobs: Vec::new(),
        unread_versions: matches!(
            &session.place()?.address.value,
            Address::Bucket(bucket) if bucket.service == Service::Az
        ),
    };
    for job in session.jobs(&repository, &asked.jobs).await? {
        let mut trust = session.trust()?;
        session.view(&repository, &job, &mut trust).await?;
        let progress = Progress::new(session.output, &format!("look at {job}"), None);
        let repair = Repair {
            repository: &repository,
            others: &others,
            job: &job,
            trust: &trust,
            compute: &session.compute,
        };
        let mended = repair
            .run(!asked.dry_run, &|bytes| progress.add(bytes))
            .await;
        let mended = mended.map_err(with_hint)?;
        let row = |it: Mended| Row {
            object: it.object,
            what: it.what,
            snapshots: it
                .snapshots
                .iter()
                .map(|number| format!("{job}/{number}"))
                .collect(),
            from: it.from,
        };
        repaired.jobs.push(Job {
            job: job.to_string(),
            objects: mended.into_iter().map(row).collect(),
        });
    }
    Ok(repaired)
}

/// Those that are named, or all others of the configuration.
async fn others(
    session: &Session,
    asked: &cli::Repair,
    repository: &Repository,
) -> anyhow::Result<Vec<Repository>> {
    let mut others = Vec::new();
    if asked.from.is_empty() {
        let own = &session.place()?.address.value;
        let named = session.settings.repositories.iter();
        for named in named.filter(|named| named.place.address.value != *own) {
            others.push(session.open_at(&named.place).await?);
        }
    }
    for text in &asked.from {
        others.push(
            session
                .open_at(&session.other_place("--from", text)?)
                .await?,
        );
    }
    others.retain(|other| other.place() != repository.place());
    // A bucket may have older versions.
    if others.is_empty() && session.place()?.directory().is_some() {
        let failure = Failure::usage("there is no other repository to take anything from");
        return Err(failure
            .hint("--from ADDRESS, or several `repositories` in strongroom.yaml")
            .into());
    }
    Ok(others)
}

impl Repaired {
    /// Damage, if something is lost or, in a dry run, was found.
    pub(crate) fn exit(&self) -> Exit {
        let objects = self.jobs.iter().flat_map(|job| &job.objects);
        let bad = |row: &Row| self.dry_run || row.from.is_none();
        if objects.into_iter().any(bad) {
            Exit::Damage
        } else {
            Exit::Ok
        }
    }

    /// What a person should do about what is lost.
    pub(crate) fn notes(&self) -> Vec<String> {
        let objects = self.jobs.iter().flat_map(|job| &job.objects);
        let lost = objects.filter(|row| row.from.is_none()).count() as u64;
        if lost == 0 {
            return Vec::new();
        }
        let mut notes = Vec::new();
        if self.unread_versions {
            notes.push(
                "older versions are read on S3 and Google Cloud Storage only: if the container keeps versions, or what was deleted, bring \
                 the objects back with Azure's own tools (az storage blob undelete, or a copy of an older version), then repair again"
                    .to_owned(),
            );
        }
        notes.push(format!(
            "{} nowhere to be had: the snapshots that need it cannot be restored whole; what else they hold can be, and `copy JOB/NUMBER` \
             brings what another repository captured at the same time",
            counted(lost, "object is", "objects are")
        ));
        notes
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in &self.jobs {
            for row in &job.objects {
                write!(f, "{}: {}: ", row.object, row.what)?;
                match (&row.from, self.dry_run) {
                    (Some(from), false) => write!(f, "put back from {from}")?,
                    (Some(from), true) => write!(f, "{from} has it")?,
                    (None, _) => f.write_str("LOST")?,
                }
                if !row.snapshots.is_empty() {
                    write!(f, " (needed by {})", row.snapshots.join(", "))?;
                }
                writeln!(f)?;
            }
            let damaged = counted(job.objects.len() as u64, "object", "objects");
            let found = job.objects.iter().filter(|row| row.from.is_some()).count();
            let done = if self.dry_run {
                "can be put back"
            } else {
                "put back"
            };
            writeln!(f, "{}: {damaged} damaged, {found} {done}", job.job)?;
        }
        Ok(())
    }
}
