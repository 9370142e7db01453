//! etcd-backup's configuration, as etcd-backup reads it: keys that it does not know are passed over, which is said.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use foreign::etcd_backup::{MasterKey, Names, parse_period};
use repository::{Address, Bucket};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use source::etcd::{self, ClientCertificate, Login, Password, Timeouts, Tls};
use zeroize::Zeroizing;

use crate::config::load;
use crate::config::reference::Reference;
use crate::failure::Failure;

const HINT: &str = "docs/sources/etcd-backup.md lists every key";

/// A master key is 64 digits, and perhaps a line end.
const MASTER_KEY_FILE_MAX: u64 = 4096;

/// A stream that etcd sends may stand still for at least so long.
const IDLE_MIN: Duration = Duration::from_mins(1);

/// All that a configuration says, checked. No secret is read for this.
pub(crate) struct Config {
    /// The file.
    pub(crate) path: PathBuf,
    pub(crate) etcd: EtcdClient,
    /// Where the original leaves the snapshot for a while.
    pub(crate) snapshot_path: Option<PathBuf>,
    pub(crate) encryption_key: Option<PathBuf>,
    pub(crate) s3: S3Client,
    /// Keys that mean nothing, each by its path.
    pub(crate) unknown: Vec<String>,
}

/// How etcd is reached: over TLS.
pub(crate) struct EtcdClient {
    pub(crate) endpoints: Vec<String>,
    pub(crate) tls: Tls,
    /// A file with `username` and `password`.
    pub(crate) password_auth: Option<PathBuf>,
    pub(crate) connection_timeout: Option<Duration>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) retries: u64,
}

/// How the bucket is reached: over TLS.
pub(crate) struct S3Client {
    pub(crate) names: Names,
    /// With its scheme.
    pub(crate) endpoint: String,
    pub(crate) bucket: Bucket,
    pub(crate) region: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    /// A file with `access_key` and `secret_key`.
    pub(crate) key_auth: PathBuf,
    pub(crate) connection_timeout: Option<Duration>,
    pub(crate) request_timeout: Option<Duration>,
}

impl Config {
    /// Reads and checks the file at `path`. Paths in it are relative to the working directory, as the original has it.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = load::read_text(path)?;
        Ok(Self::parse(path, &text)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let file: File = load::parse_as(path, text, HINT)?;
        let values: Value = load::parse_as(path, text, HINT)?;
        let checker = Checker { path };
        Ok(Self {
            path: path.to_owned(),
            etcd: checker.etcd(file.etcd_client.unwrap_or_default())?,
            snapshot_path: given_path(file.snapshot_path),
            encryption_key: given_path(file.encryption_key_path),
            s3: checker.s3(file.s3_client.unwrap_or_default())?,
            unknown: unknown(&values),
        })
    }

    /// The master key, read now; `None`: dumps are stored as they are.
    pub(crate) fn master_key(&self) -> anyhow::Result<Option<MasterKey>> {
        let path = self.encryption_key.as_deref();
        path.map(read_master_key).transpose()
    }

    /// How etcd is captured: at the endpoints that are given.
    pub(crate) fn etcd_options(&self) -> etcd::Options {
        let usual = Timeouts::default();
        let client = &self.etcd;
        let request = client.request_timeout.unwrap_or(usual.request);
        etcd::Options {
            endpoints: client.endpoints.clone(),
            // What went into the object cannot be taken back; `retries` begins a new one.
            single_attempt: true,
            tls: Some(client.tls.clone()),
            login: client.password_auth.as_deref().map(login),
            proxy: etcd::Proxy::None,
            timeouts: Timeouts {
                connect: client.connection_timeout.unwrap_or(usual.connect),
                request,
                idle: request.max(IDLE_MIN),
            },
            ..etcd::Options::default()
        }
    }
}

/// Reads a file with a master key. Nothing of it is repeated in an error.
pub(crate) fn read_master_key(path: &Path) -> anyhow::Result<MasterKey> {
    use std::io::Read as _;
    let named = || format!("read the master key {}", path.display());
    let mut bytes = Zeroizing::new(Vec::with_capacity(MASTER_KEY_FILE_MAX as usize + 1));
    let file = std::fs::File::open(path).with_context(named)?;
    file.take(MASTER_KEY_FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(named)?;
    let key = MasterKey::parse(&bytes);
    key.map_err(|fault| {
        let message = format!("{} is no master key: {fault}", path.display());
        let hint = "it is 64 hexadecimal digits, as `openssl rand -hex 32` prints them";
        Failure::usage(message).hint(hint).into()
    })
}

/// Both are read when a connection is made.
fn login(file: &Path) -> Login {
    let part = |key: &str| Reference::Key(file.to_path_buf(), key.to_owned());
    let (user, password) = (part("username"), part("password"));
    let failed = |error: anyhow::Error| {
        source::Error::new(source::ErrorKind::Configuration, format!("{error:#}"))
    };
    Login {
        // etcd refuses a user without a name, and the password says why there is none.
        user: user.read_text().unwrap_or_default(),
        password: Box::new(move || {
            user.read_text().map_err(failed)?;
            password.read_text().map(Password::new).map_err(failed)
        }),
    }
}

struct Checker<'a> {
    path: &'a Path,
}

impl Checker<'_> {
    fn etcd(&self, client: EtcdTable) -> Result<EtcdClient, Failure> {
        let auth = client.auth.unwrap_or_default();
        let endpoints = client.endpoints.unwrap_or_default();
        if endpoints.is_empty() {
            return Err(self.missing("etcd_client.endpoints"));
        }
        let ca = given_path(auth.ca_cert);
        let ca = ca.ok_or_else(|| self.missing("etcd_client.auth.ca_cert"))?;
        let password_auth = given_path(auth.password_auth);
        let client_certificate = match (given_path(auth.client_cert), given_path(auth.client_key)) {
            // As in the original: one or the other.
            _ if password_auth.is_some() => None,
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (None, _) => return Err(self.missing("etcd_client.auth.client_cert")),
            (_, None) => return Err(self.missing("etcd_client.auth.client_key")),
        };
        Ok(EtcdClient {
            endpoints,
            tls: Tls {
                ca,
                client: client_certificate,
                server_name: None,
            },
            password_auth,
            connection_timeout: client.connection_timeout.and_then(Timeout::given),
            request_timeout: client.request_timeout.and_then(Timeout::given),
            retries: client.retries.unwrap_or_default(),
        })
    }

    fn s3(&self, client: S3Table) -> Result<S3Client, Failure> {
        let auth = client.auth.unwrap_or_default();
        let prefix = client.objects_prefix.unwrap_or_default();
        let names = Names::new(&prefix)
            .map_err(|fault| self.wrong("s3_client.objects_prefix", &fault.to_string()))?;
        let bucket = given(client.bucket).ok_or_else(|| self.missing("s3_client.bucket"))?;
        let bucket = match format!("s3://{bucket}").parse() {
            Ok(Address::Bucket(bucket)) if bucket.prefix.as_ref().is_empty() => bucket,
            _ => return Err(self.wrong("s3_client.bucket", "it is no name of a bucket")),
        };
        let endpoint = given(client.endpoint).ok_or_else(|| self.missing("s3_client.endpoint"))?;
        let endpoint = self.endpoint(&endpoint)?;
        let key_auth = given_path(auth.key_auth);
        let key_auth = key_auth.ok_or_else(|| self.missing("s3_client.auth.key_auth"))?;
        Ok(S3Client {
            region: given(client.region).or_else(|| amazons_region(&endpoint)),
            names,
            endpoint,
            bucket,
            ca_cert: given_path(auth.ca_cert),
            key_auth,
            connection_timeout: client.connection_timeout.and_then(Timeout::given),
            request_timeout: client.request_timeout.and_then(Timeout::given),
        })
    }

    /// `HOST:PORT`, spoken to over TLS.
    fn endpoint(&self, text: &str) -> Result<String, Failure> {
        let what = "s3_client.endpoint";
        let host = text.strip_prefix("https://").unwrap_or(text);
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.starts_with("http://") {
            return Err(self.wrong(what, "etcd-backup speaks HTTPS only: write HOST:PORT"));
        }
        // Not shown: what stands before an @ may be a password.
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(self.wrong(what, "it is not of the form HOST:PORT"));
        }
        Ok(format!("https://{host}"))
    }

    fn missing(&self, key: &str) -> Failure {
        let message = format!("{}: `{key}` is missing", self.path.display());
        Failure::usage(message).hint(HINT)
    }

    fn wrong(&self, key: &str, why: &str) -> Failure {
        let message = format!("{}: `{key}` cannot be used: {why}", self.path.display());
        Failure::usage(message).hint(HINT)
    }
}

/// Which region an endpoint of Amazon's is in, as the original's S3 client finds out.
fn amazons_region(endpoint: &str) -> Option<String> {
    let host = endpoint.strip_prefix("https://")?.split(':').next()?;
    let name = host.strip_suffix(".amazonaws.com")?;
    let region = name
        .strip_prefix("s3.")
        .or_else(|| name.strip_prefix("s3-"))?;
    let region = region.strip_prefix("dualstack.").unwrap_or(region);
    Some(region.to_owned())
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn given_path(text: Option<String>) -> Option<PathBuf> {
    given(text).map(PathBuf::from)
}

/// What the file says, word for word. What the original does not know is not looked at.
#[derive(Default, Deserialize)]
struct File {
    etcd_client: Option<EtcdTable>,
    snapshot_path: Option<String>,
    encryption_key_path: Option<String>,
    s3_client: Option<S3Table>,
}

#[derive(Default, Deserialize)]
struct EtcdTable {
    endpoints: Option<Vec<String>>,
    connection_timeout: Option<Timeout>,
    request_timeout: Option<Timeout>,
    retries: Option<u64>,
    auth: Option<EtcdAuth>,
}

#[derive(Default, Deserialize)]
struct EtcdAuth {
    ca_cert: Option<String>,
    client_cert: Option<String>,
    client_key: Option<String>,
    password_auth: Option<String>,
}

#[derive(Default, Deserialize)]
struct S3Table {
    objects_prefix: Option<String>,
    endpoint: Option<String>,
    bucket: Option<String>,
    region: Option<String>,
    auth: Option<S3Auth>,
    connection_timeout: Option<Timeout>,
    request_timeout: Option<Timeout>,
}

#[derive(Default, Deserialize)]
struct S3Auth {
    ca_cert: Option<String>,
    key_auth: Option<String>,
}

/// Every key that the original knows, with those in it.
const KNOWN: [(&str, &[&str]); 5] = [
    (
        "etcd_client",
        &[
            "endpoints",
            "connection_timeout",
            "request_timeout",
            "retries",
            "auth",
        ],
    ),
    (
        "etcd_client.auth",
        &["ca_cert", "client_cert", "client_key", "password_auth"],
    ),
    (
        "s3_client",
        &[
            "objects_prefix",
            "endpoint",
            "bucket",
            "region",
            "auth",
            "connection_timeout",
            "request_timeout",
        ],
    ),
    ("s3_client.auth", &["ca_cert", "key_auth"]),
    (
        "",
        &[
            "etcd_client",
            "snapshot_path",
            "encryption_key_path",
            "s3_client",
            "log_level",
        ],
    ),
];

/// The keys that the original does not know either.
fn unknown(values: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (table, known) in KNOWN {
        let parts = table.split('.').filter(|part| !part.is_empty());
        let at = parts.fold(values, |value, part| &value[part]);
        let keys = at.as_object().into_iter().flat_map(|map| map.keys());
        let dot = if table.is_empty() { "" } else { "." };
        let strange = keys.filter(|key| !known.contains(&key.as_str()));
        found.extend(strange.map(|key| format!("{table}{dot}{}", archive::Name::from(&**key))));
    }
    found
}

/// A length of time in Go's form, or a number of nanoseconds, as the original's YAML library has it.
struct Timeout(Duration);

impl Timeout {
    /// With none at all nothing would ever get through: the usual one is meant.
    fn given(self) -> Option<Duration> {
        Some(self.0).filter(|timeout| !timeout.is_zero())
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl Visitor<'_> for Forms {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time, like 30s or 1m30s")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timeout, E> {
                let parsed = parse_period(text).map(Timeout);
                parsed.map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_u64<E>(self, nanoseconds: u64) -> Result<Timeout, E> {
                Ok(Timeout(Duration::from_nanos(nanoseconds)))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
etcd_client:
  endpoints: ['10.0.0.1:2379', 10.0.0.2:2379]
  connection_timeout: 1m
  request_timeout: 1m30s
  retries: 5
  auth:
    ca_cert: etcd-ca.crt
    client_cert: etcd.crt
    client_key: etcd.key
    password_auth: ''
snapshot_path: /opt/snapshot.db
encryption_key_path: master.key
s3_client:
  objects_prefix: prod/etcd
  endpoint: s3.example:9000
  bucket: backups
  region: eu
  auth: {ca_cert: s3-ca.crt, key_auth: keys.yml}
  connection_timeout: 10s
  request_timeout: 20000000000
log_level: debug
";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("config.yml"), text).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(WHOLE).expect("it is whole");
        assert_eq!(config.unknown, [] as [&str; 0]);
        assert_eq!(
            config.snapshot_path.as_deref(),
            Some(Path::new("/opt/snapshot.db"))
        );
        assert_eq!(
            config.encryption_key.as_deref(),
            Some(Path::new("master.key"))
        );
        let options = config.etcd_options();
        assert!(options.validate().is_ok());
        assert_eq!(options.endpoints, ["10.0.0.1:2379", "10.0.0.2:2379"]);
        assert_eq!(options.timeouts.connect, Duration::from_mins(1));
        assert_eq!(options.timeouts.request, Duration::from_secs(90));
        assert_eq!(options.timeouts.idle, Duration::from_secs(90));
        assert!(options.login.is_none());
        let tls = options.tls.expect("always");
        assert!(
            tls.client
                .is_some_and(|client| client.key == Path::new("etcd.key"))
        );
        assert_eq!(config.etcd.retries, 5);
        let s3 = config.s3;
        assert_eq!(s3.names.prefix(), "prod/etcd");
        assert_eq!(
            (&*s3.endpoint, &*s3.bucket.name),
            ("https://s3.example:9000", "backups")
        );
        assert_eq!(s3.region.as_deref(), Some("eu"));
        assert_eq!(s3.ca_cert.as_deref(), Some(Path::new("s3-ca.crt")));
        assert_eq!(s3.key_auth, Path::new("keys.yml"));
        assert_eq!(s3.connection_timeout, Some(Duration::from_secs(10)));
        assert_eq!(s3.request_timeout, Some(Duration::from_secs(20)));
    }

    #[test]
    fn what_may_be_left_out_is_left_out() {
        let config = parse(
            "etcd_client: {endpoints: [e:1], retries: ~, connection_timeout: 0s, auth: {ca_cert: ca, client_key: k, password_auth: p}}\n\
             s3_client: {endpoint: 'https://s3.eu-west-1.amazonaws.com/', bucket: 12345, region: , auth: {key_auth: k}}\n",
        )
        .expect("it is enough");
        assert!(config.encryption_key.is_none() && config.snapshot_path.is_none());
        let options = config.etcd_options();
        assert_eq!(options.timeouts.connect, Timeouts::default().connect);
        // One or the other, as in the original.
        assert!(options.login.is_some() && options.tls.is_some_and(|tls| tls.client.is_none()));
        assert_eq!(config.s3.names.prefix(), "backup");
        assert_eq!(config.s3.bucket.name, "12345");
        assert_eq!(config.s3.endpoint, "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(config.s3.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn unknown_keys_are_named_and_passed_over() {
        let text = WHOLE
            .replace("  retries: 5", "  retries: 5\n  prefix: hunter2")
            .replace("bucket:", "access_key: hunter2\n  bucket:")
            .replace("log_level", "log_levle");
        let config = parse(&text).expect("they do no harm");
        assert_eq!(
            config.unknown,
            ["etcd_client.prefix", "s3_client.access_key", "log_levle"]
        );
    }

    #[test]
    fn what_cannot_work_is_said_with_its_place_and_without_its_value() {
        for (from, to, said) in [
            ("  bucket: backups\n", "", "`s3_client.bucket` is missing"),
            ("backups", "hunter2/x", "`s3_client.bucket` cannot be used"),
            ("s3.example:9000", "''", "`s3_client.endpoint` is missing"),
            ("s3.example:9000", "http://hunter2", "HTTPS only"),
            ("s3.example:9000", "u:hunter2@s3", "HOST:PORT"),
            (
                "key_auth: keys.yml",
                "",
                "`s3_client.auth.key_auth` is missing",
            ),
            (
                "prod/etcd",
                "/hunter2",
                "`s3_client.objects_prefix` cannot be used",
            ),
            (
                "    ca_cert: etcd-ca.crt\n",
                "",
                "`etcd_client.auth.ca_cert` is missing",
            ),
            (
                "    client_key: etcd.key\n",
                "",
                "`etcd_client.auth.client_key` is missing",
            ),
            (
                "    client_cert: etcd.crt\n",
                "",
                "`etcd_client.auth.client_cert` is missing",
            ),
            (
                "['10.0.0.1:2379', 10.0.0.2:2379]",
                "[]",
                "`etcd_client.endpoints` is missing",
            ),
            (
                "connection_timeout: 1m",
                "connection_timeout: hunter2",
                "config.yml:4:",
            ),
            (
                "connection_timeout: 1m",
                "connection_timeout: -1m",
                "a length of time",
            ),
            ("retries: 5", "retries: hunter2", "config.yml:6:"),
            (
                "auth: {ca_cert: s3-ca.crt, key_auth: keys.yml}",
                "auth: hunter2",
                "config.yml:19:",
            ),
        ] {
            let text = WHOLE.replace(from, to);
            assert_ne!(text, WHOLE, "{from}");
            let error = parse(&text).err().expect(from);
            assert!(
                error.contains(said) && !error.contains("hunter2"),
                "{from}: {error}"
            );
        }
        assert!(
            parse("")
                .err()
                .expect("empty")
                .contains("etcd_client.endpoints")
        );
    }
}
