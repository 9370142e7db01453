//! A log of any objects under any names: a reader's view of it is what docs/format/v1.md, "Commit rules", says.

use std::collections::{BTreeMap, BTreeSet};

use archive::Digest;
use format::{
    COMMITS_MAX, Copied, DigestText, Log, Object, PruneStatement, RepositoryId, Run, RunId,
    SnapshotStatement, Statement, StoredRun, WriterId,
};
use repository::{Error, Trust, View};

use crate::script::Script;
use crate::shelf::{Hand, REPOSITORY, Shelf, job, run};

/// More objects than this show nothing new.
const OBJECTS: usize = 24;
/// Who is trusted to write, who to prune, and a stranger.
const HANDS: [u8; 3] = [1, 2, 3];

/// What stands in the log under a number.
enum Found {
    Garbage,
    /// A commit of a kind that nobody knows yet, in its place.
    Newer(WriterId),
    Commit(Known),
}

struct Known {
    digest: Digest,
    previous: Option<Digest>,
    appender: WriterId,
    writer: WriterId,
    /// Of a prune: what it retains.
    retains: Option<Vec<(u64, Digest)>>,
    /// Of a copy that came late: what it was taken before.
    before: Option<u64>,
}

/// Where snapshots are copied from.
const ELSEWHERE: RepositoryId = RepositoryId([0x22; 16]);

/// A log as the bytes describe it, object by object.
pub fn log(bytes: &[u8]) {
    let mut script = Script(bytes);
    let trusted = script.byte();
    let who = |bit: u8, hand: u8| (trusted & bit == 0).then(|| Hand::number(hand).id());
    let trust = Trust {
        writers: who(1, HANDS[0]).into_iter().collect(),
        maintainers: who(2, HANDS[1]).into_iter().collect(),
    };
    let mut world = World::default();
    for _ in 0..OBJECTS {
        if script.is_over() {
            break;
        }
        world.add(&mut script);
    }
    let repository = world.shelf.open();
    let view = run(repository.view(&job(), &trust));
    world.compare(view, &trust);
}

#[derive(Default)]
struct World {
    shelf: Shelf,
    log: BTreeMap<u64, Found>,
    /// In the order in which they were made, whether they count or not.
    made: Vec<(u64, Digest)>,
}

impl World {
    fn add(&mut self, script: &mut Script<'_>) {
        let (what, at) = (script.byte(), script.byte());
        if what % 8 == 7 {
            return self.add_misnamed(script);
        }
        let number = match at {
            255 => COMMITS_MAX,
            at => u64::from(at % 32) + 1,
        };
        if self.log.contains_key(&number) {
            return; // no name is written twice
        }
        let (object, found) = match what % 8 {
            6 => (script.take(40).to_vec(), Found::Garbage),
            what => self.commit(script, what, number),
        };
        self.made.push((number, Digest::of(&object)));
        self.log.insert(number, found);
        self.shelf.put(&format!("prod/log/{number:012}"), object);
    }

    /// An object whose name only looks like a number: readers ignore it. Or it is one after all.
    fn add_misnamed(&mut self, script: &mut Script<'_>) {
        let length = script.below(24);
        let name = String::from_utf8_lossy(script.take(length)).into_owned();
        let digits = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
        let number = name.parse().ok().filter(|number| digits && *number > 0);
        if let Some(number) = number {
            if self.log.contains_key(&number) {
                return;
            }
            self.log.insert(number, Found::Garbage);
        }
        self.shelf
            .put(&format!("prod/log/{name}"), b"object".to_vec());
    }

    fn commit(&self, script: &mut Script<'_>, what: u8, number: u64) -> (Vec<u8>, Found) {
        let previous = self.chosen(script).map(|(_, digest)| digest);
        let hands = script.byte();
        let hand = |choice: u8| Hand::number(HANDS[usize::from(choice) % HANDS.len()]);
        let (writer, appender) = (hand(hands & 15), hand(hands >> 4));
        // 5: copied here from another number.
        let placed = number + u64::from(what == 5);
        let log = Log {
            number: placed,
            previous: previous.map(DigestText),
            appender: appender.id(),
            appended: String::new(),
            copied: (what == 2).then(|| copied(script)),
            witness: Vec::new(),
        };
        let mut known = Known {
            digest: Digest([0; 32]),
            previous,
            appender: appender.id(),
            writer: writer.id(),
            retains: None,
            before: log.copied.as_ref().and_then(|copied| copied.before),
        };
        if what == 4 {
            let merge =
                serde_json::json!({"kind": "merge", "repository": REPOSITORY, "job": job()});
            let object = writer.commit(&merge, &log, &appender);
            return (object, Found::Newer(known.appender));
        }
        let statement = if what == 3 {
            let retains: Vec<_> = (0..script.below(6))
                .filter_map(|_| self.chosen(script))
                .collect();
            known.retains = Some(retains.clone());
            prune(known.writer, &retains)
        } else {
            let made_for = if what == 2 { ELSEWHERE } else { REPOSITORY };
            snapshot(known.writer, number, made_for)
        };
        let object = writer.commit(&statement, &log, &appender);
        known.digest = Digest::of(&object);
        let here = |copied: &Copied| {
            copied.repository == REPOSITORY
                && copied.runs.len() == 1
                && copied
                    .before
                    .is_none_or(|before| (1..number).contains(&before))
        };
        let found = if placed == number && log.copied.as_ref().is_none_or(here) {
            Found::Commit(known)
        } else {
            Found::Garbage
        };
        (object, found)
    }

    /// One of the commits so far, or none, or one that is lost.
    fn chosen(&self, script: &mut Script<'_>) -> Option<(u64, Digest)> {
        match script.byte() {
            0 => None,
            255 => Some((1, Digest([9; 32]))),
            at => self.made.iter().rev().nth(usize::from(at) - 1).copied(),
        }
    }

    fn compare(&self, view: Result<View, Error>, trust: &Trust) {
        let knows = |who: &WriterId| trust.writers.contains(who) || trust.maintainers.contains(who);
        let newer = |found: &Found| matches!(found, Found::Newer(who) if knows(who));
        if self.log.values().any(newer) {
            assert!(matches!(view, Err(Error::NewerCommit { .. })));
            return;
        }
        let view = view.expect("any other log has a view");
        let valid = self.valid(trust);
        let snapshots: Vec<u64> = view
            .snapshots()
            .map(|snapshot| snapshot.at.number)
            .collect();
        let is_snapshot = |(_, known): &&(u64, &Known)| known.retains.is_none();
        let expected = in_order(valid.iter().filter(is_snapshot));
        assert_eq!(snapshots, expected);
        assert_eq!(
            view.head().map(|head| (head.number, head.digest)),
            valid.last().map(|(number, known)| (*number, known.digest))
        );
        assert_eq!(
            view.tail(),
            self.log.keys().next_back().copied().unwrap_or(0)
        );
        self.compare_garbage(&view, &valid);
    }

    /// Each object is valid or garbage, and what is stray is damage.
    fn compare_garbage(&self, view: &View, valid: &[(u64, &Known)]) {
        let garbage: BTreeSet<u64> = view
            .garbage()
            .iter()
            .map(|garbage| garbage.number)
            .collect();
        let valid: BTreeSet<u64> = valid.iter().map(|(number, _)| *number).collect();
        assert_eq!(garbage.len(), view.garbage().len());
        assert!(garbage.is_disjoint(&valid));
        assert!(garbage.union(&valid).eq(self.log.keys()));
        let damage = || view.garbage().iter().filter(|garbage| garbage.damage);
        for stray in view.strays() {
            assert!(damage().any(|damage| damage.number == stray.at.number));
        }
        assert_eq!(
            view.newest_damage().map(|damage| damage.number),
            damage().map(|damage| damage.number).max()
        );
    }

    /// Rule 2, then rule 3.
    fn valid(&self, trust: &Trust) -> Vec<(u64, &Known)> {
        let commits: BTreeMap<u64, &Known> = self
            .log
            .iter()
            .filter_map(|(number, found)| match found {
                Found::Commit(known) => Some((*number, known)),
                _ => None,
            })
            .collect();
        let obeyed = |known: &Known| {
            known.retains.is_some()
                && trust.maintainers.contains(&known.writer)
                && trust.maintainers.contains(&known.appender)
        };
        let prune = commits.iter().rfind(|(_, known)| obeyed(known));
        let mut valid = Vec::new();
        let mut start = 0;
        if let Some((&number, &prune)) = prune {
            let retains = prune.retains.iter().flatten();
            let retained: BTreeSet<u64> = retains
                .filter(|(at, digest)| {
                    *at < number && commits.get(at).is_some_and(|it| it.digest == *digest)
                })
                .map(|(at, _)| *at)
                .collect();
            valid.extend(retained.into_iter().map(|at| (at, commits[&at])));
            valid.push((number, prune));
            start = number + 1;
        }
        for (&number, &known) in commits.range(start..) {
            if known.previous == valid.last().map(|(_, last): &(u64, &Known)| last.digest) {
                valid.push((number, known));
            }
        }
        valid
    }
}

/// As they were taken.
fn in_order<'a>(snapshots: impl Iterator<Item = &'a (u64, &'a Known)>) -> Vec<u64> {
    let mut order: Vec<(u64, bool)> = Vec::new();
    for (number, known) in snapshots {
        let place = known.before.map_or(order.len(), |before| {
            let at = |is: &dyn Fn(&(u64, bool)) -> bool| order.iter().position(is);
            let exact = at(&|(other, _)| *other == before);
            let above = || at(&|(other, late)| *other > before && !late);
            exact.or_else(above).unwrap_or(order.len())
        });
        order.insert(place, (*number, known.before.is_some()));
    }
    order.into_iter().map(|(number, _)| number).collect()
}

/// Mostly to here, and mostly as it must be.
fn copied(script: &mut Script<'_>) -> Copied {
    let how = script.byte();
    let stored = |run: u8| StoredRun {
        run: RunId([run; 16]),
        rotated: None,
    };
    Copied {
        repository: if how == 255 { ELSEWHERE } else { REPOSITORY },
        runs: (0..=how / 200).map(stored).collect(),
        before: (!how.is_multiple_of(4)).then(|| u64::from(script.byte() % 40)),
    }
}

fn prune(writer: WriterId, retains: &[(u64, Digest)]) -> Statement {
    let retains = retains
        .iter()
        .map(|(number, digest)| (*number, DigestText(*digest)));
    Statement::Prune(PruneStatement {
        repository: REPOSITORY,
        job: job(),
        writer,
        program: String::new(),
        started: String::new(),
        retains: retains.collect(),
        condemns: Vec::new(),
    })
}

fn snapshot(writer: WriterId, number: u64, repository: RepositoryId) -> Statement {
    let object = Object {
        size: 1,
        digest: Digest::of(b""),
    };
    let run = Run {
        run: RunId([number as u8; 16]),
        key: object,
        key_pq: None,
        manifest: object,
        map: object,
        packs: Vec::new(),
    };
    Statement::Snapshot(Box::new(SnapshotStatement {
        repository,
        job: job(),
        writer,
        program: String::new(),
        started: String::new(),
        finished: String::new(),
        sources: Vec::new(),
        partial: false,
        entries: 0,
        bytes: 0,
        added: 0,
        recipients: Vec::new(),
        parent: None,
        runs: vec![run],
    }))
}
