//! A snapshot's source as `source` wants to see it: entries to plan with, contents to write or to check.

use std::collections::HashSet;

use archive::{Content, Entry, Name};
use async_trait::async_trait;
use repository::EntryReader;
use source::{Contents, Entries, Error, ErrorKind, Plan};

use crate::cli::Chosen;
use crate::entry::Named;
use crate::progress::Progress;

/// The entries that match, without their bytes, and without those that are lost.
pub(crate) struct Selection<'a, 'c> {
    reader: EntryReader<'a>,
    source: Named<'a>,
    chosen: &'c mut Chosen<'a>,
    lost: &'c HashSet<Name>,
    /// The length of each entry that was given out.
    pub(crate) lengths: Vec<u64>,
}

impl<'a, 'c> Selection<'a, 'c> {
    pub(crate) fn new(
        reader: EntryReader<'a>,
        source: Named<'a>,
        chosen: &'c mut Chosen<'a>,
        lost: &'c HashSet<Name>,
    ) -> Self {
        Self {
            reader,
            source,
            chosen,
            lost,
            lengths: Vec::new(),
        }
    }
}

#[async_trait]
impl Entries for Selection<'_, '_> {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(entry) = self.reader.next().await.map_err(stored)? {
            let taken = self.chosen.takes(self.source, &entry.name.to_string());
            if taken && !self.lost.contains(&entry.name) {
                self.lengths.push(entry.length());
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Exactly the entries that a plan writes, with their bytes.
pub(crate) struct Planned<'a> {
    reader: EntryReader<'a>,
    plan: &'a Plan,
    next: usize,
    progress: &'a Progress,
}

impl<'a> Planned<'a> {
    pub(crate) fn new(reader: EntryReader<'a>, plan: &'a Plan, progress: &'a Progress) -> Self {
        Self {
            reader,
            plan,
            next: 0,
            progress,
        }
    }
}

#[async_trait]
impl Contents for Planned<'_> {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(step) = self.plan.steps.get(self.next) {
            let Some(entry) = self.reader.next().await.map_err(stored)? else {
                break;
            };
            if entry.name != step.name {
                continue;
            }
            self.next += 1;
            if step.action.writes() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn hold_back(&mut self) {
        self.reader.hold_back();
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        let content = self.reader.data().await.map_err(stored)?;
        self.progress
            .add(content.as_ref().map_or(0, |content| content.len() as u64));
        Ok(content)
    }
}

/// All entries; what whoever takes them leaves unread is read too, so that every byte is compared with its digest.
pub(crate) struct Whole<'a> {
    reader: EntryReader<'a>,
    progress: &'a Progress,
}

impl<'a> Whole<'a> {
    pub(crate) fn new(reader: EntryReader<'a>, progress: &'a Progress) -> Self {
        Self { reader, progress }
    }
}

#[async_trait]
impl Contents for Whole<'_> {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        while self.data().await?.is_some() {}
        self.reader.next().await.map_err(stored)
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        let content = self.reader.data().await.map_err(stored)?;
        self.progress
            .add(content.as_ref().map_or(0, |content| content.len() as u64));
        Ok(content)
    }
}

/// A failure of the repository in a source's clothes; the exit code is found in its cause.
pub(crate) fn stored(error: repository::Error) -> Error {
    Error::new(ErrorKind::Invalid, "read the snapshot").because(error)
}
