//! `diff`: what differs between two snapshots, or between a snapshot and what is live. Never values.

use std::cmp::Ordering;
use std::fmt;

use archive::Entry;
use repository::{EntryReader, Snapshot};
use serde::Serialize;
use source::{Action, Conflict, RestoreOptions};

use crate::captured::Selection;
use crate::cli::Version;
use crate::compare::differences;
use crate::config::resolve::Kind;
use crate::exit::Exit;
use crate::names::SnapshotName;
use crate::output::List;
use crate::session::Session;
use crate::sources::{Secrets, build};
use crate::wanted::Wanted;

#[derive(Serialize)]
struct Head {
    before: String,
    after: String,
}

/// One entry that differs.
#[derive(Serialize)]
struct Row {
    change: Change,
    source: String,
    name: String,
    /// `content`, keys, attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    what: Vec<String>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Added,
    Removed,
    Changed,
    /// It cannot be compared; `what` says why.
    Unknown,
}

/// Rows on their way out, counted.
struct Differences {
    list: List,
    counts: [u64; 3],
}

/// Prints what differs as it is found.
pub(crate) async fn diff(
    session: &Session,
    before: &SnapshotName,
    after: &Version,
) -> anyhow::Result<Exit> {
    let repository = session.open().await?;
    let before = session.snapshot(&repository, before).await?;
    let after = match after {
        Version::Live => None,
        Version::Snapshot(name) => Some(session.snapshot(&repository, name).await?),
    };
    let name = after.as_ref().map_or("live".to_owned(), Snapshot::name);
    let head = Head {
        before: before.name(),
        after: name,
    };
    let mut found = Differences {
        list: session.output.list(&head, "differences")?,
        counts: [0; 3],
    };
    match &after {
        None => live(session, &before, &mut found).await?,
        Some(after) => snapshots(&before, after, &mut found).await?,
    }
    found.list.end()?;
    let [added, removed, changed] = found.counts;
    session.output.note(format_args!(
        "{added} added, {removed} removed, {changed} changed"
    ));
    Ok(if added + removed + changed == 0 {
        Exit::Ok
    } else {
        Exit::Differences
    })
}

async fn snapshots(
    before: &Snapshot,
    after: &Snapshot,
    found: &mut Differences,
) -> anyhow::Result<()> {
    let index = |snapshot: &Snapshot, name: &str| {
        snapshot
            .manifest()
            .sources
            .iter()
            .position(|source| source.name == name)
    };
    for (i, source) in before.manifest().sources.iter().enumerate() {
        let left = Some(before.entries(i));
        let right = index(after, &source.name).map(|i| after.entries(i));
        merge(&source.name, left, right, found).await?;
    }
    for (i, source) in after.manifest().sources.iter().enumerate() {
        if index(before, &source.name).is_none() {
            merge(&source.name, None, Some(after.entries(i)), found).await?;
        }
    }
    Ok(())
}

/// Walks two ascending lists of entries side by side.
async fn merge(
    source: &str,
    mut left: Option<EntryReader<'_>>,
    mut right: Option<EntryReader<'_>>,
    found: &mut Differences,
) -> anyhow::Result<()> {
    let (mut before, mut after) = (next(&mut left).await?, next(&mut right).await?);
    loop {
        let order = match (&before, &after) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.name.cmp(&after.name),
        };
        match order {
            Ordering::Less => found.row(Change::Removed, source, before.as_ref(), Vec::new())?,
            Ordering::Greater => found.row(Change::Added, source, after.as_ref(), Vec::new())?,
            Ordering::Equal => {
                let both = before.as_ref().zip(after.as_ref());
                let what = both
                    .map(|(before, after)| differences(before, after))
                    .unwrap_or_default();
                if !what.is_empty() {
                    found.row(Change::Changed, source, before.as_ref(), what)?;
                }
            }
        }
        if order.is_le() {
            before = next(&mut left).await?;
        }
        if order.is_ge() {
            after = next(&mut right).await?;
        }
    }
}

async fn next(reader: &mut Option<EntryReader<'_>>) -> anyhow::Result<Option<Entry>> {
    match reader {
        Some(reader) => Ok(reader.next().await?),
        None => Ok(None),
    }
}

/// The same call that plans a restore. What is live and in no snapshot is not seen by it.
async fn live(
    session: &Session,
    snapshot: &Snapshot,
    found: &mut Differences,
) -> anyhow::Result<()> {
    let wanted = Wanted::new(session, snapshot)?;
    let options = RestoreOptions {
        conflict: Conflict::Overwrite,
        ..RestoreOptions::default()
    };
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        let settings = wanted.settings(index, false)?;
        // Its plan says what a restore would run, not what differs.
        if let Kind::Command(_) = settings.kind {
            let reason = vec!["what its program would print now is not compared".to_owned()];
            found.named(Change::Unknown, &source.name, String::new(), reason)?;
            continue;
        }
        let live = build(settings, Secrets::Read)?;
        let mut entries = Selection::new(snapshot.entries(index), &source.name, &[]);
        let plan = live.plan(&mut entries, &options).await?;
        plan.notes.iter().for_each(|note| session.output.note(note));
        for step in plan.steps {
            let name = step.name.to_string();
            match step.action {
                Action::Same => {}
                Action::Create => found.named(Change::Removed, &source.name, name, Vec::new())?,
                Action::Update { what } | Action::Skip { what } => {
                    found.named(Change::Changed, &source.name, name, what)?;
                }
                Action::Conflict { reason } => {
                    found.named(Change::Changed, &source.name, name, vec![reason])?;
                }
                Action::Unmanageable { reason } => {
                    found.named(Change::Unknown, &source.name, name, vec![reason])?;
                }
            }
        }
    }
    session
        .output
        .note("entries that are live and not in the snapshot are not listed");
    Ok(())
}

impl Differences {
    fn row(
        &mut self,
        change: Change,
        source: &str,
        entry: Option<&Entry>,
        what: Vec<String>,
    ) -> anyhow::Result<()> {
        match entry {
            Some(entry) => self.named(change, source, entry.name.to_string(), what),
            None => Ok(()),
        }
    }

    fn named(
        &mut self,
        change: Change,
        source: &str,
        name: String,
        what: Vec<String>,
    ) -> anyhow::Result<()> {
        match change {
            Change::Added => self.counts[0] += 1,
            Change::Removed => self.counts[1] += 1,
            Change::Changed => self.counts[2] += 1,
            Change::Unknown => {}
        }
        self.list.row(&Row {
            change,
            source: source.to_owned(),
            name,
            what,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
            Change::Unknown => '?',
        };
        write!(f, "{sign} {}:{}", self.source, self.name)?;
        if self.what.is_empty() {
            Ok(())
        } else {
            write!(f, "  ({})", self.what.join(", "))
        }
    }
}
