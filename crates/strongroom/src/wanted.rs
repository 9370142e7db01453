//! Which configured source a source of a snapshot goes back to.

use anyhow::bail;
use repository::Snapshot;

use crate::config::resolve::{Job, Kind, Settings, SourceSettings};
use crate::config::stored;
use crate::datarobot::KEYS_OF;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::nearest;
use crate::session::Session;

/// The sources of this host's configuration, and those of the configuration that the snapshot brings along.
pub(crate) struct Wanted<'a> {
    snapshot: &'a Snapshot,
    ours: Option<&'a Job>,
    theirs: Option<Settings>,
    job: format::JobName,
    /// The cluster that objects found inside an etcd snapshot belong to.
    cluster: Option<&'a SourceSettings>,
    session: &'a Session,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(session: &'a Session, snapshot: &'a Snapshot) -> anyhow::Result<Self> {
        let name = snapshot.job().as_str();
        let job: format::JobName = name.strip_suffix(".undo").unwrap_or(name).parse()?;
        let configuration = &snapshot.manifest().configuration;
        // One from a newer version may not be understood; ours may still be enough.
        let theirs = stored::settings(configuration).ok();
        Ok(Self {
            snapshot,
            ours: session.settings.jobs.get(&job),
            theirs,
            job,
            cluster: None,
            session,
        })
    }

    /// Objects that were found inside an etcd snapshot belong to the cluster of the job `into`, or of the only one that has a
    /// source of the kind kubernetes.
    pub(crate) fn objects_into(&mut self, into: Option<&format::JobName>) -> Result<(), Failure> {
        let jobs = &self.session.settings.jobs;
        if let Some(job) = into.filter(|job| !jobs.contains_key(*job)) {
            let known = jobs.keys().map(format::JobName::as_str);
            let failure = Failure::usage(format!("the configuration has no job {job}"));
            return Err(match nearest(job.as_str(), known) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("strongroom config"),
            });
        }
        let jobs = jobs
            .iter()
            .filter(|(name, _)| into.is_none_or(|it| it == *name));
        let sources = jobs.flat_map(|(name, job)| job.sources.iter().map(move |it| (name, it)));
        let clusters = sources.filter(|(_, it)| matches!(it.kind, Kind::Kubernetes(_)));
        let clusters: Vec<_> = clusters.collect();
        match clusters[..] {
            [(_, cluster)] => {
                self.cluster = Some(cluster);
                Ok(())
            }
            [] => Err(Failure::usage(
                "it is not known which cluster the objects belong to: no job has a source of the kind kubernetes",
            )
            .hint("a job with `kubernetes: {kubeconfig: FILE}` in strongroom.yaml, and --into JOB")),
            _ => {
                let jobs: Vec<&str> = clusters.iter().map(|(name, _)| name.as_str()).collect();
                Err(Failure::usage(format!(
                    "it is not known which cluster the objects belong to: {} have sources of the kind kubernetes",
                    jobs.join(", ")
                ))
                .hint("--into JOB, of which there is one source of that kind"))
            }
        }
    }

    /// The settings for source number `index`: ours if there are any, otherwise those that the snapshot brings.
    ///
    /// The snapshot's never say which program is run here: whoever took over the host that wrote them would run
    /// programs on this one. With `elsewhere` (a restore to another place) no program is run.
    pub(crate) fn settings(
        &self,
        index: usize,
        elsewhere: bool,
    ) -> anyhow::Result<&SourceSettings> {
        let source = &self.snapshot.manifest().sources[index];
        let (ours, theirs) = self.found(index);
        match (ours, theirs) {
            (Some(ours), _) => Ok(ours),
            (None, Some(theirs)) if elsewhere || !matches!(theirs.kind, Kind::Command(_)) => {
                Ok(theirs)
            }
            (None, Some(_)) => {
                let message = format!(
                    "source `{}` is restored by a program, and this host's configuration does not name it",
                    source.name
                );
                let hint = "check what `strongroom show SNAPSHOT --configuration` writes, then use it; or say --to FILE";
                Err(Failure::new(Exit::Failure, message).hint(hint).into())
            }
            (None, None) if source.facts.contains_key(KEYS_OF) => {
                let message = format!(
                    "{} has only the two keys of core-credentials, which would take the place of all that is in it",
                    self.snapshot.name()
                );
                let hint = "export --format datarobot-values, for a new installation; `strongroom get`, for one of them; or restore the job \
                     that they were captured with";
                Err(Failure::new(Exit::Failure, message).hint(hint).into())
            }
            (None, None) => bail!(
                "neither this host's configuration nor the snapshot says what source `{}` ({}) is",
                source.name,
                source.kind
            ),
        }
    }

    /// The settings with which source number `index` is read as it is now, or one clause that says why it is not.
    ///
    /// The snapshot's never say which program is run or which server is asked, as above: the one could do anything, and to the
    /// other a password would be sent.
    pub(crate) fn live(&self, index: usize) -> Result<&SourceSettings, &'static str> {
        let (ours, theirs) = self.found(index);
        match (ours, theirs.map(|theirs| (theirs, &theirs.kind))) {
            (Some(ours), _) => Ok(ours),
            (None, Some((theirs, Kind::Files(_)))) => Ok(theirs),
            (None, Some((_, Kind::Command(_)))) => {
                Err("this host's configuration does not name its program, so it was not run")
            }
            (None, Some((_, Kind::Etcd(_) | Kind::Kubernetes(_)))) => {
                Err("this host's configuration does not name its servers, so none was asked")
            }
            (None, None) => {
                Err("neither this host's configuration nor the snapshot says what it is")
            }
        }
    }

    /// The sources that this host's job has and the snapshot has not. None for an undo snapshot, which has but
    /// what it must, and for what lies inside another.
    pub(crate) fn added(&self) -> impl Iterator<Item = &SourceSettings> {
        let whole = !self.snapshot.job().is_undo() && self.cluster.is_none();
        let job = self.ours.filter(|_| whole);
        let ours = job.into_iter().flat_map(|job| &job.sources);
        ours.filter(|ours| {
            let mut known = self.snapshot.manifest().sources.iter();
            !known.any(|source| source.name == ours.name.value)
        })
    }

    /// Ours and theirs for source number `index`.
    fn found(&self, index: usize) -> (Option<&SourceSettings>, Option<&SourceSettings>) {
        let source = &self.snapshot.manifest().sources[index];
        if source.kind == "kubernetes" && self.cluster.is_some() {
            return (self.cluster, None);
        }
        let ours = self.ours;
        let ours = ours.and_then(|job| find(job, &source.name, &source.kind));
        let theirs = self.theirs.as_ref();
        let theirs = theirs.and_then(|settings| settings.jobs.get(&self.job));
        let theirs = theirs.and_then(|job| find(job, &source.name, &source.kind));
        // What an undo snapshot of files holds lies where that restore went, which only it knows.
        let undone = theirs.filter(|theirs| {
            self.snapshot.job().is_undo() && matches!(theirs.kind, Kind::Files(_))
        });
        (if undone.is_some() { undone } else { ours }, theirs)
    }
}

fn find<'j>(job: &'j Job, name: &str, kind: &str) -> Option<&'j SourceSettings> {
    let mut sources = job.sources.iter();
    sources.find(|source| source.name.value == name && source.kind.name() == kind)
}
