//! The same on MinIO, over TLS, with an authority of its own.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Minio, require};

use super::world::{MASTER, OTHER_MASTER, World};
use crate::scene::Seen;

/// A world whose objects lie on a MinIO.
struct OnMinio {
    world: World,
    minio: Minio,
}

impl OnMinio {
    fn new() -> Option<Self> {
        let minio = Minio::start_with_tls(&require("minio")?);
        let world = World::sealed()?;
        world.reconfigure(&world.s3_address(), &address(&minio));
        let authority = world.server.certificates().authority.display().to_string();
        let minios = minio.certificates().authority.display().to_string();
        world.reconfigure(&authority, &minios);
        let on = Self { world, minio };
        on.wait_until_it_serves();
        on.peer(&["bucket"], MASTER, b"");
        Some(on)
    }

    /// It speaks TLS before it serves. Once it does, it says that there is no bucket yet.
    fn wait_until_it_serves(&self) {
        let deadline = Instant::now() + Duration::from_mins(10);
        loop {
            let seen = self.world.run(&["restore", "-d", "data"]);
            if seen.code == 10 {
                return;
            }
            assert!(Instant::now() < deadline, "{}: {}", seen.code, seen.stderr);
            sleep(Duration::from_millis(100));
        }
    }

    fn peer(&self, arguments: &[&str], master: &str, stdin: &[u8]) -> Vec<u8> {
        let authority = &self.minio.certificates().authority;
        self.world
            .peer_at(&address(&self.minio), authority, arguments, master, stdin)
    }
}

fn address(minio: &Minio) -> String {
    minio.endpoint().replace("https://", "")
}

#[test]
fn it_is_backed_up_to_restored_from_rotated_and_pruned() {
    let Some(on) = OnMinio::new() else { return };
    let world = &on.world;
    world.fill("minio");
    let keys = world.keys();
    let name = world.back_up();
    assert_eq!(world.restored(&[]), keys);
    // The other implementation reads it, and what that one writes is read by ours.
    let snapshot = on.peer(&["read", &name], MASTER, b"");
    assert!(snapshot.windows(8).any(|it| it == b"minio29-"));
    let old = "2024-12-06T21:22:25Z";
    on.peer(&["write", &format!("backup-{old}")], MASTER, &snapshot);
    assert_eq!(world.restored(&["-t", old]), keys);

    world.reconfigure(
        "encryption_key_path: master.key",
        "encryption_key_path: other.key",
    );
    let rotated = world.run(&["rotate-key", "-p", "master.key", "--json"]);
    let rotated = rotated.done().json();
    let count = rotated["rotated"].as_array().map(Vec::len);
    assert_eq!(count, Some(2), "{rotated}");
    assert_eq!(world.restored(&[]), keys);
    assert!(on.peer(&["read", &name], OTHER_MASTER, b"") == snapshot);

    let pruned = world.run(&["prune", "-i", "1", "-a", "1d", "--json"]);
    let pruned = pruned.done().json();
    let deleted = [
        format!("s3://bucket/backup-{old}.dump"),
        format!("s3://bucket/backup-{old}.key"),
    ];
    assert_eq!(pruned["deleted"], serde_json::json!(deleted), "{pruned}");
    world
        .run(&["restore", "-d", "gone", "-t", old])
        .refused(1, &["there is no backup"]);
    assert_eq!(world.restored(&[]), keys);
}

/// Its certificate is signed by an authority that nobody knows, but for `ca_cert`.
#[test]
fn only_its_own_authority_is_believed() {
    let Some(on) = OnMinio::new() else { return };
    let world = &on.world;
    world.etcd.ctl(&["put", "a", "b"]);
    world.back_up();
    let config = fs::read_to_string(world.scene.path("config.yml")).expect("it was written");
    let certificates = on.minio.certificates();
    let line = format!("    ca_cert: {}\n", certificates.authority.display());
    assert!(config.contains(&line), "{config}");
    let strange = certificates.strange_authority.display();
    world.configure(&config.replace(&line, &format!("    ca_cert: {strange}\n")));
    let words = ["restore", "-d", "data"];
    // It gets no better while `request_timeout` lasts.
    let began = Instant::now();
    world.run(&words).refused(15, &["hint: "]);
    assert!(began.elapsed() < Duration::from_secs(25));
    assert_eq!(world.leftovers(), [] as [&str; 0]);
    world.configure(&config);
    assert_eq!(world.restored(&[]), world.keys());
}

/// Without `ca_cert`, the authorities of the system are believed: here, those that `SSL_CERT_FILE` names.
#[test]
fn the_systems_authorities_are_believed_where_none_is_named() {
    let Some(on) = OnMinio::new() else { return };
    let world = &on.world;
    world.etcd.ctl(&["put", "a", "b"]);
    let certificates = on.minio.certificates();
    let line = format!("    ca_cert: {}\n", certificates.authority.display());
    world.reconfigure(&line, "");
    for words in [&["backup"][..], &["restore", "-d", "data"]] {
        let mut command = world.command(words);
        command.env("SSL_CERT_FILE", &certificates.authority);
        Seen::of(&mut command).done();
    }
    assert_eq!(world.served(), world.keys());
}
