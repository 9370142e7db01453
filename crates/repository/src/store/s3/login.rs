use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};

use crate::store::failure::StoreFailure;

/// A service that hands out keys and is asked for the next one before one ends. Where it does not, it is named: whoever never heard of
/// it would look for the mistake in the bucket.
pub(super) struct Login {
    pub(super) who: &'static str,
    pub(super) keys: AwsCredentialProvider,
}

#[async_trait]
impl CredentialProvider for Login {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.keys.get_credential().await.map_err(|error| {
            let failure = StoreFailure::from(error).of_login(self.who);
            let (store, source) = ("S3", Box::new(failure));
            object_store::Error::Generic { store, source }
        })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}
