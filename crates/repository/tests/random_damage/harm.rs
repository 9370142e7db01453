//! What can happen to stored objects.

use bytes::Bytes;

use crate::Objects;
use crate::common::dice::Dice;
use crate::common::kind;
use crate::scene::{Scene, commit_name};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    FlippedBits,
    Cut,
    Extended,
    Zeroed,
    Overwritten,
    PartLost,
    PartInserted,
    Exchanged,
    PartsExchanged,
    Replaced,
    Duplicated,
    Removed,
    RunRemoved,
    LogRolledBack,
    OlderCommit,
    OlderEnd,
    OtherRepository,
}

/// Harm to one object's bytes.
const TO_BYTES: [Harm; 7] = [
    Harm::FlippedBits,
    Harm::Cut,
    Harm::Extended,
    Harm::Zeroed,
    Harm::Overwritten,
    Harm::PartLost,
    Harm::PartInserted,
];

/// Harm that needs a second object, or none.
const TO_OBJECTS: [Harm; 10] = [
    Harm::Exchanged,
    Harm::PartsExchanged,
    Harm::Replaced,
    Harm::Duplicated,
    Harm::Removed,
    Harm::RunRemoved,
    Harm::LogRolledBack,
    Harm::OlderCommit,
    Harm::OlderEnd,
    Harm::OtherRepository,
];

impl Harm {
    /// One to three harms to anything; at least one byte differs.
    pub(crate) fn some(scene: &Scene, dice: &mut Dice) -> (Objects, Vec<Self>) {
        Self::chosen(scene, dice, &|name| !name.starts_with("dev/"), &TO_OBJECTS)
    }

    /// The same to objects of runs alone.
    pub(crate) fn to_runs(scene: &Scene, dice: &mut Dice) -> (Objects, Vec<Self>) {
        let in_run = |name: &str| name.starts_with("prod/runs/");
        Self::chosen(scene, dice, &in_run, &TO_OBJECTS[..5])
    }

    fn chosen(
        scene: &Scene,
        dice: &mut Dice,
        among: &dyn Fn(&str) -> bool,
        to_objects: &[Self],
    ) -> (Objects, Vec<Self>) {
        loop {
            let mut objects = scene.objects.clone();
            let mut harms = Vec::new();
            for _ in 0..*dice.one_of(&[1, 1, 1, 2, 3]) {
                let choices: &[Self] = if dice.below(2) == 0 {
                    &TO_BYTES
                } else {
                    to_objects
                };
                let harm = *dice.one_of(choices);
                let names: Vec<String> =
                    objects.keys().filter(|name| among(name)).cloned().collect();
                if names.is_empty() {
                    break;
                }
                harm.apply(scene, &mut objects, &names, dice);
                harms.push(harm);
            }
            if objects != scene.objects {
                return (objects, harms);
            }
        }
    }

    fn apply(self, scene: &Scene, objects: &mut Objects, names: &[String], dice: &mut Dice) {
        let name = of_a_kind(names, dice);
        match self {
            Self::Exchanged | Self::PartsExchanged => {
                let other = peer(name, names, dice);
                self.exchange(objects, name, other, dice);
            }
            Self::Replaced => {
                let other =
                    peer(name, &objects.keys().cloned().collect::<Vec<_>>(), dice).to_owned();
                objects.insert(name.to_owned(), objects[&other].clone());
            }
            Self::Duplicated => {
                let bytes = objects[name].clone();
                objects.insert(beside(name, dice), bytes);
            }
            Self::Removed => drop(objects.remove(name)),
            Self::RunRemoved => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                objects.retain(|name, _| folder.is_empty() || !name.starts_with(folder));
            }
            Self::LogRolledBack => {
                let last = 1 + dice.below(scene.snapshots.len()) as u64;
                objects
                    .retain(|name, _| !name.starts_with("prod/log/") || *name <= commit_name(last));
            }
            Self::OlderCommit => bring_back(objects, &scene.older, dice, false),
            Self::OlderEnd => bring_back(objects, &scene.older, dice, true),
            Self::OtherRepository => {
                let donor = &scene.other;
                let there: Vec<String> = donor.keys().cloned().collect();
                let other = peer(name, &there, dice);
                objects.insert(name.to_owned(), donor[other].clone());
            }
            to_bytes => {
                let bytes = to_bytes.to_bytes(&objects[name], dice);
                objects.insert(name.to_owned(), bytes);
            }
        }
    }

    fn to_bytes(self, object: &Bytes, dice: &mut Dice) -> Bytes {
        let mut bytes = object.to_vec();
        let length = bytes.len();
        let (from, to) = part(length, dice);
        match self {
            Self::FlippedBits if length > 0 => {
                for _ in 0..*dice.one_of(&[1, 1, 2, 8]) {
                    bytes[dice.below(length)] ^= 1 << dice.below(8);
                }
            }
            Self::Cut => bytes.truncate(dice.below(length)),
            Self::Extended => bytes.extend((0..=dice.below(300)).map(|_| dice.next() as u8)),
            Self::Zeroed => bytes[from..to].fill(0),
            Self::Overwritten => bytes[from..to].fill_with(|| dice.next() as u8),
            Self::PartLost => drop(bytes.drain(from..to)),
            Self::PartInserted => {
                let part = bytes[from..to].to_vec();
                let at = dice.below(length + 1);
                bytes.splice(at..at, part);
            }
            _ => {}
        }
        bytes.into()
    }

    fn exchange(self, objects: &mut Objects, a: &str, b: &str, dice: &mut Dice) {
        let (mut left, mut right) = (objects[a].to_vec(), objects[b].to_vec());
        if self == Self::Exchanged || a == b {
            std::mem::swap(&mut left, &mut right);
        } else {
            let (from, to) = part(left.len().min(right.len()), dice);
            left[from..to].swap_with_slice(&mut right[from..to]);
        }
        objects.insert(a.to_owned(), left.into());
        objects.insert(b.to_owned(), right.into());
    }
}

/// Some bytes: few or many.
fn part(length: usize, dice: &mut Dice) -> (usize, usize) {
    let from = dice.below(length);
    let most = *dice.one_of(&[1, 16, 512, usize::MAX]);
    let to = from + (1 + dice.below(length - from)).min(most);
    (from, to.min(length))
}

/// Each kind of object as often as the others, though there are more of some.
fn of_a_kind<'a>(names: &'a [String], dice: &mut Dice) -> &'a str {
    let kinds: Vec<&str> = names.iter().map(|name| kind(name)).collect();
    let mut different = kinds.clone();
    different.sort_unstable();
    different.dedup();
    let chosen = *dice.one_of(&different);
    let of_it: Vec<&String> = names.iter().filter(|name| kind(name) == chosen).collect();
    of_it[dice.below(of_it.len())]
}

/// An object to exchange with: of the same kind, mostly.
fn peer<'a>(name: &str, names: &'a [String], dice: &mut Dice) -> &'a str {
    let same: Vec<&String> = names
        .iter()
        .filter(|other| kind(other) == kind(name))
        .collect();
    if same.is_empty() || dice.below(4) == 0 {
        &names[dice.below(names.len())]
    } else {
        same[dice.below(same.len())]
    }
}

/// A name that is not taken, where the object would make sense.
fn beside(name: &str, dice: &mut Dice) -> String {
    let number = 5 + dice.below(900);
    match (kind(name), name.rsplit_once('/')) {
        ("commit", _) => commit_name(number as u64),
        ("pack", Some((folder, _))) => format!("{folder}/pack-{number:06}"),
        (_, Some((_, object))) => format!("prod/runs/{:032x}/{object}", dice.next()),
        _ => format!("prod/{name}"),
    }
}

/// Puts a commit of the older end of the log in the place of the one that took its number; with all that it names or without.
fn bring_back(objects: &mut Objects, older: &Objects, dice: &mut Dice, whole: bool) {
    let number = 3 + dice.below(2) as u64;
    let name = commit_name(number);
    objects.insert(name.clone(), older[&name].clone());
    if whole {
        objects.retain(|name, _| !name.starts_with("prod/log/") || *name <= commit_name(number));
        let log = older.iter().filter(|(other, _)| **other <= name);
        let runs = older
            .iter()
            .filter(|(name, _)| name.starts_with("prod/runs/"));
        for (name, bytes) in log.chain(runs) {
            objects.insert(name.clone(), bytes.clone());
        }
    }
}
