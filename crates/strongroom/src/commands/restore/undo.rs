//! The snapshot of what a restore is about to overwrite: in the job `JOB.undo`, of exactly those entries, with a
//! configuration that says where they lay.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use archive::Name;
use repository::{Repository, Snapshot};
use serde_json::{Value, json};
use source::Action;
use source::files::{Files, FilesOptions};
use source::kubernetes::{Kubernetes, Places};

use super::Part;
use crate::config::resolve::Kind;
use crate::session::Session;
use crate::sources::{cluster, compresses, describe, files_options, live_keys, texts};
use crate::take::{Shot, Task, take_snapshot};

/// So many paths are looked for one by one.
const PATHS_MAX: usize = 5000;

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
    let expected: Option<usize> = tasks
        .iter()
        .map(|task| task.only.as_ref().map(HashSet::len))
        .sum();
    let shot = Shot {
        job: &job,
        tasks: &tasks,
        configuration,
        allow_partial: false,
        window: None,
        times: None,
    };
    let taken = take_snapshot(session, repository, shot).await?;
    if let Some(expected) = expected
        && taken.entries != expected as u64
    {
        bail!(
            "{} of {expected} entries were found to keep in {}",
            taken.entries,
            taken.snapshot
        );
    }
    Ok(taken.snapshot)
}

fn replaced<'a>(part: &'a Part<'_>) -> impl Iterator<Item = &'a Name> {
    let steps = part.plan.steps.iter();
    let replaced = steps.filter(|step| matches!(step.action, Action::Update { .. }));
    replaced.map(|step| &step.name).chain(&part.plan.extra)
}

/// What reads the entries that will be replaced, and how that is written into the snapshot's configuration.
fn task(part: &Part<'_>, replaced: &[&Name]) -> anyhow::Result<(Task, Value)> {
    type Parts = (Box<dyn source::Source>, Option<HashSet<Name>>, Value);
    let (source, only, description): Parts = match (&part.settings.kind, &part.keys) {
        (Kind::Files(files), _) => {
            let root = part.options.target.as_deref();
            let root = root
                .map(std::fs::canonicalize)
                .transpose()
                .context("look at --to")?;
            let names: HashSet<Name> = replaced
                .iter()
                .map(|name| below(root.as_deref(), name))
                .collect();
            // The entries themselves, and not what is configured: that may have changed since the snapshot.
            let options = FilesOptions {
                paths: outermost(&names),
                ..FilesOptions::default()
            };
            let configured = root.map_or_else(|| files_options(files).paths, |root| vec![root]);
            let description = json!({"name": part.name, "files": {"paths": texts(&configured)}});
            (Box::new(Files::new(&options)?), Some(names), description)
        }
        (Kind::Kubernetes(settings), _) => {
            let places = Places::of(&part.options)?;
            let names: HashSet<Name> = replaced.iter().map(|name| places.place(name)).collect();
            let source = Kubernetes::holding(settings.options(), &names);
            let description = json!({"name": part.name, "kubernetes": cluster(settings)});
            (Box::new(source), Some(names), description)
        }
        (Kind::Etcd(_), Some(api_server)) => {
            let source = live_keys(part.settings, api_server, replaced)?;
            let names = replaced.iter().map(|name| (*name).clone()).collect();
            (source, Some(names), describe(part.settings))
        }
        // A program or a server that takes the whole, and can give the whole.
        (Kind::Command(_) | Kind::Etcd(_), _) => {
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

/// Paths under which all of `names` are found: themselves, but not what lies in one of the others; their folders, if they
/// are very many.
fn outermost(names: &HashSet<Name>) -> Vec<PathBuf> {
    let path = |name: &Name| Path::new("/").join(OsStr::from_bytes(name.as_bytes()));
    let mut paths: Vec<PathBuf> = names.iter().map(path).collect();
    loop {
        // By components, so that what is in a folder comes right after it.
        paths.sort();
        let mut outer: Vec<PathBuf> = Vec::new();
        for path in paths {
            if !outer.last().is_some_and(|last| path.starts_with(last)) {
                outer.push(path);
            }
        }
        if outer.len() <= PATHS_MAX {
            return outer;
        }
        paths = outer
            .iter()
            .filter_map(|path| path.parent())
            .map(Path::to_owned)
            .collect();
    }
}

/// The name under which a file of a restore below `root` is captured there.
fn below(root: Option<&Path>, name: &Name) -> Name {
    let Some(root) = root else {
        return name.clone();
    };
    let path = root.join(OsStr::from_bytes(name.as_bytes()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn outer(names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| Name::from(*name)).collect();
        texts(&outermost(&names))
    }

    #[test]
    fn paths_are_those_of_the_entries_and_none_lies_in_another() {
        assert_eq!(
            outer(&["a/b", "a.txt", "a", "a/b/c", "b/c"]),
            ["/a", "/a.txt", "/b/c"]
        );
        let many: Vec<String> = (0..=PATHS_MAX)
            .map(|n| format!("x/{}/{n}", n % 7))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            outer(&many),
            ["/x/0", "/x/1", "/x/2", "/x/3", "/x/4", "/x/5", "/x/6"]
        );
    }

    #[test]
    fn a_restore_elsewhere_is_captured_where_it_is() {
        let name = Name::from("etc/app");
        assert_eq!(below(None, &name), name);
        assert_eq!(
            below(Some(Path::new("/tmp/x")), &name),
            Name::from("tmp/x/etc/app")
        );
        assert_eq!(below(Some(Path::new("/")), &name), name);
    }
}
