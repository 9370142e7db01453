use archive::{Content, Entry};
use async_trait::async_trait;

use crate::Error;

/// Captured entries without their bytes, ascending by name.
#[async_trait]
pub trait Entries: Send {
    /// The next entry; `None` after the last.
    async fn next(&mut self) -> Result<Option<Entry>, Error>;
}

/// Captured entries with their bytes, ascending by name.
#[async_trait]
pub trait Contents: Send {
    /// The next entry; `None` after the last. Bytes of the one before that were not read are skipped.
    async fn next(&mut self) -> Result<Option<Entry>, Error>;

    /// Says that nothing of the current entry is used before `None` follows its last byte, so that until then it need not be known
    /// whether the bytes are those that were captured. For whoever passes them on at once, do not.
    fn hold_back(&mut self) {}

    /// The current entry's next bytes; `None` at its end.
    ///
    /// Every piece has been authenticated before it is returned, and at `None` the whole entry has matched its digests:
    /// a file may be given its final name only then.
    async fn data(&mut self) -> Result<Option<Content>, Error>;
}
