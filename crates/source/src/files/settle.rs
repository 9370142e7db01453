use std::sync::Arc;

use archive::Name;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, fstat, futimens, utimensat,
};
use rustix::io::Errno;

use super::properties::{Properties, Time};
use super::read::text;

/// Refusals that do not fail an entry, told once each with the first example.
pub(super) struct Notes {
    root: bool,
    owners: Refusals,
    times: Refusals,
    xattrs: Refusals,
}

#[derive(Default)]
struct Refusals {
    count: u64,
    first: String,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            root: runs_as_root(),
            owners: Refusals::default(),
            times: Refusals::default(),
            xattrs: Refusals::default(),
        }
    }

    /// One sentence for each kind of refusal that happened.
    pub(super) fn sentences(&self) -> Vec<String> {
        let owners = if self.root {
            "owners were refused"
        } else {
            "owners need root to be restored"
        };
        let kinds = [
            (owners, &self.owners),
            ("times of modification were refused", &self.times),
            ("extended attributes were refused", &self.xattrs),
        ];
        let happened = kinds.into_iter().filter(|(_, refusals)| refusals.count > 0);
        happened
            .map(|(what, Refusals { count, first })| {
                format!("{what} for {count} entries, first {first}")
            })
            .collect()
    }
}

impl Refusals {
    fn add(&mut self, name: &Name, reason: &str) {
        if self.count == 0 {
            self.first = format!("{name}: {reason}");
        }
        self.count += 1;
    }
}

/// Whether this process may give files away.
pub(super) fn runs_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives an open file or folder its owner, extended attributes, mode and time, in the order in which one does not undo
/// the other. An error means that the mode could not be set: all else is noted.
pub(super) fn settle_file(
    file: BorrowedFd<'_>,
    properties: &Properties,
    name: &Name,
    notes: &mut Notes,
) -> Result<(), Errno> {
    let owned = settle_owner(file, properties, name, notes)?;
    for (xattr, value) in &properties.xattrs {
        if let Err(errno) = fsetxattr(file, xattr.as_slice(), value, XattrFlags::empty()) {
            let xattr = Name::new(xattr.as_slice());
            notes.xattrs.add(name, &format!("{xattr}: {}", text(errno)));
        }
    }
    // A set-user-ID program of the wrong owner would lend the wrong rights.
    let lending = if owned {
        Mode::empty()
    } else {
        Mode::SUID | Mode::SGID
    };
    fchmod(file, properties.mode.difference(lending))?;
    if let Err(errno) = futimens(file, &timestamps(properties.mtime)) {
        notes.times.add(name, &text(errno));
    }
    Ok(())
}

/// The same for a link, which has no mode. Whatever is refused is noted.
pub(super) fn settle_link(
    parent: &Arc<OwnedFd>,
    leaf: &[u8],
    properties: &Properties,
    name: &Name,
    notes: &mut Notes,
) {
    let (uid, gid) = (Uid::from_raw(properties.uid), Gid::from_raw(properties.gid));
    if notes.root
        && let Err(errno) = chownat(
            parent,
            leaf,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
    {
        notes.owners.add(name, &text(errno));
    }
    let times = timestamps(properties.mtime);
    if let Err(errno) = utimensat(parent, leaf, &times, AtFlags::SYMLINK_NOFOLLOW) {
        notes.times.add(name, &text(errno));
    }
}

/// Whether owner and group are now what they were.
fn settle_owner(
    file: BorrowedFd<'_>,
    properties: &Properties,
    name: &Name,
    notes: &mut Notes,
) -> Result<bool, Errno> {
    let stat = fstat(file)?;
    if (stat.st_uid, stat.st_gid) == (properties.uid, properties.gid) {
        return Ok(true);
    }
    if !notes.root {
        notes
            .owners
            .add(name, "it belongs to the user who restores");
        return Ok(false);
    }
    let (uid, gid) = (Uid::from_raw(properties.uid), Gid::from_raw(properties.gid));
    let owned = fchown(file, Some(uid), Some(gid));
    if let Err(errno) = owned {
        notes.owners.add(name, &text(errno));
    }
    Ok(owned.is_ok())
}

fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanoseconds.into(),
        },
    }
}
