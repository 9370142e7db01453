use std::fmt;

use format::{JobName, WriterId};
use repository::{Trust, View};
use serde::Serialize;

/// A prune by a key that is no trusted maintainer's: whoever can write to the log forged it, or a maintainer is missing in the configuration.
#[derive(Serialize)]
pub(super) struct ForeignPrune {
    commit: String,
    maintainer: String,
    /// Whether what is missing in the log may be what it dropped.
    #[serde(skip)]
    explains: bool,
    /// Whether it is the key of a writer who is trusted here, which is no maintainer's.
    #[serde(skip)]
    writer: bool,
}

impl ForeignPrune {
    /// Those that were `found` in the log that `view` is of.
    pub(super) fn all(
        job: &JobName,
        found: &[(u64, WriterId)],
        view: &View,
        trust: &Trust,
    ) -> Vec<Self> {
        let explaining = view.foreign_prune().map(|(number, _)| number);
        let found = found.iter().map(|(number, maintainer)| Self {
            commit: format!("{job}/{number}"),
            maintainer: maintainer.to_string(),
            // Where one explains it, so may each before it: the last may be there to hide who it was.
            explains: explaining.is_some_and(|explaining| *number <= explaining),
            writer: trust.writers.contains(maintainer),
        });
        found.collect()
    }
}

impl fmt::Display for ForeignPrune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commit, maintainer, ..
        } = self;
        let effect = if self.explains {
            "which of the commits count cannot be told, for those that are missing may be what it dropped"
        } else {
            "it has no effect here"
        };
        write!(
            f,
            "{commit}: a prune by {maintainer}, who is not a trusted maintainer: {effect}. "
        )?;
        if self.writer {
            return f.write_str(
                "It is the key of a writer of yours: whoever has it forged this, and may have taken that host over",
            );
        }
        write!(
            f,
            "If this is the key of a maintainer of yours, all of it: --trust-maintainer {maintainer}, or `trusted_maintainers` in \
             strongroom.yaml; otherwise somebody who can write to the log forged it"
        )
    }
}
