//! Uploads in parts that are given up: nothing of them stays, whatever was on its way.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use repository::Objects;
use testkit::{Message, Proxy, Server, Treatment, Versitygw};

use crate::server::within;

/// How much later than the client thinks something arrives at the server.
const LATE: Duration = Duration::from_millis(700);
/// How long we wait for what is under way before we give an upload up.
const ARRIVES: Duration = Duration::from_secs(5);
/// S3 takes no smaller part, but for the last one.
const PART: usize = 5 << 20;

fn begins(request: &Message) -> bool {
    request.method() == "POST" && request.target().contains("?uploads")
}

fn is_a_part(request: &Message) -> bool {
    request.target().contains("partNumber=")
}

/// Files and folders of uploads that were neither finished nor given up.
fn left(server: &Versitygw) -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            found.push(path.display().to_string());
            below(&path, found);
        }
    }
    let mut found = Vec::new();
    let uploads = server.buckets().join("bucket/.sgwtmp/multipart");
    below(&uploads, &mut found);
    found
}

/// Gives an upload up while requests of that kind are on their way.
async fn given_up(late: fn(&Message) -> bool) {
    let Some(Server::Versitygw(server)) = Server::start("versitygw") else {
        return;
    };
    let proxy = Proxy::start(&server.s3().address, move |request| {
        if late(request) {
            Treatment::PassesAfter(LATE)
        } else {
            Treatment::Passes
        }
    });
    let server = Server::Versitygw(server);
    let mut remote = within(&server, "");
    remote.endpoint = Some(server.endpoint_by_way_of(proxy.address()));
    // A busy machine may need the seconds for itself, and what arrives after them may stay.
    let waited = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&waited);
    remote.timing.sleep = Arc::new(move |period| {
        let is_for_arrival = period == ARRIVES;
        noticed.fetch_or(is_for_arrival, Ordering::SeqCst);
        let period = if is_for_arrival { 12 * period } else { period };
        Box::pin(tokio::time::sleep(period))
    });
    let objects = Objects::remote(remote).expect("a bucket");
    let mut upload = objects.upload("large").expect("a name");
    // Whoever is interrupted drops what he does at this very moment.
    let three = vec![7; 3 * PART];
    let on_its_way = async {
        while !proxy.take_seen().iter().any(late) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        // Whoever comes back late to both of them looks first whether there was something on its way.
        biased;
        () = on_its_way => {}
        written = upload.write(&three) => panic!("nothing was late: {written:?}"),
    }
    upload.abort().await;
    assert!(waited.load(Ordering::SeqCst), "so long is not waited for");
    // What was on its way has arrived.
    tokio::time::sleep(2 * LATE).await;
    let Server::Versitygw(server) = &server else {
        unreachable!()
    };
    assert_eq!(left(server), [] as [&str; 0]);
    assert_eq!(objects.size("large").await.expect("it answers"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_arrives_late_does_not_stay() {
    given_up(is_a_part).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_begins_late_does_not_stay() {
    given_up(begins).await;
}
