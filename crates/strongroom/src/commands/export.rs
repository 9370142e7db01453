//! `export`: entries in the form that another tool reads.

mod folder;

use anyhow::Context as _;
use archive::Entry;
use foreign::datarobot::Gathering;
use repository::Snapshot;
use zeroize::Zeroizing;

use crate::cli::{Export, Format, Layout};
use crate::commands::get::refuse_screen;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(crate) use folder::Exported;

/// The largest entry that can be an object of Kubernetes.
const OBJECT_MAX: u64 = 16 << 20;

/// Writes what matches: entry by entry to standard output, each only after all of it was checked, or the whole of a layout into a folder,
/// of which this says what was made.
pub(crate) async fn export(session: &Session, export: &Export) -> anyhow::Result<Option<Exported>> {
    if let (Some(Layout::DataRobot), Some(folder)) = (export.layout, &export.folder) {
        return data_robot(session, export, folder).await.map(Some);
    }
    let Format::Yaml = export.format;
    refuse_screen(export.terminal)?;
    let repository = session.open().await?;
    let snapshot = session.snapshot(&repository, &export.snapshot).await?;
    let written = each_object(&snapshot, export, |entry, content| {
        let manifest = source::kubernetes::manifest(entry, content);
        let manifest = manifest.with_context(|| format!("export from {}", snapshot.name()))?;
        Output::raw(manifest.as_bytes())
    });
    refuse_none(&snapshot, written.await?)?;
    Ok(None)
}

async fn data_robot(
    session: &Session,
    export: &Export,
    folder: &std::path::Path,
) -> anyhow::Result<Exported> {
    folder::refuse_existing(folder)?;
    let repository = session.open().await?;
    let snapshot = session.snapshot(&repository, &export.snapshot).await?;
    let mut gathering = Gathering::new(&export.release);
    let gathered = each_object(&snapshot, export, |entry, content| {
        Ok(gathering.add(entry, content)?)
    });
    refuse_none(&snapshot, gathered.await?)?;
    let made = gathering.finish();
    let made = made.with_context(|| format!("make DataRobot's folder from {}", snapshot.name()))?;
    folder::write(folder, &made.files)?;
    Ok(Exported::new(&snapshot, folder, made))
}

/// Hands `take` every object of Kubernetes that was chosen, with its content, and says how many there were.
async fn each_object(
    snapshot: &Snapshot,
    export: &Export,
    mut take: impl FnMut(&Entry, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut taken = 0;
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        if source.kind != "kubernetes" {
            continue;
        }
        let mut reader = snapshot.entries(index);
        while let Some(entry) = reader.next().await? {
            let name = entry.name.to_string();
            let mut only = export.only.iter();
            let matches = only.any(|pattern| pattern.matches(&source.name, &name));
            if !matches && !export.only.is_empty() {
                continue;
            }
            if entry.length() > OBJECT_MAX {
                let message = format!("{name} is too large to be an object");
                return Err(Failure::new(Exit::Failure, message).into());
            }
            let mut content = Zeroizing::new(Vec::with_capacity(entry.length() as usize));
            while let Some(piece) = reader.data().await? {
                content.extend_from_slice(piece.as_bytes());
            }
            take(&entry, &content)?;
            taken += 1;
        }
    }
    Ok(taken)
}

fn refuse_none(snapshot: &Snapshot, taken: u64) -> Result<(), Failure> {
    if taken > 0 {
        return Ok(());
    }
    let message = format!(
        "nothing in {} matches that Kubernetes would take",
        snapshot.name()
    );
    Err(Failure::new(Exit::Failure, message).hint(format!("strongroom show {}", snapshot.name())))
}
