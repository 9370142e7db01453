use super::settings::{BUMP, COMPACTED, NO_BUMP, TOOL};
use super::tool::Tool;
use crate::Error;

/// What etcd's own documentation takes: more than any cluster has written since its last backup.
const USUAL: u64 = 1_000_000_000;

/// What was said about the revision of a restored cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To raise it by this much.
    By(u64),
    /// To leave it.
    No,
    /// Nothing.
    Nothing,
}

/// By how much the revision is raised, and why: a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Raise {
    pub(super) by: Option<u64>,
    pub(super) why: String,
}

/// What to say while it is not known what the snapshot holds, and that matters.
pub(super) fn open_question() -> String {
    format!(
        "the snapshot does not say whether it holds Kubernetes: its keys are looked at before anything is made, and if it does, the revision is \
         raised by {USUAL} and marked as compacted (--{NO_BUMP} leaves it)"
    )
}

/// Decides by what was asked and what the snapshot holds. The error is why this tool cannot do it.
///
/// A client that watches asks for what came after the last revision that it saw. In a cluster that went back, that revision comes again with
/// other contents, or lies in the future: the client keeps what it knows and never notices. Kubernetes is such a client.
pub(super) async fn decide(
    asked: Asked,
    kubernetes: Option<bool>,
    tool: &Tool,
) -> Result<Result<Raise, String>, Error> {
    let matters = match asked {
        Asked::By(_) => true,
        Asked::No => false,
        Asked::Nothing => kubernetes != Some(false),
    };
    let can = !matters || tool.raises_revisions().await?;
    Ok(decided(asked, kubernetes, can).map_err(|what| {
        let newer = format!("which {tool} cannot: say --{TOOL} for an etcdutl of 3.6 or later");
        match asked {
            Asked::By(_) => format!("{what}, {newer}"),
            _ => format!("{what}, {newer}, or --{NO_BUMP} to leave it"),
        }
    }))
}

fn decided(asked: Asked, kubernetes: Option<bool>, can: bool) -> Result<Raise, String> {
    let raised = |by, why: String| Ok(Raise { by: Some(by), why });
    let left = |why: String| Ok(Raise { by: None, why });
    let consider = format!("--{BUMP} {USUAL} --{COMPACTED}");
    match (asked, kubernetes) {
        (Asked::By(_), _) if !can => Err("the revision is to be raised".to_owned()),
        (Asked::By(by), _) => raised(by, format!("the revision is raised by {by}, as asked")),
        (Asked::No, _) => left(format!(
            "the revision is not raised: clients that watch (Kubernetes) will not notice that the data went back; consider {consider}"
        )),
        (Asked::Nothing, Some(true)) if !can => {
            Err("the snapshot holds Kubernetes, so its revision must be raised".to_owned())
        }
        (Asked::Nothing, Some(true)) => raised(
            USUAL,
            format!(
                "the snapshot holds Kubernetes, whose clients watch: the revision is raised by {USUAL} and marked as compacted, so that \
                 they notice that the data went back (--{NO_BUMP} leaves it)"
            ),
        ),
        (Asked::Nothing, Some(false)) => left(format!(
            "the revision is not raised, for the snapshot holds no keys of Kubernetes (/registry/): if other clients watch, or if \
             Kubernetes has another --etcd-prefix, say {consider}"
        )),
        (Asked::Nothing, None) if can => raised(
            USUAL,
            format!(
                "whether the snapshot holds Kubernetes cannot be seen, for it is damaged: the revision was raised by {USUAL} and \
                 marked as compacted, which only clients that watch notice (--{NO_BUMP} leaves it)"
            ),
        ),
        (Asked::Nothing, None) => left(format!(
            "whether the snapshot holds Kubernetes cannot be seen, for it is damaged, and the revision was not raised, for the tool cannot: if it \
             does, take an etcdutl of 3.6 or later by --{TOOL}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_raised_unless_that_is_forbidden() {
        for (asked, kubernetes, can, by) in [
            (Asked::Nothing, Some(true), true, Ok(Some(USUAL))),
            (Asked::Nothing, Some(true), false, Err(())),
            (Asked::Nothing, Some(false), true, Ok(None)),
            (Asked::Nothing, Some(false), false, Ok(None)),
            (Asked::Nothing, None, true, Ok(Some(USUAL))),
            (Asked::Nothing, None, false, Ok(None)),
            (Asked::No, Some(true), true, Ok(None)),
            (Asked::No, Some(true), false, Ok(None)),
            (Asked::By(7), Some(false), true, Ok(Some(7))),
            (Asked::By(7), Some(true), false, Err(())),
        ] {
            let found = decided(asked, kubernetes, can);
            let found = found.map(|raise| raise.by).map_err(drop);
            assert_eq!(found, by, "{asked:?} {kubernetes:?} {can}");
        }
    }
}
