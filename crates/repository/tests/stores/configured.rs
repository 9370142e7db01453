//! What is configured for S3 is what requests say, and what the server does: how it encrypts, and the region.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use repository::{Account, Remote, Repository, S3Encryption, Store, StoreFailureKind};
use testkit::{Message, Minio, Proxy, Treatment, require};
use zeroize::Zeroizing;

use crate::common::{NOW, World, sample};
use crate::faults::refusal;
use crate::server::{remote, s3};

/// The key that a MinIO has which encrypts.
const KEYS: &str = "some-key:c29tZSBieXRlcyB0aGF0IGFyZSBhIGtleSBvZiAzMiE=";
/// One of ours.
const CUSTOMER_KEY: &str = "b3RoZXIgYnl0ZXMgdGhhdCBhcmUgYSBrZXkgb2YgMzI=";

const MANNER: &str = "x-amz-server-side-encryption";
const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CUSTOMER: [(&str, Option<&str>); 3] = [
    (
        "x-amz-server-side-encryption-customer-algorithm",
        Some("AES256"),
    ),
    (
        "x-amz-server-side-encryption-customer-key",
        Some(CUSTOMER_KEY),
    ),
    (
        "x-amz-server-side-encryption-customer-key-md5",
        Some("QhGOGuykCFr7EnLzRwiOVQ=="),
    ),
];

fn with(mut remote: Remote, encryption: S3Encryption) -> Remote {
    if let Account::S3(account) = &mut remote.account {
        account.encryption = Some(encryption);
    }
    remote
}

async fn is_used(remote: Remote) {
    let world = World::at(Store::remote(remote).expect("a store")).await;
    world.back_up(&sample()).await;
    assert!(world.read(1).await.expect("whole") == sample());
}

/// That every request `which` has says this, or nothing of it.
fn all_say(seen: &[Message], which: fn(&Message) -> bool, said: &[(&str, Option<&str>)]) {
    let requests: Vec<&Message> = seen.iter().filter(|request| which(request)).collect();
    assert!(requests.len() > 3, "{}", requests.len());
    for request in requests {
        for (header, value) in said {
            assert_eq!(request.header(header), *value, "{} {header}", request.start);
        }
    }
}

fn puts(request: &Message) -> bool {
    request.method() == "PUT"
}

fn of_objects(request: &Message) -> bool {
    matches!(request.method(), "PUT" | "GET" | "HEAD") && !request.target().contains('?')
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_is_encrypted_as_the_server_was_told() {
    let Some(release) = require("minio") else {
        return;
    };
    let environment = [("MINIO_KMS_SECRET_KEY", KEYS.to_owned())];
    let server = Minio::start_with(&release, &environment);
    let root = server.s3();
    root.make_bucket("bucket");
    let proxy = Proxy::start(&root.address, |_| Treatment::Passes);
    for (folder, encryption, manner, key) in [
        ("own", S3Encryption::Aes256, "AES256", None),
        ("usual", S3Encryption::Kms(None), "aws:kms", None),
        (
            "named",
            S3Encryption::Kms(Some("some-key".to_owned())),
            "aws:kms",
            Some("some-key"),
        ),
    ] {
        let account = s3(&root.access_key, &root.secret_key);
        let remote = remote(&format!("s3://bucket/{folder}"), proxy.endpoint(), account);
        is_used(with(remote, encryption)).await;
        let seen = proxy.take_seen();
        all_say(&seen, puts, &[(MANNER, Some(manner)), (KEY, key)]);
        let stored = root.list("bucket", &format!("{folder}/"));
        assert!(stored.len() > 4, "{stored:?}");
        for name in stored {
            let path = format!("/bucket/{name}");
            let answer = root.done("HEAD", &path, "", &[], b"");
            assert_eq!(answer.header(MANNER), Some(manner), "{name}");
        }
    }
}

/// The key goes along with what writes and with what reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_ours_goes_along_with_every_request() {
    let Some(release) = require("minio") else {
        return;
    };
    // MinIO takes such a key over TLS only, where nobody can look: this one is asked in clear, and has nothing.
    let proxy = Proxy::start("127.0.0.1:1", |_| {
        Treatment::Answered(Message::new("HTTP/1.1 404 Not Found", &[], b""))
    });
    let customer = || S3Encryption::Customer(Zeroizing::new(CUSTOMER_KEY.to_owned()));
    let asked = || {
        let remote = remote("s3://bucket/r", proxy.endpoint(), s3("id", "secret"));
        Store::remote(with(remote, customer())).expect("a store")
    };
    drop(Repository::open(asked()).await);
    drop(Repository::create(asked(), NOW.to_owned()).await);
    let seen = proxy.take_seen();
    for method in ["GET", "PUT"] {
        assert!(seen.iter().any(|request| request.method() == method));
    }
    for request in seen.iter().filter(|request| of_objects(request)) {
        for (header, value) in CUSTOMER {
            assert_eq!(request.header(header), value, "{}", request.start);
        }
    }

    let server = Minio::start_with_tls(&release);
    fs::create_dir(server.buckets().join("bucket")).expect("a bucket is a folder");
    let authority = fs::read(&server.certificates().authority).expect("a certificate");
    let root = server.s3();
    let at = || {
        let account = s3(&root.access_key, &root.secret_key);
        let mut remote = remote("s3://bucket/r", server.endpoint(), account);
        remote.authorities = Some(authority.clone());
        // Until it serves, it asks for a minute, and needs a second.
        let idle = remote.patience.timeout;
        remote.timing.sleep = Arc::new(move |period| {
            let pause = period.min(Duration::from_secs(1));
            let period = if period == idle { idle } else { pause };
            Box::pin(tokio::time::sleep(period))
        });
        remote
    };
    is_used(with(at(), customer())).await;
    let (kind, words) = refusal(at()).await;
    assert_ne!(kind, StoreFailureKind::Unreachable);
    assert!(words.contains("Server Side Encryption"), "{words}");
    assert!(!words.contains(CUSTOMER_KEY), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_for_the_region_and_another_one_is_named() {
    let Some(release) = require("minio") else {
        return;
    };
    let environment = [("MINIO_SITE_REGION", "eu-west-3".to_owned())];
    let server = Minio::start_with(&release, &environment);
    fs::create_dir(server.buckets().join("bucket")).expect("a bucket is a folder");
    let root = server.s3();
    let proxy = Proxy::start(&root.address, |_| Treatment::Passes);
    let at = |region: Option<&str>| {
        let account = s3(&root.access_key, &root.secret_key);
        let mut remote = remote("s3://bucket/r", proxy.endpoint(), account);
        if let Account::S3(account) = &mut remote.account {
            account.region = region.map(str::to_owned);
        }
        remote
    };
    is_used(at(Some("eu-west-3"))).await;
    for request in proxy.take_seen() {
        let signed = request.header("authorization").unwrap_or_default();
        assert!(signed.contains("/eu-west-3/s3/aws4_request"), "{signed}");
    }
    for wrong in [None, Some("eu-west-1")] {
        let (kind, words) = refusal(at(wrong)).await;
        assert_eq!(kind, StoreFailureKind::Elsewhere, "{words}");
        assert!(words.contains("eu-west-3"), "{words}");
    }
}
