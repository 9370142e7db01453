//! What is in a folder: to be compared with what a restore brought back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Everything below a folder, by its path from there.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Type and permissions.
    pub(crate) mode: u32,
    /// Of a file, or the target of a link; nothing of a folder.
    pub(crate) contents: Vec<u8>,
}

/// Reads all of it. A folder that is not there has nothing in it.
pub(crate) fn tree(folder: &Path) -> Tree {
    let mut nodes = Tree::new();
    if folder.exists() {
        add(folder, folder, &mut nodes);
    }
    nodes
}

fn add(root: &Path, folder: &Path, nodes: &mut Tree) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("it is there");
        let kind = metadata.file_type();
        let contents = if kind.is_file() {
            fs::read(&path).expect("a file")
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).expect("a link");
            target.into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        let name = path.strip_prefix(root).expect("it lies below").to_owned();
        let mode = metadata.mode();
        nodes.insert(name, Node { mode, contents });
        if kind.is_dir() {
            add(root, &path, nodes);
        }
    }
}

/// The paths in it, for messages and for comparing what there is.
pub(crate) fn names(folder: &Path) -> Vec<PathBuf> {
    tree(folder).into_keys().collect()
}

/// Says which paths differ, without their contents.
#[track_caller]
pub(crate) fn assert_same(seen: &Tree, expected: &Tree, what: &str) {
    let differs = |path: &&PathBuf| seen.get(*path) != expected.get(*path);
    let mut different: Vec<&PathBuf> = seen.keys().chain(expected.keys()).filter(differs).collect();
    different.dedup();
    assert!(different.is_empty(), "{what} differs in {different:?}");
}
