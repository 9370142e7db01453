//! `import`: a snapshot of what lies in files of another tool, or a tool's whole history.

mod datarobot;
pub(crate) mod etcd_backup;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;
use format::JobName;
use serde_json::Value;
use source::kubernetes::Manifests;
use zeroize::Zeroizing;

use crate::cli::{Import, Layout};
use crate::commands::backup::{Backups, JobBackup};
use crate::config::resolve::{Job, Kind, SourceSettings};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::nearest;
use crate::session::Session;
use crate::sources::compresses;
use crate::take::{Shot, Task, take_snapshot};

/// So much is held in memory.
const INPUT_MAX: u64 = 1 << 30;

/// Reads all files, and then takes a snapshot of what is in them: of all of it or none.
pub(crate) async fn import(session: &Session, import: &Import) -> anyhow::Result<Backups> {
    let job = import.job.as_ref().expect("clap asks for it");
    let is_cluster = |kind: &Kind| matches!(kind, Kind::Kubernetes(_));
    let named = import.source.as_deref();
    let settings = source(session, job, named, "kubernetes", is_cluster)?;
    let manifests = match import.layout {
        None => manifests(import)?,
        Some(Layout::DataRobot) => datarobot::read(import, settings)?,
    };
    let repository = session.open().await?;
    let task = Task {
        name: settings.name.value.clone(),
        compress: compresses(&settings.kind),
        source: Box::new(manifests),
        only: None,
    };
    let shot = Shot {
        job,
        tasks: &[task],
        configuration: session.settings.configuration.clone(),
        allow_partial: import.allow_partial,
        window: None,
        times: None,
    };
    let taken = take_snapshot(session, &repository, shot).await?;
    Ok(Backups {
        jobs: vec![JobBackup::Taken(taken)],
        failures: Vec::new(),
    })
}

fn manifests(import: &Import) -> anyhow::Result<Manifests> {
    let mut manifests = Manifests::new(import.namespace.clone());
    let mut left = INPUT_MAX;
    for file in &import.files {
        let text = read(file, &mut left)?;
        let documents = parse(&text, file)?;
        for document in documents {
            let added = manifests.add(document);
            added.with_context(|| format!("import {}", file.display()))?;
        }
    }
    if manifests.is_empty() {
        let message = "there is no manifest in what was given, so no snapshot was taken";
        return Err(Failure::new(Exit::Failure, message).into());
    }
    Ok(manifests)
}

/// What `export` writes of the objects that `bytes`, which stand at `file`, are manifests of. Nothing is stored: it is what
/// `fuzz/` calls.
pub fn understand(file: &Path, bytes: Vec<u8>) -> Result<Vec<String>, String> {
    let said = |error: anyhow::Error| crate::output::chain(&error);
    let text = text_of(file, Zeroizing::new(bytes)).map_err(|error| said(error.into()))?;
    let mut manifests = Manifests::new(Some("default".to_owned()));
    for document in parse(&text, file).map_err(|error| said(error.into()))? {
        manifests
            .add(document)
            .map_err(|error| said(error.into()))?;
    }
    manifests.exported().map_err(|error| said(error.into()))
}

/// The source of a job, of this kind, that a restore of the snapshot will go by.
fn source<'s>(
    session: &'s Session,
    wanted: &JobName,
    named: Option<&str>,
    kind: &str,
    fits: impl Fn(&Kind) -> bool,
) -> Result<&'s SourceSettings, Failure> {
    let job = job(session, wanted)?;
    let mut fit: Vec<_> = job.sources.iter().collect();
    fit.retain(|it| fits(&it.kind) && named.is_none_or(|named| it.name.value == named));
    match (&fit[..], named) {
        ([one], _) => Ok(one),
        ([], Some(named)) => Err(Failure::usage(format!(
            "the job {wanted} has no source {named} of the kind {kind}"
        ))),
        ([], None) => Err(Failure::usage(format!(
            "the job {wanted} has no source of the kind {kind}, by which this could be restored"
        ))),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|it| it.name.value.as_str()).collect();
            let message = format!(
                "the job {wanted} has several sources of the kind {kind}: {}",
                names.join(", ")
            );
            Err(Failure::usage(message).hint("--source SOURCE"))
        }
    }
}

fn job<'s>(session: &'s Session, wanted: &JobName) -> Result<&'s Job, Failure> {
    let jobs = &session.settings.jobs;
    jobs.get(wanted).ok_or_else(|| {
        let failure = Failure::usage(format!("the configuration has no job {wanted}"));
        match nearest(wanted.as_str(), jobs.keys().map(JobName::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("strongroom config"),
        }
    })
}

fn read(file: &Path, left: &mut u64) -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if file == Path::new("-") {
        io::stdin().lock().take(*left + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(*left + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("read {}", file.display()))?;
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
        let message = format!(
            "more than {} MiB cannot be imported at a time",
            INPUT_MAX >> 20
        );
        Failure::new(Exit::Failure, message).hint("import a part of it into a snapshot of its own")
    })?;
    Ok(text_of(file, bytes)?)
}

fn text_of(file: &Path, mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Failure> {
    match String::from_utf8(std::mem::take(&mut bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            let message = format!("{} is not text, so it holds no manifests", file.display());
            Err(Failure::new(Exit::Failure, message))
        }
    }
}

/// The documents of a file. An error says where, and quotes nothing of it.
fn parse(text: &str, file: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |form: &str, at: Option<(u64, u64)>| {
        let place = at.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        let message = format!("{}{place}: this is not {form}", file.display());
        Failure::new(Exit::Failure, message)
    };
    let json = if text.trim_start().starts_with('{') {
        // One after another, as `kubectl get -o json` appended to a file leaves them.
        let documents = serde_json::Deserializer::from_str(text).into_iter();
        match documents.collect::<Result<_, _>>() {
            Ok(documents) => return Ok(documents),
            Err(error) => Some((error.line() as u64, error.column() as u64)),
        }
    } else {
        None
    };
    // Which may begin like JSON.
    serde_saphyr::from_multiple_with_options(text, limits()).map_err(|error| {
        let at = error.location().filter(|at| at.line() > 0);
        match (json, at) {
            (Some(json), _) if is_json(file) => wrong("JSON", Some(json)),
            (_, at) => wrong("YAML", at.map(|at| (at.line(), at.column()))),
        }
    })
}

fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "json")
}

/// As much as may be read, and no bombs of aliases.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 50_000_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: 64,
            max_documents: 1_000_000,
            max_total_scalar_bytes: INPUT_MAX as usize,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}
