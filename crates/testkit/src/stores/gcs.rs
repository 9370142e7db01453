use std::process::Command;

use tempfile::TempDir;

use crate::Release;
use crate::http::{Message, ask};
use crate::process::Process;

/// The bucket that it has.
const BUCKET: &str = "bucket";

/// Our fake of Google Cloud Storage (`servers/gcs`): it checks conditions, and no rights. Killed when dropped.
pub struct Gcs {
    process: Process,
    // Dropped last: the process is gone then.
    _folder: TempDir,
}

/// How the fake is started.
#[derive(Clone, Copy, Default)]
pub struct GcsOptions {
    /// Keep old versions of objects, in memory: a kill loses everything.
    pub versioned: bool,
}

impl Gcs {
    /// Starts one with an empty bucket and waits until it answers.
    pub fn start(release: &Release, options: GcsOptions) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (program, root) = (release.program("gcs"), folder.path().join("objects"));
        let command = move |port| {
            let mut command = Command::new(&program);
            command.args(["-address", &format!("127.0.0.1:{port}"), "-bucket", BUCKET]);
            if options.versioned {
                command.arg("-versioned");
            } else {
                command.arg("-root").arg(&root);
            }
            command
        };
        let log = folder.path().join("log");
        Self {
            process: Process::start("gcs", log, command, answers),
            _folder: folder,
        }
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.process.port())
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.process.port())
    }

    /// The bucket that it has.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// Puts an object, whatever is there.
    pub fn put(&self, name: &str, body: &[u8]) {
        let name = name.replace('/', "%2F");
        self.done(&format!("PUT /{BUCKET}/{name}"), body);
    }

    /// Deletes an object.
    pub fn delete(&self, name: &str) {
        let name = name.replace('/', "%2F");
        self.done(&format!("DELETE /storage/v1/b/{BUCKET}/o/{name}"), b"");
    }

    /// The names of all objects whose names start with `prefix`.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.replace('/', "%2F");
        let listed = self.done(
            &format!("GET /storage/v1/b/{BUCKET}/o?prefix={prefix}"),
            b"",
        );
        let text = listed.text();
        let names = text.split("\"name\":\"").skip(1);
        names
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    }

    fn done(&self, start: &str, body: &[u8]) -> Message {
        let request = Message::new(format!("{start} HTTP/1.1"), &[], body);
        let answer = ask(&self.address(), &request).expect("an answer");
        let done = answer.status() / 100 == 2;
        assert!(done, "{start}: {} {}", answer.start, answer.text());
        answer
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

fn answers(port: u16) -> bool {
    let request = Message::new("GET /_internal/healthcheck HTTP/1.1", &[], b"");
    let answer = ask(&format!("127.0.0.1:{port}"), &request);
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn it_checks_the_condition() {
        let Some(release) = require("gcs") else {
            return;
        };
        for versioned in [false, true] {
            let server = Gcs::start(&release, GcsOptions { versioned });
            let put = |bytes: &[u8]| {
                let condition = [("x-goog-if-generation-match", "0")];
                let request = Message::new("PUT /bucket/a%2Fb HTTP/1.1", &condition, bytes);
                ask(&server.address(), &request).expect("an answer")
            };
            let stored = put(b"first");
            assert_eq!(stored.status(), 200, "{}", stored.text());
            assert!(stored.header("etag").is_some());
            assert_eq!(put(b"second").status(), 412);
            let request = Message::new("GET /bucket/a%2Fb HTTP/1.1", &[], b"");
            let read = ask(&server.address(), &request).expect("an answer");
            assert_eq!(read.text(), "first");
        }
    }
}
