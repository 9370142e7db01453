use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpClient;
use object_store::path::Path;

use crate::store::answer::{answer, encoded, patiently};
use crate::store::failure::{StoreFailure, StoreFailureKind};
use crate::store::http::Timing;
use crate::store::lock::Lock;
use crate::store::remote::Patience;

/// What messages call it.
const STORE: &str = "S3";

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
    pub(super) patience: Patience,
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
        patiently(STORE, &self.timing, &self.patience, async || {
            self.ask(question).await
        })
        .await
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
        answer(STORE, &self.client, request).await
    }
}
