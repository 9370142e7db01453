//! Object lock with the real program: a bucket that cannot lock is refused, what is stored is locked, and a prune says what that means.

use testkit::{Minio, require};

use crate::scene::Scene;
use crate::stores::s3_keys;

const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\nmaintainer_key: maintainer.key\n\
    retention: {keep_last: 1, min_age: 0s, grace: 0s}\n";

/// A job that goes to that bucket, locked.
fn in_bucket(scene: &mut Scene, server: &Minio, bucket: &str) {
    let (endpoint, keys) = (server.endpoint(), s3_keys(scene, &server.s3()));
    scene.place = format!(
        "{{url: 's3://{bucket}/r', endpoint: '{endpoint}', allow_http: true, {keys}, lock: {{mode: compliance, for: 2d}}}}"
    );
    scene.configure(JOBS);
}

#[test]
fn what_is_stored_is_locked_and_a_prune_says_so() {
    let Some(release) = require("minio") else {
        return;
    };
    let server = Minio::start(&release);
    let mut scene = Scene::bare();
    scene.keys();
    scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);

    server.s3().make_bucket("plain");
    in_bucket(&mut scene, &server, "plain");
    let cannot = "objects of this bucket cannot be locked";
    scene
        .run(&["init"])
        .refused(1, &[cannot, "when a bucket is made"]);
    let doctor = scene.run(&["doctor"]).ended(1);
    assert!(doctor.text().contains(cannot), "{}", doctor.text());

    server.s3().make_locked_bucket("locks");
    in_bucket(&mut scene, &server, "locks");
    scene.run(&["init"]).done();
    let doctor = scene.run(&["doctor"]).done().text();
    assert!(doctor.contains("is locked (compliance, 2d)"), "{doctor}");
    for secret in ["first", "second"] {
        scene.write("secrets/token", secret.repeat(1000));
        scene.run(&["backup"]).done();
    }
    let verified = scene.run(&["verify"]).done().text();
    assert!(
        verified.contains("11 objects are locked, until 20"),
        "{verified}"
    );
    let verified = scene.run(&["verify", "--json"]).done().json();
    let locks = &verified["jobs"][0]["locks"];
    assert_eq!((&locks["locked"], &locks["loose"]), (&11.into(), &0.into()));

    // Its versions stay, and its name goes: that is all that anybody can do.
    for arguments in [&["prune", "--dry-run"][..], &["prune"]] {
        let pruned = scene.run(arguments).done();
        let said = "objects of these are locked until 20";
        assert!(pruned.stderr.contains(said), "{}", pruned.stderr);
    }
    assert_eq!(scene.snapshots(), ["prod/2"]);
    scene.read(&["verify", "--level", "full"]).done();
    let pruned = scene.run(&["prune"]).done();
    assert!(!pruned.stderr.contains("locked"), "{}", pruned.stderr);

    let policy = scene.run(&["policy", "s3", "backup", "prod"]).done().text();
    assert!(policy.contains("s3:PutObjectRetention"), "{policy}");
}

/// A maintainer to whom nobody gave the right to look at locks.
#[test]
fn who_may_not_look_at_locks_verifies_and_prunes() {
    let Some(release) = require("minio") else {
        return;
    };
    let server = Minio::start(&release);
    let root = server.s3();
    root.make_locked_bucket("locks");
    let mut scene = Scene::bare();
    scene.keys();
    scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);
    in_bucket(&mut scene, &server, "locks");
    scene.run(&["init"]).done();
    for secret in ["first", "second"] {
        scene.write("secrets/token", secret.repeat(1000));
        scene.run(&["backup"]).done();
    }
    let policy = scene.run(&["policy", "s3", "maintain", "prod", "--json"]);
    let mut policy = policy.done().json()["document"].clone();
    let statements = policy["Statement"].as_array_mut().expect("a list");
    statements.retain(|it| it["Effect"] == "Allow" && it["Sid"] != "SeeLocks");
    let user = root.assume_role(&policy.to_string());
    scene.write("user.token", user.session_token.as_ref().expect("a token"));
    let keys = s3_keys(&scene, &user);
    let endpoint = server.endpoint();
    scene.place = format!(
        "{{url: 's3://locks/r', endpoint: '{endpoint}', allow_http: true, {keys}, session_token: 'file:user.token', \
         lock: {{mode: compliance, for: 2d}}}}"
    );
    scene.configure(JOBS);

    let untold = "locks cannot be looked at from this host";
    let verified = scene.run(&["verify"]).done().text();
    assert!(verified.contains(&format!("11 {untold}")), "{verified}");
    let verified = scene.run(&["verify", "--json"]).done().json();
    assert_eq!(verified["jobs"][0]["locks"]["untold"], 11, "{verified}");
    for arguments in [&["prune", "--dry-run"][..], &["prune"]] {
        let pruned = scene.run(arguments).done();
        assert!(pruned.stderr.contains(untold), "{}", pruned.stderr);
    }
    assert_eq!(scene.snapshots(), ["prod/2"]);
}
