//! Bootstrap tokens, by which machines join a cluster. Most end within a day, so that one has often ended before it is restored. It is
//! restored as it was, and the plan says that nobody joins by it any more: the Secret itself looks like one that works.

use std::collections::BTreeMap;

use archive::{Entry, Name};
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::object::TYPE;

const TOKEN: &str = "bootstrap.kubernetes.io/token";
/// The key under which its end stands.
const EXPIRATION: &str = "expiration";
/// The attribute with the end, for a plan is made without values.
pub(super) const EXPIRES: &str = "expires";
/// Said of an end that is no time: for a server such a token has ended.
const UNREADABLE: &str = "unreadable";
/// What ends sooner may end before it is of use.
const SOON: SignedDuration = SignedDuration::from_hours(1);

/// When a Secret of the type `kind` ends, if it is a token that does.
pub(super) fn end_of(kind: &str, values: &BTreeMap<String, Zeroizing<Vec<u8>>>) -> Option<String> {
    let end = values.get(EXPIRATION).filter(|end| !end.is_empty())?;
    if kind != TOKEN {
        return None;
    }
    // No more of the value than a time is taken into an attribute.
    let end = std::str::from_utf8(end)
        .ok()
        .and_then(|end| end.parse::<Timestamp>().ok());
    Some(end.map_or_else(|| UNREADABLE.to_owned(), |end| end.to_string()))
}

/// The tokens that a restore writes although they have ended, or will soon.
#[derive(Default)]
pub(super) struct Ending {
    /// In the order in which they were met.
    found: Vec<(Name, String)>,
}

impl Ending {
    /// Takes note of `entry`, which is restored at `now`.
    pub(super) fn note(&mut self, entry: &Entry, now: Timestamp) {
        let attributes = &entry.attributes;
        let Some(end) = attributes
            .text(EXPIRES)
            .filter(|_| attributes.text(TYPE) == Some(TOKEN))
        else {
            return;
        };
        let said = match end.parse::<Timestamp>() {
            Ok(end) if end <= now => format!("it has ended, at {end}"),
            Ok(end) if end.duration_since(now) <= SOON => format!("it ends soon, at {end}"),
            Ok(_) => return,
            Err(_) => "its end is no time, so that it counts as ended".to_owned(),
        };
        self.found.push((entry.name.clone(), said));
    }

    /// One sentence for each.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.found.iter().map(|(name, said)| {
            format!("{name}: a token by which machines join the cluster; {said}: `kubeadm token create` makes a new one")
        })
    }
}
