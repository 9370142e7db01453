//! Schedules that are told turn by turn: for what needs so many actors to stop at the right moments that dice would not find it.

use crate::bucket::Operation;
use crate::judge::Verdict;
use crate::parking::{ActorId, OperationId};
use crate::schedule::{Scenario, Schedule, Step};

/// How long an actor goes on, while all others wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// It has nothing left to do.
    Ends,
    /// Its commit is what it creates next.
    Commits,
}

/// Plays one schedule to its end: nothing fails, and everybody ends by the last turn.
pub(crate) fn play(scenario: &Scenario, turns: &[(ActorId, Until)]) -> (Schedule, Verdict) {
    let mut schedule = Schedule::new(scenario, 0);
    for (actor, until) in turns {
        while let Some(id) = next(&schedule, *actor, *until) {
            if let Err(violation) = schedule.take(Step::Happens(id)) {
                return (schedule, Err(violation));
            }
        }
    }
    let verdict = schedule.finish();
    (schedule, verdict)
}

fn next(schedule: &Schedule, actor: ActorId, until: Until) -> Option<OperationId> {
    let parked = schedule.parked().into_iter();
    let mut own = parked.filter(|((whose, _), _)| *whose == actor);
    let (id, operation) = own.next()?;
    let commits = matches!(&operation, Operation::Create { name, .. } if name.contains("/log/"));
    (!commits || matches!(until, Until::Ends)).then_some(id)
}
