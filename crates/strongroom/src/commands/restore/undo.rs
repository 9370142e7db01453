//! The snapshot of what a restore is about to overwrite: in the job `JOB.undo`, of exactly those entries, with a
//! configuration that says where they lay.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use archive::Name;
use repository::{Repository, Snapshot};
use serde_json::{Value, json};
use source::Action;
use source::files::{Files, FilesOptions};

use super::Part;
use crate::commands::backup::{Task, take_snapshot};
use crate::config::resolve::Kind;
use crate::session::Session;
use crate::sources::{compresses, describe, files_options, texts};

/// Takes it, and says its name.
pub(super) async fn take(
    session: &Session,
    repository: &Repository,
    snapshot: &Snapshot,
    parts: &[Part<'_>],
) -> anyhow::Result<String> {
    let mut tasks = Vec::new();
    let mut described = Vec::new();
    for part in parts {
        let replaced: Vec<&Name> = replaced(part).collect();
        if !replaced.is_empty() {
            let (task, description) = task(part, &replaced)?;
            tasks.push(task);
            described.push(description);
        }
    }
    let configuration = configuration(session, snapshot, &described);
    let job = snapshot.job().undo();
    let taken = take_snapshot(session, repository, &job, &tasks, configuration, false).await?;
    Ok(taken.snapshot)
}

fn replaced<'a>(part: &'a Part<'_>) -> impl Iterator<Item = &'a Name> {
    let steps = part.plan.steps.iter();
    steps
        .filter(|step| matches!(step.action, Action::Update { .. }))
        .map(|step| &step.name)
}

/// What reads the entries that will be replaced, and how that is written into the snapshot's configuration.
fn task(part: &Part<'_>, replaced: &[&Name]) -> anyhow::Result<(Task, Value)> {
    let (source, only, description): (Box<dyn source::Source>, _, _) = match &part.settings.kind {
        Kind::Files(files) => {
            let root = part.options.target.as_deref();
            let root = root
                .map(std::fs::canonicalize)
                .transpose()
                .context("look at --to")?;
            let names: HashSet<Name> = replaced
                .iter()
                .map(|name| below(root.as_deref(), name))
                .collect();
            // Nothing is left out by a pattern: what is replaced is known by name.
            let paths = root.map_or_else(|| files_options(files).paths, |root| vec![root]);
            let options = FilesOptions {
                paths,
                ..FilesOptions::default()
            };
            let description = json!({"name": part.name, "files": {"paths": texts(&options.paths)}});
            (Box::new(Files::new(&options)?), Some(names), description)
        }
        // A program or a server that takes the whole, and can give the whole.
        Kind::Command(_) | Kind::Etcd(_) => {
            let source = crate::sources::build(part.settings, crate::sources::Secrets::Read)?;
            (source, None, describe(part.settings))
        }
    };
    let compress = compresses(&part.settings.kind);
    Ok((
        Task {
            name: part.name.to_owned(),
            compress,
            source,
            only,
        },
        description,
    ))
}

/// The name under which a file of a restore below `root` is captured there.
fn below(root: Option<&Path>, name: &Name) -> Name {
    let Some(root) = root else {
        return name.clone();
    };
    let path = root.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let bytes = path.as_os_str().as_bytes();
    Name::new(bytes.strip_prefix(b"/").unwrap_or(bytes))
}

fn configuration(session: &Session, snapshot: &Snapshot, sources: &[Value]) -> String {
    let name = snapshot.job().as_str();
    let job = name.strip_suffix(".undo").unwrap_or(name);
    let recipients: Vec<&str> = session
        .settings
        .recipients
        .iter()
        .map(|setting| setting.value.as_str())
        .collect();
    let configuration = json!({"recipients": recipients, "jobs": {job: {"sources": sources}}});
    let json = serde_json::to_string_pretty(&configuration).expect("JSON serializes");
    format!("# /undo of {}\n{json}\n", snapshot.name())
}
