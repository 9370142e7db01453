use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::shown;
use super::target::unreadable;
use crate::{Error, ErrorKind};

/// What there is where a data directory shall be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// Nothing, or an empty directory.
    Free,
    /// A directory with something in it, which nobody uses.
    Taken,
    /// The same, that cannot be renamed: another filesystem begins there, or the name does not end in one of its own.
    Fixed,
    /// The same, by way of a link: what was renamed would be the link, and the new directory would lie where the link does.
    Linked,
    /// An etcd runs on it.
    Running,
    /// Something else.
    NoDirectory,
}

impl Site {
    pub(super) fn at(path: &Path) -> Result<Self, Error> {
        match path.read_dir() {
            Ok(mut entries) => Ok(match entries.next() {
                None => Self::Free,
                Some(_) if is_running(path) => Self::Running,
                Some(_) if path.is_symlink() => Self::Linked,
                Some(_) if is_fixed(path) => Self::Fixed,
                Some(_) => Self::Taken,
            }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                // A link to nowhere is something.
                match path.symlink_metadata() {
                    Ok(_) => Ok(Self::NoDirectory),
                    Err(_) => Ok(Self::Free),
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => Ok(Self::NoDirectory),
            Err(cause) => Err(unreadable(path, cause)),
        }
    }

    /// Why nothing may be made at `path`, where this is.
    pub(super) fn obstacle(&self, path: &Path, replace: bool) -> Option<String> {
        let path = shown(path);
        match self {
            Self::Free => None,
            Self::Taken if replace => None,
            Self::Fixed if replace => Some(format!(
                "{path} cannot be moved aside, for it is a mount point or has no name of its own: empty it, or say a directory in it"
            )),
            Self::Linked if replace => Some(format!(
                "{path} is a symbolic link, which would be moved aside in place of the directory: say where it leads"
            )),
            Self::Taken | Self::Fixed | Self::Linked => Some(format!(
                "{path} is not an empty directory: move it away, it is not overwritten"
            )),
            Self::Running => Some(format!("an etcd runs on {path}: stop it first")),
            Self::NoDirectory => Some(format!(
                "{path} is no directory: move it away, it is not overwritten"
            )),
        }
    }
}

/// Whether no rename can move it. What cannot be asked for is found out when it is tried.
fn is_fixed(path: &Path) -> bool {
    if path.file_name().is_none() {
        return true; // `.`, `..` and `/`
    }
    let device = |path: &Path| path.metadata().map(|it| it.dev()).ok();
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = device(parent.unwrap_or(Path::new(".")));
    parent.is_some() && device(path) != parent
}

/// A member locks its database as long as it runs.
fn is_running(data_dir: &Path) -> bool {
    let Ok(database) = File::open(data_dir.join("member/snap/db")) else {
        return false;
    };
    // Given back at once, when the file is closed.
    let locked = flock(&database, FlockOperation::NonBlockingLockExclusive);
    locked.is_err_and(|error| error == Errno::WOULDBLOCK)
}

/// A directory that was moved out of the way; if this is dropped, it is put back.
pub(super) struct Aside {
    place: PathBuf,
    now: PathBuf,
    stays: bool,
}

impl Aside {
    /// Renames what is at `place` to a name beside it that nothing has, with `moment` in it.
    pub(super) fn make(place: &Path, moment: &str) -> Result<Self, Error> {
        let moment = moment.split('.').next().unwrap_or_default();
        let moment: String = moment.chars().filter(char::is_ascii_alphanumeric).collect();
        for number in 1..=100 {
            let mut name = place.file_name().unwrap_or_default().to_owned();
            name.push(format!(".replaced-{moment}"));
            if number > 1 {
                name.push(format!("-{number}"));
            }
            let now = place.with_file_name(name);
            match rename_onto_nothing(place, &now) {
                Ok(()) => {
                    return Ok(Self {
                        place: place.to_path_buf(),
                        now,
                        stays: false,
                    });
                }
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(immovable(place, cause)),
            }
        }
        Err(immovable(place, io::ErrorKind::AlreadyExists.into()))
    }

    /// Where it is for good.
    pub(super) fn keep(mut self) -> PathBuf {
        self.stays = true;
        self.now.clone()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.stays && rename_onto_nothing(&self.now, &self.place).is_err() {
            tracing::warn!(
                place = %shown(&self.place),
                now = %shown(&self.now),
                "what was moved aside could not be put back"
            );
        }
    }
}

fn rename_onto_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some filesystems cannot; a directory is never renamed over one that holds something.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if to.symlink_metadata().is_err() => {
            std::fs::rename(from, to)
        }
        renamed => Ok(renamed?),
    }
}

fn immovable(place: &Path, cause: io::Error) -> Error {
    let message = format!(
        "{} cannot be moved aside: if it is a mount point, empty it yourself",
        shown(place)
    );
    Error::new(ErrorKind::Local, message).because(cause)
}

/// A directory that was absent or empty and is being filled; if it is dropped, that is undone.
pub(super) struct Unfinished {
    path: PathBuf,
    existed: bool,
    finished: bool,
}

impl Unfinished {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            existed: path.exists(),
            finished: false,
        }
    }

    pub(super) fn keep(mut self) {
        self.finished = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // A failure leaves an incomplete directory, which the next restore would refuse to touch. A tool that was
        // killed this moment may still be making its last file.
        for _ in 0..20 {
            if self.undo().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Unfinished {
    fn undo(&self) -> io::Result<()> {
        if !self.existed {
            return match std::fs::remove_dir_all(&self.path) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        // The directory itself stays: it may be a mount point, and has its owner and mode.
        for entry in self.path.read_dir()? {
            std::fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(path: &Path) -> Site {
        Site::at(path).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn an_unfinished_directory_is_undone_and_a_finished_one_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (absent, empty) = (folder.path().join("absent"), folder.path().join("empty"));
        std::fs::create_dir(&empty).expect("made");
        for path in [&absent, &empty] {
            let unfinished = Unfinished::new(path);
            std::fs::create_dir_all(path.join("member/snap")).expect("made");
            drop(unfinished);
        }
        assert!(!absent.exists());
        assert!(site(&empty) == Site::Free && empty.exists());

        let unfinished = Unfinished::new(&absent);
        std::fs::create_dir_all(absent.join("member")).expect("made");
        unfinished.keep();
        assert!(absent.join("member").exists());
        assert_eq!(site(&absent), Site::Taken);
    }

    #[test]
    fn what_is_moved_aside_comes_back_or_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("data");
        std::fs::create_dir(&place).expect("made");
        std::fs::write(place.join("precious"), "x").expect("written");
        let moment = "2026-11-26T17:45:00.123Z";
        drop(Aside::make(&place, moment).unwrap_or_else(|error| panic!("{error}")));
        assert!(place.join("precious").exists());

        let aside = Aside::make(&place, moment).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(site(&place), Site::Free);
        let now = aside.keep();
        assert!(now.ends_with("data.replaced-20261126T174500"), "{now:?}");
        assert!(now.join("precious").exists());

        // The name is taken: another one is found, and nothing is replaced.
        std::fs::create_dir(&place).expect("made");
        let aside = Aside::make(&place, moment).unwrap_or_else(|error| panic!("{error}"));
        assert!(aside.keep().ends_with("data.replaced-20261126T174500-2"));
        assert!(now.join("precious").exists());
    }

    #[test]
    fn what_is_no_directory_and_what_is_locked_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("written");
        assert_eq!(site(&file), Site::NoDirectory);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("made");
        assert_eq!(site(&link), Site::NoDirectory);

        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("member/snap")).expect("made");
        std::fs::write(data.join("member/snap/db"), "x").expect("written");
        assert_eq!(site(&data), Site::Taken);
        let database = File::open(data.join("member/snap/db")).expect("opened");
        flock(&database, FlockOperation::LockExclusive).expect("nobody has it");
        assert_eq!(site(&data), Site::Running);
        assert!(Site::Running.obstacle(&data, true).is_some());
    }
}
