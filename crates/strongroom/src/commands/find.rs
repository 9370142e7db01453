//! `find`: which snapshots have entries of that name.

use std::collections::BTreeMap;
use std::fmt;

use format::JobName;
use serde::Serialize;

use crate::cli::Pattern;
use crate::exit::Exit;
use crate::session::Session;
use crate::timeline::Timeline;

/// The entries that were found, by job, source and name.
#[derive(Serialize)]
pub(crate) struct Finds {
    entries: Vec<Find>,
    /// Snapshots that could not be looked at.
    unread: Vec<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

#[derive(Serialize)]
struct Find {
    job: String,
    source: String,
    name: String,
    /// The numbers of the snapshots that have it, ascending.
    numbers: Vec<u64>,
    /// Whether the newest snapshot of the job still has it.
    current: bool,
}

type Found = BTreeMap<(String, String), Vec<u64>>;

/// Looks through all snapshots of `job`, or of all jobs.
pub(crate) async fn find(
    session: &Session,
    pattern: &Pattern,
    job: Option<&JobName>,
) -> anyhow::Result<Finds> {
    let repository = session.open_remembered().await?;
    let jobs = session
        .jobs(
            &repository,
            job.map(std::slice::from_ref).unwrap_or_default(),
        )
        .await?;
    let mut timeline = Timeline::new(session, &repository).await?;
    let mut entries = Vec::new();
    for job in jobs {
        let mut found = Found::new();
        let mut last: (Vec<(String, String)>, u64) = (Vec::new(), 0);
        let walked = timeline.walk(&job, async |stop| {
            if let Some(snapshot) = stop.snapshot {
                last.0 = matching(snapshot, pattern).await?;
            }
            last.1 = stop.number;
            for name in &last.0 {
                found.entry(name.clone()).or_default().push(stop.number);
            }
            Ok(())
        });
        walked.await?;
        entries.extend(found.into_iter().map(|((source, name), numbers)| Find {
            job: job.to_string(),
            source,
            name,
            current: numbers.last() == Some(&last.1),
            numbers,
        }));
    }
    let (unread, exit) = timeline.conclude()?;
    if entries.is_empty() {
        session
            .output
            .note(format_args!("nothing matches {pattern}"));
    }
    Ok(Finds {
        entries,
        unread,
        exit,
    })
}

async fn matching(
    snapshot: &repository::Snapshot,
    pattern: &Pattern,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        let mut entries = snapshot.entries(index);
        while let Some(entry) = entries.next().await? {
            let name = entry.name.to_string();
            if pattern.matches(&source.name, &name) {
                names.push((source.name.clone(), name));
            }
        }
    }
    Ok(names)
}

impl fmt::Display for Finds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Find {
            job,
            source,
            name,
            numbers,
            current,
        } in &self.entries
        {
            let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
            write!(f, "{source}:{name}  ")?;
            match numbers.len() {
                1 => write!(f, "{job}/{first}")?,
                count => write!(f, "{job}/{first} to {job}/{last} ({count} snapshots)")?,
            }
            writeln!(f, "{}", if *current { "" } else { ", not in the newest" })?;
        }
        Ok(())
    }
}
