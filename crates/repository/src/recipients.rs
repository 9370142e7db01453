use std::collections::HashSet;

use crate::view::{Trust, Valid, View};

/// How the recipients of a snapshot differ from those of the one before it: the sign of a key that was swapped on a host that takes
/// backups, if nobody meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientChange {
    /// Who reads it and did not read the one before.
    pub came: Vec<String>,
    /// Who read the one before and does not read it.
    pub went: Vec<String>,
}

impl RecipientChange {
    /// `None`: a snapshot to `recipients`, with that number or a later one, is sealed as `before` was then.
    ///
    /// A rotation before that counts: somebody who was rotated out must not come back unseen. One after that says nothing of what came
    /// between, for only the last one is known.
    fn after(before: &Valid<'_>, number: u64, recipients: &[String]) -> Option<Self> {
        let now = before.recipients(0);
        if before.rotated_before(number) {
            return Self::between(now, recipients);
        }
        let made = Self::between(&before.statement.recipients, recipients)?;
        Self::between(now, recipients).map(|_| made)
    }

    /// How `recipients` differ from those of the newest snapshot that a reader accepts.
    pub(crate) fn since_newest(view: &View, trust: &Trust, recipients: &[String]) -> Option<Self> {
        let newest = view.snapshots().rev().find(|it| trust.accepts(it))?;
        Self::after(&newest, view.tail() + 1, recipients)
    }

    fn between(before: &[String], now: &[String]) -> Option<Self> {
        let change = Self {
            came: missing(now, before),
            went: missing(before, now),
        };
        (!change.came.is_empty() || !change.went.is_empty()).then_some(change)
    }

    /// Of the snapshots that a reader accepts, those that differ from the one before, by number.
    pub(crate) fn all(view: &View, trust: &Trust) -> Vec<(u64, Self)> {
        let mut changes = Vec::new();
        let mut before: Option<Valid<'_>> = None;
        for snapshot in view.snapshots().filter(|it| trust.accepts(it)) {
            let now = &snapshot.statement.recipients;
            let number = snapshot.at.number;
            let change = before.and_then(|before| {
                if snapshot.is_copy() {
                    // What was rotated between the two, where they come from, is not known here.
                    let sealed = Self::between(before.recipients(0), snapshot.recipients(0));
                    return sealed.and_then(|_| Self::between(&before.statement.recipients, now));
                }
                Self::after(&before, number, now)
            });
            changes.extend(change.map(|change| (number, change)));
            before = Some(snapshot);
        }
        changes
    }
}

/// Whether both name the same recipients, in whatever order.
pub(crate) fn same_recipients(a: &[String], b: &[String]) -> bool {
    RecipientChange::between(a, b).is_none()
}

fn missing(of: &[String], from: &[String]) -> Vec<String> {
    let from: HashSet<&String> = from.iter().collect();
    let missing = of.iter().filter(|text| !from.contains(text));
    missing.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter() {
        let texts = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let [ab, ba, bc] = [["a", "b"], ["b", "a"], ["b", "c"]].map(|it| texts(&it));
        assert_eq!(RecipientChange::between(&ab, &ba), None);
        let change = RecipientChange {
            came: texts(&["c"]),
            went: texts(&["a"]),
        };
        assert_eq!(RecipientChange::between(&ab, &bc), Some(change));
    }
}
