//! What the client library and etcd say, as one sentence about one endpoint.

use std::error::Error as StdError;

use archive::Name;
use etcd_client::Error as ClientError;

use crate::said::{innermost, tls, words};
use crate::{Error, ErrorKind};

/// What etcd answers when the password is given but authentication is off.
pub(super) const AUTH_OFF: &str = "authentication is not enabled";

/// gRPC's code for "not now": the member has no quorum, or is starting or stopping.
const UNAVAILABLE: i32 = 14;

/// Says what `failure` means, which happened while doing something at `endpoint`.
pub(super) fn explain(endpoint: &Name, failure: &ClientError) -> Error {
    match failure {
        ClientError::GRpcStatus(status) => match status.source() {
            Some(cause) => broken(endpoint, cause),
            None => answered(endpoint, i32::from(status.code()), status.message()),
        },
        ClientError::TransportError(cause) => broken(endpoint, cause),
        other => {
            let message = format!(
                "etcd endpoint {endpoint} cannot be used: {}",
                words(&other.to_string())
            );
            Error::new(ErrorKind::Configuration, message)
        }
    }
}

/// Whether the connection failed, rather than what was asked.
pub(super) fn is_transport(failure: &ClientError) -> bool {
    match failure {
        ClientError::GRpcStatus(status) => status.source().is_some(),
        failure => matches!(failure, ClientError::TransportError(_)),
    }
}

/// Whether the roles of the user do not allow it.
pub(super) fn is_denied(failure: &ClientError) -> bool {
    matches!(failure, ClientError::GRpcStatus(status) if status.message().contains("permission denied"))
}

/// Whether the server closed the connection without a word.
pub(super) fn was_hung_up(failure: &ClientError) -> bool {
    let ClientError::GRpcStatus(status) = failure else {
        return false;
    };
    let Some(cause) = status.source().filter(|cause| way(*cause).is_none()) else {
        return false;
    };
    let cause = innermost(cause).to_lowercase();
    [
        "connection closed",
        "broken pipe",
        "connection reset",
        "bytes remaining",
    ]
    .iter()
    .any(|text| cause.contains(text))
}

/// It did not answer in time.
pub(super) fn silent(endpoint: &Name, seconds: f64) -> Error {
    let message = format!("etcd at {endpoint} did not answer within {seconds} s");
    Error::new(ErrorKind::Unreachable, message)
}

/// It answered, and the answer is no.
fn answered(endpoint: &Name, code: i32, message: &str) -> Error {
    let said = |text| message.contains(text);
    let (kind, what) = if said("authentication failed") || said("invalid auth token") {
        (
            ErrorKind::Denied,
            "refuses the user or the password: check both".to_owned(),
        )
    } else if said("user name is empty") {
        (
            ErrorKind::Denied,
            "asks for a user and a password: for snapshots of a user with the role root, for single keys of one who may write them"
                .to_owned(),
        )
    } else if said("permission denied") {
        let what = "does not let this user take snapshots: grant it the role root \
                    (etcdctl user grant-role USER root)";
        (ErrorKind::Denied, what.to_owned())
    } else if code == UNAVAILABLE || said("timed out") || said("no leader") {
        (
            ErrorKind::Unreachable,
            format!("is not ready: {}", words(message)),
        )
    } else {
        (
            ErrorKind::Invalid,
            format!("gave an unexpected answer: {}", words(message)),
        )
    };
    Error::new(kind, format!("etcd at {endpoint} {what}"))
}

/// The connection could not be made or did not hold.
fn broken(endpoint: &Name, cause: &(dyn StdError + 'static)) -> Error {
    if let Some(way) = way(cause) {
        let message = format!("etcd at {endpoint} cannot be reached: {way}");
        return Error::new(way.kind(), message);
    }
    let cause = &innermost(cause);
    let (kind, what) = match tls(cause) {
        Some(what) => (ErrorKind::Denied, what.to_owned()),
        None => (
            ErrorKind::Unreachable,
            format!("cannot be reached: {}", words(cause)),
        ),
    };
    Error::new(kind, format!("etcd at {endpoint} {what}"))
}

/// What our own way to the server, through a proxy, says of itself.
fn way<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(way) = error.downcast_ref() {
            return Some(way);
        }
        next = error.source();
    }
    None
}
