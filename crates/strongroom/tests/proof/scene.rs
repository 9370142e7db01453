//! A folder in which the program finds all that it needs: keys, a configuration, a repository, and a folder of secrets.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Goes away with all that is in it.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) recipient: String,
    pub(crate) writer: String,
    /// What the configuration says of the repository.
    pub(crate) place: String,
}

/// How a command ended.
pub(crate) struct Seen {
    /// The exit code, or minus the signal.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    said: String,
}

impl Scene {
    /// Keys, the job `prod` of the folder `secrets`, and a new repository.
    pub(crate) fn new() -> Self {
        let mut scene = Self::bare();
        scene.keys();
        scene.configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");
        scene.run(&["init"]).done();
        scene
    }

    /// An empty `secrets`, and `tmp` for what nobody should leave behind.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["secrets", "tmp"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Self {
            folder,
            recipient: String::new(),
            writer: String::new(),
            place: "repository".to_owned(),
        }
    }

    /// Makes an identity and a writer's key.
    pub(crate) fn keys(&mut self) {
        self.recipient = self.key(&["keygen", "--output", "identity.txt"]);
        self.writer = self.key(&["keygen", "--writer", "--output", "writer.key"]);
    }

    pub(crate) fn key(&self, arguments: &[&str]) -> String {
        self.run(arguments).done().text().trim().to_owned()
    }

    /// Writes `strongroom.yaml` with these jobs, each line indented by two.
    pub(crate) fn configure(&self, jobs: &str) {
        let Self {
            place, recipient, ..
        } = self;
        let head =
            format!("repository: {place}\nrecipients: ['{recipient}']\nwriter_key: writer.key\n");
        self.write("strongroom.yaml", format!("{head}jobs:\n{jobs}"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and makes the folder that it lies in.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the scene")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }

    /// Where a restore of an absolute path to the folder `to` puts it.
    pub(crate) fn restored(&self, to: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let below = path.strip_prefix("/").expect("it is absolute");
        self.path(to).join(below)
    }

    /// The program in this folder, with nothing of our environment but what it needs to find others.
    pub(crate) fn strongroom<W: AsRef<OsStr>>(&self, arguments: &[W]) -> Command {
        self.command(Path::new(env!("CARGO_BIN_EXE_strongroom")), arguments)
    }

    /// Any program, in the same way.
    pub(crate) fn command<W: AsRef<OsStr>>(&self, program: &Path, arguments: &[W]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run<W: AsRef<OsStr>>(&self, arguments: &[W]) -> Seen {
        Seen::of(&mut self.strongroom(arguments))
    }

    /// The same with the identity.
    pub(crate) fn read<W: AsRef<OsStr>>(&self, arguments: &[W]) -> Seen {
        let mut command = self.strongroom(arguments);
        Seen::of(command.args(["--identity", "identity.txt"]))
    }

    /// The names of all snapshots, as `snapshots --json` lists them.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let listed = self.run(&["snapshots", "--json"]).done().json();
        let listed = listed["snapshots"].as_array().expect("a list").iter();
        listed
            .map(|row| row["snapshot"].as_str().expect("a name").to_owned())
            .collect()
    }
}

impl Seen {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("it runs");
        Self::new(format!("{command:?}"), output)
    }

    pub(crate) fn new(said: String, output: Output) -> Self {
        let status = output.status;
        let signal = status.signal().unwrap_or_default();
        Self {
            code: status.code().unwrap_or(-signal),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("what is said is UTF-8"),
            said,
        }
    }

    /// It did what it should.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        let Self {
            said,
            stdout,
            stderr,
            ..
        } = &self;
        let stdout = String::from_utf8_lossy(stdout);
        assert_eq!(self.code, code, "{said}\n{stdout}\n{stderr}");
        self
    }

    /// It refused with this exit code, in one sentence that holds these words, and printed nothing else.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        let seen = self.failed(code, words);
        assert!(seen.stdout.is_empty(), "{}: {}", seen.said, seen.text());
        seen
    }

    /// The same for commands that have a report to print even so.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        let seen = self.ended(code);
        for word in words {
            let text = &seen.stderr;
            assert!(
                text.contains(word),
                "{} does not say {word:?}: {text}",
                seen.said
            );
        }
        seen.is_calm();
        seen
    }

    /// No panic, and no debris of data structures.
    #[track_caller]
    fn is_calm(&self) {
        let errors: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("strongroom: "))
            .collect();
        assert_eq!(errors.len(), 1, "{}: {}", self.said, self.stderr);
        for debris in ["panicked", "Some(", "Error {", "Os {", "kind:"] {
            assert!(
                !self.stderr.contains(debris),
                "{}: {}",
                self.said,
                self.stderr
            );
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.said, self.text()))
    }
}
