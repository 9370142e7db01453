//! A rotation seals what is stored to other recipients, whatever stops it, and without a moment in which nobody can read.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use common::faults::{Mortal, Stop};
use common::maintenance::{Maintained, last};
use common::plugins::NoPlugins;
use common::{NOW, Secrets, World, dump, job, noise, read};
use format::{Identities, Recipients, generate_identity};
use object_store::ObjectStoreExt as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use repository::{
    Change, Compute, Error, Level, Prune, PruneOptions, Rekeyed, Repository, Rotate, Snapshot,
    Store, verify_job,
};
use zeroize::Zeroizing;

/// Somebody who can open what is sealed to `recipient`.
struct Person {
    secret: Zeroizing<String>,
    recipient: String,
}

impl Person {
    fn new() -> Self {
        let (secret, recipient) = generate_identity();
        Self { secret, recipient }
    }
}

fn identities(people: &[&Person]) -> Arc<Identities> {
    let mut identities = Identities::none();
    for person in people {
        let added = identities.add_file(person.secret.as_bytes());
        added.expect("our own identity");
    }
    Arc::new(identities)
}

/// Snapshots 1 to 3, which share chunks, sealed to the old person.
struct Scene {
    job: Maintained,
    old: Person,
    new: Person,
}

fn secrets(seed: u64) -> Secrets {
    let entry = |i: u64| (format!("entry/{i}"), noise(9000, i));
    (seed..seed + 4).map(entry).collect()
}

impl Scene {
    async fn new() -> Self {
        Self::new_in(None).await
    }

    /// In a directory, or in memory.
    async fn new_in(folder: Option<&std::path::Path>) -> Self {
        let (old, new) = (Person::new(), Person::new());
        let mut world = World::on(Arc::new(InMemory::new())).await;
        if let Some(folder) = folder {
            let store = Store::local(folder, false).expect("a folder");
            let made = Repository::create(store, NOW.to_owned()).await;
            world.repository = made.expect("it is empty");
            world.store = Arc::new(LocalFileSystem::new_with_prefix(folder).expect("a folder"));
        }
        world.identities = identities(&[&old]);
        world.recipients = Recipients::parse([&*old.recipient]).expect("a recipient");
        let scene = Maintained::of(world);
        for seed in 1..=3 {
            scene.back_up(&secrets(seed)).await;
        }
        Self {
            job: scene,
            old,
            new,
        }
    }

    fn rotation(&self, people: &[&Person], change: Change) -> Rotate {
        Rotate {
            maintenance: self.job.maintenance(),
            despite_damage: false,
            change,
            identities: identities(people),
            plugins: Arc::new(NoPlugins),
            compute: Compute::inline(),
        }
    }

    /// From the old person to the new one.
    async fn rotate(&self, repository: &Repository) -> Result<Rekeyed, Error> {
        let change = Change::To(vec![self.new.recipient.clone()]);
        let rotation = self.rotation(&[&self.old, &self.new], change);
        rotation
            .carry_out(repository, &|| NOW.to_owned(), &|| ())
            .await
    }

    async fn read_as(&self, number: u64, people: &[&Person]) -> Result<Secrets, Error> {
        let view = self.job.view().await;
        let valid = view.snapshot_or_stray(number).expect("it is there");
        let (repository, trust) = (&self.job.world.repository, self.job.trust());
        let (who, compute) = (identities(people), Compute::inline());
        let snapshot = Snapshot::open(repository, valid, who, &trust, compute).await?;
        read(&snapshot, 0).await
    }

    /// The names of all key objects.
    async fn keys(&self) -> BTreeSet<String> {
        let objects = dump(&*self.job.world.store).await.into_keys();
        let keys = objects.filter(|name| name.contains("/key"));
        keys.collect()
    }

    async fn assert_whole(&self) {
        assert_eq!(self.damaged().await, []);
    }

    /// What is damaged, and what needs it.
    async fn damaged(&self) -> Vec<(String, BTreeSet<u64>)> {
        let (trust, compute) = (self.job.trust(), Compute::inline());
        let repository = &self.job.world.repository;
        let report = verify_job(repository, &job(), &trust, Level::Data, &compute, &|_| ()).await;
        let damage = report.expect("the store answers").damage.into_iter();
        damage.map(|it| (it.object, it.snapshots)).collect()
    }

    /// Only the new person reads, and one key object of each run is left.
    async fn assert_rotated(&self) {
        for number in 1..=3 {
            let read = self.read_as(number, &[&self.new]).await;
            assert_eq!(read.expect("it is sealed to this one"), secrets(number));
            let refused = self.read_as(number, &[&self.old]).await;
            assert!(matches!(refused, Err(Error::NoIdentity { .. })));
        }
        let keys = self.keys().await;
        let runs: BTreeSet<&str> = keys
            .iter()
            .filter_map(|name| name.rsplit_once('/'))
            .map(|(run, _)| run)
            .collect();
        assert_eq!((keys.len(), runs.len()), (3, 3), "{keys:?}");
        self.assert_whole().await;
    }
}

#[tokio::test]
async fn those_who_go_read_no_more_and_those_who_come_read_all() {
    let scene = Scene::new().await;
    let repository = &scene.job.world.repository;
    let change = Change::To(vec![scene.new.recipient.clone()]);
    let planned = scene.rotation(&[], change).plan(repository).await;
    assert_eq!(planned.expect("a plan").rotated, 3);

    let done = scene.rotate(repository).await.expect("it is rotated");
    assert_eq!((done.rotated, done.already, done.deleted), (3, 0, 3));
    assert_eq!(done.commits.len(), 1);
    scene.assert_rotated().await;

    // Again: nothing is to be done, and nothing is written.
    let before = dump(&*scene.job.world.store).await;
    let again = scene.rotate(repository).await.expect("it is");
    assert_eq!((again.rotated, again.already, again.deleted), (0, 3, 0));
    assert_eq!(dump(&*scene.job.world.store).await, before);

    // The next backup, still to the old one, builds on nothing that it could not read.
    let next = scene.job.back_up(&secrets(4)).await.number;
    let read = scene.read_as(next, &[&scene.old]).await;
    assert_eq!(read.expect("it is sealed to this one"), secrets(4));
}

/// Whatever is stored is not read for it, let alone written anew: it goes on while all packs, manifests and maps are gone.
#[tokio::test]
async fn no_data_is_touched() {
    let scene = Scene::new().await;
    let store = &scene.job.world.store;
    let mut data = dump(&**store).await;
    data.retain(|name, _| name.contains("/runs/") && !name.contains("/key"));
    assert!(data.keys().any(|name| name.contains("/pack-")));
    for name in data.keys() {
        let deleted = store.delete(&Path::from(name.as_str())).await;
        deleted.expect("memory deletes");
    }
    let rotated = scene.rotate(&scene.job.world.repository).await;
    assert_eq!(rotated.expect("it needs none of it").rotated, 3);
    let mut left = dump(&**store).await;
    left.retain(|name, _| data.contains_key(name));
    assert!(left.is_empty(), "{:?}", left.keys());
    for (name, bytes) in data {
        let put = store.put(&Path::from(name), bytes.into()).await;
        put.expect("memory keeps it");
    }
    scene.assert_rotated().await;
}

#[tokio::test]
async fn one_more_reads_beside_the_other() {
    let scene = Scene::new().await;
    let repository = &scene.job.world.repository;
    let add = vec![scene.new.recipient.clone()];
    let remove = Vec::new();
    let rotation = scene.rotation(&[&scene.old], Change::By { add, remove });
    let done = rotation.carry_out(repository, &|| NOW.to_owned(), &|| ());
    assert_eq!(done.await.expect("it is rotated").rotated, 3);
    for person in [&scene.old, &scene.new] {
        let read = scene.read_as(2, &[person]).await;
        assert_eq!(read.expect("it is sealed to both"), secrets(2));
    }
}

#[tokio::test]
async fn who_does_not_know_the_maintainer_is_told_who_sealed_it_anew() {
    let scene = Scene::new().await;
    let repository = &scene.job.world.repository;
    scene.rotate(repository).await.expect("it is rotated");
    let (trust, compute) = (scene.job.world.trust(), Compute::inline());
    let view = repository
        .view(&job(), &trust)
        .await
        .expect("a sound store");
    let valid = view.snapshot(2).expect("it is there");
    let who = identities(&[&scene.old, &scene.new]);
    let refused = Snapshot::open(repository, valid, who, &trust, compute.clone()).await;
    let expected = scene.job.maintainer.id();
    assert!(
        matches!(&refused.err(), Some(Error::ForeignRotation { maintainer, number: 4, .. }) if *maintainer == expected)
    );
    let name = job();
    let report = verify_job(repository, &name, &trust, Level::Log, &compute, &|_| ()).await;
    let damage = report.expect("a sound store").damage;
    assert!(!damage.is_empty());
    assert!(
        damage
            .iter()
            .all(|it| it.what.contains(&expected.to_string()))
    );
}

#[tokio::test]
async fn what_nobody_can_open_again_stays_as_it_was() {
    let scene = Scene::new().await;
    let repository = &scene.job.world.repository;
    let before = dump(&*scene.job.world.store).await;
    let to = Change::To(vec![scene.new.recipient.clone()]);
    let nobody = Change::By {
        add: Vec::new(),
        remove: vec![scene.old.recipient.clone()],
    };
    let refused = async |people: &[&Person], change: &Change| {
        let rotation = scene.rotation(people, change.clone());
        let now = || NOW.to_owned();
        let refused = rotation.carry_out(repository, &now, &|| ()).await;
        assert_eq!(dump(&*scene.job.world.store).await, before);
        refused.expect_err("it is refused")
    };
    let error = refused(&[&scene.old], &to).await;
    assert!(matches!(error, Error::NotOpenedAgain { .. }), "{error}");
    let error = refused(&[&scene.new], &to).await;
    assert!(matches!(error, Error::NoIdentity { .. }), "{error}");
    let error = refused(&[&scene.old], &nobody).await;
    assert!(matches!(error, Error::NobodyLeft { .. }), "{error}");
}

/// A directory's store writes `key-1` as `key-1#1` first. Whoever is killed then leaves a key object that no list shows.
#[tokio::test]
async fn drafts_of_key_objects_go_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new_in(Some(folder.path())).await;
    let repository = &scene.job.world.repository;
    let runs = folder.path().join("prod/runs");
    let names = || {
        let runs = std::fs::read_dir(&runs).expect("runs");
        let files =
            runs.flat_map(|run| std::fs::read_dir(run.expect("a run").path()).expect("files"));
        let names = files.map(|file| {
            file.expect("a file")
                .file_name()
                .into_string()
                .expect("text")
        });
        names
            .filter(|name| name.starts_with("key"))
            .collect::<BTreeSet<_>>()
    };
    for run in std::fs::read_dir(&runs).expect("runs") {
        let run = run.expect("a run").path();
        for draft in ["key#1", "key-1#2", "key-3#1", "key-3-pq#1"] {
            std::fs::copy(run.join("key"), run.join(draft)).expect("a draft");
        }
    }
    scene.rotate(repository).await.expect("it is rotated");
    assert_eq!(names(), ["key-4".to_owned()].into());
    let add_nothing = Change::To(vec![scene.new.recipient.clone()]);
    let nothing = scene.rotation(&[], add_nothing).plan(repository).await;
    assert_eq!(nothing.expect("a plan").rotated, 0);
    scene.assert_rotated().await;
}

#[tokio::test]
async fn a_stop_at_any_store_operation_leaves_all_readable_and_the_next_one_finishes() {
    let mut operations = 0;
    loop {
        let mut died = false;
        for stop in [Stop::Before, Stop::After] {
            let scene = Scene::new().await;
            let world = &scene.job.world;
            let mortal = Mortal::new(Arc::clone(&world.store), operations, stop);
            let result = match world.through(mortal.clone()).await {
                Ok(repository) => scene.rotate(&repository).await.map(drop),
                Err(error) => Err(error),
            };
            died = mortal.died();
            assert_eq!(result.is_err(), died, "operation {operations}, {stop:?}");
            for number in 1..=3 {
                let read = scene.read_as(number, &[&scene.old, &scene.new]).await;
                assert_eq!(read.expect("one of them opens it"), secrets(number));
            }
            scene.assert_whole().await;
            scene.rotate(&world.repository).await.expect("it finishes");
            scene.assert_rotated().await;
        }
        if !died {
            break;
        }
        operations += 1;
    }
    assert!(operations > 15, "{operations} operations");
}

impl Scene {
    async fn put_all(&self, objects: &BTreeMap<String, Bytes>) {
        for (name, bytes) in objects {
            let (path, store) = (Path::from(name.as_str()), &self.job.world.store);
            let put = store.put(&path, bytes.clone().into()).await;
            put.expect("memory keeps it");
        }
    }

    /// One that is rotated and then [damaged](Self::damage).
    async fn sealed_anew_behind_damage() -> Self {
        let scene = Self::new().await;
        let rotated = scene.rotate(&scene.job.world.repository).await;
        rotated.expect("it is rotated");
        scene.damage().await;
        scene
    }

    /// The commit of the second snapshot is lost: the third one does not count any more.
    async fn damage(&self) {
        let second = Path::from("prod/log/000000000002");
        let damaged = self.job.world.store.put(&second, "nothing".into()).await;
        damaged.expect("memory writes");
    }
}

/// What stands behind damage would stay open to those who are to go, and who asked would not know.
#[tokio::test]
async fn a_damaged_log_is_rotated_only_if_that_is_meant() {
    let scene = Scene::new().await;
    scene.damage().await;
    let repository = &scene.job.world.repository;
    let refused = scene.rotate(repository).await;
    assert!(
        matches!(refused, Err(Error::DamagedLog { .. })),
        "{refused:?}"
    );
    scene.read_as(1, &[&scene.old]).await.expect("as before");
    let done = scene.rotate_despite_damage(&scene.old, &scene.new).await;
    assert_eq!(done.rotated, 1);
    scene.read_as(1, &[&scene.new]).await.expect("as it is now");
    let both = [&scene.old, &scene.new];
    scene
        .read_as(3, &both)
        .await
        .expect("its own run is as before");
    let refused = scene.read_as(3, &[&scene.new]).await;
    assert!(matches!(refused, Err(Error::NoIdentity { .. })));
}

/// A rotation that does not count any more has deleted the key objects before it all the same.
#[tokio::test]
async fn what_was_sealed_anew_behind_damage_still_opens() {
    let scene = Scene::sealed_anew_behind_damage().await;
    for number in [1, 3] {
        let read = scene.read_as(number, &[&scene.new]).await;
        assert_eq!(read.expect("its key is there"), secrets(number));
        let refused = scene.read_as(number, &[&scene.old]).await;
        assert!(matches!(refused, Err(Error::NoIdentity { .. })));
    }
    // Nothing is lost but the commit; and the key object that opens the run is looked at like any other.
    let runs_damaged = async || {
        let mut damage = scene.damaged().await;
        damage.retain(|(object, _)| !object.contains("/log/"));
        damage
    };
    assert_eq!(runs_damaged().await, []);
    let before = dump(&*scene.job.world.store).await;
    for gone in [false, true] {
        for name in scene.keys().await {
            let (path, store) = (Path::from(name.as_str()), &scene.job.world.store);
            let mut harmed = before[&name].to_vec();
            harmed[0] ^= 1;
            if gone {
                store.delete(&path).await.expect("memory deletes");
            } else {
                store.put(&path, harmed.into()).await.expect("it is kept");
            }
        }
        let named = runs_damaged().await;
        let [(object, snapshots)] = &named[..] else {
            panic!("one run of a snapshot that counts: {named:?}");
        };
        assert!(object.ends_with("/key-1"), "{object}");
        assert_eq!(*snapshots, [1].into());
    }
    scene.put_all(&before).await;
    // It can be rotated again, and pruned, if that is meant.
    let other = Person::new();
    let done = scene.rotate_despite_damage(&scene.new, &other).await;
    assert_eq!(done.rotated, 1);
    scene.prune_despite_damage().await;
    let read = scene.read_as(1, &[&other]).await;
    assert_eq!(read.expect("its key is there"), secrets(1));
}

/// Who reads the next snapshot could not open what it referred to.
#[tokio::test]
async fn a_backup_does_not_refer_to_what_was_sealed_anew_behind_damage() {
    let scene = Scene::sealed_anew_behind_damage().await;
    // It shares most of its entries with the one snapshot that counts.
    let next = scene.job.back_up(&secrets(2)).await.number;
    let read = scene.read_as(next, &[&scene.old]).await;
    assert_eq!(read.expect("it is sealed to this one"), secrets(2));
}

/// What a prune leaves, it leaves with what opens it.
#[tokio::test]
async fn a_rotation_behind_damage_outlives_a_prune() {
    let scene = Scene::sealed_anew_behind_damage().await;
    scene.prune_despite_damage().await;
    let read = scene.read_as(1, &[&scene.new]).await;
    assert_eq!(read.expect("its key is there"), secrets(1));
}

impl Scene {
    /// From one person to another, whatever stands behind the damage.
    async fn rotate_despite_damage(&self, from: &Person, to: &Person) -> Rekeyed {
        let change = Change::To(vec![to.recipient.clone()]);
        let meant = Rotate {
            despite_damage: true,
            ..self.rotation(&[from, to], change)
        };
        let repository = &self.job.world.repository;
        let done = meant.carry_out(repository, &|| NOW.to_owned(), &|| ());
        done.await.expect("it is rotated")
    }

    /// Nothing goes but what stands behind the damage.
    async fn prune_despite_damage(&self) {
        let options = PruneOptions {
            despite_damage: true,
            ..self.job.options(last(10))
        };
        let repository = &self.job.world.repository;
        let prune = Prune::plan(repository, options, jiff::Timestamp::now()).await;
        let pruned = prune.expect("a plan").carry_out(NOW, NOW, &|| ()).await;
        pruned.expect("a sound store");
    }
}

#[tokio::test]
async fn who_was_rotated_out_does_not_come_back_unseen() {
    let scene = Scene::new().await;
    let repository = &scene.job.world.repository;
    let changes = async || {
        let (trust, compute) = (scene.job.trust(), Compute::inline());
        let report = verify_job(repository, &job(), &trust, Level::Log, &compute, &|_| ()).await;
        let changes = report.expect("the store answers").recipient_changes;
        let came = changes
            .into_iter()
            .map(|(number, change)| (number, change.came));
        came.collect::<Vec<_>>()
    };
    scene.rotate(repository).await.expect("it is rotated");
    assert_eq!(changes().await, []);
    // The host does not know, or somebody has it.
    let next = scene.job.back_up(&secrets(4)).await.number;
    assert_eq!(changes().await, [(next, vec![scene.old.recipient.clone()])]);
}
