use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::Error as StoreError;

use super::Name;
use crate::Error;

/// A part of an object that is about to be used.
///
/// Where the object is a file it is not read yet: whoever uses it reads it, into memory that he uses again. To have it read by
/// another thread and to be woken when it is there takes longer than to read it.
pub(crate) enum Part {
    /// It came over a network.
    Fetched(Bytes),
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
            Self::Fetched(bytes) => {
                *memory = bytes.into();
                Ok(memory)
            }
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
    let length = (range.end - range.start) as usize;
    // It never becomes shorter, or it would be cleared each time that it became longer again.
    if memory.len() < length {
        memory.resize(length, 0);
    }
    let bytes = &mut memory[..length];
    File::open(path)?.read_exact_at(bytes, range.start)?;
    Ok(bytes)
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
