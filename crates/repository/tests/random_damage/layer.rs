//! Which check found a harm, by what it says.

use std::collections::BTreeMap;

use repository::{Error, Report};

use crate::harm::Harm;

#[derive(Default)]
pub(crate) struct Layers {
    harms: BTreeMap<Harm, u64>,
    verified: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
}

/// What each check says; the first that is found counts.
const SAYS: [(&str, &str); 21] = [
    ("the commit that it follows is missing or damaged", "chain"),
    ("it does not follow the valid commit before it", "chain"),
    ("is missing", "missing"),
    ("instead of", "length"),
    ("bytes are too many", "length"),
    ("it was cut", "length"),
    ("outside of what the commit lists", "length"),
    ("not those that were written", "digest"),
    ("it is not what the commit says", "digest"),
    ("its signature is wrong", "signature"),
    ("it was made for another place", "place"),
    ("it is not a commit", "shape"),
    ("it is malformed", "shape"),
    ("sealed with another data key", "commitment"),
    ("none of the identities", "age"),
    ("it is not a sound age file", "age"),
    ("belongs here", "AEAD"),
    ("makes no sense", "manifest"),
    ("of the length that the manifest gives", "manifest"),
    ("chunks that it reuses", "group"),
    ("does not match its digest", "entry"),
];

impl Layers {
    pub(crate) fn count_case(&mut self, harms: &[Harm]) {
        for harm in harms {
            *self.harms.entry(*harm).or_default() += 1;
        }
    }

    pub(crate) fn found(&mut self, layer: &'static str) {
        *self.verified.entry(layer).or_default() += 1;
    }

    pub(crate) fn reported(&mut self, report: &Report) {
        for damage in &report.damage {
            self.found(layer(&damage.what));
        }
    }

    pub(crate) fn refused(&mut self, error: &Error) {
        *self.refused.entry(layer(&error.to_string())).or_default() += 1;
    }

    #[expect(clippy::print_stderr, reason = "the table of docs/reliability.md")]
    pub(crate) fn print(&self, what: &str) {
        eprintln!("{what}: {:?}", self.harms);
        eprintln!("  reported by verify: {:?}", self.verified);
        eprintln!("  restores refused: {:?}", self.refused);
    }

    /// A check that found nothing in thousands of cases is one that these cases do not test.
    pub(crate) fn all_were_needed(&self, layers: &[&str]) {
        for layer in layers {
            let found = self.verified.contains_key(layer) || self.refused.contains_key(layer);
            assert!(found, "nothing was found by {layer}");
        }
    }
}

fn layer(says: &str) -> &'static str {
    let known = SAYS.iter().find(|(words, _)| says.contains(words));
    known
        .unwrap_or_else(|| panic!("no check is known to say {says:?}"))
        .1
}
