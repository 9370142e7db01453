use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use format::JobName;

use super::Layout;
use super::help::ending;
use crate::exit::Exit;

/// Take a snapshot of what lies in files of another tool
///
/// Reads manifests of Kubernetes: YAML with any number of documents, or JSON as `kubectl get -o json` prints it. The objects
/// become a snapshot of the job, whose Kubernetes source it is restored by; no cluster is asked.
///
/// --layout datarobot DIR: reads the folder that DataRobot's own backup procedure made, and says what it lacks. What must not be missing, such
/// as one of the keys, is the end of it, unless --allow-partial is said.
///
/// etcd-backup: its history in a bucket, each dump with its time; see `strongroom import etcd-backup --help`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = ending(
        &[
            "import prod secrets.yaml",
            "import prod --namespace shop - < shop.json",
            "import datarobot --layout datarobot /backup/old",
            "import etcd-backup -c config.yml etcd",
        ],
        &[
            Exit::Partial,
            Exit::Damage,
            Exit::NoRepository,
            Exit::Untrusted,
            Exit::Newer,
        ],
    )
)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) of: Option<ImportOf>,

    /// The job, which has a Kubernetes source.
    #[arg(value_name = "JOB", required = true)]
    pub(crate) job: Option<JobName>,

    /// Files of manifests, `-` being standard input; or the one folder of a layout.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// The job's source that they belong to, if it has several.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// Where objects go that name no namespace.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// A folder of files, as another tool has it.
    #[arg(long, value_enum, value_name = "LAYOUT")]
    pub(crate) layout: Option<Layout>,

    /// The `path` of a certificate in certs/, as globals.certs of the values had it; may be repeated.
    #[arg(long, value_name = "SECRET=PATH", requires = "layout")]
    pub(crate) certificate: Vec<SecretPath>,

    /// Keep a snapshot although something is missing, marked as partial.
    #[arg(long, requires = "layout")]
    pub(crate) allow_partial: bool,
}

/// A Secret, and where pods find the certificate in it.
#[derive(Clone, Debug)]
pub(crate) struct SecretPath {
    pub(crate) secret: String,
    pub(crate) path: String,
}

impl FromStr for SecretPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=');
        let parts = parts.filter(|(secret, path)| {
            !secret.is_empty() && !path.is_empty() && !path.ends_with('/')
        });
        let (secret, path) = parts.ok_or("write SECRET=PATH, like rabbit-cert=rabbit-cert.pem")?;
        Ok(Self {
            secret: secret.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// What another tool stored by itself.
#[derive(Subcommand)]
pub(crate) enum ImportOf {
    EtcdBackup(ImportEtcdBackup),
}

/// Take over the history of etcd-backup, each dump with its time
///
/// Every dump of its bucket becomes a snapshot of the job, the oldest first, and is verified on the way: opened, in order, whole, with the
/// SHA-256 that etcd ended it with. Nothing in its bucket is changed. Run again, it goes on where it was. What was left
/// out, or was removed from the job since, is passed over and named.
///
/// A dump that cannot be read stops it, for what is older than the newest snapshot of a job cannot get into it any more. So does the first
/// that is missing once the newest snapshot of the job is not imported itself.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "import etcd-backup -c config.yml etcd",
        "import etcd-backup -c config.yml etcd --skip-unreadable --json",
    ],
    &[
        Exit::Partial,
        Exit::Damage,
        Exit::NoRepository,
        Exit::NoIdentity,
        Exit::Untrusted,
        Exit::Newer,
        Exit::Unreachable,
        Exit::Denied,
        Exit::Conflict,
    ],
))]
pub(crate) struct ImportEtcdBackup {
    /// The configuration of etcd-backup.
    #[arg(
        long = "etcd-backup-config",
        short = 'c',
        value_name = "FILE",
        default_value = "config.yml"
    )]
    pub(crate) from: PathBuf,

    /// The job, which has an etcd source.
    #[arg(value_name = "JOB")]
    pub(crate) job: JobName,

    /// The job's source that they belong to, if it has several.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// Leave out what cannot be read: damaged dumps, and those whose key is missing or is not opened by the master key.
    #[arg(long)]
    pub(crate) skip_unreadable: bool,
}
