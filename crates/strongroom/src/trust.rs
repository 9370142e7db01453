//! Whom this host is, and whom it trusts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use format::{JobName, WriterId, WriterKey};
use repository::{Maintenance, Repository, Trust, View};

use crate::config::Setting;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::names::counted;
use crate::session::{PROGRAM, Session};
use crate::unlock::read_key_file;

impl Session {
    /// This host's writer key.
    pub(crate) fn writer(&self) -> anyhow::Result<Arc<WriterKey>> {
        let setting = self.settings.writer_key.as_ref().ok_or_else(|| {
            Failure::usage("there is no writer key to sign snapshots with").hint(
                "strongroom keygen --writer --output writer.key, then `writer_key: writer.key` in strongroom.yaml",
            )
        })?;
        read_key("the writer key", setting)
    }

    /// The maintainer's key, for commands that change which snapshots count.
    pub(crate) fn maintainer(&self) -> anyhow::Result<Arc<WriterKey>> {
        let setting = self.settings.maintainer_key.as_ref().ok_or_else(|| {
            Failure::usage("there is no maintainer's key to sign this with").hint(
                "strongroom keygen --writer --output maintainer.key, then `maintainer_key: maintainer.key` in \
                 strongroom.yaml, and its public key into `trusted_maintainers` of every host",
            )
        })?;
        read_key("the maintainer's key", setting)
    }

    /// What a commit about snapshots of `job` is made with, signed by `key`.
    pub(crate) fn maintenance(
        &self,
        job: &JobName,
        key: Arc<WriterKey>,
    ) -> anyhow::Result<Maintenance> {
        Ok(Maintenance {
            job: job.clone(),
            key,
            trust: self.trust()?,
            program: PROGRAM.to_owned(),
        })
    }

    /// Whom we trust: those that the configuration and the command line name, and this host's own keys.
    pub(crate) fn trust(&self) -> anyhow::Result<Trust> {
        let settings = &self.settings;
        let keys =
            |listed: &[Setting<WriterId>]| listed.iter().map(|setting| setting.value).collect();
        let mut trust = Trust {
            writers: keys(&settings.trusted_writers),
            maintainers: keys(&settings.trusted_maintainers),
        };
        trust
            .writers
            .extend(self.own("the writer key", settings.writer_key.as_ref())?);
        trust
            .maintainers
            .extend(self.own("the maintainer's key", settings.maintainer_key.as_ref())?);
        Ok(trust)
    }

    /// The public half of one of this host's keys, if it is there.
    fn own(
        &self,
        what: &str,
        setting: Option<&Setting<PathBuf>>,
    ) -> anyhow::Result<Option<WriterId>> {
        let Some(setting) = setting.filter(|setting| setting.value.exists()) else {
            return Ok(None);
        };
        match read_key(what, setting) {
            Ok(key) => Ok(Some(key.id())),
            // Whoever may read the repository need not be allowed to sign.
            Err(error) if exit::of(&error) == Exit::Denied => {
                self.output.note(format_args!(
                    "{what} of this host is not trusted: {error:#}"
                ));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The view of a job's log with a writer that we trust in it: if we trust nobody yet, a person is asked.
    pub(crate) async fn view(
        &self,
        repository: &Repository,
        job: &JobName,
        trust: &mut Trust,
    ) -> anyhow::Result<View> {
        let view = repository.view(job, trust).await?;
        if trust.writers.is_empty() {
            self.ask_for_trust(job, &view, trust).await?;
        }
        Ok(view)
    }

    async fn ask_for_trust(
        &self,
        job: &JobName,
        view: &View,
        trust: &mut Trust,
    ) -> anyhow::Result<()> {
        let mut writers: BTreeMap<WriterId, u64> = BTreeMap::new();
        for snapshot in view.snapshots() {
            *writers.entry(snapshot.statement.writer).or_default() += 1;
        }
        for (writer, count) in writers {
            let count = counted(count, "snapshot", "snapshots");
            self.output.note(format_args!(
                "{count} of {job} signed by {writer}, which is not trusted yet"
            ));
            match self.output.ask(&format!("Do you trust {writer}?")).await? {
                Some(true) => {
                    trust.writers.insert(writer);
                }
                // Perhaps another of them.
                Some(false) => {}
                None => return Err(untrusted(job, writer).into()),
            }
        }
        Ok(())
    }
}

fn read_key(what: &str, setting: &Setting<PathBuf>) -> anyhow::Result<Arc<WriterKey>> {
    let path = &setting.value;
    let bytes = read_key_file(path).with_context(|| format!("read {what} {}", path.display()))?;
    let key = WriterKey::from_file(&bytes).with_context(|| path.display().to_string())?;
    Ok(Arc::new(key))
}

fn untrusted(job: &JobName, writer: WriterId) -> Failure {
    Failure::new(
        Exit::Untrusted,
        format!("the writer {writer} of {job} is not trusted"),
    )
    .hint(format!(
        "compare it with a copy that you kept, then --trust-writer {writer}"
    ))
}
