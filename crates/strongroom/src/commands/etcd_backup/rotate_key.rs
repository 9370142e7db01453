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
    rotate_in(&Bucket::open(config, None)?, &previous, &new).await
}

async fn rotate_in(
    bucket: &Bucket,
    previous: &MasterKey,
    new: &MasterKey,
) -> anyhow::Result<Outcome> {
    let (old, already) = open_all(bucket, previous, new).await?;
    let mut rotated = Outcome {
        rotated: Vec::new(),
        already,
        failure: None,
    };
    for old in old {
        if let Err(error) = replace(bucket, &old, new).await {
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
    if let Err(error) = read {
        let message = format!("{object} could not be read back, and {what}");
        return Err(anyhow::Error::new(error).context(message));
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use foreign::etcd_backup::Names;
    use repository::{Account, Address, Objects, Patience, Remote, S3Account, S3Key, S3Keys};
    use testkit::{Message, Proxy, S3, Treatment, Versitygw, VersitygwOptions, require};
    use zeroize::Zeroizing;

    use super::*;
    use crate::stores::{beside, timing};

    const KEY: &str = "backup-2024-12-06T21:22:25Z.key";
    /// In a URL.
    const PATH: &str = "backup-2024-12-06T21%3A22%3A25Z.key";

    /// What becomes of a request: by its method, and as which of its kind it comes, the first being 1.
    type Lie = fn(&str, usize) -> Treatment;

    fn answered(start: &str, body: &[u8]) -> Treatment {
        let headers = [
            ("etag", "\"1\""),
            ("last-modified", "Fri, 06 Dec 2024 21:22:25 GMT"),
        ];
        Treatment::Answered(Message::new(start, &headers, body))
    }

    fn behind(server: &Versitygw, lie: Lie) -> Proxy {
        let (puts, gets) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let upstream = server.s3().address;
        Proxy::start(&upstream, move |request| {
            if !request.target().contains(".key") {
                return Treatment::Passes;
            }
            let seen = match request.method() {
                "PUT" => &puts,
                _ => &gets,
            };
            lie(request.method(), seen.fetch_add(1, Ordering::SeqCst) + 1)
        })
    }

    fn bucket(endpoint: String, s3: &S3) -> Bucket {
        let Ok(Address::Bucket(bucket)) = "s3://bucket".parse() else {
            panic!("it is an address of a bucket");
        };
        let keys = S3Keys::Given(S3Key {
            id: s3.access_key.clone(),
            secret: Zeroizing::new(s3.secret_key.clone()),
            token: None,
        });
        let account = Account::S3(S3Account {
            region: None,
            path_style: None,
            keys,
            encryption: None,
        });
        let objects = Objects::remote(Remote {
            bucket,
            account,
            endpoint: Some(endpoint),
            allow_http: true,
            authorities: None,
            patience: Patience {
                timeout: Duration::from_secs(20),
                retries: 2,
                deadline: Duration::from_secs(20),
            },
            storage_class: None,
            lock: None,
            single_writer: false,
            timing: timing(None),
            beside: beside(),
        });
        Bucket {
            objects: objects.expect("a bucket"),
            names: Names::new("").expect("the usual ones"),
        }
    }

    fn master(digits: &str) -> MasterKey {
        MasterKey::parse(digits.repeat(32).as_bytes()).expect("a master key")
    }

    /// The error of a rotation with that lie, and what is in the bucket then.
    async fn lied_to(server: &Versitygw, lie: Lie) -> (anyhow::Error, Vec<u8>) {
        let s3 = server.s3();
        let proxy = behind(server, lie);
        let bucket = bucket(proxy.endpoint(), &s3);
        let outcome = rotate_in(&bucket, &master("22"), &master("33")).await;
        let outcome = outcome.expect("all keys are opened");
        assert_eq!((outcome.rotated.len(), outcome.already), (0, 0));
        let stored = s3.get("bucket", PATH).expect("it is there");
        (outcome.failure.expect("it failed"), stored)
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_read_back_is_put_back() {
        let Some(release) = require("versitygw") else {
            return;
        };
        let server = Versitygw::start(&release, VersitygwOptions::default());
        let s3 = server.s3();
        s3.make_bucket("bucket");
        let key = DumpKey::random();
        let old = key.seal(&master("22"), 1);
        assert_eq!(s3.put("bucket", PATH, &old), 200);
        let lies: [(Lie, Exit, &str); 4] = [
            // It says that it has stored it, and has not.
            (
                |method, time| match (method, time) {
                    ("PUT", 1) => answered("HTTP/1.1 200 OK", b""),
                    _ => Treatment::Passes,
                },
                Exit::Damage,
                "is not what was stored when it is read back, and was put back as it was",
            ),
            // It gives back something else, as long as a key object.
            (
                |method, time| match (method, time) {
                    ("GET", 2) => answered("HTTP/1.1 200 OK", &[7; KEY_OBJECT_BYTES]),
                    _ => Treatment::Passes,
                },
                Exit::Damage,
                "is not what was stored when it is read back, and was put back as it was",
            ),
            // It has lost it.
            (
                |method, time| match (method, time) {
                    ("GET", 2) => answered("HTTP/1.1 404 Not Found", b""),
                    _ => Treatment::Passes,
                },
                Exit::Damage,
                "is not what was stored when it is read back, and was put back as it was",
            ),
            // It does not let it be read any more.
            (
                |method, time| match (method, time) {
                    ("GET", 2) => answered("HTTP/1.1 403 Forbidden", b""),
                    _ => Treatment::Passes,
                },
                Exit::Denied,
                "was put back as it was",
            ),
        ];
        for (lie, exit, words) in lies {
            let (error, stored) = lied_to(&server, lie).await;
            let said = format!("{error:#}");
            assert!(stored == old, "it is not the old one: {said}");
            assert!(said.contains(words) && said.contains(KEY), "{said}");
            assert_eq!(crate::exit::of(&error), exit, "{said}");
        }

        // Neither does it take the old one any more.
        let lie: Lie = |method, time| match (method, time) {
            ("GET", 2) => answered("HTTP/1.1 200 OK", &[7; KEY_OBJECT_BYTES]),
            ("PUT", 2) => answered("HTTP/1.1 403 Forbidden", b""),
            _ => Treatment::Passes,
        };
        let (error, stored) = lied_to(&server, lie).await;
        let said = format!("{error:#}");
        let words = ["could not be put back (", "keep the previous master key"];
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        let opened = DumpKey::open(&stored, &master("33"));
        assert!(opened.is_ok_and(|opened| opened.is_same(&key)), "{said}");

        // Once the store is honest again, so is the rotation.
        assert_eq!(s3.put("bucket", PATH, &old), 200);
        let bucket = bucket(server.endpoint(), &s3);
        let outcome = rotate_in(&bucket, &master("22"), &master("33")).await;
        let outcome = outcome.expect("all keys are opened");
        assert!(outcome.failure.is_none() && outcome.rotated.len() == 1);
        let stored = s3.get("bucket", PATH).expect("it is there");
        let opened = DumpKey::open(&stored, &master("33"));
        assert!(opened.is_ok_and(|opened| opened.is_same(&key)));
    }
}
