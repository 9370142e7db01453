//! What is captured: the same bytes, in units, or nothing.

use archive::Item;
use std::time::Duration;
use strongroom_source::bolt::Units;
use strongroom_source::etcd::{Etcd, Options, Timeouts};
use strongroom_source::suite::Archive;
use strongroom_source::{ErrorKind, Sink, Source};
use testkit::{EtcdOptions, require};

use crate::cluster::seed;
use crate::mirror::Mirror;
use crate::proxy::Proxy;
use crate::{options, refusal, snapshot, source_of};

/// The promise about identical bytes is etcd's to keep. 3.4 does; 3.6 starts every snapshot with a commit of its own, which
/// rewrites the two meta pages and the few pages that hold its applied index, and may take a new page for them.
#[tokio::test]
async fn an_unchanged_etcd_changes_only_a_few_pages() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 500, 2).await;
    let source = source_of(&server);
    let (first, capture) = Archive::collect(&source).await.expect("a capture");
    let (second, later) = Archive::collect(&source).await.expect("a capture");
    let ((_, first), (_, second)) = (snapshot(&first), snapshot(&second));
    assert!(
        first.len().abs_diff(second.len()) <= 4 * 4096,
        "it may need a new page"
    );
    let pages = first.chunks(4096).zip(second.chunks(4096));
    let changed = pages.filter(|(first, second)| first != second).count();
    assert!(changed <= 12, "{changed} pages differ");
    for name in [
        "etcd.revision",
        "etcd.version",
        "etcd.member",
        "etcd.cluster",
    ] {
        assert_eq!(capture.facts[name], later.facts[name], "{name}");
    }
}

/// Units are announced before their bytes and tile the database; all but few are real ones.
#[tokio::test]
async fn units_tile_the_database() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 300, 2).await;
    let (mut sink, mut receiver) = Sink::channel();
    let gather = tokio::spawn(async move {
        let (mut at, mut end, mut units, mut bytes) = (0, 0, Vec::new(), Vec::new());
        while let Some(batch) = receiver.recv().await {
            for item in batch {
                match item {
                    Item::Unit { length } => {
                        assert!(at <= end, "units are announced before their bytes");
                        end += length;
                        units.push(length);
                    }
                    Item::Data(content) => {
                        at += content.len() as u64;
                        assert!(content.len() <= 512 * 1024);
                        bytes.extend_from_slice(content.as_bytes());
                    }
                    Item::Begin(_) | Item::End | Item::GiveUp => {}
                }
            }
        }
        (units, bytes)
    });
    source_of(&server).read(&mut sink).await.expect("a capture");
    sink.finish().await.expect("somebody listens");
    let (units, bytes) = gather.await.expect("it gathers");
    assert_eq!(units.iter().sum::<u64>(), bytes.len() as u64 - 32);
    assert!(
        units.iter().any(|length| *length > 1024 * 1024),
        "large values are units of many pages"
    );

    let (mut state, mut found) = (Units::default(), Vec::new());
    state.feed(&bytes, &mut found);
    assert!(found.iter().map(|unit| unit.length).eq(units));
}

/// What every cut of the stream must lead to, wherever the server dies.
#[tokio::test]
async fn a_server_that_dies_leaves_no_entry() {
    let Some(release) = require("etcd") else {
        return;
    };
    let mut server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 100, 30).await;
    let (mut sink, mut receiver) = Sink::channel();
    let source = source_of(&server);
    let read = tokio::spawn(async move { source.read(&mut sink).await });
    let first = receiver.recv().await.expect("it has started");
    assert!(!first.is_empty());
    server.kill();
    let mut ended = false;
    while let Some(batch) = receiver.recv().await {
        ended |= batch.iter().any(|item| matches!(item, Item::End));
    }
    let error = read.await.expect("no panic").expect_err("it was killed");
    assert!(!ended, "no entry completes");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("it broke off after"), "{error}");
}

#[tokio::test]
async fn a_stream_that_stalls_is_given_up() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 100, 10).await;
    let through = |proxy: &Proxy, timeouts: Timeouts| {
        Etcd::new(Options {
            timeouts,
            ..options(&[&proxy.address()])
        })
    };

    let idle = Timeouts {
        idle: Duration::from_millis(700),
        ..Timeouts::default()
    };
    let proxy = Proxy::start(server.address(), 2_000_000).await;
    let (kind, text) = refusal(&through(&proxy, idle)).await;
    assert!(
        kind == ErrorKind::Unreachable && text.contains("stalled"),
        "{text}"
    );

    // Short for the questions before the snapshot, too, and so only where none of them gets an answer.
    let request = Timeouts {
        request: Duration::from_secs(1),
        ..Timeouts::default()
    };
    let proxy = Proxy::start(server.address(), 0).await;
    let (kind, text) = refusal(&through(&proxy, request)).await;
    assert!(
        kind == ErrorKind::Unreachable && text.contains("did not answer within 1 s"),
        "{text}"
    );
}

/// A member proves that it has everything, and what it sends then lacks some of it.
#[tokio::test]
async fn a_snapshot_that_is_older_than_what_was_proven_is_refused() {
    let Some(release) = require("etcd") else {
        return;
    };
    let [newer, older] = [60, 50].map(|_| testkit::Etcd::start(&release, EtcdOptions::default()));
    for (server, keys) in [(&newer, 60), (&older, 50)] {
        seed(server, keys, 0).await;
        server.ctl(&["put", "and", "one more"]);
    }
    newer.ctl(&["put", "and", "another"]);
    let mirror = async |first: &testkit::Etcd, second: &testkit::Etcd| {
        // It is asked for its status twice, then for the read, then for the snapshot.
        let mirror = Mirror::start(first.address(), second.address(), 4).await;
        Etcd::new(options(&[&mirror.address()]))
    };
    let (kind, text) = refusal(&mirror(&newer, &older).await).await;
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("and the member had"), "{text}");

    let source = mirror(&older, &newer).await;
    let (_, capture) = Archive::collect(&source).await.expect("it is newer");
    let (_, direct) = Archive::collect(&source_of(&newer))
        .await
        .expect("a capture");
    assert_eq!(
        capture.facts["etcd.revision"],
        direct.facts["etcd.revision"]
    );
}
