//! What the user sees: every file in `tests/cmd` is a session with the real binary, and holds each command with its standard
//! output, standard error and exit status. Each session runs in a folder of its own.
//!
//! What differs from run to run is written as a placeholder: `[DIR]` the folder, `[RECIPIENT]` `[WRITER]` a public key,
//! `[TIME]` a moment, `[SIZE]` what compression and padding decide, `[FOLDER]` the folder as entries of `files` name it.
//! A step may `save` its output under a name of its own (capital letters), which later steps may use.
//!
//! `STRONGROOM_WRITE_GOLDEN=1 cargo test -p strongroom --test cli` writes down what happens now. Read the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// A session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    /// What it shows, in a sentence.
    about: String,
    steps: Vec<Step>,
}

/// A step: files are written and removed first, then the command is run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    write: BTreeMap<String, String>,
    #[serde(default)]
    remove: Vec<String>,
    run: String,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    stdin: String,
    /// A name for what it prints.
    #[serde(default)]
    save: Option<String>,
    #[serde(default)]
    status: i32,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
}

/// The folder of a session and what its steps have saved.
struct Scene {
    folder: tempfile::TempDir,
    saved: BTreeMap<String, String>,
}

#[derive(PartialEq, Eq)]
struct Seen {
    status: i32,
    stdout: String,
    stderr: String,
}

#[test]
fn sessions() {
    let rewrite = std::env::var_os("STRONGROOM_WRITE_GOLDEN").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("tests/cmd")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 4, "where are the sessions?");
    let failures: Vec<String> = paths.iter().flat_map(|path| play(path, rewrite)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs one session and says what differs.
fn play(path: &Path, rewrite: bool) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a session");
    let mut session: Session =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let folder = tempfile::tempdir().expect("a folder");
    let mut scene = Scene {
        folder,
        saved: BTreeMap::new(),
    };
    let mut failures = Vec::new();
    for step in &mut session.steps {
        let seen = scene.perform(step);
        let expected = Seen {
            status: step.status,
            stdout: step.stdout.clone(),
            stderr: step.stderr.clone(),
        };
        if seen != expected && !rewrite {
            failures.push(difference(path, &step.run, &expected, &seen));
        }
        Seen {
            status: step.status,
            stdout: step.stdout,
            stderr: step.stderr,
        } = seen;
    }
    if rewrite {
        fs::write(path, emit(&session)).expect("write the session");
    }
    failures
}

impl Scene {
    fn perform(&mut self, step: &Step) -> Seen {
        for (name, contents) in &step.write {
            let path = self.folder.path().join(self.fill(name));
            fs::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
            fs::write(path, self.fill(contents)).expect("write the file");
        }
        for name in &step.remove {
            let path = self.folder.path().join(name);
            let removed = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
            removed.expect("remove");
        }
        let (status, stdout, stderr) = self.run(step);
        if let Some(name) = &step.save {
            self.saved
                .insert(name.clone(), stdout.trim_end().to_owned());
        }
        Seen {
            status,
            stdout: self.blank(&stdout),
            stderr: self.blank(&stderr),
        }
    }

    fn run(&self, step: &Step) -> (i32, String, String) {
        let words = split(&self.fill(&step.run));
        assert_eq!(
            words.first().map(String::as_str),
            Some("strongroom"),
            "{}",
            step.run
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_strongroom"))
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(
                step.environment
                    .iter()
                    .map(|(name, value)| (name, self.fill(value))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("stdin");
        // It may end without reading what it did not ask for.
        let _ = stdin.write_all(self.fill(&step.stdin).as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
        let status = output.status.code().expect("it ends by itself");
        (status, text(output.stdout), text(output.stderr))
    }

    fn root(&self) -> &str {
        self.folder.path().to_str().expect("a plain name")
    }

    /// Puts what is known in place of placeholders.
    fn fill(&self, text: &str) -> String {
        let text = text.replace("[DIR]", self.root());
        let text = text.replace("[FOLDER]", &self.root()[1..]);
        self.saved.iter().fold(text, |text, (name, value)| {
            text.replace(&format!("[{name}]"), value)
        })
    }

    /// Puts placeholders in place of what differs from run to run.
    fn blank(&self, text: &str) -> String {
        let text = self
            .saved
            .iter()
            .filter(|(_, value)| value.len() > 20)
            .fold(text.replace(self.root(), "[DIR]"), |text, (name, value)| {
                text.replace(value, &format!("[{name}]"))
            })
            .replace(&self.root()[1..], "[FOLDER]");
        let mut blanked = String::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let word: &str = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            if word.is_empty() {
                blanked.push(first);
                rest = &rest[first.len_utf8()..];
            } else {
                rest = &rest[word.len()..];
                let (colon, word) = word
                    .strip_prefix(':')
                    .map_or(("", word), |word| (":", word));
                let stored = rest.starts_with(" KiB") || blanked.ends_with("\"added\"");
                let known = if stored && word != "0" {
                    Some("[SIZE]")
                } else {
                    placeholder(word)
                };
                blanked.push_str(colon);
                blanked.push_str(known.unwrap_or(word));
            }
        }
        blanked
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '.')
}

fn placeholder(word: &str) -> Option<&'static str> {
    let hex = |length| word.len() == length && word.bytes().all(|b| b.is_ascii_hexdigit());
    let moment = word.len() >= 17 && word.starts_with("20") && word.as_bytes()[10] == b'T';
    if word.len() == 62 && word.starts_with("age1") {
        Some("[RECIPIENT]")
    } else if hex(64) {
        Some("[WRITER]")
    } else if hex(32) {
        Some("[ID]")
    } else if hex(16) {
        Some("[SHORT]")
    } else if moment && word.ends_with('Z') {
        Some("[TIME]")
    } else {
        None
    }
}

/// The words of a command line: blanks part them, single quotes hold them together.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn difference(path: &Path, run: &str, expected: &Seen, seen: &Seen) -> String {
    let mut text = format!("--- {} $ {run}\n", path.display());
    if expected.status != seen.status {
        let _ = writeln!(
            text,
            "status: expected {}, seen {}",
            expected.status, seen.status
        );
    }
    for (name, expected, seen) in [
        ("stdout", &expected.stdout, &seen.stdout),
        ("stderr", &expected.stderr, &seen.stderr),
    ] {
        if expected != seen {
            let _ = writeln!(text, "{name} expected:\n{expected}\n{name} seen:\n{seen}");
        }
    }
    text
}

fn emit(session: &Session) -> String {
    let mut text = String::new();
    scalar(&mut text, "", "about", &session.about);
    text.push_str("steps:\n");
    for step in &session.steps {
        let mut body = String::new();
        map(&mut body, "write", &step.write);
        if !step.remove.is_empty() {
            let _ = writeln!(
                body,
                "    remove: {}",
                serde_json::to_string(&step.remove).expect("json")
            );
        }
        scalar(&mut body, "    ", "run", &step.run);
        map(&mut body, "environment", &step.environment);
        optional(&mut body, "stdin", &step.stdin);
        if let Some(save) = &step.save {
            scalar(&mut body, "    ", "save", save);
        }
        if step.status != 0 {
            let _ = writeln!(body, "    status: {}", step.status);
        }
        optional(&mut body, "stdout", &step.stdout);
        optional(&mut body, "stderr", &step.stderr);
        let _ = write!(text, "  - {}", body.trim_start());
    }
    text
}

fn map(text: &mut String, key: &str, entries: &BTreeMap<String, String>) {
    if !entries.is_empty() {
        let _ = writeln!(text, "    {key}:");
        for (name, value) in entries {
            scalar(text, "      ", name, value);
        }
    }
}

fn optional(text: &mut String, key: &str, value: &str) {
    if !value.is_empty() {
        scalar(text, "    ", key, value);
    }
}

/// A YAML value: a block if it is lines of plain text, a quoted text otherwise.
fn scalar(text: &mut String, indent: &str, key: &str, value: &str) {
    let block = value.ends_with('\n')
        && !value.ends_with("\n\n")
        && !value.starts_with([' ', '\n'])
        && value.chars().all(|c| c == '\n' || !c.is_control());
    if !block {
        let quoted = serde_json::to_string(value).expect("json");
        let plain = !value.is_empty()
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || " -/_.".contains(c));
        let _ = writeln!(
            text,
            "{indent}{key}: {}",
            if plain { value } else { &quoted }
        );
        return;
    }
    let _ = writeln!(text, "{indent}{key}: |");
    for line in value.lines() {
        let _ = if line.is_empty() {
            writeln!(text)
        } else {
            writeln!(text, "{indent}  {line}")
        };
    }
}
