//! A repository opens without strongroom: `docs/recovery/strongroom-recover.py`, written from `docs/format/v1.md` alone, opens what
//! the real program has stored, and every byte is compared.
//!
//! `./test` puts an interpreter with the script's packages into `STRONGROOM_PYTHON`, and `age` into `PATH`.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Contents by the names of entries.
type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

#[test]
fn the_script_gives_back_every_byte() {
    let Some(scene) = Scene::new() else { return };
    let first = scene.back_up();
    fs::write(scene.path("secrets/token"), "another").expect("a file");
    fs::remove_file(scene.path("secrets/empty")).expect("a file");
    let mut large = fs::read(scene.path("secrets/large")).expect("a file");
    large.splice(1_000_000..1_000_001, *b"a few bytes in the middle");
    fs::write(scene.path("secrets/large"), large).expect("a file");
    let second = scene.back_up();
    let third = scene.back_up(); // of nothing new: a commit alone, which names the second's objects

    let listed = scene.recover(&["--trust", &scene.writer]);
    let listed: Vec<Value> = json_lines(&listed.stdout);
    assert_eq!(listed.len(), 3);
    for (line, number) in listed.iter().zip(1..) {
        assert_eq!(line["snapshot"], format!("prod/{number}"));
        assert_eq!(line["trusted"], true);
        assert_eq!(line["partial"], false);
    }
    for (name, expected) in [("prod/1", first), ("prod/2", second), ("prod/3", third)] {
        assert!(
            scene.read_back(name) == expected,
            "{name} came back different"
        );
    }
}

#[test]
fn the_script_opens_the_key_object_of_post_quantum_recipients() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let Some(age) = testkit::require("age-go") else {
        return;
    };
    let keygen = age.program("age-keygen");
    run(Command::new(keygen)
        .args(["-pq", "-o", "pq.txt"])
        .current_dir(scene.folder.path()));
    let made = fs::read_to_string(scene.path("pq.txt")).expect("a file");
    let recipient = made
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .expect("its recipient");
    let configuration = fs::read_to_string(scene.path("strongroom.yaml")).expect("a file");
    let configuration =
        configuration.replace("recipients: [", &format!("recipients: [{recipient}, "));
    fs::write(scene.path("strongroom.yaml"), configuration).expect("a file");
    let mut path = age.program("").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    scene.programs = Some(path);
    scene.back_up();
    for identity in ["pq.txt", "identity.txt"] {
        let written = scene.write_out("prod/1", identity, &scene.writer);
        assert!(written.status.success(), "{}", text(&written.stderr));
    }
}

#[test]
fn the_script_for_shares_gives_the_identity_back() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let strongroom = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.current_dir(folder.path());
        command
    };
    let recipient = run(strongroom().args(["keygen", "--split", "3/5", "--output", "paper"]));
    let combine = |shares: &[&str]| {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/recovery/strongroom-combine.py"
        );
        let mut command = Command::new(&python);
        command.arg("-I").arg(script).args(shares);
        command
            .current_dir(folder.path())
            .output()
            .expect("it runs")
    };
    let chosen = ["paper.share-2", "paper.share-5", "paper.share-3"];
    let ours = ["combine", "--output", "identity.txt"];
    run(strongroom().args(ours).args(chosen));
    let ours = fs::read_to_string(folder.path().join("identity.txt")).expect("an identity");
    assert!(ours.starts_with(&format!("# public key: {recipient}\nAGE-SECRET-KEY-1")));
    let theirs = combine(&chosen);
    assert!(theirs.status.success(), "{}", text(&theirs.stderr));
    assert_eq!(text(&theirs.stdout), ours);
    let theirs = combine(&[
        "paper.share-1",
        "paper.share-4",
        "paper.share-2",
        "paper.share-5",
    ]);
    assert_eq!(text(&theirs.stdout), ours);

    let refused = |shares: &[&str], words: &str| {
        let refused = combine(shares);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(words), "{said}");
        assert!(refused.stdout.is_empty());
    };
    refused(&chosen[..2], "2 of the 3 shares that are needed");
    run(strongroom().args(["keygen", "--split", "3/5", "--output", "other"]));
    let mixed = ["paper.share-1", "paper.share-2", "other.share-3"];
    refused(&mixed, "do not belong together");
    let page = fs::read_to_string(folder.path().join("paper.share-1")).expect("a share");
    let line = page.lines().find(|line| line.starts_with("1: "));
    let line = line.expect("a line");
    let other = if line.ends_with('7') { '8' } else { '7' };
    let mistyped = page.replace(line, &format!("{}{other}", &line[..line.len() - 1]));
    fs::write(folder.path().join("mistyped"), mistyped).expect("a file");
    refused(&["mistyped", "paper.share-2"], "it is mistyped");
}

#[test]
fn the_script_refuses_what_is_not_to_be_trusted() {
    let Some(scene) = Scene::new() else { return };
    scene.back_up();

    let nobody = "0".repeat(64);
    let refused = scene.write_out("prod/1", "identity.txt", &nobody);
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).contains(&scene.writer),
        "{}",
        text(&refused.stderr)
    );

    run(scene.strongroom().args(["keygen", "--output", "other.txt"]));
    let refused = scene.write_out("prod/1", "other.txt", &scene.writer);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("does not open with this identity"));

    // A single bit, in any object that holds contents.
    let objects = || files_below(&scene.path("repository/prod")).into_keys();
    for object in objects().filter(|name| !name.ends_with(b"/map")) {
        let path = Path::new("/").join(OsStr::from_bytes(&object));
        let whole = fs::read(&path).expect("an object");
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&path, damaged).expect("an object");
        let refused = scene.write_out("prod/1", "identity.txt", &scene.writer);
        assert!(!refused.status.success(), "{} was damaged", path.display());
        fs::write(&path, whole).expect("an object");
    }
    assert!(
        scene
            .write_out("prod/1", "identity.txt", &scene.writer)
            .status
            .success()
    );
}

/// A folder of secrets, a job that captures it, and the interpreter for the script.
struct Scene {
    folder: tempfile::TempDir,
    python: OsString,
    writer: String,
    /// In place of `PATH`.
    programs: Option<OsString>,
}

impl Scene {
    /// `None`, with the reason on standard error, where the script cannot run; under `CI=true` that is a failure.
    fn new() -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut scene = Self {
            folder,
            python,
            writer: String::new(),
            programs: None,
        };
        let recipient = run(scene
            .strongroom()
            .args(["keygen", "--output", "identity.txt"]));
        scene.writer =
            run(scene
                .strongroom()
                .args(["keygen", "--writer", "--output", "writer.key"]));
        let secrets = scene.path("secrets");
        fill(&secrets);
        let configuration = format!(
            "repository: repository\nrecipients: [{recipient}]\nwriter_key: writer.key\njobs:\n  prod:\n    sources:\n      \
             - files: {{paths: [secrets]}}\n      - command: {{run: [cat, {}]}}\n",
            secrets.join("large").display()
        );
        fs::write(scene.path("strongroom.yaml"), configuration).expect("a file");
        run(scene.strongroom().arg("init"));
        Some(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn strongroom(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .current_dir(self.folder.path())
            .env_remove("STRONGROOM_CONFIG");
        command.envs(self.programs.iter().map(|path| ("PATH", path)));
        command
    }

    /// Takes a snapshot, and says what must be in it.
    fn back_up(&self) -> Contents {
        run(self.strongroom().arg("backup"));
        let mut contents = files_below(&self.path("secrets"));
        let large = fs::read(self.path("secrets/large")).expect("a file");
        contents.insert(b"output".to_vec(), large);
        contents
    }

    fn recover(&self, arguments: &[&str]) -> Output {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/recovery/strongroom-recover.py"
        );
        Command::new(&self.python)
            .arg(script)
            .arg("repository")
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(self.programs.iter().map(|path| ("PATH", path)))
            .output()
            .expect("python runs")
    }

    fn write_out(&self, snapshot: &str, identity: &str, writer: &str) -> Output {
        let _ = fs::remove_dir_all(self.path("out"));
        self.recover(&[
            snapshot,
            "--identity",
            identity,
            "--trust",
            writer,
            "--to",
            "out",
        ])
    }

    /// What the script writes, by the names in its index. Folders and links are there by name only.
    fn read_back(&self, snapshot: &str) -> Contents {
        let written = self.write_out(snapshot, "identity.txt", &self.writer);
        assert!(written.status.success(), "{}", text(&written.stderr));
        let index = fs::read(self.path("out/%index.jsonl")).expect("an index");
        let mut contents = Contents::new();
        for line in json_lines(&index) {
            let name = unescape(line["entry"].as_str().expect("a name"));
            match line["attributes"]["type"].as_str() {
                Some("directory") => assert_eq!(line["files"], Value::Array(Vec::new())),
                Some("symlink") => assert_eq!(line["attributes"]["target"], "two words"),
                _ => {
                    let file = self
                        .path("out")
                        .join(line["files"][0].as_str().expect("a file"));
                    contents.insert(name, fs::read(file).expect("a file"));
                }
            }
        }
        contents
    }
}

fn python() -> Option<OsString> {
    let python = env::var_os("STRONGROOM_PYTHON");
    if env::var_os("STRONGROOM_QUICK").is_some() {
        skip("STRONGROOM_QUICK is set, so nothing that ./test has to fetch");
        return None;
    }
    if python.is_none() {
        let message = "STRONGROOM_PYTHON is not set: run ./test, or ci/python.sh";
        assert!(env::var("CI").as_deref() != Ok("true"), "{message}");
        skip(message);
    }
    python
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test says why, on the runner's output"
)]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Names that hurt, contents from nothing to several frames.
fn fill(secrets: &Path) {
    fs::create_dir_all(secrets.join("folder/deeper")).expect("a folder");
    for name in [
        &b"-rf"[..],
        b"two words",
        b"two\nlines",
        b"latin-1 \xe9",
        "ünï".as_bytes(),
        b"%41",
        b"folder/deeper/...",
    ] {
        fs::write(secrets.join(OsStr::from_bytes(name)), name).expect("a file");
    }
    fs::write(secrets.join("token"), "first").expect("a file");
    fs::write(secrets.join("empty"), "").expect("a file");
    let large: Vec<u8> = (0_u32..3_000_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(secrets.join("large"), large).expect("a file");
    symlink("two words", secrets.join("link")).expect("a link");
}

/// All regular files, by their absolute path without the slash in front.
fn files_below(folder: &Path) -> Contents {
    let mut contents = Contents::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let kind = path.symlink_metadata().expect("metadata").file_type();
        if kind.is_dir() {
            contents.append(&mut files_below(&path));
        } else if kind.is_file() {
            let name = path.as_os_str().as_bytes()[1..].to_vec();
            contents.insert(name, fs::read(&path).expect("a file"));
        }
    }
    contents
}

/// Runs a command that must succeed; the last line that it prints.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("strongroom runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// `%41` is `A`.
fn unescape(name: &str) -> Vec<u8> {
    let mut parts = name.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two hexadecimal digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
