use std::error::Error as _;

use etcd_client::Error as ClientError;
use tonic::Code;

/// What etcd says no to, of which it will be asked otherwise, or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The roles of the user do not allow it.
    Denied,
    /// The request has more bytes than etcd takes.
    TooLarge,
    /// The transaction has more operations than etcd takes.
    TooMany,
    /// The answer has more bytes than we take.
    TooLong,
    /// There is no such lease, or none any more.
    NoLease,
    /// There is a lease of that number.
    LeaseExists,
    /// It has no room.
    Full,
}

impl Refusal {
    /// `None`: it is none of these.
    pub(super) fn of(failure: &ClientError) -> Option<Self> {
        let ClientError::GRpcStatus(status) = failure else {
            return None;
        };
        if status.source().is_some() {
            return None;
        }
        if status.code() == Code::OutOfRange && status.message().contains("decoded message") {
            return Some(Self::TooLong);
        }
        let said = [
            ("permission denied", Self::Denied),
            ("request is too large", Self::TooLarge),
            ("received message larger than max", Self::TooLarge),
            ("too many operations", Self::TooMany),
            ("requested lease not found", Self::NoLease),
            ("lease already exists", Self::LeaseExists),
            ("database space exceeded", Self::Full),
        ];
        let found = said
            .iter()
            .find(|(text, _)| status.message().contains(text));
        found.map(|(_, refusal)| *refusal)
    }

    /// One clause about a key that could not be written alone.
    pub(super) fn clause(self) -> &'static str {
        match self {
            Self::Denied => {
                "etcd does not let this user write it: a role of theirs needs the right readwrite on it"
            }
            Self::TooLarge => {
                "it is larger than etcd takes in one request: raise its --max-request-bytes"
            }
            Self::TooMany => "etcd takes no transaction of one operation",
            Self::TooLong => "what is there is too large to be read",
            Self::NoLease => "its lease ended while it was written",
            Self::LeaseExists => "its lease cannot be granted",
            Self::Full => "etcd has no room",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn what_etcd_says_is_told_apart() {
        for (code, message, expected) in [
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                Some(Refusal::Denied),
            ),
            (
                Code::InvalidArgument,
                "etcdserver: request is too large",
                Some(Refusal::TooLarge),
            ),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (9 vs. 8)",
                Some(Refusal::TooLarge),
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes",
                Some(Refusal::TooLong),
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                None,
            ),
            (Code::Unavailable, "etcdserver: no leader", None),
        ] {
            let failure = ClientError::GRpcStatus(Status::new(code, message));
            assert_eq!(Refusal::of(&failure), expected, "{message}");
        }
    }
}
