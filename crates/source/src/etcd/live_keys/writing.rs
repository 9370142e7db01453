//! Keys on their way into an etcd, many in one transaction, each only if it still is what the plan saw.

use archive::{Entry, Name};
use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse,
};
use zeroize::Zeroizing;

use super::leases::Leases;
use super::looking::{AT_ONCE, Now, look_up};
use super::refusal::Refusal;
use super::server::{Failure, Server};
use super::wishes::{Policy, Wishes};
use crate::etcd::database::Lease;
use crate::etcd::lease::Attached;
use crate::files::refuse_conflicts;
use crate::{Contents, Error, ErrorKind, Plan, Report};

/// A transaction with so many bytes of keys and values has enough: etcd takes 1.5 MiB in one request, unless it is told otherwise.
const TOGETHER: usize = 1 << 20;
/// What stands beside a key and its value in a transaction, at most. The key stands there three times.
const AROUND: usize = 64;
/// The largest value that is tried: etcd's own limit is far below.
const VALUE_MAX: u64 = 64 << 20;
/// So often leases that ended while their keys were written are granted again.
const ENDED_MAX: u32 = 3;

/// Carries out `plan`. Whatever becomes of it, no lease is left that has no key, but where etcd does not answer any more: there it
/// ends by itself.
pub(super) async fn write(
    server: &mut Server<'_>,
    plan: &Plan,
    contents: &mut dyn Contents,
    wishes: &Wishes,
) -> Result<Report, Error> {
    refuse_conflicts(plan)?;
    let mut writing = Writing {
        server,
        leases: Leases::default(),
        report: Report::default(),
    };
    let ended = writing.carry_out(plan, contents, wishes).await;
    let Writing {
        server,
        leases,
        mut report,
    } = writing;
    if ended.is_err() {
        server.lose_patience();
    }
    leases.revoke_unused(server).await;
    ended.map_err(|error| cut_short(plan, &report, error))?;
    report.failed.sort();
    Ok(report)
}

/// What was on its way when it ended may have arrived.
fn cut_short(plan: &Plan, report: &Report, error: Error) -> Error {
    let writes = plan.steps.iter().filter(|step| step.action.writes());
    let done = format!("{} of {} keys were written", report.written, writes.count());
    let message = match error.kind() {
        ErrorKind::Unreachable => {
            format!("at least {done} before it ended, and the same command does what is left")
        }
        ErrorKind::Denied => {
            format!("{done} before it ended, and the same command does what is left")
        }
        _ => format!("{done} before it ended"),
    };
    Error::new(error.kind(), message).because(error)
}

/// A key that is to be written.
struct Work {
    name: Name,
    value: Zeroizing<Vec<u8>>,
    /// The revision that the plan saw it in; `None`: it was not there.
    seen: Option<u64>,
    /// As it was captured, if the key is to have one.
    lease: Option<Lease>,
}

struct Writing<'w, 'o> {
    server: &'w mut Server<'o>,
    leases: Leases,
    report: Report,
}

/// What became of a transaction.
enum Done {
    Written,
    /// Nothing was: this is the revision of each key now, 0 for one that is not there.
    Refused(Vec<u64>),
}

impl Writing<'_, '_> {
    async fn carry_out(
        &mut self,
        plan: &Plan,
        contents: &mut dyn Contents,
        wishes: &Wishes,
    ) -> Result<(), Error> {
        let (mut together, mut bytes) = (Vec::new(), 0);
        for step in plan.steps.iter().filter(|step| step.action.writes()) {
            let entry = contents
                .next()
                .await?
                .filter(|entry| entry.name == step.name);
            let entry = entry.ok_or_else(|| {
                let message = format!("the plan writes {}, but another entry came", step.name);
                Error::new(ErrorKind::Bug, message)
            })?;
            if entry.length() > VALUE_MAX {
                let reason = Refusal::TooLarge.clause().to_owned();
                self.report.failed.push((entry.name, reason));
                continue;
            }
            let work = Work::read(entry, contents, plan, wishes).await?;
            let length = work.length();
            if together.len() == AT_ONCE || bytes + length > TOGETHER {
                self.write(std::mem::take(&mut together)).await?;
                bytes = 0;
            }
            bytes += length;
            together.push(work);
        }
        self.write(together).await
    }

    /// Writes all of them, or as many as can be: who stands in the way of the others is left out, and reported.
    async fn write(&mut self, all: Vec<Work>) -> Result<(), Error> {
        let mut parts = vec![all];
        let mut ended = 0;
        while let Some(mut part) = parts.pop() {
            let leases = self.grant(&mut part).await?;
            if part.is_empty() {
                continue;
            }
            match self.attempt(&part, &leases).await {
                Ok(Done::Written) => part.iter().for_each(|work| self.written(work)),
                Ok(Done::Refused(now)) => {
                    let (fine, changed) = told_apart(part, &now);
                    if changed.is_empty() {
                        return Err(self.server.nonsense());
                    }
                    self.judge(&changed).await?;
                    parts.push(fine);
                }
                Err(Failure::Refused(Refusal::NoLease)) if ended < ENDED_MAX => {
                    ended += 1;
                    let leases = part.iter().filter_map(|work| work.lease);
                    leases.for_each(|lease| self.leases.forget(lease.id));
                    parts.push(part);
                }
                Err(Failure::Refused(Refusal::Full)) => return Err(self.full()),
                Err(Failure::Refused(_)) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(Failure::Refused(refusal)) => self.refuse(&part[0], refusal.clause()),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// The leases that the keys get, in their order, 0 for none. Keys whose lease cannot be granted are taken out of `part`.
    async fn grant(&mut self, part: &mut Vec<Work>) -> Result<Vec<i64>, Error> {
        let (mut leases, mut left) = (Vec::with_capacity(part.len()), Vec::new());
        for work in std::mem::take(part) {
            let lease = match work.lease {
                None => Ok(0),
                Some(lease) => self.leases.stand_in(self.server, lease).await?,
            };
            match lease {
                Ok(lease) => {
                    leases.push(lease);
                    left.push(work);
                }
                Err(reason) => self.refuse(&work, &reason),
            }
        }
        *part = left;
        Ok(leases)
    }

    async fn attempt(&mut self, part: &[Work], leases: &[i64]) -> Result<Done, Failure> {
        let guards: Vec<Compare> = part.iter().map(Work::guard).collect();
        let puts = part
            .iter()
            .zip(leases)
            .map(|(work, lease)| work.put(*lease));
        let puts: Vec<TxnOp> = puts.collect();
        let looks: Vec<TxnOp> = part.iter().map(Work::look).collect();
        let txn = Txn::new().when(guards).and_then(puts).or_else(looks);
        let answer = self
            .server
            .insist(|mut client| {
                let txn = txn.clone();
                async move { client.txn(txn).await }
            })
            .await?;
        if answer.succeeded() {
            return Ok(Done::Written);
        }
        let now = answer
            .op_responses()
            .into_iter()
            .map(|answer| match answer {
                TxnOpResponse::Get(get) => {
                    let revision = get.kvs().first().map_or(0, KeyValue::mod_revision);
                    Some(revision.cast_unsigned())
                }
                _ => None,
            });
        let now: Option<Vec<u64>> = now.collect();
        let now = now.filter(|now| now.len() == part.len());
        Ok(Done::Refused(now.ok_or_else(|| self.server.nonsense())?))
    }

    fn written(&mut self, work: &Work) {
        self.report.written += 1;
        if let Some(lease) = work.lease {
            self.leases.count(lease.id);
        }
    }

    fn refuse(&mut self, work: &Work, reason: &str) {
        let failed = (work.name.clone(), reason.to_owned());
        self.report.failed.push(failed);
    }

    /// Keys that are not any more what the plan saw. One that is as it should be was written by us, if the answer that said so was lost.
    async fn judge(&mut self, changed: &[Work]) -> Result<(), Error> {
        let keys: Vec<&[u8]> = changed.iter().map(|work| work.name.as_bytes()).collect();
        let found = look_up(self.server, &keys).await?;
        for (work, now) in changed.iter().zip(found) {
            match (work.seen, now) {
                (_, Some(now)) if work.is(&now) => {
                    self.report.written += 1;
                    if let Some(lease) = work.lease {
                        self.leases.count_if(lease.id, now.lease);
                    }
                }
                (None, _) => self.refuse(
                    work,
                    "somebody has created it since it was planned, and it was left as it is",
                ),
                (Some(_), None) => self.refuse(
                    work,
                    "somebody has deleted it since it was planned, and it was left so",
                ),
                (Some(_), Some(_)) => self.refuse(
                    work,
                    "somebody has changed it since it was planned, and it was left as it is",
                ),
            }
        }
        Ok(())
    }

    fn full(&self) -> Error {
        let message = format!(
            "etcd at {} has no room: compact and defragment it, and disarm the alarm NOSPACE (etcdctl alarm disarm)",
            self.server.endpoint()
        );
        Error::new(ErrorKind::Local, message)
    }
}

/// Those that are as the plan saw them, and those that are not.
fn told_apart(part: Vec<Work>, now: &[u64]) -> (Vec<Work>, Vec<Work>) {
    let now = now.iter();
    let judged = part.into_iter().zip(now);
    let (fine, changed): (Vec<_>, Vec<_>) =
        judged.partition(|(work, now)| work.seen.unwrap_or_default() == **now);
    let works = |judged: Vec<(Work, &u64)>| judged.into_iter().map(|(work, _)| work).collect();
    (works(fine), works(changed))
}

impl Work {
    async fn read(
        entry: Entry,
        contents: &mut dyn Contents,
        plan: &Plan,
        wishes: &Wishes,
    ) -> Result<Self, Error> {
        let mut value = Zeroizing::new(Vec::with_capacity(entry.length() as usize));
        while let Some(piece) = contents.data().await? {
            value.extend_from_slice(piece.as_bytes());
        }
        let lease = Attached::of(&entry.attributes).filter(|_| wishes.leases == Policy::Recreate);
        Ok(Self {
            seen: plan.versions.get(&entry.name).copied(),
            lease: lease.and_then(Attached::lease),
            name: entry.name,
            value,
        })
    }

    /// Its part of a transaction.
    fn length(&self) -> usize {
        3 * self.name.as_bytes().len() + self.value.len() + AROUND
    }

    /// True as long as it is what the plan saw.
    fn guard(&self) -> Compare {
        let key = self.name.as_bytes();
        match self.seen {
            None => Compare::create_revision(key, CompareOp::Equal, 0),
            Some(revision) => Compare::mod_revision(key, CompareOp::Equal, revision.cast_signed()),
        }
    }

    fn put(&self, lease: i64) -> TxnOp {
        let options = PutOptions::new().with_lease(lease);
        TxnOp::put(self.name.as_bytes(), self.value.as_slice(), Some(options))
    }

    fn look(&self) -> TxnOp {
        let options = GetOptions::new().with_keys_only();
        TxnOp::get(self.name.as_bytes(), Some(options))
    }

    fn is(&self, now: &Now) -> bool {
        now.value == self.value && (now.lease != 0) == self.lease.is_some()
    }
}
