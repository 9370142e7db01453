use archive::Name;
use etcd_client::{Client, GetOptions, ResponseHeader, StatusResponse};
use tokio::time::timeout;

use super::connection::{Credentials, open, within};
use super::glance::REGISTRY;
use super::options::Options;
use super::refusal::{explain, is_denied, silent};
use crate::{Error, ErrorKind};

/// A member that answers, and what it says of itself.
pub(super) struct Member {
    pub(super) client: Client,
    /// As it was given.
    pub(super) address: String,
    /// The same for messages.
    pub(super) endpoint: Name,
    pub(super) version: String,
    pub(super) id: u64,
    pub(super) cluster: u64,
    pub(super) standing: Standing,
}

/// What a member's status says about whether it is the one to capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) role: Role,
    /// The last entry of the log that it knows to be agreed upon, and the last one that is in its database.
    pub(super) committed: u64,
    pub(super) applied: u64,
    /// It has raised the alarm CORRUPT, or nobody knows who it is that has.
    pub(super) corrupt: bool,
    /// It has raised the alarm NOSPACE.
    pub(super) full: bool,
}

/// What it is to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Follower,
    Leader,
    /// It has no vote, and may lag.
    Learner,
    /// It knows of no leader.
    Lost,
}

/// What a linearizable read came to: everything up to `revision` is in a snapshot that the member takes from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    pub(super) revision: i64,
    /// Whether there are keys of Kubernetes.
    pub(super) kubernetes: bool,
}

impl Member {
    /// The one behind `address`.
    pub(super) async fn reach(
        address: &str,
        options: &Options,
        credentials: &Credentials,
    ) -> Result<Self, Error> {
        let endpoint = Name::from(address);
        let mut client = open(address, &endpoint, options, credentials).await?;
        let limit = options.timeouts.request;
        let asked = timeout(limit, client.status()).await;
        let (header, status) = match asked.map_err(|_| silent(&endpoint, limit.as_secs_f64()))? {
            Ok(mut status) => (status.take_header(), Some(status)),
            // From 3.6 on only root may know. Who may not take snapshots is told so when one is asked for; keys can be had without.
            Err(failure) if is_denied(&failure) => {
                let mut list = within(limit, &endpoint, client.member_list()).await?;
                (list.take_header(), None)
            }
            Err(failure) => return Err(explain(&endpoint, &failure)),
        };
        let Some(header) = header else {
            let message = format!("etcd at {endpoint} did not say which member it is");
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        let standing = status.as_ref();
        let standing = standing.map(|status| Standing::of(status, header.member_id()));
        Ok(Self {
            id: header.member_id(),
            cluster: header.cluster_id(),
            version: status.map_or_else(String::new, |it| it.version().to_owned()),
            standing: standing.unwrap_or_default(),
            client,
            address: address.to_owned(),
            endpoint,
        })
    }

    /// Asks for a linearizable read: the member is in touch with a majority, and has all that was agreed upon until now. A snapshot asks
    /// nobody but the member.
    pub(super) async fn prove(&mut self, options: &Options) -> Result<Proof, Error> {
        let first = GetOptions::new()
            .with_prefix()
            .with_keys_only()
            .with_limit(1);
        let read = self.client.get(REGISTRY, Some(first));
        let read = within(options.timeouts.request, &self.endpoint, read).await?;
        Ok(Proof {
            revision: read.header().map_or(0, ResponseHeader::revision),
            kubernetes: !read.kvs().is_empty(),
        })
    }

    /// Why nobody should capture this member, unless it was told to.
    pub(super) fn unfit(&self) -> Option<Error> {
        let what = if self.standing.role == Role::Learner {
            "is a learner, which may lag behind: use another member"
        } else if self.standing.corrupt {
            "has raised the alarm CORRUPT: use another member, or say `member` to capture it in spite of that"
        } else {
            return None;
        };
        let message = format!("etcd at {} {what}", self.endpoint);
        Some(Error::new(ErrorKind::Invalid, message))
    }
}

impl Standing {
    fn of(status: &StatusResponse, member: u64) -> Self {
        let raised = |kind: &str| {
            let mut alarms = status.errors().iter().filter(|alarm| alarm.contains(kind));
            alarms.any(|alarm| who(alarm).is_none_or(|who| who == member))
        };
        Self {
            role: match status.leader() {
                _ if status.is_learner() => Role::Learner,
                0 => Role::Lost,
                leader if leader == member => Role::Leader,
                _ => Role::Follower,
            },
            committed: status.raft_index(),
            applied: status.raft_applied_index(),
            corrupt: raised("CORRUPT"),
            full: raised("NOSPACE"),
        }
    }
}

/// Whose alarm it is: every member lists those of all, as `memberID:10501334649042878790 alarm:CORRUPT `. `None`: nobody knows.
fn who(alarm: &str) -> Option<u64> {
    let words = &mut alarm.split_whitespace();
    let id = words.find_map(|word| word.strip_prefix("memberID:"))?;
    id.parse().ok().filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_whose_it_is_or_is_everybodys() {
        assert_eq!(who("memberID:42 alarm:CORRUPT "), Some(42));
        assert_eq!(who("alarm:NOSPACE memberID:7"), Some(7));
        for nobody in ["alarm:CORRUPT", "memberID:0 alarm:CORRUPT", "memberID:x"] {
            assert_eq!(who(nobody), None, "{nobody}");
        }
    }
}
