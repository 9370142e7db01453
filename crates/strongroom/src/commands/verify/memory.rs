//! What somebody remembers of a repository, and what of it is not there any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use format::{CommitRef, JobName, RepositoryId};
use repository::{Damage, Remembered, Repository, Slice, View};

use crate::cli;
use crate::failure::Failure;
use crate::session::Session;
use crate::tails::{Tail, Tails};

/// What `--since` says of a repository, and the file of `--remember`.
pub(super) struct Memory {
    repository: RepositoryId,
    since: BTreeMap<JobName, Tail>,
    file: Option<PathBuf>,
    /// What that file says already: to write over it unseen would be to forget just what it is kept for.
    kept: BTreeMap<JobName, Tail>,
}

impl Memory {
    pub(super) async fn of(
        session: &Session,
        repository: &Repository,
        asked: &cli::Verify,
    ) -> anyhow::Result<Self> {
        let id = repository.id();
        let mine = |tails: Tails| -> BTreeMap<JobName, Tail> {
            let tails = tails.of(id);
            let tails = tails.into_iter();
            tails.map(|(job, tail)| (job.clone(), tail)).collect()
        };
        let since = match &asked.since {
            Some(text) => mine(given(session, repository, text).await?),
            None => BTreeMap::new(),
        };
        if asked.since.is_some() && since.is_empty() {
            let failure = Failure::usage(format!("nothing is remembered of the repository {id}"));
            return Err(failure
                .hint("without --since, `verify --remember FILE` begins to remember it")
                .into());
        }
        let file = asked.remember.clone();
        let kept = match &file {
            Some(file) => mine(Tails::kept(file)?),
            None => BTreeMap::new(),
        };
        Ok(Self {
            repository: id,
            since,
            file,
            kept,
        })
    }

    /// The part of a job's packs that was read last.
    pub(super) fn part(&self, job: &JobName) -> Option<Slice> {
        let tail = self.kept.get(job).or_else(|| self.since.get(job))?;
        tail.part
    }

    /// Of the jobs that were asked for, or all, those that are remembered and not there.
    pub(super) fn lost(&self, asked: &[JobName], there: &[JobName]) -> BTreeSet<JobName> {
        let jobs = self.since.keys().chain(self.kept.keys());
        let wanted = |job: &&JobName| asked.is_empty() || asked.contains(job);
        let lost = jobs.filter(wanted).filter(|job| !there.contains(job));
        lost.cloned().collect()
    }

    /// What is wrong with the log of a job if commits that are remembered are not where they were.
    pub(super) fn disappeared(&self, job: &JobName, view: &View) -> Vec<Damage> {
        let mut remembered = vec![];
        for at in [&self.since, &self.kept].map(|of| of.get(job).map(|tail| tail.at)) {
            remembered.extend(at.filter(|at| !remembered.contains(at)));
        }
        let gone = remembered.into_iter();
        gone.filter_map(|at| disappeared(job, view, at)).collect()
    }

    /// Remembers what was seen, if that is asked for.
    pub(super) fn keep(self, seen: Vec<(&JobName, Tail)>) -> anyhow::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut tails = Tails::default();
        for (job, tail) in seen {
            tails.insert(self.repository, job, tail);
        }
        tails.remember(file)
    }

    /// What is remembered is not there any more.
    pub(super) fn note_kept(&self, session: &Session) {
        let Some(file) = self.file.as_ref().filter(|_| !self.kept.is_empty()) else {
            return;
        };
        session.output.note(format_args!(
            "what {} remembers stays as it is; to begin anew with what is there now, delete the file",
            file.display()
        ));
    }
}

/// What `text` remembers of this repository: the logs of another one if it is the name of one, or a file, or a line.
async fn given(session: &Session, repository: &Repository, text: &str) -> anyhow::Result<Tails> {
    let Some(other) = session.settings.named(text) else {
        return Tails::given(text);
    };
    let other = session.open_at(&other.place).await?;
    let mut tails = Tails::default();
    for job in other.jobs().await? {
        let mut trust = session.trust()?;
        let view = session.view(&other, &job, &mut trust).await?;
        if let Some(seen) = view.witnessed(repository.id(), &trust) {
            tails.insert(repository.id(), &job, seen.into());
        }
    }
    Ok(tails)
}

/// What is wrong if a commit that somebody remembers is not where it was.
fn disappeared(job: &JobName, view: &View, at: CommitRef) -> Option<Damage> {
    let what = match view.remembers(at) {
        Remembered::Valid | Remembered::Dropped => return None,
        Remembered::Cut => "commits below it are not those that were there when it was remembered",
        Remembered::Another => "another one was there when it was remembered: the log was forked",
        Remembered::Gone => {
            "it was there when it was remembered, and is gone: the log was put back to an earlier state, or is withheld"
        }
    };
    Some(Damage {
        object: format!("{job}/log/{:012}", at.number),
        what: what.to_owned(),
        snapshots: BTreeSet::new(),
    })
}
