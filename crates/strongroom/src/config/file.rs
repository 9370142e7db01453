//! What `strongroom.yaml` says, word for word. Nothing here is a secret: the types refuse a literal one while they are read.
//!
//! The doc comments become the descriptions in `docs/schema/strongroom.schema.json`.

mod datarobot;
mod kubernetes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::At;
use super::proxy::Proxy;
use super::reference::{Environment, Reference};
use super::repository::Repository;
use crate::units::Period;

pub(crate) use datarobot::{DataRobot, Driver};
pub(crate) use kubernetes::Kubernetes;

/// The configuration of strongroom.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "strongroom.yaml")]
pub(crate) struct File {
    /// Where snapshots rest. Relative paths, here and below, are relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<At<Repository>>,
    /// In place of `repository`, several of them by name, like those of jobs. Each job goes to all of them, or to those that it names;
    /// commands that read use the first, or the one that `--repo NAME` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) repositories: BTreeMap<String, At<Repository>>,
    /// The folder in which what was read of repositories in buckets is kept, so that it need not be read again, or `none`;
    /// `~/.cache/strongroom` if left out. There are no secrets in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<At<PathBuf>>,
    /// The public keys that snapshots are sealed to, as `strongroom keygen` or `age-keygen` prints them. At least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<At<String>>,
    /// The file with this host's writer key, made by `strongroom keygen --writer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writer_key: Option<At<PathBuf>>,
    /// The public keys of other writers whose snapshots are trusted: 64 hexadecimal digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_writers: Vec<At<String>>,
    /// The file with the key of a maintainer, made by `strongroom keygen --writer`: for the commands that prune, pin, forget, revoke
    /// and rotate. Where one host does everything it may be the writer key's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maintainer_key: Option<At<PathBuf>>,
    /// The public keys of other maintainers whose prunes and the like are honoured: 64 hexadecimal digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_maintainers: Vec<At<String>>,
    /// Files with identities, for the commands that read contents. `backup` never looks at them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) identities: Vec<At<PathBuf>>,
    /// Which snapshots `prune` keeps. Nothing is dropped without rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retention: Option<At<Retention>>,
    /// The passphrase of those that are protected by one, by reference. Otherwise it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity_passphrase: Option<At<Reference>>,
    /// The jobs by name: 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or a digit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) jobs: BTreeMap<String, At<Job>>,
}

/// A set of sources that are captured together into one snapshot.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// What is captured, all at the same time.
    pub(crate) sources: Vec<At<Source>>,
    /// The names of the repositories that its snapshots go to; all of them if it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) repositories: Vec<At<String>>,
    /// How long the captures may take together, such as `15m`: what is not of one moment is of one window. As long as it takes, if left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<At<Period>>,
    /// Keep a snapshot in which something is missing, marked as partial. Otherwise that fails the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow_partial: Option<At<bool>>,
    /// Which of its snapshots `prune` keeps, in place of the rules for all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retention: Option<At<Retention>>,
}

/// Which snapshots `prune` keeps: those that one of the rules keeps. See docs/retention.md.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retention {
    /// The newest ones, so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_last: Option<At<u32>>,
    /// The oldest of each of so many hours up to the newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hourly: Option<At<u32>>,
    /// The oldest of each of so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) daily: Option<At<u32>>,
    /// The oldest of each of so many weeks, which begin on Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weekly: Option<At<u32>>,
    /// The oldest of each of so many months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) monthly: Option<At<u32>>,
    /// The oldest of each of so many years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) yearly: Option<At<u32>>,
    /// All that are at most so much older than the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within: Option<At<Period>>,
    /// None that is as old as this, whatever the rules above say; without any of them, all that are younger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<At<Period>>,
    /// So many of the newest, although they are too old or no rule keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_count: Option<At<u32>>,
    /// All that were stored less than this ago, whatever else is said; 7d if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_age: Option<At<Period>>,
    /// Where days begin at midnight, like `Europe/Zurich`; UTC if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<At<String>>,
    /// What a backup uploaded is left alone until all of it is this old, so that one under way is not disturbed; 1d if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<At<Period>>,
}

/// One system, or one part of it: exactly one of `files`, `etcd`, `kubernetes`, `datarobot` and `command`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["files"]}, {"required": ["etcd"]}, {"required": ["kubernetes"]}, {"required": ["datarobot"]},
    {"required": ["command"]},
]))]
pub(crate) struct Source {
    /// Its name in the snapshot, unique in the job. The kind, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<At<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<Files>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etcd: Option<Etcd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kubernetes: Option<Kubernetes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) datarobot: Option<DataRobot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Command>,
}

/// Files and folders of this host.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Files {
    /// Files, and folders with all that is in them.
    pub(crate) paths: Vec<At<PathBuf>>,
    /// Patterns; if there are any, only files that match one, or lie in a folder that does, are captured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) include: Vec<At<String>>,
    /// Patterns of what is left out, a folder with all that is in it. Stronger than `include`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exclude: Vec<At<String>>,
    /// Stay out of other filesystems that are mounted below a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) one_filesystem: Option<At<bool>>,
}

/// A snapshot of etcd, over its gRPC API.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Etcd {
    /// Client addresses of members, like `https://10.0.0.1:2379`. All are asked, and the snapshot comes from the best.
    pub(crate) endpoints: Vec<At<String>>,
    /// Ask the members too that those behind `endpoints` know of, at the client addresses that they advertise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) advertised: Option<At<bool>>,
    /// The member to capture, by name or hexadecimal ID, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<At<String>>,
    /// Compare the hashes of all members' keys before each snapshot, and take none if they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compare_hashes: Option<At<bool>>,
    /// Certificates, for https endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// The user, if authentication is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<At<String>>,
    /// The user's password, by reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<At<Reference>>,
    /// The proxy to go through, or `none`; what the environment names (`https_proxy`, `no_proxy`) if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<At<Proxy>>,
    /// How long to wait for a connection; 5s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout: Option<At<Period>>,
    /// How long to wait for the answer to one question; 15s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_timeout: Option<At<Period>>,
    /// How long the snapshot's stream may stand still; 1m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle_timeout: Option<At<Period>>,
}

/// Certificates of a connection.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// A PEM file with the authorities that may sign the server's certificate.
    pub(crate) ca: At<PathBuf>,
    /// A PEM file with our own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<At<PathBuf>>,
    /// A PEM file with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<At<PathBuf>>,
    /// The name that the server's certificate must hold, if it is not the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<At<String>>,
}

/// What a program prints, as one file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    /// The program and its arguments; no shell is involved.
    pub(crate) run: At<Vec<String>>,
    /// The program that takes the file on its standard input when it is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restore: Option<At<Vec<String>>>,
    /// Variables for both programs: secrets by reference, other values as `plain:VALUE`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment: BTreeMap<String, At<Environment>>,
    /// The folder to run both programs in; the one that strongroom runs in, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) working_directory: Option<At<PathBuf>>,
    /// After this long the program is stopped and the job has failed; 1h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<At<Period>>,
    /// Whether printing nothing is fine. Otherwise it fails the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow_empty: Option<At<bool>>,
    /// The name of the file in the snapshot; `output` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<At<String>>,
}
