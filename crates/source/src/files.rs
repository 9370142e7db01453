//! Files, folders and symbolic links of the machine that the backup runs on.
//!
//! What is captured and how it is restored is written in `docs/sources/files.md`. Nothing that lies below a configured
//! path, or below the root of a restore, is ever reached through a symbolic link.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{Entry, Item};
use async_trait::async_trait;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use crate::{
    Action, Capture, Contents, Entries, Error, ErrorKind, Finding, Plan, Report, RestoreOptions,
    Sink, Source,
};

mod path;
mod properties;
mod selection;

mod read;
mod walk;

mod compare;
mod tree;

mod restore;
mod settle;
pub(crate) mod temporary;

mod check;

use compare::Comparison;
use restore::Piece;
use selection::Selection;
use tree::Tree;
use walk::Walker;

/// So many entries are compared with what is live in one go.
const COMPARED_AT_ONCE: usize = 256;

/// Restored entries are handed to the thread that writes them in batches of about this many bytes ...
const PIECES_BYTES: usize = 256 * 1024;
/// ... or this many pieces.
const PIECES_AT_ONCE: usize = 512;

/// Which files to capture.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesOptions {
    /// Absolute paths of files and folders; folders with all that is in them.
    pub paths: Vec<PathBuf>,
    /// If there are any: only files and links that match one, or that lie in a folder that does. Folders always.
    pub include: Vec<String>,
    /// What matches one of these is left out, a folder with all that is in it. Stronger than `include`.
    pub exclude: Vec<String>,
    /// Whether to stay out of other filesystems that are mounted below a path.
    pub one_filesystem: bool,
}

/// The source `files`.
pub struct Files {
    selection: Arc<Selection>,
}

impl Files {
    /// A source of the files that `options` select; an error says which option cannot work.
    ///
    /// Looks at no file: a path that does not exist is an error of [`Source::read`].
    pub fn new(options: &FilesOptions) -> Result<Self, Error> {
        Ok(Self {
            selection: Arc::new(Selection::new(options)?),
        })
    }

    /// The tree that a restore by `options` looks at.
    fn tree(&self, options: &RestoreOptions) -> Result<Tree, Error> {
        match &options.target {
            None => Ok(Tree::new(
                open_root(Path::new("/"))?,
                self.selection.paths(),
            )),
            Some(target) => Ok(Tree::new(open_root(target)?, &[])),
        }
    }
}

#[async_trait]
impl Source for Files {
    fn kind(&self) -> &'static str {
        "files"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let selection = self.selection.clone();
        let (sender, mut batches) = mpsc::channel(2);
        let walk = spawn_blocking(move || {
            let mut walker = Walker::new(selection)?;
            while let Some(items) = walker.next_batch() {
                // Refused when nobody waits for them any more: then there is nothing left to do.
                if sender.blocking_send(items).is_err() {
                    break;
                }
            }
            Ok(walker.finish())
        });
        while let Some(items) = batches.recv().await {
            for item in items {
                pour(sink, item).await?;
            }
        }
        walk.await.map_err(bug)?
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        let owners = settle::runs_as_root();
        let mut comparison = Comparison::new(self.tree(options)?, options.conflict, owners);
        let mut plan = Plan::default();
        loop {
            let batch = next_entries(entries).await?;
            if batch.is_empty() {
                break;
            }
            let compared = spawn_blocking(move || {
                let steps: Vec<_> = batch.iter().map(|entry| comparison.step(entry)).collect();
                (comparison, steps)
            });
            let steps;
            (comparison, steps) = compared.await.map_err(bug)?;
            plan.steps.extend(steps);
        }
        if !owners {
            let note = "owners are neither compared nor restored, which takes root".to_owned();
            plan.notes.push(note);
        }
        Ok(plan)
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        options: &RestoreOptions,
    ) -> Result<Report, Error> {
        refuse_conflicts(plan)?;
        if let Some(target) = &options.target {
            make_target(target)?;
        }
        let tree = self.tree(options)?;
        let (sender, pieces) = mpsc::channel(2);
        let restore = spawn_blocking(move || restore::run(pieces, tree));
        let fed = feed(plan, contents, sender).await;
        let report = restore.await.map_err(bug)??;
        fed?;
        Ok(report)
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        check::check(contents).await
    }
}

async fn pour(sink: &mut Sink, item: Item) -> Result<(), Error> {
    match item {
        Item::Begin(header) => sink.begin(header).await?,
        Item::Unit { length } => sink.unit(length).await?,
        Item::Data(content) => sink.data(content).await?,
        Item::End => sink.end().await?,
        Item::GiveUp => sink.give_up().await?,
    }
    Ok(())
}

async fn next_entries(entries: &mut dyn Entries) -> Result<Vec<Entry>, Error> {
    let mut batch = Vec::new();
    while batch.len() < COMPARED_AT_ONCE {
        match entries.next().await? {
            Some(entry) => batch.push(entry),
            None => break,
        }
    }
    Ok(batch)
}

/// Hands over the entries that `plan` writes, until all are or the other end has stopped.
async fn feed(
    plan: &Plan,
    contents: &mut dyn Contents,
    sender: mpsc::Sender<Vec<Piece>>,
) -> Result<(), Error> {
    let mut pieces = Pieces {
        sender,
        batch: Vec::new(),
        bytes: 0,
    };
    for step in plan.steps.iter().filter(|step| step.action.writes()) {
        let entry = contents
            .next()
            .await?
            .filter(|entry| entry.name == step.name);
        let Some(entry) = entry else {
            let message = format!("the plan writes {}, but another entry came", step.name);
            return Err(Error::new(ErrorKind::Bug, message));
        };
        let replaces = matches!(step.action, Action::Update { .. });
        let mut going = pieces.push(Piece::Begin(Box::new(entry), replaces)).await;
        // It gets its name at its end.
        contents.hold_back();
        while let Some(content) = contents.data().await?.filter(|_| going) {
            going = pieces.push(Piece::Data(content)).await;
        }
        if !going || !pieces.push(Piece::End).await {
            // It failed, and says why itself.
            return Ok(());
        }
    }
    pieces.flush().await;
    Ok(())
}

/// Pieces on their way to the thread that writes: many small ones cost one step.
struct Pieces {
    sender: mpsc::Sender<Vec<Piece>>,
    batch: Vec<Piece>,
    bytes: usize,
}

impl Pieces {
    /// False if nobody takes them any more.
    async fn push(&mut self, piece: Piece) -> bool {
        if let Piece::Data(content) = &piece {
            self.bytes += content.len();
        }
        self.batch.push(piece);
        (self.bytes < PIECES_BYTES && self.batch.len() < PIECES_AT_ONCE) || self.flush().await
    }

    async fn flush(&mut self) -> bool {
        self.bytes = 0;
        self.sender
            .send(std::mem::take(&mut self.batch))
            .await
            .is_ok()
    }
}

/// A plan with a conflict is not carried out, not even in part.
pub(crate) fn refuse_conflicts(plan: &Plan) -> Result<(), Error> {
    let mut conflicts = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Conflict { reason } => Some((&step.name, reason)),
        _ => None,
    });
    let Some((name, reason)) = conflicts.next() else {
        return Ok(());
    };
    let others = match conflicts.count() {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let message = format!(
        "nothing was restored, because something is in the way at {name}: {reason}{others}; \
         choose to skip or to overwrite, or another place"
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

fn open_root(path: &Path) -> Result<Option<OwnedFd>, Error> {
    match open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(root) => Ok(Some(root)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(local(
            "cannot be opened as a folder to restore to",
            path,
            errno.into(),
        )),
    }
}

/// With rights for its owner alone: it is to hold secrets.
fn make_target(target: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(target)
        .map_err(|error| local("cannot be made a folder to restore to", target, error))
}

fn local(what: &str, path: &Path, error: std::io::Error) -> Error {
    use std::os::unix::ffi::OsStrExt;
    let name = archive::Name::new(path.as_os_str().as_bytes());
    Error::new(ErrorKind::Local, format!("{name} {what}")).because(error)
}

fn bug(error: JoinError) -> Error {
    Error::new(ErrorKind::Bug, "the work on files ended unexpectedly").because(error)
}
