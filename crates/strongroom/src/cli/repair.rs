use clap::Args;
use format::JobName;

use super::help::ending;
use crate::exit::Exit;

/// Put back what is lost or damaged, from whoever has it
///
/// Every object that a snapshot needs is read and compared, as `verify` does it. What is missing or damaged is looked for in the other
/// repositories, wherever it lies there, and among the older versions that an S3 bucket keeps, and put back if its bytes are exactly those that a
/// trusted writer signed. Nothing else is written over, and no identity is needed. Lost commits come back from older versions, and from a
/// repository that was copied file by file.
#[derive(Args)]
#[command(after_help = ending(
    &["repair --dry-run", "repair prod --from offsite", "repair --from /mnt/mirror/strongroom"],
    &[
        Exit::Damage, Exit::NoRepository, Exit::Untrusted, Exit::Newer, Exit::Unreachable, Exit::Denied,
    ],
))]
pub(crate) struct Repair {
    /// Only these jobs.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// A repository that may have what is damaged: a name in `repositories`, or an address; may be repeated [default: all others in
    /// `repositories`].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Vec<String>,

    /// Say what would be put back, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
