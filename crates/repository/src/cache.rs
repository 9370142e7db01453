use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, Bytes};
use format::{COMMIT_MAX, JobName, MANIFEST_MAX, Object, RepositoryId};

/// What is kept of one log is at most this long.
const FILE_MAX: u64 = 1 << 30;
/// Tags are this long at most, or not kept.
const TAG_MAX: usize = 255;
/// Number, length, length of the tag.
const HEAD: usize = 8 + 4 + 2;
const DIGEST: usize = 32;

/// Objects of a repository that this host has read before, kept in a folder of its own so that they need not be read again.
///
/// Nothing in it is believed: commits are verified like those of the store, and used only as long as the store still has the newest
/// of them, under the same tag; maps are compared with the digest that a commit names. Whatever is wrong with the folder costs reading
/// again, and is no error. There are no secrets in it.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// A commit as the store had it, and the store's tag of it.
pub(crate) struct Kept {
    pub(crate) bytes: Bytes,
    pub(crate) tag: String,
}

impl Cache {
    /// In this folder, which is made when there is something to keep.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn log(&self, repository: RepositoryId, job: &JobName) -> PathBuf {
        self.folder
            .join(repository.to_string())
            .join(format!("{job}.log"))
    }

    fn map(&self, repository: RepositoryId, job: &JobName, map: &Object) -> PathBuf {
        let folder = self.folder.join(repository.to_string());
        folder
            .join(format!("{job}.maps"))
            .join(map.digest.to_string())
    }

    /// The commits that are kept of a log, by number.
    pub(crate) fn commits(&self, repository: RepositoryId, job: &JobName) -> BTreeMap<u64, Kept> {
        let path = self.log(repository, job);
        let read = read_file(&path, FILE_MAX).map(Bytes::from);
        let Some(mut rest) = tried("read", &path, read) else {
            return BTreeMap::new();
        };
        let (length, mut kept) = (rest.len(), BTreeMap::new());
        while let Some((number, commit)) = split_record(&mut rest) {
            kept.insert(number, commit);
        }
        if !rest.is_empty() {
            // Whoever wrote that was interrupted: what is added behind it would not be found.
            let good = (length - rest.len()) as u64;
            let cut = || OpenOptions::new().write(true).open(&path)?.set_len(good);
            tried("cut", &path, cut());
        }
        kept
    }

    /// Adds commits that were just read.
    pub(crate) fn add(
        &self,
        repository: RepositoryId,
        job: &JobName,
        commits: &BTreeMap<u64, Kept>,
    ) {
        let records = records(commits);
        if !records.is_empty() {
            let path = self.log(repository, job);
            let options = OpenOptions::new().append(true).create(true).to_owned();
            tried("add to", &path, write(&path, options, &records));
        }
    }

    /// Keeps no others than these.
    pub(crate) fn replace(
        &self,
        repository: RepositoryId,
        job: &JobName,
        commits: &BTreeMap<u64, Kept>,
    ) {
        let records = records(commits);
        let path = self.log(repository, job);
        tried("write", &path, exchange(&path, &records));
    }

    /// A map that is kept. The caller compares it with its digest.
    pub(crate) fn read_map(
        &self,
        repository: RepositoryId,
        job: &JobName,
        map: &Object,
    ) -> Option<Bytes> {
        let path = self.map(repository, job, map);
        tried("read", &path, read_file(&path, MANIFEST_MAX)).map(Bytes::from)
    }

    /// Keeps a map.
    pub(crate) fn keep_map(
        &self,
        repository: RepositoryId,
        job: &JobName,
        map: &Object,
        bytes: &[u8],
    ) {
        let path = self.map(repository, job, map);
        tried("write", &path, exchange(&path, bytes));
    }

    /// Keeps no other maps of the job than these.
    pub(crate) fn retain_maps<'a>(
        &self,
        repository: RepositoryId,
        job: &JobName,
        maps: impl Iterator<Item = &'a Object>,
    ) {
        let wanted: Vec<PathBuf> = maps.map(|map| self.map(repository, job, map)).collect();
        let folder = self
            .folder
            .join(repository.to_string())
            .join(format!("{job}.maps"));
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        for file in files.map(|file| file.path()) {
            if !wanted.contains(&file) {
                tried("remove", &file, fs::remove_file(&file));
            }
        }
    }
}

fn records(commits: &BTreeMap<u64, Kept>) -> Vec<u8> {
    let mut records = Vec::new();
    for (number, commit) in commits {
        push_record(&mut records, *number, commit);
    }
    records
}

fn push_record(records: &mut Vec<u8>, number: u64, commit: &Kept) {
    if commit.tag.len() > TAG_MAX || commit.bytes.len() as u64 > COMMIT_MAX {
        return;
    }
    let start = records.len();
    records.extend_from_slice(&number.to_le_bytes());
    records.extend_from_slice(&(commit.bytes.len() as u32).to_le_bytes());
    records.extend_from_slice(&(commit.tag.len() as u16).to_le_bytes());
    records.extend_from_slice(commit.tag.as_bytes());
    records.extend_from_slice(&commit.bytes);
    let digest = blake3::hash(&records[start..]);
    records.extend_from_slice(digest.as_bytes());
}

/// Takes the next record off `rest`. `None`: there is none, or it was cut or changed.
fn split_record(rest: &mut Bytes) -> Option<(u64, Kept)> {
    if rest.len() < HEAD {
        return None;
    }
    let mut head = rest.slice(..HEAD);
    let number = head.get_u64_le();
    let (length, tag) = (head.get_u32_le() as usize, usize::from(head.get_u16_le()));
    let end = HEAD + tag + length;
    if rest.len() < end + DIGEST
        || rest[end..end + DIGEST] != *blake3::hash(&rest[..end]).as_bytes()
    {
        return None;
    }
    let kept = Kept {
        tag: std::str::from_utf8(&rest[HEAD..HEAD + tag])
            .ok()?
            .to_owned(),
        bytes: rest.slice(HEAD + tag..end),
    };
    rest.advance(end + DIGEST);
    Some((number, kept))
}

fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// All at once, so that two processes that add do not mix.
fn write(path: &Path, mut options: OpenOptions, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    options.mode(0o600).open(path)?.write_all(bytes)
}

fn exchange(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let options = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .to_owned();
    write(&beside, options, bytes)?;
    fs::rename(&beside, path)
}

fn tried<T>(what: &str, path: &Path, result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "cannot {what} what was read before");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Kept {
        Kept {
            bytes: Bytes::from(text.to_owned()),
            tag: format!("tag of {text}"),
        }
    }

    #[test]
    fn what_was_added_is_there_up_to_what_was_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path().join("new"));
        let (id, job) = (RepositoryId([1; 16]), "prod".parse().expect("a job name"));
        assert!(cache.commits(id, &job).is_empty());
        cache.add(
            id,
            &job,
            &BTreeMap::from([(1, kept("one")), (2, kept("two"))]),
        );
        cache.add(id, &job, &BTreeMap::from([(7, kept("seven"))]));
        let texts = |cache: &Cache| {
            let commits = cache.commits(id, &job).into_iter();
            commits
                .map(|(number, kept)| (number, kept.bytes.to_vec(), kept.tag))
                .collect::<Vec<_>>()
        };
        let row = |number, text: &str| (number, text.as_bytes().to_vec(), format!("tag of {text}"));
        let all = [row(1, "one"), row(2, "two"), row(7, "seven")];
        assert_eq!(texts(&cache), all);
        let path = cache.log(id, &job);
        let whole = fs::read(&path).expect("it is there");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            let read = texts(&cache);
            assert!(all.starts_with(&read), "cut at {length}");
            cache.add(id, &job, &BTreeMap::from([(9, kept("nine"))]));
            assert_eq!(
                texts(&cache).last(),
                Some(&row(9, "nine")),
                "cut at {length}"
            );
        }
        cache.replace(id, &job, &BTreeMap::from([(2, kept("two"))]));
        assert_eq!(texts(&cache), [row(2, "two")]);
    }
}
