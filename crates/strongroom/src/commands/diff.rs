//! `diff`: what differs between two snapshots, or between a snapshot and what is live. Never values.

mod merge;
mod now;

use std::fmt;

use archive::Name;
use repository::Snapshot;
use serde::Serialize;

use crate::cli::{Chosen, Diff, Version};
use crate::entry::Named;
use crate::exit::Exit;
use crate::inside::{self, Wants};
use crate::names::SnapshotName;
use crate::objects::nothing_compared;
use crate::output::List;
use crate::session::Session;

use merge::{Side, merge};

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
struct Differences<'a> {
    list: List,
    chosen: Chosen<'a>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
    unknown: u64,
}

/// Prints what differs as it is found.
pub(crate) async fn diff(session: &Session, diff: &Diff) -> anyhow::Result<Exit> {
    let repository = session.open_remembered().await?;
    let open = async |name: &SnapshotName| {
        let wants = Wants::Live {
            only: &diff.only,
            past_the_server: false,
        };
        inside::open(session, &repository, name, &diff.inside, wants).await
    };
    let before = open(&diff.before).await?;
    let after = match &diff.after {
        Version::Live => None,
        Version::Snapshot(name) => Some(open(name).await?),
    };
    let name = after.as_ref().map_or("live".to_owned(), Snapshot::name);
    let head = Head {
        before: before.name(),
        after: name,
    };
    let mut found = Differences {
        list: session.output.list(&head, "differences")?,
        chosen: Chosen::new(&diff.only),
        counts: Counts::default(),
    };
    match &after {
        None => now::compare(session, &before, diff, &mut found).await?,
        Some(after) => snapshots(&before, after, &mut found).await?,
    }
    let Differences {
        list,
        mut chosen,
        counts,
    } = found;
    list.end()?;
    // What could not be compared may have it.
    if counts.unknown == 0 {
        for snapshot in [Some(&before), after.as_ref()].into_iter().flatten() {
            choose(&mut chosen, snapshot).await?;
        }
        if let Some(unused) = chosen.unused() {
            return Err(nothing_compared(&before, unused, &diff.inside).into());
        }
    }
    session.output.note(&counts);
    Ok(counts.exit())
}

/// What is the same on both sides was no difference, and is there.
async fn choose(chosen: &mut Chosen<'_>, snapshot: &Snapshot) -> anyhow::Result<()> {
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        let mut entries = snapshot.entries(index);
        while chosen.unused().is_some()
            && let Some(entry) = entries.next().await?
        {
            chosen.takes(Named::of(source), &entry.name.to_string());
        }
    }
    Ok(())
}

async fn snapshots(
    before: &Snapshot,
    after: &Snapshot,
    found: &mut Differences<'_>,
) -> anyhow::Result<()> {
    let index = |snapshot: &Snapshot, name: &str| {
        let mut sources = snapshot.manifest().sources.iter();
        sources.position(|source| source.name == name)
    };
    let sources = before.manifest().sources.iter();
    let new = after.manifest().sources.iter();
    let new = new.filter(|source| index(before, &source.name).is_none());
    for source in sources.chain(new) {
        let (name, named) = (&source.name, Named::of(source));
        let left = index(before, name).map_or(Side::Nothing, |i| before.entries(i).into());
        let right = index(after, name).map_or(Side::Nothing, |i| after.entries(i).into());
        merge(left, right, &mut |change, entry, what| {
            found.row(change, named, &entry, what)
        })
        .await?;
    }
    Ok(())
}

impl Change {
    fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
            Self::Unknown => '?',
        }
    }
}

impl Differences<'_> {
    fn row(
        &mut self,
        change: Change,
        named: Named<'_>,
        name: &Name,
        what: Vec<String>,
    ) -> anyhow::Result<()> {
        let shown = name.to_string();
        // What is not compared at all is said whatever is looked for.
        if !self.chosen.takes(named, &shown) && !matches!(change, Change::Unknown) {
            return Ok(());
        }
        *match change {
            Change::Added => &mut self.counts.added,
            Change::Removed => &mut self.counts.removed,
            Change::Changed => &mut self.counts.changed,
            Change::Unknown => &mut self.counts.unknown,
        } += 1;
        self.list.row(&Row {
            change,
            source: named.source().to_owned(),
            name: shown,
            what,
        })
    }
}

impl Counts {
    /// A difference is one whatever else could not be compared; but what was not compared is not equal.
    fn exit(&self) -> Exit {
        match (self.added + self.removed + self.changed, self.unknown) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::Partial,
            _ => Exit::Differences,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            added,
            removed,
            changed,
            unknown,
        } = self;
        write!(f, "{added} added, {removed} removed, {changed} changed")?;
        match unknown {
            0 => Ok(()),
            _ => write!(f, ", {unknown} not compared"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = self.change.sign();
        write!(f, "{sign} {}:{}", self.source, self.name)?;
        if self.what.is_empty() {
            Ok(())
        } else {
            write!(f, "  ({})", self.what.join(", "))
        }
    }
}
