use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Release;
use crate::process::Process;

/// How long a cluster may take until all members serve.
const DEADLINE: Duration = Duration::from_mins(1);

/// Several members of one etcd on loopback, each with a data directory of its own name below one folder. Killed when dropped.
pub struct EtcdCluster {
    release: Release,
    folder: TempDir,
    members: Vec<Member>,
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
        // All are held before the first is given up, so that they differ.
        let listeners: Vec<TcpListener> = (0..members)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let port = |it: &TcpListener| it.local_addr().expect("it is bound").port();
        let members = listeners
            .iter()
            .enumerate()
            .map(|(number, listener)| Member {
                name: format!("n{}", number + 1),
                peer: port(listener),
                process: None,
            });
        Self {
            release: release.clone(),
            folder: TempDir::new().expect("a temporary folder"),
            members: members.collect(),
            joins: None,
        }
    }

    /// An empty one that runs.
    pub fn start(release: &Release, members: usize) -> Self {
        let mut cluster = Self::new(release, members);
        cluster.run();
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let peer = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let member = Member {
            name: format!("n{}", number + 1),
            peer,
            process: None,
        };
        let url = format!("--peer-urls={}", member.peer_url());
        self.ctl(0, &["member", "add", &member.name, "--learner", &url]);
        self.members.push(member);
        self.joins = Some(number);
        self.members[number].process = Some(self.spawn(number));
        let deadline = Instant::now() + DEADLINE;
        while !self.try_ctl(number, &["endpoint", "status"]).0 {
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
        format!("http://{}", self.address(member))
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
        let mut command = Command::new(self.release.program("etcdctl"));
        command.env("ETCDCTL_API", "3").stdin(Stdio::null());
        command.arg(format!("--endpoints={}", self.endpoint(member)));
        let output = command.args(arguments).output().expect("etcdctl runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
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
            let (success, said) = self.try_ctl(member, &["get", "--limit=1", "ready"]);
            if success {
                return;
            }
            let name = self.name(member);
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
        let command = move |port| {
            let mut command = etcd(&program, &data_dir, &name, &peer, &all, port);
            command.arg(format!("--initial-cluster-state={state}"));
            command
        };
        Process::start("etcd", log, command, |port| {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }
}

fn etcd(program: &Path, data_dir: &Path, name: &str, peer: &str, all: &str, port: u16) -> Command {
    let client = format!("http://127.0.0.1:{port}");
    // A host has addresses that lead nowhere from elsewhere; nobody listens there.
    let advertised = format!("http://127.0.0.1:1,{client}");
    let mut command = Command::new(program);
    for (flag, value) in [
        ("name", name),
        ("data-dir", &data_dir.display().to_string()),
        ("listen-client-urls", &client),
        ("advertise-client-urls", &advertised),
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
    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }
}
