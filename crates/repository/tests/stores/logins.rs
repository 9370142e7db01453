//! Keys that somebody hands out for a while, and renews. The token service is MinIO's own; what a container's platform says is said
//! by a fake. The keys are MinIO's in both cases, and end when the test says so.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use repository::{Remote, S3Keys, Store, StoreFailureKind};
use tempfile::TempDir;
use testkit::{Message, Minio, OpenId, Proxy, Tls, Treatment, ask, elements, require};

use crate::common::{World, sample};
use crate::faults::refusal;
use crate::server::{remote, s3_with};

/// How long a key is said to last.
const LASTS: Duration = Duration::from_secs(2);

/// Ids of keys that were handed out and have not ended. A test ends them, and no clock: a busy machine may use a key later than it got it.
type Handed = Arc<Mutex<HashSet<String>>>;

/// MinIO with a bucket, which honours each key until it has ended.
struct Platform {
    minio: Minio,
    provider: OpenId,
    handed: Handed,
    bucket: Proxy,
    folder: TempDir,
}

impl Platform {
    fn start() -> Option<Self> {
        let release = require("minio")?;
        let provider = OpenId::start();
        let minio = Minio::start_with(&release, &provider.for_minio());
        minio.s3().make_bucket("bucket");
        let handed = Handed::default();
        let known = Arc::clone(&handed);
        let bucket = Proxy::start(&minio.s3().address, move |request| {
            if known.lock().expect("a set").contains(&key_of(request)) {
                Treatment::Passes
            } else {
                Treatment::Answered(error("400 Bad Request", "ExpiredToken"))
            }
        });
        Some(Self {
            minio,
            provider,
            handed,
            bucket,
            folder: tempfile::tempdir().expect("a folder"),
        })
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// MinIO's token service, whose keys are said to end soon.
    fn token_service(&self) -> Proxy {
        let (address, handed) = (self.minio.s3().address, Arc::clone(&self.handed));
        Proxy::start("127.0.0.1:1", move |request| {
            let mut answer = ask(&address, request).expect("MinIO answers");
            let text = answer.text();
            let [id, end] = ["AccessKeyId", "Expiration"].map(|it| elements(&text, it).concat());
            if answer.status() == 200 {
                note(&handed, &id);
                answer.body = text.replace(&end, &soon()).into_bytes();
            }
            Treatment::Answered(answer)
        })
    }

    /// What EKS has on each of its machines: it gives a key to whoever shows the token that stands in the file.
    fn agent(&self) -> Proxy {
        let (s3, handed) = (self.minio.s3(), Arc::clone(&self.handed));
        let token_file = self.token_file();
        Proxy::start("127.0.0.1:1", move |request| {
            let token = fs::read_to_string(&token_file).expect("a token");
            if request.header("authorization") != Some(&token) || request.target() != "/v1/keys" {
                return Treatment::Answered(Message::new("HTTP/1.1 401 Unauthorized", &[], b"no"));
            }
            let key = s3.with_key_that_ends();
            note(&handed, &key.access_key);
            let body = format!(
                "{{\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\",\"Token\":\"{}\",\"Expiration\":\"{}\"}}",
                key.access_key,
                key.secret_key,
                key.session_token.unwrap_or_default(),
                soon()
            );
            Treatment::Answered(Message::new("HTTP/1.1 200 OK", &[], body.as_bytes()))
        })
    }

    fn remote(&self, keys: S3Keys, authority: Option<&Path>) -> Remote {
        let mut remote = remote("s3://bucket/r", self.bucket.endpoint(), s3_with(keys));
        remote.authorities = authority.map(|path| fs::read(path).expect("a certificate"));
        remote
    }

    /// Two backups by one store, which lives longer than its first key and its first token.
    async fn outlives_its_keys(&self, remote: Remote, tokens: [String; 2], asked: &Proxy) {
        let shown = |seen: &[Message], token: &str| {
            let shows = |request: &Message| {
                request.target().contains(token) || request.header("authorization") == Some(token)
            };
            seen.iter().filter(|request| shows(request)).count()
        };
        fs::write(self.token_file(), &tokens[0]).expect("a token");
        let world = World::at(Store::remote(remote).expect("a store")).await;
        world.back_up(&sample()).await;
        let seen = asked.take_seen();
        assert_eq!(shown(&seen, &tokens[0]), seen.len());
        fs::write(self.token_file(), &tokens[1]).expect("a token");
        // To the bucket they have ended now, and to the client when it has waited.
        self.handed.lock().expect("a set").clear();
        tokio::time::sleep(LASTS + Duration::from_millis(200)).await;
        world.back_up(&sample()).await;
        assert!(world.read(1).await.expect("whole") == sample());
        assert!(!self.handed.lock().expect("a set").is_empty());
        let seen = asked.take_seen();
        assert!(!seen.is_empty());
        assert_eq!(shown(&seen, &tokens[1]), seen.len());
    }
}

fn soon() -> String {
    (Timestamp::now() + LASTS).to_string()
}

fn note(handed: &Handed, id: &str) {
    handed.lock().expect("a set").insert(id.to_owned());
}

/// The id of the key that signed a request.
fn key_of(request: &Message) -> String {
    let signed = request.header("authorization").unwrap_or_default();
    let rest = signed.split_once("Credential=").map(|(_, rest)| rest);
    let id = rest.and_then(|rest| rest.split('/').next());
    id.unwrap_or_default().to_owned()
}

fn error(status: &str, code: &str) -> Message {
    let body = format!("<Error><Code>{code}</Code><Message>As it is said.</Message></Error>");
    Message::new(format!("HTTP/1.1 {status}"), &[], body.as_bytes())
}

fn web_identity(platform: &Platform, endpoint: String) -> S3Keys {
    S3Keys::WebIdentity {
        token_file: platform.token_file().display().to_string(),
        role: "arn:aws:iam::123456789012:role/backup".to_owned(),
        session: None,
        endpoint: Some(endpoint),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_for_a_token_are_renewed_with_the_token_of_the_day() {
    let Some(platform) = Platform::start() else {
        return;
    };
    let service = platform.token_service();
    let tls = Tls::before(service.address());
    let keys = web_identity(&platform, tls.endpoint());
    let authority = &tls.certificates().authority;
    let remote = platform.remote(keys, Some(authority));
    let tokens = ["first", "second"].map(|subject| platform.provider.token(subject));
    platform.outlives_its_keys(remote, tokens, &service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_container_are_renewed_with_the_token_of_the_day() {
    let Some(platform) = Platform::start() else {
        return;
    };
    let agent = platform.agent();
    let address = format!("{}/v1/keys", agent.endpoint());
    let keys = S3Keys::ContainerAt(address, platform.token_file().display().to_string());
    let remote = platform.remote(keys, None);
    let tokens = ["token-of-today", "token-of-tomorrow"].map(str::to_owned);
    platform.outlives_its_keys(remote, tokens, &agent).await;
}

/// Who gives no key is named, soon, and the token is not.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_no_key_is_named() {
    use StoreFailureKind::{Denied, Unreachable};
    let Some(platform) = Platform::start() else {
        return;
    };
    let service = platform.token_service();
    let tls = Tls::before(service.address());
    let silent = Proxy::start("127.0.0.1:1", |_| Treatment::Hangs);
    let silent_tls = Tls::before(silent.address());
    let agent = platform.agent();
    let own_file = platform.folder.path().join("other");
    fs::write(&own_file, "hunter2").expect("a token");
    fs::write(platform.token_file(), "hunter3").expect("a token");
    let file = own_file.display().to_string();
    let at = |keys: S3Keys, tls: &Tls| {
        let mut remote = platform.remote(keys, Some(&tls.certificates().authority));
        remote.patience.retries = 2;
        remote
    };
    // Only where nobody answers: a busy machine may take longer for what is answered.
    let impatient = |mut remote: Remote| {
        remote.patience.timeout = Duration::from_secs(1);
        remote
    };
    let container = |endpoint: String| S3Keys::ContainerAt(endpoint, file.clone());
    for (remote, expected, who) in [
        (
            at(web_identity(&platform, tls.endpoint()), &tls),
            Denied,
            "Amazon's token service gives no key: InvalidParameterValue: ",
        ),
        (
            impatient(at(
                web_identity(&platform, silent_tls.endpoint()),
                &silent_tls,
            )),
            Unreachable,
            "Amazon's token service gives no key: it does not answer",
        ),
        (
            at(container(format!("{}/v1/keys", agent.endpoint())), &tls),
            Denied,
            "the container's platform gives no key: ",
        ),
        (
            impatient(at(container(silent.endpoint()), &tls)),
            Unreachable,
            "the container's platform gives no key: it does not answer",
        ),
        (
            at(container("http://127.0.0.1:1".to_owned()), &tls),
            Unreachable,
            "the container's platform gives no key: Connection refused",
        ),
    ] {
        let began = Instant::now();
        let (kind, words) = refusal(remote).await;
        assert_eq!(kind, expected, "{words}");
        assert!(words.starts_with(who), "{words}");
        assert!(
            !words.contains("hunter") && !words.contains('\n'),
            "{words}"
        );
        assert!(began.elapsed() < Duration::from_mins(1), "{words}");
    }
    // Somebody looks for that file.
    fs::remove_file(&own_file).expect("it is ours");
    let (_, words) = refusal(at(container(agent.endpoint()), &tls)).await;
    assert!(words.contains(&file), "{words}");
}
