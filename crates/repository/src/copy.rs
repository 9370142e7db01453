//! Copying snapshots to another repository as they are: docs/format/v1.md, "Copied snapshots". Nothing is opened for it, and nobody
//! needs an identity.

mod lying;
mod plan;
mod transfer;

use std::collections::{HashMap, HashSet};

use archive::Digest;
use format::{COMMIT_MAX, CommitRef, Copied, Signed, StoredRun, Witness};

use crate::append::{Appended, Entry, Ground, append_entry, refuse_in_vain};
use crate::store::Name;
use crate::view::{Opening, Valid, View};
use crate::{Compute, Error, Maintenance, Repository};

use lying::Lying;
pub use plan::Fate;
use plan::{Order, Sorted, place_of};
use transfer::{Stored, remove, transfer};

/// How often a log may move on under one snapshot, at either end.
const ATTEMPTS: usize = 32;

/// What copying a job's snapshots needs to know.
#[derive(Clone)]
pub struct Copy {
    /// The job, the key that appends what is copied, and whom a reader of either repository trusts.
    pub maintenance: Maintenance,
    /// Also those that are older than the other repository's last prune, which may have dropped them.
    pub pruned_too: bool,
    /// Only these, by number in the repository that is read, whatever was pruned; empty: all.
    pub only: Vec<u64>,
    /// For digests.
    pub compute: Compute,
}

/// A snapshot that is in the other repository now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopiedSnapshot {
    /// Where it was read.
    pub from: u64,
    /// Where it is now.
    pub to: CommitRef,
    /// Bytes that were stored for it.
    pub added: u64,
}

/// A copy under way: what is known of both logs. Dropping it between two snapshots leaves nothing half done.
pub struct Copying {
    from: Repository,
    to: Repository,
    options: Copy,
    here: View,
    there: View,
    lying: Lying,
    /// Of what is read.
    order: Order,
    sorted: Sorted,
}

impl Copying {
    /// Reads both logs and says what is missing in `to`. Writes nothing.
    pub async fn plan(from: &Repository, to: &Repository, options: Copy) -> Result<Self, Error> {
        let Maintenance {
            job, key, trust, ..
        } = &options.maintenance;
        if from.id() == to.id() {
            return Err(Error::SameRepository {
                place: to.place().to_owned(),
                other: from.place().to_owned(),
            });
        }
        let (here, there) = futures::try_join!(from.view(job, trust), to.view(job, trust))?;
        refuse_in_vain(&there, job, key.id())?;
        // To us its log has lost its beginning, and most of its snapshots.
        here.refuse_foreign_prune(job)?;
        for number in &options.only {
            if here.snapshot_or_stray(*number).is_none() {
                let snapshot = format!("{job}/{number}");
                return Err(Error::NoSnapshot { snapshot });
            }
        }
        let sorted = Sorted::of(&here, &there, &options);
        Ok(Self {
            lying: Lying::of(&there, trust),
            order: Order::of(&here),
            from: from.clone(),
            to: to.clone(),
            options,
            here,
            there,
            sorted,
        })
    }

    /// What becomes of each snapshot, in the order in which they were taken; those that stand behind damage at the end.
    pub fn fates(&self) -> &[(u64, Fate)] {
        &self.sorted.fates
    }

    /// The log that is read.
    pub fn source_view(&self) -> &View {
        &self.here
    }

    /// The bytes that copying one of them would store now, if nothing else is copied before.
    pub fn bytes_of(&self, number: u64) -> u64 {
        let snapshot = self.here.snapshot_or_stray(number);
        snapshot.map_or(0, |snapshot| {
            let runs = snapshot.runs();
            let runs = runs.iter().enumerate();
            let objects = runs.flat_map(|(index, run)| {
                // Which of several key objects are there is not asked: they are of about one size.
                let opening = snapshot.opening(index, |_| false);
                let lies = self.lying.find(&snapshot, index, &opening).is_some();
                let fresh = (!lies).then(|| run.objects(opening.keys));
                fresh.into_iter().flatten().collect::<Vec<_>>()
            });
            objects.map(|(_, object)| object.size).sum()
        })
    }

    /// Copies one snapshot. `now` tells the time in RFC 3339, `each` is told of bytes that are stored.
    ///
    /// On return it is in the other log, durable and valid, and so is its pin if it has one. `None`: a prune dropped it meanwhile. On an
    /// error nothing names what was stored of it, and that is removed where the store lets us.
    pub async fn copy(
        &mut self,
        number: u64,
        now: &(dyn Fn() -> String + Sync),
        each: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<CopiedSnapshot>, Error> {
        let mut stored = Stored::since(self.there.tail());
        let copied = self.append(number, &mut stored, now, each).await;
        match &copied {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) if stored.attempted => {}
            Ok(None) | Err(_) => remove(&self.to, &self.options.maintenance.job, &stored).await,
        }
        let Some(copied) = copied? else {
            return Ok(None);
        };
        self.pin(number, copied.to, now).await?;
        Ok(Some(copied))
    }

    async fn append(
        &mut self,
        number: u64,
        stored: &mut Stored,
        now: &(dyn Fn() -> String + Sync),
        each: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<CopiedSnapshot>, Error> {
        let Maintenance {
            job, key, trust, ..
        } = self.options.maintenance.clone();
        let mut signed = None;
        for _ in 0..ATTEMPTS {
            // A name that may have been condemned is not used any more; what lies under it goes with the next prune.
            if !self.there.unbroken_after(stored.since) || stored.is_condemned(&self.there) {
                *stored = Stored::since(self.there.tail());
            }
            let Some(snapshot) = self.here.snapshot_or_stray(number) else {
                return Ok(None);
            };
            let transferred = self.store(&snapshot, stored, each).await;
            let runs = match transferred {
                Ok(runs) => runs,
                // A prune or a rotation may have come before us.
                Err(Error::Missing { object }) => {
                    let seen = self.here.clone();
                    self.here = self.from.view_again(&job, &trust, seen.clone()).await?;
                    if self.here.head() == seen.head() {
                        return Err(Error::Missing { object });
                    }
                    self.order = Order::of(&self.here);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let place = Copied {
                repository: self.to.id(),
                runs,
                before: place_of(&snapshot, &self.order, &self.there),
            };
            if signed.is_none() {
                signed = Some(self.signed(&snapshot).await?);
            }
            let entry = Entry {
                signed: signed.take().expect("it was just read"),
                copied: Some(place),
                witness: self.witness(),
            };
            let ground = Ground {
                since: stored.since,
                runs: stored.runs().collect(),
                // Where it stands among the others, and what it shares with them, was read off this view.
                whole: true,
                ..Ground::of(self.there.clone())
            };
            let now = now();
            stored.attempted = true;
            let (appended, there) =
                append_entry(&self.to, &job, &entry, ground, &key, &trust, &now).await?;
            signed = Some(entry.signed);
            let before = self.there.tail();
            self.there = there;
            match &appended {
                // Nothing came between: what else lies there is known.
                Appended::Yes(to) if to.number == before + 1 => {
                    if let Some(new) = self.there.snapshot(to.number) {
                        self.lying.add(&new, &trust);
                    }
                }
                _ => self.lying = Lying::of(&self.there, &trust),
            }
            if let Appended::Yes(to) = appended {
                return Ok(Some(CopiedSnapshot {
                    from: number,
                    to,
                    added: stored.bytes(),
                }));
            }
        }
        Err(Error::Contended { job })
    }

    /// Where each run lies in the other repository, when all of it is durable there.
    async fn store(
        &self,
        snapshot: &Valid<'_>,
        stored: &mut Stored,
        each: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<StoredRun>, Error> {
        let mut runs = Vec::new();
        for (index, run) in snapshot.runs().iter().enumerate() {
            let opening = self.opening(snapshot, index).await?;
            if let Some(lying) = self.lying.find(snapshot, index, &opening) {
                runs.push(lying);
                continue;
            }
            let fresh = stored.run(index, &opening, || self.to.rules.new_run());
            runs.push(fresh.place(snapshot, index));
            transfer(self, run, fresh, each).await?;
        }
        Ok(runs)
    }

    /// What opens run number `index` here, for whoever restores it. Only where more may than what is in force, the store is asked.
    async fn opening(&self, snapshot: &Valid<'_>, index: usize) -> Result<Opening, Error> {
        if !snapshot.is_rotated_astray(index) {
            return Ok(snapshot.opening(index, |_| true));
        }
        let job = &self.options.maintenance.job;
        let run = Name::run(job, snapshot.runs()[index].run);
        let listed = self.from.store.list(&run).await?;
        let names = listed.iter().filter_map(|meta| Name::run_object(job, meta));
        let names: HashSet<String> = names.map(|(_, name)| name).collect();
        Ok(snapshot.opening(index, |name| names.contains(name)))
    }

    /// The statement with its writer's own signature.
    async fn signed(&self, snapshot: &Valid<'_>) -> Result<Signed, Error> {
        let name = Name::commit(&self.options.maintenance.job, snapshot.at.number);
        let object = self.from.store.read(&name, COMMIT_MAX).await?;
        let object = object.ok_or_else(|| Error::Missing {
            object: name.to_string(),
        })?;
        if Digest::of(&object) != snapshot.at.digest {
            return Err(Error::damaged(
                name.to_string(),
                "it is not what was read before",
            ));
        }
        Signed::of(&object).map_err(|error| Error::damaged(name.to_string(), error))
    }

    fn witness(&self) -> Vec<Witness> {
        let head = self.here.head();
        head.map(|head| self.from.witness(head))
            .into_iter()
            .collect()
    }

    /// Pins the copies that were there before and have no pin, though what they are copies of has one: a copy was cut short before its
    /// pin, or that one was pinned later. Returns their numbers here.
    ///
    /// A pin that a maintainer lifted there stays lifted. After a prune there nothing tells one from the other: then it is left alone.
    pub async fn pin_the_rest(&self, now: &(dyn Fn() -> String + Sync)) -> Result<Vec<u64>, Error> {
        let lying: HashMap<Digest, CommitRef> = self
            .there
            .snapshots()
            .filter(|it| it.is_copy() && it.was_never_pinned())
            .map(|it| (it.statement_digest(), it.at))
            .collect();
        let mut pinned = Vec::new();
        for (number, fate) in &self.sorted.fates {
            let snapshot = self.here.snapshot(*number);
            let snapshot = snapshot.filter(|it| *fate == Fate::There && it.pinned());
            let copy = snapshot.and_then(|it| lying.get(&it.statement_digest()));
            if let Some(to) = copy {
                self.pin(*number, *to, now).await?;
                pinned.push(*number);
            }
        }
        Ok(pinned)
    }

    /// What is pinned here is pinned there.
    async fn pin(
        &self,
        number: u64,
        to: CommitRef,
        now: &(dyn Fn() -> String + Sync),
    ) -> Result<(), Error> {
        if self.here.snapshot(number).is_some_and(|it| it.pinned()) {
            let maintenance = &self.options.maintenance;
            maintenance.pin(&self.to, to, true, &now()).await?;
        }
        Ok(())
    }
}
