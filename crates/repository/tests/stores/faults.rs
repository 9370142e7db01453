//! Servers and networks that misbehave, between a real server and us: a proxy that decides the fate of each request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use repository::{Error, Remote, Repository, Store, StoreFailureKind};
use testkit::{Certificates, Message, Proxy, Treatment, Versitygw, VersitygwOptions, require};

use crate::common::{World, noise, sample};
use crate::server::{remote, s3};

/// versitygw behind a proxy.
struct Faulty {
    proxy: Proxy,
    server: Versitygw,
}

impl Faulty {
    fn start(decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static) -> Option<Self> {
        let server = Versitygw::start(&require("versitygw")?, VersitygwOptions::default());
        server.s3().make_bucket("bucket");
        let proxy = Proxy::start(&server.s3().address, decide);
        Some(Self { proxy, server })
    }

    fn remote(&self) -> Remote {
        let s3_server = self.server.s3();
        let account = s3(&s3_server.access_key, &s3_server.secret_key);
        remote("s3://bucket/r", self.proxy.endpoint(), account)
    }

    fn store(&self) -> Store {
        Store::remote(self.remote()).expect("a store")
    }
}

/// Deals with every `n`th request that `concerns` it, and lets the others pass.
fn every(
    n: usize,
    concerns: impl Fn(&Message) -> bool + Send + Sync + 'static,
    treatment: Treatment,
) -> impl Fn(&Message) -> Treatment + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |request| {
        if concerns(request) && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(n) {
            treatment.clone()
        } else {
            Treatment::Passes
        }
    }
}

fn puts(request: &Message) -> bool {
    request.method() == "PUT"
}

fn xml(status: &str, code: &str) -> Message {
    let body = format!("<Error><Code>{code}</Code><Message>As it is said.</Message></Error>");
    let headers = [("content-type", "application/xml")];
    Message::new(format!("HTTP/1.1 {status}"), &headers, body.as_bytes())
}

/// Two backups, and both are as they should be, whatever became of the answers.
async fn survives(decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static) {
    let Some(faulty) = Faulty::start(decide) else {
        return;
    };
    let mut remote = faulty.remote();
    // Where no answer ever comes back, each put is made that often before it is settled by reading.
    remote.patience.retries = 3;
    let world = World::at(Store::remote(remote).expect("a store")).await;
    let first = sample();
    world.back_up(&first).await;
    let second = [("other".to_owned(), noise(3_000_000, 5))].into();
    world.back_up(&second).await;
    assert!(world.read(1).await.expect("whole") == first);
    assert!(world.read(2).await.expect("whole") == second);
    assert_eq!(world.numbers().await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_of_all_puts_are_lost() {
    survives(every(1, puts, Treatment::AnswerLost)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_put_is_done_and_answered_with_an_error() {
    // Asked again, the server says that there is one already: ours.
    let error = Treatment::DoneButAnswered(xml("500 Internal Server Error", "InternalError"));
    survives(every(2, puts, error)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_data_are_cut() {
    let gets = |request: &Message| request.method() == "GET" && !request.target().contains('?');
    survives(every(2, gets, Treatment::AnswerCut(100))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_asked_again_when_it_says() {
    is_asked_again("503 Slow Down").await;
    is_asked_again("429 Too Many Requests").await;
}

async fn is_asked_again(status: &str) {
    let mut busy = xml(status, "SlowDown");
    busy.headers
        .push(("retry-after".to_owned(), "7".to_owned()));
    let Some(faulty) = Faulty::start(every(3, puts, Treatment::Answered(busy))) else {
        return;
    };
    let slept: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let mut remote = faulty.remote();
    let asked = Arc::clone(&slept);
    let idle = remote.patience.timeout;
    remote.timing.sleep = Arc::new(move |period| {
        // The watch over a request that stands still is not a pause.
        if period == idle {
            return Box::pin(tokio::time::sleep(period));
        }
        asked.lock().expect("a list").push(period);
        Box::pin(std::future::ready(()))
    });
    let world = World::at(Store::remote(remote).expect("a store")).await;
    world.back_up(&sample()).await;
    let slept = slept.lock().expect("a list").clone();
    assert!(!slept.is_empty() && slept.iter().all(|period| *period == Duration::from_secs(7)));
}

/// What opening a repository there fails with.
async fn refusal(remote: Remote) -> (StoreFailureKind, String) {
    let opened = match Store::remote(remote) {
        Ok(store) => Repository::open(store).await.map(|_| ()),
        Err(error) => Err(error),
    };
    match opened.expect_err("refused") {
        Error::Store { source, .. } => (source.kind(), source.to_string()),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_given_up() {
    let Some(faulty) = Faulty::start(|_| Treatment::Hangs) else {
        return;
    };
    let mut remote = faulty.remote();
    remote.patience.timeout = Duration::from_millis(300);
    remote.patience.retries = 2;
    let began = Instant::now();
    let (kind, words) = refusal(remote).await;
    assert_eq!(
        (kind, words.as_str()),
        (StoreFailureKind::Unreachable, "it does not answer")
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

/// What object_store has no words for is asked by us, and no longer than anything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_says_nothing_of_its_settings_is_given_up() {
    let of_settings = |request: &Message| request.target().contains("?object-lock");
    let hangs = every(1, of_settings, Treatment::Hangs);
    let Some(faulty) = Faulty::start(hangs) else {
        return;
    };
    let mut remote = faulty.remote();
    remote.patience.timeout = Duration::from_millis(300);
    remote.patience.retries = 1_000;
    remote.patience.deadline = Duration::from_secs(2);
    let store = Store::remote(remote).expect("a store");
    let probe = tokio::time::timeout(Duration::from_secs(30), store.probe()).await;
    let probe = probe.expect("it gives up");
    match probe.found {
        Err(Error::Store { source, .. }) => {
            assert_eq!(source.kind(), StoreFailureKind::Unreachable);
        }
        other => panic!("{other:?}"),
    }
    let seen = faulty.proxy.take_seen();
    let asked = seen.iter().filter(|request| of_settings(request)).count();
    // With pauses of 0.1, 0.2, 0.4 and 0.8 s beside 0.3 s each: not more, and more than one.
    assert!((2..=4).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_in_the_middle_of_an_answer_is_asked_again() {
    let gets = |request: &Message| request.method() == "GET" && !request.target().contains('?');
    let Some(faulty) = Faulty::start(|_| Treatment::Passes) else {
        return;
    };
    let world = World::at(faulty.store()).await;
    world.back_up(&sample()).await;
    let slow = Proxy::start(
        &faulty.server.s3().address,
        every(2, gets, Treatment::AnswerStuck(50)),
    );
    let mut remote = faulty.remote();
    remote.endpoint = Some(slow.endpoint());
    remote.patience.timeout = Duration::from_millis(300);
    let repository = Repository::open(Store::remote(remote).expect("a store")).await;
    assert_eq!(repository.expect("it is there").id(), world.repository.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart() {
    use StoreFailureKind::{Denied, Elsewhere, NoBucket, Unreachable};
    let Some(faulty) = Faulty::start(|_| Treatment::Passes) else {
        return;
    };
    let known = || (faulty.server.s3().access_key, faulty.server.s3().secret_key);
    let at = |address: &str, id: &str, secret: &str| {
        remote(address, faulty.server.endpoint(), s3(id, secret))
    };
    let (id, secret) = known();
    let (kind, words) = refusal(at("s3://bucket/r", &id, "wrong")).await;
    assert_eq!(kind, Denied, "{words}");
    assert!(words.starts_with("SignatureDoesNotMatch: "), "{words}");
    let (kind, words) = refusal(at("s3://bucket/r", "nobody", &secret)).await;
    assert_eq!(kind, Denied, "{words}");
    let (kind, words) = refusal(at("s3://no-such-bucket", &id, &secret)).await;
    assert_eq!(kind, NoBucket, "{words}");

    for (answer, expected, said) in [
        (
            xml("400 Bad Request", "ExpiredToken"),
            Denied,
            "ExpiredToken: As it is said",
        ),
        (
            xml("301 Moved Permanently", "PermanentRedirect"),
            Elsewhere,
            "",
        ),
    ] {
        let proxy = Proxy::start("127.0.0.1:1", move |_| Treatment::Answered(answer.clone()));
        let mut remote = at("s3://bucket/r", &id, &secret);
        remote.endpoint = Some(proxy.endpoint());
        let (kind, words) = refusal(remote).await;
        assert_eq!(kind, expected, "{words}");
        assert!(words.starts_with(said), "{words}");
    }

    let mut nobody = at("s3://bucket/r", &id, &secret);
    nobody.endpoint = Some("http://127.0.0.1:1".to_owned());
    nobody.patience.retries = 1;
    let (kind, words) = refusal(nobody).await;
    assert_eq!(kind, Unreachable);
    assert!(words.contains("Connection refused"), "{words}");

    let mut plain = at("s3://bucket/r", &id, &secret);
    plain.allow_http = false;
    let (_, words) = refusal(plain).await;
    assert!(words.contains("http"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_asked_over_tls_by_whoever_knows_its_authority() {
    let Some(release) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(&release, VersitygwOptions { tls: true });
    std::fs::create_dir(server.buckets().join("bucket")).expect("a bucket is a folder");
    let read = |path: &std::path::Path| Some(std::fs::read(path).expect("a certificate"));
    let Certificates {
        authority,
        strange_authority,
        ..
    } = server.certificates();
    let at = |authorities: Option<Vec<u8>>| {
        let (id, secret) = (server.s3().access_key, server.s3().secret_key);
        let mut remote = remote("s3://bucket/r", server.endpoint(), s3(&id, &secret));
        remote.allow_http = false;
        remote.patience.retries = 0;
        remote.authorities = authorities;
        remote
    };
    let world = World::at(Store::remote(at(read(authority))).expect("a store")).await;
    world.back_up(&sample()).await;
    for stranger in [None, read(strange_authority)] {
        let (kind, words) = refusal(at(stranger)).await;
        assert_eq!(kind, StoreFailureKind::Unreachable);
        assert!(words.contains("certificate"), "{words}");
    }
    let (_, words) = refusal(at(Some(b"no certificate".to_vec()))).await;
    assert!(words.contains("holds no certificate"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_paced_and_nothing_else_is() {
    let Some(faulty) = Faulty::start(|_| Treatment::Passes) else {
        return;
    };
    let paced = Arc::new(AtomicUsize::new(0));
    let mut remote = faulty.remote();
    let count = Arc::clone(&paced);
    remote.timing.pace = Some(Arc::new(move |bytes| {
        assert!(bytes <= 16 * 1024, "a slow pace would be jerky");
        count.fetch_add(bytes, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }));
    let world = World::at(Store::remote(remote).expect("a store")).await;
    faulty.proxy.take_seen();
    paced.store(0, Ordering::SeqCst);
    world.back_up(&sample()).await;
    let sent: usize = faulty
        .proxy
        .take_seen()
        .iter()
        .filter_map(|request| request.header("content-length")?.parse::<usize>().ok())
        .sum();
    assert_eq!(paced.load(Ordering::SeqCst), sent);
    let before = paced.load(Ordering::SeqCst);
    world.read(1).await.expect("whole");
    assert_eq!(paced.load(Ordering::SeqCst), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upload_carries_its_checksum_and_its_condition() {
    let Some(faulty) = Faulty::start(|_| Treatment::Passes) else {
        return;
    };
    let mut remote = faulty.remote();
    remote.storage_class = Some("STANDARD".to_owned());
    let world = World::at(Store::remote(remote).expect("a store")).await;
    world.back_up(&sample()).await;
    let seen = faulty.proxy.take_seen();
    let puts: Vec<&Message> = seen.iter().filter(|request| puts(request)).collect();
    assert!(puts.len() > 4);
    for put in puts {
        assert_eq!(put.header("if-none-match"), Some("*"), "{}", put.start);
        assert!(
            put.header("x-amz-checksum-sha256").is_some(),
            "{}",
            put.start
        );
        let pack = put.target().contains("/pack-");
        assert_eq!(
            put.header("x-amz-storage-class").is_some(),
            pack,
            "{}",
            put.start
        );
    }
}
