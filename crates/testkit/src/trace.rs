//! What a program did to files, as `strace` saw it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The calls that a [`crate::Disk`] understands; whatever else changes files is traced too, so that it is noticed.
/// With a question mark: not every processor's Linux has it.
const CALLS: &str = "trace=?open,openat,?creat,?mkdir,mkdirat,write,pwrite64,writev,pwritev,fsync,fdatasync,sync,syncfs,sync_file_range,\
?rename,renameat,renameat2,?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?rmdir,truncate,ftruncate,fallocate,copy_file_range,sendfile";

/// A change of a file system, or what makes changes durable. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An empty file.
    Create(PathBuf),
    /// A folder.
    MakeFolder(PathBuf),
    /// So many bytes at the end of a file, which is known by the name that it was opened under.
    Append(PathBuf, u64),
    /// A second name for a file: the old one, the new one.
    Link(PathBuf, PathBuf),
    /// A name is taken away.
    Unlink(PathBuf),
    /// The bytes of a file, or the names in a folder, are durable when this returns.
    Sync(PathBuf),
}

/// A change, and when it was made.
#[derive(Clone, Debug)]
pub struct Traced {
    /// What was done.
    pub change: Change,
    /// The moment at which the program asked for it.
    pub asked: u64,
    /// The moment at which it was told that it is done.
    pub answered: u64,
}

/// What stands before a command and its arguments, so that all that it does to files goes to the file `log`.
pub fn strace(log: &Path) -> Vec<OsString> {
    let options = [
        "-f",
        "-y",
        "-qq",
        "-s",
        "4096",
        "-e",
        CALLS,
        "-e",
        "signal=none",
        "-o",
    ];
    let log = log.as_os_str();
    let words = options.iter().map(OsStr::new);
    words.chain([log]).map(OsStr::to_owned).collect()
}

/// The changes below `root` that the log of a traced program tells of, in the order in which they were answered; but a name that was
/// taken away by one thread while another made a file of that name, which only works in that order, was taken away first.
///
/// Panics at a call that changes something there in a way that the model does not know: it would be of no use then.
pub fn changes(log: &str, root: &Path) -> Vec<Traced> {
    let mut asked: HashMap<&str, (u64, &str)> = HashMap::new();
    let mut changes = Vec::new();
    for (moment, line) in (0..).zip(log.lines()) {
        let (thread, call) = line.split_once(' ').expect("a thread and its call");
        let call = call.trim_start();
        let (began, text) = if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            asked.insert(thread, (moment, begun));
            continue;
        } else if let Some(rest) = call.strip_prefix("<... ") {
            let (began, begun) = asked.remove(thread).expect("it was begun");
            let (_, rest) = rest.split_once(" resumed>").expect("strace says so");
            (began, format!("{begun}{rest}"))
        } else {
            (moment, call.to_owned())
        };
        if let Some(change) = change(&text, root) {
            let traced = Traced {
                change,
                asked: began,
                answered: moment,
            };
            let place = place(&traced, &changes);
            changes.insert(place, traced);
        }
    }
    changes
}

/// Where a change that was just answered belongs among those before it.
fn place(traced: &Traced, changes: &[Traced]) -> usize {
    let end = changes.len();
    let Change::Unlink(path) = &traced.change else {
        return end;
    };
    let creates = |other: &Traced| other.change == Change::Create(path.clone());
    let mut created = (0..end).rev().filter(|at| creates(&changes[*at]));
    let (Some(last), Some(before)) = (created.next(), created.next()) else {
        return end;
    };
    // Whoever makes a file makes a new one: the one before it was still there until this.
    let unlinks = |other: &Traced| other.change == traced.change;
    let gone = changes[before..last].iter().any(unlinks);
    if gone || changes[last].answered < traced.asked {
        end
    } else {
        last
    }
}

fn change(text: &str, root: &Path) -> Option<Change> {
    let (call, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let answer: i64 = result.split([' ', '<']).next()?.parse().ok()?;
    if answer < 0 {
        return None;
    }
    let paths: Vec<PathBuf> = paths(arguments)
        .into_iter()
        .filter(|path| path.starts_with(root))
        .collect();
    // What is written may look like anything: of calls on a descriptor only that one counts, which stands first.
    let descriptor = arguments.starts_with(|first: char| first.is_ascii_digit());
    let subject = if descriptor {
        let (_, path) = arguments.split_once('<')?;
        let path = PathBuf::from(path.split_once('>')?.0);
        path.starts_with(root).then_some(path)?
    } else {
        paths.last()?.clone()
    };
    match call {
        "open" | "openat" | "creat" if arguments.contains("O_CREAT") => {
            let new = arguments.contains("O_EXCL");
            assert!(new, "the model has no files that are opened again: {text}");
            Some(Change::Create(subject))
        }
        "open" | "openat" => {
            let reads = arguments.contains("O_RDONLY") || arguments.contains("O_PATH");
            assert!(
                reads,
                "the model has no files that are opened again: {text}"
            );
            None
        }
        "mkdir" | "mkdirat" => Some(Change::MakeFolder(subject)),
        "write" | "writev" => Some(Change::Append(subject, answer.unsigned_abs())),
        "fsync" | "fdatasync" => Some(Change::Sync(subject)),
        "link" | "linkat" => {
            let [.., old, new] = paths.as_slice() else {
                panic!("two names: {text}")
            };
            Some(Change::Link(old.clone(), new.clone()))
        }
        "unlink" | "unlinkat" => Some(Change::Unlink(subject)),
        _ => panic!("the model does not know what this does: {text}"),
    }
}

/// All absolute paths among a call's arguments: of descriptors, `9</a/b>`, and in quotes.
fn paths(arguments: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = arguments;
    while let Some(at) = rest.find("</").into_iter().chain(rest.find("\"/")).min() {
        let end = if rest[at..].starts_with('<') {
            '>'
        } else {
            '"'
        };
        let path = &rest[at + 1..];
        let length = path.find(end).unwrap_or(path.len());
        found.push(PathBuf::from(OsStr::new(&path[..length])));
        rest = path.get(length + 1..).unwrap_or("");
    }
    found
}
