use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpError, HttpResponseBody};
use object_store::path::Path;

use super::listing::encoded;
use crate::store::failure::{StoreFailure, StoreFailureKind};
use crate::store::http::Timing;
use crate::store::lock::Lock;

/// A bucket's settings have a few hundred bytes, and a page of its list less than this.
const ANSWER_MAX: usize = 1024 * 1024;
/// Between two attempts of a request that failed by chance.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks a server that speaks S3 what object_store has no words for, signed with the same keys.
pub(in crate::store) struct Requests {
    pub(super) client: HttpClient,
    pub(super) keys: AwsCredentialProvider,
    pub(super) region: String,
    /// The address of the bucket, without a slash at its end.
    pub(super) bucket: String,
    /// What the repository's keys start with.
    pub(super) prefix: Path,
    /// What everything that is stored is locked with.
    pub(in crate::store) lock: Option<Lock>,
    pub(super) timing: Timing,
    pub(super) retries: usize,
}

/// What a server is asked.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// The object that it is about; the bucket, if there is none.
    pub(super) object: Option<&'a Path>,
    /// Sorted, and escaped.
    pub(super) query: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Requests {
    /// Reads what the bucket says to `query`: of a setting, its name and `=`.
    pub(super) async fn get(&self, query: &str) -> Result<Bytes, StoreFailure> {
        let question = Question {
            method: Method::GET,
            object: None,
            query,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        self.answer(&question).await
    }

    /// What the server answers, asked again where it failed by chance: nobody asks what may not be asked twice.
    pub(super) async fn answer(&self, question: &Question<'_>) -> Result<Bytes, StoreFailure> {
        let mut attempt = 0;
        loop {
            let answered = self.ask(question).await;
            let busy = match &answered {
                Ok((status, _)) => {
                    status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED
                }
                Err(failure) => failure.kind() == StoreFailureKind::Unreachable,
            };
            if !busy || attempt >= self.retries {
                let (status, body) = answered?;
                return told(status, body);
            }
            attempt += 1;
            (self.timing.sleep)(PAUSE).await;
        }
    }

    async fn ask(&self, question: &Question<'_>) -> Result<(StatusCode, Bytes), StoreFailure> {
        let key = self.keys.get_credential().await?;
        let mut address = self.bucket.clone();
        let parts = question.object.into_iter();
        for part in parts.flat_map(|object| self.prefix.parts().chain(object.parts())) {
            address.push('/');
            address.push_str(&encoded(part.as_ref()));
        }
        let mut request = Request::builder()
            .method(&question.method)
            .uri(format!("{address}?{}", question.query))
            .body(question.body.clone().into())
            .map_err(|error| StoreFailure::new(StoreFailureKind::Other, error.to_string()))?;
        request.headers_mut().clone_from(&question.headers);
        AwsAuthorizer::new(&key, "s3", &self.region).try_authorize(&mut request, None)?;
        let answer = self.client.execute(request).await.map_err(of_http)?;
        Ok((answer.status(), whole(answer.into_body()).await?))
    }
}

/// A failure in the form in which object_store tells of one, so that both are understood in one place.
fn told(status: StatusCode, body: Bytes) -> Result<Bytes, StoreFailure> {
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    let source = format!("status code: {status}: {text}").into();
    let store = "S3";
    Err(object_store::Error::Generic { store, source }.into())
}

async fn whole(body: HttpResponseBody) -> Result<Bytes, StoreFailure> {
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

fn of_http(error: HttpError) -> StoreFailure {
    let source = Box::new(error);
    let store = "S3";
    object_store::Error::Generic { store, source }.into()
}
