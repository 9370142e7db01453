use std::sync::Arc;
use std::time::Duration;

use archive::Name;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::access::Connection;
use super::options::Options;
use super::refusal::{Failure, Refusal, broken, silent};
use super::resource::{Resource, encode};
use crate::patience::Patience;
use crate::said::words;
use crate::{Error, ErrorKind};

/// The largest answer that is held as a whole: one object, or one list of kinds. etcd takes objects of 1.5 MiB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// How long a question that changes nothing is asked again when it got no answer, or "not now".
pub(super) const PATIENCE: Duration = Duration::from_secs(25);
/// The longest that a server may make us wait at a time, whatever it says.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// So often in a row a server may say "too many requests".
const WAITS: u32 = 30;

/// A connection to a cluster. Clones share it.
#[derive(Clone)]
pub(super) struct Client {
    connection: Arc<Connection>,
    answer: Duration,
}

/// What is asked of the server, in RBAC's words.
#[derive(Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) verb: Verb,
    /// What it is about; `None` for what is not ruled by kinds (versions, and which kinds there are).
    pub(super) about: Option<About>,
    path: String,
    query: String,
    body: Option<(&'static str, Bytes)>,
}

/// An object or a list, as a rule of RBAC would name it.
#[derive(Clone, PartialEq)]
pub(super) struct About {
    pub(super) resource: Resource,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

/// What can be done to objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Create,
    Update,
    Patch,
    Delete,
}

impl Verb {
    /// As rules say it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Get | Self::List => Method::GET,
            Self::Create => Method::POST,
            Self::Update => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

impl Ask {
    /// Something that is not an object.
    pub(super) fn path(verb: Verb, path: impl Into<String>) -> Self {
        Self {
            verb,
            about: None,
            path: path.into(),
            query: String::new(),
            body: None,
        }
    }

    /// A list of objects, or the place where one is created.
    pub(super) fn list(verb: Verb, resource: &Resource, namespace: Option<&str>) -> Self {
        Self {
            about: Some(About {
                resource: resource.clone(),
                namespace: namespace.map(str::to_owned),
                name: None,
            }),
            ..Self::path(verb, resource.path(namespace))
        }
    }

    /// One object.
    pub(super) fn object(
        verb: Verb,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Self {
        let mut ask = Self::list(verb, resource, namespace);
        ask.path.push('/');
        ask.path.push_str(&encode(name));
        if let Some(about) = &mut ask.about {
            about.name = Some(name.to_owned());
        }
        ask
    }

    /// With a parameter.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let separator = if self.query.is_empty() { '?' } else { '&' };
        self.query.push(separator);
        self.query.push_str(name);
        self.query.push('=');
        self.query.push_str(&encode(value));
        self
    }

    /// With an object.
    #[must_use]
    pub(super) fn saying(mut self, json: impl Into<Bytes>) -> Self {
        let kind = match self.verb {
            Verb::Patch => "application/merge-patch+json",
            _ => "application/json",
        };
        self.body = Some((kind, json.into()));
        self
    }

    fn request(&self) -> Request<Body> {
        let request = Request::builder()
            .method(self.verb.method())
            .uri(format!("{}{}", self.path, self.query))
            .header(header::ACCEPT, "application/json");
        let (request, body) = match &self.body {
            Some((kind, body)) => (
                request.header(header::CONTENT_TYPE, *kind),
                Body::from(body.clone()),
            ),
            None => (request, Body::empty()),
        };
        request
            .body(body)
            .expect("paths and queries are percent-encoded")
    }
}

/// The body of an answer, piece by piece.
pub(super) struct Pieces {
    body: Body,
    client: Client,
}

impl Pieces {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = timeout(self.client.answer, self.body.frame()).await;
            let frame = frame.map_err(|_| silent(self.client.server(), self.client.answer))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| broken(self.client.server(), &error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// All of it, if that is not too much.
    async fn whole(mut self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut whole = Zeroizing::new(Vec::new());
        while let Some(piece) = self.next().await? {
            if whole.len() + piece.len() > ANSWER_MAX {
                let server = self.client.server();
                let message = format!("{server} sent an answer of more than {ANSWER_MAX} bytes");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

impl Client {
    /// Reads the credentials and makes ready to connect. Nothing is sent yet.
    pub(super) async fn new(options: &Options) -> Result<Self, Error> {
        let connection = Connection::open(&options.access, options.timeouts).await?;
        Ok(Self {
            connection: Arc::new(connection),
            answer: options.timeouts.answer,
        })
    }

    /// The cluster's address, fit for a message.
    pub(super) fn server(&self) -> &Name {
        self.connection.server()
    }

    /// The answer, parsed; `None` if there is no such thing.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<Option<T>, Error> {
        let answer = self.insist(&ask).await;
        self.parse(&ask, answer)
    }

    /// The server's release, asked once: whoever wrote a wrong address wants to know at once.
    pub(super) async fn greet(&self) -> Result<Name, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let ask = Ask::path(Verb::Get, "/version");
        let answer = self.send(&ask).await;
        let version: Option<Version> = self.parse(&ask, answer)?;
        let version = version.ok_or_else(|| self.nonsense())?;
        Ok(words(&version.git_version))
    }

    fn parse<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        answer: Result<Zeroizing<Vec<u8>>, Failure>,
    ) -> Result<Option<T>, Error> {
        match answer {
            Ok(body) => match serde_json::from_slice(&body) {
                Ok(answer) => Ok(Some(answer)),
                // Without the cause, which may quote what it does not understand.
                Err(_) => Err(self.nonsense()),
            },
            Err(Failure::Refused(refusal)) if refusal.code == StatusCode::NOT_FOUND => Ok(None),
            Err(failure) => Err(failure.explain(ask)),
        }
    }

    /// The whole answer to a question, which is asked again if there is none, or "not now".
    pub(super) async fn insist(&self, ask: &Ask) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut patience = Patience::new(PATIENCE);
        loop {
            let asked = Instant::now();
            match self.send(ask).await {
                Err(failure) if failure.may_pass() && patience.go_on(asked).await => {}
                answer => return answer,
            }
        }
    }

    /// The whole answer to what is said once.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let pieces = self.begin(ask).await?;
        pieces.whole().await.map_err(Failure::Broken)
    }

    /// Asks once, and again as long as the server says that it has too much to do. The answer is yes if this returns.
    ///
    /// kube's own convenience is not used: it logs a body that it cannot parse, and holds whole lists.
    pub(super) async fn begin(&self, ask: &Ask) -> Result<Pieces, Failure> {
        for _ in 0..WAITS {
            let client = self.connection.client().await.map_err(Failure::Broken)?;
            let answered = timeout(self.answer, client.send(ask.request())).await;
            let response = match answered {
                Err(_) => return Err(Failure::Broken(silent(self.server(), self.answer))),
                Ok(Err(error)) => return Err(Failure::Broken(broken(self.server(), &error))),
                Ok(Ok(response)) => response,
            };
            let (parts, body) = response.into_parts();
            let pieces = Pieces {
                body,
                client: self.clone(),
            };
            if parts.status.is_success() {
                return Ok(pieces);
            }
            let wait = retry_after(&parts.headers);
            let said = pieces.whole().await.map_err(Failure::Broken)?;
            // Nothing was done, and the server says when it is worth asking again.
            if parts.status != StatusCode::TOO_MANY_REQUESTS {
                let refusal = Refusal::parse(parts.status, &said);
                return Err(Failure::Refused(Box::new(refusal)));
            }
            let wait = wait.unwrap_or(Duration::from_secs(1)).min(WAIT_MAX);
            tracing::info!(seconds = wait.as_secs(), "the server asked us to wait");
            sleep(wait).await;
        }
        let message = format!(
            "{} was too busy to answer, {WAITS} times in a row",
            self.server()
        );
        Err(Failure::Broken(Error::new(ErrorKind::Unreachable, message)))
    }

    /// It answered something that is not what the API promises.
    pub(super) fn nonsense(&self) -> Error {
        let message = format!(
            "{} gave an answer that is not one of the Kubernetes API",
            self.server()
        );
        Error::new(ErrorKind::Invalid, message)
    }
}

fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
