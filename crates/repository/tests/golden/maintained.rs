//! What maintainers do to snapshots, and whoever copies them, by the program's own code.

use std::sync::Arc;
use std::time::Duration;

use format::{CommitRef, Identities, Recipients, WriterKey, generate_identity};
use jiff::Timestamp;
use repository::{
    Change, Compute, Copy, Copying, Maintenance, Policy, Prune, PruneOptions, Pruned, Rotate,
};

use super::{Entries, Scene, entries, identity_file};
use crate::common::plugins::NoPlugins;
use crate::common::{NOW, job};

/// Before [`NOW`].
const BEFORE: &str = "2026-11-20T08:00:00Z";

impl Scene {
    /// With a maintainer, and these snapshots.
    async fn maintained(seeds: &[u64]) -> Self {
        let mut scene = Self::new().await;
        scene.maintainer = Some(Arc::new(WriterKey::generate()));
        for seed in seeds {
            scene.back_up(&entries(3, *seed)).await;
        }
        scene
    }

    fn maintenance(&self) -> Maintenance {
        let key = self.maintainer.as_ref().expect("it is maintained");
        Maintenance {
            job: job(),
            key: Arc::clone(key),
            trust: self.trust(),
            program: "strongroom 0.1.0".to_owned(),
        }
    }

    async fn at(&self, number: u64) -> CommitRef {
        let digest = self.commit(number).await.digest;
        CommitRef { number, digest }
    }

    async fn pin(&self, number: u64, pinned: bool) {
        let (at, repository) = (self.at(number).await, &self.world.repository);
        let done = self.maintenance().pin(repository, at, pinned, NOW).await;
        done.expect("memory answers");
    }

    /// Seals what there is to somebody new, whose identity opens it from now on.
    async fn rotate(&mut self) {
        let (identity, recipient) = generate_identity();
        let mut both = Identities::none();
        for file in [&*self.identity, &*identity] {
            both.add_file(file.as_bytes()).expect("our own identity");
        }
        let rotate = Rotate {
            maintenance: self.maintenance(),
            despite_damage: false,
            change: Change::To(vec![recipient.clone()]),
            identities: Arc::new(both),
            plugins: Arc::new(NoPlugins),
            compute: Compute::inline(),
        };
        let repository = &self.world.repository;
        let done = rotate.carry_out(repository, &|| NOW.to_owned(), &|| ());
        assert!(done.await.expect("memory answers").rotated > 0);
        self.world.recipients = Recipients::parse([&*recipient]).expect("our own recipient");
        self.identity = identity_file(&identity);
    }
}

pub(super) async fn pins() -> Scene {
    let scene = Scene::maintained(&[0, 5000, 10_000]).await;
    scene.pin(1, true).await;
    scene.pin(2, true).await;
    scene.pin(2, false).await;
    let (second, repository) = (scene.at(2).await, &scene.world.repository);
    let maintenance = scene.maintenance();
    let forgotten = maintenance.forget(repository, vec![second], NOW);
    forgotten.await.expect("memory answers");
    scene.back_up(&entries(4, 10_000)).await;
    scene
}

pub(super) async fn pruned_pins() -> Scene {
    let scene = Scene::maintained(&[0, 5000, 10_000]).await;
    scene.pin(1, true).await;
    let Maintenance {
        job,
        key,
        trust,
        program,
    } = scene.maintenance();
    let options = PruneOptions {
        job,
        policy: Policy {
            keep_last: 1,
            min_age: Duration::ZERO,
            ..Policy::default()
        },
        grace: Duration::ZERO,
        maintainer: key,
        trust,
        program,
        despite_damage: false,
    };
    let prune = Prune::plan(&scene.world.repository, options, Timestamp::now()).await;
    let pruned = prune.expect("a plan").carry_out(NOW, NOW, &|| ()).await;
    let Ok(Pruned::Done { at: Some(at), .. }) = pruned else {
        panic!("nobody interferes: {pruned:?}");
    };
    assert_eq!(at.number, 5);
    scene.back_up(&entries(4, 10_000)).await;
    scene
}

pub(super) async fn revoked() -> Scene {
    let mut scene = Scene::maintained(&[0]).await;
    let second = Arc::new(WriterKey::generate());
    let first = std::mem::replace(&mut scene.world.writer, Arc::clone(&second));
    scene.writers.push(Arc::clone(&first));
    for seed in [5000, 10_000] {
        scene.back_up(&entries(3, seed)).await;
    }
    let revoked = vec![second.id()];
    let (maintenance, repository) = (scene.maintenance(), &scene.world.repository);
    let done = maintenance.revoke(repository, revoked, 2, NOW).await;
    done.expect("memory answers");
    scene.world.writer = first;
    scene.writers = vec![second];
    scene.back_up(&entries(4, 0)).await;
    scene
}

pub(super) async fn rotated() -> Scene {
    let mut scene = Scene::maintained(&[]).await;
    let mut secrets: Entries = entries(3, 0);
    scene.back_up(&secrets).await;
    secrets.extend(entries(5, 5000));
    scene.back_up(&secrets).await;
    scene.rotate().await;
    scene.back_up(&entries(4, 5000)).await;
    scene
}

pub(super) async fn copied() -> Scene {
    let mut elsewhere = Scene::maintained(&[]).await;
    elsewhere.now = BEFORE;
    elsewhere.back_up(&entries(3, 0)).await;
    elsewhere.rotate().await;
    elsewhere.back_up(&entries(4, 5000)).await;
    elsewhere.pin(1, true).await;

    let mut scene = Scene::maintained(&[]).await;
    scene.world.writer = Arc::clone(&elsewhere.world.writer);
    scene.world.recipients = elsewhere.world.recipients.clone();
    scene.identity.clone_from(&elsewhere.identity);
    scene.back_up(&entries(5, 5000)).await;
    let mut maintenance = elsewhere.maintenance();
    maintenance.key = Arc::clone(&scene.world.writer);
    let options = Copy {
        maintenance,
        pruned_too: false,
        only: Vec::new(),
        compute: Compute::inline(),
    };
    let (from, to) = (&elsewhere.world.repository, &scene.world.repository);
    let mut copying = Copying::plan(from, to, options).await.expect("a plan");
    // 2 is a rotation.
    for number in [1, 3] {
        let copied = copying.copy(number, &|| NOW.to_owned(), &|_| ()).await;
        assert!(copied.expect("memory answers").is_some());
    }
    scene
}
