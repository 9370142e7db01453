//! Objects that are locked as they are put. object_store has no words for it, so two headers join its request, which is signed again: a
//! lock that came after the object would come too late for whoever is waiting to delete it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use http::HeaderValue;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use crate::store::http::Http;
use crate::store::lock::Held;

/// The headers by which S3 is told of a lock.
const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
/// Where object_store puts the digest of the body, which was signed.
const DIGEST: &str = "x-amz-content-sha256";

/// Goes along with a put whose object is to be locked.
#[derive(Clone, Copy)]
pub(in crate::store) struct Locked(pub(in crate::store) Held);

/// Speaks HTTP, and locks what is to be locked.
#[derive(Clone)]
pub(super) struct Locking {
    http: Http,
    signer: Arc<Signer>,
}

struct Signer {
    region: String,
    /// Known once the store is built that asks for a connection first.
    keys: OnceLock<AwsCredentialProvider>,
}

impl Locking {
    pub(super) fn new(http: Http, region: String) -> Self {
        let keys = OnceLock::new();
        let signer = Arc::new(Signer { region, keys });
        Self { http, signer }
    }

    /// Whose keys sign from now on.
    pub(super) fn sign_with(&self, keys: AwsCredentialProvider) {
        // Set once, by whoever built both.
        let _ = self.signer.keys.set(keys);
    }
}

impl HttpConnector for Locking {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client {
            inner: self.http.connect(options)?,
            signer: Arc::clone(&self.signer),
        }))
    }
}

struct Client {
    inner: HttpClient,
    signer: Arc<Signer>,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(Locked(held)) = request.extensions().get().copied() {
            let signed = self.signer.sign(&mut request, held).await;
            signed.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        }
        self.inner.execute(request).await
    }
}

impl Signer {
    async fn sign(&self, request: &mut HttpRequest, held: Held) -> object_store::Result<()> {
        let headers = request.headers_mut();
        headers.insert(MODE, HeaderValue::from_static(held.mode.name()));
        let until = HeaderValue::try_from(held.until.to_string());
        headers.insert(UNTIL, until.expect("a time is ASCII"));
        let digest = headers.get(DIGEST).and_then(|it| hex::decode(it).ok());
        let keys = self.keys.get().expect("a store asks after it was built");
        let key = keys.get_credential().await?;
        AwsAuthorizer::new(&key, "s3", &self.region).try_authorize(request, digest.as_deref())
    }
}

impl fmt::Debug for Locking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locking")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
