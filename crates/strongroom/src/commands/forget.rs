//! `forget`: snapshots that are listed no more, and that the next prune drops.

use std::collections::BTreeMap;
use std::fmt;

use format::{CommitRef, JobName};
use repository::{Trust, View};
use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::{SnapshotName, Which};
use crate::session::{Session, choose, with_hint};
use crate::units::now;

/// What was forgotten.
#[derive(Serialize)]
pub(crate) struct Forgotten {
    snapshots: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    snapshot: String,
    /// The commit that says so; none if it was forgotten already.
    commit: Option<String>,
}

/// Forgets the snapshots, of each job with one commit. If one of them cannot be, none of its job is.
pub(crate) async fn forget(session: &Session, forget: &cli::Forget) -> anyhow::Result<Forgotten> {
    for name in &forget.snapshots {
        if !matches!(name.which, Which::Number(_)) {
            let failure = Failure::usage(format!("{name} can be another snapshot tomorrow"));
            return Err(failure
                .hint("name what is to be forgotten by its number, like prod/42")
                .into());
        }
    }
    let key = session.maintainer()?;
    let repository = session.open().await?;
    let mut jobs: BTreeMap<&JobName, Vec<&SnapshotName>> = BTreeMap::new();
    for name in &forget.snapshots {
        jobs.entry(&name.job).or_default().push(name);
    }
    let mut forgotten = Forgotten {
        snapshots: Vec::new(),
    };
    for (job, names) in jobs {
        session.jobs(&repository, std::slice::from_ref(job)).await?;
        let maintenance = session.maintenance(job, key.clone())?;
        let view = repository.view(job, &maintenance.trust).await?;
        session.note_damage(&view, job);
        let mut new = Vec::new();
        for name in &names {
            new.extend(not_yet(&view, &maintenance.trust, name)?);
        }
        let commit = if new.is_empty() {
            None
        } else {
            let appended = maintenance.forget(&repository, new.clone(), &now()).await;
            let commit = appended.map_err(with_hint)?;
            Some(format!("{job}/{}", commit.number))
        };
        for name in names {
            let is_new = new.iter().any(|at| name.which == Which::Number(at.number));
            forgotten.snapshots.push(Row {
                snapshot: name.to_string(),
                commit: commit.clone().filter(|_| is_new),
            });
        }
    }
    Ok(forgotten)
}

/// The snapshot, if it is not forgotten yet.
fn not_yet(view: &View, trust: &Trust, name: &SnapshotName) -> anyhow::Result<Option<CommitRef>> {
    let snapshot = choose(view, trust, name)?;
    if snapshot.pinned() {
        let failure = Failure::new(Exit::Conflict, format!("{name} is pinned"));
        return Err(failure
            .hint(format!("strongroom pin --remove {name}"))
            .into());
    }
    Ok((!snapshot.forgotten()).then_some(snapshot.at))
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { snapshot, commit } in &self.snapshots {
            match commit {
                Some(commit) => writeln!(
                    f,
                    "{snapshot} is forgotten, and goes with the next prune (commit {commit})"
                )?,
                None => writeln!(f, "{snapshot} was forgotten already")?,
            }
        }
        Ok(())
    }
}
