//! `etcd-backup`: what etcd-backup does, with its configuration, flags and objects.

mod backup;
mod prune;
mod restore;
mod rotate_key;

use crate::cli::{EtcdBackup, EtcdBackupCommand};
use crate::etcd_backup::Config;
use crate::exit::Exit;
use crate::output::Output;
use crate::session::Stop;
use crate::units::Rate;

/// Runs one of its commands and prints what it did.
pub(crate) async fn run(
    command: &EtcdBackup,
    limit_upload: Option<Rate>,
    output: Output,
    stop: &Stop,
) -> anyhow::Result<Exit> {
    let config = load(&command.config, output)?;
    match &command.command {
        EtcdBackupCommand::Backup => {
            output.answer(&backup::backup(&config, limit_upload, output, stop).await?)?;
        }
        EtcdBackupCommand::Restore(restore) => {
            output.answer(&restore::restore(&config, restore, output).await?)?;
        }
        EtcdBackupCommand::Prune(prune) => {
            let pruned = prune::prune(&config, prune, jiff::Timestamp::now()).await?;
            output.answer(&pruned)?;
            if let Some(failure) = &pruned.failure {
                return Ok(output.error(failure));
            }
        }
        EtcdBackupCommand::RotateKey(rotate) => {
            let rotated = rotate_key::rotate(&config, &rotate.previous_key).await?;
            output.answer(&rotated)?;
            if let Some(failure) = &rotated.failure {
                return Ok(output.error(failure));
            }
        }
    }
    Ok(Exit::Ok)
}

/// Reads the configuration, and says what in it means nothing.
pub(crate) fn load(path: &std::path::Path, output: Output) -> anyhow::Result<Config> {
    let config = Config::load(path)?;
    for key in &config.unknown {
        output.note(format_args!(
            "{}: `{key}` is no key of etcd-backup 0.3, and is passed over",
            config.path.display()
        ));
    }
    Ok(config)
}
