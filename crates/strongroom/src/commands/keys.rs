//! `keys`: who can read what is stored, and who may write. All of it stands in the commits.

use std::collections::BTreeSet;
use std::fmt;

use format::{JobName, WriterId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use repository::{Trust, Valid, View};
use serde::Serialize;

use crate::cli;
use crate::names::counted;
use crate::session::Session;

/// The keys of each job.
#[derive(Serialize)]
pub(crate) struct Keys {
    repository: String,
    jobs: Vec<JobKeys>,
}

#[derive(Serialize)]
struct JobKeys {
    job: String,
    recipients: Vec<Recipient>,
    writers: Vec<Writer>,
    maintainers: Vec<Maintainer>,
    snapshots: Vec<Row>,
}

#[derive(Serialize)]
struct Recipient {
    #[serde(rename = "recipient")]
    text: String,
    /// Of which it opens anything.
    snapshots: u64,
    newest: String,
    configured: bool,
}

#[derive(Serialize)]
struct Writer {
    #[serde(rename = "writer")]
    key: String,
    snapshots: u64,
    trusted: bool,
    /// The last number under which what it signed counts, if it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_after: Option<u64>,
}

/// Who signed a prune, a forget, a revocation, a rotation or a pin.
#[derive(Serialize)]
struct Maintainer {
    #[serde(rename = "maintainer")]
    key: String,
    commits: u64,
    trusted: bool,
}

#[derive(Serialize)]
struct Row {
    snapshot: String,
    /// Whom any of its runs is sealed to.
    recipients: Vec<String>,
    writer: String,
}

/// Jobs whose logs are read at the same time: a bucket answers slowly, and there may be many.
const JOBS_AT_ONCE: usize = 8;

/// Lists the keys of the jobs that are named, or of all.
pub(crate) async fn keys(session: &Session, asked: &cli::Keys) -> anyhow::Result<Keys> {
    let repository = session.open().await?;
    let trust = session.trust()?;
    let wanted = session.jobs(&repository, &asked.jobs).await?;
    let views = stream::iter(wanted).map(async |job| {
        let view = repository.view(&job, &trust).await?;
        Ok::<_, repository::Error>((job, view))
    });
    let mut views = views.buffered(JOBS_AT_ONCE);
    let mut jobs = Vec::new();
    while let Some((job, view)) = views.try_next().await? {
        session.note_unseen(&view, &job);
        let configured = session.settings.recipients(&job).iter();
        let configured = configured.map(|setting| setting.value.as_str()).collect();
        jobs.push(JobKeys::of(&job, &view, &trust, &configured));
    }
    Ok(Keys {
        repository: repository.place().to_owned(),
        jobs,
    })
}

impl JobKeys {
    fn of(job: &JobName, view: &View, trust: &Trust, configured: &BTreeSet<&str>) -> Self {
        // In the order in which they came.
        let mut recipients: Vec<Recipient> = Vec::new();
        let mut writers: Vec<(WriterId, u64)> = Vec::new();
        let mut snapshots = Vec::new();
        for valid in view.snapshots() {
            let row = row(job, &valid);
            for text in &row.recipients {
                let at = recipients.iter().position(|it| it.text == *text);
                let at = at.unwrap_or_else(|| {
                    recipients.push(Recipient {
                        text: text.clone(),
                        snapshots: 0,
                        newest: String::new(),
                        configured: configured.contains(text.as_str()),
                    });
                    recipients.len() - 1
                });
                let known = &mut recipients[at];
                known.snapshots += 1;
                known.newest.clone_from(&row.snapshot);
            }
            let writer = valid.statement.writer;
            match writers.iter_mut().find(|(known, _)| *known == writer) {
                Some((_, count)) => *count += 1,
                None => writers.push((writer, 1)),
            }
            snapshots.push(row);
        }
        let writers = writers.into_iter().map(|(writer, snapshots)| Writer {
            key: writer.to_string(),
            snapshots,
            trusted: trust.writers.contains(&writer),
            revoked_after: view.revoked(writer, u64::MAX).map(|it| it.after),
        });
        let maintainers = view.maintainers().into_iter();
        let maintainers = maintainers.map(|(maintainer, commits)| Maintainer {
            key: maintainer.to_string(),
            commits,
            trusted: trust.maintainers.contains(&maintainer),
        });
        Self {
            job: job.to_string(),
            recipients,
            writers: writers.collect(),
            maintainers: maintainers.collect(),
            snapshots,
        }
    }
}

fn row(job: &JobName, valid: &Valid<'_>) -> Row {
    let runs = 0..valid.statement.runs.len();
    let mut recipients: Vec<String> = Vec::new();
    for text in runs.flat_map(|index| valid.recipients(index)) {
        if !recipients.contains(text) {
            recipients.push(text.clone());
        }
    }
    Row {
        snapshot: format!("{job}/{}", valid.at.number),
        recipients,
        writer: valid.statement.writer.to_string(),
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.jobs.iter().try_for_each(|job| write!(f, "{job}"))
    }
}

impl fmt::Display for JobKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.job)?;
        for it in &self.recipients {
            let snapshots = counted(it.snapshots, "snapshot", "snapshots");
            let newest = &it.newest;
            write!(
                f,
                "  recipient   {}  {snapshots}, the newest {newest}",
                it.text
            )?;
            writeln!(
                f,
                "{}",
                if it.configured {
                    ""
                } else {
                    ", not in the configuration"
                }
            )?;
        }
        for it in &self.writers {
            let snapshots = counted(it.snapshots, "snapshot", "snapshots");
            write!(f, "  writer      {}  {snapshots}", it.key)?;
            match (it.revoked_after, it.trusted) {
                (Some(after), _) => writeln!(f, ", revoked after {}/{after}", self.job)?,
                (None, true) => writeln!(f)?,
                (None, false) => writeln!(f, ", not trusted")?,
            }
        }
        for it in &self.maintainers {
            let commits = counted(it.commits, "commit", "commits");
            let trusted = if it.trusted { "" } else { ", not trusted" };
            writeln!(f, "  maintainer  {}  {commits}{trusted}", it.key)?;
        }
        for row in &self.snapshots {
            let recipients = row.recipients.join(", ");
            writeln!(f, "  {}  to {recipients}  by {}", row.snapshot, row.writer)?;
        }
        Ok(())
    }
}
