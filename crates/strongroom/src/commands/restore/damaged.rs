//! What a restore leaves out because it is damaged, where that was asked for.

use std::collections::HashSet;
use std::fmt;

use archive::Name;
use repository::{Select, Snapshot};
use serde::Serialize;

use super::printed::NAMED_MAX;
use crate::cli::{Chosen, Only};
use crate::entry::Named;
use crate::losses::Tested;
use crate::names::counted;
use crate::progress::Progress;
use crate::session::Session;

/// Of a source, what was chosen and cannot be restored.
#[derive(Default, Serialize)]
pub(super) struct Damaged {
    source: String,
    /// All of them, as `show` prints them.
    entries: Vec<String>,
    /// Why none of its entries can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<String>,
    #[serde(skip)]
    pub(super) lost: HashSet<Name>,
    /// How many of those that were chosen are whole.
    #[serde(skip)]
    whole: usize,
}

impl Damaged {
    /// Reads all that is chosen of a source.
    pub(super) async fn find(
        session: &Session,
        snapshot: &Snapshot,
        index: usize,
        only: &[Only],
    ) -> Result<Self, repository::Error> {
        let source = &snapshot.manifest().sources[index];
        let what = format!("read {} of {}", source.name, snapshot.name());
        let progress = Progress::new(session.output, &what, None);
        let select = if only.is_empty() {
            Select::Most
        } else {
            Select::Few
        };
        let reader = snapshot.entries(index).selecting(select);
        let mut tested = Tested::new(reader, &progress);
        let mut chosen = Chosen::new(only);
        let mut found = Self {
            source: source.name.clone(),
            ..Self::default()
        };
        while let Some(entry) = tested.entry().await? {
            let name = entry.name.to_string();
            if !chosen.takes(Named::of(source), &name) {
                tested.pass();
            } else if tested.is_whole().await? {
                found.whole += 1;
            } else {
                found.entries.push(name);
                found.lost.insert(entry.name);
            }
        }
        found.catalog = tested.losses.catalog;
        Ok(found)
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.lost.is_empty() && self.catalog.is_none()
    }

    /// Nothing of what was chosen can come back.
    pub(super) fn is_all(&self) -> bool {
        self.catalog.is_some() || (self.whole == 0 && !self.lost.is_empty())
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        if let Some(catalog) = &self.catalog {
            return writeln!(
                f,
                "left out of {source}: all of it, for its entries cannot be told ({catalog})"
            );
        }
        let count = self.entries.len();
        let entries = counted(count as u64, "entry is", "entries are");
        writeln!(f, "left out of {source}: {entries} damaged")?;
        for name in self.entries.iter().take(NAMED_MAX) {
            writeln!(f, "  x {name}")?;
        }
        match count.saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => writeln!(f, "  x and {more} more, which --json lists"),
        }
    }
}
