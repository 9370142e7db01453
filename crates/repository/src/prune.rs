//! Deleting what nobody is to need any more: docs/format/v1.md, "Commit rules". Which snapshots go, and with them which objects, is a
//! plan, which changes nothing; carrying it out is one commit, and after that deletes.

mod plan;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use format::{CommitRef, JobName, PruneStatement, Statement, WriterKey};
use jiff::Timestamp;
use object_store::ObjectMeta;

use crate::append::{Appended, Entry, Ground, append_entry, refuse_damage, refuse_in_vain};
use crate::log::{read_with_objects, renew};
use crate::retention::{Policy, Verdict};
use crate::rules::Rule;
use crate::store::{Locks, Name};
use crate::view::{Trust, View};
use crate::{Error, Repository};

pub use plan::Plan;
use plan::{Stored, plan};
use sweep::{condemned, sweep};

/// What a prune needs to know. No identity: everything that it looks at can be read without.
#[derive(Clone)]
pub struct PruneOptions {
    /// The job.
    pub job: JobName,
    /// Which snapshots stay.
    pub policy: Policy,
    /// Runs with an object that is younger than this are left alone: a backup or a reader may be at work on them. Nothing that is safe
    /// rests on it.
    pub grace: Duration,
    /// Who signs; a trusted maintainer.
    pub maintainer: Arc<WriterKey>,
    /// Whose commits count.
    pub trust: Trust,
    /// Program and version, for the commit.
    pub program: String,
    /// Go on although the log is damaged: what only a damaged commit named goes then.
    pub despite_damage: bool,
}

/// A prune that is planned. Dropping it changes nothing.
pub struct Prune {
    repository: Repository,
    options: PruneOptions,
    view: View,
    stored: Vec<Stored>,
    /// The parts of bundles in the log, by number.
    bundles: BTreeSet<(u64, u32)>,
    plan: Plan,
}

/// What a prune came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// What was planned is done.
    Done {
        /// The prune's own commit; `None` if there was nothing to do.
        at: Option<CommitRef>,
        /// Objects that are deleted now, commits among them.
        deleted: u64,
    },
    /// The log has changed since the plan was made, and nothing was deleted: plan again.
    StartOver,
}

impl Prune {
    /// Plans a prune as things are at `now`, by the store's clock as far as the caller knows it. Lists the job and reads the log; writes
    /// nothing.
    pub async fn plan(
        repository: &Repository,
        options: PruneOptions,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let job = &options.job;
        // Whoever deletes looks at what is stored, here and when it appends.
        let repository = &repository.without_bundles();
        let (view, listed) = read_with_objects(repository, job, &options.trust).await?;
        refuse_in_vain(&view, job, options.maintainer.id())?;
        if !options.despite_damage {
            refuse_damage(&view, job)?;
        }
        let commits: BTreeMap<u64, Timestamp> = listed
            .iter()
            .filter_map(|meta| Some((Name::commit_number(job, meta)?, modified(meta))))
            .collect();
        let bundles = listed.iter();
        let bundles = bundles.filter_map(|meta| Name::bundle_part(job, meta));
        let bundles = bundles.collect();
        let objects = listed.into_iter();
        let stored: Vec<Stored> = objects.filter_map(|meta| Stored::of(job, meta)).collect();
        let plan = plan(&view, &commits, &stored, &options, now);
        Ok(Self {
            repository: repository.clone(),
            options,
            view,
            stored,
            bundles,
            plan,
        })
    }

    /// What would be done.
    pub fn planned(&self) -> &Plan {
        &self.plan
    }

    /// What becomes of each snapshot, ascending by number.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.plan.verdicts
    }

    /// How the objects are locked that would go, where a lock is asked for: what is locked stays in the bucket as an old version.
    pub async fn locks(&self) -> Result<Option<Locks>, Error> {
        let gone = condemned(&self.plan.condemns, &self.stored);
        let names = gone.map(|stored| stored.path.clone()).collect();
        self.repository.store.locks_of(names).await
    }

    /// The log that the plan was made from.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Does what was planned: first what an earlier prune left undone, then one commit, then what that condemns. `started` and `now` are
    /// RFC 3339; `each` is told of every object that is deleted.
    ///
    /// Cut short anywhere, every snapshot that was to stay is whole, and the next prune, by anybody, finishes it. At the end the log has a
    /// bundle of its commits, where that spares requests.
    pub async fn carry_out(
        self,
        started: &str,
        now: &str,
        each: &(dyn Fn() + Sync),
    ) -> Result<Pruned, Error> {
        let job = &self.options.job;
        // What is in force may be carried out by anybody at any time.
        let unfinished = match self.view.in_force() {
            Some((at, prune)) => {
                let stored = &self.stored;
                sweep(&self.repository, job, &self.view, at, prune, stored, each).await?
            }
            None => 0,
        };
        if self.plan.is_nothing() {
            self.renew_bundle(&self.view, false).await;
            return Ok(Pruned::Done {
                at: None,
                deleted: unfinished,
            });
        }
        let statement = self.statement(started);
        let ground = Ground {
            whole: true,
            fresh: true,
            ..Ground::of(self.view.clone())
        };
        let (key, trust) = (&self.options.maintainer, &self.options.trust);
        let entry = Entry::own(&Statement::Prune(statement.clone()), key);
        let appended = append_entry(&self.repository, job, &entry, ground, key, trust, now).await?;
        let (Appended::Yes(at), view) = appended else {
            return Ok(Pruned::StartOver);
        };
        let in_force = if self.repository.rules.keep(Rule::InForce) {
            view.in_force()
        } else {
            Some((at, &statement))
        };
        // Another prune may be in force by then, above ours: then that one counts.
        let Some((force, prune)) = in_force else {
            return Ok(Pruned::StartOver);
        };
        let stored = &self.stored;
        let deleted = sweep(&self.repository, job, &view, force, prune, stored, each).await?;
        self.renew_bundle(&view, true).await;
        Ok(Pruned::Done {
            at: Some(at),
            deleted: unfinished + deleted,
        })
    }

    /// Whoever prunes has read the whole log: those who read it next need not ask for each commit.
    async fn renew_bundle(&self, view: &View, dropped: bool) {
        let (repository, job) = (&self.repository, &self.options.job);
        let (trust, maintainer) = (&self.options.trust, &self.options.maintainer);
        let listed = &self.bundles;
        renew(repository, job, view, trust, maintainer, listed, dropped).await;
    }

    fn statement(&self, started: &str) -> PruneStatement {
        PruneStatement {
            repository: self.repository.id(),
            job: self.options.job.clone(),
            writer: self.options.maintainer.id(),
            program: self.options.program.clone(),
            started: started.to_owned(),
            retains: self.plan.retains.clone(),
            condemns: self.plan.condemns.clone(),
        }
    }
}

/// When an object was stored, by the store's clock.
fn modified(meta: &ObjectMeta) -> Timestamp {
    let milliseconds = meta.last_modified.timestamp_millis();
    // A time that no clock shows is as good as now: such an object is spared.
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}
