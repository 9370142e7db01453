//! All schedules of a small scenario.
//!
//! An actor cannot be copied, so that each schedule is played from its beginning; a state that was seen before ends it. Two
//! things keep it small, and lose nothing that any actor or the judge could tell: an operation that no other actor's can
//! disturb happens at once, and of several that one actor waits for the oldest is first. Beside a prune there is no such operation:
//! it lists what others store, and deletes what they read.

use std::collections::HashSet;
use std::fmt;

use crate::bucket::Operation;
use crate::cast::Role;
use crate::schedule::{Scenario, Schedule, Step};

#[derive(Default)]
pub(crate) struct Explored {
    /// States that differ.
    pub(crate) states: usize,
    /// Schedules that were played.
    pub(crate) schedules: usize,
    /// Those of them that came to an end of their own.
    pub(crate) ends: usize,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            states,
            schedules,
            ends,
        } = self;
        write!(f, "{states} states, {schedules} schedules, {ends} ends")
    }
}

/// Plays all of them; `Err` is the story of the first that violates something.
pub(crate) fn explore(scenario: &Scenario) -> Result<Explored, String> {
    let mut explored = Explored::default();
    let mut seen = HashSet::new();
    // Of each moment: the step that is taken next time, and how many there are.
    let mut path: Vec<(usize, usize)> = Vec::new();
    loop {
        explored.schedules += 1;
        play(scenario, &mut path, &mut seen, &mut explored)?;
        while let Some((at, of)) = path.pop() {
            if at + 1 < of {
                path.push((at + 1, of));
                break;
            }
        }
        if path.is_empty() {
            explored.states = seen.len();
            return Ok(explored);
        }
    }
}

fn play(
    scenario: &Scenario,
    path: &mut Vec<(usize, usize)>,
    seen: &mut HashSet<u64>,
    explored: &mut Explored,
) -> Result<(), String> {
    let mut schedule = Schedule::new(scenario, 0);
    let deletes = [Role::Prune, Role::Rotate, Role::Copy];
    let deletes = deletes.iter().any(|role| scenario.cast.contains(role));
    let told =
        |violation: String, schedule: &Schedule| format!("{violation}\n{}", schedule.story());
    let known = path.len();
    for moment in 0.. {
        schedule.repeats = moment + 1 < known;
        let steps = steps(&schedule, deletes);
        if moment == path.len() {
            if !seen.insert(schedule.hash()) {
                return Ok(());
            }
            path.push((0, steps.len()));
        }
        let Some(step) = steps[path[moment].0] else {
            break;
        };
        let taken = schedule.take(step);
        taken.map_err(|violation| told(violation, &schedule))?;
    }
    explored.ends += 1;
    let finished = schedule.finish().and_then(|()| schedule.go_on());
    finished.map_err(|violation| told(violation, &schedule))
}

/// What may be next; `None` is that nothing happens any more.
fn steps(schedule: &Schedule, deletes: bool) -> Vec<Option<Step>> {
    let mut oldest = schedule.parked();
    oldest.dedup_by_key(|((actor, _), _)| *actor);
    if !deletes
        && let Some(alone) = oldest
            .iter()
            .find(|(_, operation)| is_alone(operation, schedule))
    {
        oldest = vec![alone.clone()];
    }
    let left = schedule.left();
    let mut steps = Vec::new();
    for (id, operation) in &oldest {
        steps.push(Some(Step::Happens(*id)));
        if left.failures > 0 {
            let failures = Schedule::failures(operation).iter();
            steps.extend(failures.map(|failure| Some(Step::Fails(*id, *failure))));
        }
        if left.crashes > 0 {
            steps.push(Some(Step::Crashes(id.0)));
        }
    }
    if oldest.is_empty() {
        steps.push(None);
    }
    let adrift = schedule.adrift().into_iter();
    steps.extend(adrift.map(|id| Some(Step::HappensLate(id))));
    steps
}

/// Whether it makes no difference to anybody else when it happens. Where nothing is deleted, that is what concerns runs, and
/// reading a commit that is there.
fn is_alone(operation: &Operation, schedule: &Schedule) -> bool {
    if !operation.name().contains("/log") {
        return true;
    }
    matches!(operation, Operation::Read { name, .. } if schedule.is_there(name))
}
