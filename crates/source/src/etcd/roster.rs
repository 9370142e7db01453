use archive::Name;

use super::settings::CLUSTER;
use crate::{Error, ErrorKind};

/// The members of a cluster that is made anew, in the order of their names' first mention.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Roster(Vec<Peer>);

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    /// Its peer URLs.
    pub(super) urls: Vec<String>,
}

impl Roster {
    /// Reads `NAME=URL,NAME=URL`; a name that stands there twice has two URLs, as in etcd's `--initial-cluster`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut peers: Vec<Peer> = Vec::new();
        for part in text.split(',') {
            let Some((name, url)) = part.trim().split_once('=') else {
                return Err(wrong(&format!("{} is not NAME=URL", Name::from(part))));
            };
            check_name(name)?;
            check_url(url)?;
            match peers.iter_mut().find(|peer| peer.name == name) {
                Some(peer) => peer.urls.push(url.to_owned()),
                None => peers.push(Peer {
                    name: name.to_owned(),
                    urls: vec![url.to_owned()],
                }),
            }
        }
        let all = peers.iter().flat_map(|peer| &peer.urls);
        let mut all: Vec<&String> = all.collect();
        all.sort();
        if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(wrong(&format!(
                "{} stands there twice",
                Name::from(&**pair[0])
            )));
        }
        Ok(Self(peers))
    }

    pub(super) fn peers(&self) -> &[Peer] {
        &self.0
    }

    /// The same as etcd's flag wants it.
    pub(super) fn initial_cluster(&self) -> String {
        let all = self.0.iter().flat_map(|peer| {
            let urls = peer.urls.iter();
            urls.map(|url| format!("{}={url}", peer.name))
        });
        all.collect::<Vec<_>>().join(",")
    }
}

/// It becomes the name of a folder.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= 200 && name.chars().all(plain) {
        return Ok(());
    }
    Err(wrong(&format!(
        "the name {} has other characters than letters, digits, and - _ . behind the first",
        Name::from(name)
    )))
}

fn check_url(url: &str) -> Result<(), Error> {
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    if host.is_some_and(|host| host.contains(':')) {
        return Ok(());
    }
    Err(wrong(&format!(
        "{} is not a peer URL like https://10.0.0.1:2380",
        Name::from(url)
    )))
}

fn wrong(what: &str) -> Error {
    let message = format!("--{CLUSTER} is NAME=URL,NAME=URL: {what}");
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_urls_and_come_back_as_they_were() {
        let text = "n1=http://a:2380,n2=https://[::1]:2380,n1=http://b:2380";
        let roster = Roster::parse(text).expect("valid");
        assert_eq!(roster.peers().len(), 2);
        assert_eq!(roster.peers()[0].urls, ["http://a:2380", "http://b:2380"]);
        let all = roster.initial_cluster();
        assert_eq!(Roster::parse(&all).expect("valid"), roster);
    }

    #[test]
    fn what_is_no_roster_is_refused_in_a_sentence() {
        for (text, part) in [
            ("", "is not NAME=URL"),
            ("n1", "is not NAME=URL"),
            ("n1=http://a:1,", "is not NAME=URL"),
            ("../n1=http://a:1", "other characters"),
            (".=http://a:1", "other characters"),
            ("=http://a:1", "other characters"),
            ("n\u{1b}[2J=http://a:1", "other characters"),
            ("n1=a:1", "is not a peer URL"),
            ("n1=http://a", "is not a peer URL"),
            ("n1=http://a:1,n2=http://a:1", "twice"),
        ] {
            let error = Roster::parse(text).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains('\u{1b}'), "{error}");
        }
    }
}
