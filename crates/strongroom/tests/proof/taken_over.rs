//! A host whose store does not enforce that it only creates: what `doctor` says of it, what whoever takes it over can destroy, and what
//! brings that back.

use testkit::{S3, Versitygw, VersitygwOptions, require};

use crate::roles::for_versitygw;
use crate::scene::Scene;
use crate::tree::{assert_same, tree};

const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\n";
/// Of a file that is cut into several chunks.
const FILE_BYTES: usize = 300_000;

/// versitygw, which does not know the condition of the printed policy, and nothing before it.
struct Direct {
    server: Versitygw,
    scene: Scene,
    /// The host that backs up.
    host: S3,
}

impl Direct {
    fn start() -> Option<Self> {
        let server = Versitygw::start(&require("versitygw")?, VersitygwOptions::default());
        server.s3().make_bucket("bucket");
        let mut scene = Scene::bare();
        scene.keys();
        let host = server.add_user("host");
        for user in [&host, &server.s3()] {
            scene.write(&user.secret_key, &user.secret_key);
        }
        let mut direct = Self {
            server,
            scene,
            host,
        };
        direct.as_root();
        direct.scene.run(&["init"]).done();
        let policy = ["policy", "s3", "backup", "prod", "--json"];
        let policy = direct.scene.run(&policy).done().json()["document"].clone();
        let statements = for_versitygw(&policy, "host");
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements});
        direct.server.s3().set_policy("bucket", &policy.to_string());
        Some(direct)
    }

    fn as_root(&mut self) {
        self.asked_by(&self.server.s3());
    }

    fn as_host(&mut self) {
        self.asked_by(&self.host.clone());
    }

    fn asked_by(&mut self, user: &S3) {
        let (id, secret, endpoint) = (&user.access_key, &user.secret_key, self.server.endpoint());
        self.scene.place = format!(
            "{{url: 's3://bucket/r', endpoint: '{endpoint}', allow_http: true, access_key_id: {id}, \
             secret_access_key: 'file:{secret}'}}"
        );
        self.scene.configure(JOBS);
    }

    fn restores(&self, name: &str, expected: &crate::tree::Tree) {
        self.scene
            .read(&["restore", name, "--to", name, "--yes"])
            .done();
        let restored = tree(&self.scene.restored(name, "secrets"));
        assert_same(&restored, expected, name);
        std::fs::remove_dir_all(self.scene.path(name)).expect("it is ours");
    }
}

#[test]
fn doctor_asks_for_versions_where_a_host_that_only_puts_can_write_over() {
    let Some(mut direct) = Direct::start() else {
        return;
    };
    direct.as_host();
    let doctor = direct.scene.run(&["doctor"]).ended(1).text();
    for words in [
        "BAD   rights",
        "this host may overwrite objects, not delete them, and no old versions are kept",
        "such a bucket must keep versions or lock objects",
        "hint: let it create only",
    ] {
        assert!(doctor.contains(words), "{words}: {doctor}");
    }

    // Who may delete as well was not meant to add only: that is his affair, and is said.
    direct.as_root();
    let doctor = direct.scene.run(&["doctor"]).done().text();
    let words = "note  rights      this host may overwrite and delete objects, and no old versions are kept";
    assert!(doctor.contains(words), "{doctor}");

    direct.server.s3().keep_versions("bucket");
    direct.as_host();
    let doctor = direct.scene.run(&["doctor"]).done().text();
    let words = "good  rights      this host may overwrite objects, not delete them, but old versions are kept";
    assert!(doctor.contains(words), "{doctor}");
}

#[test]
fn what_a_host_writes_over_comes_back_from_versions() {
    let Some(mut direct) = Direct::start() else {
        return;
    };
    let root = direct.server.s3();
    root.keep_versions("bucket");
    direct.as_host();
    let mut dice = crate::kill::Dice::of(17);
    let mut taken = Vec::new();
    for number in 1..=2 {
        direct.scene.write("secrets/a", dice.bytes(FILE_BYTES));
        direct.scene.run(&["backup"]).done();
        taken.push((
            format!("prod/{number}"),
            tree(&direct.scene.path("secrets")),
        ));
    }
    let objects = root.list("bucket", "r/prod/");
    assert!(objects.len() > 8, "{objects:?}");

    // Whoever has the host's key, without strongroom: all that it may.
    let host = &direct.host;
    assert_eq!(host.put("bucket", "r/strongroom.json", b"vandal"), 403);
    assert_eq!(
        host.put("bucket", "r/other/log/000000000001", b"vandal"),
        403
    );
    let newest = objects.iter().filter(|name| name.contains("/log/")).max();
    let newest = newest.expect("a commit").clone();
    let runs: Vec<String> = objects
        .iter()
        .filter(|name| name.contains("/runs/"))
        .cloned()
        .collect();
    for victims in [vec![newest], runs, objects] {
        for name in &victims {
            assert_eq!(direct.host.put("bucket", name, b"vandal"), 200, "{name}");
            assert_eq!(direct.host.delete("bucket", name), 403, "{name}");
        }
        direct.as_root();
        let verified = direct.scene.run(&["verify", "--json"]).ended(5).json();
        let damage = verified["jobs"][0]["damage"].as_array().expect("a list");
        assert!(!damage.is_empty(), "{verified}");
        for name in victims.iter().filter(|name| name.contains("/runs/")) {
            let of_log = victims.iter().any(|name| name.contains("/log/"));
            let named = damage
                .iter()
                .any(|row| name.ends_with(row["object"].as_str().unwrap_or("-")));
            assert!(named || of_log, "{name}: {verified}");
        }
        direct.scene.run(&["repair"]).done();
        direct.scene.run(&["verify"]).done();
        assert_eq!(direct.scene.snapshots(), ["prod/1", "prod/2"]);
        for (name, expected) in &taken {
            direct.restores(name, expected);
        }
        direct.as_host();
        direct.scene.run(&["verify"]).done();
    }
    direct.scene.run(&["backup"]).done();
}
