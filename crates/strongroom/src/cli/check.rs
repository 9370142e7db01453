use clap::Args;
use format::JobName;

use super::help::ending;
use crate::exit::Exit;

/// Say what a restore will need that the snapshots of a job do not have
///
/// Asks the clusters of the job's Kubernetes sources which Secrets pods, accounts and ingresses refer to, and whether the
/// configuration selects them; and which keys of controllers a new cluster would lack. Nothing is changed.
#[derive(Args)]
#[command(after_help = ending(
    &["check", "check prod"],
    &[Exit::Partial, Exit::Unreachable, Exit::Denied],
))]
pub(crate) struct Check {
    /// Only these jobs.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,
}
