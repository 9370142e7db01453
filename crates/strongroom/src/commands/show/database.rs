//! What the etcd databases of a snapshot hold: how many keys where, never a value.

use std::fmt;

use anyhow::Context as _;
use repository::Snapshot;
use serde::Serialize;
use source::etcd::database::{Damage, GrantedLease, Records, Report, Reporter, Skeleton};
use source::etcd::holds_keys;

use crate::etcd_file::EtcdFile;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;
use crate::session::Session;
use crate::units::Size;

/// So many leases are printed for people.
const LEASES_SHOWN: usize = 20;

/// The databases of all sources that are etcds.
#[derive(Serialize)]
pub(crate) struct Databases {
    snapshot: String,
    databases: Vec<Database>,
}

#[derive(Serialize)]
struct Database {
    source: String,
    #[serde(flatten)]
    report: Report,
}

impl Databases {
    /// Damage is no reason to say nothing, but the numbers are not to be relied on.
    pub(crate) fn exit(&self) -> Exit {
        let damaged = |database: &Database| !database.report.damage.is_empty();
        if self.databases.iter().any(damaged) {
            Exit::Damage
        } else {
            Exit::Ok
        }
    }
}

/// Reads each database twice: which of its pages are in use is known only when all have gone by.
pub(super) async fn databases(session: &Session, snapshot: &Snapshot) -> anyhow::Result<Databases> {
    let mut databases = Vec::new();
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        if source.kind == "etcd" && !holds_keys(&source.facts) {
            let report = report(session, snapshot, index).await;
            let report = report.with_context(|| format!("source `{}`", source.name))?;
            databases.push(Database {
                source: source.name.clone(),
                report,
            });
        }
    }
    if databases.is_empty() {
        let message = format!("{} has no source of the kind etcd", snapshot.name());
        let hint = format!("strongroom show {} lists what it has", snapshot.name());
        return Err(Failure::usage(message).hint(hint).into());
    }
    Ok(Databases {
        snapshot: snapshot.name(),
        databases,
    })
}

async fn report(session: &Session, snapshot: &Snapshot, index: usize) -> anyhow::Result<Report> {
    let what = format!("read {}", snapshot.name());
    let file = EtcdFile::new(session, snapshot, index, &what);
    let damaged = |damage: Damage| {
        let message = format!("the etcd snapshot is damaged: {damage}");
        Failure::new(Exit::Damage, message)
    };
    let database = file.database().await?;
    let database = database.unwrap_or_else(|| Skeleton::default().finish());
    let database = database.map_err(damaged)?;
    let mut records = Records::new(&database);
    let mut reporter = Reporter::new(&database);
    file.pour(&mut |piece| {
        let taken = records.feed(piece, &mut |item| reporter.take(&item));
        Ok(taken.map_err(damaged)?)
    })
    .await?;
    records.finish().map_err(damaged)?;
    Ok(reporter.finish())
}

impl fmt::Display for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.databases.iter().try_for_each(|it| it.fmt(f))
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        write!(f, "{}: revision {}", self.source, report.revision)?;
        if let Some(compacted) = report.compacted {
            write!(f, ", compacted up to {compacted}")?;
        }
        if let Some(compacting) = report.compacting {
            write!(f, ", being compacted up to {compacting}")?;
        }
        let about = if report.exact { "" } else { "at least " };
        let keys = counted(report.keys, "key", "keys");
        let changes = counted(report.changes, "change", "changes");
        write!(f, ", {about}{keys} in {changes}, {}", Size(report.bytes))?;
        if let Some(hash) = &report.hash {
            write!(f, ", hash {hash}")?;
        }
        writeln!(f)?;
        self.cluster(f)?;
        if !report.prefixes.is_empty() {
            writeln!(
                f,
                "{:>10}  {:>10}  {:>10}  prefix",
                "keys", "changes", "bytes"
            )?;
        }
        for row in &report.prefixes {
            let bytes = Size(row.bytes).to_string();
            let prefix = if row.prefix.is_empty() {
                "(without a slash)"
            } else {
                &row.prefix
            };
            writeln!(
                f,
                "{:>10}  {:>10}  {bytes:>10}  {prefix}",
                row.keys, row.changes
            )?;
        }
        report
            .damage
            .iter()
            .try_for_each(|damage| writeln!(f, "DAMAGED: {damage}"))
    }
}

/// A lease in one line.
struct Granted<'a>(&'a GrantedLease);

impl fmt::Display for Granted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GrantedLease { id, ttl, keys } = self.0;
        write!(f, "    {id}: {ttl} s")?;
        match keys {
            Some(keys) => write!(f, ", {}", counted(*keys, "key", "keys")),
            None => Ok(()),
        }
    }
}

impl Database {
    /// What is not keys.
    fn cluster(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        if let Some(version) = &report.cluster_version {
            writeln!(f, "  cluster version {version}")?;
        }
        for member in &report.members {
            let learner = if member.learner { ", learner" } else { "" };
            let name = if member.name.is_empty() {
                "not started yet"
            } else {
                &member.name
            };
            let urls = member.peer_urls.join(" ");
            writeln!(f, "  member {} ({name}{learner}): {urls}", member.id)?;
        }
        if report.authentication || !report.users.is_empty() {
            let is = if report.authentication { "on" } else { "off" };
            writeln!(f, "  authentication is {is}")?;
        }
        for user in &report.users {
            writeln!(f, "  user {}, roles: {}", user.name, user.roles.join(" "))?;
        }
        if !report.roles.is_empty() {
            writeln!(f, "  roles: {}", report.roles.join(" "))?;
        }
        if report.leases > 0 {
            writeln!(f, "  {}", counted(report.leases, "lease", "leases"))?;
            let shown = report.lease_list.iter().take(LEASES_SHOWN);
            shown
                .clone()
                .try_for_each(|lease| writeln!(f, "{}", Granted(lease)))?;
            let more = report.leases - shown.len() as u64;
            if more > 0 {
                writeln!(f, "    and {more} more; --json lists them")?;
            }
        }
        let mut alarms = report.alarms.iter();
        alarms.try_for_each(|alarm| writeln!(f, "  ALARM: {alarm}"))
    }
}
