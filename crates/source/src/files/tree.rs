use std::collections::BTreeSet;
use std::sync::Arc;

use archive::Name;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, statat};
use rustix::io::Errno;

use super::read::text;

/// The live folders under a root, entered one component at a time and never through a link.
///
/// Folders above the paths that the operator configured are the exception, and only for a restore to the origin: a
/// system may have `/var/run` or `/home` as a link, and whoever can change that is root already.
pub(super) struct Tree {
    /// `None` if the root does not exist: then nothing in it does.
    root: Option<Arc<OwnedFd>>,
    may_be_links: BTreeSet<Vec<u8>>,
    entered: Vec<(Vec<u8>, Arc<OwnedFd>)>,
}

/// What to do about a folder that is not there, given its parent and its name in it.
type Missing<'a> = dyn FnMut(&Arc<OwnedFd>, &[u8]) -> Result<OwnedFd, Obstacle> + 'a;

/// Why a folder cannot be entered.
pub(super) enum Obstacle {
    /// It is not there.
    Missing,
    /// It is something else, or the system refused; one clause.
    InTheWay(String),
    /// The filesystem is full or has become unwritable: nothing after this would succeed either.
    Fatal(Errno),
}

impl Tree {
    /// A tree under `root`; links are followed in the folders strictly above `configured`.
    pub(super) fn new(root: Option<OwnedFd>, configured: &[Vec<u8>]) -> Self {
        let mut may_be_links = BTreeSet::new();
        for path in configured {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            may_be_links.extend(ends.map(|(end, _)| path[..end].to_vec()));
        }
        Self {
            root: root.map(Arc::new),
            may_be_links,
            entered: Vec::new(),
        }
    }

    /// The folder that `components` names, if it is there.
    pub(super) fn find(&mut self, components: &[&[u8]]) -> Result<Arc<OwnedFd>, Obstacle> {
        self.enter(components, &mut |_, _| Err(Obstacle::Missing))
    }

    /// The folder that `components` names; what is missing on the way is created, accessible to its owner alone.
    pub(super) fn find_or_make(&mut self, components: &[&[u8]]) -> Result<Arc<OwnedFd>, Obstacle> {
        self.enter(components, &mut |parent, leaf| {
            match mkdirat(parent, leaf, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(obstacle(leaf, errno)),
            }
            open_folder(parent.as_fd(), leaf).map_err(|errno| obstacle(leaf, errno))
        })
    }

    fn enter(
        &mut self,
        components: &[&[u8]],
        missing: &mut Missing<'_>,
    ) -> Result<Arc<OwnedFd>, Obstacle> {
        let common = self
            .entered
            .iter()
            .zip(components)
            .take_while(|(a, b)| a.0 == **b)
            .count();
        self.entered.truncate(common);
        for (depth, component) in components.iter().enumerate().skip(common) {
            let parent = self.innermost()?;
            let opened = if self
                .may_be_links
                .contains(&components[..=depth].join(&b'/'))
            {
                openat(&parent, *component, FOLDER, Mode::empty())
            } else {
                open_folder(parent.as_fd(), component)
            };
            let folder = match opened {
                Ok(folder) => folder,
                Err(Errno::NOENT) => missing(&parent, component)?,
                Err(errno) => {
                    let name = components[..=depth].join(&b'/');
                    return Err(describe(&parent, component, &name, errno));
                }
            };
            self.entered.push((component.to_vec(), Arc::new(folder)));
        }
        self.innermost()
    }

    fn innermost(&self) -> Result<Arc<OwnedFd>, Obstacle> {
        let innermost = self.entered.last().map(|(_, fd)| fd).or(self.root.as_ref());
        innermost.cloned().ok_or(Obstacle::Missing)
    }
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Opens a folder, if it is one: never a link to one.
pub(super) fn open_folder(parent: BorrowedFd<'_>, leaf: &[u8]) -> Result<OwnedFd, Errno> {
    openat(parent, leaf, FOLDER | OFlags::NOFOLLOW, Mode::empty())
}

fn describe(parent: &OwnedFd, component: &[u8], name: &[u8], errno: Errno) -> Obstacle {
    let kind = statat(parent, component, AtFlags::SYMLINK_NOFOLLOW)
        .map_or(FileType::Unknown, |stat| {
            FileType::from_raw_mode(stat.st_mode)
        });
    match kind {
        FileType::Symlink => Obstacle::InTheWay(format!(
            "its folder {} is a symbolic link here, which a restore does not follow",
            Name::new(name)
        )),
        FileType::Directory | FileType::Unknown => obstacle(name, errno),
        _ => Obstacle::InTheWay(format!(
            "its folder {} is not a folder here",
            Name::new(name)
        )),
    }
}

fn obstacle(name: &[u8], errno: Errno) -> Obstacle {
    if is_fatal(errno) {
        return Obstacle::Fatal(errno);
    }
    let name = Name::new(name);
    Obstacle::InTheWay(format!(
        "its folder {name} cannot be entered: {}",
        text(errno)
    ))
}

/// Whether going on with the next entry is pointless.
pub(super) fn is_fatal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::MFILE
    )
}
