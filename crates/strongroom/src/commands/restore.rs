//! `restore`: always a plan first, then a question, then a snapshot of what will be overwritten, then exactly the plan.

mod damaged;
mod printed;
mod undo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use format::Incomplete;
use repository::{Repository, Select, Snapshot};
use source::etcd::{API_SERVER_KEYS, ApiServer};
use source::kubernetes::PRUNE_EXTRA;
use source::{Action, Plan, Report, RestoreOptions, Source};

use crate::captured::{Planned, Selection};
use crate::cli::{self, Conflict, Inside, Only, Restore};
use crate::config::resolve::SourceSettings;
use crate::entry::Named;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inside::{self, Wants};
use crate::names::{counted, nearest};
use crate::objects::{installation, missing, nothing_matches};
use crate::progress::Progress;
use crate::session::Session;
use crate::sources::{Secrets, build, live_keys, restore_settings};
use crate::units::now;
use crate::wanted::Wanted;

use damaged::Damaged;
use printed::PlannedSource;

pub(crate) use printed::Restored;

/// A source of the snapshot on its way back.
struct Part<'a> {
    index: usize,
    name: &'a str,
    settings: &'a SourceSettings,
    /// Which keys are an API server's, if it is keys that come back.
    keys: Option<ApiServer>,
    source: Box<dyn Source>,
    options: RestoreOptions,
    plan: Plan,
    bytes: u64,
    /// What was chosen and is not there to be restored: it was not captured, or it lies inside and could not be opened.
    missing: Vec<&'a Incomplete>,
}

/// Plans the restore, prints the plan, and, if that is wanted, carries it out.
pub(crate) async fn restore(session: &Session, restore: &Restore) -> anyhow::Result<Restored> {
    let repository = session.open_remembered().await?;
    let wants = Wants::Live {
        only: &restore.only,
        past_the_server: restore.settings.0.contains_key(API_SERVER_KEYS),
    };
    let named = &restore.snapshot;
    let snapshot = inside::open(session, &repository, named, &restore.inside, wants).await?;
    let mut wanted = Wanted::new(session, &snapshot)?;
    if restore.inside.wanted {
        refuse_nothing(&snapshot, &restore.only, &restore.inside)?;
        wanted.look_inside(restore.into.as_ref(), &restore.source)?;
    }
    let only = if restore.certificates {
        certificates(session, &snapshot, &restore.inside).await?
    } else {
        restore.only.clone()
    };
    let (parts, damaged) = plan(session, &snapshot, &wanted, restore, &only).await?;
    let mut restored = Restored::new(
        &snapshot,
        restore.dry_run,
        parts.iter().map(PlannedSource::new).collect(),
        damaged,
    );
    let refused = refuse_conflicts(&parts);
    // A script reads all of it at the end, unless this is the end.
    if refused.is_err() || !session.output.json() {
        session.output.answer(&restored)?;
    }
    refused?;
    let (writes, replaces) = (count(&parts, Action::writes), count(&parts, replaces));
    let deletes = parts.iter().map(|part| part.plan.extra.len()).sum();
    if restore.dry_run || writes + deletes == 0 {
        return Ok(restored);
    }
    refuse_disagreement(&parts)?;
    if !restore.yes {
        agree(session, writes, replaces, deletes).await?;
    }
    if replaces + deletes > 0 && !restore.no_undo {
        let taken = undo::take(session, &repository, &snapshot, &parts).await;
        let taken = taken.map_err(|error| {
            let message = "nothing was restored: what would be overwritten could not be kept";
            let exit = crate::exit::of(&error);
            error.context(
                Failure::new(exit, message).hint("--no-undo overwrites without keeping it"),
            )
        })?;
        session
            .output
            .note(format_args!("what will be overwritten is kept as {taken}"));
        restored.undo = Some(taken);
    }
    write(session, &repository, &snapshot, &parts, &mut restored).await?;
    Ok(restored)
}

/// Where nothing matches, it does not matter to whom it belongs.
fn refuse_nothing(snapshot: &Snapshot, only: &[Only], inside: &Inside) -> Result<(), Failure> {
    let mut sources = snapshot.manifest().sources.iter();
    match only {
        [first, ..] if sources.all(|it| it.entries == 0 && it.incomplete.is_empty()) => {
            Err(nothing_matches(snapshot, first, inside))
        }
        _ => Ok(()),
    }
}

/// The Secrets that a new installation of DataRobot takes its certificates from.
async fn certificates(
    session: &Session,
    snapshot: &Snapshot,
    inside: &Inside,
) -> anyhow::Result<Vec<Only>> {
    let found = installation(snapshot, None, &[], inside).await?;
    let (certificates, notes) = found.certificates()?;
    for note in &notes {
        session.output.note(note);
    }
    if certificates.is_empty() {
        let message = format!(
            "{} names no certificates, so there is nothing to restore beforehand",
            snapshot.name()
        );
        return Err(Failure::new(Exit::Failure, message).into());
    }
    let namespace = found.namespace();
    let names = certificates
        .iter()
        .map(|it| format!("secrets/{namespace}/{}", it.secret));
    Ok(names.map(|name| Only::entry(&name)).collect())
}

/// Nothing is written without a yes.
async fn agree(
    session: &Session,
    writes: usize,
    replaces: usize,
    deletes: usize,
) -> anyhow::Result<()> {
    let writes = counted(writes as u64, "entry", "entries");
    let over = if replaces > 0 {
        format!(", {replaces} over what is there")
    } else {
        String::new()
    };
    let gone = if deletes > 0 {
        format!(", and delete {deletes}")
    } else {
        String::new()
    };
    match session
        .output
        .ask(&format!("Write {writes}{over}{gone}?"))
        .await?
    {
        Some(true) => Ok(()),
        Some(false) => {
            Err(Failure::new(Exit::Failure, "nothing was restored: that was not a yes").into())
        }
        None => {
            let message = "nothing was restored: nobody is at a terminal to agree to the plan";
            Err(Failure::usage(message).hint("--yes").into())
        }
    }
}

async fn plan<'a>(
    session: &Session,
    snapshot: &'a Snapshot,
    wanted: &'a Wanted<'_>,
    restore: &Restore,
    only: &'a [Only],
) -> anyhow::Result<(Vec<Part<'a>>, Vec<Damaged>)> {
    let sources = &snapshot.manifest().sources;
    for name in &restore.source {
        if !sources.iter().any(|source| source.name == *name) {
            return Err(no_source(snapshot, name).into());
        }
    }
    let chosen = |name: &String| restore.source.is_empty() || restore.source.contains(name);
    let chosen: Vec<usize> = (0..sources.len())
        .filter(|index| chosen(&sources[*index].name))
        .collect();
    refuse_settings(snapshot, restore, &chosen, only)?;
    let mut meant = cli::Chosen::new(only);
    let (mut parts, mut damaged, began) = (Vec::new(), Vec::new(), now());
    for index in &chosen {
        let name = &sources[*index].name;
        let found = if restore.despite_damage {
            Damaged::find(session, snapshot, *index, only).await?
        } else {
            Damaged::default()
        };
        if found.is_all() {
            damaged.push(found);
            continue;
        }
        let target = target(restore.to.as_deref(), name, chosen.len())?;
        let secrets = if target.is_some() {
            Secrets::Leave
        } else {
            Secrets::Read
        };
        let settings = wanted.settings(*index, target.is_some())?;
        let keys = wanted.has_keys(*index);
        let keys = keys.then(|| ApiServer::new(&restore.inside.etcd_prefix));
        let source = match &keys {
            Some(api_server) => live_keys(settings, api_server, &[])?,
            None => build(settings, secrets)?,
        };
        let options = RestoreOptions {
            target,
            conflict: policy(restore.conflict),
            moment: began.clone(),
            settings: settings_for(restore, settings.kind.name()),
        };
        let missing = missing(&sources[*index], &mut meant);
        if missing.len() < sources[*index].incomplete.len() {
            note_more_missing(session, snapshot, name);
        }
        let named = Named::of(&sources[*index]);
        let mut entries = Selection::new(snapshot.entries(*index), named, &mut meant, &found.lost);
        let plan = source.plan(&mut entries, &options).await;
        let plan = plan
            .with_context(|| format!("plan the restore of source `{name}`"))
            .map_err(|error| with_way_out(error, snapshot))?;
        let lengths = plan.steps.iter().zip(&entries.lengths);
        let bytes = lengths
            .filter(|(step, _)| step.action.writes())
            .map(|(_, length)| length)
            .sum();
        parts.push(Part {
            index: *index,
            name,
            settings,
            keys,
            source,
            options,
            plan,
            bytes,
            missing,
        });
        if !found.is_nothing() {
            damaged.push(found);
        }
    }
    if parts.is_empty() && !damaged.is_empty() {
        let message = format!(
            "nothing was restored: all that was chosen of {} is damaged",
            snapshot.name()
        );
        return Err(Failure::new(Exit::Damage, message).hint(REPAIR).into());
    }
    // What is lost has matched as well, and may have been all that did.
    let lost = damaged.iter().any(Damaged::is_all);
    match meant.unused().filter(|_| !lost) {
        Some(unused) => Err(nothing_matches(snapshot, unused, &restore.inside).into()),
        None => Ok((parts, damaged)),
    }
}

/// A pattern may mean what could not even be listed, and cannot match its name.
fn note_more_missing(session: &Session, snapshot: &Snapshot, source: &str) {
    let snapshot = snapshot.name();
    session.output.note(format_args!(
        "{snapshot} is partial: what else is missing from source `{source}` is said by `strongroom show {snapshot}`"
    ));
}

const REPAIR: &str = "strongroom repair, if another repository has what is damaged";

/// Says of damage what can be done in spite of it.
fn with_way_out(error: anyhow::Error, snapshot: &Snapshot) -> anyhow::Error {
    if crate::exit::of(&error) != Exit::Damage {
        return error;
    }
    let message = format!("{} cannot be restored whole", snapshot.name());
    let hint = format!("{REPAIR}; or --despite-damage, which leaves out the damaged entries");
    error.context(Failure::new(Exit::Damage, message).hint(hint))
}

/// What a source is told must be for one that is restored, and must not delete what is only left out.
fn refuse_settings(
    snapshot: &Snapshot,
    restore: &Restore,
    chosen: &[usize],
    only: &[Only],
) -> Result<(), Failure> {
    let sources = &snapshot.manifest().sources;
    for setting in restore.settings.0.keys() {
        let mut kinds = settings_of(setting);
        if kinds.any(|kind| chosen.iter().any(|index| sources[*index].kind == kind)) {
            continue;
        }
        let kinds: Vec<&str> = settings_of(setting).collect();
        let kinds = kinds.join(" or ");
        let message =
            format!("--{setting} is for a source of the kind {kinds}, and none is restored");
        return Err(Failure::usage(message).hint(format!("strongroom show {}", snapshot.name())));
    }
    if restore.settings.0.contains_key(PRUNE_EXTRA) {
        refuse_pruning(snapshot, restore, chosen, only)?;
    }
    Ok(())
}

/// What is not in what is restored must not be in the snapshot either, or it would be deleted for no more than that.
fn refuse_pruning(
    snapshot: &Snapshot,
    restore: &Restore,
    chosen: &[usize],
    only: &[Only],
) -> Result<(), Failure> {
    if !only.is_empty() {
        let message = "--prune-extra deletes what the whole snapshot does not have, so it cannot go together with --only";
        return Err(Failure::usage(message));
    }
    let sources = &snapshot.manifest().sources;
    let mut missing = chosen.iter().flat_map(|index| &sources[*index].incomplete);
    if let Some(Incomplete { name, reason }) = missing.next() {
        let message = format!(
            "--prune-extra would delete what is only missing in {}, such as {name} ({reason})",
            snapshot.name()
        );
        return Err(
            Failure::usage(message).hint("take a whole snapshot, or leave out --prune-extra")
        );
    }
    if restore.despite_damage {
        let message = "--prune-extra would delete what is only damaged in the snapshot, so it cannot go together with --despite-damage";
        return Err(Failure::usage(message));
    }
    Ok(())
}

/// The kinds of sources that can be told `setting`.
fn settings_of(setting: &str) -> impl Iterator<Item = &'static str> {
    let known = restore_settings();
    known.filter_map(move |(kind, known)| (known.name == setting).then_some(kind))
}

/// What a source of `kind` is told of what was said.
fn settings_for(restore: &Restore, kind: &str) -> BTreeMap<String, String> {
    let said = restore.settings.0.iter();
    let said = said.filter(|(setting, _)| settings_of(setting).any(|of| of == kind));
    said.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn policy(conflict: Conflict) -> source::Conflict {
    match conflict {
        Conflict::Fail => source::Conflict::Fail,
        Conflict::Skip => source::Conflict::Skip,
        Conflict::Overwrite => source::Conflict::Overwrite,
    }
}

/// Where a source goes: as it was said, or, if there are several, each into a folder or file of its own name.
fn target(to: Option<&Path>, source: &str, sources: usize) -> anyhow::Result<Option<PathBuf>> {
    let Some(to) = to else { return Ok(None) };
    let to = std::path::absolute(to).context("--to is empty")?;
    if sources == 1 {
        return Ok(Some(to));
    }
    if !to.is_dir() {
        let message = format!(
            "{sources} sources go to folders and files below {}, which is no folder",
            to.display()
        );
        return Err(Failure::usage(message)
            .hint("make it first, or choose one with --source NAME")
            .into());
    }
    Ok(Some(to.join(source)))
}

fn no_source(snapshot: &Snapshot, name: &str) -> Failure {
    let names: Vec<&str> = snapshot
        .manifest()
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    let failure = Failure::usage(format!("{} has no source {name}", snapshot.name()));
    match nearest(name, names.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("its sources are {}", names.join(", "))),
    }
}

fn replaces(action: &Action) -> bool {
    matches!(action, Action::Update { .. })
}

fn count(parts: &[Part<'_>], is: fn(&Action) -> bool) -> usize {
    let steps = parts.iter().flat_map(|part| &part.plan.steps);
    steps.filter(|step| is(&step.action)).count()
}

/// A plan with a conflict is not carried out, not even in part; what is unmanageable is left out and counted.
fn refuse_conflicts(parts: &[Part<'_>]) -> Result<(), Failure> {
    let conflicts = count(parts, |action| matches!(action, Action::Conflict { .. }));
    if conflicts == 0 {
        return Ok(());
    }
    let conflicts = counted(conflicts as u64, "entry is", "entries are");
    let message = format!("nothing was restored: {conflicts} in the way");
    let all_of = |kind: &str| parts.iter().all(|part| part.settings.kind.name() == kind);
    let hint = if parts.iter().all(|part| part.keys.is_some()) {
        "--conflict skip, or --conflict overwrite"
    } else if all_of("kubernetes") {
        "--conflict skip, --conflict overwrite, or --map-namespace A=B into another namespace"
    } else if all_of("etcd") {
        "another place; --replace moves a data directory aside that is not in use"
    } else {
        "--conflict skip, --conflict overwrite, or --to another place"
    };
    Err(Failure::new(Exit::Conflict, message).hint(hint))
}

/// Only as much is deleted as somebody has seen in a plan.
fn refuse_disagreement(parts: &[Part<'_>]) -> Result<(), Failure> {
    for part in parts {
        let extra = part.plan.extra.len();
        let agreed = part.options.settings.get(PRUNE_EXTRA);
        if agreed.is_some_and(|agreed| *agreed != extra.to_string()) {
            let message = format!(
                "nothing was restored: {} would be deleted from {}",
                counted(extra as u64, "object", "objects"),
                part.name
            );
            return Err(Failure::new(Exit::Conflict, message)
                .hint(format!("look at the plan, then --{PRUNE_EXTRA} {extra}")));
        }
    }
    Ok(())
}

async fn write(
    session: &Session,
    repository: &Repository,
    snapshot: &Snapshot,
    parts: &[Part<'_>],
    restored: &mut Restored,
) -> anyhow::Result<()> {
    let bytes = parts.iter().map(|part| part.bytes).sum();
    let progress = Progress::new(
        session.output,
        &format!("restore {}", snapshot.name()),
        Some(bytes),
    );
    tracing::info!(repository = %repository.id(), snapshot = snapshot.name(), bytes, "restore started");
    for part in parts {
        let writes = part.plan.steps.iter().any(|step| step.action.writes());
        if !writes && part.plan.extra.is_empty() {
            continue;
        }
        let select = if part.plan.steps.len() > 1 {
            Select::Most
        } else {
            Select::Few
        };
        let reader = snapshot.entries(part.index).selecting(select);
        let mut contents = Planned::new(reader, &part.plan, &progress);
        let report = part
            .source
            .write(&part.plan, &mut contents, &part.options)
            .await;
        let report: Report = report
            .with_context(|| format!("restore source `{}`", part.name))
            .map_err(|error| with_way_out(error, snapshot))?;
        restored.report(part.name, report);
    }
    Ok(())
}

impl Part<'_> {
    fn describe(&self) -> String {
        let kind = self.settings.kind.name();
        match &self.options.target {
            None => format!("{} ({kind})", self.name),
            Some(target) => format!("{} ({kind}) to {}", self.name, target.display()),
        }
    }
}
