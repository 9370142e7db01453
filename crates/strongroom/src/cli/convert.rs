use std::path::PathBuf;

use clap::{Args, Subcommand};
use format::JobName;

use super::help::ending;

/// What can be done with configurations.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    Convert(Convert),
}

/// Print the strongroom.yaml that does what another tool's configuration does
///
/// Nothing is asked and nothing is changed. Secrets stay where they are: the new file refers to those of the other tool.
#[derive(Args)]
#[command(
    disable_help_subcommand = true,
    after_help = ending(&["config convert etcd-backup -c config.yml > strongroom.yaml"], &[])
)]
pub(crate) struct Convert {
    #[command(subcommand)]
    pub(crate) of: ConvertOf,
}

/// Whose configuration.
#[derive(Subcommand)]
pub(crate) enum ConvertOf {
    EtcdBackup(ConvertEtcdBackup),
}

/// Print the strongroom.yaml for a cluster that etcd-backup backs up
///
/// The repository is proposed in the bucket that etcd-backup uses, below `strongroom/`, which etcd-backup does not look at.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "config convert etcd-backup -c config.yml > strongroom.yaml",
        "config convert etcd-backup -c config.yml --repo s3://backups/prod --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ],
    &[],
))]
pub(crate) struct ConvertEtcdBackup {
    /// The configuration of etcd-backup.
    #[arg(
        long = "etcd-backup-config",
        short = 'c',
        value_name = "FILE",
        default_value = "config.yml"
    )]
    pub(crate) from: PathBuf,

    /// Who shall be able to read the snapshots, as `strongroom keygen` prints it; may be repeated.
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) recipient: Vec<String>,

    /// The name of the job [default: made of `objects_prefix`].
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<JobName>,
}
