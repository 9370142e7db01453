use std::fs::create_dir;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::s3::S3;
use crate::http::{Message, ask};
use crate::process::Process;
use crate::{Certificates, Release};

const ACCESS_KEY: &str = "root-access";
const SECRET_KEY: &str = "root-secret";

/// versitygw, an S3 server in front of a folder, with one root user. Killed when dropped, and its folder removed.
pub struct Versitygw {
    release: Release,
    process: Process,
    certificates: Option<Certificates>,
    // Dropped last: the process is gone then.
    folder: TempDir,
}

/// How a versitygw is started.
#[derive(Clone, Copy, Default)]
pub struct VersitygwOptions {
    /// Serve TLS.
    pub tls: bool,
    /// Take what stands before this name in the name of a host for a bucket.
    pub domain: Option<&'static str>,
}

impl Versitygw {
    /// Starts an empty one and waits until it answers.
    pub fn start(release: &Release, options: VersitygwOptions) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for name in ["buckets", "versions", "users"] {
            create_dir(folder.path().join(name)).expect("the folder is ours");
        }
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        let pair = certificates.as_ref().map(|made| made.server.clone());
        let (program, root) = (release.program("versitygw"), folder.path().to_owned());
        let command = move |port| {
            let mut command = Command::new(&program);
            command.args(["--port", &format!("127.0.0.1:{port}"), "--quiet"]);
            command.args(["--access", ACCESS_KEY, "--secret", SECRET_KEY]);
            command.arg("--iam-dir").arg(root.join("users"));
            if let Some(domain) = options.domain {
                command.args(["--virtual-domain", domain]);
            }
            if let Some(pair) = &pair {
                command.arg("--cert").arg(&pair.certificate);
                command.arg("--key").arg(&pair.key);
            }
            command.args(["posix", "--versioning-dir"]);
            command.arg(root.join("versions")).arg(root.join("buckets"));
            command
        };
        let log = folder.path().join("log");
        Self {
            release: release.clone(),
            process: Process::start("versitygw", log, command, answers),
            certificates,
            folder,
        }
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificates.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.process.port())
    }

    /// Asks it as root; not over TLS.
    pub fn s3(&self) -> S3 {
        S3 {
            address: format!("127.0.0.1:{}", self.process.port()),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            session_token: None,
        }
    }

    /// The root user's key and its secret.
    pub fn key(&self) -> (&'static str, &'static str) {
        (ACCESS_KEY, SECRET_KEY)
    }

    /// The certificates, if it was started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("started with TLS")
    }

    /// The folder that holds its buckets, one folder each.
    pub fn buckets(&self) -> PathBuf {
        self.folder.path().join("buckets")
    }

    /// Makes a user who may do nothing yet, and returns what asks in his name.
    pub fn add_user(&self, name: &str) -> S3 {
        let secret = format!("{name}-secret");
        self.admin(&[
            "create-user",
            "--access",
            name,
            "--secret",
            &secret,
            "--role",
            "user",
        ]);
        self.s3().with_key(name, &secret)
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same folder and the same port.
    pub fn restart(&mut self) {
        self.process.restart();
    }

    /// Lets it hang.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    fn admin(&self, arguments: &[&str]) {
        let mut command = Command::new(self.release.program("versitygw"));
        command.args(["admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY]);
        command.args(["--endpoint-url", &self.endpoint()]);
        let output = command.args(arguments).output().expect("versitygw runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "versitygw admin {arguments:?}: {said}"
        );
    }
}

/// A refusal is an answer; so is one to plain HTTP where TLS is spoken.
fn answers(port: u16) -> bool {
    let request = Message::new("GET / HTTP/1.1", &[], b"");
    match ask(&format!("127.0.0.1:{port}"), &request) {
        Ok(_) => true,
        // TLS: it closes the connection, or says in its own bytes that this was no handshake.
        Err(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;
    use std::net::TcpStream;

    #[test]
    fn it_survives_kill_and_leaves_nothing() {
        let Some(release) = require("versitygw") else {
            return;
        };
        let mut server = Versitygw::start(&release, VersitygwOptions::default());
        let s3 = server.s3();
        s3.make_bucket("bucket");
        assert_eq!(s3.put("bucket", "a/b", b"bytes"), 200);
        server.kill();
        server.restart();
        assert_eq!(s3.get("bucket", "a/b").as_deref(), Some(&b"bytes"[..]));
        assert_eq!(s3.list("bucket", "a/"), ["a/b"]);
        let user = server.add_user("user");
        assert_eq!(user.put("bucket", "c", b"bytes"), 403);
        let (folder, address) = (server.folder.path().to_owned(), s3.address);
        drop(server);
        assert!(!folder.exists());
        assert!(TcpStream::connect(address).is_err());
    }
}
