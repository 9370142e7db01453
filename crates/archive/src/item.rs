use bytes::Bytes;

use crate::{Attributes, Name};

/// What a source says while it is read, in order: `Begin`, any number of `Unit` and `Data`, `End`; then the next entry. `GiveUp` stands in the place
/// of the `End` of an entry that is begun again.
#[derive(Clone)]
pub enum Item {
    /// An entry starts.
    Begin(Header),
    /// The next `length` bytes of this entry that no earlier unit covers are one unit (a Bolt page with its overflow pages,
    /// say): strongroom cuts chunks at its ends, and inside only where it is large.
    ///
    /// Units may be announced well before their bytes, so that these can come in pieces that are larger than a unit.
    Unit {
        /// In bytes; units must tile the entry, or what follows the last one is cut by content.
        length: u64,
    },
    /// The entry's next bytes.
    Data(Content),
    /// The entry is complete.
    End,
    /// The open entry is void, with all that was sent of it: it could not be read to its end, and is begun again. Only a source's first
    /// entry can be given up.
    GiveUp,
}

/// The start of an entry.
#[derive(Clone)]
pub struct Header {
    /// Greater than the name of the entry before, byte by byte.
    pub name: Name,
    /// As in [`crate::Entry`].
    pub attributes: Attributes,
    /// `None`: a blob of unknown length. `Some`: a record whose values follow one after the other in this order.
    pub fields: Option<Vec<FieldHeader>>,
}

/// The key of a record and the length of its value, known before the value is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldHeader {
    /// Greater than the key before.
    pub key: Name,
    /// Of the value, in bytes.
    pub length: u64,
}

/// Secret bytes on their way. No `Debug`, `Display` or `Serialize`: printing them does not compile.
#[derive(Clone, Default)]
pub struct Content(Bytes);

impl Content {
    /// Takes the bytes without copying.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for whoever is about to seal, write or compare them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared slice.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
