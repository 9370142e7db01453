//! Hosts with the rights that `policy` prints, on servers that enforce them: each can do its part, and whoever takes one over no more.

use std::collections::HashSet;
use std::fs;
use std::sync::Mutex;

use serde_json::{Value, json};
use testkit::{
    Azurite, Message, Minio, Proxy, S3, Treatment, Versitygw, VersitygwOptions, require,
};

use crate::scene::Scene;
use crate::tree::{assert_same, tree};

const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\n  other: {sources: [{files: {paths: [secrets]}}]}\n\
    retention: {keep_last: 1, min_age: 0s, grace: 0s}\n";
const MAINTAINER: &str = "maintainer_key: maintainer.key\n";

#[test]
fn versitygw_lets_each_host_do_its_part() {
    let Some(release) = require("versitygw") else {
        return;
    };
    let server = Versitygw::start(&release, VersitygwOptions::default());
    server.s3().make_bucket("bucket");
    // This server does not know the condition that Amazon's policy asks for: the proxy does.
    let lost = Mutex::new(HashSet::new());
    let proxy = Proxy::start(&server.s3().address, move |request| {
        match refuse_unconditional(request) {
            // Put, and the answer lost: what is there then, the host must be able to read.
            Treatment::Passes if is_upload(request, "backup") => {
                let first = lost
                    .lock()
                    .expect("a set")
                    .insert(request.target().to_owned());
                if first {
                    Treatment::AnswerLost
                } else {
                    Treatment::Passes
                }
            }
            treatment => treatment,
        }
    });
    let s3 = |user: &S3| {
        let (id, secret, endpoint) = (&user.access_key, &user.secret_key, proxy.endpoint());
        format!(
            "{{url: 's3://bucket/r', endpoint: '{endpoint}', allow_http: true, access_key_id: {id}, \
             secret_access_key: 'file:{secret}'}}"
        )
    };
    let mut scene = scene();
    let roles = ["backup", "restore", "maintain"];
    let users = roles.map(|role| server.add_user(role));
    for user in users.iter().chain([&server.s3()]) {
        scene.write(&user.secret_key, &user.secret_key);
    }
    scene.place = s3(&server.s3());
    scene.configure(JOBS);
    scene.run(&["init"]).done();
    let mut statements = Vec::new();
    for role in roles {
        let policy = scene.run(&["policy", "s3", role, "prod", "--json"]).done();
        let policy = policy.json()["document"].clone();
        statements.extend(for_versitygw(&policy, role));
    }
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    server.s3().set_policy("bucket", &policy.to_string());

    let places = users.each_ref().map(s3);
    each_does_its_part(&mut scene, &places);

    let root = server.s3();
    taken_over(&root, &users[0], &proxy, "r/");
}

#[test]
fn minio_lets_each_host_do_its_part() {
    on_minio("r/", "");
}

/// A list of all that is there names no prefix then.
#[test]
fn minio_lets_each_host_do_its_part_at_the_root_of_a_bucket() {
    on_minio("", "");
}

/// Each locks what it stores, and what it refers to again.
#[test]
fn minio_lets_each_host_do_its_part_where_objects_are_locked() {
    on_minio("r/", ", lock: {mode: compliance, for: 2d}");
}

/// With what a repository's keys start with, and what its configuration says besides.
fn on_minio(prefix: &str, options: &str) {
    let Some(release) = require("minio") else {
        return;
    };
    let server = Minio::start(&release);
    let root = server.s3();
    if options.contains("lock") {
        root.make_locked_bucket("bucket");
    } else {
        root.make_bucket("bucket");
    }
    // Neither does this one know the condition.
    let proxy = Proxy::start(&root.address, refuse_unconditional);
    let mut scene = scene();
    let place = |scene: &Scene, name: &str, user: &S3| {
        let endpoint = proxy.endpoint();
        let url = format!("s3://bucket/{prefix}");
        let url = url.trim_end_matches('/');
        let mut place = format!("{{url: '{url}', endpoint: '{endpoint}', allow_http: true");
        let token = user.session_token.as_ref();
        let keys = [
            ("access_key_id", Some(&user.access_key)),
            ("secret_access_key", Some(&user.secret_key)),
            ("session_token", token),
        ];
        for (key, value) in keys {
            let Some(value) = value else { continue };
            let file = format!("{name}-{key}");
            scene.write(&file, value);
            place.extend([", ", key, ": 'file:", &file, "'"]);
        }
        place + options + "}"
    };
    scene.place = place(&scene, "root", &root);
    scene.configure(JOBS);
    scene.run(&["init"]).done();
    let users = ["backup", "restore", "maintain"].map(|role| {
        let policy = scene.run(&["policy", "s3", role, "prod", "--json"]).done();
        let mut policy = policy.json()["document"].clone();
        let statements = policy["Statement"].as_array_mut().expect("a list");
        statements.retain(|statement| statement["Effect"] == "Allow");
        (role, root.assume_role(&policy.to_string()))
    });
    let places = users
        .each_ref()
        .map(|(role, user)| place(&scene, role, user));
    each_does_its_part(&mut scene, &places);
    let (_, backup) = &users[0];
    taken_over(&root, backup, &proxy, prefix);

    // Here it is tried that nobody lists what is another job's.
    let list = |query: &str| {
        let query = query.replace("=r/", &format!("={prefix}"));
        let query = query.replace('/', "%2F");
        backup.request("GET", "/bucket", &query, &[], b"").status()
    };
    assert_eq!(list("list-type=2&prefix=r/prod/log/"), 200);
    for denied in ["&prefix=r/other/", "&prefix=r/prod.undo/", ""] {
        assert_eq!(list(&format!("list-type=2{denied}")), 403, "{denied}");
    }
}

/// Whoever has the key of the host that backs up, without strongroom.
fn taken_over(root: &S3, user: &S3, proxy: &Proxy, prefix: &str) {
    let taken = S3 {
        address: proxy.address().to_owned(),
        ..user.clone()
    };
    let commits = root.list("bucket", &format!("{prefix}prod/log/"));
    let commit = commits.first().expect("there is one");
    assert_eq!(taken.put("bucket", commit, b"overwritten"), 403);
    assert_eq!(taken.delete("bucket", commit), 403);
    let description = format!("{prefix}strongroom.json");
    assert_eq!(taken.put("bucket", &description, b"overwritten"), 403);
    let condition = [("if-none-match", "*")];
    let outside = taken.request(
        "PUT",
        &format!("/bucket/{prefix}other/log/000000000001"),
        "",
        &condition,
        b"new",
    );
    assert_eq!(outside.status(), 403, "another job's log");
    let other = format!("{prefix}other/log/000000000001");
    assert!(taken.get("bucket", &other).is_none());
}

/// The statements that a server understands, for one of its users.
pub(crate) fn for_versitygw(policy: &Value, user: &str) -> Vec<Value> {
    let statements = policy["Statement"].as_array().expect("a list").iter();
    let mut allowing: Vec<Value> = statements
        .filter(|statement| statement["Effect"] == "Allow")
        .cloned()
        .collect();
    for statement in &mut allowing {
        let fields = statement.as_object_mut().expect("an object");
        fields.remove("Condition");
        fields.remove("Sid");
        fields.insert("Principal".to_owned(), json!({"AWS": [user]}));
    }
    allowing
}

/// Whether that user puts an object of a run.
fn is_upload(request: &Message, user: &str) -> bool {
    let user = format!("Credential={user}/");
    let signed = request.header("authorization");
    request.method() == "PUT"
        && request.target().contains("/runs/")
        && signed.is_some_and(|text| text.contains(&user))
}

/// What Amazon does by the policy's last statement. Root is not bound by policies.
fn refuse_unconditional(request: &Message) -> Treatment {
    let root = request
        .header("authorization")
        .is_some_and(|text| text.contains("Credential=root-access/"));
    let puts = request.method() == "PUT" && !request.target().ends_with("?retention");
    if root || !puts || request.header("if-none-match").is_some() {
        return Treatment::Passes;
    }
    let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let headers = [("content-type", "application/xml")];
    Treatment::Answered(Message::new(
        "HTTP/1.1 403 Forbidden",
        &headers,
        body.as_bytes(),
    ))
}

#[test]
fn azurite_lets_each_host_do_its_part() {
    let Some(release) = require("azurite") else {
        return;
    };
    let server = Azurite::start(&release);
    server.make_container("bucket");
    let place = |key: &str, name: &str| {
        let (account, endpoint) = (server.account(), server.endpoint());
        format!(
            "{{url: 'az://bucket/r', endpoint: '{endpoint}', allow_http: true, account: {account}, {key}: 'file:{name}'}}"
        )
    };
    let mut scene = scene();
    scene.write("account.key", server.key());
    scene.place = place("account_key", "account.key");
    scene.configure(JOBS);
    scene.run(&["init"]).done();
    let places = ["backup", "restore", "maintain"].map(|role| {
        let policy = scene.run(&["policy", "azure", role, "prod"]).done().text();
        let (_, rest) = policy.split_once("--permissions ").expect("it says which");
        let permissions = rest.split(' ').next().expect("they follow");
        let name = format!("{role}.sas");
        scene.write(&name, server.sas("bucket", permissions));
        place("sas", &name)
    });
    each_does_its_part(&mut scene, &places);
}

fn scene() -> Scene {
    let mut scene = Scene::bare();
    scene.keys();
    scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);
    scene.write("secrets/a", "first");
    scene.write("secrets/b", "same");
    scene
}

/// Who backs up, who restores, who prunes: each at his place.
fn each_does_its_part(scene: &mut Scene, [backup, restore, maintain]: &[String; 3]) {
    scene.place.clone_from(backup);
    scene.configure(JOBS);
    scene.run(&["backup", "prod"]).done();
    scene.write("secrets/a", "second");
    scene.run(&["backup", "prod"]).done();
    let second = tree(&scene.path("secrets"));
    assert_eq!(scene.snapshots(), ["prod/1", "prod/2"]);
    for level in ["log", "data"] {
        scene.run(&["verify", "prod", "--level", level]).done();
    }
    scene.run(&["keys", "prod"]).done();
    let doctor = scene.run(&["doctor", "--json"]).done().json();
    let findings = doctor["findings"].as_array().expect("a list");
    let rights = findings.iter().find(|found| found["check"] == "rights");
    assert_eq!(rights.expect("it looked")["level"], "good", "{doctor}");
    assert_eq!(doctor["left"].as_array().map(Vec::len), Some(1), "{doctor}");

    scene.place.clone_from(restore);
    scene.configure(JOBS);
    scene
        .read(&["restore", "prod", "--to", "out", "--yes"])
        .done();
    assert_same(&tree(&scene.restored("out", "secrets")), &second, "prod/2");
    // What it overwrites is saved first, beside the job.
    scene
        .read(&["restore", "prod/1", "--conflict", "overwrite", "--yes"])
        .done();
    assert_eq!(fs::read(scene.path("secrets/a")).expect("a file"), b"first");
    assert_eq!(scene.snapshots(), ["prod/1", "prod/2", "prod.undo/1"]);
    let file = scene.path("secrets/a").display().to_string();
    for looks in [
        vec!["show", "prod"],
        vec!["get", "prod/1", &file],
        vec!["cat", "prod/2", &file],
        vec!["find", "a"],
        vec!["history", &file],
        vec!["verify", "--level", "full"],
        vec!["restore", "prod", "--to", "again", "--yes", "--no-undo"],
    ] {
        scene.read(&looks).done();
    }
    scene.read(&["diff", "prod/1", "prod/2"]).ended(4);
    scene.run(&["keys"]).done();

    scene.place.clone_from(maintain);
    scene.configure(&format!("{JOBS}{MAINTAINER}"));
    let other = scene.key(&["keygen", "--writer", "--output", "other.key"]);
    let new = scene.key(&["keygen", "--output", "new.txt"]);
    for maintains in [
        vec!["pin", "prod/1"],
        vec!["pin", "--remove", "prod/1"],
        vec!["forget", "prod/1"],
        vec!["writer", "revoke", &other, "--after", "prod/2"],
        vec!["prune", "prod", "--dry-run"],
    ] {
        scene.run(&maintains).done();
    }
    // With an identity as well, for whoever comes is given the keys of the runs.
    scene.read(&["rotate", "--add", &new]).done();
    let get = ["get", "prod/2", &file, "--identity", "new.txt"];
    assert_eq!(scene.run(&get).done().text(), "second");
    let pruned = scene.run(&["prune", "prod", "--json"]).done().json();
    assert!(pruned["jobs"][0]["deleted"].as_u64() > Some(0), "{pruned}");
    assert_eq!(scene.snapshots(), ["prod/2", "prod.undo/1"]);
    scene.run(&["verify"]).done();
    let doctor = scene.run(&["doctor", "--json"]).done().json();
    assert_eq!(doctor["left"].as_array().map(Vec::len), Some(0), "{doctor}");
}
