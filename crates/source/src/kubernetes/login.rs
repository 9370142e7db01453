use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use archive::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::AuthInfo;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::plugin;
use crate::said::words;
use crate::{Error, ErrorKind};

/// The longest token.
const TOKEN_MAX: u64 = 1 << 20;
/// A token's file is read again so often: the cluster writes a new one into it before the old one ends.
const READ_AGAIN: Duration = Duration::from_mins(1);
/// Credentials are renewed so long before they end.
const BEFORE: Duration = Duration::from_mins(1);
/// And no sooner than so long after they were given, whatever they say about their end.
const SOONEST: Duration = Duration::from_secs(10);

/// Who we are to a cluster.
pub(super) struct Login {
    /// For kube, with nothing left in it that would have to be read or run.
    pub(super) info: AuthInfo,
    /// When it has to be looked up again.
    pub(super) until: Option<Instant>,
}

/// Finds out, as kubectl would: a token, a file with one, or a program that gives one and is waited for no longer than `limit`.
pub(super) async fn log_in(
    info: &AuthInfo,
    server: &Name,
    limit: Duration,
) -> Result<Login, Error> {
    let mut login = Login {
        info: info.clone(),
        until: None,
    };
    let cannot_be_had = |clause: String| {
        let message = format!("the credentials for {server} cannot be had: {clause}");
        Error::new(ErrorKind::Denied, message)
    };
    if let Some(provider) = &info.auth_provider
        && provider.name != "oidc"
    {
        let name = words(&provider.name);
        return Err(cannot_be_had(format!(
            "the kubeconfig names the auth-provider {name}, which kubectl knows no more either: it has to name a program (`exec`)"
        )));
    }
    if info.auth_provider.is_some() || (info.username.is_some() && info.password.is_some()) {
        return Ok(login);
    }
    let told = info.token.as_ref().map(SecretString::expose_secret);
    if let Some(token) = told.filter(|token| !token.trim().is_empty()) {
        login.info.token = Some(tidy(token, "the token in the kubeconfig")?);
    } else if let Some(file) = login.info.token_file.take() {
        let shown = words(&file);
        let read = read(&file);
        let token =
            read.map_err(|cause| cannot_be_had(format!("{shown} cannot be read: {cause}")))?;
        if token.trim().is_empty() {
            return Err(cannot_be_had(format!("{shown} is empty")));
        }
        login.info.token = Some(tidy(&token, &shown.to_string())?);
        login.until = Some(Instant::now() + READ_AGAIN);
    } else if let Some(exec) = login.info.exec.take() {
        let given = plugin::run(&exec, limit).await.map_err(cannot_be_had)?;
        login.until = given.expires.map(renewal);
        match (given.certificate, given.token) {
            (Some((certificate, key)), _) => {
                login.info.client_certificate_data = Some(STANDARD.encode(certificate.as_bytes()));
                let key = STANDARD.encode(key.as_bytes());
                login.info.client_key_data = Some(SecretString::from(key));
            }
            (None, Some(token)) => {
                let whose = "the token that a program of the kubeconfig gave";
                login.info.token = Some(tidy(token.expose_secret(), whose)?);
            }
            (None, None) => {}
        }
    }
    Ok(login)
}

fn renewal(expires: Timestamp) -> Instant {
    let left = Timestamp::now().duration_until(expires);
    // What has ended already has no time left.
    let left = Duration::try_from(left).unwrap_or_default();
    Instant::now() + left.saturating_sub(BEFORE).max(SOONEST)
}

fn read(file: &str) -> io::Result<Zeroizing<String>> {
    let mut token = Zeroizing::new(String::new());
    File::open(file)?
        .take(TOKEN_MAX)
        .read_to_string(&mut token)?;
    Ok(token)
}

/// A token that was written as a block of YAML, or by an editor, ends with a line feed, which belongs to it no more than in kubectl. One with
/// other odd characters cannot be sent, and kube would not say so.
fn tidy(token: &str, whose: &str) -> Result<SecretString, Error> {
    let token = token.trim();
    if token.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(SecretString::from(token.to_owned()));
    }
    let message = format!("{whose} holds a character that no token has");
    Err(Error::new(ErrorKind::Configuration, message))
}
