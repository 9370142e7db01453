use std::cmp::Ordering;
use std::mem::replace;

use archive::{Entry, Name};
use repository::EntryReader;

use super::Change;
use crate::compare::differences;
use crate::live::Live;

/// One of two lists of entries, ascending by name.
pub(super) enum Side<'a> {
    Nothing,
    Stored(Box<EntryReader<'a>>),
    Live(Box<Live<'a>>),
}

impl Side<'_> {
    async fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        Ok(match self {
            Self::Nothing => None,
            Self::Stored(reader) => reader.next().await?,
            Self::Live(live) => live.next().await?,
        })
    }
}

impl<'a> From<EntryReader<'a>> for Side<'a> {
    fn from(reader: EntryReader<'a>) -> Self {
        Self::Stored(Box::new(reader))
    }
}

/// Tells `found` what differs as it is met, holding one entry of each side.
pub(super) async fn merge(
    mut left: Side<'_>,
    mut right: Side<'_>,
    found: &mut dyn FnMut(Change, Name, Vec<String>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut before, mut after) = (left.next().await?, right.next().await?);
    loop {
        let order = match (&before, &after) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.name.cmp(&after.name),
        };
        let was = match order {
            Ordering::Less | Ordering::Equal => replace(&mut before, left.next().await?),
            Ordering::Greater => None,
        };
        let is = match order {
            Ordering::Greater | Ordering::Equal => replace(&mut after, right.next().await?),
            Ordering::Less => None,
        };
        match (was, is) {
            (Some(was), Some(is)) => {
                let what = differences(&was, &is);
                if !what.is_empty() {
                    found(Change::Changed, is.name, what)?;
                }
            }
            (Some(was), None) => found(Change::Removed, was.name, Vec::new())?,
            (None, is) => {
                let is = is.expect("one of the sides goes on");
                found(Change::Added, is.name, Vec::new())?;
            }
        }
    }
}
