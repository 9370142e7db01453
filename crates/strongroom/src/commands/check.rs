//! `check`: what a restore will need that the snapshots of a job will not have.

use std::fmt;

use anyhow::Context as _;
use format::JobName;
use serde::Serialize;
use source::kubernetes::Kubernetes;

use crate::config::resolve::Kind;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::nearest;
use crate::session::Session;

/// What was found out about jobs.
#[derive(Serialize)]
pub(crate) struct Checked {
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    job: String,
    source: String,
    /// Whether a restore would lack something. Otherwise it could not be found out.
    bad: bool,
    name: String,
    message: String,
}

/// Asks the systems of `jobs`, or of all jobs. Sources of other kinds than kubernetes refer to nothing.
pub(crate) async fn check(session: &Session, jobs: &[JobName]) -> anyhow::Result<Checked> {
    let configured = &session.settings.jobs;
    if let Some(unknown) = jobs.iter().find(|job| !configured.contains_key(*job)) {
        let known = configured.keys().map(JobName::as_str);
        let failure = Failure::usage(format!("the configuration has no job {unknown}"));
        return Err(match nearest(unknown.as_str(), known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("strongroom config"),
        }
        .into());
    }
    let chosen = configured
        .iter()
        .filter(|(name, _)| jobs.is_empty() || jobs.contains(name));
    let mut findings = Vec::new();
    for (name, job) in chosen {
        for source in &job.sources {
            let Kind::Kubernetes(settings) = &source.kind else {
                continue;
            };
            let cluster = Kubernetes::new(settings.options());
            let found = cluster.completeness().await;
            let named = || format!("source `{}`", source.name.value);
            for finding in found.with_context(named)? {
                findings.push(Found {
                    job: name.to_string(),
                    source: source.name.value.clone(),
                    bad: finding.bad,
                    name: finding.name.to_string(),
                    message: finding.message,
                });
            }
        }
    }
    Ok(Checked { findings })
}

impl Checked {
    pub(crate) fn exit(&self) -> Exit {
        if self.findings.is_empty() {
            Exit::Ok
        } else {
            Exit::Partial
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return writeln!(f, "nothing is missing");
        }
        for found in &self.findings {
            let mark = if found.bad { '!' } else { '?' };
            let (job, source, message) = (&found.job, &found.source, &found.message);
            writeln!(f, "{mark} {job} {source}: {message}")?;
        }
        Ok(())
    }
}
