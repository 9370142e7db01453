//! `pin`: a snapshot that no prune may drop.

use std::fmt;

use serde::Serialize;

use crate::cli;
use crate::session::{Session, choose, with_hint};
use crate::units::now;

/// What became of a pin.
#[derive(Serialize)]
pub(crate) struct PinAnswer {
    snapshot: String,
    pinned: bool,
    /// The commit that says so; none if it was so already.
    commit: Option<String>,
}

/// Pins the snapshot, or lifts its pin.
pub(crate) async fn pin(session: &Session, pin: &cli::Pin) -> anyhow::Result<PinAnswer> {
    let pinned = !pin.remove;
    let maintainer = session.settings.maintainer_key.is_some();
    let key = if maintainer || pin.remove {
        session.maintainer()?
    } else {
        session.writer()?
    };
    let repository = session.open().await?;
    let job = &pin.snapshot.job;
    session.jobs(&repository, std::slice::from_ref(job)).await?;
    let maintenance = session.maintenance(job, key)?;
    let view = repository.view(job, &maintenance.trust).await?;
    session.note_damage(&view, job);
    let chosen = choose(&view, &maintenance.trust, &pin.snapshot)?;
    let snapshot = format!("{job}/{}", chosen.at.number);
    if chosen.pinned() == pinned {
        return Ok(PinAnswer {
            snapshot,
            pinned,
            commit: None,
        });
    }
    let appended = maintenance
        .pin(&repository, chosen.at, pinned, &now())
        .await;
    let commit = appended.map_err(with_hint)?;
    Ok(PinAnswer {
        snapshot,
        pinned,
        commit: Some(format!("{job}/{}", commit.number)),
    })
}

impl fmt::Display for PinAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snapshot, .. } = self;
        match (&self.commit, self.pinned) {
            (Some(commit), true) => writeln!(f, "{snapshot} is pinned (commit {commit})"),
            (Some(commit), false) => writeln!(f, "{snapshot} is pinned no more (commit {commit})"),
            (None, true) => writeln!(f, "{snapshot} was pinned already"),
            (None, false) => writeln!(f, "{snapshot} was not pinned"),
        }
    }
}
