//! Whether two configurations of etcd-backup are of one cluster, as far as they tell.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::etcd_backup::Config;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sameness {
    OneCluster,
    TwoClusters,
    /// One of them or both name an address that means another host wherever it is said.
    NotKnown,
}

impl Sameness {
    /// Of these two. The files of their authorities are read, and nothing is asked of a server.
    pub(super) fn of(one: &Config, other: &Config) -> Self {
        let (first, second) = (endpoints(one), endpoints(other));
        if first.intersection(&second).any(|it| !is_loopback(it)) {
            return Self::OneCluster;
        }
        if first == second && is_same_authority(one, other) && is_same_place(one, other) {
            return Self::OneCluster;
        }
        if first.union(&second).any(|it| is_loopback(it)) {
            return Self::NotKnown;
        }
        Self::TwoClusters
    }
}

/// Whether both store under the same names in the same bucket.
pub(super) fn is_same_place(one: &Config, other: &Config) -> bool {
    let place = |config: &Config| {
        let s3 = &config.s3;
        (s3.endpoint.clone(), s3.bucket.clone(), s3.names.clone())
    };
    place(one) == place(other)
}

/// One file, or two with the same in them.
fn is_same_authority(one: &Config, other: &Config) -> bool {
    let (first, second) = (&one.etcd.tls.ca, &other.etcd.tls.ca);
    let read = |path: &Path| fs::read(path).ok();
    first == second || read(first).is_some_and(|text| read(second) == Some(text))
}

/// Each as `host:port`.
fn endpoints(config: &Config) -> BTreeSet<String> {
    let bare = |endpoint: &String| {
        let rest = endpoint.split_once("://").map_or(&**endpoint, |it| it.1);
        rest.trim_end_matches('/').to_ascii_lowercase()
    };
    config.etcd.endpoints.iter().map(bare).collect()
}

/// Whether that `host:port` is whatever host it is said on, so that every host has one of that name.
fn is_loopback(endpoint: &str) -> bool {
    let host = match endpoint.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => endpoint.rsplit_once(':').map(|(host, _)| host),
    };
    let host = host.unwrap_or(endpoint);
    let address = host.parse::<IpAddr>().map(|it| it.to_canonical());
    let is_own = |it: IpAddr| it.is_loopback() || it.is_unspecified();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_every_host_has_are_known() {
        for own in [
            "127.0.0.1:2379",
            "127.9.9.9:2379",
            "localhost:2379",
            "localhost",
            "etcd.localhost:1",
            "[::1]:2379",
            "[::ffff:127.0.0.1]:2379",
            "0.0.0.0:2379",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "10.0.0.1:2379",
            "128.0.0.1:2379",
            "[2001:db8::1]:2379",
            "localhost.example:2379",
            "127.example:2379",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
