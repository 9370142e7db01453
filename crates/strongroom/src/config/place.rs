//! What `repository` means: an address and its options, each with its origin, those of the environment included. Nothing is opened
//! and no secret is read for this.

use std::fmt;
use std::path::{Path, PathBuf};

use repository::{Address, Lock, Service};

use super::origin::{Origin, Setting};
use super::reference::Reference;
use crate::failure::Failure;
use crate::units::{Period, Rate};

/// A repository's place, and how it is used. Options that belong to another service are refused before this is made.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) address: Setting<Address>,
    pub(crate) options: Options,
}

/// Everything that can be said about a place beside its address.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) endpoint: Option<Setting<String>>,
    pub(crate) allow_http: Option<Setting<bool>>,
    pub(crate) ca: Option<Setting<PathBuf>>,
    pub(crate) region: Option<Setting<String>>,
    pub(crate) path_style: Option<Setting<bool>>,
    pub(crate) access_key_id: Option<Setting<KeyId>>,
    pub(crate) secret_access_key: Option<Setting<Reference>>,
    pub(crate) session_token: Option<Setting<Reference>>,
    pub(crate) credential_process: Option<Setting<Vec<String>>>,
    pub(crate) sse: Option<Setting<String>>,
    pub(crate) sse_kms_key: Option<Setting<String>>,
    pub(crate) sse_customer_key: Option<Setting<Reference>>,
    pub(crate) storage_class: Option<Setting<String>>,
    pub(crate) lock: Option<Setting<Lock>>,
    pub(crate) service_account: Option<Setting<Reference>>,
    pub(crate) account: Option<Setting<String>>,
    pub(crate) account_key: Option<Setting<Reference>>,
    pub(crate) sas: Option<Setting<Reference>>,
    pub(crate) timeout: Option<Setting<Period>>,
    pub(crate) retries: Option<Setting<u16>>,
    pub(crate) deadline: Option<Setting<Period>>,
    pub(crate) limit_upload: Option<Setting<Rate>>,
    pub(crate) single_writer: Option<Setting<bool>>,
    /// Where the platform says that a key is to be had. Only the environment says so.
    pub(crate) platform: Option<Setting<Platform>>,
}

/// The id of a key: no secret, but often kept beside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyId {
    Text(String),
    Reference(Reference),
}

/// What a platform that runs programs sets in their environment, so that they find a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Amazon: a token in a file, and whose rights it gives.
    WebIdentity {
        token_file: String,
        role: String,
        session: Option<String>,
        /// The token service, if it is not the region's.
        endpoint: Option<String>,
    },
    /// Amazon: a path at the usual address.
    Container(String),
    /// Amazon: an address, and a file with a token for it.
    ContainerAt(String, String),
    /// Amazon: there is no machine's metadata server to ask.
    NoMachine,
    /// Google: a file with application default credentials.
    Google(PathBuf),
    /// Azure: a registered application, with the name of the variable that holds its secret or the file with its token.
    Azure {
        tenant: String,
        client: String,
        secret: AzureSecret,
        authority: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AzureSecret {
    Variable(Reference),
    TokenFile(String),
}

impl fmt::Display for Platform {
    /// What it is, without what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebIdentity { .. } => "a web identity token",
            Self::Container(_) | Self::ContainerAt(..) => "the container's platform",
            Self::NoMachine => "not the machine",
            Self::Google(_) => "application default credentials",
            Self::Azure { .. } => "a registered application",
        })
    }
}

impl Place {
    pub(crate) fn new(address: Setting<Address>) -> Self {
        Self {
            address,
            options: Options::default(),
        }
    }

    /// The directory, if it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.address.value {
            Address::Directory(path) => Some(path),
            Address::Bucket(_) => None,
        }
    }

    /// Takes what the environment says, in the variables that everybody's tools read, where nothing else was said.
    pub(crate) fn complete(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let Address::Bucket(bucket) = &self.address.value else {
            return;
        };
        let environment = Environment(&variable);
        match bucket.service {
            Service::S3 => environment.s3(&mut self.options),
            Service::Gs => environment.google(&mut self.options),
            Service::Az => environment.azure(&mut self.options),
        }
    }

    /// An endpoint of the environment is as good as one of the file.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let platform = self.options.platform.as_ref();
        if let Some(Platform::WebIdentity { endpoint, .. }) = platform.map(|said| &said.value)
            && let Some(endpoint) = endpoint
        {
            // A token in clear is everybody's, whatever else may be.
            let message = "the token service is asked over https only";
            check_endpoint(endpoint, false)
                .map_err(|_| Failure::usage(format!("AWS_ENDPOINT_URL_STS: {message}")))?;
        }
        let Some(endpoint) = &self.options.endpoint else {
            return Ok(());
        };
        let allow_http = self
            .options
            .allow_http
            .as_ref()
            .is_some_and(|allow| allow.value);
        check_endpoint(&endpoint.value, allow_http)
            .map_err(|message| Failure::usage(format!("{}: {message}", endpoint.origin)))
    }
}

/// The environment, as the tools of the services read it.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The first of these variables that is set.
    fn first<T>(
        &self,
        names: &[&'static str],
        value: impl Fn(&'static str, String) -> T,
    ) -> Option<Setting<T>> {
        let name = names.iter().find(|name| self.text(name).is_some())?;
        let value = value(name, self.text(name)?);
        Some(Setting {
            value,
            origin: Origin::Variable(name),
        })
    }

    fn secret(&self, names: &[&'static str]) -> Option<Setting<Reference>> {
        self.first(names, |name, _| Reference::Variable(name.to_owned()))
    }

    fn s3(&self, options: &mut Options) {
        let text = |names: &[&'static str]| self.first(names, |_, value| value);
        fill(&mut options.region, || {
            text(&["AWS_REGION", "AWS_DEFAULT_REGION"])
        });
        fill(&mut options.endpoint, || {
            text(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
        });
        // A key belongs to its id: nothing of it is taken if something else was said.
        if options.access_key_id.is_some() || options.credential_process.is_some() {
            return;
        }
        options.access_key_id = self.first(&["AWS_ACCESS_KEY_ID"], |_, value| KeyId::Text(value));
        if options.access_key_id.is_some() {
            fill(&mut options.secret_access_key, || {
                self.secret(&["AWS_SECRET_ACCESS_KEY"])
            });
            fill(&mut options.session_token, || {
                self.secret(&["AWS_SESSION_TOKEN"])
            });
        } else {
            options.platform = self.amazon();
        }
    }

    fn amazon(&self) -> Option<Setting<Platform>> {
        if let (Some(token_file), Some(role)) = (
            self.text("AWS_WEB_IDENTITY_TOKEN_FILE"),
            self.text("AWS_ROLE_ARN"),
        ) {
            let session = self.text("AWS_ROLE_SESSION_NAME");
            let endpoint = self.text("AWS_ENDPOINT_URL_STS");
            return self.first(&["AWS_WEB_IDENTITY_TOKEN_FILE"], |_, _| {
                Platform::WebIdentity {
                    token_file: token_file.clone(),
                    role: role.clone(),
                    session: session.clone(),
                    endpoint: endpoint.clone(),
                }
            });
        }
        if let Some(token_file) = self.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            let names = ["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
            return self.first(&names, |_, address| {
                Platform::ContainerAt(address, token_file.clone())
            });
        }
        let names = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
        let container = self.first(&names, |_, path| Platform::Container(path));
        container.or_else(|| {
            let disabled = self.text("AWS_EC2_METADATA_DISABLED")?;
            let disabled = disabled.eq_ignore_ascii_case("true");
            self.first(&["AWS_EC2_METADATA_DISABLED"], |_, _| Platform::NoMachine)
                .filter(|_| disabled)
        })
    }

    fn google(&self, options: &mut Options) {
        if options.service_account.is_none() {
            let names = ["GOOGLE_APPLICATION_CREDENTIALS"];
            options.platform = self.first(&names, |_, path| Platform::Google(path.into()));
        }
    }

    fn azure(&self, options: &mut Options) {
        let names = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"];
        fill(&mut options.account, || {
            self.first(&names, |_, value| value)
        });
        if options.account_key.is_some() || options.sas.is_some() {
            return;
        }
        options.account_key = self.secret(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"]);
        if options.account_key.is_none() {
            options.sas = self.secret(&["AZURE_STORAGE_SAS_TOKEN"]);
        }
        if options.account_key.is_none() && options.sas.is_none() {
            options.platform = self.application();
        }
    }

    fn application(&self) -> Option<Setting<Platform>> {
        let tenant = self.text("AZURE_TENANT_ID")?;
        let secret = match self.text("AZURE_FEDERATED_TOKEN_FILE") {
            Some(path) => AzureSecret::TokenFile(path),
            None => AzureSecret::Variable(self.secret(&["AZURE_CLIENT_SECRET"])?.value),
        };
        let authority = self.text("AZURE_AUTHORITY_HOST");
        self.first(&["AZURE_CLIENT_ID"], |_, client| Platform::Azure {
            tenant: tenant.clone(),
            client,
            secret: secret.clone(),
            authority: authority.clone(),
        })
    }
}

/// What is refused is not repeated: an address may hold a password.
fn check_endpoint(text: &str, allow_http: bool) -> Result<(), String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let usable = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]/".contains(&b);
    let message = match scheme {
        _ if rest.contains('@') => "an endpoint holds no user and no password",
        "http" if !allow_http => {
            "the endpoint is http, which shows everybody on the way what is sent; `allow_http: true` or --allow-http lets that be"
        }
        "http" | "https" if !rest.is_empty() && rest.bytes().all(usable) => return Ok(()),
        _ => "an endpoint looks like https://HOST:PORT",
    };
    Err(message.to_owned())
}

fn fill<T>(option: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
    if option.is_none() {
        *option = value();
    }
}
