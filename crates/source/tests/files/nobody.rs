use super::*;

/// Runs this test program's `name` as a user who owns nothing, with the path in the environment.
fn as_nobody(name: &str, path: &Path) -> std::process::Output {
    // The program lies where only root may look; the copy does not.
    let copy = tempfile::tempdir().expect("a folder");
    fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).expect("a mode");
    let program = copy.path().join("test");
    testkit::copy_program(&std::env::current_exe().expect("it runs"), &program);
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
        assert_passed(&as_nobody(
            "nobody::what_may_not_be_read_is_listed",
            &folder.root,
        ));
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
    if is_root() {
        let folder = Folder::new();
        let everyone = Permissions::from_mode(0o777);
        fs::set_permissions(&folder.root, everyone).expect("a mode");
        let outer = folder.root.parent().expect("it has one");
        fs::set_permissions(outer, Permissions::from_mode(0o755)).expect("a mode");
        assert_passed(&as_nobody(
            "nobody::without_root_owners_are_a_note",
            &folder.root,
        ));
    } else if let Some(root) = std::env::var_os("FILES_TEST_AS_NOBODY") {
        restore_what_root_owned(Path::new(&root)).await;
    } else {
        restore_what_root_owned(&Folder::new().root).await;
    }
}

async fn restore_what_root_owned(root: &Path) {
    let archive = super::hostile::forged_with_mode("4755", &[("program", "file", "x")]);
    let source = files(&[Path::new("/")]);
    let plan = suite::plan(&source, &archive, &to(root)).await;
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    let report = source
        .write(&plan, &mut archive.contents(), &to(root))
        .await;
    let report = report.expect("a restore");
    assert_eq!((report.written, report.failed.len()), (1, 0));
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].starts_with("owners need root to be restored for 1 entries"));
    let mode = fs::metadata(root.join("program")).expect("a file").mode() & 0o7777;
    assert_eq!(
        mode, 0o755,
        "another owner's set-user-ID bit is not ours to set"
    );
}
