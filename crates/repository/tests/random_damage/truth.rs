//! What must be found, computed from the bytes that are there and those that were written, without the code under test: no
//! signature is checked here, authentic is what is equal to something that was once written.

use std::collections::{BTreeMap, BTreeSet};

use archive::Digest;
use format::{Commit, Description};

use crate::Objects;
use crate::scene::Scene;

/// Harmed objects, each with the snapshots that it touches.
pub(crate) type Damage = BTreeMap<String, BTreeSet<u64>>;

pub(crate) struct Truth {
    pub(crate) damage: Damage,
    /// The snapshots that are valid.
    pub(crate) valid: Vec<u64>,
    /// Objects of runs that no valid snapshot names.
    pub(crate) unnamed: u64,
    /// Commits of which an object is harmed, valid or not.
    harmed: BTreeSet<[u8; 32]>,
}

impl Truth {
    /// `None`: it is no repository any more.
    pub(crate) fn of(scene: &Scene, objects: &Objects) -> Option<Self> {
        let same_repository = is_same_repository(scene, objects)?;
        let mut truth = Self {
            damage: Damage::new(),
            valid: Vec::new(),
            unnamed: 0,
            harmed: BTreeSet::new(),
        };
        let mut head = None;
        let mut named = BTreeSet::new();
        for (name, bytes) in objects {
            let Some(number) = number_of(name) else {
                continue;
            };
            let digest = Digest::of(bytes);
            let commit = scene.commits.get(&digest);
            let commit = commit.filter(|commit| commit.log.number == number && same_repository);
            let follows = commit.filter(|it| it.log.previous.map(|digest| digest.0) == head);
            if let Some(commit) = follows {
                head = Some(digest);
                truth.valid.push(number);
                named.extend(names(commit));
                truth.harm_of(commit, number, objects);
            } else {
                truth.damage.insert(name.clone(), [number].into());
            }
            if let Some(commit) = commit.filter(|commit| !harms(commit, objects).is_empty()) {
                truth.harmed.insert(commit.digest.0);
            }
        }
        let runs = objects.keys().filter(|name| name.starts_with("prod/runs/"));
        truth.unnamed = runs.filter(|name| !named.contains(*name)).count() as u64;
        Some(truth)
    }

    fn harm_of(&mut self, commit: &Commit, number: u64, objects: &Objects) {
        for name in harms(commit, objects) {
            self.damage.entry(name).or_default().insert(number);
        }
    }

    /// Whether an object of that snapshot is harmed: if not, it must be restored.
    pub(crate) fn harmed(&self, commit: Digest) -> bool {
        self.harmed.contains(&commit.0)
    }
}

/// Whether what is written in it is still the same; `None` if nothing sensible is. Fields that are for people may differ.
fn is_same_repository(scene: &Scene, objects: &Objects) -> Option<bool> {
    let now = Description::decode(objects.get("strongroom.json")?).ok()?;
    Some(now.id == scene.world.repository.id())
}

fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("prod/log/")?;
    (number.len() == 12).then(|| number.parse().ok())?
}

/// The objects that a commit names.
fn names(commit: &Commit) -> Vec<String> {
    let named = named(commit).into_iter();
    named.map(|(name, _)| name).collect()
}

/// The objects that a commit names, and the digests that it says they have.
fn named(commit: &Commit) -> Vec<(String, Digest)> {
    let mut named = Vec::new();
    for run in &*commit.runs() {
        let objects = run.objects(run.keys());
        named.extend(
            objects.map(|(object, written)| {
                (format!("prod/runs/{}/{object}", run.run), written.digest)
            }),
        );
    }
    named
}

/// Those of them that are gone or not what was written.
pub(crate) fn harms(commit: &Commit, objects: &Objects) -> Vec<String> {
    let named = named(commit).into_iter();
    named
        .filter(|(name, digest)| {
            objects
                .get(name)
                .is_none_or(|bytes| Digest::of(bytes) != *digest)
        })
        .map(|(name, _)| name)
        .collect()
}
