//! Putting back what was lost or damaged, from another repository that has the same bytes, or from older versions that the store keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use archive::Digest;
use bytes::Bytes;
use format::{COMMIT_MAX, Commit, JobName, Object, RunId};
use object_store::path::Path;

use crate::named::{NamedObjects, named_objects};
use crate::store::{History, Name};
use crate::verify::{Level, verify_job};
use crate::view::{Objects, Trust, View};
use crate::{Compute, Error, Repository};

/// Repairs a job of one repository by what others have.
pub struct Repair<'a> {
    /// The repository that is damaged.
    pub repository: &'a Repository,
    /// Those that may have copies of it, or of which it has.
    pub others: &'a [Repository],
    /// The job.
    pub job: &'a JobName,
    /// Whose snapshots are worth repairing: what somebody else's commit names need not be what should be there.
    pub trust: &'a Trust,
    /// For digests.
    pub compute: &'a Compute,
}

/// An object that is missing or damaged, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Its name.
    pub object: String,
    /// What is wrong with it, one clause.
    pub what: String,
    /// The snapshots that need it.
    pub snapshots: BTreeSet<u64>,
    /// The place of the repository that has it, or [`OLDER_VERSION`]; `None`: nobody has.
    pub from: Option<String>,
}

/// What has the bytes, if it is the store itself.
pub const OLDER_VERSION: &str = "an older version";

/// What has the bytes of an object.
struct Found<'a> {
    repository: &'a Repository,
    name: Name,
}

impl Repair<'_> {
    /// Looks at every object, and says which are damaged and who has them. If `carry_out`, these are put back: only bytes that a signed
    /// commit of a trusted writer names ever come into the place of others.
    ///
    /// Cut short anywhere, what was put back is there, and doing it again does the rest.
    pub async fn run(
        &self,
        carry_out: bool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Mended>, Error> {
        let mut mended = self.commits_of_replicas(carry_out).await?;
        mended.extend(self.commits_of_versions(carry_out).await?);
        let report = verify_job(
            self.repository,
            self.job,
            self.trust,
            Level::Data,
            self.compute,
            progress,
        );
        let damage = report.await?.damage;
        if damage.is_empty() {
            return Ok(mended);
        }
        let view = self
            .repository
            .without_cache()
            .view(self.job, self.trust)
            .await?;
        let named: BTreeMap<String, (RunId, String)> = named_objects(&view)
            .into_keys()
            .map(|(run, name)| (Name::in_run(self.job, run, &name).to_string(), (run, name)))
            .collect();
        let expected = self.expected(&view);
        let elsewhere = self.elsewhere().await?;
        let history = self.repository.store.history(&Name::runs(self.job)).await?;
        for damage in damage {
            let known = mended.iter().any(|it: &Mended| it.object == damage.object);
            if known {
                continue;
            }
            let place = named.get(&damage.object);
            let object = place.and_then(|place| expected.get(place).copied().flatten());
            let mut from = None;
            if let (Some(object), Some((run, name))) = (object, place) {
                let name = Name::in_run(self.job, *run, name);
                let found = match elsewhere.get(&object.digest) {
                    Some(found) => self.fetch(found, object).await?,
                    None => None,
                };
                let found = match found {
                    Some(found) => Some(found),
                    None => self.older(&name, object, &history).await?,
                };
                if let Some((bytes, place)) = found {
                    if carry_out {
                        self.put_back(&name, bytes).await?;
                    }
                    from = Some(place);
                }
            }
            mended.push(Mended {
                object: damage.object,
                what: damage.what,
                snapshots: damage.snapshots,
                from,
            });
        }
        Ok(mended)
    }

    /// What should be there, as far as trusted snapshots agree on it.
    fn expected(&self, view: &View) -> BTreeMap<(RunId, String), Option<Object>> {
        let accepted = view.snapshots().filter(|it| self.trust.accepts(it));
        let accepted: BTreeSet<u64> = accepted.map(|it| it.at.number).collect();
        let mut expected = BTreeMap::new();
        let all: NamedObjects = named_objects(view);
        for (place, named) in all {
            let mut objects = named
                .iter()
                .filter(|named| !named.snapshots.is_disjoint(&accepted))
                .map(|named| named.object);
            let first = objects.next();
            let agreed = first.filter(|first| objects.all(|it| it == *first));
            expected.insert(place, agreed);
        }
        expected
    }

    /// Every object that a snapshot of this job names in the other repositories, by its digest.
    async fn elsewhere(&self) -> Result<HashMap<Digest, Found<'_>>, Error> {
        let mut elsewhere = HashMap::new();
        for repository in self.others {
            let view = repository.view(self.job, self.trust).await?;
            for ((run, object), named) in named_objects(&view) {
                for named in named {
                    elsewhere
                        .entry(named.object.digest)
                        .or_insert_with(|| Found {
                            repository,
                            name: Name::in_run(self.job, run, &object),
                        });
                }
            }
        }
        Ok(elsewhere)
    }

    /// The bytes, if they are what they should be there.
    async fn fetch(
        &self,
        found: &Found<'_>,
        object: Object,
    ) -> Result<Option<(Bytes, String)>, Error> {
        let bytes = match found.repository.store.read(&found.name, object.size).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(Error::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let place = found.repository.place();
        let is_it = self.is(&bytes, object).await;
        Ok(is_it.then(|| (bytes, place.to_owned())))
    }

    /// The same from a version that the store keeps.
    async fn older(
        &self,
        name: &Name,
        object: Object,
        history: &History,
    ) -> Result<Option<(Bytes, String)>, Error> {
        for version in history.get(&name.to_string()).into_iter().flatten() {
            let store = &self.repository.store;
            let bytes = store.read_version(name, version, object.size).await?;
            if let Some(bytes) = bytes
                && self.is(&bytes, object).await
            {
                return Ok(Some((bytes, OLDER_VERSION.to_owned())));
            }
        }
        Ok(None)
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

    /// Commits that are lost or damaged, from a repository with the same id: nobody else has them.
    async fn commits_of_replicas(&self, carry_out: bool) -> Result<Vec<Mended>, Error> {
        let mut mended = Vec::new();
        let id = self.repository.id();
        let replicas = self.others.iter().filter(|other| other.id() == id);
        let repository = self.repository.without_cache();
        for replica in replicas {
            let here = repository.view(self.job, self.trust).await?;
            let there = replica.view(self.job, self.trust).await?;
            let lost: Vec<u64> = there
                .valid()
                .filter(|at| here.lacks(*at))
                .map(|at| at.number)
                .collect();
            for number in lost {
                let name = Name::commit(self.job, number);
                let Some(bytes) = replica.store.read(&name, COMMIT_MAX).await? else {
                    continue;
                };
                if Commit::decode(&bytes, id, self.job, number).is_err() {
                    continue;
                }
                if carry_out {
                    self.put_back(&name, bytes).await?;
                }
                mended.push(Mended {
                    object: name.to_string(),
                    what: "it is lost or damaged".to_owned(),
                    snapshots: BTreeSet::from([number]),
                    from: Some(replica.place().to_owned()),
                });
            }
        }
        Ok(mended)
    }

    /// The same from versions that the store keeps. No commit is ever written over, so that the oldest version of each is what was
    /// committed: what the log is made of these says which of them count.
    async fn commits_of_versions(&self, carry_out: bool) -> Result<Vec<Mended>, Error> {
        let repository = self.repository.without_cache();
        let (id, store) = (repository.id(), &repository.store);
        let history = store.history(&Name::log(self.job)).await?;
        let here = repository.view(self.job, self.trust).await?;
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
                objects.insert(
                    number,
                    Commit::decode(&bytes, id, self.job, number).map(Arc::new),
                );
                oldest.insert(number, bytes);
            }
        }
        let mut mended = Vec::new();
        let should = View::of(self.job, objects, self.trust)?;
        for at in should.valid() {
            let there = here
                .commit(at.number)
                .is_some_and(|it| it.digest == at.digest);
            let Some(bytes) = oldest.remove(&at.number).filter(|_| !there) else {
                continue;
            };
            let name = Name::commit(self.job, at.number);
            if carry_out {
                self.put_back(&name, bytes).await?;
            }
            mended.push(Mended {
                object: name.to_string(),
                what: "it is lost, or another is in its place".to_owned(),
                snapshots: BTreeSet::from([at.number]),
                from: Some(OLDER_VERSION.to_owned()),
            });
        }
        Ok(mended)
    }
}
