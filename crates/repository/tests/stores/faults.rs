//! Servers and networks that misbehave, between each real server and us: a proxy that decides the fate of each request. What it
//! answers in a server's place is in the words of that server's service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::join;
use repository::{AzProof, Error, Remote, Repository, Store, StoreFailureKind};
use testkit::{
    Certificates, Message, Proxy, Server, Treatment, Versitygw, VersitygwOptions, require,
};
use zeroize::Zeroizing;

use crate::common::{World, noise, sample};
use crate::server::{az, remote, s3, within};

/// Everything that can go wrong, on one server.
async fn all_is_survived_or_refused_by(name: &str) {
    let Some(server) = Server::start(name) else {
        return;
    };
    // Each in a part of the bucket of its own, so that their pauses pass at the same time.
    join!(
        the_answers_of_all_puts_are_lost(&server),
        every_put_is_done_and_answered_with_an_error(&server),
        answers_with_data_are_cut(&server),
        a_server_that_is_busy_is_asked_again_when_it_says(&server),
        a_server_that_hangs_is_given_up(&server),
        a_server_that_hangs_in_the_middle_of_an_answer_is_asked_again(&server),
        refusals_are_told_apart(&server),
        uploads_are_paced_and_nothing_else_is(&server),
    );
    // By itself: how often it asks in its time is counted, and the others would take that time from it.
    a_bucket_that_says_nothing_of_its_settings_is_given_up(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_versitygw_and_us() {
    all_is_survived_or_refused_by("versitygw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_minio_and_us() {
    all_is_survived_or_refused_by("minio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_azurite_and_us() {
    all_is_survived_or_refused_by("azurite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_the_fake_of_google_and_us() {
    all_is_survived_or_refused_by("gcs").await;
}

/// A part of the server's bucket that is called `prefix`, behind a proxy.
struct Faulty<'a> {
    proxy: Proxy,
    server: &'a Server,
    prefix: &'a str,
}

impl<'a> Faulty<'a> {
    fn new(
        server: &'a Server,
        prefix: &'a str,
        decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static,
    ) -> Self {
        let proxy = Proxy::start(&server.address(), decide);
        Self {
            proxy,
            server,
            prefix,
        }
    }

    fn remote(&self) -> Remote {
        let mut remote = within(self.server, self.prefix);
        remote.endpoint = Some(self.server.endpoint_by_way_of(self.proxy.address()));
        remote
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

/// Reads of objects: lists and settings have a query.
fn gets(request: &Message) -> bool {
    request.method() == "GET" && !request.target().contains('?')
}

/// The document in which a service says what is wrong; of Google Cloud Storage the API that speaks XML.
fn says(server: &Server, status: &str, code: &str) -> Message {
    let said = "As it is said.";
    let (body, code_header) = match server {
        Server::Versitygw(_) | Server::Minio(_) => {
            let body = format!("<Error><Code>{code}</Code><Message>{said}</Message></Error>");
            (body, None)
        }
        Server::Gcs(_) => {
            let body = format!(
                "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{said}</Message></Error>"
            );
            (body, None)
        }
        Server::Azurite(_) => {
            let body = format!(
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{said}\n\
                 RequestId:1\nTime:2026-11-27T10:11:12Z</Message></Error>"
            );
            (body, Some(("x-ms-error-code", code)))
        }
    };
    let headers = [Some(("content-type", "application/xml")), code_header];
    let headers: Vec<_> = headers.into_iter().flatten().collect();
    Message::new(format!("HTTP/1.1 {status}"), &headers, body.as_bytes())
}

/// Two backups, and both are as they should be, whatever became of the answers.
async fn survives(
    server: &Server,
    what: &str,
    decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static,
) {
    let faulty = Faulty::new(server, what, decide);
    let mut remote = faulty.remote();
    // Where no answer ever comes back, each put is made that often before it is settled by reading.
    remote.patience.retries = 3;
    let world = World::at(Store::remote(remote).expect("a store")).await;
    let first = sample();
    world.back_up(&first).await;
    let second = [("other".to_owned(), noise(3_000_000, 5))].into();
    world.back_up(&second).await;
    assert!(world.read(1).await.expect(what) == first, "{what}");
    assert!(world.read(2).await.expect(what) == second, "{what}");
    assert_eq!(world.numbers().await, [1, 2], "{what}");
}

async fn the_answers_of_all_puts_are_lost(server: &Server) {
    survives(server, "lost", every(1, puts, Treatment::AnswerLost)).await;
}

async fn every_put_is_done_and_answered_with_an_error(server: &Server) {
    // Asked again, the server says that there is one already: ours.
    let error = says(server, "500 Internal Server Error", "InternalError");
    let treatment = Treatment::DoneButAnswered(error);
    survives(server, "failed", every(2, puts, treatment)).await;
}

async fn answers_with_data_are_cut(server: &Server) {
    survives(server, "cut", every(2, gets, Treatment::AnswerCut(100))).await;
}

async fn a_server_that_is_busy_is_asked_again_when_it_says(server: &Server) {
    let (busy, too_many) = match server {
        Server::Versitygw(_) | Server::Minio(_) => ("SlowDown", "SlowDown"),
        Server::Gcs(_) => ("ServiceUnavailable", "SlowDown"),
        Server::Azurite(_) => ("ServerBusy", "TooManyRequests"),
    };
    for (status, code) in [
        ("503 Service Unavailable", busy),
        ("429 Too Many Requests", too_many),
    ] {
        is_asked_again(server, says(server, status, code)).await;
    }
}

async fn is_asked_again(server: &Server, mut busy: Message) {
    let status = busy.status().to_string();
    busy.headers
        .push(("retry-after".to_owned(), "7".to_owned()));
    let faulty = Faulty::new(server, &status, every(3, puts, Treatment::Answered(busy)));
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
    let secrets = sample();
    world.back_up(&secrets).await;
    assert!(world.read(1).await.expect("whole") == secrets);
    let slept = slept.lock().expect("a list").clone();
    let as_told = slept.iter().all(|period| *period == Duration::from_secs(7));
    assert!(!slept.is_empty() && as_told, "{status}: {slept:?}");
}

/// What opening a repository there fails with.
pub(crate) async fn refusal(remote: Remote) -> (StoreFailureKind, String) {
    let opened = match Store::remote(remote) {
        Ok(store) => Repository::open(store).await.map(|_| ()),
        Err(error) => Err(error),
    };
    match opened.expect_err("refused") {
        Error::Store { source, .. } => (source.kind(), source.to_string()),
        other => panic!("{other}"),
    }
}

async fn a_server_that_hangs_is_given_up(server: &Server) {
    let faulty = Faulty::new(server, "hangs", |_| Treatment::Hangs);
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
        began.elapsed() < Duration::from_mins(1),
        "{:?}",
        began.elapsed()
    );
}

/// What object_store has no words for is asked by us, and no longer than anything else: S3's setting of locks, and
/// Google's generations, without which it is not known whether there are any. Azure is asked for nothing of the kind.
async fn a_bucket_that_says_nothing_of_its_settings_is_given_up(server: &Server) {
    let question = match server {
        Server::Versitygw(_) | Server::Minio(_) => "?object-lock",
        Server::Gcs(_) => "?versions=true",
        Server::Azurite(_) => return,
    };
    let of_settings = move |request: &Message| request.target().contains(question);
    let hangs = every(1, of_settings, Treatment::Hangs);
    let faulty = Faulty::new(server, "silent", hangs);
    let mut remote = faulty.remote();
    remote.patience.timeout = Duration::from_secs(1);
    remote.patience.retries = 1_000;
    remote.patience.deadline = Duration::from_secs(10);
    let store = Store::remote(remote).expect("a store");
    let probe = tokio::time::timeout(Duration::from_mins(1), store.probe()).await;
    let probe = probe.expect("it gives up");
    match (server, probe.found) {
        (Server::Gcs(_), Ok(probed)) => assert_eq!(probed.keeps_versions, None),
        (_, Err(Error::Store { source, .. })) => {
            assert_eq!(source.kind(), StoreFailureKind::Unreachable);
        }
        (_, other) => panic!("{other:?}"),
    }
    let seen = faulty.proxy.take_seen();
    let asked = seen.iter().filter(|request| of_settings(request)).count();
    // With pauses of 0.1, 0.2, 0.4, 0.8 and 1.6 s beside 1 s each, after which the next one of 3.2 s would be too long: not more, and more
    // than one.
    assert!((2..=6).contains(&asked), "{asked}");
}

async fn a_server_that_hangs_in_the_middle_of_an_answer_is_asked_again(server: &Server) {
    let faulty = Faulty::new(server, "stuck", |_| Treatment::Passes);
    let world = World::at(faulty.store()).await;
    world.back_up(&sample()).await;
    let stuck = every(2, gets, Treatment::AnswerStuck(50));
    let slow = Faulty::new(server, "stuck", stuck);
    let mut remote = slow.remote();
    remote.patience.timeout = Duration::from_millis(300);
    let repository = Repository::open(Store::remote(remote).expect("a store")).await;
    assert_eq!(repository.expect("it is there").id(), world.repository.id());
}

async fn refusals_are_told_apart(server: &Server) {
    use StoreFailureKind::{Denied, NoBucket, Unreachable};
    for (stranger, code) in strangers(server) {
        let (kind, words) = refusal(stranger).await;
        assert_eq!(kind, Denied, "{words}");
        assert!(words.starts_with(code), "{words}");
    }
    // The fake of Google's has every bucket; this is what Google says.
    let none = says(server, "404 Not Found", "NoSuchBucket");
    let is_fake = matches!(server, Server::Gcs(_));
    let faulty = Faulty::new(server, "refusals", move |_| {
        if is_fake {
            Treatment::Answered(none.clone())
        } else {
            Treatment::Passes
        }
    });
    let mut elsewhere = faulty.remote();
    "no-such-bucket".clone_into(&mut elsewhere.bucket.name);
    let (kind, words) = refusal(elsewhere).await;
    assert_eq!(kind, NoBucket, "{words}");

    let mut nobody = within(server, "refusals");
    nobody.endpoint = Some(server.endpoint_by_way_of("127.0.0.1:1"));
    nobody.patience.retries = 1;
    let (kind, words) = refusal(nobody).await;
    assert_eq!(kind, Unreachable);
    assert!(words.contains("Connection refused"), "{words}");

    let mut plain = within(server, "refusals");
    plain.allow_http = false;
    let (_, words) = refusal(plain).await;
    assert!(words.contains("http"), "{words}");
}

/// Those whom the server does not know, and how it says so. The fake of Google's knows everybody.
fn strangers(server: &Server) -> Vec<(Remote, &'static str)> {
    let s3_server = match server {
        Server::Versitygw(server) => server.s3(),
        Server::Minio(server) => server.s3(),
        Server::Azurite(server) => {
            let wrong = Zeroizing::new("bm90IHRoZSBrZXk=".to_owned());
            let account = az(server.account(), AzProof::Key(wrong));
            let remote = remote("az://bucket/refusals", server.endpoint(), account);
            return vec![(remote, "AuthorizationFailure: ")];
        }
        Server::Gcs(_) => return Vec::new(),
    };
    let at = |id: &str, secret: &str| remote("s3://bucket/r", server.endpoint(), s3(id, secret));
    vec![
        (
            at(&s3_server.access_key, "wrong-secret"),
            "SignatureDoesNotMatch: ",
        ),
        (at("nobody", &s3_server.secret_key), "InvalidAccessKeyId: "),
    ]
}

/// What only Amazon says, and none of the servers.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_amazon_are_told_apart() {
    use StoreFailureKind::{Denied, Elsewhere};
    let of_region = [("x-amz-bucket-region", "eu-west-3")];
    for (status, headers, code, expected, said) in [
        (
            "400 Bad Request",
            &[][..],
            "ExpiredToken",
            Denied,
            "ExpiredToken: As it is said",
        ),
        (
            "301 Moved Permanently",
            &[],
            "PermanentRedirect",
            Elsewhere,
            "Received redirect without LOCATION",
        ),
        (
            "301 Moved Permanently",
            &of_region,
            "PermanentRedirect",
            Elsewhere,
            "the bucket is in the region eu-west-3",
        ),
        (
            "307 Temporary Redirect",
            &of_region,
            "TemporaryRedirect",
            Elsewhere,
            "the bucket is in the region eu-west-3",
        ),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>As it is said.</Message></Error>");
        let answer = Message::new(format!("HTTP/1.1 {status}"), headers, body.as_bytes());
        let proxy = Proxy::start("127.0.0.1:1", move |_| Treatment::Answered(answer.clone()));
        let remote = remote("s3://bucket/r", proxy.endpoint(), s3("id", "secret"));
        let (kind, words) = refusal(remote).await;
        assert_eq!(kind, expected, "{words}");
        assert!(words.starts_with(said), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_asked_over_tls_by_whoever_knows_its_authority() {
    let Some(release) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(
        &release,
        VersitygwOptions {
            tls: true,
            ..VersitygwOptions::default()
        },
    );
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
        remote.authorities = authorities;
        remote
    };
    let world = World::at(Store::remote(at(read(authority))).expect("a store")).await;
    world.back_up(&sample()).await;
    for stranger in [None, read(strange_authority)] {
        // A server may come back within the minutes that it is given, and a certificate gets no better.
        let began = Instant::now();
        let (kind, words) = refusal(at(stranger)).await;
        assert_eq!(kind, StoreFailureKind::Unreachable);
        assert!(words.contains("certificate"), "{words}");
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "{:?}",
            began.elapsed()
        );
    }
    let (_, words) = refusal(at(Some(b"no certificate".to_vec()))).await;
    assert!(words.contains("holds no certificate"), "{words}");
}

async fn uploads_are_paced_and_nothing_else_is(server: &Server) {
    let faulty = Faulty::new(server, "paced", |_| Treatment::Passes);
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

/// What every upload says beside its bytes, in the words of each service.
async fn every_upload_carries_its_condition_on(name: &str) {
    let Some(server) = Server::start(name) else {
        return;
    };
    let faulty = Faulty::new(&server, "r", |_| Treatment::Passes);
    let mut remote = faulty.remote();
    let (condition, class, storage_class) = match &server {
        Server::Versitygw(_) | Server::Minio(_) => {
            (("if-none-match", "*"), "x-amz-storage-class", "STANDARD")
        }
        Server::Gcs(_) => {
            let condition = ("x-goog-if-generation-match", "0");
            (condition, "x-goog-storage-class", "STANDARD")
        }
        Server::Azurite(_) => (("if-none-match", "*"), "x-ms-access-tier", "Cool"),
    };
    remote.storage_class = Some(storage_class.to_owned());
    let world = World::at(Store::remote(remote).expect("a store")).await;
    world.back_up(&sample()).await;
    let seen = faulty.proxy.take_seen();
    let puts: Vec<&Message> = seen.iter().filter(|request| puts(request)).collect();
    assert!(puts.len() > 4);
    for put in puts {
        let (header, value) = condition;
        assert_eq!(put.header(header), Some(value), "{}", put.start);
        // Google's library escapes all but letters and digits.
        let pack = put.target().replace("%2D", "-").contains("pack-");
        let expected = pack.then_some(storage_class);
        assert_eq!(put.header(class), expected, "{}", put.start);
        if class == "x-amz-storage-class" {
            let checksum = put.header("x-amz-checksum-sha256");
            assert!(checksum.is_some(), "{}", put.start);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upload_carries_its_condition_and_packs_their_class() {
    for name in ["versitygw", "minio", "gcs", "azurite"] {
        every_upload_carries_its_condition_on(name).await;
    }
}
