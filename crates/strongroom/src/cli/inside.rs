//! The arguments of the commands that can look into an etcd snapshot.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;

/// What an API server is told by `--etcd-prefix` if nobody says otherwise.
const PREFIX: &str = "/registry";

/// Looking into an etcd snapshot.
#[derive(Args)]
#[command(next_help_heading = "Inside an etcd snapshot")]
pub(crate) struct Inside {
    /// Look into the etcd snapshot: the Kubernetes objects and the other keys in it are the entries.
    #[arg(long = "inside", id = "inside")]
    pub(crate) wanted: bool,

    /// The API server's EncryptionConfiguration, which opens what it encrypted at rest.
    #[arg(long, value_name = "FILE", requires = "inside")]
    pub(crate) encryption_config: Option<PathBuf>,

    /// As etcd was at this revision; the newest if it is not said.
    #[arg(long, value_name = "REVISION", requires = "inside", value_parser = revision)]
    pub(crate) revision: Option<u64>,

    /// What the API server was told by --etcd-prefix.
    #[arg(long, value_name = "PREFIX", default_value = PREFIX)]
    pub(crate) etcd_prefix: String,
}

impl Inside {
    /// Nothing is looked into.
    pub(crate) fn nothing() -> Self {
        Self {
            wanted: false,
            encryption_config: None,
            revision: None,
            etcd_prefix: PREFIX.to_owned(),
        }
    }
}

/// What has to be said again to see the same, behind a command: nothing, where nothing is looked into.
impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.wanted {
            return Ok(());
        }
        f.write_str(" --inside")?;
        if let Some(revision) = self.revision {
            write!(f, " --revision {revision}")?;
        }
        if let Some(file) = &self.encryption_config {
            write!(f, " --encryption-config {}", quoted(file))?;
        }
        if self.etcd_prefix != PREFIX {
            write!(f, " --etcd-prefix {}", quoted(Path::new(&self.etcd_prefix)))?;
        }
        Ok(())
    }
}

/// As a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn revision(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err(
            "the first revision of an etcd is 1; the newest is meant if --revision is left out"
                .to_owned(),
        ),
        Ok(revision) => Ok(revision),
        Err(_) => Err("a revision is a number, like 8812".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_said_again_as_a_shell_takes_it() {
        let mut inside = Inside::nothing();
        assert_eq!(inside.to_string(), "");
        inside.wanted = true;
        assert_eq!(inside.to_string(), " --inside");
        inside.revision = Some(7);
        inside.encryption_config = Some("/etc/it's a file".into());
        inside.etcd_prefix = "/other".to_owned();
        let said = r" --inside --revision 7 --encryption-config '/etc/it'\''s a file' --etcd-prefix /other";
        assert_eq!(inside.to_string(), said);
    }

    #[test]
    fn a_revision_is_a_number_from_one_on() {
        assert_eq!(revision("1"), Ok(1));
        assert!(revision("0").is_err_and(|it| it.contains("newest")));
        assert!(revision("x").is_err());
    }
}
