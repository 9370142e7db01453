//! What became of several jobs, of which one that fails does not keep the others from being looked at.

use format::JobName;
use serde::Serialize;

use crate::exit;

/// Job by job, in order.
#[derive(Serialize)]
pub(crate) struct Outcomes<T> {
    jobs: Vec<Outcome<T>>,
    #[serde(skip)]
    pub(crate) failures: Vec<anyhow::Error>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<T> {
    Done(Box<T>),
    Failed {
        job: String,
        error: String,
        exit_code: u8,
    },
}

impl<T> Outcomes<T> {
    pub(crate) fn new() -> Self {
        Self {
            jobs: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes what came of it; `what` is what was tried.
    pub(crate) fn push(&mut self, what: &str, job: &JobName, outcome: anyhow::Result<T>) {
        self.jobs.push(match outcome {
            Ok(done) => Outcome::Done(Box::new(done)),
            Err(error) => {
                let error = error.context(format!("{what} {job}"));
                let failed = Outcome::Failed {
                    job: job.to_string(),
                    exit_code: exit::of(&error).code(),
                    error: crate::output::chain(&error),
                };
                self.failures.push(error);
                failed
            }
        });
    }

    /// Those that did not fail.
    pub(crate) fn done(&self) -> impl Iterator<Item = &T> + Clone {
        self.jobs.iter().filter_map(|outcome| match outcome {
            Outcome::Done(done) => Some(&**done),
            Outcome::Failed { .. } => None,
        })
    }
}
