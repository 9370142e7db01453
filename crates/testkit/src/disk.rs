//! A disk whose power fails: POSIX promises no more than what was synced, and in no order.
//!
//! The bytes of a file are durable after a sync of that file, and a name after a sync of the folder that it is in. Of everything
//! else any part may have reached the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::trace::{Change, Traced};

/// What happened to the files below a root, and what the files that are still there hold.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    changes: Vec<Traced>,
    files: Vec<File>,
    names: Vec<Name>,
    /// Syncs of folders: which, asked, answered.
    folder_syncs: Vec<(PathBuf, u64, u64)>,
}

/// A file, whatever its names are.
#[derive(Debug, Default)]
struct File {
    /// How long each append made it, when it was asked for, and when it was answered.
    appends: Vec<(u64, u64, u64)>,
    /// When each sync was asked for and answered.
    syncs: Vec<(u64, u64)>,
    bytes: Vec<u8>,
}

/// A name that was given or taken away.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    node: Option<Node>,
    asked: u64,
    answered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

/// What becomes of that which is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it reached the disk.
    Kept,
    /// None of it did.
    Lost,
    /// Some of it did, as the seed says: any names, and any part of the bytes, with zeros between.
    Some(u64),
}

/// What is there when the power is back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Survivors {
    /// Folders, by their paths below the root.
    pub folders: BTreeSet<PathBuf>,
    /// Files.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Disk {
    /// The disk below `root`, where these changes were made one after the other to nothing; what files hold is read from there.
    ///
    /// A root stands for a folder that was always there: what is directly in it is durable after a sync of it.
    pub fn new(root: &Path, changes: Vec<Traced>) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            changes: Vec::new(),
            files: Vec::new(),
            names: Vec::new(),
            folder_syncs: Vec::new(),
        };
        let mut now: HashMap<PathBuf, Node> = HashMap::from([(root.to_owned(), Node::Folder)]);
        for traced in &changes {
            disk.apply(traced, &mut now);
        }
        for (path, node) in now {
            if let Node::File(file) = node {
                disk.files[file].bytes = fs::read(&path).unwrap_or_else(|error| {
                    panic!("{} is not as the trace says: {error}", path.display())
                });
            }
        }
        disk.changes = changes;
        disk
    }

    fn apply(&mut self, traced: &Traced, now: &mut HashMap<PathBuf, Node>) {
        let (asked, answered) = (traced.asked, traced.answered);
        let mut name = |path: &Path, node: Option<Node>| {
            match node {
                Some(node) => now.insert(path.to_owned(), node),
                None => now.remove(path),
            };
            self.names.push(Name {
                path: path.to_owned(),
                node,
                asked,
                answered,
            });
        };
        match &traced.change {
            Change::Create(path) => {
                name(path, Some(Node::File(self.files.len())));
                self.files.push(File::default());
            }
            Change::MakeFolder(path) => name(path, Some(Node::Folder)),
            Change::Unlink(path) => name(path, None),
            Change::Link(old, new) => {
                let node = now[old];
                let path = new.clone();
                now.insert(path.clone(), node);
                let node = Some(node);
                self.names.push(Name {
                    path,
                    node,
                    asked,
                    answered,
                });
            }
            Change::Append(path, bytes) => {
                let file = self.file_of(now, path);
                let before = file.appends.last().map_or(0, |(length, ..)| *length);
                file.appends.push((before + bytes, asked, answered));
            }
            Change::Sync(path) if now.get(path) == Some(&Node::Folder) => {
                self.folder_syncs.push((path.clone(), asked, answered));
            }
            Change::Sync(path) => self.file_of(now, path).syncs.push((asked, answered)),
        }
    }

    fn file_of(&mut self, now: &HashMap<PathBuf, Node>, path: &Path) -> &mut File {
        match now.get(path) {
            Some(Node::File(file)) => &mut self.files[*file],
            other => panic!("{} is {other:?}, not a file", path.display()),
        }
    }

    /// The moments at which something is different from just before.
    pub fn moments(&self) -> BTreeSet<u64> {
        let changes = self.changes.iter();
        changes
            .flat_map(|traced| [traced.asked, traced.answered])
            .collect()
    }

    /// What is there if the power fails right after this moment.
    pub fn after(&self, moment: u64, fate: Fate) -> Survivors {
        let mut luck = Luck::of(fate);
        let mut names: BTreeMap<&Path, Node> = BTreeMap::new();
        for name in self.names.iter().filter(|name| name.asked <= moment) {
            if self.is_durable(name, moment) || luck.keeps() {
                match name.node {
                    Some(node) => names.insert(&name.path, node),
                    None => names.remove(name.path.as_path()),
                };
            }
        }
        let mut survivors = Survivors::default();
        let mut contents: HashMap<usize, Vec<u8>> = HashMap::new();
        // Ascending: a folder comes before what is in it, and what is in a lost folder is lost.
        for (path, node) in names {
            let below = path.strip_prefix(&self.root).expect("it is below the root");
            let parent = below.parent().expect("it has a name");
            if !parent.as_os_str().is_empty() && !survivors.folders.contains(parent) {
                continue;
            }
            match node {
                Node::Folder => drop(survivors.folders.insert(below.to_owned())),
                Node::File(file) => {
                    let bytes = contents.entry(file);
                    let bytes = bytes.or_insert_with(|| self.files[file].after(moment, &mut luck));
                    survivors.files.insert(below.to_owned(), bytes.clone());
                }
            }
        }
        survivors
    }

    fn is_durable(&self, name: &Name, moment: u64) -> bool {
        let folder = name.path.parent().expect("it is below the root");
        self.folder_syncs.iter().any(|(synced, asked, answered)| {
            synced == folder && name.answered < *asked && *answered <= moment
        })
    }
}

impl File {
    fn after(&self, moment: u64, luck: &mut Luck) -> Vec<u8> {
        let synced = self
            .syncs
            .iter()
            .filter(|(_, answered)| *answered <= moment);
        let synced = synced.map(|(asked, _)| *asked).max().unwrap_or(0);
        let length_of = |appends: &mut dyn Iterator<Item = &(u64, u64, u64)>| {
            appends
                .map(|(length, ..)| *length as usize)
                .max()
                .unwrap_or(0)
        };
        let durable = length_of(&mut self.appends.iter().filter(|it| it.2 < synced));
        let written = length_of(&mut self.appends.iter().filter(|it| it.1 <= moment));
        let mut bytes = self.bytes.clone();
        bytes.resize(written.max(durable), 0);
        luck.spoil(&mut bytes, durable);
        bytes
    }
}

impl Survivors {
    /// What is in a folder.
    pub fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        found.add(folder, folder);
        found
    }

    fn add(&mut self, root: &Path, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(root).expect("it is below").to_owned();
            if path.is_dir() {
                self.folders.insert(below);
                self.add(root, &path);
            } else {
                self.files.insert(below, fs::read(&path).expect("a file"));
            }
        }
    }

    /// Puts it in the place of all that is in a folder.
    pub fn replace(&self, folder: &Path) {
        fs::remove_dir_all(folder).expect("a folder that is ours");
        fs::create_dir(folder).expect("its parent is there");
        for below in &self.folders {
            fs::create_dir(folder.join(below)).expect("folders ascend");
        }
        for (below, bytes) in &self.files {
            fs::write(folder.join(below), bytes).expect("a file");
        }
    }
}

/// Decides about each thing that is not durable.
enum Luck {
    Always(bool),
    /// The state of a `SplitMix64`, and how many of 256 survive.
    Mixed(u64, u64),
}

impl Luck {
    fn of(fate: Fate) -> Self {
        match fate {
            Fate::Kept => Self::Always(true),
            Fate::Lost => Self::Always(false),
            Fate::Some(seed) => {
                let mut luck = Self::Mixed(seed, 0);
                let share = luck.next() % 257;
                Self::Mixed(seed ^ 0x5555, share)
            }
        }
    }

    fn keeps(&mut self) -> bool {
        match *self {
            Self::Always(kept) => kept,
            Self::Mixed(_, share) => self.next() % 256 < share,
        }
    }

    /// What is left of a file of which so many bytes are durable.
    fn spoil(&mut self, bytes: &mut Vec<u8>, durable: usize) {
        if durable == bytes.len() {
            return;
        }
        match self {
            Self::Always(true) => {}
            Self::Always(false) => bytes.truncate(durable),
            Self::Mixed(..) => {
                let volatile = (bytes.len() - durable) as u64 + 1;
                let kept = durable + (self.next() % volatile) as usize;
                bytes.truncate(kept);
                if self.next().is_multiple_of(2) {
                    let zeros = durable + (self.next() % volatile) as usize;
                    bytes[zeros.min(kept)..].fill(0);
                }
            }
        }
    }

    fn next(&mut self) -> u64 {
        let Self::Mixed(state, _) = self else {
            return 0;
        };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes;

    const LOG: &str = "\
10 mkdir(\"/r/a\", 0777) = 0
10 openat(AT_FDCWD</x>, \"/r/a/f#1\", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 9</r/a/f#1>
10 write(9</r/a/f#1>, \"= \\\"/r/b\\\" </r/c>\"..., 3) = 3
10 fsync(9</r/a/f#1> <unfinished ...>
11 mkdir(\"/r/b\", 0777 <unfinished ...>
10 <... fsync resumed>) = 0
11 <... mkdir resumed>) = -1 EEXIST (File exists)
10 linkat(AT_FDCWD</x>, \"/r/a/f#1\", AT_FDCWD</x>, \"/r/a/f\", 0) = 0
10 unlink(\"/r/a/f#1\") = 0
10 openat(AT_FDCWD</x>, \"/r/a\", O_RDONLY|O_CLOEXEC) = 9</r/a>
10 fsync(9</r/a>) = 0
10 fsync(9</r>) = 0
10 fsync(9</elsewhere>) = 0
";

    /// Two threads, who want the same object: 11 makes its draft when 10 has taken its own away, and is told so first.
    const RACE: &str = "\
10 openat(AT_FDCWD</x>, \"/r/f#1\", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 9</r/f#1>
10 write(9</r/f#1>, \"a\"..., 1) = 1
10 linkat(AT_FDCWD</x>, \"/r/f#1\", AT_FDCWD</x>, \"/r/f\", 0) = 0
10 unlink(\"/r/f#1\" <unfinished ...>
11 openat(AT_FDCWD</x>, \"/r/f#1\", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 8</r/f#1>
10 <... unlink resumed>) = 0
11 write(8</r/f#1>, \"b\"..., 1) = 1
11 fsync(8</r/f#1>) = 0
11 linkat(AT_FDCWD</x>, \"/r/f#1\", AT_FDCWD</x>, \"/r/f\", 0) = -1 EEXIST (File exists)
11 unlink(\"/r/f#1\") = 0
";

    fn disk() -> Disk {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().to_str().expect("text");
        fs::create_dir(root.path().join("a")).expect("a folder");
        fs::write(root.path().join("a/f"), "abc").expect("a file");
        let log = LOG.replace("/r", path);
        Disk::new(root.path(), changes(&log, root.path()))
    }

    fn files(survivors: &Survivors) -> Vec<(&str, &[u8])> {
        let files = survivors.files.iter();
        files
            .map(|(path, bytes)| (path.to_str().expect("text"), bytes.as_slice()))
            .collect()
    }

    #[test]
    fn only_what_was_synced_is_certain() {
        let disk = disk();
        assert_eq!(disk.changes.len(), 8, "{:?}", disk.changes);
        assert_eq!(disk.after(10, Fate::Lost), Survivors::default());
        assert_eq!(files(&disk.after(11, Fate::Lost)), [("a/f", &b"abc"[..])]);
        assert_eq!(files(&disk.after(11, Fate::Kept)), [("a/f", &b"abc"[..])]);
        assert_eq!(files(&disk.after(1, Fate::Kept)), [("a/f#1", &b""[..])]);
        let seen: BTreeSet<Vec<u8>> = (0..200)
            .filter_map(|seed| {
                let survivors = disk.after(4, Fate::Some(seed));
                survivors.files.into_values().next()
            })
            .collect();
        for part in [&b""[..], b"a", b"ab", b"abc", b"a\0"] {
            assert!(seen.contains(part), "{seen:?}");
        }
        let seen: BTreeSet<Vec<u8>> = (0..200)
            .filter_map(|seed| disk.after(10, Fate::Some(seed)).files.into_values().next())
            .collect();
        assert_eq!(seen, [b"abc".to_vec()].into(), "the bytes are durable");
    }

    #[test]
    fn a_name_is_taken_away_before_another_gets_it() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().to_str().expect("text");
        fs::write(root.path().join("f"), "a").expect("a file");
        let log = RACE.replace("/r", path);
        let disk = Disk::new(root.path(), changes(&log, root.path()));
        let names = |moment| files(&disk.after(moment, Fate::Kept)).len();
        assert_eq!([2, 3, 4, 7, 9].map(names), [2, 1, 2, 2, 1]);
        assert_eq!(files(&disk.after(9, Fate::Kept)), [("f", &b"a"[..])]);
    }
}
