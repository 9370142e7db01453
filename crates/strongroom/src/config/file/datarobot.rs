use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::origin::At;
use crate::units::Period;

/// The secrets of a DataRobot installation, which are checked while they are captured. See docs/datarobot.md.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataRobot {
    /// Its namespace; if left out, what `DR_CORE_NAMESPACE` says, or `dr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<At<String>>,
    /// The name of helm's release, which is also what the Secrets are labelled with; `dr` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<At<String>>,
    /// Where helm keeps its record of the release; `secret` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<At<Driver>>,
    /// Seal the two keys of `core-credentials` a second time, in the job `JOB-keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<At<Keys>>,
    /// The kubeconfig file; if left out, what `KUBECONFIG` names, or `~/.kube/config`, or the account of the pod that
    /// strongroom runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kubeconfig: Option<At<PathBuf>>,
    /// The context in it; its current one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<At<String>>,
    /// How long to wait for a connection; 10s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout: Option<At<Period>>,
    /// How long to wait for an answer, and for each next piece of it; 1m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer_timeout: Option<At<Period>>,
}

/// Where helm keeps its record of a release (`HELM_DRIVER`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// In Secrets, as it does unless it is told otherwise.
    Secret,
    /// In ConfigMaps.
    ConfigMap,
    /// Nowhere in the cluster: the certificates are not known.
    None,
}

/// Who may read the keys that are kept apart.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// The public keys that they are sealed to, in place of those at the top.
    pub(crate) recipients: Vec<At<String>>,
}
