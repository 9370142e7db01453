//! `keygen --split`: an identity in shares to print.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use format::{Identities, Share};
use jiff::Timestamp;
use serde::Serialize;

use super::{KeyKind, write_new};
use crate::cli::Quorum;
use crate::exit::Exit;
use crate::failure::Failure;

/// The recipient of an identity, and the files that hold its shares.
#[derive(Debug, Serialize)]
pub(crate) struct NewShares {
    kind: KeyKind,
    public: String,
    /// So many of them bring it back.
    needed: u8,
    files: Vec<PathBuf>,
}

/// Writes the shares of an identity, a new one if none is given, each into a file of its own, readable by its owner only. The identity
/// itself is written nowhere. Never overwrites; a failure leaves no file.
pub(crate) fn split(
    given: Option<Identities>,
    quorum: Quorum,
    stem: &Path,
    now: Timestamp,
) -> anyhow::Result<NewShares> {
    let Quorum { needed, total } = quorum;
    let identities = given.unwrap_or_else(new_identity);
    let shares = format::split(&identities, needed, total);
    let shares = shares
        .map_err(|error| anyhow!(error).context(Failure::new(Exit::Usage, "split the identity")))?;
    let public = identities.recipients().pop();
    let public = public.expect("it was split, so it is a key");
    let made = now.strftime("%Y-%m-%d").to_string();
    let mut files = Vec::new();
    for share in &shares {
        let file = file_of(stem, share);
        if let Err(error) = write_new(&file, share.to_page(&public, &made).as_bytes()) {
            // A part of them would be taken for all.
            for file in files {
                let _ = std::fs::remove_file(file);
            }
            return Err(error);
        }
        files.push(file);
    }
    Ok(NewShares {
        kind: KeyKind::Identity,
        public,
        needed,
        files,
    })
}

fn new_identity() -> Identities {
    let (secret, _) = format::generate_identity();
    let mut identities = Identities::none();
    let added = identities.add_file(secret.as_bytes());
    added.expect("an identity that was just made");
    identities
}

fn file_of(stem: &Path, share: &Share) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(format!(".share-{}", share.number()));
    name.into()
}

impl NewShares {
    /// What to do with them now.
    pub(crate) fn advice(&self) -> String {
        format!(
            "print the {} files and give each to somebody else, then shred them: any {} shares bring the identity back (`strongroom combine`), \
             and it is nowhere else. Try that before anything is sealed to its recipient, which goes into `recipients`.",
            self.files.len(),
            self.needed
        )
    }
}

impl fmt::Display for NewShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.public)
    }
}
