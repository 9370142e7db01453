//! `man`: the manual, or the page of one command, in roff.

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::names::nearest;

/// The page of `command`, or the one that lists them all.
pub(crate) fn man(command: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut cli = Cli::command().help_template("{about}\n\n{usage-heading} {usage}\n\n{all-args}");
    cli.build();
    let page = match command {
        None => cli,
        Some(name) => cli
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| unknown(name, &cli))?,
    };
    let mut roff = Vec::new();
    Man::new(page).render(&mut roff)?;
    Ok(roff)
}

fn unknown(name: &str, cli: &clap::Command) -> Failure {
    let failure = Failure::usage(format!("there is no command {name:?}"));
    match nearest(name, cli.get_subcommands().map(clap::Command::get_name)) {
        Some(known) => failure.hint(format!("strongroom man {known}")),
        None => failure.hint("strongroom help"),
    }
}
