//! Post-quantum recipients through the real plugin, in both directions beside the real age.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::Release;

use crate::scene::{Scene, Seen};

/// A scene beside age 1.3, with a post-quantum identity that the real age made.
pub(crate) struct Beside {
    pub(crate) scene: Scene,
    age: Release,
    pub(crate) post_quantum: String,
}

impl Beside {
    /// `None` where the real age is missing; under `CI=true` that is a failure.
    pub(crate) fn new() -> Option<Self> {
        let age = testkit::require("age-go")?;
        let scene = Scene::new();
        scene.write("secrets/token", "the first secret");
        let mut beside = Self {
            scene,
            age,
            post_quantum: String::new(),
        };
        let made = beside.age("age-keygen", &["-pq", "-o", "pq.txt"]).done();
        let line = made
            .stderr
            .lines()
            .last()
            .expect("its recipient")
            .to_owned();
        assert!(line.starts_with("Public key: age1pq1"), "{line}");
        line["Public key: ".len()..].clone_into(&mut beside.post_quantum);
        Some(beside)
    }

    /// Seals to these from now on.
    pub(crate) fn seals_to(&mut self, recipients: &[&str]) {
        self.scene.recipient = recipients.join("', '");
        self.scene
            .configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.age.program(name)
    }

    pub(crate) fn age(&self, program: &str, arguments: &[&str]) -> Seen {
        let mut command = self.scene.command(&self.age.program(program), arguments);
        Seen::of(&mut command)
    }

    /// The program with the plugins in its `PATH`.
    pub(crate) fn with_plugins(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.strongroom(arguments);
        let mut path = self.age.program("").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Seen {
        Seen::of(&mut self.with_plugins(arguments))
    }

    /// What the newest snapshot holds of the token, read with these identities.
    pub(crate) fn token(&self, identities: &[&str]) -> Seen {
        let token = format!("files:{}", self.scene.path("secrets/token").display());
        let mut arguments = vec!["get", "prod", &token];
        for identity in identities {
            arguments.extend(["--identity", identity]);
        }
        self.run(&arguments)
    }

    /// The key objects of all runs.
    pub(crate) fn key_objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for run in fs::read_dir(self.scene.path("repository/prod/runs")).expect("runs") {
            let run = run.expect("a run").path();
            for object in fs::read_dir(&run).expect("a run") {
                let object = object.expect("an object").path();
                let name = object
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                if name.starts_with("key") {
                    found.push(object);
                }
            }
        }
        found.sort();
        found
    }

    /// The data key in a key object, opened by the real age.
    fn data_key(&self, object: &Path, identity: &str) -> Seen {
        let object = object.to_str().expect("a plain name");
        self.age("age", &["-d", "-i", identity, object])
    }
}

#[test]
fn a_snapshot_for_a_post_quantum_key_opens_here_and_with_age() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    let recipient = beside.post_quantum.clone();
    beside.seals_to(&[&recipient]);
    beside.run(&["backup"]).done();
    assert_eq!(beside.token(&["pq.txt"]).done().text(), "the first secret");
    // As the plugin converts it, too.
    let converted = beside.age("age-plugin-pq", &["-identity", "pq.txt"]).done();
    beside.scene.write("converted.txt", converted.stdout);
    assert_eq!(
        beside.token(&["converted.txt"]).done().text(),
        "the first secret"
    );

    let objects = beside.key_objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(
        beside.data_key(&objects[0], "pq.txt").done().stdout.len(),
        32
    );
    beside
        .token(&["identity.txt"])
        .refused(12, &["none of the identities given opens prod/1"]);
    let listed = beside.run(&["snapshots", "--json"]).done().json();
    assert_eq!(listed["snapshots"][0]["recipients"][0], recipient);

    // An identity file that the real age sealed to the post-quantum key opens here.
    let classical = beside.scene.run(&["keygen", "--output", "job.txt"]).done();
    beside
        .age("age", &["-r", &recipient, "-a", "-o", "job.age", "job.txt"])
        .done();
    beside.seals_to(&[classical.text().trim()]);
    beside.scene.write("secrets/token", "the second secret");
    beside.run(&["backup"]).done();
    assert_eq!(
        beside.token(&["job.age", "pq.txt"]).done().text(),
        "the second secret"
    );
    beside.token(&["job.age", "identity.txt"]).refused(
        12,
        &["job.age is sealed", "none of the identities given opens it"],
    );
}

#[test]
fn beside_others_a_post_quantum_key_gets_a_key_object_of_its_own() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    let classical = beside.scene.recipient.clone();
    let post_quantum = beside.post_quantum.clone();
    beside.seals_to(&[&post_quantum, &classical]);
    beside.run(&["backup"]).done();
    let objects = beside.key_objects();
    let names: Vec<_> = objects.iter().filter_map(|it| it.file_name()).collect();
    assert_eq!(names, ["key", "key-pq"]);
    let classical_key = beside.data_key(&objects[0], "identity.txt").done().stdout;
    let post_quantum_key = beside.data_key(&objects[1], "pq.txt").done().stdout;
    assert!(classical_key.len() == 32 && classical_key == post_quantum_key);
    beside.data_key(&objects[0], "pq.txt").ended(1);
    beside.data_key(&objects[1], "identity.txt").ended(1);

    for identity in ["identity.txt", "pq.txt"] {
        assert_eq!(beside.token(&[identity]).done().text(), "the first secret");
        let verified = beside.run(&["verify", "--level", "full", "--identity", identity]);
        verified.done();
    }
    // It is named and digested like any other object.
    let whole = fs::read(&objects[1]).expect("a key object");
    fs::write(&objects[1], &whole[..whole.len() - 1]).expect("a key object");
    let damaged = beside.run(&["verify", "--json"]).ended(5).json();
    let object = &damaged["jobs"][0]["damage"][0]["object"];
    assert!(
        object.as_str().is_some_and(|it| it.ends_with("/key-pq")),
        "{damaged}"
    );
    beside.token(&["pq.txt"]).refused(5, &["key-pq is damaged"]);
    assert_eq!(
        beside.token(&["identity.txt"]).done().text(),
        "the first secret"
    );
}

#[test]
fn without_its_plugin_nothing_is_sealed_and_nothing_opens() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    let recipient = beside.post_quantum.clone();
    beside.seals_to(&[&recipient]);
    let missing = "age-plugin-pq is not installed";
    beside.scene.run(&["backup"]).failed(1, &["prod", missing]);
    assert!(
        !beside.scene.path("repository/prod").exists(),
        "nothing was written"
    );
    beside.run(&["backup"]).done();
    let read = ["show", "prod", "--identity", "pq.txt"];
    beside
        .scene
        .run(&read)
        .refused(12, &["prod/1 cannot be opened", missing]);
}
