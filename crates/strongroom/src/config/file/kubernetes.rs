use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::origin::At;
use crate::units::Period;

/// Secrets, and what else is chosen, of a Kubernetes cluster.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kubernetes {
    /// The kubeconfig file; if left out, what `KUBECONFIG` names, or `~/.kube/config`, or the account of the pod that
    /// strongroom runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kubeconfig: Option<At<PathBuf>>,
    /// The context in it; its current one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<At<String>>,
    /// Names and patterns of namespaces; all of them if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) namespaces: Vec<At<String>>,
    /// Names and patterns of namespaces that are left out. Stronger than `namespaces`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exclude_namespaces: Vec<At<String>>,
    /// A selector on the labels of namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_labels: Option<At<String>>,
    /// Kinds beside Secrets: `configmaps`, `serviceaccounts`, or any other by plural and group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<At<String>>,
    /// Capture the Namespace objects too; true if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_objects: Option<At<bool>>,
    /// A label selector, as `kubectl get --selector` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<At<String>>,
    /// A field selector on Secrets, as `kubectl get --field-selector` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<At<String>>,
    /// Types of Secrets; all of them if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) types: Vec<At<String>>,
    /// Names and patterns of objects; all of them if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<At<String>>,
    /// Names and patterns of objects that are left out. Stronger than `names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exclude_names: Vec<At<String>>,
    /// Note at each backup what a restore will need and the snapshot does not have, as `strongroom check` says it; false if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<At<bool>>,
    /// How long to wait for a connection; 10s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout: Option<At<Period>>,
    /// How long to wait for an answer, and for each next piece of it; 1m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer_timeout: Option<At<Period>>,
}
