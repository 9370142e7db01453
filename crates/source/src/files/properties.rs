use std::collections::BTreeMap;

use archive::{Attributes, Body, Entry, Name};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, RawMode, Stat, fgetxattr, flistxattr};
use rustix::io::Errno;

/// Extended attributes of one file beyond this many bytes are refused: a catalog record holds 4 MiB at most.
const XATTRS_MAX: usize = 1024 * 1024;
/// The kernel's own limits for one list of names and for one value are both 64 KiB.
const XATTR_MAX: usize = 64 * 1024;

/// What an entry is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// With its target's exact bytes.
    Symlink(Vec<u8>),
}

/// Seconds since 1970, counted downwards before it, and the nanoseconds after that second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

/// What is kept of a file beside its name and content.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) kind: Kind,
    /// The permission bits with set-user-ID, set-group-ID and sticky.
    pub(super) mode: Mode,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Properties {
    pub(super) fn of(stat: &Stat, kind: Kind, xattrs: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Self {
            kind,
            mode: Mode::from_raw_mode(stat.st_mode),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Time::modified(stat),
            xattrs,
        }
    }

    /// As an entry's attributes. Names of extended attributes are bytes: they are escaped as `Name` shows them.
    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default();
        let kind = match &self.kind {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Symlink(target) => {
                attributes.set("target", target.as_slice());
                "symlink"
            }
        };
        attributes.set("type", kind);
        attributes.set("mode", format!("{:04o}", self.mode.bits()));
        attributes.set("uid", self.uid.to_string());
        attributes.set("gid", self.gid.to_string());
        attributes.set(
            "mtime",
            format!("{}.{:09}", self.mtime.seconds, self.mtime.nanoseconds),
        );
        for (name, value) in &self.xattrs {
            let name = Name::new(name.as_slice());
            attributes.set(format!("xattr.{name}"), value.as_slice());
        }
        attributes
    }

    /// What `entry` says it is, or one clause saying why it is nothing that this source wrote.
    pub(super) fn parse(entry: &Entry) -> Result<Self, &'static str> {
        let Body::Blob { length, .. } = entry.body else {
            return Err("it is a record, not a file");
        };
        let attributes = &entry.attributes;
        let kind = match attributes.text("type") {
            Some("file") => Kind::File,
            Some("directory") => Kind::Directory,
            Some("symlink") => Kind::Symlink(parse_target(attributes)?),
            _ => return Err("its type is not one of file, directory and symlink"),
        };
        if kind != Kind::File && length > 0 {
            return Err("it has content, but is no regular file");
        }
        Ok(Self {
            kind,
            mode: parse_mode(attributes).ok_or("its mode is not an octal number up to 7777")?,
            uid: parse_id(attributes, "uid").ok_or("its uid is not the number of a user")?,
            gid: parse_id(attributes, "gid").ok_or("its gid is not the number of a group")?,
            mtime: parse_time(attributes).ok_or("its mtime is not a time")?,
            xattrs: parse_xattrs(attributes)
                .ok_or("it has an extended attribute without a name")?,
        })
    }
}

impl Time {
    fn modified(stat: &Stat) -> Self {
        Self {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        }
    }
}

fn parse_target(attributes: &Attributes) -> Result<Vec<u8>, &'static str> {
    match attributes.get("target") {
        Some(target) if !target.is_empty() && !target.contains(&0) => Ok(target.to_vec()),
        _ => Err("it is a symbolic link without a target"),
    }
}

fn parse_mode(attributes: &Attributes) -> Option<Mode> {
    let text = attributes
        .text("mode")
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let mode = RawMode::from_str_radix(text, 8).ok()?;
    (mode <= 0o7777).then(|| Mode::from_raw_mode(mode))
}

fn parse_id(attributes: &Attributes, name: &str) -> Option<u32> {
    // The highest number means "leave as it is" to the kernel.
    attributes
        .text(name)?
        .parse()
        .ok()
        .filter(|id| *id != u32::MAX)
}

fn parse_time(attributes: &Attributes) -> Option<Time> {
    let (seconds, nanoseconds) = attributes.text("mtime")?.split_once('.')?;
    let digits = nanoseconds.len() == 9 && nanoseconds.bytes().all(|b| b.is_ascii_digit());
    let time = Time {
        seconds: seconds.parse().ok()?,
        nanoseconds: nanoseconds.parse().ok()?,
    };
    digits.then_some(time)
}

fn parse_xattrs(attributes: &Attributes) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut xattrs = BTreeMap::new();
    for (name, value) in attributes.iter() {
        if let Some(name) = name.strip_prefix("xattr.") {
            let name = Name::unescape(name).filter(|name| !name.as_bytes().is_empty())?;
            if name.as_bytes().contains(&0) {
                return None;
            }
            xattrs.insert(name.as_bytes().to_vec(), value.to_vec());
        }
    }
    Some(xattrs)
}

/// The extended attributes of an open file; none where the filesystem has none.
pub(super) fn read_xattrs(fd: BorrowedFd<'_>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
    let mut xattrs = BTreeMap::new();
    for name in xattr_names(fd)?
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let value = xattr_value(fd, name)?;
        xattrs.insert(name.to_vec(), value);
        if xattrs.values().map(Vec::len).sum::<usize>() > XATTRS_MAX {
            return Err(Errno::TOOBIG);
        }
    }
    Ok(xattrs)
}

fn xattr_names(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut names = vec![0; 1024];
    let length = match flistxattr(fd, names.as_mut_slice()) {
        Err(Errno::NOTSUP) => 0,
        Err(Errno::RANGE) => {
            names.resize(XATTR_MAX, 0);
            flistxattr(fd, names.as_mut_slice())?
        }
        listed => listed?,
    };
    names.truncate(length);
    Ok(names)
}

fn xattr_value(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 256];
    let length = match fgetxattr(fd, name, value.as_mut_slice()) {
        Err(Errno::RANGE) => {
            value.resize(XATTR_MAX, 0);
            fgetxattr(fd, name, value.as_mut_slice())?
        }
        read => read?,
    };
    value.truncate(length);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::Digest;

    fn entry(attributes: Attributes, length: u64) -> Entry {
        let body = Body::Blob {
            length,
            digest: Digest::of(b""),
        };
        Entry {
            name: Name::from("x"),
            attributes,
            body,
        }
    }

    fn properties(kind: Kind) -> Properties {
        Properties {
            kind,
            mode: Mode::from_raw_mode(0o4640),
            uid: 1000,
            gid: 0,
            mtime: Time {
                seconds: -1,
                nanoseconds: 5,
            },
            xattrs: BTreeMap::from([(b"user.\xff\n\\x".to_vec(), b"\0value".to_vec())]),
        }
    }

    #[test]
    fn properties_come_back() {
        for kind in [
            Kind::File,
            Kind::Directory,
            Kind::Symlink(b"../\xff".to_vec()),
        ] {
            let before = properties(kind);
            let after = Properties::parse(&entry(before.attributes(), 0));
            assert!(after == Ok(before));
        }
    }

    #[test]
    fn what_this_source_never_writes_is_refused() {
        for (name, value) in [
            ("type", "socket"),
            ("mode", "+644"),
            ("mode", "10000"),
            ("uid", "4294967295"),
            ("gid", "-1"),
            ("mtime", "1"),
            ("mtime", "1.5"),
            ("mtime", "1.+00000001"),
            ("xattr.", "no name"),
            ("xattr.bad\\q", "escape"),
        ] {
            let mut attributes = properties(Kind::File).attributes();
            attributes.set(name, value);
            assert!(
                Properties::parse(&entry(attributes, 0)).is_err(),
                "{name} = {value}"
            );
        }
        let mut attributes = properties(Kind::Symlink(b"t".to_vec())).attributes();
        assert!(
            Properties::parse(&entry(attributes.clone(), 1)).is_err(),
            "a link with content"
        );
        attributes.set("target", "");
        assert!(
            Properties::parse(&entry(attributes, 0)).is_err(),
            "a link without target"
        );
    }
}
