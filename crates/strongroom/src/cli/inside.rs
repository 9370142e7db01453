//! The arguments of the commands that can look into an etcd snapshot.

use std::path::PathBuf;

use clap::Args;

/// Looking into an etcd snapshot.
#[derive(Args)]
#[command(next_help_heading = "Inside an etcd snapshot")]
pub(crate) struct Inside {
    /// Look into the etcd snapshot: the Kubernetes objects and the other keys in it are the entries.
    #[arg(long = "inside", id = "inside")]
    pub(crate) wanted: bool,

    /// The API server's EncryptionConfiguration, which opens what it encrypted at rest.
    #[arg(long, value_name = "FILE", requires = "inside")]
    pub(crate) encryption_config: Option<PathBuf>,

    /// As etcd was at this revision; the newest if it is not said.
    #[arg(long, value_name = "REVISION", requires = "inside")]
    pub(crate) revision: Option<u64>,

    /// What the API server was told by --etcd-prefix.
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub(crate) etcd_prefix: String,
}
