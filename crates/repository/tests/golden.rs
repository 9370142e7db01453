//! Golden repositories: made once, by the version in their name, and readable for ever. Whatever changes in this program, each
//! of them is opened and compared with the listing beside it; so does the recovery script, which shares no code with us.
//!
//! `STRONGROOM_WRITE_GOLDEN=1 cargo test -p strongroom-repository --test golden` makes those that are not there yet.

mod common;
#[path = "golden/harm.rs"]
mod harm;
#[path = "golden/makers.rs"]
mod makers;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Once};
use std::{env, fs};

use archive::{Body, Digest, Entry, Name};
use format::{Identities, WriterId};
use object_store::local::LocalFileSystem;
use repository::{
    Compute, EntryReader, Error, Level, Repository, Select, Snapshot, Store, Trust, Valid, View,
    verify_job,
};
use serde_json::Value;

/// One golden repository: its objects in `repository/`, and beside them what opens it and what it must hold.
struct Golden {
    name: String,
    folder: PathBuf,
}

static WRITTEN: Once = Once::new();

fn all() -> Vec<Golden> {
    WRITTEN.call_once(|| {
        if env::var_os("STRONGROOM_WRITE_GOLDEN").is_some() {
            makers::write_missing();
        }
    });
    let mut found: Vec<Golden> = fs::read_dir(makers::folder())
        .expect("they are checked in")
        .map(|folder| Golden::at(folder.expect("the folder can be read").path()))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(
        found.len() >= makers::MAKERS.len() + makers::MADE_BY_THE_PROGRAM.len(),
        "a golden repository is gone"
    );
    found
}

impl Golden {
    fn at(folder: PathBuf) -> Self {
        let name = folder.file_name().and_then(|name| name.to_str());
        Self {
            name: name.expect("their names are text").to_owned(),
            folder,
        }
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file))
            .unwrap_or_else(|error| panic!("{}/{file}: {error}", self.name))
    }

    /// The keys of one kind in `trust`, which holds lines such as `writer KEY`.
    fn keys(&self, kind: &str) -> Vec<WriterId> {
        let text = self.text("trust");
        let keys = text.lines().filter_map(|line| line.strip_prefix(kind));
        keys.map(|key| key.trim().parse().expect("a public key"))
            .collect()
    }

    fn trust(&self) -> Trust {
        Trust {
            writers: self.keys("writer ").into_iter().collect(),
            maintainers: self.keys("maintainer ").into_iter().collect(),
        }
    }

    fn identities(&self) -> Arc<Identities> {
        let mut identities = Identities::none();
        identities
            .add_file(self.text("identity").as_bytes())
            .expect("an identity");
        Arc::new(identities)
    }

    async fn open(&self) -> Repository {
        let store = LocalFileSystem::new_with_prefix(self.folder.join("repository"));
        let store = Arc::new(store.expect("a folder"));
        Repository::open(Store::new(store, self.name.clone()))
            .await
            .expect("a repository of this format")
    }

    /// Everything that the repository says to a reader, as text.
    async fn listing(&self) -> String {
        let repository = self.open().await;
        let view = repository.view(&common::job(), &self.trust()).await;
        let view = view.expect("a log");
        let mut told = tell_log(&view);
        for snapshot in view.snapshots() {
            self.tell_snapshot(&repository, snapshot, &mut told).await;
        }
        told
    }

    async fn tell_snapshot(&self, repository: &Repository, snapshot: Valid<'_>, told: &mut String) {
        let (number, statement) = (snapshot.at.number, snapshot.statement);
        let (identities, trust) = (self.identities(), self.trust());
        let trusted = trust.accepts(&snapshot);
        let marks = marks(snapshot.pinned(), snapshot.forgotten(), trusted);
        say(
            told,
            &format!(
                "snapshot {number} partial {} runs {} bytes {} entries {}{marks}",
                statement.partial,
                statement.runs.len(),
                statement.bytes,
                statement.entries
            ),
        );
        if !trusted {
            return;
        }
        let opened =
            Snapshot::open(repository, snapshot, identities, &trust, Compute::inline()).await;
        let opened = opened.unwrap_or_else(|error| panic!("{}/{number}: {error}", self.name));
        let sources = tell_sources(&opened, told).await;
        sources.unwrap_or_else(|error| panic!("{}/{number}: {error}", self.name));
    }
}

/// The sources of a snapshot with their entries.
async fn tell_sources(opened: &Snapshot, told: &mut String) -> Result<(), Error> {
    for (index, source) in opened.manifest().sources.iter().enumerate() {
        let facts: Vec<_> = source
            .facts
            .iter()
            .map(|(name, value)| format!(" {name}={value}"))
            .collect();
        say(
            told,
            &format!("  source {} {}{}", source.name, source.kind, facts.concat()),
        );
        for incomplete in &source.incomplete {
            say(
                told,
                &format!("    incomplete {}: {}", incomplete.name, incomplete.reason),
            );
        }
        let mut reader = opened.entries(index).selecting(Select::Most);
        while let Some(entry) = reader.next().await? {
            let read = read_content(&mut reader).await?;
            say(told, &format!("    {}", tell_entry(&entry, &read)));
        }
    }
    Ok(())
}

/// What other commits do to a snapshot.
fn marks(pinned: bool, forgotten: bool, trusted: bool) -> String {
    let marks = [
        (pinned, " pinned"),
        (forgotten, " forgotten"),
        (!trusted, UNTRUSTED),
    ];
    let set = marks.into_iter().filter(|(set, _)| *set);
    set.map(|(_, mark)| mark).collect()
}

/// Its writer was revoked: nobody opens it.
const UNTRUSTED: &str = " untrusted";

async fn read_content(reader: &mut EntryReader<'_>) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    while let Some(piece) = reader.data().await? {
        content.extend_from_slice(piece.as_bytes());
    }
    Ok(content)
}

fn say(told: &mut String, line: &str) {
    writeln!(told, "{line}").expect("text takes text");
}

fn tell_log(view: &View) -> String {
    let mut told = String::new();
    let head = view.head().expect("a log that is not empty");
    say(
        &mut told,
        &format!("log head {} tail {}", head.number, view.tail()),
    );
    for garbage in view.garbage() {
        let what = if garbage.damage { "damaged" } else { "dropped" };
        say(&mut told, &format!("log {} {what}", garbage.number));
    }
    told
}

/// Digests are of what was read, not of what the catalog promises.
fn tell_entry(entry: &Entry, content: &[u8]) -> String {
    let mut told = vec![format!("entry {}", entry.name)];
    match &entry.body {
        Body::Blob { .. } => {
            told.push(format!("blob {} {}", content.len(), Digest::of(content)));
        }
        Body::Record { fields } => {
            told.push("record".to_owned());
            let mut rest = content;
            for field in fields {
                let (value, after) = rest.split_at(field.length as usize);
                rest = after;
                told.push(format!(
                    "{} {} {}",
                    field.key,
                    value.len(),
                    Digest::of(value)
                ));
            }
            assert!(rest.is_empty(), "values tile the content");
        }
    }
    told.join(" ")
}

#[tokio::test]
async fn every_golden_repository_reads_as_it_was_written() {
    for golden in all() {
        let listing = golden.listing().await;
        assert_eq!(listing, golden.text("expected"), "{}", golden.name);
        assert!(listing.contains("snapshot "), "{}", golden.name);
    }
}

#[tokio::test]
async fn every_golden_repository_verifies() {
    for golden in all() {
        let repository = golden.open().await;
        let report = verify_job(
            &repository,
            &common::job(),
            &golden.trust(),
            Level::Data,
            &Compute::inline(),
            &|_| (),
        )
        .await
        .expect("the store answers");
        // What does not parse in a log, or hangs beside its chain, is reported as damage; nothing else may be.
        let damaged = golden.text("expected").matches(" damaged\n").count();
        assert_eq!(report.damage.len(), damaged, "{}: {report:?}", golden.name);
    }
}

/// Nobody may touch what was published: the listing names contents only, this covers every stored byte.
#[test]
fn no_object_of_a_golden_repository_changed() {
    for golden in all() {
        let sums = makers::sums(&golden.folder.join("repository"));
        assert_eq!(sums, golden.text("sums"), "{}", golden.name);
    }
}

#[test]
fn the_recovery_script_reads_what_we_read() {
    let Some(python) = python() else { return };
    for golden in all() {
        let expected = snapshots(&golden.text("expected"));
        let mut told = golden.listed_by_script(&python);
        for (number, told) in &mut told {
            let out = tempfile::tempdir().expect("a temporary folder");
            let out = out.path().join("out");
            if told.about.ends_with(UNTRUSTED) {
                golden.refused_by_script(&python, *number, &out);
            } else {
                golden.written_by_script(&python, *number, &out, told);
            }
        }
        assert_eq!(told, expected, "{}", golden.name);
    }
}

/// A snapshot as both readers can tell it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Whether it is partial, its bytes and entries, and its marks.
    about: String,
    /// Source and name of each entry, and the digest of each of its values in order.
    entries: Vec<(String, Name, Vec<String>)>,
    /// Source, name and reason of what could not be read whole.
    incomplete: Vec<(String, String)>,
}

/// The snapshots of a listing.
fn snapshots(expected: &str) -> BTreeMap<u64, Told> {
    let mut found: BTreeMap<u64, Told> = BTreeMap::new();
    let (mut at, mut source) = (0, String::new());
    for line in expected.lines() {
        let Some((what, rest)) = line.trim_start().split_once(' ') else {
            panic!("{line}")
        };
        if what == "snapshot" {
            let words: Vec<&str> = rest.split(' ').collect();
            let [number, "partial", partial, "runs", _, about @ ..] = &words[..] else {
                panic!("{line}")
            };
            let about = format!("partial {partial} {}", about.join(" "));
            let told = Told {
                about,
                ..Told::default()
            };
            at = number.parse().expect("a number");
            found.insert(at, told);
        }
        // A copy stands where it was taken, so that numbers need not ascend.
        let Some(last) = found.get_mut(&at) else {
            continue; // about the log, not about a snapshot
        };
        match what {
            "source" => rest
                .split(' ')
                .next()
                .unwrap_or_default()
                .clone_into(&mut source),
            "incomplete" => last.incomplete.push((source.clone(), rest.to_owned())),
            "entry" => {
                let (name, digests) = told_entry(rest);
                last.entries.push((source.clone(), name, digests));
            }
            _ => {}
        }
    }
    found
}

/// `NAME blob LENGTH DIGEST`, or `NAME record` and three words for each value.
fn told_entry(line: &str) -> (Name, Vec<String>) {
    let (name, values) = line
        .rsplit_once(" blob ")
        .or_else(|| line.rsplit_once(" record"))
        .expect("an entry is one of two kinds");
    let digests = values.split(' ').filter(|word| word.len() == 64);
    let name = Name::unescape(name).expect("we wrote it");
    (name, digests.map(str::to_owned).collect())
}

impl Golden {
    fn run(&self, python: &OsString, arguments: &[&str]) -> Output {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recovery/strongroom-recover.py");
        Command::new(python)
            .arg(script)
            .arg(self.folder.join("repository"))
            .args(arguments)
            .output()
            .expect("python runs")
    }

    fn script(&self, python: &OsString, arguments: &[&str]) -> String {
        let output = self.run(python, arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complaint}", self.name);
        String::from_utf8(output.stdout).expect("the script prints JSON")
    }

    fn trusting(&self) -> Vec<String> {
        let flags = [("--trust", "writer "), ("--maintainer", "maintainer ")];
        let keys = flags.map(|(flag, kind)| {
            self.keys(kind)
                .into_iter()
                .flat_map(move |key| [flag.to_owned(), key.to_string()])
        });
        keys.into_iter().flatten().collect()
    }

    /// The snapshots that the script finds valid, without their contents.
    fn listed_by_script(&self, python: &OsString) -> BTreeMap<u64, Told> {
        let trusting = self.trusting();
        let arguments: Vec<&str> = trusting.iter().map(String::as_str).collect();
        let lines = json_lines(&self.script(python, &arguments));
        let snapshots = lines.iter().filter(|line| line["kind"] == "snapshot");
        snapshots
            .map(|line| {
                let name = line["snapshot"].as_str().expect("a name");
                let number = name.strip_prefix("prod/").expect("of our job");
                let [pinned, forgotten, trusted] =
                    ["pinned", "forgotten", "trusted"].map(|field| line[field] == true);
                let about = format!(
                    "partial {} bytes {} entries {}{}",
                    line["partial"],
                    line["bytes"],
                    line["entries"],
                    marks(pinned, forgotten, trusted)
                );
                let told = Told {
                    about,
                    ..Told::default()
                };
                (number.parse().expect("a number"), told)
            })
            .collect()
    }

    /// The arguments by which it writes a snapshot out.
    fn writing(&self, number: u64, out: &Path) -> Vec<String> {
        let identity = self.folder.join("identity");
        let (identity, to) = (identity.display().to_string(), out.display().to_string());
        let mut arguments = vec![format!("prod/{number}")];
        arguments.extend(["--identity".to_owned(), identity, "--to".to_owned(), to]);
        arguments.extend(self.trusting());
        arguments
    }

    fn refused_by_script(&self, python: &OsString, number: u64, out: &Path) {
        let arguments = self.writing(number, out);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.run(python, &arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && complaint.contains("was revoked"),
            "{}: {complaint}",
            self.name
        );
        assert!(!out.exists());
    }

    fn written_by_script(&self, python: &OsString, number: u64, out: &Path, told: &mut Told) {
        let arguments = self.writing(number, out);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.script(python, &arguments);
        let index = fs::read_to_string(out.join("%index.jsonl")).expect("an index");
        for line in json_lines(&index) {
            let text = |field: &str| line[field].as_str().map(str::to_owned);
            let source = text("source").expect("a source");
            let name = unquote(&text("entry").expect("a name"));
            if let Some(reason) = text("incomplete") {
                told.incomplete.push((source, format!("{name}: {reason}")));
                continue;
            }
            let files = line["files"].as_array().expect("a list").iter();
            let digest = |file: &Value| {
                let bytes = fs::read(out.join(file.as_str().expect("a path")));
                Digest::of(&bytes.expect("a file that the index names")).to_string()
            };
            told.entries
                .push((source, name, files.map(digest).collect()));
        }
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// Undoes percent-encoding.
fn unquote(text: &str) -> Name {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%');
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    Name::new(bytes)
}

/// The interpreter that `./test` prepares; without it the test says so, and fails in CI.
fn python() -> Option<OsString> {
    if env::var_os("STRONGROOM_QUICK").is_some() {
        skip("STRONGROOM_QUICK is set, so nothing that ./test has to fetch");
        return None;
    }
    let python = env::var_os("STRONGROOM_PYTHON");
    if python.is_none() {
        let message = "STRONGROOM_PYTHON is not set: run ./test, or ci/python.sh";
        assert!(env::var("CI").as_deref() != Ok("true"), "{message}");
        skip(message);
    }
    python
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test says why, on the runner's output"
)]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}
