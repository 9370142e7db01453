use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use testkit::{Etcd, EtcdOptions, require};

use crate::scene::Scene;
use crate::tree::{assert_same, tree};

/// A job with this etcd, and a file beside it.
fn scene_for(source: &str) -> Scene {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    scene.configure(&format!(
        "  prod: {{sources: [{{files: {{paths: [secrets]}}}}, {{etcd: {{{source}}}}}]}}\n"
    ));
    scene
}

/// The backup fails so, and nothing of it is kept, not even the file's part.
fn refused(scene: &Scene, code: i32, words: &[&str]) {
    let before = tree(&scene.path("repository"));
    scene.run(&["backup"]).refused(code, words);
    let after = tree(&scene.path("repository"));
    let objects = |tree: &crate::tree::Tree| {
        let files = tree
            .iter()
            .filter(|(_, node)| node.mode & 0o170_000 == 0o100_000);
        files.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(objects(&after), objects(&before));
    assert!(scene.snapshots().is_empty());
}

#[test]
fn an_etcd_that_does_not_answer_is_named() {
    // It accepts, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let silent = scene_for(&format!(
        "endpoints: ['http://{address}'], connect_timeout: 1s, request_timeout: 1s"
    ));
    refused(&silent, 15, &["back up prod: source `etcd`", &address]);
    // Nobody listens there: a port that was just given up may be somebody else's at once.
    let address = "127.0.0.1:1";
    let refusing = scene_for(&format!(
        "endpoints: ['http://{address}'], connect_timeout: 2s"
    ));
    refused(
        &refusing,
        15,
        &["back up prod: source `etcd`", address, "Connection refused"],
    );
    let nowhere = scene_for("endpoints: ['http://no-such-host.invalid:2379'], connect_timeout: 5s");
    refused(&nowhere, 15, &["source `etcd`", "no-such-host.invalid"]);
}

#[test]
fn a_wrong_password_is_refused_without_being_repeated() {
    let Some(release) = require("etcd") else {
        return;
    };
    let root_password = Some("right".to_owned());
    let options = EtcdOptions {
        root_password,
        ..EtcdOptions::default()
    };
    let server = Etcd::start(&release, options);
    let source = |login: &str| format!("endpoints: ['{}'] {login}", server.endpoint());
    let scene = scene_for(&source(", username: root, password: 'file:password'"));
    scene.write("password", "wrong-and-not-repeated");
    refused(&scene, 16, &["source `etcd`", &server.endpoint()]);
    let seen = scene.run(&["backup"]);
    assert!(!seen.stderr.contains("wrong-and-not-repeated"));
    refused(&scene_for(&source("")), 16, &["source `etcd`"]);
    scene.write("password", "right");
    scene.run(&["backup"]).done();
}

#[test]
fn a_snapshot_that_is_cut_on_the_way_is_not_kept() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = Etcd::start(&release, EtcdOptions::default());
    let value = "v".repeat(1 << 20);
    for key in ["a", "b", "c"] {
        server.ctl(&["put", key, &value[..100_000]]);
    }
    for limit in [20_000, 200_000] {
        let address = cut_after(server.address(), limit);
        let scene = scene_for(&format!(
            "endpoints: ['http://{address}'], idle_timeout: 3s, request_timeout: 3s"
        ));
        let seen = scene.run(&["backup"]);
        let code = seen.code;
        assert!([1, 15].contains(&code), "{code}: {}", seen.stderr);
        refused(&scene, code, &["back up prod: source `etcd`", &address]);
    }
    let scene = scene_for(&format!("endpoints: ['{}']", server.endpoint()));
    scene.run(&["backup"]).done();
    let before = tree(&scene.path(""));
    assert_same(&tree(&scene.path("")), &before, "the scene");
}

/// Passes bytes on until so many have come from the server over one connection, then closes it.
fn cut_after(server: String, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).expect("the server listens");
            thread::spawn(move || pass(client, server, limit));
        }
    });
    address
}

fn pass(mut client: TcpStream, mut server: TcpStream, limit: usize) {
    let mut to_server = server.try_clone().expect("a second handle");
    let mut from_client = client.try_clone().expect("a second handle");
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    let mut left = limit;
    let mut buffer = [0; 4096];
    while left > 0 {
        let Ok(length @ 1..) = server.read(&mut buffer) else {
            return;
        };
        let allowed = length.min(left);
        left -= allowed;
        if client.write_all(&buffer[..allowed]).is_err() {
            return;
        }
    }
    // Either side may have gone already.
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
}
