use std::sync::Arc;

use tokio::sync::Notify;

use super::*;

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
    let stuck = Arc::new(Notify::new());
    let mut contents = Stuck {
        contents: Box::new(archive.contents()),
        pieces: 40,
        notice: stuck.clone(),
    };
    let options = to(&target);
    // It is dropped when it is stuck. By then it has begun to write, for few pieces wait between the two, and that it does behind the sweep.
    tokio::select! {
        _ = source.write(&plan, &mut contents, &options) => panic!("it is stuck"),
        () = stuck.notified() => {}
        () = tokio::time::sleep(std::time::Duration::from_mins(10)) => panic!("it does not come so far"),
    }
    for _ in 0..3_000 {
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

/// Contents that stop coming, without an end, and say so.
struct Stuck {
    contents: Box<dyn source::Contents>,
    pieces: u32,
    notice: Arc<Notify>,
}

#[async_trait]
impl source::Contents for Stuck {
    async fn next(&mut self) -> Result<Option<archive::Entry>, source::Error> {
        self.contents.next().await
    }

    async fn data(&mut self) -> Result<Option<Content>, source::Error> {
        if self.pieces == 0 {
            self.notice.notify_one();
            futures::future::pending::<()>().await;
        }
        self.pieces -= 1;
        self.contents.data().await
    }
}
