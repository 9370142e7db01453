//! Secrets by reference: `file:PATH`, `yaml:PATH#KEY`, `env:NAME`, `command:PROGRAM ARGUMENT…`. A reference is read when the secret is
//! needed, and not before; `config`, errors and the snapshot's copy of the configuration hold the reference.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::origin::beside;

/// A password or a token is short; a file of this size is something else.
const SECRET_MAX: u64 = 64 * 1024;
/// A password command that asks a person would wait for ever.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A secret's value. No `Debug`, `Display` or `Serialize`: printing it does not compile. Wiped when dropped.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Where a secret is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    File(PathBuf),
    /// A key of a file of YAML, in which other tools keep several.
    Key(PathBuf, String),
    Variable(String),
    Command(Vec<String>),
}

/// The text is not a reference. It may be the secret itself, so it is not repeated.
#[derive(Debug, thiserror::Error)]
#[error(
    "a secret stands here by reference only: write file:PATH, yaml:PATH#KEY, env:NAME or command:PROGRAM ARGUMENT"
)]
pub(crate) struct ReferenceError;

impl Reference {
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = text.split_once(':').ok_or(ReferenceError)?;
        match scheme {
            _ if rest.trim().is_empty() => Err(ReferenceError),
            "file" => Ok(Self::File(PathBuf::from(rest.trim()))),
            "yaml" => match rest.trim().rsplit_once('#') {
                Some((path, key)) if !path.is_empty() && !key.is_empty() => {
                    Ok(Self::Key(PathBuf::from(path), key.to_owned()))
                }
                _ => Err(ReferenceError),
            },
            "env" if is_variable(rest) => Ok(Self::Variable(rest.to_owned())),
            "command" => Ok(Self::Command(
                rest.split_whitespace().map(str::to_owned).collect(),
            )),
            _ => Err(ReferenceError),
        }
    }

    /// The same with its path made relative to `file`, the configuration that holds it.
    pub(crate) fn beside(&self, file: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(beside(file, path)),
            Self::Key(path, key) => Self::Key(beside(file, path), key.clone()),
            other => other.clone(),
        }
    }

    /// Reads the secret. One line feed at its end is not part of it. An empty secret is an error.
    pub(crate) fn read(&self) -> anyhow::Result<Secret> {
        let mut bytes = match self {
            Self::File(path) => {
                read_file(path).with_context(|| format!("read the secret {self}"))?
            }
            Self::Key(path, key) => {
                read_key(path, key).with_context(|| format!("read the secret {self}"))?
            }
            Self::Variable(name) => read_variable(name)?,
            Self::Command(words) => {
                run_command(words).with_context(|| format!("run the secret's {self}"))?
            }
        };
        let end = [&b"\r\n"[..], b"\n"]
            .into_iter()
            .find(|end| bytes.ends_with(end));
        let length = bytes.len() - end.map_or(0, <[u8]>::len);
        bytes.truncate(length);
        ensure!(!bytes.is_empty(), "the secret {self} is empty");
        Ok(Secret(bytes))
    }

    /// The same for a secret that must be text. Wiping it is now up to the caller.
    pub(crate) fn read_text(&self) -> anyhow::Result<String> {
        let text = String::from_utf8(self.read()?.into_bytes().to_vec());
        text.map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            anyhow!("the secret {self} is not UTF-8")
        })
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn read_file(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    std::fs::File::open(path)?
        .take(SECRET_MAX + 1)
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= SECRET_MAX,
        "it is longer than {SECRET_MAX} bytes"
    );
    Ok(bytes)
}

/// A value of a file that maps names to texts, as it stands there. Nothing of the file is repeated in an error.
fn read_key(path: &Path, key: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).context("it is not UTF-8")?;
    let values: BTreeMap<String, Text> = serde_saphyr::from_str_with_options(text, plain_yaml())
        .map_err(|_| anyhow!("it is not YAML that maps names to texts"))?;
    let value = values
        .get(key)
        .with_context(|| format!("it has no {key}"))?;
    bytes.clear();
    bytes.extend_from_slice(value.0.as_bytes());
    Ok(bytes)
}

/// A few names with their values, and no bombs of aliases.
fn plain_yaml() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 1_000,
            max_aliases: 0,
            max_anchors: 0,
            max_depth: 4,
            max_documents: 1,
        },
        with_snippet: false,
    }
}

/// A text of a file with secrets, wiped when dropped. What is left out is empty.
struct Text(Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(Self(Zeroizing::new(text.unwrap_or_default())))
    }
}

fn read_variable(name: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let value =
        std::env::var_os(name).with_context(|| format!("the variable {name} is not set"))?;
    Ok(Zeroizing::new(value.into_vec()))
}

/// What the program says on stderr is dropped: it runs unattended, and what it says may hold the secret.
fn run_command(words: &[String]) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let (program, arguments) = words.split_first().context("it names no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().expect("stdout was asked for");
    let (sender, printed) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        let read = stdout.take(SECRET_MAX + 1).read_to_end(&mut bytes);
        // Nobody waits for it any more after the timeout.
        let _ = sender.send(read.map(|_| bytes));
    });
    let Ok(bytes) = printed.recv_timeout(COMMAND_TIMEOUT) else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("it did not finish within {COMMAND_TIMEOUT:?}");
    };
    let bytes = bytes?;
    // It has closed its output, so it is about to end; if not, it is made to.
    let status = wait_briefly(&mut child)?;
    ensure!(
        bytes.len() as u64 <= SECRET_MAX,
        "it printed more than {SECRET_MAX} bytes"
    );
    ensure!(
        status.success(),
        "it failed ({status}); run it by hand to see why"
    );
    Ok(bytes)
}

fn wait_briefly(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    Ok(child.wait()?)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Key(path, key) => write!(f, "yaml:{}#{key}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::Command(words) => write!(f, "command:{}", words.join(" ")),
        }
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Where a secret is to be had: file:PATH, yaml:PATH#KEY, env:NAME or command:PROGRAM ARGUMENT.",
            "pattern": "^((file|env|command):.|yaml:.+#.)",
        })
    }
}

/// The value of a variable for a program: a secret by reference, or a text that says of itself that it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    Plain(String),
    Secret(Reference),
}

/// As [`ReferenceError`], where what is no secret may stand too.
#[derive(Debug, thiserror::Error)]
#[error(
    "a secret stands here by reference only: write file:PATH, yaml:PATH#KEY, env:NAME or command:PROGRAM ARGUMENT, or \
     plain:VALUE for what is no secret"
)]
pub(crate) struct EnvironmentError;

impl Environment {
    fn parse(text: &str) -> Result<Self, EnvironmentError> {
        match text.strip_prefix("plain:") {
            Some(value) => Ok(Self::Plain(value.to_owned())),
            None => Reference::parse(text)
                .map(Self::Secret)
                .map_err(|_| EnvironmentError),
        }
    }

    /// The same with its path made relative to `file`, the configuration that holds it.
    pub(crate) fn beside(&self, file: &Path) -> Self {
        match self {
            Self::Plain(value) => Self::Plain(value.clone()),
            Self::Secret(reference) => Self::Secret(reference.beside(file)),
        }
    }

    /// The value, read now if it is a secret.
    pub(crate) fn read(&self) -> anyhow::Result<Secret> {
        match self {
            Self::Plain(value) => Ok(Secret(Zeroizing::new(value.clone().into_bytes()))),
            Self::Secret(reference) => reference.read(),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => write!(f, "plain:{value}"),
            Self::Secret(reference) => reference.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Environment {
    fn schema_name() -> Cow<'static, str> {
        "Environment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A secret by reference (file:PATH, yaml:PATH#KEY, env:NAME, command:PROGRAM ARGUMENT), or plain:VALUE.",
            "pattern": "^((file|env|command):.|yaml:.+#.|plain:)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("write");
        read(&Reference::File(file.path().to_owned()))
    }

    fn read(reference: &Reference) -> anyhow::Result<Vec<u8>> {
        Ok(reference.read()?.into_bytes().to_vec())
    }

    fn refusal<T>(result: anyhow::Result<T>) -> String {
        format!("{:#}", result.err().expect("an error"))
    }

    #[test]
    fn a_literal_is_refused_without_repeating_it() {
        for text in [
            "hunter2",
            "",
            "file:",
            "env:",
            "env:NO SUCH",
            "http://x",
            "yaml:/etc/pw",
            "yaml:#hunter2",
            "yaml:/etc/pw#",
            "command:  ",
            "plain:x",
        ] {
            let error = Reference::parse(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2") && error.contains("by reference only"));
        }
        assert!(Environment::parse("hunter2").is_err());
        assert_eq!(
            Environment::parse("plain:").ok(),
            Some(Environment::Plain(String::new()))
        );
    }

    #[test]
    fn references_print_as_they_were_written() {
        for text in [
            "file:/etc/pw",
            "yaml:/etc/a#b.yml#secret_key",
            "env:PG_PASSWORD",
            "command:pass show etcd",
        ] {
            assert_eq!(Reference::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_secret_loses_one_line_end_and_nothing_else() {
        assert_eq!(secret(b" pass word \r\n").expect("reads"), b" pass word ");
        assert_eq!(secret(b"two\n\n").expect("reads"), b"two\n");
        assert_eq!(secret(b"\xff\x00").expect("reads"), b"\xff\x00");
        assert!(refusal(secret(b"\n")).contains("is empty"));
        assert!(refusal(secret(&vec![b'x'; 70_000])).contains("longer than 65536 bytes"));
    }

    #[test]
    fn a_secret_is_a_key_of_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let of = |yaml: &str, key: &str| {
            std::fs::write(file.path(), yaml).expect("write");
            read(&Reference::Key(file.path().to_owned(), key.to_owned()))
        };
        let yaml = "access_key: AKIA\nsecret_key: 'a: b#c'\nnumber: 0123\nnothing:\n";
        assert_eq!(of(yaml, "secret_key").expect("reads"), b"a: b#c");
        assert_eq!(of(yaml, "number").expect("reads"), b"0123");
        assert!(refusal(of(yaml, "nothing")).contains("is empty"));
        assert!(refusal(of(yaml, "password")).contains("it has no password"));
        for yaml in [
            "hunter2",
            "- hunter2",
            "a: {b: hunter2}",
            "a: [",
            "&a hunter2: *a",
        ] {
            let error = refusal(of(yaml, "a"));
            assert!(
                error.contains("not YAML that maps") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_secret_comes_from_a_program() {
        let command = |text: &str| Reference::parse(text).expect(text);
        assert_eq!(read(&command("command:echo a  b")).expect("reads"), b"a b");
        assert!(refusal(read(&command("command:false"))).contains("it failed (exit status: 1)"));
        assert!(refusal(read(&command("command:/no/such/program"))).contains("No such file"));
        assert!(refusal(read(&command("command:yes"))).contains("printed more than"));
        assert!(refusal(read(&command("env:STRONGROOM_NOT_SET"))).contains("is not set"));
    }
}
