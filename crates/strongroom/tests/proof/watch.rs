//! Kubernetes loses its etcd: with encryption at rest, with a client that watches all the time, and with what happened after the snapshot.
//!
//! 5,000 objects; 600 outside of CI, but with `STRONGROOM_LONG`. The client is a script that has none of our code (`watcher.py`).

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Kubernetes, KubernetesOptions, require, require_program};

use crate::scale;
use crate::scene::Scene;
use crate::script::Script;

const WATCHER: Script = Script("watcher.py");
const KINDS: [&str; 2] = ["secrets", "configmaps"];
/// What happens in the script after the snapshot, of each kind.
const FUTURE: &str = "future-";

/// A client that watches, until it is dropped.
struct Watcher {
    file: PathBuf,
    child: Child,
}

impl Watcher {
    fn start(scene: &Scene, url: &str, authority: &str) -> Self {
        let file = scene.path("watcher.json");
        let mut command = WATCHER.command(&["watch", url, authority]);
        let child = command.arg(&file).spawn().expect("python3 runs");
        Self { file, child }
    }

    /// What it knows now.
    fn knows(&self) -> Option<Value> {
        let text = std::fs::read(&self.file).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn wait_until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        // Not for ever: how long a busy machine takes is no part of the proof.
        let deadline = Instant::now() + Duration::from_mins(10);
        loop {
            let known = self.knows().filter(&is);
            if let Some(known) = known {
                return known;
            }
            assert!(Instant::now() < deadline, "the client never saw {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended on its own, which the test has said by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn objects<'a>(known: &'a Value, kind: &str) -> &'a serde_json::Map<String, Value> {
    static NONE: std::sync::LazyLock<serde_json::Map<String, Value>> =
        std::sync::LazyLock::new(serde_json::Map::new);
    known[kind]["objects"].as_object().unwrap_or(&NONE)
}

/// How many objects of a kind it knows of, and how many of them are from after the snapshot.
fn counts(known: &Value, kind: &str) -> (usize, usize) {
    let names = || objects(known, kind).iter();
    let future = |(name, object): &(&String, &Value)| {
        name.starts_with(FUTURE) || object[2]["k"] == value(kind)
    };
    (names().count(), names().filter(future).count())
}

/// What is written after the snapshot.
fn value(kind: &str) -> &'static str {
    match kind {
        "secrets" => "ZnJvbSB0aGUgZnV0dXJl",
        _ => "from the future",
    }
}

fn newest(known: &Value, kind: &str) -> u64 {
    let version = known[kind]["version"].as_str();
    version.and_then(|it| it.parse().ok()).expect("a version")
}

#[test]
fn a_client_that_watches_sees_nothing_from_the_future() {
    if !require_program("python3") {
        return;
    }
    let Some(tool) = require("etcd") else { return };
    let tool = tool.program("etcdutl");
    let tool = tool.to_str().expect("a plain name");
    let options = KubernetesOptions {
        encryption: Some(testkit::AES_GCM),
        ..KubernetesOptions::default()
    };
    let Some(mut cluster) = Kubernetes::start(options) else {
        return;
    };
    let scene = Scene::new();
    let (url, authority) = (cluster.url(), cluster.authority().to_owned());
    let authority = authority.to_str().expect("a plain name");
    let count: usize = if scale::is_full() { 5_000 } else { 600 };
    WATCHER.run(&["seed", &url, authority, &count.to_string()]);
    scene.configure(&format!(
        "  prod: {{sources: [{{etcd: {{endpoints: ['{}']}}}}]}}\n",
        cluster.etcd().endpoint()
    ));
    scene.run(&["backup"]).done();
    let before: Value = parse(&WATCHER.run(&["see", &url, authority]));

    let watcher = Watcher::start(&scene, &url, authority);
    let all = |known: &Value| {
        KINDS
            .iter()
            .map(|kind| counts(known, kind).0)
            .sum::<usize>()
    };
    watcher.wait_until("all objects", |known| all(known) >= count);
    WATCHER.run(&["later", &url, authority]);
    let future = |known: &Value| KINDS.map(|kind| counts(known, kind).1);
    let seen = watcher.wait_until("what came later", |known| future(known) == [70, 70]);

    // The loss, and what the program would do without being told anything about revisions.
    let data = cluster.etcd().data_dir().to_owned();
    let place = data.to_str().expect("a plain name");
    let mut restore = vec![
        "restore",
        "prod",
        "--data-dir",
        place,
        "--etcdutl-path",
        tool,
        "--yes",
    ];
    cluster.kill();
    cluster.etcd_mut().kill();
    std::fs::remove_dir_all(&data).expect("it is lost");
    let said = scene.read(&restore).done().text();
    assert!(
        said.contains("the revision is raised by 1000000000"),
        "{said}"
    );
    cluster.etcd_mut().restart();
    cluster.restart();

    cluster.ctl(&["create", "secret", "generic", "new", "-n", "drill"]);
    let has_new = |known: &Value| objects(known, "secrets").contains_key("new");
    watcher.wait_until("what is new", |known| {
        has_new(known) && future(known) == [0, 0]
    });
    let now: Value = parse(&WATCHER.run(&["see", &url, authority]));
    let known = watcher.wait_until("what everybody sees", |known| {
        KINDS
            .iter()
            .all(|kind| objects(known, kind) == objects(&now, kind))
    });
    for kind in KINDS {
        assert!(newest(&known, kind) > newest(&seen, kind), "versions go on");
        assert!(known[kind]["lists"] != seen[kind]["lists"], "it asked anew");
        // Objects are what they were, down to the version that wrote them; but for what the cluster makes itself.
        let mut kept = objects(&now, kind).clone();
        kept.retain(|name, _| name.starts_with("o-"));
        let mut expected = objects(&before, kind).clone();
        expected.retain(|name, _| name.starts_with("o-"));
        assert!(kept == expected, "{kind} differ from those of the snapshot");
    }

    // And that this is what it takes: without it the client goes on believing in what was lost.
    WATCHER.run(&["later", &url, authority]);
    watcher.wait_until("what came later", |known| future(known) == [70, 70]);
    cluster.kill();
    cluster.etcd_mut().kill();
    restore.extend(["--replace", "--no-bump-revision"]);
    let said = scene.read(&restore).done().text();
    assert!(said.contains("will not notice"), "{said}");
    assert!(said.contains(".replaced-"), "{said}");
    cluster.etcd_mut().restart();
    cluster.restart();
    cluster.ctl(&["get", "secret", "o-00000", "-n", "drill"]);
    let known = watcher
        .knows()
        .expect("it has known something all the time");
    assert_eq!(future(&known), [70, 70], "nobody told it");
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the script prints JSON")
}
