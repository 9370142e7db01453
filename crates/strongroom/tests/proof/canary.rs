//! Secrets of every kind are planted and every command is run at trace level; then they are looked for in every disguise, in all
//! that was printed, logged, stored, left in temporary files or visible in `/proc` meanwhile.
//!
//! The same search is shown to find them where they must be: in what was captured, printed and restored.

mod keys;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::Duration;

use crate::scene::{Scene, Seen};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The secrets, by what they are, with one that nobody would meet by chance.
const CONTENT: &str = "canary~content?7f3a>>e1~of-a-file";
const PRINTED: &str = "canary~stdout?91bc>>07~of-a-program";
const PASSED: &str = "canary~variable?c46d>>52~of-a-program";
const PASSWORD: &str = "canary~password?5e08>>d3~of-etcd";
const VALUE: &str = "canary~value?2b9f>>a4~in-etcd";
const AT_REST: &str = "canary~at-rest?3c77>>19~of-API's";
const MISPLACED: &str = "canary~misplaced?80e1>>6c~in-yaml";

#[test]
fn the_search_finds_every_disguise() {
    let search = Search::new([("content", CONTENT.as_bytes())]);
    let hex = hex::encode(CONTENT);
    for lead in ["", "a", "ab", "abc"] {
        let around = format!("{lead}{CONTENT}rest");
        for digits in [BASE64, BASE64_URL] {
            let coded = base64(around.as_bytes(), digits);
            assert!(search.finds(&coded).is_some(), "behind {lead:?}");
        }
        assert!(search.finds(around.as_bytes()).is_some());
    }
    assert!(search.finds(hex.as_bytes()).is_some());
    assert!(search.finds(hex.to_uppercase().as_bytes()).is_some());
    assert!(search.finds(&CONTENT.as_bytes()[1..]).is_none());
    let other = base64(b"something else that is as long as the canary is", BASE64);
    assert!(search.finds(&other).is_none());
}

#[test]
fn a_secret_is_found_nowhere() {
    let scene = planted();
    let watch = Watch::new(&scene, None);
    every_command(&watch);
    watch.nothing_is_stored();
    the_search_bites(&scene);
}

#[test]
fn a_password_and_a_value_of_etcd_are_found_nowhere() {
    let Some(release) = testkit::require("etcd") else {
        return;
    };
    let root_password = Some(PASSWORD.to_owned());
    let options = testkit::EtcdOptions {
        root_password,
        ..testkit::EtcdOptions::default()
    };
    let etcd = testkit::Etcd::start(&release, options);
    etcd.ctl(&["put", "database", VALUE]);
    etcd.ctl(&[
        "put",
        "/registry/secrets/shop/sealed",
        "k8s:enc:secretbox:v1:k:damaged",
    ]);
    let scene = Scene::new();
    scene.write("password", PASSWORD);
    let source = |password: &str| {
        let endpoint = etcd.endpoint();
        format!(
            "  prod: {{sources: [{{etcd: {{endpoints: ['{endpoint}'], username: root, password: '{password}'}}}}]}}\n"
        )
    };
    scene.configure(&source("file:password"));
    let tool = release.program("etcdutl");
    let watch = Watch::new(&scene, tool.parent());
    watch.quiet(&["backup"], 0);
    etcd.ctl(&["put", "database", &format!("{VALUE}2")]);
    scene.configure(&source("env:ETCD_PASSWORD"));
    // It is in the environment because the user put it there.
    let output = watch.run_visible(&["backup"], &[("ETCD_PASSWORD", PASSWORD)]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    scene.configure(&source("command:cat password"));
    watch.quiet(&["backup"], 0);
    // In base64, as the file has it.
    let key = "Y2FuYXJ5fmF0LXJlc3Q/M2M3Nz4+MTl+b2YtQVBJJ3M=";
    let providers = format!("[{{secretbox: {{keys: [{{name: k, secret: '{key}'}}]}}}}]");
    let head = "kind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: ";
    scene.write("encryption.yaml", format!("{head}{providers}}}]\n"));
    scene.write(
        "broken.yaml",
        format!("{head}[{{aesgcm: {{keys: [{{name: k, secret: x{key}}}]}}}}]}}]\n"),
    );
    let inside = ["--inside", "--encryption-config", "encryption.yaml"];
    watch.quiet(&[&["show", "prod"], &inside[..]].concat(), 0);
    watch.quiet(
        &[&["get", "prod", "secrets/shop/sealed"], &inside[..]].concat(),
        1,
    );
    let broken = ["--inside", "--encryption-config", "broken.yaml"];
    watch.quiet(&[&["show", "prod"], &broken[..]].concat(), 1);
    for arguments in [
        &["show", "prod"][..],
        &["find", "snapshot"],
        &["history", "etcd:snapshot.db"],
        &["verify", "--level", "full"],
        &[
            "restore",
            "prod/1",
            "--to",
            "data",
            "--data-dir",
            "data",
            "--dry-run",
        ],
        &["restore", "prod/1", "--to", "snapshot.db", "--yes"],
    ] {
        watch.quiet(
            arguments,
            if arguments[2..].contains(&"data") {
                2
            } else {
                0
            },
        );
    }
    scene.write("password", format!("{PASSWORD}-wrong"));
    scene.configure(&source("file:password"));
    watch.quiet(&["backup"], 16);
    watch.nothing_is_stored();
    let search = &watch.search;
    let restored = fs::read(scene.path("snapshot.db")).expect("a database");
    assert_eq!(search.finds(&restored), Some("value"), "the search bites");
}

/// A folder with secrets, a program that prints one and gets one, and everything else configured.
fn planted() -> Scene {
    let scene = Scene::new();
    scene.write("secrets/token", CONTENT);
    scene.write("secrets/many", format!("{CONTENT}\n").repeat(3000));
    scene.write("secrets/coded", base64(CONTENT.as_bytes(), BASE64));
    scene.write("variable", PASSED);
    scene.write("printed", PRINTED);
    let run = "[sh, -c, 'cat printed; test -n \"$VARIABLE\"']";
    let restore = "[sh, -c, 'cat > restored; test -n \"$VARIABLE\"']";
    let folder = scene.path("").display().to_string();
    scene.configure(&format!(
        "  prod:\n    sources:\n      - files: {{paths: [secrets]}}\n      - command: {{run: {run}, restore: {restore}, \
         working_directory: '{folder}', environment: {{VARIABLE: 'file:variable'}}}}\nmaintainer_key: writer.key\n"
    ));
    scene
}

/// All that it can do, well and badly. What `get` and `cat` print goes to files; nothing else may hold a secret.
fn every_command(watch: &Watch<'_>) {
    let scene = watch.scene;
    watch.quiet(&["keygen", "--output", "another.txt"], 0);
    let made = scene
        .run(&["keygen", "--output", "third.txt", "-vvv"])
        .done();
    let third = Search::new([(
        "identity",
        key(scene, "third.txt", "AGE-SECRET-KEY-1").as_slice(),
    )]);
    assert_eq!(
        third.finds(&[&made.stdout, made.stderr.as_bytes()].concat()),
        None
    );
    assert!(
        third
            .finds(&fs::read(scene.path("third.txt")).expect("a key file"))
            .is_some()
    );
    watch.quiet(&["keygen", "--output", "another.txt"], 17);
    watch.quiet(&["keygen", "--writer", "--output", "another.key"], 0);
    watch.quiet(&["init"], 17);
    watch.quiet(&["init", "--repo", "second"], 0);
    watch.quiet(&["config"], 0);
    watch.quiet(&["backup"], 0);
    scene.write("secrets/token", format!("{CONTENT} and more"));
    watch.quiet(&["backup", "prod"], 0);
    let token = format!("files:{}", scene.path("secrets/token").display());
    for (arguments, code) in [
        (&["snapshots"][..], 0),
        (&["show", "prod"], 0),
        (&["show", "prod/1", "--configuration"], 0),
        (&["find", "token"], 0),
        (&["history", &token], 0),
        (&["diff", "prod/1", "prod/3"], 4),
        (&["diff", "prod/1", "live"], 4),
        (&["verify", "--level", "full"], 0),
        (&["get", "prod", "tokem"], 1),
        (&["get", "prod", &token, "key"], 2),
        (&["get", "prod/9", &token], 1),
        (&["restore", "prod/1", "--dry-run", "--source", "files"], 17),
        (&["restore", "prod/1", "--source", "files", "--yes"], 17),
        (&["restore", "prod/1", "--conflict", "overwrite"], 2),
        (
            &["restore", "prod/1", "--conflict", "overwrite", "--yes"],
            0,
        ),
        (&["completions", "bash"], 0),
        (&["man"], 0),
    ] {
        watch.quiet(arguments, code);
    }
    upkeep(watch);
    let printed = watch.run_visible(&["get", "prod", &token], &[]);
    assert_eq!(printed.stdout, format!("{CONTENT} and more").as_bytes());
    watch.nothing_said(&printed);
    let printed = watch.run_visible(&["cat", "prod", "command:output"], &[]);
    assert_eq!(printed.stdout, PRINTED.as_bytes());
    watch.nothing_said(&printed);
    mistakes(watch);
}

/// What keeps a repository in order, and a second one beside it.
fn upkeep(watch: &Watch<'_>) {
    let made = watch
        .scene
        .run(&["keygen", "--output", "fourth.txt"])
        .done();
    let fourth = made.text();
    for (arguments, code) in [
        (&["copy", "--to", "second"][..], 0),
        (&["snapshots", "--repo", "second"], 0),
        (&["verify", "--repo", "second", "--level", "full"], 0),
        (&["verify", "--sample", "50%"], 0),
        (&["repair", "--from", "second"], 0),
        (&["pin", "prod/1"], 0),
        (&["keys"], 0),
        (&["rotate", "--add", fourth.trim()], 0),
        (&["copy", "prod", "--to", "second", "--pruned-too"], 0),
        (&["prune"], 0),
        (&["doctor"], 0),
    ] {
        watch.quiet(arguments, code);
    }
}

/// Secrets where they do not belong are not repeated.
fn mistakes(watch: &Watch<'_>) {
    let scene = watch.scene;
    for (name, code) in [("variable", 1), ("writer.key", 1), ("another.txt", 12)] {
        let mut command = scene.strongroom(&["show", "prod", "-vvv", "--identity", name]);
        watch.nothing_visible(watch.watched(&mut command, code), code);
    }
    // A program's last words are repeated, without the secrets that it was given.
    scene.configure(
        "  prod: {sources: [{command: {run: [sh, -c, 'echo told $VARIABLE >&2; exit 3'], environment: {VARIABLE: 'file:variable'}}}]}\n",
    );
    watch.quiet(&["backup"], 1);
    for jobs in [
        format!(
            "  prod: {{sources: [{{command: {{run: ['true'], environment: {{A: '{MISPLACED}'}}}}}}]}}\n"
        ),
        format!(
            "  prod: {{sources: [{{etcd: {{endpoints: ['http://root:{MISPLACED}@127.0.0.1:1']}}}}]}}\n"
        ),
        format!(
            "  prod: {{sources: [{{etcd: {{endpoints: ['http://127.0.0.1:1'], username: root, password: '{MISPLACED}'}}}}]}}\n"
        ),
        "  prod: {sources: [{command: {run: ['true'], environment: {A: 'file:missing'}}}]}\n"
            .to_owned(),
    ] {
        scene.configure(&jobs);
        let code = if jobs.contains("missing") { 1 } else { 2 };
        watch.quiet(&["backup"], code);
    }
}

/// The same search, where the secrets are.
fn the_search_bites(scene: &Scene) {
    let search = secrets(scene);
    scene.configure(
        "  prod: {sources: [{files: {paths: [secrets]}}]}\nmaintainer_key: writer.key\n",
    );
    let restore = [
        "restore", "prod/2", "--source", "files", "--to", "out", "--yes",
    ];
    scene.read(&restore).done();
    let restored = fs::read(scene.restored("out", "secrets/token")).expect("restored");
    assert_eq!(search.finds(&restored), Some("content"));
    let restored = fs::read(scene.path("restored")).expect("the program was fed");
    assert_eq!(search.finds(&restored), Some("stdout"));
    let tar = Path::new("tar");
    Seen::of(&mut scene.command(
        tar,
        &["-cf", "plain.tar", "secrets", "writer.key", "identity.txt"],
    ))
    .done();
    let plain = fs::read(scene.path("plain.tar")).expect("an archive");
    assert!(search.finds(&plain).is_some());
    for file in ["identity.txt", "writer.key", "another.txt"] {
        let key = fs::read(scene.path(file)).expect("a key");
        let found = secrets(scene).finds(&key).is_some();
        assert!(found || file == "another.txt", "{file}");
    }
    // And in a process that shows its secret, until it is killed below.
    let mut shown = scene.command(Path::new("sleep"), &["600"]);
    let mut child = shown.env("SHOWN", CONTENT).spawn().expect("it runs");
    let seen = |child: &Child| {
        in_proc(child)
            .values()
            .any(|text| search.finds(text).is_some())
    };
    let found = (0..100).any(|_| {
        seen(&child) || {
            sleep(Duration::from_millis(10));
            false
        }
    });
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    assert!(found);
}

/// The secret part of a key file.
fn key(scene: &Scene, name: &str, mark: &str) -> Vec<u8> {
    let text = fs::read_to_string(scene.path(name)).expect("a key file");
    let line = text.lines().find(|line| line.starts_with(mark));
    line.expect("the key's line").as_bytes()[mark.len()..].to_vec()
}

/// All secrets of a scene: the planted ones and the keys themselves.
fn secrets(scene: &Scene) -> Search {
    let identity = key(scene, "identity.txt", "AGE-SECRET-KEY-1");
    let writer = key(scene, "writer.key", "STRONGROOM-WRITER-KEY-1-");
    Search::new([
        ("content", CONTENT.as_bytes()),
        ("stdout", PRINTED.as_bytes()),
        ("variable", PASSED.as_bytes()),
        ("password", PASSWORD.as_bytes()),
        ("value", VALUE.as_bytes()),
        ("misplaced", MISPLACED.as_bytes()),
        ("key at rest", AT_REST.as_bytes()),
        ("identity", &identity),
        ("writer key", &writer),
    ])
}

/// What is looked for: each secret in each disguise.
pub(crate) struct Search(Vec<(&'static str, Vec<u8>)>);

impl Search {
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = (&'static str, &'s [u8])>) -> Self {
        let mut forms = Vec::new();
        for (name, secret) in secrets {
            let hex = hex::encode(secret);
            forms.push((name, secret.to_vec()));
            forms.push((name, hex.to_uppercase().into_bytes()));
            forms.push((name, hex.into_bytes()));
            for digits in [BASE64, BASE64_URL] {
                forms.extend((0..3).map(|lead| (name, inner_base64(secret, lead, digits))));
            }
        }
        forms.sort();
        forms.dedup();
        Self(forms)
    }

    /// Which secret is in it.
    pub(crate) fn finds(&self, haystack: &[u8]) -> Option<&'static str> {
        let mut by_start: BTreeMap<&[u8], Vec<&(&'static str, Vec<u8>)>> = BTreeMap::new();
        for form in &self.0 {
            by_start.entry(&form.1[..2]).or_default().push(form);
        }
        let firsts: [bool; 256] =
            std::array::from_fn(|byte| self.0.iter().any(|(_, form)| usize::from(form[0]) == byte));
        for (at, first) in haystack.iter().enumerate() {
            if !firsts[usize::from(*first)] {
                continue;
            }
            let rest = &haystack[at..];
            let forms = rest.get(..2).and_then(|start| by_start.get(start));
            let found =
                forms.and_then(|forms| forms.iter().find(|(_, form)| rest.starts_with(form)));
            if let Some((name, _)) = found {
                return Some(name);
            }
        }
        None
    }
}

/// The digits that `secret` alone decides when `lead` bytes stand before it, whatever they are.
fn inner_base64(secret: &[u8], lead: usize, digits: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; lead];
    padded.extend_from_slice(secret);
    let coded = base64(&padded, digits);
    let first = (lead * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    coded[first..end].to_vec()
}

fn base64(bytes: &[u8], digits: &[u8; 64]) -> Vec<u8> {
    let mut coded = Vec::new();
    for group in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        let digit = |place: usize| digits[(bits >> (18 - 6 * place)) as usize & 63];
        coded.extend((0..=group.len()).map(digit));
        coded.extend((group.len()..3).map(|_| b'='));
    }
    coded
}

/// Runs commands in a scene and looks at all that they show.
pub(crate) struct Watch<'a> {
    scene: &'a Scene,
    pub(crate) search: Search,
    /// More programs for the commands.
    programs: Option<&'a Path>,
}

impl<'a> Watch<'a> {
    fn new(scene: &'a Scene, programs: Option<&'a Path>) -> Self {
        Self {
            programs,
            ..Self::for_secrets(scene, secrets(scene))
        }
    }

    pub(crate) fn for_secrets(scene: &'a Scene, search: Search) -> Self {
        Self {
            scene,
            search,
            programs: None,
        }
    }

    /// A command that may show no secret at all, as text, at trace level, and as JSON.
    fn quiet(&self, arguments: &[&str], code: i32) {
        let fresh = |words: &[&str]| {
            words
                .iter()
                .any(|word| ["keygen", "--repo", "snapshot.db"].contains(word))
        };
        let identity = [
            "show", "find", "history", "diff", "verify", "get", "restore", "rotate",
        ];
        for more in [&["-vvv"][..], &["--json", "-vvv"]] {
            let again = more.len() > 1;
            if again && fresh(arguments) && code == 0 {
                continue;
            }
            let mut command = self.scene.strongroom(&[arguments, more].concat());
            if identity.contains(&arguments[0]) {
                command.args(["--identity", "identity.txt"]);
            }
            self.with_programs(&mut command);
            let seen = self.watched(&mut command, code);
            self.nothing_visible(seen, code);
        }
    }

    /// A command that shows a secret in its environment, or prints one, because it must.
    fn run_visible(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Seen {
        let mut command = self.scene.strongroom(arguments);
        command.arg("-vvv").envs(environment.iter().copied());
        if environment.is_empty() {
            command.args(["--identity", "identity.txt"]);
        }
        Seen::of(&mut command)
    }

    fn nothing_said(&self, seen: &Seen) {
        let found = self.search.finds(seen.stderr.as_bytes());
        assert_eq!(found, None, "on stderr: {}", seen.stderr);
    }

    fn nothing_visible(&self, seen: Seen, code: i32) {
        self.nothing_shown(&seen.ended(code));
    }

    pub(crate) fn nothing_shown(&self, seen: &Seen) {
        assert_eq!(
            self.search.finds(&seen.stdout),
            None,
            "on stdout: {}",
            seen.text()
        );
        self.nothing_said(seen);
    }

    fn with_programs(&self, command: &mut Command) {
        if let Some(programs) = self.programs {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", programs.display()));
        }
    }

    /// Runs it while its entry in `/proc` and the folder for temporary files are looked at, over and over.
    pub(crate) fn watched(&self, command: &mut Command, code: i32) -> Seen {
        let said = format!("{command:?} ({code})");
        let mut child = command.spawn().expect("it runs");
        let mut stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let (mut printed, mut logged) = (Vec::new(), Vec::new());
        let status = std::thread::scope(|scope| {
            scope.spawn(|| stdout.read_to_end(&mut printed).expect("a pipe"));
            scope.spawn(|| stderr.read_to_end(&mut logged).expect("a pipe"));
            loop {
                for (file, text) in in_proc(&child) {
                    let found = self.search.finds(&text);
                    assert_eq!(found, None, "{said} shows it in /proc/PID/{file}");
                }
                self.nothing_in(&self.scene.path("tmp"));
                if let Some(status) = child.try_wait().expect("it is ours") {
                    break status;
                }
                sleep(Duration::from_millis(2));
            }
        });
        let (stdout, stderr) = (printed, logged);
        Seen::new(
            said,
            Output {
                status,
                stdout,
                stderr,
            },
        )
    }

    pub(crate) fn nothing_in(&self, folder: &Path) -> usize {
        let mut files = 0;
        // A file may go while we look.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.as_os_str().as_encoded_bytes();
            assert_eq!(self.search.finds(name), None, "{}", path.display());
            if path.is_dir() {
                files += self.nothing_in(&path);
            } else {
                let contents = fs::read(&path).unwrap_or_default();
                let found = self.search.finds(&contents);
                assert_eq!(found, None, "{}", path.display());
                files += 1;
            }
        }
        files
    }

    /// The repository holds objects and no secret; the folder for temporary files is empty; nothing else was made.
    fn nothing_is_stored(&self) {
        assert!(self.nothing_in(&self.scene.path("repository")) >= 8);
        if self.scene.path("second").exists() {
            assert!(self.nothing_in(&self.scene.path("second")) >= 8);
        }
        assert_eq!(self.nothing_in(&self.scene.path("tmp")), 0);
        let mut made: Vec<String> = fs::read_dir(self.scene.path(""))
            .expect("the scene")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        made.sort();
        let known = [
            "another.key",
            "another.txt",
            "broken.yaml",
            "encryption.yaml",
            "fourth.txt",
            "identity.txt",
            "password",
            "printed",
            "repository",
            "restored",
            "second",
            "secrets",
            "snapshot.db",
            "strongroom.yaml",
            "third.txt",
            "tmp",
            "variable",
            "writer.key",
        ];
        assert!(
            made.iter().all(|name| known.contains(&name.as_str())),
            "{made:?}"
        );
    }
}

/// What everybody, or everybody of the same user, can see of a process.
fn in_proc(child: &Child) -> BTreeMap<&'static str, Vec<u8>> {
    let folder = Path::new("/proc").join(child.id().to_string());
    let read = |name: &str| {
        let mut bytes = Vec::new();
        // It ends while we look.
        if let Ok(mut file) = File::open(folder.join(name)) {
            let _ = file.read_to_end(&mut bytes);
        }
        bytes
    };
    ["cmdline", "environ", "comm"]
        .map(|name| (name, read(name)))
        .into()
}
