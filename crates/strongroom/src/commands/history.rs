//! `history`: when an entry changed, and which snapshot has which version of it.

use std::collections::BTreeMap;
use std::fmt;

use archive::Entry;
use format::JobName;
use repository::Snapshot;
use serde::Serialize;

use crate::compare::differences;
use crate::entry::{EntryName, Named, Near};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::timeline::{Stop, Timeline};
use crate::units::Size;

/// The versions of an entry, by job and source, the oldest first.
#[derive(Serialize)]
pub(crate) struct Histories {
    #[serde(rename = "histories")]
    entries: Vec<History>,
    /// Snapshots that could not be looked at.
    unread: Vec<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

#[derive(Serialize)]
struct History {
    job: String,
    source: String,
    name: String,
    versions: Vec<Version>,
}

/// What the entry was from one snapshot to another.
#[derive(Serialize)]
struct Version {
    change: Change,
    /// What differs from the version before: `content`, keys, attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    what: Vec<String>,
    first: u64,
    last: u64,
    /// When the first snapshot with it was taken.
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Created,
    Changed,
    Removed,
}

/// Follows the entry that `typed` names through all snapshots of `job`, or of all jobs.
pub(crate) async fn history(
    session: &Session,
    typed: &str,
    job: Option<&JobName>,
) -> anyhow::Result<Histories> {
    let repository = session.open_remembered().await?;
    let jobs = session
        .jobs(
            &repository,
            job.map(std::slice::from_ref).unwrap_or_default(),
        )
        .await?;
    let name = EntryName::new(typed);
    let mut near = Near::new(typed);
    let mut timeline = Timeline::new(session, &repository).await?;
    let mut histories = Vec::new();
    for job in jobs {
        let mut lines = Lines::default();
        let walked = timeline.walk(&job, async |stop| {
            let now = match stop.snapshot {
                Some(snapshot) => Some(versions(snapshot, &name, &mut near).await?),
                None => None,
            };
            lines.add(&stop, now);
            Ok(())
        });
        walked.await?;
        histories.extend(lines.histories(&job));
    }
    let (unread, exit) = timeline.conclude()?;
    if histories.is_empty() && unread.is_empty() {
        let failure = Failure::new(Exit::Failure, format!("no snapshot has an entry {typed}"));
        return Err(match near.hint() {
            Some(hint) => failure.hint(hint),
            None => failure.hint("strongroom find PATTERN"),
        }
        .into());
    }
    Ok(Histories {
        entries: histories,
        unread,
        exit,
    })
}

type Versions = BTreeMap<(String, String), Entry>;

async fn versions(
    snapshot: &Snapshot,
    name: &EntryName,
    near: &mut Near,
) -> anyhow::Result<Versions> {
    let mut versions = Versions::new();
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        let mut entries = snapshot.entries(index);
        while let Some(entry) = entries.next().await? {
            if name.is(Named::of(source), &entry.name) {
                versions.insert((source.name.clone(), entry.name.to_string()), entry);
            } else {
                near.look_at(&source.name, &entry.name);
            }
        }
    }
    Ok(versions)
}

/// The histories of one job while its snapshots pass.
#[derive(Default)]
struct Lines {
    current: Versions,
    versions: BTreeMap<(String, String), Vec<Version>>,
}

impl Lines {
    /// The next snapshot, with the entry as it has it, or `None` if it holds what the one before held.
    fn add(&mut self, stop: &Stop<'_>, now: Option<Versions>) {
        if let Some(now) = now {
            self.change(stop, &now);
            self.current = now;
        }
        for key in self.current.keys() {
            if let Some(version) = self
                .versions
                .get_mut(key)
                .and_then(|versions| versions.last_mut())
            {
                version.last = stop.number;
            }
        }
    }

    fn change(&mut self, stop: &Stop<'_>, now: &Versions) {
        let version = |change, what, length| Version {
            change,
            what,
            first: stop.number,
            last: stop.number,
            time: stop.finished.to_owned(),
            length,
        };
        for (key, entry) in now {
            let length = Some(entry.length());
            let change = match self.current.get(key) {
                None => version(Change::Created, Vec::new(), length),
                Some(before) => match differences(before, entry) {
                    what if what.is_empty() => continue,
                    what => version(Change::Changed, what, length),
                },
            };
            self.versions.entry(key.clone()).or_default().push(change);
        }
        for key in self.current.keys().filter(|key| !now.contains_key(*key)) {
            let removed = version(Change::Removed, Vec::new(), None);
            self.versions.entry(key.clone()).or_default().push(removed);
        }
    }

    fn histories(self, job: &JobName) -> impl Iterator<Item = History> {
        let job = job.to_string();
        self.versions
            .into_iter()
            .map(move |((source, name), versions)| History {
                job: job.clone(),
                source,
                name,
                versions,
            })
    }
}

impl fmt::Display for Histories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for history in &self.entries {
            writeln!(f, "{}:{} in {}", history.source, history.name, history.job)?;
            for version in &history.versions {
                version.write(f, &history.job)?;
            }
        }
        Ok(())
    }
}

impl Version {
    fn write(&self, f: &mut fmt::Formatter<'_>, job: &str) -> fmt::Result {
        let word = match self.change {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Removed => "removed",
        };
        let time = archive::Name::from(self.time.as_str());
        write!(f, "  {time}  {word}")?;
        if let Some(length) = self.length {
            write!(f, "  {}", Size(length))?;
        }
        if !self.what.is_empty() {
            write!(f, " ({})", self.what.join(", "))?;
        }
        match self.change {
            Change::Removed => writeln!(f, "  before {job}/{}", self.first),
            _ if self.first == self.last => writeln!(f, "  in {job}/{}", self.first),
            _ => writeln!(f, "  in {job}/{} to {job}/{}", self.first, self.last),
        }
    }
}
