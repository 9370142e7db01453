//! Which entries of a snapshot damage touches, and what can be restored in spite of it.

use std::collections::BTreeSet;
use std::fmt;

use format::JobName;
use repository::Damage;
use serde::Serialize;

use crate::losses::{Losses, NAMED_MAX};
use crate::names::counted;

/// A snapshot that is not whole, and those that hold the very same: these were read once.
pub(super) struct Touched {
    pub(super) snapshots: BTreeSet<u64>,
    entries: u64,
    restorable: u64,
    lost: Vec<Lost>,
    untold: Vec<Untold>,
}

#[derive(Clone, Serialize)]
struct Lost {
    source: String,
    name: String,
    what: String,
}

#[derive(Clone, Serialize)]
struct Untold {
    /// None: of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    what: String,
}

impl Touched {
    /// None yet of snapshot `number`, which has so many entries.
    pub(super) fn new(number: u64, entries: u64) -> Self {
        Self {
            snapshots: [number].into(),
            entries,
            restorable: 0,
            lost: Vec::new(),
            untold: Vec::new(),
        }
    }

    /// Nothing of it can even be looked at.
    pub(super) fn unopened(number: u64, entries: u64, what: String) -> Self {
        let mut touched = Self::new(number, entries);
        touched.untold.push(Untold { source: None, what });
        touched
    }

    /// A source that has so many entries, and what damage takes of them.
    pub(super) fn add(&mut self, source: &str, entries: u64, losses: Losses) {
        self.restorable += losses.left_of(entries);
        let room = NAMED_MAX - self.lost.len();
        let named = losses.named.into_iter().take(room);
        self.lost.extend(named.map(|(name, what)| Lost {
            source: source.to_owned(),
            name: name.to_string(),
            what,
        }));
        self.untold.extend(losses.catalog.map(|what| Untold {
            source: Some(source.to_owned()),
            what,
        }));
    }

    /// What was found first; `None` if it is whole.
    fn what(&self) -> Option<&str> {
        let lost = self.lost.first().map(|lost| lost.what.as_str());
        lost.or(self.untold.first().map(|untold| untold.what.as_str()))
    }

    /// As the damage of an object that it is, if it is not whole.
    pub(super) fn damage(&self, job: &JobName) -> Option<Damage> {
        let what = self.what()?.to_owned();
        let first = self.snapshots.first()?;
        Some(Damage {
            object: format!("{job}/{first}"),
            what,
            snapshots: self.snapshots.clone(),
        })
    }

    /// For whoever reads the report; `said` are the flags that a command to be typed needs.
    pub(super) fn row(&self, job: &JobName, said: &str) -> TouchedRow {
        let name = |number: &u64| format!("{job}/{number}");
        let newest = self.snapshots.last().filter(|_| self.restorable > 0);
        TouchedRow {
            snapshots: self.snapshots.iter().map(name).collect(),
            entries: self.entries,
            restorable: self.restorable,
            lost: self.lost.clone(),
            untold: self.untold.clone(),
            restore: newest
                .map(|it| format!("strongroom restore {} --despite-damage{said}", name(it))),
        }
    }
}

/// What is lost of a snapshot.
#[derive(Serialize)]
pub(super) struct TouchedRow {
    snapshots: Vec<String>,
    /// That it has, and of them those that can be restored.
    entries: u64,
    restorable: u64,
    /// The first of those that cannot.
    lost: Vec<Lost>,
    /// Sources of which no entry can be told.
    untold: Vec<Untold>,
    /// What brings back those that can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    restore: Option<String>,
}

impl fmt::Display for TouchedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} can be restored",
            self.snapshots.join(", "),
            self.restorable,
            counted(self.entries, "entry", "entries")
        )?;
        for Lost { source, name, .. } in &self.lost {
            writeln!(f, "    lost: {source}:{name}")?;
        }
        let told = self.restorable + self.lost.len() as u64;
        if self.untold.is_empty() && told < self.entries {
            writeln!(f, "    lost: and {} more", self.entries - told)?;
        }
        for Untold { source, what } in &self.untold {
            let of = match source {
                Some(source) => format!("of {source}"),
                None => "of it".to_owned(),
            };
            writeln!(
                f,
                "    lost: all {of}, and which they are cannot be told: {what}"
            )?;
        }
        match &self.restore {
            Some(command) => writeln!(f, "    what is whole is restored by: {command}"),
            None => Ok(()),
        }
    }
}
