use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use object_store::local::LocalFileSystem;

use super::{Creation, Store};

impl Store {
    /// A local directory, which must exist.
    ///
    /// Files and the folders that name them are synced before a create returns (object_store leaves that off by
    /// default: `apache/arrow-rs-object-store:src/local.rs`, `with_fsync`), and folders before they are used.
    ///
    /// An object is created if absent by a hard link. Some file systems have none: there a `single_writer` promises that nobody else
    /// writes.
    pub fn local(directory: &Path, single_writer: bool) -> std::result::Result<Self, crate::Error> {
        let place = directory.display().to_string();
        let missing = || crate::Error::NoRepository {
            place: place.clone(),
        };
        if std::fs::metadata(directory).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(missing());
        }
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|_| missing())?;
        let store = Self::new(Arc::new(store.with_fsync(true)), place);
        Ok(Self {
            folders: Some(Arc::new(Folders::below(directory.to_owned()))),
            creation: Creation::of(single_writer),
            ..store
        })
    }
}

/// The folders of a local repository: none takes an object before its own name, and those of the folders above it, are durable.
///
/// The store below makes folders too, and syncs those that it made. That is not enough: one that is there may have been made by a
/// process that was killed before it synced anything, or that is about to. A power cut would take it away with all that was
/// stored in it since, which its own files' syncs do not prevent.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    /// Those that this process has synced the names of. Held while it does, so that nobody relies on half of that.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    /// The root is there and durable: [`create_root`] sees to it before anything is stored.
    pub(crate) fn below(root: PathBuf) -> Self {
        Self {
            root,
            durable: Mutex::default(),
        }
    }

    /// The file of `object`, which is named from the root.
    pub(crate) fn path(&self, object: &Path) -> PathBuf {
        self.root.join(object)
    }

    /// Makes the folders above `object`, which is named from the root; on return their names are durable.
    pub(crate) fn make_above(&self, object: &Path) -> Result<()> {
        let mut durable = self.durable.lock().expect("nobody panics while syncing");
        let mut folders: Vec<&Path> = object.ancestors().skip(1).collect();
        folders.pop(); // the root
        for folder in folders.into_iter().rev() {
            if !durable.contains(folder) {
                make(&DirBuilder::new(), &self.root.join(folder))?;
                durable.insert(folder.to_owned());
            }
        }
        Ok(())
    }

    /// Removes a folder that is empty, for good: nothing will ever be stored in it again.
    pub(crate) fn remove(&self, folder: &Path) {
        if let Err(error) = std::fs::remove_dir(self.root.join(folder)) {
            tracing::debug!(folder = %folder.display(), %error, "a folder stays");
        }
    }
}

/// Makes a folder for a repository, and those above it that are missing, open to nobody else; on return all their names are
/// durable.
pub fn create_root(folder: &Path) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let (there, missing): (Vec<&Path>, Vec<&Path>) =
        folder.ancestors().partition(|folder| folder.is_dir());
    // Those that are there may have been made by one who was killed before he synced them. Most are older than that, and lie in
    // folders that are not ours to open: it is tried.
    for parent in there.iter().filter_map(|folder| folder.parent()) {
        match sync(parent) {
            Err(error) if !refused(&error) => return Err(error),
            _ => {}
        }
    }
    missing
        .iter()
        .rev()
        .try_for_each(|folder| make(&builder, folder))
}

/// Not ours to open, or of a file system that syncs no folders.
fn refused(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::InvalidInput
    )
}

/// Makes a folder if there is none, and syncs its name either way.
fn make(builder: &DirBuilder, folder: &Path) -> Result<()> {
    match builder.create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let parent = folder.parent();
    sync(parent.ok_or_else(|| Error::from(ErrorKind::NotADirectory))?)
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all()
}
