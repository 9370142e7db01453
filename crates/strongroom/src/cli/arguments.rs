//! The arguments of each command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum};
use clap_complete::Shell;
use format::{JobName, WriterId};

use super::combine::Quorum;
use super::convert::ConfigCommand;
use super::help::ending;
use super::inside::Inside;
use super::pattern::{Only, Pattern};
use crate::exit::Exit;
use crate::names::SnapshotName;
use crate::sources::restore_settings;
use crate::units::{Period, Size};

/// What opening a repository can end with.
const OPEN: [Exit; 4] = [
    Exit::Damage,
    Exit::NoRepository,
    Exit::Newer,
    Exit::Untrusted,
];
/// And reading its contents.
const READ: [Exit; 5] = [
    Exit::Damage,
    Exit::NoRepository,
    Exit::NoIdentity,
    Exit::Untrusted,
    Exit::Newer,
];
/// And looking through many snapshots, some of which may not open.
const LOOK: [Exit; 6] = [
    Exit::Partial,
    Exit::Damage,
    Exit::NoRepository,
    Exit::NoIdentity,
    Exit::Untrusted,
    Exit::Newer,
];

/// Make an identity that opens snapshots, or the key of a writer
///
/// An identity is an age file. Print it, keep it offline: whoever has it reads every snapshot sealed to it, and without it
/// nobody does. Its recipient, printed to standard output, goes into the configuration of the hosts that take backups.
///
/// With --passphrase the file is protected as `age -p` does it: the passphrase is asked for whenever the file is used.
///
/// With --split 3/5 it is written as five shares to print, FILE.share-1 to FILE.share-5, and as nothing else: any three of them bring
/// it back (`combine`), and fewer tell nothing about it. With --identity FILE too, it is the one in that file.
///
/// With --writer: the key with which a host signs its snapshots. It stays on that host; its public key, printed, is what
/// others trust.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "keygen --output identity.txt",
        "keygen --passphrase --output identity.age",
        "keygen --split 3/5 --output /dev/shm/prod",
        "keygen --writer --output /etc/strongroom/writer.key",
    ],
    &[Exit::Denied, Exit::Conflict],
))]
pub(crate) struct Keygen {
    /// The file to make; one that exists is never overwritten.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Protect the identity with a passphrase.
    #[arg(long, conflicts_with = "writer")]
    pub(crate) passphrase: bool,

    /// Write shares of which so many bring the identity back, like 3/5, in place of the identity.
    #[arg(long, value_name = "NEEDED/ALL", conflicts_with_all = ["writer", "passphrase"])]
    pub(crate) split: Option<Quorum>,

    /// Make a writer's key in place of an identity.
    #[arg(long)]
    pub(crate) writer: bool,
}

/// Create the repository
///
/// The directory is made if it does not exist, and must be empty if it does. Nothing in it is ever overwritten. The store is tried
/// out first, as `doctor` does it: one that cannot create an object only if it is absent is refused.
#[derive(Args)]
#[command(after_help = ending(
    &["init", "init --repo /var/backups/strongroom"],
    &[Exit::NoRepository, Exit::Unreachable, Exit::Denied, Exit::Conflict],
))]
pub(crate) struct Init {}

/// Take a snapshot of every job, or of the named ones
///
/// All sources of a job are captured at the same time into one snapshot. It is sealed to the recipients; no identity is
/// needed here, and none is read. A source that could not be read whole fails the job, and nothing of it is kept.
#[derive(Args)]
#[command(after_help = ending(
    &["backup", "backup prod --allow-partial"],
    &[Exit::Partial, Exit::Damage, Exit::NoRepository, Exit::Newer, Exit::Unreachable, Exit::Denied, Exit::Contended],
))]
pub(crate) struct Backup {
    /// Jobs of the configuration; all of them if none is named.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// Keep a snapshot in which something is missing; it is marked as partial for good, and the exit code is 3.
    #[arg(long)]
    pub(crate) allow_partial: bool,
}

/// List the snapshots
#[derive(Args)]
#[command(after_help = ending(&["snapshots", "snapshots prod --since 2w --json"], &OPEN))]
pub(crate) struct Snapshots {
    /// Only those of this job.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<JobName>,

    /// Only those not older than this, like 2w or 36h.
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<Period>,

    /// Also those that `forget` marked for the next prune.
    #[arg(long)]
    pub(crate) all: bool,
}

/// List the entries of a snapshot, never their values
///
/// A snapshot is JOB/NUMBER, or JOB for its newest, or JOB@TIME for the newest that is not later.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "show prod",
        "show prod/42 --only 'config:**/*.pem'",
        "show etcd --database",
        "show etcd --inside --only 'secrets/shop/*'",
        "show prod@2026-11-22T01:00Z --configuration > strongroom.yaml",
    ],
    &READ,
))]
pub(crate) struct Show {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// Only these entries: an entry, a folder of entries, or a pattern; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<Only>,

    /// Only entries of at least this size, like 64KiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) larger: Option<Size>,

    /// Write out the configuration that took the snapshot. It holds no secrets: they stand in it by reference.
    #[arg(long, conflicts_with_all = ["only", "larger", "inside"])]
    pub(crate) configuration: bool,

    /// Read the etcd databases in it and say what they hold: revision, keys and bytes by prefix, members, users, leases. Each is read twice.
    #[arg(long, conflicts_with_all = ["only", "larger", "configuration", "inside"])]
    pub(crate) database: bool,

    #[command(flatten)]
    pub(crate) inside: Inside,
}

/// Print one value
///
/// The exact bytes go to standard output. To a terminal only with --terminal: screens are watched and recorded.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "get prod config:etc/app/tls.key > tls.key",
        "get prod/42 dump:dump.sql --terminal",
        "get etcd secrets/shop/db password --inside --encryption-config encryption.yaml",
    ],
    &READ,
))]
pub(crate) struct Get {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// The entry as `show` prints it; without SOURCE: if only one source has it.
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: String,

    /// The key, if the entry has several.
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,

    /// Print it even to a terminal.
    #[arg(long)]
    pub(crate) terminal: bool,

    #[command(flatten)]
    pub(crate) inside: Inside,
}

/// Write one file of a snapshot to standard output
///
/// For what is large: a database dump, an etcd snapshot. The bytes are checked as they pass; an exit code other than 0
/// means that what was written so far must not be used.
#[derive(Args)]
#[command(after_help = ending(&["cat prod dump:dump.sql | psql app"], &READ))]
pub(crate) struct Cat {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// The entry as `show` prints it; without SOURCE: if only one source has it.
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: String,

    /// Write it even to a terminal.
    #[arg(long)]
    pub(crate) terminal: bool,

    #[command(flatten)]
    pub(crate) inside: Inside,
}

/// Find entries by name in all snapshots
#[derive(Args)]
#[command(after_help = ending(&["find '**/*.pem'", "find '*password*' --job prod"], &LOOK))]
pub(crate) struct Find {
    /// A pattern: * and ? within a part of a name, ** across parts; without a slash also of the last part alone;
    /// without any of them, a piece of the name.
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Pattern,

    /// Only in snapshots of this job.
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<JobName>,
}

/// When did an entry change, and which snapshot has it
#[derive(Args)]
#[command(after_help = ending(&["history config:etc/app/tls.key"], &LOOK))]
pub(crate) struct History {
    /// The entry as `show` prints it; without SOURCE: if only one source has it.
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: String,

    /// Only in snapshots of this job.
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<JobName>,
}

/// What differs between two snapshots, or between a snapshot and what is live
///
/// Says which entries and keys differ, never their values. For `live` each source is read as `backup` would read it, and
/// nothing is kept; so the program of a `command` source is run, but only if this host's configuration names it.
#[derive(Args)]
#[command(after_help = ending(
    &["diff prod/41 prod/42", "diff prod live", "diff etcd live --inside --encryption-config encryption.yaml"],
    &[Exit::Partial, Exit::Differences, Exit::Damage, Exit::NoRepository, Exit::Newer, Exit::Untrusted, Exit::NoIdentity, Exit::Unreachable, Exit::Denied],
))]
pub(crate) struct Diff {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "A")]
    pub(crate) before: SnapshotName,

    /// Another snapshot, or `live`.
    #[arg(value_name = "B")]
    pub(crate) after: Version,

    /// Only entries that match; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Vec<Only>,

    /// With --inside: the job of the configuration whose cluster is meant for objects, or whose etcd for other keys.
    #[arg(long, value_name = "JOB", requires = "inside")]
    pub(crate) into: Option<JobName>,

    #[command(flatten)]
    pub(crate) inside: Inside,
}

/// Plan a restore, then carry it out
///
/// The plan is always printed first, then a question asked; --yes answers it for scripts. Nothing is written before it has
/// been authenticated, and before something live is overwritten a snapshot of it is taken (JOB.undo/NUMBER).
#[derive(Args)]
#[command(after_help = ending(
    &[
        "restore prod --dry-run",
        "restore prod/42 --only 'config:etc/app/**' --conflict overwrite",
        "restore prod --source config --to /tmp/restored --yes",
        "restore etcd --inside --only secrets/shop/db --encryption-config encryption.yaml",
        "restore etcd --inside --only /app/ --dry-run",
    ],
    &[
        Exit::Partial, Exit::Damage, Exit::NoRepository, Exit::NoIdentity, Exit::Untrusted,
        Exit::Newer, Exit::Unreachable, Exit::Denied, Exit::Conflict,
    ],
))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags, each of which stands for itself"
)]
pub(crate) struct Restore {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// Print the plan and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Only these entries: an entry, a folder of entries, or a pattern; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<Only>,

    /// Only the Secrets with the certificates that DataRobot's release names: what a new installation needs beforehand.
    #[arg(long, conflicts_with = "only")]
    pub(crate) certificates: bool,

    /// Only this source of the job; may be repeated.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Vec<String>,

    /// Another place than the origin: a folder, a file, a data directory.
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<PathBuf>,

    /// What to do with an entry that is there and differs.
    #[arg(long, value_enum, default_value_t, value_name = "POLICY")]
    pub(crate) conflict: Conflict,

    /// Take no snapshot of what will be overwritten.
    #[arg(long)]
    pub(crate) no_undo: bool,

    /// Read all that is chosen first, and leave out the entries that are damaged.
    #[arg(long)]
    pub(crate) despite_damage: bool,

    #[command(flatten)]
    pub(crate) settings: SourceFlags,

    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,

    /// With --inside: the job of the configuration whose cluster is meant for objects, or whose etcd for other keys.
    #[arg(long, value_name = "JOB", requires = "inside")]
    pub(crate) into: Option<JobName>,

    #[command(flatten)]
    pub(crate) inside: Inside,
}

/// Drop the snapshots that no rule keeps, and delete what only they needed
///
/// Which snapshots stay is said by `retention` in the configuration; without it only what was forgotten goes. Each snapshot is printed
/// with the rule that keeps or drops it. Backups may go on meanwhile. Needs a maintainer's key and no identity.
#[derive(Args)]
#[command(after_help = ending(
    &["prune --dry-run", "prune prod"],
    &[Exit::Damage, Exit::NoRepository, Exit::Untrusted, Exit::Newer, Exit::Denied, Exit::Contended],
))]
pub(crate) struct Prune {
    /// Only these jobs, and what restores of them saved; all of them if none is named.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// Print what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Prune although the log is damaged: what only a lost commit named goes then, for good.
    #[arg(long)]
    pub(crate) despite_damage: bool,
}

/// Keep a snapshot, whatever the rules of retention say
///
/// Signed with the maintainer's key, or with the writer's where there is none. Only a maintainer can lift a pin.
#[derive(Args)]
#[command(after_help = ending(
    &["pin prod/42", "pin --remove prod/42"],
    &[Exit::Damage, Exit::NoRepository, Exit::Untrusted, Exit::Newer, Exit::Denied, Exit::Contended],
))]
pub(crate) struct Pin {
    /// JOB/NUMBER, JOB or JOB@TIME.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotName,

    /// Lift the pin, so that the rules decide again.
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Mark snapshots for the next prune
///
/// They are listed and chosen no more, and can be read by number until `prune` deletes them. Nothing takes that back, but a pin keeps a
/// snapshot that is forgotten. Needs a maintainer's key.
#[derive(Args)]
#[command(after_help = ending(
    &["forget prod/40 prod/41"],
    &[Exit::Damage, Exit::NoRepository, Exit::Untrusted, Exit::Newer, Exit::Denied, Exit::Conflict, Exit::Contended],
))]
pub(crate) struct Forget {
    /// JOB/NUMBER.
    #[arg(value_name = "SNAPSHOT", required = true)]
    pub(crate) snapshots: Vec<SnapshotName>,
}

/// List who can read and who may write: recipients, writers, maintainers
///
/// Per job and snapshot, as the log says it now, rotations and revocations counted in. Needs no identity.
#[derive(Args)]
#[command(after_help = ending(&["keys", "keys prod --json"], &OPEN))]
pub(crate) struct Keys {
    /// Only these jobs.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,
}

/// Seal what is stored to other recipients
///
/// Each run gets a new key object, which is opened again before the old one goes; no data is read or written. Whoever kept an old key
/// object and its identity can still read that run; `copy --reseal` stores everything anew. Without --add and --remove the recipients become those of the configuration.
///
/// Needs a maintainer's key, and an identity that opens what is there; if that one is among those who go, also one of those who
/// stay or come. Cut short, it goes on where it was when it is run again.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "rotate --identity old.txt --identity new.txt",
        "rotate prod --add age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --identity identity.txt",
    ],
    &[Exit::Damage, Exit::NoRepository, Exit::NoIdentity, Exit::Untrusted, Exit::Newer, Exit::Denied, Exit::Contended],
))]
pub(crate) struct Rotate {
    /// Only these jobs.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// Who is to read it from now on, too; may be repeated.
    #[arg(long, value_name = "RECIPIENT", value_parser = recipient)]
    pub(crate) add: Vec<String>,

    /// Who is not to read it any more; may be repeated.
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) remove: Vec<String>,

    /// Go on although the log is damaged: snapshots behind the damage stay sealed as they are.
    #[arg(long)]
    pub(crate) despite_damage: bool,

    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn recipient(text: &str) -> Result<String, format::RecipientError> {
    format::Recipients::parse([text]).map(|one| one.texts()[0].clone())
}

/// Make the key of a writer, or revoke one
#[derive(Args)]
#[command(after_help = ending(
    &[
        "writer new --output /etc/strongroom/writer.key",
        "writer revoke d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ],
    &[Exit::Damage, Exit::NoRepository, Exit::Untrusted, Exit::Newer, Exit::Denied, Exit::Conflict, Exit::Contended],
))]
pub(crate) struct Writer {
    #[command(subcommand)]
    pub(crate) what: WriterCommand,
}

/// What is done with a writer's key.
#[derive(Subcommand)]
pub(crate) enum WriterCommand {
    New(NewWriter),
    Revoke(Revoke),
}

/// Make the key with which a host signs its snapshots
///
/// The same as `keygen --writer`. It stays on that host; its public key, printed, is what others trust.
#[derive(Args)]
#[command(after_help = ending(
    &["writer new --output /etc/strongroom/writer.key"],
    &[Exit::Denied, Exit::Conflict],
))]
pub(crate) struct NewWriter {
    /// The file to make; one that exists is never overwritten.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Let nobody trust what a writer signs from now on
///
/// For a host that was taken over, or is gone. What it signs after the newest commit that a job has now counts for nobody; with --after
/// that begins earlier. No other host's snapshot builds on what it stored; its own next one, by a new key, is a full one. Nothing takes
/// that back. Needs a maintainer's key.
#[derive(Args)]
#[command(after_help = ending(
    &["writer revoke d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"],
    &[Exit::Damage, Exit::NoRepository, Exit::Untrusted, Exit::Newer, Exit::Denied, Exit::Contended],
))]
pub(crate) struct Revoke {
    /// The writer's public key, 64 hexadecimal digits.
    #[arg(value_name = "PUBLIC-KEY")]
    pub(crate) writer: WriterId,

    /// Only in these jobs, not in all of the repository.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// The last snapshot of its job that still counts, or JOB/0 for none; once for each job that is revoked.
    #[arg(long, value_name = "JOB/NUMBER")]
    pub(crate) after: Vec<SnapshotName>,
}

/// Check that what is stored is whole and authentic
///
/// Levels: `log` checks the chain of commits and their signatures, `data` also the digest of every object that a snapshot
/// needs, `full` also opens and checks every entry. The first two need no identity.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "verify",
        "verify prod --level full --identity identity.txt",
        "verify --since seen --remember seen",
        "verify --sample 5%",
    ],
    &[Exit::Partial, Exit::Damage, Exit::NoRepository, Exit::NoIdentity, Exit::Untrusted, Exit::Newer],
))]
pub(crate) struct Verify {
    /// Only these jobs.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// How deep to look.
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) level: Level,

    /// Of the packs read only one part: `5%` is one in twenty. With --remember it is the part after the last one, so that twenty runs
    /// read all, whenever they come. Without, it is told by the clock: runs each day at the same hour read all in less than forty
    /// days, and other rhythms meet parts as if by lot, so that all takes 72 runs on average. `3/20` says which. Small objects are all read.
    #[arg(long, value_name = "SHARE")]
    pub(crate) sample: Option<Sample>,

    /// Also check that nothing disappeared since then: a file that --remember made, a line of it, or the name of another repository of the
    /// same jobs, whose logs remember this one's. Says it when a log was put back to an earlier state, or another commit stands where one
    /// was.
    #[arg(long, value_name = "FILE, LINE or NAME")]
    pub(crate) since: Option<String>,

    /// Remember the newest commit of each job in this file, if no damage was found. What it remembers already is checked first, as
    /// with --since; to begin anew, delete it. Keep it elsewhere than the repository.
    #[arg(long, value_name = "FILE")]
    pub(crate) remember: Option<PathBuf>,
}

/// Try out the store, and say what is wrong and what to do
///
/// Several writers create the same small object at the same moment: no more than one may succeed. Then it is read, listed,
/// overwritten and deleted, as far as this host may; what could not be deleted is named. `init` does the same before it makes a
/// repository.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "doctor",
        "doctor --repo s3://backups/prod --json",
        "doctor --etcd-backup east.yml --etcd-backup west.yml",
    ],
    &[Exit::NoRepository, Exit::Unreachable, Exit::Denied],
))]
pub(crate) struct Doctor {
    /// Look at a configuration of etcd-backup too; may be repeated, and says then what clusters share that they should not. Without a
    /// repository, that is all.
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_backup: Vec<PathBuf>,
}

/// Print what is in force, and where each value comes from
///
/// Secrets are never resolved for this: their references are printed as they stand.
#[derive(Args)]
#[command(
    disable_help_subcommand = true,
    after_help = ending(
        &[
            "config",
            "config --schema > strongroom.schema.json",
            "config convert etcd-backup -c config.yml > strongroom.yaml",
        ],
        &[],
    )
)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) what: Option<ConfigCommand>,

    /// Print the JSON schema of the configuration file, for editors.
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = ending(
    &["completions bash > /etc/bash_completion.d/strongroom"], &[],
))]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

/// Print the manual, or the page of one command
#[derive(Args)]
#[command(after_help = ending(&["man > strongroom.1", "man restore | man -l -"], &[]))]
pub(crate) struct Man {
    /// A command.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// What `diff` compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Snapshot(SnapshotName),
    Live,
}

impl FromStr for Version {
    type Err = <SnapshotName as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "live" {
            Ok(Self::Live)
        } else {
            text.parse().map(Self::Snapshot)
        }
    }
}

/// What to do with an entry that is there and differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Conflict {
    /// Write nothing at all.
    #[default]
    Fail,
    /// Leave it, write the rest.
    Skip,
    /// Replace it.
    Overwrite,
}

/// How deep `verify` looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// The chain of commits and their signatures.
    Log,
    /// And the digest of every object.
    #[default]
    Data,
    /// And every entry, opened.
    Full,
}

/// The flags of `restore` that sources define themselves, by name without the dashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceFlags(pub(crate) BTreeMap<String, String>);

impl Args for SourceFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        restore_settings().fold(command, |command, (kind, setting)| {
            let arg = Arg::new(setting.name)
                .long(setting.name)
                .help(setting.help)
                .help_heading(format!("Options of {kind}"));
            command.arg(match setting.value {
                // A list may be said at once or piece by piece.
                Some(value) if value.ends_with(",...") => {
                    arg.value_name(value).action(ArgAction::Append)
                }
                Some(value) => arg.value_name(value),
                None => arg.action(ArgAction::SetTrue),
            })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SourceFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = restore_settings().filter_map(|(_, setting)| {
            let value = match setting.value {
                Some(_) => {
                    let said = matches.get_many::<String>(setting.name)?;
                    said.cloned().collect::<Vec<_>>().join(",")
                }
                None => matches.get_flag(setting.name).then(|| "true".to_owned())?,
            };
            Some((setting.name.to_owned(), value))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Which part of the packs is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// One of so many, another one each time.
    OneOf(u32),
    /// The first of so many is 1.
    Part(u32, u32),
}

/// Why a text says no part.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no part: write it like 5%, or 3/20")]
pub(crate) struct SampleError(String);

impl FromStr for Sample {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let refused = || SampleError(text.chars().take(40).collect());
        if let Some((part, of)) = text.split_once('/') {
            let part: u32 = part.parse().map_err(|_| refused())?;
            let of: u32 = of.parse().map_err(|_| refused())?;
            return (1..=of)
                .contains(&part)
                .then_some(Self::Part(part, of))
                .ok_or_else(refused);
        }
        let percent = text.strip_suffix('%').and_then(|it| it.parse::<u32>().ok());
        let percent = percent
            .filter(|it| (1..=100).contains(it))
            .ok_or_else(refused)?;
        // Rather a little more at a time than not all of it in the end.
        Ok(Self::OneOf(100 / percent))
    }
}
