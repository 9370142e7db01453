use clap::{Args, Subcommand, ValueEnum};
use format::JobName;

use super::help::ending;

/// Print the rights that strongroom needs, in the words of whoever grants them
///
/// Nothing is asked and nothing is changed: what is printed follows from the configuration.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "policy kubernetes prod | kubectl apply -f -",
        "policy kubernetes prod --purpose restore --user jane@example.com",
    ],
    &[],
))]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) of: PolicyOf,
}

/// Whose rights.
#[derive(Subcommand)]
pub(crate) enum PolicyOf {
    Kubernetes(KubernetesPolicy),
}

/// Roles and bindings for the Kubernetes sources of a job, as manifests
#[derive(Args)]
pub(crate) struct KubernetesPolicy {
    /// The job.
    #[arg(value_name = "JOB")]
    pub(crate) job: JobName,

    /// Only this source of the job.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// What is to be allowed.
    #[arg(long, value_enum, default_value_t, value_name = "PURPOSE")]
    pub(crate) purpose: Purpose,

    /// For a user of the cluster.
    #[arg(long, value_name = "NAME", group = "subject")]
    pub(crate) user: Option<String>,

    /// For a group of users.
    #[arg(long, value_name = "NAME", group = "subject")]
    pub(crate) group: Option<String>,

    /// For an account that a pod runs as.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        default_value = "strongroom/strongroom",
        group = "subject"
    )]
    pub(crate) service_account: String,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// Take snapshots.
    #[default]
    Backup,
    /// Plan restores and carry them out.
    Restore,
}
