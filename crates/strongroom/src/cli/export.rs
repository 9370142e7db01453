use clap::{Args, ValueEnum};

use super::Pattern;
use super::arguments::READ;
use super::help::ending;
use crate::names::SnapshotName;

/// Write entries of a snapshot in the form that another tool reads
///
/// yaml: the objects of Kubernetes sources as manifests, for `kubectl apply -f -`. Values are in them in clear, so that a
/// terminal is refused unless --terminal is said.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "export prod | kubectl apply -f -",
        "export prod/42 --only 'secrets/shop/**' > shop.yaml",
    ],
    &READ,
))]
pub(crate) struct Export {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// The form.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,

    /// Only entries that match; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Vec<Pattern>,

    /// Write it even to a terminal.
    #[arg(long)]
    pub(crate) terminal: bool,
}

/// A form that another tool reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Manifests of Kubernetes.
    #[default]
    Yaml,
}
