use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testkit::{Etcd, EtcdOptions, Release, Versitygw, VersitygwOptions, require};

use crate::scene::{Scene, Seen};

/// Two master keys.
pub(super) const MASTER: &str = "22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa22aa";
pub(super) const OTHER_MASTER: &str =
    "33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb33bb";

/// Of every bucket.
pub(super) const BUCKET: &str = "bucket";

/// A cluster, a bucket, and etcd-backup's configuration for both in a scene.
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) etcd: Etcd,
    pub(super) server: Versitygw,
    pub(super) release: Release,
    peer: Release,
}

impl World {
    /// Dumps are sealed. `None`: a server is missing, and that was said.
    pub(super) fn sealed() -> Option<Self> {
        let world = Self::bare(EtcdOptions {
            tls: true,
            ..EtcdOptions::default()
        })?;
        world.configure(&world.config());
        Some(world)
    }

    pub(super) fn bare(options: EtcdOptions) -> Option<Self> {
        let release = require("etcd")?;
        let gateway = require("versitygw")?;
        let peer = require("etcd-backup-peer")?;
        let world = Self {
            scene: Scene::bare(),
            etcd: Etcd::start(&release, options),
            server: Versitygw::start(
                &gateway,
                VersitygwOptions {
                    tls: true,
                    ..VersitygwOptions::default()
                },
            ),
            release,
            peer,
        };
        let (key, secret) = world.server.key();
        let keys = format!("access_key: {key}\nsecret_key: {secret}\n");
        world.scene.write("keys.yml", keys);
        // With a line end, which the original does not read.
        world.scene.write("master.key", format!("{MASTER}\n"));
        world.scene.write("other.key", format!("{OTHER_MASTER}\n"));
        world.peer(&["bucket"], MASTER, b"");
        Some(world)
    }

    /// Everything that there is to configure.
    pub(super) fn config(&self) -> String {
        let etcd = self.etcd.certificates();
        let s3 = self.server.certificates();
        let show = |path: &PathBuf| path.display().to_string();
        format!(
            "etcd_client:\n  endpoints: ['{}']\n  connection_timeout: 10s\n  request_timeout: 30s\n  retries: 2\n  auth:\n    \
             ca_cert: {}\n    client_cert: {}\n    client_key: {}\n\
             snapshot_path: {}\nencryption_key_path: master.key\n\
             s3_client:\n  objects_prefix: backup\n  endpoint: '{}'\n  bucket: {BUCKET}\n  region: us-east-1\n  auth:\n    \
             ca_cert: {}\n    key_auth: keys.yml\n  connection_timeout: 10s\n  request_timeout: 30s\nlog_level: debug\n",
            self.etcd.address(),
            show(&etcd.authority),
            show(&etcd.client.certificate),
            show(&etcd.client.key),
            show(&self.scene.path("snapshot.db")),
            self.s3_address(),
            show(&s3.authority),
        )
    }

    pub(super) fn configure(&self, config: &str) {
        self.scene.write("config.yml", config);
    }

    /// With this in place of that.
    pub(super) fn reconfigure(&self, from: &str, to: &str) {
        let config = fs::read_to_string(self.scene.path("config.yml")).expect("it was written");
        assert!(config.contains(from), "{config}");
        self.configure(&config.replace(from, to));
    }

    pub(super) fn s3_address(&self) -> String {
        self.server.endpoint().replace("https://", "")
    }

    /// Keys of many sizes: a database of several chunks, whose last one is long enough for the original to lose its end.
    pub(super) fn fill(&self, name: &str) {
        for number in 0..45 {
            let word = format!("{name}{number}-");
            let value = word.repeat(120_000 / word.len());
            self.etcd.ctl(&["put", &format!("{name}/{number}"), &value]);
        }
        self.etcd.ctl(&["put", &format!("{name}/empty"), ""]);
        self.etcd.ctl(&["del", &format!("{name}/7")]);
    }

    /// A command of `etcd-backup`, with etcd's programs in `PATH`.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self
            .scene
            .strongroom(&[&["etcd-backup"][..], arguments].concat());
        command.env("PATH", self.path());
        command
    }

    pub(super) fn path(&self) -> std::ffi::OsString {
        let tool = self.release.program("etcdutl");
        let folder = tool.parent().expect("it is in a folder").to_path_buf();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(folder).chain(std::env::split_paths(&others));
        std::env::join_paths(all).expect("paths")
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Seen {
        Seen::of(&mut self.command(arguments))
    }

    /// Takes a backup, and returns its name without its ending.
    pub(super) fn back_up(&self) -> String {
        let backed_up = self.run(&["backup", "--json"]).done().json();
        let object = backed_up["object"].as_str().expect("a name");
        let name = object.strip_prefix("s3://bucket/").expect("in the bucket");
        name.strip_suffix(".dump").expect("a dump").to_owned()
    }

    /// A backup restored, served, and read: all its keys.
    pub(super) fn restored(&self, arguments: &[&str]) -> String {
        let _ = fs::remove_dir_all(self.scene.path("data"));
        let arguments = [&["restore", "-d", "data"][..], arguments].concat();
        self.run(&arguments).done();
        self.served()
    }

    /// What an etcd on the restored data directory has: all its keys.
    pub(super) fn served(&self) -> String {
        let etcd = Etcd::start_on(&self.release, &self.scene.path("data"));
        keys(&etcd.everything())
    }

    /// All keys of the cluster.
    pub(super) fn keys(&self) -> String {
        keys(&self.etcd.everything())
    }

    /// The object of this name in the bucket, as a file.
    pub(super) fn object(&self, name: &str) -> PathBuf {
        self.server.buckets().join(BUCKET).join(name)
    }

    /// The names at the top of the bucket.
    pub(super) fn objects(&self) -> Vec<String> {
        let entries = fs::read_dir(self.server.buckets().join(BUCKET)).expect("the bucket");
        let names = entries.map(|it| {
            it.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The times of all dumps, as they stand in their names.
    pub(super) fn dumps(&self) -> Vec<String> {
        let objects = self.objects().into_iter();
        let stamp = |name: String| {
            let name = name.strip_prefix("backup-")?.strip_suffix(".dump")?;
            Some(name.to_owned())
        };
        objects.filter_map(stamp).collect()
    }

    /// The other reader and writer.
    pub(super) fn peer(&self, arguments: &[&str], master: &str, stdin: &[u8]) -> Vec<u8> {
        let authority = &self.server.certificates().authority;
        self.peer_at(&self.s3_address(), authority, arguments, master, stdin)
    }

    /// The same on another server, which has the same root user.
    pub(super) fn peer_at(
        &self,
        address: &str,
        authority: &Path,
        arguments: &[&str],
        master: &str,
        stdin: &[u8],
    ) -> Vec<u8> {
        let (key, secret) = self.server.key();
        let mut command = Command::new(self.peer.program("etcd-backup-peer"));
        command.args(arguments).envs([
            ("ENDPOINT", address),
            ("ACCESS_KEY", key),
            ("SECRET_KEY", secret),
            ("REGION", "us-east-1"),
            ("BUCKET", BUCKET),
            ("MASTER", master),
        ]);
        command.env("CA", authority);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut input = child.stdin.take().expect("piped");
        let stdin = stdin.to_vec();
        let writing = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut input, &stdin);
        });
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().expect("it ends");
        writing.join().expect("it writes");
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "etcd-backup-peer {arguments:?}: {said}");
        stdout
    }

    /// What the scene holds besides what the tests put there.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let known = [
            "config.yml",
            "keys.yml",
            "master.key",
            "other.key",
            "secrets",
            "tmp",
            "password.yml",
        ];
        let mut left = Vec::new();
        for folder in ["", "tmp"] {
            for entry in fs::read_dir(self.scene.path(folder)).expect("a folder") {
                let name = entry.expect("an entry").file_name();
                let name = name.to_string_lossy().into_owned();
                if !known.contains(&&*name) {
                    left.push(name);
                }
            }
        }
        left.sort();
        left
    }
}

/// Keys, values, versions and revisions, without what differs from member to member.
pub(super) fn keys(everything: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(everything).expect("JSON");
    assert!(answer["count"].as_u64() > Some(0), "{everything}");
    answer["kvs"].to_string()
}

/// For whoever looks why a test failed, or for figures in the documents.
#[expect(clippy::print_stderr, reason = "a test's own output")]
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}
