use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::s3::S3;
use crate::http::{Message, ask};
use crate::process::Process;
use crate::{Certificates, Release};

const ACCESS_KEY: &str = "root-access";
const SECRET_KEY: &str = "root-secret";
/// It writes this into its folder when it takes it, which may be after it listens.
const TAKEN: &str = "data/.minio.sys/format.json";

/// MinIO on one folder, with one root user. Killed when dropped, and its folder removed.
pub struct Minio {
    process: Process,
    certificates: Option<Certificates>,
    // Dropped last: the process is gone then.
    folder: TempDir,
}

impl Minio {
    /// Starts an empty one and waits until it answers.
    pub fn start(release: &Release) -> Self {
        Self::start_with(release, &[])
    }

    /// The same, configured by these variables of the environment.
    pub fn start_with(release: &Release, environment: &[(&'static str, String)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self::start_in(folder, release, None, environment)
    }

    /// One that speaks TLS and has its folder. It may not serve yet when this returns, and says so to whoever asks.
    pub fn start_with_tls(release: &Release) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let certificates = Certificates::make(folder.path());
        Self::start_in(folder, release, Some(certificates), &[])
    }

    fn start_in(
        folder: TempDir,
        release: &Release,
        certificates: Option<Certificates>,
        environment: &[(&'static str, String)],
    ) -> Self {
        let pairs = folder.path().join("certificates");
        fs::create_dir(&pairs).expect("the folder is ours");
        if let Some(made) = &certificates {
            // By these names it looks for them.
            fs::copy(&made.server.certificate, pairs.join("public.crt")).expect("copied");
            fs::copy(&made.server.key, pairs.join("private.key")).expect("copied");
        }
        let (program, root) = (release.program("minio"), folder.path().to_owned());
        let environment = environment.to_vec();
        let command = move |port| {
            let mut command = Command::new(&program);
            command.envs(environment.iter().cloned());
            command.env("MINIO_ROOT_USER", ACCESS_KEY);
            command.env("MINIO_ROOT_PASSWORD", SECRET_KEY);
            command.env("MINIO_BROWSER", "off");
            command.env("MINIO_UPDATE", "off");
            command.env("HOME", &root);
            command.arg("server").arg(root.join("data"));
            command.arg("--certs-dir").arg(&pairs);
            command.args(["--quiet", "--address", &format!("127.0.0.1:{port}")]);
            command
        };
        let log = folder.path().join("log");
        let talks: fn(u16) -> bool = if certificates.is_some() {
            speaks
        } else {
            answers
        };
        let taken = folder.path().join(TAKEN);
        let ready = move |port| taken.exists() && talks(port);
        Self {
            process: Process::start("minio", log, command, ready),
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

    /// The folder that holds its buckets, one folder each: who asks over TLS makes one there.
    pub fn buckets(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The certificates, if it was started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("started with TLS")
    }

    /// Asks it as root; not over TLS.
    pub fn s3(&self) -> S3 {
        root(format!("127.0.0.1:{}", self.process.port()))
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same folder and the same port.
    pub fn restart(&mut self) {
        self.process.restart();
    }
}

/// It answers long before it serves.
fn answers(port: u16) -> bool {
    let address = format!("127.0.0.1:{port}");
    TcpStream::connect(&address).is_ok()
        && root(address).request("GET", "/", "", &[], b"").status() == 200
}

/// It tells whoever speaks plain HTTP that this was no handshake.
fn speaks(port: u16) -> bool {
    let request = Message::new("GET / HTTP/1.1", &[], b"");
    ask(&format!("127.0.0.1:{port}"), &request).is_ok_and(|it| it.status() == 400)
}

fn root(address: String) -> S3 {
    S3 {
        address,
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
        session_token: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn it_survives_kill() {
        let Some(release) = require("minio") else {
            return;
        };
        let mut server = Minio::start(&release);
        let s3 = server.s3();
        s3.make_bucket("bucket");
        s3.keep_versions("bucket");
        assert_eq!(s3.put("bucket", "a/b", b"bytes"), 200);
        server.kill();
        server.restart();
        assert_eq!(s3.get("bucket", "a/b").as_deref(), Some(&b"bytes"[..]));
    }
}
