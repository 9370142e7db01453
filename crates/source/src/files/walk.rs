use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::vec;

use archive::{Header, Item, NAME_MAX, Name};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dev, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat,
};
use rustix::io::Errno;

use super::path::{DEPTH_MAX, TEMPORARY_PREFIX};
use super::properties::{Kind, Properties, read_xattrs};
use super::read::{Failure, LargeFile, Opened, open_file};
use super::selection::Selection;
use crate::{Capture, Error, ErrorKind, Incomplete};

/// A batch is handed over when it holds about this many bytes of content ...
const BATCH_BYTES: usize = 256 * 1024;
/// ... or this many items.
const BATCH_ITEMS: usize = 2048;
/// How often a link or folder that changes while it is looked at is looked at again.
const ATTEMPTS: usize = 3;

/// Goes through the selected paths in the order of an archive, holding the names of one folder per level.
///
/// Nothing is opened by a path of more than one component below a configured path, and no link is followed there:
/// whoever may rename in a captured tree cannot make us read something outside of it.
pub(super) struct Walker {
    selection: Arc<Selection>,
    /// What is left of the configured paths; they are visited like what is in a folder.
    roots: vec::IntoIter<Vec<u8>>,
    folders: Vec<Folder>,
    large: Option<Box<LargeFile>>,
    capture: Capture,
    left_out: BTreeMap<&'static str, u64>,
}

/// A folder that is being gone through.
struct Folder {
    fd: OwnedFd,
    /// What the names of its entries start with: empty, or ending with a slash.
    prefix: Vec<u8>,
    /// The names in it, and for each folder once more with a slash at the end, where its contents stand in the order.
    keys: vec::IntoIter<Vec<u8>>,
    /// Whether the folder or one around it is included by a pattern, and so everything in it.
    included: bool,
    device: Dev,
}

/// One thing to visit: `leaf` in the folder `parent`, under the full `name`.
struct Visit<'a> {
    parent: BorrowedFd<'a>,
    leaf: &'a [u8],
    name: Vec<u8>,
    included: bool,
    device: Option<Dev>,
}

impl Walker {
    /// Fails if a configured path does not exist: that is a mistake, and not an empty capture.
    pub(super) fn new(selection: Arc<Selection>) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for path in selection.paths() {
            let (is_folder, is_link) = look_at(path)?;
            if is_link {
                let name = Name::new(path.as_slice());
                tracing::warn!(path = %name, "a configured path is a symbolic link: the link is captured, not what it points to");
            }
            if is_folder {
                keys.push([path, &b"/"[..]].concat());
            }
            if !path.is_empty() {
                keys.push(path.clone());
            }
        }
        keys.sort();
        Ok(Self {
            selection,
            roots: keys.into_iter(),
            folders: Vec::new(),
            large: None,
            capture: Capture::default(),
            left_out: BTreeMap::new(),
        })
    }

    /// The next items; none when all has been visited.
    pub(super) fn next_batch(&mut self) -> Option<Vec<Item>> {
        let mut items = Vec::with_capacity(256);
        let mut bytes = 0;
        while bytes < BATCH_BYTES && items.len() < BATCH_ITEMS {
            let before = items.len();
            if let Some(large) = &mut self.large {
                if large.next_items(&mut items, &mut self.capture.incomplete) {
                    self.large = None;
                }
            } else if !self.visit_next(&mut items) {
                break;
            }
            bytes += items[before..].iter().map(content_length).sum::<usize>();
        }
        (!items.is_empty()).then_some(items)
    }

    /// What is to be said of the capture beside its entries, when all has been visited.
    pub(super) fn finish(mut self) -> Capture {
        if !self.left_out.is_empty() {
            let kinds: Vec<_> = self
                .left_out
                .iter()
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            self.capture
                .facts
                .insert("left_out".to_owned(), kinds.join(", "));
        }
        self.capture
    }

    fn visit_next(&mut self, items: &mut Vec<Item>) -> bool {
        let Some(mut folder) = self.folders.pop() else {
            return self.visit_next_root(items);
        };
        if let Some(key) = folder.keys.next() {
            let (leaf, descends) = split_key(&key);
            let visit = Visit {
                parent: folder.fd.as_fd(),
                leaf,
                name: [&folder.prefix, leaf].concat(),
                included: folder.included,
                device: Some(folder.device),
            };
            let inner = self.visit(&visit, descends, items);
            self.folders.push(folder);
            self.folders.extend(inner);
        }
        true
    }

    fn visit_next_root(&mut self, items: &mut Vec<Item>) -> bool {
        let Some(key) = self.roots.next() else {
            return false;
        };
        let (name, descends) = split_key(&key);
        let slash = name.iter().rposition(|byte| *byte == b'/');
        let parent = [b"/", &name[..slash.unwrap_or(0)]].concat();
        let leaf = if name.is_empty() {
            b"."
        } else {
            &name[slash.map_or(0, |at| at + 1)..]
        };
        // The folders above a configured path are the operator's choice: links in them are followed.
        match open(parent.as_slice(), FOLDER, Mode::empty()) {
            Err(errno) => self.incomplete(name, errno.into()),
            Ok(parent) => {
                let visit = Visit {
                    parent: parent.as_fd(),
                    leaf,
                    name: name.to_vec(),
                    included: false,
                    device: None,
                };
                let inner = self.visit(&visit, descends, items);
                self.folders.extend(inner);
            }
        }
        true
    }

    fn visit(
        &mut self,
        visit: &Visit<'_>,
        descends: bool,
        items: &mut Vec<Item>,
    ) -> Option<Folder> {
        let path = [b"/", visit.name.as_slice()].concat();
        if visit.name.len() > NAME_MAX {
            self.incomplete(
                &visit.name,
                Failure::because("its path is longer than 64 KiB"),
            );
        } else if visit.leaf.starts_with(TEMPORARY_PREFIX) {
            self.leave_out("unfinished file of a restore");
        } else if visit.name.is_empty() || !self.selection.excludes(&path) {
            let included = visit.included || self.selection.includes(&path);
            let visited = if descends {
                self.descend(visit, included)
            } else {
                self.emit(visit, included, items).map(|()| None)
            };
            return visited.unwrap_or_else(|failure| {
                // A folder is visited twice, as an entry and to be gone through, and listed once.
                let listed = |known: &Incomplete| known.name.as_bytes() == visit.name;
                if !(descends && self.capture.incomplete.iter().any(listed)) {
                    self.incomplete(&visit.name, failure);
                }
                None
            });
        }
        None
    }

    /// Lists a folder, to be gone through next.
    fn descend(&self, visit: &Visit<'_>, included: bool) -> Result<Option<Folder>, Failure> {
        if self.folders.len() >= DEPTH_MAX - 1 {
            return Err(Failure::because("it lies too many folders deep"));
        }
        let fd = openat(
            visit.parent,
            visit.leaf,
            FOLDER | OFlags::NOFOLLOW,
            Mode::empty(),
        )?;
        let device = fstat(&fd)?.st_dev;
        if self.selection.one_filesystem && visit.device.is_some_and(|outer| outer != device) {
            return Ok(None);
        }
        let keys = list(fd.as_fd())?.into_iter();
        let mut prefix = visit.name.clone();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Ok(Some(Folder {
            fd,
            prefix,
            keys,
            included,
            device,
        }))
    }

    /// Sends the entry of one file, link or folder.
    fn emit(
        &mut self,
        visit: &Visit<'_>,
        included: bool,
        items: &mut Vec<Item>,
    ) -> Result<(), Failure> {
        let stat = statat(visit.parent, visit.leaf, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if included => {
                match open_file(visit.parent, visit.leaf, &visit.name)? {
                    Opened::Small(header, content) => {
                        items.extend([Item::Begin(header), Item::Data(content), Item::End]);
                    }
                    Opened::Large(header, large) => {
                        items.push(Item::Begin(header));
                        self.large = Some(large);
                    }
                }
            }
            FileType::Symlink if included => {
                emit_empty(&visit.name, &look_at_link(visit)?, items);
            }
            FileType::Directory => emit_empty(&visit.name, &look_at_folder(visit)?, items),
            FileType::RegularFile | FileType::Symlink => {}
            FileType::Socket => self.leave_out("socket"),
            FileType::Fifo => self.leave_out("named pipe"),
            _ => self.leave_out("device"),
        }
        Ok(())
    }

    fn leave_out(&mut self, kind: &'static str) {
        *self.left_out.entry(kind).or_default() += 1;
    }

    fn incomplete(&mut self, name: &[u8], failure: Failure) {
        let incomplete = Incomplete {
            name: Name::new(name),
            reason: failure.reason(),
        };
        self.capture.incomplete.push(incomplete);
    }
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Whether a configured path is a folder, and whether it is a link.
fn look_at(path: &[u8]) -> Result<(bool, bool), Error> {
    let absolute = [b"/", path].concat();
    match Path::new(OsStr::from_bytes(&absolute)).symlink_metadata() {
        Ok(metadata) => Ok((metadata.is_dir(), metadata.is_symlink())),
        // Listed as incomplete when its turn comes.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok((false, false)),
        Err(error) => {
            let name = Name::new(absolute.as_slice());
            let message = format!("path {name} is not there; correct the paths of this source");
            Err(Error::new(ErrorKind::Configuration, message).because(error))
        }
    }
}

fn split_key(key: &[u8]) -> (&[u8], bool) {
    match key.strip_suffix(b"/") {
        Some(leaf) => (leaf, true),
        None => (key, false),
    }
}

/// The names in a folder and the places of its folders' contents, in the order of an archive.
fn list(fd: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut keys = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| {
                    FileType::from_raw_mode(stat.st_mode)
                }),
            kind => kind,
        };
        if kind == FileType::Directory {
            keys.push([name, b"/"].concat());
        }
        keys.push(name.to_vec());
    }
    keys.sort_unstable();
    Ok(keys)
}

fn look_at_folder(visit: &Visit<'_>) -> Result<Properties, Failure> {
    let fd = openat(
        visit.parent,
        visit.leaf,
        FOLDER | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    let xattrs = read_xattrs(fd.as_fd()).map_err(Failure::of_xattrs)?;
    Ok(Properties::of(&fstat(&fd)?, Kind::Directory, xattrs))
}

/// Extended attributes of links are left out: users cannot set any, and Linux reads them by path only.
fn look_at_link(visit: &Visit<'_>) -> Result<Properties, Failure> {
    for _ in 0..ATTEMPTS {
        let before = statat(visit.parent, visit.leaf, AtFlags::SYMLINK_NOFOLLOW)?;
        let target = match readlinkat(visit.parent, visit.leaf, Vec::new()) {
            Err(Errno::INVAL) => continue,
            target => target?.into_bytes(),
        };
        let after = statat(visit.parent, visit.leaf, AtFlags::SYMLINK_NOFOLLOW)?;
        if same_state(&before, &after) {
            return Ok(Properties::of(
                &after,
                Kind::Symlink(target),
                BTreeMap::new(),
            ));
        }
    }
    Err(Failure::Changed)
}

/// Whether nothing that the filesystem records happened between the two.
pub(super) fn same_state(before: &Stat, after: &Stat) -> bool {
    let state = |stat: &Stat| {
        let times = (
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_ctime,
            stat.st_ctime_nsec,
        );
        (stat.st_dev, stat.st_ino, stat.st_size, times)
    };
    state(before) == state(after)
}

fn emit_empty(name: &[u8], properties: &Properties, items: &mut Vec<Item>) {
    let attributes = properties.attributes();
    items.push(Item::Begin(Header {
        name: Name::new(name),
        attributes,
        fields: None,
    }));
    items.push(Item::End);
}

fn content_length(item: &Item) -> usize {
    match item {
        Item::Data(content) => content.len(),
        _ => 0,
    }
}
