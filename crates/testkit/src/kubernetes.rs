use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::port::free_port;
use crate::process::{DEADLINE, comes_up, starts};
use crate::{Certificates, Etcd, EtcdOptions, Release, require};

/// The user that may do everything; its token is its name.
const ADMIN: &str = "admin";

/// A Kubernetes API server with RBAC on an etcd of its own, on loopback. Killed when dropped, and its folder removed.
///
/// Users are known by tokens, and each one's token is its name: `admin` may do everything, the others what RBAC grants
/// them, which is nothing at first. No kubelet and, unless asked for, no controller runs.
pub struct Kubernetes {
    release: Release,
    options: KubernetesOptions,
    etcd: Etcd,
    folder: TempDir,
    certificates: Certificates,
    port: u16,
    server: Option<Child>,
    controllers: Option<Child>,
}

/// How a Kubernetes is started.
#[derive(Default, Clone)]
pub struct KubernetesOptions {
    /// Users beside `admin`.
    pub users: Vec<String>,
    /// Encrypt Secrets in etcd, with these providers, as YAML in one line.
    pub encryption: Option<&'static str>,
    /// Run kube-controller-manager: garbage collection, service-account tokens, namespaces that go away.
    pub controllers: bool,
    /// How the etcd under it is started: with TLS, or without.
    pub etcd: EtcdOptions,
    /// Further arguments of the API server.
    pub arguments: Vec<String>,
}

/// One key, for [`KubernetesOptions::encryption`].
pub const AES_GCM: &str = "[aesgcm: {keys: [{name: k, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}, identity: {}]";

impl Kubernetes {
    /// Starts one and waits until it answers; `None` where its programs are missing, as [`require`] says.
    pub fn start(options: KubernetesOptions) -> Option<Self> {
        let release = require("kubernetes")?;
        let etcd = Etcd::start(&require("etcd")?, options.etcd.clone());
        let folder = TempDir::new().expect("a temporary folder");
        let certificates = Certificates::make(folder.path());
        let mut kubernetes = Self {
            release,
            options,
            etcd,
            folder,
            certificates,
            port: 0,
            server: None,
            controllers: None,
        };
        kubernetes.write_files();
        kubernetes.spawn();
        if kubernetes.options.controllers {
            kubernetes.start_controllers();
        }
        Some(kubernetes)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The kubeconfig of the user that may do everything.
    pub fn admin(&self) -> PathBuf {
        self.kubeconfig(ADMIN)
    }

    /// A kubeconfig with which one is `user`.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{user}.kubeconfig"));
        let authority = self.certificates.authority.display();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: '{}', certificate-authority: '{authority}'}}}}]\n\
             users: [{{name: test, user: {{token: '{user}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.url()
        );
        // Renamed into its place: somebody else may read it at this moment.
        let new = tempfile::NamedTempFile::new_in(self.folder.path());
        let mut new = new.expect("the folder is ours");
        new.write_all(text.as_bytes()).expect("the folder is ours");
        new.persist(&path).expect("the folder is ours");
        path
    }

    /// Runs `kubectl` as the administrator and returns what it printed; panics if it failed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.ctl_with(arguments, "")
    }

    /// The same with `input` on its standard input.
    pub fn ctl_with(&self, arguments: &[&str], input: &str) -> String {
        let (success, said) = self.try_ctl(arguments, input);
        assert!(success, "kubectl {arguments:?}: {said}");
        said
    }

    /// The same, and whether it succeeded; if it did not, with what it complained about.
    pub fn try_ctl(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = self.kubectl();
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        // Beside the reading, or both would wait for each other once a pipe is full.
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("kubectl runs");
        // It may not have wanted all of it.
        let _ = writing.join().expect("a writer does not panic");
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            said.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        (output.status.success(), said)
    }

    /// A command that runs `kubectl` as the administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.release.program("kubectl"));
        command.arg("--kubeconfig").arg(self.admin());
        // Or it would keep what it learns about servers in the user's home.
        command
            .arg("--cache-dir")
            .arg(self.folder.path().join("cache"));
        command
    }

    /// The certificate of the authority that signed the server's.
    pub fn authority(&self) -> &Path {
        &self.certificates.authority
    }

    /// The etcd under it.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// The same, to be killed and started again; then the API server has to be, for it moves.
    pub fn etcd_mut(&mut self) -> &mut Etcd {
        &mut self.etcd
    }

    /// Kills the API server as a power cut would. Its etcd goes on.
    pub fn kill(&mut self) {
        stop(&mut self.server);
    }

    /// Starts the API server again, at the same address.
    pub fn restart(&mut self) {
        self.kill();
        self.must_start(Self::spawn_once);
    }

    /// Lets the API server hang: connections are taken by the kernel, and nothing is answered until [`Self::resume`].
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{signal}"), &self.process().to_string()]);
        assert!(kill.status().expect("kill runs").success());
    }

    /// Starts the API server again, and with these providers from now on.
    pub fn encrypt_with(&mut self, providers: &'static str) {
        self.options.encryption = Some(providers);
        self.write_encryption();
        self.restart();
    }

    /// Its EncryptionConfiguration.
    pub fn encryption(&self) -> PathBuf {
        self.path("encryption.yaml")
    }

    /// The API server's process.
    pub fn process(&self) -> u32 {
        self.server.as_ref().expect("it is running").id()
    }

    /// Asks `is` again and again until it says yes; for what controllers do in their own time.
    pub fn wait_until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is(self) {
            assert!(Instant::now() < deadline, "it never came true: {what}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Whether RBAC lets `user` do this, as in `list secrets -n NAMESPACE`.
    pub fn may(&self, user: &str, what: &[&str]) -> bool {
        let ask = [&["auth", "can-i", "--as", user][..], what].concat();
        self.try_ctl(&ask, "").0
    }

    /// Waits until it does: the server goes by its roles a moment after it has taken them, those of a kind in the order in which they came.
    pub fn wait_until_may(&self, user: &str, what: &[&str]) {
        self.wait_until("the rights are in force", |it| it.may(user, what));
    }

    fn write_files(&self) {
        let people = self.options.users.iter();
        let people = people.map(|user| format!("{user},{user},{user},\"people\"\n"));
        let admin = format!("{ADMIN},{ADMIN},{ADMIN},\"system:masters\"\n");
        let tokens: String = std::iter::once(admin).chain(people).collect();
        self.write("tokens.csv", &tokens);
        self.write_encryption();
    }

    fn write_encryption(&self) {
        let Some(providers) = self.options.encryption else {
            return;
        };
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n\
             resources: [{{resources: [secrets], providers: {providers}}}]\n"
        );
        self.write("encryption.yaml", &text);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the folder is ours");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&mut self) {
        self.must_start(|it, deadline| {
            it.port = free_port();
            it.spawn_once(deadline)
        });
    }

    fn must_start(&mut self, mut start: impl FnMut(&mut Self, Instant) -> bool) {
        let started = starts(|deadline| start(self, deadline));
        assert!(
            started,
            "kube-apiserver did not start: {}",
            self.log("server")
        );
    }

    fn spawn_once(&mut self, deadline: Instant) -> bool {
        let mut command = self.program("kube-apiserver", "server");
        command.args(self.arguments());
        self.server = Some(command.spawn().expect("kube-apiserver runs"));
        let complaint = |it: &Self| format!("kube-apiserver does not answer: {}", it.log("server"));
        comes_up(
            self,
            deadline,
            |it| &mut it.server,
            Self::answers,
            complaint,
        )
    }

    fn arguments(&self) -> Vec<String> {
        let Certificates {
            authority, server, ..
        } = &self.certificates;
        let shown = |path: &Path| path.display().to_string();
        let mut arguments: Vec<String> = [
            ("etcd-servers", self.etcd.endpoint()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("advertise-address", "127.0.0.1".to_owned()),
            ("secure-port", self.port.to_string()),
            ("tls-cert-file", shown(&server.certificate)),
            ("tls-private-key-file", shown(&server.key)),
            ("client-ca-file", shown(authority)),
            ("token-auth-file", shown(&self.path("tokens.csv"))),
            ("authorization-mode", "RBAC".to_owned()),
            ("service-cluster-ip-range", "10.96.0.0/24".to_owned()),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc".to_owned(),
            ),
            // Any key will do, and this one is there. Its public half is read from a certificate, too.
            ("service-account-key-file", shown(&server.certificate)),
            ("service-account-signing-key-file", shown(&server.key)),
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
        ]
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
        if self.options.encryption.is_some() {
            let file = shown(&self.path("encryption.yaml"));
            arguments.push(format!("--encryption-provider-config={file}"));
        }
        if self.options.etcd.tls {
            let Certificates {
                authority, client, ..
            } = self.etcd.certificates();
            arguments.push(format!("--etcd-cafile={}", shown(authority)));
            arguments.push(format!("--etcd-certfile={}", shown(&client.certificate)));
            arguments.push(format!("--etcd-keyfile={}", shown(&client.key)));
        }
        arguments.extend_from_slice(&self.options.arguments);
        arguments
    }

    fn start_controllers(&mut self) {
        let mut command = self.program("kube-controller-manager", "controllers");
        let key = self.certificates.server.key.display();
        command
            .arg(format!("--kubeconfig={}", self.admin().display()))
            .arg(format!("--service-account-private-key-file={key}"))
            .arg(format!(
                "--root-ca-file={}",
                self.certificates.authority.display()
            ))
            .args([
                "--secure-port=0",
                "--leader-elect=false",
                "--use-service-account-credentials=false",
                // The last one runs only where it is named, as kubeadm names it.
                "--controllers=*,token-cleaner-controller",
            ]);
        self.controllers = Some(command.spawn().expect("kube-controller-manager runs"));
        self.wait_until("the controllers give a namespace its account", |it| {
            it.try_ctl(&["get", "serviceaccount", "default", "-n", "default"], "")
                .0
        });
    }

    fn program(&self, name: &str, log: &str) -> Command {
        let log = File::create(self.path(log)).expect("the folder is ours");
        let mut command = Command::new(self.release.program(name));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        command
    }

    fn answers(&self) -> bool {
        self.try_ctl(&["get", "--raw", "/readyz"], "").0
    }

    fn log(&self, name: &str) -> String {
        let log = fs::read_to_string(self.path(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        stop(&mut self.controllers);
        stop(&mut self.server);
    }
}

fn stop(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().expect("it was running");
        child.wait().expect("it was ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_survives_a_kill_and_asks_for_rights() {
        let users = vec!["nobody".to_owned()];
        let options = KubernetesOptions {
            users,
            encryption: Some(AES_GCM),
            controllers: true,
            ..KubernetesOptions::default()
        };
        let Some(mut kubernetes) = Kubernetes::start(options) else {
            return;
        };
        let secret = ["create", "secret", "generic", "s", "--from-literal=k=plain"];
        kubernetes.ctl(&secret);
        kubernetes.kill();
        kubernetes.restart();
        let kubeconfig = kubernetes.kubeconfig("nobody");
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        let (success, said) = kubernetes.try_ctl(&["get", "secret", "s", &kubeconfig], "");
        assert!(!success && said.contains("Forbidden"), "{said}");
        let stored = kubernetes
            .etcd()
            .ctl(&["get", "/registry/secrets/default/s"]);
        assert!(stored.contains("k8s:enc:aesgcm") && !stored.contains("plain"));
        kubernetes.ctl(&["delete", "secret", "s"]);

        let folder = kubernetes.folder.path().to_path_buf();
        drop(kubernetes);
        assert!(!folder.exists());
    }
}
