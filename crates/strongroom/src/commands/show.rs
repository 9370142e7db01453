//! `show`: the entries of a snapshot, never their values; or what its databases hold, or the configuration that took it.

mod database;

use std::collections::BTreeMap;
use std::fmt;

use archive::{Body, Entry};
use repository::Snapshot;
use serde::Serialize;

use crate::cli::{Chosen, Show};
use crate::entry::Named;
use crate::exit::Exit;
use crate::inside::{self, Wants};
use crate::names::counted;
use crate::objects::{missing, nothing_matches};
use crate::output::Output;
use crate::session::Session;
use crate::units::Size;

/// What stands above the entries.
#[derive(Serialize)]
struct Head {
    snapshot: String,
    started: String,
    finished: String,
    partial: bool,
    writer: String,
    sources: Vec<SourceHead>,
}

#[derive(Serialize)]
struct SourceHead {
    name: String,
    kind: String,
    started: String,
    finished: String,
    entries: u64,
    bytes: u64,
    facts: BTreeMap<String, String>,
    incomplete: Vec<IncompleteHead>,
}

#[derive(Serialize)]
struct IncompleteHead {
    name: String,
    reason: String,
}

/// One entry.
#[derive(Serialize)]
pub(crate) struct Row {
    source: String,
    name: String,
    length: u64,
    /// Of a record; a blob has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<KeyRow>>,
}

#[derive(Serialize)]
struct KeyRow {
    key: String,
    length: u64,
}

/// Prints the entries as they are read: a snapshot may have more than memory holds. A name or pattern that nothing matches is a failure
/// when all that others match has been printed.
pub(crate) async fn show(session: &Session, show: &Show) -> anyhow::Result<Exit> {
    let repository = session.open_remembered().await?;
    let wants = Wants::Matching(&show.only);
    let snapshot = inside::open(session, &repository, &show.snapshot, &show.inside, wants).await?;
    if show.configuration {
        Output::raw(snapshot.manifest().configuration.as_bytes())?;
        return Ok(Exit::Ok);
    }
    if show.database {
        let databases = database::databases(session, &snapshot).await?;
        session.output.answer(&databases)?;
        return Ok(databases.exit());
    }
    let head = head(&snapshot);
    head.talk(session);
    let mut list = session.output.list(&head, "entries")?;
    let mut chosen = Chosen::new(&show.only);
    let mut shown = 0_u64;
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        let named = Named::of(source);
        // It was named above.
        missing(source, &mut chosen);
        let mut entries = snapshot.entries(index);
        while let Some(entry) = entries.next().await? {
            let row = Row::new(&source.name, &entry);
            if chosen.takes(named, &row.name) && show.larger.is_none_or(|size| row.length >= size.0)
            {
                list.row(&row)?;
                shown += 1;
            }
        }
    }
    list.end()?;
    if let Some(unused) = chosen.unused() {
        return Err(nothing_matches(&snapshot, unused, &show.inside).into());
    }
    if shown == 0 {
        session.output.note("no entry matches");
    }
    Ok(Exit::Ok)
}

fn head(snapshot: &Snapshot) -> Head {
    let statement = snapshot.statement();
    let sources = snapshot.manifest().sources.iter().zip(&statement.sources);
    Head {
        snapshot: snapshot.name(),
        started: statement.started.clone(),
        finished: statement.finished.clone(),
        partial: statement.partial,
        writer: statement.writer.to_string(),
        sources: sources
            .map(|(source, times)| SourceHead {
                name: source.name.clone(),
                kind: source.kind.clone(),
                started: times.started.clone(),
                finished: times.finished.clone(),
                entries: source.entries,
                bytes: source.content.groups.iter().map(|group| group.length).sum(),
                facts: source.facts.clone(),
                incomplete: source.incomplete.iter().map(IncompleteHead::new).collect(),
            })
            .collect(),
    }
}

impl IncompleteHead {
    fn new(incomplete: &format::Incomplete) -> Self {
        Self {
            name: incomplete.name.to_string(),
            reason: incomplete.reason.clone(),
        }
    }
}

impl Head {
    /// For people, what is not an entry is talk.
    fn talk(&self, session: &Session) {
        let output = &session.output;
        let partial = if self.partial { ", PARTIAL" } else { "" };
        output.note(format_args!(
            "{} of {}{partial}",
            self.snapshot, self.finished
        ));
        if self.sources.len() > 1 {
            output.note(format_args!(
                "all of it was captured between {} and {}",
                self.started, self.finished
            ));
        }
        for source in &self.sources {
            let facts: Vec<String> = source
                .facts
                .iter()
                .map(|(name, value)| format!(", {name} {value}"))
                .collect();
            let (name, kind, bytes) = (&source.name, &source.kind, Size(source.bytes));
            let entries = counted(source.entries, "entry", "entries");
            output.note(format_args!(
                "{name} ({kind}): {entries}, {bytes}{}",
                facts.concat()
            ));
            for missing in &source.incomplete {
                output.note(format_args!(
                    "missing: {name}:{} ({})",
                    missing.name, missing.reason
                ));
            }
        }
    }
}

impl Row {
    pub(crate) fn new(source: &str, entry: &Entry) -> Self {
        let keys = match &entry.body {
            Body::Blob { .. } => None,
            Body::Record { fields } => {
                let keys = fields.iter();
                Some(
                    keys.map(|field| KeyRow {
                        key: field.key.to_string(),
                        length: field.length,
                    })
                    .collect(),
                )
            }
        };
        Self {
            source: source.to_owned(),
            name: entry.name.to_string(),
            length: entry.length(),
            keys,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10}  {}:{}",
            Size(self.length).to_string(),
            self.source,
            self.name
        )?;
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let keys: Vec<&str> = keys.iter().map(|key| key.key.as_str()).collect();
        write!(f, "  [{}]", keys.join(" "))
    }
}
