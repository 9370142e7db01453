use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::port::free_port;
use crate::process::{comes_up, starts};
use crate::{Certificates, Release};

/// One etcd, a cluster of its own, on loopback. Killed when dropped, and its folder removed.
pub struct Etcd {
    release: Release,
    options: EtcdOptions,
    folder: TempDir,
    data_dir: PathBuf,
    certificates: Option<Certificates>,
    ports: [u16; 2],
    child: Option<Child>,
}

/// What an etcd holds: by key, its value and the number of its lease, 0 for none. Keys and values are in base64, as `etcdctl` prints them.
pub type Held = BTreeMap<String, (String, i64)>;

/// What `etcdctl get --write-out=json` printed.
pub fn held_in(json: &str) -> Held {
    let json: Value = serde_json::from_str(json).expect("JSON");
    let kvs = json["kvs"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let held = kvs.iter().map(|kv| {
        let lease = kv["lease"].as_i64().unwrap_or_default();
        (text(&kv["key"]), (text(&kv["value"]), lease))
    });
    held.collect()
}

/// How an etcd is started.
#[derive(Default, Clone)]
pub struct EtcdOptions {
    /// Serve TLS, and only to clients with a certificate of the same authority.
    pub tls: bool,
    /// With TLS: serve clients without a certificate too.
    pub open: bool,
    /// Switch authentication on, with this password for the user `root`.
    pub root_password: Option<String>,
    /// After so many idle seconds a login is forgotten; etcd's own choice is five minutes. From 3.5 on.
    pub login_seconds: Option<u32>,
    /// More flags of etcd's own, such as `--max-txn-ops=5`.
    pub flags: &'static [&'static str],
}

impl EtcdOptions {
    /// What clients' URLs begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The certificates that it takes, made in `folder`.
    pub(crate) fn certificates(&self, folder: &Path) -> Option<Certificates> {
        self.tls.then(|| Certificates::make(folder))
    }

    /// etcd's flags for all that is asked for here.
    pub(crate) fn arguments(&self, certificates: Option<&Certificates>) -> Vec<String> {
        let mut arguments = vec!["--bcrypt-cost=4".to_owned()];
        if let Some(seconds) = self.login_seconds {
            arguments.push(format!("--auth-token-ttl={seconds}"));
        }
        arguments.extend(self.flags.iter().map(|&flag| flag.to_owned()));
        let Some(certificates) = certificates else {
            return arguments;
        };
        let Certificates {
            authority, server, ..
        } = certificates;
        if !self.open {
            arguments.push("--client-cert-auth".to_owned());
            arguments.push(format!("--trusted-ca-file={}", authority.display()));
        }
        arguments.push(format!("--cert-file={}", server.certificate.display()));
        arguments.push(format!("--key-file={}", server.key.display()));
        arguments
    }
}

/// Whoever asks again and again whether an etcd serves wants to hear soon that it does not.
pub(crate) const SOON: &str = "--command-timeout=5s";

/// `etcdctl` against an endpoint, with a certificate and as root, where that is asked for. It waits longer than it would by itself, for a busy
/// machine.
pub(crate) fn etcdctl(
    release: &Release,
    endpoint: &str,
    certificates: Option<&Certificates>,
    password: Option<&str>,
) -> Command {
    let mut command = Command::new(release.program("etcdctl"));
    command.env("ETCDCTL_API", "3").stdin(Stdio::null());
    command.arg(format!("--endpoints={endpoint}"));
    command.args(["--command-timeout=2m", "--dial-timeout=2m"]);
    if let Some(certificates) = certificates {
        command.arg("--cacert").arg(&certificates.authority);
        command.arg("--cert").arg(&certificates.client.certificate);
        command.arg("--key").arg(&certificates.client.key);
    }
    if let Some(password) = password {
        command.env("ETCDCTL_USER", format!("root:{password}"));
    }
    command
}

/// Whether this answer to a read says that etcd has a leader and serves: a write would succeed. With authentication on, a refusal is an answer.
pub(crate) fn serves((success, said): &(bool, String)) -> bool {
    *success || said.contains("user name is empty") || said.contains("permission denied")
}

/// What `etcdctl` has to be asked for, in this order, before etcd wants a password.
pub(crate) fn require_password(password: &str, ask: impl Fn(&[&str]) -> (bool, String)) {
    for arguments in [
        &["user", "add", &format!("root:{password}")][..],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        let (success, said) = ask(arguments);
        // Debian's 3.4 has the role `root` only once it is added.
        assert!(success, "etcdctl {}: {said}", arguments[0]);
    }
}

impl Etcd {
    /// Starts an empty one and waits until it answers.
    pub fn start(release: &Release, options: EtcdOptions) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let data_dir = folder.path().join("data");
        Self::start_in(release, options, folder, data_dir)
    }

    /// Starts one on a data directory that a restore has made.
    pub fn start_on(release: &Release, data_dir: &Path) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self::start_in(
            release,
            EtcdOptions::default(),
            folder,
            data_dir.to_path_buf(),
        )
    }

    fn start_in(
        release: &Release,
        options: EtcdOptions,
        folder: TempDir,
        data_dir: PathBuf,
    ) -> Self {
        let certificates = options.certificates(folder.path());
        let root_password = options.root_password.clone();
        let release = release.clone();
        let mut etcd = Self {
            release,
            options,
            folder,
            data_dir,
            certificates,
            ports: [0; 2],
            child: None,
        };
        etcd.spawn();
        if let Some(password) = root_password {
            require_password(&password, |arguments| etcd.try_ctl(arguments, None));
        }
        etcd
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.options.scheme(), self.address())
    }

    /// `127.0.0.1:PORT`, for whoever wants the bare connection.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The certificates, if it was started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("started with TLS")
    }

    /// Runs `etcdctl` against it as root and returns what it printed; panics if it failed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let password = self.options.root_password.as_deref();
        let (success, said) = self.try_ctl(arguments, password);
        assert!(success, "etcdctl {arguments:?}: {said}");
        said
    }

    /// Runs `etcdctl` with this on its standard input, and returns what it printed; panics if it failed.
    pub fn ctl_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.etcdctl(self.options.root_password.as_deref());
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("etcdctl runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input).expect("etcdctl reads it");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "etcdctl {arguments:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Puts a value that is too long for an argument.
    pub fn put(&self, key: &str, value: &[u8]) {
        let password = self.options.root_password.as_deref();
        let mut command = self.etcdctl(password);
        command.args(["put", key]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("etcdctl runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(value).expect("etcdctl reads it");
        drop(stdin);
        assert!(child.wait().expect("it ends").success(), "put {key}");
    }

    /// All keys with their values, as `etcdctl` prints them.
    pub fn everything(&self) -> String {
        self.ctl(&["get", "--prefix", "", "--write-out=json"])
    }

    /// The same, to be compared.
    pub fn held(&self) -> Held {
        held_in(&self.everything())
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was running");
            child.wait().expect("it was ours");
        }
    }

    /// Stops it in good order.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let status = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .expect("kill runs");
        assert!(status.success(), "etcd was still running");
        child.wait().expect("it was ours");
    }

    /// Starts it again on the same data directory, on other ports.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
    }

    /// The server's process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("it is running").id()
    }

    fn spawn(&mut self) {
        let started = starts(|deadline| self.spawn_once(deadline));
        assert!(started, "etcd did not start: {}", self.log());
    }

    fn spawn_once(&mut self, deadline: Instant) -> bool {
        self.ports = [free_port(), free_port()];
        let log = File::create(self.folder.path().join("log")).expect("the folder is ours");
        let mut command = Command::new(self.release.program("etcd"));
        command
            .args(self.arguments())
            .stdin(Stdio::null())
            .env_remove("ETCDCTL_API")
            // 3.4 asks for this wherever it is not amd64.
            .env("ETCD_UNSUPPORTED_ARCH", go_architecture());
        command
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        self.child = Some(command.spawn().expect("etcd runs"));
        let answers = |it: &Self| TcpStream::connect(it.address()).is_ok() && it.answers();
        let complaint = |it: &Self| format!("etcd does not answer: {}", it.log());
        comes_up(self, deadline, |it| &mut it.child, answers, complaint)
    }

    fn arguments(&self) -> Vec<String> {
        let peer = format!("http://127.0.0.1:{}", self.ports[1]);
        let mut arguments: Vec<String> = [
            ("data-dir", self.data_dir.display().to_string()),
            ("listen-client-urls", self.endpoint()),
            ("advertise-client-urls", self.endpoint()),
            ("listen-peer-urls", peer.clone()),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", format!("default={peer}")),
            ("log-level", "warn".to_owned()),
            ("logger", "zap".to_owned()),
        ]
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
        arguments.extend(self.options.arguments(self.certificates.as_ref()));
        // Tests kill processes, not machines: what was written stays in the kernel's cache.
        arguments.push("--unsafe-no-fsync".to_owned());
        arguments
    }

    fn answers(&self) -> bool {
        serves(&self.try_ctl(&[SOON, "get", "--limit=1", "ready"], None))
    }

    fn try_ctl(&self, arguments: &[&str], password: Option<&str>) -> (bool, String) {
        let mut command = self.etcdctl(password);
        let output = command.args(arguments).output().expect("etcdctl runs");
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            said.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        (output.status.success(), said)
    }

    fn etcdctl(&self, password: Option<&str>) -> Command {
        let certificates = self.certificates.as_ref();
        etcdctl(&self.release, &self.endpoint(), certificates, password)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// This machine's architecture, as Go calls it.
pub(crate) fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    fn starts_and_goes(name: &str) {
        let Some(release) = require(name) else { return };
        let mut etcd = Etcd::start(&release, EtcdOptions::default());
        etcd.ctl(&["put", "key", "value"]);
        etcd.kill();
        etcd.restart();
        assert_eq!(etcd.ctl(&["get", "--print-value-only", "key"]), "value\n");
        etcd.stop();
        etcd.restart();
        assert_eq!(etcd.ctl(&["get", "--print-value-only", "key"]), "value\n");

        let (folder, address) = (etcd.folder.path().to_path_buf(), etcd.address());
        drop(etcd);
        assert!(!folder.exists());
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn etcd_survives_kill_and_stop_and_leaves_nothing() {
        starts_and_goes("etcd");
    }

    #[test]
    fn debians_etcd_survives_kill_and_stop_and_leaves_nothing() {
        starts_and_goes("etcd-debian");
    }

    #[test]
    fn tls_and_passwords_are_asked_for() {
        let Some(release) = require("etcd") else {
            return;
        };
        let root_password = Some("pass".to_owned());
        let etcd = Etcd::start(
            &release,
            EtcdOptions {
                tls: true,
                root_password,
                ..EtcdOptions::default()
            },
        );
        etcd.ctl(&["put", "key", "value"]);
        let (success, _) = etcd.try_ctl(&["put", "key", "value"], Some("wrong"));
        assert!(!success);
    }
}
