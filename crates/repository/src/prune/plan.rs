use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use format::{CommitRef, Condemned, DigestText, JobName, Run, RunId};
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::{PruneOptions, modified};
use crate::retention::{Candidate, Standing, Verdict, judge};
use crate::store::Name;
use crate::view::{Trust, Valid, View};

/// An object of a run, as the store lists it.
pub(crate) struct Stored {
    pub(crate) run: RunId,
    /// Its name within the run.
    pub(crate) name: String,
    pub(crate) path: Path,
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
}

impl Stored {
    /// `None`: it is no object of a run of `job`.
    pub(crate) fn of(job: &JobName, meta: ObjectMeta) -> Option<Self> {
        let (run, name) = Name::run_object(job, &meta)?;
        Some(Self {
            run,
            name,
            size: meta.size,
            modified: modified(&meta),
            path: meta.location,
        })
    }

    /// The number of a pack.
    pub(crate) fn pack(&self) -> Option<u32> {
        let number = self.name.strip_prefix("pack-")?.parse().ok()?;
        (format::pack_name(number) == self.name).then_some(number)
    }
}

/// What a prune would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// What becomes of each snapshot, in the order in which they were taken.
    pub verdicts: Vec<Verdict>,
    /// By the number of a snapshot that goes: the bytes that go with it. What several had counts for the newest of them.
    pub freed: BTreeMap<u64, u64>,
    /// Objects of runs that go although no snapshot that goes named them, and their bytes: left by interrupted backups.
    pub unnamed: (u64, u64),
    /// All objects of runs that go, and their bytes.
    pub objects: (u64, u64),
    /// Objects of runs that nothing names, but that are too young to go, and their bytes.
    pub spared: (u64, u64),
    pub(crate) retains: Vec<(u64, DigestText)>,
    pub(crate) condemns: Vec<Condemned>,
}

impl Plan {
    /// Whether a prune would change nothing.
    pub fn is_nothing(&self) -> bool {
        self.condemns.is_empty() && self.verdicts.iter().all(|verdict| verdict.keep)
    }
}

/// A function of what is in the log and what is listed, and of nothing else.
pub(crate) fn plan(
    view: &View,
    commits: &BTreeMap<u64, Timestamp>,
    stored: &[Stored],
    options: &PruneOptions,
    now: Timestamp,
) -> Plan {
    let candidates: Vec<Candidate> = view
        .snapshots()
        .map(|snapshot| candidate(&snapshot, view, commits, &options.trust))
        .collect();
    let verdicts = judge(&candidates, &options.policy, now);
    let kept: HashSet<u64> = verdicts
        .iter()
        .filter(|verdict| verdict.keep)
        .map(|verdict| verdict.number)
        .collect();
    let stay = |snapshot: &Valid<'_>| kept.contains(&snapshot.at.number);
    let mut plan = Plan {
        verdicts,
        retains: retained(view, &stay),
        ..Plan::default()
    };
    let needed = needed(view.snapshots().filter(stay));
    let grace = SignedDuration::try_from(options.grace).unwrap_or(SignedDuration::MAX);
    let old = |stored: &Stored| now.duration_since(stored.modified) >= grace;
    let namers = namers(view, &stay);
    for (run, objects) in by_run(stored) {
        let unneeded: Vec<&Stored> = match needed.get(&run) {
            None => objects.clone(),
            Some(packs) => {
                let gone = |it: &&Stored| it.pack().is_some_and(|pack| !packs.contains(&pack));
                objects.iter().copied().filter(gone).collect()
            }
        };
        if unneeded.is_empty() {
            continue;
        }
        if !objects.iter().all(|stored| old(stored)) {
            plan.spared.0 += unneeded.len() as u64;
            plan.spared.1 += unneeded.iter().map(|stored| stored.size).sum::<u64>();
            continue;
        }
        plan.condemn(run, !needed.contains_key(&run), &unneeded, &namers);
    }
    plan
}

impl Plan {
    fn condemn(
        &mut self,
        run: RunId,
        whole: bool,
        unneeded: &[&Stored],
        namers: &HashMap<RunId, u64>,
    ) {
        let packs: BTreeSet<u32> = unneeded.iter().filter_map(|stored| stored.pack()).collect();
        self.condemns.push(Condemned {
            run,
            whole,
            packs: if whole {
                Vec::new()
            } else {
                packs.into_iter().collect()
            },
        });
        let objects = unneeded.len() as u64;
        let bytes = unneeded.iter().map(|stored| stored.size).sum::<u64>();
        self.objects.0 += objects;
        self.objects.1 += bytes;
        if let Some(number) = namers.get(&run) {
            *self.freed.entry(*number).or_default() += bytes;
        } else {
            self.unnamed.0 += objects;
            self.unnamed.1 += bytes;
        }
    }
}

fn candidate(
    snapshot: &Valid<'_>,
    view: &View,
    commits: &BTreeMap<u64, Timestamp>,
    trust: &Trust,
) -> Candidate {
    let standing = if trust.accepts(snapshot) {
        Standing::Trusted
    } else if snapshot.revoked().is_some() {
        Standing::Revoked
    } else {
        Standing::Unknown
    };
    Candidate {
        number: snapshot.at.number,
        writer: snapshot.statement.writer,
        standing,
        finished: snapshot.statement.finished.parse().ok(),
        appended: view.appended(snapshot.at).and_then(|at| at.parse().ok()),
        stored: commits.get(&snapshot.at.number).copied(),
        partial: snapshot.statement.partial,
        pinned: snapshot.pinned(),
        forgotten: snapshot.forgotten(),
    }
}

/// The snapshots that stay, and every commit that has an effect on them; and the revocations, which have one on what is still to come.
fn retained(view: &View, stay: &dyn Fn(&Valid<'_>) -> bool) -> Vec<(u64, DigestText)> {
    let effects = view.effects();
    let mut retained: BTreeSet<CommitRef> = effects.revoked.0.values().map(|it| it.by).collect();
    for snapshot in view.snapshots().filter(stay) {
        retained.insert(snapshot.at);
        let pin = effects.pins.get(&snapshot.at).filter(|pin| pin.pinned);
        retained.extend(pin.map(|pin| pin.by));
        retained.extend(effects.forgotten.get(&snapshot.at));
        let runs = snapshot.runs();
        let rotated = |run: &Run| Some(effects.rotated.get(&run.run)?.by);
        retained.extend(runs.iter().filter_map(rotated));
        // Those that stand behind damage have deleted key objects too. What is retained counts again.
        let astray = |run: &Run| view.rotations_astray(run.run).iter();
        retained.extend(runs.iter().flat_map(astray).map(|it| it.by));
    }
    let retained = retained.into_iter();
    retained
        .map(|at| (at.number, DigestText(at.digest)))
        .collect()
}

/// The packs of each run that snapshots need. A run that stands in it stays, with its key objects, manifest and map.
fn needed<'a>(snapshots: impl Iterator<Item = Valid<'a>>) -> HashMap<RunId, HashSet<u32>> {
    let mut needed: HashMap<RunId, HashSet<u32>> = HashMap::new();
    for snapshot in snapshots {
        for run in &*snapshot.runs() {
            let packs = needed.entry(run.run).or_default();
            packs.extend(run.packs.iter().map(|pack| pack.number));
        }
    }
    needed
}

/// By run the newest of the snapshots that go and name it.
fn namers(view: &View, stay: &dyn Fn(&Valid<'_>) -> bool) -> HashMap<RunId, u64> {
    let mut namers = HashMap::new();
    for snapshot in view.snapshots().filter(|snapshot| !stay(snapshot)) {
        let runs = snapshot.runs();
        namers.extend(runs.iter().map(|run| (run.run, snapshot.at.number)));
    }
    namers
}

fn by_run(stored: &[Stored]) -> BTreeMap<RunId, Vec<&Stored>> {
    let mut runs: BTreeMap<RunId, Vec<&Stored>> = BTreeMap::new();
    for object in stored {
        runs.entry(object.run).or_default().push(object);
    }
    runs
}
