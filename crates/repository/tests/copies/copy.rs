//! What is copied to another repository is there whole, stands where it belongs, and is stored once.

use std::sync::Arc;

use format::{CommitRef, Identities, RepositoryId, WriterKey, generate_identity};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use repository::{Change, Compute, Copy, Copying, Error, Fate, Level, Rotate, verify_job};

use crate::common::faults::{Mortal, Stop};
use crate::common::maintenance::{Maintained, last};
use crate::common::{dump, job};
use crate::scene::{Scene, assert_whole, back_up, copy, now, secrets, stored};

#[tokio::test]
async fn what_is_copied_can_be_read_there_and_is_stored_once() {
    let scene = Scene::new().await;
    assert_eq!(scene.copy().await, [(1, 1), (2, 2), (3, 3)]);
    for number in 1..=3 {
        let read = scene.there.read(number).await.expect("it was copied");
        assert_eq!(read, secrets(number));
    }
    assert_eq!(stored(&scene.there).await, stored(&scene.here).await);
    assert_whole(&scene.there).await;
    assert_eq!(scene.fates().await, [Fate::There; 3]);
    assert_eq!(scene.copy().await, []);
    // And on the way back the originals are known again.
    assert_eq!(scene.back(&[]).await, []);
    let view = scene.there.view().await;
    let seen = view.witnessed(scene.here.world.repository.id(), &scene.here.trust());
    assert_eq!(seen, scene.here.view().await.head());
    assert_eq!(
        view.witnessed(RepositoryId([9; 16]), &scene.here.trust()),
        None
    );
}

#[tokio::test]
async fn what_comes_later_is_copied_later() {
    let scene = Scene::new().await;
    scene.copy().await;
    back_up(&scene.here, 4).await;
    let before = stored(&scene.there).await;
    assert_eq!(scene.copy().await, [(4, 4)]);
    let run = stored(&scene.there).await - before;
    assert!(run < 20_000, "only what is new was stored: {run} bytes");
    assert_eq!(
        scene.there.read(4).await.expect("it was copied"),
        secrets(4)
    );
}

#[tokio::test]
async fn a_late_copy_does_not_become_the_newest() {
    let scene = Scene::new().await;
    // A backup there of its own, taken after 2 and before 3 here.
    let (from, to) = (&scene.here.world.repository, &scene.there.world.repository);
    let only = |number| Copy {
        only: vec![number],
        ..scene.options()
    };
    copy(from, to, only(3)).await.expect("copied");
    copy(from, to, only(1)).await.expect("copied");
    back_up(&scene.there, 9).await;
    copy(from, to, only(2)).await.expect("copied");
    let order = scene.there.numbers().await;
    assert_eq!(order, [2, 4, 1, 3], "1, 2 and 3 of here, and then its own");
    assert_eq!(scene.there.read(4).await.expect("copied"), secrets(2));
    let next = back_up(&scene.there, 10).await;
    assert_eq!(scene.there.numbers().await.last(), Some(&next.number));
}

#[tokio::test]
async fn what_was_lost_comes_back_from_the_other_repository() {
    let scene = Scene::new().await;
    scene.copy().await;
    let repository = &scene.here.world.repository;
    let prune = scene.here.plan(repository, last(1)).await.expect("a plan");
    let pruned = prune.carry_out(&now(), &now(), &|| ()).await;
    pruned.expect("it is pruned");
    assert_eq!(scene.here.numbers().await, [3]);
    // That is what retention wanted.
    assert_eq!(scene.back(&[]).await, []);
    let back = scene.back(&[1]).await;
    assert_eq!(back, [(1, 5)]);
    assert_eq!(scene.here.numbers().await, [5, 3]);
    assert_eq!(scene.here.read(5).await.expect("it is back"), secrets(1));
    assert_whole(&scene.here).await;
}

#[tokio::test]
async fn pins_are_copied_and_what_was_forgotten_is_not() {
    let scene = Scene::new().await;
    let refs: Vec<CommitRef> = {
        let view = scene.here.view().await;
        view.snapshots().map(|it| it.at).collect()
    };
    let (maintenance, repository) = (scene.here.maintenance(), &scene.here.world.repository);
    maintenance
        .pin(repository, refs[0], true, &now())
        .await
        .expect("pinned");
    maintenance
        .forget(repository, vec![refs[1]], &now())
        .await
        .expect("forgotten");
    assert_eq!(
        scene.fates().await,
        [Fate::Goes, Fate::Forgotten, Fate::Goes]
    );
    scene.copy().await;
    let view = scene.there.view().await;
    let pinned: Vec<bool> = view.snapshots().map(|it| it.pinned()).collect();
    assert_eq!(pinned, [true, false]);
    let pruned = scene
        .there
        .prune(&scene.there.world.repository, last(1))
        .await;
    pruned.expect("it is pruned");
    assert_eq!(scene.there.numbers().await.len(), 2);
    assert_eq!(scene.there.read(1).await.expect("it is pinned"), secrets(1));
}

/// Pins the snapshot of that number, or lifts its pin.
async fn pin(of: &Maintained, number: u64, pinned: bool) {
    let at = {
        let view = of.view().await;
        view.snapshot(number).expect("it is there").at
    };
    let said = of.maintenance();
    let done = said.pin(&of.world.repository, at, pinned, &now()).await;
    done.expect("the store is sound");
}

#[tokio::test]
async fn a_pin_that_was_lifted_there_stays_lifted_and_one_that_came_later_follows() {
    let scene = Scene::new().await;
    pin(&scene.here, 1, true).await;
    scene.copy().await;
    let pinned = async || {
        let view = scene.there.view().await;
        let pinned = view.snapshots().map(|it| it.pinned());
        pinned.collect::<Vec<bool>>()
    };
    assert_eq!(pinned().await, [true, false, false]);
    pin(&scene.there, 1, false).await;
    pin(&scene.here, 2, true).await;
    scene.copy().await;
    assert_eq!(pinned().await, [false, true, false]);

    // Below a prune nothing says any more that it was lifted.
    let of = scene.there.numbers().await[1];
    pin(&scene.there, of, false).await;
    let pruned = scene.there.prune(&scene.there.world.repository, last(2));
    pruned.await.expect("it is pruned");
    scene.copy().await;
    let pinned = pinned().await;
    assert!(pinned.ends_with(&[false, false]), "{pinned:?}");
}

#[tokio::test]
async fn a_copy_of_what_was_rotated_opens_for_the_new_recipients_alone() {
    let scene = Scene::new().await;
    let (secret, recipient) = generate_identity();
    let mut all = Identities::none();
    all.add_file(secret.as_bytes()).expect("an identity");
    let new = Arc::new(all);
    let add = scene.rotation(Change::By {
        add: vec![recipient.clone()],
        remove: Vec::new(),
    });
    let repository = &scene.here.world.repository;
    add.carry_out(repository, &now, &|| ())
        .await
        .expect("added");
    let old = scene.here.world.recipients.texts().to_vec();
    let remove = Rotate {
        change: Change::By {
            add: Vec::new(),
            remove: old,
        },
        identities: Arc::clone(&new),
        ..add
    };
    remove
        .carry_out(repository, &now, &|| ())
        .await
        .expect("removed");
    scene.copy().await;
    let refused = scene.there.read(2).await;
    assert!(matches!(refused, Err(Error::NoIdentity { .. })));
    let mut there = scene.there;
    there.world.identities = new;
    for number in 1..=3 {
        assert_eq!(there.read(number).await.expect("it opens"), secrets(number));
    }
    assert_whole(&there).await;
    let view = there.view().await;
    let sealed_to: Vec<_> = view
        .snapshots()
        .map(|it| it.recipients(0).to_vec())
        .collect();
    assert_eq!(sealed_to, vec![vec![recipient]; 3]);
}

/// The rotation does not count, for a commit before it is lost; but the key object before it is gone.
#[tokio::test]
async fn what_was_sealed_anew_behind_damage_is_copied_with_what_opens_it() {
    let scene = Scene::new().await;
    let (secret, recipient) = generate_identity();
    let mut new = Identities::none();
    new.add_file(secret.as_bytes()).expect("a fresh identity");
    let mut both = Identities::none();
    both.add_file(secret.as_bytes()).expect("a fresh identity");
    let (from, to) = (&scene.here.world.repository, &scene.there.world.repository);
    let add = scene.rotation(Change::By {
        add: vec![recipient.clone()],
        remove: Vec::new(),
    });
    add.carry_out(from, &now, &|| ()).await.expect("added");
    let remove = Rotate {
        identities: Arc::new(both),
        ..scene.rotation(Change::To(vec![recipient.clone()]))
    };
    remove.carry_out(from, &now, &|| ()).await.expect("removed");
    let second = Path::from("prod/log/000000000002");
    let damaged = scene.here.world.store.put(&second, "nothing".into()).await;
    damaged.expect("memory writes");

    let plan = Copying::plan(from, to, scene.options())
        .await
        .expect("a plan");
    let expected = plan.bytes_of(1);
    let before = stored(&scene.there).await as u64;
    assert_eq!(scene.copy().await, [(1, 1)]);
    assert_eq!(stored(&scene.there).await as u64, before + expected);
    // Behind the damage too, if it is asked for.
    let named = Copy {
        only: vec![3],
        ..scene.options()
    };
    let copied = copy(from, to, named).await.expect("it is authentic");
    assert_eq!(copied, [(3, 2)]);
    let refused = scene.there.read(1).await;
    assert!(matches!(refused, Err(Error::NoIdentity { .. })));
    let mut there = scene.there;
    there.world.identities = Arc::new(new);
    for (number, secrets) in [(1, secrets(1)), (2, secrets(3))] {
        assert_eq!(there.read(number).await.expect("it opens"), secrets);
    }
    assert_whole(&there).await;
    let view = there.view().await;
    for snapshot in view.snapshots() {
        for index in 0..snapshot.runs().len() {
            assert_eq!(snapshot.recipients(index), std::slice::from_ref(&recipient));
        }
    }
}

/// It is sealed to others than the log there says.
#[tokio::test]
async fn a_copy_does_not_refer_to_what_was_sealed_anew_behind_damage_there() {
    let scene = Scene::new().await;
    scene.copy().await;
    let (secret, recipient) = generate_identity();
    let mut both = Identities::none();
    both.add_file(secret.as_bytes()).expect("a fresh identity");
    let to = &scene.there.world.repository;
    let add = Rotate {
        maintenance: scene.there.maintenance(),
        ..scene.rotation(Change::By {
            add: vec![recipient.clone()],
            remove: Vec::new(),
        })
    };
    add.carry_out(to, &now, &|| ()).await.expect("added");
    let remove = Rotate {
        maintenance: scene.there.maintenance(),
        identities: Arc::new(both),
        ..scene.rotation(Change::To(vec![recipient]))
    };
    remove.carry_out(to, &now, &|| ()).await.expect("removed");
    let second = Path::from("prod/log/000000000002");
    let damaged = scene.there.world.store.put(&second, "nothing".into()).await;
    damaged.expect("memory writes");
    // What shares a run with the one snapshot that counts there.
    let copied = scene.copy().await;
    assert_eq!(copied.len(), 2, "{copied:?}");
    for (number, copy) in copied {
        let read = scene.there.read(copy).await;
        assert_eq!(read.expect("it opens for the old ones"), secrets(number));
    }
}

#[tokio::test]
async fn nothing_damaged_is_copied() {
    let scene = Scene::new().await;
    let store = &scene.here.world.store;
    let objects = dump(&**store).await;
    let run = {
        let view = scene.here.view().await;
        let third = view.snapshot(3).expect("it is there");
        third.runs()[0].run
    };
    let name = format!("prod/runs/{run}/pack-000000");
    let mut bytes = objects[&name].to_vec();
    bytes[100] ^= 1;
    store
        .put(&name.clone().into(), bytes.into())
        .await
        .expect("memory takes it");
    let (from, to) = (&scene.here.world.repository, &scene.there.world.repository);
    let refused = copy(from, to, scene.options()).await;
    let error = refused.expect_err("it is damaged");
    assert!(
        error.is_damage() && error.to_string().contains(&name),
        "{error}"
    );
    assert_eq!(scene.there.numbers().await, [1, 2]);
    let named = dump(&*scene.there.world.store).await;
    let left = stored(&scene.there).await;
    assert_whole(&scene.there).await;
    assert!(named.len() > 4 && left > 0);
    let (name, trust, compute) = (job(), scene.there.trust(), Compute::inline());
    let report = verify_job(to, &name, &trust, Level::Log, &compute, &|_| ()).await;
    let unnamed = report.expect("the store is sound").unnamed;
    assert_eq!(unnamed, (0, 0), "nothing is left of it");
}

#[tokio::test]
async fn a_stop_at_any_store_operation_leaves_both_whole_and_the_next_copy_finishes() {
    // 0: the repository that is read; 1: the other one.
    for mortal_one in [0, 1] {
        let mut operations = 0;
        loop {
            let mut died = false;
            for stop in [Stop::Before, Stop::After] {
                let scene = Scene::new().await;
                pin(&scene.here, 2, true).await;
                let worlds = [&scene.here.world, &scene.there.world];
                let store = Arc::clone(&worlds[mortal_one].store);
                let mortal = Mortal::new(store, operations, stop);
                let result = async {
                    let through = worlds[mortal_one].through(mortal.clone()).await?;
                    let mut ends = worlds.map(|world| world.repository.clone());
                    ends[mortal_one] = through;
                    copy(&ends[0], &ends[1], scene.options()).await.map(drop)
                };
                let result = result.await;
                died = mortal.died();
                // What a removal of leftovers meets is nobody's failure.
                assert!(died || result.is_ok(), "operation {operations}, {stop:?}");
                assert_whole(&scene.there).await;
                let there = scene.there.numbers().await;
                for number in there {
                    scene
                        .there
                        .read(number)
                        .await
                        .expect("what is named is there");
                }
                scene.copy().await;
                let there = scene.there.view().await;
                let order: Vec<u64> = there.snapshots().map(|it| it.at.number).collect();
                let pinned: Vec<bool> = there.snapshots().map(|it| it.pinned()).collect();
                assert_eq!(
                    pinned,
                    [false, true, false],
                    "operation {operations}, {stop:?}"
                );
                assert_eq!(order.len(), 3, "operation {operations}, {stop:?}");
                for (number, minute) in order.into_iter().zip(1..) {
                    let read = scene.there.read(number).await.expect("it was copied");
                    assert_eq!(read, secrets(minute), "operation {operations}, {stop:?}");
                }
                assert_whole(&scene.there).await;
            }
            if !died {
                break;
            }
            operations += 1;
        }
        assert!(operations > 8, "{operations} operations");
    }
}

#[tokio::test]
async fn a_repository_is_not_copied_to_itself() {
    let scene = Scene::new().await;
    let here = &scene.here.world.repository;
    let refused = copy(here, here, scene.options()).await;
    assert!(matches!(refused, Err(Error::SameRepository { .. })));
}

/// A commit behind which others stand is damaged: what does not count any more is left out, and copied if it is named.
#[tokio::test]
async fn what_stands_behind_damage_is_copied_if_it_is_asked_for() {
    let scene = Scene::new().await;
    let second = Path::from("prod/log/000000000002");
    let damaged = scene.here.world.store.put(&second, "nothing".into()).await;
    damaged.expect("memory writes");
    back_up(&scene.here, 4).await;
    assert_eq!(scene.fates().await, [Fate::Goes, Fate::Goes, Fate::Astray]);
    assert_eq!(scene.copy().await, [(1, 1), (4, 2)]);
    let (from, to) = (&scene.here.world.repository, &scene.there.world.repository);
    let named = Copy {
        only: vec![3],
        ..scene.options()
    };
    let copied = copy(from, to, named).await.expect("it is authentic");
    assert_eq!(copied, [(3, 3)]);
    assert_eq!(scene.there.read(3).await.expect("it is there"), secrets(3));
    // It was taken before what was there already.
    let view = scene.there.view().await;
    let order: Vec<u64> = view.snapshots().map(|it| it.at.number).collect();
    assert_eq!(order, [1, 3, 2]);
    assert_eq!(scene.fates().await, [Fate::There, Fate::There, Fate::There]);
}

/// The host that copied them was taken over since, and is revoked there.
#[tokio::test]
async fn what_nobody_accepts_there_is_copied_again() {
    let mut scene = Scene::new().await;
    let other = Arc::new(WriterKey::generate());
    scene.here.writers.push(other.id());
    scene.there.writers.push(other.id());
    let mut options = scene.options();
    options.maintenance.key = Arc::clone(&other);
    let (from, to) = (&scene.here.world.repository, &scene.there.world.repository);
    let copied = copy(from, to, options).await;
    assert_eq!(copied.expect("a trusted writer copies").len(), 3);
    let maintenance = scene.there.maintenance();
    let revoked = maintenance.revoke(to, vec![other.id()], 0, &now()).await;
    revoked.expect("a maintainer revokes");
    scene.there.read(1).await.expect_err("nobody trusts it");
    assert_eq!(scene.fates().await, [Fate::Goes; 3]);
    let copied = scene.copy().await;
    assert_eq!(copied, [(1, 5), (2, 6), (3, 7)]);
    assert_eq!(scene.there.read(5).await.expect("it is"), secrets(1));
}

/// To who does not know its maintainer a log that was pruned holds other snapshots, or none.
#[tokio::test]
async fn a_log_that_was_pruned_by_somebody_unknown_is_not_copied() {
    let mut scene = Scene::new().await;
    let pruned = scene
        .here
        .prune(&scene.here.world.repository, last(2))
        .await;
    pruned.expect("a sound store");
    scene.here.maintainer = Arc::new(WriterKey::generate());
    let (from, to) = (&scene.here.world.repository, &scene.there.world.repository);
    let refused = copy(from, to, scene.options()).await;
    assert!(
        matches!(refused, Err(Error::ForeignPrune { number: 4, .. })),
        "{refused:?}"
    );
}
