use std::cell::RefCell;

use crate::seal::{Kind, TAG, open, seal};
use crate::{DataKey, FRAME_MAX, OpenError, Place};

const STORED: u8 = 0;
const ZSTD: u8 = 1;
/// RFC 8878, section 3.1.1.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// zstd's level: measured in docs/benchmarks.md.
const LEVEL: i32 = 3;

thread_local! {
    /// Making a context costs more than compressing a small frame with it.
    static COMPRESSOR: RefCell<Option<Compressor>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Why a frame cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The seal does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It opens, and does not hold the bytes that the frame table promises.
    #[error("its contents are not of the length that the manifest gives")]
    Contents,
}

/// Seals the chunks in `plain` as frame number `frame` of `stream`, compressed if asked for and worth it.
pub fn seal_frame(
    key: &DataKey,
    place: &Place,
    stream: u32,
    frame: u64,
    plain: &[u8],
    compress: bool,
) -> Vec<u8> {
    seal_message(key, place, stream, frame, encode(plain, compress))
}

/// A frame without chunks that is sealed to exactly `length` bytes, or the shortest possible one if that is longer.
pub fn seal_padding(
    key: &DataKey,
    place: &Place,
    stream: u32,
    frame: u64,
    length: usize,
) -> Vec<u8> {
    let zeros = vec![0; length.saturating_sub(TAG + 1)];
    seal_message(key, place, stream, frame, encode(&zeros, false))
}

fn seal_message(
    key: &DataKey,
    place: &Place,
    stream: u32,
    frame: u64,
    mut message: Vec<u8>,
) -> Vec<u8> {
    seal(
        &key.frame_key(stream, frame),
        place,
        Kind::Frame { stream, frame },
        &mut message,
    );
    message
}

/// Opens a frame whose chunks have `length` bytes in all, as the frame table says, into `plain`.
///
/// What is in `sealed` and `plain` afterwards is meaningless, except for `plain` on success: both are meant to be used again, for
/// memory that is asked for anew costs as much as the work that is done in it.
pub fn open_frame(
    key: &DataKey,
    place: &Place,
    stream: u32,
    frame: u64,
    sealed: &mut [u8],
    length: usize,
    plain: &mut Vec<u8>,
) -> Result<(), FrameError> {
    if length > FRAME_MAX {
        return Err(FrameError::Contents);
    }
    let kind = Kind::Frame { stream, frame };
    let message = open(&key.frame_key(stream, frame), place, kind, sealed)?;
    let (&encoding, data) = message.split_first().ok_or(FrameError::Contents)?;
    decode(encoding, data, length, plain)?;
    if plain.len() == length {
        Ok(())
    } else {
        Err(FrameError::Contents)
    }
}

/// The encoding and the encoded bytes of `plain`, compressed if it gets at least a thirty-second smaller. There is room for
/// the seal's tag behind them.
pub(crate) fn encode(plain: &[u8], compress: bool) -> Vec<u8> {
    let message = |encoding, data: &[u8]| {
        let mut message = Vec::with_capacity(1 + data.len() + TAG);
        message.push(encoding);
        message.extend_from_slice(data);
        message
    };
    if !compress {
        return message(STORED, plain);
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let packed = slot.get_or_insert_with(Compressor::new).compress(plain);
        if packed.len() < plain.len() - plain.len() / 32 {
            message(ZSTD, packed)
        } else {
            message(STORED, plain)
        }
    })
}

/// zstd with a buffer for what it makes.
struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Compressor {
    fn new() -> Self {
        let zstd = zstd::bulk::Compressor::new(LEVEL).expect("the level is one that zstd has");
        Self {
            zstd,
            packed: Vec::new(),
        }
    }

    fn compress(&mut self, plain: &[u8]) -> &[u8] {
        self.packed.clear();
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.zstd
            .compress_to_buffer(plain, &mut self.packed)
            .expect("a buffer of sufficient size is given to zstd");
        &self.packed
    }
}

/// Undoes [`encode`] into `plain`, for at most `limit` decoded bytes.
pub(crate) fn decode(
    encoding: u8,
    data: &[u8],
    limit: usize,
    plain: &mut Vec<u8>,
) -> Result<(), FrameError> {
    plain.clear();
    match encoding {
        STORED if data.len() <= limit => {
            plain.extend_from_slice(data);
            Ok(())
        }
        ZSTD => {
            // The frame header's own size bounds the allocation: a small object cannot ask for the whole limit.
            let size = zstd::zstd_safe::get_frame_content_size(data)
                .map_err(|_| FrameError::Contents)?
                .ok_or(FrameError::Contents)?;
            let size = usize::try_from(size).map_err(|_| FrameError::Contents)?;
            if size > limit || !is_one_zstd_frame(data) {
                return Err(FrameError::Contents);
            }
            plain.reserve_exact(size);
            DECOMPRESSOR.with_borrow_mut(|slot| {
                let decompressor = slot.get_or_insert_with(|| {
                    zstd::bulk::Decompressor::new().expect("memory for a zstd context")
                });
                match decompressor.decompress_to_buffer(data, plain) {
                    Ok(decoded) if decoded == size => Ok(()),
                    _ => Err(FrameError::Contents),
                }
            })
        }
        _ => Err(FrameError::Contents),
    }
}

/// zstd itself would decode any number of frames, and skip those that it calls skippable: other bytes of the same contents.
fn is_one_zstd_frame(data: &[u8]) -> bool {
    data.starts_with(&ZSTD_MAGIC)
        && zstd::zstd_safe::find_frame_compressed_size(data) == Ok(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RepositoryId, RunId};

    fn place() -> Place {
        Place {
            repository: RepositoryId([1; 16]),
            job: "prod".parse().expect("a job name"),
            run: RunId([2; 16]),
        }
    }

    #[test]
    fn frames_come_back_compressed_or_not() {
        let key = DataKey::random();
        for (plain, compress) in [
            (b"text ".repeat(9000), true),
            (b"text ".repeat(9000), false),
            (crate::id::random::<5000>().to_vec(), true),
            (Vec::new(), true),
        ] {
            let sealed = seal_frame(&key, &place(), 3, 4, &plain, compress);
            let opened = |length| {
                let mut opened = b"left over".to_vec();
                let (sealed, place) = (&mut sealed.clone(), place());
                open_frame(&key, &place, 3, 4, sealed, length, &mut opened).map(|()| opened)
            };
            assert_eq!(opened(plain.len()), Ok(plain.clone()));
            assert_eq!(opened(plain.len() + 1), Err(FrameError::Contents));
            assert_eq!(opened(FRAME_MAX + 1), Err(FrameError::Contents));
            if !plain.is_empty() {
                assert_eq!(opened(plain.len() - 1), Err(FrameError::Contents));
            }
        }
    }

    #[test]
    fn records_keep_their_length_uncompressed() {
        let plain = b"same ".repeat(100);
        let sealed = seal_frame(&DataKey::random(), &place(), 0, 0, &plain, false);
        assert_eq!(sealed.len(), 1 + plain.len() + TAG);
    }

    #[test]
    fn padding_has_the_length_that_was_asked_for() {
        let key = DataKey::random();
        for length in [17, 18, 1000] {
            assert_eq!(seal_padding(&key, &place(), 0, 1, length).len(), length);
        }
        assert_eq!(seal_padding(&key, &place(), 0, 1, 3).len(), TAG + 1);
    }

    #[test]
    fn a_zstd_bomb_is_refused_by_its_header() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).expect("zstd compresses zeros");
        let mut plain = Vec::new();
        let refused = Err(FrameError::Contents);
        assert_eq!(decode(ZSTD, &bomb, 1000, &mut plain), refused);
        assert_eq!(plain.capacity(), 0, "nothing was allocated for it");
        assert_eq!(decode(9, b"", 10, &mut plain), refused);
    }
}
