use std::error::Error as StdError;
use std::path::Path;
use std::time::Duration;

use archive::Name;
use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError, LoadDataError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::login::{Login, log_in};
use super::options::{Access, Timeouts};
use crate::said::{innermost, words};
use crate::{Error, ErrorKind};

/// A token's file that cannot be read any more is tried again after so long.
const FILE_GONE: Duration = Duration::from_mins(1);

/// A way to a cluster, which stays open when credentials end: they are looked up anew then.
pub(super) struct Connection {
    config: Config,
    /// For messages: where it leads, and through which proxy.
    server: Name,
    /// How long a program may take that gives credentials.
    limit: Duration,
    open: Mutex<Open>,
}

struct Open {
    client: kube::Client,
    /// When the credentials have to be looked up again.
    until: Option<Instant>,
}

impl Connection {
    /// Reads the credentials anew and makes ready to connect. Nothing is sent yet.
    pub(super) async fn open(access: &Access, timeouts: Timeouts) -> Result<Self, Error> {
        let mut config = read(access).await?;
        config.connect_timeout = Some(timeouts.connect);
        // We know better what may be asked twice.
        config.default_retry = false;
        let server = named(&config);
        let open = open(&config, &server, timeouts.answer).await?;
        Ok(Self {
            config,
            server,
            limit: timeouts.answer,
            open: Mutex::new(open),
        })
    }

    /// A client with credentials that have not ended.
    pub(super) async fn client(&self) -> Result<kube::Client, Error> {
        let mut now = self.open.lock().await;
        if now.until.is_some_and(|until| until <= Instant::now()) {
            match open(&self.config, &self.server, self.limit).await {
                Ok(renewed) => *now = renewed,
                // Some give the file to a program when it starts, and take it away then (kubernetes#68164).
                Err(_) if self.config.auth_info.token_file.is_some() => {
                    now.until = Some(Instant::now() + FILE_GONE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(now.client.clone())
    }

    pub(super) fn server(&self) -> &Name {
        &self.server
    }
}

async fn open(config: &Config, server: &Name, limit: Duration) -> Result<Open, Error> {
    let Login { info, until } = log_in(&config.auth_info, server, limit).await?;
    let mut config = config.clone();
    config.auth_info = info;
    let client = kube::Client::try_from(config).map_err(|error| {
        let cause = cause(&error);
        let message = format!("the credentials for {server} cannot be used: {cause}");
        Error::new(ErrorKind::Configuration, message)
    })?;
    Ok(Open { client, until })
}

async fn read(access: &Access) -> Result<Config, Error> {
    match access {
        Access::InCluster => Config::incluster().map_err(|error| {
            let message = "no kubeconfig is given or found, and this is no pod of a cluster: say which kubeconfig";
            Error::new(ErrorKind::Configuration, message).because(error)
        }),
        Access::Kubeconfig { files, context } => {
            let mut kubeconfig = Kubeconfig::default();
            for file in files {
                let next = Kubeconfig::read_from(file).map_err(|error| unreadable(file, &error))?;
                let merged = kubeconfig.merge(next);
                kubeconfig = merged.map_err(|error| unreadable(file, &error))?;
            }
            from_kubeconfig(kubeconfig, context.clone()).await
        }
    }
}

/// What fails may be the proxy: it is named too, without the password that its address may hold.
fn named(config: &Config) -> Name {
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/');
    let Some(proxy) = &config.proxy_url else {
        return Name::from(server);
    };
    let scheme = proxy.scheme_str().unwrap_or("http");
    let host = proxy.host().unwrap_or_default();
    let port = proxy.port_u16();
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    Name::from(format!("{server} (through the proxy {scheme}://{host}{port})").as_str())
}

async fn from_kubeconfig(kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, Error> {
    let proxy = own_proxy(&kubeconfig, context.as_deref());
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| wrong(&error))?;
    // kube asks no_proxy about the proxy, where everybody else asks it about the server.
    if !proxy {
        let way = Matcher::from_env().intercept(&config.cluster_url);
        config.proxy_url = way.map(|way| way.uri().clone());
    }
    Ok(config)
}

/// Whether the kubeconfig itself says which proxy leads to its cluster.
fn own_proxy(kubeconfig: &Kubeconfig, context: Option<&str>) -> bool {
    let Some(context) = context.or(kubeconfig.current_context.as_deref()) else {
        return false;
    };
    let mut contexts = kubeconfig.contexts.iter();
    let context = contexts.find(|named| named.name == context);
    let Some(context) = context.and_then(|named| named.context.as_ref()) else {
        return false;
    };
    let mut clusters = kubeconfig.clusters.iter();
    let cluster = clusters.find(|named| named.name == context.cluster);
    cluster
        .and_then(|named| named.cluster.as_ref())
        .is_some_and(|cluster| {
            cluster
                .proxy_url
                .as_deref()
                .is_some_and(|it| !it.is_empty())
        })
}

fn unreadable(file: &Path, error: &KubeconfigError) -> Error {
    let file = Name::new(file.as_os_str().as_encoded_bytes());
    let message = match error {
        KubeconfigError::ReadConfig(cause, _) => {
            format!("the kubeconfig {file} cannot be read: {cause}")
        }
        // Without the cause: it quotes the file, which holds tokens.
        _ => format!("{file} is not a kubeconfig"),
    };
    Error::new(ErrorKind::Configuration, message)
}

fn wrong(error: &KubeconfigError) -> Error {
    let what = match error {
        KubeconfigError::CurrentContextNotSet => {
            "names no current context: say which `context`".to_owned()
        }
        KubeconfigError::LoadContext(name) => {
            format!("has no context {}", Name::from(name.as_str()))
        }
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("has no cluster {}", Name::from(name.as_str()))
        }
        KubeconfigError::MissingClusterUrl => "says no server for its cluster".to_owned(),
        KubeconfigError::Parse(_) => "cannot be understood".to_owned(),
        other => format!("cannot be used: {}", cause(other)),
    };
    let message = format!("the kubeconfig {what}");
    Error::new(ErrorKind::Configuration, message)
}

/// Which file it was, if it is one; otherwise what lies at the bottom of it.
fn cause(error: &(dyn StdError + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(LoadDataError::ReadFile(cause, file)) = error.downcast_ref() {
            return format!("{} cannot be read: {cause}", words(&file.to_string_lossy()));
        }
        next = error.source();
    }
    words(&innermost(error)).to_string()
}
