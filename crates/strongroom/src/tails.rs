//! What somebody remembers of the logs of a repository: their newest commits. A repository cannot show by itself that it was put back
//! to what it was last week; somebody who remembers can.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use format::{CommitRef, JobName, RepositoryId};
use repository::Slice;

/// A file of remembered tails of this size is something else.
const FILE_MAX: u64 = 1 << 20;

/// What was seen of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The newest valid commit.
    pub(crate) at: CommitRef,
    /// The part of the packs that was read last, by whoever reads a part at a time.
    pub(crate) part: Option<Slice>,
}

impl From<CommitRef> for Tail {
    fn from(at: CommitRef) -> Self {
        Self { at, part: None }
    }
}

/// The tail of each job of a repository, as lines `REPOSITORY JOB/NUMBER DIGEST`, and behind it `PART/PARTS` if a part was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tails {
    of: BTreeMap<(RepositoryId, JobName), Tail>,
}

impl Tails {
    /// From a file of such lines, or from the text of a line. What is there as a file is one, however many words its name has.
    pub(crate) fn given(text: &str) -> anyhow::Result<Self> {
        let words = text.split_ascii_whitespace().count();
        if (3..=4).contains(&words) && !Path::new(text).exists() {
            return Self::parse(text);
        }
        Self::read(Path::new(text)).with_context(|| format!("read the remembered commits {text}"))
    }

    /// From a file that may be made yet.
    pub(crate) fn kept(path: &Path) -> anyhow::Result<Self> {
        match Self::read(path) {
            Err(error) if is_absent(&error) => Ok(Self::default()),
            read => read.with_context(|| format!("read the remembered commits {}", path.display())),
        }
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut text = String::new();
        File::open(path)?
            .take(FILE_MAX + 1)
            .read_to_string(&mut text)?;
        ensure!(
            text.len() as u64 <= FILE_MAX,
            "it is longer than {FILE_MAX} bytes"
        );
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut tails = Self::default();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((repository, job, tail)) = parse_line(line) else {
                bail!("line {} is not `REPOSITORY JOB/NUMBER DIGEST`", at + 1);
            };
            tails.of.insert((repository, job), tail);
        }
        Ok(tails)
    }

    /// What is remembered of the jobs of one repository.
    pub(crate) fn of(&self, repository: RepositoryId) -> BTreeMap<&JobName, Tail> {
        let mine = self.of.iter().filter(|((id, _), _)| *id == repository);
        mine.map(|((_, job), tail)| (job, *tail)).collect()
    }

    /// Adds these to what `path` remembers of other jobs and repositories. The file is exchanged as a whole, durably, or stays as it is.
    pub(crate) fn remember(self, path: &Path) -> anyhow::Result<()> {
        let mut all = Self::kept(path)?;
        for (job, mut tail) in self.of {
            let before = all.of.get(&job).and_then(|before| before.part);
            tail.part = tail.part.or(before);
            all.of.insert(job, tail);
        }
        all.write(path)
            .with_context(|| format!("remember the commits in {}", path.display()))
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text: String = self
            .of
            .iter()
            .map(|((repository, job), tail)| line(*repository, job, *tail) + "\n")
            .collect();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }

    pub(crate) fn insert(&mut self, repository: RepositoryId, job: &JobName, tail: Tail) {
        self.of.insert((repository, job.clone()), tail);
    }
}

/// As it is printed, and read again.
pub(crate) fn line(repository: RepositoryId, job: &JobName, tail: Tail) -> String {
    let Tail { at, part } = tail;
    let part = part.map_or(String::new(), |Slice { number, of }| {
        format!(" {}/{of}", number + 1)
    });
    format!("{repository} {job}/{} {}{part}", at.number, at.digest)
}

fn parse_line(line: &str) -> Option<(RepositoryId, JobName, Tail)> {
    let mut words = line.split_ascii_whitespace();
    let repository = words.next()?.parse().ok()?;
    let (job, number) = words.next()?.split_once('/')?;
    let at = CommitRef {
        number: number.parse().ok()?,
        digest: words.next()?.parse().ok()?,
    };
    let part = match words.next() {
        Some(part) => Some(parse_part(part)?),
        None => None,
    };
    let job = job.parse().ok()?;
    let tail = Tail { at, part };
    words.next().is_none().then_some((repository, job, tail))
}

/// The first part is 1.
fn parse_part(text: &str) -> Option<Slice> {
    let (part, of) = text.split_once('/')?;
    let (part, of) = (part.parse::<u32>().ok()?, of.parse().ok()?);
    let number = part.checked_sub(1).filter(|number| *number < of)?;
    Some(Slice { number, of })
}

fn is_absent(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(number: u64) -> Tail {
        let digest = archive::Digest::of(&number.to_le_bytes());
        CommitRef { number, digest }.into()
    }

    #[test]
    fn what_is_remembered_is_read_again_and_others_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tails");
        let [ours, theirs] = [RepositoryId([1; 16]), RepositoryId([2; 16])];
        let [prod, test]: [JobName; 2] = ["prod", "test"].map(|it| it.parse().expect("a job"));
        for (repository, job, number) in [(ours, &prod, 1), (theirs, &prod, 2), (ours, &prod, 3)] {
            let mut tails = Tails::default();
            tails.insert(repository, job, tail(number));
            tails.remember(&file).expect("it is written");
        }
        let read = Tails::given(file.to_str().expect("a plain name")).expect("it is read");
        assert_eq!(read.of(ours), BTreeMap::from([(&prod, tail(3))]));
        assert_eq!(read.of(theirs), BTreeMap::from([(&prod, tail(2))]));

        let printed = line(ours, &test, tail(7));
        let given = Tails::given(&printed).expect("a line");
        assert_eq!(given.of(ours), BTreeMap::from([(&test, tail(7))]));

        // The part that was read is kept by whoever reads none.
        let part = Some(Slice { number: 6, of: 20 });
        let sampled = Tail { part, ..tail(8) };
        for (seen, expected) in [(sampled, sampled), (tail(9), Tail { part, ..tail(9) })] {
            let mut tails = Tails::default();
            tails.insert(ours, &test, seen);
            tails.remember(&file).expect("it is written");
            assert_eq!(Tails::kept(&file).expect("read").of(ours)[&test], expected);
        }
        let printed = line(ours, &test, sampled);
        assert!(printed.ends_with(" 7/20"), "{printed}");
        let given = Tails::given(&printed).expect("a line");
        assert_eq!(given.of(ours), BTreeMap::from([(&test, sampled)]));
        for wrong in ["0/20", "21/20", "7", "7/20 8"] {
            let line = printed.replace("7/20", wrong);
            assert!(Tails::parse(&line).is_err(), "{line}");
        }

        std::fs::write(&file, "nonsense\n").expect("written");
        assert!(Tails::given(file.to_str().expect("a plain name")).is_err());
        let refused = Tails::default().remember(&file);
        assert!(refused.is_err(), "what is not ours is not overwritten");
    }
    #[test]
    fn a_file_whose_name_has_three_words_is_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("my seen file");
        let (ours, prod) = (RepositoryId([1; 16]), "prod".parse().expect("a job"));
        let mut tails = Tails::default();
        tails.insert(ours, &prod, tail(3));
        tails.remember(&file).expect("it is written");
        let given = Tails::given(file.to_str().expect("a plain name")).expect("it is read");
        assert_eq!(given.of(ours), BTreeMap::from([(&prod, tail(3))]));
    }
}
