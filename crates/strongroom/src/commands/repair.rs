//! `repair`: what is lost or damaged, put back from a repository that has it, or from older versions of the bucket.

use std::fmt;

use format::JobName;
use repository::{Address, Cache, Left, Mended, Repair, Repository, Service, Unasked};
use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;
use crate::output::chain;
use crate::progress::Progress;
use crate::session::{Session, with_hint};

/// What a lost map means.
pub(super) const MAP_LOST: &str =
    "no restore needs a map, and the next backup may store once more what it told of";

/// What was found and put back, job by job.
#[derive(Serialize)]
pub(crate) struct Repaired {
    dry_run: bool,
    repository: String,
    jobs: Vec<Job>,
    /// Other repositories that could not be asked.
    not_asked: Vec<NotAsked>,
    /// Whether the store may keep older versions that are not read here.
    #[serde(skip)]
    unread_versions: bool,
    /// What was wrong with those that were named.
    #[serde(skip)]
    pub(crate) failures: Vec<anyhow::Error>,
}

#[derive(Serialize)]
struct NotAsked {
    repository: String,
    error: String,
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
    /// The repository that has it; none: it is lost, or left as it is.
    from: Option<String>,
    /// Why it is left as it is, though it is not lost.
    left: Option<String>,
    #[serde(skip)]
    why: Option<Left>,
}

/// Repairs the jobs that are asked for.
pub(crate) async fn repair(session: &Session, asked: &cli::Repair) -> anyhow::Result<Repaired> {
    let repository = session.open().await?;
    let mut repaired = Repaired {
        dry_run: asked.dry_run,
        repository: repository.place().to_owned(),
        jobs: Vec::new(),
        not_asked: Vec::new(),
        unread_versions: matches!(
            &session.place()?.address.value,
            Address::Bucket(bucket) if bucket.service == Service::Az
        ),
        failures: Vec::new(),
    };
    let others = others(session, asked, &repository, &mut repaired.not_asked).await?;
    let cache = session.settings.cache.as_ref();
    let cache = cache.map(|folder| Cache::new(folder.value.clone()));
    for job in session.jobs(&repository, &asked.jobs).await? {
        let mut trust = session.trust()?;
        let view = session.view(&repository, &job, &mut trust).await?;
        // Who forged such a prune must not keep anybody from repairing; whose maintainer it is should know what comes back.
        if view.foreign_prune().is_some() {
            session.note_unseen(&view, &job);
        }
        let progress = Progress::new(session.output, &format!("look at {job}"), None);
        let repair = Repair {
            repository: &repository,
            others: &others,
            cache: cache.as_ref(),
            job: &job,
            trust: &trust,
            compute: &session.compute,
        };
        let done = repair
            .run(!asked.dry_run, &|bytes| progress.add(bytes))
            .await;
        let done = done.map_err(with_hint)?;
        let rows = done.mended.into_iter().map(|it| Row::of(&job, it));
        repaired.jobs.push(Job {
            job: job.to_string(),
            objects: rows.collect(),
        });
        for Unasked { place, error } in done.unasked {
            let error = with_hint(error);
            repaired.not_asked(place, &error);
            // Whoever is named is waited for.
            if !asked.from.is_empty() {
                repaired
                    .failures
                    .push(error.context(format!("repair {job}")));
            }
        }
    }
    Ok(repaired)
}

/// Those that are named, or all others of the configuration. Of these some may be away, which keeps nobody from asking the rest.
async fn others(
    session: &Session,
    asked: &cli::Repair,
    repository: &Repository,
    not_asked: &mut Vec<NotAsked>,
) -> anyhow::Result<Vec<Repository>> {
    let mut others = Vec::new();
    if asked.from.is_empty() {
        let own = &session.place()?.address.value;
        let named = session.settings.repositories.iter();
        for named in named.filter(|named| named.place.address.value != *own) {
            match session.open_at(&named.place).await {
                Ok(other) => others.push(other),
                Err(error) => not_asked.push(NotAsked {
                    repository: named.place.address.value.to_string(),
                    error: chain(&error),
                }),
            }
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
    if others.is_empty() && not_asked.is_empty() && session.place()?.directory().is_some() {
        let failure = Failure::usage("there is no other repository to take anything from");
        return Err(failure
            .hint("--from ADDRESS, or several `repositories` in strongroom.yaml")
            .into());
    }
    Ok(others)
}

impl Row {
    fn of(job: &JobName, mended: Mended) -> Self {
        let names = |numbers: &mut dyn Iterator<Item = &u64>| -> Vec<String> {
            numbers.map(|number| format!("{job}/{number}")).collect()
        };
        let left = mended.left.as_ref().map(|left| match left {
            Left::Cuts(cut) => format!(
                "with it in its place, these commits would no longer count: {}",
                names(&mut cut.iter()).join(", ")
            ),
            Left::Stands => {
                "it is authentic and counts for nothing; a snapshot can be read by its number"
                    .to_owned()
            }
            Left::Map => MAP_LOST.to_owned(),
        });
        Self {
            object: mended.object,
            what: mended.what,
            snapshots: names(&mut mended.snapshots.iter()),
            from: mended.from,
            left,
            why: mended.left,
        }
    }

    fn is_put_back(&self) -> bool {
        self.from.is_some() && self.left.is_none()
    }

    fn is_lost(&self) -> bool {
        self.from.is_none() && self.left.is_none()
    }
}

impl Repaired {
    fn not_asked(&mut self, repository: String, error: &anyhow::Error) {
        if !self.not_asked.iter().any(|it| it.repository == repository) {
            let error = chain(error);
            self.not_asked.push(NotAsked { repository, error });
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.jobs.iter().flat_map(|job| &job.objects)
    }

    /// Damage, if something is left as it is or, in a dry run, was found.
    pub(crate) fn exit(&self) -> Exit {
        if self.rows().any(|row| self.dry_run || !row.is_put_back()) {
            Exit::Damage
        } else {
            Exit::Ok
        }
    }

    /// Who was not asked, and what a person should do about what is not put back.
    pub(crate) fn notes(&self) -> Vec<String> {
        // What is wrong with those that were named is an error, and said as one.
        let silent = self.not_asked.iter().filter(|_| self.failures.is_empty());
        let mut notes: Vec<String> = silent
            .map(|it| format!("{} could not be asked: {}", it.repository, it.error))
            .collect();
        notes.extend(self.note_on_cuts());
        notes.extend(self.notes_on_lost());
        notes
    }

    fn note_on_cuts(&self) -> Option<String> {
        let refused = |row: &&Row| matches!(row.why, Some(Left::Cuts(_)));
        let rows: Vec<&Row> = self.rows().filter(refused).collect();
        let first = rows.first()?;
        let (name, from) = (first.snapshots.first()?, first.from.as_deref()?);
        let count = counted(rows.len() as u64, "commit is", "commits are");
        Some(if from == repository::OLDER_VERSION {
            format!(
                "{count} left out, for others count since, which would not with it. To have what it holds: copy the bucket into a \
                 directory, put the older version in its place there, then `strongroom init --repo NEW` and `strongroom copy {name} \
                 --repo DIRECTORY --to NEW`, and from NEW back"
            )
        } else {
            format!(
                "{count} left out, for others count since, which would not with it. To have what it holds: restore it with `--repo \
                 {from}`, or bring a copy, which takes its place in time: `strongroom init --repo NEW`, `strongroom copy {name} --repo \
                 {from} --to NEW`, `strongroom copy --repo NEW --to {}`",
                self.repository
            )
        })
    }

    fn notes_on_lost(&self) -> Vec<String> {
        let lost = self.rows().filter(|row| row.is_lost()).count() as u64;
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
        let lost = counted(lost, "object is", "objects are");
        notes.push(if self.not_asked.is_empty() {
            format!(
                "{lost} nowhere to be had: the snapshots that need it cannot be restored whole; what else they hold can be, and \
                 `copy JOB/NUMBER` brings what another repository captured at the same time"
            )
        } else {
            format!(
                "{lost} nowhere to be had among those that were asked: whoever was not may have it, so repair again when it answers"
            )
        });
        notes
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in &self.jobs {
            for row in &job.objects {
                self.line(row, f)?;
            }
            let damaged = counted(job.objects.len() as u64, "object", "objects");
            let found = job.objects.iter().filter(|row| row.is_put_back()).count();
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

impl Repaired {
    fn line(&self, row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", row.object, row.what)?;
        match (&row.from, &row.left, self.dry_run) {
            (Some(from), Some(left), _) => {
                write!(f, "{from} has it, and it is not put back: {left}")?;
            }
            (None, Some(left), _) => f.write_str(left)?,
            (Some(from), None, false) => write!(f, "put back from {from}")?,
            (Some(from), None, true) => write!(f, "{from} has it")?,
            (None, None, _) => f.write_str("LOST")?,
        }
        if !row.snapshots.is_empty() {
            write!(f, " (needed by {})", row.snapshots.join(", "))?;
        }
        writeln!(f)
    }
}
