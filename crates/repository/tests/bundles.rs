//! Bundles of commits spare requests, and never change what anybody sees.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::dice::Dice;
use common::faults::{Mortal, Stop};
use common::maintenance::{Maintained, last};
use common::{Secrets, job, noise};
use format::{Bundle, BundlePlace, Commit, Log, WriterKey};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Cache, Compute, Error, Level, Pruned, Repository, View, verify_job};
use tempfile::TempDir;

/// A job with a log, and a host on which it is maintained.
struct Scene {
    job: Maintained,
    folder: TempDir,
}

fn secrets(seed: u64) -> Secrets {
    Secrets::from([("entry".to_owned(), noise(200, seed))])
}

fn commit(number: u64) -> Path {
    Path::from(format!("prod/log/{number:012}"))
}

fn bundle(number: u64, part: u32) -> Path {
    Path::from(format!("prod/log/{number:012}.bundle-{part}"))
}

impl Scene {
    async fn new(snapshots: u64) -> Self {
        let scene = Self {
            job: Maintained::new().await,
            folder: tempfile::tempdir().expect("a folder"),
        };
        scene.back_up(snapshots).await;
        scene
    }

    async fn back_up(&self, snapshots: u64) {
        for seed in 0..snapshots {
            self.job.back_up(&secrets(seed % 7)).await;
        }
    }

    /// As it is done every night.
    async fn prune(&self, keep: u32) {
        let repository = self.job.world.repository.clone();
        let pruned = self.prune_through(repository, keep).await;
        pruned.expect("the store is sound");
    }

    /// Another maintains it from now on.
    fn change_places(&mut self, other: &mut Arc<WriterKey>) {
        std::mem::swap(&mut self.job.maintainer, other);
    }

    async fn prune_through(&self, repository: Repository, keep: u32) -> Result<Pruned, Error> {
        let cache = Cache::new(self.folder.path().to_owned());
        let repository = repository.with_cache(Arc::new(cache)).with_bundles();
        self.job.prune(&repository, last(keep)).await
    }

    fn store(&self) -> &dyn ObjectStore {
        &*self.job.world.store
    }

    async fn get(&self, path: &Path) -> Option<Bytes> {
        let found = self.store().get(path).await.ok()?;
        Some(found.bytes().await.expect("memory reads"))
    }

    async fn put(&self, path: &Path, bytes: impl Into<Bytes>) {
        let put = self.store().put(path, bytes.into().into()).await;
        put.expect("memory writes");
    }

    async fn delete(&self, path: &Path) {
        self.store().delete(path).await.expect("memory deletes");
    }

    async fn bundles(&self) -> Vec<String> {
        let objects = common::dump(self.store()).await.into_keys();
        let bundles = objects.filter_map(|name| {
            let (number, part) = name.split_once(".bundle-")?;
            let (_, number) = number.rsplit_once('/')?;
            Some(format!("{}-{part}", number.trim_start_matches('0')))
        });
        bundles.collect()
    }

    async fn host(&self) -> (Repository, Arc<Mortal>) {
        let counting = Mortal::counting(Arc::clone(&self.job.world.store));
        let repository = self.job.world.through(counting.clone()).await;
        let repository = repository.expect("it is a repository").with_bundles();
        (repository, counting)
    }

    /// What a host sees that reads the log for the first time, which must be what somebody sees who reads commit by commit; and the
    /// operations that it took.
    async fn look(&self) -> usize {
        let (repository, counting) = self.host().await;
        let seen = repository.view(&job(), &self.job.trust()).await;
        let seen = seen.expect("the store is sound");
        assert_eq!(described(&seen), described(&self.job.view().await));
        counting.counted()
    }
}

/// All that a view decides.
fn described(view: &View) -> String {
    let snapshots: Vec<_> = view.snapshots().map(|it| (it.at, it.pinned())).collect();
    let strays: Vec<_> = view.strays().map(|it| it.at).collect();
    let (head, tail, foreign) = (view.head(), view.tail(), view.foreign_prune());
    let damage: Vec<_> = view.garbage().iter().filter(|it| it.damage).collect();
    format!("{snapshots:?} {strays:?} {head:?} {tail} {foreign:?} {damage:?}")
}

#[tokio::test]
async fn a_long_log_is_read_in_few_requests() {
    let scene = Scene::new(130).await;
    assert_eq!(scene.bundles().await, [""; 0]);
    assert_eq!(scene.look().await, 2 + 130);
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["130-0"]);
    // What it is, the list, the bundle, and its newest commit.
    assert_eq!(scene.look().await, 4);
    scene.back_up(15).await;
    assert_eq!(scene.look().await, 4 + 15);
    // Not worth another one yet.
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["130-0"]);
    scene.back_up(1).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["146-0"]);
    assert_eq!(scene.look().await, 4);
    scene.delete(&bundle(146, 0)).await;
    assert_eq!(scene.look().await, 2 + 146);
}

/// The commits that a prune leaves are in its bundle, and its own.
#[tokio::test]
async fn a_prune_bundles_what_it_leaves() {
    let scene = Scene::new(60).await;
    scene.prune(1000).await;
    scene.back_up(30).await;
    scene.prune(40).await;
    assert_eq!(scene.bundles().await, ["91-0"]);
    assert_eq!(scene.look().await, 4);
    // What another prune takes away without making a new one counts for nothing, wherever it is.
    let pruned = scene.job.prune(&scene.job.world.repository, last(20)).await;
    pruned.expect("a sound store");
    assert_eq!(scene.bundles().await, ["91-0"]);
    assert_eq!(scene.look().await, 5);
    scene.back_up(1).await;
    scene.prune(20).await;
    assert_eq!(scene.bundles().await, ["94-0"]);
    assert_eq!(scene.look().await, 4);
    scene.prune(2).await;
    assert_eq!(scene.bundles().await, [""; 0]);
    assert_eq!(scene.job.numbers().await, [90, 93]);
}

#[tokio::test]
async fn commits_of_more_than_one_part_come_together() {
    let scene = Scene::new(3).await;
    let witness = noise(400_000, 1);
    for _ in 0..40 {
        scene.append_long(&witness).await;
    }
    scene.prune(1000).await;
    let bundles = scene.bundles().await;
    assert!((4..=20).contains(&bundles.len()), "{bundles:?}");
    assert_eq!(scene.look().await, 3 + bundles.len());
    scene.delete(&bundle(43, 2)).await;
    assert!(scene.look().await > 3 + bundles.len() - 1);
}

/// Killed anywhere while it stores a bundle, a maintainer leaves one that spares what it can, and the next prune makes it anew.
#[tokio::test]
async fn a_bundle_that_was_cut_short_is_made_anew_by_the_next_prune() {
    let mut scene = Scene::new(3).await;
    let witness = noise(400_000, 1);
    for _ in 0..14 {
        scene.append_long(&witness).await;
    }
    let objects = common::dump(scene.store()).await;
    let mut other = Arc::new(WriterKey::generate());
    scene.job.others = vec![scene.job.maintainer.id(), other.id()];
    let (mut in_part, mut operations) = (0, 0);
    loop {
        scene.job.world.store = common::store_of(&objects).await;
        let store = Arc::clone(&scene.job.world.store);
        scene.job.world.repository = scene.job.world.through(store).await.expect("it is one");
        let store = Arc::clone(&scene.job.world.store);
        let mortal = Mortal::new(store, operations, Stop::Before);
        if let Ok(repository) = scene.job.world.through(mortal.clone()).await {
            scene.folder = tempfile::tempdir().expect("a folder");
            // That it could not store a bundle is no error.
            drop(scene.prune_through(repository, 1000).await);
        }
        if !mortal.died() {
            break;
        }
        operations += 1;
        let left = scene.bundles().await;
        if left.len() == 1 {
            in_part += 1;
            // Of another maintainer the same part has other bytes: nothing is mixed.
            scene.change_places(&mut other);
            scene.prune(1000).await;
            assert_eq!(scene.bundles().await, left);
            scene.change_places(&mut other);
            scene.prune(1000).await;
            assert_eq!(scene.bundles().await, ["17-0", "17-1"], "{left:?}");
            assert_eq!(scene.look().await, 3 + 2);
        }
    }
    assert!(in_part > 0, "none of {operations} was between two parts");
    assert_eq!(scene.bundles().await, ["17-0", "17-1"]);
}

/// Nor does one that only looks like a bundle keep a prune from making one.
#[tokio::test]
async fn a_forged_bundle_is_taken_away_by_the_next_prune() {
    let scene = Scene::new(30).await;
    let stranger = WriterKey::generate();
    let forged = scene.forged(25, &stranger, &mut Dice::new(1)).await;
    scene.put(&bundle(25, 0), forged).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["30-0"]);
    assert_eq!(scene.look().await, 4);
    // In its very place: the one after it makes it.
    let forged = scene.forged(30, &stranger, &mut Dice::new(2)).await;
    scene.put(&bundle(30, 0), forged).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["30-0"]);
    assert_eq!(scene.look().await, 3 + 30);
    scene.back_up(1).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["31-0"]);
    assert_eq!(scene.look().await, 4);
    // More of them than a reader tries, in front of a sound one; and of a time to come.
    scene.back_up(4).await;
    for number in [32, 33, 34] {
        let forged = scene
            .forged(number, &stranger, &mut Dice::new(number))
            .await;
        scene.put(&bundle(number, 0), forged).await;
    }
    assert!(scene.look().await > 31);
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["35-0"]);
    let forged = scene.forged(35, &stranger, &mut Dice::new(3)).await;
    scene.put(&bundle(99, 0), forged).await;
    scene.back_up(1).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["36-0"]);
    // A part that it has not, and which it would be passed over for.
    scene.put(&bundle(36, 1), "no part").await;
    scene.back_up(1).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["37-0"]);
    assert_eq!(scene.look().await, 4);
}

/// What came out of a bundle is kept like what was read by itself.
#[tokio::test]
async fn a_host_that_keeps_what_it_reads_keeps_that_too() {
    let scene = Scene::new(70).await;
    scene.prune(1000).await;
    let folder = tempfile::tempdir().expect("a folder");
    for operations in [4, 2] {
        let (repository, counting) = scene.host().await;
        let cache = Cache::new(folder.path().to_owned());
        let repository = repository.with_cache(Arc::new(cache));
        let seen = repository.view(&job(), &scene.job.trust()).await;
        let seen = seen.expect("the store is sound");
        assert_eq!(described(&seen), described(&scene.job.view().await));
        assert_eq!(counting.counted(), operations);
    }
}

/// What is judged is what is stored: a commit that only a bundle has left is damage to `verify`, and to whoever deletes.
#[tokio::test]
async fn who_judges_what_is_stored_does_not_look_at_bundles() {
    let scene = Scene::new(70).await;
    scene.prune(1000).await;
    scene.put(&commit(5), "nothing").await;
    let (repository, _) = scene.host().await;
    let trust = scene.job.trust();
    let seen = repository.view(&job(), &trust).await;
    assert!(seen.expect("a sound store").snapshot(5).is_some());
    let compute = Compute::inline();
    let report = verify_job(&repository, &job(), &trust, Level::Log, &compute, &|_| ()).await;
    let damage = report.expect("a sound store").damage;
    let named = damage.iter().any(|it| it.object == commit(5).to_string());
    assert!(named, "{damage:?}");
    assert!(scene.job.plan(&repository, last(3)).await.is_err());
}

/// The same where the host has read the bundle before, and keeps what was in it.
#[tokio::test]
async fn who_deletes_does_not_believe_what_was_kept_out_of_a_bundle() {
    let scene = Scene::new(70).await;
    scene.prune(1000).await;
    scene.put(&commit(5), "nothing").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (repository, _) = scene.host().await;
    let repository = repository.with_cache(Arc::new(Cache::new(folder.path().to_owned())));
    let seen = repository.view(&job(), &scene.job.trust()).await;
    assert!(seen.expect("a sound store").snapshot(5).is_some());
    let planned = scene.job.plan(&repository, last(3)).await;
    assert!(matches!(planned, Err(Error::DamagedLog { .. })));
}

/// A bucket was put back to what it was, without its bundle, and hosts went on: the bundle tells of what is not there any more.
#[tokio::test]
async fn a_bundle_from_before_a_fork_is_not_believed() {
    for (kept, new) in [(60, 3), (60, 20), (60, 10), (70, 5)] {
        let scene = Scene::new(70).await;
        scene.prune(1000).await;
        for number in kept + 1..=70 {
            scene.delete(&commit(number)).await;
        }
        for seed in 0..new {
            scene.job.back_up(&secrets(1000 + seed)).await;
        }
        assert_eq!(scene.bundles().await, ["70-0"]);
        let few = scene.look().await < 10 + 5;
        assert_eq!(few, kept == 70, "{kept} {new}");
    }
}

/// Whoever may write to the bucket can put bundles there, and take those that are there away, and be no more than a nuisance.
#[tokio::test]
async fn no_bundle_changes_what_anybody_sees() {
    let scene = Scene::new(60).await;
    scene.prune(1000).await;
    let early = scene.get(&bundle(60, 0)).await.expect("it is there");
    scene.back_up(40).await;
    scene.prune(50).await;
    let late = scene.get(&bundle(101, 0)).await.expect("it is there");
    scene.back_up(3).await;
    let (writer, stranger) = (&scene.job.world.writer, WriterKey::generate());
    let mut outcomes = [0; 3];
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        for number in [60, 101, 104] {
            let forger = if dice.below(2) == 0 {
                &**writer
            } else {
                &stranger
            };
            let object = match dice.below(6) {
                0 => {
                    scene.delete(&bundle(number, 0)).await;
                    continue;
                }
                1 => early.clone(),
                2 => late.clone(),
                3 => harmed(if number == 60 { &early } else { &late }, &mut dice),
                _ => scene.forged(number, forger, &mut dice).await.into(),
            };
            scene.put(&bundle(number, 0), object).await;
        }
        outcomes[match scene.look().await {
            ..10 => 0,
            10..50 => 1,
            50.. => 2,
        }] += 1;
    }
    // Read from the newest, and commit by commit.
    assert!(outcomes[0] > 50 && outcomes[2] > 50, "{outcomes:?}");
    // A maintainer clears up.
    scene.put(&bundle(999_999, 0), "junk").await;
    scene.back_up(20).await;
    scene.prune(1000).await;
    assert_eq!(scene.bundles().await, ["124-0"]);
    assert_eq!(scene.look().await, 4);
}

fn harmed(object: &Bytes, dice: &mut Dice) -> Bytes {
    let mut bytes = object.to_vec();
    let at = dice.below(bytes.len());
    match dice.below(2) {
        0 => bytes[at] ^= 1 << dice.below(8),
        _ => bytes.truncate(at),
    }
    bytes.into()
}

impl Scene {
    /// A bundle that is signed, but not by a maintainer, of commits that follow one another where the true ones are.
    async fn forged(&self, number: u64, key: &WriterKey, dice: &mut Dice) -> Vec<u8> {
        let (job, id) = (job(), self.job.world.repository.id());
        let mut forged = Bundle::default();
        let (from, mut previous) = (number - 20 + dice.below(15) as u64, None);
        for at in from..=number {
            let object = self.get(&commit(at)).await.unwrap_or_default();
            let Ok(decoded) = Commit::decode(&object, id, &job, at) else {
                continue;
            };
            let log = Log {
                appended: "2026-11-27T00:00:00Z".to_owned(),
                appender: key.id(),
                previous: previous.or(decoded.log.previous),
                ..decoded.log
            };
            let object = Commit::encode(&decoded.statement, &log, key);
            previous = Some(format::DigestText(archive::Digest::of(&object)));
            assert!(forged.add(at, &object, u64::MAX));
        }
        let place = BundlePlace {
            repository: id,
            job: &job,
            number,
            part: 0,
        };
        forged.encode(place, key)
    }

    /// A commit with a long name of the program.
    async fn append_long(&self, noise: &[u8]) {
        let (repository, view) = (&self.job.world.repository, self.job.view().await);
        let head = view.head().expect("a commit");
        let mut maintenance = self.job.maintenance();
        maintenance.program = hex::encode(noise);
        let pinned = maintenance.pin(repository, head_snapshot(&view), true, common::NOW);
        pinned.await.expect("a sound store");
        assert_eq!(self.job.view().await.tail(), head.number + 1);
    }
}

fn head_snapshot(view: &View) -> format::CommitRef {
    view.snapshots().next_back().expect("a snapshot").at
}
