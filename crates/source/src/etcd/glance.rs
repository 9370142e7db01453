use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use super::database::{Item, Records, Skeleton};
use super::target::unreadable;
use super::tool::Version;
use crate::Error;

/// Where Kubernetes keeps its objects, unless `--etcd-prefix` says otherwise.
pub(super) const REGISTRY: &str = "/registry/";

const PIECE_BYTES: usize = 1024 * 1024;

/// What the file of a snapshot tells of itself that nobody recorded when it was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    /// Whether it holds keys of Kubernetes, now or in its history; `None` if its pages are damaged.
    pub(super) kubernetes: Option<bool>,
    /// The release that all members of its cluster had reached (`etcd:server/storage/schema/cluster.go`); `None` if that is not there, or not
    /// to be found for damage.
    pub(super) version: Option<Version>,
}

impl Glance {
    /// Reads the file once to see which pages are in use, and again until it knows both.
    pub(super) async fn at(file: &Path) -> Result<Self, Error> {
        let path = file.to_path_buf();
        let looked = tokio::task::spawn_blocking(move || look(&mut File::open(path)?));
        let looked = looked.await.expect("looking does not panic");
        looked.map_err(|cause| unreadable(file, cause))
    }

    fn take(&mut self, item: &Item<'_>) {
        match item {
            Item::Record(record) if record.key.starts_with(REGISTRY.as_bytes()) => {
                self.kubernetes = Some(true);
            }
            Item::Other {
                bucket: b"cluster",
                key: b"clusterVersion",
                value,
            } => self.version = std::str::from_utf8(value).ok().and_then(Version::parse),
            _ => {}
        }
    }

    fn is_complete(&self) -> bool {
        self.kubernetes.is_some() && self.version.is_some()
    }
}

fn look(file: &mut File) -> io::Result<Glance> {
    let mut piece = vec![0; PIECE_BYTES];
    let (mut skeleton, mut glance) = (Skeleton::default(), Glance::default());
    while let length @ 1.. = file.read(&mut piece)? {
        skeleton.feed(&piece[..length]);
    }
    let Ok(database) = skeleton.finish() else {
        return Ok(glance);
    };
    file.rewind()?;
    let mut records = Records::new(&database);
    while let length @ 1.. = file.read(&mut piece)? {
        let fed = records.feed(&piece[..length], &mut |item| glance.take(&item));
        if fed.is_err() || glance.is_complete() {
            return Ok(glance);
        }
    }
    let sound = database.damage().is_empty() && records.finish().is_ok();
    if sound {
        glance.kubernetes.get_or_insert(false);
    }
    Ok(glance)
}
