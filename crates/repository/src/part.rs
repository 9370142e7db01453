use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::Error;
use crate::store::Name;

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
    /// Makes it the contents of `buffer`. Waits for a disk at most.
    pub(crate) fn read(self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Fetched(bytes) => {
                *buffer = bytes.into();
                Ok(())
            }
            Self::InFile {
                name,
                place,
                path,
                range,
            } => read_file(&path, &range, buffer).map_err(|error| refused(error, &name, &place)),
        }
    }
}

fn read_file(path: &Path, range: &Range<u64>, buffer: &mut Vec<u8>) -> IoResult<()> {
    buffer.resize((range.end - range.start) as usize, 0);
    File::open(path)?.read_exact_at(buffer, range.start)
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
            source: object_store::Error::Generic {
                store: "file",
                source: error.into(),
            },
        },
    }
}
