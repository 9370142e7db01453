use std::fmt;

use archive::Name;

use crate::bolt::Misplaced;

/// What is wrong with a database: a clause about "it", which is the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A meta page is not valid, or the two contradict.
    #[error("its first pages are not those of a Bolt database")]
    Metas,
    /// It is shorter than its meta pages say.
    #[error("it ends after {found} of the {expected} bytes of its database")]
    Cut {
        /// How many bytes there are.
        found: u64,
        /// How many bytes there should be.
        expected: u64,
    },
    /// A limit of ours, which no database of etcd's comes near.
    #[error("its database has more {0} than strongroom can follow")]
    TooMany(&'static str),
    /// A page that is in use.
    #[error("page {page} of its database, {owner}, is damaged: {fault}")]
    Page {
        /// Its number: times the size of a page, its place in the file.
        page: u64,
        /// What it belongs to.
        owner: Owner,
        /// What is wrong with it.
        fault: PageFault,
    },
    /// A bucket that etcd makes when it starts for the first time.
    #[error("its database has no bucket `{0}`")]
    NoBucket(&'static str),
    /// The bytes that were read a second time are not those that were read first.
    #[error("page {page} of its database is not what it was when it was read before")]
    Changed {
        /// Its number.
        page: u64,
    },
}

/// What a page belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The table of all buckets.
    Root,
    /// A bucket.
    Bucket(Name),
    /// The list of free pages.
    FreeList,
    /// Nothing, which is what is wrong.
    Nothing,
}

impl Owner {
    /// Whether it is the bucket of this name.
    pub(super) fn is(&self, bucket: &[u8]) -> bool {
        matches!(self, Self::Bucket(name) if name.as_bytes() == bucket)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "with the names of its buckets"),
            Self::Bucket(name) => write!(f, "in its bucket `{name}`"),
            Self::FreeList => write!(f, "with its free pages"),
            Self::Nothing => write!(f, "in none of its buckets"),
        }
    }
}

/// What is wrong with a page: a clause about "it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageFault {
    /// Its header is damaged or that of another page, it reaches beyond the end, or is not of a kind that can be there.
    #[error("it does not begin as a page that can be there does")]
    Header,
    /// Its elements overlap, have gaps between them or reach beyond it.
    #[error("its elements do not lie one behind the other")]
    Elements,
    /// It has more or fewer overflow pages than its elements need.
    #[error("it has not the length of its elements")]
    Length,
    /// A key is not greater than the one before it.
    #[error("its keys do not ascend")]
    Order,
    /// A key is less than the least one that it may have, or not less than what comes behind it.
    #[error("its keys are not between those that lead to it")]
    Bounds,
    /// A branch has no children, or one of them cannot be.
    #[error("what it refers to cannot be")]
    Child,
    /// Two places lead to it.
    #[error("two places lead to it")]
    Twice,
    /// More levels than any tree has.
    #[error("it is deeper down than it can be")]
    Depth,
    /// A bucket among records, or a value among buckets.
    #[error("it mixes buckets with values")]
    Mixed,
    /// The small page within the page that a small bucket is.
    #[error("a bucket that is stored in it is damaged")]
    Inline,
    /// In the bucket `key`: a key that is no revision, or a value that is no record.
    #[error("it holds what is not a record of a key")]
    Record,
    /// It is in use, and free.
    #[error("it is in use, and in the list of free pages")]
    Free,
    /// It is neither in use nor free.
    #[error("it is neither in use nor free")]
    Unreached,
    /// The list of free pages names what cannot be free.
    #[error("it lists what cannot be free, or lists it twice")]
    Listed,
}

impl From<Misplaced> for PageFault {
    fn from(_: Misplaced) -> Self {
        Self::Elements
    }
}
