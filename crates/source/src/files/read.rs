use archive::{Content, Header, Item, Name};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, read};

use super::properties::{Kind, Properties, read_xattrs};
use super::walk::same_state;
use crate::Incomplete;
use crate::bolt::Units;

/// Up to this size a file is read whole before a byte of it is sent, so that it can be read again if it changed.
const SMALL: u64 = 1024 * 1024;
/// Larger files are read in pieces of this size.
const PIECE: usize = 256 * 1024;
/// How often a small file that changes while it is read is read.
const ATTEMPTS: usize = 3;

/// Why an entry is left out of a capture, or not to be trusted.
pub(super) enum Failure {
    /// It was not the same before and after it was read.
    Changed,
    /// The system refused.
    Refused(Errno),
    /// Something else, as a clause.
    Because(String),
}

impl Failure {
    pub(super) fn because(reason: &str) -> Self {
        Self::Because(reason.to_owned())
    }

    pub(super) fn of_xattrs(errno: Errno) -> Self {
        match errno {
            Errno::TOOBIG => Self::because("its extended attributes are larger than 1 MiB"),
            // An attribute went away, or grew, between its name and its value.
            Errno::NODATA | Errno::RANGE => Self::Changed,
            errno => Self::Because(format!(
                "its extended attributes could not be read: {}",
                text(errno)
            )),
        }
    }

    /// One clause.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Changed => "changed while it was read".to_owned(),
            Self::Refused(Errno::NOENT) => "vanished while it was read".to_owned(),
            Self::Refused(errno) => text(errno),
            Self::Because(reason) => reason,
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            // Something else took its place: the system refuses to follow a link, or to list what is no folder.
            Errno::LOOP | Errno::NOTDIR => Self::Changed,
            errno => Self::Refused(errno),
        }
    }
}

/// What an error number means, as a clause.
pub(super) fn text(errno: Errno) -> String {
    match errno {
        Errno::ACCESS | Errno::PERM => "permission denied".to_owned(),
        errno => {
            let text = std::io::Error::from(errno).to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

/// A regular file, found to be readable.
pub(super) enum Opened {
    /// Read whole, and unchanged meanwhile.
    Small(Header, Content),
    /// To be read piece by piece.
    Large(Header, Box<LargeFile>),
}

/// Opens `leaf` in `parent`, and reads it if it is small.
pub(super) fn open_file(
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    name: &[u8],
) -> Result<Opened, Failure> {
    open_disturbed(parent, leaf, name, || ())
}

/// The same, with what others do to the file while it is read.
fn open_disturbed(
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    name: &[u8],
    mut disturb: impl FnMut(),
) -> Result<Opened, Failure> {
    // Without O_NONBLOCK, a pipe that took the file's place would stop us here.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    for _ in 0..ATTEMPTS {
        let file = openat(parent, leaf, flags, Mode::empty())?;
        let before = fstat(&file)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            continue;
        }
        let xattrs = match read_xattrs(file.as_fd()).map_err(Failure::of_xattrs) {
            Err(Failure::Changed) => continue,
            xattrs => xattrs?,
        };
        let attributes = Properties::of(&before, Kind::File, xattrs).attributes();
        let header = Header {
            name: Name::new(name),
            attributes,
            fields: None,
        };
        let length = u64::try_from(before.st_size).unwrap_or_default();
        if length > SMALL {
            let name = header.name.clone();
            let large = LargeFile::new(file, name, before, length);
            return Ok(Opened::Large(header, Box::new(large)));
        }
        let content = read_whole(&file, length)?;
        disturb();
        if same_state(&before, &fstat(&file)?) {
            // The length was right at both ends, so this is no race: /proc and /sys have such files.
            return match content {
                Some(content) => Ok(Opened::Small(header, Content::new(content))),
                None => Err(Failure::because(
                    "it does not hold as many bytes as its size says",
                )),
            };
        }
    }
    Err(Failure::Changed)
}

/// The content, if it has `length` bytes.
fn read_whole(file: &OwnedFd, length: u64) -> Result<Option<Vec<u8>>, Errno> {
    let length = usize::try_from(length).expect("small files are small");
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        if read_some(file, &mut content)? == 0 {
            return Ok(None);
        }
    }
    // Only where the size says nothing is it worth a call to ask for more.
    let more = length == 0 && read(file, &mut [0_u8; 1][..])? > 0;
    Ok((!more).then_some(content))
}

/// Reads into what is free in `buffer`.
fn read_some(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    loop {
        match read(file, spare_capacity(buffer)) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// A file that is larger than what we hold in memory, being read.
pub(super) struct LargeFile {
    file: OwnedFd,
    name: Name,
    before: Stat,
    /// Bytes not read yet, of those that it had when it was opened: a file that grows faster than we read must end.
    missing: u64,
    units: Units,
    /// Read, but not sent: the first bytes of a unit whose length they do not tell yet.
    held: Vec<u8>,
    /// How much was sent.
    sent: u64,
}

impl LargeFile {
    fn new(file: OwnedFd, name: Name, before: Stat, length: u64) -> Self {
        Self {
            file,
            name,
            before,
            missing: length,
            units: Units::default(),
            held: Vec::new(),
            sent: 0,
        }
    }

    /// Sends the next piece; true when it was the last.
    ///
    /// By the time a change is noticed the beginning has been sent: the entry is completed, and listed as incomplete.
    pub(super) fn next_items(
        &mut self,
        items: &mut Vec<Item>,
        incomplete: &mut Vec<Incomplete>,
    ) -> bool {
        let failure = match self.next_piece(items) {
            Ok(true) if self.missing > 0 => return false,
            Ok(true) => self.judge(),
            Ok(false) => Err(Failure::Changed),
            Err(errno) => Err(errno.into()),
        };
        if !self.held.is_empty() {
            items.push(Item::Data(Content::new(std::mem::take(&mut self.held))));
        }
        items.push(Item::End);
        if let Err(failure) = failure {
            let reason = failure.reason();
            incomplete.push(Incomplete {
                name: self.name.clone(),
                reason,
            });
        }
        true
    }

    /// False if there are no more bytes, though there should be.
    fn next_piece(&mut self, items: &mut Vec<Item>) -> Result<bool, Errno> {
        let length = PIECE.min(usize::try_from(self.missing).unwrap_or(PIECE));
        let held = std::mem::take(&mut self.held);
        let seen = held.len();
        let mut piece = Vec::with_capacity(seen + length);
        piece.extend_from_slice(&held);
        while piece.len() < seen + length && read_some(&self.file, &mut piece)? > 0 {}
        self.missing -= (piece.len() - seen) as u64;
        let read = piece.len() > seen;
        self.send(piece, seen, items);
        Ok(read)
    }

    /// Sends `piece`, of which the first `seen` bytes were held back before, cut where a Bolt database's units start.
    fn send(&mut self, mut piece: Vec<u8>, seen: usize, items: &mut Vec<Item>) {
        let mut units = Vec::new();
        self.units.feed(&piece[seen..], &mut units);
        let known = self
            .units
            .known()
            .map_or(u64::MAX, |known| known - self.sent);
        let ready = usize::try_from(known)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        self.held = piece.split_off(ready);
        self.sent += piece.len() as u64;
        items.extend(units.iter().map(|unit| Item::Unit {
            length: unit.length,
        }));
        if !piece.is_empty() {
            items.push(Item::Data(Content::new(piece)));
        }
    }

    fn judge(&self) -> Result<(), Failure> {
        if same_state(&self.before, &fstat(&self.file)?) {
            Ok(())
        } else {
            Err(Failure::Changed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Write;

    /// What becomes of a file of one line to which `disturb` is done whenever it was read.
    fn read_disturbed(disturb: impl Fn(&std::path::Path, u32)) -> (Result<Vec<u8>, String>, u32) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "one line\n").expect("a file");
        let parent = File::open(folder.path()).expect("a folder");
        let mut times = 0;
        let opened = open_disturbed(parent.as_fd(), b"file", b"file", || {
            times += 1;
            disturb(&path, times);
        });
        let content = match opened {
            Ok(Opened::Small(_, content)) => Ok(content.as_bytes().to_vec()),
            Ok(Opened::Large(..)) => Err("large".to_owned()),
            Err(failure) => Err(failure.reason()),
        };
        (content, times)
    }

    fn append(path: &std::path::Path) {
        let mut file = File::options().append(true).open(path).expect("a file");
        file.write_all(b"another\n").expect("it can be written");
    }

    #[test]
    fn a_small_file_is_read_until_it_holds_still() {
        let (content, times) = read_disturbed(|_, _| ());
        assert_eq!((content, times), (Ok(b"one line\n".to_vec()), 1));
        let (content, times) = read_disturbed(|path, time| {
            if time == 1 {
                append(path);
            }
        });
        assert_eq!((content, times), (Ok(b"one line\nanother\n".to_vec()), 2));
        let (content, times) = read_disturbed(|path, _| append(path));
        assert_eq!(
            (content, times),
            (Err("changed while it was read".to_owned()), 3)
        );
    }

    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed() {
        let (content, _) = read_disturbed(|path, _| fs::remove_file(path).expect("it was there"));
        assert_eq!(content, Err("vanished while it was read".to_owned()));
        let (content, _) = read_disturbed(|path, time| {
            if time == 1 {
                fs::write(path.with_extension("new"), "new").expect("a file");
                fs::rename(path.with_extension("new"), path).expect("it can be renamed");
            }
        });
        assert_eq!(content, Ok(b"new".to_vec()));
        let (content, _) = read_disturbed(|path, _| {
            fs::remove_file(path).expect("it was there");
            std::os::unix::fs::symlink("/etc/passwd", path).expect("a link");
        });
        assert_eq!(
            content,
            Err("changed while it was read".to_owned()),
            "a link is not followed"
        );
    }

    #[test]
    fn a_file_that_lies_about_its_size_is_refused() {
        let parent = File::open("/proc/self").expect("Linux");
        let opened = open_file(parent.as_fd(), b"status", b"proc/self/status");
        let reason = opened.err().map(Failure::reason);
        assert_eq!(
            reason.as_deref(),
            Some("it does not hold as many bytes as its size says")
        );
    }
}
