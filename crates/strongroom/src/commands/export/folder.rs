use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
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
}

impl Exported {
    pub(super) fn new(snapshot: &Snapshot, folder: &Path, made: Folder) -> Self {
        Self {
            snapshot: snapshot.name(),
            folder: folder.to_owned(),
            files: made.files.into_keys().collect(),
            notes: made.notes,
        }
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = counted(self.files.len() as u64, "file", "files");
        writeln!(f, "{}: {files} in {}", self.snapshot, self.folder.display())
    }
}

/// Somebody's folder is never written into.
pub(super) fn refuse_existing(folder: &Path) -> Result<(), Failure> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let message = format!(
        "{} is there already, so nothing was exported",
        folder.display()
    );
    Err(Failure::new(Exit::Conflict, message).hint("name a folder that is not there yet"))
}

/// Makes `folder` with all of `files`, for its owner only; or leaves nothing, unless it is killed: then a folder beside it that is named
/// after it and ends in `.partial`.
pub(super) fn write(folder: &Path, files: &Files) -> anyhow::Result<()> {
    // Without a slash at its end.
    let folder: PathBuf = folder.components().collect();
    let mut partial = OsString::from(&folder);
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = write_all(&partial, files).and_then(|()| {
        // A folder that somebody made meanwhile is empty, or this fails.
        fs::rename(&partial, &folder)
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
        let path = folder.join(path);
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
