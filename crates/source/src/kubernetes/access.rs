use std::path::Path;

use archive::Name;
use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use secrecy::{ExposeSecret as _, SecretString};

use super::options::{Access, Timeouts};
use super::refusal::no_credentials;
use crate::said::{innermost, words};
use crate::{Error, ErrorKind};

/// Reads the credentials anew, and makes a client of them. Returns it with the server's address, for messages.
pub(super) async fn connect(
    access: &Access,
    timeouts: Timeouts,
) -> Result<(kube::Client, Name), Error> {
    let mut config = match access {
        Access::InCluster => Config::incluster().map_err(|error| {
            let message = "no kubeconfig is given or found, and this is no pod of a cluster: say which kubeconfig";
            Error::new(ErrorKind::Configuration, message).because(error)
        })?,
        Access::Kubeconfig { files, context } => {
            let mut kubeconfig = Kubeconfig::default();
            for file in files {
                let next = Kubeconfig::read_from(file).map_err(|error| unreadable(file, &error))?;
                let merged = kubeconfig.merge(next);
                kubeconfig = merged.map_err(|error| unreadable(file, &error))?;
            }
            from_kubeconfig(kubeconfig, context.clone()).await?
        }
    };
    tidy(&mut config.auth_info)?;
    config.connect_timeout = Some(timeouts.connect);
    // We know better what may be asked twice.
    config.default_retry = false;
    let server = Name::from(config.cluster_url.to_string().trim_end_matches('/'));
    // Programs that give credentials are run here, and what they print may be one.
    let client = kube::Client::try_from(config).map_err(|error| {
        no_credentials(&server, &error).unwrap_or_else(|| {
            let cause = words(&innermost(&error));
            let message = format!("the credentials for {server} cannot be used: {cause}");
            Error::new(ErrorKind::Configuration, message)
        })
    })?;
    Ok((client, server))
}

/// A token that was written as a block of YAML ends with a line feed, which belongs to it no more than in kubectl. One with other odd
/// characters cannot be sent, and kube would not say so.
fn tidy(login: &mut AuthInfo) -> Result<(), Error> {
    let Some(token) = &login.token else {
        return Ok(());
    };
    let token = token.expose_secret().trim();
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        let message = "the token in the kubeconfig holds a character that no token has";
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    login.token = Some(SecretString::from(token.to_owned()));
    Ok(())
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
        other => format!("cannot be used: {}", words(&innermost(other))),
    };
    let message = format!("the kubeconfig {what}");
    Error::new(ErrorKind::Configuration, message)
}
