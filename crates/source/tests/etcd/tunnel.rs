//! Through a proxy that speaks HTTP's CONNECT: who is asked, who may pass, and who is blamed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_source::ErrorKind;
use strongroom_source::etcd::{
    ClientCertificate, Etcd, Options, Proxies, Proxy, ProxyUrl, Timeouts, Tls,
};
use strongroom_source::suite::Archive;
use testkit::{EtcdOptions, require};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::seed;
use crate::{options, refusal, snapshot};

/// `Basic` of u:p@ss.
const LOGIN: &str = "Proxy-Authorization: Basic dTpwQHNz";

/// What a proxy does with everybody who asks.
#[derive(Clone, Copy)]
enum Manner {
    /// Opens the tunnel that is asked for.
    Open,
    /// The same, for who has the right password.
    AsksForLogin,
    /// Answers with this line and closes.
    Answers(&'static str),
    /// Accepts and says nothing.
    Silent,
}

/// What passed a proxy.
#[derive(Default)]
struct Passed {
    /// The addresses that were asked for.
    asked: Vec<String>,
    from_server: u64,
    /// The first bytes that a client sent through a tunnel.
    first_bytes: Vec<u8>,
}

struct ConnectProxy {
    address: String,
    passed: Arc<Mutex<Passed>>,
}

impl ConnectProxy {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let passed = Arc::new(Mutex::new(Passed::default()));
        let seen = Arc::clone(&passed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(BufReader::new(client), manner, Arc::clone(&seen)));
            }
        });
        Self { address, passed }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn url_with_login(&self) -> String {
        format!("http://u:p%40ss@{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.passed.lock().expect("no panic").asked.clone()
    }
}

async fn serve(mut client: BufReader<TcpStream>, manner: Manner, passed: Arc<Mutex<Passed>>) {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.expect("a request");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let target = head[0]
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
        .expect("it asks for a tunnel")
        .to_owned();
    passed.lock().expect("no panic").asked.push(target.clone());
    let named = |line: &String| line.eq_ignore_ascii_case(LOGIN);
    let refusal = match manner {
        Manner::Open => None,
        Manner::AsksForLogin if head.iter().any(named) => None,
        Manner::AsksForLogin => Some("407 Proxy Authentication Required"),
        Manner::Answers(status) => Some(status),
        Manner::Silent => std::future::pending().await,
    };
    if let Some(status) = refusal {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 1000\r\n\r\n");
        // Of the body that it announces nothing comes: nobody may wait for it.
        client.write_all(answer.as_bytes()).await.expect("sent");
        return std::future::pending().await;
    }
    pass(client, &target, &passed).await;
}

async fn pass(mut client: BufReader<TcpStream>, target: &str, passed: &Mutex<Passed>) {
    let mut server = TcpStream::connect(target).await.expect("it listens");
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    client.write_all(answer).await.expect("sent");
    let first = client.fill_buf().await.expect("a first byte").to_vec();
    passed.lock().expect("no panic").first_bytes = first;
    if let Ok((_, from_server)) = copy_bidirectional(&mut client, &mut server).await {
        passed.lock().expect("no panic").from_server += from_server;
    }
}

fn always(url: String) -> Proxy {
    Proxy::Always(Box::new(move || Ok(ProxyUrl::new(url.clone(), "`proxy`"))))
}

fn usual(http: String, except: &str) -> Proxy {
    Proxy::Usual(Proxies {
        http: Some(ProxyUrl::new(http, "http_proxy")),
        https: None,
        except: except.to_owned(),
    })
}

fn through(endpoint: &str, proxy: Proxy) -> Etcd {
    Etcd::new(Options {
        proxy,
        ..options(&[endpoint])
    })
}

/// The tunnel ends a moment after the capture.
async fn bytes_from_server(proxy: &ConnectProxy) -> u64 {
    // For a minute: a machine may be busy.
    for _ in 0..1_200 {
        let bytes = proxy.passed.lock().expect("no panic").from_server;
        if bytes > 0 {
            return bytes;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the tunnel does not end");
}

#[tokio::test]
async fn a_snapshot_comes_through_the_proxy() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 100, 3).await;
    let proxy = ConnectProxy::start(Manner::Open).await;
    let source = through(&server.endpoint(), always(proxy.url()));
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    drop(source);
    let length = snapshot(&archive).1.len() as u64;
    assert!(length > 3 * 1024 * 1024);
    assert_eq!(proxy.asked(), [server.address()], "one tunnel serves all");
    assert!(bytes_from_server(&proxy).await > length);
}

#[tokio::test]
async fn tls_runs_from_end_to_end_inside_the_tunnel() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(
        &release,
        EtcdOptions {
            tls: true,
            ..EtcdOptions::default()
        },
    );
    server.ctl(&["put", "key", "value"]);
    let proxy = ConnectProxy::start(Manner::AsksForLogin).await;
    let certificates = server.certificates();
    let source = |endpoint: &str, ca: &std::path::Path, pair: Option<&testkit::Pair>| {
        let client = pair.map(|pair| ClientCertificate {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
        });
        let tls = Some(Tls {
            ca: ca.to_path_buf(),
            client,
            server_name: None,
        });
        Etcd::new(Options {
            tls,
            proxy: always(proxy.url_with_login()),
            ..options(&[endpoint])
        })
    };
    let (ca, client) = (&certificates.authority, Some(&certificates.client));
    for endpoint in [server.endpoint(), server.address()] {
        Archive::collect(&source(&endpoint, ca, client))
            .await
            .expect("a capture");
    }
    assert_eq!(proxy.asked(), [server.address(), server.address()]);
    let hello = proxy.passed.lock().expect("no panic").first_bytes.clone();
    assert_eq!(
        hello.first(),
        Some(&22),
        "a TLS handshake, and nothing else"
    );

    let strange = &certificates.strange_authority;
    let (kind, text) = refusal(&source(&server.endpoint(), strange, client)).await;
    assert!(
        kind == ErrorKind::Denied && text.contains("ca did not sign"),
        "{text}"
    );
    let (kind, text) = refusal(&source(&server.endpoint(), ca, None)).await;
    assert!(
        kind == ErrorKind::Denied && text.contains("client certificate"),
        "{text}"
    );
    let key = &certificates.client.key;
    let (kind, text) = refusal(&source(&server.endpoint(), key, None)).await;
    assert!(
        kind == ErrorKind::Configuration && text.contains("PEM"),
        "{text}"
    );
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_password_gets_it_or_refuses() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let proxy = ConnectProxy::start(Manner::AsksForLogin).await;
    let source = through(&server.endpoint(), always(proxy.url_with_login()));
    Archive::collect(&source).await.expect("a capture");
    assert_eq!(proxy.asked(), [server.address()]);

    let wrong = format!("http://u:hunter2@{}", proxy.address);
    for (url, part) in [
        (proxy.url(), "asks for a user and a password"),
        (wrong, "refuses the user or the password"),
    ] {
        let (kind, text) = refusal(&through(&server.endpoint(), always(url))).await;
        assert!(
            kind == ErrorKind::Denied && text.contains(part),
            "{kind:?} {text}"
        );
        let name = format!("the proxy {} (from `proxy`)", proxy.address);
        assert!(
            text.contains(&name) && text.contains(&server.endpoint()),
            "{text}"
        );
        assert!(!text.contains("hunter2") && !text.contains("u:"), "{text}");
    }
}

#[tokio::test]
async fn an_exception_is_reached_directly() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let proxy = ConnectProxy::start(Manner::Open).await;
    for except in ["127.0.0.1", "example.org, 127.0.0.0/8", "*"] {
        let source = through(&server.endpoint(), usual(proxy.url(), except));
        Archive::collect(&source).await.expect("a capture");
        assert_eq!(proxy.asked().len(), 0, "{except}");
    }
    let source = through(
        &server.endpoint(),
        usual(proxy.url(), "10.0.0.0/8,example.org"),
    );
    Archive::collect(&source).await.expect("a capture");
    assert_eq!(proxy.asked(), [server.address()]);
}

#[tokio::test]
async fn the_proxy_is_blamed_for_what_it_does() {
    const ENDPOINT: &str = "http://etcd.invalid:2379";
    let dead = refusal(&through(
        ENDPOINT,
        usual("http://127.0.0.1:1".to_owned(), ""),
    ))
    .await;
    let (kind, text) = dead;
    assert_eq!(kind, ErrorKind::Unreachable, "{text}");
    assert!(
        text.contains("the proxy 127.0.0.1:1 (from http_proxy) cannot be reached")
            && text.contains("Connection refused")
            && text.contains(ENDPOINT),
        "{text}"
    );
    for (manner, kind, part) in [
        (Manner::Answers("403 Forbidden"), ErrorKind::Denied, "403"),
        (
            Manner::Answers("502 Bad Gateway"),
            ErrorKind::Unreachable,
            "it answers 502 Bad Gateway",
        ),
        (
            Manner::Answers("nonsense"),
            ErrorKind::Unreachable,
            "does not answer as an HTTP proxy",
        ),
        (
            Manner::Silent,
            ErrorKind::Unreachable,
            "no tunnel within 1.5 s",
        ),
    ] {
        let proxy = ConnectProxy::start(manner).await;
        let mut timeouts = Timeouts::default();
        // Not where something comes, for which a busy machine may take its time.
        if matches!(manner, Manner::Silent) {
            timeouts.connect = Duration::from_millis(1_500);
        }
        let source = Etcd::new(Options {
            proxy: always(proxy.url()),
            timeouts,
            ..options(&[ENDPOINT])
        });
        let (found, text) = refusal(&source).await;
        assert!(
            found == kind && text.contains(part),
            "{part}: {found:?} {text}"
        );
        assert!(
            text.contains(&proxy.address) && text.contains(ENDPOINT),
            "{text}"
        );
        assert_eq!(
            proxy.asked(),
            ["etcd.invalid:2379"],
            "the proxy looks names up"
        );
    }
}
