//! One schedule: actors, the operations that they wait for, and what happens next, step by step. Each step is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Wake, Waker};

use format::RunId;
use futures::future::LocalBoxFuture;
use object_store::Error;
use repository::{Compute, Level, Outcome, Repository, Rule, Store, Trust, View, verify_job};

use crate::bucket::{Bucket, Operation, Reply, exists, number};
use crate::cast::{Actor, Report, Reports, Role};
use crate::common::job;
use crate::judge::{Judge, Verdict};
use crate::parking::{ActorId, Handle, Lot, Manner, OperationId};
use crate::scene::{Capture, at_once, restore, secrets, trust};

/// What is to be explored: who acts on what, and what may go wrong.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) bucket: Bucket,
    pub(crate) cast: Vec<Role>,
    pub(crate) faults: Faults,
    pub(crate) broken: Option<Break>,
}

/// How much may go wrong in one schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// Actors that stop for ever.
    pub(crate) crashes: u32,
    /// Operations that fail, carried out or not.
    pub(crate) failures: u32,
}

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Rule(Rule),
    /// Objects of runs count as durable before they are.
    PacksFirst,
    /// Runs are named as earlier ones were.
    FreshNames,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The operation is carried out, and answered.
    Happens(OperationId),
    Fails(OperationId, Failure),
    /// The actor stops for ever. What it asked for may still happen.
    Crashes(ActorId),
    /// The operation of somebody who is gone is carried out.
    HappensLate(OperationId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// It is not carried out, and its actor sees an error.
    NotDone,
    /// It is carried out, and its actor sees an error.
    AnswerLost,
    /// It is carried out, its answer lost, and what carries requests asks again: its actor sees that there is such an object.
    Repeated,
}

pub(crate) struct Schedule {
    lot: Arc<Mutex<Lot>>,
    actors: Vec<Player>,
    reports: Reports,
    judge: Judge,
    /// What happens at once, for those who look on.
    repository: Repository,
    left: Faults,
    /// What happens now was judged before, when this schedule's beginning was another one's.
    pub(crate) repeats: bool,
    labels: Labels,
    story: Vec<String>,
}

type Labels = Arc<Mutex<BTreeMap<RunId, (ActorId, u32)>>>;

struct Player {
    future: Option<LocalBoxFuture<'static, ()>>,
    woken: Arc<Flag>,
    /// Everything that it learned until now, as a number.
    history: u64,
    /// It saw an error, or crashed: nothing more is expected of it.
    excused: bool,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Schedule {
    /// Everybody has asked for their first operation. `order` decides how the names of runs are sorted.
    pub(crate) fn new(scenario: &Scenario, order: u64) -> Self {
        let lot = Arc::new(Mutex::new(Lot::new(scenario.bucket.clone())));
        let open = |manner| {
            let handle = Handle::new(Arc::clone(&lot), manner);
            let opened = Repository::open(Store::new(Arc::new(handle), "the bucket"));
            at_once(opened).expect("it is a repository")
        };
        let repository = open(Manner::AtOnce);
        let maintainers = trust().maintainers.into_iter().collect();
        let mut schedule = Self {
            judge: Judge::new(repository.id(), maintainers, &scenario.bucket),
            repository,
            actors: Vec::new(),
            reports: Reports::default(),
            left: scenario.faults,
            repeats: false,
            labels: Labels::default(),
            story: Vec::new(),
            lot: Arc::clone(&lot),
        };
        for (id, role) in scenario.cast.iter().enumerate() {
            let hasty = scenario.broken == Some(Break::PacksFirst);
            let manner = if hasty {
                Manner::Hasty(id)
            } else {
                Manner::Parked(id)
            };
            let names = names(&schedule.labels, id, order, scenario.broken);
            let mut repository = open(manner).naming_runs(names);
            if let Some(Break::Rule(rule)) = scenario.broken {
                repository = repository.without(rule);
            }
            let reports = Arc::clone(&schedule.reports);
            let actor = Actor {
                id,
                repository,
                reports,
            };
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            schedule.actors.push(Player {
                future: Some(actor.play(*role)),
                woken,
                history: 0,
                excused: false,
            });
            schedule.run(id);
        }
        schedule
    }

    fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().expect("nothing panics there")
    }

    /// The operations that actors wait for, oldest first of each.
    pub(crate) fn parked(&self) -> Vec<(OperationId, Operation)> {
        let lot = self.lot();
        lot.parked()
            .map(|(id, operation)| (id, operation.clone()))
            .collect()
    }

    /// Operations of those who are gone.
    pub(crate) fn adrift(&self) -> Vec<OperationId> {
        self.lot().adrift().map(|(id, _)| id).collect()
    }

    pub(crate) fn is_there(&self, name: &str) -> bool {
        self.lot().bucket.get(name).is_some()
    }

    fn living(&self) -> impl Iterator<Item = ActorId> {
        let living = self.actors.iter().enumerate();
        living
            .filter(|(_, actor)| actor.future.is_some())
            .map(|(id, _)| id)
    }

    /// What may still go wrong.
    pub(crate) fn left(&self) -> Faults {
        self.left
    }

    /// How an operation can fail.
    pub(crate) fn failures(operation: &Operation) -> &'static [Failure] {
        match operation {
            Operation::Create { .. } => &[Failure::NotDone, Failure::AnswerLost, Failure::Repeated],
            Operation::Delete { .. } => &[Failure::NotDone, Failure::AnswerLost],
            _ => &[Failure::NotDone],
        }
    }

    /// Takes a step, and judges it.
    pub(crate) fn take(&mut self, step: Step) -> Verdict {
        match step {
            Step::Happens(id) => self.happens(id, None)?,
            Step::Fails(id, failure) => {
                self.left.failures -= 1;
                self.actors[id.0].excused = true;
                self.happens(id, Some(failure))?;
            }
            Step::Crashes(actor) => {
                self.left.crashes -= 1;
                self.actors[actor].excused = true;
                self.actors[actor].future = None;
                self.tell(actor, "stops for ever");
            }
            Step::HappensLate(id) => {
                let operation = self.lot().operation(id).clone();
                self.lot().settle(id);
                drop(self.carry_out(id, &operation, "late: ")?);
            }
        }
        self.hear()
    }

    fn happens(&mut self, id: OperationId, failure: Option<Failure>) -> Verdict {
        let operation = self.lot().operation(id).clone();
        let lost = |after: bool| Error::Generic {
            store: "bucket",
            source: if after {
                "the answer was lost"
            } else {
                "refused"
            }
            .into(),
        };
        let (reply, learned) = match failure {
            Some(Failure::NotDone) => {
                self.tell(id.0, &format!("{operation}: fails"));
                (Err(lost(false)), 1)
            }
            Some(Failure::AnswerLost) => {
                drop(self.carry_out(id, &operation, "its answer is lost: ")?);
                (Err(lost(true)), 1)
            }
            Some(Failure::Repeated) => {
                drop(self.carry_out(id, &operation, "its answer is lost, and it is repeated: ")?);
                (Err(exists(operation.name())), 2)
            }
            None => self.carry_out(id, &operation, "")?,
        };
        let actor = &mut self.actors[id.0];
        actor.history = number(&(actor.history, id.1, failure, learned));
        self.lot().answer(id, reply);
        self.run(id.0);
        Ok(())
    }

    fn carry_out(
        &mut self,
        id: OperationId,
        operation: &Operation,
        how: &str,
    ) -> Result<(object_store::Result<Reply>, u64), String> {
        let origin = number(&(id.0, self.actors[id.0].history, operation.name()));
        let answer = self.lot().bucket.apply(operation, origin);
        self.tell(id.0, &format!("{how}{operation}: {}", answer.words));
        if let Some(change) = &answer.change {
            let lot = self.lot.lock().expect("nothing panics there");
            self.judge.changed(change, id.0, &lot.bucket)?;
            drop(lot);
            if !self.repeats {
                self.compare_views(operation)?;
            }
        }
        Ok((answer.reply, answer.learned))
    }

    /// Polls an actor until it waits.
    fn run(&mut self, id: ActorId) {
        let actor = &mut self.actors[id];
        while let Some(future) = &mut actor.future
            && actor.woken.0.swap(false, Ordering::Relaxed)
        {
            let waker = Waker::from(Arc::clone(&actor.woken));
            if future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                actor.future = None;
            }
        }
    }

    /// What actors did and said in this step.
    fn hear(&mut self) -> Verdict {
        let labels = self.labels.lock().expect("nothing panics there");
        for (run, (actor, _)) in &*labels {
            self.judge.owns(*run, *actor);
        }
        drop(labels);
        let attempts = std::mem::take(&mut self.lot().attempts);
        for attempt in attempts {
            self.judge.attempt(&attempt);
        }
        let reports = std::mem::take(&mut *self.reports.lock().expect("nothing panics there"));
        for (actor, report) in reports {
            match report {
                Report::Committed(at) => {
                    self.tell(actor, &format!("has committed snapshot {}", at.number));
                    self.judge.committed(at)?;
                }
                Report::Pinned(at) => {
                    self.tell(actor, &format!("has pinned snapshot {}", at.number));
                    self.judge.pinned(at)?;
                }
                Report::Unreadable(at, error) => {
                    self.tell(actor, &format!("cannot read {}: {error}", at.number));
                    if !self.actors[actor].excused {
                        self.judge.unreadable(at)?;
                    }
                }
                Report::Done(what) => self.tell(actor, &what),
                Report::Wrong(what) => return Err(format!("{} {what}", name(actor))),
                Report::StartsOver => self.tell(actor, "starts over"),
                Report::Failed(error) => {
                    self.tell(actor, &format!("fails: {error}"));
                    if !self.actors[actor].excused {
                        return Err(format!("{} failed, though nothing went wrong", name(actor)));
                    }
                }
            }
        }
        Ok(())
    }

    /// All readers see the chain that the judge sees, whatever writers they trust.
    fn compare_views(&self, operation: &Operation) -> Verdict {
        if !operation.name().contains("/log/") {
            return Ok(());
        }
        let nobody = Trust {
            maintainers: trust().maintainers,
            ..Trust::default()
        };
        let view = at_once(self.repository.view(&job(), &nobody));
        self.compare_view(&view.map_err(|error| format!("a reader fails: {error}"))?)
    }

    fn compare_view(&self, view: &View) -> Verdict {
        let newest = view.snapshots().next_back();
        if newest.is_some_and(|it| it.is_copy()) && !view.snapshots().all(|it| it.is_copy()) {
            return Err("a copy of an older snapshot is the newest".to_owned());
        }
        let mut seen: Vec<_> = view.snapshots().map(|snapshot| snapshot.at).collect();
        seen.sort_unstable();
        if view.head() == self.judge.head() && seen == self.judge.snapshots() {
            return Ok(());
        }
        let numbers: Vec<u64> = seen.iter().map(|at| at.number).collect();
        Err(format!("a reader sees the snapshots {numbers:?}"))
    }

    /// When nobody waits any more: everybody has ended, and all that is valid restores.
    pub(crate) fn finish(&mut self) -> Verdict {
        if let Some(actor) = self.living().next() {
            return Err(format!("{} waits for ever", name(actor)));
        }
        self.restore_all()?;
        self.opens_for_one()
    }

    /// Where nothing went wrong, no snapshot is left half rotated: whoever can open a part of it can open all of it.
    fn opens_for_one(&self) -> Verdict {
        if self.actors.iter().any(|actor| actor.excused) {
            return Ok(());
        }
        let view = at_once(self.repository.view(&job(), &trust()));
        let view = view.map_err(|error| format!("a reader fails: {error}"))?;
        for snapshot in view.snapshots() {
            let first = snapshot.recipients(0);
            let mut runs = 0..snapshot.statement.runs.len();
            if runs.any(|run| snapshot.recipients(run) != first) {
                let number = snapshot.at.number;
                return Err(format!("snapshot {number} opens for nobody alone"));
            }
        }
        Ok(())
    }

    /// After that: the next backup works, and nothing counts as damaged.
    pub(crate) fn go_on(&mut self) -> Verdict {
        let next = Capture {
            writer: 0,
            source: 99,
        };
        match at_once(next.back_up(&self.repository)) {
            Ok(Outcome::Committed(_)) => {}
            Ok(Outcome::StartOver) => return Err("the next backup starts over".to_owned()),
            Err(error) => return Err(format!("the next backup fails: {error}")),
        }
        self.restore_all()?;
        let (repository, job, trust) = (&self.repository, job(), trust());
        let compute = Compute::inline();
        let verified = verify_job(repository, &job, &trust, Level::Data, &compute, &|_| ());
        let report = at_once(verified).map_err(|error| format!("verify fails: {error}"))?;
        match report.damage.first() {
            Some(damage) => Err(format!("verify reports {}: {}", damage.object, damage.what)),
            None => Ok(()),
        }
    }

    /// One that was restored before need not be again: the judge has seen that all of its objects are the same.
    fn restore_all(&self) -> Verdict {
        static RESTORED: Mutex<BTreeSet<[u8; 32]>> = Mutex::new(BTreeSet::new());
        let view = at_once(self.repository.view(&job(), &trust()));
        let view = view.map_err(|error| format!("a reader fails: {error}"))?;
        for snapshot in view.snapshots() {
            let mut restored = RESTORED.lock().expect("nothing panics there");
            if !restored.insert(snapshot.at.digest.0) {
                continue;
            }
            drop(restored);
            let source: u64 = snapshot.statement.program.parse().expect("a number");
            let number = snapshot.at.number;
            match at_once(restore(&self.repository, snapshot)) {
                Ok(restored) if restored == secrets(source) => {}
                Ok(_) => return Err(format!("snapshot {number} comes back wrong")),
                Err(error) => return Err(format!("snapshot {number} does not restore: {error}")),
            }
        }
        Ok(())
    }

    /// The same for two schedules if and only if everybody knows the same, and the bucket is the same.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let lot = self.lot();
        lot.bucket.hash(&mut hasher);
        for (id, _) in lot.adrift() {
            id.hash(&mut hasher);
        }
        for actor in &self.actors {
            (actor.history, actor.future.is_some(), actor.excused).hash(&mut hasher);
        }
        self.left.hash(&mut hasher);
        self.judge.hash(&mut hasher);
        hasher.finish()
    }

    fn tell(&mut self, actor: ActorId, what: &str) {
        self.story.push(format!("{}  {what}", name(actor)));
    }

    /// What happened, with short names for runs.
    pub(crate) fn story(&self) -> String {
        let labels = self.labels.lock().expect("nothing panics there");
        let mut text = String::new();
        for line in &self.story {
            let mut line = line.replace("prod/", "");
            for (run, (actor, which)) in &*labels {
                line = line.replace(&run.to_string(), &format!("{}{which}", name(*actor)));
            }
            writeln!(text, "    {line}").expect("a text takes text");
        }
        text
    }
}

fn name(actor: ActorId) -> char {
    char::from(b'A' + actor as u8)
}

/// Names for the runs of an actor, the same whenever the schedule is repeated.
fn names(
    labels: &Labels,
    actor: ActorId,
    order: u64,
    broken: Option<Break>,
) -> impl Fn() -> RunId + Send + Sync + 'static {
    let labels = Arc::clone(labels);
    let next = Mutex::new(0);
    move || {
        let mut next = next.lock().expect("nothing panics there");
        let mut run = [0; 16];
        if broken != Some(Break::FreshNames) {
            run[0] = number(&(order, actor, *next)) as u8;
            (run[1], run[2]) = (actor as u8 + 1, *next as u8);
        }
        let mut labels = labels.lock().expect("nothing panics there");
        labels.insert(RunId(run), (actor, *next));
        *next += 1;
        RunId(run)
    }
}
