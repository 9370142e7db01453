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
mod script;

use std::time::Instant;

use cast::Role;
use repository::Rule;
use scene::{Capture, bucket};
use schedule::{Break, Faults, Scenario};
use script::Until;

fn is_long() -> bool {
    std::env::var_os("STRONGROOM_LONG").is_some()
}

const fn by(writer: usize, source: u64) -> Capture {
    Capture { writer, source }
}

fn scenario(cast: &[Role], crashes: u32, failures: u32) -> Scenario {
    let three = [by(0, 1), by(0, 11), by(0, 12)];
    let pruned = cast.iter().any(|role| matches!(role, Role::Prune));
    Scenario {
        bucket: bucket(if pruned { &three } else { &three[..1] }),
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

/// One backup and one prune, in a bucket of two snapshots. The prune drops the older one, which is what the backup builds on, or is not:
/// each keeps it from the other in another way.
fn beside_a_prune(builds_on_it: bool, crashes: u32) -> Scenario {
    let snapshots = if builds_on_it {
        [by(0, 11), by(1, 12)]
    } else {
        [by(1, 12), by(0, 11)]
    };
    Scenario {
        bucket: bucket(&snapshots),
        ..scenario(&[Role::BackUp(by(0, 13)), Role::Prune], crashes, 0)
    }
}

fn beside_a_prune_in_every_order(builds_on_it: bool) {
    let what = if builds_on_it { "its base" } else { "another" };
    for crashes in 0..=u32::from(is_long()) {
        let name = format!("a backup, a prune of {what}, {crashes} crashes");
        in_every_order(&name, &beside_a_prune(builds_on_it, crashes));
    }
}

#[test]
fn a_backup_and_a_prune_of_its_base_in_every_order() {
    beside_a_prune_in_every_order(true);
}

#[test]
fn a_backup_and_a_prune_of_another_snapshot_in_every_order() {
    beside_a_prune_in_every_order(false);
}

/// What guards a backup and a prune from each other, left out: some order of theirs is a violation, and all are tried.
#[test]
fn a_rule_that_is_left_out_is_noticed_in_some_order() {
    for (builds_on_it, rule) in [
        (true, Rule::BaseStands),
        (true, Rule::DirectlyAbove),
        (false, Rule::RunStands),
    ] {
        let scenario = Scenario {
            broken: Some(Break::Rule(rule)),
            ..beside_a_prune(builds_on_it, 0)
        };
        match exhaustive::explore(&scenario) {
            Ok(explored) => panic!("nothing was noticed without {rule:?}: {explored}"),
            Err(story) => say(&format!("without {rule:?}: {story}")),
        }
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

/// Of two writers, one of whom takes two snapshots, so that a prune has something to drop.
const BACKUPS: [Role; 2] = [Role::BackUp(by(0, 13)), Role::BackUpTwice(by(1, 21))];

fn beside_backups(others: &[Role]) -> Vec<Role> {
    [&BACKUPS[..], others].concat()
}

#[test]
fn a_prune_beside_backups_by_dice() {
    let cast = beside_backups(&[Role::Prune]);
    by_dice("a prune", &scenario(&cast, 0, 0), 1_000);
    by_dice("a prune, faults", &scenario(&cast, 2, 2), 2_000);
}

#[test]
fn two_prunes_beside_backups_by_dice() {
    let cast = beside_backups(&[Role::Prune, Role::Prune]);
    by_dice("two prunes", &scenario(&cast, 2, 2), 2_000);
}

#[test]
fn pins_and_forgets_by_dice() {
    let cast = [
        Role::BackUp(by(0, 13)),
        Role::Pin,
        Role::Forget,
        Role::Prune,
    ];
    by_dice("pins", &scenario(&cast, 1, 1), 1_000);
}

/// A rotation, and what others do beside it.
#[test]
fn a_rotation_by_dice() {
    let cast = beside_backups(&[Role::Rotate]);
    by_dice("a rotation", &scenario(&cast, 0, 0), 300);
    let cast = [
        Role::BackUp(by(0, 13)),
        Role::Rotate,
        Role::Rotate,
        Role::Prune,
    ];
    by_dice("two rotations, faults", &scenario(&cast, 2, 2), 700);
}

/// One run, sealed anew while a backup builds on it.
#[test]
fn a_backup_and_a_rotation_in_every_order() {
    let cast = [Role::BackUp(by(0, 2)), Role::Rotate];
    for crashes in 0..=u32::from(is_long()) {
        let name = format!("a backup, a rotation, {crashes} crashes");
        in_every_order(&name, &scenario(&cast, crashes, 0));
    }
}

#[test]
fn a_backup_and_a_copy_in_every_order() {
    for crashes in 0..=u32::from(is_long()) {
        let name = format!("a backup, a copy, {crashes} crashes");
        let scenario = Scenario {
            faults: Faults {
                crashes,
                failures: 0,
            },
            ..copied_into_nothing()
        };
        in_every_order(&name, &scenario);
    }
}

/// The first copies and the first backup at the same time: each changes where the other one stands.
fn copied_into_nothing() -> Scenario {
    Scenario {
        bucket: bucket(&[]),
        ..scenario(&[Role::BackUp(by(0, 2)), Role::Copy], 0, 0)
    }
}

/// A copy of older snapshots, and what others do beside it.
#[test]
fn a_copy_by_dice() {
    let cast = beside_backups(&[Role::Copy]);
    by_dice("a copy", &scenario(&cast, 0, 0), 100);
    by_dice("a copy into nothing", &copied_into_nothing(), 200);
    let cast = [
        Role::BackUp(by(0, 13)),
        Role::Copy,
        Role::Copy,
        Role::Prune,
        Role::Rotate,
    ];
    by_dice("two copies, faults", &scenario(&cast, 2, 2), 300);
    let cast = [Role::Copy, Role::Verify, Role::Prune];
    by_dice("a copy, verify", &scenario(&cast, 0, 0), 100);
}

/// Whoever reads beside a prune takes what it deletes for damage in no case.
#[test]
fn readers_beside_a_prune_by_dice() {
    let cast = [Role::BackUp(by(0, 13)), Role::Restore, Role::Prune];
    by_dice("a restore", &scenario(&cast, 0, 0), 1_000);
    let cast = [Role::BackUp(by(0, 13)), Role::Verify, Role::Prune];
    by_dice("verify", &scenario(&cast, 0, 0), 1_000);
    for (name, reader) in [
        ("rotate, restore", Role::Restore),
        ("rotate, verify", Role::Verify),
    ] {
        let cast = [Role::BackUp(by(0, 13)), reader, Role::Rotate];
        by_dice(name, &scenario(&cast, 0, 0), 200);
    }
}

#[test]
fn a_rule_that_is_left_out_is_noticed() {
    let cast = beside_backups(&[Role::Prune, Role::Prune]);
    let scenario = scenario(&cast, 2, 2);
    let rules = [
        Rule::NoHole,
        Rule::NoGarbage,
        Rule::RunStands,
        Rule::BaseStands,
        Rule::SeenAgain,
        Rule::DirectlyAbove,
    ];
    let rotated = self::scenario(&[Role::BackUp(by(0, 2)), Role::Rotate], 0, 0);
    is_noticed(&rotated, Break::Rule(Rule::KeysStand), 100);
    is_noticed(
        &copied_into_nothing(),
        Break::Rule(Rule::DirectlyAbove),
        100,
    );
    for rule in rules {
        is_noticed(&scenario, Break::Rule(rule), 1_000);
    }
    is_noticed(&scenario, Break::FreshNames, 10);
    is_noticed(&scenario, Break::PacksFirst, 10);
}

/// A prune whose number was another commit's, which the next prune dropped: its own commit falls into the hole, where it never was in
/// force. What it had condemned is what a backup had stored by then, and the snapshot of that is valid now.
#[test]
fn a_prune_that_deletes_before_it_is_in_force_is_noticed() {
    let [backup, early, other, late] = [0, 1, 2, 3];
    let cast = [
        Role::BackUp(by(0, 13)),
        Role::Prune,
        Role::BackUp(by(1, 21)),
        Role::Prune,
    ];
    let turns = [
        (backup, Until::Commits),
        (early, Until::Commits),
        (other, Until::Ends),
        (backup, Until::Ends),
        (late, Until::Ends),
        (early, Until::Ends),
    ];
    let mut scenario = scenario(&cast, 0, 0);
    let (schedule, verdict) = script::play(&scenario, &turns);
    assert_eq!(verdict, Ok(()), "{}", schedule.story());
    scenario.broken = Some(Break::Rule(Rule::InForce));
    let (schedule, verdict) = script::play(&scenario, &turns);
    let story = schedule.story();
    let violation = verdict.expect_err("it deletes what a valid snapshot needs");
    say(&format!("without InForce: {violation}\n{story}"));
}
