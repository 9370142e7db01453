//! How bytes are stored: chunk, frame, seal, pack, manifest, map, commit.
//!
//! The code of `docs/format/v1.md`, and pure: bytes in, bytes out, randomness only where a key or an id is made. What is
//! read is untrusted until a digest, a tag or a signature says otherwise, and every length is checked before memory
//! is taken for it.
//!
//! Read in this order: ids and keys, how a message is sealed, how a stream becomes chunks and frames, what describes
//! them (ranges, manifest, map), the commit that makes them a snapshot, and
//! how many commits lie together.

mod description;
mod id;
mod limits;

mod plugin;
mod recipients;

mod identities;
mod identity_file;
mod shares;

mod data_key;
mod writer_key;

mod padding;
mod seal;

mod cut;
mod frame;

mod parse;
mod range;

mod manifest;
mod map;

mod bundle;
mod commit;
mod copied;
mod statement;

/// What a plugin wraps, and how what it wrapped stands in an age file.
pub use age_core::format::{FileKey, Stanza};
pub use bundle::{Bundle, BundlePlace};
pub use commit::{Commit, CommitError, Log, Signed, Witness};
pub use copied::{Copied, Rotated, StoredRun};
pub use cut::{Cut, Cutter, Gear};
pub use data_key::{DataKey, KeyObjects, SealError};
pub use description::{Description, DescriptionError};
pub use frame::{FrameError, open_frame, seal_frame, seal_padding};
pub use identities::{Identities, IdentityError, generate_identity};
pub use identity_file::{SealedIdentities, seal_identities};
pub use plugin::{PluginError, PluginName, Plugins, Wrapped};
pub use recipients::{RecipientError, Recipients};
pub use shares::{
    CombineError, Combined, SetName, Share, ShareError, SplitError, combine, read_shares, split,
};

pub use id::{IdError, JobName, RepositoryId, RunId, WriterId};
pub use limits::*;
pub use manifest::{FrameRow, Group, Incomplete, Manifest, ManifestError, ManifestSource, Stream};
pub use map::{Map, MapError, MappedSource, StoredTags};
pub use padding::padme;
pub use range::{Origin, Range, Ranges};
pub use seal::{OpenError, Place};
pub use statement::{
    CommitRef, Condemned, DigestText, ForgetStatement, KeyName, KeyNameError, KeyPair, Object,
    Pack, PinStatement, PruneStatement, RevokeStatement, RotateStatement, RotatedRun, Run,
    SnapshotStatement, SourceTimes, Statement, pack_name,
};
pub use writer_key::{Tag, WriterKey, WriterKeyError};
