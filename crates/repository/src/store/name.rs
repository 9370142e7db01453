use std::fmt;

use format::{COMMITS_MAX, JobName, RunId};
use object_store::ObjectMeta;
use object_store::path::Path;

/// The name of an object. This is the one place that makes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(super) Path);

impl Name {
    pub(crate) fn description() -> Self {
        Self(Path::from("strongroom.json"))
    }

    /// The folder of all that a job has.
    pub(crate) fn job(job: &JobName) -> Self {
        Self(Path::from(job.as_str()))
    }

    pub(crate) fn log(job: &JobName) -> Self {
        Self(Path::from(format!("{job}/log")))
    }

    pub(crate) fn commit(job: &JobName, number: u64) -> Self {
        Self(Path::from(format!("{job}/log/{number:012}")))
    }

    /// A part of the bundle of the commits up to that number. In order of names it stands directly behind the last of them.
    pub(crate) fn bundle(job: &JobName, number: u64, part: u32) -> Self {
        Self(Path::from(format!("{job}/log/{number:012}.bundle-{part}")))
    }

    pub(crate) fn runs(job: &JobName) -> Self {
        Self(Path::from(format!("{job}/runs")))
    }

    pub(crate) fn run(job: &JobName, run: RunId) -> Self {
        Self(Path::from(format!("{job}/runs/{run}")))
    }

    /// `object`: `key`, `manifest`, `map`, `pack-000000`.
    pub(crate) fn in_run(job: &JobName, run: RunId, object: &str) -> Self {
        Self(Path::from(format!("{job}/runs/{run}/{object}")))
    }

    /// Whether it is one of the few kinds of objects that are large.
    pub(super) fn is_pack(&self) -> bool {
        self.0
            .filename()
            .is_some_and(|name| name.starts_with("pack-"))
    }

    pub(crate) fn into_path(self) -> Path {
        self.0
    }

    /// The run and the name within it, if this is an object of a run of `job`.
    pub(crate) fn run_object(job: &JobName, meta: &ObjectMeta) -> Option<(RunId, String)> {
        let mut parts = meta.location.parts();
        let of_job = parts.next()?.as_ref() == job.as_str() && parts.next()?.as_ref() == "runs";
        let run = parts.next()?.as_ref().parse().ok()?;
        let object = parts.next()?.as_ref().to_owned();
        (of_job && parts.next().is_none()).then_some((run, object))
    }

    /// The number of a commit, if this is one of `job`.
    pub(crate) fn commit_number(job: &JobName, meta: &ObjectMeta) -> Option<u64> {
        let number = number(meta.location.filename()?)?;
        (Self::commit(job, number).0 == meta.location).then_some(number)
    }

    /// The number and the part of a bundle, if this is one of `job`.
    pub(crate) fn bundle_part(job: &JobName, meta: &ObjectMeta) -> Option<(u64, u32)> {
        let (text, part) = meta.location.filename()?.split_once(".bundle-")?;
        let (number, part) = (number(text)?, part.parse().ok()?);
        (Self::bundle(job, number, part).0 == meta.location).then_some((number, part))
    }
}

/// Longer numbers are nobody's: [`COMMITS_MAX`] is the last one of twelve digits.
fn number(text: &str) -> Option<u64> {
    let number = text.parse().ok()?;
    (1..=COMMITS_MAX).contains(&number).then_some(number)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
