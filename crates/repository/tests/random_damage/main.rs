//! Thousands of random harms to the objects of a repository: `verify` names each harmed object with exactly the snapshots
//! that it touches, and no restore accepts wrong bytes.
//!
//! `harm.rs` says what is done, `truth.rs` says from the objects' bytes alone what must be found, `layer.rs` counts by which check
//! each harm was found. 10,000 cases; ten times as many with `STRONGROOM_LONG=1`. `STRONGROOM_SEED` repeats a run.

#[path = "../common/mod.rs"]
mod common;

mod harm;
mod layer;
mod scene;
mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::dice::Dice;
use common::store_of;
use harm::Harm;
use layer::Layers;
use repository::{Compute, Error, Level, Report, Repository, Snapshot, Valid, verify_job};
use scene::Scene;
use truth::Truth;

/// The bytes of all objects by name.
type Objects = BTreeMap<String, Bytes>;

/// Cases of harm by whoever can write to the bucket, in two halves that run beside each other.
const BUCKET_CASES: u64 = 4_000;
/// Cases of harm that is signed over by whoever has the writer key too.
const SIGNED_CASES: u64 = 2_000;
const SEED: u64 = 20_261_125;

fn cases(count: u64) -> u64 {
    let long = std::env::var_os("STRONGROOM_LONG").is_some();
    if long { count * 10 } else { count }
}

#[tokio::test]
async fn harm_to_stored_objects_is_named_and_never_restored() {
    harm_by_bucket(SEED).await;
}

#[tokio::test]
async fn harm_to_stored_objects_is_named_and_never_restored_again() {
    harm_by_bucket(SEED + 1).await;
}

async fn harm_by_bucket(seed: u64) {
    let seed = Dice::new(seed).next();
    let scene = Scene::new().await;
    let mut layers = Layers::default();
    for case in 0..cases(BUCKET_CASES) {
        let mut dice = Dice::of_case(seed, case);
        let (objects, harms) = Harm::some(&scene, &mut dice);
        let case = format!("case {case}: {harms:?}");
        judge(&scene, &objects, &case, &mut layers).await;
        layers.count_case(&harms);
    }
    layers.print("harm by whoever writes the bucket");
    layers.all_were_needed(&["missing", "length", "digest", "signature", "chain", "place"]);
}

/// One case: what is reported and what is read must be what the bytes say.
async fn judge(scene: &Scene, objects: &Objects, case: &str, layers: &mut Layers) {
    let store = store_of(objects).await;
    let truth = Truth::of(scene, objects);
    let opened = scene.world.through(Arc::clone(&store)).await;
    let Some(expected) = truth else {
        let Err(Error::Unusable { .. } | Error::NoRepository { .. }) = opened else {
            panic!("{case}: it opens");
        };
        layers.found("description");
        return;
    };
    let repository = opened.unwrap_or_else(|error| panic!("{case}: {error}"));
    let report = verify(scene, &repository).await;
    layers.reported(&report);
    assert_eq!(by_object(&report), expected.damage, "{case}");
    assert_eq!(report.unnamed.0, expected.unnamed, "{case}");
    let numbers = restore_all(scene, &repository, &expected, case, layers).await;
    assert_eq!(numbers, expected.valid, "{case}");
}

fn by_object(report: &Report) -> truth::Damage {
    let mut damage = truth::Damage::new();
    for found in &report.damage {
        let snapshots: &mut std::collections::BTreeSet<u64> =
            damage.entry(found.object.clone()).or_default();
        snapshots.extend(&found.snapshots);
    }
    damage
}

/// Restores what is valid, and what is not only because something before it is lost; returns the numbers of the former.
async fn restore_all(
    scene: &Scene,
    repository: &Repository,
    expected: &Truth,
    case: &str,
    layers: &mut Layers,
) -> Vec<u64> {
    let view = repository.view(&common::job(), &scene.world.trust()).await;
    let view = view.expect("memory answers");
    for snapshot in view.snapshots().chain(view.strays()) {
        let number = snapshot.at.number;
        let original = &scene.contents[&snapshot.at.digest];
        match restore(scene, repository, snapshot).await {
            Ok(restored) => assert!(restored == *original, "{case}: {number} came back wrong"),
            Err(error) => {
                assert!(error.is_damage(), "{case}: {number}: {error}");
                assert!(
                    expected.harmed(snapshot.at.digest),
                    "{case}: {number} is whole and was refused: {error}"
                );
                layers.refused(&error);
            }
        }
    }
    view.snapshots()
        .map(|snapshot| snapshot.at.number)
        .collect()
}

#[tokio::test]
async fn harm_that_the_writer_key_signs_is_never_restored() {
    let seed = Dice::new(SEED + 2).next();
    let scene = Scene::new().await;
    let mut layers = Layers::default();
    for case in 0..cases(SIGNED_CASES) {
        let mut dice = Dice::of_case(seed, case);
        let (objects, harms) = Harm::to_runs(&scene, &mut dice);
        let (objects, numbers) = scene.sign_over(&objects);
        let case = format!("case {case}: {harms:?}");
        let repository = scene.world.through(store_of(&objects).await).await;
        let repository = repository.expect("its description is whole");
        let report = verify(&scene, &repository).await;
        assert_eq!(
            report.damage,
            [],
            "{case}: signatures and digests are right"
        );
        let view = repository.view(&common::job(), &scene.world.trust()).await;
        let view = view.expect("memory answers");
        assert_eq!(view.snapshots().count(), numbers.len(), "{case}");
        for (snapshot, original) in view.snapshots().zip(&numbers) {
            match restore(&scene, &repository, snapshot).await {
                Ok(restored) => assert!(
                    restored == scene.snapshots[original - 1],
                    "{case}: {original} came back wrong"
                ),
                // A key object that was exchanged or broken is one that our identity does not open.
                Err(error) => {
                    assert!(
                        error.is_damage() || matches!(error.kind(), Error::NoIdentity { .. }),
                        "{case}: {original}: {error}"
                    );
                    let harmed = scene.harms(*original, &objects);
                    assert!(!harmed.is_empty(), "{case}: {original} is whole: {error}");
                    layers.refused(&error);
                }
            }
        }
        layers.count_case(&harms);
    }
    layers.print("harm that the writer key signs");
    layers.all_were_needed(&["AEAD", "age"]);
}

async fn verify(scene: &Scene, repository: &Repository) -> Report {
    let (job, trust, compute) = (common::job(), scene.world.trust(), Compute::inline());
    let report = verify_job(repository, &job, &trust, Level::Data, &compute, &|_| ());
    report.await.expect("damage is reported, not an error")
}

async fn restore(
    scene: &Scene,
    repository: &Repository,
    snapshot: Valid<'_>,
) -> Result<scene::Contents, Error> {
    let (identities, trust) = (Arc::clone(&scene.world.identities), scene.world.trust());
    let opened =
        Snapshot::open(repository, snapshot, identities, &trust, Compute::inline()).await?;
    let mut contents = Vec::new();
    for source in 0..opened.manifest().sources.len() {
        contents.push(common::read(&opened, source).await?);
    }
    Ok(contents)
}
