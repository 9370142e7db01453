use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;
use format::Object;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::{Error as StoreError, GetResultPayload};

use crate::Compute;

/// Bytes that come over a network in small pieces are hashed this many at a time.
const HASHED_AT_ONCE: usize = 1 << 20;

/// The size and the digest of what is read; of more than `limit` bytes only that it is more.
pub(super) async fn of(
    payload: GetResultPayload,
    limit: u64,
    compute: &Compute,
) -> Result<Object, StoreError> {
    match payload {
        GetResultPayload::File(file, _) => compute.run(move || digest_of_file(file, limit)).await,
        GetResultPayload::Stream(pieces) => digest_of_stream(pieces, limit, compute).await,
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

async fn digest_of_stream(
    mut pieces: BoxStream<'_, Result<Bytes, StoreError>>,
    limit: u64,
    compute: &Compute,
) -> Result<Object, StoreError> {
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut batch = Vec::new();
        let mut size = 0;
        while size < HASHED_AT_ONCE
            && let Some(piece) = pieces.try_next().await?
        {
            size += piece.len();
            batch.push(piece);
        }
        if batch.is_empty() || hasher.count() > limit {
            return Ok(object_of(&hasher));
        }
        let hash = move || {
            batch.iter().fold(hasher, |mut hasher, piece| {
                hasher.update(piece);
                hasher
            })
        };
        hasher = compute.run(hash).await;
    }
}

fn object_of(hasher: &blake3::Hasher) -> Object {
    Object {
        size: hasher.count(),
        digest: hasher.finalize().into(),
    }
}
