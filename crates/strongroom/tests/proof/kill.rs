//! `kill -9` at random moments of a backup: what `snapshots` lists is whole, the next backup works, and nothing readable is left.
//!
//! 50 moments; 1,000 with `STRONGROOM_LONG=1`. `STRONGROOM_SEED` repeats a run.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::scene::Scene;
use crate::tree::{Tree, assert_same, names, tree};

/// So many kills for one repository.
const ROUNDS: u64 = 10;
/// Stands in every file, and must not stand in the repository.
const MARK: &str = "this is plain text";
const FILES: u64 = 12;
const FILE_BYTES: usize = 256 * 1024;

#[test]
fn whatever_moment_a_backup_is_killed_at_all_snapshots_restore() {
    let long = std::env::var_os("STRONGROOM_LONG").is_some();
    let repositories = if long { 100 } else { 5 };
    let mut dice = Dice::new();
    let mut interrupted = 0;
    for _ in 0..repositories {
        let mut round = Killed::start(&mut dice);
        for _ in 0..ROUNDS {
            interrupted += u64::from(round.kill_one(&mut dice));
            round.check(long, &mut dice);
            round.go_on(&mut dice);
        }
        round.check(true, &mut dice);
    }
    let kills = repositories * ROUNDS;
    assert!(
        interrupted * 3 > kills,
        "only {interrupted} of {kills} backups were killed before they ended"
    );
}

/// A repository whose backups are killed.
struct Killed {
    scene: Scene,
    /// All snapshots that `snapshots` listed last.
    listed: Vec<String>,
    /// What was there when each snapshot was taken.
    expected: BTreeMap<String, Tree>,
    /// How long a backup takes that nobody kills.
    takes: Duration,
    /// Objects in which nothing readable was found: none is ever rewritten.
    searched: HashSet<PathBuf>,
}

impl Killed {
    fn start(dice: &mut Dice) -> Self {
        let scene = Scene::new();
        scene.configure(
            "  prod:\n    sources:\n      - files: {paths: [secrets]}\n      - command: {run: [cat, secrets/0]}\n",
        );
        let mut killed = Self {
            scene,
            listed: Vec::new(),
            expected: BTreeMap::new(),
            takes: Duration::ZERO,
            searched: HashSet::new(),
        };
        for number in 0..FILES {
            killed.change(number, dice);
        }
        killed.go_on(dice);
        killed
    }

    /// A backup that is killed on its way, or just after. Says whether it was still running.
    fn kill_one(&mut self, dice: &mut Dice) -> bool {
        self.change_some(dice);
        let moment = self.takes.mul_f64(dice.fraction() * 1.1);
        let started = Instant::now();
        let mut command = self.scene.strongroom(&["backup"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut backup = command.spawn().expect("it runs");
        sleep(moment.saturating_sub(started.elapsed()));
        let running = backup.try_wait().expect("it is ours").is_none();
        backup.kill().expect("it is ours");
        backup.wait().expect("it is ours");
        self.remember();
        running
    }

    /// The next backup: it works, and does not take what the killed one left for its own.
    fn go_on(&mut self, dice: &mut Dice) {
        self.change_some(dice);
        let before = self.listed.len();
        let started = Instant::now();
        self.scene.run(&["backup"]).done();
        self.takes = started.elapsed();
        self.remember();
        assert_eq!(self.listed.len(), before + 1);
    }

    /// What is listed now and was not before holds what is in the folder now.
    fn remember(&mut self) {
        let listed = self.scene.snapshots();
        let before = self.listed.len();
        assert_eq!(listed[..before], self.listed, "none is lost");
        let live = tree(&self.scene.path("secrets"));
        for name in &listed[before..] {
            self.expected.insert(name.clone(), live.clone());
        }
        self.listed = listed;
    }

    fn check(&mut self, all: bool, dice: &mut Dice) {
        let (newest, older) = self.listed.split_last().expect("the first was not killed");
        let chosen = dice.below(older.len().max(1) as u64) as usize;
        for (index, name) in older.iter().enumerate() {
            if all || index == chosen {
                self.restore(name);
            }
        }
        self.restore(newest);
        self.scene.run(&["verify", "--level", "data"]).done();
        assert!(names(&self.scene.path("tmp")).is_empty());
        let folder = self.scene.path("repository");
        for name in names(&folder) {
            if self.searched.insert(name.clone()) {
                let object = fs::read(folder.join(&name)).unwrap_or_default();
                let readable = String::from_utf8_lossy(&object).contains(MARK);
                assert!(!readable, "{} is readable", name.display());
            }
        }
    }

    fn restore(&self, name: &str) {
        let to = self.scene.path("out");
        let _ = fs::remove_dir_all(&to);
        let restore = ["restore", name, "--source", "files", "--to", "out", "--yes"];
        self.scene.read(&restore).done();
        let restored = tree(&self.scene.restored("out", "secrets"));
        let expected = &self.expected[name];
        assert_same(&restored, expected, name);
        let blob = self.scene.read(&["cat", name, "command:output"]).done();
        assert!(
            blob.stdout == expected[Path::new("0")].contents,
            "{name} command:output"
        );
    }

    /// Some files are new, some are as they were: there is something to reuse and something to store.
    fn change_some(&self, dice: &mut Dice) {
        for _ in 0..3 {
            self.change(dice.below(FILES), dice);
        }
    }

    fn change(&self, number: u64, dice: &mut Dice) {
        let mut contents = MARK.as_bytes().to_vec();
        contents.extend(dice.bytes(FILE_BYTES));
        self.scene.write(&format!("secrets/{number}"), contents);
    }
}

/// Random numbers that can be had again.
pub(crate) struct Dice(u64);

impl Dice {
    #[expect(clippy::print_stderr, reason = "to repeat what went wrong")]
    pub(crate) fn new() -> Self {
        let chosen = std::env::var("STRONGROOM_SEED").ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is after 1970").as_secs();
        let seed = chosen.map_or(now, |seed| seed.parse().expect("a number"));
        eprintln!("STRONGROOM_SEED={seed}");
        Self(seed)
    }

    /// The same numbers each time.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn fraction(&mut self) -> f64 {
        f64::from(self.next() as u32) / f64::from(u32::MAX)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = count.div_ceil(8);
        let bytes = (0..words).flat_map(|_| self.next().to_le_bytes());
        bytes.take(count).collect()
    }
}
