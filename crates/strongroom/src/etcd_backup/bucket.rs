//! etcd-backup's objects where they lie.

use bytes::Bytes;
use foreign::etcd_backup::{
    Backup, DumpKey, KEY_OBJECT_BYTES, KeyFault, Kind, MasterKey, Names, Opener, Shape, Stamp,
    gather,
};
use repository::{Account, Objects, Patience, Remote, S3Account, S3Key, S3Keys, Upload};
use source::{Error, ErrorKind};

use super::{Config, Dump};
use crate::config::reference::Reference;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stores::{authorities, beside, secret, timing};
use crate::units::Rate;

/// The objects of one cluster.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) objects: Objects,
    pub(crate) names: Names,
}

impl Bucket {
    /// The bucket of the configuration, uploads at most at that rate. The file with its key is read for this, and nothing is asked of the
    /// server.
    pub(crate) fn open(config: &Config, limit: Option<Rate>) -> anyhow::Result<Self> {
        let s3 = &config.s3;
        let key = |key: &str| secret(&Reference::Key(s3.key_auth.clone(), key.to_owned()));
        let usual = Patience::default();
        let host = s3.endpoint.split("://").last().unwrap_or_default();
        let amazons = host
            .split(':')
            .next()
            .is_some_and(|it| it.ends_with(".amazonaws.com"));
        let objects = Objects::remote(Remote {
            bucket: s3.bucket.clone(),
            account: Account::S3(S3Account {
                region: s3.region.clone(),
                path_style: Some(!amazons || s3.bucket.name.contains('.')),
                keys: S3Keys::Given(S3Key {
                    id: key("access_key")?.to_string(),
                    secret: key("secret_key")?,
                    token: None,
                }),
                encryption: None,
            }),
            endpoint: Some(s3.endpoint.clone()),
            allow_http: false,
            authorities: s3.ca_cert.as_deref().map(authorities).transpose()?,
            patience: Patience {
                timeout: s3
                    .request_timeout
                    .or(s3.connection_timeout)
                    .unwrap_or(usual.timeout),
                ..usual
            },
            storage_class: None,
            lock: None,
            single_writer: false,
            timing: timing(limit),
            beside: beside(),
        })?;
        let names = s3.names.clone();
        Ok(Self { objects, names })
    }

    /// All backups, the oldest first.
    pub(crate) async fn backups(&self) -> anyhow::Result<Vec<Backup>> {
        let listed = self.objects.list(&self.names.start()).await?;
        Ok(gather(&self.names, listed))
    }

    /// What messages call an object.
    pub(crate) fn shown(&self, stamp: &Stamp, kind: Kind) -> String {
        let name = self.names.of(stamp, kind);
        format!("{}/{}", self.objects.place(), archive::Name::from(&*name))
    }

    /// Begins the dump of a moment.
    pub(crate) fn upload(&self, stamp: &Stamp) -> anyhow::Result<Upload> {
        let name = self.names.of(stamp, Kind::Dump);
        Ok(self.objects.upload(&name)?)
    }

    /// Whether there is anything of that moment.
    pub(crate) async fn is_taken(&self, stamp: &Stamp) -> anyhow::Result<bool> {
        for kind in [Kind::Dump, Kind::Key] {
            let name = self.names.of(stamp, kind);
            if self.objects.size(&name).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The key object of a backup that has one. `None`: it is gone.
    pub(crate) async fn key_object(
        &self,
        stamp: &Stamp,
    ) -> Result<Option<Bytes>, repository::Error> {
        let name = self.names.of(stamp, Kind::Key);
        self.objects.read(&name, KEY_OBJECT_BYTES as u64).await
    }

    /// A backup whose dump is there, to be read. Whether it is sealed the key object says, and never its contents.
    pub(crate) async fn dump(
        &self,
        backup: &Backup,
        master: Option<&MasterKey>,
    ) -> Result<Dump, Error> {
        let object = self.shown(&backup.stamp, Kind::Dump);
        let bytes = backup.dump.unwrap_or_default();
        let key = self.key_of(backup, master).await?;
        let shape = match key {
            Some(_) => Shape::sealed(bytes),
            None => Shape::plain(bytes),
        };
        let shape = shape
            .map_err(|fault| wrong(&object, Exit::Damage, format!("it is damaged: {fault}")))?;
        let name = self.names.of(&backup.stamp, Kind::Dump);
        let download = self.objects.download(&name);
        let download = download.await.map_err(|error| stored(&object, error))?;
        let download =
            download.ok_or_else(|| wrong(&object, Exit::Failure, "it is gone: it was deleted"))?;
        if download.bytes() != bytes {
            let why = "it changed since it was listed";
            return Err(wrong(&object, Exit::Failure, why));
        }
        Ok(Dump::new(object, download, key.map(Opener::new), shape))
    }

    /// What opens the dump; `None`: it is stored as it is.
    async fn key_of(
        &self,
        backup: &Backup,
        master: Option<&MasterKey>,
    ) -> Result<Option<DumpKey>, Error> {
        let object = self.shown(&backup.stamp, Kind::Dump);
        let key_object = self.shown(&backup.stamp, Kind::Key);
        let (bytes, master) = match (backup.key, master) {
            (None, None) => return Ok(None),
            (Some(bytes), Some(master)) => (bytes, master),
            (Some(_), None) => {
                let why = "it is sealed, and the configuration has no `encryption_key_path` to open it with";
                return Err(wrong(&object, Exit::NoIdentity, why));
            }
            (None, Some(_)) => {
                let why = format!(
                    "its key object {key_object} is missing: it was deleted, or the dump was stored without encryption, and then a \
                     configuration without `encryption_key_path` reads it"
                );
                return Err(wrong(&object, Exit::NoIdentity, why));
            }
        };
        let damaged = |fault: &KeyFault| wrong(&key_object, exit_of(fault), fault.to_string());
        if bytes != KEY_OBJECT_BYTES as u64 {
            return Err(damaged(&KeyFault::Length(bytes as usize)));
        }
        let read = self.key_object(&backup.stamp).await;
        let read = read.map_err(|error| stored(&key_object, error))?;
        let read =
            read.ok_or_else(|| wrong(&key_object, Exit::Failure, "it is gone: it was deleted"))?;
        DumpKey::open(&read, master)
            .map(Some)
            .map_err(|fault| damaged(&fault))
    }
}

/// How a command ends that cannot open a key.
pub(crate) fn exit_of(fault: &KeyFault) -> Exit {
    match fault {
        KeyFault::Length(_) => Exit::Damage,
        KeyFault::Closed => Exit::NoIdentity,
    }
}

/// What is wrong with an object, in a source's clothes; the exit code is found in its cause.
pub(super) fn wrong(object: &str, exit: Exit, why: impl Into<String>) -> Error {
    let message = format!("read {object}");
    Error::new(ErrorKind::Invalid, message).because(Failure::new(exit, why))
}

pub(super) fn stored(object: &str, error: repository::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("read {object}")).because(error)
}
