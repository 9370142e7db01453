//! The whole of it on object stores: backups, verify, restore, prune, and `kill -9` of the program and of the server.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Message, Proxy, Server, Treatment, Versitygw, VersitygwOptions, require};

use crate::kill::Dice;
use crate::kills::Kills;
use crate::scene::{Scene, Seen};
use crate::tree::{Tree, assert_same, tree};

/// One job, of which prune keeps the newest snapshot.
const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\nmaintainer_key: maintainer.key\ncache: cache\n\
    retention: {keep_last: 1, min_age: 0s, grace: 0s}\n";
/// Of every file that is large enough to be cut.
const FILE_BYTES: usize = 700_000;
const FILES: u64 = 10;
/// Backups that are killed, for each server.
const KILLS: u32 = 6;

#[test]
fn all_of_it_works_on_versitygw() {
    works_on("versitygw");
}

#[test]
fn all_of_it_works_on_minio() {
    works_on("minio");
}

#[test]
fn all_of_it_works_on_azurite() {
    works_on("azurite");
}

#[test]
fn all_of_it_works_on_the_fake_of_google() {
    works_on("gcs");
}

fn works_on(name: &str) {
    let Some(server) = Server::start(name) else {
        return;
    };
    let mut stored = Stored::in_bucket(server);
    stored.begins();
    let trees = stored.keeps_what_it_is_given();
    stored.forgets_what_it_may(&trees);
    stored.outlives_killed_backups();
    stored.outlives_a_killed_server();
    assert!(tree(&stored.scene.path("tmp")).is_empty());
}

/// A repository in a bucket.
struct Stored {
    server: Server,
    scene: Scene,
    dice: Dice,
}

impl Stored {
    fn in_bucket(server: Server) -> Self {
        let mut scene = Scene::bare();
        scene.keys();
        scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);
        scene.place = place(&server, &scene);
        scene.configure(JOBS);
        let dice = Dice::of(5);
        Self {
            server,
            scene,
            dice,
        }
    }

    /// There is none, then there is one, and it stays the only one.
    fn begins(&self) {
        let scene = &self.scene;
        scene
            .run(&["snapshots"])
            .refused(10, &["there is no repository at", "strongroom init"]);
        let doctor = scene.run(&["doctor", "--json"]).ended(10).json();
        assert_eq!(doctor["left"].as_array().map(Vec::len), Some(0), "{doctor}");
        scene.run(&["init"]).done();
        scene
            .run(&["init"])
            .refused(17, &["there is a repository at"]);
        scene.run(&["doctor"]).done();
    }

    /// Two snapshots, verified and restored.
    fn keeps_what_it_is_given(&mut self) -> [Tree; 2] {
        for number in 0..FILES {
            self.change(number);
        }
        self.scene.write("secrets/token", "first");
        let first = self.back_up();
        self.change(3);
        self.scene.write("secrets/token", "second");
        let second = self.back_up();
        let scene = &self.scene;
        assert_eq!(scene.snapshots(), ["prod/1", "prod/2"]);
        scene.run(&["verify"]).done();
        scene.read(&["verify", "--level", "full"]).done();
        self.restores("prod/1", &first);
        self.restores("prod/2", &second);
        let diff = self.scene.read(&["diff", "prod/1", "prod/2", "--json"]);
        let diff = diff.ended(4).text();
        assert!(diff.contains("secrets/token"), "{diff}");
        [first, second]
    }

    /// The older one goes, and takes nothing with it that the newer one needs.
    fn forgets_what_it_may(&self, trees: &[Tree; 2]) {
        let scene = &self.scene;
        let planned = scene.run(&["prune", "--dry-run", "--json"]).done().json();
        assert_eq!(scene.snapshots(), ["prod/1", "prod/2"]);
        let pruned = scene.run(&["prune", "--json"]).done().json();
        assert_eq!(planned["jobs"][0]["bytes"], pruned["jobs"][0]["bytes"]);
        assert!(pruned["jobs"][0]["deleted"].as_u64() > Some(0), "{pruned}");
        assert_eq!(scene.snapshots(), ["prod/2"]);
        scene.run(&["verify"]).done();
        self.restores("prod/2", &trees[1]);
    }

    fn outlives_killed_backups(&mut self) {
        let began = Instant::now();
        self.change(1);
        let mut newest = self.back_up();
        let takes = began.elapsed();
        let mut listed = self.scene.snapshots().len();
        let mut kills = Kills::of(KILLS, takes);
        while let Some(kill) = kills.next() {
            self.change(kill.into());
            kills.end(&mut self.scene.strongroom(&["backup"]), "KILL");
            self.look_for_more(&mut listed, &mut newest);
            self.scene.run(&["verify"]).done();
            // The server may have gone on with the commit of the killed one, which is still of what the folder holds.
            self.look_for_more(&mut listed, &mut newest);
        }
        let last = self.scene.snapshots().pop().expect("there is one");
        self.restores(&last, &newest);
        let newest = self.back_up();
        let last = self.scene.snapshots().pop().expect("there is one");
        self.restores(&last, &newest);
    }

    /// If there are more snapshots than were listed, the newest is of what the folder holds now.
    fn look_for_more(&self, listed: &mut usize, newest: &mut Tree) {
        let now = self.scene.snapshots().len();
        if now > *listed {
            *newest = tree(&self.scene.path("secrets"));
        }
        *listed = now;
    }

    /// Killed in the middle it comes back, and the backup goes on; gone for good, that is said.
    fn outlives_a_killed_server(&mut self) {
        for number in 0..FILES {
            self.change(number);
        }
        let backup = self
            .scene
            .strongroom(&["backup", "--limit-upload", "4MB/s"])
            .spawn();
        let backup = backup.expect("it runs");
        sleep(Duration::from_millis(700));
        self.server.kill();
        sleep(Duration::from_millis(300));
        self.server.restart();
        let output = backup.wait_with_output().expect("it is ours");
        Seen::new("backup while the server dies".to_owned(), output).done();
        let last = self.scene.snapshots().pop().expect("there is one");
        self.restores(&last, &tree(&self.scene.path("secrets")));

        self.server.kill();
        let place = self.scene.place.replace("deadline: 1m", "deadline: 1s");
        let before = std::mem::replace(&mut self.scene.place, place);
        self.scene.configure(JOBS);
        let began = Instant::now();
        self.scene.run(&["backup"]).failed(15, &["hint: "]);
        let took = began.elapsed();
        // All its retries would take minutes.
        assert!(took < Duration::from_secs(20), "{took:?}");
        self.scene.run(&["doctor"]).refused(15, &["hint: "]);
        self.server.restart();
        self.scene.place = before;
        self.scene.run(&["verify"]).done();
    }

    fn back_up(&self) -> Tree {
        self.scene.run(&["backup"]).done();
        tree(&self.scene.path("secrets"))
    }

    fn restores(&self, name: &str, expected: &Tree) {
        let to = self.scene.path("out");
        let _ = fs::remove_dir_all(&to);
        self.scene
            .read(&["restore", name, "--to", "out", "--yes"])
            .done();
        assert_same(
            &tree(&self.scene.restored("out", "secrets")),
            expected,
            name,
        );
    }

    fn change(&mut self, number: u64) {
        let contents = self.dice.bytes(FILE_BYTES);
        self.scene.write(&format!("secrets/{number}"), contents);
    }
}

/// A store that says yes to whoever creates what is there already.
#[test]
fn a_store_that_ignores_the_condition_is_refused() {
    is_for_one_writer("8 of 8 writers", |request| {
        let conditional = request.header("if-none-match").is_some();
        if !conditional {
            return Treatment::Passes;
        }
        let yes = Message::new("HTTP/1.1 200 OK", &[("etag", "\"yes\"")], b"");
        Treatment::DoneButAnswered(yes)
    });
}

#[test]
fn a_store_that_does_not_know_the_condition_is_refused() {
    is_for_one_writer("cannot create an object only if it is absent", |request| {
        if request.header("if-none-match").is_none() {
            return Treatment::Passes;
        }
        Treatment::Answered(Message::new(
            "HTTP/1.1 501 Not Implemented",
            &[("content-type", "application/xml")],
            b"<Error><Code>NotImplemented</Code><Message>No such header.</Message></Error>",
        ))
    });
}

/// versitygw behind a proxy, which `init` refuses with these words, and which one host alone can use all the same.
fn is_for_one_writer(words: &str, decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static) {
    let Some(release) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(&release, VersitygwOptions::default());
    let root = server.s3();
    root.make_bucket("bucket");
    let proxy = Proxy::start(&root.address, decide);
    let mut scene = Scene::bare();
    scene.keys();
    scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);
    let (keys, endpoint) = (s3_keys(&scene, &root), proxy.endpoint());
    let place = format!("url: 's3://bucket/r', endpoint: '{endpoint}', allow_http: true, {keys}");
    scene.place = format!("{{{place}}}");
    scene.configure(JOBS);
    let said = [
        "cannot keep a repository",
        words,
        "hint: ",
        "single_writer: true",
    ];
    scene.run(&["init"]).refused(1, &said);
    assert!(root.list("bucket", "").is_empty(), "something stays");
    let doctor = scene.run(&["doctor"]).ended(1).text();
    assert!(
        doctor.contains("BAD   create") && doctor.contains(words),
        "{doctor}"
    );
    assert!(root.list("bucket", "").is_empty(), "something stays");

    scene.place = format!("{{{place}, single_writer: true}}");
    scene.configure(JOBS);
    scene.run(&["init"]).done();
    scene.write("secrets/token", "first");
    scene.run(&["backup"]).done();
    scene.write("secrets/token", "second");
    scene.run(&["backup"]).done();
    assert_eq!(scene.snapshots(), ["prod/1", "prod/2"]);
    scene.run(&["verify"]).done();
    scene.run(&["doctor"]).done();
    for (name, contents) in [("prod/1", "first"), ("prod/2", "second")] {
        let got = scene.read(&["restore", name, "--to", name, "--yes"]);
        got.done();
        let restored = scene.restored(name, "secrets").join("token");
        assert_eq!(fs::read(restored).expect("a file"), contents.as_bytes());
    }
}

/// A cache before the store: nobody's promise makes that safe.
#[test]
fn a_store_that_does_not_show_what_it_was_given_is_refused() {
    let Some(release) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(&release, VersitygwOptions::default());
    let root = server.s3();
    root.make_bucket("bucket");
    let is_list = |request: &Message| request.target().contains("list-type=2");
    let is_read =
        |request: &Message| request.method() == "GET" && request.target().contains("probe-");
    let old = Message::new(
        "HTTP/1.1 200 OK",
        &[
            ("etag", "\"old\""),
            ("last-modified", "Thu, 26 Nov 2026 00:00:00 GMT"),
        ],
        b"what was there before",
    );
    let none = b"<ListBucketResult><Name>bucket</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
    let none = Message::new(
        "HTTP/1.1 200 OK",
        &[("content-type", "application/xml")],
        none,
    );
    let unread = Proxy::start(&root.address, move |request| {
        if is_read(request) {
            Treatment::Answered(old.clone())
        } else {
            Treatment::Passes
        }
    });
    let unlisted = Proxy::start(&root.address, move |request| {
        if is_list(request) {
            Treatment::Answered(none.clone())
        } else {
            Treatment::Passes
        }
    });
    let mut scene = Scene::bare();
    scene.keys();
    let keys = s3_keys(&scene, &root);
    for (proxy, check, words) in [
        (unread, "read", "what was just written is not read"),
        (unlisted, "list", "what was just written is not listed"),
    ] {
        let endpoint = proxy.endpoint();
        scene.place =
            format!("{{url: 's3://bucket/r', endpoint: '{endpoint}', allow_http: true, {keys}}}");
        scene.configure(JOBS);
        scene
            .run(&["init"])
            .refused(1, &["cannot keep a repository", words, "hint: "]);
        let doctor = scene.run(&["doctor"]).ended(1).text();
        assert!(doctor.contains(&format!("BAD   {check}")), "{doctor}");
        assert!(root.list("bucket", "").is_empty(), "something stays");
    }
}

/// A directory and a bucket for one job: what fails in one is its own, is caught up, and each remembers the other.
#[test]
fn a_job_goes_to_a_directory_and_a_bucket() {
    let Some(mut server) = Server::start("versitygw") else {
        return;
    };
    let mut scene = Scene::bare();
    scene.keys();
    let offsite = place(&server, &scene).replace("deadline: 1m", "deadline: 1s");
    let (recipient, mut dice) = (&scene.recipient, Dice::of(11));
    let configuration = format!(
        "repositories: {{local: repository, offsite: {offsite}}}\nrecipients: ['{recipient}']\nwriter_key: writer.key\n\
         jobs: {{prod: {{sources: [{{files: {{paths: [secrets]}}}}]}}}}\n"
    );
    scene.write("strongroom.yaml", configuration);
    scene.run(&["init"]).done();
    scene.run(&["init", "--repo", "offsite"]).done();
    let mut change = |number: u64| {
        let contents = dice.bytes(FILE_BYTES);
        scene.write(&format!("secrets/{number}"), contents);
    };
    let listed = |repository: &str| {
        let listed = scene.run(&["snapshots", "--repo", repository, "--json"]);
        let listed = listed.done().json();
        listed["snapshots"].as_array().expect("a list").len()
    };
    for number in 0..FILES {
        change(number);
    }
    let taken = scene.run(&["backup", "--json"]).done().json();
    let jobs = taken["jobs"].as_array().expect("a list");
    let named: Vec<_> = jobs
        .iter()
        .filter_map(|job| job["repository"].as_str())
        .collect();
    assert_eq!(named, ["local", "offsite"]);

    // The bucket dies in the middle of a backup, and stays away for the next one. At this pace nothing is whole there before it dies.
    change(1);
    change(2);
    let backup = scene
        .strongroom(&["backup", "--limit-upload", "100KB/s"])
        .spawn();
    let backup = backup.expect("it runs");
    sleep(Duration::from_millis(500));
    server.kill();
    let output = backup.wait_with_output().expect("it is ours");
    Seen::new("backup while the bucket dies".to_owned(), output)
        .failed(15, &["back up prod to offsite"]);
    change(3);
    scene
        .run(&["backup"])
        .failed(15, &["back up prod to offsite"]);
    assert_eq!(listed("local"), 3);
    let newest = tree(&scene.path("secrets"));

    // Killed on the way, the copy goes on.
    server.restart();
    assert_eq!(listed("offsite"), 1);
    let copy = scene
        .strongroom(&["copy", "--to", "offsite", "--limit-upload", "1MB/s"])
        .spawn();
    let mut copy = copy.expect("it runs");
    sleep(Duration::from_millis(700));
    copy.kill().expect("it is ours");
    copy.wait().expect("it is ours");
    scene.run(&["verify", "--repo", "offsite"]).done();
    scene.run(&["copy", "--to", "offsite"]).done();
    assert_eq!(listed("offsite"), 3);
    scene.run(&["backup"]).done();
    scene.run(&["verify", "--since", "offsite"]).done();
    let arguments = [
        "verify", "--repo", "offsite", "--since", "local", "--level", "full",
    ];
    scene.read(&arguments).done();
    let arguments = [
        "restore", "prod", "--repo", "offsite", "--to", "out", "--yes",
    ];
    scene.read(&arguments).done();
    assert_same(&tree(&scene.restored("out", "secrets")), &newest, "offsite");

    // The directory is put back to what it was: the bucket remembers.
    let commits = scene.path("repository/prod/log");
    let mut commits: Vec<_> = fs::read_dir(commits)
        .expect("a log")
        .map(|commit| commit.expect("a commit").path())
        .collect();
    commits.sort();
    fs::remove_file(commits.pop().expect("a commit")).expect("it goes");
    fs::remove_file(commits.pop().expect("a commit")).expect("it goes");
    scene.run(&["verify"]).done();
    scene.run(&["verify", "--since", "offsite"]).ended(5);
    assert!(tree(&scene.path("tmp")).is_empty());
}

/// The bucket takes everything but the commit, on which it never says a word: the directory has its snapshot all the same, and not when the
/// bucket is given up.
#[test]
fn a_repository_that_hangs_keeps_no_other_from_its_snapshot() {
    let Some(server) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(&server, VersitygwOptions::default());
    let root = server.s3();
    root.make_bucket("bucket");
    let hangs = Proxy::start(&root.address, |request| {
        if request.method() == "PUT" && request.target().contains("/prod/log/") {
            return Treatment::Hangs;
        }
        Treatment::Passes
    });
    let mut scene = Scene::bare();
    scene.keys();
    let (keys, endpoint) = (s3_keys(&scene, &root), hangs.endpoint());
    let far = format!("{{url: 's3://bucket/r', endpoint: '{endpoint}', allow_http: true, {keys}}}");
    let recipient = &scene.recipient;
    let configuration = format!(
        "repositories: {{far: {far}, near: repository}}\nrecipients: ['{recipient}']\nwriter_key: writer.key\n\
         jobs: {{prod: {{sources: [{{files: {{paths: [secrets]}}}}]}}}}\n"
    );
    scene.write("strongroom.yaml", configuration);
    scene.write("secrets/password", "a secret");
    scene.run(&["init", "--repo", "far"]).done();
    scene.run(&["init", "--repo", "near"]).done();
    let mut command = scene.strongroom(&["backup"]);
    let backup = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut backup = backup.expect("it runs");
    let commit = scene.path("repository/prod/log/000000000001");
    let patience = Instant::now();
    while !commit.exists() {
        assert!(patience.elapsed() < Duration::from_secs(30), "it waits");
        assert!(backup.try_wait().expect("it is ours").is_none());
        sleep(Duration::from_millis(10));
    }
    assert!(backup.try_wait().expect("it is ours").is_none());
    backup.kill().expect("it is ours");
    backup.wait().expect("it is ours");
    scene.run(&["verify", "--repo", "near"]).done();
}

/// The repository's place as the configuration has it; its key lies in the scene.
fn place(server: &Server, scene: &Scene) -> String {
    let keys = match server {
        Server::Versitygw(server) => s3_keys(scene, &server.s3()),
        Server::Minio(server) => s3_keys(scene, &server.s3()),
        Server::Gcs(_) => {
            let key =
                r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;
            scene.write("store.key", key);
            "service_account: 'file:store.key'".to_owned()
        }
        Server::Azurite(server) => {
            scene.write("store.key", server.key());
            let account = server.account();
            format!("account: {account}, account_key: 'file:store.key'")
        }
    };
    let (bucket, endpoint) = (server.bucket(), server.endpoint());
    format!(
        "{{url: '{bucket}/some/where', endpoint: '{endpoint}', allow_http: true, deadline: 1m, {keys}}}"
    )
}

pub(crate) fn s3_keys(scene: &Scene, s3: &testkit::S3) -> String {
    scene.write("store.key", &s3.secret_key);
    let id = &s3.access_key;
    format!("access_key_id: {id}, secret_access_key: 'file:store.key'")
}
