//! `snapshots`: what there is. Needs no identity: all of it stands in the commits.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use format::JobName;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use repository::{Trust, Valid, View};
use serde::Serialize;

use crate::cli::Snapshots as Asked;
use crate::session::Session;
use crate::units::Size;

/// The snapshots of a repository, by job, the oldest first.
#[derive(Serialize)]
pub(crate) struct Snapshots {
    repository: String,
    id: String,
    #[serde(rename = "snapshots")]
    rows: Vec<Row>,
    /// Commits that are damaged, which `verify` says more about.
    damaged: Vec<String>,
}

#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a line of JSON: independent answers, not a state"
)]
struct Row {
    snapshot: String,
    job: String,
    number: u64,
    started: String,
    finished: String,
    entries: u64,
    bytes: u64,
    added: u64,
    partial: bool,
    /// No prune may drop it.
    pinned: bool,
    /// The next prune drops it.
    forgotten: bool,
    writer: String,
    /// Who put it there: the writer, or whoever copied it.
    appender: String,
    trusted: bool,
    /// The commit that revoked its writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_by: Option<String>,
    #[serde(skip)]
    stranger: Option<String>,
    program: String,
    recipients: Vec<String>,
}

/// Jobs whose logs are read at the same time: a bucket answers slowly, and there may be many.
const JOBS_AT_ONCE: usize = 16;

/// Lists the snapshots that are asked for: with `since` those of that long before `now` and later, with `all` forgotten ones too.
pub(crate) async fn snapshots(
    session: &Session,
    asked: &Asked,
    now: Timestamp,
) -> anyhow::Result<Snapshots> {
    let repository = session.open_remembered().await?;
    let trust = session.trust()?;
    let oldest = asked.since.map(|since| oldest(now, since.duration()));
    let mut list = Snapshots {
        repository: repository.place().to_owned(),
        id: repository.id().to_string(),
        rows: Vec::new(),
        damaged: Vec::new(),
    };
    let jobs = session.jobs(&repository, asked.job.as_slice()).await?;
    let views = stream::iter(jobs).map(async |job| {
        let view = repository.view(&job, &trust).await?;
        Ok::<_, repository::Error>((job, view))
    });
    let mut views = views.buffered(JOBS_AT_ONCE);
    while let Some((job, view)) = views.try_next().await? {
        let rows = view
            .snapshots()
            .filter(|valid| is_since(valid, oldest) && (asked.all || !valid.forgotten()));
        list.rows
            .extend(rows.map(|valid| row(&job, &valid, &trust)));
        list.damaged.extend(damaged(&job, &view));
        if view.foreign_prune().is_some() {
            session.note_unseen(&view, &job);
        }
    }
    Ok(list)
}

fn oldest(now: Timestamp, since: Duration) -> Timestamp {
    let since = SignedDuration::try_from(since).expect("a period is a century at most");
    now.checked_sub(since).unwrap_or(Timestamp::MIN)
}

/// A time that cannot be read is not hidden: it is a snapshot all the same.
fn is_since(valid: &Valid<'_>, oldest: Option<Timestamp>) -> bool {
    let finished: Option<Timestamp> = valid.statement.finished.parse().ok();
    oldest
        .zip(finished)
        .is_none_or(|(oldest, finished)| finished >= oldest)
}

fn damaged(job: &JobName, view: &View) -> Vec<String> {
    let damaged = view.garbage().iter().filter(|garbage| garbage.damage);
    damaged
        .map(|garbage| format!("{job}/{}: {}", garbage.number, garbage.reason))
        .collect()
}

fn row(job: &JobName, valid: &Valid<'_>, trust: &Trust) -> Row {
    let statement = valid.statement;
    Row {
        snapshot: format!("{job}/{}", valid.at.number),
        job: job.to_string(),
        number: valid.at.number,
        started: statement.started.clone(),
        finished: statement.finished.clone(),
        entries: statement.entries,
        bytes: statement.bytes,
        added: statement.added,
        partial: statement.partial,
        pinned: valid.pinned(),
        forgotten: valid.forgotten(),
        writer: statement.writer.to_string(),
        appender: valid.appender().to_string(),
        trusted: trust.accepts(valid),
        revoked_by: valid
            .revoked()
            .map(|revocation| format!("{job}/{}", revocation.by.number)),
        stranger: trust.stranger(valid).map(|key| key.to_string()),
        program: statement.program.clone(),
        recipients: valid.recipients(0).to_vec(),
    }
}

impl Snapshots {
    /// What a person should know beside the list.
    pub(crate) fn notes(&self) -> Vec<String> {
        let strangers = self.rows.iter().filter_map(|row| row.stranger.as_deref());
        let writers: BTreeSet<&str> = strangers.collect();
        let writers = writers.into_iter().map(|writer| {
            format!("the writer {writer} is not trusted: compare it with a copy that you kept, then --trust-writer")
        });
        let damaged = self
            .damaged
            .iter()
            .map(|damaged| format!("damaged: {damaged}; see strongroom verify"));
        writers.chain(damaged).collect()
    }
}

impl fmt::Display for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.snapshot.len())
            .max()
            .unwrap_or_default()
            .max(8);
        writeln!(
            f,
            "{:width$}  {:24}  {:>9}  {:>10}  {:>10}",
            "SNAPSHOT", "TIME", "ENTRIES", "SIZE", "STORED"
        )?;
        for row in &self.rows {
            let finished = archive::Name::from(row.finished.as_str()).to_string();
            let (size, stored) = (Size(row.bytes).to_string(), Size(row.added).to_string());
            write!(
                f,
                "{:width$}  {finished:24}  {:>9}  {size:>10}  {stored:>10}",
                row.snapshot, row.entries
            )?;
            let marks = [
                (row.partial, "PARTIAL"),
                (row.pinned, "pinned"),
                (row.forgotten, "forgotten"),
            ];
            for (_, mark) in marks.iter().filter(|(set, _)| *set) {
                write!(f, "  {mark}")?;
            }
            if let Some(by) = &row.revoked_by {
                write!(f, "  writer revoked by {by}")?;
            } else if let Some(stranger) = &row.stranger {
                write!(f, "  untrusted writer {}", &stranger[..16])?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
