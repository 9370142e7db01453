use std::path::Path;
use std::time::Duration;

use archive::Name;
use etcd_client::{
    Certificate, Channel, Client, ConnectOptions, Error as ClientError, GetOptions, Identity,
    TlsOptions,
};
use hyper::Uri;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use zeroize::Zeroizing;

use super::options::{Login, Options, Tls};
use super::proxy::Tunnel;
use super::refusal::{AUTH_OFF, explain, is_transport, silent, was_hung_up};
use super::shown;
use crate::{Error, ErrorKind};

/// A certificate or key file is at most this long.
const PEM_MAX: u64 = 1024 * 1024;

/// A member that answers, belongs to a cluster with a leader, and has just served a linearizable read.
pub(super) struct Member {
    pub(super) client: Client,
    pub(super) endpoint: Name,
    pub(super) version: String,
    pub(super) id: u64,
    pub(super) cluster: u64,
    /// Of the linearizable read: everything up to it is in a snapshot taken from now on.
    pub(super) revision: i64,
}

impl Member {
    /// The first of the endpoints, in order, whose member is fit to be captured.
    pub(super) async fn first_fit(options: &Options) -> Result<Self, Error> {
        options.validate()?;
        let mut refusals = Vec::new();
        for endpoint in &options.endpoints {
            match Self::reach(endpoint, options).await {
                Ok(member) => return Ok(member),
                Err(error) if error.kind() == ErrorKind::Configuration => return Err(error),
                Err(error) => refusals.push(error),
            }
        }
        Err(none_is_fit(refusals))
    }

    async fn reach(endpoint: &str, options: &Options) -> Result<Self, Error> {
        let shown = Name::from(endpoint);
        let limit = options.timeouts.request;
        let mut client = connect(endpoint, &shown, options).await?;
        greet(&mut client, options.tls.as_ref(), &shown, limit).await?;
        if let Some(login) = &options.login {
            log_in(&mut client, login, &shown, limit).await?;
        }
        // Proves that the member is in touch with a majority; the snapshot that follows asks nobody but the member.
        let get = GetOptions::new().with_count_only().with_limit(1);
        let read = within(limit, &shown, client.get("\0", Some(get))).await?;
        let status = within(limit, &shown, client.status()).await?;
        if status.is_learner() {
            return Err(unfit(
                &shown,
                "is a learner, which may lag behind: use another member",
            ));
        }
        if status
            .errors()
            .iter()
            .any(|alarm| alarm.contains("CORRUPT"))
        {
            return Err(unfit(
                &shown,
                "has raised the alarm CORRUPT: use another member",
            ));
        }
        let header = status
            .header()
            .ok_or_else(|| unfit(&shown, "did not say which member it is"))?;
        Ok(Self {
            version: status.version().to_owned(),
            id: header.member_id(),
            cluster: header.cluster_id(),
            revision: read
                .header()
                .map_or(0, etcd_client::ResponseHeader::revision),
            client,
            endpoint: shown,
        })
    }
}

fn none_is_fit(mut refusals: Vec<Error>) -> Error {
    if refusals.len() == 1 {
        return refusals.remove(0);
    }
    let kind = refusals[0].kind();
    let same = refusals.iter().all(|error| error.kind() == kind);
    let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    let message = format!("no etcd endpoint can be used: {}", reasons.join("; "));
    Error::new(if same { kind } else { ErrorKind::Unreachable }, message)
}

fn unfit(endpoint: &Name, what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("etcd at {endpoint} {what}"))
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
        let mut connect = ConnectOptions::new().with_connect_timeout(limit);
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
    Client::from_channel(Channel::Tonic(channel), None).await
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
    login: &Login,
    endpoint: &Name,
    limit: Duration,
) -> Result<(), Error> {
    let password = (login.password)()?;
    let user = (login.user.clone(), password.expose().to_owned());
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
