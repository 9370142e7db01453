use serde_json::json;

use super::{Listing, path_value};
use crate::config::resolve::{DataRobot, Kubernetes};

impl Listing {
    pub(super) fn kubernetes(&mut self, key: &str, kubernetes: &Kubernetes) {
        if let Some(preset) = &kubernetes.preset {
            return self.data_robot(key, kubernetes, preset);
        }
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
        self.one(&key("check"), &kubernetes.check, |value| json!(value));
        for (name, period) in [
            ("connect_timeout", &kubernetes.connect_timeout),
            ("answer_timeout", &kubernetes.answer_timeout),
        ] {
            self.one(&key(name), period, |period| json!(period));
        }
    }

    fn data_robot(&mut self, key: &str, kubernetes: &Kubernetes, preset: &DataRobot) {
        let key = |name: &str| format!("{key}.{name}");
        self.one(&key("namespace"), &preset.namespace, |text| json!(text));
        self.one(&key("release"), &preset.release, |text| json!(text));
        self.one(&key("driver"), &preset.driver, |driver| json!(driver));
        self.list(&key("keys.recipients"), &preset.keys, |text| json!(text));
        let file = kubernetes.kubeconfig.as_ref();
        self.optional(&key("kubeconfig"), file, |path| path_value(path));
        let context = kubernetes.context.as_ref();
        self.optional(&key("context"), context, |text| json!(text));
        for (name, period) in [
            ("connect_timeout", &kubernetes.connect_timeout),
            ("answer_timeout", &kubernetes.answer_timeout),
        ] {
            self.one(&key(name), period, |period| json!(period));
        }
    }
}
