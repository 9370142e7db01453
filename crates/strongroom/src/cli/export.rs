use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Pattern;
use super::help::ending;
use crate::exit::Exit;
use crate::names::SnapshotName;

/// Write entries of a snapshot in the form that another tool reads
///
/// yaml: the objects of Kubernetes sources as manifests, for `kubectl apply -f -`. Values are in them in clear, so that a
/// terminal is refused unless --terminal is said.
///
/// --layout datarobot DIR: the folder of DataRobot's own backup procedure, for its owner's eyes only, of a snapshot that has the Secrets of
/// its namespace.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "export prod | kubectl apply -f -",
        "export prod/42 --only 'secrets/shop/**' > shop.yaml",
        "export datarobot --layout datarobot backup-2026-11-26",
    ],
    &[
        Exit::Damage,
        Exit::NoRepository,
        Exit::NoIdentity,
        Exit::Untrusted,
        Exit::Newer,
        Exit::Conflict,
    ],
))]
pub(crate) struct Export {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// The folder to make, if it is a layout.
    #[arg(value_name = "DIR", requires = "layout")]
    pub(crate) folder: Option<PathBuf>,

    /// A folder of files, as another tool has it.
    #[arg(long, value_enum, value_name = "LAYOUT", requires = "folder")]
    pub(crate) layout: Option<Layout>,

    /// The name of the release whose folder it is.
    #[arg(long, value_name = "NAME", default_value = "dr", requires = "layout")]
    pub(crate) release: String,

    /// The form.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        conflicts_with = "layout"
    )]
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

/// Folders that other tools have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// `secrets/` as `DataRobot`'s backup procedure makes it.
    #[value(name = "datarobot")]
    DataRobot,
}
