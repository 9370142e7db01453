use std::collections::{HashMap, HashSet};

use archive::Digest;
use format::SnapshotStatement;
use jiff::Timestamp;

use super::Copy;
use crate::view::{Trust, Valid, View};

/// What becomes of a snapshot when its job is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is copied.
    Goes,
    /// The other repository has it: a copy of it, what it is a copy of, or a snapshot that the same backup took.
    There,
    /// It is older than the other repository's last prune, which may have dropped it.
    Pruned,
    /// A maintainer wants it gone.
    Forgotten,
    /// Here or there nobody would accept it: its writer is not trusted, or was revoked.
    Untrusted,
    /// A commit before it is lost or damaged: it is copied only if it is asked for.
    Astray,
    /// Others were asked for.
    NotAsked,
}

/// The snapshots of a job by what becomes of them.
pub(super) struct Sorted {
    /// In the order in which they were taken; those astray at the end.
    pub(super) fates: Vec<(u64, Fate)>,
}

impl Sorted {
    pub(super) fn of(here: &View, there: &View, options: &Copy) -> Self {
        let trust = &options.maintenance.trust;
        // What nobody accepts there is no copy of anything.
        let known = Known::of(there.snapshots().filter(|it| trust.accepts(it)));
        let pruned = last_prune(there);
        let strays = here.strays().map(|stray| (stray, true));
        let all = here.snapshots().map(|valid| (valid, false)).chain(strays);
        let fates = all.map(|(snapshot, astray)| {
            let asked = options.only.contains(&snapshot.at.number);
            let fate = if !options.only.is_empty() && !asked {
                Fate::NotAsked
            } else if known.has_statement(&snapshot) || (!asked && known.has_capture(&snapshot)) {
                // What the same backup took there is copied beside it if it is asked for: it may be damaged.
                Fate::There
            } else if !would_be_accepted(&snapshot, there, trust) {
                Fate::Untrusted
            } else if asked {
                Fate::Goes
            } else if astray {
                Fate::Astray
            } else if snapshot.forgotten() {
                Fate::Forgotten
            } else if !options.pruned_too && is_before(&snapshot, pruned) {
                Fate::Pruned
            } else {
                Fate::Goes
            };
            (snapshot.at.number, fate)
        });
        Self {
            fates: fates.collect(),
        }
    }
}

fn would_be_accepted(snapshot: &Valid<'_>, there: &View, trust: &Trust) -> bool {
    let revoked = there.revoked(snapshot.statement.writer, there.tail() + 1);
    trust.accepts(snapshot) && revoked.is_none()
}

/// When the prune in force was planned, by its maintainer's clock.
fn last_prune(there: &View) -> Option<Timestamp> {
    let (_, prune) = there.in_force()?;
    prune.started.parse().ok()
}

fn is_before(snapshot: &Valid<'_>, pruned: Option<Timestamp>) -> bool {
    let taken = snapshot.statement.finished.parse::<Timestamp>();
    pruned.is_some_and(|pruned| taken.is_ok_and(|taken| taken <= pruned))
}

/// The snapshots of a log, to be found again under other numbers.
struct Known {
    statements: HashSet<Digest>,
    captures: HashSet<Capture>,
}

/// What two snapshots have in common that one backup took into two repositories.
#[derive(PartialEq, Eq, Hash)]
struct Capture {
    writer: [u8; 32],
    started: String,
    sources: Vec<(String, String)>,
    entries: u64,
    bytes: u64,
}

impl Capture {
    fn of(statement: &SnapshotStatement) -> Self {
        let times = statement.sources.iter();
        let times = times.map(|times| (times.started.clone(), times.finished.clone()));
        Self {
            writer: statement.writer.0,
            started: statement.started.clone(),
            sources: times.collect(),
            entries: statement.entries,
            bytes: statement.bytes,
        }
    }
}

impl Known {
    fn of<'a>(snapshots: impl Iterator<Item = Valid<'a>>) -> Self {
        let mut known = Self {
            statements: HashSet::new(),
            captures: HashSet::new(),
        };
        for snapshot in snapshots {
            known.statements.insert(snapshot.statement_digest());
            known.captures.insert(Capture::of(snapshot.statement));
        }
        known
    }

    fn has_statement(&self, snapshot: &Valid<'_>) -> bool {
        self.statements.contains(&snapshot.statement_digest())
    }

    fn has_capture(&self, snapshot: &Valid<'_>) -> bool {
        self.captures.contains(&Capture::of(snapshot.statement))
    }
}

/// Where the snapshots of a log stand in it, to be found again under other numbers: of each statement and each capture the last place.
#[derive(Default)]
pub(super) struct Order {
    statements: HashMap<Digest, usize>,
    captures: HashMap<Capture, usize>,
}

impl Order {
    pub(super) fn of(view: &View) -> Self {
        let mut all: Vec<Valid<'_>> = view.snapshots().collect();
        for stray in view.strays() {
            let later = |it: &Valid<'_>| it.at.number > stray.at.number;
            all.insert(all.iter().position(later).unwrap_or(all.len()), stray);
        }
        let mut order = Self::default();
        for (place, snapshot) in all.iter().enumerate() {
            order.statements.insert(snapshot.statement_digest(), place);
            let capture = Capture::of(snapshot.statement);
            order.captures.insert(capture, place);
        }
        order
    }

    /// The place of a snapshot of this log.
    fn place(&self, snapshot: &Valid<'_>) -> Option<usize> {
        self.statements.get(&snapshot.statement_digest()).copied()
    }

    /// Whether a snapshot of another log stands behind that place in this one.
    fn is_behind(&self, snapshot: &Valid<'_>, place: Option<usize>) -> bool {
        let statement = self.statements.get(&snapshot.statement_digest());
        let capture = || self.captures.get(&Capture::of(snapshot.statement));
        let behind = |at: &usize| Some(*at) > place;
        statement.is_some_and(behind) || capture().is_some_and(behind)
    }
}

/// The number of the first snapshot there that was taken after this one: one that stands behind it here too, or one of the same writer
/// whose clock was later. `None`: it is the newest.
pub(super) fn place_of(snapshot: &Valid<'_>, here: &Order, there: &View) -> Option<u64> {
    let place = here.place(snapshot);
    let started = snapshot.statement.started.parse::<Timestamp>().ok();
    let by_clock = |it: &Valid<'_>| {
        let then = it.statement.started.parse::<Timestamp>().ok();
        let same = it.statement.writer == snapshot.statement.writer;
        same && then.zip(started).is_some_and(|(then, ours)| then > ours)
    };
    let mut there = there.snapshots();
    let later = there.find(|it| here.is_behind(it, place) || by_clock(it));
    later.map(|it| it.at.number)
}
