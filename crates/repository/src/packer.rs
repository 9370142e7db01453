use std::collections::BTreeMap;

use archive::Digest;
use bytes::Bytes;
use format::{
    DataKey, FrameRow, JobName, Object, PACK_TARGET, Pack, Place, pack_name, padme, seal_padding,
};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, future::BoxFuture};

use crate::pack_buffer::PackBuffers;
use crate::store::{Name, Settled, Store};
use crate::{Compute, Error};

/// Packs that are uploaded at the same time, each held in memory until it is durable.
const CONCURRENT_UPLOADS: usize = 2;

/// Gathers sealed frames into packs and uploads them.
pub(crate) struct Packer {
    store: Store,
    job: JobName,
    place: Place,
    compute: Compute,
    buffers: PackBuffers,
    /// The sealed frames of the pack that is being filled, end to end.
    pack: Vec<u8>,
    number: u32,
    rows: BTreeMap<u32, Vec<FrameRow>>,
    uploads: FuturesUnordered<BoxFuture<'static, Result<Pack, Error>>>,
    uploaded: Vec<Pack>,
}

/// What was uploaded, when all of it is durable.
pub(crate) struct Packed {
    /// Ascending by number.
    pub(crate) packs: Vec<Pack>,
    /// The frame table, by stream.
    pub(crate) rows: BTreeMap<u32, Vec<FrameRow>>,
}

impl Packer {
    pub(crate) fn new(store: Store, place: Place, compute: Compute) -> Self {
        Self {
            store,
            job: place.job.clone(),
            place,
            compute,
            buffers: PackBuffers::default(),
            pack: Vec::new(),
            number: 0,
            rows: BTreeMap::new(),
            uploads: FuturesUnordered::new(),
            uploaded: Vec::new(),
        }
    }

    /// Takes the next sealed frame of a stream; frames of one stream must come in their order.
    ///
    /// Waits while too many packs are on their way, which is what bounds memory.
    pub(crate) async fn push(
        &mut self,
        stream: u32,
        chunks: Vec<u32>,
        sealed: &[u8],
    ) -> Result<(), Error> {
        self.append(stream, chunks, sealed);
        if self.pack.len() >= PACK_TARGET {
            self.close().await?;
        }
        self.nudge()
    }

    /// Pads and uploads the last pack; on return all packs are durable.
    pub(crate) async fn finish(mut self, key: &DataKey) -> Result<Packed, Error> {
        if !self.pack.is_empty() {
            self.pad(key);
            self.close().await?;
        }
        while let Some(pack) = self.uploads.next().await {
            self.uploaded.push(pack?);
        }
        self.uploaded.sort_unstable_by_key(|pack| pack.number);
        Ok(Packed {
            packs: self.uploaded,
            rows: self.rows,
        })
    }

    fn append(&mut self, stream: u32, chunks: Vec<u32>, sealed: &[u8]) {
        if self.pack.capacity() == 0 {
            self.pack = self.buffers.empty();
        }
        let row = FrameRow {
            pack: self.number,
            offset: self.pack.len() as u32,
            sealed: sealed.len() as u32,
            chunks,
        };
        self.rows.entry(stream).or_default().push(row);
        self.pack.extend_from_slice(sealed);
    }

    /// Hides the exact size of the last pack behind a frame of zeros.
    fn pad(&mut self, key: &DataKey) {
        let length = self.pack.len() as u64;
        // The shortest padding frame is 17 bytes; one more than the pack's length is always a longer Padmé length away.
        let missing = padme(length + 17) - length;
        let (&stream, rows) = self.rows.last_key_value().expect("a pack has a frame");
        let frame = rows.len() as u64;
        let padding = seal_padding(key, &self.place, stream, frame, missing as usize);
        self.append(stream, Vec::new(), &padding);
    }

    async fn close(&mut self) -> Result<(), Error> {
        while self.uploads.len() >= CONCURRENT_UPLOADS {
            if let Some(pack) = self.uploads.next().await {
                self.uploaded.push(pack?);
            }
        }
        let number = self.number;
        self.number += 1;
        let pack = self.buffers.share(std::mem::take(&mut self.pack));
        let hashed = pack.clone();
        let digest = self.compute.run(move || Digest::of(&hashed));
        let name = Name::in_run(&self.job, self.place.run, &pack_name(number));
        let store = self.store.clone();
        self.uploads.push(
            async move {
                let object = Object {
                    size: pack.len() as u64,
                    digest: digest.await,
                };
                create_new(&store, &name, pack).await?;
                Ok(Pack { number, object })
            }
            .boxed(),
        );
        self.nudge()
    }

    /// Lets the uploads make progress without waiting for any.
    fn nudge(&mut self) -> Result<(), Error> {
        while let Some(Some(pack)) = self.uploads.next().now_or_never() {
            self.uploaded.push(pack?);
        }
        Ok(())
    }
}

/// How often an object is put that the store refuses and does not have.
const REFUSALS: usize = 3;

/// Creates an object of this run; on return it is durable. That another is there means that two processes drew the same 128 random
/// bits, or that somebody puts objects in our way: neither is survivable under this name.
pub(crate) async fn create_new(store: &Store, name: &Name, bytes: Bytes) -> Result<(), Error> {
    for _ in 0..REFUSALS {
        match store.settle(name, &bytes).await? {
            Settled::Ours => return Ok(()),
            Settled::Others => {
                let detail = "it exists already, under a name that is new";
                return Err(Error::damaged(name.to_string(), detail));
            }
            Settled::Refused => {}
        }
    }
    let detail = "the store says that it exists, and does not have it";
    Err(Error::damaged(name.to_string(), detail))
}
