use std::io;
use std::time::Duration;

use archive::Name;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// Where curl expects a proxy whose URL names no port.
const USUAL_PORT: u16 = 1080;

/// Which way connections take. No `Debug`: the URL of a proxy may hold a password.
#[derive(Default)]
pub enum Proxy {
    /// Straight to the endpoint.
    #[default]
    None,
    /// Through this proxy, to every endpoint.
    Always(LoadProxy),
    /// Through what a host usually goes through.
    Usual(Proxies),
}

/// Fetches the URL from where the configuration says it is; called once for every connection.
pub type LoadProxy = Box<dyn Fn() -> Result<ProxyUrl, Error> + Send + Sync>;

/// The proxies of a host, in the terms of curl's `http_proxy`, `https_proxy` and `no_proxy`.
#[derive(Default)]
pub struct Proxies {
    /// For `http` endpoints.
    pub http: Option<ProxyUrl>,
    /// For `https` endpoints.
    pub https: Option<ProxyUrl>,
    /// What is reached directly: host names with all below them, addresses, networks like `10.0.0.0/8`, or `*`, with
    /// commas or blanks between them.
    pub except: String,
}

/// `http://USER:PASSWORD@HOST:PORT`, all but the host optional. No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub struct ProxyUrl {
    url: Zeroizing<String>,
    named_by: String,
}

impl ProxyUrl {
    /// Takes the URL as it is; `named_by` tells the operator which setting or variable holds it.
    pub fn new(url: String, named_by: impl Into<String>) -> Self {
        Self {
            url: Zeroizing::new(url),
            named_by: named_by.into(),
        }
    }

    /// Whether it is the URL of a proxy that can be used. Nothing is connected for this.
    pub fn validate(&self) -> Result<(), Error> {
        Tunnel::through(self, Duration::ZERO).map(drop)
    }
}

impl Proxy {
    /// The tunnel to `endpoint`, which has a scheme and a host; `None` if it is reached directly.
    pub(super) fn toward(&self, endpoint: &Uri, limit: Duration) -> Result<Option<Tunnel>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Always(load) => Tunnel::through(&load()?, limit).map(Some),
            Self::Usual(proxies) => {
                let url = proxies.toward(endpoint);
                url.map(|url| Tunnel::through(url, limit)).transpose()
            }
        }
    }
}

impl Proxies {
    fn toward(&self, endpoint: &Uri) -> Option<&ProxyUrl> {
        let url = match endpoint.scheme_str() {
            Some("https") => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        url.filter(|_| !self.spare(endpoint))
    }

    fn spare(&self, endpoint: &Uri) -> bool {
        let blank = |c: char| c == ',' || c.is_whitespace();
        let except: Vec<&str> = self.except.split(blank).collect();
        // The matcher takes a star for all names, but not for all addresses.
        except.contains(&"*") || {
            let rules = Matcher::builder().all("any").no(except.join(","));
            rules.build().intercept(endpoint).is_none()
        }
    }
}

/// A proxy that is asked, by HTTP's CONNECT, to pass bytes on unread. TLS to etcd goes on inside of it.
#[derive(Clone)]
pub(super) struct Tunnel {
    address: String,
    login: Option<HeaderValue>,
    /// The address and who named it, for messages.
    name: Name,
    limit: Duration,
}

impl Tunnel {
    fn through(proxy: &ProxyUrl, limit: Duration) -> Result<Self, Error> {
        let Some(found) = understand(&proxy.url) else {
            let message = format!(
                "{} is not the URL of a proxy that can be used: it must look like http://HOST:PORT or \
                 http://USER:PASSWORD@HOST:PORT, an @ in the password as %40",
                Name::from(proxy.named_by.as_str())
            );
            return Err(Error::new(ErrorKind::Configuration, message));
        };
        let port = found.uri().port_u16().unwrap_or(USUAL_PORT);
        let address = format!("{}:{port}", found.uri().host().unwrap_or_default());
        Ok(Self {
            name: Name::from(format!("{address} (from {})", proxy.named_by).as_str()),
            address,
            login: found.basic_auth().cloned(),
            limit,
        })
    }

    /// Connects to the proxy and asks it for `endpoint`, all within the limit.
    pub(super) async fn open(self, endpoint: Uri) -> Result<Upgraded, Error> {
        let Ok(answer) = timeout(self.limit, self.ask(&endpoint)).await else {
            let what = format!("gave no tunnel within {} s", self.limit.as_secs_f64());
            return Err(self.error(ErrorKind::Unreachable, &what));
        };
        answer
    }

    async fn ask(&self, endpoint: &Uri) -> Result<Upgraded, Error> {
        let stream = self.dial().await.map_err(|cause| {
            let what = format!("cannot be reached: {cause}");
            self.error(ErrorKind::Unreachable, &what)
        })?;
        let broken = |cause: hyper::Error| {
            let what = format!("does not answer as an HTTP proxy: {cause}");
            self.error(ErrorKind::Unreachable, &what)
        };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(broken)?;
        // Ends with the tunnel, or when this future is dropped.
        tokio::spawn(connection.with_upgrades());
        let answer = sender.send_request(self.request(endpoint)).await;
        let answer = answer.map_err(broken)?;
        if answer.status().is_success() {
            return hyper::upgrade::on(answer).await.map_err(broken);
        }
        Err(self.refused(answer.status()))
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn request(&self, endpoint: &Uri) -> Request<String> {
        let usual = if endpoint.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let host = endpoint.host().unwrap_or_default();
        let target = format!("{host}:{}", endpoint.port_u16().unwrap_or(usual));
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(&target)
            .header(HOST, &target);
        if let Some(login) = &self.login {
            request = request.header(PROXY_AUTHORIZATION, login);
        }
        request
            .body(String::new())
            .expect("the host of a URI and a port are an authority")
    }

    fn refused(&self, status: StatusCode) -> Error {
        let (kind, what) = match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if self.login.is_some() => (
                ErrorKind::Denied,
                "refuses the user or the password in its URL: check both".to_owned(),
            ),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => (
                ErrorKind::Denied,
                "asks for a user and a password: give its URL with both".to_owned(),
            ),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
                ErrorKind::Denied,
                format!(
                    "refuses to pass this on ({}): allow it there",
                    status.as_u16()
                ),
            ),
            status => (
                ErrorKind::Unreachable,
                format!("gives no tunnel: it answers {status}"),
            ),
        };
        self.error(kind, &what)
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("the proxy {} {what}", self.name))
    }
}

/// `None` for what could be meant otherwise: then what looks like the host may be a piece of the password.
fn understand(url: &str) -> Option<Intercept> {
    let found = Matcher::builder().all(url.trim()).build();
    let found = found.intercept(&Uri::from_static("http://any"))?;
    let authority = found.uri().authority()?;
    let signs = usize::from(found.basic_auth().is_some());
    let whole = authority.port_u16().is_some() || authority.as_str() == authority.host();
    let fits = found.uri().scheme_str() == Some("http")
        && whole
        && !authority.host().is_empty()
        && url.matches('@').count() == signs;
    fits.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str) -> ProxyUrl {
        ProxyUrl::new(url.to_owned(), "the test")
    }

    fn through(text: &str) -> Result<Tunnel, String> {
        Tunnel::through(&url(text), Duration::from_secs(1)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_says_where_and_who() {
        for (text, address, login) in [
            ("http://proxy:3128", "proxy:3128", None),
            (" proxy:3128\n", "proxy:3128", None),
            ("http://proxy/", "proxy:1080", None),
            ("http://[::1]:3128", "[::1]:3128", None),
            (
                "http://u:p%40ss@proxy:1",
                "proxy:1",
                Some("Basic dTpwQHNz"), // u:p@ss
            ),
        ] {
            let tunnel = through(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(tunnel.address, address, "{text}");
            assert!(tunnel.login.iter().all(HeaderValue::is_sensitive));
            assert_eq!(
                tunnel.login.as_ref().map(HeaderValue::as_bytes),
                login.map(str::as_bytes)
            );
            let name = tunnel.name.to_string();
            assert_eq!(name, format!("{address} (from the test)"));
        }
    }

    #[test]
    fn what_is_no_such_url_is_refused_and_not_repeated() {
        for text in [
            "",
            "http://",
            "http://u:hunter2@",
            "http://u:hunter@2@proxy:1",
            "http://u:hunter2/@proxy:1",
            "http://hunter:1/@proxy:1",
            "http://u:1@hunter/@proxy:1",
            "http://proxy:port",
            "https://u:hunter2@proxy:1",
            "socks5h://u:hunter2@proxy:1",
            "http://u:hunter2@proxy:port",
            "http://u:hunter 2@proxy:1",
        ] {
            let error = through(text).err().expect(text);
            assert!(
                !error.contains("hunter") && error.contains("the test is not"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn exceptions_are_hosts_with_all_below_them_addresses_and_networks() {
        let except = "etcd.internal, .lan 10.0.0.0/8,192.168.1.7 fd00::/8,,";
        let proxies = |except: &str| Proxies {
            http: Some(url("http://for-http")),
            https: Some(url("http://for-https")),
            except: except.to_owned(),
        };
        let chosen = |proxies: &Proxies, endpoint: &'static str| {
            let url = proxies.toward(&Uri::from_static(endpoint));
            url.map(|url| url.url.to_string())
        };
        for direct in [
            "https://etcd.internal:2379",
            "https://a.ETCD.internal:2379",
            "http://x.lan",
            "http://10.255.0.1:2379",
            "http://192.168.1.7",
            "https://[fd12::1]:2379",
        ] {
            assert_eq!(chosen(&proxies(except), direct), None, "{direct}");
            assert_eq!(chosen(&proxies("*"), direct), None, "{direct}");
        }
        for (tunnelled, proxy) in [
            ("https://notetcd.internal:2379", "http://for-https"),
            ("http://11.0.0.1:2379", "http://for-http"),
            ("http://192.168.1.70", "http://for-http"),
            ("https://[fe80::1]:2379", "http://for-https"),
            // As in curl, loopback is an address like any other.
            ("http://127.0.0.1:2379", "http://for-http"),
        ] {
            assert_eq!(
                chosen(&proxies(except), tunnelled).as_deref(),
                Some(proxy),
                "{tunnelled}"
            );
            assert_eq!(chosen(&proxies("*"), tunnelled), None, "{tunnelled}");
        }
        assert_eq!(chosen(&Proxies::default(), "http://a"), None);
    }
}
