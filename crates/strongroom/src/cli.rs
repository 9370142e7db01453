//! The command line: what the user typed. What it means is decided by `config::resolve` and the commands.

mod arguments;
mod check;
mod combine;
mod convert;
mod copy;
mod etcd_backup;
mod export;
mod help;
mod import;
mod inside;
mod pattern;
mod policy;
mod repair;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::units::Rate;

pub(crate) use arguments::{
    Backup, Cat, Completions, Config, Conflict, Diff, Doctor, Find, Forget, Get, History, Init,
    Keygen, Keys, Level, Man, Pin, Prune, Restore, Revoke, Rotate, Sample, Show, Snapshots, Verify,
    Version, Writer, WriterCommand,
};
pub(crate) use check::Check;
pub(crate) use combine::{Combine, Quorum};
pub(crate) use convert::{ConfigCommand, Convert, ConvertEtcdBackup, ConvertOf};
pub(crate) use copy::Copy;
pub(crate) use etcd_backup::{EtcdBackup, EtcdBackupCommand, EtcdBackupPrune, EtcdBackupRestore};
pub(crate) use export::{Export, Format, Layout};
pub(crate) use import::{Import, ImportEtcdBackup, ImportOf};
pub(crate) use inside::{Inside, quoted};
pub(crate) use pattern::{Chosen, Only, Pattern};
pub(crate) use policy::{BucketPolicy, KubernetesPolicy, Policy, PolicyOf, Purpose, Role};
pub(crate) use repair::Repair;

/// Disaster recovery for secrets: capture, seal, store, verify, restore.
#[derive(Parser)]
#[command(
    name = "strongroom",
    version,
    help_template = help::SCREEN,
    disable_help_subcommand = false,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Default)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    /// The configuration [default: ./strongroom.yaml, then /etc/strongroom/strongroom.yaml] [env: STRONGROOM_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The repository, in place of the configured one: a path, s3://, gs:// or az://, or a name in `repositories`.
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) repo: Option<String>,

    /// A file with an identity that opens snapshots; may be repeated.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,

    /// Where the passphrase of an identity file is: file:PATH, env:NAME or command:PROGRAM ARGUMENT [default: it is asked for].
    #[arg(long, global = true, value_name = "REFERENCE")]
    pub(crate) identity_passphrase: Option<String>,

    /// The public key of a writer to trust, 64 hexadecimal digits; may be repeated.
    #[arg(long, global = true, value_name = "HEX")]
    pub(crate) trust_writer: Vec<String>,

    /// The public key of a maintainer whose prunes to honour, 64 hexadecimal digits; may be repeated.
    #[arg(long, global = true, value_name = "HEX")]
    pub(crate) trust_maintainer: Vec<String>,

    /// Upload no faster than this, like 10MiB/s.
    #[arg(long, global = true, value_name = "RATE")]
    pub(crate) limit_upload: Option<Rate>,

    /// Let the repository's endpoint be http, where everybody on the way can read along.
    #[arg(long, global = true)]
    pub(crate) allow_http: bool,

    /// Print one JSON document, for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no progress and no notes.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Log to stderr; -vv and -vvv say more.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Subcommand)]
pub(crate) enum Command {
    Keygen(Keygen),
    Init(Init),
    Backup(Backup),
    Snapshots(Snapshots),
    Show(Show),
    Get(Get),
    Cat(Cat),
    Find(Find),
    History(History),
    Diff(Diff),
    Verify(Verify),
    Check(Check),
    Restore(Restore),
    Export(Export),
    Import(Import),
    Copy(Copy),
    Repair(Repair),
    Prune(Prune),
    Pin(Pin),
    Forget(Forget),
    Keys(Keys),
    Rotate(Rotate),
    Writer(Writer),
    Combine(Combine),
    Doctor(Doctor),
    Config(Config),
    Policy(Policy),
    EtcdBackup(EtcdBackup),
    Completions(Completions),
    Man(Man),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_screen_fits_and_names_every_command() {
        let screen = Cli::command().render_help().to_string();
        assert!(screen.lines().count() <= 40, "{screen}");
        assert!(
            screen.lines().all(|line| line.chars().count() <= 80),
            "{screen}"
        );
        for command in Cli::command().get_subcommands() {
            let named = |line: &&str| {
                line.get(12..).and_then(|line| line.split(' ').next()) == Some(command.get_name())
            };
            assert_eq!(
                screen.lines().filter(named).count(),
                1,
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn every_command_shows_an_example_and_its_exit_codes() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(
                help.contains(&format!("strongroom {name}")),
                "no example: {help}"
            );
            assert!(help.contains("Exit codes:\n  0 "), "no exit codes: {help}");
        }
    }

    #[test]
    fn every_example_parses() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            let help = command.render_long_help().to_string();
            let examples = help
                .lines()
                .filter_map(|line| line.strip_prefix("  strongroom "));
            for example in examples {
                let typed = example.split(" > ").next().unwrap_or_default();
                let typed = typed.split(" | ").next().unwrap_or_default();
                let words = typed.split_whitespace().map(|word| word.trim_matches('\''));
                let parsed = Cli::try_parse_from(std::iter::once("strongroom").chain(words));
                assert!(
                    parsed.is_ok(),
                    "{example}: {}",
                    parsed.err().expect("an error")
                );
            }
        }
    }
}
