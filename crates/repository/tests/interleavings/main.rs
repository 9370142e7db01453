//! Every interleaving: the real code of several actors on one bucket, where a schedule decides what happens next, what
//! fails, who stops for ever, and what happens long after whoever asked for it is gone.
//!
//! No clock, no thread, no runtime: actors are futures, polled when an operation of theirs was answered, so that a schedule can
//! be repeated. After each step `judge.rs` says from the stored bytes alone whether what docs/format/v1.md promises holds.
//! A violation is told as a story; its schedule is repeated with `STRONGROOM_SCHEDULE=SCENARIO:SEED`. Ten times as many
//! schedules with `STRONGROOM_LONG=1`.

#[path = "../common/mod.rs"]
mod common;

mod bucket;
mod cast;
mod exhaustive;
mod judge;
mod parking;
mod random;
mod scene;
mod schedule;

use std::time::Instant;

use cast::Role;
use scene::{Capture, bucket};
use schedule::{Break, Faults, Scenario};

fn is_long() -> bool {
    std::env::var_os("STRONGROOM_LONG").is_some()
}

const fn by(writer: usize, source: u64) -> Capture {
    Capture { writer, source }
}

fn scenario(cast: &[Role], crashes: u32, failures: u32) -> Scenario {
    Scenario {
        bucket: bucket(&[by(0, 1)]),
        cast: cast.to_vec(),
        faults: Faults { crashes, failures },
        broken: None,
    }
}

/// Plays `count` schedules of a scenario, by dice.
fn by_dice(name: &str, scenario: &Scenario, count: u64) {
    if let Ok(chosen) = std::env::var("STRONGROOM_SCHEDULE") {
        if let Some((_, seed)) = chosen.split_once(':').filter(|(it, _)| *it == name) {
            let (schedule, verdict) = random::play(scenario, seed.parse().expect("a number"));
            say(&format!("{chosen}\n{}", schedule.story()));
            assert_eq!(verdict, Ok(()));
        }
        return;
    }
    let began = Instant::now();
    let count = if is_long() { 10 * count } else { count };
    for seed in 0..count {
        let (schedule, verdict) = random::play(scenario, seed);
        if let Err(violation) = verdict {
            let story = schedule.story();
            panic!("{violation}\nSTRONGROOM_SCHEDULE={name}:{seed} repeats it\n{story}");
        }
    }
    say(&format!(
        "{name}: {count} schedules, {:.1?}",
        began.elapsed()
    ));
}

/// Plays all schedules of a scenario.
fn in_every_order(name: &str, scenario: &Scenario) {
    let began = Instant::now();
    match exhaustive::explore(scenario) {
        Ok(explored) => say(&format!("{name}: {explored}, {:.1?}", began.elapsed())),
        Err(story) => panic!("{name}: {story}"),
    }
}

/// Leaves a rule out, which must be noticed within `limit` schedules.
fn is_noticed(scenario: &Scenario, broken: Break, limit: u64) {
    let scenario = Scenario {
        broken: Some(broken),
        ..scenario.clone()
    };
    for seed in 0..limit {
        let (schedule, verdict) = random::play(&scenario, seed);
        if let Err(violation) = verdict {
            let story = schedule.story();
            say(&format!(
                "without {broken:?}, schedule {seed}: {violation}\n{story}"
            ));
            return;
        }
    }
    panic!("nothing was noticed in {limit} schedules without {broken:?}");
}

#[expect(clippy::print_stderr, reason = "for docs/reliability.md")]
fn say(what: &str) {
    eprintln!("{what}");
}

#[test]
fn backups_by_dice() {
    let cast = [
        Role::BackUpTwice(by(0, 2)),
        Role::BackUp(by(1, 3)),
        Role::GiveUp(by(0, 4)),
    ];
    by_dice("backups", &scenario(&cast, 2, 2), 2_000);
}

#[test]
fn two_backups_in_every_order() {
    let writers = [Role::BackUp(by(0, 2)), Role::BackUp(by(1, 3))];
    let unchanged = [Role::BackUp(by(0, 2)), Role::BackUp(by(0, 1))];
    for (crashes, failures) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        if crashes + failures < 2 || is_long() {
            let faults = format!("{crashes} crashes, {failures} failures");
            let two = scenario(&writers, crashes, failures);
            in_every_order(&format!("two writers, {faults}"), &two);
            let one = scenario(&unchanged, crashes, failures);
            in_every_order(&format!("one writer, {faults}"), &one);
        }
    }
    if is_long() {
        let three = [by(0, 2), by(1, 3), by(0, 1)].map(Role::BackUp);
        in_every_order("three backups", &scenario(&three, 0, 0));
    }
}

#[test]
fn objects_that_come_after_their_commit_are_noticed() {
    let cast = [Role::BackUp(by(0, 2)), Role::BackUp(by(1, 3))];
    is_noticed(&scenario(&cast, 0, 0), Break::PacksFirst, 10);
}

#[test]
fn a_seed_repeats_its_schedule() {
    let cast = [
        Role::BackUp(by(0, 2)),
        Role::BackUp(by(0, 3)),
        Role::GiveUp(by(1, 4)),
    ];
    let scenario = scenario(&cast, 2, 2);
    let stories = |_| (0..50).map(|seed| random::play(&scenario, seed).0.story());
    let [first, again] = [0, 1].map(|it| stories(it).collect::<Vec<_>>());
    assert_eq!(first, again);
    assert_ne!(first[0], first[1]);
}
