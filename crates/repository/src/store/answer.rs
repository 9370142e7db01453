//! Answers of a server to what object_store has no words for.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use futures::future::{Either, select};
use http::StatusCode;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponseBody};

use super::failure::{StoreFailure, StoreFailureKind};
use super::http::Timing;
use super::remote::Patience;

/// A bucket's settings have a few hundred bytes, and a page of its list less than this.
const ANSWER_MAX: usize = 1024 * 1024;

/// What the server answers to `ask`, asked again where it failed by chance, after pauses that grow and not when the deadline is over:
/// nobody asks what may not be asked twice. `store` is whose words it speaks.
pub(super) async fn patiently(
    store: &'static str,
    timing: &Timing,
    patience: &Patience,
    ask: impl AsyncFn() -> Result<(StatusCode, Bytes), StoreFailure>,
) -> Result<Bytes, StoreFailure> {
    let mut attempt = 0;
    let mut deadline = (timing.sleep)(patience.deadline);
    loop {
        let answered = ask().await;
        let busy = match &answered {
            Ok((status, _)) => status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED,
            Err(failure) => failure.may_pass(),
        };
        // Over before the pause is, it is over.
        let again = busy && attempt < patience.retries && {
            let pause = (timing.sleep)(Patience::pause(attempt));
            matches!(select(&mut deadline, pause).await, Either::Right(_))
        };
        if !again {
            let (status, body) = answered?;
            return told(store, status, body);
        }
        attempt += 1;
    }
}

/// The answer to one request.
pub(super) async fn answer(
    store: &'static str,
    client: &HttpClient,
    request: HttpRequest,
) -> Result<(StatusCode, Bytes), StoreFailure> {
    let of_http = |error| of_http(store, error);
    let answer = client.execute(request).await.map_err(of_http)?;
    let status = answer.status();
    let body = whole(answer.into_body(), &of_http).await?;
    Ok((status, body))
}

/// A failure in the form in which object_store tells of one, so that both are understood in one place.
fn told(store: &'static str, status: StatusCode, body: Bytes) -> Result<Bytes, StoreFailure> {
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    let source = format!("status code: {status}: {text}").into();
    Err(object_store::Error::Generic { store, source }.into())
}

async fn whole(
    body: HttpResponseBody,
    of_http: &dyn Fn(HttpError) -> StoreFailure,
) -> Result<Bytes, StoreFailure> {
    let mut pieces = body.bytes_stream();
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.try_next().await.map_err(of_http)? {
        if whole.len() + piece.len() > ANSWER_MAX {
            let message = "it answers with more than a bucket has to say";
            return Err(StoreFailure::new(StoreFailureKind::Other, message));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn of_http(store: &'static str, error: HttpError) -> StoreFailure {
    let source = Box::new(error);
    object_store::Error::Generic { store, source }.into()
}

/// For an address: only what needs no escape stands as it is.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
