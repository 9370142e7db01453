//! A client of S3 for what a test does behind strongroom's back: it makes buckets and users, and plays the attacker.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::azurite::base64;
use crate::http::{Message, ask};

const REGION: &str = "us-east-1";

/// An S3 server, asked with one key.
#[derive(Clone, Debug)]
pub struct S3 {
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// The access key's id.
    pub access_key: String,
    /// The access key.
    pub secret_key: String,
    /// What goes with a key that ends.
    pub session_token: Option<String>,
}

impl S3 {
    /// The same server, asked with another key.
    #[must_use]
    pub fn with_key(&self, access_key: &str, secret_key: &str) -> Self {
        Self {
            address: self.address.clone(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            session_token: None,
        }
    }

    /// The same server, asked with a key that may do what `policy` says and no more, of what we may: AWS's token service, as MinIO has it.
    #[must_use]
    pub fn assume_role(&self, policy: &str) -> Self {
        let policy = policy.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "%{byte:02X}");
            text
        });
        let form = format!("Action=AssumeRole&Version=2011-06-15&Policy={policy}");
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        let mut request = Message::new("POST / HTTP/1.1", &kind, form.as_bytes());
        self.sign(&mut request, "/", "", "sts");
        let answer = ask(&self.address, &request).expect("the server answers");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let text = answer.text();
        let [id, secret, token] = ["AccessKeyId", "SecretAccessKey", "SessionToken"]
            .map(|name| elements(&text, name).concat());
        Self {
            session_token: Some(token),
            ..self.with_key(&id, &secret)
        }
    }

    /// The same server, asked with a key that ends, as a platform hands one out, and may do with every bucket what we may.
    #[must_use]
    pub fn with_key_that_ends(&self) -> Self {
        self.assume_role(
            "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"s3:*\"],\
             \"Resource\":[\"arn:aws:s3:::*\"]}]}",
        )
    }

    /// Asks for `path`, which starts with a slash and needs no escapes; `query` is sorted, as `a=1&b=`.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Message {
        let question = if query.is_empty() { "" } else { "?" };
        let start = format!("{method} {path}{question}{query} HTTP/1.1");
        let mut request = Message::new(start, headers, body);
        if !body.is_empty() {
            // Settings are taken with a checksum only.
            let checksum = base64(&Sha256::digest(body));
            request
                .headers
                .push(("x-amz-checksum-sha256".to_owned(), checksum));
        }
        self.sign(&mut request, path, query, "s3");
        ask(&self.address, &request).expect("the server answers")
    }

    /// The same; panics unless the server does it.
    pub fn done(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Message {
        let answer = self.request(method, path, query, headers, body);
        let done = (200..300).contains(&answer.status());
        assert!(
            done,
            "{method} {path}?{query}: {} {}",
            answer.start,
            answer.text()
        );
        answer
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, bucket: &str) {
        self.done("PUT", &format!("/{bucket}"), "", &[], b"");
    }

    /// Makes a bucket whose objects can be locked, and which keeps their versions.
    pub fn make_locked_bucket(&self, bucket: &str) {
        let lock = ("x-amz-bucket-object-lock-enabled", "true");
        self.done("PUT", &format!("/{bucket}"), "", &[lock], b"");
    }

    /// Makes a bucket keep old versions of its objects.
    pub fn keep_versions(&self, bucket: &str) {
        let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Status>Enabled</Status></VersioningConfiguration>";
        self.done(
            "PUT",
            &format!("/{bucket}"),
            "versioning=",
            &[],
            body.as_bytes(),
        );
    }

    /// Gives a bucket a policy.
    pub fn set_policy(&self, bucket: &str, policy: &str) {
        self.done(
            "PUT",
            &format!("/{bucket}"),
            "policy=",
            &[],
            policy.as_bytes(),
        );
    }

    /// Puts an object without any condition, and says how that went.
    pub fn put(&self, bucket: &str, name: &str, body: &[u8]) -> u16 {
        self.request("PUT", &format!("/{bucket}/{name}"), "", &[], body)
            .status()
    }

    /// Reads an object.
    pub fn get(&self, bucket: &str, name: &str) -> Option<Vec<u8>> {
        let answer = self.request("GET", &format!("/{bucket}/{name}"), "", &[], b"");
        (answer.status() == 200).then_some(answer.body)
    }

    /// Deletes an object, and says how that went.
    pub fn delete(&self, bucket: &str, name: &str) -> u16 {
        self.request("DELETE", &format!("/{bucket}/{name}"), "", &[], b"")
            .status()
    }

    /// The names of all objects whose names start with `prefix`.
    pub fn list(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let prefix = prefix.replace('/', "%2F");
        let query = format!("list-type=2&prefix={prefix}");
        let text = self
            .done("GET", &format!("/{bucket}"), &query, &[], b"")
            .text();
        elements(&text, "Key")
    }

    fn sign(&self, request: &mut Message, path: &str, query: &str, service: &str) {
        if let Some(token) = &self.session_token {
            let header = ("x-amz-security-token".to_owned(), token.clone());
            request.headers.push(header);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = timestamp(now.expect("it is after 1970").as_secs());
        let hash = hex(&Sha256::digest(&request.body));
        for (name, value) in [
            ("host", self.address.as_str()),
            ("x-amz-content-sha256", &hash),
            ("x-amz-date", &time),
        ] {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        let mut headers: Vec<(String, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
            .collect();
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines = headers
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                let _ = writeln!(text, "{name}:{value}");
                text
            });
        let canonical = format!(
            "{}\n{path}\n{query}\n{lines}\n{names}\n{hash}",
            request.method()
        );
        let day = &time[..8];
        let scope = format!("{day}/{REGION}/{service}/aws4_request");
        let digest = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
        let secret = format!("AWS4{}", self.secret_key);
        let key = [day, REGION, service, "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| {
                hmac(&key, part.as_bytes()).to_vec()
            });
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        );
        request
            .headers
            .push(("authorization".to_owned(), authorization));
    }
}

/// The texts of all elements of that name in an XML document without nesting of it.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split(&close).next())
        .map(str::to_owned)
        .collect()
}

pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `20261122T101112Z`.
pub(crate) fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Days to a date: Howard Hinnant's algorithm, years that start in March.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_wants_them() {
        assert_eq!(timestamp(0), "19700101T000000Z");
        assert_eq!(timestamp(951_826_154), "20000229T120914Z");
        assert_eq!(timestamp(1_795_000_000), "20261118T110640Z");
    }

    #[test]
    fn the_mac_is_the_one_of_rfc_4231() {
        let mac = hmac(b"Jefe", b"what do ya want for nothing?");
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&mac), known);
    }
}
