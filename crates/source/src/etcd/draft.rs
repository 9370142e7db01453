use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::Content;
use rustix::fs::{AtFlags, CWD, RenameFlags, linkat, renameat_with};
#[cfg(target_os = "linux")]
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use tokio::fs::OpenOptions;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::shown;
use super::snapshot::Verifier;
use crate::{Contents, Error, ErrorKind};

/// A file on its way to its place, in the same folder, readable by its owner only. Gone when dropped, unless published.
///
/// It has no name, so that nothing is left of it whatever ends us, a `kill -9` and a power cut included. Some filesystems have no files
/// without a name: there, a crash leaves it behind under a name that starts with a dot and ends in `.partial`, which is never taken for the
/// real one.
pub(super) struct Draft {
    path: PathBuf,
    /// For messages: what it is or where.
    shown: PathBuf,
    named: bool,
    file: Arc<File>,
}

/// What is read back at once: it stays in the processor's cache while it is hashed.
const PIECE: usize = 128 << 10;

static COUNT: AtomicU64 = AtomicU64::new(0);

impl Draft {
    /// An empty one beside `place`, whose folder must exist.
    pub(super) async fn beside(place: &Path) -> Result<Self, Error> {
        match nameless(folder(place)) {
            Some(file) => Ok(Self::without_name(file, folder(place))),
            None => Self::with_name(place).await,
        }
    }

    fn without_name(file: OwnedFd, folder: &Path) -> Self {
        // By which we and the programs that we start can open it.
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Self {
            path: path.into(),
            shown: folder.to_path_buf(),
            named: false,
            file: Arc::new(file.into()),
        }
    }

    async fn with_name(place: &Path) -> Result<Self, Error> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder(place).join(format!(".{name}.{}-{number}.partial", std::process::id()));
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .await;
        let file = opened.map_err(|cause| cannot("create", &path, cause))?;
        Ok(Self {
            shown: path.clone(),
            path,
            named: true,
            file: Arc::new(file.into_std().await),
        })
    }

    /// Where it can be opened as long as this is there.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the current entry of `contents`. When this returns, it is a whole snapshot; not on the disk yet, where a file that is only read
    /// and then gone need not be.
    pub(super) async fn fill(&mut self, contents: &mut dyn Contents) -> Result<(), Error> {
        let verifier = self.take(contents, Some(Verifier::default())).await?;
        judge(verifier.expect("it was handed in"))
    }

    /// Takes the current entry of `contents` as it is. Whether that is a whole snapshot is for [`verify`](Self::verify) to say.
    pub(super) async fn fill_unverified(
        &mut self,
        contents: &mut dyn Contents,
    ) -> Result<(), Error> {
        self.take(contents, None).await?;
        Ok(())
    }

    /// Reads back what was written. When this returns, it is a whole snapshot.
    pub(super) async fn verify(&self) -> Result<(), Error> {
        let path = self.path.clone();
        let read = spawn_blocking(move || read(&path)).await;
        let verifier = read.expect("reading does not panic");
        judge(verifier.map_err(|cause| cannot("read", &self.shown, cause))?)
    }

    async fn take(
        &mut self,
        contents: &mut dyn Contents,
        verifier: Option<Verifier>,
    ) -> Result<Option<Verifier>, Error> {
        contents.hold_back();
        let (sender, pieces) = mpsc::channel(2);
        let file = Arc::clone(&self.file);
        // Hashing and writing take about as long as opening, and go on beside it.
        let writing = spawn_blocking(move || write(&file, pieces, verifier));
        let fed = feed(contents, sender).await;
        let written = writing.await.expect("writing does not panic");
        fed?;
        written.map_err(|cause| cannot("write", &self.shown, cause))
    }

    /// Puts it on the disk and gives it its name, unless something has that name; then it is gone, and what was there is as it was.
    pub(super) async fn publish(self, place: &Path) -> Result<(), Error> {
        let file = Arc::clone(&self.file);
        let synced = spawn_blocking(move || file.sync_all()).await;
        let synced = synced.expect("syncing does not panic");
        synced.map_err(|cause| cannot("write", &self.shown, cause))?;
        let given = if self.named {
            rename_onto_nothing(&self.path, place)
        } else {
            linkat(CWD, &self.path, CWD, place, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
        };
        match given {
            Ok(()) => sync_folder(place).await,
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                let message = format!(
                    "{} exists: move it away, it is not overwritten",
                    shown(place)
                );
                Err(Error::new(ErrorKind::Conflict, message))
            }
            Err(cause) => Err(cannot("create", place, cause)),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named {
            // After publishing there is nothing of this name any more, and nothing else can be done about a failure.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Hands over the current entry, until all of it is or the other end has stopped.
async fn feed(contents: &mut dyn Contents, sender: mpsc::Sender<Content>) -> Result<(), Error> {
    while let Some(content) = contents.data().await? {
        if sender.send(content).await.is_err() {
            // It could not write, and says why itself.
            break;
        }
    }
    Ok(())
}

/// Writes what comes, and shows it to `verifier`, which is handed back.
fn write(
    mut file: &File,
    mut pieces: mpsc::Receiver<Content>,
    mut verifier: Option<Verifier>,
) -> io::Result<Option<Verifier>> {
    while let Some(content) = pieces.blocking_recv() {
        if let Some(verifier) = &mut verifier {
            verifier.feed(content.as_bytes());
        }
        file.write_all(content.as_bytes())?;
    }
    Ok(verifier)
}

fn read(path: &Path) -> io::Result<Verifier> {
    let mut file = File::open(path)?;
    let (mut verifier, mut piece) = (Verifier::default(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(verifier),
            length => verifier.feed(&piece[..length]),
        };
    }
}

fn judge(verifier: Verifier) -> Result<(), Error> {
    let judged = verifier.finish();
    judged.map(drop).map_err(|fault| {
        let message = format!("the captured etcd snapshot was not restored: {fault}");
        Error::new(ErrorKind::Invalid, message)
    })
}

/// A file in `folder` that has no name. `None`: the filesystem has no such files, or the system no way to reach them; or no file can be
/// made there at all, which the attempt to make one with a name will say.
#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> Option<OwnedFd> {
    if !Path::new("/proc/self/fd").is_dir() {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR).ok()
}

#[cfg(not(target_os = "linux"))]
fn nameless(_folder: &Path) -> Option<OwnedFd> {
    None
}

fn rename_onto_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some filesystems cannot; there, a second name is made, which never replaces either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => std::fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

async fn sync_folder(place: &Path) -> Result<(), Error> {
    let folder = folder(place);
    let opened = tokio::fs::File::open(folder).await;
    let opened = opened.map_err(|cause| cannot("open", folder, cause))?;
    opened
        .sync_all()
        .await
        .map_err(|cause| cannot("sync", folder, cause))
}

/// The folder that a path is in.
pub(super) fn folder(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn cannot(what: &str, path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Local, format!("cannot {what} {}", shown(path))).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    async fn is_private_and_never_replaces(make: impl AsyncFn(&Path) -> Draft, named: bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = || folder.path().read_dir().expect("readable").count();
        let place = folder.path().join("snapshot.db");
        let draft = make(&place).await;
        let mode = std::fs::metadata(draft.path())
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(files(), usize::from(named));

        std::fs::write(&place, "precious").expect("written");
        let error = draft.publish(&place).await.expect_err("the place is taken");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(
            std::fs::read_to_string(&place).expect("still there"),
            "precious"
        );
        assert_eq!(files(), 1);

        std::fs::remove_file(&place).expect("removed");
        let draft = make(&place).await;
        draft.publish(&place).await.expect("the place is free");
        assert_eq!(files(), 1);
        assert!(place.is_file());
    }

    #[tokio::test]
    async fn a_draft_is_private_and_never_replaces() {
        let make = async |place: &Path| Draft::with_name(place).await.expect("created");
        is_private_and_never_replaces(make, true).await;
    }

    #[tokio::test]
    async fn a_draft_without_a_name_is_private_and_never_replaces() {
        let folder = tempfile::tempdir().expect("a folder");
        if nameless(folder.path()).is_some() {
            let make = async |place: &Path| Draft::beside(place).await.expect("created");
            is_private_and_never_replaces(make, false).await;
        }
    }

    /// An entry that has no end.
    struct Endless;

    #[async_trait::async_trait]
    impl Contents for Endless {
        async fn next(&mut self) -> Result<Option<archive::Entry>, Error> {
            Ok(None)
        }

        async fn data(&mut self) -> Result<Option<Content>, Error> {
            Ok(Some(Content::new(vec![0; 1 << 16])))
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_ends_it() {
        let full = Path::new("/dev/full");
        let file = File::options().write(true).open(full);
        let mut draft = Draft {
            path: full.to_path_buf(),
            shown: full.to_path_buf(),
            named: false,
            file: Arc::new(file.expect("Linux has it")),
        };
        let error = draft.fill(&mut Endless).await.expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::Local);
        assert_eq!(error.to_string(), "cannot write /dev/full");
    }

    #[tokio::test]
    async fn a_missing_folder_is_named() {
        let error = Draft::beside(Path::new("/nowhere/at/all"))
            .await
            .err()
            .expect("no such folder");
        assert_eq!(error.kind(), ErrorKind::Local);
        assert!(error.to_string().contains("/nowhere/at/"), "{error}");
    }
}
