use archive::{Attributes, Body, Content, Digest, Entry, Name};
use async_trait::async_trait;
use bytes::BytesMut;
use foreign::etcd_backup::{Opener, STRIDE_BYTES, Shape};
use repository::Download;
use source::{Contents, Entries, Error, etcd};

use super::bucket::{stored, wrong};
use crate::exit::Exit;

/// A dump that is being read: one etcd snapshot. What it gives out has been opened, and stands where it belongs; whether it is whole its
/// SHA-256 says, which whoever reads it compares.
pub(crate) struct Dump {
    object: String,
    download: Download,
    /// `None`: it is stored as it is.
    opener: Option<Opener>,
    waiting: BytesMut,
    shape: Shape,
    begun: bool,
}

impl Dump {
    pub(super) fn new(
        object: String,
        download: Download,
        opener: Option<Opener>,
        shape: Shape,
    ) -> Self {
        Self {
            object,
            download,
            opener,
            waiting: BytesMut::new(),
            shape,
            begun: false,
        }
    }

    /// What messages call it.
    pub(crate) fn object(&self) -> &str {
        &self.object
    }

    /// Of the snapshot in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.shape.plain_bytes
    }

    /// The next sealed chunk; empty at the end.
    async fn sealed(&mut self) -> Result<BytesMut, Error> {
        while self.waiting.len() < STRIDE_BYTES {
            let piece = self.download.next().await;
            match piece.map_err(|error| stored(&self.object, error))? {
                Some(piece) => {
                    if self.waiting.is_empty() {
                        self.waiting.reserve(STRIDE_BYTES + piece.len());
                    }
                    self.waiting.extend_from_slice(&piece);
                }
                None => break,
            }
        }
        let length = self.waiting.len().min(STRIDE_BYTES);
        Ok(self.waiting.split_to(length))
    }
}

#[async_trait]
impl Contents for Dump {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok((!std::mem::replace(&mut self.begun, true)).then(|| entry(self.shape.plain_bytes)))
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        if self.opener.is_none() {
            let piece = self.download.next().await;
            let piece = piece.map_err(|error| stored(&self.object, error))?;
            return Ok(piece.map(Content::new));
        }
        let mut chunk = self.sealed().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        let opener = self.opener.as_mut().expect("it was looked at");
        let opened = opener.open(&mut chunk);
        let opened = opened.map_err(|fault| {
            wrong(
                &self.object,
                Exit::Damage,
                format!("it is damaged: {fault}"),
            )
        })?;
        Ok(Some(Content::new(chunk.freeze().slice(opened))))
    }
}

/// A snapshot as an entry. Its digest is not known before it has been read.
fn entry(length: u64) -> Entry {
    let digest = Digest::of(b"");
    Entry {
        name: Name::from(etcd::ENTRY),
        attributes: Attributes::default(),
        body: Body::Blob { length, digest },
    }
}

/// The one entry of any dump, to plan with before one is looked for.
pub(crate) struct AnyDump(Option<Entry>);

impl AnyDump {
    pub(crate) fn new() -> Self {
        // As long as none is, so that no file is taken for the same.
        Self(Some(entry(u64::MAX)))
    }
}

#[async_trait]
impl Entries for AnyDump {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok(self.0.take())
    }
}
