use archive::{Content, Header, Item, Name};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, read};

use super::properties::{Kind, Properties, read_xattrs};
use super::walk::same_state;
use crate::Incomplete;

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
    Large(Header, LargeFile),
}

/// Opens `leaf` in `parent`, and reads it if it is small.
pub(super) fn open_file(
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    name: &[u8],
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
            return Ok(Opened::Large(
                header,
                LargeFile {
                    file,
                    name,
                    before,
                    missing: length,
                },
            ));
        }
        let content = read_whole(&file, length)?;
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
}

impl LargeFile {
    /// Sends the next piece; true when it was the last.
    ///
    /// By the time a change is noticed the beginning has been sent: the entry is completed, and listed as incomplete.
    pub(super) fn next_items(
        &mut self,
        items: &mut Vec<Item>,
        incomplete: &mut Vec<Incomplete>,
    ) -> bool {
        let failure = match self.next_piece() {
            Ok(piece) if !piece.is_empty() => {
                self.missing -= piece.len() as u64;
                items.push(Item::Data(Content::new(piece)));
                if self.missing > 0 {
                    return false;
                }
                self.judge()
            }
            Ok(_) => Err(Failure::Changed),
            Err(errno) => Err(errno.into()),
        };
        items.push(Item::End);
        if let Err(failure) = failure {
            incomplete.push(Incomplete {
                name: self.name.clone(),
                reason: failure.reason(),
            });
        }
        true
    }

    fn next_piece(&mut self) -> Result<Vec<u8>, Errno> {
        let length = PIECE.min(usize::try_from(self.missing).unwrap_or(PIECE));
        let mut piece = Vec::with_capacity(length);
        while piece.len() < length && read_some(&self.file, &mut piece)? > 0 {}
        Ok(piece)
    }

    fn judge(&self) -> Result<(), Failure> {
        if same_state(&self.before, &fstat(&self.file)?) {
            Ok(())
        } else {
            Err(Failure::Changed)
        }
    }
}
