use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::{Entry, Name};

use super::draft::Draft;
use super::settings::{BUMP, COMPACTED, DATA_DIR, SETTINGS, TOOL, WAL_DIR};
use super::target::{must_have_folder, unreadable};
use super::tool::{Tool, Version};
use super::{VERSION, shown};
use crate::{Action, Contents, Error, ErrorKind};

/// A data directory that etcd's own tool shall make.
pub(super) struct DataDir {
    path: PathBuf,
    wal_dir: Option<PathBuf>,
    tool: Option<PathBuf>,
    /// For the tool, each `--name=value`.
    flags: Vec<String>,
    bumps: bool,
}

impl DataDir {
    /// What `settings` ask for; `None` if they are empty.
    pub(super) fn asked_for(settings: &BTreeMap<String, String>) -> Result<Option<Self>, Error> {
        settings
            .iter()
            .try_for_each(|(name, value)| check_setting(name, value))?;
        let path = |name: &str| settings.get(name).map(PathBuf::from);
        let Some(data_dir) = path(DATA_DIR) else {
            return match settings.keys().next() {
                None => Ok(None),
                Some(name) => Err(wrong(format!("--{name} needs --{DATA_DIR}"))),
            };
        };
        let bumps = settings.contains_key(BUMP);
        if bumps != settings.get(COMPACTED).is_some_and(|value| value == "true") {
            return Err(wrong(format!(
                "--{BUMP} and --{COMPACTED} must be given together"
            )));
        }
        let ours = [DATA_DIR, TOOL];
        let flags = settings
            .iter()
            .filter(|(name, _)| !ours.contains(&name.as_str()));
        Ok(Some(Self {
            flags: flags
                .map(|(name, value)| format!("--{name}={value}"))
                .collect(),
            path: data_dir,
            wal_dir: path(WAL_DIR),
            tool: path(TOOL),
            bumps,
        }))
    }

    pub(super) async fn action(
        &self,
        entry: &Entry,
        notes: &mut Vec<String>,
    ) -> Result<Action, Error> {
        must_have_folder(&self.path)?;
        if let Some(reason) = self.in_the_way()? {
            return Ok(Action::Conflict { reason });
        }
        let tool = Tool::find(self.tool.as_deref()).await?;
        let writer = entry.attributes.text(VERSION).and_then(Version::parse);
        if let Some(reason) = writer.and_then(|writer| tool.too_old_for(writer)) {
            return Ok(Action::Unmanageable { reason });
        }
        notes.push(format!(
            "{tool} will make the data directory {}",
            shown(&self.path)
        ));
        if !self.bumps {
            notes.push(format!(
                "clients that watch (Kubernetes) will not notice that the data went back: \
                 consider --{BUMP} 1000000000 --{COMPACTED}"
            ));
        }
        Ok(Action::Create)
    }

    /// Makes the directory, or leaves everything as it was; no file with the snapshot stays behind either way.
    pub(super) async fn restore(&self, contents: &mut dyn Contents) -> Result<String, Error> {
        if let Some(reason) = self.in_the_way()? {
            return Err(Error::new(ErrorKind::Conflict, reason));
        }
        let tool = Tool::find(self.tool.as_deref()).await?;
        let mut draft = Draft::beside(&self.path).await?;
        draft.fill(contents).await?;
        let unfinished = [Some(&self.path), self.wal_dir.as_ref()]
            .map(|path| path.map(|path| Unfinished::new(path)));
        tool.restore(draft.path(), &self.path, &self.flags).await?;
        unfinished.into_iter().flatten().for_each(Unfinished::keep);
        Ok(format!(
            "start etcd with --data-dir {} and the name and URLs of this restore; the directory belongs to the user \
             who restored it",
            shown(&self.path)
        ))
    }

    /// Why nothing may be made here.
    fn in_the_way(&self) -> Result<Option<String>, Error> {
        for path in [Some(&self.path), self.wal_dir.as_ref()]
            .into_iter()
            .flatten()
        {
            if !is_absent_or_empty(path)? {
                let path = shown(path);
                return Ok(Some(format!(
                    "{path} is not an empty directory: move it away, it is not overwritten"
                )));
            }
        }
        Ok(None)
    }
}

fn is_absent_or_empty(path: &Path) -> Result<bool, Error> {
    match path.read_dir() {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            Ok(path.symlink_metadata().is_err())
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(cause) => Err(unreadable(path, cause)),
    }
}

fn check_setting(name: &str, value: &str) -> Result<(), Error> {
    if name == "skip-hash-check" {
        return Err(wrong(
            "skip-hash-check is not needed: what is restored has its hash, and it is verified",
        ));
    }
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        let message = format!(
            "etcd has no restore setting {}; it has {}",
            Name::from(name),
            known.join(", ")
        );
        return Err(wrong(message));
    };
    if value.is_empty() {
        return Err(wrong(format!("--{name} is empty")));
    }
    if setting.value.is_none() && !["true", "false"].contains(&value) {
        return Err(wrong(format!(
            "--{name} is true or false, not {}",
            Name::from(value)
        )));
    }
    if name == BUMP && !value.parse().is_ok_and(|n: u64| n > 0) {
        return Err(wrong(format!(
            "--{name} is a number above 0, not {}",
            Name::from(value)
        )));
    }
    Ok(())
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

/// A directory that was absent or empty and is being filled; if it is dropped, that is undone.
struct Unfinished {
    path: PathBuf,
    existed: bool,
    finished: bool,
}

impl Unfinished {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            existed: path.exists(),
            finished: false,
        }
    }

    fn keep(mut self) {
        self.finished = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // A failure leaves an incomplete directory, which the next restore would refuse to touch. A tool that was
        // killed this moment may still be making its last file.
        for _ in 0..20 {
            if self.undo().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Unfinished {
    fn undo(&self) -> io::Result<()> {
        if !self.existed {
            return match std::fs::remove_dir_all(&self.path) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        // The directory itself stays: it may be a mount point, and has its owner and mode.
        for entry in self.path.read_dir()? {
            std::fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(settings: &[(&str, &str)]) -> Result<Option<DataDir>, String> {
        let settings = settings
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        DataDir::asked_for(&settings.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_become_flags() {
        assert!(asked_for(&[]).is_ok_and(|asked| asked.is_none()));
        let asked = asked_for(&[
            ("data-dir", "/d"),
            ("etcdutl-path", "/e"),
            ("name", "--n1"),
            ("bump-revision", "10"),
            ("mark-compacted", "true"),
        ]);
        let data_dir = asked.expect("valid").expect("a data directory");
        assert_eq!(
            data_dir.flags,
            ["--bump-revision=10", "--mark-compacted=true", "--name=--n1"]
        );
        assert_eq!(data_dir.tool.as_deref(), Some(Path::new("/e")));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (settings, part) in [
            (
                &[("data-dir", "/d"), ("skip-hash-check", "true")][..],
                "not needed",
            ),
            (
                &[("data-dir", "/d"), ("nmae", "x")],
                "has no restore setting nmae",
            ),
            (&[("name", "x")], "needs --data-dir"),
            (&[("data-dir", "")], "is empty"),
            (&[("data-dir", "/d"), ("bump-revision", "10")], "together"),
            (
                &[("data-dir", "/d"), ("mark-compacted", "true")],
                "together",
            ),
            (
                &[("data-dir", "/d"), ("mark-compacted", "yes")],
                "true or false",
            ),
            (
                &[
                    ("data-dir", "/d"),
                    ("bump-revision", "0"),
                    ("mark-compacted", "true"),
                ],
                "above 0",
            ),
        ] {
            let error = asked_for(settings).err().expect("it is refused");
            assert!(error.contains(part), "{settings:?}: {error}");
        }
    }

    #[test]
    fn an_unfinished_directory_is_undone_and_a_finished_one_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (absent, empty) = (folder.path().join("absent"), folder.path().join("empty"));
        std::fs::create_dir(&empty).expect("made");
        for path in [&absent, &empty] {
            let unfinished = Unfinished::new(path);
            std::fs::create_dir_all(path.join("member/snap")).expect("made");
            drop(unfinished);
        }
        assert!(!absent.exists());
        assert!(is_absent_or_empty(&empty).is_ok_and(|free| free) && empty.exists());

        let unfinished = Unfinished::new(&absent);
        std::fs::create_dir_all(absent.join("member")).expect("made");
        unfinished.keep();
        assert!(absent.join("member").exists());
        assert!(is_absent_or_empty(&absent).is_ok_and(|free| !free));
    }
}
