//! The limits of `docs/format/v1.md`, and the sizes that this writer chooses.

/// `strongroom.json` and a key object, in bytes.
pub const SMALL_OBJECT_MAX: u64 = 64 * 1024;
/// A commit, in bytes.
pub const COMMIT_MAX: u64 = 16 * 1024 * 1024;
/// The last number of a log: twelve digits.
pub const COMMITS_MAX: u64 = 999_999_999_999;
/// A bundle of commits, stored or decoded, in bytes.
pub const BUNDLE_MAX: u64 = 16 * 1024 * 1024;
/// A manifest or map, sealed or decoded, in bytes.
pub const MANIFEST_MAX: u64 = 256 * 1024 * 1024;
/// A pack, in bytes.
pub const PACK_MAX: u64 = 64 * 1024 * 1024;
/// A decoded frame, in bytes.
pub const FRAME_MAX: usize = 4 * 1024 * 1024;
/// A chunk, in bytes.
pub const CHUNK_MAX: usize = 1024 * 1024;
/// A group, in bytes: a reader holds a whole one before it may use any of it.
pub const GROUP_MAX: u64 = 4 * 1024 * 1024;
/// Sources in one snapshot.
pub const SOURCES_MAX: usize = 4096;
/// Runs that a snapshot may refer to.
pub const RUNS_MAX: usize = 1024;
/// Recipients of a run.
pub const RECIPIENTS_MAX: usize = 64;
/// Writers that one commit revokes.
pub const REVOKED_MAX: usize = 1024;
/// One recipient's text, in bytes.
pub const RECIPIENT_MAX: usize = 4096;

/// A frame is closed at this many plain bytes.
pub const FRAME_TARGET: usize = 512 * 1024;
/// A pack is closed at this many bytes.
pub const PACK_TARGET: usize = 16 * 1024 * 1024;
/// A group is closed at the first chunk that makes it this long.
pub const GROUP_TARGET: u64 = 1024 * 1024;
/// A bundle is closed at this many decoded bytes.
pub const BUNDLE_TARGET: u64 = 8 * 1024 * 1024;
/// A writer refers to at most this many runs.
pub const RUNS_TARGET: usize = 128;
