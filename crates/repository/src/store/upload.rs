use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use object_store::{MultipartUpload, PutMultipartOptions, UploadPart};

use super::{Name, Objects};
use crate::Error;

/// Of every part but the last: as little as S3 takes.
const PART_BYTES: usize = 5 << 20;
/// So many parts are on their way while the next one is gathered.
const PARTS_UNDER_WAY: usize = 2;
/// S3 takes no more.
const PARTS_MAX: usize = 10_000;
/// So long what is under way is waited for before an upload is given up.
const ARRIVES: Duration = Duration::from_secs(5);

/// An object that is being uploaded, in bounded memory. Until it is finished there is nothing of that name; given up, nothing stays.
pub struct Upload {
    objects: Objects,
    name: Name,
    /// What makes no part yet.
    gathered: Vec<u8>,
    /// What was asked for and not answered yet: were it forgotten, nobody could give up what the server begins.
    beginning: Option<BoxFuture<'static, object_store::Result<Box<dyn MultipartUpload>>>>,
    parts: Option<Box<dyn MultipartUpload>>,
    begun: usize,
    under_way: FuturesUnordered<UploadPart>,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(objects: Objects, name: Name) -> Self {
        Self {
            objects,
            name,
            gathered: Vec::new(),
            beginning: None,
            parts: None,
            begun: 0,
            under_way: FuturesUnordered::new(),
            bytes: 0,
        }
    }

    /// Takes the next bytes. Waits while enough is under way.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.gathered.capacity() == 0 {
                self.gathered.reserve_exact(PART_BYTES);
            }
            let taken = bytes.len().min(PART_BYTES - self.gathered.len());
            self.gathered.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.gathered.len() == PART_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Does `work`, and goes on with what is under way meanwhile.
    pub async fn while_waiting<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        while !self.under_way.is_empty() {
            match select(work.as_mut(), self.under_way.next()).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right((Some(Err(source)), _)) => return Err(self.failed(source)),
                Either::Right(_) => {}
            }
        }
        Ok(work.await)
    }

    /// How many bytes were taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the object of what was written. `false`: it was small, and there is another one of that name, which was left alone.
    ///
    /// After an error there is the whole object or none.
    pub async fn finish(&mut self) -> Result<bool, Error> {
        if self.parts.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.gathered));
            return self.objects.create(self.name.0.as_ref(), bytes).await;
        }
        if !self.gathered.is_empty() {
            self.send().await?;
        }
        self.wait_for(0).await?;
        let parts = self.parts.as_mut().expect("it was looked at");
        match parts.complete().await {
            Ok(_) => Ok(true),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Gives it up. What cannot be removed is a part that the bucket's own rules remove.
    ///
    /// What is under way is waited for, for some seconds: a part that arrives while its upload is given up may stay, says S3
    /// (`AbortMultipartUpload`).
    pub async fn abort(&mut self) {
        let limit = (self.objects.timing.sleep)(ARRIVES);
        select(pin!(self.arrives()), limit).await;
        self.beginning = None;
        self.under_way.clear();
        if let Some(parts) = &mut self.parts
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(name = %self.name, %error, "parts of an upload stay");
        }
    }

    /// Ends when nothing is under way any more, whatever became of it.
    async fn arrives(&mut self) {
        if let Err(error) = self.has_begun().await {
            tracing::debug!(%error, "nothing was begun");
        }
        while self.under_way.next().await.is_some() {}
    }

    /// Waits for the answer to what was asked for.
    async fn has_begun(&mut self) -> Result<(), Error> {
        let Some(beginning) = &mut self.beginning else {
            return Ok(());
        };
        let begun = beginning.await;
        self.beginning = None;
        self.parts = Some(begun.map_err(|source| self.failed(source))?);
        Ok(())
    }

    fn begin(&mut self) {
        let (store, name) = (Arc::clone(&self.objects.store.inner), self.name.0.clone());
        self.beginning = Some(Box::pin(async move {
            let options = PutMultipartOptions::default();
            store.put_multipart_opts(&name, options).await
        }));
    }

    async fn send(&mut self) -> Result<(), Error> {
        if self.begun == PARTS_MAX {
            let why = "it is longer than 48 GiB, which is more than is uploaded as one object";
            return Err(self.objects.cannot("write", self.name.0.as_ref(), why));
        }
        self.wait_for(PARTS_UNDER_WAY - 1).await?;
        if self.parts.is_none() && self.beginning.is_none() {
            self.begin();
        }
        self.has_begun().await?;
        let parts = self.parts.as_mut().expect("it has begun");
        let part = Bytes::from(std::mem::take(&mut self.gathered));
        self.begun += 1;
        self.under_way.push(parts.put_part(part.into()));
        Ok(())
    }

    /// Waits until no more than so many parts are under way.
    async fn wait_for(&mut self, most: usize) -> Result<(), Error> {
        while self.under_way.len() > most {
            if let Some(Err(source)) = self.under_way.next().await {
                return Err(self.failed(source));
            }
        }
        Ok(())
    }

    fn failed(&self, source: object_store::Error) -> Error {
        self.objects.store.failed("write", &self.name, source)
    }
}
