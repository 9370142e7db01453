//! The source `files` on real folders: odd names, links that want to lead out, files that change, and 20,000 of them.
#![expect(
    clippy::print_stdout,
    reason = "tests say what they skip and what they measure"
)]

#[path = "files/capture.rs"]
mod capture;
#[path = "files/hostile.rs"]
mod hostile;
#[path = "files/nobody.rs"]
mod nobody;
#[path = "files/restore.rs"]
mod restore;
#[path = "files/speed.rs"]
mod speed;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use archive::{Attributes, Content, Entry, Header, Item, Name};
use async_trait::async_trait;
use strongroom_source::files::{Files, FilesOptions};
use strongroom_source::suite::{self, Archive, Fixture, action, conforms};
use strongroom_source::{
    self as source, Action, Capture, Conflict, ErrorKind, RestoreOptions, Source,
};
use tempfile::TempDir;

fn files(paths: &[&Path]) -> Files {
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    Files::new(&FilesOptions {
        paths,
        ..FilesOptions::default()
    })
    .expect("good paths")
}

fn name_of(path: &Path) -> Name {
    Name::new(&path.as_os_str().as_bytes()[1..])
}

fn to(target: &Path) -> RestoreOptions {
    RestoreOptions {
        target: Some(target.to_owned()),
        ..RestoreOptions::default()
    }
}

fn overwriting(options: RestoreOptions) -> RestoreOptions {
    RestoreOptions {
        conflict: Conflict::Overwrite,
        ..options
    }
}

fn set_xattr(path: &Path, name: &[u8], value: &[u8]) -> bool {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, name, value, flags).is_ok()
}

/// A folder with everything that makes names and files difficult.
fn fill(root: &Path) {
    let folders = ["a", "a/deep/er", "empty", "locked"];
    for folder in folders {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let long = "n".repeat(255);
    let names: [&[u8]; 13] = [
        b"a.txt",
        b"a-b",
        b"a/b",
        b"a/deep/er/file",
        b"a0",
        b"-rf",
        b" leading and trailing ",
        b"new\nline",
        b"\x1b[31mred",
        b"not \xff\xfe utf-8",
        b"back\\slash \"quote\" *?[]{}",
        "ünï 🔑".as_bytes(),
        long.as_bytes(),
    ];
    for name in names {
        fs::write(root.join(OsStr::from_bytes(name)), name).expect("a file");
    }
    fs::write(root.join("zero"), "").expect("an empty file");
    let large: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|i| (i ^ (i >> 7)).to_le_bytes())
        .collect();
    fs::write(root.join("large"), large).expect("a large file");
    symlink("a/../a.txt", root.join("link")).expect("a link");
    symlink("/nowhere/\u{7f}", root.join("dangling")).expect("a link");
    fs::set_permissions(root.join("a.txt"), Permissions::from_mode(0o4750)).expect("a mode");
    fs::set_permissions(root.join("locked"), Permissions::from_mode(0o1500)).expect("a mode");
    let old = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        },
        last_modification: rustix::fs::Timespec {
            tv_sec: -5,
            tv_nsec: 123_456_789,
        },
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        root.join("zero"),
        &old,
        rustix::fs::AtFlags::empty(),
    )
    .expect("an old time");
    if !set_xattr(&root.join("a.txt"), b"user.note\xff", b"\0binary") {
        println!("extended attributes are refused here: {}", root.display());
    }
    set_xattr(&root.join("a"), b"user.folder", b"too");
}

struct Folder {
    _keep: TempDir,
    root: PathBuf,
}

impl Folder {
    fn new() -> Self {
        Self::inside(&std::env::temp_dir())
    }

    fn inside(outer: &Path) -> Self {
        let keep = tempfile::tempdir_in(outer).expect("a folder");
        let root = keep
            .path()
            .canonicalize()
            .expect("it is there")
            .join("root");
        fs::create_dir(&root).expect("a folder");
        Self { _keep: keep, root }
    }

    fn filled() -> Self {
        let folder = Self::new();
        fill(&folder.root);
        folder
    }
}

#[async_trait]
impl Fixture for Folder {
    fn source(&self) -> Box<dyn Source> {
        Box::new(files(&[&self.root]))
    }

    async fn empty(&mut self) {
        fs::remove_dir_all(&self.root).expect("it can be removed");
    }

    fn forgives(&self, entry: &Entry, attribute: &str) -> bool {
        attribute == "mtime" && entry.attributes.text("type") == Some("directory")
    }

    async fn change(&mut self) -> Name {
        let path = self.root.join("a/b");
        fs::write(&path, "changed").expect("it can be written");
        name_of(&path)
    }
}

#[tokio::test]
async fn files_conform() {
    conforms(&mut Folder::filled()).await;
}
