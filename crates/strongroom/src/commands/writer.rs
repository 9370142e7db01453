//! `writer revoke`: nobody trusts any more what a writer signs.

use std::collections::BTreeMap;
use std::fmt;

use format::JobName;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::names::Which;
use crate::session::{Session, with_hint};
use crate::units::now;

/// What was revoked.
#[derive(Serialize)]
pub(crate) struct Revoked {
    writer: String,
    jobs: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    job: String,
    /// The last number under which what it signed counts.
    after: u64,
    /// The commit that says so; none if it was revoked from there on already.
    commit: Option<String>,
}

/// Revokes a writer in the jobs that are named, or in all.
pub(crate) async fn revoke(session: &Session, asked: &cli::Revoke) -> anyhow::Result<Revoked> {
    let after = after(asked)?;
    let key = session.maintainer()?;
    if asked.writer == key.id() {
        let failure = Failure::usage(format!("{} is the maintainer's own key", asked.writer));
        return Err(failure
            .hint("another maintainer revokes it; whom to trust as a maintainer is said in the configuration")
            .into());
    }
    let repository = session.open().await?;
    let jobs = session.jobs_with_undo(&repository, &asked.jobs).await?;
    if let Some(job) = after.keys().find(|job| !jobs.contains(job)) {
        let failure = Failure::usage(format!("--after names {job}, which is not revoked in"));
        return Err(failure
            .hint("name it among the jobs, or name no jobs")
            .into());
    }
    let mut revoked = Revoked {
        writer: asked.writer.to_string(),
        jobs: Vec::new(),
    };
    for job in jobs {
        let maintenance = session.maintenance(&job, key.clone())?;
        let view = repository.view(&job, &maintenance.trust).await?;
        session.note_damage(&view, &job);
        let after = after.get(&job).copied().unwrap_or(view.tail());
        let commit = if view
            .revoked(asked.writer, after.saturating_add(1))
            .is_some()
        {
            None
        } else {
            let writers = vec![asked.writer];
            let appended = maintenance
                .revoke(&repository, writers, after, &now())
                .await;
            let commit = appended.map_err(with_hint)?;
            Some(format!("{job}/{}", commit.number))
        };
        revoked.jobs.push(Row {
            job: job.to_string(),
            after,
            commit,
        });
    }
    note_elsewhere(session, asked);
    Ok(revoked)
}

/// A revocation stands in one log, and says nothing in others.
fn note_elsewhere(session: &Session, asked: &cli::Revoke) {
    let here = session.settings.repository.as_ref();
    let here = here.map(|place| place.address.value.clone());
    let all = session.settings.repositories.iter();
    let others = all.filter(|named| Some(&named.place.address.value) != here.as_ref());
    for other in others {
        session.output.note(format_args!(
            "{} does not know of it: strongroom writer revoke {} --repo {}",
            other.name, asked.writer, other.name
        ));
    }
    session.output.note(
        "a revocation counts in the jobs that there are: where the host may begin a new one, take its key out of trusted_writers as well",
    );
}

fn after(asked: &cli::Revoke) -> Result<BTreeMap<JobName, u64>, Failure> {
    let mut after = BTreeMap::new();
    for name in &asked.after {
        let Which::Number(number) = name.which else {
            let failure = Failure::usage(format!("{name} can be another snapshot tomorrow"));
            return Err(failure.hint("--after takes a number, like prod/42"));
        };
        if after.insert(name.job.clone(), number).is_some() {
            return Err(Failure::usage(format!("--after names {} twice", name.job)));
        }
    }
    Ok(after)
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { job, after, commit } in &self.jobs {
            if let Some(commit) = commit {
                writeln!(f, "{job}: revoked after {job}/{after} (commit {commit})")?;
            } else {
                writeln!(f, "{job}: was revoked after {job}/{after} already")?;
            }
        }
        Ok(())
    }
}
