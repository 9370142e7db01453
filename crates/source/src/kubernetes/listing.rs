use std::panic::resume_unwind;

use bytes::{Buf as _, Bytes};
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::{Ask, Client, PATIENCE, Pieces, Verb};
use super::cutter::Cutter;
use super::object::Object;
use super::refusal::{Failure, Refusal};
use super::resource::Resource;
use crate::patience::Patience;
use crate::{Error, ErrorKind};

/// Objects on a page: more is no faster, and fewer is slower.
const PAGE: &str = "500";
/// So often in a row a server may forget the version that is read.
const EXPIRED_MAX: u32 = 8;

/// What is listed.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) resource: Resource,
    /// `None`: all namespaces, or none because the kind lies in none.
    pub(super) namespace: Option<String>,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    /// As it was at this version, or the newest.
    pub(super) at: Option<String>,
}

/// The objects of a kind, ascending, read page by page and one at a time.
///
/// The server says before the first object of a page where the next one begins: that one is asked for at once, and behind the last
/// one the first of the list that follows ([`Listing::before`]), so that the server makes it ready while this one is read. What has
/// arrived of it waits in the buffers of its connection.
///
/// A page that broke off is asked for again, and what it held before is passed over. If the server has forgotten the version that
/// the list started with (410), it goes on behind the last object with a newer version: no object comes twice and none that was
/// there all the time is left out, but objects of two moments stand in one list, and [`Listing::versions`] says so.
pub(super) struct Listing<'c> {
    client: &'c Client,
    query: Query,
    /// Where the next page starts; `None`: at the beginning.
    token: Option<String>,
    page: Option<Page>,
    /// The page after that one.
    ahead: Option<Ahead>,
    /// What is listed after this.
    following: Option<Query>,
    /// What the last object sorts by.
    last: Option<String>,
    versions: Vec<String>,
    /// Since the last object that was new.
    patience: Patience,
    expired: u32,
    /// When the last question was asked, or the last piece of an answer waited for.
    asked: Instant,
    done: bool,
}

struct Page {
    pieces: Pieces,
    piece: Bytes,
    cutter: Cutter,
    /// Whether its beginning was looked at for the token of the next one.
    opened: bool,
}

/// A page that was asked for before its turn. The question is taken back if this is dropped.
pub(super) struct Ahead {
    question: Ask,
    answer: JoinHandle<Result<Pieces, Failure>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

/// What stands around the objects of a page.
#[derive(Deserialize)]
struct Envelope {
    metadata: EnvelopeMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

impl<'c> Listing<'c> {
    pub(super) fn new(client: &'c Client, query: Query) -> Self {
        Self {
            client,
            query,
            token: None,
            page: None,
            ahead: None,
            following: None,
            last: None,
            versions: Vec::new(),
            patience: Patience::new(PATIENCE),
            expired: 0,
            asked: Instant::now(),
            done: false,
        }
    }

    /// The same, and `following` is to be listed next, as of the version that this list ends with.
    pub(super) fn before(mut self, following: Option<Query>) -> Self {
        self.following = following;
        self
    }

    /// The same, of which the list before may have asked for the first page.
    pub(super) fn after(mut self, ahead: Option<Ahead>) -> Self {
        self.ahead = ahead;
        self
    }

    /// The first page of what follows, if it was asked for.
    pub(super) fn into_ahead(self) -> Option<Ahead> {
        self.ahead
    }

    /// The versions of the kind that were read: one, unless the server forgot it on the way.
    pub(super) fn versions(&self) -> &[String] {
        &self.versions
    }

    /// The next object; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Object>, Failure> {
        while !self.done {
            match self.step().await {
                Ok(Some(object)) => return Ok(Some(object)),
                Ok(None) => {}
                Err(failure) => self.recover(failure).await?,
            }
        }
        Ok(None)
    }

    /// The next object of this page that is new; `None` if the page is at its end.
    async fn step(&mut self) -> Result<Option<Object>, Failure> {
        if self.page.is_none() {
            let pieces = self.begin().await?;
            self.page = Some(Page::new(pieces));
        }
        let page = self.page.as_mut().expect("it is there now");
        loop {
            let before = page.piece.len();
            let mut rest = &page.piece[..];
            let cut = page.cutter.cut(&mut rest);
            let cut =
                cut.map_err(|fault| Failure::Broken(self.client.nonsense().because(fault)))?;
            let object = cut.map(|json| Object::parse(&self.query.resource, json));
            let used = before - rest.len();
            page.piece.advance(used);
            if !page.opened && page.cutter.is_open() {
                page.opened = true;
                let begun = page.cutter.envelope();
                let question = what_follows(begun, &self.query, self.following.as_ref());
                self.ahead = question.map(|question| Ahead::ask(self.client, question));
            }
            if let Some(object) = object {
                let object = object.map_err(|_| Failure::Broken(self.client.nonsense()))?;
                let key = object.id.key();
                // Of a page that is read a second time.
                if self.last.as_ref().is_some_and(|last| *last >= key) {
                    if self.expired == 0 && !self.patience.is_tried() {
                        return Err(Failure::Broken(disorder(self.client, &object)));
                    }
                    continue;
                }
                self.last = Some(key);
                self.patience.renew();
                self.expired = 0;
                return Ok(Some(object));
            }
            self.asked = Instant::now();
            match page.pieces.next().await.map_err(Failure::Broken)? {
                Some(piece) => page.piece = piece,
                None => break,
            }
        }
        self.turn()?;
        Ok(None)
    }

    /// The page that starts at the token, asked for now if it was not before.
    async fn begin(&mut self) -> Result<Pieces, Failure> {
        self.asked = Instant::now();
        let question = ask(&self.query, self.token.as_deref());
        let ahead = self.ahead.take();
        match ahead.filter(|ahead| ahead.question == question) {
            Some(ahead) => ahead.answer().await,
            None => self.client.begin(&question).await,
        }
    }

    /// What comes after this page.
    fn turn(&mut self) -> Result<(), Failure> {
        let page = self.page.take().expect("it was read to its end");
        // A server that stops in the middle ends its answer all the same.
        let cut_off = |_| {
            let message = format!("{} broke off in the middle of a list", self.client.server());
            Failure::Broken(Error::new(ErrorKind::Unreachable, message))
        };
        let envelope = page.cutter.finish().map_err(cut_off)?;
        let envelope: Envelope = serde_json::from_slice(&envelope)
            .map_err(|_| Failure::Broken(self.client.nonsense()))?;
        let Envelope { metadata } = envelope;
        if self.versions.last() != Some(&metadata.resource_version) {
            self.versions.push(metadata.resource_version);
        }
        self.token = Some(metadata.r#continue).filter(|token| !token.is_empty());
        self.done = self.token.is_none();
        Ok(())
    }

    /// Makes ready to go on, if that can be done.
    async fn recover(&mut self, failure: Failure) -> Result<(), Failure> {
        self.page = None;
        self.ahead = None;
        match failure {
            Failure::Refused(refusal) if is_expired(&refusal) => {
                self.query.at = None;
                // Without a token to go on with: from the beginning, passing over what was read.
                self.token = refusal.go_on;
                self.expired += 1;
                tracing::info!(
                    kind = self.query.resource.key(),
                    "the server has forgotten the version of this list; it goes on with a newer one"
                );
                if self.expired > EXPIRED_MAX {
                    let message = format!(
                        "{} forgets lists faster than they can be read",
                        self.client.server()
                    );
                    return Err(Failure::Broken(Error::new(ErrorKind::Unreachable, message)));
                }
                Ok(())
            }
            failure if failure.may_pass() && self.patience.go_on(self.asked).await => Ok(()),
            failure => Err(failure),
        }
    }
}

impl Page {
    fn new(pieces: Pieces) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
            cutter: Cutter::default(),
            opened: false,
        }
    }
}

impl Ahead {
    fn ask(client: &Client, question: Ask) -> Self {
        let (client, asked) = (client.clone(), question.clone());
        Self {
            question,
            answer: tokio::spawn(async move { client.begin(&asked).await }),
        }
    }

    async fn answer(mut self) -> Result<Pieces, Failure> {
        let answer = (&mut self.answer).await;
        answer.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }
}

/// The question for the page after this one, if what stands before the first object says what that is: the next one of `query`, or the
/// first of `following`. What has `begun` is cut off in the list of objects.
fn what_follows(begun: &[u8], query: &Query, following: Option<&Query>) -> Option<Ask> {
    let whole = [begun, b"]}"].concat();
    let Envelope { metadata } = serde_json::from_slice(&whole).ok()?;
    if !metadata.r#continue.is_empty() {
        return Some(ask(query, Some(&metadata.r#continue)));
    }
    let following = Query {
        at: Some(metadata.resource_version),
        ..following?.clone()
    };
    Some(ask(&following, None))
}

fn disorder(client: &Client, object: &Object) -> Error {
    let message = format!(
        "{} lists {} in no order (at {}), so that a capture of them would not be the same twice",
        client.server(),
        object.id.kind,
        object.id.entry()
    );
    Error::new(ErrorKind::Unsupported, message)
}

fn is_expired(refusal: &Refusal) -> bool {
    refusal.code == http::StatusCode::GONE || refusal.reason == "Expired"
}

/// The page that starts at `token`.
pub(super) fn ask(query: &Query, token: Option<&str>) -> Ask {
    let namespace = query.namespace.as_deref();
    let mut ask = Ask::list(Verb::List, &query.resource, namespace).with("limit", PAGE);
    if let Some(labels) = &query.labels {
        ask = ask.with("labelSelector", labels);
    }
    if let Some(fields) = &query.fields {
        ask = ask.with("fieldSelector", fields);
    }
    match (token, &query.at) {
        // It holds the version.
        (Some(token), _) => ask.with("continue", token),
        (None, Some(version)) => ask
            .with("resourceVersion", version)
            .with("resourceVersionMatch", "Exact"),
        (None, None) => ask,
    }
}
