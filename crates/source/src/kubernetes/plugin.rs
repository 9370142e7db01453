//! The program that a kubeconfig names for credentials, as those of clouds do. kube would run it too, and wait for it without end.

use std::io::{self, IsTerminal as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::group::Group;
use crate::said::words;

/// The longest answer: a token, or a certificate with its key.
const ANSWER_MAX: u64 = 1 << 20;

/// What it gave.
pub(super) struct Credentials {
    pub(super) token: Option<SecretString>,
    /// A client's certificate and its key, in PEM.
    pub(super) certificate: Option<(Zeroizing<String>, Zeroizing<String>)>,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

/// Runs it for at most `limit`; then it is killed. One clause if it gives no credentials, with nothing that it printed: that may be a token.
pub(super) async fn run(exec: &ExecConfig, limit: Duration) -> Result<Credentials, String> {
    let Some(program) = &exec.command else {
        return Err("the kubeconfig names no program for them".to_owned());
    };
    let named = format!("the program `{}` that the kubeconfig names", words(program));
    let started = command(exec, program).spawn();
    let mut child =
        Group(started.map_err(|cause| format!("{named} for them cannot be run: {cause}"))?);
    let ended = timeout(limit, listen(&mut child)).await;
    let ended = ended.map_err(|_| {
        let seconds = limit.as_secs_f64();
        format!("{named} for them had not ended after {seconds} s and was killed")
    })?;
    let something_else = || format!("{named} for them printed something else");
    match ended {
        Ok((status, said)) if status.success() => understand(&said).ok_or_else(something_else),
        Ok((status, _)) => Err(format!("{named} for them failed ({status})")),
        Err(_) => Err(something_else()),
    }
}

fn command(exec: &ExecConfig, program: &str) -> Command {
    // A person can be asked only where one is.
    let asks = exec.interactive_mode.as_ref() != Some(&ExecInteractiveMode::Never);
    let interactive = asks && io::stdin().is_terminal();
    let mut spec = json!({"interactive": interactive});
    if exec.provide_cluster_info {
        spec["cluster"] = json!(exec.cluster);
    }
    let info = json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec});
    let mut command = Command::new(program);
    command
        .args(exec.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    if interactive {
        command.stdin(Stdio::inherit());
    } else {
        // Whoever reads from the terminal has to stay in its group; all others get one of their own, so that what they start is killed with them.
        command.stdin(Stdio::null()).process_group(0);
    }
    command.stderr(if asks {
        Stdio::inherit()
    } else {
        Stdio::null()
    });
    command
}

async fn listen(child: &mut Group) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    let output = child.0.stdout.take().expect("it is piped");
    let mut said = Zeroizing::new(Vec::new());
    output.take(ANSWER_MAX + 1).read_to_end(&mut said).await?;
    if said.len() as u64 > ANSWER_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok((child.0.wait().await?, said))
}

/// JSON, or YAML, which kubectl takes as well.
fn understand(said: &[u8]) -> Option<Credentials> {
    let answer: Answer = serde_saphyr::from_slice(said).ok()?;
    let status = answer.status?;
    let token = status.token.filter(|token| !token.trim().is_empty());
    let certificate = status.client_certificate_data.zip(status.client_key_data);
    if token.is_none() && certificate.is_none() {
        return None;
    }
    Some(Credentials {
        token: token.map(SecretString::from),
        certificate: certificate.map(|(certificate, key)| (certificate.into(), key.into())),
        expires: status.expiration_timestamp,
    })
}
