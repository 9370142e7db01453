use std::collections::{BTreeSet, HashMap};

use format::{JobName, PACK_MAX, RunId, WriterId};
use futures::{StreamExt, stream};

use crate::base::standing;
use crate::named::{Named, NamedObjects, named_objects};
use crate::store::{Locks, Name};
use crate::view::{Trust, View};
use crate::{Compute, Error, RecipientChange, Repository};

/// Objects that are read at the same time.
const CONCURRENT_READS: usize = 3;

/// How closely a job's objects are looked at. Neither level needs an identity; reading what they hold is
/// [`crate::Snapshot::entries`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// The chain, all signatures, and that every object that a snapshot names exists with its size.
    Log,
    /// Also the digest of every small object, and of a slice of the packs.
    Slice(Slice),
    /// Also the digest of every object.
    Data,
}

/// One of so many equal parts of all packs. Which part a pack is in is told by its name alone, so that a run for each of them has looked at
/// every pack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Slice {
    /// Less than `of`.
    pub number: u32,
    /// At least 1.
    pub of: u32,
}

impl Slice {
    fn holds(self, run: RunId, name: &str) -> bool {
        let pack = name
            .strip_prefix("pack-")
            .and_then(|it| it.parse::<u64>().ok());
        // The name of a run is random; its packs are spread over all parts.
        let first = u64::from_le_bytes(std::array::from_fn(|i| run.0[i]));
        let part = |pack: u64| first.wrapping_add(pack) % u64::from(self.of.max(1));
        pack.is_none_or(|pack| part(pack) == u64::from(self.number))
    }
}

/// What was found in one job.
#[derive(Debug, Default)]
pub struct Report {
    /// Valid snapshots, whoever wrote them.
    pub snapshots: u64,
    /// Objects that were looked at, and their bytes.
    pub objects: u64,
    /// Bytes that were read and compared (none at level `log`).
    pub bytes: u64,
    /// What is wrong.
    pub damage: Vec<Damage>,
    /// Objects of the log that are neither valid nor damaged: dropped by a prune or lost in a race.
    pub superseded: u64,
    /// Objects of runs that no valid snapshot names, and their bytes: left by interrupted backups, or one is under way.
    pub unnamed: (u64, u64),
    /// Snapshots whose writer or appender is not trusted, or was revoked, which no restore accepts.
    pub untrusted: Vec<u64>,
    /// Prunes by somebody who is not a trusted maintainer: the number of each, and who that is.
    pub foreign_prunes: Vec<(u64, WriterId)>,
    /// Of the snapshots that are accepted those that are sealed to others than the one before them, by number.
    pub recipient_changes: Vec<(u64, RecipientChange)>,
    /// How what snapshots need is locked, where a lock is asked for: runs, and what every reader needs besides.
    pub locks: Option<Locks>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object or snapshot.
    pub object: String,
    /// What is wrong with it, one clause.
    pub what: String,
    /// The snapshots that name it. If it [is needed](Self::is_needed), these cannot be restored whole.
    pub snapshots: BTreeSet<u64>,
}

impl Damage {
    /// Whether a restore needs what is damaged. None needs a map, which tells the next backup what is stored already.
    pub fn is_needed(&self) -> bool {
        let parts: Vec<&str> = self.object.split('/').collect();
        !matches!(parts[..], [_, "runs", _, "map"])
    }
}

/// Verifies all objects of a job.
///
/// Damage is reported, never an error: an error means that the store could not be asked.
pub async fn verify_job(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    level: Level,
    compute: &Compute,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report, Error> {
    // What this host remembers says nothing about what is stored.
    let repository = &repository.without_cache();
    let view = repository.view(job, trust).await?;
    verify_view(repository, &view, job, trust, level, compute, progress).await
}

/// The same for whoever has just read the log, and from the store: it is not read again.
pub async fn verify_from(
    repository: &Repository,
    job: &JobName,
    trust: &Trust,
    level: Level,
    compute: &Compute,
    progress: &(dyn Fn(u64) + Sync),
    before: View,
) -> Result<Report, Error> {
    let repository = &repository.without_cache();
    let view = View::of(job, before.into_objects(), trust)?;
    verify_view(repository, &view, job, trust, level, compute, progress).await
}

/// The runs are listed after the view was taken: what it names is there by then.
async fn verify_view(
    repository: &Repository,
    view: &View,
    job: &JobName,
    trust: &Trust,
    level: Level,
    compute: &Compute,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report, Error> {
    let mut report = judge_log(view, job, trust);
    let sizes = stored_sizes(repository, job).await?;
    let named = named_objects(view, |run, name| {
        sizes.contains_key(&Name::in_run(job, run, name).to_string())
    });
    check_sizes(&sizes, job, &named, &mut report);
    let wanted = |run: RunId, name: &str| match level {
        Level::Log => false,
        Level::Slice(slice) => slice.holds(run, name),
        Level::Data => true,
    };
    if level != Level::Log {
        let wanted = named.iter().filter(|((run, name), _)| wanted(*run, name));
        check_digests(repository, job, wanted, compute, progress, &mut report).await?;
    }
    report.explain_rotated(view);
    let names = named.keys();
    let names = names.map(|(run, name)| Name::in_run(job, *run, name));
    let names = names.chain(standing(view, job)).map(Name::into_path);
    report.locks = repository.store.locks_of(names.collect()).await?;
    if !report.damage.is_empty() {
        let now = repository.view_again(job, trust, view.clone()).await?;
        report.excuse_dropped(view, &now);
    }
    report.damage.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(report)
}

impl Report {
    /// To somebody who does not know the maintainer, the key objects that a rotation replaced are lost.
    fn explain_rotated(&mut self, view: &View) {
        for damage in &mut self.damage {
            let path = object_store::path::Path::from(damage.object.as_str());
            let run = path
                .parts()
                .nth(2)
                .and_then(|run| run.as_ref().parse().ok());
            let key = path.filename().is_some_and(|name| name.starts_with("key"));
            let rotation = run
                .filter(|_| key)
                .and_then(|run| view.foreign_rotation(run));
            if let Some((number, maintainer)) = rotation {
                damage.what = format!(
                    "{}; commit {number} by {maintainer}, who is not a trusted maintainer, puts another in its place",
                    damage.what
                );
            }
        }
    }

    /// What is gone because a prune, in force since `before`, dropped its snapshots is not damaged; nor is a key object in whose place a
    /// rotation put another one.
    fn excuse_dropped(&mut self, before: &View, now: &View) {
        let in_force = now.in_force().map_or(0, |(at, _)| at.number);
        let dropped: BTreeSet<u64> = before
            .snapshots()
            .filter(|snapshot| snapshot.at.number < in_force && !now.holds(snapshot.at))
            .map(|snapshot| snapshot.at.number)
            .collect();
        let (keys, keys_now) = (key_objects(before), key_objects(now));
        let rotated = |object: &String| keys.contains(object) && !keys_now.contains(object);
        self.damage.retain(|damage| !rotated(&damage.object));
        self.damage.retain_mut(|damage| {
            let dropped = |number: &u64| dropped.contains(number);
            let gone = !damage.snapshots.is_empty() && damage.snapshots.iter().all(dropped);
            damage.snapshots.retain(|number| !dropped(number));
            !gone
        });
    }
}

/// The key objects that snapshots name, or rotations in their place.
fn key_objects(view: &View) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for snapshot in view.snapshots() {
        let job = &snapshot.statement.job;
        for run in &*snapshot.runs() {
            let keys = snapshot.keys_of(run).objects();
            names.extend(keys.map(|(name, _)| Name::in_run(job, run.run, &name).to_string()));
        }
    }
    names
}

fn judge_log(view: &View, job: &JobName, trust: &Trust) -> Report {
    let mut report = Report {
        snapshots: view.snapshots().count() as u64,
        ..Report::default()
    };
    for garbage in view.garbage() {
        if garbage.damage {
            report.damage.push(Damage {
                object: Name::commit(job, garbage.number).to_string(),
                what: garbage.reason.clone(),
                snapshots: BTreeSet::from([garbage.number]),
            });
        } else {
            report.superseded += 1;
        }
    }
    report.untrusted = view
        .snapshots()
        .filter(|snapshot| !trust.accepts(snapshot))
        .map(|snapshot| snapshot.at.number)
        .collect();
    report.foreign_prunes = view.foreign_prunes(trust);
    report.recipient_changes = RecipientChange::all(view, trust);
    report
}

/// The objects of all runs that are there, and the bytes of each.
async fn stored_sizes(
    repository: &Repository,
    job: &JobName,
) -> Result<HashMap<String, u64>, Error> {
    let listed = repository.store.list(&Name::runs(job)).await?;
    let sizes = listed.into_iter();
    let sizes = sizes.map(|meta| (meta.location.to_string(), meta.size));
    Ok(sizes.collect())
}

fn check_sizes(
    sizes: &HashMap<String, u64>,
    job: &JobName,
    named: &NamedObjects,
    report: &mut Report,
) {
    let known: BTreeSet<String> = named
        .keys()
        .map(|(run, name)| Name::in_run(job, *run, name).to_string())
        .collect();
    for (name, size) in sizes {
        if !known.contains(name) {
            report.unnamed.0 += 1;
            report.unnamed.1 += size;
        }
    }
    for ((run, name), objects) in named {
        let name = Name::in_run(job, *run, name).to_string();
        for Named { object, snapshots } in objects {
            report.objects += 1;
            let what = match sizes.get(&name) {
                None => "it is missing".to_owned(),
                Some(size) if *size != object.size => {
                    format!("it has {size} bytes instead of {}", object.size)
                }
                Some(_) => continue,
            };
            report.damage.push(Damage {
                object: name.clone(),
                what,
                snapshots: snapshots.clone(),
            });
        }
    }
}

async fn check_digests(
    repository: &Repository,
    job: &JobName,
    named: impl Iterator<Item = (&(RunId, String), &Vec<Named>)>,
    compute: &Compute,
    progress: &(dyn Fn(u64) + Sync),
    report: &mut Report,
) -> Result<(), Error> {
    let known_bad: BTreeSet<String> = report
        .damage
        .iter()
        .map(|damage| damage.object.clone())
        .collect();
    let mut results = stream::iter(named)
        .map(|((run, name), objects)| (Name::in_run(job, *run, name), objects))
        .filter(|(name, _)| std::future::ready(!known_bad.contains(&name.to_string())))
        .map(async |(name, objects)| {
            let limit = objects
                .iter()
                .map(|named| named.object.size)
                .max()
                .unwrap_or(PACK_MAX);
            let read = repository.store.digest(&name, limit, compute).await;
            (name, objects, read)
        })
        .buffer_unordered(CONCURRENT_READS);
    while let Some((name, objects, read)) = results.next().await {
        let found = match read {
            Ok(found) => found,
            Err(Error::Damaged { detail, .. }) => {
                report.damage.push(damage_to(&name, objects, detail));
                continue;
            }
            // One object that cannot be read must not hide what is wrong with the others.
            Err(error @ Error::Store { .. }) => {
                report
                    .damage
                    .push(damage_to(&name, objects, crate::error::chain(&error)));
                continue;
            }
            Err(error) => return Err(error),
        };
        let size = found.map_or(0, |found| found.size);
        report.bytes += size;
        progress(size);
        for Named { object, snapshots } in objects {
            let what = match found {
                Some(found) if found.digest == object.digest => continue,
                Some(_) => "its bytes are not those that were written",
                None => "it is missing",
            };
            report.damage.push(Damage {
                object: name.to_string(),
                what: what.to_owned(),
                snapshots: snapshots.clone(),
            });
        }
    }
    Ok(())
}

fn damage_to(name: &Name, objects: &[Named], what: String) -> Damage {
    let snapshots = objects
        .iter()
        .flat_map(|named| named.snapshots.iter().copied())
        .collect();
    Damage {
        object: name.to_string(),
        what,
        snapshots,
    }
}
