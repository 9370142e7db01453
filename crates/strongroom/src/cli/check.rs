use clap::Args;
use format::JobName;

use super::help::ending;
use crate::exit::Exit;
use crate::names::SnapshotName;

/// Say what a restore will need that the snapshots of a job do not have
///
/// Asks the clusters of the job's Kubernetes sources which Secrets pods, accounts and ingresses refer to, and whether the
/// configuration selects them; and which keys of controllers a new cluster would lack. Of DataRobot also what a backup would: are its keys
/// there, and until when are its certificates good? Nothing is changed. Whether what is stored is whole says `verify --level full`.
///
/// In what it prints, `!` is missing and `?` could not be found out. A job that fails does not keep the others from being checked.
///
/// --against SNAPSHOT, after DataRobot was installed anew: whether its two keys are those of the snapshot. With others, what MongoDB held
/// cannot be decrypted. What could not be found out is said, and does not count then.
#[derive(Args)]
#[command(after_help = ending(
    &["check", "check prod", "check datarobot --against datarobot/42"],
    &[
        Exit::Partial, Exit::Differences, Exit::Damage, Exit::NoRepository, Exit::NoIdentity, Exit::Untrusted, Exit::Newer,
        Exit::Unreachable, Exit::Denied,
    ],
))]
pub(crate) struct Check {
    /// Only these jobs.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// Compare DataRobot's keys with those of this snapshot: JOB/NUMBER, JOB or JOB@TIME.
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) against: Option<SnapshotName>,
}
