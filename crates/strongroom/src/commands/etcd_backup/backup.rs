//! `etcd-backup backup`: from etcd into the bucket, through memory only.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use archive::Item;
use foreign::etcd_backup::{CHUNK_BYTES, DumpKey, Kind, MasterKey, Sealer, Stamp};
use jiff::Timestamp;
use repository::Upload;
use serde::Serialize;
use source::etcd::Etcd;
use source::{Batch, Sink};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::etcd_backup::{Bucket, Config};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::live::read_while;
use crate::output::{Output, chain};
use crate::session::Stop;
use crate::units::{Rate, Size};

/// Between two attempts: so long at first, then twice as long each time, and never longer than this.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A moment has one backup. So many are tried, a second each.
const MOMENTS: usize = 10;

/// What was stored.
#[derive(Serialize)]
pub(crate) struct BackedUp {
    object: String,
    /// The key object beside it, if it is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    timestamp: String,
    /// Of the snapshot.
    bytes: u64,
    /// Of the object.
    stored: u64,
    /// What etcd's members have to say.
    #[serde(skip)]
    notes: Vec<String>,
}

/// Takes a snapshot and stores it. On failure there is nothing new in the bucket but, at worst, a key without a dump.
pub(crate) async fn backup(
    config: &Config,
    limit: Option<Rate>,
    output: Output,
    stop: &Stop,
) -> anyhow::Result<BackedUp> {
    let master = config.master_key()?;
    let bucket = Bucket::open(config, limit)?;
    let options = config.etcd_options();
    options.validate()?;
    let source = Etcd::new(options);
    note_leftover(config, output);
    let mut pause = PAUSE;
    for left in (0..=config.etcd.retries).rev() {
        let error = match attempt(&source, &bucket, master.as_ref(), stop).await {
            Ok(done) => {
                done.notes.iter().for_each(|note| output.note(note));
                return Ok(done);
            }
            Err(error) => error,
        };
        if left == 0 || !may_pass(&error) {
            return Err(error);
        }
        output.note(format_args!(
            "{}; trying again in {} s",
            chain(&error),
            pause.as_secs()
        ));
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
    unreachable!("the last attempt returns")
}

/// Whether it is etcd that was not there, or broke off.
fn may_pass(error: &anyhow::Error) -> bool {
    use source::ErrorKind::{Invalid, Unreachable};
    let of_source = |error: &source::Error| matches!(error.kind(), Unreachable | Invalid);
    error.downcast_ref::<source::Error>().is_some_and(of_source)
}

/// What the original leaves when it fails is all of etcd's secrets in clear.
fn note_leftover(config: &Config, output: Output) {
    let Some(path) = &config.snapshot_path else {
        return;
    };
    if path.symlink_metadata().is_ok() {
        output.note(format_args!(
            "{} is there, which etcd-backup leaves when it fails: all of etcd in clear. It is not needed here: delete it",
            path.display()
        ));
    }
}

async fn attempt(
    source: &Etcd,
    bucket: &Bucket,
    master: Option<&MasterKey>,
    stop: &Stop,
) -> anyhow::Result<BackedUp> {
    let stamp = free_moment(bucket).await?;
    let key = master.map(|master| (DumpKey::random(), master));
    let key_object = key
        .as_ref()
        .map(|(key, master)| key.seal(master, unix_nanoseconds()));
    let mut storing = Storing {
        upload: bucket.upload(&stamp)?,
        sealing: key.map(|(key, _)| Sealing::new(Sealer::new(key, unix_nanoseconds()))),
        bytes: 0,
    };
    let stored = stop.unless_said(async {
        let (sink, batches) = Sink::channel();
        let (capture, ()) = read_while(source, sink, storing.take(batches)).await?;
        finish(bucket, &stamp, key_object.as_ref(), &mut storing).await?;
        Ok(capture.notes)
    });
    let notes = match stored.await {
        Ok(notes) => notes,
        Err(error) => {
            storing.upload.abort().await;
            return Err(error);
        }
    };
    Ok(BackedUp {
        notes,
        object: bucket.shown(&stamp, Kind::Dump),
        key: key_object.map(|_| bucket.shown(&stamp, Kind::Key)),
        timestamp: stamp.text().to_owned(),
        bytes: storing.bytes,
        stored: storing.upload.bytes(),
    })
}

/// The key goes first: a dump without it would be lost, and it without a dump is nothing.
async fn finish(
    bucket: &Bucket,
    stamp: &Stamp,
    key_object: Option<&[u8; foreign::etcd_backup::KEY_OBJECT_BYTES]>,
    storing: &mut Storing,
) -> anyhow::Result<()> {
    let taken = |kind| {
        let message = format!(
            "{} was stored by somebody else meanwhile, and was left alone",
            bucket.shown(stamp, kind)
        );
        Failure::new(Exit::Conflict, message)
    };
    if let Some(key_object) = key_object {
        let name = bucket.names.of(stamp, Kind::Key);
        let bytes = bytes::Bytes::copy_from_slice(key_object);
        if !bucket.objects.create(&name, bytes).await? {
            bail!(taken(Kind::Key));
        }
    }
    if !storing.upload.finish().await? {
        bail!(taken(Kind::Dump));
    }
    let name = bucket.names.of(stamp, Kind::Dump);
    let found = bucket.objects.size(&name).await?;
    if found != Some(storing.upload.bytes()) {
        let message = format!(
            "{} is not as long as what was uploaded: the store lost a part of it",
            bucket.shown(stamp, Kind::Dump)
        );
        bail!(Failure::new(Exit::Damage, message));
    }
    Ok(())
}

/// The original overwrites the backup of the same second.
async fn free_moment(bucket: &Bucket) -> anyhow::Result<Stamp> {
    for _ in 0..MOMENTS {
        let stamp = Stamp::at(Timestamp::now());
        if !bucket.is_taken(&stamp).await? {
            return Ok(stamp);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let message = format!(
        "every second there is another backup in {}: who else stores there under this prefix?",
        bucket.objects.place()
    );
    bail!(Failure::new(Exit::Contended, message))
}

fn unix_nanoseconds() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

/// What is on its way into the bucket.
struct Storing {
    upload: Upload,
    sealing: Option<Sealing>,
    /// Of the snapshot, so far.
    bytes: u64,
}

impl Storing {
    /// Takes a snapshot, up to its end or to where it broke off; which of the two its source says.
    async fn take(&mut self, mut batches: mpsc::Receiver<Batch>) -> anyhow::Result<()> {
        while let Some(batch) = self.upload.while_waiting(batches.recv()).await? {
            for item in batch {
                if let Item::Data(content) = item {
                    self.write(content.as_bytes()).await?;
                }
            }
        }
        if let Some(sealing) = &mut self.sealing
            && let Some(sealed) = sealing.last()
        {
            self.upload.write(sealed).await?;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        self.bytes += bytes.len() as u64;
        let Some(sealing) = &mut self.sealing else {
            return self.upload.write(bytes).await.context("store the snapshot");
        };
        while !bytes.is_empty() {
            if let Some(sealed) = sealing.take(&mut bytes) {
                self.upload.write(sealed).await?;
            }
        }
        Ok(())
    }
}

/// A chunk that is gathered, and then sealed.
struct Sealing {
    sealer: Sealer,
    chunk: Zeroizing<Vec<u8>>,
    sealed: Vec<u8>,
}

impl Sealing {
    fn new(sealer: Sealer) -> Self {
        Self {
            sealer,
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
            sealed: Vec::new(),
        }
    }

    /// Takes as many of `bytes` as the chunk has room for; the sealed chunk if it is full.
    fn take(&mut self, bytes: &mut &[u8]) -> Option<&[u8]> {
        let room = CHUNK_BYTES - self.chunk.len();
        let (taken, rest) = bytes.split_at(room.min(bytes.len()));
        self.chunk.extend_from_slice(taken);
        *bytes = rest;
        (self.chunk.len() == CHUNK_BYTES).then(|| self.seal())
    }

    /// What is left at the end, sealed.
    fn last(&mut self) -> Option<&[u8]> {
        (!self.chunk.is_empty()).then(|| self.seal())
    }

    fn seal(&mut self) -> &[u8] {
        self.sealed.clear();
        self.sealer.seal(&self.chunk, &mut self.sealed);
        self.chunk.clear();
        &self.sealed
    }
}

impl fmt::Display for BackedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sealed = if self.key.is_some() {
            "sealed"
        } else {
            "NOT SEALED: the configuration has no `encryption_key_path`"
        };
        writeln!(f, "{}: {}, {sealed}", self.object, Size(self.bytes))
    }
}
