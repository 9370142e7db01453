//! `export`: entries in the form that another tool reads.

mod folder;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use foreign::datarobot::Installation;
use repository::Snapshot;

use crate::cli::{Export, Format, Layout};
use crate::commands::get::refuse_screen;
use crate::failure::Failure;
use crate::inside::{self, Wants};
use crate::objects::{each_object, installation, refuse_missing, refuse_none};
use crate::output::Output;
use crate::session::Session;

pub(crate) use folder::Exported;

/// The vendor's variable for the place of its folder.
const BACKUP_LOCATION: &str = "BACKUP_LOCATION";

/// Writes what matches: entry by entry to standard output, each only after all of it was checked, or the whole of a layout into a folder,
/// of which this says what was made.
pub(crate) async fn export(session: &Session, export: &Export) -> anyhow::Result<Option<Exported>> {
    if let Some(Layout::DataRobot) = export.layout {
        let folder = folder_of(export)?;
        return data_robot(session, export, &folder).await.map(Some);
    }
    if export.release.is_some() && export.format != Format::DataRobotValues {
        let message =
            "--release is DataRobot's, and manifests of all that was captured are no part of it";
        return Err(Failure::usage(message)
            .hint("--layout datarobot, or --format datarobot-values")
            .into());
    }
    refuse_screen(export.terminal)?;
    let snapshot = open(session, export).await?;
    if export.format == Format::DataRobotValues {
        let found = found_in(&snapshot, export).await?;
        let made = foreign::datarobot::values(&found);
        let made = made.with_context(|| format!("make values from {}", snapshot.name()))?;
        Output::raw(made.yaml.as_bytes())?;
        made.notes.iter().for_each(|note| session.output.note(note));
        refuse_missing(&snapshot, &export.only, &export.inside)?;
        return Ok(None);
    }
    let written = each_object(&snapshot, &export.only, &export.inside, |entry, content| {
        let manifest = source::kubernetes::manifest(entry, content);
        let manifest = manifest.with_context(|| format!("export from {}", snapshot.name()))?;
        Output::raw(manifest.as_bytes())
    });
    let written = written.await?;
    refuse_missing(&snapshot, &export.only, &export.inside)?;
    refuse_none(&snapshot, &export.inside, written)?;
    Ok(None)
}

async fn open(session: &Session, export: &Export) -> anyhow::Result<Snapshot> {
    let repository = session.open_remembered().await?;
    let (name, wants) = (&export.snapshot, Wants::Objects(&export.only));
    inside::open(session, &repository, name, &export.inside, wants).await
}

/// DataRobot's installation, as it was asked for.
async fn found_in(snapshot: &Snapshot, export: &Export) -> anyhow::Result<Installation> {
    let release = export.release.as_deref();
    installation(snapshot, release, &export.only, &export.inside).await
}

/// As it was said, or as the vendor's procedure has it.
fn folder_of(export: &Export) -> Result<PathBuf, Failure> {
    let variable = || std::env::var_os(BACKUP_LOCATION).filter(|it| !it.is_empty());
    let folder = export
        .folder
        .clone()
        .or_else(|| variable().map(PathBuf::from));
    folder.ok_or_else(|| {
        Failure::usage(format!(
            "--layout makes a folder, and neither DIR nor {BACKUP_LOCATION} says which"
        ))
    })
}

async fn data_robot(session: &Session, export: &Export, folder: &Path) -> anyhow::Result<Exported> {
    folder::refuse_existing(folder)?;
    let snapshot = open(session, export).await?;
    let found = found_in(&snapshot, export).await?;
    let made = foreign::datarobot::folder(&found);
    let made = made.with_context(|| format!("make DataRobot's folder from {}", snapshot.name()))?;
    folder::write(folder, &made.files)?;
    let missing = refuse_missing(&snapshot, &export.only, &export.inside).err();
    Ok(Exported::new(&snapshot, folder, made, missing))
}
