//! Both directions, with another program that has the original's S3 client and cipher, and none of our code.

use std::fs;

use super::world::{MASTER, World};

#[test]
fn what_another_program_wrote_is_read_and_the_other_way_round() {
    let Some(world) = World::sealed() else { return };
    world.fill("peer");
    let ours = world.back_up();
    let sealed_keys = world.keys();
    let snapshot = world.peer(&["read", &ours], MASTER, b"");
    assert!(snapshot.len() > 5 << 20 && snapshot.len() % 512 == 32);

    // Its own, of what it read, at an earlier and at a later time, sealed and as it is.
    for (time, master) in [
        ("2001-02-03T04:05:06Z", MASTER),
        ("2031-02-03T04:05:06Z", ""),
    ] {
        let name = format!("backup-{time}");
        world.peer(&["write", &name], master, &snapshot);
        assert_eq!(world.peer(&["read", &name], master, b""), snapshot);
        if master.is_empty() {
            world.reconfigure("encryption_key_path: master.key\n", "");
        }
        assert_eq!(world.restored(&["-t", time]), sealed_keys);
        world
            .run(&["restore", "-t", time, "--use-etcdutl=false"])
            .done();
        let file = fs::read(world.scene.path("snapshot.db")).expect("the file");
        assert!(file == snapshot);
    }
    // Without a master key: byte for byte what etcd sent.
    let plain = world.back_up();
    let dump = fs::read(world.object(&format!("{plain}.dump"))).expect("the dump");
    assert!(world.peer(&["read", &plain], "", b"") == dump);
    assert_eq!(dump.len() % 512, 32);

    let listed = String::from_utf8(world.peer(&["list"], "", b"")).expect("names");
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, world.objects());
}

/// All lengths around the end of a chunk, which only a snapshot of etcd never has all of.
#[test]
fn what_is_no_snapshot_is_refused_whatever_its_length() {
    let Some(world) = World::sealed() else { return };
    for (second, length) in [0, 1, 544, 1 << 20, (1 << 20) + 32, (2 << 20) - 480]
        .iter()
        .enumerate()
    {
        let name = format!("backup-2031-02-03T04:05:0{second}Z");
        world.peer(&["write", &name], MASTER, &vec![7; *length]);
        let seen = world.run(&["restore", "-d", "data"]);
        seen.refused(5, &["backup-2031-02-03T04:05:0"]);
    }
    assert_eq!(world.leftovers(), [] as [&str; 0]);
}
