//! What damage takes of a source of a snapshot, entry by entry, so that it is known what is left.

use archive::{Content, Entry, Name};
use async_trait::async_trait;
use repository::EntryReader;
use source::{Contents, Error, ErrorKind};

use crate::captured::stored;
use crate::progress::Progress;

/// So many of the entries that a snapshot has lost are named: of a million that lay in one pack some are enough, and how many they are.
pub(crate) const NAMED_MAX: usize = 20;

/// The entries of a source that cannot be read whole.
#[derive(Default)]
pub(crate) struct Losses {
    /// Of those that the catalog tells of.
    pub(crate) count: u64,
    /// The first of them, each with what is damaged.
    pub(crate) named: Vec<(Name, String)>,
    /// The catalog itself is damaged, so that none can be told, and nothing of the source comes back.
    pub(crate) catalog: Option<String>,
}

impl Losses {
    fn add(&mut self, name: Name, error: &repository::Error) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((name, error.to_string()));
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.count == 0 && self.catalog.is_none()
    }

    /// Of so many entries of the source, how many are whole.
    pub(crate) fn left_of(&self, entries: u64) -> u64 {
        match &self.catalog {
            Some(_) => 0,
            None => entries.saturating_sub(self.count),
        }
    }
}

/// All entries of a source, each read to its end, so that every byte is compared with its digest. What is damaged of one does not keep the
/// next from being read.
pub(crate) struct Tested<'a> {
    reader: EntryReader<'a>,
    progress: &'a Progress,
    /// The entry of which there may be more to read: not one in which damage was found.
    current: Option<Name>,
    /// That the catalog has told of.
    pub(crate) entries: u64,
    pub(crate) losses: Losses,
}

impl<'a> Tested<'a> {
    pub(crate) fn new(reader: EntryReader<'a>, progress: &'a Progress) -> Self {
        Self {
            reader,
            progress,
            current: None,
            entries: 0,
            losses: Losses::default(),
        }
    }

    /// The next entry, after the rest of the one before; `None` after the last, and after damage to the catalog.
    pub(crate) async fn entry(&mut self) -> Result<Option<Entry>, repository::Error> {
        self.is_whole().await?;
        if self.losses.catalog.is_some() {
            return Ok(None);
        }
        let entry = match self.reader.next().await {
            Err(error) if error.is_damage() => {
                self.losses.catalog = Some(error.to_string());
                return Ok(None);
            }
            entry => entry?,
        };
        self.entries += u64::from(entry.is_some());
        self.current = entry.as_ref().map(|entry| entry.name.clone());
        Ok(entry)
    }

    /// Leaves the current entry unread.
    pub(crate) fn pass(&mut self) {
        self.current = None;
    }

    /// Reads the rest of the current entry: false if damage is found in it.
    pub(crate) async fn is_whole(&mut self) -> Result<bool, repository::Error> {
        while self.current.is_some() {
            match self.piece().await {
                Err(error) if error.is_damage() => return Ok(false),
                piece => piece?,
            };
        }
        Ok(true)
    }

    /// Reads all that is left.
    pub(crate) async fn finish(&mut self) -> Result<(), repository::Error> {
        while self.entry().await?.is_some() {}
        Ok(())
    }

    async fn piece(&mut self) -> Result<Option<Content>, repository::Error> {
        let Some(name) = &self.current else {
            return Ok(None);
        };
        let piece = match self.reader.data().await {
            Err(error) if error.is_damage() => {
                self.losses.add(name.clone(), &error);
                self.current = None;
                return Err(error);
            }
            piece => piece?,
        };
        match &piece {
            Some(content) => self.progress.add(content.len() as u64),
            None => self.current = None,
        }
        Ok(piece)
    }
}

/// For whoever judges what the entries mean: damage ends that, where it is met. Then [`Tested::finish`] still reads the rest.
#[async_trait]
impl Contents for Tested<'_> {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        let entry = self.entry().await.map_err(stored)?;
        match &self.losses.catalog {
            Some(what) => Err(Error::new(ErrorKind::Invalid, what.as_str())),
            None => Ok(entry),
        }
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        self.piece().await.map_err(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_losses_some_are_named_and_all_counted() {
        let mut losses = Losses::default();
        assert!(losses.is_none());
        let error = repository::Error::Missing {
            object: "prod/runs/x/pack-000000".to_owned(),
        };
        for number in 0..1_000_000 {
            losses.add(Name::from(format!("{number}").as_str()), &error);
        }
        assert_eq!((losses.count, losses.named.len()), (1_000_000, NAMED_MAX));
        assert_eq!(losses.left_of(1_000_007), 7);
        assert_eq!(losses.named[19].0.to_string(), "19");
        losses.catalog = Some("damaged".to_owned());
        assert_eq!(losses.left_of(1_000_007), 0);
    }
}
