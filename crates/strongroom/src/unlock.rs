//! What opens snapshots: identity files, which may be protected by a passphrase or sealed to other identities.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use format::{Identities, IdentityError, SealedIdentities};
use zeroize::Zeroizing;

use crate::config::reference::Reference;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::plugins::Programs;

/// A key file or an identity file of this size is something else.
const KEY_FILE_MAX: u64 = 64 * 1024;
/// So often a passphrase may be mistyped.
const TRIES: usize = 3;

/// Opens identity files: at most one question for each that a passphrase protects, and one use of a token for each that is sealed to
/// one, however many runs are opened with what is in it.
///
/// Blocks while somebody types, a passphrase is tried, or a plugin works.
pub(crate) fn unlock(
    files: &[PathBuf],
    passphrase: Option<&Reference>,
    output: Output,
) -> anyhow::Result<Identities> {
    let mut identities = Identities::none().with_plugins(Arc::new(Programs::with_person(output)));
    let mut sealed = Vec::new();
    for path in files {
        let file = read_key_file(path).with_context(|| named(path))?;
        match SealedIdentities::recognise(&file).with_context(|| named(path))? {
            None => identities.add_file(&file).with_context(|| named(path))?,
            Some(locked) if locked.wants_passphrase() => {
                let file = with_passphrase(path, &locked, passphrase, output)?;
                add_opened(&mut identities, path, &file)?;
            }
            Some(locked) => sealed.push((path, locked)),
        }
    }
    open_sealed(&mut identities, sealed)?;
    Ok(identities)
}

/// Those that are sealed to others of them, in whatever order they were given.
fn open_sealed(
    identities: &mut Identities,
    mut sealed: Vec<(&PathBuf, SealedIdentities)>,
) -> anyhow::Result<()> {
    while !sealed.is_empty() {
        let mut left = Vec::new();
        let mut refused = None;
        let before = sealed.len();
        for (path, locked) in sealed {
            match locked.open_with(identities) {
                Ok(file) => add_opened(identities, path, &file)?,
                Err(error @ (IdentityError::NoneOpens | IdentityError::Plugin(_))) => {
                    refused.get_or_insert((path, error));
                    left.push((path, locked));
                }
                Err(error) => return Err(anyhow!(error).context(named(path))),
            }
        }
        if let Some((path, error)) = refused.filter(|_| left.len() == before) {
            let text = format!("{} is sealed, and cannot be opened", path.display());
            let failure = Failure::new(Exit::NoIdentity, text);
            return Err(anyhow!(error).context(failure.hint(
                "give the identity that it is sealed to, such as a token's, with another --identity FILE",
            )));
        }
        sealed = left;
    }
    Ok(())
}

fn with_passphrase(
    path: &Path,
    locked: &SealedIdentities,
    passphrase: Option<&Reference>,
    output: Output,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    if let Some(reference) = passphrase {
        let passphrase = Zeroizing::new(reference.read_text()?);
        return locked
            .open_with_passphrase(passphrase)
            .with_context(|| named(path));
    }
    let prompt = format!("passphrase of {}: ", path.display());
    for _ in 0..TRIES {
        let Some(passphrase) = output.line(&prompt, true)? else {
            let text = format!("{} is protected by a passphrase", path.display());
            return Err(Failure::new(Exit::NoIdentity, text)
                .hint("type it at a terminal, or say --identity-passphrase file:PATH")
                .into());
        };
        match locked.open_with_passphrase(passphrase) {
            Err(IdentityError::WrongPassphrase) => output.note("that is not the passphrase"),
            opened => return opened.with_context(|| named(path)),
        }
    }
    Err(anyhow!(IdentityError::WrongPassphrase).context(named(path)))
}

/// A new passphrase: by reference, or typed twice.
pub(crate) fn new_passphrase(
    passphrase: Option<&Reference>,
    output: Output,
) -> anyhow::Result<Zeroizing<String>> {
    if let Some(reference) = passphrase {
        return Ok(Zeroizing::new(reference.read_text()?));
    }
    let nobody = || {
        Failure::usage("there is no terminal to ask for a passphrase at")
            .hint("--identity-passphrase file:PATH takes it from a file")
    };
    loop {
        let first = output.line("new passphrase: ", true)?.ok_or_else(nobody)?;
        if first.is_empty() {
            output.note("it is empty");
            continue;
        }
        let again = output.line("the same again: ", true)?.ok_or_else(nobody)?;
        if *first == *again {
            return Ok(first);
        }
        output.note("the two differ");
    }
}

/// What is in a sealed file must be plain: a nest of files would be opened for ever.
fn add_opened(identities: &mut Identities, path: &Path, file: &[u8]) -> anyhow::Result<()> {
    let plain = SealedIdentities::recognise(file).is_ok_and(|it| it.is_none());
    ensure!(
        plain,
        "{} holds another sealed file; open it with `age -d`",
        path.display()
    );
    identities.add_file(file).with_context(|| named(path))
}

fn named(path: &Path) -> String {
    format!("read the identity {}", path.display())
}

/// A key file, whole, or nothing of it.
pub(crate) fn read_key_file(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    std::fs::File::open(path)?
        .take(KEY_FILE_MAX + 1)
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= KEY_FILE_MAX,
        "it is longer than {KEY_FILE_MAX} bytes"
    );
    Ok(bytes)
}
