use std::path::PathBuf;

use clap::Args;
use format::JobName;

use super::help::ending;
use crate::exit::Exit;

/// Take a snapshot of what lies in files of another tool
///
/// Reads manifests of Kubernetes: YAML with any number of documents, or JSON as `kubectl get -o json` prints it. The objects
/// become a snapshot of the job, whose Kubernetes source it is restored by; no cluster is asked.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "import prod secrets.yaml",
        "import prod --namespace shop - < shop.json",
    ],
    &[
        Exit::Damage,
        Exit::NoRepository,
        Exit::Untrusted,
        Exit::Newer,
    ],
))]
pub(crate) struct Import {
    /// The job, which has a Kubernetes source.
    #[arg(value_name = "JOB")]
    pub(crate) job: JobName,

    /// Files of manifests; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// The job's source that they belong to, if it has several.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// Where objects go that name no namespace.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}
