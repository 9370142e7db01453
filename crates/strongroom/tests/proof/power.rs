//! Power cuts: what the real program does to its files is traced, and replayed on a disk that forgets and reorders what was not
//! synced. Whatever is left, a snapshot that was reported as done is there, what is listed is whole, and the next backup works.
//!
//! The power fails after each call of an `init` and three backups, and each time other things are lost: nothing, everything, and
//! three random choices (`STRONGROOM_LONG=1`: 40).

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use format::{Identities, WriterKey};
use repository::{Compute, Error, Level, Repository, Select, Snapshot, Store, Trust, verify_job};
use testkit::{Change, Disk, Fate, Survivors, Traced, changes, strace};

use crate::kill::Dice;
use crate::scene::{Scene, Seen};

/// The part of the disk that is modelled. The repository lies in folders in it that `init` makes.
const DISK: &str = "disk";
const REPOSITORY: &str = "disk/site/vault/repository";

/// A snapshot's entries.
type Contents = BTreeMap<String, Vec<u8>>;

#[test]
fn a_power_cut_at_any_moment_loses_no_snapshot_that_was_reported() {
    if !testkit::require_program("strace") {
        return;
    }
    let long = std::env::var_os("STRONGROOM_LONG").is_some();
    let random = if long { 40 } else { 3 };
    let mut machine = Machine::new();
    machine.take("init");
    for version in [0, 1, 1] {
        machine.change(version);
        machine.take("backup");
    }
    let contents = machine.contents();
    let disk = machine.disk();
    let (mut cuts, mut seen) = (0, HashSet::new());
    for moment in disk.moments() {
        let some = (0..random).map(|luck| Fate::Some((moment << 8) | luck));
        for fate in [Fate::Kept, Fate::Lost].into_iter().chain(some) {
            cuts += 1;
            let survivors = disk.after(moment, fate);
            let done = machine.done(moment);
            // Many cuts leave the same behind.
            if seen.insert((hash(&survivors), done)) {
                survivors.replace(&machine.root());
                machine.check(done, &contents, &format!("cut at {moment}, {fate:?}"));
            }
        }
    }
    say(&format!(
        "{cuts} power cuts left {} different disks",
        seen.len()
    ));
    assert!(cuts > 300 && seen.len() > 100);
}

#[test]
fn what_a_killed_program_left_unsynced_is_not_relied_upon() {
    if !testkit::require_program("strace") {
        return;
    }
    let mut cuts = 0;
    for killed in ["init", "backup"] {
        let mut machine = Machine::new();
        machine.change(0);
        if killed == "backup" {
            machine.take("init");
        }
        let before = machine.traces.len();
        machine.take(killed);
        let disk = machine.disk();
        for kill in machine.names_given_since(before) {
            // Nothing is lost when a program is killed: what it left stands there, unsynced.
            disk.after(kill, Fate::Kept).replace(&machine.root());
            let mut next = machine.killed_at(kill);
            // It is the file that makes a place a repository: another `init` refuses.
            if !next.scene.path(REPOSITORY).join("strongroom.json").exists() {
                next.take("init");
            }
            next.take("backup");
            let contents = next.contents();
            let disk = next.disk();
            for fate in [Fate::Lost, Fate::Some(kill)] {
                cuts += 1;
                disk.after(next.now(), fate).replace(&next.root());
                // What the killed one had committed is what the other built on.
                next.check(
                    Some(contents.len() as u64),
                    &contents,
                    &format!("{killed} killed at {kill}, {fate:?}"),
                );
            }
        }
    }
    say(&format!("{cuts} power cuts after a kill"));
    assert!(cuts > 20);
}

#[expect(clippy::print_stderr, reason = "for docs/reliability.md")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn hash(survivors: &Survivors) -> u64 {
    let mut hasher = DefaultHasher::new();
    survivors.hash(&mut hasher);
    hasher.finish()
}

/// The program, its files, and everything that it did to its repository.
struct Machine {
    scene: Rc<Scene>,
    traces: Vec<Traced>,
    /// When each command was done, and how many snapshots had been reported by then.
    done: Vec<(u64, u64)>,
}

impl Machine {
    fn new() -> Self {
        let scene = Scene::new();
        let recipient = &scene.recipient;
        scene.write(
            "strongroom.yaml",
            format!(
                "repository: {REPOSITORY}\nrecipients: ['{recipient}']\nwriter_key: writer.key\n\
                 jobs:\n  prod: {{sources: [{{files: {{paths: [secrets]}}}}]}}\n"
            ),
        );
        fs::create_dir(scene.path(DISK)).expect("a folder");
        Self {
            scene: Rc::new(scene),
            traces: Vec::new(),
            done: Vec::new(),
        }
    }

    fn root(&self) -> PathBuf {
        self.scene.path(DISK)
    }

    /// Secrets of which some are the same in every version.
    fn change(&self, version: u64) {
        let mut steady = Dice::of(1);
        let mut changing = Dice::of(100 + version);
        self.scene.write("secrets/steady", steady.bytes(40_000));
        self.scene.write("secrets/changing", changing.bytes(30_000));
        self.scene
            .write(&format!("secrets/only-{version}"), "a secret");
    }

    /// The last moment.
    fn now(&self) -> u64 {
        let answered = self.traces.iter().map(|traced| traced.answered);
        answered.max().unwrap_or(0)
    }

    /// Runs a command, which does what it should, and remembers what it did.
    fn take(&mut self, command: &str) {
        let log = self.scene.path("trace");
        let mut words = strace(&log);
        words.extend([
            OsString::from("--"),
            env!("CARGO_BIN_EXE_strongroom").into(),
        ]);
        words.push(command.into());
        Seen::of(&mut self.scene.command(Path::new("strace"), &words)).done();
        let log = fs::read(&log).expect("strace wrote it");
        let began = self.now() + 1;
        let traced = changes(&String::from_utf8_lossy(&log), &self.root());
        self.traces.extend(traced.into_iter().map(|traced| Traced {
            asked: traced.asked + began,
            answered: traced.answered + began,
            ..traced
        }));
        let snapshots = self.done.last().map_or(0, |(_, snapshots)| *snapshots);
        let snapshots = snapshots + u64::from(command == "backup");
        self.done.push((self.now(), snapshots));
    }

    /// How many snapshots had been reported at a moment; `None`: not even the repository.
    fn done(&self, moment: u64) -> Option<u64> {
        let done = self.done.iter().rev();
        let mut done = done.filter(|(at, _)| *at <= moment);
        done.next().map(|(_, snapshots)| *snapshots)
    }

    /// The model, which agrees with what is really there.
    fn disk(&self) -> Disk {
        let disk = Disk::new(&self.root(), self.traces.clone());
        let modelled = disk.after(self.now(), Fate::Kept);
        assert!(
            modelled == Survivors::read(&self.root()),
            "the model is wrong"
        );
        disk
    }

    /// The moments at which a file or folder got a name.
    fn names_given_since(&self, first: usize) -> Vec<u64> {
        let given = self.traces[first..].iter().filter(|traced| {
            matches!(
                traced.change,
                Change::Create(_) | Change::MakeFolder(_) | Change::Link(..)
            )
        });
        given.map(|traced| traced.answered).collect()
    }

    /// The same machine, whose program was killed at that moment.
    fn killed_at(&self, kill: u64) -> Self {
        let traces = self.traces.iter().filter(|traced| traced.asked <= kill);
        Self {
            scene: Rc::clone(&self.scene),
            traces: traces.cloned().collect(),
            done: self
                .done
                .iter()
                .filter(|(at, _)| *at < kill)
                .copied()
                .collect(),
        }
    }

    /// What every snapshot holds that is there now.
    fn contents(&self) -> Vec<Contents> {
        let reader = Reader::of(&self.scene);
        let contents = reader.all().expect("the disk is sound");
        let live = contents.last().expect("there was a backup");
        let changing = fs::read(self.scene.path("secrets/changing")).expect("a file");
        assert!(live.values().any(|content| *content == changing));
        contents
    }

    /// What must be true of any disk after a power cut.
    fn check(&self, done: Option<u64>, contents: &[Contents], cut: &str) {
        let reader = Reader::of(&self.scene);
        let listed = match reader.all() {
            Ok(listed) => listed,
            Err(Error::NoRepository { .. }) if done.is_none() => {
                self.scene.run(&["init"]).done();
                Vec::new()
            }
            Err(error) => panic!("{cut}: {error}: {:?}", std::error::Error::source(&error)),
        };
        let reported = done.unwrap_or(0) as usize;
        assert!(
            listed.len() >= reported,
            "{cut}: {reported} were reported, {} are there",
            listed.len()
        );
        // A snapshot that was taken over again after a cut holds what the one that was lost held.
        assert!(
            listed == contents[..listed.len()],
            "{cut}: a snapshot holds something else"
        );
        self.scene.run(&["backup"]).done();
        let after = reader
            .all()
            .unwrap_or_else(|error| panic!("{cut}, and a backup: {error}"));
        assert_eq!(after.len(), listed.len() + 1, "{cut}: the next backup");
        assert!(
            after.last() == contents.last(),
            "{cut}: the next backup holds something else"
        );
    }
}

/// Reads the repository with the library, which is many times faster than with the program.
struct Reader {
    place: PathBuf,
    identities: Arc<Identities>,
    trust: Trust,
}

impl Reader {
    fn of(scene: &Scene) -> Self {
        let file = |name: &str| fs::read(scene.path(name)).expect("a file");
        let mut identities = Identities::none();
        identities
            .add_file(&file("identity.txt"))
            .expect("an identity");
        let writer = WriterKey::from_file(&file("writer.key")).expect("a writer key");
        Self {
            place: scene.path(REPOSITORY),
            identities: Arc::new(identities),
            trust: Trust {
                writers: [writer.id()].into(),
                ..Trust::default()
            },
        }
    }

    /// All snapshots, which are 1, 2, 3, ... Nothing is damaged, or it panics.
    fn all(&self) -> Result<Vec<Contents>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(self.read())
    }

    async fn read(&self) -> Result<Vec<Contents>, Error> {
        let repository = Repository::open(Store::local(&self.place, false)?).await?;
        let job = "prod".parse().expect("a job name");
        let (trust, compute) = (&self.trust, Compute::inline());
        let report = verify_job(&repository, &job, trust, Level::Data, &compute, &|_| ()).await?;
        assert_eq!(report.damage, []);
        let view = repository.view(&job, trust).await?;
        let mut all = Vec::new();
        for (number, snapshot) in (1..).zip(view.snapshots()) {
            assert_eq!(snapshot.at.number, number);
            let identities = Arc::clone(&self.identities);
            let opened =
                Snapshot::open(&repository, snapshot, identities, trust, Compute::inline());
            all.push(entries(&opened.await?).await?);
        }
        Ok(all)
    }
}

async fn entries(snapshot: &Snapshot) -> Result<Contents, Error> {
    let mut reader = snapshot.entries(0).selecting(Select::Most);
    let mut entries = Contents::new();
    while let Some(entry) = reader.next().await? {
        let mut content = Vec::new();
        while let Some(piece) = reader.data().await? {
            content.extend_from_slice(piece.as_bytes());
        }
        entries.insert(entry.name.to_string(), content);
    }
    Ok(entries)
}
