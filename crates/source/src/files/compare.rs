use std::collections::{BTreeMap, BTreeSet};

use archive::{Body, Digest, Entry, Name};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::{Errno, read};

use super::path::{Folders, components};
use super::properties::{Kind, Properties, read_xattrs};
use super::read::text;
use super::tree::{Obstacle, Tree, open_folder};
use crate::{Action, Conflict, Step};

/// Compares captured entries with what is live, in the order of the archive.
pub(super) struct Comparison {
    tree: Tree,
    conflict: Conflict,
    /// Whether owners can be restored; otherwise it is pointless to compare them.
    owners: bool,
    folders: Folders<Future>,
}

/// What an entry that others lie in will be when the restore is done.
enum Future {
    /// A folder that is there today.
    Live,
    /// A folder that the restore makes.
    New,
    /// Not a folder; one clause.
    No(&'static str),
}

/// What has the name of an entry today.
struct Live {
    stat: Stat,
    kind: FileType,
}

impl Comparison {
    pub(super) fn new(tree: Tree, conflict: Conflict, owners: bool) -> Self {
        Self {
            tree,
            conflict,
            owners,
            folders: Folders::new(),
        }
    }

    /// What a restore would do with `entry`.
    pub(super) fn step(&mut self, entry: &Entry) -> Step {
        self.folders.leave(&entry.name);
        let action = match self.judge(entry) {
            Ok(action) => action,
            Err(reason) => Action::Unmanageable { reason },
        };
        Step {
            name: entry.name.clone(),
            action,
        }
    }

    fn judge(&mut self, entry: &Entry) -> Result<Action, String> {
        let components = components(&entry.name)?;
        let wanted = Properties::parse(entry)?;
        let (leaf, parents) = components.split_last().expect("names have components");
        let new = match self.folders.around(&entry.name) {
            Some(Future::No(reason)) => return Err((*reason).to_owned()),
            Some(Future::New) => true,
            Some(Future::Live) | None => false,
        };
        let parent = if new { None } else { self.parent(parents)? };
        let live = match &parent {
            Some(parent) => look(parent.as_fd(), leaf)?,
            None => None,
        };
        let action = match (&parent, &live) {
            (Some(parent), Some(live)) => {
                self.compare(entry, &wanted, parent.as_fd(), leaf, live)?
            }
            _ => Action::Create,
        };
        self.folders
            .enter(&entry.name, future(&wanted.kind, live.as_ref(), &action));
        Ok(action)
    }

    fn parent(&mut self, parents: &[&[u8]]) -> Result<Option<std::sync::Arc<OwnedFd>>, String> {
        match self.tree.find(parents) {
            Ok(parent) => Ok(Some(parent)),
            Err(Obstacle::Missing) => Ok(None),
            Err(Obstacle::InTheWay(reason)) => Err(reason),
            Err(Obstacle::Fatal(errno)) => Err(text(errno)),
        }
    }

    fn compare(
        &self,
        entry: &Entry,
        wanted: &Properties,
        parent: BorrowedFd<'_>,
        leaf: &[u8],
        live: &Live,
    ) -> Result<Action, String> {
        if live.kind != file_type(&wanted.kind) {
            return self.other_type(parent, leaf, live);
        }
        let unreadable = |errno| format!("what is there cannot be read: {}", text(errno));
        let mut what = Vec::new();
        let found = match &wanted.kind {
            Kind::Directory => {
                let folder = open_folder(parent, leaf).map_err(unreadable)?;
                let xattrs = read_xattrs(folder.as_fd()).map_err(unreadable)?;
                Properties::of(&live.stat, Kind::Directory, xattrs)
            }
            Kind::Symlink(_) => {
                let target = readlinkat(parent, leaf, Vec::new()).map_err(unreadable)?;
                Properties::of(
                    &live.stat,
                    Kind::Symlink(target.into_bytes()),
                    BTreeMap::new(),
                )
            }
            Kind::File => {
                let file = open_file(parent, leaf).map_err(unreadable)?;
                if !same_content(entry, &live.stat, &file).map_err(unreadable)? {
                    what.push("content".to_owned());
                }
                let xattrs = read_xattrs(file.as_fd()).map_err(unreadable)?;
                Properties::of(&live.stat, Kind::File, xattrs)
            }
        };
        self.compare_properties(wanted, &found, &mut what);
        Ok(self.decide(what))
    }

    /// A file or link gives way if the user says so; a folder only when it is empty, and nothing else does.
    fn other_type(
        &self,
        parent: BorrowedFd<'_>,
        leaf: &[u8],
        live: &Live,
    ) -> Result<Action, String> {
        let found = match live.kind {
            FileType::RegularFile => "file",
            FileType::Symlink => "symbolic link",
            FileType::Directory => "folder",
            FileType::Socket => "socket",
            FileType::Fifo => "named pipe",
            _ => "device",
        };
        match self.conflict {
            Conflict::Fail => Ok(Action::Conflict {
                reason: format!("there is a {found}"),
            }),
            Conflict::Skip => Ok(Action::Skip {
                what: vec!["type".to_owned()],
            }),
            Conflict::Overwrite => match live.kind {
                FileType::RegularFile | FileType::Symlink => Ok(self.decide(vec!["type".into()])),
                FileType::Directory if is_empty(parent, leaf) => {
                    Ok(self.decide(vec!["type".into()]))
                }
                FileType::Directory => {
                    Err("there is a folder that is not empty; remove it first".to_owned())
                }
                _ => Err(format!("there is a {found}; remove it first")),
            },
        }
    }

    fn compare_properties(&self, wanted: &Properties, found: &Properties, what: &mut Vec<String>) {
        let link = matches!(wanted.kind, Kind::Symlink(_));
        let folder = wanted.kind == Kind::Directory;
        let differences = [
            ("target", wanted.kind != found.kind),
            // Links have no mode of their own.
            ("mode", !link && wanted.mode != found.mode),
            ("owner", self.owners && wanted.uid != found.uid),
            ("group", self.owners && wanted.gid != found.gid),
            // A folder's time tells when something in it was created or removed, by a restore for example.
            ("mtime", !folder && wanted.mtime != found.mtime),
        ];
        what.extend(
            differences
                .iter()
                .filter(|(_, differs)| *differs)
                .map(|(n, _)| (*n).into()),
        );
        let names: BTreeSet<_> = wanted.xattrs.keys().chain(found.xattrs.keys()).collect();
        for name in names.into_iter().filter(|name| is_compared(name)) {
            if wanted.xattrs.get(name) != found.xattrs.get(name) {
                what.push(format!("xattr {}", Name::new(name.as_slice())));
            }
        }
    }

    fn decide(&self, what: Vec<String>) -> Action {
        if what.is_empty() {
            return Action::Same;
        }
        match self.conflict {
            Conflict::Fail => Action::Conflict {
                reason: format!("differs in {}", what.join(", ")),
            },
            Conflict::Skip => Action::Skip { what },
            Conflict::Overwrite => Action::Update { what },
        }
    }
}

fn future(kind: &Kind, live: Option<&Live>, action: &Action) -> Future {
    let is_folder = live.is_some_and(|live| live.kind == FileType::Directory);
    match (kind, action) {
        (Kind::Directory, _) if is_folder => Future::Live,
        (Kind::Directory, Action::Create | Action::Update { .. }) => Future::New,
        (Kind::Directory, _) => Future::No("its folder is something else here, and stays that"),
        _ => Future::No("what it lies in is not a folder in the snapshot"),
    }
}

fn look(parent: BorrowedFd<'_>, leaf: &[u8]) -> Result<Option<Live>, String> {
    match statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Live {
            stat,
            kind: FileType::from_raw_mode(stat.st_mode),
        })),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(format!(
            "what is there cannot be looked at: {}",
            text(errno)
        )),
    }
}

fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink(_) => FileType::Symlink,
    }
}

/// The kernel and its security modules write the others as they see fit (labels, measurements).
fn is_compared(xattr: &[u8]) -> bool {
    xattr.starts_with(b"user.")
        || xattr.starts_with(b"system.posix_acl_")
        || xattr == b"security.capability"
}

fn is_empty(parent: BorrowedFd<'_>, leaf: &[u8]) -> bool {
    let Ok(folder) = open_folder(parent, leaf) else {
        return false;
    };
    let Ok(entries) = Dir::read_from(&folder) else {
        return false;
    };
    let mut names = entries.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    names.all(|name| name.is_ok_and(|name| matches!(name.to_bytes(), b"." | b"..")))
}

fn open_file(parent: BorrowedFd<'_>, leaf: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    openat(parent, leaf, flags, Mode::empty())
}

fn same_content(entry: &Entry, live: &Stat, file: &OwnedFd) -> Result<bool, Errno> {
    let Body::Blob { length, digest } = &entry.body else {
        return Ok(false);
    };
    if u64::try_from(live.st_size) != Ok(*length) {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::with_capacity(256 * 1024);
    loop {
        buffer.clear();
        match read(file, spare_capacity(&mut buffer)) {
            Ok(0) => return Ok(Digest::from(hasher.finalize()) == *digest),
            Ok(_) => {
                hasher.update(&buffer);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
