//! `export`: entries in the form that another tool reads.

use anyhow::Context as _;
use zeroize::Zeroizing;

use crate::cli::{Export, Format};
use crate::commands::get::refuse_screen;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

/// The largest entry that can be an object of Kubernetes.
const OBJECT_MAX: u64 = 16 << 20;

/// Writes what matches, entry by entry. Each is written only after all of it was checked.
pub(crate) async fn export(session: &Session, export: &Export) -> anyhow::Result<()> {
    let Format::Yaml = export.format;
    refuse_screen(export.terminal)?;
    let repository = session.open().await?;
    let snapshot = session.snapshot(&repository, &export.snapshot).await?;
    let mut written = 0_u64;
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
            let manifest = source::kubernetes::manifest(&entry, &content);
            let manifest = manifest.with_context(|| format!("export from {}", snapshot.name()))?;
            Output::raw(manifest.as_bytes())?;
            written += 1;
        }
    }
    if written == 0 {
        let message = format!(
            "nothing in {} matches that Kubernetes would take",
            snapshot.name()
        );
        return Err(Failure::new(Exit::Failure, message)
            .hint(format!("strongroom show {}", snapshot.name()))
            .into());
    }
    Ok(())
}
