use std::path::PathBuf;
use std::time::Duration;

use archive::Name;
use zeroize::Zeroizing;

use super::proxy::Proxy;
use crate::{Error, ErrorKind};

/// How to reach a cluster. No `Debug`: it knows how to get at a password.
#[derive(Default)]
pub struct Options {
    /// `https://host:2379`, `http://host:2379` or `host:2379`: these are asked, and no others, unless `advertised` says so.
    /// Without a scheme: `https` if `tls` is given.
    pub endpoints: Vec<String>,
    /// Ask the members too that those behind `endpoints` know of, where they say that clients find them.
    pub advertised: bool,
    /// The member to capture, by name or by ID in hexadecimal, and no other; left out, the best is chosen.
    pub member: Option<String>,
    /// Compare the hashes of all members' keys at one revision first.
    pub compare_hashes: bool,
    /// Do not begin again with another member when a snapshot breaks off: for whoever cannot take back what was poured.
    pub single_attempt: bool,
    /// For `https`.
    pub tls: Option<Tls>,
    /// For a cluster with authentication; the user needs the role `root`.
    pub login: Option<Login>,
    /// Which way connections take.
    pub proxy: Proxy,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// Whom to trust, and who we are. Files are read anew for every capture.
#[derive(Debug, Clone)]
pub struct Tls {
    /// PEM file with the authorities that sign the servers' certificates.
    pub ca: PathBuf,
    /// What the server is shown, if it asks for a certificate.
    pub client: Option<ClientCertificate>,
    /// The name that the server's certificate must have, if not the endpoint's host.
    pub server_name: Option<String>,
}

/// A client's certificate and key, PEM files.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A user of the cluster and where their password is to be had.
pub struct Login {
    /// The user's name in etcd.
    pub user: String,
    /// Called once for every capture, and again before another member is tried, so that a changed password is picked up.
    pub password: LoadPassword,
}

/// Fetches the password from where the configuration says it is.
pub type LoadPassword = Box<dyn Fn() -> Result<Password, Error> + Send + Sync>;

/// A password. No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the password as it is.
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection; through a proxy, until it has opened the tunnel.
    pub connect: Duration,
    /// For the answer to a small request, the connection included.
    pub request: Duration,
    /// For the next piece of a snapshot.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(15),
            idle: Duration::from_mins(1),
        }
    }
}

impl Options {
    /// Whether reading could work: endpoints that are addresses, TLS where it is needed and only there.
    pub fn validate(&self) -> Result<(), Error> {
        if self.endpoints.is_empty() {
            return Err(wrong(
                "etcd has no endpoints: give at least one, such as https://host:2379",
            ));
        }
        self.endpoints
            .iter()
            .try_for_each(|endpoint| self.validate_endpoint(endpoint))
    }

    pub(super) fn validate_endpoint(&self, endpoint: &str) -> Result<(), Error> {
        if endpoint.contains('@') {
            // Not shown: what stands before the @ may be a password.
            return Err(wrong(
                "an etcd endpoint holds an @: give user and password on their own",
            ));
        }
        let shown = Name::from(endpoint);
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("", endpoint));
        match scheme {
            "http" if self.tls.is_some() => {
                let message = format!("etcd endpoint {shown} is http, but TLS is configured");
                return Err(wrong(message));
            }
            "https" if self.tls.is_none() => {
                let message =
                    format!("etcd endpoint {shown} is https: say which ca signs its certificate");
                return Err(wrong(message));
            }
            _ => {}
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
        let host = host.strip_suffix('/').unwrap_or(host);
        let known = ["", "http", "https"].contains(&scheme);
        if known && !host.is_empty() && host.chars().all(plain) {
            return Ok(());
        }
        Err(wrong(format!(
            "etcd endpoint {shown} is not of the form https://host:2379"
        )))
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(endpoint: &str, tls: bool) -> Result<(), String> {
        let tls = tls.then(|| Tls {
            ca: "ca.crt".into(),
            client: None,
            server_name: None,
        });
        let endpoints = vec![endpoint.to_owned()];
        let options = Options {
            endpoints,
            tls,
            ..Options::default()
        };
        options.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn endpoints_are_addresses_and_nothing_else() {
        for (endpoint, tls) in [
            ("http://127.0.0.1:2379", false),
            ("127.0.0.1:2379", false),
            ("etcd-0.etcd:2379", true),
            ("https://[::1]:2379/", true),
        ] {
            assert_eq!(validate(endpoint, tls), Ok(()), "{endpoint}");
        }
        for (endpoint, tls) in [
            ("", false),
            ("http://", false),
            ("https://host:2379", false),
            ("http://host:2379", true),
            ("unix:///run/etcd", false),
            ("http://host:2379/path", false),
            ("host name:1", false),
            ("host\u{1b}[2J:1", false),
        ] {
            let error = validate(endpoint, tls).expect_err(endpoint);
            assert!(!error.contains('\u{1b}'), "{error}");
        }
        assert!(Options::default().validate().is_err());
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_and_not_shown() {
        let error = validate("http://root:hunter2@host:2379", false).expect_err("it has an @");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
