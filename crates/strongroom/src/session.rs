//! What the commands share: the repository, what opens snapshots, and which one is meant.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use format::{Identities, JobName};
use jiff::Timestamp;
use repository::{Cache, Compute, Repository, Snapshot, Store, Trust, Valid, View};
use tokio::sync::watch;

use crate::config::{Place, Settings};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::{SnapshotName, Which, nearest};
use crate::output::Output;
use crate::processors;
use crate::stores::{self, Forbearance};
use crate::unlock::unlock;

/// Program and version, as commits name them.
pub(crate) const PROGRAM: &str = concat!("strongroom ", env!("CARGO_PKG_VERSION"));

/// The program, between the command line and a command.
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) output: Output,
    pub(crate) compute: Compute,
    stop: Stop,
}

/// Said once, when somebody wants us to end.
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Somebody wants us to end. Whether work is under way that cleans up first, and is worth waiting for.
    pub(crate) fn say(&self) -> bool {
        self.0.send(true).is_ok()
    }

    /// Does `work`, unless somebody wants us to end first: then the caller cleans up and returns the error.
    pub(crate) async fn unless_said<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let mut stopped = self.0.subscribe();
        tokio::select! {
            biased;
            // The sender lives as long as we do.
            _ = stopped.wait_for(|stop| *stop) => Err(interrupted().into()),
            done = work => done,
        }
    }
}

impl Session {
    pub(crate) fn new(settings: Settings, output: Output) -> anyhow::Result<Self> {
        let compute = processors::start().context("start threads")?;
        Ok(Self {
            settings,
            output,
            compute,
            stop: Stop::new(),
        })
    }

    /// As [`Stop::say`].
    pub(crate) fn stop(&self) -> bool {
        self.stop.say()
    }

    /// As [`Stop::unless_said`].
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.stop.unless_said(work).await
    }

    /// The place of the repository, wherever it was said.
    pub(crate) fn place(&self) -> anyhow::Result<&Place> {
        self.settings.repository.as_ref().ok_or_else(|| {
            Failure::usage("it is not known where the repository is")
                .hint("say --repo ADDRESS, or `repository: ADDRESS` in strongroom.yaml: a path, s3://, gs:// or az://")
                .into()
        })
    }

    /// The place of another repository, which `flag` names.
    pub(crate) fn other_place(&self, flag: &'static str, text: &str) -> anyhow::Result<Place> {
        let mut place = self.settings.place(flag, text)?;
        place.complete(|name| std::env::var(name).ok());
        place.check()?;
        Ok(place)
    }

    /// The store of the repository, to be tried out while somebody waits.
    pub(crate) fn store_on_trial(&self) -> anyhow::Result<Store> {
        stores::store(self.place()?, Forbearance::Trial).map_err(with_hint_below)
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Repository> {
        self.open_at(self.place()?).await
    }

    /// The repository, used with what this host has read of it before, and with what lies together in it: not for whoever judges what is
    /// stored.
    pub(crate) async fn open_remembered(&self) -> anyhow::Result<Repository> {
        self.open_remembered_at(self.place()?).await
    }

    pub(crate) async fn open_remembered_at(&self, place: &Place) -> anyhow::Result<Repository> {
        let repository = self.open_at(place).await?;
        // A directory is read as fast as what would be kept of it.
        if place.directory().is_some() {
            return Ok(repository);
        }
        let repository = repository.with_bundles();
        Ok(match self.settings.cache.as_ref() {
            Some(folder) => repository.with_cache(Arc::new(Cache::new(folder.value.clone()))),
            None => repository,
        })
    }

    pub(crate) async fn open_at(&self, place: &Place) -> anyhow::Result<Repository> {
        let store = stores::store(place, Forbearance::Usual).map_err(with_hint_below)?;
        let opened = Repository::open(store).await.map_err(with_hint)?;
        Ok(opened.decoding_on(self.compute.clone()))
    }

    /// What opens snapshots; at least one. Somebody may have to type a passphrase, or touch a token.
    pub(crate) async fn identities(&self) -> anyhow::Result<Arc<Identities>> {
        let files = self.settings.identities.iter();
        let files: Vec<PathBuf> = files.map(|setting| setting.value.clone()).collect();
        let passphrase = self.settings.identity_passphrase.as_ref();
        let passphrase = passphrase.map(|setting| setting.value.clone());
        let output = self.output;
        // Not on this thread: an interrupt must still be noticed.
        let unlocked =
            tokio::task::spawn_blocking(move || unlock(&files, passphrase.as_ref(), output));
        let identities = unlocked.await.expect("unlocking does not panic")?;
        if identities.is_empty() {
            let failure = Failure::new(
                Exit::NoIdentity,
                "this needs an identity, and none was given",
            );
            return Err(failure
                .hint("--identity FILE, the file that `strongroom keygen` made")
                .into());
        }
        Ok(Arc::new(identities))
    }

    /// The jobs of the repository, or the one that is asked for, which must be there.
    pub(crate) async fn jobs(
        &self,
        repository: &Repository,
        wanted: &[JobName],
    ) -> anyhow::Result<Vec<JobName>> {
        let known = known_jobs(repository, wanted).await?;
        Ok(if wanted.is_empty() {
            known
        } else {
            wanted.to_vec()
        })
    }

    /// The jobs named, each with what restores of it saved; or all.
    pub(crate) async fn jobs_with_undo(
        &self,
        repository: &Repository,
        wanted: &[JobName],
    ) -> anyhow::Result<Vec<JobName>> {
        let mut jobs = known_jobs(repository, wanted).await?;
        if !wanted.is_empty() {
            let undo: Vec<JobName> = wanted.iter().map(JobName::undo).collect();
            jobs.retain(|job| wanted.contains(job) || undo.contains(job));
        }
        Ok(jobs)
    }

    /// Opens the snapshot that `name` means.
    pub(crate) async fn snapshot(
        &self,
        repository: &Repository,
        name: &SnapshotName,
    ) -> anyhow::Result<Snapshot> {
        let identities = self.identities().await?;
        let mut trust = self.trust()?;
        let job = &name.job;
        self.jobs(repository, std::slice::from_ref(job)).await?;
        let view = self.view(repository, job, &mut trust).await?;
        let valid = choose(&view, &trust, name)?;
        if !matches!(name.which, Which::Number(_)) {
            refuse_older(&view, &valid)?;
        }
        self.note_breaks(&view, &valid);
        self.open_snapshot(repository, valid, identities, &trust)
            .await
    }

    /// Says it where damage to the log keeps newer snapshots from counting, or where the chosen one stands behind it.
    fn note_breaks(&self, view: &View, chosen: &Valid<'_>) {
        let job = &chosen.statement.job;
        let number = chosen.at.number;
        let stray = view.strays().next_back().map(|stray| stray.at.number);
        let damaged = view.newest_damage();
        if !view.holds(chosen.at) {
            self.output.note(format_args!(
                "the log of {job} is broken before {job}/{number}, which is authentic all the same"
            ));
        } else if let Some(newest) = stray.filter(|newest| *newest > number) {
            self.output.note(format_args!(
                "the log of {job} is broken, and snapshots up to {job}/{newest} behind the break do not count: \
                 `strongroom verify {job}` says where; `{job}/{newest}` by its number can still be read"
            ));
        } else if let Some(damaged) = damaged.filter(|damaged| damaged.number > number) {
            self.output.note(format_args!(
                "commit {job}/{} is damaged, so a snapshot newer than {job}/{number} may be lost: \
                 `strongroom verify {job}` says more",
                damaged.number
            ));
        }
    }

    /// Says it where a list of what is in a log cannot be all that is there.
    pub(crate) fn note_unseen(&self, view: &View, job: &JobName) {
        if let Some((number, maintainer)) = view.foreign_prune() {
            self.output.note(format_args!(
                "{job} was pruned (commit {job}/{number}) by {maintainer}, who is not a trusted maintainer: which of its commits count cannot \
                 be told; if this is a maintainer of yours: --trust-maintainer {maintainer}"
            ));
        } else if let Some(damaged) = view.newest_damage() {
            self.output.note(format_args!(
                "the log of {job} is damaged (commit {job}/{}), and what stands behind the damage does not count: `strongroom verify {job}` says more",
                damaged.number
            ));
        }
    }

    /// Says it before a commit is appended to a log that is damaged.
    pub(crate) fn note_damage(&self, view: &View, job: &JobName) {
        if let Some(damaged) = view.newest_damage() {
            let number = damaged.number;
            self.output.note(format_args!(
                "the log of {job} is damaged (commit {job}/{number}), and goes on without what stands there: `strongroom verify {job}` says more"
            ));
        }
    }

    pub(crate) async fn open_snapshot(
        &self,
        repository: &Repository,
        valid: Valid<'_>,
        identities: Arc<Identities>,
        trust: &Trust,
    ) -> anyhow::Result<Snapshot> {
        let compute = self.compute.clone();
        match Snapshot::open(repository, valid, identities, trust, compute).await {
            Ok(snapshot) => Ok(snapshot),
            Err(error) => Err(with_hint(error)),
        }
    }
}

/// All jobs of the repository, among which are those that are `wanted`.
async fn known_jobs(repository: &Repository, wanted: &[JobName]) -> anyhow::Result<Vec<JobName>> {
    let known = repository.jobs().await?;
    match wanted.iter().find(|job| !known.contains(job)) {
        Some(job) => Err(no_job(repository, job, &known).into()),
        None => Ok(known),
    }
}

/// By number any valid snapshot, a forgotten one too; otherwise the newest by a trusted writer, so that nobody can put another one in
/// front.
pub(crate) fn choose<'a>(
    view: &'a View,
    trust: &Trust,
    name: &SnapshotName,
) -> anyhow::Result<Valid<'a>> {
    let offered = |valid: &Valid<'_>| trust.accepts(valid) && !valid.forgotten();
    let found = match name.which {
        Which::Number(number) => view.snapshot_or_stray(number),
        Which::Newest => view
            .snapshots()
            .rev()
            .find(offered)
            .or_else(|| view.snapshots().rev().find(|valid| !valid.forgotten())),
        Which::NotAfter(moment) => view.snapshots().rev().find(|valid| {
            let finished = valid.statement.finished.parse::<Timestamp>();
            offered(valid) && finished.is_ok_and(|finished| finished <= moment)
        }),
    };
    found.ok_or_else(|| no_snapshot(view, name).into())
}

/// What a command ends with when somebody wanted it to.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

/// The same, for an error of the library that came along with others.
fn with_hint_below(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<repository::Error>() {
        Ok(error) => with_hint(error),
        Err(error) => error,
    }
}

/// Says what to type next, which the library cannot know.
pub(crate) fn with_hint(error: repository::Error) -> anyhow::Error {
    let hinted = match error.kind() {
        repository::Error::NoRepository { .. } => {
            Failure::new(Exit::NoRepository, error.to_string())
                .hint("strongroom init, or say with --repo ADDRESS where it is")
        }
        repository::Error::Unusable {
            reason: format::DescriptionError::NotOne,
            ..
        } => Failure::new(Exit::Damage, error.to_string()).hint(
            "it never changes: bring it back from a copy of the directory, or from an older version in the bucket",
        ),
        repository::Error::Untrusted { writer, snapshot } => Failure::new(
            Exit::Untrusted,
            format!("{snapshot} was written by {writer}, which is not a trusted writer"),
        )
        .hint(format!(
            "compare it with a copy that you kept, then --trust-writer {writer}"
        )),
        repository::Error::Revoked { .. } => Failure::new(Exit::Untrusted, error.to_string())
            .hint("an older snapshot, or one by another writer: strongroom snapshots"),
        repository::Error::WriterRevoked { .. } => Failure::new(Exit::Untrusted, error.to_string())
            .hint("strongroom keygen --writer --output new-writer.key, then `writer_key: new-writer.key`, and its public key into `trusted_writers` of others"),
        repository::Error::ForeignPrune { maintainer, .. }
        | repository::Error::ForeignRotation { maintainer, .. } => {
            Failure::new(Exit::Untrusted, error.to_string()).hint(format!(
                "if this is a maintainer of yours: --trust-maintainer {maintainer}, or `trusted_maintainers` in strongroom.yaml"
            ))
        }
        repository::Error::DamagedLog { job, .. } => Failure::new(Exit::Damage, error.to_string())
            .hint(format!(
                "strongroom verify {job} says what is wrong, and strongroom repair mends what it can; --despite-damage goes on all the same"
            )),
        repository::Error::UntrustedAppender { appender, .. } => {
            Failure::new(Exit::Untrusted, error.to_string()).hint(format!(
                "if a host of yours copied it, --trust-writer {appender}"
            ))
        }
        repository::Error::NobodyLeft { .. } => Failure::usage(error.to_string())
            .hint("--add RECIPIENT, whoever is to read it from now on"),
        repository::Error::NotOpenedAgain { .. } => {
            Failure::new(Exit::NoIdentity, error.to_string())
                .hint("--identity FILE twice: one that opens what is there, and one of those who are to open it")
        }
        repository::Error::NoIdentity { .. } => Failure::new(Exit::NoIdentity, error.to_string())
            .hint("--identity FILE, with the identity of one of these"),
        _ => return error.into(),
    };
    hinted.into()
}

fn no_job(repository: &Repository, job: &JobName, known: &[JobName]) -> Failure {
    let failure = Failure::new(
        Exit::Failure,
        format!("the repository {} has no job {job}", repository.place()),
    );
    match nearest(job.as_str(), known.iter().map(JobName::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("strongroom snapshots"),
    }
}

/// Whoever asks for the newest must not be given an older one in silence because a commit above it was damaged.
fn refuse_older(view: &View, chosen: &Valid<'_>) -> Result<(), Failure> {
    let number = chosen.at.number;
    let job = &chosen.statement.job;
    refuse_foreign(view, job)?;
    let damaged = view.newest_damage();
    let Some(damaged) = damaged.filter(|damaged| damaged.number > number) else {
        return Ok(());
    };
    let message = format!(
        "commit {job}/{} is damaged ({}), so a snapshot newer than {job}/{number} may be lost",
        damaged.number, damaged.reason
    );
    Err(Failure::new(Exit::Damage, message).hint(format!(
        "strongroom verify {job}; a snapshot named by its number, such as {job}/{number}, can be used all the same"
    )))
}

/// To somebody who does not know the maintainer a pruned log looks broken.
fn refuse_foreign(view: &View, job: &JobName) -> Result<(), Failure> {
    let Some((number, maintainer)) = view.foreign_prune() else {
        return Ok(());
    };
    let message = format!(
        "{job} was pruned (commit {job}/{number}) by {maintainer}, who is not a trusted maintainer"
    );
    Err(Failure::new(Exit::Untrusted, message).hint(format!(
        "compare it with a copy that you kept, then --trust-maintainer {maintainer}"
    )))
}

fn no_snapshot(view: &View, name: &SnapshotName) -> Failure {
    if let Err(failure) = refuse_foreign(view, &name.job) {
        return failure;
    }
    let damaged = view.garbage().iter().rfind(|garbage| {
        garbage.damage && !matches!(name.which, Which::Number(number) if number != garbage.number)
    });
    if let Some(damaged) = damaged {
        let job = &name.job;
        let (number, reason) = (damaged.number, &damaged.reason);
        let message =
            format!("there is no snapshot {name}: commit {job}/{number} is damaged ({reason})");
        return Failure::new(Exit::Damage, message).hint(format!("strongroom verify {job}"));
    }
    let listed = view.snapshots().filter(|valid| !valid.forgotten());
    let mut numbers = listed.map(|valid| valid.at.number);
    let range = match (numbers.next(), numbers.next_back()) {
        (None, _) => format!("{} has no snapshots", name.job),
        (Some(only), None) => format!("{0} has one snapshot, {0}/{only}", name.job),
        (Some(first), Some(last)) => format!("{0} has {0}/{first} to {0}/{last}", name.job),
    };
    let failure = Failure::new(
        Exit::Failure,
        format!("there is no snapshot {name}: {range}"),
    );
    failure.hint(format!("strongroom snapshots {}", name.job))
}
