//! The source `files` on real folders: odd names, links that want to lead out, files that change, and 20,000 of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    folders
        .iter()
        .for_each(|folder| fs::create_dir_all(root.join(folder)).expect("a folder"));
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
        let keep = tempfile::tempdir().expect("a folder");
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

#[tokio::test]
async fn everything_is_restored_elsewhere() {
    let folder = Folder::filled();
    let (archive, capture) = Archive::collect(&files(&[&folder.root]))
        .await
        .expect("a capture");
    assert_eq!(capture, Capture::default());
    let target = folder.root.with_file_name("else/where");
    let source = files(&[&folder.root]);
    let plan = suite::plan(&source, &archive, &to(&target)).await;
    assert!(!target.exists(), "planning changes nothing");
    assert!(plan.steps.iter().all(|step| step.action == Action::Create));
    suite::write(&source, &archive, &plan, &to(&target)).await;
    assert_eq!(
        fs::metadata(&target).expect("it was made").mode() & 0o7777,
        0o700
    );

    let moved = target.join(folder.root.strip_prefix("/").expect("absolute"));
    let (again, _) = Archive::collect(&files(&[&moved]))
        .await
        .expect("a second capture");
    assert_eq!(describe(&folder.root), describe(&moved));
    assert_eq!(archive.len(), again.len());
    let plan = suite::plan(&source, &archive, &to(&target)).await;
    assert!(
        plan.steps.iter().all(|step| step.action == Action::Same),
        "{plan:?}"
    );
}

/// What `stat` and the content say, by path.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stat = path.symlink_metadata().expect("a file");
            let content = match stat.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path)
                    .expect("a link")
                    .into_os_string()
                    .into_encoded_bytes(),
                kind if kind.is_dir() => {
                    folders.push(path.clone());
                    Vec::new()
                }
                _ => fs::read(&path).expect("a file"),
            };
            let xattr = path.is_symlink() || {
                let mut value = [0; 64];
                rustix::fs::getxattr(&path, &b"user.note\xff"[..], &mut value[..]).is_ok()
            };
            let text = format!(
                "{:o} {} {} {}.{} {xattr} {}",
                stat.mode(),
                stat.uid(),
                stat.gid(),
                stat.mtime(),
                stat.mtime_nsec(),
                archive::Digest::of(&content)
            );
            found.insert(path.strip_prefix(root).expect("inside").to_owned(), text);
        }
    }
    found
}

#[tokio::test]
async fn patterns_choose() {
    let folder = Folder::filled();
    let options = FilesOptions {
        paths: vec![folder.root.clone()],
        include: vec!["*.txt".into(), "deep".into()],
        exclude: vec!["-*".into(), "root/a/deep/er".into()],
        one_filesystem: true,
    };
    let source = Files::new(&options).expect("good options");
    fs::write(folder.root.join("a/deep/inside"), "x").expect("a file");
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let prefix = name_of(&folder.root).to_string();
    let names: Vec<String> = archive
        .names()
        .map(|name| {
            name.to_string()
                .strip_prefix(&prefix)
                .expect("inside")
                .to_owned()
        })
        .collect();
    let expected = [
        "",
        "/a",
        "/a.txt",
        "/a/deep",
        "/a/deep/inside",
        "/empty",
        "/locked",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_mistake() {
    let folder = Folder::new();
    let error = Archive::collect(&files(&[&folder.root.join("missing")]))
        .await
        .err();
    let error = error.expect("it must be an error");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error.to_string().contains("root/missing is not there"),
        "{error}"
    );
}

#[tokio::test]
async fn single_files_and_links_can_be_configured() {
    let folder = Folder::filled();
    let paths = [
        &folder.root.join("link"),
        &folder.root.join("a.txt"),
        &folder.root.join("a"),
    ];
    let paths = paths.map(PathBuf::as_path);
    let (archive, _) = Archive::collect(&files(&paths)).await.expect("a capture");
    let names: Vec<&Name> = archive.names().collect();
    assert_eq!(names.first(), Some(&&name_of(&folder.root.join("a"))));
    assert_eq!(names.last(), Some(&&name_of(&folder.root.join("link"))));
    assert_eq!(
        archive.len(),
        7,
        "a, a.txt, a/b, a/deep, a/deep/er and its file, link: {names:?}"
    );
}

#[tokio::test]
async fn sockets_pipes_and_unfinished_restores_are_left_out_and_said_so() {
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.root.join("socket")).expect("one");
    let (cwd, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(cwd, folder.root.join("pipe"), kind, mode, 0).expect("a pipe");
    fs::write(folder.root.join(".strongroom-restore-0123-4"), "half").expect("a file");
    let (archive, capture) = Archive::collect(&files(&[&folder.root]))
        .await
        .expect("a capture");
    assert_eq!(archive.len(), 1);
    assert_eq!(capture.incomplete, []);
    let left_out = capture.facts.get("left_out").map(String::as_str);
    assert_eq!(
        left_out,
        Some("1 named pipe, 1 socket, 1 unfinished file of a restore")
    );
}

/// Appends to a file until it is dropped.
struct Appending(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Appending {
    fn to(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut file = File::options().append(true).open(path).expect("a file");
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    file.write_all(b"one more line\n")
                        .expect("it can be written");
                }
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().expect("once").join().expect("it only writes");
    }
}

#[tokio::test]
async fn a_small_file_that_changes_is_whole_or_listed() {
    const LINE: usize = "one more line\n".len();
    let folder = Folder::new();
    fs::write(folder.root.join("quiet"), "quiet").expect("a file");
    let path = folder.root.join("log");
    fs::write(&path, b"one more line\n".repeat(10_000)).expect("a file");
    let appending = Appending::to(&path);
    let mut listed = 0;
    for _ in 0..30 {
        let (archive, capture) = Archive::collect(&files(&[&folder.root]))
            .await
            .expect("one");
        assert!(archive.get(&name_of(&folder.root.join("quiet"))).is_some());
        match archive.get(&name_of(&path)) {
            // Now it is large; the next test is about those.
            Some((_, log)) if log.len() > 1024 * 1024 => break,
            Some((_, log)) => assert_eq!((log.len() % LINE, capture.incomplete.len()), (0, 0)),
            None => {
                listed += 1;
                let reasons: Vec<_> = capture
                    .incomplete
                    .iter()
                    .map(|i| (&i.name, i.reason.as_str()))
                    .collect();
                assert_eq!(reasons, [(&name_of(&path), "changed while it was read")]);
            }
        }
    }
    drop(appending);
    println!("listed {listed} times as changed");
}

/// Captures a file of `size` bytes to which `disturb` is done when its first bytes have come; how many came.
async fn read_disturbed(size: u64, disturb: impl Fn(&File, &Path)) -> (Capture, usize) {
    let folder = Folder::new();
    let path = folder.root.join("disturbed");
    let file = File::create(&path).expect("a file");
    file.set_len(size).expect("a sparse file");
    let source = files(&[&folder.root]);
    let (mut sink, mut receiver) = source::Sink::channel();
    let read = async {
        let capture = source.read(&mut sink).await.expect("a capture");
        sink.finish().await.expect("someone listens");
        capture
    };
    let listen = async {
        let mut bytes = 0;
        while let Some(batch) = receiver.recv().await {
            if bytes == 0 {
                disturb(&file, &path);
            }
            let lengths = batch.iter().map(|item| match item {
                Item::Data(content) => content.len(),
                _ => 0,
            });
            bytes += lengths.sum::<usize>();
        }
        bytes
    };
    futures::join!(read, listen)
}

#[tokio::test]
async fn a_large_file_that_changes_is_completed_and_listed() {
    let append = |file: &File, _: &Path| {
        let mut file = file;
        file.seek(std::io::SeekFrom::End(0)).expect("the end");
        file.write_all(&[1; 4_000_000]).expect("it grows");
    };
    let shrink = |file: &File, _: &Path| file.set_len(1_500_000).expect("it shrinks");
    let rewrite = |file: &File, _: &Path| {
        let mut file = file;
        file.write_all(b"another beginning")
            .expect("it can be written");
    };
    let replace = |_: &File, path: &Path| {
        fs::write(path.with_extension("new"), "other").expect("a file");
        fs::rename(path.with_extension("new"), path).expect("it can be renamed");
    };
    type Disturb<'a> = &'a dyn Fn(&File, &Path);
    let cases: [(Disturb<'_>, Option<usize>); 4] = [
        (&append, Some(50_000_000)),
        (&shrink, None),
        (&rewrite, Some(50_000_000)),
        (&replace, Some(50_000_000)),
    ];
    for (disturb, bytes) in cases {
        let (capture, read) = read_disturbed(50_000_000, disturb).await;
        assert!(
            bytes.is_none_or(|bytes| bytes == read),
            "not more than it had: {read}"
        );
        assert_eq!(capture.incomplete.len(), 1, "{:?}", capture.incomplete);
        assert_eq!(capture.incomplete[0].reason, "changed while it was read");
    }
    let (capture, read) = read_disturbed(50_000_000, |_, _| ()).await;
    assert_eq!((capture.incomplete.len(), read), (0, 50_000_000));
}

/// Runs this test program's `name` as a user who owns nothing, with the path in the environment.
fn as_nobody(name: &str, path: &Path) -> std::process::Output {
    // The program lies where only root may look; the copy does not.
    let copy = tempfile::tempdir().expect("a folder");
    fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).expect("a mode");
    let program = copy.path().join("test");
    fs::copy(std::env::current_exe().expect("it runs"), &program).expect("a copy");
    std::process::Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ])
        .arg(&program)
        .args(["--exact", "--nocapture", name])
        .env("FILES_TEST_AS_NOBODY", path)
        .output()
        .expect("setpriv is installed")
}

fn assert_passed(output: &std::process::Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{error}"
    );
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn what_may_not_be_read_is_listed() {
    if let Some(root) = std::env::var_os("FILES_TEST_AS_NOBODY") {
        return read_as_nobody(Path::new(&root)).await;
    }
    let folder = Folder::new();
    for (name, mode) in [("open", 0o644), ("secret", 0o600)] {
        fs::write(folder.root.join(name), name).expect("a file");
        let mode = if is_root() || name == "open" { mode } else { 0 };
        fs::set_permissions(folder.root.join(name), Permissions::from_mode(mode)).expect("a mode");
    }
    fs::create_dir(folder.root.join("closed")).expect("a folder");
    fs::write(folder.root.join("closed.txt"), "").expect("a file");
    let mode = if is_root() { 0o700 } else { 0 };
    fs::set_permissions(folder.root.join("closed"), Permissions::from_mode(mode)).expect("a mode");
    let outer = folder.root.parent().expect("it has one");
    fs::set_permissions(outer, Permissions::from_mode(0o755)).expect("a mode");
    if is_root() {
        assert_passed(&as_nobody("what_may_not_be_read_is_listed", &folder.root));
    } else {
        read_as_nobody(&folder.root).await;
    }
}

async fn read_as_nobody(root: &Path) {
    let (archive, capture) = Archive::collect(&files(&[root])).await.expect("a capture");
    assert_eq!(archive.len(), 3, "the root, open and closed.txt");
    let mut listed: Vec<_> = capture
        .incomplete
        .iter()
        .map(|i| (i.name.clone(), i.reason.as_str()))
        .collect();
    listed.sort();
    let denied = |name| (name_of(&root.join(name)), "permission denied");
    assert_eq!(listed, [denied("closed"), denied("secret")]);
}

#[tokio::test]
async fn without_root_owners_are_a_note() {
    let Some(root) = std::env::var_os("FILES_TEST_AS_NOBODY") else {
        if !is_root() {
            println!("skipped: as root, this test gives files to another user first");
            return;
        }
        let folder = Folder::new();
        let outer = folder.root.parent().expect("it has one");
        fs::set_permissions(outer, Permissions::from_mode(0o777)).expect("a mode");
        fs::write(folder.root.join("file"), "x").expect("a file");
        let program = Permissions::from_mode(0o4755);
        fs::set_permissions(folder.root.join("file"), program).expect("a mode");
        return assert_passed(&as_nobody("without_root_owners_are_a_note", &folder.root));
    };
    let root = Path::new(&root);
    let source = files(&[root]);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let target = root.with_file_name("target");
    let plan = suite::plan(&source, &archive, &to(&target)).await;
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    let report = source
        .write(&plan, &mut archive.written_by(&plan), &to(&target))
        .await;
    let report = report.expect("a restore");
    assert_eq!((report.written, report.failed.len()), (2, 0));
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].starts_with("owners need root to be restored for 2 entries"));
    let restored = target
        .join(root.strip_prefix("/").expect("absolute"))
        .join("file");
    let mode = fs::metadata(restored).expect("a file").mode() & 0o7777;
    assert_eq!(
        mode, 0o755,
        "another owner's set-user-ID bit is not ours to set"
    );
}

/// An archive as no source would write it.
fn forged(entries: &[(&str, &str, &str)]) -> Archive {
    let mut items = Vec::new();
    for (name, kind, content) in entries {
        let mut attributes = Attributes::default();
        for (name, value) in [
            ("type", *kind),
            ("mode", "0644"),
            ("uid", "0"),
            ("gid", "0"),
            ("mtime", "1.000000000"),
        ] {
            attributes.set(name, value);
        }
        let data = if *kind == "symlink" {
            attributes.set("target", *content);
            ""
        } else {
            content
        };
        let name = Name::from(*name);
        items.push(Item::Begin(Header {
            name,
            attributes,
            fields: None,
        }));
        items.push(Item::Data(Content::new(data.to_owned())));
        items.push(Item::End);
    }
    Archive::from_items(items)
}

#[tokio::test]
async fn hostile_names_stay_inside_and_are_found_by_a_check() {
    let folder = Folder::new();
    let outside = folder.root.with_file_name("outside");
    fs::create_dir(&outside).expect("a folder");
    let outside_text = outside.to_str().expect("a plain path");
    let absolute = format!("{outside_text}/absolute");
    let archive = forged(&[
        ("", "file", "x"),
        ("../outside/up", "file", "x"),
        ("./dot", "file", "x"),
        (&absolute, "file", "x"),
        ("a/../../outside/up", "file", "x"),
        ("a//b", "file", "x"),
        ("link", "symlink", outside_text),
        ("link/planted", "file", "x"),
        ("odd", "device", "x"),
        ("plain", "file", "x"),
        ("plain/under a file", "file", "x"),
        ("trailing/", "file", "x"),
        ("zero\0byte", "file", "x"),
    ]);
    let source = files(&[Path::new("/")]);
    let options = overwriting(to(&folder.root));
    let plan = suite::plan(&source, &archive, &options).await;
    let writes: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.action.writes())
        .collect();
    let names: Vec<String> = writes.iter().map(|step| step.name.to_string()).collect();
    assert_eq!(names, ["link", "plain"]);
    let findings = source
        .check(&mut archive.contents())
        .await
        .expect("a check");
    assert_eq!(
        findings.iter().filter(|finding| finding.bad).count(),
        11,
        "{findings:?}"
    );

    // Even a plan that asks for all of it writes nothing outside.
    let mut forged_plan = plan.clone();
    forged_plan
        .steps
        .iter_mut()
        .for_each(|step| step.action = Action::Create);
    let report = source
        .write(&forged_plan, &mut archive.contents(), &options)
        .await;
    let report = report.expect("a restore");
    assert_eq!(
        report.failed.len() as u64 + report.written,
        archive.len() as u64
    );
    assert_eq!(
        fs::read_dir(&outside).expect("a folder").count(),
        0,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_planted_link_leads_nowhere() {
    for to_origin in [false, true] {
        let folder = Folder::new();
        let home = folder.root.join("home");
        fs::create_dir_all(home.join("sub")).expect("folders");
        fs::write(home.join("sub/file"), "honest").expect("a file");
        let source = files(&[&home]);
        let (archive, _) = Archive::collect(&source).await.expect("a capture");
        let target = folder.root.with_file_name("target");
        let (options, live) = if to_origin {
            (RestoreOptions::default(), home.clone())
        } else {
            (
                to(&target),
                target.join(home.strip_prefix("/").expect("absolute")),
            )
        };
        let outside = folder.root.with_file_name("outside");
        fs::create_dir(&outside).expect("a folder");
        fs::create_dir_all(&live).expect("folders");
        if to_origin {
            fs::remove_dir_all(live.join("sub")).expect("it can be removed");
        }
        symlink(&outside, live.join("sub")).expect("a link");
        let file = name_of(&home.join("sub/file"));

        // The folder is not selected, the file in it is: the link in its place is not followed.
        let selected = archive.only(|entry| entry.name == file);
        let plan = suite::plan(&source, &selected, &overwriting(options.clone())).await;
        let Action::Unmanageable { reason } = action(&plan, &file) else {
            panic!("{plan:?}")
        };
        assert!(reason.ends_with("sub is a symbolic link here, which a restore does not follow"));
        let mut forced = plan.clone();
        forced.steps[0].action = Action::Update {
            what: vec!["content".into()],
        };
        let report = source
            .write(&forced, &mut selected.contents(), &options)
            .await;
        assert_eq!(report.expect("a restore").failed.len(), 1);

        // All of it is selected: the link is in the way, and replaced if the user says so.
        let folder_name = name_of(&home.join("sub"));
        let plan = suite::plan(&source, &archive, &options).await;
        let reason = "there is a symbolic link".to_owned();
        assert_eq!(action(&plan, &folder_name), &Action::Conflict { reason });
        let skip = RestoreOptions {
            conflict: Conflict::Skip,
            ..options.clone()
        };
        let plan = suite::plan(&source, &archive, &skip).await;
        assert!(
            matches!(action(&plan, &file), Action::Unmanageable { .. }),
            "{plan:?}"
        );
        let plan = suite::plan(&source, &archive, &overwriting(options.clone())).await;
        suite::write(&source, &archive, &plan, &overwriting(options.clone())).await;
        assert!(
            live.join("sub")
                .symlink_metadata()
                .expect("it is there")
                .is_dir()
        );
        assert_eq!(
            fs::read_to_string(live.join("sub/file")).ok().as_deref(),
            Some("honest")
        );
        assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
    }
}

#[tokio::test]
async fn links_above_a_configured_path_are_the_operators_choice() {
    let folder = Folder::new();
    fs::create_dir_all(folder.root.join("run/app")).expect("folders");
    symlink("run", folder.root.join("var-run")).expect("a link");
    fs::write(folder.root.join("run/app/token"), "t").expect("a file");
    let configured = folder.root.join("var-run/app");
    let source = files(&[&configured]);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    fs::remove_dir_all(folder.root.join("run/app")).expect("it can be removed");
    let plan = suite::plan(&source, &archive, &RestoreOptions::default()).await;
    suite::write(&source, &archive, &plan, &RestoreOptions::default()).await;
    assert_eq!(
        fs::read_to_string(folder.root.join("run/app/token"))
            .ok()
            .as_deref(),
        Some("t")
    );

    // Another configuration never said that the link is right.
    let elsewhere = files(&[Path::new("/etc")]);
    let plan = suite::plan(&elsewhere, &archive, &RestoreOptions::default()).await;
    assert!(
        plan.steps
            .iter()
            .all(|step| matches!(step.action, Action::Unmanageable { .. }))
    );
}

#[tokio::test]
async fn a_folder_is_not_removed_for_a_file_unless_it_is_empty() {
    let folder = Folder::new();
    for name in ["full", "none", "pipe"] {
        fs::write(folder.root.join(name), name).expect("a file");
    }
    let source = files(&[&folder.root]);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    for name in ["full", "none", "pipe"] {
        fs::remove_file(folder.root.join(name)).expect("it can be removed");
    }
    fs::create_dir_all(folder.root.join("full/er")).expect("folders");
    fs::create_dir(folder.root.join("none")).expect("a folder");
    let _socket = std::os::unix::net::UnixListener::bind(folder.root.join("pipe")).expect("one");
    let options = overwriting(RestoreOptions::default());
    let plan = suite::plan(&source, &archive, &options).await;
    let at = |name| action(&plan, &name_of(&folder.root.join(name)));
    assert!(matches!(at("full"), Action::Unmanageable { reason } if reason.contains("not empty")));
    assert!(matches!(at("pipe"), Action::Unmanageable { reason } if reason.contains("socket")));
    assert_eq!(
        at("none"),
        &Action::Update {
            what: vec!["type".into()]
        }
    );
    suite::write(&source, &archive, &plan, &options).await;
    assert_eq!(
        fs::read_to_string(folder.root.join("none")).ok().as_deref(),
        Some("none")
    );
    assert!(folder.root.join("full/er").is_dir());
}

#[tokio::test]
async fn a_plan_says_in_what_a_file_differs() {
    let folder = Folder::filled();
    let source = files(&[&folder.root]);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let path = |name| folder.root.join(name);
    fs::set_permissions(path("a-b"), Permissions::from_mode(0o600)).expect("a mode");
    fs::write(path("a0"), "XX").expect("the same length");
    fs::remove_file(path("link")).expect("it can be removed");
    symlink("elsewhere", path("link")).expect("a link");
    fs::write(path("empty/new"), "only the folder's mtime changes").expect("a file");
    let options = RestoreOptions {
        conflict: Conflict::Skip,
        ..RestoreOptions::default()
    };
    let plan = suite::plan(&source, &archive, &options).await;
    let what = |name| match action(&plan, &name_of(&path(name))) {
        Action::Skip { what } => what.join(", "),
        other => format!("{other:?}"),
    };
    assert_eq!(what("a-b"), "mode");
    assert_eq!(what("a0"), "content, mtime");
    assert_eq!(what("link"), "target, mtime");
    assert_eq!(what("empty"), "Same");
}

#[tokio::test]
async fn an_abandoned_restore_leaves_nothing_and_a_killed_one_is_swept() {
    let folder = Folder::filled();
    let source = files(&[&folder.root]);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let large = name_of(&folder.root.join("large"));
    let archive = archive.only(|entry| entry.name == large);
    let target = folder.root.with_file_name("target");
    let folder_there = target.join(folder.root.strip_prefix("/").expect("absolute"));
    fs::create_dir_all(&folder_there).expect("folders");
    let left = folder_there.join(".strongroom-restore-killed-1");
    fs::write(&left, "half").expect("a file");

    let plan = suite::plan(&source, &archive, &to(&target)).await;
    let mut contents = Stuck {
        contents: Box::new(archive.contents()),
        pieces: 40,
    };
    let options = to(&target);
    let write = source.write(&plan, &mut contents, &options);
    let abandoned = tokio::time::timeout(std::time::Duration::from_millis(500), write).await;
    assert!(abandoned.is_err(), "it was stuck and is dropped now");
    for _ in 0..100 {
        if fs::read_dir(&folder_there).expect("a folder").count() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(fs::read_dir(&folder_there).expect("a folder").count(), 0);
    suite::write(&source, &archive, &plan, &to(&target)).await;
    assert_eq!(
        fs::metadata(folder_there.join("large"))
            .map(|m| m.len())
            .ok(),
        Some(12_000_000)
    );
}

/// Contents that stop coming, without an end.
struct Stuck {
    contents: Box<dyn source::Contents>,
    pieces: u32,
}

#[async_trait]
impl source::Contents for Stuck {
    async fn next(&mut self) -> Result<Option<archive::Entry>, source::Error> {
        self.contents.next().await
    }

    async fn data(&mut self) -> Result<Option<Content>, source::Error> {
        if self.pieces == 0 {
            futures::future::pending::<()>().await;
        }
        self.pieces -= 1;
        self.contents.data().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_small_files() {
    let folder = Folder::new();
    for shelf in 0..100 {
        let shelf = folder.root.join(format!("shelf-{shelf}"));
        fs::create_dir(&shelf).expect("a folder");
        for book in 0..200_u32 {
            let content = book.to_le_bytes().repeat(200);
            fs::write(shelf.join(format!("book-{book}.txt")), content).expect("a file");
        }
    }
    let source = files(&[&folder.root]);
    let mut best = f64::MAX;
    let mut archive = Archive::default();
    for _ in 0..3 {
        let started = Instant::now();
        let (mut sink, mut receiver) = source::Sink::channel();
        let read = async {
            source.read(&mut sink).await.expect("a capture");
            sink.finish().await.expect("someone listens");
        };
        let count = async {
            let mut entries = 0;
            while let Some(batch) = receiver.recv().await {
                entries += batch
                    .iter()
                    .filter(|item| matches!(item, Item::End))
                    .count();
            }
            entries
        };
        let ((), entries) = futures::join!(read, count);
        assert_eq!(entries, 20_101);
        best = best.min(started.elapsed().as_secs_f64());
        (archive, _) = Archive::collect(&source).await.expect("a capture");
    }
    println!(
        "captured 20,000 small files in {best:.3} s: {:.0} per second",
        20_000.0 / best
    );

    let target = folder.root.with_file_name("target");
    let started = Instant::now();
    let plan = source
        .plan(&mut archive.entries(), &to(&target))
        .await
        .expect("a plan");
    let report = source
        .write(&plan, &mut archive.contents(), &to(&target))
        .await;
    let restored = started.elapsed();
    assert_eq!(report.expect("a restore").written, 20_101);
    println!("restored them in {:.3} s", restored.as_secs_f64());
    let started = Instant::now();
    let plan = source
        .plan(&mut archive.entries(), &to(&target))
        .await
        .expect("a plan");
    assert!(plan.steps.iter().all(|step| step.action == Action::Same));
    println!("compared them in {:.3} s", started.elapsed().as_secs_f64());
}
