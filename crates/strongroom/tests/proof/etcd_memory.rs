//! Memory does not grow with the database of an etcd either: every command that reads all of it, under a limit of the kernel.
//!
//! A real etcd with 128 MiB, which fills all that is read ahead, and then with four times as much: large values, whose pages are a megabyte long,
//! and many small ones. The memory of etcdutl is not ours, and is not looked at.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use testkit::{Etcd, EtcdOptions, Message, Release, ask, require};

use crate::bounded::{FIRST, PRINTED, Peak, bounded, judge};
use crate::noise::Noise;
use crate::scene::{Scene, Seen};

/// What is in the database, in blocks of 4 MiB.
const SMALL: usize = 32;
const LARGE: usize = 128;
/// So many blocks are put at once.
const WRITERS: usize = 4;
/// Of the first megabyte of a block: what becomes Secrets, and how many.
const NOISE: usize = 768 << 10;
const SECRETS: usize = 1024;
/// So much `show --database` may need for each key, up to 48 MiB in all (docs/sources/etcd.md).
const PER_KEY: u64 = 96;
/// The Secret that is wanted.
const ONE: &str = "secrets/shop/db";
const PASSWORD: &str = "hunter2";

#[test]
fn memory_does_not_grow_with_a_database() {
    let Some(release) = require("etcd") else {
        return;
    };
    let options = EtcdOptions {
        flags: &["--max-txn-ops=1024"],
        ..EtcdOptions::default()
    };
    let etcd = Etcd::start(&release, options);
    let scene = Scene::new();
    write_tool(&scene, &release);
    let endpoint = etcd.endpoint();
    let job =
        |name: &str| format!("  {name}: {{sources: [{{etcd: {{endpoints: ['{endpoint}']}}}}]}}\n");
    scene.configure(&[job("small"), job("large")].concat());
    let (key, value) = secret("shop", "db", PASSWORD.as_bytes());
    put(&etcd, &[(&key, value.as_bytes())]);

    fill(&etcd, 0..SMALL);
    let small = peaks(&scene, "small", SMALL);
    fill(&etcd, SMALL..LARGE);
    let large = peaks(&scene, "large", LARGE);
    judge(&[small, large]);
}

/// The most memory that each command had.
fn peaks(scene: &Scene, job: &str, blocks: usize) -> Vec<Peak> {
    let tool = scene.path("etcdutl").display().to_string();
    let commands: [(&str, &[&str]); 9] = [
        (FIRST, &["backup", job]),
        ("backup, unchanged", &["backup", job]),
        ("verify --level full", &["verify", job, "--level", "full"]),
        ("show --database", &["show", job, "--database", "--json"]),
        (
            "show --inside",
            &["show", job, "--inside", "--only", "secrets/shop/*"],
        ),
        ("get --inside", &["get", job, ONE, "password", "--inside"]),
        (
            "restore --data-dir",
            &[
                "restore",
                job,
                "--data-dir",
                "data",
                "--etcdutl-path",
                &tool,
                "--yes",
            ],
        ),
        (
            "restore --to",
            &["restore", job, "--to", "snapshot.db", "--yes"],
        ),
        ("cat", &["cat", job, "snapshot.db"]),
    ];
    let peaks = commands.iter().map(|(what, words)| {
        let words = [*words, &["--identity", "identity.txt"]].concat();
        let (seen, peak) = bounded(scene, &words);
        look(scene, what, &seen.done(), blocks);
        let known = match *what {
            "show --database" => (PER_KEY * keys(blocks) as u64) >> 10,
            _ => 0,
        };
        (*what, peak - known.min(peak))
    });
    peaks.collect()
}

/// What the command did, and takes it away.
fn look(scene: &Scene, what: &str, seen: &Seen, blocks: usize) {
    match what {
        "show --database" => {
            let held = &seen.json()["databases"][0];
            assert_eq!(held["keys"], keys(blocks), "{held}");
        }
        "show --inside" => assert!(seen.text().contains(ONE), "{}", seen.text()),
        "get --inside" => assert_eq!(seen.text(), PASSWORD),
        "restore --data-dir" => {
            let folder = scene.path("data");
            assert!(is_large(&folder.join("member/snap/db"), blocks));
            fs::remove_dir_all(folder).expect("it was seen");
        }
        "restore --to" => {
            let file = scene.path("snapshot.db");
            assert!(is_large(&file, blocks));
            fs::remove_file(file).expect("it was seen");
        }
        "cat" => {
            let printed = scene.path(PRINTED).with_extension("stdout");
            assert!(is_large(&printed, blocks));
        }
        _ => (),
    }
}

/// How many keys there are: the Secret that is wanted, and those of so many blocks.
fn keys(blocks: usize) -> usize {
    1 + blocks * (SECRETS + 3)
}

/// Whether this may be the whole database.
fn is_large(file: &Path, blocks: usize) -> bool {
    fs::metadata(file).is_ok_and(|it| it.len() > (blocks as u64) << 22)
}

/// An etcdutl without the limit.
fn write_tool(scene: &Scene, release: &Release) {
    let program = release.program("etcdutl");
    let script = format!(
        "ulimit -S -d \"$(ulimit -H -d)\"\nexec '{}' \"$@\"",
        program.display()
    );
    testkit::make_script(&scene.path("etcdutl"), &script);
}

/// Puts these blocks, several at once.
fn fill(etcd: &Etcd, blocks: Range<usize>) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mine = blocks.clone().skip(writer).step_by(WRITERS);
            scope.spawn(move || {
                let mut noise = Noise::new();
                mine.for_each(|number| put_block(etcd, number, &noise.block()));
            });
        }
    });
}

/// Its noise as Secrets, and the rest in three large values.
fn put_block(etcd: &Etcd, number: usize, block: &[u8]) {
    let (noise, rest) = block.split_at(1 << 20);
    let secrets = noise[..NOISE].chunks(NOISE / SECRETS).enumerate();
    let secrets =
        secrets.map(|(index, data)| secret(&format!("many-{number}"), &format!("s-{index}"), data));
    let secrets: Vec<(String, String)> = secrets.collect();
    let pairs: Vec<(&str, &[u8])> = secrets
        .iter()
        .map(|(key, value)| (&**key, value.as_bytes()))
        .collect();
    put(etcd, &pairs);
    for (index, value) in rest.chunks(1 << 20).enumerate() {
        put(etcd, &[(&format!("/large/{number}-{index}"), value)]);
    }
}

/// A Secret as an API server may keep it: its key, and its value in JSON.
fn secret(namespace: &str, name: &str, password: &[u8]) -> (String, String) {
    let password = BASE64.encode(password);
    let value = format!(
        r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}","namespace":"{namespace}"}},"data":{{"password":"{password}"}}}}"#
    );
    (format!("/registry/secrets/{namespace}/{name}"), value)
}

/// All in one transaction.
fn put(etcd: &Etcd, pairs: &[(&str, &[u8])]) {
    let puts = pairs.iter().map(|(key, value)| {
        let (key, value) = (BASE64.encode(key), BASE64.encode(value));
        format!(r#"{{"request_put":{{"key":"{key}","value":"{value}"}}}}"#)
    });
    let puts: Vec<String> = puts.collect();
    let body = format!(r#"{{"success":[{}]}}"#, puts.join(","));
    let request = Message::new("POST /v3/kv/txn HTTP/1.1", &[], body.as_bytes());
    let answer = ask(&etcd.address(), &request).expect("etcd answers");
    assert_eq!(answer.status(), 200, "{}", answer.text());
}
