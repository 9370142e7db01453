//! `prune` and `rotate` in a bucket: killed with `kill -9` before each thing that they change, and beside backups of other processes.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use testkit::{Message, Proxy, Treatment, Versitygw, VersitygwOptions, require};

use crate::kill::Dice;
use crate::scene::{Scene, Seen};
use crate::stores::s3_keys;
use crate::tree::{Tree, assert_same, tree};

const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\nmaintainer_key: maintainer.key\n\
    retention: {keep_last: 2, min_age: 0s, grace: 0s}\n";
const FILE_BYTES: usize = 200_000;
/// More changes than a command here makes.
const CHANGES_MAX: usize = 30;
const NEVER: usize = usize::MAX;

#[test]
fn a_prune_that_is_killed_is_finished_by_the_next() {
    let Some(mut maintained) = Maintained::start() else {
        return;
    };
    for _ in 0..2 {
        maintained.back_up();
    }
    let mut kills = 0;
    loop {
        for _ in 0..2 {
            maintained.back_up();
        }
        if !maintained.killed_before(kills, &["prune"]) {
            break;
        }
        kills += 1;
        assert!(kills < CHANGES_MAX);
        maintained.scene.run(&["verify"]).done();
        maintained.all_restore("identity.txt");
    }
    // Before the commit, and before what it dropped is deleted.
    assert!(kills >= 2, "{kills}");
    maintained.scene.run(&["prune"]).done();
    assert_eq!(maintained.scene.snapshots().len(), 2);
    maintained.all_restore("identity.txt");
    let verified = maintained.scene.run(&["verify", "--json"]).done().json();
    assert_eq!(verified["jobs"][0]["unnamed_objects"], 0, "{verified}");
}

/// Whoever restores after a disaster has read nothing before.
#[test]
fn a_prune_leaves_the_log_in_one_object_for_new_hosts() {
    let Some(mut maintained) = Maintained::start() else {
        return;
    };
    let all_stay = JOBS.replace("keep_last: 2", "keep_last: 100");
    maintained.scene.configure(&all_stay);
    for _ in 0..20 {
        maintained.back_up();
    }
    let reads_of_a_new_host = |maintained: &Maintained, folder: &str| {
        let elsewhere = format!("{all_stay}cache: {folder}\n");
        maintained.scene.configure(&elsewhere);
        maintained.gate.reads.store(0, Ordering::SeqCst);
        assert_eq!(maintained.scene.snapshots().len(), 20);
        maintained.gate.reads.load(Ordering::SeqCst)
    };
    assert!(reads_of_a_new_host(&maintained, "first") > 20);
    maintained.scene.run(&["prune"]).done();
    let log = maintained.server.s3().list("bucket", "r/prod/log/");
    let bundles = log.iter().filter(|name| name.contains(".bundle-"));
    assert_eq!(bundles.count(), 1, "{log:?}");
    // What it is, what jobs there are, the list of the log, the bundle, and the newest commit in it.
    assert!(reads_of_a_new_host(&maintained, "second") <= 5);
    maintained.all_restore("identity.txt");
    maintained.scene.run(&["verify"]).done();
}

#[test]
fn a_rotation_that_is_killed_is_finished_by_the_next() {
    let Some(mut maintained) = Maintained::start() else {
        return;
    };
    for _ in 0..3 {
        maintained.back_up();
    }
    let mut kills = 0;
    loop {
        let file = format!("new-{kills}.txt");
        let added = maintained.scene.key(&["keygen", "--output", &file]);
        let rotate = ["rotate", "--identity", "identity.txt", "--add", &added];
        let killed = maintained.killed_before(kills, &rotate);
        maintained.scene.run(&["verify"]).done();
        maintained.all_restore("identity.txt");
        maintained.scene.run(&rotate).done();
        maintained.all_restore(&file);
        if !killed {
            break;
        }
        kills += 1;
        assert!(kills < CHANGES_MAX);
    }
    // Three runs, of each a key object that comes and one that goes, and the commit between.
    assert!(kills > 4, "{kills}");
    let verified = maintained.scene.run(&["verify", "--json"]).done().json();
    assert_eq!(verified["jobs"][0]["unnamed_objects"], 0, "{verified}");
    assert_eq!(maintained.scene.snapshots().len(), 3);
}

#[test]
fn backups_go_on_beside_a_prune() {
    let Some(mut maintained) = Maintained::start() else {
        return;
    };
    for _ in 0..3 {
        maintained.back_up();
    }
    for _ in 0..3 {
        maintained.change();
        let start = |arguments: &[&str]| {
            let child = maintained.scene.strongroom(arguments).spawn();
            child.expect("it runs")
        };
        let backups = [(); 3].map(|()| start(&["backup"]));
        let prune = start(&["prune"]);
        let mut good = 0;
        for backup in backups {
            let code = ended("backup", backup);
            // Three of a job may be one too many; then it says so.
            assert!([0, 18].contains(&code), "{code}");
            good += usize::from(code == 0);
        }
        assert!(good > 1, "{good} of 3");
        assert_eq!(ended("prune", prune), 0);
        maintained.remember();
        assert!(maintained.scene.snapshots().len() >= 2);
        maintained.scene.run(&["verify"]).done();
        maintained.all_restore("identity.txt");
    }
}

fn ended(said: &str, child: Child) -> i32 {
    let output = child.wait_with_output().expect("it is ours");
    let seen = Seen::new(said.to_owned(), output);
    if seen.code != 0 && seen.code != 18 {
        return seen.done().code;
    }
    seen.code
}

/// A repository in versitygw, behind a proxy that holds changes back.
struct Maintained {
    scene: Scene,
    dice: Dice,
    /// What each snapshot holds.
    taken: BTreeMap<String, Tree>,
    gate: Arc<Gate>,
    // Dropped last.
    _proxy: Proxy,
    server: Versitygw,
}

/// Lets so many changes pass, and holds all that follow.
struct Gate {
    passing: AtomicUsize,
    seen: AtomicUsize,
    /// Requests that change nothing, lists among them.
    reads: AtomicUsize,
}

impl Gate {
    fn treat(&self, request: &Message) -> Treatment {
        let changes = ["PUT", "POST", "DELETE"].contains(&request.method());
        if changes
            && self.seen.fetch_add(1, Ordering::SeqCst) >= self.passing.load(Ordering::SeqCst)
        {
            return Treatment::Hangs;
        }
        self.reads
            .fetch_add(usize::from(!changes), Ordering::SeqCst);
        Treatment::Passes
    }

    fn let_pass(&self, changes: usize) {
        self.seen.store(0, Ordering::SeqCst);
        self.passing.store(changes, Ordering::SeqCst);
    }

    fn holds(&self) -> bool {
        self.seen.load(Ordering::SeqCst) > self.passing.load(Ordering::SeqCst)
    }
}

impl Maintained {
    fn start() -> Option<Self> {
        let server = Versitygw::start(&require("versitygw")?, VersitygwOptions::default());
        let root = server.s3();
        root.make_bucket("bucket");
        let gate = Arc::new(Gate {
            passing: AtomicUsize::new(NEVER),
            seen: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        });
        let treating = Arc::clone(&gate);
        let proxy = Proxy::start(&root.address, move |request| treating.treat(request));
        let mut scene = Scene::bare();
        scene.keys();
        scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);
        let (keys, endpoint) = (s3_keys(&scene, &root), proxy.endpoint());
        scene.place =
            format!("{{url: 's3://bucket/r', endpoint: '{endpoint}', allow_http: true, {keys}}}");
        scene.configure(JOBS);
        scene.run(&["init"]).done();
        Some(Self {
            scene,
            dice: Dice::of(23),
            taken: BTreeMap::new(),
            gate,
            _proxy: proxy,
            server,
        })
    }

    fn change(&mut self) {
        let name = format!("secrets/{}", self.dice.below(4));
        let contents = self.dice.bytes(FILE_BYTES);
        self.scene.write(&name, contents);
    }

    fn back_up(&mut self) {
        self.change();
        self.scene.run(&["backup"]).done();
        self.remember();
    }

    /// What is listed and was not before holds what is in the folder now.
    fn remember(&mut self) {
        let live = tree(&self.scene.path("secrets"));
        for name in self.scene.snapshots() {
            self.taken.entry(name).or_insert_with(|| live.clone());
        }
    }

    /// Kills the program when it has changed so much, before it changes more. Says whether it came to that.
    fn killed_before(&self, change: usize, arguments: &[&str]) -> bool {
        self.gate.let_pass(change);
        let mut command = self.scene.strongroom(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = command.spawn().expect("it runs");
        let ended = loop {
            if let Some(status) = running.try_wait().expect("it is ours") {
                break Some(status);
            }
            if self.gate.holds() {
                break None;
            }
            sleep(Duration::from_millis(5));
        };
        running.kill().expect("it is ours");
        running.wait().expect("it is ours");
        self.gate.let_pass(NEVER);
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        ended.is_none()
    }

    /// Everything that is listed is what it was.
    fn all_restore(&self, identity: &str) {
        let to = self.scene.path("out");
        let listed = self.scene.snapshots();
        assert!(listed.len() >= 2, "{listed:?}");
        for name in listed {
            let _ = fs::remove_dir_all(&to);
            let restore = [
                "restore",
                &name,
                "--to",
                "out",
                "--yes",
                "--identity",
                identity,
            ];
            self.scene.run(&restore).done();
            let restored = tree(&self.scene.restored("out", "secrets"));
            assert_same(&restored, &self.taken[&name], &name);
        }
    }
}
