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
    /// Backup, 5: a commit counts only if a view that was taken after it was created holds it.
    SeenAgain,
    /// Prune: its commit stands directly above the view that it was planned from.
    DirectlyAbove,
    /// Prune: nothing is deleted before its commit was seen in force.
    InForce,
}

/// The rules that are kept: all of them, but for [`Repository::without`](crate::Repository::without).
#[derive(Clone, Copy, Default)]
pub(crate) struct Rules {
    pub(crate) left_out: Option<Rule>,
}

impl Rules {
    pub(crate) fn keep(self, rule: Rule) -> bool {
        self.left_out != Some(rule)
    }
}
