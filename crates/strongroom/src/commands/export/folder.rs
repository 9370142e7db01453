use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use foreign::Files;
use foreign::datarobot::Folder;
use repository::Snapshot;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;

/// A folder that was made of a snapshot.
#[derive(Serialize)]
pub(crate) struct Exported {
    snapshot: String,
    folder: PathBuf,
    files: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// What was chosen and is missing from a partial snapshot.
    #[serde(skip)]
    pub(crate) missing: Option<Failure>,
}

impl Exported {
    pub(super) fn new(
        snapshot: &Snapshot,
        folder: &Path,
        made: Folder,
        missing: Option<Failure>,
    ) -> Self {
        Self {
            snapshot: snapshot.name(),
            folder: folder.to_owned(),
            files: made.files.into_keys().collect(),
            notes: made.notes,
            missing,
        }
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = counted(self.files.len() as u64, "file", "files");
        writeln!(f, "{}: {files} in {}", self.snapshot, self.folder.display())
    }
}

/// The folder in which a layout of another tool's keeps its secrets.
const SECRETS: &str = "secrets";

/// What is there is never written into, nor beside files of another moment.
pub(super) fn refuse_existing(folder: &Path) -> Result<(), Failure> {
    let secrets = folder.join(SECRETS);
    let taken = if folder.is_dir() { &secrets } else { folder };
    if taken.symlink_metadata().is_err() {
        return Ok(());
    }
    let message = format!(
        "{} is there already, so nothing was exported",
        taken.display()
    );
    Err(Failure::new(Exit::Conflict, message)
        .hint("name a folder that is not there yet, or one without secrets/"))
}

/// Makes `secrets` in `folder` with all of `files`, for its owner only; or leaves nothing of it, unless it is killed: then `secrets.partial`.
pub(super) fn write(folder: &Path, files: &Files) -> anyhow::Result<()> {
    let (secrets, partial) = (folder.join(SECRETS), folder.join("secrets.partial"));
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    let made = builder.create(folder);
    made.with_context(|| format!("make the folder {}", folder.display()))?;
    let written = write_all(&partial, files).and_then(|()| {
        // A folder that somebody made meanwhile is empty, or this fails.
        fs::rename(&partial, &secrets)?;
        File::open(folder)?.sync_all()
    });
    written.or_else(|error| {
        // What it was that failed is more worth telling.
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_dir_all(&partial);
        }
        Err(error).with_context(|| format!("write {}", partial.display()))
    })
}

fn write_all(folder: &Path, files: &Files) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).create(folder)?;
    builder.recursive(true);
    for (path, content) in files {
        let path = path
            .strip_prefix(SECRETS)
            .and_then(|path| path.strip_prefix('/'));
        let path = folder.join(path.expect("all of a layout's files lie there"));
        if let Some(parent) = path.parent() {
            builder.create(parent)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let mut file = file?;
        file.write_all(content)?;
        file.sync_all()?;
    }
    Ok(())
}
