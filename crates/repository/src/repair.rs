//! Putting back what was lost or damaged, from another repository that has the same bytes, or from older versions that the store keeps.

mod commits;
mod lookup;
mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use archive::Digest;
use bytes::Bytes;
use format::{COMMIT_MAX, Commit, JobName, Object, RunId};
use object_store::path::Path;

use self::commits::{Choice, Lost};
use self::lookup::Lookup;
use self::others::Others;
pub use self::others::Unasked;
use crate::named::{NamedObjects, all_named_objects};
use crate::store::{Name, Settled};
use crate::verify::{Damage, Level, verify_from};
use crate::view::{Objects, Trust, View};
use crate::{Cache, Compute, Error, Repository};

/// Repairs a job of one repository by what others have.
pub struct Repair<'a> {
    /// The repository that is damaged.
    pub repository: &'a Repository,
    /// Those that may have copies of it, or of which it has.
    pub others: &'a [Repository],
    /// What this host kept of what it read.
    pub cache: Option<&'a Cache>,
    /// The job.
    pub job: &'a JobName,
    /// Whose snapshots are worth repairing: what somebody else's commit names need not be what should be there.
    pub trust: &'a Trust,
    /// For digests.
    pub compute: &'a Compute,
}

/// What a repair found and did.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Everything that was missing or damaged.
    pub mended: Vec<Mended>,
    /// The others that could not be asked for all of it.
    pub unasked: Vec<Unasked>,
}

/// An object that is missing or damaged, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Its name.
    pub object: String,
    /// What is wrong with it, one clause.
    pub what: String,
    /// The snapshots that cannot be restored whole without it.
    pub snapshots: BTreeSet<u64>,
    /// The place of the repository that has it, [`OLDER_VERSION`] or [`KEPT`]; `None`: nobody has.
    pub from: Option<String>,
    /// Why it is left as it is, if it is neither put back nor lost.
    pub left: Option<Left>,
}

/// Why an object is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It is a commit, and with it in its place those of these numbers, which count, would count no more.
    Cuts(BTreeSet<u64>),
    /// It is a commit that is authentic, and does not follow those below it. A snapshot can be read by its number.
    Stands,
    /// It is a map, which nobody has and no restore needs.
    Map,
}

/// What has the bytes, if it is the store itself.
pub const OLDER_VERSION: &str = "an older version";

/// What has the bytes, if this host read them once.
pub const KEPT: &str = "what this host kept";

impl Repair<'_> {
    /// Looks at every object, and says which are damaged and who has them. If `carry_out`, these are put back: only bytes that a signed
    /// commit of a trusted writer names ever come into the place of others, and no commit at the price of one that counts.
    ///
    /// What one of the others does not tell is looked for in the rest. Cut short anywhere, what was put back is there, and doing it again
    /// does the rest.
    pub async fn run(
        &self,
        carry_out: bool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Repaired, Error> {
        let mut others = Others::of(self.others, self.job, self.trust).await;
        let (mut mended, view) = self.commits(&mut others, carry_out).await?;
        let (job, trust, compute) = (self.job, self.trust, self.compute);
        let before = view.clone();
        let level = Level::Data;
        let report = verify_from(
            self.repository,
            job,
            trust,
            level,
            compute,
            progress,
            before,
        );
        let mut damaged = report.await?.damage;
        damaged.retain(|damage| !mended.iter().any(|it| it.object == damage.object));
        if !damaged.is_empty() {
            let mut objects = Lookup {
                repair: self,
                named: self.named(&view),
                places: others.places(job),
                history: self.repository.store.history(&Name::runs(job)).await?,
                others: &mut others,
            };
            for damage in damaged {
                mended.push(match self.commit_number(&damage) {
                    Some(number) => left_of_log(damage, &view, number),
                    None => objects.mend(damage, carry_out).await?,
                });
            }
        }
        Ok(Repaired {
            mended,
            unasked: others.unasked,
        })
    }

    /// If it is an object of the log.
    fn commit_number(&self, damage: &Damage) -> Option<u64> {
        let numbers = damage.snapshots.iter().copied();
        let mut numbers =
            numbers.filter(|it| Name::commit(self.job, *it).to_string() == damage.object);
        numbers.next()
    }

    /// Every object of a run by its name, and what should be there, as far as trusted snapshots agree on it.
    fn named(&self, view: &View) -> BTreeMap<String, (RunId, String, Option<Object>)> {
        let accepted = view.snapshots().filter(|it| self.trust.accepts(it));
        let accepted: BTreeSet<u64> = accepted.map(|it| it.at.number).collect();
        let mut expected = BTreeMap::new();
        let all: NamedObjects = all_named_objects(view);
        for ((run, object), named) in all {
            let mut objects = named
                .iter()
                .filter(|named| !named.snapshots.is_disjoint(&accepted))
                .map(|named| named.object);
            let first = objects.next();
            let agreed = first.filter(|first| objects.all(|it| it == *first));
            let name = Name::in_run(self.job, run, &object).to_string();
            expected.insert(name, (run, object, agreed));
        }
        expected
    }

    async fn is(&self, bytes: &Bytes, object: Object) -> bool {
        let hashed = bytes.clone();
        let digest = self.compute.run(move || Digest::of(&hashed)).await;
        digest == object.digest && bytes.len() as u64 == object.size
    }

    async fn put_back(&self, name: &Name, bytes: Bytes) -> Result<(), Error> {
        let store = &self.repository.store;
        store.put_back(name, bytes.clone()).await?;
        match store.read(name, bytes.len() as u64).await? {
            Some(read) if read == bytes => Ok(()),
            _ => Err(Error::damaged(
                name.to_string(),
                "it was put back, and is not what was put",
            )),
        }
    }

    /// Puts lost commits back; the log as it is then.
    async fn commits(
        &self,
        others: &mut Others<'_>,
        carry_out: bool,
    ) -> Result<(Vec<Mended>, View), Error> {
        let mut mended = Vec::new();
        let choice = loop {
            let mut choice = self.choose(others).await?;
            if !carry_out || self.put_commits_back(&mut choice, &mut mended).await? {
                break choice;
            }
        };
        mended.extend(choice.back.into_iter().map(|it| self.mended(it, None)));
        let refused = choice.refused.into_iter();
        mended.extend(refused.map(|(it, cut)| self.mended(it, Some(Left::Cuts(cut)))));
        mended.sort_by(|a, b| a.object.cmp(&b.object));
        Ok((mended, choice.then))
    }

    async fn choose(&self, others: &mut Others<'_>) -> Result<Choice, Error> {
        let repository = self.repository.without_cache();
        let here = repository.view(self.job, self.trust).await?;
        let mut lost = self.commits_of_replicas(&here, others).await;
        lost.extend(self.commits_of_versions(&here).await?);
        Choice::of(self.job, &here, lost, self.trust)
    }

    /// Whether all could be put back. If not, somebody else appended under such a number meanwhile: what was chosen is out of date.
    async fn put_commits_back(
        &self,
        choice: &mut Choice,
        mended: &mut Vec<Mended>,
    ) -> Result<bool, Error> {
        for lost in std::mem::take(&mut choice.back) {
            let name = Name::commit(self.job, lost.commit.log.number);
            let settled = if lost.absent {
                self.repository.store.settle(&name, &lost.bytes).await?
            } else {
                Settled::Refused
            };
            match settled {
                Settled::Ours => {}
                Settled::Others => return Ok(false),
                // Something damaged is there, or what was deleted: to versitygw an older version is enough to refuse.
                Settled::Refused => self.put_back(&name, lost.bytes.clone()).await?,
            }
            mended.push(self.mended(lost, None));
        }
        Ok(true)
    }

    fn mended(&self, lost: Lost, left: Option<Left>) -> Mended {
        let number = lost.commit.log.number;
        Mended {
            object: Name::commit(self.job, number).to_string(),
            what: lost.what.to_owned(),
            snapshots: BTreeSet::from([number]),
            from: Some(lost.from),
            left,
        }
    }

    /// Commits that are lost or damaged, from repositories with the same id: nobody else has them.
    async fn commits_of_replicas(&self, here: &View, others: &mut Others<'_>) -> Vec<Lost> {
        let id = self.repository.id();
        let numbers: BTreeSet<u64> = here.numbers().collect();
        let mut all = Vec::new();
        for (replica, there) in others.logs().into_iter().filter(|(it, _)| it.id() == id) {
            for at in there.valid().filter(|at| here.lacks(*at)) {
                let name = Name::commit(self.job, at.number);
                let Some(bytes) = others.read(replica, &name, COMMIT_MAX).await else {
                    continue;
                };
                let Ok(commit) = Commit::decode(&bytes, id, self.job, at.number) else {
                    continue;
                };
                all.push(Lost {
                    commit: Arc::new(commit),
                    bytes,
                    from: replica.place().to_owned(),
                    what: "it is lost or damaged",
                    absent: !numbers.contains(&at.number),
                });
            }
        }
        all
    }

    /// The same from versions that the store keeps. No commit is ever written over, so that the oldest version of each is what was
    /// committed: what the log is made of these says which of them count.
    async fn commits_of_versions(&self, here: &View) -> Result<Vec<Lost>, Error> {
        let (id, store) = (self.repository.id(), &self.repository.store);
        let history = store.history(&Name::log(self.job)).await?;
        let mut oldest = BTreeMap::new();
        let mut objects = Objects::default();
        for (name, versions) in &history {
            let path = Path::from(name.as_str());
            let number = path.filename().and_then(|number| number.parse().ok());
            let (Some(number), Some(version)) = (number, versions.last()) else {
                continue;
            };
            let object = Name::commit(self.job, number);
            // One that stands as it was written need not be read again.
            let known = here.commit(number).filter(|_| versions.len() == 1);
            if let Some(known) = known {
                objects.insert(number, Ok(known));
            } else if let Some(bytes) = store.read_version(&object, version, COMMIT_MAX).await? {
                let decoded = Commit::decode(&bytes, id, self.job, number);
                objects.insert(number, decoded.map(Arc::new));
                oldest.insert(number, bytes);
            }
        }
        let should = View::of(self.job, objects, self.trust)?;
        let numbers: BTreeSet<u64> = here.numbers().collect();
        let mut all = Vec::new();
        for at in should.valid() {
            let there = here.commit(at.number);
            let stands = there.is_some_and(|it| it.digest == at.digest);
            let bytes = oldest.remove(&at.number).filter(|_| !stands);
            if let (Some(bytes), Some(commit)) = (bytes, should.commit(at.number)) {
                all.push(Lost {
                    commit,
                    bytes,
                    from: OLDER_VERSION.to_owned(),
                    what: "it is lost, or another is in its place",
                    absent: !numbers.contains(&at.number),
                });
            }
        }
        Ok(all)
    }
}

/// What becomes of an object of the log that nobody has, or that is no worse than out of place.
fn left_of_log(damage: Damage, view: &View, number: u64) -> Mended {
    let stands = view.commit(number).is_some();
    Mended {
        object: damage.object,
        what: damage.what,
        snapshots: damage.snapshots,
        from: None,
        left: stands.then_some(Left::Stands),
    }
}
