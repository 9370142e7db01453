//! `etcd-backup rotate-key`: seals the keys of all dumps to the configuration's master key.

use std::fmt;
use std::path::Path;

use anyhow::bail;
use bytes::Bytes;
use foreign::etcd_backup::{DumpKey, KEY_OBJECT_BYTES, KeyFault, Kind, MasterKey, Stamp};
use jiff::Timestamp;
use serde::Serialize;

use crate::etcd_backup::{Bucket, Config, exit_of, read_master_key};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;

/// So many objects are named in an error.
const NAMED_MAX: usize = 10;

/// What was done.
#[derive(Serialize)]
pub(crate) struct Outcome {
    /// Key objects that are sealed to the new master key now.
    rotated: Vec<String>,
    /// Those that were before.
    already: u64,
    #[serde(skip)]
    pub(crate) failure: Option<anyhow::Error>,
}

/// A key object under the old master key.
struct Old {
    stamp: Stamp,
    bytes: Bytes,
    key: DumpKey,
}

/// Opens all key objects first: if one is opened by neither master key, nothing is changed. Each one that is replaced is read back; the first
/// failure ends it, and it can be run again.
pub(crate) async fn rotate(config: &Config, previous: &Path) -> anyhow::Result<Outcome> {
    let Some(new) = config.master_key()? else {
        let message = format!(
            "{}: `encryption_key_path` is missing, which names the new master key",
            config.path.display()
        );
        bail!(Failure::usage(message));
    };
    let previous = read_master_key(previous)?;
    if previous.is_same(&new) {
        bail!(Failure::usage(
            "the previous master key is the one of the configuration: put the new one there first"
        ));
    }
    let bucket = Bucket::open(config, None)?;
    let (old, already) = open_all(&bucket, &previous, &new).await?;
    let mut rotated = Outcome {
        rotated: Vec::new(),
        already,
        failure: None,
    };
    for old in old {
        if let Err(error) = replace(&bucket, &old, &new).await {
            rotated.failure = Some(error);
            break;
        }
        rotated.rotated.push(bucket.shown(&old.stamp, Kind::Key));
    }
    Ok(rotated)
}

/// Those under the old master key, and how many are under the new one.
async fn open_all(
    bucket: &Bucket,
    previous: &MasterKey,
    new: &MasterKey,
) -> anyhow::Result<(Vec<Old>, u64)> {
    let (mut old, mut already, mut closed) = (Vec::new(), 0, Vec::new());
    let mut exit = Exit::NoIdentity;
    for backup in bucket.backups().await? {
        let Some(length) = backup.key else { continue };
        let fault = if length == KEY_OBJECT_BYTES as u64 {
            let Some(bytes) = bucket.key_object(&backup.stamp).await? else {
                // Deleted meanwhile.
                continue;
            };
            match DumpKey::open(&bytes, previous) {
                Ok(key) => {
                    let stamp = backup.stamp;
                    old.push(Old { stamp, bytes, key });
                    continue;
                }
                Err(_) if DumpKey::open(&bytes, new).is_ok() => {
                    already += 1;
                    continue;
                }
                Err(fault) => fault,
            }
        } else {
            KeyFault::Length(length as usize)
        };
        if exit_of(&fault) == Exit::Damage {
            exit = Exit::Damage;
        }
        closed.push(bucket.shown(&backup.stamp, Kind::Key));
    }
    if closed.is_empty() {
        return Ok((old, already));
    }
    let count = counted(closed.len() as u64, "key object is", "key objects are");
    closed.truncate(NAMED_MAX);
    let message = format!(
        "{count} opened neither by the previous master key nor by the new one, so nothing was changed: {}",
        closed.join(", ")
    );
    Err(Failure::new(exit, message)
        .hint("is --previous-key the right one? what no key opens is lost: delete it, and its dump")
        .into())
}

/// Puts the same key under the new master key in its place, and reads it back. What cannot be read back is put back as it was.
async fn replace(bucket: &Bucket, old: &Old, new: &MasterKey) -> anyhow::Result<()> {
    let nanoseconds = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default();
    let sealed = Bytes::copy_from_slice(&old.key.seal(new, nanoseconds));
    let name = bucket.names.of(&old.stamp, Kind::Key);
    bucket.objects.overwrite(&name, sealed.clone()).await?;
    let read = bucket.key_object(&old.stamp).await;
    let same = |bytes: &Bytes| {
        let opened = DumpKey::open(bytes, new);
        *bytes == sealed && opened.is_ok_and(|key| key.is_same(&old.key))
    };
    if let Ok(Some(bytes)) = &read
        && same(bytes)
    {
        return Ok(());
    }
    let object = bucket.shown(&old.stamp, Kind::Key);
    let back = bucket.objects.overwrite(&name, old.bytes.clone()).await;
    let what = match back {
        Ok(()) => "was put back as it was".to_owned(),
        Err(error) => format!("could not be put back ({error}): keep the previous master key"),
    };
    read?;
    let message = format!("{object} is not what was stored when it is read back, and {what}");
    bail!(Failure::new(Exit::Damage, message))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.rotated {
            writeln!(f, "sealed to the new master key: {object}")?;
        }
        let count = |count| counted(count, "key object", "key objects");
        writeln!(
            f,
            "{} sealed to the new master key, {} before",
            count(self.rotated.len() as u64),
            count(self.already)
        )
    }
}
