use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Release;
use crate::port::free_port;
use crate::process::Process;

/// A RabbitMQ on loopback, without plugins. Killed when dropped, and its folder removed.
pub struct RabbitMq {
    release: Release,
    process: Process,
    /// Who tells Erlang's programs where each other are.
    names: Child,
    names_port: u16,
    // Dropped last: the processes are gone then.
    folder: TempDir,
}

impl RabbitMq {
    /// Starts an empty one and waits until it answers.
    pub fn start(release: &Release) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("plugins"), "[].").expect("the folder is ours");
        let names_port = free_port();
        let names = release.root().join("usr/lib/erlang/bin/epmd");
        let names = Command::new(names)
            .args(["-address", "127.0.0.1", "-port", &names_port.to_string()])
            .stdin(Stdio::null())
            .spawn();
        let log = folder.path().join("log");
        let command = {
            let (release, folder) = (release.clone(), folder.path().to_owned());
            move |port: u16| {
                let mut command = Command::new(release.program("rabbitmq-server"));
                command.envs(environment(&release, &folder, names_port));
                command.env("RABBITMQ_NODE_PORT", port.to_string());
                command.env("RABBITMQ_DIST_PORT", free_port().to_string());
                // The script starts the server beside itself.
                command.current_dir(&folder).process_group(0);
                command
            }
        };
        let started = log.clone();
        let answers = move |_| {
            let log = fs::read_to_string(&started).unwrap_or_default();
            log.contains("Starting broker... completed")
        };
        Self {
            release: release.clone(),
            names: names.expect("epmd runs"),
            names_port,
            process: Process::start("rabbitmq-server", log, command, answers),
            folder,
        }
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.release.program(name)
    }

    /// What `rabbitmqctl` needs in its environment to reach it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&self.release, self.folder.path(), self.names_port)
    }

    /// Runs `rabbitmqctl` and returns what it printed; panics if it failed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.program("rabbitmqctl"));
        command.arg("-q").args(arguments).envs(self.environment());
        let output = command
            .current_dir(self.folder.path())
            .output()
            .expect("rabbitmqctl runs");
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("what it prints is UTF-8")
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if let Some(id) = self.process.id() {
            // The whole group, which is ours.
            let _ = Command::new("kill")
                .args(["-KILL", "--", &format!("-{id}")])
                .status();
        }
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn environment(release: &Release, folder: &Path, names_port: u16) -> Vec<(&'static str, String)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let erlang = release.root().join("usr/lib/erlang/bin");
    let search = std::env::var("PATH").unwrap_or_default();
    vec![
        ("HOME", path("")),
        ("PATH", format!("{}:{search}", erlang.display())),
        (
            "LD_LIBRARY_PATH",
            release.libraries().to_string_lossy().into_owned(),
        ),
        ("ERL_EPMD_PORT", names_port.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_CRASH_DUMP", path("crash")),
        ("RABBITMQ_NODENAME", "test@localhost".to_owned()),
        ("RABBITMQ_MNESIA_BASE", path("mnesia")),
        ("RABBITMQ_LOG_BASE", path("logs")),
        ("RABBITMQ_CONFIG_FILE", path("none")),
        ("RABBITMQ_CONF_ENV_FILE", path("none")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        ("RABBITMQ_FEATURE_FLAGS_FILE", path("features")),
        ("RABBITMQ_PID_FILE", path("pid")),
        ("RABBITMQ_SCHEMA_DIR", path("schema")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn rabbitmq_answers_and_leaves_nothing_behind() {
        let Some(release) = require("rabbitmq") else {
            return;
        };
        let rabbit = RabbitMq::start(&release);
        rabbit.ctl(&["add_vhost", "shop"]);
        assert!(
            rabbit
                .ctl(&["list_vhosts", "--no-table-headers"])
                .contains("shop")
        );
        let folder = rabbit.folder.path().to_owned();
        drop(rabbit);
        assert!(!folder.exists());
    }
}
