//! Which configured source a source of a snapshot goes back to.

use anyhow::bail;
use repository::Snapshot;
use source::etcd::{ENDPOINTS, holds_keys};

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
    /// Whether it is what lies inside an etcd snapshot.
    inside: bool,
    /// The cluster that objects found there belong to.
    cluster: Option<&'a SourceSettings>,
    /// The etcd that other keys found there belong to.
    etcd: Option<&'a SourceSettings>,
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
            inside: false,
            cluster: None,
            etcd: None,
            session,
        })
    }

    /// What lies inside an etcd snapshot belongs to the job `into`: objects to its cluster, keys to its etcd. If that is not said, objects
    /// belong to the only job that has a source of the kind kubernetes, and keys to the etcd that was captured. Only sources that are
    /// `chosen` have to belong somewhere.
    pub(crate) fn look_inside(
        &mut self,
        into: Option<&format::JobName>,
        chosen: &[String],
    ) -> Result<(), Failure> {
        self.inside = true;
        if let Some(job) = into {
            self.refuse_unknown(job)?;
        }
        let sources = self.snapshot.manifest().sources.iter();
        let chosen = sources.filter(|it| chosen.is_empty() || chosen.contains(&it.name));
        for source in chosen {
            if holds_keys(&source.facts) {
                self.etcd = Some(self.etcd_of(into, &source.name)?);
            } else {
                self.cluster = Some(self.cluster_of(into)?);
            }
        }
        Ok(())
    }

    fn refuse_unknown(&self, job: &format::JobName) -> Result<(), Failure> {
        let jobs = &self.session.settings.jobs;
        if jobs.contains_key(job) {
            return Ok(());
        }
        let known = jobs.keys().map(format::JobName::as_str);
        let failure = Failure::usage(format!("the configuration has no job {job}"));
        Err(match nearest(job.as_str(), known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("strongroom config"),
        })
    }

    fn cluster_of(&self, into: Option<&format::JobName>) -> Result<&'a SourceSettings, Failure> {
        let clusters = self.sources_of(into, |kind| matches!(kind, Kind::Kubernetes(_)));
        match clusters[..] {
            [(_, cluster)] => Ok(cluster),
            [] => Err(Failure::usage(
                "it is not known which cluster the objects belong to: no job has a source of the kind kubernetes",
            )
            .hint("a job with `kubernetes: {kubeconfig: FILE}` in strongroom.yaml, and --into JOB")),
            _ => {
                let jobs: Vec<&str> = clusters.iter().map(|(name, _)| *name).collect();
                Err(Failure::usage(format!(
                    "it is not known which cluster the objects belong to: {} have sources of the kind kubernetes",
                    jobs.join(", ")
                ))
                .hint("--into JOB, of which there is one source of that kind"))
            }
        }
    }

    fn etcd_of(
        &self,
        into: Option<&format::JobName>,
        source: &str,
    ) -> Result<&'a SourceSettings, Failure> {
        let Some(job) = into else {
            let ours = self.ours.and_then(|job| find(job, source, "etcd"));
            return ours.ok_or_else(|| {
                let message = format!(
                    "it is not known which etcd the keys belong to: this host's configuration has no source {source} of the job {}",
                    self.job
                );
                Failure::usage(message).hint("a job with `etcd: {endpoints: [URL]}` in strongroom.yaml, and --into JOB")
            });
        };
        let etcds = self.sources_of(into, |kind| matches!(kind, Kind::Etcd(_)));
        match etcds[..] {
            [(_, etcd)] => Ok(etcd),
            [] => Err(Failure::usage(format!(
                "the job {job} has no source of the kind etcd, to which the keys of {source} could go"
            ))
            .hint("--into another job, or choose what to restore by --source NAME or --only NAME")),
            _ => Err(Failure::usage(format!(
                "the job {job} has several sources of the kind etcd, and the keys can go to one"
            ))
            .hint("--into a job with one of them")),
        }
    }

    /// The configured sources of a kind, each with the name of its job.
    fn sources_of(
        &self,
        into: Option<&format::JobName>,
        is: fn(&Kind) -> bool,
    ) -> Vec<(&'a str, &'a SourceSettings)> {
        let session = self.session;
        let jobs = session.settings.jobs.iter();
        let jobs = jobs.filter(|(name, _)| into.is_none_or(|it| it == *name));
        let sources = jobs.flat_map(|(name, job)| {
            let sources = job.sources.iter();
            sources.map(move |source| (name.as_str(), source))
        });
        sources.filter(|(_, source)| is(&source.kind)).collect()
    }

    /// Whether source number `index` holds keys of an etcd, each an entry of its own.
    pub(crate) fn has_keys(&self, index: usize) -> bool {
        holds_keys(&self.snapshot.manifest().sources[index].facts)
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
            (None, theirs) if self.has_keys(index) => match theirs.filter(|_| elsewhere) {
                Some(theirs) => Ok(theirs),
                None => Err(unknown_etcd(source).into()),
            },
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
        let whole = !self.snapshot.job().is_undo() && !self.inside;
        let job = self.ours.filter(|_| whole);
        let ours = job.into_iter().flat_map(|job| &job.sources);
        ours.filter(|ours| {
            let mut known = self.snapshot.manifest().sources.iter();
            !known.any(|source| source.name == ours.name.value)
        })
    }

    /// The etcd that keys were read of, if this host's configuration names it: a restore may have gone to another than its job's.
    fn etcd_at(&self, endpoints: &str) -> Option<&'a SourceSettings> {
        let etcds = self.sources_of(None, |kind| matches!(kind, Kind::Etcd(_)));
        let is = |settings: &SourceSettings| match &settings.kind {
            Kind::Etcd(etcd) => {
                let ours = etcd.endpoints.iter().map(|it| it.value.as_str());
                ours.collect::<Vec<_>>().join(",") == endpoints
            }
            _ => false,
        };
        let mut found = etcds.into_iter().map(|(_, etcd)| etcd);
        found.find(|etcd| is(etcd))
    }

    /// Ours and theirs for source number `index`.
    fn found(&self, index: usize) -> (Option<&SourceSettings>, Option<&SourceSettings>) {
        let source = &self.snapshot.manifest().sources[index];
        if self.has_keys(index) {
            let lay = source.facts.get(ENDPOINTS);
            let there = lay.and_then(|endpoints| self.etcd_at(endpoints));
            return (self.etcd.or(there), self.theirs_for(source));
        }
        if source.kind == "kubernetes" && self.cluster.is_some() {
            return (self.cluster, None);
        }
        let ours = self.ours;
        let ours = ours.and_then(|job| find(job, &source.name, &source.kind));
        let theirs = self.theirs_for(source);
        // What an undo snapshot of files holds lies where that restore went, which only it knows.
        let undone = theirs.filter(|theirs| {
            self.snapshot.job().is_undo() && matches!(theirs.kind, Kind::Files(_))
        });
        (if undone.is_some() { undone } else { ours }, theirs)
    }

    fn theirs_for(&self, source: &format::ManifestSource) -> Option<&SourceSettings> {
        let theirs = self.theirs.as_ref();
        let theirs = theirs.and_then(|settings| settings.jobs.get(&self.job));
        theirs.and_then(|job| find(job, &source.name, &source.kind))
    }
}

/// No password goes to a server that only a snapshot names.
fn unknown_etcd(source: &format::ManifestSource) -> Failure {
    let lay = source.facts.get(ENDPOINTS).map_or("", String::as_str);
    let lay = archive::Name::from(lay);
    let message = format!(
        "the keys of source `{}` lay in the etcd at {lay}, and this host's configuration does not name it",
        source.name
    );
    Failure::usage(message)
        .hint("a job with `etcd: {endpoints: [URL]}`, of the same URLs, in strongroom.yaml")
}

fn find<'j>(job: &'j Job, name: &str, kind: &str) -> Option<&'j SourceSettings> {
    let mut sources = job.sources.iter();
    sources.find(|source| source.name.value == name && source.kind.name() == kind)
}
