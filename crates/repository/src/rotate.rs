//! Sealing the data keys of runs to other recipients: docs/format/v1.md, "Commit rules". No chunk is read or written.

mod plan;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use format::{
    CommitRef, DataKey, Identities, IdentityError, JobName, KeyName, KeyObjects, KeyPair, Object,
    Plugins, Recipients, RotateStatement, RotatedRun, RunId, SMALL_OBJECT_MAX, Statement,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::append::{Appended, Ground, append, refuse_damage};
use crate::keys::{open_key, open_keys};
use crate::log::read_with_objects;
use crate::store::{Name, Settled};
use crate::view::View;
use crate::{Compute, Error, Maintenance, Repository};

pub use plan::Change;
use plan::{Plan, Task};

/// Runs that one commit rotates: what is done again if it is cut short.
const AT_ONCE: usize = 256;
/// Runs that are worked on at the same time.
const CONCURRENT: usize = 8;
/// How often the log may move on under a commit.
const ATTEMPTS: usize = 32;
/// Names of key objects that are tried while others take them.
const NAMES: usize = 1000;
/// How often backups to the old recipients may come in between.
const ROUNDS: usize = 8;

/// Seals the data keys of a job's runs to other recipients.
#[derive(Clone)]
pub struct Rotate {
    /// The job, and the maintainer who signs.
    pub maintenance: Maintenance,
    /// Who the recipients become.
    pub change: Change,
    /// Go on although the log is damaged: what stands behind the damage stays as it is.
    pub despite_damage: bool,
    /// They open what is there, and what takes its place.
    pub identities: Arc<Identities>,
    /// For recipients that need one.
    pub plugins: Arc<dyn Plugins>,
    /// For work that takes its time.
    pub compute: Compute,
}

/// What a rotation came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// Runs that were sealed anew.
    pub rotated: u64,
    /// Runs that were sealed to these recipients already.
    pub already: u64,
    /// Runs that only snapshots name which are not accepted: they were left alone.
    pub untrusted: u64,
    /// The commits that say so.
    pub commits: Vec<CommitRef>,
    /// Key objects that were deleted, and bring nobody in any more.
    pub deleted: u64,
}

/// A run whose new key objects are durable, and were opened again.
struct Resealed<'a> {
    task: &'a Task,
    keys: KeyPair,
}

impl Rotate {
    /// What would be sealed anew; changes nothing.
    pub async fn plan(&self, repository: &Repository) -> Result<Rekeyed, Error> {
        let plan = self.look(repository).await?;
        Ok(Rekeyed {
            rotated: plan.tasks.values().map(|tasks| tasks.len() as u64).sum(),
            already: plan.already,
            untrusted: plan.untrusted,
            ..Rekeyed::default()
        })
    }

    /// Does it, some hundred runs with each commit; `now` tells the time in RFC 3339, `each` is told of every run.
    ///
    /// On return the runs are sealed to nobody else, and the key objects that were there before are deleted. Cut short anywhere, every
    /// run opens for its old recipients or its new ones, and doing it again does the rest: a key object goes only after a commit is in
    /// force that names another one, which was opened again.
    pub async fn carry_out(
        &self,
        repository: &Repository,
        now: &(dyn Fn() -> String + Sync),
        each: &(dyn Fn() + Sync),
    ) -> Result<Rekeyed, Error> {
        let mut plan = self.look(repository).await?;
        let mut done = Rekeyed {
            already: plan.already,
            untrusted: plan.untrusted,
            ..Rekeyed::default()
        };
        for _ in 0..ROUNDS {
            for (texts, tasks) in &plan.tasks {
                let recipients = self.recipients(texts)?;
                for tasks in tasks.chunks(AT_ONCE) {
                    self.rotate(repository, tasks, &recipients, (now, each), &mut done)
                        .await?;
                }
            }
            plan = self.look_again(repository).await?;
            if plan.tasks.is_empty() {
                done.deleted += self.delete_superseded(repository).await?;
                return Ok(done);
            }
        }
        let job = self.maintenance.job.clone();
        Err(Error::Contended { job })
    }

    async fn look(&self, repository: &Repository) -> Result<Plan, Error> {
        let Maintenance { job, trust, .. } = &self.maintenance;
        let (view, listed) = read_with_objects(repository, job, trust).await?;
        if !self.despite_damage {
            refuse_damage(&view, job)?;
        }
        let standing = standing(&view);
        // What a rotation that was cut short left may be sealed to somebody who is not to read the run: it goes when a later name is in
        // force.
        let mut left: HashMap<RunId, KeyName> = HashMap::new();
        let mut found = |run: RunId, name: KeyName| {
            if standing.get(&run).is_some_and(|keys| name > keys.name) {
                let last = left.entry(run).or_insert(name);
                *last = name.max(*last);
            }
        };
        for (run, name) in listed.iter().filter_map(|meta| key_object(job, meta)) {
            found(run, name);
        }
        for run in standing.keys() {
            let drafts = repository.store.drafts(&Name::run(job, *run))?;
            for name in drafts.iter().filter_map(|name| key_name(name)) {
                found(*run, name);
            }
        }
        Plan::of(&view, job, trust, &self.change, &left)
    }

    /// The same for what came in between. Key objects that nobody names may now be those of another rotation that is under way: two that
    /// took them for left over would go on for ever.
    async fn look_again(&self, repository: &Repository) -> Result<Plan, Error> {
        let Maintenance { job, trust, .. } = &self.maintenance;
        let view = repository.view(job, trust).await?;
        Plan::of(&view, job, trust, &self.change, &HashMap::new())
    }

    fn recipients(&self, texts: &[String]) -> Result<Recipients, Error> {
        let parsed = Recipients::parse(texts.iter().map(String::as_str));
        let recipients = parsed.map_err(|cause| Error::Recipients {
            job: self.maintenance.job.clone(),
            cause,
        })?;
        Ok(recipients.with_plugins(Arc::clone(&self.plugins)))
    }

    /// New key objects for `tasks`, the commit that puts them in the place of the old ones, and the end of those.
    async fn rotate(
        &self,
        repository: &Repository,
        tasks: &[Task],
        recipients: &Recipients,
        (now, each): (&(dyn Fn() -> String + Sync), &(dyn Fn() + Sync)),
        done: &mut Rekeyed,
    ) -> Result<(), Error> {
        let started = now();
        let resealed: Vec<Option<Resealed<'_>>> = stream::iter(tasks)
            .map(async |task| {
                let resealed = self.reseal(repository, task, recipients).await;
                each();
                match resealed {
                    Err(Error::Missing { .. }) if self.is_overtaken(repository, task).await? => {
                        Ok(None)
                    }
                    resealed => resealed.map(Some),
                }
            })
            // In order, so that of several failures the same one is said each time.
            .buffered(CONCURRENT)
            .try_collect()
            .await?;
        let resealed: Vec<Resealed<'_>> = resealed.into_iter().flatten().collect();
        let Some((at, rotated)) = self
            .commit(repository, &resealed, recipients, &started, now)
            .await?
        else {
            return Ok(());
        };
        done.commits.push(at);
        done.rotated += rotated.len() as u64;
        let old = resealed.iter().filter(|it| rotated.contains(&it.task.run));
        let old = old.flat_map(|it| self.paths(it.task.run, it.task.keys));
        done.deleted += self.delete(repository, old.collect()).await?;
        Ok(())
    }

    /// Whether somebody else's rotation, or a prune, came before: what is gone is not missing then.
    async fn is_overtaken(&self, repository: &Repository, task: &Task) -> Result<bool, Error> {
        let Maintenance { job, trust, .. } = &self.maintenance;
        let view = repository.view(job, trust).await?;
        Ok(standing(&view).get(&task.run) != Some(&task.keys))
    }

    async fn reseal<'a>(
        &self,
        repository: &Repository,
        task: &'a Task,
        recipients: &Recipients,
    ) -> Result<Resealed<'a>, Error> {
        let refused = |error, object| task.refused(&task.recipients, error, object);
        let key = Arc::new(self.open(repository, task.run, task.keys, &refused).await?);
        let (same, recipients) = (Arc::clone(&key), recipients.clone());
        let texts = recipients.texts().to_vec();
        let sealed = self.compute.run(move || same.seal_to(&recipients)).await;
        let sealed = sealed.map_err(|cause| Error::Seal {
            job: self.maintenance.job.clone(),
            cause,
        })?;
        // Before anything is written: a key object that nobody can open is not even left over.
        self.open_again(task, &key, &sealed, &texts).await?;
        let keys = self.store(repository, task, sealed).await?;
        Ok(Resealed { task, keys })
    }

    /// Opens what is about to be stored.
    async fn open_again(
        &self,
        task: &Task,
        key: &DataKey,
        sealed: &KeyObjects,
        recipients: &[String],
    ) -> Result<(), Error> {
        let opener = (&self.identities, &self.compute);
        let mut refused = None;
        for object in std::iter::once(&sealed.key).chain(&sealed.post_quantum) {
            match open_key(Bytes::copy_from_slice(object), opener).await {
                Ok(again) if again.is_same(key) => return Ok(()),
                Ok(_) => {
                    let what = "its new key object holds another key";
                    return Err(Error::damaged(task.snapshot.clone(), what));
                }
                Err(IdentityError::NoneOpens) => {}
                Err(error) => refused = Some(error),
            }
        }
        let name = task.snapshot.clone();
        Err(match refused {
            Some(error) => task.refused(recipients, error, name),
            None => Error::NotOpenedAgain {
                snapshot: name,
                recipients: recipients.join(", "),
            },
        })
    }

    async fn open(
        &self,
        repository: &Repository,
        run: RunId,
        keys: KeyPair,
        refused: &(dyn Fn(IdentityError, String) -> Error + Sync),
    ) -> Result<DataKey, Error> {
        let opener = (&self.identities, &self.compute);
        open_keys(
            repository,
            &self.maintenance.job,
            run,
            keys,
            opener,
            refused,
        )
        .await
    }

    /// Stores key objects under a later name than any that was there, and reads them back.
    ///
    /// They are never deleted as long as no later name is in force, not even if nobody comes to name them: the name would be given
    /// again, and the delete may come late.
    async fn store(
        &self,
        repository: &Repository,
        task: &Task,
        sealed: KeyObjects,
    ) -> Result<KeyPair, Error> {
        let (key, second) = (
            Bytes::from(sealed.key),
            sealed.post_quantum.map(Bytes::from),
        );
        let mut keys = KeyPair {
            name: task.keys.name,
            key: object(&key),
            key_pq: second.as_ref().map(object),
        };
        let mut last = task.after;
        for _ in 0..NAMES {
            // Whoever can create objects can take the last name; those before it are tried then.
            let Some(next) = last.next().or_else(|| task.keys.name.next()) else {
                break;
            };
            last = next;
            keys.name = next;
            let contents = std::iter::once(&key).chain(&second);
            let mut taken = false;
            for ((name, _), bytes) in keys.objects().zip(contents) {
                let name = Name::in_run(&self.maintenance.job, task.run, &name);
                taken |= repository.store.settle(&name, bytes).await? != Settled::Ours;
            }
            if !taken {
                self.read_back(repository, task.run, keys).await?;
                return Ok(keys);
            }
        }
        Err(Error::Limit {
            what: format!("the number of rotations of {}", task.snapshot),
        })
    }

    async fn read_back(
        &self,
        repository: &Repository,
        run: RunId,
        keys: KeyPair,
    ) -> Result<(), Error> {
        for (name, expected) in keys.objects() {
            let name = Name::in_run(&self.maintenance.job, run, &name);
            let Some(found) = repository.store.read(&name, SMALL_OBJECT_MAX).await? else {
                return Err(Error::Missing {
                    object: name.to_string(),
                });
            };
            if object(&found) != expected {
                return Err(Error::damaged(
                    name.to_string(),
                    "it is not what was stored just now",
                ));
            }
        }
        Ok(())
    }

    /// Appends the commit, directly above a view in which the runs are opened by what they were opened by when they were resealed: a key
    /// object whose name is below that of another rotation may be gone. Returns the runs that it names; `None` if there are none left.
    async fn commit(
        &self,
        repository: &Repository,
        resealed: &[Resealed<'_>],
        recipients: &Recipients,
        started: &str,
        now: &(dyn Fn() -> String + Sync),
    ) -> Result<Option<(CommitRef, HashSet<RunId>)>, Error> {
        let Maintenance {
            job, key, trust, ..
        } = &self.maintenance;
        for _ in 0..ATTEMPTS {
            let view = repository.view(job, trust).await?;
            let standing = standing(&view);
            let stand: Vec<&Resealed<'_>> = resealed
                .iter()
                .filter(|it| standing.get(&it.task.run) == Some(&it.task.keys))
                .collect();
            if stand.is_empty() {
                return Ok(None);
            }
            let runs: HashSet<RunId> = stand.iter().map(|it| it.task.run).collect();
            let statement = self.statement(repository, &stand, recipients, started);
            let ground = Ground {
                runs: runs.iter().copied().collect(),
                whole: true,
                fresh: true,
                ..Ground::of(view)
            };
            let now = now();
            let appended = append(repository, job, &statement, ground, key, trust, &now).await?;
            if let Appended::Yes(at) = appended {
                return Ok(Some((at, runs)));
            }
        }
        Err(Error::Contended { job: job.clone() })
    }

    fn statement(
        &self,
        repository: &Repository,
        resealed: &[&Resealed<'_>],
        recipients: &Recipients,
        started: &str,
    ) -> Statement {
        let mut runs: Vec<RotatedRun> = resealed
            .iter()
            .map(|it| RotatedRun {
                run: it.task.run,
                object: it.keys.name,
                key: it.keys.key,
                key_pq: it.keys.key_pq,
            })
            .collect();
        runs.sort_unstable_by_key(|run| run.run);
        Statement::Rotate(RotateStatement {
            repository: repository.id(),
            job: self.maintenance.job.clone(),
            writer: self.maintenance.key.id(),
            program: self.maintenance.program.clone(),
            started: started.to_owned(),
            recipients: recipients.texts().to_vec(),
            runs,
        })
    }

    /// Deletes what rotations that were cut short left: key objects with names before the one that a rotation in force names.
    async fn delete_superseded(&self, repository: &Repository) -> Result<u64, Error> {
        let Maintenance { job, trust, .. } = &self.maintenance;
        let view = repository.view(job, trust).await?;
        let listed = repository.store.list(&Name::runs(job)).await?;
        let superseded = listed.into_iter().filter_map(|meta| {
            let (run, name) = key_object(job, &meta)?;
            (name < view.rotation(run)?.keys.name).then_some(meta.location)
        });
        let mut deleted = self.delete(repository, superseded.collect()).await?;
        // Of a name that is in force, or before that, a draft is nobody's any more, and may hold what was just deleted.
        for (run, keys) in standing(&view) {
            let dead = |name: &str| key_name(name).is_some_and(|name| name <= keys.name);
            deleted += repository
                .store
                .remove_drafts(&Name::run(job, run), &dead)?;
        }
        Ok(deleted)
    }

    fn paths(&self, run: RunId, keys: KeyPair) -> impl Iterator<Item = Path> {
        let job = &self.maintenance.job;
        keys.objects()
            .map(move |(name, _)| Name::in_run(job, run, &name).into_path())
    }

    async fn delete(&self, repository: &Repository, paths: Vec<Path>) -> Result<u64, Error> {
        let count = paths.len() as u64;
        let folder = Name::runs(&self.maintenance.job);
        repository.store.delete_all(&folder, paths, &|| ()).await?;
        Ok(count)
    }
}

/// What opens each run that a valid snapshot names.
fn standing(view: &View) -> HashMap<RunId, KeyPair> {
    let mut standing = HashMap::new();
    for snapshot in view.snapshots() {
        for run in &*snapshot.runs() {
            let last = view.last_rotation(run.run);
            let keys = last.map_or_else(|| snapshot.keys_of(run), |it| it.keys);
            standing.insert(run.run, keys);
        }
    }
    standing
}

/// The run of a key object, and its name, or that of the first one beside it.
fn key_object(job: &JobName, meta: &ObjectMeta) -> Option<(RunId, KeyName)> {
    let (run, name) = Name::run_object(job, meta)?;
    Some((run, key_name(&name)?))
}

fn key_name(object: &str) -> Option<KeyName> {
    object.strip_suffix("-pq").unwrap_or(object).parse().ok()
}

fn object(bytes: &Bytes) -> Object {
    Object {
        size: bytes.len() as u64,
        digest: archive::Digest::of(bytes),
    }
}
