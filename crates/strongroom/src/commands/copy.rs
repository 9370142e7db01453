//! `copy`: what another repository lacks, as it is or sealed anew.

mod reseal;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use format::{JobName, WriterKey};
use repository::{Copy, Copying, Fate, Repository};
use serde::Serialize;

use crate::cli;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::names::{Which, counted};
use crate::progress::Progress;
use crate::session::{Session, choose, with_hint};
use crate::units::{Size, now};

use reseal::Reseal;

/// What `copy` did, or would do, job by job. A job that failed does not keep the others from being copied.
#[derive(Serialize)]
pub(crate) struct Copies {
    dry_run: bool,
    from: String,
    to: String,
    jobs: Vec<JobCopied>,
    #[serde(skip)]
    pub(crate) failures: Vec<anyhow::Error>,
}

#[derive(Default, Serialize)]
struct JobCopied {
    job: String,
    copied: Vec<Row>,
    bytes: u64,
    /// Snapshots that the other repository has already.
    there: u64,
    /// Of these, the ones that were not pinned there and are now.
    pinned: u64,
    /// Left out: older than the other repository's last prune.
    pruned: u64,
    forgotten: u64,
    untrusted: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Row {
    snapshot: String,
    /// What it is called there; none of a dry run.
    there: Option<String>,
    /// What was stored for it; of a dry run, at most.
    bytes: u64,
}

#[derive(Serialize)]
struct Failed {
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    error: String,
    exit_code: u8,
}

/// Copies what is asked for.
pub(crate) async fn copy(session: &Session, asked: &cli::Copy) -> anyhow::Result<Copies> {
    let key = signer(session)?;
    let there = session.other_place("--to", &asked.to)?;
    let from = session.open().await?;
    let to = session.open_at(&there).await?;
    if from.id() == to.id() {
        let message = format!("{} is the repository that is read", to.place());
        return Err(Failure::usage(message)
            .hint("--repo says where to copy from, --to where to")
            .into());
    }
    let mut copies = Copies {
        dry_run: asked.dry_run,
        from: from.place().to_owned(),
        to: to.place().to_owned(),
        jobs: Vec::new(),
        failures: Vec::new(),
    };
    let reseal = if asked.reseal {
        Some(Reseal {
            session,
            from: &from,
            to: &to,
            identities: session.identities().await?,
            dry_run: asked.dry_run,
        })
    } else {
        None
    };
    for (job, only) in wanted(session, asked, &from).await? {
        let mut copied = JobCopied {
            job: job.to_string(),
            ..JobCopied::default()
        };
        let failures = match &reseal {
            Some(reseal) => reseal.job(&job, &only, &mut copied).await,
            None => as_it_is(session, (&from, &to), &key, &job, only, asked, &mut copied).await?,
        };
        for (snapshot, error) in failures {
            let what = snapshot.as_deref().unwrap_or(job.as_str());
            let error = error.context(format!("copy {what}"));
            copied.failed.push(Failed {
                exit_code: exit::of(&error).code(),
                error: crate::output::chain(&error),
                snapshot,
            });
            copies.failures.push(error);
        }
        copies.jobs.push(copied);
        if copies
            .failures
            .iter()
            .any(|error| exit::of(error) == Exit::Interrupted)
        {
            break;
        }
    }
    Ok(copies)
}

/// Copies what there is of a job, sealed bytes as they are.
async fn as_it_is(
    session: &Session,
    between: (&Repository, &Repository),
    key: &Arc<WriterKey>,
    job: &JobName,
    only: Vec<u64>,
    asked: &cli::Copy,
    copied: &mut JobCopied,
) -> anyhow::Result<Vec<(Option<String>, anyhow::Error)>> {
    let mut maintenance = session.maintenance(job, Arc::clone(key))?;
    maintenance.trust.writers.insert(key.id());
    let options = Copy {
        maintenance,
        pruned_too: asked.pruned_too,
        only,
        compute: session.compute.clone(),
    };
    Ok(copy_job(session, between, options, asked.dry_run, copied).await)
}

/// Whoever appends vouches for the place in the log: a writer may, and a host without a writer's key may be a maintainer's.
fn signer(session: &Session) -> anyhow::Result<Arc<WriterKey>> {
    if session.settings.writer_key.is_none() && session.settings.maintainer_key.is_some() {
        return session.maintainer();
    }
    session.writer()
}

/// The jobs, each with the numbers that are asked for; with none: all of it.
async fn wanted(
    session: &Session,
    asked: &cli::Copy,
    from: &Repository,
) -> anyhow::Result<BTreeMap<JobName, Vec<u64>>> {
    let names: Vec<JobName> = asked.wanted.iter().map(|it| it.job.clone()).collect();
    let mut jobs = session.jobs(from, &names).await?;
    if names.is_empty() {
        jobs.retain(|job| goes_to(session, job, &asked.to));
    }
    let mut wanted: BTreeMap<JobName, Vec<u64>> =
        jobs.into_iter().map(|job| (job, Vec::new())).collect();
    for name in asked.wanted.iter().filter(|it| it.which != Which::Newest) {
        let mut trust = session.trust()?;
        let view = session.view(from, &name.job, &mut trust).await?;
        let number = choose(&view, &trust, name)?.at.number;
        wanted.entry(name.job.clone()).or_default().push(number);
    }
    // A job that is named as a whole is copied as a whole.
    for name in asked.wanted.iter().filter(|it| it.which == Which::Newest) {
        wanted.insert(name.job.clone(), Vec::new());
    }
    Ok(wanted)
}

/// Whether the configuration lets a job go to the repository of that name.
fn goes_to(session: &Session, job: &JobName, name: &str) -> bool {
    let configured = session.settings.jobs.get(job);
    let places = configured.map_or(&[][..], |job| &*job.repositories);
    let named = session.settings.named(name).is_some();
    !named || places.is_empty() || places.iter().any(|place| place.value == name)
}

/// What failed, with the snapshot's name if it is about one. Damage to one does not keep the others from being copied.
async fn copy_job(
    session: &Session,
    (from, to): (&Repository, &Repository),
    options: Copy,
    dry_run: bool,
    copied: &mut JobCopied,
) -> Vec<(Option<String>, anyhow::Error)> {
    let job = options.maintenance.job.clone();
    let mut copying = match Copying::plan(from, to, options).await {
        Ok(copying) => copying,
        Err(error) => return vec![(None, with_hint(error))],
    };
    let mut failures = Vec::new();
    let name = |number: u64| format!("{job}/{number}");
    let mut going = Vec::new();
    for (number, fate) in copying.fates() {
        match fate {
            Fate::Goes => going.push(*number),
            Fate::There => copied.there += 1,
            Fate::Pruned => copied.pruned += 1,
            Fate::Forgotten => copied.forgotten += 1,
            Fate::Untrusted => copied.untrusted.push(name(*number)),
            Fate::Astray => failures.push((Some(name(*number)), astray(&name(*number)))),
            Fate::NotAsked => {}
        }
    }
    if dry_run {
        copied.copied.extend(going.iter().map(|number| Row {
            snapshot: name(*number),
            there: None,
            bytes: copying.bytes_of(*number),
        }));
        return failures;
    }
    let rest = async { copying.pin_the_rest(&now).await.map_err(with_hint) };
    match session.unless_stopped(rest).await {
        Ok(pinned) => copied.pinned = pinned.len() as u64,
        Err(error) => return vec![(None, error)],
    }
    let progress = Progress::new(session.output, &format!("copy {job}"), None);
    for number in going {
        let done = async {
            let done = copying
                .copy(number, &now, &|bytes| progress.add(bytes))
                .await;
            done.map_err(with_hint)
        };
        match session.unless_stopped(done).await {
            Ok(Some(done)) => {
                copied.bytes += done.added;
                copied.copied.push(Row {
                    snapshot: name(number),
                    there: Some(name(done.to.number)),
                    bytes: done.added,
                });
            }
            // A prune dropped it meanwhile.
            Ok(None) => {}
            Err(error) => {
                let ends = exit::of(&error) != Exit::Damage;
                failures.push((Some(name(number)), error));
                if ends {
                    break;
                }
            }
        }
    }
    failures
}

/// Why a snapshot is left out that stands behind damage.
fn astray(name: &str) -> anyhow::Error {
    let message = format!("left out, because a commit before {name} is lost or damaged");
    let hint = format!(
        "strongroom repair brings that back if it can; strongroom copy {name} --to … copies this one as it is"
    );
    Failure::new(Exit::Damage, message).hint(hint).into()
}

impl Copies {
    /// What a person should know beside it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for job in &self.jobs {
            if job.pruned > 0 {
                let left = counted(job.pruned, "snapshot", "snapshots");
                notes.push(format!(
                    "{}: left out, because the last prune there may have dropped what is older: {left}; --pruned-too copies them all the same",
                    job.job
                ));
            }
            if !job.untrusted.is_empty() {
                notes.push(format!(
                    "{}: left out, because nobody would accept them there (the writer is not trusted, or was revoked): {}",
                    job.job,
                    job.untrusted.join(", ")
                ));
            }
        }
        notes
    }
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in &self.jobs {
            for Row {
                snapshot,
                there,
                bytes,
            } in &job.copied
            {
                match there {
                    Some(there) => {
                        writeln!(f, "{snapshot} is {there} there, {} stored", Size(*bytes))?;
                    }
                    None => writeln!(f, "{snapshot} would be copied, at most {}", Size(*bytes))?,
                }
            }
            let copied = counted(job.copied.len() as u64, "snapshot", "snapshots");
            let done = if self.dry_run { "to copy" } else { "copied" };
            write!(
                f,
                "{}: {copied} {done}, {} there already",
                job.job, job.there
            )?;
            let others = [
                (job.pinned, "of these pinned now"),
                (job.pruned, "pruned"),
                (job.forgotten, "forgotten"),
            ];
            for (count, what) in others {
                if count > 0 {
                    write!(f, ", {count} {what}")?;
                }
            }
            if !self.dry_run {
                write!(f, ", {} stored", Size(job.bytes))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
