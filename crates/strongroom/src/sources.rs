//! From a configured source to one that can be read: the one place that knows every kind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use archive::{Content, Name};
use bytes::Bytes;
use source::command::{Command, CommandOptions};
use source::etcd::{
    self, ApiServer, ClientCertificate, Etcd, LiveKeys, Login, Password, StoredKeys, Timeouts,
};
use source::files::{Files, FilesOptions};
use source::kubernetes::Kubernetes;
use source::{Error, ErrorKind, Source};

use crate::config::Setting;
use crate::config::proxy;
use crate::config::reference::Reference;
use crate::config::resolve::{self, Kind, SourceSettings};
use crate::datarobot::{DataRobot, Found};

/// Whether the secrets of a source are needed: to reach the system itself, or not, to restore elsewhere or to check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    Read,
    Leave,
}

/// The source that `settings` describe.
pub(crate) fn build(
    settings: &SourceSettings,
    secrets: Secrets,
) -> anyhow::Result<Box<dyn Source>> {
    let built: anyhow::Result<Box<dyn Source>> = match &settings.kind {
        Kind::Files(files) => files_source(files),
        Kind::Etcd(etcd) => Ok(Box::new(Etcd::new(etcd_options(etcd)))),
        Kind::Kubernetes(settings) => Ok(match &settings.preset {
            None => Box::new(Kubernetes::new(settings.options())),
            Some(preset) => Box::new(DataRobot::new(settings, preset, Found::default())),
        }),
        Kind::Command(command) => command_source(command, secrets),
    };
    built.with_context(|| format!("source `{}`", settings.name.value))
}

/// The keys of the etcd that `settings` describe, to be written; these are read.
pub(crate) fn live_keys(
    settings: &SourceSettings,
    api_server: &ApiServer,
    names: &[&Name],
) -> anyhow::Result<Box<dyn Source>> {
    let names = names.iter().map(|name| (*name).clone());
    let options = etcd_options(etcd_of(settings)?);
    Ok(Box::new(LiveKeys::holding(
        options,
        api_server.clone(),
        names,
    )))
}

/// The etcd that `settings` describe.
pub(crate) fn etcd_of(settings: &SourceSettings) -> anyhow::Result<&resolve::Etcd> {
    match &settings.kind {
        Kind::Etcd(etcd) => Ok(etcd),
        other => bail!(
            "source `{}` is of the kind {}, and keys go to one of the kind etcd",
            settings.name.value,
            other.name()
        ),
    }
}

/// What judges the content of a source that was captured with these facts.
pub(crate) fn build_judge(
    settings: &SourceSettings,
    facts: &BTreeMap<String, String>,
) -> anyhow::Result<Box<dyn Source>> {
    if etcd::holds_keys(facts) {
        return Ok(Box::new(StoredKeys::default()));
    }
    build(settings, Secrets::Leave)
}

/// What a restore of each kind can be told, by the kind's name.
pub(crate) fn restore_settings() -> impl Iterator<Item = (&'static str, &'static source::Setting)> {
    let etcd = etcd::SETTINGS.iter().map(|setting| ("etcd", setting));
    let kubernetes = source::kubernetes::SETTINGS.iter();
    etcd.chain(kubernetes.map(|setting| ("kubernetes", setting)))
}

/// Kinds of sources, as a snapshot names them.
const KINDS: [&str; 4] = ["files", "command", "etcd", "kubernetes"];

/// The kind, if this version knows it.
pub(crate) fn known_kind(kind: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|known| *known == kind)
}

/// Whether content of this kind may be compressed. Blobs may; records of chosen values beside a secret would show its
/// length (docs/format/v1.md), and those of Kubernetes are that.
pub(crate) fn kind_compresses(kind: &str) -> bool {
    kind != "kubernetes"
}

/// The same of a source that is configured.
pub(crate) fn compresses(kind: &Kind) -> bool {
    kind_compresses(kind.name())
}

/// The options of a `files` source.
pub(crate) fn files_options(files: &resolve::Files) -> FilesOptions {
    FilesOptions {
        paths: values(&files.paths),
        include: values(&files.include),
        exclude: values(&files.exclude),
        one_filesystem: files.one_filesystem.value,
    }
}

fn files_source(files: &resolve::Files) -> anyhow::Result<Box<dyn Source>> {
    Ok(Box::new(Files::new(&files_options(files))?))
}

pub(crate) fn etcd_options(etcd: &resolve::Etcd) -> etcd::Options {
    let tls = etcd.tls.as_ref().map(|tls| etcd::Tls {
        ca: tls.ca.value.clone(),
        client: tls
            .cert
            .as_ref()
            .zip(tls.key.as_ref())
            .map(|(cert, key)| ClientCertificate {
                certificate: cert.value.clone(),
                key: key.value.clone(),
            }),
        server_name: value(tls.server_name.as_ref()),
    });
    let login = etcd
        .username
        .as_ref()
        .zip(etcd.password.as_ref())
        .map(|(user, password)| {
            let reference = password.value.clone();
            Login {
                user: user.value.clone(),
                password: Box::new(move || load_password(&reference)),
            }
        });
    etcd::Options {
        endpoints: values(&etcd.endpoints),
        advertised: value(etcd.advertised.as_ref()).unwrap_or_default(),
        member: value(etcd.member.as_ref()),
        compare_hashes: value(etcd.compare_hashes.as_ref()).unwrap_or_default(),
        single_attempt: false,
        tls,
        login,
        proxy: proxy::in_force(etcd.proxy.as_ref().map(|setting| &setting.value)),
        timeouts: Timeouts {
            connect: etcd.connect_timeout.value.duration(),
            request: etcd.request_timeout.value.duration(),
            idle: etcd.idle_timeout.value.duration(),
        },
    }
}

fn load_password(reference: &Reference) -> Result<Password, Error> {
    let text = reference.read_text();
    text.map(Password::new)
        .map_err(|error| Error::new(ErrorKind::Configuration, format!("{error:#}")))
}

fn command_source(command: &resolve::Command, secrets: Secrets) -> anyhow::Result<Box<dyn Source>> {
    let mut environment = Vec::new();
    if secrets == Secrets::Read {
        for (name, setting) in &command.environment {
            let secret = setting.value.read()?.into_bytes();
            environment.push((name.clone(), Content::new(Bytes::from_owner(secret))));
        }
    }
    Ok(Box::new(Command::new(CommandOptions {
        program: command.run.value.clone(),
        restore: value(command.restore.as_ref()),
        environment,
        working_directory: value(command.working_directory.as_ref()),
        timeout: Some(command.timeout.value.duration()),
        entry: command.entry.value.clone(),
        allow_empty: command.allow_empty.value,
    })?))
}

/// What the configuration says of a source that takes and gives the whole, as JSON. Secrets stay references.
pub(crate) fn describe(settings: &SourceSettings) -> serde_json::Value {
    use serde_json::json;
    let name = &settings.name.value;
    match &settings.kind {
        Kind::Files(files) => {
            json!({"name": name, "files": {"paths": texts(&values(&files.paths))}})
        }
        Kind::Etcd(etcd) => json!({"name": name, "etcd": {"endpoints": values(&etcd.endpoints)}}),
        Kind::Kubernetes(settings) => json!({"name": name, "kubernetes": cluster(settings)}),
        Kind::Command(command) => {
            let mut described = json!({"run": command.run.value, "entry": command.entry.value});
            if let Some(restore) = &command.restore {
                described["restore"] = json!(restore.value);
            }
            json!({"name": name, "command": described})
        }
    }
}

/// What leads to a cluster, whatever is chosen of it.
pub(crate) fn cluster(settings: &resolve::Kubernetes) -> serde_json::Value {
    let mut cluster = serde_json::json!({});
    if let Some(file) = &settings.kubeconfig {
        cluster["kubeconfig"] = texts(std::slice::from_ref(&file.value))
            .swap_remove(0)
            .into();
    }
    if let Some(context) = &settings.context {
        cluster["context"] = context.value.as_str().into();
    }
    cluster
}

/// Paths for a configuration; what is not UTF-8 in them is replaced, as YAML cannot say it.
pub(crate) fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

fn values<T: Clone>(settings: &[Setting<T>]) -> Vec<T> {
    settings
        .iter()
        .map(|setting| setting.value.clone())
        .collect()
}

fn value<T: Clone>(setting: Option<&Setting<T>>) -> Option<T> {
    setting.map(|setting| setting.value.clone())
}
