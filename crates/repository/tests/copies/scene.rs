//! The same people in two repositories.

use std::sync::Arc;

use format::CommitRef;
use repository::{
    Change, Compute, Copy, Copying, Error, Fate, Level, Outcome, Repository, Rotate, verify_job,
};

use crate::common::maintenance::Maintained;
use crate::common::plugins::NoPlugins;
use crate::common::{Secrets, World, dump, job, noise, take};

/// The same people in two repositories.
pub(crate) struct Scene {
    pub(crate) here: Maintained,
    pub(crate) there: Maintained,
}

pub(crate) fn secrets(seed: u64) -> Secrets {
    let entry = |i: u64| (format!("entry/{i}"), noise(9000, i));
    (seed..seed + 4).map(entry).collect()
}

pub(crate) fn at(minute: u64) -> String {
    format!("2026-11-22T08:{minute:02}:00Z")
}

pub(crate) fn now() -> String {
    at(59)
}

impl Scene {
    /// Snapshots 1 to 3 here, which share chunks; nothing there.
    pub(crate) async fn new() -> Self {
        let here = Maintained::new().await;
        let mut world = World::new().await;
        world.writer = Arc::clone(&here.world.writer);
        world.identities = Arc::clone(&here.world.identities);
        world.recipients = here.world.recipients.clone();
        let mut there = Maintained::of(world);
        there.maintainer = Arc::clone(&here.maintainer);
        let scene = Self { here, there };
        for minute in 1..=3 {
            back_up(&scene.here, minute).await;
        }
        scene
    }

    pub(crate) fn options(&self) -> Copy {
        let mut maintenance = self.here.maintenance();
        maintenance.key = Arc::clone(&self.here.world.writer);
        Copy {
            maintenance,
            pruned_too: false,
            only: Vec::new(),
            compute: Compute::inline(),
        }
    }

    /// Of the runs here, by who could read them from the beginning.
    pub(crate) fn rotation(&self, change: Change) -> Rotate {
        Rotate {
            maintenance: self.here.maintenance(),
            despite_damage: false,
            change,
            identities: Arc::clone(&self.here.world.identities),
            plugins: Arc::new(NoPlugins),
            compute: Compute::inline(),
        }
    }

    pub(crate) async fn copy(&self) -> Vec<(u64, u64)> {
        let (from, to) = (&self.here.world.repository, &self.there.world.repository);
        let copied = copy(from, to, self.options()).await;
        copied.expect("the stores are sound")
    }

    pub(crate) async fn back(&self, only: &[u64]) -> Vec<(u64, u64)> {
        let (from, to) = (&self.there.world.repository, &self.here.world.repository);
        let only = only.to_vec();
        let options = Copy {
            only,
            ..self.options()
        };
        copy(from, to, options).await.expect("the stores are sound")
    }

    pub(crate) async fn fates(&self) -> Vec<Fate> {
        let (from, to) = (&self.here.world.repository, &self.there.world.repository);
        let plan = Copying::plan(from, to, self.options())
            .await
            .expect("a plan");
        plan.fates().iter().map(|(_, fate)| *fate).collect()
    }
}

/// Copies what is to go; numbers here and there.
pub(crate) async fn copy(
    from: &Repository,
    to: &Repository,
    options: Copy,
) -> Result<Vec<(u64, u64)>, Error> {
    let mut copying = Copying::plan(from, to, options).await?;
    let fates = copying.fates().iter();
    let going = fates.filter(|(_, fate)| *fate == Fate::Goes);
    let going: Vec<u64> = going.map(|(number, _)| *number).collect();
    copying.pin_the_rest(&now).await?;
    let mut numbers = Vec::new();
    for number in going {
        if let Some(copied) = copying.copy(number, &now, &|_| ()).await? {
            numbers.push((number, copied.to.number));
        }
    }
    Ok(numbers)
}

/// A snapshot of `secrets(minute)`, taken at that minute.
pub(crate) async fn back_up(job: &Maintained, minute: u64) -> CommitRef {
    let backup = job
        .start(&job.world.repository)
        .await
        .expect("a sound store");
    let secrets = secrets(minute);
    let results = vec![
        take(&backup, 0, "files", &secrets)
            .await
            .expect("a sound store"),
    ];
    let time = at(minute);
    match backup.finish(results, &time, &time).await {
        Ok(Outcome::Committed(finished)) => finished.at,
        _ => panic!("nobody interferes"),
    }
}

pub(crate) async fn assert_whole(of: &Maintained) {
    let (repository, trust) = (&of.world.repository, of.trust());
    let name = job();
    let report = verify_job(
        repository,
        &name,
        &trust,
        Level::Data,
        &Compute::inline(),
        &|_| (),
    )
    .await;
    let report = report.expect("the store is sound");
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert!(report.untrusted.is_empty());
}

pub(crate) async fn stored(job: &Maintained) -> usize {
    let objects = dump(&*job.world.store).await;
    let runs = objects.iter().filter(|(name, _)| name.contains("/runs/"));
    runs.map(|(_, bytes)| bytes.len()).sum()
}
