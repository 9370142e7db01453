//! Harm to the objects of golden repositories, which have every kind of object and of commit: pins, prunes, rotations, revocations, copies,
//! key objects of each kind. What the harm to one object is named by, and that nothing wrong is restored, is asked here; the thousands of
//! cases of `random_damage` are about one repository without maintenance.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use repository::{Compute, Error, Level, Report, Repository, Snapshot, Store, Valid, verify_job};

use crate::common::dice::Dice;
use crate::common::{dump, job, kind, store_of};
use crate::{Golden, UNTRUSTED, all, tell_sources};

type Objects = BTreeMap<String, Bytes>;

/// For each golden repository; ten times as many with `STRONGROOM_LONG=1`.
const CASES: u64 = 200;
const SEED: u64 = 20_261_127;

#[tokio::test]
async fn harm_to_any_object_is_named_and_never_restored() {
    let seed = Dice::new(SEED).next();
    let long = std::env::var_os("STRONGROOM_LONG").is_some();
    let (mut kinds, mut refused) = (BTreeSet::new(), 0);
    for golden in all() {
        let whole = golden.objects().await;
        let known = named(&golden, &whole).await;
        for case in 0..if long { CASES * 10 } else { CASES } {
            let mut dice = Dice::of_case(seed, case);
            let (objects, name) = harmed(&whole, &mut dice);
            let case = format!("{}, case {case}: {name}", golden.name);
            let Some(repository) = opened(&objects).await else {
                assert_eq!(name, "strongroom.json", "{case}: it does not open");
                continue;
            };
            let report = verified(&golden, &repository).await;
            let says = report.damage.iter().any(|damage| damage.object == name);
            assert!(
                says || !known.contains(&name),
                "{case}: {:?}",
                report.damage
            );
            refused += restored(&golden, &repository, &case).await;
            kinds.insert(kind(&name).to_owned());
        }
    }
    for expected in [
        "commit", "key", "key-1", "key-pq", "manifest", "map", "pack",
    ] {
        assert!(
            kinds.contains(expected),
            "{expected} was not harmed: {kinds:?}"
        );
    }
    assert!(refused > 100, "{refused} snapshots were refused");
}

impl Golden {
    async fn objects(&self) -> Objects {
        let folder = self.folder.join("repository");
        let store = object_store::local::LocalFileSystem::new_with_prefix(folder);
        dump(&store.expect("a folder")).await
    }
}

/// The objects that `verify` names if their last byte is another one. All others are left over, or what says that this is a repository at
/// all.
async fn named(golden: &Golden, whole: &Objects) -> BTreeSet<String> {
    let repository = opened(whole).await.expect("it is whole");
    let report = verified(golden, &repository).await;
    let mut named = BTreeSet::new();
    for name in whole.keys() {
        let (mut objects, mut bytes) = (whole.clone(), whole[name].to_vec());
        *bytes.last_mut().expect("no object is empty") ^= 1;
        objects.insert(name.clone(), bytes.into());
        if let Some(repository) = opened(&objects).await {
            let report = verified(golden, &repository).await;
            let says = report.damage.iter().any(|damage| damage.object == *name);
            named.extend(says.then(|| name.clone()));
        }
    }
    let others = whole.len() - named.len();
    let left = report.unnamed.0 + report.superseded + report.damage.len() as u64;
    assert!(
        others as u64 <= left + 1,
        "{}: {named:?} alone",
        golden.name
    );
    named
}

/// One object with other bytes, or without any.
fn harmed(whole: &Objects, dice: &mut Dice) -> (Objects, String) {
    let names: Vec<&String> = whole.keys().collect();
    loop {
        let name = *dice.one_of(&names);
        let (mut objects, mut bytes) = (whole.clone(), whole[name].to_vec());
        match dice.below(5) {
            0 => bytes[dice.below(whole[name].len())] ^= 1 << dice.below(8),
            1 => bytes.truncate(dice.below(whole[name].len())),
            2 => bytes.extend_from_slice(&dice.next().to_le_bytes()),
            3 => {
                let alike = names.iter().filter(|other| kind(other) == kind(name));
                bytes = whole[**dice.one_of(&alike.collect::<Vec<_>>())].to_vec();
            }
            _ => bytes.clear(),
        }
        objects.insert(name.clone(), bytes.into());
        if objects != *whole {
            return (objects, name.clone());
        }
    }
}

async fn opened(objects: &Objects) -> Option<Repository> {
    match Repository::open(Store::new(store_of(objects).await, "memory")).await {
        Ok(repository) => Some(repository),
        Err(Error::Unusable { .. } | Error::NoRepository { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn verified(golden: &Golden, repository: &Repository) -> Report {
    let (trust, compute) = (golden.trust(), Compute::inline());
    let report = verify_job(repository, &job(), &trust, Level::Data, &compute, &|_| ()).await;
    report.expect("damage is reported, not an error")
}

/// Restores whatever can be; how many snapshots were refused.
async fn restored(golden: &Golden, repository: &Repository, case: &str) -> usize {
    let view = repository.view(&job(), &golden.trust()).await;
    let view = view.expect("memory answers");
    let expected = golden.text("expected");
    let mut refused = 0;
    for snapshot in view.snapshots().chain(view.strays()) {
        let number = snapshot.at.number;
        match golden.told_again(repository, snapshot).await {
            Ok(told) => {
                let was = section(&expected, number).map_or(&*told, |was| was);
                assert_eq!(told, was, "{case}: {number} came back wrong");
            }
            Err(_) => refused += 1,
        }
    }
    refused
}

/// What a snapshot held when it was written; `None` if it did not count, or nobody was to open it.
fn section(expected: &str, number: u64) -> Option<&str> {
    let begins = format!("\nsnapshot {number} ");
    let (_, rest) = expected.split_once(&begins)?;
    let (about, rest) = rest.split_once('\n')?;
    let end = rest.find("\nsnapshot ").map_or(rest.len(), |end| end + 1);
    (!about.ends_with(UNTRUSTED)).then(|| &rest[..end])
}

impl Golden {
    /// What the entries of a snapshot are now.
    async fn told_again(
        &self,
        repository: &Repository,
        snapshot: Valid<'_>,
    ) -> Result<String, Error> {
        let (identities, trust) = (self.identities(), self.trust());
        let opened =
            Snapshot::open(repository, snapshot, identities, &trust, Compute::inline()).await?;
        let mut told = String::new();
        tell_sources(&opened, &mut told).await?;
        Ok(told)
    }
}
