//! `verify`: is what is stored whole and authentic, and would a restore work?

mod revisions;
mod touched;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use archive::Digest;
use format::{CommitRef, Identities, JobName};
use jiff::Timestamp;
use repository::{Damage, Remembered, Repository, Slice, Snapshot, Trust, View, verify_from};
use serde::Serialize;

use crate::cli::{self, Level, Sample};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::locks::LocksFound;
use crate::losses::Tested;
use crate::names::counted;
use crate::progress::Progress;
use crate::recipients::RecipientsChanged;
use crate::session::Session;
use crate::sources::build_judge;
use crate::tails::{self, Tails};
use crate::units::Size;
use crate::wanted::Wanted;
use revisions::{Revisions, WentBack};
use touched::{Touched, TouchedRow};

/// What was looked at, and what is wrong, job by job.
#[derive(Serialize)]
pub(crate) struct Verified {
    repository: String,
    level: &'static str,
    /// Of the packs only this part was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
    jobs: Vec<JobVerified>,
    /// Flags that a command to be typed needs.
    #[serde(skip)]
    said: String,
}

#[derive(Default, Serialize)]
struct JobVerified {
    job: String,
    /// The newest commit, as `--since` takes it.
    tail: Option<String>,
    snapshots: u64,
    objects: u64,
    bytes: u64,
    entries: u64,
    #[serde(skip)]
    opened: u64,
    damage: Vec<DamageRow>,
    /// Snapshots that were read and are not whole, with the entries that they have lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    touched: Vec<TouchedRow>,
    /// Objects that belong to no snapshot: left by interrupted backups, or a backup is running. Harmless.
    unnamed_objects: u64,
    unnamed_bytes: u64,
    /// Snapshots whose writer or appender is not trusted; no restore accepts them.
    untrusted: Vec<String>,
    /// Snapshots that are sealed to others than the one before them: somebody should have meant that.
    recipients_changed: Vec<RecipientsRow>,
    /// How what snapshots need is locked, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    locks: Option<LocksFound>,
    /// Snapshots of an etcd that are older than the one before: somebody should know why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    went_back: Vec<WentBack>,
    /// Snapshots that none of the identities opens, so that their contents were not looked at.
    unopened: Vec<String>,
}

impl JobVerified {
    /// Somebody remembers a job that is not there.
    fn lost(job: &JobName) -> Self {
        let damage = DamageRow {
            object: format!("{job}/log"),
            what: "there was a log when it was remembered, and there is none".to_owned(),
            snapshots: Vec::new(),
        };
        Self {
            job: job.to_string(),
            damage: vec![damage],
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
struct RecipientsRow {
    snapshot: String,
    #[serde(flatten)]
    changed: RecipientsChanged,
}

#[derive(Serialize)]
struct DamageRow {
    object: String,
    what: String,
    /// The snapshots that cannot be restored whole because of it.
    snapshots: Vec<String>,
}

impl Verified {
    pub(crate) fn exit(&self) -> Exit {
        let any = |is: fn(&JobVerified) -> bool| self.jobs.iter().any(is);
        if any(|job| !job.damage.is_empty()) {
            Exit::Damage
        } else if any(|job| !job.untrusted.is_empty()) {
            Exit::Untrusted
        } else if !any(|job| !job.unopened.is_empty()) {
            Exit::Ok
        } else if any(|job| job.opened > 0) {
            Exit::Partial
        } else {
            Exit::NoIdentity
        }
    }
}

/// Verifies the jobs named, or all, as things are at `now`.
pub(crate) async fn verify(
    session: &Session,
    asked: &cli::Verify,
    now: Timestamp,
) -> anyhow::Result<Verified> {
    let level = asked.level;
    let slice = asked.sample.map(|sample| slice(sample, now));
    if slice.is_some() && level != Level::Data {
        let message = "--sample is about the level `data` alone";
        return Err(Failure::usage(message).hint("leave out --level").into());
    }
    let stored = match (level, slice) {
        (Level::Log, _) => repository::Level::Log,
        (_, Some(slice)) => repository::Level::Slice(slice),
        (Level::Data | Level::Full, None) => repository::Level::Data,
    };
    let identities = match level {
        Level::Full => Some(session.identities().await?),
        Level::Log | Level::Data => None,
    };
    let repository = session.open().await?;
    let id = repository.id();
    let since = match &asked.since {
        Some(text) => remembered(session, &repository, text).await?,
        None => Tails::default(),
    };
    let since = since.of(id);
    if asked.since.is_some() && since.is_empty() {
        let failure = Failure::usage(format!("nothing is remembered of the repository {id}"));
        return Err(failure
            .hint("without --since, `verify --remember FILE` begins to remember it")
            .into());
    }
    let known = session.jobs(&repository, &asked.jobs).await?;
    let mut jobs = Vec::new();
    let mut tails = Tails::default();
    for job in &known {
        let before = since.get(job).copied();
        let verified = verify_one(
            session,
            &repository,
            job,
            stored,
            identities.as_ref(),
            before,
        );
        let (verified, tail) = verified.await?;
        if let Some(tail) = tail {
            tails.insert(id, job, tail);
        }
        jobs.push(verified);
    }
    let wanted = |job: &JobName| asked.jobs.is_empty() || asked.jobs.contains(job);
    let lost = since
        .keys()
        .filter(|job| wanted(job) && !known.contains(job));
    jobs.extend(lost.map(|job| JobVerified::lost(job)));
    let sound = jobs.iter().all(|job| job.damage.is_empty());
    if let (Some(file), true) = (&asked.remember, sound) {
        tails.remember(file)?;
    }
    let level = match level {
        Level::Log => "log",
        Level::Data => "data",
        Level::Full => "full",
    };
    Ok(Verified {
        repository: repository.place().to_owned(),
        level,
        sample: slice.map(|slice| format!("{}/{}", slice.number + 1, slice.of)),
        jobs,
        said: session.settings.said.clone(),
    })
}

/// Another one each day, so that whoever looks daily has looked at all of it in the end.
fn slice(sample: Sample, now: Timestamp) -> Slice {
    match sample {
        Sample::OneOf(of) => {
            let day = now.as_second().div_euclid(24 * 60 * 60);
            let number = day.rem_euclid(i64::from(of)) as u32;
            Slice { number, of }
        }
        Sample::Part(part, of) => Slice {
            number: part - 1,
            of,
        },
    }
}

async fn verify_one(
    session: &Session,
    repository: &Repository,
    job: &JobName,
    stored: repository::Level,
    identities: Option<&Arc<Identities>>,
    before: Option<CommitRef>,
) -> anyhow::Result<(JobVerified, Option<CommitRef>)> {
    let mut trust = session.trust()?;
    let view = session.view(repository, job, &mut trust).await?;
    let all = stored_bytes(&view);
    let expected = match stored {
        repository::Level::Slice(slice) => all / u64::from(slice.of),
        _ => all,
    };
    let progress = Progress::new(session.output, &format!("verify {job}"), Some(expected));
    let compute = &session.compute;
    let add = |bytes| progress.add(bytes);
    let seen = view.clone();
    let verifying = verify_from(repository, job, &trust, stored, compute, &add, seen);
    let mut report = verifying.await?;
    drop(progress);
    let full = match identities {
        Some(identities) => read_all(session, repository, &view, &trust, identities).await?,
        None => Full::default(),
    };
    let touched = full.touched.iter();
    report
        .damage
        .extend(touched.filter_map(|it| it.damage(job)));
    report.damage.extend(full.damage);
    report
        .damage
        .extend(before.and_then(|at| disappeared(job, &view, at)));
    let tail = view.head();
    let name = |number: &u64| format!("{job}/{number}");
    let verified = JobVerified {
        job: job.to_string(),
        tail: tail.map(|tail| tails::line(repository.id(), job, tail)),
        snapshots: report.snapshots,
        objects: report.objects,
        bytes: report.bytes,
        entries: full.entries,
        touched: full
            .touched
            .iter()
            .map(|touched| touched.row(job, &session.settings.said))
            .collect(),
        opened: full.opened,
        unopened: full.unopened,
        went_back: full.revisions.went_back,
        locks: report.locks.map(LocksFound::of),
        unnamed_objects: report.unnamed.0,
        unnamed_bytes: report.unnamed.1,
        untrusted: report.untrusted.iter().map(name).collect(),
        recipients_changed: report
            .recipient_changes
            .iter()
            .map(|(number, change)| RecipientsRow {
                snapshot: name(number),
                changed: RecipientsChanged::of(change),
            })
            .collect(),
        damage: report
            .damage
            .iter()
            .map(|damage| DamageRow {
                object: damage.object.clone(),
                what: damage.what.clone(),
                snapshots: damage.snapshots.iter().map(name).collect(),
            })
            .collect(),
    };
    Ok((verified, tail))
}

/// What `text` remembers of this repository: the logs of another one if it is the name of one, or a file, or a line.
async fn remembered(
    session: &Session,
    repository: &Repository,
    text: &str,
) -> anyhow::Result<Tails> {
    let Some(other) = session.settings.named(text) else {
        return Tails::given(text);
    };
    let other = session.open_at(&other.place).await?;
    let mut tails = Tails::default();
    for job in other.jobs().await? {
        let mut trust = session.trust()?;
        let view = session.view(&other, &job, &mut trust).await?;
        if let Some(seen) = view.witnessed(repository.id(), &trust) {
            tails.insert(repository.id(), &job, seen);
        }
    }
    Ok(tails)
}

/// What is wrong if a commit that somebody remembers is not where it was.
fn disappeared(job: &JobName, view: &View, at: CommitRef) -> Option<Damage> {
    let what = match view.remembers(at) {
        Remembered::Valid | Remembered::Dropped => return None,
        Remembered::Cut => "commits below it are not those that were there when it was remembered",
        Remembered::Another => "another one was there when it was remembered: the log was forked",
        Remembered::Gone => {
            "it was there when it was remembered, and is gone: the log was put back to an earlier state, or is withheld"
        }
    };
    Some(Damage {
        object: format!("{job}/log/{:012}", at.number),
        what: what.to_owned(),
        snapshots: BTreeSet::new(),
    })
}

/// The objects that valid snapshots name, each once.
fn stored_bytes(view: &View) -> u64 {
    let objects = view.snapshots().flat_map(|valid| valid.objects());
    let sizes: BTreeMap<_, u64> = objects
        .map(|(run, name, object)| ((run, name), object.size))
        .collect();
    sizes.values().sum()
}

#[derive(Default)]
struct Full {
    /// That were read whole.
    entries: u64,
    opened: u64,
    unopened: Vec<String>,
    touched: Vec<Touched>,
    /// What sources find wrong with entries that are whole.
    damage: Vec<Damage>,
    revisions: Revisions,
}

/// Opens every trusted snapshot, reads every entry, and lets its source judge it. What several snapshots share is read once.
async fn read_all(
    session: &Session,
    repository: &Repository,
    view: &View,
    trust: &Trust,
    identities: &Arc<Identities>,
) -> anyhow::Result<Full> {
    let mut full = Full::default();
    // By manifest: where in `touched` it is, if it is not whole.
    let mut seen: HashMap<Digest, Option<usize>> = HashMap::new();
    for valid in view.snapshots() {
        if !trust.accepts(&valid) {
            continue;
        }
        let number = valid.at.number;
        let manifest = valid.statement.runs[0].manifest.digest;
        if let Some(known) = seen.get(&manifest) {
            if let Some(index) = *known {
                full.touched[index].snapshots.insert(number);
            }
            continue;
        }
        seen.insert(manifest, None);
        let entries = valid.statement.entries;
        let name = format!("{}/{number}", valid.statement.job);
        let what = format!("read {name}");
        let progress = Progress::new(session.output, &what, Some(valid.statement.bytes));
        let opened = session
            .open_snapshot(repository, valid, Arc::clone(identities), trust)
            .await;
        let read = match opened {
            Ok(snapshot) => {
                full.opened += 1;
                full.revisions.add(&name, snapshot.manifest());
                read_snapshot(session, &snapshot, &progress, &mut full).await
            }
            Err(error) => Err(error),
        };
        let touched = match read {
            Ok(touched) => touched,
            Err(error) if exit::of(&error) == Exit::Damage => {
                let what = crate::output::chain(&error);
                Some(Touched::unopened(number, entries, what))
            }
            Err(error) if exit::of(&error) == Exit::NoIdentity => {
                full.unopened.push(name);
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(touched) = touched {
            seen.insert(manifest, Some(full.touched.len()));
            full.touched.push(touched);
        }
    }
    Ok(full)
}

/// What damage takes of its entries, if any.
async fn read_snapshot(
    session: &Session,
    snapshot: &Snapshot,
    progress: &Progress,
    full: &mut Full,
) -> anyhow::Result<Option<Touched>> {
    let wanted = Wanted::new(session, snapshot)?;
    let number = snapshot.at().number;
    let (mut touched, mut whole) = (Touched::new(number, snapshot.statement().entries), true);
    for (index, captured) in snapshot.manifest().sources.iter().enumerate() {
        let reader = snapshot.entries(index).selecting(repository::Select::Most);
        let mut contents = Tested::new(reader, progress);
        // Without a configuration the bytes are read all the same; only nobody judges what they mean.
        let source = wanted
            .settings(index, true)
            .ok()
            .map(|settings| build_judge(settings, &captured.facts))
            .transpose()?;
        let judged = match &source {
            Some(source) => source.check(&mut contents).await,
            None => Ok(Vec::new()),
        };
        match judged {
            Ok(findings) => {
                for finding in findings.into_iter().filter(|finding| finding.bad) {
                    let object = format!("{} {}", snapshot.name(), finding.name);
                    full.damage(&object, number, finding.message);
                }
            }
            // Whoever judges ends where bytes are lacking. The rest is read all the same.
            Err(_) if !contents.losses.is_none() => {}
            Err(error) => return Err(error.into()),
        }
        contents.finish().await?;
        full.entries += contents.losses.left_of(contents.entries);
        whole &= contents.losses.is_none();
        touched.add(&captured.name, captured.entries, contents.losses);
    }
    Ok((!whole).then_some(touched))
}

impl Full {
    fn damage(&mut self, object: &str, snapshot: u64, what: String) {
        self.damage.push(Damage {
            object: object.to_owned(),
            what,
            snapshots: [snapshot].into(),
        });
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in &self.jobs {
            let JobVerified { bytes, entries, .. } = job;
            let snapshots = counted(job.snapshots, "snapshot", "snapshots");
            write!(
                f,
                "{}: {snapshots}, {}",
                job.job,
                counted(job.objects, "object", "objects")
            )?;
            if self.level != "log" {
                write!(f, ", {} compared", Size(*bytes))?;
            }
            if let Some(sample) = &self.sample {
                write!(f, " (part {sample} of the packs)")?;
            }
            if self.level == "full" {
                write!(f, ", {} read", counted(*entries, "entry", "entries"))?;
            }
            let looked = job.unopened.is_empty() && self.sample.is_none();
            let verdict = match (job.damage.is_empty(), looked) {
                (true, true) => "whole",
                (true, false) => "no damage seen",
                (false, _) => "DAMAGED",
            };
            writeln!(f, ": {verdict}")?;
            if job.unnamed_objects > 0 {
                let unnamed = counted(job.unnamed_objects, "object belongs", "objects belong");
                let size = Size(job.unnamed_bytes);
                writeln!(
                    f,
                    "  {unnamed} to no snapshot ({size}): left by what was interrupted, or is running; harmless"
                )?;
            }
            if let Some(locks) = &job.locks {
                writeln!(f, "  {locks}")?;
            }
            for row in &job.damage {
                write!(f, "  {}: {}", row.object, row.what)?;
                if !row.snapshots.is_empty() {
                    write!(f, " (needed by {})", row.snapshots.join(", "))?;
                }
                writeln!(f)?;
            }
            for row in &job.touched {
                write!(f, "  {row}")?;
            }
            let of_snapshots = job.damage.iter().any(|row| !row.snapshots.is_empty());
            if of_snapshots && self.level != "full" {
                writeln!(
                    f,
                    "  which entries that are, and what can be restored in spite of it, says: strongroom verify {} --level full{}",
                    job.job, self.said
                )?;
            }
            for RecipientsRow { snapshot, changed } in &job.recipients_changed {
                writeln!(
                    f,
                    "  {snapshot}: sealed to others than the snapshot before it: {changed}"
                )?;
            }
            for row in &job.went_back {
                writeln!(f, "  {row}")?;
            }
            for snapshot in &job.unopened {
                writeln!(
                    f,
                    "  {snapshot}: not read, because no identity given opens it"
                )?;
            }
            for snapshot in &job.untrusted {
                writeln!(
                    f,
                    "  {snapshot}: its writer, or who put it there, is not trusted or was revoked"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also of the days before 1970, and at any hour.
    #[test]
    fn so_many_days_look_at_all_parts() {
        let day: i64 = 24 * 60 * 60;
        let sample: Sample = "5%".parse().expect("a share");
        for first in [-1000_i64, -10, 0, 20_784] {
            let parts = (first..first + 20).map(|number| {
                let now = Timestamp::from_second(number * day + number.rem_euclid(day));
                let slice = slice(sample, now.expect("a time"));
                assert_eq!(slice.of, 20);
                slice.number
            });
            let parts: BTreeSet<u32> = parts.collect();
            assert!(parts.into_iter().eq(0..20), "{first}");
        }
        for number in [0, 20_784 * day] {
            let now = Timestamp::from_second(number).expect("a time");
            let said = slice("3/20".parse().expect("a share"), now);
            assert_eq!((said.number, said.of), (2, 20));
        }
    }
}
