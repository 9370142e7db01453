//! A folder with keys, a configuration and a repository, and the real binary to run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A host that takes backups, with everything that it needs in one folder.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    recipient: String,
    writer: String,
}

impl Scene {
    /// Makes keys and a repository; the job `prod` has `sources`, in YAML's flow style, in which `[DIR]` is the folder.
    pub(crate) fn new(sources: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut scene = Self {
            folder,
            recipient: String::new(),
            writer: String::new(),
        };
        fs::create_dir(scene.path("tmp")).expect("a folder for temporary files");
        let recipient = scene.good(&["keygen", "--output", "identity.txt"]);
        recipient.trim().clone_into(&mut scene.recipient);
        let writer = scene.good(&["keygen", "--writer", "--output", "writer.key"]);
        writer.trim().clone_into(&mut scene.writer);
        scene.configure(sources);
        scene.good(&["init"]);
        scene
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, sources: &str) {
        let sources = sources.replace("[DIR]", self.root().to_str().expect("a plain name"));
        let text = format!(
            "repository: repository\nrecipients: [{}]\nwriter_key: writer.key\njobs: {{prod: {{sources: {sources}}}}}\n",
            self.recipient
        );
        fs::write(self.path("strongroom.yaml"), text).expect("the configuration");
    }

    /// What is configured from now on is sealed to this recipient.
    pub(crate) fn seal_to(&mut self, recipient: &str) {
        recipient.clone_into(&mut self.recipient);
    }

    /// The public key of the writer.
    pub(crate) fn writer(&self) -> &str {
        &self.writer
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders that it lies in.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(path, contents).expect("the file");
    }

    /// A command that is about to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command that must succeed; what it prints.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
