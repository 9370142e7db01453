use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use super::help::ending;
use crate::exit::Exit;

/// What speaking to etcd or to a bucket can end with.
const ASK: [Exit; 3] = [Exit::NoRepository, Exit::Unreachable, Exit::Denied];
/// And opening a dump.
const READ: [Exit; 5] = [
    Exit::Damage,
    Exit::NoRepository,
    Exit::NoIdentity,
    Exit::Unreachable,
    Exit::Denied,
];

/// Do what etcd-backup does, with its configuration and its objects
///
/// The commands, flags and objects are those of etcd-backup 0.3, in both directions: what it stored is restored, pruned and rotated here, and
/// what is stored here it restores as far as it can. What is better here stands in docs/sources/etcd-backup.md. No repository is involved: to
/// move into one, `strongroom import etcd-backup`.
#[derive(Args)]
#[command(
    disable_help_subcommand = true,
    after_help = ending(
        &[
            "etcd-backup backup -c config.yml",
            "etcd-backup restore -c config.yml -d /var/lib/etcd",
            "etcd-backup prune -c config.yml --max-age 15d --min-count 20 --dry-run",
            "etcd-backup rotate-key -c config.yml -p old-master.key",
        ],
        &READ,
    )
)]
pub(crate) struct EtcdBackup {
    /// The configuration of etcd-backup.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "config.yml"
    )]
    pub(crate) config: PathBuf,

    #[command(subcommand)]
    pub(crate) command: EtcdBackupCommand,
}

/// What etcd-backup does.
#[derive(Subcommand)]
pub(crate) enum EtcdBackupCommand {
    /// Take a snapshot of etcd and store it, sealed if `encryption_key_path` says so
    ///
    /// It goes straight into the bucket: nothing is written to a disk, and memory does not depend on its size.
    #[command(after_help = ending(&["etcd-backup backup -c config.yml"], &ASK))]
    Backup,
    Restore(EtcdBackupRestore),
    Prune(EtcdBackupPrune),
    RotateKey(EtcdBackupRotateKey),
}

/// Make an etcd data directory of the newest backup, or of another one
///
/// It is opened, in order and whole, with the SHA-256 that etcd ended it with, before etcdutl gets to see it; the data directory must be
/// absent or empty.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "etcd-backup restore -c config.yml -d /var/lib/etcd",
        "etcd-backup restore -c config.yml -t 2024-12-06T21:22:25Z --use-etcdutl=false",
    ],
    &[Exit::Damage, Exit::NoRepository, Exit::NoIdentity, Exit::Unreachable, Exit::Denied, Exit::Conflict],
))]
pub(crate) struct EtcdBackupRestore {
    /// The backup of this moment, like 2024-12-06T21:22:25Z [default: the newest].
    #[arg(
        long,
        short = 't',
        value_name = "TIME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) backup_timestamp: String,

    /// The data directory to make [default: NAME.etcd, as etcdutl has it].
    #[arg(
        long,
        short = 'd',
        value_name = "DIR",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) data_dir: String,

    /// The etcdutl to run.
    #[arg(long, short = 'e', value_name = "PATH", default_value = "etcdutl")]
    pub(crate) etcdutl_path: String,

    /// Keeps members of another cluster out.
    #[arg(
        long,
        short = 'o',
        value_name = "TOKEN",
        default_value = "etcd-cluster"
    )]
    pub(crate) initial_cluster_token: String,

    /// All members and their peer URLs.
    #[arg(
        long,
        short = 'l',
        value_name = "NAME=URL,...",
        default_value = "default=http://localhost:2380"
    )]
    pub(crate) initial_cluster: String,

    /// This member's peer URLs.
    #[arg(
        long,
        short = 'a',
        value_name = "URL,...",
        default_value = "http://localhost:2380"
    )]
    pub(crate) initial_advertise_peer_urls: String,

    /// This member's name.
    #[arg(long, short = 'n', value_name = "NAME", default_value = "default")]
    pub(crate) name: String,

    /// Make a data directory; with `=false` the snapshot is left at `snapshot_path`, verified, for its owner only.
    #[arg(
        long,
        short = 'u',
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        action = ArgAction::Set
    )]
    pub(crate) use_etcdutl: bool,

    /// Raise the revision by N, so that watchers (Kubernetes) notice the restore; needs --mark-compacted. Not in etcd-backup.
    #[arg(long, value_name = "N")]
    pub(crate) bump_revision: Option<String>,

    /// Mark the raised revision as compacted; needs --bump-revision. Not in etcd-backup.
    #[arg(long)]
    pub(crate) mark_compacted: bool,
}

/// Delete backups that are too old
///
/// What is as old as --max-age goes, as long as --min-count backups stay; and keys whose dump is not there.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "etcd-backup prune -c config.yml --dry-run",
        "etcd-backup prune -c config.yml --max-age 10w --min-count 20",
    ],
    &ASK,
))]
pub(crate) struct EtcdBackupPrune {
    /// How old a backup must be: in years, weeks, days, hours and less, like 1y, 10w, 15d or 360h.
    #[arg(long, short = 'a', value_name = "AGE", default_value = "15d")]
    pub(crate) max_age: String,

    /// So many stay, however old.
    #[arg(long, short = 'i', value_name = "N", default_value_t = 20)]
    pub(crate) min_count: u64,

    /// Say what would be deleted, and delete nothing. Not in etcd-backup.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Seal the keys of all backups to a new master key
///
/// The new master key is the one of the configuration. All keys are opened before the first is replaced, and each is read back; dumps
/// are not touched. What is sealed to the new one already is left as it is, so that it can be run again.
#[derive(Args)]
#[command(after_help = ending(
    &["etcd-backup rotate-key -c config.yml -p old-master.key"],
    &READ,
))]
pub(crate) struct EtcdBackupRotateKey {
    /// The file with the master key until now.
    #[arg(long, short = 'p', value_name = "FILE")]
    pub(crate) previous_key: PathBuf,
}

/// What Go takes for a flag that is true or false, which the original's are read by.
fn parse_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("write true or false"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// The flags of `restore` alone.
    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        restore: EtcdBackupRestore,
    }

    fn use_etcdutl(words: &[&str]) -> Option<bool> {
        let typed = Typed::try_parse_from([&["restore"], words].concat());
        typed.ok().map(|typed| typed.restore.use_etcdutl)
    }

    #[test]
    fn true_and_false_are_written_as_go_reads_them() {
        for (written, meant) in [
            (["1", "t", "T", "TRUE", "true", "True"], true),
            (["0", "f", "F", "FALSE", "false", "False"], false),
        ] {
            for word in written {
                for flag in ["-u", "--use-etcdutl"] {
                    let word = format!("{flag}={word}");
                    assert_eq!(use_etcdutl(&[&word]), Some(meant), "{word}");
                }
            }
        }
        for word in ["-u=", "-u=2", "-u=tRUE", "-u=yes", "-u=off", "-u=fALSE"] {
            assert_eq!(use_etcdutl(&[word]), None, "{word}");
        }
        for words in [&[][..], &["-u"], &["--use-etcdutl"]] {
            assert_eq!(use_etcdutl(words), Some(true), "{words:?}");
        }
    }
}
