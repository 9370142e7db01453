//! A cluster that others use at the same time, and a server that says when it has time again.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archive::{Body, Content, Entry, Item, Name};
use async_trait::async_trait;
use serde_json::Value;
use strongroom_source::kubernetes::{Access, Kubernetes};
use strongroom_source::suite::{Archive, plan};
use strongroom_source::{Conflict, Contents, Error, Report, RestoreOptions, Sink, Source};
use testkit::KubernetesOptions;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::capture::many;
use crate::objects::secret;
use crate::{options, settings};

/// So many that a list of them has three pages, the sink and the connection hold but a part, and a restore takes its time.
const OBJECTS: usize = 1400;
/// So many of them another client makes, too.
const LATE: usize = 100;
/// What another client writes.
const THEIRS: &[u8] = b"theirs";

/// Contents of which no more than a part comes before the test says so: whatever it does until then, however long that takes on a busy
/// machine, it does in the middle of the restore.
struct Held<C> {
    contents: C,
    /// So many entries come at once.
    left: usize,
    go_on: Option<oneshot::Receiver<()>>,
}

#[async_trait]
impl<C: Contents> Contents for Held<C> {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        if self.left == 0
            && let Some(go_on) = self.go_on.take()
        {
            // If nobody is left to say so, the test has failed, and says why.
            let _ = go_on.await;
        }
        self.left = self.left.saturating_sub(1);
        self.contents.next().await
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        self.contents.data().await
    }
}

/// Plans a restore of all of `archive` and carries it out, but for what comes behind the first `left` entries, until that is let go on.
pub(crate) fn restore_held(
    source: Kubernetes,
    archive: &Archive,
    options: RestoreOptions,
    left: usize,
) -> (oneshot::Sender<()>, JoinHandle<Result<Report, Error>>) {
    let (let_go, go_on) = oneshot::channel();
    let archive = archive.clone();
    let restoring = tokio::spawn(async move {
        let plan = plan(&source, &archive, &options).await;
        let mut contents = Held {
            contents: archive.written_by(&plan),
            left,
            go_on: Some(go_on),
        };
        source.write(&plan, &mut contents, &options).await
    });
    (let_go, restoring)
}

/// Another client makes, changes and deletes objects while they are restored, and then while they are captured.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn others_write_while_we_restore_and_capture() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let mut options = options(&cluster, &["n"]);
    options.namespace_objects = false;
    let cluster = Arc::new(cluster);
    let archive = many(&["n"], OBJECTS, 8000);
    restored_beside_others(&cluster, &options, &archive).await;
    captured_beside_others(&cluster, options).await;
}

/// Everything is ours or theirs as a whole, and what is theirs and was there before us is named.
async fn restored_beside_others(
    cluster: &Arc<testkit::Kubernetes>,
    options: &strongroom_source::kubernetes::Options,
    archive: &Archive,
) {
    let source = Kubernetes::new(options.clone());
    // It does not come to what they make before they have begun, or they would find all of it made.
    let overwrite = settings(Conflict::Overwrite, &[]);
    let (let_go, restoring) = restore_held(source, archive, overwrite, OBJECTS - LATE);
    let made = tokio::task::block_in_place(|| others_write(cluster, let_go));
    let made = made.lines().filter_map(|line| {
        let name = line.strip_prefix("secret/")?.strip_suffix(" created")?;
        Some(format!("secrets/n/{name}"))
    });
    let made: BTreeSet<String> = made.collect();
    assert!(!made.is_empty(), "they were faster than we");
    let report = restoring.await.expect("no panic").expect("a restore");
    let failed = report.failed.iter();
    let failed: BTreeSet<String> = failed
        .map(|(name, reason)| {
            assert!(reason.contains("made by somebody else"), "{reason}");
            name.to_string()
        })
        .collect();
    assert_eq!(failed, made);
    assert_eq!(report.written as usize, OBJECTS - made.len());

    let source = Kubernetes::new(options.clone());
    let (now, _) = Archive::collect(&source).await.expect("a capture");
    for name in archive.names() {
        let text = name.to_string();
        let Some((_, content)) = now.get(name) else {
            assert_eq!(
                text, "secrets/n/s00011",
                "it is gone, and nobody deleted it"
            );
            continue;
        };
        let theirs = content == THEIRS;
        assert_eq!(
            theirs,
            made.contains(&text) || text.ends_with("s00010"),
            "{text}"
        );
        assert!(
            theirs || archive.get(name).is_some_and(|(_, ours)| ours == content),
            "{text}"
        );
    }
}

/// Makes what the restore has not come to, changes and deletes what it has made, and lets it go on meanwhile; what kubectl said of the first.
fn others_write(cluster: &testkit::Kubernetes, let_go: oneshot::Sender<()>) -> String {
    // From the end, where the restore is last.
    let late = (OBJECTS - LATE..OBJECTS).rev();
    let late: Vec<Value> = late
        .map(|i| secret("n", &format!("s{i:05}"), "Opaque", &[("value", THEIRS)]))
        .collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": late}).to_string();
    let there = |names: &[&str]| {
        let get = [&["get", "secret", "-n", "n"][..], names].concat();
        cluster.wait_until("they are there", |it| it.try_ctl(&get, "").0);
    };
    there(&["s00010", "s00011"]);
    let last = format!("s{:05}", OBJECTS - 1);
    std::thread::scope(|scope| {
        let making = scope.spawn(|| cluster.try_ctl(&["create", "-f", "-"], &list).1);
        there(&[last.as_str()]);
        let_go.send(()).expect("the restore waits for it");
        let patch = r#"{"data":{"value":"dGhlaXJz"}}"#;
        cluster.ctl(&["patch", "secret", "s00010", "-n", "n", "-p", patch]);
        cluster.ctl(&["delete", "secret", "s00011", "-n", "n"]);
        making.join().expect("no panic")
    })
}

/// What is captured is what etcd held at the version that the snapshot names, whatever is written meanwhile.
async fn captured_beside_others(
    cluster: &Arc<testkit::Kubernetes>,
    options: strongroom_source::kubernetes::Options,
) {
    let (mut sink, mut receiver) = Sink::channel();
    let source = Kubernetes::new(options);
    let reading = tokio::spawn(async move {
        let capture = source.read(&mut sink).await?;
        sink.finish().await?;
        Ok::<_, strongroom_source::Error>(capture)
    });
    let mut items: Vec<Item> = receiver.recv().await.expect("it has begun");
    // One on the first page, and after it one on the last, over and over.
    let (rounds, stop) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let writing = tokio::task::spawn_blocking({
        let (cluster, rounds, stop) = (cluster.clone(), rounds.clone(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                let patch = format!(r#"{{"stringData":{{"value":"round {round:04}"}}}}"#);
                for name in ["s00001", "s01399"] {
                    cluster.ctl(&["patch", "secret", name, "-n", "n", "-p", &patch]);
                }
                if round == 1 {
                    let made = secret("n", "s01398x", "Opaque", &[]).to_string();
                    cluster.ctl_with(&["create", "-f", "-"], &made);
                    cluster.ctl(&["delete", "secret", "s01397", "-n", "n"]);
                }
            }
        }
    });
    while rounds.load(Ordering::Relaxed) < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while let Some(batch) = receiver.recv().await {
        items.extend(batch);
    }
    let facts = reading.await.expect("no panic").expect("a capture").facts;
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("no panic");

    let captured = Archive::from_items(items);
    let version = &facts["kubernetes.resource-version.secrets"];
    let revision = format!("--rev={version}");
    let held = |more: &[&str]| {
        let get = [&["get", &revision][..], more].concat();
        cluster.etcd().ctl(&get)
    };
    let keys = held(&["--prefix", "--keys-only", "/registry/secrets/n/"]);
    let keys = keys.lines().filter(|line| !line.is_empty());
    let keys: Vec<String> = keys.map(|key| key.replace("/registry/", "")).collect();
    let names: Vec<String> = captured.names().map(Name::to_string).collect();
    assert!(names == keys, "{} and {}", names.len(), keys.len());
    assert!(
        names.contains(&"secrets/n/s01397".to_owned()),
        "it was read too late"
    );
    for name in ["s00001", "s01399"] {
        let stored = held(&["--print-value-only", &format!("/registry/secrets/n/{name}")]);
        let (entry, content) = captured
            .get(&Name::from(format!("secrets/n/{name}").as_str()))
            .expect("it is there");
        assert!(matches!(&entry.body, Body::Record { fields } if fields.len() == 1));
        let content = String::from_utf8_lossy(content);
        assert!(stored.contains(&*content), "{name}: {content:.20}");
    }
}

const SECRETS: &str = r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[
    {"metadata":{"name":"s","namespace":"a","uid":"u","resourceVersion":"5"},"type":"Opaque","data":{"k":"dg=="}}]}"#;

/// It says 429 to the first lists, and when to come back: not the second that we would wait by ourselves.
#[tokio::test]
async fn a_server_is_asked_again_when_it_said() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("it is bound"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn({
        let asked = asked.clone();
        move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = Vec::new();
                while !request.windows(4).any(|it| it == b"\r\n\r\n") {
                    let mut piece = [0; 4096];
                    match stream.read(&mut piece) {
                        Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request);
                let (status, body) = if request.contains("/secrets?") {
                    let mut asked = asked.lock().expect("no panic");
                    asked.push(Instant::now());
                    match asked.len() {
                        1 => ("429 Too Many Requests\r\nretry-after: 3", "busy"),
                        2..=6 => ("429 Too Many Requests\r\nretry-after: 0", "busy"),
                        _ => ("200 OK", SECRETS),
                    }
                } else {
                    ("200 OK", r#"{"gitVersion":"v1.36.3"}"#)
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(&file, kubeconfig.to_string()).expect("a file");
    let mut options = strongroom_source::kubernetes::Options {
        access: Access::Kubeconfig {
            files: vec![file],
            context: None,
        },
        ..Default::default()
    };
    options.namespaces.include = vec!["a".to_owned()];
    let source = Kubernetes::new(options);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    assert_eq!(archive.len(), 1);
    let asked = asked.lock().expect("no panic");
    assert_eq!(asked.len(), 7, "{asked:?}");
    let waits: Vec<Duration> = asked.windows(2).map(|it| it[1] - it[0]).collect();
    assert!(waits[0] >= Duration::from_secs(3), "{waits:?}");
    // The shortest of five: a busy machine holds up one or another of them, and a second of ours would be in each.
    let at_once = waits[1..].iter().min().expect("five");
    assert!(*at_once < Duration::from_millis(900), "{waits:?}");
}
