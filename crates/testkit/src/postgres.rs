use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Release;
use crate::process::Process;

/// Whom the server runs as where tests are root's, for it refuses that. Nobody's number on Debian.
const NOBODY: &str = "65534";

/// A PostgreSQL on loopback, whose superuser `postgres` has a password. Killed when dropped, and its folder removed.
pub struct Postgres {
    release: Release,
    process: Process,
    // Dropped last: the process is gone then.
    _folder: TempDir,
}

impl Postgres {
    /// The superuser's password.
    pub const PASSWORD: &str = "hunter2-of-postgres";

    /// Starts an empty one and waits until it answers.
    pub fn start(release: &Release) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (data, password) = (folder.path().join("data"), folder.path().join("password"));
        fs::write(&password, Self::PASSWORD).expect("the folder is ours");
        fs::create_dir(&data).expect("the folder is ours");
        let bin = programs(release, folder.path());
        let libraries = release.libraries();
        let server = move |name: &str| {
            let program = bin.join(name);
            let mut command = if is_root(&bin) {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
                command.arg(program);
                command
            } else {
                Command::new(program)
            };
            command
                .env("LD_LIBRARY_PATH", &libraries)
                .env("LC_ALL", "C");
            command
        };
        if is_root(folder.path()) {
            let given = Command::new("chown")
                .args(["-R", NOBODY])
                .arg(&data)
                .arg(&password)
                .status();
            assert!(given.expect("chown runs").success());
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
        }
        let mut made = server("initdb");
        made.args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        made.arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(&data);
        let made = made.output().expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let command = move |port: u16| {
            let mut command = server("postgres");
            command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
            for setting in [
                "listen_addresses=127.0.0.1",
                "unix_socket_directories=",
                "fsync=off",
            ] {
                command.args(["-c", setting]);
            }
            command
        };
        let (ready, libraries) = (release.program("pg_isready"), release.libraries());
        let answers = move |port: u16| {
            let mut asked = Command::new(&ready);
            asked.env("LD_LIBRARY_PATH", &libraries);
            let asked = asked
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status();
            asked.expect("pg_isready runs").success()
        };
        let log = folder.path().join("log");
        Self {
            release: release.clone(),
            process: Process::start("postgres", log, command, answers),
            _folder: folder,
        }
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.release.program(name)
    }

    /// What its programs need in their environment to reach it, but for the password.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.process.port().to_string()),
            ("PGUSER", "postgres".to_owned()),
            (
                "LD_LIBRARY_PATH",
                self.release.libraries().to_string_lossy().into_owned(),
            ),
        ]
    }

    /// Runs SQL as the superuser and returns the rows; panics if it fails.
    pub fn sql(&self, database: &str, text: &str) -> String {
        self.run(
            "psql",
            &["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text],
        )
    }

    /// Runs one of its programs as the superuser; panics if it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.program(program));
        command
            .args(arguments)
            .envs(self.environment())
            .env("PGPASSWORD", Self::PASSWORD);
        let output = command.output().expect("it runs");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("what it prints is UTF-8")
    }
}

/// Whose a folder of ours is, we are.
fn is_root(folder: &Path) -> bool {
    folder.metadata().expect("it is there").uid() == 0
}

/// Where the server's programs are: for somebody else than root, not where only root may look.
fn programs(release: &Release, folder: &Path) -> PathBuf {
    let bin = fs::canonicalize(release.program("postgres")).expect("it is there");
    let bin = bin.parent().expect("it lies in a folder").to_owned();
    if !is_root(folder) {
        return bin;
    }
    let copy = folder.join("programs");
    fs::create_dir(&copy).expect("the folder is ours");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(release.root().join("usr"))
        .arg(&copy)
        .status();
    assert!(copied.expect("cp runs").success());
    let below = bin.strip_prefix(fs::canonicalize(release.root()).expect("it is there"));
    copy.join(below.expect("it lies there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn postgres_answers_whoever_has_the_password() {
        let Some(release) = require("postgresql") else {
            return;
        };
        let postgres = Postgres::start(&release);
        assert_eq!(postgres.sql("postgres", "select 6 * 7"), "42\n");
        let mut stranger = Command::new(postgres.program("psql"));
        stranger
            .envs(postgres.environment())
            .env("PGPASSWORD", "wrong")
            .args(["-c", "select 1"]);
        assert!(!stranger.output().expect("psql runs").status.success());
    }
}
