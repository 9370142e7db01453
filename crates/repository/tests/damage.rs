//! Damage of every kind is reported by `verify` with the snapshots it touches, and no restore accepts it.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::{Secrets, World, dump, noise, sample, store_of, stranger};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use repository::{Compute, Error, Level, Report, Repository, Snapshot, Store, Trust, verify_job};

/// Two snapshots, the second of which refers to the first one's run.
async fn two_snapshots() -> (World, Secrets) {
    let world = World::new().await;
    world.back_up(&sample()).await;
    let mut second = sample();
    second.insert("new".into(), noise(3000, 3));
    world.back_up(&second).await;
    (world, second)
}

async fn verify(world: &World, store: Arc<dyn ObjectStore>, level: Level) -> Result<Report, Error> {
    let repository = world.through(store).await?;
    verify_job(
        &repository,
        &common::job(),
        &world.trust(),
        level,
        &Compute::inline(),
        &|_| (),
    )
    .await
}

/// The snapshots that can still be read; none of them may differ from what was backed up.
async fn readable(world: &World, store: Arc<dyn ObjectStore>, expected: [&Secrets; 2]) -> Vec<u64> {
    let Ok(repository) = world.through(store).await else {
        return vec![];
    };
    let Ok(view) = repository.view(&common::job(), &world.trust()).await else {
        return vec![];
    };
    let mut good = vec![];
    for snapshot in view.snapshots() {
        let (identities, trust) = (Arc::clone(&world.identities), world.trust());
        let opened = Snapshot::open(&repository, snapshot, identities, &trust, Compute::inline());
        let Ok(opened) = opened.await else { continue };
        if let Ok(secrets) = common::read(&opened, 0).await {
            let number = snapshot.at.number;
            assert!(
                secrets == *expected[number as usize - 1],
                "snapshot {number} came back wrong"
            );
            good.push(number);
        }
    }
    good
}

fn harms(bytes: &Bytes) -> Vec<(&'static str, Option<Bytes>)> {
    let flip = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0x10;
        Some(Bytes::from(bytes))
    };
    let doubled = [&bytes[..], &bytes[..]].concat();
    vec![
        ("first bit", flip(0)),
        ("middle bit", flip(bytes.len() / 2)),
        ("last bit", flip(bytes.len() - 1)),
        ("cut", Some(bytes.slice(..bytes.len() - 1))),
        ("half", Some(bytes.slice(..bytes.len() / 2))),
        ("empty", Some(Bytes::new())),
        ("zeros", Some(Bytes::from(vec![0; bytes.len()]))),
        ("doubled", Some(Bytes::from(doubled))),
        ("gone", None),
    ]
}

#[tokio::test]
async fn every_object_damaged_in_every_way_is_found_and_never_restored() {
    let (world, second) = two_snapshots().await;
    let first = sample();
    let objects = dump(&*world.store).await;
    let whole = verify(&world, store_of(&objects).await, Level::Data)
        .await
        .expect("sound");
    assert_eq!(whole.damage, []);

    for (name, bytes) in &objects {
        for (harm, damaged) in harms(bytes) {
            let mut objects = objects.clone();
            match damaged {
                Some(damaged) => drop(objects.insert(name.clone(), damaged)),
                None => drop(objects.remove(name)),
            }
            let store = store_of(&objects).await;
            let good = readable(&world, Arc::clone(&store), [&first, &second]).await;
            if name == "strongroom.json" {
                continue;
            }
            let map = name.ends_with("/map");
            // A restore reads neither maps nor the padding at the end of a pack.
            let unread = map || (name.contains("/pack-") && !["first bit", "gone"].contains(&harm));
            assert!(
                unread || good.len() < 2,
                "{name} {harm}: {good:?} are readable"
            );
            let report = verify(&world, store, Level::Data)
                .await
                .expect("the store answers");
            let missing_commit = name.contains("/log/") && harm == "gone";
            assert!(
                missing_commit || !report.damage.is_empty(),
                "{name} {harm} was not found"
            );
            if name.contains("/runs/") {
                assert!(
                    report.damage.iter().all(|damage| damage.object == *name),
                    "{report:?}"
                );
                assert!(
                    report
                        .damage
                        .iter()
                        .all(|damage| !damage.snapshots.is_empty())
                );
            }
        }
    }
}

#[tokio::test]
async fn objects_exchanged_with_each_other_are_found_and_never_restored() {
    let (world, second) = two_snapshots().await;
    let first = sample();
    let objects = dump(&*world.store).await;
    let names: Vec<&String> = objects.keys().filter(|name| name.contains('/')).collect();
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let mut exchanged = objects.clone();
            exchanged.insert((*a).clone(), objects[*b].clone());
            exchanged.insert((*b).clone(), objects[*a].clone());
            let store = store_of(&exchanged).await;
            readable(&world, Arc::clone(&store), [&first, &second]).await;
            let report = verify(&world, store, Level::Data)
                .await
                .expect("the store answers");
            assert!(
                !report.damage.is_empty(),
                "{a} and {b} were exchanged unnoticed"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_identity_and_an_untrusted_writer_are_told_apart() {
    let (world, _) = two_snapshots().await;
    let view = world
        .repository
        .view(&common::job(), &world.trust())
        .await
        .expect("sound");
    let snapshot = view.snapshot(1).expect("it exists");
    let open = async |identities, trust: Trust| {
        Snapshot::open(
            &world.repository,
            snapshot,
            identities,
            &trust,
            Compute::inline(),
        )
        .await
        .err()
    };
    let refused = open(stranger(), world_trust(&view)).await;
    assert!(
        matches!(refused, Some(Error::NoIdentity { .. })),
        "{refused:?}"
    );
    let refused = open(stranger(), Trust::default()).await;
    assert!(
        matches!(refused, Some(Error::Untrusted { .. })),
        "{refused:?}"
    );
}

fn world_trust(view: &repository::View) -> Trust {
    let writers = view
        .snapshots()
        .map(|snapshot| snapshot.statement.writer)
        .collect();
    Trust {
        writers,
        ..Trust::default()
    }
}

#[tokio::test]
async fn what_is_no_repository_is_said_to_be_none() {
    let open = |store: Arc<dyn ObjectStore>| Repository::open(Store::new(store, "here"));
    let nothing = open(Arc::new(InMemory::new())).await.err();
    assert!(matches!(nothing, Some(Error::NoRepository { .. })));
    for (bytes, newer) in [
        (&b"{}"[..], false),
        (b"", false),
        (&vec![b'x'; 100_000], false),
        (br#"{"format":"strongroom repository","version":9}"#, true),
    ] {
        let objects = BTreeMap::from([("strongroom.json".into(), Bytes::copy_from_slice(bytes))]);
        let refused = open(store_of(&objects).await).await.err();
        let Some(Error::Unusable { reason, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(matches!(reason, format::DescriptionError::Newer(9)), newer);
    }
}

#[tokio::test]
async fn a_snapshot_behind_a_lost_commit_is_reported_and_can_still_be_read() {
    let (world, second) = two_snapshots().await;
    let mut objects = dump(&*world.store).await;
    objects.remove("prod/log/000000000001");
    let store = store_of(&objects).await;
    let repository = world.through(store).await.expect("it is a repository");
    let trust = world.trust();
    let view = repository
        .view(&common::job(), &trust)
        .await
        .expect("sound");
    assert_eq!(
        view.snapshots().count(),
        0,
        "nothing behind the break counts"
    );
    assert!(view.garbage()[0].damage);

    let stray = view.strays().next_back().expect("the second snapshot");
    let identities = Arc::clone(&world.identities);
    let opened = Snapshot::open(&repository, stray, identities, &trust, Compute::inline()).await;
    let read = common::read(&opened.expect("it is authentic"), 0).await;
    assert_eq!(read.expect("it is whole"), second);
}
