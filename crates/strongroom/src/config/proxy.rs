//! The proxies of connections: what `proxy` of a source says, or else what the environment names, as curl reads it.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use source::etcd::{self, Proxies, ProxyUrl};
use source::{Error, ErrorKind};
use zeroize::Zeroizing;

use super::reference::Reference;

/// Never behind a proxy that the environment names: it would look for these hosts on itself. curl makes no such
/// difference; etcd's own programs do.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// What `proxy` says. No secret: a URL with a password stands here by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    None,
    Url(String),
    Secret(Reference),
}

/// The text is none of the forms, or holds a password; so it is not repeated.
#[derive(Debug, thiserror::Error)]
#[error(
    "a proxy is `none` or looks like http://HOST:PORT; if its URL holds a user or a password, it stands here by reference \
     only: write file:PATH, env:NAME or command:PROGRAM ARGUMENT"
)]
pub(crate) struct ProxyError;

impl Proxy {
    fn parse(text: &str) -> Result<Self, ProxyError> {
        match text {
            "none" => Ok(Self::None),
            url if url.starts_with("http://") && !url.contains('@') => {
                Ok(Self::Url(url.to_owned()))
            }
            text => Reference::parse(text)
                .map(Self::Secret)
                .map_err(|_| ProxyError),
        }
    }

    /// Whether a URL that stands here can be used.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Url(url) => written(url).validate(),
            Self::None | Self::Secret(_) => Ok(()),
        }
    }

    /// The same with its path made relative to `file`, the configuration that holds it.
    pub(crate) fn beside(&self, file: &Path) -> Self {
        match self {
            Self::Secret(reference) => Self::Secret(reference.beside(file)),
            other => other.clone(),
        }
    }
}

/// What connections go through: what the file says takes the place of all that the environment says.
pub(crate) fn in_force(said: Option<&Proxy>) -> etcd::Proxy {
    match said.cloned() {
        None => etcd::Proxy::Usual(usual(|name| {
            let value = std::env::var_os(name)?;
            Some(value.to_string_lossy().into_owned())
        })),
        Some(Proxy::None) => etcd::Proxy::None,
        Some(Proxy::Url(url)) => etcd::Proxy::Always(Box::new(move || Ok(written(&url)))),
        Some(Proxy::Secret(reference)) => etcd::Proxy::Always(Box::new(move || load(&reference))),
    }
}

fn written(url: &str) -> ProxyUrl {
    ProxyUrl::new(url.to_owned(), "`proxy`")
}

fn load(reference: &Reference) -> Result<ProxyUrl, Error> {
    match reference.read_text() {
        Ok(url) => Ok(ProxyUrl::new(url, reference.to_string())),
        Err(error) => Err(Error::new(ErrorKind::Configuration, format!("{error:#}"))),
    }
}

/// As curl reads them: lower case first, `HTTP_PROXY` not at all, and an empty variable is none.
fn usual(variable: impl Fn(&str) -> Option<String>) -> Proxies {
    let first = |names: &[&'static str]| {
        let mut set = names
            .iter()
            .filter_map(|name| Some((*name, variable(name)?)));
        set.find(|(_, value)| !value.is_empty())
    };
    let proxy = |names: &[&'static str]| first(names).map(|(name, url)| ProxyUrl::new(url, name));
    let except = first(&["no_proxy", "NO_PROXY"]).map_or(String::new(), |(_, value)| value);
    Proxies {
        http: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        except: format!("{LOOPBACK},{except}"),
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Url(url) => f.write_str(url),
            Self::Secret(reference) => reference.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Proxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Proxy {
    fn schema_name() -> Cow<'static, str> {
        "Proxy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "none, http://HOST:PORT, or a reference to a URL with a password (file:PATH, env:NAME, command:PROGRAM ARGUMENT).",
            "pattern": "^(none$|http://[^@]+$|(file|env|command):.)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Which variable each proxy comes from, told by the error about what it holds; then the exceptions.
    fn chosen(variables: &[(&'static str, &str)]) -> (Option<String>, Option<String>, String) {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let found = usual(|name| variables.get(name).map(|value| (*value).to_owned()));
        let named = |url: Option<ProxyUrl>| {
            let error = url?.validate().expect_err("it holds no URL").to_string();
            Some(error.split(' ').next().expect("a word").to_owned())
        };
        (named(found.http), named(found.https), found.except)
    }

    #[test]
    fn variables_are_read_as_curl_does() {
        let names = |http: Option<&str>, https: Option<&str>| {
            (http.map(str::to_owned), https.map(str::to_owned))
        };
        for (variables, expected) in [
            (&[][..], names(None, None)),
            (&["http_proxy"][..], names(Some("http_proxy"), None)),
            // Who sends a request to a CGI program sets this one.
            (&["HTTP_PROXY"], names(None, None)),
            (&["HTTPS_PROXY"], names(None, Some("HTTPS_PROXY"))),
            (
                &["HTTPS_PROXY", "https_proxy"],
                names(None, Some("https_proxy")),
            ),
            (
                &["ALL_PROXY", "http_proxy"],
                names(Some("http_proxy"), Some("ALL_PROXY")),
            ),
            (
                &["ALL_PROXY", "all_proxy"],
                names(Some("all_proxy"), Some("all_proxy")),
            ),
        ] {
            let variables: Vec<_> = variables.iter().map(|name| (*name, "socks5://p")).collect();
            let (http, https, _) = chosen(&variables);
            assert_eq!((http, https), expected, "{variables:?}");
        }
        let (_, https, _) = chosen(&[("https_proxy", ""), ("HTTPS_PROXY", "socks5://p")]);
        assert_eq!(
            https.as_deref(),
            Some("HTTPS_PROXY"),
            "an empty variable is none"
        );
    }

    #[test]
    fn loopback_is_always_excepted() {
        for (variables, except) in [
            (&[][..], ""),
            (&[("NO_PROXY", "a")][..], "a"),
            (&[("NO_PROXY", "a"), ("no_proxy", "b,c")], "b,c"),
        ] {
            assert_eq!(
                chosen(variables).2,
                format!("localhost,127.0.0.0/8,::1,{except}")
            );
        }
    }

    #[test]
    fn a_password_stands_by_reference_only() {
        for text in ["none", "http://proxy:3128", "file:/etc/proxy", "env:PROXY"] {
            let proxy = Proxy::parse(text).expect(text);
            assert_eq!(proxy.to_string(), text);
            proxy.validate().expect(text);
        }
        for text in [
            "http://u:hunter2@proxy",
            "hunter2",
            "",
            "proxy:3128",
            "https://proxy",
            "socks5://p",
        ] {
            let error = Proxy::parse(text).expect_err(text).to_string();
            assert!(
                !error.contains("hunter2") && error.contains("by reference"),
                "{error}"
            );
        }
        let error = Proxy::parse("http://proxy:port")
            .expect("it has the form")
            .validate();
        assert!(
            error
                .expect_err("no port")
                .to_string()
                .contains("`proxy` is not the URL")
        );
    }
}
