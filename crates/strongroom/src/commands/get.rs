//! `get` and `cat`: the value of one entry, the commands whose purpose is to print a secret.

use anyhow::{Context as _, ensure};
use archive::{Body, Name};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Cat, Get};
use crate::entry::{EntryName, Found};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inside::{self, Wants};
use crate::names::nearest;
use crate::output::Output;
use crate::session::Session;
use crate::units::Size;

/// `get` checks a value whole before it prints any of it, so it holds all of it.
const VALUE_MAX: u64 = 64 << 20;

/// A value as `--json` prints it.
#[derive(Serialize)]
struct ValueObject<'a> {
    snapshot: String,
    source: &'a str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `utf-8`, or `hex` where it is not.
    encoding: &'static str,
    value: &'a str,
}

/// Prints one value, after all of it was checked.
pub(crate) async fn get(session: &Session, get: &Get) -> anyhow::Result<()> {
    refuse_screen(get.terminal)?;
    let repository = session.open_remembered().await?;
    let entry = EntryName::new(&get.entry);
    let wants = Wants::Entry(&entry);
    let snapshot = inside::open(session, &repository, &get.snapshot, &get.inside, wants).await?;
    let mut found = entry.find(&snapshot, &get.inside).await?;
    let part = Part::of(&found, get.key.as_deref())?;
    if found.entry.length() > VALUE_MAX {
        let message = format!(
            "{} has {}, too much for `get`",
            found.full(),
            Size(found.entry.length())
        );
        return Err(Failure::new(Exit::Failure, message)
            .hint("strongroom cat writes it out")
            .into());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(found.entry.length())?));
    while let Some(piece) = found.reader.data().await? {
        bytes.extend_from_slice(piece.as_bytes());
    }
    let value = &bytes[part.start..][..part.length];
    if !session.output.json() {
        return Output::raw(value);
    }
    let (encoding, text) = match std::str::from_utf8(value) {
        Ok(text) => ("utf-8", Zeroizing::new(text.to_owned())),
        Err(_) => ("hex", Zeroizing::new(hex::encode(value))),
    };
    let name = found.entry.name.to_string();
    let (snapshot, key) = (snapshot.name(), part.key.map(|key| key.to_string()));
    let object = ValueObject {
        snapshot,
        source: found.source,
        name,
        key,
        encoding,
        value: &text,
    };
    let mut line = Zeroizing::new(serde_json::to_vec(&object).context("write JSON")?);
    line.push(b'\n');
    Output::raw(&line)
}

/// Writes one blob to standard output as it is read. Each piece has been authenticated; the whole has at the end.
pub(crate) async fn cat(session: &Session, cat: &Cat) -> anyhow::Result<()> {
    refuse_screen(cat.terminal)?;
    let repository = session.open_remembered().await?;
    let entry = EntryName::new(&cat.entry);
    let wants = Wants::Entry(&entry);
    let snapshot = inside::open(session, &repository, &cat.snapshot, &cat.inside, wants).await?;
    let mut found = entry.find(&snapshot, &cat.inside).await?;
    if let Body::Record { .. } = found.entry.body {
        let message = format!("{} is a record of several values", found.full());
        return Err(Failure::usage(message)
            .hint("strongroom get SNAPSHOT ENTRY KEY")
            .into());
    }
    while let Some(piece) = found.reader.data().await? {
        Output::raw(piece.as_bytes())?;
    }
    Ok(())
}

pub(crate) fn refuse_screen(allowed: bool) -> anyhow::Result<()> {
    if Output::data_is_shown() && !allowed {
        let message = "the value would be shown on this screen";
        return Err(Failure::usage(message)
            .hint("redirect it, or say --terminal")
            .into());
    }
    Ok(())
}

impl Found<'_> {
    fn full(&self) -> String {
        format!("{}:{}", self.source, self.entry.name)
    }
}

/// Where a value stands in its entry.
struct Part {
    key: Option<Name>,
    start: usize,
    length: usize,
}

impl Part {
    fn of(found: &Found<'_>, key: Option<&str>) -> anyhow::Result<Self> {
        let fields = match (&found.entry.body, key) {
            (Body::Blob { length, .. }, None) => {
                return Ok(Self {
                    key: None,
                    start: 0,
                    length: usize::try_from(*length)?,
                });
            }
            (Body::Blob { .. }, Some(_)) => {
                let message = format!("{} is a file and has no keys", found.full());
                return Err(Failure::usage(message).hint("leave the key out").into());
            }
            (Body::Record { fields }, _) => fields,
        };
        let names: Vec<String> = fields.iter().map(|field| field.key.to_string()).collect();
        let index = match key {
            Some(key) => names.iter().position(|name| name == key),
            None => (names.len() == 1).then_some(0),
        };
        let Some(index) = index else {
            return Err(no_key(found, key, &names).into());
        };
        let start: u64 = fields[..index].iter().map(|field| field.length).sum();
        let field = &fields[index];
        ensure!(
            start + field.length <= found.entry.length(),
            "the entry is shorter than its keys say"
        );
        Ok(Self {
            key: Some(field.key.clone()),
            start: usize::try_from(start)?,
            length: usize::try_from(field.length)?,
        })
    }
}

fn no_key(found: &Found<'_>, key: Option<&str>, names: &[String]) -> Failure {
    let full = found.full();
    let near = key.and_then(|key| nearest(key, names.iter().map(String::as_str)));
    let message = match key {
        Some(key) => format!("{full} has no key {key}"),
        None => format!("{full} has {} keys: say which", names.len()),
    };
    let failure = Failure::new(Exit::Failure, message);
    match near {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("its keys are {}", names.join(", "))),
    }
}
