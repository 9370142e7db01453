use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::kill::Dice;
use crate::scene::{Scene, Seen};
use crate::tree::{assert_same, names, tree};

/// So much more than there is room for, and enough that a restore writes it past the page cache.
const BYTES: usize = 9 << 20;

/// A scene with a snapshot of something small, and then something large to capture.
fn about_to_grow() -> Scene {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    scene.run(&["backup"]).done();
    scene.write("secrets/large", Dice::new().bytes(BYTES));
    scene
}

/// After a failure: the first snapshot is whole, nothing of the failed one is left, and with room it works.
fn recovers(scene: &Scene, before: &[std::path::PathBuf]) {
    let repository = scene.path("repository");
    let left: Vec<_> = names(&repository)
        .into_iter()
        .filter(|name| repository.join(name).is_file() && !before.contains(name))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(scene.snapshots(), ["prod/1"]);
    scene.read(&["verify", "--level", "full"]).done();
    scene.run(&["backup"]).done();
    let live = tree(&scene.path("secrets"));
    scene
        .read(&["restore", "prod/2", "--to", "out", "--yes"])
        .done();
    assert_same(&tree(&scene.restored("out", "secrets")), &live, "prod/2");
    scene.read(&["verify", "--level", "full"]).done();
}

#[test]
fn a_write_that_the_system_refuses_leaves_the_repository_usable() {
    let scene = about_to_grow();
    let before = names(&scene.path("repository"));
    let seen = limited(&scene, &["backup"]);
    seen.refused(
        1,
        &[
            "back up prod",
            "create",
            "repository/prod/runs/",
            "File too large",
        ],
    );
    recovers(&scene, &before);

    // The same on the way back: no file is half there.
    let _ = fs::remove_dir_all(scene.path("out"));
    let restored = limited(
        &scene,
        &[
            "restore",
            "prod/2",
            "--to",
            "out",
            "--yes",
            "--identity",
            "identity.txt",
        ],
    );
    assert!(
        [1, 3].contains(&restored.code),
        "{}: {}",
        restored.code,
        restored.stderr
    );
    let said = format!("{}{}", restored.text(), restored.stderr);
    assert!(
        said.contains("secrets/large") && said.contains("ile too large"),
        "{said}"
    );
    let live = tree(&scene.path("secrets"));
    for (name, node) in tree(&scene.restored("out", "secrets")) {
        assert_eq!(Some(&node), live.get(&name), "{}", name.display());
    }
}

/// Under a limit of the size of files: a disk that is full for large files only, and needs no root.
fn limited(scene: &Scene, arguments: &[&str]) -> Seen {
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let words = [&["-c", script, env!("CARGO_BIN_EXE_strongroom")], arguments].concat();
    Seen::of(&mut scene.command(Path::new("sh"), &words))
}

#[test]
fn a_full_disk_leaves_the_repository_usable() {
    let scene = about_to_grow();
    let repository = scene.path("repository");
    let Some(disk) = Disk::mount(&repository) else {
        return;
    };
    let before = names(&scene.path("repository"));
    fs::write(scene.path("repository/ballast"), vec![1; 10 << 20]).expect("it fits");
    let seen = scene.run(&["backup"]);
    seen.refused(
        1,
        &[
            "back up prod",
            "repository/prod/runs/",
            "No space left on device",
        ],
    );
    fs::remove_file(scene.path("repository/ballast")).expect("it is there");
    recovers(&scene, &before);
    drop(disk);
}

#[test]
fn a_restore_to_a_full_disk_leaves_no_half_of_a_file() {
    let scene = about_to_grow();
    scene.run(&["backup"]).done();
    let out = scene.path("out");
    fs::create_dir(&out).expect("a folder");
    let Some(disk) = Disk::mount(&out) else {
        return;
    };
    let restore = ["restore", "prod/2", "--to", "out", "--yes"];
    fs::write(out.join("ballast"), vec![1; 7 << 20]).expect("it fits");
    scene
        .read(&restore)
        .refused(1, &["the restore stopped", "No space left on device"]);
    let left = names(&out);
    assert!(
        !left.iter().any(|name| name.ends_with("large")),
        "half there: {left:?}"
    );
    fs::remove_file(out.join("ballast")).expect("it is there");
    scene.read(&restore).done();
    let live = tree(&scene.path("secrets"));
    assert_same(&tree(&scene.restored("out", "secrets")), &live, "prod/2");
    drop(disk);
}

/// A small disk of its own in place of a folder, with what the folder held.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    fn mount(folder: &'a Path) -> Option<Self> {
        let held = folder.with_extension("held");
        fs::rename(folder, &held).expect("it moves");
        fs::create_dir(folder).expect("a folder");
        let mount = ["-t", "tmpfs", "-o", "size=12m", "none"];
        let mounted = Command::new("mount").args(mount).arg(folder).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "skipped: only root can mount a small disk; the limit of file sizes is tried instead"
            );
            return None;
        }
        let disk = Self(folder);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(held.join("."))
            .arg(folder)
            .status();
        assert!(copied.expect("cp runs").success());
        Some(disk)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn permission_denied_is_said_of_the_object() {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    scene.run(&["backup"]).done();
    scene.run(&["keygen", "--output", "locked.txt"]).done();
    let nobody = Nobody::of(&scene);
    let before = tree(&scene.path("repository"));
    for (arguments, words) in [
        (&["snapshots"][..], "repository"),
        (&["backup"], "repository"),
        (&["verify"], "repository"),
        (&["init", "--repo", "/root-is-here"], "/root-is-here"),
        (&["keygen", "--output", "mine.txt"], "mine.txt"),
    ] {
        nobody
            .run(arguments)
            .refused(16, &[words, "ermission denied"]);
    }
    open(&scene, "repository", true);
    for (arguments, words) in [
        (
            &["show", "prod", "--identity", "locked.txt"][..],
            "locked.txt",
        ),
        (&["backup"], "writer.key"),
    ] {
        nobody
            .run(arguments)
            .refused(16, &[words, "ermission denied"]);
    }
    open(&scene, "writer.key", false);
    open(&scene, "identity.txt", false);
    let name = "a source that may not be read fails the job";
    fs::set_permissions(scene.path("secrets/token"), Permissions::from_mode(0o0)).expect("a mode");
    let seen = nobody.run(&["backup"]);
    assert!([1, 16].contains(&seen.code), "{name}: {}", seen.stderr);
    seen.failed(1, &["secrets/token", "ermission denied", "--allow-partial"]);
    open(&scene, "secrets", true);
    let seen = nobody.run(&["backup"]);
    seen.refused(16, &["create", "repository/prod/", "ermission denied"]);
    let restore = [
        "restore",
        "prod",
        "--to",
        "closed",
        "--yes",
        "--identity",
        "identity.txt",
    ];
    let seen = nobody.run(&restore);
    let said = format!("{}{}", seen.text(), seen.stderr);
    assert!(
        [3, 16].contains(&seen.code) && said.contains("permission denied"),
        "{}: {said}",
        seen.code
    );
    assert!(names(&scene.path("closed")).is_empty());
    let after = tree(&scene.path("repository"));
    let same = |tree: &crate::tree::Tree| {
        let contents = tree
            .iter()
            .map(|(name, node)| (name.clone(), node.contents.clone()));
        contents.collect::<Vec<_>>()
    };
    assert!(same(&before) == same(&after), "the repository is as it was");
}

/// Lets everybody read a file, or a folder and all that is in it.
fn open(scene: &Scene, name: &str, folder: bool) {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    };
    mode(&scene.path(name), if folder { 0o555 } else { 0o644 });
    if folder {
        for below in names(&scene.path(name)) {
            let path = scene.path(name).join(below);
            mode(&path, if path.is_dir() { 0o555 } else { 0o644 });
        }
    }
}

/// A user who owns nothing of the scene: another one if we are root, otherwise ourselves, with rights taken away.
struct Nobody<'a>(&'a Scene);

impl<'a> Nobody<'a> {
    fn of(scene: &'a Scene) -> Self {
        let mode = |name: &str, mode| {
            fs::set_permissions(scene.path(name), Permissions::from_mode(mode))
                .expect("it is ours");
        };
        let root = rustix::process::geteuid().is_root();
        assert!(root || !Path::new("/root-is-here").exists());
        // The program may lie where only root may look; the copy does not.
        fs::copy(env!("CARGO_BIN_EXE_strongroom"), scene.path("program")).expect("a copy");
        mode("program", 0o755);
        fs::create_dir(scene.path("closed")).expect("a folder");
        for (name, ours, not_ours) in [
            ("closed", 0o755, 0o555),
            ("repository", 0o700, 0),
            ("writer.key", 0o600, 0),
            ("locked.txt", 0o600, 0),
            ("", 0o755, 0o555),
        ] {
            mode(name, if root { ours } else { not_ours });
        }
        Self(scene)
    }

    fn run(&self, arguments: &[&str]) -> Seen {
        let program = self.0.path("program");
        if !rustix::process::geteuid().is_root() {
            return Seen::of(&mut self.0.command(&program, arguments));
        }
        let program = program.to_str().expect("a plain name");
        let user = [
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
            program,
        ];
        Seen::of(
            &mut self
                .0
                .command(Path::new("setpriv"), &[&user, arguments].concat()),
        )
    }
}

impl Drop for Nobody<'_> {
    fn drop(&mut self) {
        // So that the scene can go away.
        let _ = Command::new("chmod")
            .args(["-R", "u+rwX"])
            .arg(self.0.path(""))
            .status();
    }
}
