use clap::Args;

use super::help::ending;
use crate::exit::Exit;
use crate::names::SnapshotName;

/// Copy snapshots to another repository as they are
///
/// What is missing there is copied from the configured repository, or from the one that --repo says: sealed bytes as they are, so no
/// identity is needed and nobody can read more than before. Every object is compared with its signed digest on the way. What both have is
/// stored once. Cut short, it goes on where it stopped when it is run again. Needs a writer's or a maintainer's key, which both trust.
///
/// What the other repository's last prune may have dropped is left out, and so is what was forgotten; name a snapshot to copy it all
/// the same. Pins are copied, retention and rotations are not: `prune` and `rotate` are about one repository.
///
/// With --reseal, every snapshot is opened with an identity and stored anew: under new keys, to the recipients of the configuration, signed by
/// this host. Who kept old keys reads nothing of it: that is how to re-key for good. The old repository is then to be destroyed.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "copy --to offsite",
        "copy prod --repo offsite --to local --dry-run",
        "copy prod/42 --to s3://backups/archive",
        "copy --reseal --to new --identity identity.txt",
    ],
    &[
        Exit::Damage, Exit::NoRepository, Exit::NoIdentity, Exit::Untrusted, Exit::Newer, Exit::Unreachable, Exit::Denied, Exit::Conflict, Exit::Contended,
    ],
))]
pub(crate) struct Copy {
    /// Only these jobs, or of a job only this snapshot; if none is named, all that the configuration lets go there.
    #[arg(value_name = "JOB or JOB/NUMBER")]
    pub(crate) wanted: Vec<SnapshotName>,

    /// The repository to copy to: a name in `repositories`, or an address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: String,

    /// Also what is older than the last prune there, which may have dropped it.
    #[arg(long)]
    pub(crate) pruned_too: bool,

    /// Open them and store them anew, to the recipients of the configuration.
    #[arg(long)]
    pub(crate) reseal: bool,

    /// Say what would be copied, and copy nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
