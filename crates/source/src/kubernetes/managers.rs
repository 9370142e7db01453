use std::collections::BTreeMap;

use archive::{Entry, Name};
use serde_json::Value;

use super::object::{ANNOTATIONS, LABELS, OWNERS, TYPE, attribute};

/// Who else writes the objects that a restore writes, and will write over them.
#[derive(Default)]
pub(super) struct Managers {
    /// The first of each, and how many there are.
    found: BTreeMap<&'static str, (Name, u64)>,
}

impl Managers {
    pub(super) fn note(&mut self, entry: &Entry) {
        if let Some(manager) = manager(entry) {
            let found = self.found.entry(manager);
            found.or_insert_with(|| (entry.name.clone(), 0)).1 += 1;
        }
    }

    /// One sentence for each manager.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.found.iter().map(|(manager, (first, count))| {
            let who = match count {
                1 => first.to_string(),
                2 => format!("{first} and another entry"),
                count => format!("{first} and {} more entries", count - 1),
            };
            format!("{who}: {manager}")
        })
    }
}

/// What will happen to the entry after it was restored, by whom.
fn manager(entry: &Entry) -> Option<&'static str> {
    let json = |name| attribute(&entry.attributes, name).unwrap_or_default();
    let (labels, annotations) = (json(LABELS), json(ANNOTATIONS));
    let owners = json(OWNERS);
    let owned_by = |kind: &str| {
        let mut owners = owners.as_array().into_iter().flatten();
        owners.any(|owner| owner["kind"] == kind)
    };
    let has = |map: &Value, key: &str| map.get(key).is_some();
    if owned_by("ExternalSecret") {
        Some("managed by External Secrets, which writes what its store holds over it")
    } else if owned_by("SealedSecret") {
        Some("managed by Sealed Secrets, which writes what its SealedSecret holds over it")
    } else if has(&annotations, "cert-manager.io/certificate-name") {
        Some(
            "managed by cert-manager, which issues it anew if the Certificate asks for another one",
        )
    } else if entry.attributes.text(TYPE) == Some("helm.sh/release.v1") {
        Some("a release record of Helm, which takes it for what is installed")
    } else if labels["app.kubernetes.io/managed-by"] == "Helm" {
        Some("managed by Helm, whose next upgrade writes what the chart says over it")
    } else if has(&annotations, "argocd.argoproj.io/tracking-id")
        || has(&labels, "argocd.argoproj.io/instance")
    {
        Some("managed by Argo CD, which writes what its repository says over it")
    } else if has(&labels, "kustomize.toolkit.fluxcd.io/name")
        || has(&labels, "helm.toolkit.fluxcd.io/name")
    {
        Some("managed by Flux, which writes what its repository says over it")
    } else {
        None
    }
}
