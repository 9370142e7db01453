//! Leases that are granted again: each once, whatever the number of its keys.

use std::collections::BTreeMap;

use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveOptions};

use super::refusal::Refusal;
use super::server::{Failure, Server};
use crate::Error;
use crate::etcd::database::Lease;

/// The leases of a restore, by the number that they had.
#[derive(Default)]
pub(super) struct Leases(BTreeMap<i64, Granted>);

struct Granted {
    id: i64,
    /// Whether it is there because of us.
    ours: bool,
    keys: u64,
}

impl Leases {
    /// The number of the lease that stands for `lease`, or why there is none, in a clause.
    ///
    /// It has the number that it had, so that an owner who renews it still finds it; one of that number that lives on, granted for as long, is
    /// the same. Only if the number stands for another lease now, a new one is given out.
    pub(super) async fn stand_in(
        &mut self,
        server: &mut Server<'_>,
        lease: Lease,
    ) -> Result<Result<i64, String>, Error> {
        if let Some(granted) = self.0.get(&lease.id) {
            return Ok(Ok(granted.id));
        }
        let (id, ours) = match grant(server, lease).await {
            Ok(id) => (id, true),
            Err(Failure::Refused(Refusal::LeaseExists)) => {
                match time_to_live(server, lease.id).await? {
                    Some(ttl) if ttl == lease.ttl => (lease.id, false),
                    _ => match grant(server, Lease { id: 0, ..lease }).await {
                        Ok(id) => (id, true),
                        Err(failure) => return cannot(lease, failure),
                    },
                }
            }
            Err(failure) => return cannot(lease, failure),
        };
        let granted = Granted { id, ours, keys: 0 };
        self.0.insert(lease.id, granted);
        Ok(Ok(id))
    }

    /// A key was written with what stands for lease number `id`.
    pub(super) fn count(&mut self, id: i64) {
        if let Some(granted) = self.0.get_mut(&id) {
            granted.keys += 1;
        }
    }

    /// A key has lease number `now`, and should have what stands for lease number `id`.
    pub(super) fn count_if(&mut self, id: i64, now: i64) {
        if self.0.get(&id).is_some_and(|granted| granted.id == now) {
            self.count(id);
        }
    }

    /// What stood for lease number `id` is there no more.
    pub(super) fn forget(&mut self, id: i64) {
        self.0.remove(&id);
    }

    /// Takes back those that were granted for keys that were not written. One that could not be taken back ends by itself.
    pub(super) async fn revoke_unused(&self, server: &mut Server<'_>) {
        let unused = self.0.values().filter(|it| it.ours && it.keys == 0);
        for Granted { id, .. } in unused {
            // Its owner may have found it meanwhile, and put keys to it, which would go with it.
            if matches!(keys(server, *id).await, Ok(0)) {
                let revoked = server.insist(|mut client| {
                    let id = *id;
                    async move { client.lease_revoke(id).await }
                });
                if revoked.await.is_err() {
                    tracing::debug!(lease = format!("{id:x}"), "not revoked");
                }
            }
        }
    }
}

fn cannot(lease: Lease, failure: Failure) -> Result<Result<i64, String>, Error> {
    match failure {
        Failure::Broken(error) => Err(error),
        Failure::Refused(refusal) => Ok(Err(format!(
            "its lease of {} s cannot be granted: {}",
            lease.ttl,
            refusal.clause()
        ))),
    }
}

async fn grant(server: &mut Server<'_>, lease: Lease) -> Result<i64, Failure> {
    let granted = server
        .insist(|mut client| async move {
            let options = LeaseGrantOptions::new().with_id(lease.id);
            client.lease_grant(lease.ttl, Some(options)).await
        })
        .await?;
    Ok(granted.id())
}

/// The seconds for which a lease was granted that is there; `None`: it is not, or whoever asks may not know.
pub(super) async fn time_to_live(server: &mut Server<'_>, id: i64) -> Result<Option<i64>, Error> {
    let asked =
        server.insist(|mut client| async move { client.lease_time_to_live(id, None).await });
    match asked.await {
        Ok(answer) => Ok(Some(answer.granted_ttl()).filter(|ttl| *ttl > 0 && answer.ttl() > 0)),
        Err(Failure::Refused(_)) => Ok(None),
        Err(Failure::Broken(error)) => Err(error),
    }
}

async fn keys(server: &mut Server<'_>, id: i64) -> Result<usize, Failure> {
    let answer = server
        .insist(|mut client| async move {
            let options = LeaseTimeToLiveOptions::new().with_keys();
            client.lease_time_to_live(id, Some(options)).await
        })
        .await?;
    Ok(answer.keys().len())
}
