use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use format::JobName;

use super::Layout;
use super::help::ending;
use crate::exit::Exit;

/// Take a snapshot of what lies in files of another tool
///
/// Reads manifests of Kubernetes: YAML with any number of documents, or JSON as `kubectl get -o json` prints it. The objects
/// become a snapshot of the job, whose Kubernetes source it is restored by; no cluster is asked.
///
/// --layout datarobot DIR: reads the folder that DataRobot's own backup procedure made, and says what it lacks. What must not be missing, such
/// as one of the keys, is the end of it, unless --allow-partial is said.
#[derive(Args)]
#[command(after_help = ending(
    &[
        "import prod secrets.yaml",
        "import prod --namespace shop - < shop.json",
        "import datarobot --layout datarobot /backup/old",
    ],
    &[
        Exit::Partial,
        Exit::Damage,
        Exit::NoRepository,
        Exit::Untrusted,
        Exit::Newer,
    ],
))]
pub(crate) struct Import {
    /// The job, which has a Kubernetes source.
    #[arg(value_name = "JOB")]
    pub(crate) job: JobName,

    /// Files of manifests, `-` being standard input; or the one folder of a layout.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// The job's source that they belong to, if it has several.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// Where objects go that name no namespace.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// A folder of files, as another tool has it.
    #[arg(long, value_enum, value_name = "LAYOUT")]
    pub(crate) layout: Option<Layout>,

    /// Which key of a Secret in certs/ held the certificate; may be repeated.
    #[arg(long, value_name = "SECRET=KEY", requires = "layout")]
    pub(crate) certificate: Vec<SecretKey>,

    /// Keep a snapshot although something is missing, marked as partial.
    #[arg(long, requires = "layout")]
    pub(crate) allow_partial: bool,
}

/// A Secret, and one of its keys.
#[derive(Clone, Debug)]
pub(crate) struct SecretKey {
    pub(crate) secret: String,
    pub(crate) key: String,
}

impl FromStr for SecretKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=');
        let parts = parts.filter(|(secret, key)| !secret.is_empty() && !key.is_empty());
        let (secret, key) = parts.ok_or("write SECRET=KEY, like rabbit-cert=rabbit-cert.pem")?;
        Ok(Self {
            secret: secret.to_owned(),
            key: key.to_owned(),
        })
    }
}
