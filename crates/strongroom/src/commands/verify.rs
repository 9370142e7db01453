//! `verify`: is what is stored whole and authentic, and would a restore work?

mod foreign;
mod memory;
mod revisions;
mod sample;
mod touched;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use archive::Digest;
use format::{CommitRef, Identities, JobName};
use jiff::Timestamp;
use repository::{Damage, Repository, Snapshot, Trust, View, verify_from};
use serde::Serialize;

use super::repair::MAP_LOST;
use crate::cli::{self, Level};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::locks::LocksFound;
use crate::losses::Tested;
use crate::names::counted;
use crate::progress::Progress;
use crate::recipients::RecipientsChanged;
use crate::session::Session;
use crate::sources::build_judge;
use crate::tails::{self, Tail};
use crate::units::Size;
use crate::wanted::Wanted;
use foreign::ForeignPrune;
use memory::Memory;
use revisions::{Revisions, WentBack};
use touched::{Touched, TouchedRow};

/// What was looked at, and what is wrong, job by job.
#[derive(Serialize)]
pub(crate) struct Verified {
    repository: String,
    level: &'static str,
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
    /// Of the packs only this part was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
    snapshots: u64,
    objects: u64,
    bytes: u64,
    entries: u64,
    #[serde(skip)]
    opened: u64,
    damage: Vec<DamageRow>,
    /// Part of the damage is that what is remembered is not there any more.
    #[serde(skip)]
    disappeared: bool,
    /// Snapshots that were read and are not whole, with the entries that they have lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    touched: Vec<TouchedRow>,
    /// Objects that belong to no snapshot: left by interrupted backups, or a backup is running. Harmless.
    unnamed_objects: u64,
    unnamed_bytes: u64,
    /// Snapshots whose writer or appender is not trusted; no restore accepts them.
    untrusted: Vec<String>,
    /// Prunes by keys that are no trusted maintainer's, which have no effect here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    foreign_prunes: Vec<ForeignPrune>,
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
            meaning: None,
        };
        Self {
            job: job.to_string(),
            damage: vec![damage],
            disappeared: true,
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
    /// What it means, where that is nothing to a restore.
    #[serde(skip)]
    meaning: Option<&'static str>,
}

impl DamageRow {
    fn of(job: &JobName, damage: Damage) -> Self {
        let needed = damage.is_needed();
        let snapshots = damage.snapshots.iter().filter(|_| needed);
        Self {
            snapshots: snapshots.map(|number| format!("{job}/{number}")).collect(),
            meaning: (!needed).then_some(MAP_LOST),
            object: damage.object,
            what: damage.what,
        }
    }
}

impl Verified {
    pub(crate) fn exit(&self) -> Exit {
        let any = |is: fn(&JobVerified) -> bool| self.jobs.iter().any(is);
        if any(|job| !job.damage.is_empty()) {
            Exit::Damage
        } else if any(|job| !job.untrusted.is_empty() || !job.foreign_prunes.is_empty()) {
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
    if asked.sample.is_some() && level != Level::Data {
        let message = "--sample is about the level `data` alone";
        return Err(Failure::usage(message).hint("leave out --level").into());
    }
    let identities = match level {
        Level::Full => Some(session.identities().await?),
        Level::Log | Level::Data => None,
    };
    let repository = session.open().await?;
    let memory = Memory::of(session, &repository, asked).await?;
    let there = repository.jobs().await?;
    let lost = memory.lost(&asked.jobs, &there);
    let named = asked.jobs.iter().filter(|job| !lost.contains(*job));
    let named: Vec<_> = named.cloned().collect();
    let known = if asked.jobs.is_empty() {
        there
    } else if named.iter().all(|job| there.contains(job)) {
        named
    } else {
        // Which refuses the one that nobody knows.
        session.jobs(&repository, &named).await?
    };
    let (mut jobs, mut seen) = (Vec::new(), Vec::new());
    for job in &known {
        let part = asked
            .sample
            .map(|sample| sample::part(sample, memory.part(job), now));
        let stored = match (level, part) {
            (Level::Log, _) => repository::Level::Log,
            (_, Some(slice)) => repository::Level::Slice(slice),
            (Level::Data | Level::Full, None) => repository::Level::Data,
        };
        let identities = identities.as_ref();
        let verifying = verify_one(session, &repository, job, stored, identities, &memory);
        let (verified, at) = verifying.await?;
        seen.extend(at.map(|at| (job, Tail { at, part })));
        jobs.push(verified);
    }
    jobs.extend(lost.iter().map(JobVerified::lost));
    if jobs.iter().all(|job| job.damage.is_empty()) {
        memory.keep(seen)?;
    } else if jobs.iter().any(|job| job.disappeared) {
        memory.note_kept(session);
    }
    let level = match level {
        Level::Log => "log",
        Level::Data => "data",
        Level::Full => "full",
    };
    Ok(Verified {
        repository: repository.place().to_owned(),
        level,
        jobs,
        said: session.settings.said.clone(),
    })
}

async fn verify_one(
    session: &Session,
    repository: &Repository,
    job: &JobName,
    stored: repository::Level,
    identities: Option<&Arc<Identities>>,
    memory: &Memory,
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
    let gone = memory.disappeared(job, &view);
    let disappeared = !gone.is_empty();
    report.damage.extend(gone);
    let tail = view.head();
    let name = |number: &u64| format!("{job}/{number}");
    let verified = JobVerified {
        job: job.to_string(),
        tail: tail.map(|tail| tails::line(repository.id(), job, tail.into())),
        sample: match stored {
            repository::Level::Slice(slice) => Some(sample::name(slice)),
            _ => None,
        },
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
        disappeared,
        untrusted: report.untrusted.iter().map(name).collect(),
        foreign_prunes: ForeignPrune::all(job, &report.foreign_prunes, &view, &trust),
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
            .into_iter()
            .map(|damage| DamageRow::of(job, damage))
            .collect(),
    };
    Ok((verified, tail))
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
            if let Some(sample) = &job.sample {
                write!(f, " (part {sample} of the packs)")?;
            }
            if self.level == "full" {
                write!(f, ", {} read", counted(*entries, "entry", "entries"))?;
            }
            let looked = job.unopened.is_empty() && job.sample.is_none();
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
                if let Some(meaning) = row.meaning {
                    write!(f, " ({meaning})")?;
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
            for row in &job.foreign_prunes {
                writeln!(f, "  {row}")?;
            }
        }
        Ok(())
    }
}
