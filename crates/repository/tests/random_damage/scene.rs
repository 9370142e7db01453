//! The repository that is harmed: four snapshots of one job that share runs, and other objects by the same writer that fit the
//! same places: of another job, of another repository, and of an older end of the same log.

use std::collections::HashMap;
use std::sync::Arc;

use archive::Digest;
use bytes::Bytes;
use format::{Commit, CommitRef, DigestText, Object, Statement};
use object_store::memory::InMemory;
use repository::{Backup, Compute, Outcome, Repository};

use crate::Objects;
use crate::common::{NOW, Secrets, World, dump, noise, store_of, take};
use crate::truth::harms;

/// What a snapshot holds, source by source.
pub(crate) type Contents = Vec<Secrets>;

pub(crate) struct Scene {
    pub(crate) world: World,
    /// All objects of the repository.
    pub(crate) objects: Objects,
    /// The same repository with two snapshots after the second that were lost, so that their numbers were taken again.
    pub(crate) older: Objects,
    /// Another repository of the same writer.
    pub(crate) other: Objects,
    /// Every authentic commit.
    pub(crate) commits: HashMap<Digest, Commit>,
    /// What each authentic commit holds.
    pub(crate) contents: HashMap<Digest, Contents>,
    /// What snapshots 1, 2, ... hold.
    pub(crate) snapshots: Vec<Contents>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let snapshots: Vec<Contents> =
            vec![secrets(1, 1), secrets(2, 1), secrets(2, 1), secrets(3, 2)];
        let lost: Vec<Contents> = vec![secrets(8, 1), secrets(8, 9)];
        let mut scene = Self {
            world,
            objects: Objects::new(),
            older: Objects::new(),
            other: Objects::new(),
            commits: HashMap::new(),
            contents: HashMap::new(),
            snapshots,
        };
        let store = Arc::clone(&scene.world.store);
        scene.write(&scene.snapshots[..2], "prod").await;
        let fork = store_of(&dump(&*store).await).await;
        scene.write(&scene.snapshots[2..], "prod").await;
        scene.learn(&dump(&*store).await, &scene.snapshots.clone());
        scene.write(&[secrets(5, 5)], "dev").await;
        scene.objects = dump(&*store).await;

        // The older end of the log.
        scene.world.store = Arc::clone(&fork);
        scene.world.repository = reopened(&scene.world).await;
        scene.write(&lost, "prod").await;
        let older = dump(&*fork).await;
        let [first, second] = [&scene.snapshots[0], &scene.snapshots[1]];
        scene.learn(
            &older,
            &[vec![first.clone(), second.clone()], lost].concat(),
        );
        // Another repository by the same writer.
        scene.world.store = Arc::new(InMemory::new());
        let other = repository::Store::new(Arc::clone(&scene.world.store), "memory");
        let other = Repository::create(other, NOW.to_owned()).await;
        scene.world.repository = other.expect("an empty store takes a repository");
        scene.write(&scene.snapshots, "prod").await;
        let other = dump(&*scene.world.store).await;
        scene.world.store = store;
        scene.world.repository = reopened(&scene.world).await;
        (scene.older, scene.other) = (older, other);
        scene
    }

    /// Backs up `snapshots`, one after the other.
    async fn write(&self, snapshots: &[Contents], job: &str) {
        for contents in snapshots {
            let mut options = self.world.options();
            options.job = job.parse().expect("a job name");
            let backup = Backup::start(&self.world.repository, options, Compute::inline());
            let backup = backup.await.expect("a sound store");
            let mut results = Vec::new();
            for (index, name) in ["files", "vault"].into_iter().enumerate() {
                let taken = take(&backup, index, name, &contents[index]).await;
                results.push(taken.expect("a sound source"));
            }
            let outcome = backup.finish(results, NOW, NOW).await;
            let Outcome::Committed(_) = outcome.expect("a sound store") else {
                panic!("nothing interferes");
            };
        }
    }

    /// Remembers the commits of a log, and what they hold.
    fn learn(&mut self, objects: &Objects, snapshots: &[Contents]) {
        for (number, contents) in (1..).zip(snapshots) {
            let object = &objects[&commit_name(number)];
            let id = self.world.repository.id();
            let commit = Commit::decode(object, id, &crate::common::job(), number);
            let commit = commit.expect("it was just written");
            self.contents.insert(commit.digest, contents.clone());
            self.commits.insert(commit.digest, commit);
        }
    }

    /// The objects of snapshot `number` that are gone or not what was written.
    pub(crate) fn harms(&self, number: usize, objects: &Objects) -> Vec<String> {
        let commit = &self.objects[&commit_name(number as u64)];
        harms(&self.commits[&Digest::of(commit)], objects)
    }

    /// The log anew over objects that were harmed, as somebody with the writer key could make it. Snapshots of which an object
    /// is gone are left out; returns the numbers that the others had.
    pub(crate) fn sign_over(&self, harmed: &Objects) -> (Objects, Vec<usize>) {
        let mut objects = harmed.clone();
        let mut previous: Option<CommitRef> = None;
        let mut numbers = Vec::new();
        for number in 1..=self.snapshots.len() {
            let name = commit_name(number as u64);
            objects.remove(&name);
            let commit = &self.commits[&Digest::of(&self.objects[&name])];
            let Some(statement) = signed_statement(commit, harmed) else {
                continue;
            };
            let mut log = commit.log.clone();
            log.number = numbers.len() as u64 + 1;
            log.previous = previous.map(|previous| DigestText(previous.digest));
            let object = Bytes::from(Commit::encode(&statement, &log, &self.world.writer));
            numbers.push(number);
            previous = Some(CommitRef {
                number: log.number,
                digest: Digest::of(&object),
            });
            objects.insert(commit_name(log.number), object);
        }
        (objects, numbers)
    }
}

async fn reopened(world: &World) -> Repository {
    let opened = world.through(Arc::clone(&world.store)).await;
    opened.expect("it is a repository")
}

/// The statement with the sizes and digests of what is there now.
fn signed_statement(commit: &Commit, objects: &Objects) -> Option<Statement> {
    let Statement::Snapshot(statement) = &commit.statement else {
        return None;
    };
    let mut statement = statement.clone();
    for run in &mut statement.runs {
        let now = |object: &str| {
            let bytes = objects.get(&format!("prod/runs/{}/{object}", run.run))?;
            Some(Object {
                size: bytes.len() as u64,
                digest: Digest::of(bytes),
            })
        };
        let (key, manifest, map) = (now("key")?, now("manifest")?, now("map")?);
        for pack in &mut run.packs {
            pack.object = now(&format::pack_name(pack.number))?;
        }
        (run.key, run.manifest, run.map) = (key, manifest, map);
    }
    Some(Statement::Snapshot(statement))
}

pub(crate) fn commit_name(number: u64) -> String {
    format!("prod/log/{number:012}")
}

/// Two sources: some entries that stay as they are, and some that change with `first` and `second`.
fn secrets(first: u64, second: u64) -> Contents {
    let entries = |seed: u64, kind: &str| {
        let mut secrets: Secrets = (0..6)
            .map(|i| (format!("{kind}/{i}"), noise(200 + 37 * i as usize, i)))
            .collect();
        secrets.insert(format!("{kind}/steady"), noise(9_000, 77));
        secrets.insert(format!("{kind}/changing"), noise(5_000, seed));
        secrets.insert(format!("{kind}/token.record"), noise(99, seed + 100));
        secrets.insert(format!("{kind}/empty"), Vec::new());
        secrets
    };
    vec![entries(first, "files"), entries(second, "vault")]
}
