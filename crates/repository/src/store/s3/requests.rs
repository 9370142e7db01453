use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpError, HttpResponseBody};
use object_store::path::Path;

use super::super::failure::{StoreFailure, StoreFailureKind};
use super::super::http::Timing;

/// A page of a thousand versions has half a megabyte.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// Between two attempts of a request that failed by chance.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks a server that speaks S3 what object_store has no words for, signed with the same keys.
pub(in crate::store) struct Requests {
    pub(super) client: HttpClient,
    pub(super) keys: AwsCredentialProvider,
    pub(super) region: String,
    /// With the bucket in it, without a slash at its end.
    pub(super) bucket: String,
    pub(super) timing: Timing,
    pub(super) retries: usize,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Requests {
    /// Asks for a part of the bucket's settings, or of an object's: `query` is sorted and escaped.
    pub(super) async fn ask(
        &self,
        method: Method,
        object: Option<&Path>,
        query: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, StoreFailure> {
        let mut attempt = 0;
        loop {
            let answered = self.ask_once(&method, object, query, headers, body).await;
            let busy = match &answered {
                Ok(answer) => answer.status.is_server_error(),
                Err(failure) => failure.kind() == StoreFailureKind::Unreachable,
            };
            if !busy || attempt >= self.retries {
                return answered?.or_failure();
            }
            attempt += 1;
            (self.timing.sleep)(PAUSE).await;
        }
    }

    async fn ask_once(
        &self,
        method: &Method,
        object: Option<&Path>,
        query: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, StoreFailure> {
        let key = self.keys.get_credential().await?;
        let mut url = self.bucket.clone();
        if let Some(object) = object {
            let _ = write!(url, "/{}", escaped(object.as_ref(), true));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{url}?{query}"))
            .body(body.clone().into())
            .map_err(|error| StoreFailure::new(StoreFailureKind::Other, error.to_string()))?;
        *request.headers_mut() = headers.clone();
        AwsAuthorizer::new(&key, "s3", &self.region).try_authorize(&mut request, None)?;
        let answer = self.client.execute(request).await.map_err(of_http)?;
        let status = answer.status();
        let body = whole(answer.into_body()).await?;
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// In the form in which object_store tells of failures, so that both are understood in one place.
    fn or_failure(self) -> Result<Self, StoreFailure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let text = format!("status code: {}: {text}", self.status);
        Err(object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        }
        .into())
    }
}

async fn whole(body: HttpResponseBody) -> Result<Bytes, StoreFailure> {
    let mut pieces = body.bytes_stream();
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.try_next().await.map_err(of_http)? {
        whole.extend_from_slice(&piece);
        if whole.len() > ANSWER_MAX {
            let message = "it answers with more than anybody could want to know";
            return Err(StoreFailure::new(StoreFailureKind::Other, message));
        }
    }
    Ok(whole.freeze())
}

fn of_http(error: HttpError) -> StoreFailure {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    }
    .into()
}

/// As signatures want it: everything but letters, digits and `-._~`, and slashes where they part names.
pub(super) fn escaped(text: &str, is_path: bool) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (is_path && byte == b'/') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}
