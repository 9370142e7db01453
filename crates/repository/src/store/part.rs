use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::Error as StoreError;

use super::Name;
use crate::Error;

/// Bytes as they came over a network, one piece behind the other.
pub(crate) struct Pieces {
    pieces: Vec<Bytes>,
    length: u64,
}

impl Pieces {
    pub(super) fn new(pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, length }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// These of them, which must be there.
    pub(super) fn slice(&self, range: Range<u64>) -> Self {
        let mut start = 0;
        let inside = self.pieces.iter().filter_map(|piece| {
            let end = start + piece.len() as u64;
            let (from, to) = (range.start.max(start), range.end.min(end));
            let slice =
                (from < to).then(|| piece.slice((from - start) as usize..(to - start) as usize));
            start = end;
            slice
        });
        Self::new(inside.collect())
    }

    fn copy(self, memory: &mut Vec<u8>) -> &mut [u8] {
        let bytes = room(memory, self.length as usize);
        let mut left = &mut *bytes;
        for piece in self.pieces {
            let (now, later) = left.split_at_mut(piece.len());
            now.copy_from_slice(&piece);
            left = later;
        }
        bytes
    }
}

/// A part of an object that is about to be used.
///
/// Where the object is a file it is not read yet: whoever uses it reads it, into memory that he uses again. To have it read by
/// another thread and to be woken when it is there takes longer than to read it.
pub(crate) enum Part {
    /// It came over a network.
    Fetched(Pieces),
    /// It lies in a file.
    InFile {
        /// The object.
        name: Name,
        /// Where messages say that it is.
        place: String,
        /// Its file.
        path: PathBuf,
        /// Where.
        range: Range<u64>,
    },
}

impl Part {
    /// Its bytes, in `memory`, which may be longer. Waits for a disk at most.
    pub(crate) fn read(self, memory: &mut Vec<u8>) -> Result<&mut [u8], Error> {
        match self {
            Self::Fetched(pieces) => Ok(pieces.copy(memory)),
            Self::InFile {
                name,
                place,
                path,
                range,
            } => read_file(&path, &range, memory).map_err(|error| refused(error, &name, &place)),
        }
    }
}

fn read_file<'a>(
    path: &Path,
    range: &Range<u64>,
    memory: &'a mut Vec<u8>,
) -> IoResult<&'a mut [u8]> {
    let bytes = room(memory, (range.end - range.start) as usize);
    File::open(path)?.read_exact_at(bytes, range.start)?;
    Ok(bytes)
}

fn room(memory: &mut Vec<u8>, length: usize) -> &mut [u8] {
    // It never becomes shorter, or it would be cleared each time that it became longer again.
    if memory.len() < length {
        memory.resize(length, 0);
    }
    &mut memory[..length]
}

fn refused(error: IoError, name: &Name, place: &str) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::IsADirectory => Error::Missing {
            object: name.to_string(),
        },
        ErrorKind::UnexpectedEof => Error::damaged(name.to_string(), "it was cut"),
        _ => Error::Store {
            operation: "read",
            object: format!("{place}/{name}"),
            source: StoreError::Generic {
                store: "LocalFileSystem",
                source: error.into(),
            }
            .into(),
        },
    }
}
