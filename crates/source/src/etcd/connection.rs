use std::path::Path;
use std::time::Duration;

use archive::Name;
use etcd_client::{
    Certificate, Channel, Client, ConnectOptions, Error as ClientError, Identity, TlsOptions,
};
use hyper::Uri;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use zeroize::Zeroizing;

use super::options::{Options, Password, Tls};
use super::proxy::Tunnel;
use super::refusal::{AUTH_OFF, explain, is_transport, silent, was_hung_up};
use super::shown;
use crate::{Error, ErrorKind};

/// A certificate or key file is at most this long.
const PEM_MAX: u64 = 1024 * 1024;

/// What is read once and shown to several members: the password.
#[derive(Default)]
pub(super) struct Credentials {
    password: OnceCell<Password>,
}

/// A client that talks to `endpoint` and to nobody else, has seen it answer, and is logged in.
pub(super) async fn open(
    endpoint: &str,
    shown: &Name,
    options: &Options,
    credentials: &Credentials,
) -> Result<Client, Error> {
    let mut client = connect(endpoint, shown, options).await?;
    greet(
        &mut client,
        options.tls.as_ref(),
        shown,
        options.timeouts.request,
    )
    .await?;
    log_in(&mut client, options, credentials, shown).await?;
    Ok(client)
}

/// Prepares a client. No connection is made before its first request.
async fn connect(endpoint: &str, shown: &Name, options: &Options) -> Result<Client, Error> {
    let tls = match &options.tls {
        Some(tls) => Some(load(tls).await?),
        None => None,
    };
    let uri = uri(endpoint, shown, options)?;
    let limit = options.timeouts.connect;
    let prepared = if let Some(tunnel) = options.proxy.toward(&uri, limit)? {
        inside(tunnel, uri, tls).await
    } else {
        let mut connect = renewing().with_connect_timeout(limit);
        if let Some(tls) = tls {
            connect = connect.with_tls(tls);
        }
        Client::connect([endpoint], Some(connect)).await
    };
    prepared.map_err(|failure| match failure {
        // Without a connection, only the certificates can be at fault.
        ClientError::TransportError(_) => Error::new(
            ErrorKind::Configuration,
            format!("the TLS files for etcd at {shown} cannot be used: they must be PEM, and the key must fit its certificate"),
        ),
        failure => explain(shown, &failure),
    })
}

/// The endpoint with the scheme that it has or means.
fn uri(endpoint: &str, shown: &Name, options: &Options) -> Result<Uri, Error> {
    let scheme = match (endpoint.contains("://"), &options.tls) {
        (true, _) => "",
        (false, Some(_)) => "https://",
        (false, None) => "http://",
    };
    format!("{scheme}{endpoint}").parse().map_err(|_| {
        let message = format!("etcd endpoint {shown} is not of the form https://host:2379");
        Error::new(ErrorKind::Configuration, message)
    })
}

/// A client whose connections run in the tunnel, with TLS from end to end.
async fn inside(tunnel: Tunnel, uri: Uri, tls: Option<TlsOptions>) -> Result<Client, ClientError> {
    let mut endpoint = Endpoint::from(uri);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls)?;
    }
    let open = tower::service_fn(move |uri| tunnel.clone().open(uri));
    let channel = endpoint.connect_with_connector_lazy(open);
    Client::from_channel(Channel::Tonic(channel), Some(renewing())).await
}

/// etcd forgets logins: after five idle minutes, and when a member starts again.
fn renewing() -> ConnectOptions {
    ConnectOptions::new().with_auto_token_refresh(true)
}

/// Asks for something small, whose only purpose is to see what becomes of the connection.
///
/// In TLS 1.3 a client learns only after its first request that the server does not accept its certificate; the alert
/// that says so is often lost, and all that is left is a connection that was closed.
async fn greet(
    client: &mut Client,
    tls: Option<&Tls>,
    endpoint: &Name,
    limit: Duration,
) -> Result<(), Error> {
    let answer = timeout(limit, client.status()).await;
    match answer.map_err(|_| silent(endpoint, limit.as_secs_f64()))? {
        Err(failure) if was_hung_up(&failure) => {
            let (kind, why) = match tls.map(|tls| &tls.client) {
                Some(Some(_)) => (ErrorKind::Denied, "refuses our client certificate"),
                Some(None) => (
                    ErrorKind::Denied,
                    "asks for a client certificate: configure one",
                ),
                None => (
                    ErrorKind::Unreachable,
                    "speaks TLS: use https and say which ca signs its certificate",
                ),
            };
            let message =
                format!("etcd at {endpoint} closed the connection at once: it most likely {why}");
            Err(Error::new(kind, message))
        }
        Err(failure) if is_transport(&failure) => Err(explain(endpoint, &failure)),
        // Without a login this may be a refusal, but it is an answer.
        _ => Ok(()),
    }
}

async fn log_in(
    client: &mut Client,
    options: &Options,
    credentials: &Credentials,
    endpoint: &Name,
) -> Result<(), Error> {
    let Some(login) = &options.login else {
        return Ok(());
    };
    let load = async || (login.password)();
    let password = credentials.password.get_or_try_init(load).await?;
    let user = (login.user.clone(), password.expose().to_owned());
    let limit = options.timeouts.request;
    let answer = timeout(limit, client.update_user(Some(user))).await;
    match answer.map_err(|_| silent(endpoint, limit.as_secs_f64()))? {
        // A password for a cluster that asks for none does no harm; etcdctl ignores it too.
        Err(ClientError::GRpcStatus(status)) if status.message().contains(AUTH_OFF) => Ok(()),
        answer => answer.map_err(|failure| explain(endpoint, &failure)),
    }
}

/// The answer to a request, or what became of it.
pub(super) async fn within<T>(
    limit: Duration,
    endpoint: &Name,
    request: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Error> {
    match timeout(limit, request).await {
        Ok(answer) => answer.map_err(|failure| explain(endpoint, &failure)),
        Err(_) => Err(silent(endpoint, limit.as_secs_f64())),
    }
}

async fn load(tls: &Tls) -> Result<TlsOptions, Error> {
    let mut options = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read(&tls.ca, "CERTIFICATE").await?));
    if let Some(client) = &tls.client {
        let certificate = read(&client.certificate, "CERTIFICATE").await?;
        options = options.identity(Identity::from_pem(
            certificate,
            read(&client.key, "PRIVATE KEY").await?,
        ));
    }
    if let Some(name) = &tls.server_name {
        options = options.domain_name(name);
    }
    Ok(options)
}

/// The contents of a PEM file that holds at least one `label`.
async fn read(path: &Path, label: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |cause| {
        let message = format!("cannot read {}", shown(path));
        Error::new(ErrorKind::Configuration, message).because(cause)
    };
    if tokio::fs::metadata(path).await.map_err(failed)?.len() > PEM_MAX {
        let message = format!("{} is too long to be a certificate or a key", shown(path));
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    let pem = Zeroizing::new(tokio::fs::read(path).await.map_err(failed)?);
    let end = format!("{label}-----");
    if pem
        .windows(end.len())
        .any(|window| window == end.as_bytes())
    {
        return Ok(pem);
    }
    let message = format!("{} holds no {label} in PEM", shown(path));
    Err(Error::new(ErrorKind::Configuration, message))
}
