//! What a restore prints: the plan, and then what became of it.

use std::fmt;

use archive::Name;
use repository::Snapshot;
use serde::Serialize;
use source::{Action, Report, Step};

use super::Part;
use crate::exit::Exit;
use crate::names::counted;
use crate::output::Output;
use crate::units::Size;

/// A restore that was planned and, where `reports` says so, carried out.
#[derive(Serialize)]
pub(crate) struct Restored {
    snapshot: String,
    dry_run: bool,
    plan: Vec<PlannedSource>,
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
    pub(super) fn new(snapshot: &Snapshot, dry_run: bool, plan: Vec<PlannedSource>) -> Self {
        Self {
            snapshot: snapshot.name(),
            dry_run,
            plan,
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
        let left_out = self.plan.iter().any(|source| source.unmanageable > 0);
        if failed || left_out {
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
            unmanageable: count(|action| matches!(action, Action::Unmanageable { .. })),
            extra: part.plan.extra.iter().map(Name::to_string).collect(),
            bytes: part.bytes,
            steps: steps.iter().filter_map(PlannedStep::new).collect(),
            notes: part.plan.notes.clone(),
        }
    }
}

impl PlannedStep {
    fn new(step: &Step) -> Option<Self> {
        let (action, what, reason) = match &step.action {
            Action::Same => return None,
            Action::Create => ("create", Vec::new(), None),
            Action::Update { what } => ("replace", what.clone(), None),
            Action::Skip { what } => ("skip", what.clone(), None),
            Action::Conflict { reason } => ("conflict", Vec::new(), Some(reason.clone())),
            Action::Unmanageable { reason } => ("unmanageable", Vec::new(), Some(reason.clone())),
        };
        Some(Self {
            action,
            name: step.name.to_string(),
            what,
            reason,
        })
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.action {
            "create" => '+',
            "replace" => '~',
            "skip" => '=',
            "conflict" => '!',
            _ => '?',
        };
        write!(f, "  {sign} {}", self.name)?;
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
            source
                .steps
                .iter()
                .try_for_each(|step| writeln!(f, "{step}"))?;
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
        Ok(())
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
            for failed in &report.failed {
                writeln!(f, "  refused: {} ({})", failed.name, failed.reason)?;
            }
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
