//! `init`: makes the repository.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use repository::{Repository, Store};
use serde::Serialize;

use super::doctor;
use crate::config::Place;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// A repository that was just made.
#[derive(Serialize)]
pub(crate) struct NewRepository {
    repository: String,
    id: String,
    /// Objects that trying out the store left, which this host may not delete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
}

/// Makes a repository in an empty directory, which is made too if it does not exist, or in an empty part of a bucket.
pub(crate) async fn init(session: &Session) -> anyhow::Result<NewRepository> {
    let place = session.place()?;
    let named = || format!("make the repository {}", place.address.value);
    if let Some(directory) = place.directory() {
        repository::create_root(directory).with_context(named)?;
    }
    let store = session.store_on_trial()?;
    let empty = match place.directory() {
        Some(directory) => is_empty(directory).with_context(named)?,
        None => store.is_empty().await?,
    };
    if !empty {
        // A repository that is there, or a newer one, says so itself.
        Repository::open(store.clone())
            .await
            .map_err(|error| match error {
                repository::Error::NoRepository { .. } => not_empty(place).into(),
                other => anyhow::Error::new(other),
            })?;
    }
    let left = if empty {
        try_out(session, &store).await?
    } else {
        Vec::new()
    };
    let now = crate::units::now();
    let repository = Repository::create(store, now).await?;
    Ok(NewRepository {
        repository: repository.place().to_owned(),
        id: repository.id().to_string(),
        left,
    })
}

/// Refuses a store that cannot keep a repository. Returns what stays of that.
async fn try_out(session: &Session, store: &Store) -> anyhow::Result<Vec<String>> {
    let probe = store.probe().await;
    for name in &probe.left {
        session.output.note(format_args!(
            "trying out the store left {name}, which this host may not delete"
        ));
    }
    let probed = probe.found?;
    doctor::refuse(store.place(), &probed)?;
    doctor::refuse_lock(store, &probed)?;
    if let Some(strange) = doctor::strange_clock(store, Timestamp::now()) {
        session.output.note(strange);
    }
    Ok(probe.left)
}

/// Whether nothing but what an interrupted `init`, or a probe, left is in the directory.
fn is_empty(place: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(place)? {
        let name = entry?.file_name();
        let name = name.as_encoded_bytes();
        // The store writes `strongroom.json#1` and so on before it gives the file its name.
        if !name.starts_with(b"strongroom.json#") && !name.starts_with(b"strongroom.probe-") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn not_empty(place: &Place) -> Failure {
    let address = &place.address.value;
    if place.directory().is_some() {
        let message = format!("the directory {address} is not empty, and no repository");
        return Failure::new(Exit::Conflict, message)
            .hint("choose a directory that is empty, or does not exist");
    }
    let message = format!("there are objects below {address}, and no repository");
    Failure::new(Exit::Conflict, message).hint("choose a prefix below which there is nothing")
}

impl fmt::Display for NewRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "made the repository {} (id {})",
            self.repository, self.id
        )
    }
}
