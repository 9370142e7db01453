//! The program: it reads the command line and the configuration, calls the commands, prints what they return, and chooses
//! the exit code. What it does for a living is in the libraries.
//!
//! Read in this order: what the user typed (`cli`), what it means (`config`), what is done (`commands`), what is printed
//! (`output`), how it ends (`exit`).

mod cli;
mod config;

mod commands;

mod failure;
mod log;
mod names;
mod output;
mod units;

mod exit;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command, Globals};
use commands::keygen::KeyKind;
use config::Settings;
use exit::Exit;
use jiff::Timestamp;
use output::Output;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => {
            let output = Output::new(cli.globals.json, cli.globals.quiet);
            run(cli, &output).unwrap_or_else(|error| output.error(&error))
        }
        // The command line was not understood, but a script that asks for JSON must get it.
        Err(error) => {
            Output::new(std::env::args_os().any(|word| word == "--json"), false).usage(&error)
        }
    };
    ExitCode::from(exit.code())
}

fn run(cli: Cli, output: &Output) -> anyhow::Result<Exit> {
    log::start(cli.globals.verbose, output.color)?;
    let globals = cli.globals;
    match cli.command {
        Command::Keygen(keygen) => {
            let kind = if keygen.writer {
                KeyKind::Writer
            } else {
                KeyKind::Identity
            };
            let key = commands::keygen::keygen(kind, &keygen.output, Timestamp::now())?;
            output.note(key.advice());
            output.answer(&key)?;
        }
        Command::Config(config) if config.schema => {
            output.raw(config::schema::schema().as_bytes())?
        }
        Command::Config(_) => output.answer(&commands::config::config(&settings(&globals)?))?,
        Command::Completions(completions) => {
            output.raw(&commands::completions::completions(completions.shell))?;
        }
        Command::Man(man) => output.raw(&commands::man::man(man.command.as_deref())?)?,
        _ => anyhow::bail!("this command needs the repository, which is not built in yet"),
    }
    Ok(Exit::Ok)
}

/// What is in force, from the configuration and the command line.
fn settings(globals: &Globals) -> anyhow::Result<Settings> {
    let found = config::load::find(globals.config.as_deref())?;
    Ok(config::resolve(found, globals)?)
}
