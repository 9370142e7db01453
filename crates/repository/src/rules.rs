use format::RunId;

/// A commit rule (docs/format/v1.md, "Commit rules") that a test can leave out, to show that leaving it out is noticed.
///
/// The rules about the order of objects have no entry: a store that reorders them shows the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Backup, 3: every number above the first view holds a commit, whether it is valid or not.
    NoHole,
    /// Backup, 3: and each of these commits is valid.
    NoGarbage,
    /// Backup, 3: no prune above the first view condemns the run.
    RunStands,
    /// Backup, 3: the base is still valid.
    BaseStands,
    /// Backup, 3: no rotation above the first view names a run of the base.
    KeysStand,
    /// Backup, 5: a commit counts only if a view that was taken after it was created holds it.
    SeenAgain,
    /// Prune: its commit stands directly above the view that it was planned from.
    DirectlyAbove,
    /// Prune: nothing is deleted before its commit was seen in force.
    InForce,
}

/// The rules that are kept: all of them. Only with the feature `unsound-rules`, which nothing but this crate's own tests enables,
/// is there a way to leave one out.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    #[cfg(feature = "unsound-rules")]
    broken: unsound::Broken,
}

#[cfg(not(feature = "unsound-rules"))]
#[expect(
    clippy::unused_self,
    reason = "with the feature it is asked what is left out"
)]
impl Rules {
    pub(crate) fn keep(&self, _: Rule) -> bool {
        true
    }

    /// The name of a new run, which is nobody's yet.
    pub(crate) fn new_run(&self) -> RunId {
        RunId::random()
    }
}

#[cfg(feature = "unsound-rules")]
mod unsound {
    use std::sync::Arc;

    use super::{Rule, Rules, RunId};
    use crate::Repository;

    #[derive(Clone, Default)]
    pub(super) struct Broken {
        left_out: Option<Rule>,
        runs: Option<Arc<dyn Fn() -> RunId + Send + Sync>>,
    }

    impl Rules {
        pub(crate) fn keep(&self, rule: Rule) -> bool {
            self.broken.left_out != Some(rule)
        }

        pub(crate) fn new_run(&self) -> RunId {
            let runs = self.broken.runs.as_ref();
            runs.map_or_else(RunId::random, |next| next())
        }
    }

    impl Repository {
        /// The same repository, used without one of the commit rules: a test of the tests. Loses data.
        #[must_use]
        pub fn without(mut self, rule: Rule) -> Self {
            self.rules.broken.left_out = Some(rule);
            self
        }

        /// The same repository, whose new runs get their names from `runs`: so that what happened can be repeated, or so that names
        /// are used twice.
        #[must_use]
        pub fn naming_runs(mut self, runs: impl Fn() -> RunId + Send + Sync + 'static) -> Self {
            self.rules.broken.runs = Some(Arc::new(runs));
            self
        }
    }
}
