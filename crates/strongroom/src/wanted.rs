//! Which configured source a source of a snapshot goes back to.

use anyhow::bail;
use repository::Snapshot;

use crate::config::resolve::{Job, Kind, Settings, SourceSettings};
use crate::config::stored;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// The sources of this host's configuration, and those of the configuration that the snapshot brings along.
pub(crate) struct Wanted<'a> {
    snapshot: &'a Snapshot,
    ours: Option<&'a Job>,
    theirs: Option<Settings>,
    job: format::JobName,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(session: &'a Session, snapshot: &'a Snapshot) -> anyhow::Result<Self> {
        let name = snapshot.job().as_str();
        let job: format::JobName = name.strip_suffix(".undo").unwrap_or(name).parse()?;
        let configuration = &snapshot.manifest().configuration;
        // One from a newer version may not be understood; ours may still be enough.
        let theirs = stored::settings(configuration).ok();
        Ok(Self {
            snapshot,
            ours: session.settings.jobs.get(&job),
            theirs,
            job,
        })
    }

    /// The settings for source number `index`: ours if there are any, otherwise those that the snapshot brings.
    ///
    /// The snapshot's never say which program is run here: whoever took over the host that wrote them would run
    /// programs on this one. With `elsewhere` (a restore to another place) no program is run.
    pub(crate) fn settings(
        &self,
        index: usize,
        elsewhere: bool,
    ) -> anyhow::Result<&SourceSettings> {
        let source = &self.snapshot.manifest().sources[index];
        let ours = self
            .ours
            .and_then(|job| find(job, &source.name, &source.kind));
        let theirs = self
            .theirs
            .as_ref()
            .and_then(|settings| settings.jobs.get(&self.job));
        let theirs = theirs.and_then(|job| find(job, &source.name, &source.kind));
        // What an undo snapshot of files holds lies where that restore went, which only it knows.
        if self.snapshot.job().is_undo()
            && let Some(settings) = theirs
            && matches!(settings.kind, Kind::Files(_))
        {
            return Ok(settings);
        }
        match (ours, theirs) {
            (Some(ours), _) => Ok(ours),
            (None, Some(theirs)) if elsewhere || !matches!(theirs.kind, Kind::Command(_)) => {
                Ok(theirs)
            }
            (None, Some(_)) => {
                let message = format!(
                    "source `{}` is restored by a program, and this host's configuration does not name it",
                    source.name
                );
                let hint = "check what `strongroom show SNAPSHOT --configuration` writes, then use it; or say --to FILE";
                Err(Failure::new(Exit::Failure, message).hint(hint).into())
            }
            (None, None) => bail!(
                "neither this host's configuration nor the snapshot says what source `{}` ({}) is",
                source.name,
                source.kind
            ),
        }
    }
}

fn find<'j>(job: &'j Job, name: &str, kind: &str) -> Option<&'j SourceSettings> {
    let mut sources = job.sources.iter();
    sources.find(|source| source.name.value == name && source.kind.name() == kind)
}
