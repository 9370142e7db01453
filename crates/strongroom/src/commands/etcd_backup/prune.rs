//! `etcd-backup prune`: deletes backups by etcd-backup's rule.

use std::fmt;

use foreign::etcd_backup::{Backup, Kind, doomed, parse_period};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::EtcdBackupPrune;
use crate::etcd_backup::{Bucket, Config};
use crate::failure::Failure;
use crate::names::counted;

/// What was deleted, or would be.
#[derive(Serialize)]
pub(crate) struct Pruned {
    dry_run: bool,
    deleted: Vec<String>,
    /// Backups with a dump that stay.
    kept: u64,
    #[serde(skip)]
    pub(crate) failure: Option<anyhow::Error>,
}

/// Deletes what the rule lets go, the oldest first, each dump before its key. The first failure ends it: what is said to be deleted is.
pub(crate) async fn prune(
    config: &Config,
    prune: &EtcdBackupPrune,
    now: Timestamp,
) -> anyhow::Result<Pruned> {
    let max_age = parse_period(&prune.max_age).map_err(|fault| {
        let age: String = prune.max_age.chars().take(64).collect();
        Failure::usage(format!("--max-age {age:?} cannot be used: {fault}"))
    })?;
    let bucket = Bucket::open(config, None)?;
    let backups = bucket.backups().await?;
    let doomed = doomed(&backups, now, max_age, prune.min_count);
    let with_dump = |backup: &Backup| u64::from(backup.dump.is_some());
    let whole: u64 = backups.iter().map(with_dump).sum();
    let mut pruned = Pruned {
        dry_run: prune.dry_run,
        deleted: Vec::new(),
        kept: whole,
        failure: None,
    };
    for backup in doomed {
        for (kind, there) in [(Kind::Dump, backup.dump), (Kind::Key, backup.key)] {
            if there.is_none() {
                continue;
            }
            if !prune.dry_run {
                let name = bucket.names.of(&backup.stamp, kind);
                if let Err(error) = bucket.objects.delete(&name).await {
                    pruned.failure = Some(error.into());
                    return Ok(pruned);
                }
            }
            pruned.deleted.push(bucket.shown(&backup.stamp, kind));
            pruned.kept -= u64::from(kind == Kind::Dump);
        }
    }
    Ok(pruned)
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.dry_run {
            "would be deleted"
        } else {
            "deleted"
        };
        for object in &self.deleted {
            writeln!(f, "{what}: {object}")?;
        }
        let kept = counted(self.kept, "backup", "backups");
        let verb = match (self.dry_run, self.kept) {
            (true, _) => "would stay",
            (false, 1) => "stays",
            (false, _) => "stay",
        };
        writeln!(f, "{kept} {verb}")
    }
}
