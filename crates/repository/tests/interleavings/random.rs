//! Schedules by dice.

use crate::bucket::Operation;
use crate::common::dice::Dice;
use crate::judge::Verdict;
use crate::parking::{ActorId, OperationId};
use crate::schedule::{Faults, Scenario, Schedule, Step};

/// What the dice of a schedule are like.
enum Manner {
    /// Anybody may be next.
    Fair,
    /// One actor goes on until it is stopped, and then sleeps while all others do what they have to: what needs somebody to sleep at
    /// the wrong moment is found soon (after "probabilistic concurrency testing": the fewer such moments a bug needs, the sooner).
    Stubborn {
        /// The first of those who can go on does.
        order: Vec<ActorId>,
        /// How often somebody may still be stopped.
        stops: usize,
    },
}

/// Plays one schedule to its end. The same seed gives the same schedule.
pub(crate) fn play(scenario: &Scenario, seed: u64) -> (Schedule, Verdict) {
    let mut dice = Dice::of_case(seed, 0);
    let mut scenario = scenario.clone();
    scenario.faults = Faults {
        crashes: dice.below(scenario.faults.crashes as usize + 1) as u32,
        failures: dice.below(scenario.faults.failures as usize + 1) as u32,
    };
    let page = *dice.one_of(&[None, None, Some(1), Some(2)]);
    scenario.bucket = scenario.bucket.paged(page);
    let mut manner = Manner::some(&mut dice, scenario.cast.len());
    let mut schedule = Schedule::new(&scenario, dice.next());
    while let Some(step) = next(&schedule, &mut manner, &mut dice) {
        if let Err(violation) = schedule.take(step) {
            return (schedule, Err(violation));
        }
    }
    let mut verdict = schedule.finish();
    if verdict.is_ok() && seed.is_multiple_of(GOING_ON) {
        verdict = schedule.go_on();
    }
    (schedule, verdict)
}

impl Manner {
    fn some(dice: &mut Dice, actors: usize) -> Self {
        if dice.below(3) == 0 {
            return Self::Fair;
        }
        let mut order: Vec<ActorId> = (0..actors).collect();
        for at in (1..actors).rev() {
            order.swap(at, dice.below(at + 1));
        }
        let stops = 1 + dice.below(4);
        Self::Stubborn { order, stops }
    }
}

/// Of how many schedules one is followed by another backup.
const GOING_ON: u64 = 4;
/// How often a fault is chosen where one may be.
const FAULT: usize = 24;
/// How often somebody is stopped before an operation, and how often before one that others can tell at once.
const STOP: [usize; 2] = [60, 3];
/// How often something that is adrift happens, where it may.
const LATE: usize = 12;

fn next(schedule: &Schedule, manner: &mut Manner, dice: &mut Dice) -> Option<Step> {
    let parked = schedule.parked();
    let adrift = schedule.adrift();
    if !adrift.is_empty() && (dice.below(LATE) == 0 || parked.is_empty() && dice.below(2) == 0) {
        return Some(Step::HappensLate(*dice.one_of(&adrift)));
    }
    if parked.is_empty() {
        return None;
    }
    let (id, operation) = pick(&parked, manner, dice);
    if dice.below(FAULT) == 0 {
        let left = schedule.left();
        if left.crashes > 0 && dice.below(2) == 0 {
            return Some(Step::Crashes(id.0));
        }
        if left.failures > 0 {
            let failure = *dice.one_of(Schedule::failures(operation));
            return Some(Step::Fails(*id, failure));
        }
    }
    Some(Step::Happens(*id))
}

type Parked = (OperationId, Operation);

fn pick<'a>(parked: &'a [Parked], manner: &mut Manner, dice: &mut Dice) -> &'a Parked {
    let Manner::Stubborn { order, stops } = manner else {
        return dice.one_of(parked);
    };
    loop {
        let of = |actor: ActorId| parked.iter().filter(move |((whose, _), _)| *whose == actor);
        let first = order.iter().position(|actor| of(*actor).next().is_some());
        let first = first.expect("somebody waits");
        let theirs: Vec<_> = of(order[first]).collect();
        let picked = theirs[dice.below(theirs.len())];
        let chance = STOP[usize::from(is_pivotal(&picked.1))];
        if *stops == 0 || dice.below(chance) > 0 {
            return picked;
        }
        *stops -= 1;
        let stopped = order.remove(first);
        order.push(stopped);
    }
}

/// Others can tell at once.
fn is_pivotal(operation: &Operation) -> bool {
    match operation {
        Operation::Create { name, .. } => name.contains("/log/"),
        Operation::Delete { .. } => true,
        _ => false,
    }
}
