//! `keygen`: an identity that opens snapshots, whole or in shares, or the key of a writer that signs them.

pub(crate) mod shares;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use format::WriterKey;
use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;

/// The public half of a new key, and the file that holds the secret one.
#[derive(Debug, Serialize)]
pub(crate) struct NewKey {
    pub(crate) kind: KeyKind,
    /// The recipient of an identity, or the public key of a writer.
    pub(crate) public: String,
    pub(crate) file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyKind {
    Identity,
    Writer,
}

/// Makes a key and the file for it, readable by its owner only; an identity is sealed with the passphrase, if there is one. Never
/// overwrites; a failure leaves no file.
pub(crate) fn keygen(
    kind: KeyKind,
    passphrase: Option<Zeroizing<String>>,
    file: &Path,
    now: Timestamp,
) -> anyhow::Result<NewKey> {
    let created = now.round(jiff::Unit::Second)?.to_string();
    let (text, public) = match kind {
        KeyKind::Identity => {
            let (secret, recipient) = format::generate_identity();
            let text = format!(
                "# created: {created}\n# public key: {recipient}\n{}\n",
                &*secret
            );
            (Zeroizing::new(text), recipient)
        }
        KeyKind::Writer => {
            let key = WriterKey::generate();
            (key.to_file(&created), key.id().to_string())
        }
    };
    let sealed = passphrase.map(|it| format::seal_identities(text.as_bytes(), it));
    write_new(file, sealed.as_deref().unwrap_or(text.as_bytes()))?;
    Ok(NewKey {
        kind,
        public,
        file: file.to_owned(),
    })
}

/// Readable by its owner only, durable on return; a failure leaves no file.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = made.map_err(|error| {
        let exit = match error.kind() {
            ErrorKind::AlreadyExists => Exit::Conflict,
            ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Failure,
        };
        let failure = Failure::new(exit, format!("make the key file {}", path.display()));
        anyhow::Error::new(error).context(match exit {
            Exit::Conflict => {
                failure.hint("choose another --output; a key that is overwritten is lost for ever")
            }
            _ => failure,
        })
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written
        .and_then(|()| sync_folder(path))
        .inspect_err(|_| {
            // Ours a moment ago, and useless: half a key would be taken for one.
            let _ = std::fs::remove_file(path);
        })
        .with_context(|| format!("write the key file {}", path.display()))
}

/// The file's name must survive a power cut too: somebody is about to seal backups to this key.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl NewKey {
    /// What to do with it now.
    pub(crate) fn advice(&self) -> String {
        let file = self.file.display();
        match self.kind {
            KeyKind::Identity => format!(
                "{file} opens every snapshot sealed to this recipient: keep it offline, in two places. \
                 The recipient goes into `recipients`."
            ),
            KeyKind::Writer => format!(
                "{file} signs this host's snapshots: it stays here, as `writer_key`. \
                 The public key goes into `trusted_writers` of others."
            ),
        }
    }
}

impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn make(kind: KeyKind, file: &Path) -> anyhow::Result<NewKey> {
        keygen(
            kind,
            None,
            file,
            Timestamp::from_second(1_790_000_000).expect("a time"),
        )
    }

    #[test]
    fn an_identity_opens_what_is_sealed_to_its_recipient() {
        let folder = folder();
        let file = folder.path().join("identity.txt");
        let key = make(KeyKind::Identity, &file).expect("a key");
        let recipients = format::Recipients::parse([key.public.as_str()]).expect("a recipient");
        let mut identities = format::Identities::none();
        identities
            .add_file(&std::fs::read(&file).expect("reads"))
            .expect("an identity file");
        let sealed = format::DataKey::random().seal_to(&recipients);
        let object = sealed.expect("no plugin is needed").key;
        assert!(format::DataKey::open_with(&object, &identities).is_ok());

        let text = std::fs::read_to_string(&file).expect("text");
        let public = format!("# public key: {}", key.public);
        assert!(
            text.starts_with("# created: 2026-09-21T14:13:20Z\n"),
            "{}",
            &text[..40]
        );
        assert!(text.lines().any(|line| line == public));
        assert_eq!(
            std::fs::metadata(&file)
                .expect("a file")
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }

    #[test]
    fn a_writer_key_reads_back() {
        let folder = folder();
        let file = folder.path().join("writer.key");
        let key = make(KeyKind::Writer, &file).expect("a key");
        let read = WriterKey::from_file(&std::fs::read(&file).expect("reads"));
        assert!(read.is_ok_and(|read| read.id().to_string() == key.public));
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = folder();
        let file = folder.path().join("identity.txt");
        std::fs::write(&file, "precious").expect("write");
        let error = make(KeyKind::Identity, &file).expect_err("refused");
        assert_eq!(exit::of(&error), Exit::Conflict);
        assert_eq!(std::fs::read(&file).expect("reads"), b"precious");

        // Not through a dangling link either: its target may be on a disk that is not mounted now.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).expect("a link");
        assert_eq!(
            exit::of(&make(KeyKind::Identity, &link).expect_err("refused")),
            Exit::Conflict
        );
        assert!(!folder.path().join("nowhere").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made() {
        let folder = folder();
        let error =
            make(KeyKind::Writer, &folder.path().join("no/writer.key")).expect_err("refused");
        assert_eq!(exit::of(&error), Exit::Failure);
    }
}
