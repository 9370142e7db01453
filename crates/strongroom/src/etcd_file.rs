//! The file of an etcd snapshot, read from its first byte to its last, as often as it takes.

use repository::{Select, Snapshot};
use source::etcd::ENTRY;
use source::etcd::database::{Damage, Database, Skeleton};

use crate::progress::Progress;
use crate::session::Session;

/// What source number `index` of a snapshot, an etcd, holds.
pub(crate) struct EtcdFile<'a> {
    snapshot: &'a Snapshot,
    index: usize,
    progress: Progress,
}

impl<'a> EtcdFile<'a> {
    /// To be read twice, which is shown as `what`: once for its [`Database`], once for what is in it.
    pub(crate) fn new(session: &Session, snapshot: &'a Snapshot, index: usize, what: &str) -> Self {
        let groups = snapshot.manifest().sources[index].content.groups.iter();
        let bytes = groups.map(|group| group.length).sum::<u64>();
        Self {
            snapshot,
            index,
            progress: Progress::new(session.output, what, Some(2 * bytes)),
        }
    }

    /// Which of its pages are in use, or why that cannot be known. `None`: there is no such file in the snapshot.
    pub(crate) async fn database(&self) -> anyhow::Result<Option<Result<Database, Damage>>> {
        let mut skeleton = Skeleton::default();
        let mut feed = |piece: &[u8]| {
            skeleton.feed(piece);
            Ok(())
        };
        let found = self.pour(&mut feed).await?;
        Ok(found.then(|| skeleton.finish()))
    }

    /// Gives all of it to `feed`, piece by piece, until that fails. `false`: there is no such file in the snapshot.
    pub(crate) async fn pour(
        &self,
        feed: &mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<bool> {
        let mut reader = self.snapshot.entries(self.index).selecting(Select::Most);
        while let Some(entry) = reader.next().await? {
            if entry.name.as_bytes() != ENTRY.as_bytes() {
                continue;
            }
            while let Some(content) = reader.data().await? {
                self.progress.add(content.len() as u64);
                feed(content.as_bytes())?;
            }
            return Ok(true);
        }
        Ok(false)
    }
}
