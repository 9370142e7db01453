//! Objects broken in every way that a disk, a store or somebody with a right to write can think of: each is refused with its reason,
//! nothing of it is left on the disk, and it is never taken for something else.

use std::fs;

use super::world::{MASTER, OTHER_MASTER, World, say};

const CHUNK: usize = 1 << 20;
const STRIDE: usize = CHUNK + 40;
/// Of a last chunk with more than a page, etcd's hash and the 40 bytes around them, something is left when a page is cut off.
const SHORT: usize = 4096 + 32 + 40;

/// A bucket with one sealed backup of several chunks.
struct Broken {
    world: World,
    name: String,
    dump: Vec<u8>,
    key: Vec<u8>,
}

impl Broken {
    fn new() -> Option<Self> {
        let world = World::sealed()?;
        world.fill("broken");
        let mut name = world.back_up();
        let object = |name: &str, ending: &str| world.object(&format!("{name}.{ending}"));
        let read = |name: &str, ending: &str| fs::read(object(name, ending)).expect("the object");
        // Where a database ends is etcd's choice.
        let is_short = |dump: &[u8]| dump.len() % STRIDE <= SHORT;
        for more in 0..4 {
            if is_short(&read(&name, "dump")) {
                for ending in ["dump", "key"] {
                    fs::remove_file(object(&name, ending)).expect("removed");
                }
                world.fill(&format!("more{more}"));
                name = world.back_up();
            }
        }
        let (dump, key) = (read(&name, "dump"), read(&name, "key"));
        assert!(dump.len() > 4 * STRIDE);
        assert!(!is_short(&dump));
        Some(Self {
            world,
            name,
            dump,
            key,
        })
    }

    fn put(&self, ending: &str, bytes: &[u8]) {
        fs::write(self.world.object(&format!("{}.{ending}", self.name)), bytes).expect("written");
    }

    fn remove(&self, ending: &str) {
        fs::remove_file(self.world.object(&format!("{}.{ending}", self.name))).expect("removed");
    }

    /// Refused, to a data directory and to a file.
    #[track_caller]
    fn refused(&self, code: i32, words: &[&str]) {
        self.world
            .run(&["restore", "-d", "data"])
            .refused(code, words);
        self.world
            .run(&["restore", "--use-etcdutl=false"])
            .refused(code, words);
        assert_eq!(self.world.leftovers(), [] as [&str; 0]);
    }

    fn mend(&self) {
        self.put("dump", &self.dump);
        self.put("key", &self.key);
    }
}

#[test]
fn a_broken_dump_is_refused() {
    let Some(broken) = Broken::new() else { return };
    let dump = &broken.dump;
    let chunks: Vec<&[u8]> = dump.chunks(STRIDE).collect();
    let last = chunks.len() - 1;
    let with = |order: &[usize]| {
        order
            .iter()
            .flat_map(|at| chunks[*at])
            .copied()
            .collect::<Vec<u8>>()
    };
    let all: Vec<usize> = (0..=last).collect();
    let flipped = |at: usize| {
        let mut bytes = dump.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes, word) in [
        // What the original restores.
        (
            "cut between two chunks",
            with(&all[..last]),
            "it was cut, or something was appended",
        ),
        (
            "the first left out",
            with(&all[1..]),
            "chunk 1 stands where chunk 0 belongs",
        ),
        (
            "one left out",
            with(&[&all[..2], &all[3..]].concat()),
            "chunk 3 stands where chunk 2 belongs",
        ),
        (
            "one doubled",
            with(&[&all[..2], &all[1..]].concat()),
            "chunk 1 stands where chunk 2 belongs",
        ),
        (
            "two in each other's place",
            with(&[&[0, 2, 1][..], &all[3..]].concat()),
            "chunk 2 stands where chunk 1 belongs",
        ),
        // And the rest.
        (
            "cut in a chunk",
            dump[..2 * STRIDE + 1000].to_vec(),
            "it was cut, or something was appended",
        ),
        (
            "cut by a page",
            dump[..dump.len() - 4096].to_vec(),
            &*format!("its chunk {last} is damaged"),
        ),
        (
            "nothing",
            Vec::new(),
            "its 0 bytes cannot be a whole snapshot",
        ),
        (
            "appended to",
            [&dump[..], &[0; 512]].concat(),
            &*format!("its chunk {last} is damaged"),
        ),
        ("a bit of a nonce", flipped(0), "its chunk 0 is damaged"),
        (
            "a bit of the last nonce",
            flipped(last * STRIDE + 23),
            &*format!("its chunk {last} is damaged"),
        ),
        (
            "a bit of a value",
            flipped(STRIDE + 500_000),
            "its chunk 1 is damaged",
        ),
        (
            "the last bit",
            flipped(dump.len() - 1),
            &*format!("its chunk {last} is damaged"),
        ),
    ] {
        broken.put("dump", &bytes);
        say(what);
        broken.refused(5, &["it is damaged: ", word]);
    }
    broken.mend();
    assert_eq!(broken.world.restored(&[]), broken.world.keys());
}

#[test]
fn a_broken_or_missing_key_is_a_sentence() {
    let Some(broken) = Broken::new() else { return };
    for (what, key, code, word) in [
        (
            "empty",
            Vec::new(),
            5,
            "it has 0 bytes, where a key object has 72",
        ),
        (
            "cut in the nonce",
            broken.key[..23].to_vec(),
            5,
            "it has 23 bytes",
        ),
        (
            "longer",
            [&broken.key[..], b"\n"].concat(),
            5,
            "it has 73 bytes",
        ),
        (
            "flipped",
            [&broken.key[..71], &[broken.key[71] ^ 1]].concat(),
            12,
            "the master key does not open it",
        ),
        ("zeros", vec![0; 72], 12, "the master key does not open it"),
    ] {
        broken.put("key", &key);
        say(what);
        broken.refused(code, &[".key", word]);
    }
    broken.remove("key");
    broken.refused(12, &["its key object s3://bucket/backup-", "is missing"]);
    broken.mend();

    // Another cluster's master key, and none.
    broken.world.scene.write("master.key", OTHER_MASTER);
    broken.refused(12, &["the master key does not open it"]);
    broken
        .world
        .scene
        .write("master.key", MASTER.replace('2', "x"));
    broken.refused(2, &["master.key is no master key: it holds something else"]);
    broken.world.scene.write("master.key", "");
    broken.refused(2, &["it has 0 hexadecimal digits"]);
    fs::remove_file(broken.world.scene.path("master.key")).expect("removed");
    broken.refused(1, &["read the master key master.key"]);
    broken.world.scene.write("master.key", MASTER);

    // The key of another dump does not open this one.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let other = broken.world.back_up();
    let key = fs::read(broken.world.object(&format!("{other}.key"))).expect("its key");
    for ending in ["dump", "key"] {
        fs::remove_file(broken.world.object(&format!("{other}.{ending}"))).expect("removed");
    }
    broken.put("key", &key);
    broken.refused(5, &["its chunk 0 is damaged, or sealed with another key"]);
}

/// The original restores the ciphertext.
#[test]
fn ciphertext_is_never_restored() {
    let Some(broken) = Broken::new() else { return };
    broken
        .world
        .reconfigure("encryption_key_path: master.key\n", "");
    broken.refused(12, &["it is sealed", "`encryption_key_path`"]);
    broken.remove("key");
    broken.refused(5, &["it is damaged: its "]);
    // And of a length that a snapshot has, which chance gives one in many.
    let chunks = broken.dump.len() / 512;
    broken.put("dump", &broken.dump[..(chunks - 1) * 512 + 32]);
    broken.refused(5, &["its first pages are not those of a Bolt database"]);
}

/// Nobody who can write to the bucket gets a snapshot of his own restored where dumps are sealed.
#[test]
fn a_dump_in_clear_is_not_taken_for_a_sealed_one() {
    let Some(broken) = Broken::new() else { return };
    let snapshot = broken.world.peer(&["read", &broken.name], MASTER, b"");
    broken.put("dump", &snapshot);
    broken.refused(5, &["it is damaged: "]);
    broken.remove("key");
    broken.refused(12, &["is missing", "stored without encryption"]);
    broken
        .world
        .reconfigure("encryption_key_path: master.key\n", "");
    assert_eq!(broken.world.restored(&[]), broken.world.keys());
    fs::remove_dir_all(broken.world.scene.path("data")).expect("it was made");

    // In clear it is the SHA-256 of etcd that says.
    let mut flipped = snapshot.clone();
    flipped[3 << 20] ^= 1;
    broken.put("dump", &flipped);
    broken.refused(5, &["its SHA-256 is not the one that it ends with"]);
    broken.put("dump", &snapshot[..snapshot.len() - 32]);
    broken.refused(5, &["cannot be a whole snapshot"]);
    broken.put("dump", &snapshot[..snapshot.len() - 4096]);
    broken.refused(5, &["bytes of database where its meta pages say"]);
}

#[test]
fn what_is_not_there_is_said() {
    let Some(world) = World::sealed() else { return };
    world.run(&["restore", "-d", "data"]).refused(
        1,
        &["there is no backup s3://bucket/backup-*.dump", "hint: "],
    );
    world.etcd.ctl(&["put", "a", "b"]);
    let name = world.back_up();
    world
        .run(&["restore", "-d", "data", "-t", "2001-01-01T00:00:00Z"])
        .refused(
            1,
            &[
                "there is no backup s3://bucket/backup-2001-01-01T00:00:00Z.dump",
                "the newest is that of 20",
            ],
        );
    world
        .run(&["restore", "-d", "data", "-t", "yesterday"])
        .refused(2, &["--backup-timestamp", "is not a time"]);
    fs::copy(
        world.object(&format!("{name}.key")),
        world.object("backup-2001-01-01T00:00:00Z.key"),
    )
    .expect("copied");
    world
        .run(&["restore", "-d", "data", "-t", "2001-01-01T00:00:00Z"])
        .refused(1, &["only its key is there"]);
    // A key alone is no newest backup, and other names are none at all.
    fs::copy(
        world.object(&format!("{name}.key")),
        world.object("backup-2031-01-01T00:00:00Z.key"),
    )
    .expect("copied");
    fs::copy(
        world.object(&format!("{name}.dump")),
        world.object("backup-2031-01-01T00:00:00Z.dump.old"),
    )
    .expect("copied");
    assert_eq!(world.restored(&[]), world.keys());
    fs::remove_dir_all(world.scene.path("data")).expect("it was made");

    for (from, to, code, word) in [
        (
            "bucket: bucket",
            "bucket: other",
            10,
            "hint: make the bucket first",
        ),
        (
            "key_auth: keys.yml",
            "key_auth: nokeys.yml",
            1,
            "read the secret yaml:nokeys.yml#access_key",
        ),
        ("ca_cert: ", "ca_cert: nowhere", 1, "read the authorities"),
    ] {
        let config = world.config();
        let at = config.rfind(from).expect(from);
        world.configure(&format!(
            "{}{to}{}",
            &config[..at],
            &config[at + from.len()..]
        ));
        world.run(&["restore", "-d", "data"]).refused(code, &[word]);
    }
    // Without `ca_cert` the system's authorities count, which do not know this one.
    let config = world.config();
    let line = config
        .lines()
        .rfind(|line| line.contains("ca_cert"))
        .expect("a line")
        .to_owned();
    world.configure(&config.replace(&format!("{line}\n"), ""));
    world
        .run(&["restore", "-d", "data"])
        .refused(15, &["hint: "]);
    world.configure(&config);
    world
        .scene
        .write("keys.yml", "access_key: root-access\nsecret_key: hunter2\n");
    let seen = world
        .run(&["restore", "-d", "data"])
        .refused(16, &["hint: "]);
    assert!(!seen.stderr.contains("hunter2"), "{}", seen.stderr);
}
