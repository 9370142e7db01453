//! What a restore prints: the plan, and then what became of it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use archive::Name;
use format::Incomplete;
use repository::Snapshot;
use serde::Serialize;
use source::kubernetes::Places;
use source::{Action, Report, Step};

use super::Part;
use super::damaged::Damaged;
use crate::config::resolve::Kind;
use crate::exit::Exit;
use crate::names::counted;
use crate::output::Output;
use crate::units::Size;

/// For one reason so many entries are named to people.
pub(super) const NAMED_MAX: usize = 10;

/// A restore that was planned and, where `reports` says so, carried out.
#[derive(Serialize)]
pub(crate) struct Restored {
    snapshot: String,
    dry_run: bool,
    plan: Vec<PlannedSource>,
    /// What was chosen and is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<Damaged>,
    /// The snapshot of what was overwritten.
    pub(super) undo: Option<String>,
    reports: Vec<SourceReport>,
}

#[derive(Serialize)]
pub(super) struct PlannedSource {
    source: String,
    #[serde(skip)]
    heading: String,
    kind: String,
    /// The place of `--to`; null: its origin.
    target: Option<String>,
    create: u64,
    replace: u64,
    same: u64,
    skip: u64,
    conflict: u64,
    unmanageable: u64,
    /// What is restored as far as it was captured.
    #[serde(skip_serializing_if = "is_zero")]
    in_part: u64,
    /// What is there and not in the snapshot, and will be deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra: Vec<String>,
    /// What is written.
    bytes: u64,
    /// All steps but those for entries that are the same.
    steps: Vec<PlannedStep>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct PlannedStep {
    action: &'static str,
    name: String,
    /// The name that it gets, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// What differs: `content`, keys, attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    what: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct SourceReport {
    source: String,
    written: u64,
    #[serde(skip_serializing_if = "is_zero")]
    deleted: u64,
    failed: Vec<FailedEntry>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct FailedEntry {
    name: String,
    reason: String,
}

impl Restored {
    pub(super) fn new(
        snapshot: &Snapshot,
        dry_run: bool,
        plan: Vec<PlannedSource>,
        damaged: Vec<Damaged>,
    ) -> Self {
        Self {
            snapshot: snapshot.name(),
            dry_run,
            plan,
            damaged,
            undo: None,
            reports: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, source: &str, report: Report) {
        let failed = report.failed.into_iter();
        self.reports.push(SourceReport {
            source: source.to_owned(),
            written: report.written,
            deleted: report.deleted,
            failed: failed
                .map(|(name, reason)| FailedEntry {
                    name: name.to_string(),
                    reason,
                })
                .collect(),
            notes: report.notes,
        });
    }

    pub(crate) fn exit(&self) -> Exit {
        let failed = self.reports.iter().any(|report| !report.failed.is_empty());
        let left_out = |source: &PlannedSource| source.unmanageable + source.in_part > 0;
        let left_out = self.plan.iter().any(left_out);
        if failed || left_out || !self.damaged.is_empty() {
            Exit::Partial
        } else {
            Exit::Ok
        }
    }

    /// Prints what there is to say after the plan; for scripts, all of it.
    pub(crate) fn say(&self, output: Output) -> anyhow::Result<()> {
        if output.json() {
            output.answer(self)
        } else {
            Output::raw(Conclusion(self).to_string().as_bytes())
        }
    }
}

impl PlannedSource {
    pub(super) fn new(part: &Part<'_>) -> Self {
        let steps = &part.plan.steps;
        let places = match &part.settings.kind {
            Kind::Kubernetes(_) => Places::of(&part.options).ok(),
            _ => None,
        };
        // What grew or changed under the capture is listed as missing, and there as far as it was read.
        let listed: HashSet<&Name> = part.missing.iter().map(|it| &it.name).collect();
        let names = steps.iter().map(|step| &step.name);
        let there: HashSet<&Name> = names.filter(|name| listed.contains(name)).collect();
        let (in_part, missing): (Vec<&Incomplete>, Vec<&Incomplete>) = part
            .missing
            .iter()
            .partition(|missing| there.contains(&missing.name));
        let count =
            |is: fn(&Action) -> bool| steps.iter().filter(|step| is(&step.action)).count() as u64;
        Self {
            source: part.name.to_owned(),
            heading: part.describe(),
            kind: part.settings.kind.name().to_owned(),
            target: part
                .options
                .target
                .as_ref()
                .map(|target| target.display().to_string()),
            create: count(|action| matches!(action, Action::Create)),
            replace: count(|action| matches!(action, Action::Update { .. })),
            same: count(|action| matches!(action, Action::Same)),
            skip: count(|action| matches!(action, Action::Skip { .. })),
            conflict: count(|action| matches!(action, Action::Conflict { .. })),
            unmanageable: count(|action| matches!(action, Action::Unmanageable { .. }))
                + missing.len() as u64,
            in_part: in_part.len() as u64,
            extra: part.plan.extra.iter().map(Name::to_string).collect(),
            bytes: part.bytes,
            steps: steps
                .iter()
                .filter_map(|step| PlannedStep::new(step, places.as_ref()))
                .chain(in_part.iter().map(|it| PlannedStep::in_part(it)))
                .chain(missing.iter().map(|it| PlannedStep::missing(it)))
                .collect(),
            notes: part.plan.notes.clone(),
        }
    }
}

impl PlannedStep {
    /// Of what the snapshot does not have.
    fn missing(it: &Incomplete) -> Self {
        Self::of_incomplete("unmanageable", "missing", it)
    }

    /// Of what the snapshot does not have all of; another step says what becomes of the rest.
    fn in_part(it: &Incomplete) -> Self {
        Self::of_incomplete("in_part", "captured in part", it)
    }

    fn of_incomplete(action: &'static str, how: &str, it: &Incomplete) -> Self {
        Self {
            action,
            name: it.name.to_string(),
            target: None,
            what: Vec::new(),
            reason: Some(format!("{how}: {}", it.reason)),
        }
    }

    fn new(step: &Step, places: Option<&Places>) -> Option<Self> {
        let (action, what, reason) = match &step.action {
            Action::Same => return None,
            Action::Create => ("create", Vec::new(), None),
            Action::Update { what } => ("replace", what.clone(), None),
            Action::Skip { what } => ("skip", what.clone(), None),
            Action::Conflict { reason } => ("conflict", Vec::new(), Some(reason.clone())),
            Action::Unmanageable { reason } => ("unmanageable", Vec::new(), Some(reason.clone())),
        };
        let target = places.map(|places| places.place(&step.name));
        let target = target.filter(|target| *target != step.name);
        Some(Self {
            action,
            name: step.name.to_string(),
            target: target.map(|target| target.to_string()),
            what,
            reason,
        })
    }
}

/// How many entries were named for each reason. Of thousands that are refused alike some are enough, and how many there are.
#[derive(Default)]
struct Reasons<'a>(BTreeMap<(char, &'a str), usize>);

impl<'a> Reasons<'a> {
    /// Whether the next entry is named, that has this sign and reason; without a reason it is.
    fn names(&mut self, sign: char, reason: Option<&'a str>) -> bool {
        let Some(reason) = reason else { return true };
        let count = self.0.entry((sign, reason)).or_default();
        *count += 1;
        *count <= NAMED_MAX
    }

    /// By sign and reason, how many were not named.
    fn more(&self) -> impl Iterator<Item = (char, &'a str, String)> {
        let counts = self.0.iter().filter(|(_, count)| **count > NAMED_MAX);
        counts.map(|((sign, reason), count)| {
            let more = format!("and {} more, which --json lists", count - NAMED_MAX);
            (*sign, *reason, more)
        })
    }
}

impl PlannedStep {
    fn sign(&self) -> char {
        match self.action {
            "create" => '+',
            "replace" => '~',
            "skip" => '=',
            "conflict" => '!',
            _ => '?',
        }
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {}", self.sign(), self.name)?;
        if let Some(target) = &self.target {
            write!(f, " -> {target}")?;
        }
        if !self.what.is_empty() {
            write!(f, "  ({})", self.what.join(", "))?;
        }
        match &self.reason {
            Some(reason) => write!(f, "  ({reason})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore {}", self.snapshot)?;
        for source in &self.plan {
            writeln!(f, "{}", source.heading)?;
            let mut reasons = Reasons::default();
            source
                .steps
                .iter()
                .filter(|step| reasons.names(step.sign(), step.reason.as_deref()))
                .try_for_each(|step| writeln!(f, "{step}"))?;
            reasons
                .more()
                .try_for_each(|(sign, reason, more)| writeln!(f, "  {sign} {more}  ({reason})"))?;
            source
                .extra
                .iter()
                .try_for_each(|name| writeln!(f, "  - {name}"))?;
            source
                .notes
                .iter()
                .try_for_each(|note| writeln!(f, "  {note}"))?;
            let counts = [
                (source.create, "to create"),
                (source.replace, "to replace"),
                (source.same, "the same"),
                (source.skip, "left alone"),
                (source.conflict, "in the way"),
                (source.unmanageable, "that cannot be restored here"),
                (source.in_part, "captured in part"),
                (source.extra.len() as u64, "to delete"),
            ];
            let counts = counts.iter().filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            let counts = if counts.is_empty() {
                "no entries".to_owned()
            } else {
                counts.join(", ")
            };
            writeln!(f, "  {counts}; {} to write", Size(source.bytes))?;
        }
        self.damaged.iter().try_for_each(|it| write!(f, "{it}"))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of a plan, for people, after the plan itself.
struct Conclusion<'a>(&'a Restored);

impl fmt::Display for Conclusion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.0.reports {
            let written = counted(report.written, "entry", "entries");
            write!(f, "{}: {written} written", report.source)?;
            if report.deleted > 0 {
                write!(f, ", {} deleted", report.deleted)?;
            }
            if !report.failed.is_empty() {
                write!(f, ", {} REFUSED", report.failed.len())?;
            }
            writeln!(f)?;
            let mut reasons = Reasons::default();
            for FailedEntry { name, reason } in &report.failed {
                if reasons.names('!', Some(reason)) {
                    writeln!(f, "  refused: {name} ({reason})")?;
                }
            }
            reasons
                .more()
                .try_for_each(|(_, reason, more)| writeln!(f, "  refused: {more} ({reason})"))?;
            report
                .notes
                .iter()
                .try_for_each(|note| writeln!(f, "  {note}"))?;
        }
        if self.0.reports.is_empty() && !self.0.dry_run {
            let left_out = self.0.plan.iter().map(|source| source.unmanageable).sum();
            match left_out {
                0 => writeln!(f, "nothing to do")?,
                count => {
                    let entries = counted(count, "entry", "entries");
                    writeln!(
                        f,
                        "nothing was restored: {entries} cannot be, as the plan says"
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_that_are_refused_alike_some_are_named_and_all_counted() {
        let all = (0..30_000).map(|number| format!("{number:05}"));
        let steps = all.clone().map(|name| PlannedStep {
            action: "unmanageable",
            reason: Some(
                if name == "29999" {
                    "another's"
                } else {
                    "a server's"
                }
                .to_owned(),
            ),
            name,
            target: None,
            what: Vec::new(),
        });
        let failed = all.map(|name| FailedEntry {
            name,
            reason: "denied".to_owned(),
        });
        let restored = Restored {
            snapshot: "app/1".to_owned(),
            dry_run: false,
            plan: vec![PlannedSource {
                source: "etcd".to_owned(),
                heading: "etcd (etcd)".to_owned(),
                kind: "etcd".to_owned(),
                target: None,
                create: 0,
                replace: 0,
                same: 0,
                skip: 0,
                conflict: 0,
                unmanageable: 30_000,
                in_part: 0,
                extra: Vec::new(),
                bytes: 0,
                steps: steps.collect(),
                notes: Vec::new(),
            }],
            damaged: Vec::new(),
            undo: None,
            reports: vec![SourceReport {
                source: "etcd".to_owned(),
                written: 0,
                deleted: 0,
                failed: failed.collect(),
                notes: Vec::new(),
            }],
        };
        let plan = restored.to_string();
        let end = "  ? 00009  (a server's)\n  ? 29999  (another's)\n  ? and 29989 more, which --json lists  (a server's)\n  \
                   30000 that cannot be restored here; 0 B to write\n";
        assert!(plan.ends_with(end), "{plan}");
        assert_eq!(plan.lines().count(), 2 + 10 + 1 + 1 + 1);
        let conclusion = Conclusion(&restored).to_string();
        let end =
            "  refused: 00009 (denied)\n  refused: and 29990 more, which --json lists (denied)\n";
        assert!(conclusion.ends_with(end), "{conclusion}");
        assert_eq!(conclusion.lines().count(), 1 + 10 + 1);
        let json = serde_json::to_value(&restored).expect("JSON");
        let listed = |list: &serde_json::Value| list.as_array().map(Vec::len);
        assert_eq!(listed(&json["plan"][0]["steps"]), Some(30_000));
        assert_eq!(listed(&json["reports"][0]["failed"]), Some(30_000));
    }
}
