//! HTTP, as object_store asks for it: reqwest with our TLS, with uploads that are paced, and with an eye on whether anything moves.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use jiff::{SignedDuration, Timestamp};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::failure::{StoreFailure, StoreFailureKind, causes};

/// A future that can be kept beside a body.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What only the program has: time. Handed in, so that nothing in this crate has a clock.
#[derive(Clone)]
pub struct Timing {
    /// Ends after that long.
    pub sleep: Arc<dyn Fn(Duration) -> Wait + Send + Sync>,
    /// What the clock says.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Ends when that many more bytes may be uploaded. `None`: as fast as it goes.
    pub pace: Option<Arc<dyn Fn(usize) -> Wait + Send + Sync>>,
}

/// How a server is spoken to.
#[derive(Clone)]
pub(super) struct Http {
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) timing: Timing,
    /// How long nothing at all may move.
    pub(super) idle_timeout: Duration,
    /// Longer than this is not waited, whatever the server asks for.
    pub(super) longest_pause: Duration,
    pub(super) seen: Arc<Seen>,
}

/// What answers told beside their contents.
#[derive(Default)]
pub(super) struct Seen {
    date: Mutex<Option<String>>,
}

impl Seen {
    /// The time of the server when it answered last, as HTTP writes it.
    pub(super) fn date(&self) -> Option<String> {
        self.date.lock().expect("nobody panics with it").clone()
    }

    fn note(&self, headers: &HeaderMap) {
        let date = headers
            .get(header::DATE)
            .and_then(|date| date.to_str().ok());
        if let Some(date) = date {
            *self.date.lock().expect("nobody panics with it") = Some(date.to_owned());
        }
    }
}

/// TLS that trusts the authorities in these PEM files, or, if there are none, those of the system.
pub(super) fn tls(authorities: Option<&[u8]>) -> Result<Arc<rustls::ClientConfig>, StoreFailure> {
    let failed = |what: String| StoreFailure::new(StoreFailureKind::Other, what);
    let mut roots = rustls::RootCertStore::empty();
    if let Some(pem) = authorities {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = certificate
                .map_err(|error| error.to_string())
                .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
            added.map_err(|error| {
                failed(format!("the file of authorities is not usable: {error}"))
            })?;
        }
        if roots.is_empty() {
            return Err(failed(
                "the file of authorities holds no certificate".to_owned(),
            ));
        }
    } else {
        // One that is not usable does not spoil the others; without any, a connection says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 ask for");
    Ok(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ))
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl HttpConnector for Http {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options
            .get_config_value(&ClientConfigKey::AllowHttp)
            .is_some_and(|value| value == "true");
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*self.tls).clone())
            .https_only(!allow_http)
            // A signed request is for one server only; object_store says what a redirect means.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout(options))
            .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP",
                source: Box::new(error),
            })?;
        Ok(HttpClient::new(Client {
            http: self.clone(),
            client,
        }))
    }
}

impl Http {
    /// object_store gives up sooner on a machine's metadata server, which may not be there at all.
    fn connect_timeout(&self, options: &ClientOptions) -> Duration {
        let chosen = options.get_config_value(&ClientConfigKey::ConnectTimeout);
        let chosen = chosen.and_then(|text| text.parse::<SignedDuration>().ok());
        let chosen = chosen.and_then(|chosen| Duration::try_from(chosen).ok());
        chosen.unwrap_or(self.idle_timeout).min(self.idle_timeout)
    }
}

struct Client {
    http: Http,
    client: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let movement = Arc::new(Movement::default());
        let bodiless = *request.method() == Method::HEAD;
        let repeatable = is_conditional(request.headers());
        let request = self.outgoing(request, &movement)?;
        let answered = Box::pin(self.client.execute(request));
        let stalled = Box::pin(self.stall(&movement));
        let answered = match select(answered, stalled).await {
            Either::Left((answered, _)) => answered.map_err(of_reqwest),
            Either::Right(((), _)) => Err(stood_still()),
        };
        let mut response: Response<reqwest::Body> = match answered {
            Ok(response) => response.into(),
            Err(error) if repeatable => return Err(unsent(error)),
            Err(error) => return Err(error),
        };
        if response.status() == StatusCode::NOT_IMPLEMENTED {
            // It will be no wiser in a second, which object_store hopes of all that start with a 5.
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
        self.http.seen.note(response.headers());
        if let Some(region) = other_region(&response) {
            let message = format!("the bucket is in the region {region}");
            let failure = StoreFailure::new(StoreFailureKind::Elsewhere, message);
            return Err(HttpError::new(HttpErrorKind::Unknown, failure));
        }
        self.pause_as_asked(&response).await;
        let (parts, body) = response.into_parts();
        let body = Incoming {
            body,
            stall: (!bodiless).then(|| (self.http.timing.sleep)(self.http.idle_timeout)),
            http: self.http.clone(),
        };
        Ok(Response::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// Amazon's redirect to another region says which one it is beside its document, of which object_store keeps nothing.
fn other_region(response: &Response<reqwest::Body>) -> Option<&str> {
    let region = response.headers().get("x-amz-bucket-region");
    let region = region.and_then(|region| region.to_str().ok())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_one = region.len() < 64 && region.bytes().all(plain);
    (response.status().is_redirection() && is_one).then_some(region)
}

impl Client {
    fn outgoing(
        &self,
        request: HttpRequest,
        movement: &Arc<Movement>,
    ) -> Result<reqwest::Request, HttpError> {
        let (parts, body) = request.into_parts();
        let body = if body.is_empty() && body.content_length() == 0 {
            reqwest::Body::from(Bytes::new())
        } else {
            reqwest::Body::wrap(Outgoing {
                left: body.content_length(),
                body,
                piece: Bytes::new(),
                allowed: None,
                pace: self.http.timing.pace.clone(),
                movement: Arc::clone(movement),
            })
        };
        reqwest::Request::try_from(Request::from_parts(parts, body)).map_err(of_reqwest)
    }

    /// Ends when nothing has moved for as long as nothing may move.
    async fn stall(&self, movement: &Movement) {
        let mut before = movement.count();
        loop {
            (self.http.timing.sleep)(self.http.idle_timeout).await;
            let now = movement.count();
            if now == before && !movement.is_held_back() {
                return;
            }
            before = now;
        }
    }

    /// A server that says when to come back is believed: object_store's own pauses do not look at that.
    async fn pause_as_asked(&self, response: &Response<reqwest::Body>) {
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        if !busy.contains(&response.status()) {
            return;
        }
        let after = response.headers().get(header::RETRY_AFTER);
        let seconds = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = seconds {
            let pause = Duration::from_secs(seconds).min(self.http.longest_pause);
            (self.http.timing.sleep)(pause).await;
        }
    }
}

/// How much of an upload was taken by the connection.
#[derive(Default)]
struct Movement {
    pieces: AtomicU64,
    held_back: AtomicBool,
}

impl Movement {
    fn count(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }

    /// Whether it is we who wait.
    fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::Relaxed)
    }
}

/// What is uploaded: in pieces, each when the pace allows it.
struct Outgoing {
    body: HttpRequestBody,
    /// Of the whole body.
    left: usize,
    /// What the body gave us, and the connection not yet.
    piece: Bytes,
    /// Ends when the next piece may go.
    allowed: Option<(Wait, usize)>,
    pace: Option<Arc<dyn Fn(usize) -> Wait + Send + Sync>>,
    movement: Arc<Movement>,
}

/// Small enough for a slow pace to be smooth, large enough not to cost anything.
const PIECE: usize = 16 * 1024;
/// What a connection takes at once where nobody sets a pace.
const UNPACED_PIECE: usize = 256 * 1024;

impl Outgoing {
    /// The length of the next piece, once it may go.
    fn poll_allowed(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        let Some(pace) = &self.pace else {
            return Poll::Ready(self.piece.len().min(UNPACED_PIECE));
        };
        let length = self.piece.len().min(PIECE);
        let (wait, length) = self.allowed.get_or_insert_with(|| (pace(length), length));
        let polled = wait.as_mut().poll(context);
        self.movement
            .held_back
            .store(polled.is_pending(), Ordering::Relaxed);
        ready!(polled);
        let length = *length;
        self.allowed = None;
        Poll::Ready(length)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
            }
        }
        let length = ready!(self.poll_allowed(context));
        self.movement.pieces.fetch_add(1, Ordering::Relaxed);
        self.left -= length;
        let piece = self.piece.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// What is downloaded, as long as something comes.
struct Incoming {
    body: reqwest::Body,
    stall: Option<Wait>,
    http: Http,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.stall = Some((self.http.timing.sleep)(self.http.idle_timeout));
            return Poll::Ready(frame.map(|frame| frame.map_err(of_reqwest)));
        }
        if let Some(stall) = &mut self.stall {
            ready!(stall.as_mut().poll(context));
            return Poll::Ready(Some(Err(stood_still())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it does not answer")]
struct StoodStill;

fn stood_still() -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, StoodStill)
}

/// Whether it puts an object if there is none. To make such a request again is safe, for whoever is told that there is one already
/// looks whose it is (`Store::settle`).
fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH)
        || headers.contains_key("x-goog-if-generation-match")
}

/// object_store makes a put again only if it believes that it was not sent.
fn unsent(error: HttpError) -> HttpError {
    match error.kind() {
        HttpErrorKind::Interrupted | HttpErrorKind::Timeout => {
            HttpError::new(HttpErrorKind::Request, error)
        }
        _ => error,
    }
}

/// What object_store may do about it: ask again where nothing was sent, and only what may be asked twice otherwise.
fn of_reqwest(error: reqwest::Error) -> HttpError {
    let broken = |kind| {
        use std::io::ErrorKind as Kind;
        matches!(
            kind,
            Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::UnexpectedEof
        )
    };
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if is_untrusted(&error) {
        HttpErrorKind::Unknown
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else if error.is_builder() {
        HttpErrorKind::Unknown
    } else if causes(&error).any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| broken(error.kind()))
    }) {
        HttpErrorKind::Interrupted
    } else if error.is_request() || error.is_body() {
        // The connection ended, and nobody knows how much was understood.
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    HttpError::new(kind, error.without_url())
}

/// A certificate that nobody here vouches for, or of another name, or that has ended: it will be no better in a second.
fn is_untrusted(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let within = innermost(cause).downcast_ref::<rustls::Error>();
        within.is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
    })
}

/// What errors of the system were made of, one around the other: none of them names that as its source.
fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(within) = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        error = within;
    }
    error
}
