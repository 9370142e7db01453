mod listing;
mod locking;
mod login;
mod requests;
mod retention;
mod settings;
mod versions;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use object_store::CredentialProvider;
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider, Checksum,
    S3ConditionalPut,
};
use object_store::client::HttpConnector as _;

pub(super) use self::locking::Locked;
use self::locking::Locking;
use self::login::Login;
pub(super) use self::requests::Requests;
pub(super) use self::retention::Retained;
use super::address::Bucket;
use super::failure::{StoreFailure, StoreFailureKind};
use super::lock::Lock;
use super::remote::{Common, SecretText};

/// What S3-compatible servers call the only region that they have.
const USUAL_REGION: &str = "us-east-1";

/// Who we are to a server that speaks S3, and how it wants to be asked.
pub struct S3Account {
    /// Where the bucket is. Others than Amazon mostly do not care.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of a request, not in the name of its host. If left out: it does, unless the server is
    /// Amazon's.
    pub path_style: Option<bool>,
    /// Who signs.
    pub keys: S3Keys,
    /// How the server encrypts what is encrypted already.
    pub encryption: Option<S3Encryption>,
}

/// Where the keys come from that requests are signed with.
pub enum S3Keys {
    /// From whoever configured this.
    Given(S3Key),
    /// From whoever is asked, each time: it knows when a key ends. What it says for itself goes into messages.
    Asked(Arc<dyn Fn() -> BoxFuture<'static, Result<S3Key, String>> + Send + Sync>),
    /// From Amazon's token service, for a token that the platform renews in a file.
    WebIdentity {
        /// The file.
        token_file: String,
        /// Whose rights are asked for.
        role: String,
        /// What the role's log calls us.
        session: Option<String>,
        /// The token service, if it is not the region's.
        endpoint: Option<String>,
    },
    /// From the platform that runs our container: a path at its usual address.
    Container(String),
    /// From the platform that runs our container: an address, and the file with the token that it wants.
    ContainerAt(String, String),
    /// From the machine's metadata server.
    Machine,
}

/// A key that signs requests.
#[derive(Clone)]
pub struct S3Key {
    /// Its id, which is no secret.
    pub id: String,
    /// The key.
    pub secret: SecretText,
    /// What goes with a key that ends.
    pub token: Option<SecretText>,
}

/// How a server encrypts objects at rest.
pub enum S3Encryption {
    /// With its own key.
    Aes256,
    /// With a key of Amazon's key service, or the account's usual one.
    Kms(Option<String>),
    /// With a key of ours, which goes along with every request: 32 bytes in base64.
    Customer(SecretText),
}

impl S3Account {
    pub(super) fn build(
        self,
        common: &Common,
        bucket: &Bucket,
        endpoint: Option<String>,
        single_writer: bool,
        lock: Option<Lock>,
    ) -> Result<(AmazonS3, Requests), StoreFailure> {
        let region = self.region.unwrap_or_else(|| USUAL_REGION.to_owned());
        let locking = Locking::new(common.http.clone(), region.clone());
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.name)
            .with_region(&region)
            .with_http_connector(locking.clone())
            .with_client_options(common.options.clone())
            .with_retry(common.patience.retry())
            .with_checksum_algorithm(Checksum::SHA256)
            .with_conditional_put(if single_writer {
                S3ConditionalPut::Disabled
            } else {
                S3ConditionalPut::ETagMatch
            });
        // A bucket with dots in its name has no certificate of Amazon's for a host of that name.
        let path_style = self
            .path_style
            .unwrap_or(endpoint.is_some() || bucket.name.contains('.'));
        builder = builder.with_virtual_hosted_style_request(!path_style);
        let host = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let host = server(&host, bucket, path_style)?;
        builder = builder.with_endpoint(&host);
        builder = match self.encryption {
            None => builder,
            Some(S3Encryption::Aes256) => encrypted(builder, "AES256"),
            // Named with an empty name, it would be another key than the account's usual one: none.
            Some(S3Encryption::Kms(None)) => encrypted(builder, "aws:kms"),
            Some(S3Encryption::Kms(Some(key))) => builder.with_sse_kms_encryption(key),
            Some(S3Encryption::Customer(key)) => builder.with_ssec_encryption(key.as_str()),
        };
        let hands_out = self.keys.hands_out();
        builder = self.keys.give_to(builder);
        if let Some(who) = hands_out {
            let keys = builder.clone().build()?.credentials().clone();
            builder = builder.with_credentials(Arc::new(Login { who, keys }));
        }
        let store = builder.build()?;
        locking.sign_with(store.credentials().clone());
        let requests = Requests {
            client: common.http.connect(&common.options)?,
            keys: store.credentials().clone(),
            region,
            bucket: if path_style {
                format!("{host}/{}", bucket.name)
            } else {
                host
            },
            prefix: bucket.prefix.clone(),
            lock,
            timing: common.http.timing.clone(),
            patience: common.patience,
        };
        Ok((store, requests))
    }
}

fn encrypted(builder: AmazonS3Builder, manner: &str) -> AmazonS3Builder {
    let key = "aws_server_side_encryption".parse::<AmazonS3ConfigKey>();
    builder.with_config(key.expect("a key of object_store"), manner)
}

/// The address that object_store wants: with the bucket in its host, if it belongs there.
fn server(endpoint: &str, bucket: &Bucket, path_style: bool) -> Result<String, StoreFailure> {
    let endpoint = endpoint.trim_end_matches('/');
    let Some((scheme, host)) = endpoint.split_once("://") else {
        let message = "the endpoint is no address: it looks like https://HOST:PORT";
        return Err(StoreFailure::new(StoreFailureKind::Other, message));
    };
    if path_style {
        return Ok(endpoint.to_owned());
    }
    Ok(format!("{scheme}://{}.{host}", bucket.name))
}

impl S3Keys {
    /// Who hands out keys that end, if it is a service.
    fn hands_out(&self) -> Option<&'static str> {
        match self {
            Self::Given(_) | Self::Asked(_) => None,
            Self::WebIdentity { .. } => Some("Amazon's token service"),
            Self::Container(_) | Self::ContainerAt(..) => Some("the container's platform"),
            Self::Machine => Some("the machine's metadata server"),
        }
    }

    fn give_to(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Self::Given(key) => {
                let builder = builder
                    .with_access_key_id(key.id)
                    .with_secret_access_key(key.secret.as_str());
                match key.token {
                    Some(token) => builder.with_token(token.as_str()),
                    None => builder,
                }
            }
            Self::Asked(ask) => {
                builder.with_credentials(Arc::new(Asked(ask)) as AwsCredentialProvider)
            }
            Self::WebIdentity {
                token_file,
                role,
                session,
                endpoint,
            } => {
                let settings = [
                    (AmazonS3ConfigKey::WebIdentityTokenFile, Some(token_file)),
                    (AmazonS3ConfigKey::RoleArn, Some(role)),
                    (AmazonS3ConfigKey::RoleSessionName, session),
                    (AmazonS3ConfigKey::StsEndpoint, endpoint),
                ];
                configured(builder, settings)
            }
            Self::Container(path) => {
                let key = AmazonS3ConfigKey::ContainerCredentialsRelativeUri;
                builder.with_config(key, path)
            }
            Self::ContainerAt(address, token_file) => {
                let settings = [
                    (
                        AmazonS3ConfigKey::ContainerCredentialsFullUri,
                        Some(address),
                    ),
                    (
                        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
                        Some(token_file),
                    ),
                ];
                configured(builder, settings)
            }
            Self::Machine => builder,
        }
    }
}

fn configured(
    builder: AmazonS3Builder,
    settings: impl IntoIterator<Item = (AmazonS3ConfigKey, Option<String>)>,
) -> AmazonS3Builder {
    let given = settings
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    given.fold(builder, |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

/// Somebody who is asked for a key each time that one is needed.
struct Asked(Arc<dyn Fn() -> BoxFuture<'static, Result<S3Key, String>> + Send + Sync>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

#[async_trait]
impl CredentialProvider for Asked {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        match (self.0)().await {
            Ok(key) => Ok(Arc::new(AwsCredential {
                key_id: key.id,
                secret_key: key.secret.as_str().to_owned(),
                token: key.token.map(|token| token.as_str().to_owned()),
            })),
            Err(words) => Err(object_store::Error::Unauthenticated {
                path: String::new(),
                source: words.into(),
            }),
        }
    }
}
