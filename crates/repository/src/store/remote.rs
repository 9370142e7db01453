use std::sync::Arc;
use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder, split_sas};
use object_store::client::HttpConnector as _;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use zeroize::Zeroizing;

use super::address::Bucket;
use super::beside::Beside;
use super::failure::{StoreFailure, StoreFailureKind};
use super::generations::Generations;
use super::http::{Http, Seen, Timing, tls};
use super::lock::Lock;
use super::s3::{Requests, S3Account};
use super::together::Together;
use super::{Creation, Store};
use crate::Error;

/// A text that is wiped when dropped, and has no `Debug`.
pub type SecretText = Zeroizing<String>;

/// A part of a bucket, and all that it takes to use it. Nothing is read from the environment for it.
pub struct Remote {
    /// Which.
    pub bucket: Bucket,
    /// Who we are there.
    pub account: Account,
    /// The server, where it is not the service's own: `https://HOST:PORT`.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be `http://`, where everybody on the way reads who we are.
    pub allow_http: bool,
    /// PEM: the authorities that may sign the server's certificate. The system's, if left out.
    pub authorities: Option<Vec<u8>>,
    /// How long to wait, and how often.
    pub patience: Patience,
    /// The storage class of packs. Everything else is read too often for any but the bucket's own.
    pub storage_class: Option<String>,
    /// What everything that is stored is locked with; of S3 only.
    pub lock: Option<Lock>,
    /// The store does not know "create if absent", and whoever configured this promises that nobody else writes.
    pub single_writer: bool,
    /// Sleep, and the pace of uploads.
    pub timing: Timing,
    /// Where requests go on while their answers are not asked for.
    pub beside: Beside,
}

/// Who we are to a service.
pub enum Account {
    /// Amazon's, and everybody else's who speaks S3.
    S3(S3Account),
    /// Google's.
    Gs(GsAccount),
    /// Azure's.
    Az(AzAccount),
}

/// Who we are to Google Cloud Storage.
pub enum GsAccount {
    /// The JSON key of a service account.
    Key(SecretText),
    /// The file that Google calls application default credentials.
    File(String),
    /// What Google's tools left in the home directory, or else what the machine's metadata server says.
    Machine,
}

/// Who we are to Azure Blob Storage.
pub struct AzAccount {
    /// The storage account.
    pub name: String,
    /// What proves that we may use it.
    pub proof: AzProof,
}

/// What proves to Azure that we may use a storage account.
pub enum AzProof {
    /// The account's key.
    Key(SecretText),
    /// A shared access signature.
    Signature(SecretText),
    /// A registered application with a secret, or with a token that the platform renews in a file.
    Application {
        /// Its directory.
        tenant: String,
        /// Its id.
        client: String,
        /// How it says that it is that.
        secret: AzSecret,
        /// Where tokens are made, if not at Microsoft's usual place.
        authority: Option<String>,
    },
    /// What the machine's metadata server says.
    Machine,
}

/// How an application proves to Azure what it is.
pub enum AzSecret {
    /// By a secret.
    Text(SecretText),
    /// By a token in a file.
    TokenFile(String),
}

/// How long a store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long nothing at all may move.
    pub timeout: Duration,
    /// How often a request is made again.
    pub retries: usize,
    /// How long after the first attempt of an operation the last one may start.
    pub deadline: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            retries: 20,
            deadline: Duration::from_mins(3),
        }
    }
}

/// The first pause before a request is made again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));

impl Patience {
    /// Before a request of ours is made again that failed `attempt` times before: twice as long each time.
    pub(super) fn pause(attempt: usize) -> Duration {
        let (first, longest) = PAUSES;
        let doubled =
            u32::try_from(attempt).map_or(u32::MAX, |attempt| 2_u32.saturating_pow(attempt));
        first.saturating_mul(doubled).min(longest)
    }

    pub(super) fn retry(&self) -> RetryConfig {
        RetryConfig {
            // A pause is drawn between the first one and so many times the last one: with less than three they hardly grow, and all
            // retries are used up in seconds.
            backoff: BackoffConfig {
                init_backoff: PAUSES.0,
                max_backoff: PAUSES.1,
                base: 4.0,
            },
            max_retries: self.retries,
            retry_timeout: self.deadline,
        }
    }
}

/// Where Google's service is.
const GOOGLE: &str = "https://storage.googleapis.com";

/// What a service can be asked for beside what object_store asks.
#[derive(Default)]
struct Also {
    s3: Option<Requests>,
    generations: Option<Generations>,
}

/// What every service's store is built with.
pub(super) struct Common {
    pub(super) http: Http,
    pub(super) options: ClientOptions,
    pub(super) patience: Patience,
}

impl Store {
    /// A part of a bucket. Nothing is asked of the server for this.
    pub fn remote(remote: Remote) -> Result<Self, Error> {
        let place = remote.bucket.to_string();
        build(remote).map_err(|source| Error::Store {
            operation: "use",
            object: place,
            source,
        })
    }
}

fn build(remote: Remote) -> Result<Store, StoreFailure> {
    let Remote {
        bucket,
        account,
        endpoint,
        ..
    } = remote;
    let plain = endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    if plain && !remote.allow_http {
        return Err(StoreFailure::new(
            StoreFailureKind::Other,
            "the endpoint is http, which shows everybody on the way what is sent",
        ));
    }
    let common = Common {
        http: Http {
            tls: tls(remote.authorities.as_deref())?,
            timing: remote.timing,
            idle_timeout: remote.patience.timeout,
            longest_pause: remote.patience.deadline.min(Duration::from_mins(1)),
            seen: Arc::new(Seen::default()),
        },
        options: ClientOptions::new()
            .with_allow_http(remote.allow_http)
            .with_connect_timeout(remote.patience.timeout),
        patience: remote.patience,
    };
    let (store, also) = common.store(
        &bucket,
        endpoint,
        account,
        remote.single_writer,
        remote.lock,
    )?;
    let seen = common.http.seen;
    let inner: Arc<dyn ObjectStore> = if bucket.prefix.as_ref().is_empty() {
        store
    } else {
        Arc::new(PrefixStore::new(store, bucket.prefix.clone()))
    };
    Ok(Store {
        inner,
        place: bucket.to_string(),
        folders: None,
        creation: Creation::of(remote.single_writer),
        pack_class: remote.storage_class.map(Into::into),
        seen: Some(seen),
        together: Some(Arc::new(Together::new(remote.beside))),
        s3: also.s3.map(Arc::new),
        generations: also.generations.map(Arc::new),
    })
}

impl Common {
    fn store(
        &self,
        bucket: &Bucket,
        endpoint: Option<String>,
        account: Account,
        single_writer: bool,
        lock: Option<Lock>,
    ) -> Result<(Arc<dyn ObjectStore>, Also), StoreFailure> {
        let mut also = Also::default();
        let store: Arc<dyn ObjectStore> = match account {
            Account::S3(account) => {
                let (store, requests) =
                    account.build(self, bucket, endpoint, single_writer, lock)?;
                also.s3 = Some(requests);
                Arc::new(store)
            }
            Account::Gs(account) => {
                let (store, generations) = self.google(bucket, endpoint, account)?;
                also.generations = Some(generations);
                store
            }
            Account::Az(account) => self.azure(bucket, endpoint, account)?,
        };
        Ok((store, also))
    }

    fn google(
        &self,
        bucket: &Bucket,
        endpoint: Option<String>,
        account: GsAccount,
    ) -> Result<(Arc<dyn ObjectStore>, Generations), StoreFailure> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&bucket.name)
            .with_http_connector(self.http.clone())
            .with_client_options(self.options.clone())
            .with_retry(self.patience.retry());
        let mut service = GOOGLE.to_owned();
        if let Some(endpoint) = endpoint {
            endpoint.trim_end_matches('/').clone_into(&mut service);
            builder = builder.with_base_url(&service);
        }
        builder = match account {
            GsAccount::Key(key) => builder.with_service_account_key(key.as_str()),
            GsAccount::File(path) => builder.with_application_credentials(path),
            GsAccount::Machine => builder,
        };
        let store = builder.build()?;
        let generations = Generations {
            client: self.http.connect(&self.options)?,
            keys: store.credentials().clone(),
            service,
            bucket: bucket.name.clone(),
            prefix: bucket.prefix.clone(),
            timing: self.http.timing.clone(),
            patience: self.patience,
        };
        Ok((Arc::new(store), generations))
    }

    fn azure(
        &self,
        bucket: &Bucket,
        endpoint: Option<String>,
        account: AzAccount,
    ) -> Result<Arc<dyn ObjectStore>, StoreFailure> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(account.name)
            .with_container_name(&bucket.name)
            .with_http_connector(self.http.clone())
            .with_client_options(self.options.clone())
            .with_retry(self.patience.retry());
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder = match account.proof {
            AzProof::Key(key) => builder.with_access_key(key.as_str()),
            AzProof::Signature(signature) => {
                let pairs = split_sas(&signature).map_err(|_| {
                    StoreFailure::new(
                        StoreFailureKind::Other,
                        "the shared access signature is none: it looks like sv=…&sp=…&sig=…",
                    )
                })?;
                builder.with_sas_authorization(pairs)
            }
            AzProof::Application {
                tenant,
                client,
                secret,
                authority,
            } => {
                if let Some(authority) = authority {
                    builder = builder.with_authority_host(authority);
                }
                builder = builder.with_tenant_id(tenant).with_client_id(client);
                match secret {
                    AzSecret::Text(secret) => builder.with_client_secret(secret.as_str()),
                    AzSecret::TokenFile(path) => {
                        builder.with_config(AzureConfigKey::FederatedTokenFile, path)
                    }
                }
            }
            AzProof::Machine => builder,
        };
        Ok(Arc::new(builder.build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses =
            [0, 1, 2, 7, 8, 64, usize::MAX].map(|attempt| Patience::pause(attempt).as_millis());
        assert_eq!(pauses, [100, 200, 400, 12_800, 15_000, 15_000, 15_000]);
    }

    /// object_store draws each pause between the first one and `base` times the last one: 2.5 times on average with four, and with two
    /// hardly longer than the one before.
    #[test]
    fn those_of_the_library_do_so_too() {
        let patience = Patience {
            retries: 7,
            deadline: Duration::from_secs(9),
            ..Patience::default()
        };
        let retry = patience.retry();
        assert_eq!(
            (retry.max_retries, retry.retry_timeout),
            (7, Duration::from_secs(9))
        );
        assert_eq!(retry.backoff.init_backoff, Duration::from_millis(100));
        assert_eq!(retry.backoff.max_backoff, Duration::from_secs(15));
        assert!(retry.backoff.base > 3.0);
    }
}
