use std::io;
use std::path::{Path, PathBuf};

use archive::{Body, Digest, Entry};

use super::data_dir::DataDir;
use super::draft::{Draft, folder};
use super::settings::DATA_DIR;
use super::{ENTRY, shown};
use crate::{Action, Contents, Error, ErrorKind, RestoreOptions};

/// What a restore shall make of a snapshot.
pub(super) enum Target {
    /// The file as it is.
    File(PathBuf),
    /// A data directory for a new member.
    DataDir(DataDir),
}

impl Target {
    /// What the options ask for; `None` if they name no place.
    pub(super) fn asked_for(options: &RestoreOptions) -> Result<Option<Self>, Error> {
        let data_dir = DataDir::asked_for(options)?;
        match (&options.target, data_dir) {
            (None, None) => Ok(None),
            (None, Some(data_dir)) => Ok(Some(Self::DataDir(data_dir))),
            (Some(path), None) if path.is_dir() => Ok(Some(Self::File(path.join(ENTRY)))),
            (Some(path), None) => Ok(Some(Self::File(path.clone()))),
            (Some(_), Some(_)) => {
                let message = format!("--to and --{DATA_DIR} exclude each other: say one of them");
                Err(Error::new(ErrorKind::Configuration, message))
            }
        }
    }

    /// What restoring `entry` here would do. Nothing that exists is ever overwritten, whatever the policy.
    pub(super) async fn action(
        &self,
        entry: &Entry,
        notes: &mut Vec<String>,
    ) -> Result<Action, Error> {
        match self {
            Self::File(path) => file_action(path, entry).await,
            Self::DataDir(data_dir) => data_dir.action(entry, notes).await,
        }
    }

    /// Makes it of `entry`, the current one of `contents`, or nothing at all; says what to do next.
    pub(super) async fn restore(
        &self,
        entry: &Entry,
        contents: &mut dyn Contents,
    ) -> Result<Vec<String>, Error> {
        match self {
            Self::File(path) => {
                let mut draft = Draft::beside(path).await?;
                draft.fill(contents).await?;
                draft.publish(path).await?;
                Ok(vec![format!(
                    "{} is a verified snapshot: make a data directory of it with etcdutl snapshot restore",
                    shown(path)
                )])
            }
            Self::DataDir(data_dir) => data_dir.restore(entry, contents).await,
        }
    }
}

async fn file_action(path: &Path, entry: &Entry) -> Result<Action, Error> {
    must_have_folder(path)?;
    let metadata = match tokio::fs::symlink_metadata(path).await {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Action::Create),
        metadata => metadata.map_err(|cause| unreadable(path, cause))?,
    };
    if let Body::Blob { length, digest } = entry.body
        && metadata.is_file()
        && metadata.len() == length
        && digest_of(path).await? == digest
    {
        return Ok(Action::Same);
    }
    let reason = format!(
        "{} exists and is never overwritten: move it away",
        shown(path)
    );
    Ok(Action::Conflict { reason })
}

/// An error unless the folder that `path` is to stand in exists.
pub(super) fn must_have_folder(path: &Path) -> Result<(), Error> {
    let folder = folder(path);
    if folder.is_dir() {
        return Ok(());
    }
    let message = format!("there is no folder {}: make it first", shown(folder));
    Err(Error::new(ErrorKind::Local, message))
}

async fn digest_of(path: &Path) -> Result<Digest, Error> {
    let owned = path.to_path_buf();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut std::fs::File::open(owned)?, &mut hasher)?;
        Ok(hasher.finalize().into())
    });
    hashed
        .await
        .expect("hashing does not panic")
        .map_err(|cause| unreadable(path, cause))
}

pub(super) fn unreadable(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Local, format!("cannot read {}", shown(path))).because(cause)
}
