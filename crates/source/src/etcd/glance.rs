use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use super::database::{Item, Records, Skeleton};
use super::target::unreadable;
use crate::Error;

/// Where Kubernetes keeps its objects, unless `--etcd-prefix` says otherwise.
pub(super) const REGISTRY: &str = "/registry/";

const PIECE_BYTES: usize = 1024 * 1024;

/// Whether the snapshot in `file` holds keys of Kubernetes, now or in its history; `None` if its pages are damaged.
///
/// Reads the file once to see which pages are in use, and again up to the first such key.
pub(super) async fn holds_kubernetes(file: &Path) -> Result<Option<bool>, Error> {
    let path = file.to_path_buf();
    let looked = tokio::task::spawn_blocking(move || look(&mut File::open(path)?));
    let looked = looked.await.expect("looking does not panic");
    looked.map_err(|cause| unreadable(file, cause))
}

fn look(file: &mut File) -> io::Result<Option<bool>> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut skeleton = Skeleton::default();
    while let length @ 1.. = file.read(&mut piece)? {
        skeleton.feed(&piece[..length]);
    }
    let Ok(database) = skeleton.finish() else {
        return Ok(None);
    };
    file.rewind()?;
    let (mut records, mut found) = (Records::new(&database), false);
    while let length @ 1.. = file.read(&mut piece)? {
        let fed = records.feed(&piece[..length], &mut |item| {
            if let Item::Record(record) = item {
                found |= record.key.starts_with(REGISTRY.as_bytes());
            }
        });
        if found {
            return Ok(Some(true));
        }
        if fed.is_err() {
            return Ok(None);
        }
    }
    let sound = database.damage().is_empty() && records.finish().is_ok();
    Ok(sound.then_some(false))
}
