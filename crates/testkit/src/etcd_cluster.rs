use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::etcd::{SOON, etcdctl, go_architecture, require_password, serves};
use crate::port::free_port;
use crate::process::{DEADLINE, Process};
use crate::{Certificates, EtcdOptions, Release};

/// Several members of one etcd on loopback, each with a data directory of its own name below one folder. Killed when dropped.
pub struct EtcdCluster {
    release: Release,
    options: EtcdOptions,
    folder: TempDir,
    certificates: Option<Certificates>,
    members: Vec<Member>,
    /// What etcdctl says as root, once it is asked for.
    password: Option<String>,
    /// The member that was added to those that ran.
    joins: Option<usize>,
}

/// One of them. Where its peers find it is settled before it is started.
struct Member {
    name: String,
    peer: u16,
    process: Option<Process>,
}

impl EtcdCluster {
    /// Settles on names and peer URLs. Nothing runs yet.
    pub fn new(release: &Release, members: usize) -> Self {
        Self::new_with(release, members, EtcdOptions::default())
    }

    fn new_with(release: &Release, members: usize, options: EtcdOptions) -> Self {
        let members = (1..=members).map(Member::new);
        let folder = TempDir::new().expect("a temporary folder");
        Self {
            release: release.clone(),
            certificates: options.certificates(folder.path()),
            options,
            folder,
            members: members.collect(),
            password: None,
            joins: None,
        }
    }

    /// An empty one that runs.
    pub fn start(release: &Release, members: usize) -> Self {
        Self::start_with(release, members, EtcdOptions::default())
    }

    /// An empty one whose clients come as `options` says. Among themselves, members speak in clear.
    pub fn start_with(release: &Release, members: usize, options: EtcdOptions) -> Self {
        let mut cluster = Self::new_with(release, members, options);
        cluster.run();
        if let Some(password) = cluster.options.root_password.clone() {
            require_password(&password, |arguments| cluster.try_ctl(0, arguments));
            cluster.password = Some(password);
        }
        cluster
    }

    /// Starts all members on what is in their data directories, and waits until each serves.
    pub fn run(&mut self) {
        for number in 0..self.members.len() {
            let process = self.spawn(number);
            self.members[number].process = Some(process);
        }
        for number in 0..self.members.len() {
            self.wait_for(number);
        }
    }

    /// Adds a member that follows without a vote, and waits until it answers; its number.
    pub fn add_learner(&mut self) -> usize {
        let number = self.members.len();
        let member = Member::new(number + 1);
        let url = format!("--peer-urls={}", member.peer_url());
        self.ctl(0, &["member", "add", &member.name, "--learner", &url]);
        self.members.push(member);
        self.joins = Some(number);
        self.members[number].process = Some(self.spawn(number));
        let deadline = Instant::now() + DEADLINE;
        while !self.try_ctl(number, &[SOON, "endpoint", "status"]).0 {
            assert!(Instant::now() < deadline, "the learner does not answer");
            sleep(Duration::from_millis(50));
        }
        number
    }

    /// `NAME=URL,NAME=URL`, as etcd's flags want it.
    pub fn initial_cluster(&self) -> String {
        let all = self
            .members
            .iter()
            .map(|it| format!("{}={}", it.name, it.peer_url()));
        all.collect::<Vec<_>>().join(",")
    }

    /// The folder of the data directories, which is absent until there are some.
    pub fn data_dirs(&self) -> PathBuf {
        self.folder.path().join("members")
    }

    /// Where clients find each member, in order.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|it| self.endpoint(it))
            .collect()
    }

    /// Where clients find member number `member`.
    pub fn endpoint(&self, member: usize) -> String {
        format!("{}://{}", self.options.scheme(), self.address(member))
    }

    /// The certificates, if it was started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("started with TLS")
    }

    /// The same for whoever wants the bare connection.
    pub fn address(&self, member: usize) -> String {
        format!("127.0.0.1:{}", self.process(member).port())
    }

    /// Its name.
    pub fn name(&self, member: usize) -> &str {
        &self.members[member].name
    }

    /// Lets it hang until [`Self::resume`].
    pub fn pause(&self, member: usize) {
        self.process(member).pause();
    }

    /// Lets it go on.
    pub fn resume(&self, member: usize) {
        self.process(member).resume();
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self, member: usize) {
        let process = self.members[member].process.as_mut();
        process.expect("it was started").kill();
    }

    /// Starts it again on the same data and the same ports, and waits until it serves.
    pub fn restart(&mut self, member: usize) {
        let process = self.members[member].process.as_mut();
        process.expect("it was started").restart();
        self.wait_for(member);
    }

    /// Kills all of them.
    pub fn kill_all(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
    }

    /// Runs `etcdctl` against one member and returns what it printed; panics if it failed.
    pub fn ctl(&self, member: usize, arguments: &[&str]) -> String {
        let (success, said) = self.try_ctl(member, arguments);
        assert!(success, "etcdctl {arguments:?}: {said}");
        said
    }

    fn try_ctl(&self, member: usize, arguments: &[&str]) -> (bool, String) {
        let (endpoint, certificates) = (self.endpoint(member), self.certificates.as_ref());
        let password = self.password.as_deref();
        let mut command = etcdctl(&self.release, &endpoint, certificates, password);
        let output = command.args(arguments).output().expect("etcdctl runs");
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            said.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        (output.status.success(), said)
    }

    fn process(&self, member: usize) -> &Process {
        let process = self.members[member].process.as_ref();
        process.expect("it was started")
    }

    /// Until it has joined the others it takes connections and answers nobody.
    fn wait_for(&self, member: usize) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.try_ctl(member, &[SOON, "get", "--limit=1", "ready"]);
            if serves(&answer) {
                return;
            }
            let (name, said) = (self.name(member), answer.1);
            assert!(Instant::now() < deadline, "{name} does not serve: {said}");
            sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&self, number: usize) -> Process {
        let member = &self.members[number];
        let log = self.folder.path().join(format!("{}.log", member.name));
        let program = self.release.program("etcd");
        let data_dir = self.data_dirs().join(&member.name);
        let (name, peer, all) = (
            member.name.clone(),
            member.peer_url(),
            self.initial_cluster(),
        );
        let state = if self.joins == Some(number) {
            "existing"
        } else {
            "new"
        };
        let scheme = self.options.scheme();
        let more = self.options.arguments(self.certificates.as_ref());
        let command = move |port| {
            let client = format!("{scheme}://127.0.0.1:{port}");
            // A host has addresses that lead nowhere from elsewhere; nobody listens there.
            let advertised = format!("{scheme}://127.0.0.1:1,{client}");
            let mut command = etcd(&program, &data_dir, &name, &peer, &all);
            command.args(&more);
            command.arg(format!("--listen-client-urls={client}"));
            command.arg(format!("--advertise-client-urls={advertised}"));
            command.arg(format!("--initial-cluster-state={state}"));
            // Tests say who is asked first by who leads: some seconds without a processor, which a busy machine has, are no reason to elect.
            command.arg("--election-timeout=4000");
            command
        };
        Process::start("etcd", log, command, |port| {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }
}

fn etcd(program: &Path, data_dir: &Path, name: &str, peer: &str, all: &str) -> Command {
    let mut command = Command::new(program);
    // 3.4 asks for this wherever it is not amd64.
    command.env("ETCD_UNSUPPORTED_ARCH", go_architecture());
    for (flag, value) in [
        ("name", name),
        ("data-dir", &data_dir.display().to_string()),
        ("listen-peer-urls", peer),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", all),
        ("log-level", "warn"),
        ("logger", "zap"),
    ] {
        command.arg(format!("--{flag}={value}"));
    }
    // Tests kill processes, not machines: what was written stays in the kernel's cache.
    command.arg("--unsafe-no-fsync");
    command
}

impl Member {
    /// The one of that number, counted from 1.
    fn new(number: usize) -> Self {
        Self {
            name: format!("n{number}"),
            peer: free_port(),
            process: None,
        }
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }
}
