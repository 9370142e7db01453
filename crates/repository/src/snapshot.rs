use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use format::{
    CHUNK_MAX, CommitRef, GROUP_TARGET, Group, Identities, IdentityError, JobName, KeyPair,
    Manifest, Origin, Place, Range, Run, RunId, SnapshotStatement, Stream,
};
use futures::future::try_join_all;

use crate::buffers::{Buffer, Buffers};
use crate::frames::{Frames, OpenRun};
use crate::gathering::{Checked, Gathering, Window};
use crate::keys::Opener;
use crate::view::{Opening, Trust, Valid};
use crate::{Compute, EntryReader, Error, Repository};

/// A snapshot that is open for reading: its commit's writer is trusted, its data key was given, its manifest is sound.
pub struct Snapshot {
    repository: Repository,
    at: CommitRef,
    statement: SnapshotStatement,
    /// Its runs, in the statement's order.
    stored: Vec<Stored>,
    /// Under which they are looked up again, where a rotation came in between.
    trust: Trust,
    manifest: Manifest,
    identities: Arc<Identities>,
    runs: Mutex<HashMap<RunId, Arc<OpenRun>>>,
    compute: Compute,
    frames: Frames,
    groups: Buffers,
}

impl Snapshot {
    /// Opens a valid snapshot.
    pub async fn open(
        repository: &Repository,
        snapshot: Valid<'_>,
        identities: Arc<Identities>,
        trust: &Trust,
        compute: Compute,
    ) -> Result<Self, Error> {
        let statement = snapshot.statement.clone();
        check_trust(&snapshot, trust)?;
        let stored = Stored::all(&snapshot);
        let first = &stored[0];
        let opener = (&identities, &compute);
        let opened = open_run(repository, &statement, snapshot.at, 0, first, opener, trust);
        let (open, manifest) = opened.await?;
        if manifest.sources.len() != statement.sources.len() {
            let object = format!("{}/runs/{}/manifest", statement.job, first.run.run);
            return Err(Error::damaged(
                object,
                "it has other sources than the commit",
            ));
        }
        let runs = Mutex::new(HashMap::from([(statement.runs[0].run, Arc::new(open))]));
        let frames = Frames::new(repository.clone(), compute.clone());
        Ok(Self {
            repository: repository.clone(),
            at: snapshot.at,
            statement,
            stored,
            trust: trust.clone(),
            manifest,
            identities,
            runs,
            compute,
            frames,
            groups: Buffers::up_to(GROUP_TARGET as usize + CHUNK_MAX),
        })
    }

    /// The same, under the number and the writer of `other`, out of which it was made. It goes no further than this process: only
    /// what is shown of it says so.
    #[must_use]
    pub fn standing_for(mut self, other: &Self) -> Self {
        self.at = other.at;
        self.statement.writer = other.statement.writer;
        self.statement.started.clone_from(&other.statement.started);
        self
    }

    /// `JOB/NUMBER`.
    pub fn name(&self) -> String {
        name(&self.statement, self.at)
    }

    /// The job.
    pub fn job(&self) -> &JobName {
        &self.statement.job
    }

    /// Number and digest.
    pub fn at(&self) -> CommitRef {
        self.at
    }

    /// What its commit says.
    pub fn statement(&self) -> &SnapshotStatement {
        &self.statement
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads the entries of source number `source`, and the content of those that are wanted.
    pub fn entries(&self, source: usize) -> EntryReader<'_> {
        EntryReader::new(self, source)
    }

    /// Whether it lies in a store that answers after a while.
    pub(crate) fn is_far(&self) -> bool {
        self.repository.store.is_far()
    }

    pub(crate) fn streams(&self, source: usize) -> (&Stream, &Stream) {
        let source = &self.manifest.sources[source];
        (&source.content, &source.catalog)
    }

    /// The bytes of one group of a stream, which starts at chunk `start`: as some writer sealed them, and unless that is `checked` later,
    /// as the writer of this snapshot read them.
    pub(crate) async fn read_group(
        &self,
        stream: &Stream,
        group: &Group,
        start: ChunkAt,
        checked: Checked,
    ) -> Result<Buffer, Error> {
        let mut gathering = Gathering::new(self.groups.take(), group.length, checked);
        let mut window = Window::default();
        for range in start.ranges(stream, group.chunks) {
            let origin = self.manifest.origins[range.origin as usize];
            let run = self.run(origin).await?;
            let mut chunks = range.first..range.first + range.count;
            while !chunks.is_empty() {
                let piece = run.piece(origin.stream, &chunks);
                let piece = piece.ok_or_else(|| run.lacks_chunks())?;
                chunks.start += piece.chunks.len() as u32;
                if !gathering.expect(&piece) {
                    return Err(self.not_what_was_read());
                }
                if window.is_full() {
                    self.append(&std::mem::take(&mut window), &mut gathering)
                        .await?;
                }
                window.push(&run, origin.stream, piece);
            }
        }
        self.append(&window, &mut gathering).await?;
        let bytes = gathering.finish(group.digest);
        bytes.ok_or_else(|| self.not_what_was_read())
    }

    async fn append(&self, window: &Window, group: &mut Gathering) -> Result<(), Error> {
        let frames = window.frames();
        let plain = try_join_all(frames.iter().map(|frame| self.frames.get(frame))).await?;
        window.append_to(group, &plain);
        for frame in frames.iter().filter(|frame| frame.ends) {
            self.frames.last_read(frame);
        }
        Ok(())
    }

    fn not_what_was_read(&self) -> Error {
        let what = "chunks that it reuses are not the bytes that its writer read";
        Error::damaged(self.name(), what)
    }

    /// The open run of an origin, opened when it is first needed.
    async fn run(&self, origin: Origin) -> Result<Arc<OpenRun>, Error> {
        let known = self
            .runs
            .lock()
            .expect("no reader panics")
            .get(&origin.run)
            .cloned();
        if let Some(open) = known {
            return Ok(open);
        }
        let mut listed = self.statement.runs.iter();
        let index = listed.position(|run| run.run == origin.run);
        let index = index.ok_or_else(|| {
            Error::damaged(
                self.name(),
                format!("run {} is not in its commit", origin.run),
            )
        })?;
        let (open, _) = open_run(
            &self.repository,
            &self.statement,
            self.at,
            index,
            &self.stored[index],
            (&self.identities, &self.compute),
            &self.trust,
        )
        .await?;
        let open = Arc::new(open);
        let mut runs = self.runs.lock().expect("no reader panics");
        Ok(Arc::clone(runs.entry(origin.run).or_insert(open)))
    }
}

/// A run of a snapshot as it lies in this repository, whatever name it was made under.
struct Stored {
    run: Run,
    /// What opens it now, and then what may open it if that is gone.
    openings: Vec<Opening>,
}

impl Stored {
    fn all(snapshot: &Valid<'_>) -> Vec<Self> {
        let runs = snapshot.runs();
        let stored = runs.iter().enumerate().map(|(index, run)| Self {
            run: run.clone(),
            openings: snapshot.openings(index),
        });
        stored.collect()
    }

    /// What is in force.
    fn keys(&self) -> KeyPair {
        self.openings[0].keys
    }
}

fn check_trust(valid: &Valid<'_>, trust: &Trust) -> Result<(), Error> {
    let (snapshot, writer) = (name(valid.statement, valid.at), valid.statement.writer);
    match (trust.stranger(valid), valid.revoked()) {
        (None, None) => Ok(()),
        (Some(stranger), _) if stranger == writer => Err(Error::Untrusted { snapshot, writer }),
        (_, Some(revocation)) => Err(Error::Revoked {
            snapshot,
            writer,
            job: valid.statement.job.clone(),
            by: revocation.by.number,
        }),
        (Some(appender), None) => Err(Error::UntrustedAppender { snapshot, appender }),
    }
}

/// Opens run number `index` of a statement, which lies here as `stored`. What seals it are the names that it was made under.
///
/// A rotation may have put another key object in the place of the one that the reader's view names, and deleted that.
async fn open_run(
    repository: &Repository,
    statement: &SnapshotStatement,
    at: CommitRef,
    index: usize,
    stored: &Stored,
    opener: Opener<'_>,
    trust: &Trust,
) -> Result<(OpenRun, Manifest), Error> {
    let open = |run, opening| open_stored(repository, statement, at, index, run, opening, opener);
    let mut opened = open(&stored.run, &stored.openings[0]).await;
    for other in &stored.openings[1..] {
        let Err(Error::Missing { .. }) = opened else {
            break;
        };
        opened = open(&stored.run, other).await;
    }
    let Err(Error::Missing { .. }) = opened else {
        return opened;
    };
    let view = repository.view(&statement.job, trust).await?;
    let now = view.snapshot(at.number).filter(|valid| valid.at == at);
    let now = now.map(|valid| Stored::all(&valid).swap_remove(index));
    match now.filter(|now| now.keys() != stored.keys()) {
        Some(now) => open(&now.run, &now.openings[0]).await,
        None => match view.foreign_rotation(stored.run.run) {
            Some((number, maintainer)) => Err(Error::ForeignRotation {
                snapshot: name(statement, at),
                job: statement.job.clone(),
                number,
                maintainer,
            }),
            None => opened,
        },
    }
}

async fn open_stored(
    repository: &Repository,
    statement: &SnapshotStatement,
    at: CommitRef,
    index: usize,
    run: &Run,
    opening: &Opening,
    opener: Opener<'_>,
) -> Result<(OpenRun, Manifest), Error> {
    let Opening { keys, recipients } = opening;
    let place = Place {
        repository: statement.repository,
        job: statement.job.clone(),
        run: statement.runs[index].run,
    };
    let refused = |error, object: String| match error {
        IdentityError::NoneOpens => Error::NoIdentity {
            snapshot: name(statement, at),
            recipients: recipients.join(", "),
        },
        IdentityError::Plugin(cause) => Error::Plugin {
            snapshot: name(statement, at),
            cause,
        },
        error => Error::damaged(object, error),
    };
    OpenRun::open(repository, place, run, *keys, opener, &refused).await
}

fn name(statement: &SnapshotStatement, at: CommitRef) -> String {
    format!("{}/{}", statement.job, at.number)
}

/// A chunk of a stream: which range it is in, and how many chunks of that range stand before it.
#[derive(Clone, Copy, Default)]
pub(crate) struct ChunkAt {
    range: usize,
    inside: u32,
}

impl ChunkAt {
    /// The ranges that make up the next `count` chunks.
    fn ranges(mut self, stream: &Stream, count: u32) -> Vec<Range> {
        let mut found = Vec::new();
        self.advance(stream, count, |range| found.push(range));
        found
    }

    /// The chunk `count` further on.
    pub(crate) fn after(mut self, stream: &Stream, count: u32) -> Self {
        self.advance(stream, count, |_| ());
        self
    }

    /// The manifest was checked: ranges and groups have equally many chunks.
    fn advance(&mut self, stream: &Stream, mut count: u32, mut each: impl FnMut(Range)) {
        for range in stream.ranges.iter().skip(self.range) {
            if count == 0 {
                break;
            }
            let taken = (range.count - self.inside).min(count);
            each(Range {
                first: range.first + self.inside,
                count: taken,
                ..*range
            });
            count -= taken;
            self.inside += taken;
            if self.inside == range.count {
                self.range += 1;
                self.inside = 0;
            }
        }
    }
}
