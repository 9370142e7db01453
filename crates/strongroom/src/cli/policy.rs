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
        "policy s3 backup prod --repo s3://backups/prod",
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
    /// What a host may do in the repository's bucket, as a policy of Amazon's IAM
    S3(BucketPolicy),
    /// What a host may do in the repository's bucket, as bindings of Google's IAM
    Gcs(BucketPolicy),
    /// What a host may do in the repository's container, as a command that makes a shared access signature
    Azure(BucketPolicy),
}

/// What a host may do in the repository's bucket, and no more
#[derive(Args)]
pub(crate) struct BucketPolicy {
    /// What the host does.
    #[arg(value_enum, value_name = "ROLE")]
    pub(crate) role: Role,

    /// For which job.
    #[arg(value_name = "JOB")]
    pub(crate) job: JobName,
}

/// What a host does with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Takes backups, looks at them and verifies them; can neither overwrite nor delete.
    Backup,
    /// Restores, and saves what that overwrites.
    Restore,
    /// Prunes, pins, forgets, revokes and rotates.
    Maintain,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Maintain => "maintain",
        }
    }
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
