use serde_json::json;

use super::{Listing, path_value};
use crate::config::resolve::Kubernetes;

impl Listing {
    pub(super) fn kubernetes(&mut self, key: &str, kubernetes: &Kubernetes) {
        let key = |name: &str| format!("{key}.{name}");
        let file = kubernetes.kubeconfig.as_ref();
        self.optional(&key("kubeconfig"), file, |path| path_value(path));
        for (name, texts) in [
            ("namespaces", &kubernetes.namespaces),
            ("exclude_namespaces", &kubernetes.exclude_namespaces),
            ("resources", &kubernetes.resources),
            ("types", &kubernetes.types),
            ("names", &kubernetes.names),
            ("exclude_names", &kubernetes.exclude_names),
        ] {
            self.list(&key(name), texts, |text| json!(text));
        }
        for (name, text) in [
            ("context", &kubernetes.context),
            ("namespace_labels", &kubernetes.namespace_labels),
            ("labels", &kubernetes.labels),
            ("fields", &kubernetes.fields),
        ] {
            self.optional(&key(name), text.as_ref(), |text| json!(text));
        }
        let objects = &kubernetes.namespace_objects;
        self.one(&key("namespace_objects"), objects, |value| json!(value));
        for (name, period) in [
            ("connect_timeout", &kubernetes.connect_timeout),
            ("answer_timeout", &kubernetes.answer_timeout),
        ] {
            self.one(&key(name), period, |period| json!(period));
        }
    }
}
