use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use foreign::Files;
use foreign::datarobot::Certificate;
use source::kubernetes::Manifests;
use source::{Capture, Incomplete};
use zeroize::Zeroizing;

use super::INPUT_MAX;
use crate::cli::Import;
use crate::config::resolve::{self, Kind, SourceSettings};
use crate::exit::Exit;
use crate::failure::Failure;

/// A procedure makes some hundreds.
const FILES_MAX: usize = 20_000;
/// `secrets/certs/NAME.crt`.
const DEPTH_MAX: usize = 3;

/// The Secrets in the folder that is named, for the source that `settings` describe.
pub(super) fn read(import: &Import, settings: &SourceSettings) -> anyhow::Result<Manifests> {
    let [folder] = &import.files[..] else {
        return Err(Failure::usage("--layout takes one folder").into());
    };
    let cluster = match &settings.kind {
        Kind::Kubernetes(cluster) => Some(cluster.as_ref()),
        _ => None,
    };
    let preset = cluster.and_then(|cluster| cluster.preset.as_ref());
    let namespace = namespace(import, cluster)?;
    let release = preset.map_or("dr", |preset| &preset.release.value);
    let root = root(folder)?;
    let mut walk = Walk {
        files: Files::new(),
        left: INPUT_MAX,
    };
    walk.folder(&root, "secrets", 1)?;
    let paths = import.certificate.iter();
    let paths: BTreeMap<String, String> = paths
        .map(|it| (it.secret.clone(), it.path.clone()))
        .collect();
    let imported = foreign::datarobot::import(&walk.files, release, &namespace, &paths);
    let imported = imported.with_context(|| format!("import {}", folder.display()))?;
    let mut manifests = Manifests::new(Some(namespace.clone()));
    for object in imported.objects {
        let added = manifests.add(object);
        added.with_context(|| format!("import {}", folder.display()))?;
    }
    if manifests.is_empty() {
        let message = format!(
            "there is no Secret in {}, and neither of the two keys, so no snapshot was taken",
            folder.display()
        );
        return Err(Failure::new(Exit::Failure, message).into());
    }
    let mut known = Capture {
        notes: imported.notes,
        ..Capture::default()
    };
    let missing = imported.missing.into_iter();
    known.incomplete = missing
        .map(|(name, reason)| Incomplete { name, reason })
        .collect();
    known.facts = Certificate::facts(&imported.certificates);
    for (name, value) in [("release", release), ("namespace", &namespace)] {
        known
            .facts
            .insert(format!("datarobot.{name}"), value.to_owned());
    }
    manifests.know(known);
    Ok(manifests)
}

fn namespace(import: &Import, cluster: Option<&resolve::Kubernetes>) -> Result<String, Failure> {
    let chosen = cluster.map_or(&[][..], |cluster| &cluster.namespaces);
    match (&import.namespace, chosen) {
        (Some(namespace), _) => Ok(namespace.clone()),
        (None, [one]) if !one.value.contains(['*', '?', '[', '{']) => Ok(one.value.clone()),
        _ => Err(Failure::usage(
            "the folder does not say which namespace it is of, and neither does the source",
        )
        .hint("--namespace NAMESPACE")),
    }
}

/// The folder `secrets`: in the one that is named, or that one itself.
fn root(folder: &Path) -> Result<PathBuf, Failure> {
    let below = folder.join("secrets");
    if below.is_dir() {
        return Ok(below);
    }
    if folder.is_dir() && folder.file_name().is_some_and(|name| name == "secrets") {
        return Ok(folder.to_owned());
    }
    let message = format!(
        "{} has no folder secrets, so it is none of DataRobot's procedure",
        folder.display()
    );
    Err(Failure::new(Exit::Failure, message).hint("the folder is what BACKUP_LOCATION was set to"))
}

struct Walk {
    files: Files,
    left: u64,
}

impl Walk {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> anyhow::Result<()> {
        let listed = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in listed {
            let entry = entry.with_context(|| format!("read {}", folder.display()))?;
            let path = entry.path();
            let kind = entry
                .file_type()
                .with_context(|| format!("look at {}", path.display()))?;
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            if kind.is_dir() && depth < DEPTH_MAX {
                self.folder(&path, &name, depth + 1)?;
            } else if kind.is_file() {
                self.file(&path, name)?;
            } else {
                // A link could lead anywhere.
                let message = format!(
                    "{} is neither a file nor a folder of the procedure's",
                    path.display()
                );
                return Err(Failure::new(Exit::Failure, message).into());
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> anyhow::Result<()> {
        let mut content = Zeroizing::new(Vec::new());
        File::open(path)
            .and_then(|file| file.take(self.left + 1).read_to_end(&mut content))
            .with_context(|| format!("read {}", path.display()))?;
        let left = self.left.checked_sub(content.len() as u64);
        let too_much = || {
            Failure::new(
                Exit::Failure,
                "the folder is larger than any that the procedure makes",
            )
        };
        self.left = left
            .filter(|_| self.files.len() < FILES_MAX)
            .ok_or_else(too_much)?;
        self.files.insert(name, content);
        Ok(())
    }
}
