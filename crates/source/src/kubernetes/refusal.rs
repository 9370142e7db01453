//! What the client library and the API server say, as one sentence about one object.

use std::error::Error as StdError;
use std::time::Duration;

use archive::Name;
use http::StatusCode;
use serde::Deserialize;

use super::client::{About, Ask, Verb};
use crate::said::{innermost, tls, words};
use crate::{Error, ErrorKind};

/// Why something was not done.
pub(super) enum Failure {
    /// The server answered, and the answer is no.
    Refused(Box<Refusal>),
    /// There was no answer, or not all of one.
    Broken(Error),
}

/// The server's no.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    /// In one word: `AlreadyExists`, `Expired`.
    pub(super) reason: String,
    /// What it is about.
    kind: String,
    name: String,
    /// In its own words, fit for a terminal.
    message: Name,
    /// For a list that ran out of time: where it can be gone on with.
    pub(super) go_on: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
    metadata: ListMetadata,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    kind: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListMetadata {
    r#continue: String,
}

impl Refusal {
    pub(super) fn parse(code: StatusCode, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        Self {
            code,
            reason: status.reason,
            kind: status.details.kind,
            name: status.details.name,
            message: words(&status.message),
            go_on: Some(status.metadata.r#continue).filter(|token| !token.is_empty()),
        }
    }

    /// Whether RBAC said it of who we are, and not what judges objects.
    pub(super) fn is_about_rights(&self) -> bool {
        let rights = self.says(b" cannot ") && self.says(b" resource ");
        self.code == StatusCode::FORBIDDEN && rights && !self.is_of_nobody()
    }

    /// Whether we were taken for nobody: then no rule is missing, but credentials.
    fn is_of_nobody(&self) -> bool {
        self.code == StatusCode::FORBIDDEN && self.says(b"system:anonymous")
    }

    /// Whether it is who we are that the server does not take, and not what we want.
    pub(super) fn is_about_credentials(&self) -> bool {
        self.code == StatusCode::UNAUTHORIZED || self.is_of_nobody()
    }

    fn says(&self, text: &[u8]) -> bool {
        let said = self.message.as_bytes();
        said.windows(text.len()).any(|window| window == text)
    }

    /// Whether it is `namespace` that is missing, and not what was to go into it.
    pub(super) fn names_namespace(&self, namespace: &str) -> bool {
        self.code == StatusCode::NOT_FOUND && self.kind == "namespaces" && self.name == namespace
    }

    /// One clause about one object, for the report of a restore.
    pub(super) fn clause(&self, ask: &Ask) -> String {
        match &ask.about {
            Some(about) if self.is_about_rights() => missing(ask.verb, about),
            _ if self.message.as_bytes().is_empty() => {
                format!("the server refuses it: {}", self.code)
            }
            _ => format!("the server refuses it: {}", self.message),
        }
    }
}

impl Failure {
    /// Whether the same question may be answered a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Broken(error) => error.kind() == ErrorKind::Unreachable,
            Self::Refused(refusal) => matches!(
                refusal.code,
                StatusCode::INTERNAL_SERVER_ERROR
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }

    /// As an error that ends what was going on.
    pub(super) fn explain(self, ask: &Ask) -> Error {
        let refusal = match self {
            Self::Broken(error) => return error,
            Self::Refused(refusal) => refusal,
        };
        let (kind, message) = match (refusal.code, &ask.about) {
            (StatusCode::UNAUTHORIZED, _) => (
                ErrorKind::Denied,
                "the cluster does not know who we are: its credentials are wrong or have expired"
                    .to_owned(),
            ),
            (StatusCode::FORBIDDEN, _) if refusal.is_of_nobody() => (
                ErrorKind::Denied,
                "the cluster does not know who we are (it takes us for system:anonymous): the kubeconfig has no credentials that it accepts, \
                 which are a token, a client certificate, or a program that gives one; a user name and a password are none"
                    .to_owned(),
            ),
            (StatusCode::FORBIDDEN, Some(about)) if refusal.is_about_rights() => {
                (ErrorKind::Denied, missing(ask.verb, about))
            }
            (code, about) => {
                let kind = match code {
                    StatusCode::FORBIDDEN => ErrorKind::Denied,
                    code if code.is_server_error() => ErrorKind::Unreachable,
                    _ => ErrorKind::Invalid,
                };
                let what = about
                    .as_ref()
                    .map_or("what it can do".to_owned(), described);
                let (verb, message) = (ask.verb.as_str(), &refusal.message);
                let message = format!("the cluster does not {verb} {what}: {message} ({code})");
                (kind, message)
            }
        };
        Error::new(kind, message)
    }
}

/// Who may not do what, and the rule that would allow it.
fn missing(verb: Verb, about: &About) -> String {
    let About {
        resource,
        namespace,
        name,
    } = about;
    let verb = verb.as_str();
    let what = described(about);
    let role = match namespace {
        Some(namespace) => format!("a Role in namespace {}", shown(namespace)),
        // A namespace is an object outside of all and, for RBAC, one that lies in itself.
        None => "a ClusterRole".to_owned(),
    };
    let names = match name {
        Some(name) if verb == "get" && namespace.is_none() => {
            format!(", resourceNames: [{}]", shown(name))
        }
        _ => String::new(),
    };
    format!(
        "this user may not {verb} {what}; {role} with {{apiGroups: [\"{}\"], resources: [{}], verbs: [{verb}]{names}}} \
         would allow it",
        resource.group, resource.plural
    )
}

fn described(about: &About) -> String {
    let kind = about.resource.key();
    match (&about.name, &about.namespace) {
        (Some(name), Some(namespace)) => {
            format!("{kind} {} in namespace {}", shown(name), shown(namespace))
        }
        (Some(name), None) => format!("{kind} {}", shown(name)),
        (None, Some(namespace)) => format!("{kind} in namespace {}", shown(namespace)),
        (None, None) if about.resource.namespaced => format!("{kind} in all namespaces"),
        (None, None) => kind,
    }
}

fn shown(text: &str) -> Name {
    Name::from(text)
}

/// It did not answer in time.
pub(super) fn silent(server: &Name, after: Duration) -> Error {
    let seconds = after.as_secs_f64();
    let message = format!("{server} did not answer within {seconds} s");
    Error::new(ErrorKind::Unreachable, message)
}

/// The connection could not be made or did not hold.
pub(super) fn broken(server: &Name, error: &(dyn StdError + 'static)) -> Error {
    let cause = innermost(error);
    let (kind, what) = match tls(&cause) {
        Some(what) => (ErrorKind::Denied, what.to_owned()),
        None => (
            ErrorKind::Unreachable,
            format!("cannot be reached: {}", words(&cause)),
        ),
    };
    Error::new(kind, format!("{server} {what}"))
}
