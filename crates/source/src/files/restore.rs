use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use archive::{Content, Entry, Name};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, fstat, fsync, mkdirat, statat, unlinkat};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::output::Output;
use super::path::{Folders, components};
use super::properties::{Kind, Properties};
use super::read::text;
use super::settle::{Notes, settle_file, settle_link};
use super::temporary::{Temporary, TemporaryNames};
use super::tree::{Obstacle, Tree, is_fatal, open_folder};
use crate::{Error, ErrorKind, Report};

/// So many finished files are synced together, for little more than the price of one.
const BATCH: usize = 2048;
/// A batch holds so many folders open at most.
const BATCH_FOLDERS: usize = 128;

/// What a restore is told, in the order of the plan.
pub(super) enum Piece {
    /// An entry, and whether it replaces what is there.
    Begin(Box<Entry>, bool),
    /// Its next bytes, authenticated.
    Data(Content),
    /// It is whole.
    End,
}

/// Writes what it is told until there is no more; a file that was not ended by then is removed.
pub(super) fn run(mut batches: mpsc::Receiver<Vec<Piece>>, tree: Tree) -> Result<Report, Error> {
    let mut restore = Restore::new(tree);
    while let Some(batch) = batches.blocking_recv() {
        for piece in batch {
            match piece {
                Piece::Begin(entry, replaces) => restore.begin(&entry, replaces)?,
                Piece::Data(content) => restore.data(content.as_bytes())?,
                Piece::End => restore.end()?,
            }
        }
    }
    restore.finish()
}

struct Restore {
    tree: Tree,
    names: TemporaryNames,
    open: Option<OpenFile>,
    /// Folders whose properties are set when everything in them is written.
    folders: Folders<Finished>,
    batch: Vec<Finished>,
    /// Folders in which something was written since the last sync.
    touched: Vec<Arc<OwnedFd>>,
    swept: Vec<Weak<OwnedFd>>,
    notes: Notes,
    report: Report,
}

struct OpenFile {
    name: Name,
    leaf: Vec<u8>,
    replaces: bool,
    temporary: Temporary,
    output: Output,
    properties: Properties,
}

/// What waits for its last step.
struct Finished {
    name: Name,
    step: LastStep,
}

enum LastStep {
    /// To be given its name, once it is on disk.
    Publish {
        temporary: Temporary,
        leaf: Vec<u8>,
        replaces: bool,
    },
    /// To be given its properties.
    Settle {
        folder: Arc<OwnedFd>,
        properties: Properties,
    },
}

/// Why an entry was not written.
enum Failure {
    /// One clause; the rest goes on.
    Entry(String),
    /// The rest would fail as well.
    Fatal(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        if is_fatal(errno) {
            Self::Fatal(errno)
        } else {
            Self::Entry(text(errno))
        }
    }
}

impl From<Obstacle> for Failure {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Missing => Self::Entry("the folder to restore to went away".to_owned()),
            Obstacle::InTheWay(reason) => Self::Entry(reason),
            Obstacle::Fatal(errno) => Self::Fatal(errno),
        }
    }
}

impl From<&'static str> for Failure {
    fn from(reason: &'static str) -> Self {
        Self::Entry(reason.to_owned())
    }
}

impl Restore {
    fn new(tree: Tree) -> Self {
        Self {
            tree,
            names: TemporaryNames::new(),
            open: None,
            folders: Folders::new(),
            batch: Vec::new(),
            touched: Vec::new(),
            swept: Vec::new(),
            notes: Notes::new(),
            report: Report::default(),
        }
    }

    fn begin(&mut self, entry: &Entry, replaces: bool) -> Result<(), Error> {
        let left = self.folders.leave(&entry.name);
        self.batch.extend(left);
        if self.batch.len() >= BATCH || self.touched.len() >= BATCH_FOLDERS {
            self.flush()?;
        }
        let begun = self.make(entry, replaces);
        self.count(&entry.name, begun)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // None: a file that failed.
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if let Err(errno) = open.output.write(bytes) {
            let open = self.open.take().expect("it is open");
            return self.count(&open.name, Err(errno.into()));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        // None: a folder, a link, or a file that failed.
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let OpenFile {
            name,
            leaf,
            replaces,
            temporary,
            output,
            properties,
        } = open;
        let settled = output.finish().and_then(|file| {
            settle_file(file.as_fd(), &properties, &name, &mut self.notes)?;
            if SYNCS_FILESYSTEMS {
                Ok(())
            } else {
                fsync(&file)
            }
        });
        if let Err(errno) = settled {
            return self.count(&name, Err(errno.into()));
        }
        let step = LastStep::Publish {
            temporary,
            leaf,
            replaces,
        };
        self.batch.push(Finished { name, step });
        Ok(())
    }

    fn finish(mut self) -> Result<Report, Error> {
        self.open = None;
        let left = self.folders.leave_all();
        self.batch.extend(left);
        self.flush()?;
        // The names that the last batch was given.
        self.sync()?;
        self.report.notes = self.notes.sentences();
        Ok(self.report)
    }

    fn make(&mut self, entry: &Entry, replaces: bool) -> Result<(), Failure> {
        let name = entry.name.clone();
        let components = components(&name)?;
        let properties = Properties::parse(entry)?;
        let (leaf, parents) = components.split_last().expect("names have components");
        let parent = self.tree.find_or_make(parents)?;
        self.sweep(&parent)?;
        self.touch(&parent);
        match &properties.kind {
            Kind::Directory => {
                let folder = Arc::new(make_folder(&parent, leaf, replaces)?);
                self.touch(&folder);
                let step = LastStep::Settle { folder, properties };
                self.folders.enter(
                    &name,
                    Finished {
                        name: name.clone(),
                        step,
                    },
                );
            }
            Kind::Symlink(target) => {
                let temporary = self.names.link(&parent, target)?;
                settle_link(
                    &parent,
                    temporary.name(),
                    &properties,
                    &name,
                    &mut self.notes,
                );
                let leaf = leaf.to_vec();
                let step = LastStep::Publish {
                    temporary,
                    leaf,
                    replaces,
                };
                self.batch.push(Finished { name, step });
            }
            Kind::File => {
                let (temporary, file) = self.names.file(&parent)?;
                let leaf = leaf.to_vec();
                let open = OpenFile {
                    name,
                    leaf,
                    replaces,
                    temporary,
                    output: Output::new(file, entry.length()),
                    properties,
                };
                self.open = Some(open);
            }
        }
        Ok(())
    }

    /// Once per folder that something is written in.
    fn sweep(&mut self, folder: &Arc<OwnedFd>) -> Result<(), Errno> {
        self.swept.retain(|swept| swept.strong_count() > 0);
        if self
            .swept
            .iter()
            .any(|swept| std::ptr::eq(swept.as_ptr(), Arc::as_ptr(folder)))
        {
            return Ok(());
        }
        self.swept.push(Arc::downgrade(folder));
        self.names.sweep(folder)
    }

    fn touch(&mut self, folder: &Arc<OwnedFd>) {
        if self
            .touched
            .last()
            .is_none_or(|last| !Arc::ptr_eq(last, folder))
        {
            self.touched.push(folder.clone());
        }
    }

    /// Gives what is finished its name, once its bytes are on disk.
    fn flush(&mut self) -> Result<(), Error> {
        self.sync()?;
        for finished in std::mem::take(&mut self.batch) {
            let name = finished.name.clone();
            let done = self.complete(finished);
            self.report.written += u64::from(done.is_ok());
            self.count(&name, done)?;
        }
        Ok(())
    }

    /// Syncs what was written since the last time, names and bytes.
    fn sync(&mut self) -> Result<(), Error> {
        let mut filesystems = BTreeSet::new();
        for folder in std::mem::take(&mut self.touched) {
            let device = fstat(&folder).map_err(fatal)?.st_dev;
            if filesystems.insert(device) || !SYNCS_FILESYSTEMS {
                sync_filesystem(&folder).map_err(fatal)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, finished: Finished) -> Result<(), Failure> {
        match finished.step {
            LastStep::Publish {
                temporary,
                leaf,
                replaces,
            } => {
                self.touch(&temporary.parent().clone());
                if replaces {
                    temporary.publish_over(&leaf)?;
                } else {
                    temporary.publish_new(&leaf).map_err(appeared)?;
                }
            }
            LastStep::Settle { folder, properties } => {
                settle_file(folder.as_fd(), &properties, &finished.name, &mut self.notes)?;
                self.touch(&folder);
            }
        }
        Ok(())
    }

    fn count(&mut self, name: &Name, result: Result<(), Failure>) -> Result<(), Error> {
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Fatal(errno)) => Err(fatal(errno)),
            Err(Failure::Entry(reason)) => {
                self.report.failed.push((name.clone(), reason));
                Ok(())
            }
        }
    }
}

fn fatal(errno: Errno) -> Error {
    let message = "the restore stopped because the target cannot be written any more; \
         what was restored until then is whole";
    Error::new(ErrorKind::Local, message).because(std::io::Error::from(errno))
}

fn appeared(errno: Errno) -> Failure {
    match errno {
        Errno::EXIST => Failure::from("it came into being after the plan was made"),
        errno => errno.into(),
    }
}

/// Makes the folder `leaf`, or opens the one that the plan found.
fn make_folder(parent: &OwnedFd, leaf: &[u8], replaces: bool) -> Result<OwnedFd, Failure> {
    if replaces {
        match statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Ok(open_folder(parent.as_fd(), leaf)?);
            }
            Err(Errno::NOENT) => {}
            found => {
                found?;
                unlinkat(parent, leaf, AtFlags::empty())?;
            }
        }
    }
    mkdirat(parent, leaf, Mode::RWXU).map_err(appeared)?;
    Ok(open_folder(parent.as_fd(), leaf)?)
}

/// Whether one call syncs all that was written to a filesystem. Elsewhere each file is synced when it is finished.
const SYNCS_FILESYSTEMS: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
fn sync_filesystem(folder: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::syncfs(folder)
}

#[cfg(not(target_os = "linux"))]
fn sync_filesystem(folder: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fsync(folder)
}
