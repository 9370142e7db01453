//! Memory does not depend on the size of the database: the original takes a gigabyte for 75 MB.

use std::fs;

use super::world::{World, say};
use crate::bounded::bounded;

/// What is promised, in KiB.
const PROMISED_KIB: u64 = 64 << 10;

#[test]
fn sixty_four_mebibytes_are_enough() {
    let Some(world) = World::sealed() else { return };
    for number in 0..75_u8 {
        let value = vec![b'a' + number % 26; 1_400_000];
        world.etcd.put(&format!("large/{number}"), &value);
    }
    world.fill("memory");
    let folder = world.release.program("etcdutl");
    let etcdutl = folder.display().to_string();
    for sealed in [true, false] {
        if !sealed {
            world.reconfigure("encryption_key_path: master.key\n", "");
        }
        let (seen, backup) = bounded(&world.scene, &["etcd-backup", "backup", "--json"]);
        let bytes = seen.done().json()["bytes"].as_u64().expect("a number");
        assert!(bytes > 80 << 20, "{bytes} bytes are not much");
        let words = ["etcd-backup", "restore", "-d", "data", "-e", &etcdutl];
        let (seen, restore) = bounded(&world.scene, &words);
        seen.done();
        fs::remove_dir_all(world.scene.path("data")).expect("it was made");
        say(&format!(
            "{bytes} bytes, sealed {sealed}: backup {backup} KiB, restore {restore} KiB"
        ));
        assert!(
            backup.max(restore) <= PROMISED_KIB,
            "{backup} and {restore} KiB"
        );
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
