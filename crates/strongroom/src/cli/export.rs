use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Only;
use super::help::ending;
use super::inside::Inside;
use crate::exit::Exit;
use crate::names::SnapshotName;

/// Write entries of a snapshot in the form that another tool reads
///
/// yaml: the objects of Kubernetes sources as manifests, for `kubectl apply -f -` (above some 190 KiB: `kubectl apply --server-side -f -`). Values are in them in clear, so that a
/// terminal is refused unless --terminal is said.
///
/// --layout datarobot DIR: `secrets/` as DataRobot's own backup procedure makes it, in DIR, for its owner's eyes only, of a snapshot that has
/// the Secrets of its namespace. It must not be there yet.
///
/// --format datarobot-values: the part of values.yaml with which a new installation opens what the old one left: the two keys that MongoDB
/// is encrypted with, in clear, and which certificates there are.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "export prod | kubectl apply -f -",
        "export prod/42 --only 'secrets/shop/**' > shop.yaml",
        "export etcd --inside --only secrets/shop/db | kubectl apply -f -",
        "export datarobot --layout datarobot backup-2026-11-26",
        "export datarobot --format datarobot-values > values_keys.yaml",
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

    /// Where the folder of a layout is made [default: what BACKUP_LOCATION says].
    #[arg(value_name = "DIR", requires = "layout")]
    pub(crate) folder: Option<PathBuf>,

    /// A folder of files, as another tool has it.
    #[arg(long, value_enum, value_name = "LAYOUT")]
    pub(crate) layout: Option<Layout>,

    /// The name of DataRobot's release in helm [default: the one that was captured as such, or dr].
    #[arg(long, value_name = "NAME")]
    pub(crate) release: Option<String>,

    /// The form.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        conflicts_with = "layout"
    )]
    pub(crate) format: Format,

    /// Only these entries: an entry, a folder of entries, or a pattern; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<Only>,

    /// Write it even to a terminal.
    #[arg(long)]
    pub(crate) terminal: bool,

    #[command(flatten)]
    pub(crate) inside: Inside,
}

/// A form that another tool reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Manifests of Kubernetes.
    #[default]
    Yaml,
    /// What a new installation of `DataRobot` must be told.
    #[value(name = "datarobot-values")]
    DataRobotValues,
}

/// Folders that other tools have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// `secrets/` as `DataRobot`'s backup procedure makes it.
    #[value(name = "datarobot")]
    DataRobot,
}
