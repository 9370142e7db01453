use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, statat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use super::path::TEMPORARY_PREFIX;

/// Gives temporary names that no other restore uses.
pub(crate) struct TemporaryNames {
    prefix: Vec<u8>,
    count: u64,
}

/// A file or link under a temporary name; dropped before it is published, it is removed.
pub(crate) struct Temporary {
    parent: Arc<OwnedFd>,
    name: Vec<u8>,
    published: bool,
}

impl TemporaryNames {
    pub(crate) fn new() -> Self {
        let token = RandomState::new().hash_one(std::process::id());
        let prefix = [TEMPORARY_PREFIX, format!("{token:016x}-").as_bytes()].concat();
        Self { prefix, count: 0 }
    }

    /// A new file in `parent`, empty and readable by its owner alone, with the descriptor to write it.
    pub(crate) fn file(&mut self, parent: &Arc<OwnedFd>) -> Result<(Temporary, OwnedFd), Errno> {
        let temporary = self.next(parent);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(
            parent,
            temporary.name.as_slice(),
            flags | OFlags::CLOEXEC,
            mode,
        )?;
        Ok((temporary, file))
    }

    /// A new symbolic link in `parent`.
    pub(crate) fn link(
        &mut self,
        parent: &Arc<OwnedFd>,
        target: &[u8],
    ) -> Result<Temporary, Errno> {
        let temporary = self.next(parent);
        symlinkat(target, parent, temporary.name.as_slice())?;
        Ok(temporary)
    }

    /// Removes what earlier restores that were killed have left in `folder`.
    pub(crate) fn sweep(&self, folder: &OwnedFd) -> Result<(), Errno> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(TEMPORARY_PREFIX) && !name.starts_with(&self.prefix) {
                unlinkat(folder, name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn next(&mut self, parent: &Arc<OwnedFd>) -> Temporary {
        self.count += 1;
        let name = [self.prefix.as_slice(), self.count.to_string().as_bytes()].concat();
        Temporary {
            parent: parent.clone(),
            name,
            published: false,
        }
    }
}

impl Temporary {
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(crate) fn parent(&self) -> &Arc<OwnedFd> {
        &self.parent
    }

    /// Gives it its final name `leaf`, where nothing may be.
    pub(crate) fn publish_new(mut self, leaf: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (self.parent.as_fd(), self.name.as_slice());
        match renameat_with(parent, name, parent, leaf, RenameFlags::NOREPLACE) {
            // Not every filesystem can do it in one step; there, a race with another program remains.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => renameat(parent, name, parent, leaf)?,
                    Err(errno) => return Err(errno),
                    Ok(_) => return Err(Errno::EXIST),
                }
            }
            renamed => renamed?,
        }
        self.published = true;
        Ok(())
    }

    /// Gives it its final name `leaf` in place of the file, link or empty folder that has it.
    pub(crate) fn publish_over(mut self, leaf: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (self.parent.as_fd(), self.name.as_slice());
        if let Err(errno) = renameat(parent, name, parent, leaf) {
            if errno != Errno::ISDIR {
                return Err(errno);
            }
            unlinkat(parent, leaf, AtFlags::REMOVEDIR)?;
            renameat(parent, name, parent, leaf)?;
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed by the next restore.
            let _ = unlinkat(&self.parent, self.name.as_slice(), AtFlags::empty());
        }
    }
}
