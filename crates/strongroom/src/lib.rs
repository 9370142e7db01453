//! The program: it reads the command line and the configuration, calls the commands, prints what they return, and chooses
//! the exit code. What it does for a living is in the libraries.
//!
//! Read in this order: what the user typed (`cli`), what it means (`config`), what is done (`commands`), what is printed
//! (`output`), how it ends (`exit`).
//!
//! It is a library for one reason: `fuzz/` must reach the configuration and the manifests, and nobody can link with a program. Nothing else
//! is public, and nothing outside may be built on it.

mod cli;
mod config;

mod commands;

mod plugins;
mod processors;
mod session;
mod sources;
mod stores;
mod tails;
mod take;
mod trust;
mod unlock;
mod wanted;

mod captured;
mod compare;
mod datarobot;
mod entry;
mod inside;
mod live;
mod losses;
mod objects;
mod timeline;

mod etcd_backup;
mod etcd_file;

mod failure;
mod locks;
mod log;
mod moments;
mod names;
mod outcomes;
mod output;
mod progress;
mod recipients;
mod units;

mod exit;

pub use commands::import::understand as manifests;
pub use config::checked::{Understood, understand};

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use cli::{Cli, Command, ConfigCommand, Globals, ImportOf, Keygen, PolicyOf, WriterCommand};
use commands::keygen::KeyKind;
use config::Settings;
use exit::Exit;
use format::Identities;
use jiff::Timestamp;
use output::Output;
use repository::Service;
use session::{Session, Stop};
use tokio::signal::unix::{SignalKind, signal};

/// How long work on other threads may take to notice that the command has ended.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long an interrupted command may remove what it uploaded. A second interrupt ends it at once.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// Runs the program.
pub fn main() -> ExitCode {
    // Whatever the shell says: repositories, keys and restored folders start out as their owner's alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let exit = match Cli::try_parse() {
        Ok(cli) => {
            let output = Output::new(cli.globals.json, cli.globals.quiet);
            run(cli, output).unwrap_or_else(|error| output.error(&error))
        }
        // The command line was not understood, but a script that asks for JSON must get it.
        Err(error) => {
            Output::new(std::env::args_os().any(|word| word == "--json"), false).usage(&error)
        }
    };
    Output::leave_terminal();
    ExitCode::from(exit.code())
}

fn run(cli: Cli, output: Output) -> anyhow::Result<Exit> {
    log::start(cli.globals.verbose, output.color)?;
    let globals = cli.globals;
    match cli.command {
        Command::Keygen(Keygen {
            split: Some(quorum),
            output: stem,
            ..
        }) => {
            let given = split_identity(&globals, output)?;
            let now = Timestamp::now();
            let shares = commands::keygen::shares::split(given, quorum, &stem, now)?;
            output.note(shares.advice());
            output.answer(&shares)?;
        }
        Command::Combine(combine) => {
            let (key, wrong) = commands::combine::combine(&combine.shares, &combine.output)?;
            if let Some(wrong) = wrong {
                output.note(wrong);
            }
            output.note(key.advice());
            output.answer(&key)?;
        }
        Command::Keygen(keygen) => {
            let kind = if keygen.writer {
                KeyKind::Writer
            } else {
                KeyKind::Identity
            };
            let reference = config::resolve::passphrase_flag(&globals)?;
            let asked = keygen
                .passphrase
                .then(|| unlock::new_passphrase(reference.as_ref(), output));
            let passphrase = asked.transpose()?;
            let now = Timestamp::now();
            let key = commands::keygen::keygen(kind, passphrase, &keygen.output, now)?;
            output.note(key.advice());
            output.answer(&key)?;
        }
        Command::Writer(cli::Writer {
            what: WriterCommand::New(new),
        }) => {
            let now = Timestamp::now();
            let key = commands::keygen::keygen(KeyKind::Writer, None, &new.output, now)?;
            output.note(key.advice());
            output.answer(&key)?;
        }
        Command::Config(config) if config.schema => {
            Output::raw(config::schema::schema().as_bytes())?;
        }
        Command::Config(cli::Config { what: None, .. }) => {
            output.answer(&commands::config::config(&settings(&globals)?))?;
        }
        Command::Policy(policy) => print_policy(&settings(&globals)?, &policy.of, output)?,
        Command::Completions(completions) => {
            Output::raw(&commands::completions::completions(completions.shell))?;
        }
        Command::Man(man) => Output::raw(&commands::man::man(man.command.as_deref())?)?,
        Command::EtcdBackup(command) => {
            let stop = Stop::new();
            let running = commands::etcd_backup::run(&command, globals.limit_upload, output, &stop);
            return until_interrupted(running, || stop.say());
        }
        Command::Config(cli::Config {
            what: Some(ConfigCommand::Convert(convert)),
            ..
        }) => {
            let converted = commands::convert::convert(&convert, globals.repo.as_deref())?;
            converted.notes.iter().for_each(|note| output.note(note));
            output.answer(&converted)?;
        }
        command => return in_repository(command, &Session::new(settings(&globals)?, output)?),
    }
    Ok(Exit::Ok)
}

/// The identity to split, if it is there already.
fn split_identity(globals: &Globals, output: Output) -> anyhow::Result<Option<Identities>> {
    if globals.identity.is_empty() {
        return Ok(None);
    }
    let reference = config::resolve::passphrase_flag(globals)?;
    unlock::unlock(&globals.identity, reference.as_ref(), output).map(Some)
}

fn print_policy(settings: &Settings, of: &PolicyOf, output: Output) -> anyhow::Result<()> {
    let (service, wanted) = match of {
        PolicyOf::Kubernetes(wanted) => {
            let text = commands::policy::of_kubernetes(settings, wanted)?;
            return Output::raw(text.as_bytes());
        }
        PolicyOf::S3(wanted) => (Service::S3, wanted),
        PolicyOf::Gcs(wanted) => (Service::Gs, wanted),
        PolicyOf::Azure(wanted) => (Service::Az, wanted),
    };
    let policy = commands::policy::bucket::policy(settings, service, wanted)?;
    if let Some(stranger) = commands::policy::bucket::stranger(settings, &wanted.job) {
        output.note(stranger);
    }
    output.note(policy.advice());
    output.answer(&policy)
}

/// What is in force, from the configuration and the command line.
fn settings(globals: &Globals) -> anyhow::Result<Settings> {
    // Not left to clap: `etcd-backup --config` is another file, which this variable does not name.
    let named = std::env::var_os("STRONGROOM_CONFIG").filter(|name| !name.is_empty());
    let named = globals.config.clone().or(named.map(PathBuf::from));
    let found = config::load::find(named.as_deref())?;
    let mut settings = config::resolve(found, globals)?;
    settings.complete_cache(|name| std::env::var_os(name).map(PathBuf::from));
    for place in settings.places_mut() {
        place.complete(|name| std::env::var(name).ok());
        place.check()?;
    }
    Ok(settings)
}

/// Runs a command that needs the repository.
fn in_repository(command: Command, session: &Session) -> anyhow::Result<Exit> {
    until_interrupted(dispatch(command, session), || session.stop())
}

/// Runs a command until it ends or is interrupted. Dropping it is what cancels it: what it was writing is not named by anything yet. A
/// command that removes it first, which `stop` says, is given a moment.
fn until_interrupted(
    command: impl Future<Output = anyhow::Result<Exit>>,
    stop: impl Fn() -> bool,
) -> anyhow::Result<Exit> {
    // One thread waits for everything. With several, each piece of an answer woke another one: lists of Kubernetes took three times as long.
    // What is work for a processor has threads of its own (`processors.rs`).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ended = runtime.block_on(async {
        let mut running = pin!(command);
        tokio::select! {
            biased;
            interrupted = interruption() => interrupted?,
            ended = &mut running => return ended,
        }
        if stop() {
            tokio::select! {
                _ = interruption() => {}
                _ = tokio::time::timeout(CLEAN_UP, &mut running) => {}
            }
        }
        Err(session::interrupted().into())
    });
    runtime.shutdown_timeout(SHUTDOWN);
    ended
}

/// Ends when somebody wants us to.
async fn interruption() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("wait for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("wait for signals")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Says what failed job by job; the first decides how the program ends.
fn said(output: Output, failures: &[anyhow::Error]) -> Option<Exit> {
    let exits: Vec<Exit> = failures.iter().map(|error| output.error(error)).collect();
    exits.first().copied()
}

async fn dispatch(command: Command, session: &Session) -> anyhow::Result<Exit> {
    let output = &session.output;
    match command {
        Command::Init(_) => output.answer(&commands::init::init(session).await?)?,
        Command::Backup(backup) => {
            let taken =
                commands::backup::backup(session, &backup.jobs, backup.allow_partial).await?;
            output.answer(&taken)?;
            taken.notes().iter().for_each(|note| output.note(note));
            return Ok(said(*output, &taken.failures).unwrap_or_else(|| taken.exit()));
        }
        Command::Snapshots(snapshots) => {
            let list =
                commands::snapshots::snapshots(session, &snapshots, Timestamp::now()).await?;
            output.answer(&list)?;
            list.notes().iter().for_each(|note| output.note(note));
        }
        Command::Show(show) => return commands::show::show(session, &show).await,
        Command::Get(get) => commands::get::get(session, &get).await?,
        Command::Cat(cat) => commands::get::cat(session, &cat).await?,
        Command::Find(find) => {
            let found = commands::find::find(session, &find.pattern, find.job.as_ref()).await?;
            output.answer(&found)?;
            return Ok(found.exit);
        }
        Command::History(history) => {
            let job = history.job.as_ref();
            let found = commands::history::history(session, &history.entry, job).await?;
            output.answer(&found)?;
            return Ok(found.exit);
        }
        Command::Diff(diff) => {
            return commands::diff::diff(session, &diff).await;
        }
        Command::Verify(verify) => {
            let verified = commands::verify::verify(session, &verify, Timestamp::now()).await?;
            output.answer(&verified)?;
            return Ok(verified.exit());
        }
        Command::Import(cli::Import {
            of: Some(ImportOf::EtcdBackup(import)),
            ..
        }) => {
            let imported = commands::import::etcd_backup::import(session, &import).await?;
            output.answer(&imported)?;
            return Ok(
                said(*output, imported.failure.as_slice()).unwrap_or_else(|| imported.exit())
            );
        }
        Command::Import(import) => {
            let taken = commands::import::import(session, &import).await?;
            output.answer(&taken)?;
            taken.notes().iter().for_each(|note| output.note(note));
            return Ok(taken.exit());
        }
        Command::Export(export) => {
            if let Some(exported) = commands::export::export(session, &export).await? {
                output.answer(&exported)?;
                exported.notes.iter().for_each(|note| output.note(note));
                exported.missing.map_or(Ok(()), Err)?;
            }
        }
        Command::Check(check) => {
            let checked = commands::check::check(session, &check).await?;
            output.answer(&checked)?;
            checked.notes().iter().for_each(|note| output.note(note));
            return Ok(said(*output, &checked.failures).unwrap_or_else(|| checked.exit()));
        }
        Command::Restore(restore) => {
            let restored = commands::restore::restore(session, &restore).await?;
            restored.say(*output)?;
            return Ok(restored.exit());
        }
        Command::Doctor(doctor) => {
            let diagnosis = commands::doctor::doctor(session, &doctor.etcd_backup).await?;
            output.answer(&diagnosis)?;
            return Ok(diagnosis.exit());
        }
        command => return maintain(command, session).await,
    }
    Ok(Exit::Ok)
}

/// The commands that change which snapshots there are, who reads them, or who may write.
async fn maintain(command: Command, session: &Session) -> anyhow::Result<Exit> {
    let output = &session.output;
    match command {
        Command::Prune(prune) => {
            let pruned = commands::prune::prune(session, &prune, Timestamp::now()).await?;
            output.answer(&pruned)?;
            pruned.notes().iter().for_each(|note| output.note(note));
            return Ok(said(*output, &pruned.outcomes.failures).unwrap_or(Exit::Ok));
        }
        Command::Copy(copy) => {
            let copied = commands::copy::copy(session, &copy).await?;
            output.answer(&copied)?;
            copied.notes().iter().for_each(|note| output.note(note));
            return Ok(said(*output, &copied.failures).unwrap_or(Exit::Ok));
        }
        Command::Repair(repair) => {
            let repaired = commands::repair::repair(session, &repair).await?;
            output.answer(&repaired)?;
            repaired.notes().iter().for_each(|note| output.note(note));
            return Ok(said(*output, &repaired.failures).unwrap_or_else(|| repaired.exit()));
        }
        Command::Pin(pin) => output.answer(&commands::pin::pin(session, &pin).await?)?,
        Command::Forget(forget) => {
            output.answer(&commands::forget::forget(session, &forget).await?)?;
        }
        Command::Keys(keys) => output.answer(&commands::keys::keys(session, &keys).await?)?,
        Command::Rotate(rotate) => {
            let rotated = commands::rotate::rotate(session, &rotate).await?;
            output.answer(&rotated)?;
            rotated.notes().iter().for_each(|note| output.note(note));
            return Ok(said(*output, &rotated.outcomes.failures).unwrap_or(Exit::Ok));
        }
        Command::Writer(writer) => match writer.what {
            WriterCommand::Revoke(revoke) => {
                output.answer(&commands::writer::revoke(session, &revoke).await?)?;
            }
            WriterCommand::New(_) => unreachable!("it needs no repository and was run before"),
        },
        _ => unreachable!("the others were run before"),
    }
    Ok(Exit::Ok)
}
