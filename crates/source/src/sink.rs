use archive::{Content, Header, Item};
use tokio::sync::mpsc;

use crate::{Error, ErrorKind};

/// Items are handed over in batches of about this many content bytes, so that small items cost little each.
const BATCH_BYTES: usize = 1024 * 1024;
/// And of at most this many items, for floods of empty entries.
const BATCH_ITEMS: usize = 4096;

/// Items on their way from a source to the repository, in order.
pub type Batch = Vec<Item>;

/// Where a source pours its items. Waits when the other end is busy, so memory stays bounded.
pub struct Sink {
    sender: mpsc::Sender<Batch>,
    batch: Batch,
    bytes: usize,
}

/// The reader at the other end has gone: it failed, and its own error says why.
#[derive(Debug, thiserror::Error)]
#[error("the backup stopped reading this source")]
pub struct SinkClosed;

impl From<SinkClosed> for Error {
    fn from(closed: SinkClosed) -> Self {
        Error::new(ErrorKind::Bug, "the capture was abandoned").because(closed)
    }
}

impl Sink {
    /// A sink and the end to read it from. At most two batches wait between them.
    pub fn channel() -> (Self, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(2);
        (
            Self {
                sender,
                batch: Batch::new(),
                bytes: 0,
            },
            receiver,
        )
    }

    /// Starts an entry.
    pub async fn begin(&mut self, header: Header) -> Result<(), SinkClosed> {
        self.push(Item::Begin(header), 0).await
    }

    /// Says that the entry's next `length` bytes behind the units announced before are one unit.
    pub async fn unit(&mut self, length: u64) -> Result<(), SinkClosed> {
        self.push(Item::Unit { length }, 0).await
    }

    /// Sends the entry's next bytes; pieces of 32 KiB to 1 MiB are cheapest.
    pub async fn data(&mut self, content: Content) -> Result<(), SinkClosed> {
        let bytes = content.len();
        self.push(Item::Data(content), bytes).await
    }

    /// Completes the entry.
    pub async fn end(&mut self) -> Result<(), SinkClosed> {
        self.push(Item::End, 0).await
    }

    /// Gives up the entry that is open, which must be the first: nothing of it is kept, and it may begin again.
    ///
    /// What was sent of it is stored already, in part. Bytes that come again are found there and not stored twice.
    pub async fn give_up(&mut self) -> Result<(), SinkClosed> {
        self.push(Item::GiveUp, 0).await
    }

    /// Sends what is still waiting. To be called once, after a source's `read` returned without error.
    pub async fn finish(mut self) -> Result<(), SinkClosed> {
        self.flush().await
    }

    async fn push(&mut self, item: Item, bytes: usize) -> Result<(), SinkClosed> {
        self.batch.push(item);
        self.bytes += bytes;
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_ITEMS {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkClosed> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        self.sender
            .send(std::mem::take(&mut self.batch))
            .await
            .map_err(|_| SinkClosed)
    }
}
