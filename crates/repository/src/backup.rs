use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use archive::Item;
use bytes::Bytes;
use format::{
    CommitRef, DataKey, Incomplete, JobName, KeyObjects, Manifest, ManifestSource, Map,
    MappedSource, Object, Origin, Place, Range, Ranges, Recipients, Run, RunId, SOURCES_MAX,
    SnapshotStatement, SourceTimes, Statement, Witness, WriterKey, seal_frame,
};
use futures::lock::Mutex;
use futures::stream::FuturesOrdered;
use futures::{Stream, StreamExt, future::BoxFuture};

use crate::append::{Appended, Entry, Ground, append_entry, refuse_in_vain};
use crate::base::Base;
use crate::lane::{Intake, OpenFrame, Taken, stored_tags};
use crate::packer::{Packed, Packer, create_new};
use crate::store::Name;
use crate::view::{Garbage, Trust, View};
use crate::{Compute, Error, RecipientChange, Repository};

/// Frames of one source that are compressed and sealed at the same time.
const CONCURRENT_SEALS: usize = 4;

/// What a backup needs to know. No identity: invariant 1 of ARCHITECTURE.md.
#[derive(Clone)]
pub struct BackupOptions {
    /// The job.
    pub job: JobName,
    /// Whom the run is sealed to.
    pub recipients: Recipients,
    /// Who signs.
    pub writer: Arc<WriterKey>,
    /// Whose commits count.
    pub trust: Trust,
    /// Program and version, for the commit.
    pub program: String,
    /// The configuration that takes the snapshot, without secrets.
    pub configuration: String,
}

/// A backup in progress: one run. Dropping it at any time leaves at most objects that nothing names.
pub struct Backup {
    repository: Repository,
    options: BackupOptions,
    compute: Compute,
    place: Place,
    key: Arc<DataKey>,
    /// The key, sealed to the recipients.
    key_objects: KeyObjects,
    base: Arc<Base>,
    view: View,
    witness: Vec<Witness>,
    packer: Mutex<Packer>,
}

/// A source whose items have all been taken in.
pub struct Captured {
    entries: u64,
    bytes: u64,
    content: Taken,
    catalog: Taken,
}

impl Captured {
    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The bytes of their content.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A source that was read to its end.
pub struct SourceResult {
    /// Unique in the job.
    pub name: String,
    /// `files`, `etcd`, and so on.
    pub kind: String,
    /// What [`Backup::take`] returned for it.
    pub captured: Captured,
    /// What the source said about the system.
    pub facts: BTreeMap<String, String>,
    /// What it could not read whole.
    pub incomplete: Vec<Incomplete>,
    /// When it was read.
    pub times: SourceTimes,
}

/// What a backup came to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The snapshot exists.
    Committed(Box<Finished>),
    /// Something that it was built on is gone: read the sources again, as a new run.
    StartOver,
}

/// A snapshot that was just committed.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its number and digest.
    pub at: CommitRef,
    /// Nothing had changed: it names an earlier run's manifest.
    pub unchanged: bool,
    /// What its commit says.
    pub statement: SnapshotStatement,
    /// It is sealed to others than the job's newest snapshot was when the backup began.
    pub recipient_change: Option<RecipientChange>,
    /// The newest damage to the log that this reader sees. If it is not there for others, the snapshot does not count for them: it
    /// follows what was valid here.
    pub damage: Option<Garbage>,
}

impl Backup {
    /// Step 1 of docs/format/v1.md, "Commit rules": takes a view and chooses the base. Writes nothing.
    ///
    /// The data key is made and sealed now: that a recipient's plugin is missing must not show after hours of reading.
    pub async fn start(
        repository: &Repository,
        options: BackupOptions,
        compute: Compute,
    ) -> Result<Self, Error> {
        let view = repository.view(&options.job, &options.trust).await?;
        refuse_in_vain(&view, &options.job, options.writer.id())?;
        let recipients = options.recipients.texts();
        let (trust, writer) = (&options.trust, &options.writer);
        let base = Base::load(repository, &view, trust, writer, recipients).await?;
        let place = Place {
            repository: repository.id(),
            job: options.job.clone(),
            run: repository.rules.new_run(),
        };
        let packer = Packer::new(repository.store.clone(), place.clone(), compute.clone());
        let key = Arc::new(DataKey::random());
        let key_objects = seal_key(&key, &options, &compute).await?;
        Ok(Self {
            repository: repository.clone(),
            options,
            compute,
            place,
            key,
            key_objects,
            base: Arc::new(base),
            view,
            witness: Vec::new(),
            packer: Mutex::new(packer),
        })
    }

    /// The content bytes of the job's newest snapshot: about as much as this one will have.
    pub fn expected_bytes(&self) -> Option<u64> {
        let newest = self.view.snapshots().next_back();
        newest.map(|newest| newest.statement.bytes)
    }

    /// What this job's log in this repository looked like when the backup began, for a log elsewhere to remember.
    pub fn seen(&self) -> Option<Witness> {
        Some(self.repository.witness(self.view.head()?))
    }

    /// The commit will say that its writer saw these logs of the same job in other repositories.
    pub fn remember(&mut self, seen: Vec<Witness>) {
        self.witness = seen;
    }

    /// Takes in all items of source number `index`, compressing its frames if `compress`.
    ///
    /// Several sources may be taken in at the same time. The stream must end only when the source has been read whole: the
    /// caller drops the backup otherwise.
    pub async fn take(
        &self,
        index: usize,
        name: &str,
        compress: bool,
        mut items: impl Stream<Item = Vec<Item>> + Unpin + Send,
    ) -> Result<Captured, Error> {
        if index >= SOURCES_MAX {
            return Err(Error::Limit {
                what: "the number of sources".to_owned(),
            });
        }
        let failed = |cause| Error::Source {
            source_name: name.to_owned(),
            cause,
        };
        let first_stream = 2 * index as u32;
        let writer = &self.options.writer;
        let mut intake = Intake::new(name, first_stream, self.place.run, &self.base, writer);
        let mut seals = FuturesOrdered::new();
        while let Some(batch) = items.next().await {
            let work = self.compute.run(move || {
                let mut full = Vec::new();
                let result = intake.take(batch, &mut full);
                (intake, full, result)
            });
            let (returned, full, result) = work.await;
            intake = returned;
            result.map_err(failed)?;
            self.seal(full, compress, &mut seals).await?;
        }
        let work = self.compute.run(move || {
            let mut full = Vec::new();
            (intake.finish(&mut full), full)
        });
        let (result, full) = work.await;
        let (entries, bytes, content, catalog) = result.map_err(failed)?;
        self.seal(full, compress, &mut seals).await?;
        while let Some(sealed) = seals.next().await {
            self.pack(sealed).await?;
        }
        Ok(Captured {
            entries,
            bytes,
            content,
            catalog,
        })
    }

    /// Starts sealing `full`, and packs what is sealed while more is under way than shall be.
    async fn seal(
        &self,
        full: Vec<OpenFrame>,
        compress: bool,
        seals: &mut Seals,
    ) -> Result<(), Error> {
        for frame in full {
            while seals.len() >= CONCURRENT_SEALS {
                if let Some(sealed) = seals.next().await {
                    self.pack(sealed).await?;
                }
            }
            let (key, place) = (Arc::clone(&self.key), self.place.clone());
            seals.push_back(self.compute.run(move || {
                let bytes = seal_frame(
                    &key,
                    &place,
                    frame.stream,
                    frame.number,
                    &frame.plain,
                    compress,
                );
                Sealed {
                    stream: frame.stream,
                    chunks: frame.chunks,
                    bytes,
                }
            }));
        }
        Ok(())
    }

    async fn pack(&self, sealed: Sealed) -> Result<(), Error> {
        self.packer
            .lock()
            .await
            .push(sealed.stream, sealed.chunks, &sealed.bytes)
            .await
    }

    /// Gives up before [`Backup::finish`]: removes what this run uploaded, where the store lets us.
    ///
    /// Safe without a prune, because the run's name is known to nobody else and no commit was attempted. What cannot be
    /// removed stays as objects that nothing names; `verify` counts them.
    pub async fn abandon(self) {
        // An upload on its way must not arrive after the listing; what it returns does not matter any more.
        drop(self.packer.into_inner().finish(&self.key).await);
        let folder = Name::run(&self.options.job, self.place.run);
        let objects = self
            .repository
            .store
            .list(&folder)
            .await
            .unwrap_or_default();
        for object in objects {
            if let Err(error) = self.repository.store.delete(&object.location).await {
                tracing::debug!(object = %object.location, %error, "an abandoned object stays");
            }
        }
    }

    /// Steps 2 to 5: uploads what is left and appends the commit. `started` and `now` are RFC 3339.
    ///
    /// `results` stand in the order of the indices given to [`Backup::take`].
    pub async fn finish(
        self,
        results: Vec<SourceResult>,
        started: &str,
        now: &str,
    ) -> Result<Outcome, Error> {
        let partial = results.iter().any(|result| !result.incomplete.is_empty());
        let mut statement = SnapshotStatement {
            repository: self.repository.id(),
            job: self.options.job.clone(),
            writer: self.options.writer.id(),
            program: self.options.program.clone(),
            started: started.to_owned(),
            finished: now.to_owned(),
            sources: results.iter().map(|result| result.times.clone()).collect(),
            partial,
            entries: results.iter().map(|result| result.captured.entries).sum(),
            bytes: results.iter().map(|result| result.captured.bytes).sum(),
            added: 0,
            recipients: self.options.recipients.texts().to_vec(),
            parent: self.base.at,
            runs: Vec::new(),
        };
        let packed = self.packer.into_inner().finish(&self.key).await?;
        let contents = Contents::assemble(results, packed, &self.options.configuration);
        let head = contents.manifest.head_digest(&self.options.writer);
        let unchanged =
            contents.packs.is_empty() && self.base.can_be_named_again() && head == self.base.head;
        let run = if unchanged {
            statement.runs.clone_from(&self.base.runs);
            statement.runs[0].run
        } else {
            statement.runs = contents
                .upload(
                    head,
                    &self.repository,
                    &self.options,
                    &self.place,
                    (&self.key, self.key_objects),
                    &self.base,
                )
                .await?;
            statement.added = added(&statement.runs[0]);
            self.place.run
        };
        let older = statement.runs.iter();
        let older = older.filter(|run| run.run != self.place.run);
        let (repository, job) = (&self.repository, &self.options.job);
        let locks = &self.base.locks;
        locks.keep_on(repository, &self.view, job, older).await?;
        let recipient_change =
            RecipientChange::since_newest(&self.view, &self.options.trust, &statement.recipients);
        let ground = Ground {
            bases: self.base.at.into_iter().collect(),
            runs: vec![run],
            ..Ground::of(self.view)
        };
        let writer = &self.options.writer;
        let signed = Statement::Snapshot(Box::new(statement.clone()));
        let entry = Entry {
            witness: self.witness,
            ..Entry::own(&signed, writer)
        };
        let (job, trust) = (&self.options.job, &self.options.trust);
        let (appended, view) =
            append_entry(&self.repository, job, &entry, ground, writer, trust, now).await?;
        Ok(match appended {
            Appended::Yes(at) => Outcome::Committed(Box::new(Finished {
                at,
                unchanged,
                statement,
                recipient_change,
                damage: view.newest_damage().cloned(),
            })),
            Appended::StartOver => Outcome::StartOver,
        })
    }
}

type Seals = FuturesOrdered<BoxFuture<'static, Sealed>>;

struct Sealed {
    stream: u32,
    chunks: Vec<u32>,
    bytes: Vec<u8>,
}

/// Elsewhere, for a plugin may run for it.
async fn seal_key(
    key: &Arc<DataKey>,
    options: &BackupOptions,
    compute: &Compute,
) -> Result<KeyObjects, Error> {
    let (key, recipients) = (Arc::clone(key), options.recipients.clone());
    let sealed = compute.run(move || key.seal_to(&recipients)).await;
    sealed.map_err(|cause| Error::Seal {
        job: options.job.clone(),
        cause,
    })
}

fn added(run: &Run) -> u64 {
    let packs: u64 = run.packs.iter().map(|pack| pack.object.size).sum();
    let key_pq = run.key_pq.map_or(0, |key| key.size);
    run.key.size + key_pq + run.manifest.size + run.map.size + packs
}

/// Manifest and map of a run, assembled from what its sources became.
struct Contents {
    manifest: Manifest,
    map: Map,
    packs: Vec<format::Pack>,
}

impl Contents {
    fn assemble(results: Vec<SourceResult>, mut packed: Packed, configuration: &str) -> Self {
        let mut origins = Origins::default();
        let mut manifest = Manifest {
            configuration: configuration.to_owned(),
            ..Manifest::default()
        };
        let mut map = Map::default();
        for (index, result) in results.into_iter().enumerate() {
            let SourceResult {
                name,
                kind,
                captured,
                facts,
                incomplete,
                ..
            } = result;
            let mut streams = [captured.content, captured.catalog].map(|taken| {
                let mut stream = taken.stream;
                stream.ranges = origins.renumber(&stream.ranges, &taken.origins);
                (stream, taken.tags)
            });
            for (i, (_, tags)) in streams.iter_mut().enumerate() {
                let rows = packed
                    .rows
                    .remove(&((2 * index + i) as u32))
                    .unwrap_or_default();
                map.stored.push(stored_tags(std::mem::take(tags), &rows));
                manifest.stored.push(rows);
            }
            let [(content, _), (catalog, _)] = streams;
            map.sources.push(MappedSource {
                name: name.clone(),
                content: content.ranges.clone(),
                catalog: catalog.ranges.clone(),
            });
            let entries = captured.entries;
            let source = ManifestSource {
                name,
                kind,
                facts,
                incomplete,
                entries,
                content,
                catalog,
            };
            manifest.sources.push(source);
        }
        manifest.origins.clone_from(&origins.list);
        map.origins = origins.list;
        Self {
            manifest,
            map,
            packs: packed.packs,
        }
    }

    /// Uploads keys, manifest and map; on return all of the run is durable. Returns the runs for the statement.
    async fn upload(
        mut self,
        head: [u8; 32],
        repository: &Repository,
        options: &BackupOptions,
        place: &Place,
        (key, key_objects): (&DataKey, KeyObjects),
        base: &Base,
    ) -> Result<Vec<Run>, Error> {
        self.map.head = head;
        let limit = |what: &str| Error::Limit {
            what: format!("the {what} of {}", options.job),
        };
        let manifest = self
            .manifest
            .seal(key, place)
            .map_err(|_| limit("manifest"))?;
        // A map that is too long is like one that was lost.
        let map = self.map.seal(&options.writer, place).unwrap_or_default();
        let sealed_map = repository.cache.as_ref().map(|_| map.clone());
        let put = async |name: &str, bytes: Vec<u8>| {
            let object = Object {
                size: bytes.len() as u64,
                digest: archive::Digest::of(&bytes),
            };
            let name = Name::in_run(&options.job, place.run, name);
            create_new(&repository.store, &name, Bytes::from(bytes)).await?;
            Ok::<_, Error>(object)
        };
        let put_second = async {
            match key_objects.post_quantum {
                Some(bytes) => put("key-pq", bytes).await.map(Some),
                None => Ok(None),
            }
        };
        let (key, key_pq, manifest, map) = futures::try_join!(
            put("key", key_objects.key),
            put_second,
            put("manifest", manifest),
            put("map", map),
        )?;
        if let (Some(cache), Some(bytes)) = (&repository.cache, sealed_map) {
            cache.keep_map(repository.id(), &options.job, &map, &bytes);
        }
        let own = Run {
            run: place.run,
            key,
            key_pq,
            manifest,
            map,
            packs: self.packs,
        };
        let mut runs = vec![own];
        for (run, used) in used_elsewhere(&self.map, place.run) {
            let needed = base.needed(run, &used);
            runs.push(needed.ok_or_else(|| limit("base"))?);
        }
        Ok(runs)
    }
}

/// The list of origins of a snapshot, in the order of their first use.
#[derive(Default)]
struct Origins {
    list: Vec<Origin>,
    known: HashMap<Origin, u32>,
}

impl Origins {
    fn renumber(&mut self, ranges: &Ranges, local: &[Origin]) -> Ranges {
        let numbers: Vec<u32> = local.iter().map(|origin| self.number(*origin)).collect();
        ranges.renumbered(&numbers)
    }

    fn number(&mut self, origin: Origin) -> u32 {
        *self.known.entry(origin).or_insert_with(|| {
            self.list.push(origin);
            (self.list.len() - 1) as u32
        })
    }
}

/// What the snapshot refers to in other runs, by run.
fn used_elsewhere(map: &Map, own: RunId) -> BTreeMap<RunId, Vec<(Origin, Range)>> {
    let mut used: BTreeMap<RunId, Vec<(Origin, Range)>> = BTreeMap::new();
    let streams = map
        .sources
        .iter()
        .flat_map(|source| [&source.content, &source.catalog]);
    for range in streams.flat_map(Ranges::iter) {
        let origin = map.origins[range.origin as usize];
        if origin.run != own {
            used.entry(origin.run).or_default().push((origin, *range));
        }
    }
    used
}
