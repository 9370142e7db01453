//! Finding the configuration and reading it: every mistake is named with its line, its column and the nearest known key,
//! and never with the value that stands there, which may be a secret.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_saphyr::{Error as YamlError, MessageFormatter, UserMessageFormatter};

use super::file::File;
use crate::failure::Failure;
use crate::names::nearest;

/// A configuration of ten thousand lines has half of this.
const FILE_MAX: u64 = 1024 * 1024;

/// Where our keys are explained.
const HINT: &str =
    "docs/configuration.md lists every key; `strongroom config --schema` is for editors";

const HERE: &str = "strongroom.yaml";
const SYSTEM: &str = "/etc/strongroom/strongroom.yaml";

/// The configuration that is in force: the named one, or the first that exists of the usual places, or none.
pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<Option<(PathBuf, File)>> {
    if let Some(path) = named {
        let path = std::path::absolute(path).context("the path of the configuration is empty")?;
        return Ok(Some((path.clone(), read(&path)?)));
    }
    for place in [HERE, SYSTEM].map(Path::new) {
        // A place that cannot be looked at is an error: the file there may be the one that is meant.
        if place
            .try_exists()
            .with_context(|| format!("look for {}", place.display()))?
        {
            let path = std::path::absolute(place).context("look for the working directory")?;
            return Ok(Some((path.clone(), read(&path)?)));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> anyhow::Result<File> {
    Ok(parse(path, &read_text(path)?)?)
}

/// The text of a configuration, ours or another tool's.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    let named = || format!("read the configuration {}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(named)?;
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(named)?;
    Ok(text(path, bytes)?)
}

/// Reads the bytes of a configuration; `path` is for messages only.
pub(crate) fn decode(path: &Path, bytes: Vec<u8>) -> Result<File, Failure> {
    parse(path, &text(path, bytes)?)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    if bytes.len() as u64 > FILE_MAX {
        let message = format!("the configuration {} is longer than 1 MiB", path.display());
        return Err(Failure::usage(message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + count_lines(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        Failure::usage(format!("{}:{line}: this is not UTF-8 text", path.display()))
    })
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

/// Reads the text of a configuration; `path` is for messages only.
pub(crate) fn parse(path: &Path, text: &str) -> Result<File, Failure> {
    parse_as(path, text, HINT)
}

/// The same for any configuration; `hint` says where its keys are explained.
pub(crate) fn parse_as<T: DeserializeOwned + Default>(
    path: &Path,
    text: &str,
    hint: &str,
) -> Result<T, Failure> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(T::default());
    }
    serde_saphyr::from_str_with_options(text, limits())
        .map_err(|error| describe(path, &error, hint))
}

/// Anchors and merge keys may shorten a file, within reason.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: 32,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn describe(path: &Path, error: &YamlError, hint: &str) -> Failure {
    let error = innermost(error);
    let place = match error.location() {
        Some(at) if at.line() > 0 => format!("{}:{}:{}", path.display(), at.line(), at.column()),
        _ => path.display().to_string(),
    };
    let failure = Failure::usage(format!("{place}: {}", message(error)));
    match nearest_key(error) {
        Some(known) => failure.hint(format!("did you mean `{known}`?")),
        None => failure.hint(hint),
    }
}

fn innermost(mut error: &YamlError) -> &YamlError {
    while let YamlError::AliasError { error: inner, .. }
    | YamlError::WithSnippet { error: inner, .. } = error
    {
        error = inner;
    }
    error
}

fn message(error: &YamlError) -> Cow<'_, str> {
    match error {
        YamlError::SerdeUnknownField { field, .. } => format!(
            "`{}` is not a key that strongroom knows here",
            shortened(field)
        )
        .into(),
        YamlError::SerdeMissingField { field, .. } => {
            format!("the key `{field}` is missing").into()
        }
        YamlError::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{}` stands here a second time", shortened(key)).into()
        }
        YamlError::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | YamlError::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => format!("expected {expected}, found {}", kind_of(unexpected)).into(),
        YamlError::SerdeUnknownVariant { expected, .. } => {
            format!("expected one of {}", expected.join(", ")).into()
        }
        YamlError::NullIntoString { .. } => "the value is missing".into(),
        YamlError::InvalidBooleanStrict { .. } => "expected true or false".into(),
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            "the file is nested or repeated beyond any sense".into()
        }
        YamlError::Unexpected { expected, .. } => match *expected {
            "mapping start" => "expected keys with values".into(),
            "sequence start" => "expected a list".into(),
            "string scalar" => "expected a text".into(),
            other => format!("expected {other}").into(),
        },
        YamlError::MultipleDocuments { .. } => "the file holds more than one document".into(),
        YamlError::Message { msg, .. } => msg.as_str().into(),
        // Everything else is about YAML's grammar and names no value.
        other => without_value(UserMessageFormatter.format_message(other)),
    }
}

/// serde's "string \"hunter2\"" without the value.
fn kind_of(unexpected: &str) -> &str {
    let end = unexpected
        .find(['"', '`', '\''])
        .unwrap_or(unexpected.len());
    match unexpected[..end].trim() {
        "unit value" | "unit" => "nothing",
        "sequence" => "a list",
        "string" => "a text",
        "" => "something else",
        other => other,
    }
}

/// A message of the YAML library about grammar, cut before anything that it quotes.
fn without_value(message: Cow<'_, str>) -> Cow<'_, str> {
    match message.find(['"', '`']) {
        Some(at) => message[..at].trim_end().to_owned().into(),
        None => message,
    }
}

/// The start of a key, on one line whatever is in it.
fn shortened(key: &str) -> String {
    let start: String = key.chars().take(64).collect();
    archive::Name::from(start.as_str()).to_string()
}

fn nearest_key(error: &YamlError) -> Option<&str> {
    match error {
        YamlError::SerdeUnknownField {
            field, expected, ..
        } => nearest(field, expected.iter().copied()),
        _ => None,
    }
}
