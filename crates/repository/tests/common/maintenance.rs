//! A maintainer for tests: who prunes, pins and forgets.

use std::sync::Arc;
use std::time::Duration;

use format::{CommitRef, WriterId, WriterKey};
use repository::{
    Backup, Compute, Error, Maintenance, Outcome, Policy, Prune, PruneOptions, Pruned, Repository,
    Snapshot, Trust, View,
};

use super::{NOW, Secrets, World, job, read, take};

/// A world with somebody who prunes it.
pub struct Maintained {
    pub world: World,
    pub maintainer: Arc<WriterKey>,
    /// Who else may.
    pub others: Vec<WriterId>,
    /// Whose snapshots are trusted too.
    pub writers: Vec<WriterId>,
}

/// The newest `count`, without a time for which everything stays.
pub fn last(count: u32) -> Policy {
    Policy {
        keep_last: count,
        min_age: Duration::ZERO,
        ..Policy::default()
    }
}

impl Maintained {
    pub async fn new() -> Self {
        Self::of(World::new().await)
    }

    pub fn of(world: World) -> Self {
        Self {
            world,
            maintainer: Arc::new(WriterKey::generate()),
            others: Vec::new(),
            writers: Vec::new(),
        }
    }

    pub fn trust(&self) -> Trust {
        let mut trust = self.world.trust();
        trust.writers.extend(&self.writers);
        trust.maintainers.extend(&self.others);
        trust.maintainers.insert(self.maintainer.id());
        trust
    }

    pub fn maintenance(&self) -> Maintenance {
        Maintenance {
            job: job(),
            key: Arc::clone(&self.maintainer),
            trust: self.trust(),
            program: "test".to_owned(),
        }
    }

    /// Runs of any age go.
    pub fn options(&self, policy: Policy) -> PruneOptions {
        PruneOptions {
            job: job(),
            policy,
            grace: Duration::ZERO,
            maintainer: Arc::clone(&self.maintainer),
            trust: self.trust(),
            program: "test".to_owned(),
            despite_damage: false,
        }
    }

    pub async fn plan(&self, repository: &Repository, policy: Policy) -> Result<Prune, Error> {
        Prune::plan(repository, self.options(policy), jiff::Timestamp::now()).await
    }

    pub async fn prune(&self, repository: &Repository, policy: Policy) -> Result<Pruned, Error> {
        let prune = self.plan(repository, policy).await?;
        prune.carry_out(NOW, NOW, &|| ()).await
    }

    pub async fn start(&self, repository: &Repository) -> Result<Backup, Error> {
        let options = repository::BackupOptions {
            trust: self.trust(),
            ..self.world.options()
        };
        Backup::start(repository, options, Compute::inline()).await
    }

    pub async fn back_up_to(
        &self,
        repository: &Repository,
        secrets: &Secrets,
    ) -> Result<Outcome, Error> {
        let backup = self.start(repository).await?;
        let results = vec![take(&backup, 0, "files", secrets).await?];
        backup.finish(results, NOW, NOW).await
    }

    /// Takes a snapshot, while nobody interferes.
    pub async fn back_up(&self, secrets: &Secrets) -> CommitRef {
        match self.back_up_to(&self.world.repository, secrets).await {
            Ok(Outcome::Committed(finished)) => finished.at,
            Ok(Outcome::StartOver) => panic!("nobody interferes"),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn view(&self) -> View {
        let view = self.world.repository.view(&job(), &self.trust()).await;
        view.expect("the store is sound")
    }

    pub async fn numbers(&self) -> Vec<u64> {
        let view = self.view().await;
        view.snapshots()
            .map(|snapshot| snapshot.at.number)
            .collect()
    }

    pub async fn open(&self, number: u64) -> Result<Snapshot, Error> {
        let view = self.view().await;
        let snapshot = view.snapshot(number).ok_or_else(|| Error::NoSnapshot {
            snapshot: number.to_string(),
        })?;
        let identities = Arc::clone(&self.world.identities);
        let (trust, compute) = (self.trust(), Compute::inline());
        Snapshot::open(
            &self.world.repository,
            snapshot,
            identities,
            &trust,
            compute,
        )
        .await
    }

    pub async fn read(&self, number: u64) -> Result<Secrets, Error> {
        read(&self.open(number).await?, 0).await
    }
}
