//! An API server that takes connections and answers nothing, as one does whose host has no memory left.

use std::time::{Duration, Instant};

use strongroom_source::kubernetes::Kubernetes;
use strongroom_source::suite::{Archive, plan};
use strongroom_source::{Action, Batch, Capture, Conflict, Error, ErrorKind, Sink, Source};
use testkit::KubernetesOptions;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use crate::busy::restore_held;
use crate::capture::many;
use crate::rights::said;
use crate::{options, restore, settings};

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(3);
/// What a busy machine takes beside.
const SLACK: Duration = Duration::from_secs(30);

/// One that waits as long as it is usual: a server that does not hang, on a busy machine, may take longer than [`ANSWER`].
fn source(cluster: &testkit::Kubernetes) -> Kubernetes {
    let mut options = options(cluster, &["a"]);
    options.namespace_objects = false;
    Kubernetes::new(options)
}

/// One that waits no longer than that, for a server that hangs.
fn impatient(cluster: &testkit::Kubernetes) -> Kubernetes {
    let mut options = options(cluster, &["a"]);
    options.namespace_objects = false;
    options.timeouts.answer = ANSWER;
    Kubernetes::new(options)
}

/// A capture that has begun. Its first question is asked once, and a busy machine may not answer it in time: then another one is begun.
async fn begun(
    cluster: &testkit::Kubernetes,
) -> (Receiver<Batch>, JoinHandle<Result<Capture, Error>>) {
    for _ in 0..5 {
        let source = impatient(cluster);
        let (mut sink, mut receiver) = Sink::channel();
        let reading = tokio::spawn(async move {
            let capture = source.read(&mut sink).await?;
            sink.finish().await?;
            Ok::<_, Error>(capture)
        });
        if receiver.recv().await.is_some() {
            return (receiver, reading);
        }
        let error = reading.await.expect("no panic").expect_err("nothing came");
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", said(&error));
    }
    panic!("no capture begins");
}

/// Lets the server go on, and waits until nothing more is written: what it was asked for while it hung, it does now.
fn settled(cluster: &testkit::Kubernetes) {
    cluster.resume();
    let mut before = None;
    cluster.wait_until("nothing more is written", |it| {
        let (success, names) = it.try_ctl(&["get", "secrets", "-n", "a", "-o", "name"], "");
        let now = success.then(|| names.lines().count());
        let is_same = now.is_some() && now == before;
        before = now;
        if !is_same {
            std::thread::sleep(Duration::from_secs(1));
        }
        is_same
    });
}

/// It did not answer, and was waited for no longer than that.
#[track_caller]
fn waited(start: Instant, most: Duration, error: &Error) {
    let (took, text) = (start.elapsed(), said(error));
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{text}");
    assert!(text.contains("did not answer within 3 s"), "{text}");
    assert!(took < most + SLACK, "{took:?}: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    // Some ten megabytes, of which the sink and the connection hold but a part while nobody takes any.
    let archive = many(&["a"], 1400, 8000);
    let fail = settings(Conflict::Fail, &[]);
    let (_, report) = restore(&source(&cluster), &archive, &fail).await;
    assert_eq!(report.written, 1400);

    // At once where nothing has answered yet, as it may be the wrong address.
    let source = impatient(&cluster);
    cluster.pause();
    let start = Instant::now();
    waited(
        start,
        ANSWER,
        &Archive::collect(&source).await.err().expect("it hangs"),
    );
    let start = Instant::now();
    waited(
        start,
        ANSWER,
        &source.completeness().await.expect_err("it hangs"),
    );
    tokio::task::block_in_place(|| settled(&cluster));

    // In the middle of a list as long as one that starts again may take.
    let (mut receiver, reading) = begun(&cluster).await;
    cluster.pause();
    let start = Instant::now();
    while receiver.recv().await.is_some() {}
    let error = reading.await.expect("no panic").expect_err("it hangs");
    waited(start, Duration::from_secs(25) + ANSWER, &error);
    cluster.resume();
}

/// What was written is said, and the next restore does the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_short_says_how_far_it_came() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let archive = many(&["a"], 3000, 2000);
    let fail = settings(Conflict::Fail, &[]);
    // It gets no further than to the middle before the server hangs, however late that is seen.
    let (let_go, restoring) = restore_held(impatient(&cluster), &archive, fail.clone(), 1500);
    tokio::task::block_in_place(|| {
        cluster.wait_until("some are there", |it| {
            it.try_ctl(&["get", "secret", "s00300", "-n", "a"], "").0
        });
    });
    cluster.pause();
    let_go.send(()).expect("the restore waits for it");
    let start = Instant::now();
    let error = restoring.await.expect("no panic").expect_err("it hangs");
    waited(start, Duration::from_secs(40) + ANSWER, &error);
    tokio::task::block_in_place(|| settled(&cluster));
    let text = said(&error);
    let words = " of 3000 objects were written before it ended, and the same command does what is left: https://";
    assert!(text.contains(words), "{text}");
    let written: usize = text
        .split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a count");
    // Sixteen are on their way at a time, of which that one may be the first to arrive, and need not have been answered.
    assert!((285..3000).contains(&written), "{text}");

    let source = source(&cluster);
    let left = plan(&source, &archive, &fail).await;
    let there = left.steps.iter().filter(|it| it.action == Action::Same);
    // What was on its way may have arrived, and been written without an answer.
    let there = there.count();
    assert!((written..=written + 16).contains(&there), "{there}: {text}");
    let (_, report) = restore(&source, &archive, &fail).await;
    assert_eq!(
        (report.written, report.failed),
        (3000 - there as u64, vec![])
    );
}
