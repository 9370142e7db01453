//! `etcd-backup restore`: a data directory, or the file that etcdutl makes one of, from the newest backup or another.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use foreign::etcd_backup::{Backup, Kind, Stamp};
use serde::Serialize;
use source::etcd::{Etcd, Options};
use source::{Action, ErrorKind, RestoreOptions, Source as _};

use crate::cli::EtcdBackupRestore;
use crate::etcd_backup::{AnyDump, Bucket, Config};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::{Size, parse_moment};

/// What was restored.
#[derive(Serialize)]
pub(crate) struct Restored {
    object: String,
    timestamp: String,
    bytes: u64,
    /// The data directory, or the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<PathBuf>,
    #[serde(skip)]
    notes: Vec<String>,
}

/// Restores it, or leaves everything as it was.
pub(crate) async fn restore(
    config: &Config,
    restore: &EtcdBackupRestore,
    output: Output,
) -> anyhow::Result<Restored> {
    let target = Target::asked_for(config, restore)?;
    let master = config.master_key()?;
    let etcd = Etcd::new(Options::default());
    let options = target.options(restore);
    // What is in the way is said before anything is asked of the bucket.
    let plan = etcd.plan(&mut AnyDump::new(), &options).await?;
    for step in &plan.steps {
        match &step.action {
            Action::Conflict { reason } => bail!(Failure::new(Exit::Conflict, reason)),
            Action::Unmanageable { reason } => bail!(Failure::new(Exit::Failure, reason)),
            _ => {}
        }
    }
    plan.notes.iter().for_each(|note| output.note(note));

    let bucket = Bucket::open(config, None)?;
    let backups = bucket.backups().await?;
    let backup = choose(&bucket, &backups, &restore.backup_timestamp)?;
    let mut dump = bucket.dump(backup, master.as_ref()).await?;
    let object = dump.object().to_owned();
    let bytes = dump.bytes();
    let _draft = target.draft();
    let written = etcd.write(&plan, &mut dump, &options).await;
    let report = written.map_err(|error| failed(&object, error))?;
    let notes = target.publish(report.notes)?;
    Ok(Restored {
        object,
        timestamp: backup.stamp.text().to_owned(),
        bytes,
        data_dir: target.data_dir(),
        snapshot: target.snapshot(),
        notes,
    })
}

/// What is made of the snapshot.
enum Target {
    DataDir(PathBuf),
    /// The file gets its name when it is verified, in place of what has it now.
    Snapshot {
        path: PathBuf,
        draft: PathBuf,
    },
}

impl Target {
    fn asked_for(config: &Config, restore: &EtcdBackupRestore) -> Result<Self, Failure> {
        if restore.use_etcdutl {
            return Ok(Self::DataDir(match &*restore.data_dir {
                "" => PathBuf::from(format!("{}.etcd", restore.name)),
                data_dir => PathBuf::from(data_dir),
            }));
        }
        let Some(path) = &config.snapshot_path else {
            let message = format!(
                "{}: `snapshot_path` is missing, where --use-etcdutl=false leaves the snapshot",
                config.path.display()
            );
            return Err(Failure::usage(message));
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let draft = format!(".{name}.{}.verified", std::process::id());
        Ok(Self::Snapshot {
            path: path.clone(),
            draft: path.with_file_name(draft),
        })
    }

    fn options(&self, restore: &EtcdBackupRestore) -> RestoreOptions {
        let target = match self {
            Self::Snapshot { draft, .. } => Some(draft.clone()),
            Self::DataDir(_) => None,
        };
        let mut settings = BTreeMap::new();
        if let Self::DataDir(path) = self {
            let flags = [
                ("data-dir", &*path.to_string_lossy()),
                ("name", &restore.name),
                ("initial-cluster", &restore.initial_cluster),
                ("initial-cluster-token", &restore.initial_cluster_token),
                (
                    "initial-advertise-peer-urls",
                    &restore.initial_advertise_peer_urls,
                ),
                ("etcdutl-path", &restore.etcdutl_path),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
            settings.extend(flags);
            let bump = restore.bump_revision.iter().cloned();
            settings.extend(bump.map(|bump| ("bump-revision".to_owned(), bump)));
            if restore.mark_compacted {
                settings.insert("mark-compacted".to_owned(), "true".to_owned());
            }
            // As in the original, which cannot raise it.
            if restore.bump_revision.is_none() && !restore.mark_compacted {
                settings.insert("no-bump-revision".to_owned(), "true".to_owned());
            }
        }
        RestoreOptions {
            target,
            settings,
            ..RestoreOptions::default()
        }
    }

    /// The verified file, while it has no name of its own.
    fn draft(&self) -> Draft {
        Draft(match self {
            Self::Snapshot { draft, .. } => Some(draft.clone()),
            Self::DataDir(_) => None,
        })
    }

    /// Gives the verified file its name; what to say.
    fn publish(&self, notes: Vec<String>) -> anyhow::Result<Vec<String>> {
        let Self::Snapshot { path, draft } = self else {
            return Ok(notes);
        };
        let renamed = std::fs::rename(draft, path).and_then(|()| sync_folder(path));
        renamed.with_context(|| format!("create {}", path.display()))?;
        Ok(vec![format!(
            "{} holds all of etcd in clear, for its owner only: delete it when the data directory is made",
            path.display()
        )])
    }

    fn data_dir(&self) -> Option<PathBuf> {
        match self {
            Self::DataDir(path) => Some(path.clone()),
            Self::Snapshot { .. } => None,
        }
    }

    fn snapshot(&self) -> Option<PathBuf> {
        match self {
            Self::DataDir(_) => None,
            Self::Snapshot { path, .. } => Some(path.clone()),
        }
    }
}

/// All of etcd in clear: gone when this is dropped, unless it was given its name. So it is when a signal ends the restore just before that.
struct Draft(Option<PathBuf>);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // After the file was given its name there is nothing of this one, and nothing else can be done about a failure.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The backup of that moment, however it is written, or the newest.
fn choose<'b>(
    bucket: &Bucket,
    backups: &'b [Backup],
    timestamp: &str,
) -> anyhow::Result<&'b Backup> {
    let whole = || backups.iter().filter(|backup| backup.dump.is_some());
    let here = format!("{}/{}", bucket.objects.place(), bucket.names.start());
    let none = || {
        Failure::new(Exit::Failure, format!("there is no backup {here}*.dump"))
            .hint("are `bucket` and `objects_prefix` those of the backups?")
    };
    let newest = whole().next_back().ok_or_else(none)?;
    if timestamp.is_empty() {
        return Ok(newest);
    }
    let moment = parse_moment(timestamp)
        .map_err(|error| Failure::usage(format!("--backup-timestamp: {error}")))?;
    let spelled = |backup: &&Backup| backup.stamp.text() == timestamp;
    let meant = |backup: &&Backup| backup.stamp.moment() == moment;
    let found = whole().find(spelled).or_else(|| whole().find(meant));
    found.ok_or_else(|| {
        let stamp = Stamp::at(moment);
        let key_only = backups.iter().any(|backup| meant(&backup));
        let why = if key_only {
            ": only its key is there"
        } else {
            ""
        };
        let message = format!(
            "there is no backup {}{why}",
            bucket.shown(&stamp, Kind::Dump)
        );
        Failure::new(Exit::Failure, message)
            .hint(format!("the newest is that of {}", newest.stamp.text()))
            .into()
    })
}

/// What is not a whole snapshot is damage, if nothing else says why.
fn failed(object: &str, error: source::Error) -> anyhow::Error {
    let unexplained = std::error::Error::source(&error).is_none();
    if unexplained && error.kind() == ErrorKind::Invalid {
        let failure = Failure::new(Exit::Damage, format!("restore {object}"));
        return anyhow::Error::new(error).context(failure);
    }
    anyhow::Error::new(error).context(format!("restore {object}"))
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.data_dir.as_ref().or(self.snapshot.as_ref());
        let place = place.expect("one of the two");
        writeln!(
            f,
            "{}: {} restored to {}",
            self.object,
            Size(self.bytes),
            archive::Name::new(place.as_os_str().as_encoded_bytes())
        )?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
