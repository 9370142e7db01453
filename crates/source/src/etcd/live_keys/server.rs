//! The members of a cluster, asked one after the other until one answers.

use std::time::Duration;

use archive::Name;
use etcd_client::{Client, Error as ClientError};
use tokio::time::{Instant, timeout};

use super::refusal::Refusal;
use crate::etcd::choice::choose;
use crate::etcd::member::Member;
use crate::etcd::options::Options;
use crate::etcd::refusal::{explain, silent};
use crate::patience::Patience;
use crate::{Error, ErrorKind};

/// How long a question is asked again that nobody answers: a leader may be being elected, or a member starting.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster that answers.
pub(super) struct Server<'o> {
    options: &'o Options,
    /// At least one.
    members: Vec<Member>,
    at: usize,
    patience: Duration,
    /// What is to be known of it.
    pub(super) notes: Vec<String>,
}

/// Why there is no answer, or not the one that was hoped for.
pub(super) enum Failure {
    /// It says no, to just this.
    Refused(Refusal),
    /// It is not to be asked again.
    Broken(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl<'o> Server<'o> {
    /// The cluster of `options`, of which at least one member has answered, and that is one cluster.
    pub(super) async fn reach(options: &'o Options) -> Result<Self, Error> {
        let choice = choose(options).await?;
        Ok(Self {
            options,
            members: choice.members,
            at: 0,
            patience: PATIENCE,
            notes: choice.notes,
        })
    }

    /// Asks until there is an answer, or it is of no use any more. What was asked may have been done though no answer came.
    pub(super) async fn insist<T, F>(
        &mut self,
        ask: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let mut patience = Patience::new(self.patience);
        let limit = self.options.timeouts.request;
        loop {
            let asked = Instant::now();
            let member = &self.members[self.at];
            let error = match timeout(limit, ask(member.client.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => match Refusal::of(&failure) {
                    Some(refusal) => return Err(Failure::Refused(refusal)),
                    None => explain(&member.endpoint, &failure),
                },
                Err(_) => silent(&member.endpoint, limit.as_secs_f64()),
            };
            if error.kind() != ErrorKind::Unreachable {
                return Err(Failure::Broken(error));
            }
            self.at = (self.at + 1) % self.members.len();
            if !patience.go_on(asked).await {
                return Err(Failure::Broken(error));
            }
        }
    }

    /// From now on asks once: what is left to do is not worth waiting for.
    pub(super) fn lose_patience(&mut self) {
        self.patience = Duration::ZERO;
    }

    /// The member that is asked.
    pub(super) fn endpoint(&self) -> &Name {
        &self.members[self.at].endpoint
    }

    /// The cluster's ID.
    pub(super) fn cluster(&self) -> u64 {
        self.members[self.at].cluster
    }

    /// As whom it knows us.
    pub(super) fn user(&self) -> String {
        match &self.options.login {
            Some(login) => format!("the user {}", Name::from(login.user.as_str())),
            None => "this user".to_owned(),
        }
    }

    /// It answered with what cannot be an answer.
    pub(super) fn nonsense(&self) -> Error {
        let message = format!(
            "etcd at {} gave an answer that does not fit the question",
            self.endpoint()
        );
        Error::new(ErrorKind::Invalid, message)
    }
}
