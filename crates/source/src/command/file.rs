use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{Digest, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, fsync, open};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use crate::files::temporary::TemporaryNames;
use crate::{Action, Conflict, Contents, Error, ErrorKind};

/// What writing a blob of `length` and `digest` to `target` would do: a file that exists is never replaced.
pub(super) async fn action(
    target: PathBuf,
    length: u64,
    digest: Digest,
    conflict: Conflict,
) -> Result<Action, Error> {
    let looked = spawn_blocking(move || look(&target, length, digest, conflict));
    looked
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "a file was not compared").because(error))
}

fn look(target: &Path, length: u64, digest: Digest, conflict: Conflict) -> Action {
    match target.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = folder_of(target);
            if folder.is_dir() {
                return Action::Create;
            }
            Action::Unmanageable {
                reason: format!("{} is not a folder", name_of(folder)),
            }
        }
        Err(error) => Action::Unmanageable {
            reason: format!("{} cannot be looked at: {error}", name_of(target)),
        },
        Ok(found)
            if found.is_file() && found.len() == length && digest_of(target) == Some(digest) =>
        {
            Action::Same
        }
        Ok(_) if conflict == Conflict::Skip => Action::Skip {
            what: vec!["content".to_owned()],
        },
        Ok(_) => Action::Conflict {
            reason: format!("{} is there already and is never replaced", name_of(target)),
        },
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).ok()?).ok()?;
    Some(hasher.finalize().into())
}

/// Writes the current entry to the new file `target`, readable by its owner alone.
///
/// The file has its name only when it is whole and on disk; if this fails or is dropped, nothing is left.
pub(super) async fn write(target: &Path, contents: &mut dyn Contents) -> Result<(), Error> {
    let failed = |errno: Errno| {
        let message = format!("{} could not be written", name_of(target));
        Error::new(ErrorKind::Local, message).because(io::Error::from(errno))
    };
    let leaf = target.file_name().ok_or_else(|| failed(Errno::INVAL))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(folder_of(target), flags, Mode::empty()).map_err(failed)?;
    let folder: Arc<OwnedFd> = Arc::new(folder);
    let (temporary, file) = TemporaryNames::new().file(&folder).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(std::fs::File::from(file));
    let refused = |error: io::Error| {
        let message = format!("{} could not be written", name_of(target));
        Error::new(ErrorKind::Local, message).because(error)
    };
    while let Some(content) = contents.data().await? {
        file.write_all(content.as_bytes()).await.map_err(refused)?;
    }
    file.flush().await.map_err(refused)?;
    file.sync_all().await.map_err(refused)?;
    match temporary.publish_new(leaf.as_bytes()) {
        Err(Errno::EXIST) => {
            let message = format!(
                "{} came into being meanwhile and was not replaced; name a new file",
                name_of(target)
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        published => published.map_err(failed)?,
    }
    let synced = spawn_blocking(move || fsync(&folder)).await;
    synced
        .map_err(|error| refused(error.into()))?
        .map_err(failed)
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn name_of(path: &Path) -> Name {
    Name::new(path.as_os_str().as_bytes())
}
