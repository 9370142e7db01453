//! What a probe finds out about servers, honest and other.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use repository::{AzProof, Conditions, Lock, LockMode, Probe, Probed, Remote, Store};
use testkit::{
    Azurite, Gcs, GcsOptions, Message, Minio, Proxy, S3, Server, Treatment, Versitygw,
    VersitygwOptions, require,
};
use zeroize::Zeroizing;

use crate::server::{az, remote, s3, within};

async fn probe(remote: Remote) -> Probe {
    Store::remote(remote).expect("a store").probe().await
}

fn found(probe: Probe) -> Probed {
    assert!(probe.left.is_empty(), "{:?}", probe.left);
    probe.found.expect("it answers")
}

/// With all rights: everything holds, and nothing stays.
async fn is_honest(name: &str) {
    let Some(server) = Server::start(name) else {
        return;
    };
    let probed = found(probe(within(&server, "a/b")).await);
    let atomic = Conditions::Atomic {
        rounds: 5,
        writers: 8,
    };
    assert_eq!(probed.conditions, atomic);
    assert!(probed.reads_own_writes && probed.may_overwrite && probed.may_delete);
    assert_eq!(probed.lists_own_writes, Some(true));
    let is_s3 = matches!(server, Server::Versitygw(_) | Server::Minio(_));
    assert_eq!(probed.keeps_versions, Some(false));
    assert_eq!(probed.locks, is_s3.then_some(false));
    let store = Store::remote(within(&server, "")).expect("a store");
    assert!(store.is_empty().await.expect("it lists"));
    assert!(store.date().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_is_honest() {
    is_honest("versitygw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn minio_is_honest() {
    is_honest("minio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_is_honest() {
    is_honest("azurite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fake_of_google_is_honest() {
    is_honest("gcs").await;
}

/// Buckets that keep versions, and that lock what is stored in them.
async fn keeps(endpoint: String, server: &S3) {
    let at = |bucket: &str| {
        let account = s3(&server.access_key, &server.secret_key);
        remote(&format!("s3://{bucket}/r"), endpoint.clone(), account)
    };
    server.make_bucket("versions");
    server.keep_versions("versions");
    let probed = found(probe(at("versions")).await);
    assert_eq!(
        (probed.keeps_versions, probed.locks),
        (Some(true), Some(false))
    );

    server.make_locked_bucket("locks");
    let probed = found(probe(at("locks")).await);
    assert_eq!(
        (probed.keeps_versions, probed.locks),
        (Some(true), Some(true))
    );
    assert_eq!(probed.usual_lock, None);

    let rule = "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled\
        </ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>3</Days></DefaultRetention></Rule>\
        </ObjectLockConfiguration>";
    server.done("PUT", "/locks", "object-lock=", &[], rule.as_bytes());
    let probed = found(probe(at("locks")).await);
    let mode = LockMode::Governance;
    assert_eq!(probed.usual_lock, Some(Lock { mode, days: 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_that_are_kept_are_seen() {
    if let Some(release) = require("gcs") {
        let server = Server::Gcs(Gcs::start(&release, GcsOptions { versioned: true }));
        let probed = found(probe(within(&server, "a/b")).await);
        assert_eq!(probed.keeps_versions, Some(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_locks_of_versitygw_are_seen() {
    if let Some(release) = require("versitygw") {
        let server = Versitygw::start(&release, VersitygwOptions::default());
        keeps(server.endpoint(), &server.s3()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_locks_of_minio_are_seen() {
    if let Some(release) = require("minio") {
        let server = Minio::start(&release);
        keeps(server.endpoint(), &server.s3()).await;
    }
}

/// A policy that lets `user` do only this.
fn policy(user: &str, actions: &[&str]) -> String {
    format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":{{\"AWS\":[\"{user}\"]}},\
         \"Action\":{actions:?},\"Resource\":[\"arn:aws:s3:::bucket\",\"arn:aws:s3:::bucket/*\"]}}]}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_may_not_do_is_an_answer() {
    let Some(release) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(&release, VersitygwOptions::default());
    let user = server.add_user("host");
    server.s3().make_bucket("bucket");
    let at = || {
        let account = s3(&user.access_key, &user.secret_key);
        remote("s3://bucket/r", server.endpoint(), account)
    };

    let create_only = ["s3:PutObject", "s3:GetObject", "s3:ListBucket"];
    server
        .s3()
        .set_policy("bucket", &policy("host", &create_only));
    let probe_of_creator = probe(at()).await;
    let probed = probe_of_creator.found.expect("it answers");
    // This server knows no right to create without the right to overwrite.
    assert!(probed.may_overwrite && !probed.may_delete);
    let once = Conditions::Atomic {
        rounds: 1,
        writers: 8,
    };
    assert_eq!(probed.conditions, once);
    let [left] = probe_of_creator.left.as_slice() else {
        panic!("{:?}", probe_of_creator.left);
    };
    assert!(
        left.starts_with("s3://bucket/r/strongroom.probe-"),
        "{left}"
    );
    let listed = server.s3().list("bucket", "r/");
    assert_eq!(listed, [left.trim_start_matches("s3://bucket/")]);
    let store = Store::remote(at()).expect("a store");
    assert!(
        store.is_empty().await.expect("it lists"),
        "what a probe left does not count"
    );

    let reading = ["s3:GetObject", "s3:ListBucket"];
    server.s3().set_policy("bucket", &policy("host", &reading));
    let probed = found(probe(at()).await);
    assert!(
        matches!(probed.conditions, Conditions::Denied(_)),
        "{probed:?}"
    );

    let blind = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"];
    server.s3().set_policy("bucket", &policy("host", &blind));
    let probed = found(probe(at()).await);
    assert_eq!(probed.lists_own_writes, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_only_creates_only_creates() {
    let Some(release) = require("azurite") else {
        return;
    };
    let server = Azurite::start(&release);
    server.make_container("bucket");
    // Create, list, read.
    let signature = Zeroizing::new(server.sas("bucket", "rcl"));
    let account = az(server.account(), AzProof::Signature(signature));
    let probe = probe(remote("az://bucket/r", server.endpoint(), account)).await;
    assert_eq!(probe.left.len(), 1, "{:?}", probe.left);
    let probed = probe.found.expect("it answers");
    assert!(!probed.may_overwrite && !probed.may_delete);
    assert!(probed.reads_own_writes);
}

/// versitygw behind a proxy that decides the fate of each request.
async fn behind(decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static) -> Option<Probe> {
    let server = Versitygw::start(&require("versitygw")?, VersitygwOptions::default());
    server.s3().make_bucket("bucket");
    let proxy = Proxy::start(&server.s3().address, decide);
    let account = s3(&server.s3().access_key, &server.s3().secret_key);
    let probe = probe(remote("s3://bucket/r", proxy.endpoint(), account)).await;
    assert!(server.s3().list("bucket", "").is_empty(), "nothing stays");
    Some(probe)
}

fn is_create(request: &Message) -> bool {
    request.method() == "PUT" && request.header("if-none-match").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_the_condition_is_found_out() {
    let created = || Message::new("HTTP/1.1 200 OK", &[("etag", "\"1\"")], b"");
    let decide = move |request: &Message| {
        if is_create(request) {
            Treatment::DoneButAnswered(created())
        } else {
            Treatment::Passes
        }
    };
    if let Some(probe) = behind(decide).await {
        let broken = Conditions::Broken {
            winners: 8,
            writers: 8,
        };
        assert_eq!(found(probe).conditions, broken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_a_race_now_and_then_is_found_out() {
    let created = || Message::new("HTTP/1.1 200 OK", &[("etag", "\"1\"")], b"");
    // Two later writers of every fourth object are told that they were the first; one of them may be right.
    let (objects, seen) = (AtomicUsize::new(0), Mutex::new(HashSet::<String>::new()));
    let told = Mutex::new(HashMap::<String, usize>::new());
    let decide = move |request: &Message| {
        if !is_create(request) {
            return Treatment::Passes;
        }
        let target = request.target().to_owned();
        if seen.lock().expect("a set").insert(target.clone()) {
            objects.fetch_add(1, Ordering::SeqCst);
            return Treatment::Passes;
        }
        let fourth = objects.load(Ordering::SeqCst).is_multiple_of(4);
        if fourth {
            let mut told = told.lock().expect("a map");
            let told = told.entry(target).or_default();
            *told += 1;
            if *told <= 2 {
                return Treatment::DoneButAnswered(created());
            }
        }
        Treatment::Passes
    };
    if let Some(probe) = behind(decide).await {
        let conditions = found(probe).conditions;
        assert!(
            matches!(conditions, Conditions::Broken { winners: 2.., .. }),
            "{conditions:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_know_the_condition_is_believed_at_once() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let decide = move |request: &Message| {
        if !is_create(request) {
            return Treatment::Passes;
        }
        count.fetch_add(1, Ordering::SeqCst);
        let body = "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not \
            implemented.</Message></Error>";
        let headers = [("content-type", "application/xml")];
        Treatment::Answered(Message::new(
            "HTTP/1.1 501 Not Implemented",
            &headers,
            body.as_bytes(),
        ))
    };
    if let Some(probe) = behind(decide).await {
        let conditions = found(probe).conditions;
        let Conditions::Unknown(words) = conditions else {
            panic!("{conditions:?}");
        };
        assert!(words.starts_with("NotImplemented: A header"), "{words}");
        assert_eq!(asked.load(Ordering::SeqCst), 8, "none asked twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_is_cut_short_cleans_up_all_the_same() {
    let gets = |request: &Message| request.method() == "GET" && request.target().contains("probe-");
    let decide = move |request: &Message| {
        if gets(request) {
            Treatment::Answered(Message::new("HTTP/1.1 400 Bad Request", &[], b""))
        } else {
            Treatment::Passes
        }
    };
    if let Some(probe) = behind(decide).await {
        assert!(probe.found.is_err());
        assert!(probe.left.is_empty(), "{:?}", probe.left);
    }
}
