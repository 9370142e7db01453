//! `check`: what a restore will need that the snapshots of a job will not have.

use std::fmt;

use archive::Name;
use foreign::datarobot::CREDENTIALS;
use format::JobName;
use serde::Serialize;
use source::Finding;
use source::kubernetes::Kubernetes;
use zeroize::Zeroizing;

use crate::cli;
use crate::config::resolve::{self, Kind};
use crate::datarobot::{DataRobot, Found};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::names::{SnapshotName, nearest};
use crate::objects::installation;
use crate::session::Session;

/// What was found out about jobs.
#[derive(Serialize)]
pub(crate) struct Checked {
    findings: Vec<Row>,
    /// What is worth knowing, and nothing that a restore would lack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<NoteRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<FailedRow>,
    #[serde(skip)]
    pub(crate) failures: Vec<anyhow::Error>,
    /// Whether the cluster's keys are those of the snapshot that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Keys>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Keys {
    Same,
    Differ,
}

#[derive(Serialize)]
struct Row {
    job: String,
    source: String,
    /// Whether a restore would lack something. Otherwise it could not be found out.
    bad: bool,
    name: String,
    message: String,
}

#[derive(Serialize)]
struct NoteRow {
    job: String,
    source: String,
    message: String,
}

/// A source that could not be asked.
#[derive(Serialize)]
struct FailedRow {
    job: String,
    source: String,
    error: String,
    exit_code: u8,
}

/// What was found out about one source.
struct Looked {
    findings: Vec<Finding>,
    notes: Vec<String>,
}

/// What a snapshot of etcd lacks for its Kubernetes objects to be read. Neither etcd nor an API server shows whether there is one.
const ENCRYPTION: &str = "if this is the etcd of a Kubernetes with encryption at rest, its objects are read only with the \
    EncryptionConfiguration of the API servers, which no API shows: back up that file too";

/// Asks the clusters of the jobs that are named, or of all jobs. Of other sources it says what is known without asking.
/// One that cannot be asked does not keep the others from it.
pub(crate) async fn check(session: &Session, asked: &cli::Check) -> anyhow::Result<Checked> {
    let configured = &session.settings.jobs;
    let jobs = &asked.jobs;
    if let Some(unknown) = jobs.iter().find(|job| !configured.contains_key(*job)) {
        let known = configured.keys().map(JobName::as_str);
        let failure = Failure::usage(format!("the configuration has no job {unknown}"));
        return Err(match nearest(unknown.as_str(), known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("strongroom config"),
        }
        .into());
    }
    let expected = match &asked.against {
        Some(name) => Some(Expected::of(session, name).await?),
        None => None,
    };
    let chosen = configured
        .iter()
        .filter(|(name, _)| jobs.is_empty() || jobs.contains(name));
    let mut checked = Checked {
        findings: Vec::new(),
        notes: Vec::new(),
        failed: Vec::new(),
        failures: Vec::new(),
        keys: None,
        against: expected.as_ref().map(|expected| expected.snapshot.clone()),
    };
    for (name, job) in chosen {
        for source in &job.sources {
            let (kind, source) = (&source.kind, &source.name.value);
            let looked = match kind {
                Kind::Kubernetes(settings) => look(settings, expected.as_ref(), &mut checked).await,
                Kind::Etcd(_) => Ok(Looked {
                    findings: Vec::new(),
                    notes: vec![ENCRYPTION.to_owned()],
                }),
                Kind::Files(_) | Kind::Command(_) => continue,
            };
            match looked {
                Ok(looked) => checked.add(name, source, looked),
                Err(error) => checked.fail(name, source, error),
            }
        }
    }
    if expected.is_some() && checked.keys.is_none() && checked.failures.is_empty() {
        let message =
            "--against compares the keys of DataRobot, and no source of these jobs is one";
        return Err(Failure::usage(message).hint("docs/datarobot.md").into());
    }
    Ok(checked)
}

/// What is found out about one source.
async fn look(
    settings: &resolve::Kubernetes,
    expected: Option<&Expected>,
    checked: &mut Checked,
) -> Result<Looked, source::Error> {
    let mut notes = Vec::new();
    let mut findings = Kubernetes::new(settings.options()).completeness().await?;
    if let Some(preset) = &settings.preset {
        let live = Found::default();
        let installation = DataRobot::new(settings, preset, live.clone());
        let (missing, said) = installation.inspect().await?;
        findings.extend(missing);
        notes.extend(said);
        if let Some(expected) = expected {
            let differing = expected.differing(live.take());
            let same = differing.is_empty() && checked.keys != Some(Keys::Differ);
            checked.keys = Some(if same { Keys::Same } else { Keys::Differ });
            findings.extend(differing);
        }
    }
    Ok(Looked { findings, notes })
}

/// The keys of a snapshot, which those of a cluster should be.
struct Expected {
    snapshot: String,
    keys: Vec<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Expected {
    async fn of(session: &Session, name: &SnapshotName) -> anyhow::Result<Self> {
        let repository = session.open().await?;
        let snapshot = session.snapshot(&repository, name).await?;
        let installation = installation(&snapshot, None, &[], &cli::Inside::nothing()).await?;
        let keys = installation.keys()?.into_iter();
        Ok(Self {
            snapshot: snapshot.name(),
            keys: keys
                .map(|(key, value)| (key, value.to_vec().into()))
                .collect(),
        })
    }

    /// What is wrong with keys that were found, if anything is.
    fn differing(&self, found: Option<foreign::datarobot::Keys>) -> Vec<Finding> {
        let snapshot = &self.snapshot;
        let lost = "what MongoDB held then cannot be decrypted";
        let finding = |name: &Name, message: String| Finding {
            bad: true,
            name: name.clone(),
            message,
        };
        let Some(found) = found else {
            let name = Name::from(CREDENTIALS);
            let message = format!(
                "the cluster's keys are not whole, so they are not those of {snapshot}: {lost}"
            );
            return vec![finding(&name, message)];
        };
        let differing = self
            .keys
            .iter()
            .filter(|(key, value)| found.values.get(*key) != Some(value));
        let entry = &found.entry;
        let differing = differing.map(|(key, _)| {
            let message = format!("{entry} {key} is another one than in {snapshot}: {lost}");
            finding(entry, message)
        });
        differing.collect()
    }
}

impl Checked {
    fn add(&mut self, job: &JobName, source: &str, looked: Looked) {
        let found = looked.findings.into_iter().map(|finding| Row {
            job: job.to_string(),
            source: source.to_owned(),
            bad: finding.bad,
            name: finding.name.to_string(),
            message: finding.message,
        });
        self.findings.extend(found);
        let notes = looked.notes.into_iter().map(|message| NoteRow {
            job: job.to_string(),
            source: source.to_owned(),
            message,
        });
        self.notes.extend(notes);
    }

    fn fail(&mut self, job: &JobName, source: &str, error: source::Error) {
        let error = anyhow::Error::new(error).context(format!("check {job}: source `{source}`"));
        self.failed.push(FailedRow {
            job: job.to_string(),
            source: source.to_owned(),
            exit_code: exit::of(&error).code(),
            error: crate::output::chain(&error),
        });
        self.failures.push(error);
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        let notes = self.notes.iter();
        notes
            .map(|note| format!("{} {}: {}", note.job, note.source, note.message))
            .collect()
    }

    /// How it ends if every source could be asked.
    pub(crate) fn exit(&self) -> Exit {
        // Whoever asks whether the keys are the same need not have the rights to see what else there is.
        let counts = |found: &Row| found.bad || self.against.is_none();
        if self.keys == Some(Keys::Differ) {
            Exit::Differences
        } else if self.findings.iter().any(counts) {
            Exit::Partial
        } else {
            Exit::Ok
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(Keys::Same), Some(snapshot)) = (self.keys, &self.against) {
            writeln!(f, "the keys of the cluster are those of {snapshot}")?;
        }
        if self.findings.is_empty() && self.failures.is_empty() {
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
