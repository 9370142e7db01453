use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;
use format::Object;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::{Error as StoreError, GetResultPayload};

use crate::Compute;

/// The size and the digest of what is read; of more than `limit` bytes only that it is more.
pub(super) async fn of(
    payload: GetResultPayload,
    limit: u64,
    compute: &Compute,
) -> Result<Object, StoreError> {
    match payload {
        GetResultPayload::File(file, _) => compute.run(move || digest_of_file(file, limit)).await,
        GetResultPayload::Stream(pieces) => digest_of_stream(pieces, limit).await,
    }
}

fn digest_of_file(file: File, limit: u64) -> Result<Object, StoreError> {
    let mut hasher = blake3::Hasher::new();
    let read = hasher.update_reader(file.take(limit.saturating_add(1)));
    read.map_err(|error| StoreError::Generic {
        store: "file",
        source: error.into(),
    })?;
    Ok(object_of(&hasher))
}

/// Each piece is hashed where it arrives, and is gone before the next one comes: it is still in the processor's cache, and its memory is
/// read into again. To hash on another thread took a quarter more of the processors for the same bytes.
async fn digest_of_stream(
    mut pieces: BoxStream<'_, Result<Bytes, StoreError>>,
    limit: u64,
) -> Result<Object, StoreError> {
    let mut hasher = blake3::Hasher::new();
    while hasher.count() <= limit
        && let Some(piece) = pieces.try_next().await?
    {
        hasher.update(&piece);
    }
    Ok(object_of(&hasher))
}

fn object_of(hasher: &blake3::Hasher) -> Object {
    Object {
        size: hasher.count(),
        digest: hasher.finalize().into(),
    }
}
