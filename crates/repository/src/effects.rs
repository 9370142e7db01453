use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use format::{Commit, CommitRef, KeyPair, RunId, Statement, WriterId};

use crate::view::{Trust, reference};

/// What the honoured commits of a log do to its snapshots and runs: docs/format/v1.md, "What valid commits do". Each part is a
/// function of the valid commits and of trust alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    /// The last honoured word on each snapshot that was ever pinned.
    pub(crate) pins: BTreeMap<CommitRef, Pin>,
    /// By snapshot, the first commit that forgets it.
    pub(crate) forgotten: BTreeMap<CommitRef, CommitRef>,
    pub(crate) revoked: Revoked,
    /// By run, what the last rotation says.
    pub(crate) rotated: HashMap<RunId, Rotation>,
    /// By run, the rotations that are not valid only because a commit before them is lost or damaged, the last one first. What they did
    /// cannot be undone by that: the key object before may be gone.
    pub(crate) astray: HashMap<RunId, Vec<Rotation>>,
    /// By run, the last rotation by somebody who is not trusted to rotate, and who that is.
    pub(crate) unheard: HashMap<RunId, (u64, WriterId)>,
}

/// What was last said of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) pinned: bool,
    /// The commit that says so.
    pub(crate) by: CommitRef,
}

/// A writer of whom later commits are not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The last number under which a commit by the writer still counts.
    pub after: u64,
    /// The commit that says so.
    pub by: CommitRef,
}

/// The key object that opens a run, in place of the one that its backup made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// It, and a second one for post-quantum recipients where there are others too.
    pub keys: KeyPair,
    /// Whom it is sealed to.
    pub recipients: Arc<[String]>,
    /// The commit that says so.
    pub by: CommitRef,
}

impl Effects {
    /// Of the valid commits, and of those that are not valid only because a commit before them is lost or damaged; both ascending.
    pub(crate) fn of(valid: &[Arc<Commit>], stray: &[Arc<Commit>], trust: &Trust) -> Self {
        let revoked = Revoked::of(valid, trust);
        Self {
            pins: pins(valid, trust, &revoked),
            forgotten: forgotten(valid, trust),
            revoked,
            rotated: rotations(valid, trust).collect(),
            astray: astray(stray, trust),
            unheard: unheard(valid, trust),
        }
    }
}

/// By writer, the revocation with the lowest `after`; of equals the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revoked(pub(crate) BTreeMap<WriterId, Revocation>);

impl Revoked {
    fn of(valid: &[Arc<Commit>], trust: &Trust) -> Self {
        let mut revoked = BTreeMap::new();
        for commit in maintained(valid, trust) {
            let Statement::Revoke(revoke) = &commit.statement else {
                continue;
            };
            let new = Revocation {
                after: revoke.after,
                by: reference(commit),
            };
            for writer in &revoke.writers {
                let known = revoked.entry(*writer).or_insert(new);
                if new.after < known.after {
                    *known = new;
                }
            }
        }
        Self(revoked)
    }

    /// What keeps a commit of `who` under that number from being trusted.
    pub(crate) fn find(&self, who: WriterId, number: u64) -> Option<Revocation> {
        let revocation = self.0.get(&who).copied();
        revocation.filter(|revocation| number > revocation.after)
    }
}

fn pins(valid: &[Arc<Commit>], trust: &Trust, revoked: &Revoked) -> BTreeMap<CommitRef, Pin> {
    let mut pins = BTreeMap::new();
    for commit in valid {
        let Statement::Pin(pin) = &commit.statement else {
            continue;
        };
        let trusted = |who| trust.knows(who) && revoked.find(who, commit.log.number).is_none();
        let by_writers = || trusted(pin.writer) && trusted(commit.log.appender);
        let honoured = trust.maintains(commit) || (pin.pinned && by_writers());
        if honoured && names_snapshot(valid, commit, pin.snapshot) {
            let said = Pin {
                pinned: pin.pinned,
                by: reference(commit),
            };
            pins.insert(pin.snapshot, said);
        }
    }
    pins
}

fn forgotten(valid: &[Arc<Commit>], trust: &Trust) -> BTreeMap<CommitRef, CommitRef> {
    let mut forgotten = BTreeMap::new();
    for commit in maintained(valid, trust) {
        let Statement::Forget(forget) = &commit.statement else {
            continue;
        };
        for at in &forget.snapshots {
            if names_snapshot(valid, commit, *at) {
                forgotten.entry(*at).or_insert_with(|| reference(commit));
            }
        }
    }
    forgotten
}

/// Each run that is rotated, in the order of the commits.
fn rotations<'a>(
    commits: &'a [Arc<Commit>],
    trust: &'a Trust,
) -> impl Iterator<Item = (RunId, Rotation)> + 'a {
    maintained(commits, trust).flat_map(|commit| {
        let Statement::Rotate(rotate) = &commit.statement else {
            return Vec::new();
        };
        let recipients: Arc<[String]> = rotate.recipients.as_slice().into();
        let runs = rotate.runs.iter().map(|run| {
            let rotation = Rotation {
                keys: run.keys(),
                recipients: Arc::clone(&recipients),
                by: reference(commit),
            };
            (run.run, rotation)
        });
        runs.collect()
    })
}

fn astray(stray: &[Arc<Commit>], trust: &Trust) -> HashMap<RunId, Vec<Rotation>> {
    let mut keys: HashMap<RunId, Vec<Rotation>> = HashMap::new();
    for (run, rotation) in rotations(stray, trust) {
        keys.entry(run).or_default().insert(0, rotation);
    }
    keys
}

fn unheard(valid: &[Arc<Commit>], trust: &Trust) -> HashMap<RunId, (u64, WriterId)> {
    let mut unheard = HashMap::new();
    for commit in valid.iter().filter(|commit| !trust.maintains(commit)) {
        if let Statement::Rotate(rotate) = &commit.statement {
            let by = (commit.log.number, rotate.writer);
            unheard.extend(rotate.runs.iter().map(|run| (run.run, by)));
        }
    }
    unheard
}

/// The commits by maintainers whom the reader trusts.
fn maintained<'a>(
    valid: &'a [Arc<Commit>],
    trust: &'a Trust,
) -> impl Iterator<Item = &'a Commit> + 'a {
    let commits = valid.iter().map(|commit| &**commit);
    commits.filter(|commit| trust.maintains(commit))
}

/// Whether `at` is a valid snapshot below `commit`.
fn names_snapshot(valid: &[Arc<Commit>], commit: &Commit, at: CommitRef) -> bool {
    let found = valid.binary_search_by_key(&at.number, |commit| commit.log.number);
    found.is_ok_and(|found| {
        let found = &valid[found];
        let snapshot = matches!(found.statement, Statement::Snapshot(_));
        snapshot && found.digest == at.digest && at.number < commit.log.number
    })
}

#[cfg(test)]
mod tests {
    use archive::Digest;
    use format::{
        DigestText, ForgetStatement, JobName, Log, Object, PinStatement, RepositoryId,
        RevokeStatement, RotateStatement, RotatedRun, Run, SnapshotStatement, WriterKey,
    };

    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId([1; 16]);
    const RUN: RunId = RunId([7; 16]);

    fn job() -> JobName {
        "prod".parse().expect("a job name")
    }

    fn object(size: u64) -> Object {
        Object {
            size,
            digest: Digest::of(b""),
        }
    }

    /// A chain of valid commits: one snapshot by a writer, then what a test says.
    struct Chain {
        writer: WriterKey,
        maintainer: WriterKey,
        stranger: WriterKey,
        valid: Vec<Arc<Commit>>,
    }

    impl Chain {
        fn new() -> Self {
            let mut chain = Self {
                writer: WriterKey::generate(),
                maintainer: WriterKey::generate(),
                stranger: WriterKey::generate(),
                valid: Vec::new(),
            };
            chain.add(Self::snapshot, |chain| &chain.writer);
            chain
        }

        fn trust(&self) -> Trust {
            Trust {
                writers: [self.writer.id()].into(),
                maintainers: [self.maintainer.id()].into(),
            }
        }

        fn effects(&self) -> Effects {
            Effects::of(&self.valid, &[], &self.trust())
        }

        fn at(&self, number: usize) -> CommitRef {
            reference(&self.valid[number - 1])
        }

        /// Whether `effect` is seen of a statement by each of: the writer, the maintainer, a stranger.
        fn seen_by_each(
            statement: impl Fn(WriterId, CommitRef) -> Statement,
            effect: impl Fn(&Effects, CommitRef) -> bool,
        ) -> [bool; 3] {
            let keys: [fn(&Self) -> &WriterKey; 3] = [
                |chain| &chain.writer,
                |chain| &chain.maintainer,
                |chain| &chain.stranger,
            ];
            keys.map(|key| {
                let mut chain = Self::new();
                let at = chain.at(1);
                chain.add(|who| statement(who, at), key);
                effect(&chain.effects(), at)
            })
        }

        fn add(
            &mut self,
            statement: impl Fn(WriterId) -> Statement,
            key: impl Fn(&Self) -> &WriterKey,
        ) -> CommitRef {
            let number = self.valid.len() as u64 + 1;
            let previous = self.valid.last().map(|commit| DigestText(commit.digest));
            let key = key(self);
            let log = Log {
                number,
                previous,
                appender: key.id(),
                appended: String::new(),
                copied: None,
                witness: Vec::new(),
            };
            let object = Commit::encode(&statement(key.id()), &log, key);
            let commit = Commit::decode(&object, REPOSITORY, &job(), number).expect("ours");
            self.valid.push(Arc::new(commit));
            self.at(number as usize)
        }

        fn snapshot(writer: WriterId) -> Statement {
            let run = Run {
                run: RUN,
                key: object(1),
                key_pq: None,
                manifest: object(1),
                map: object(1),
                packs: Vec::new(),
            };
            Statement::Snapshot(Box::new(SnapshotStatement {
                repository: REPOSITORY,
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
    }

    fn pin(writer: WriterId, snapshot: CommitRef, pinned: bool) -> Statement {
        Statement::Pin(PinStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program: String::new(),
            started: String::new(),
            snapshot,
            pinned,
        })
    }

    fn forget(writer: WriterId, snapshot: CommitRef) -> Statement {
        Statement::Forget(ForgetStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program: String::new(),
            started: String::new(),
            snapshots: vec![snapshot],
        })
    }

    fn revoke(writer: WriterId, revoked: WriterId, after: u64) -> Statement {
        Statement::Revoke(RevokeStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program: String::new(),
            started: String::new(),
            writers: vec![revoked],
            after,
        })
    }

    fn rotate(writer: WriterId, object_name: &str, size: u64) -> Statement {
        Statement::Rotate(RotateStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program: String::new(),
            started: String::new(),
            recipients: vec!["age1new".to_owned()],
            runs: vec![RotatedRun {
                run: RUN,
                object: object_name.parse().expect("a key object's name"),
                key: object(size),
                key_pq: None,
            }],
        })
    }

    fn pinned(effects: &Effects, at: CommitRef) -> bool {
        effects.pins.get(&at).is_some_and(|pin| pin.pinned)
    }

    #[test]
    fn writers_may_pin_and_maintainers_do_the_rest() {
        let pin = Chain::seen_by_each(|who, at| pin(who, at, true), pinned);
        assert_eq!(pin, [true, true, false]);
        let forget = Chain::seen_by_each(forget, |effects, at| effects.forgotten.contains_key(&at));
        assert_eq!(forget, [false, true, false]);
        let victim = WriterKey::generate().id();
        let revoke = |who, _| revoke(who, victim, 0);
        let revoke = Chain::seen_by_each(revoke, |effects, _| {
            effects.revoked.find(victim, 1).is_some()
        });
        assert_eq!(revoke, [false, true, false]);
        let rotate = |who, _| rotate(who, "key-1", 2);
        let rotate = Chain::seen_by_each(rotate, |effects, _| effects.rotated.contains_key(&RUN));
        assert_eq!(rotate, [false, true, false]);
    }

    #[test]
    fn only_a_maintainer_lifts_a_pin() {
        let mut chain = Chain::new();
        let at = chain.at(1);
        chain.add(|who| pin(who, at, true), |chain| &chain.writer);
        chain.add(|who| pin(who, at, false), |chain| &chain.writer);
        assert!(pinned(&chain.effects(), at));
        chain.add(|who| pin(who, at, false), |chain| &chain.maintainer);
        assert!(!pinned(&chain.effects(), at));
        chain.add(|who| pin(who, at, true), |chain| &chain.writer);
        assert!(pinned(&chain.effects(), at));
    }

    #[test]
    fn what_is_no_snapshot_below_is_neither_pinned_nor_forgotten() {
        let mut chain = Chain::new();
        let at = chain.at(1);
        let other = CommitRef {
            digest: Digest::of(b"other"),
            ..at
        };
        let above = CommitRef { number: 9, ..at };
        let no_snapshot = chain.add(|who| pin(who, at, true), |chain| &chain.maintainer);
        for wrong in [other, above, no_snapshot] {
            chain.add(|who| pin(who, wrong, true), |chain| &chain.maintainer);
            chain.add(|who| forget(who, wrong), |chain| &chain.maintainer);
        }
        let effects = chain.effects();
        assert_eq!(effects.pins.keys().collect::<Vec<_>>(), [&at]);
        assert!(effects.forgotten.is_empty());
    }

    #[test]
    fn the_lowest_number_after_which_a_writer_is_revoked_counts() {
        let mut chain = Chain::new();
        let victim = chain.writer.id();
        chain.add(|who| revoke(who, victim, 4), |chain| &chain.maintainer);
        let lower = chain.add(|who| revoke(who, victim, 2), |chain| &chain.maintainer);
        chain.add(|who| revoke(who, victim, 3), |chain| &chain.maintainer);
        let revoked = chain.effects().revoked;
        assert_eq!(revoked.find(victim, 2), None);
        let counts = Revocation {
            after: 2,
            by: lower,
        };
        assert_eq!(revoked.find(victim, 3), Some(counts));
        assert_eq!(revoked.find(chain.stranger.id(), 3), None);
    }

    #[test]
    fn a_revoked_writer_pins_nothing_any_more() {
        let mut chain = Chain::new();
        let (at, victim) = (chain.at(1), chain.writer.id());
        chain.add(|who| revoke(who, victim, 2), |chain| &chain.maintainer);
        chain.add(|who| pin(who, at, true), |chain| &chain.writer);
        assert!(!pinned(&chain.effects(), at));
        chain.add(|who| pin(who, at, true), |chain| &chain.maintainer);
        assert!(pinned(&chain.effects(), at));
    }

    #[test]
    fn the_last_rotation_of_a_run_counts() {
        let mut chain = Chain::new();
        chain.add(|who| rotate(who, "key-1", 2), |chain| &chain.maintainer);
        let last = chain.add(|who| rotate(who, "key-2", 3), |chain| &chain.maintainer);
        chain.add(|who| rotate(who, "key-3", 4), |chain| &chain.stranger);
        let rotation = chain
            .effects()
            .rotated
            .remove(&RUN)
            .expect("it was rotated");
        assert_eq!(rotation.keys.name.to_string(), "key-2");
        assert_eq!((rotation.keys.key, rotation.by), (object(3), last));
        assert_eq!(&*rotation.recipients, ["age1new".to_owned()]);
    }
}
