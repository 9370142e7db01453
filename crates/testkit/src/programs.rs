use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A release of a server that tests run against, and where its programs are.
#[derive(Debug, Clone)]
pub struct Release {
    folder: PathBuf,
}

impl Release {
    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of an unpacked package, in which its `usr` lies.
    pub(crate) fn root(&self) -> &Path {
        let root = self
            .folder
            .ancestors()
            .find(|folder| folder.join("usr").is_dir());
        root.expect("it is an unpacked package")
    }

    /// What `LD_LIBRARY_PATH` must say, so that its programs find what was unpacked with them.
    pub(crate) fn libraries(&self) -> OsString {
        let folders = ["usr/lib", "lib"].map(|folder| self.root().join(folder));
        let entries = folders
            .iter()
            .filter_map(|folder| folder.read_dir().ok())
            .flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let paths = paths.filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
        env::join_paths(paths).expect("paths of ours have no colons")
    }

    /// Whether it has the program: releases of etcd before 3.5 have no `etcdutl`.
    pub fn has(&self, name: &str) -> bool {
        self.program(name).is_file()
    }
}

/// Finds a release by the name that `servers/` gives it: `etcd` is put in place by `servers/etcd.sh`, and so on.
///
/// With `STRONGROOM_QUICK` set, as `./test quick` does, there are no servers. Otherwise
/// looks in `STRONGROOM_ETCD_DIR` (for `etcd`), then in the cache, then, for `etcd`, in `PATH`. If it is nowhere:
/// prints why and returns `None`, or panics where `CI=true` says that nothing may be skipped.
pub fn require(name: &str) -> Option<Release> {
    if env::var_os("STRONGROOM_QUICK").is_some() {
        skip(&format!("STRONGROOM_QUICK is set, so no {name}"));
        return None;
    }
    let found = find(name);
    if found.is_none() {
        let message = format!("{name} is missing: run servers/{name}.sh");
        assert!(env::var("CI").as_deref() != Ok("true"), "{message}");
        skip(&message);
    }
    found.map(|folder| Release { folder })
}

/// Whether the program is in `PATH`. If not: prints that the test is skipped and how to get it, or panics where `CI=true`.
pub fn require_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        let message = format!("{name} is not in PATH: ./test fetches it");
        let quick = env::var_os("STRONGROOM_QUICK").is_some();
        assert!(
            quick || env::var("CI").as_deref() != Ok("true"),
            "{message}"
        );
        skip(&message);
    }
    found
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test says why, on the runner's output"
)]
fn skip(message: &str) {
    eprintln!("skipped: {message}");
}

fn find(name: &str) -> Option<PathBuf> {
    let chosen = env::var_os("STRONGROOM_ETCD_DIR").filter(|_| name == "etcd");
    let chosen = chosen
        .map(PathBuf::from)
        .filter(|folder| folder.join("etcd").is_file());
    let in_path = || {
        let path = env::var_os("PATH").filter(|_| name == "etcd")?;
        env::split_paths(&path).find(|folder| folder.join("etcd").is_file())
    };
    chosen.or_else(|| in_cache(name)).or_else(in_path)
}

/// The program by which a release is known to be whole.
fn main_program(name: &str) -> &str {
    match name {
        "etcd-debian" => "etcd",
        "azurite" => "azurite-blob",
        "kubernetes" => "kube-apiserver",
        "age-go" => "age",
        "postgresql" => "postgres",
        "rabbitmq" => "rabbitmq-server",
        name => name,
    }
}

/// The newest `<name>-<version>` in the cache: the folder itself, or `usr/bin` or `usr/lib/<name>/bin` in an unpacked package.
///
/// The newest is the one whose script ran last, which is this work tree's.
fn in_cache(name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}-");
    let mut folders: Vec<PathBuf> = cache()?
        .join("strongroom-servers")
        .read_dir()
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            version(path, &prefix).is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        })
        .flat_map(|path| {
            let own = path.join("usr/lib").join(name).join("bin");
            [path.join("usr/bin"), own, path]
        })
        .filter(|folder| folder.join(main_program(name)).is_file())
        .collect();
    folders.sort_by_key(|folder| (modified(folder), folder.clone()));
    folders.pop()
}

fn modified(folder: &Path) -> Option<SystemTime> {
    folder
        .metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

fn version<'a>(path: &'a Path, prefix: &str) -> Option<&'a str> {
    path.file_name()?.to_str()?.strip_prefix(prefix)
}

fn cache() -> Option<PathBuf> {
    let chosen = env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty());
    let usual = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    chosen.map(PathBuf::from).or_else(usual)
}
