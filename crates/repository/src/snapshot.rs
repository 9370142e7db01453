use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use format::{
    CommitRef, Group, Identities, IdentityError, JobName, Manifest, Origin, Place, Range, Run,
    RunId, SnapshotStatement, Stream,
};

use crate::effects::Rotation;
use crate::frames::{Frames, OpenRun};
use crate::view::{Trust, Valid};
use crate::{Compute, EntryReader, Error, Repository};

/// A snapshot that is open for reading: its commit's writer is trusted, its data key was given, its manifest is sound.
pub struct Snapshot {
    repository: Repository,
    at: CommitRef,
    statement: SnapshotStatement,
    manifest: Manifest,
    identities: Arc<Identities>,
    /// What opens those of its runs whose key was rotated.
    rotations: HashMap<RunId, Rotation>,
    runs: Mutex<HashMap<RunId, Arc<OpenRun>>>,
    compute: Compute,
    frames: Frames,
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
        if !trust.writers.contains(&statement.writer) {
            let writer = statement.writer;
            return Err(Error::Untrusted {
                snapshot: name(&statement, snapshot.at),
                writer,
            });
        }
        if let Some(revocation) = snapshot.revoked() {
            return Err(Error::Revoked {
                snapshot: name(&statement, snapshot.at),
                writer: statement.writer,
                job: statement.job,
                by: revocation.by.number,
            });
        }
        let runs = statement.runs.iter().map(|run| run.run);
        let rotations: HashMap<RunId, Rotation> = runs
            .filter_map(|run| Some((run, snapshot.rotation(run)?.clone())))
            .collect();
        let first = &statement.runs[0];
        let rotation = rotations.get(&first.run);
        let opened = open_run(
            repository,
            &statement,
            snapshot.at,
            first,
            rotation,
            (&identities, &compute),
        );
        let (open, manifest) = opened.await?;
        if manifest.sources.len() != statement.sources.len() {
            let object = format!("{}/runs/{}/manifest", statement.job, first.run);
            return Err(Error::damaged(
                object,
                "it has other sources than the commit",
            ));
        }
        let runs = Mutex::new(HashMap::from([(first.run, Arc::new(open))]));
        let frames = Frames::new(repository.clone(), compute.clone());
        Ok(Self {
            repository: repository.clone(),
            at: snapshot.at,
            statement,
            manifest,
            identities,
            rotations,
            runs,
            compute,
            frames,
        })
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

    pub(crate) fn streams(&self, source: usize) -> (&Stream, &Stream) {
        let source = &self.manifest.sources[source];
        (&source.content, &source.catalog)
    }

    /// The bytes of one group of a stream, which starts at chunk `start`, authenticated.
    pub(crate) async fn read_group(
        &self,
        stream: &Stream,
        group: &Group,
        start: ChunkAt,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(group.length).unwrap_or(0).min(4 << 20));
        let mut hashes = blake3::Hasher::new();
        for range in start.ranges(stream, group.chunks) {
            self.append_range(range, group.length, &mut bytes, &mut hashes)
                .await?;
        }
        if bytes.len() as u64 == group.length && hashes.finalize() == group.digest.0 {
            Ok(bytes)
        } else {
            Err(self.not_what_was_read())
        }
    }

    fn not_what_was_read(&self) -> Error {
        let what = "chunks that it reuses are not the bytes that its writer read";
        Error::damaged(self.name(), what)
    }

    /// At most `limit` bytes are ever held: what a manifest says of its chunks' lengths may be a lie, and a chunk may be named any
    /// number of times.
    async fn append_range(
        &self,
        range: Range,
        limit: u64,
        bytes: &mut Vec<u8>,
        hashes: &mut blake3::Hasher,
    ) -> Result<(), Error> {
        let origin = self.manifest.origins[range.origin as usize];
        let (run, listed) = self.run(origin).await?;
        let absent = || {
            let object = format!("{}/runs/{}/manifest", self.statement.job, origin.run);
            Error::damaged(object, "it lacks chunks that a snapshot refers to")
        };
        let mut frame = None;
        for chunk in range.first..range.first + range.count {
            let located = run.locate(origin.stream, chunk).ok_or_else(absent)?;
            if frame
                .as_ref()
                .is_none_or(|(number, _)| *number != located.frame)
            {
                let get = self.frames.get(&run, listed, origin.stream, located.frame);
                frame = Some((located.frame, get.await?));
            }
            let (_, plain) = frame.as_ref().expect("it was just put there");
            let chunk = &plain[located.bytes.clone()];
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(self.not_what_was_read());
            }
            hashes.update(blake3::hash(chunk).as_bytes());
            bytes.extend_from_slice(chunk);
            if located.bytes.end == plain.len() {
                self.frames.last_read(&run, origin.stream, located.frame);
            }
        }
        Ok(())
    }

    /// The open run of an origin, opened when it is first needed.
    async fn run(&self, origin: Origin) -> Result<(Arc<OpenRun>, &Run), Error> {
        let listed = self.statement.runs.iter().find(|run| run.run == origin.run);
        let listed = listed.ok_or_else(|| {
            Error::damaged(
                self.name(),
                format!("run {} is not in its commit", origin.run),
            )
        })?;
        let known = self
            .runs
            .lock()
            .expect("no reader panics")
            .get(&origin.run)
            .cloned();
        if let Some(open) = known {
            return Ok((open, listed));
        }
        let (open, _) = open_run(
            &self.repository,
            &self.statement,
            self.at,
            listed,
            self.rotations.get(&listed.run),
            (&self.identities, &self.compute),
        )
        .await?;
        let open = Arc::new(open);
        let mut runs = self.runs.lock().expect("no reader panics");
        Ok((Arc::clone(runs.entry(origin.run).or_insert(open)), listed))
    }
}

async fn open_run(
    repository: &Repository,
    statement: &SnapshotStatement,
    at: CommitRef,
    run: &Run,
    rotation: Option<&Rotation>,
    opener: (&Arc<Identities>, &Compute),
) -> Result<(OpenRun, Manifest), Error> {
    let recipients = rotation.map_or(&*statement.recipients, |rotation| &rotation.recipients);
    let keys = rotation.map_or_else(|| run.keys(), |rotation| rotation.keys);
    let place = Place {
        repository: repository.id(),
        job: statement.job.clone(),
        run: run.run,
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
    OpenRun::open(repository, place, run, keys, opener, &refused).await
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
