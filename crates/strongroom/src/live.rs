//! Sources that are read now: into a backup, or entry by entry to be compared, without holding what they contain.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use archive::{Content, Entry, Item, Streams, Writer, WriterError};
use source::files::Files;
use source::{Batch, Capture, Sink, SinkClosed, Source};
use tokio::sync::mpsc;

use crate::config::resolve::{Kind, SourceSettings};
use crate::progress::Progress;
use crate::sources::{Secrets, build, files_options};

/// A source as far as it is there.
pub(crate) struct Present {
    /// `None`: nothing of it is.
    pub(crate) source: Option<Box<dyn Source>>,
    /// The configured paths that are not.
    pub(crate) gone: Vec<PathBuf>,
}

impl Present {
    /// All of it is there.
    pub(crate) fn of(source: impl Source + 'static) -> Self {
        Self {
            source: Some(Box::new(source)),
            gone: Vec::new(),
        }
    }
}

/// What there is of the source that `settings` describe, to compare with: for a backup a path that is gone is a mistake, and
/// after a loss it is the answer.
pub(crate) fn build_present(settings: &SourceSettings) -> anyhow::Result<Present> {
    let Kind::Files(files) = &settings.kind else {
        let source = Some(build(settings, Secrets::Read)?);
        let gone = Vec::new();
        return Ok(Present { source, gone });
    };
    let mut options = files_options(files);
    let (gone, present): (Vec<PathBuf>, _) =
        options.paths.into_iter().partition(|path| is_gone(path));
    options.paths = present;
    if options.paths.is_empty() {
        return Ok(Present { source: None, gone });
    }
    let source = Files::new(&options).with_context(|| format!("source `{}`", settings.name.value));
    let source: Option<Box<dyn Source>> = Some(Box::new(source?));
    Ok(Present { source, gone })
}

/// Only if that is certain: what cannot be looked at may well be there.
fn is_gone(path: &Path) -> bool {
    let looked = path.symlink_metadata();
    looked.is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    })
}

/// Pours `source` into `sink`, whose other end `taking` empties. If both fail, it is the one that failed first that says why.
pub(crate) async fn read_while<T, E: Into<anyhow::Error>>(
    source: &dyn Source,
    mut sink: Sink,
    taking: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<(Capture, T)> {
    let reading = async move {
        let capture = source.read(&mut sink).await?;
        sink.finish().await?;
        Ok::<_, source::Error>(capture)
    };
    match futures::join!(reading, taking) {
        (Ok(capture), Ok(taken)) => Ok((capture, taken)),
        // The source only says that nobody listens any more.
        (Err(error), Err(cause)) if is_closed(&error) => Err(cause.into()),
        (Err(error), _) => Err(error.into()),
        (Ok(_), Err(cause)) => Err(cause.into()),
    }
}

/// Whether a source only says that nobody listens any more.
pub(crate) fn is_closed(error: &source::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<SinkClosed>)
}

/// The bytes of content in a batch.
pub(crate) fn content_bytes(batch: &Batch) -> u64 {
    let lengths = batch.iter().map(|item| match item {
        Item::Data(content) => content.len() as u64,
        _ => 0,
    });
    lengths.sum()
}

/// The entries of a source that is being read, as a snapshot of it would list them. Contents become digests and are dropped.
pub(crate) struct Live<'a> {
    batches: mpsc::Receiver<Batch>,
    writer: Writer,
    complete: Complete,
    progress: &'a Progress,
}

/// Entries that nobody has asked for yet: those of one batch at most.
#[derive(Default)]
struct Complete(VecDeque<Entry>);

impl<'a> Live<'a> {
    /// `batches` is the other end of the sink that the source pours into.
    pub(crate) fn new(batches: mpsc::Receiver<Batch>, progress: &'a Progress) -> Self {
        Self {
            batches,
            writer: Writer::default(),
            complete: Complete::default(),
            progress,
        }
    }

    /// The next entry, ascending by name. The end is only to be believed if the source has been read without an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, WriterError> {
        loop {
            if let Some(entry) = self.complete.0.pop_front() {
                return Ok(Some(entry));
            }
            let Some(batch) = self.batches.recv().await else {
                self.writer.finish()?;
                return Ok(None);
            };
            self.progress.add(content_bytes(&batch));
            for item in batch {
                self.writer.push(item, &mut self.complete)?;
            }
        }
    }
}

impl Streams for Complete {
    fn content(&mut self, _content: Content) {}

    fn unit(&mut self, _length: u64) {}

    fn entry_ends(&mut self, entry: &Entry) {
        self.0.push_back(entry.clone());
    }

    fn catalog(&mut self, _record: &[u8]) {}

    // Only a first entry is given up, and it is not complete.
    fn give_up(&mut self) {}
}
