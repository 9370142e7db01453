use std::fmt::Write as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::s3::hmac;
use crate::Release;
use crate::http::{Message, ask};
use crate::process::Process;

const ACCOUNT: &str = "account";
const KEY: &[u8] = b"the only key of this account";
const VERSION: &str = "2021-12-02";

/// Azurite, Microsoft's emulator of Azure Blob Storage, with one account. Killed when dropped, and its folder removed.
pub struct Azurite {
    process: Process,
    // Dropped last: the process is gone then.
    _folder: TempDir,
}

impl Azurite {
    /// Starts an empty one and waits until it answers.
    pub fn start(release: &Release) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (program, root) = (release.program("azurite-blob"), folder.path().join("blobs"));
        let command = move |port: u16| {
            let mut command = Command::new(&program);
            command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", base64(KEY)));
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
            command.arg("--location").arg(&root);
            command
        };
        let log = folder.path().join("log");
        Self {
            process: Process::start("azurite", log, command, answers),
            _folder: folder,
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.process.port())
    }

    /// Where clients connect: the account is part of the path.
    pub fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.address())
    }

    /// The name of the account.
    pub fn account(&self) -> &'static str {
        ACCOUNT
    }

    /// The account's key.
    pub fn key(&self) -> String {
        base64(KEY)
    }

    /// Makes a container.
    pub fn make_container(&self, name: &str) {
        let target = format!("/{ACCOUNT}/{name}?restype=container");
        let headers = [("x-ms-version", VERSION), ("x-ms-date", &http_date())];
        let mut request = Message::new(format!("PUT {target} HTTP/1.1"), &headers, b"");
        // Shared Key: the account stands twice in the resource, for the path of an emulator's address holds it too.
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
        let to_sign = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{}\nx-ms-version:{VERSION}\n{resource}",
            headers[1].1
        );
        let signature = base64(&hmac(KEY, to_sign.as_bytes()));
        let authorization = format!("SharedKey {ACCOUNT}:{signature}");
        request
            .headers
            .push(("authorization".to_owned(), authorization));
        let answer = ask(&self.address(), &request).expect("an answer");
        assert_eq!(answer.status(), 201, "{}", answer.text());
    }

    /// A shared access signature for a container; `permissions` in the order that the service wants: `racwdl`.
    pub fn sas(&self, container: &str, permissions: &str) -> String {
        let expiry = "2099-01-01T00:00:00Z";
        let resource = format!("/blob/{ACCOUNT}/{container}");
        let to_sign = format!(
            "{permissions}\n\n{expiry}\n{resource}\n\n\nhttps,http\n{VERSION}\nc\n\n\n\n\n\n\n"
        );
        let signature = base64(&hmac(KEY, to_sign.as_bytes()));
        let signature = signature
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        format!("sp={permissions}&se={expiry}&spr=https,http&sv={VERSION}&sr=c&sig={signature}")
    }

    /// Stops it. In good order: it keeps the names of all blobs in memory, and writes them down now and then.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again on the same folder and the same port.
    pub fn restart(&mut self) {
        self.process.restart();
    }
}

/// A refusal is an answer.
fn answers(port: u16) -> bool {
    let request = Message::new("GET /?comp=list HTTP/1.1", &[], b"");
    ask(&format!("127.0.0.1:{port}"), &request).is_ok()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for digit in 0..4 {
            if digit <= chunk.len() {
                let index = bits >> (18 - 6 * digit) & 63;
                text.push(char::from(DIGITS[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// `Sun, 22 Nov 2026 10:11:12 GMT`.
fn http_date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.expect("it is after 1970").as_secs();
    let stamp = super::s3::timestamp(seconds);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(seconds / 86400 % 7) as usize];
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months[stamp[4..6].parse::<usize>().expect("a month") - 1];
    let mut text = String::new();
    let (year, day, hour) = (&stamp[..4], &stamp[6..8], &stamp[9..11]);
    let (minute, second) = (&stamp[11..13], &stamp[13..15]);
    let _ = write!(
        text,
        "{weekday}, {day} {month} {year} {hour}:{minute}:{second} GMT"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn a_signature_that_may_only_create_does_not_overwrite() {
        let Some(release) = require("azurite") else {
            return;
        };
        let mut server = Azurite::start(&release);
        server.make_container("container");
        let sas = server.sas("container", "c");
        let put = |server: &Azurite| {
            let target = format!("/{ACCOUNT}/container/a/b?{sas}");
            let headers = [("x-ms-version", VERSION), ("x-ms-blob-type", "BlockBlob")];
            let request = Message::new(format!("PUT {target} HTTP/1.1"), &headers, b"bytes");
            ask(&server.address(), &request).expect("an answer")
        };
        let created = put(&server);
        assert_eq!(created.status(), 201, "{}", created.text());
        assert_eq!(put(&server).status(), 403);
        server.stop();
        server.restart();
        assert_eq!(put(&server).status(), 403);
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    }
}
