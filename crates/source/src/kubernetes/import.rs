//! Objects that lie in manifests, as a source that is read once.

use std::collections::BTreeMap;

use archive::{Content, Entry, Name};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::check;
use super::object::{LABELS, NAME_LABEL, Object};
use super::resource::{Resource, Shape};
use super::rules;
use crate::{Capture, Contents, Error, ErrorKind, Finding, Sink, Source};

/// Kinds whose plural is known without a server: a manifest names the kind, an entry its plural.
const PLURALS: [(&str, &str, &str, bool); 17] = [
    ("", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "Pod", "pods", true),
    ("", "Service", "services", true),
    ("apps", "DaemonSet", "daemonsets", true),
    ("apps", "Deployment", "deployments", true),
    ("apps", "StatefulSet", "statefulsets", true),
    ("batch", "CronJob", "cronjobs", true),
    ("batch", "Job", "jobs", true),
    ("cert-manager.io", "Certificate", "certificates", true),
    ("cert-manager.io", "ClusterIssuer", "clusterissuers", false),
    ("cert-manager.io", "Issuer", "issuers", true),
    (
        "external-secrets.io",
        "ExternalSecret",
        "externalsecrets",
        true,
    ),
    ("networking.k8s.io", "Ingress", "ingresses", true),
    (
        "rbac.authorization.k8s.io",
        "ClusterRole",
        "clusterroles",
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
    ),
    ("rbac.authorization.k8s.io", "Role", "roles", true),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        "rolebindings",
        true,
    ),
];

/// Objects of manifests, gathered one by one. They are held in memory until they are read.
#[derive(Default)]
pub struct Manifests {
    objects: BTreeMap<Name, Object>,
    /// Where objects go that name no namespace.
    namespace: Option<String>,
    /// What else is known of where they come from.
    known: Capture,
}

impl Manifests {
    /// None yet; what names no namespace goes into `namespace`, or is refused.
    pub fn new(namespace: Option<String>) -> Self {
        Self {
            objects: BTreeMap::new(),
            namespace,
            known: Capture::default(),
        }
    }

    /// Facts, notes and what is missing, for the capture that is made of them.
    pub fn know(&mut self, known: Capture) {
        self.known = known;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Each object as [`super::manifest()`] writes it, in the order of their names.
    pub fn exported(&self) -> Result<Vec<String>, Error> {
        let written = self.objects.values().map(|object| {
            super::manifest(&entry_of(object), &object.content()).map(|text| text.to_string())
        });
        written.collect()
    }

    /// Takes what one document says: an object, or a list of some, as `kubectl get` prints it. An empty document says nothing. An
    /// error says which object is wrong, and nothing of its values.
    pub fn add(&mut self, document: Value) -> Result<(), Error> {
        match document {
            Value::Null => Ok(()),
            Value::Object(mut list) if list.get("items").is_some_and(Value::is_array) => {
                let (version, kind) = (list.get("apiVersion").cloned(), list.get("kind").cloned());
                let Some(Value::Array(items)) = list.remove("items") else {
                    return Ok(());
                };
                for mut item in items {
                    // Lists of the API itself name the kind of their items only in their own.
                    if let (Some(item), Some(kind)) =
                        (item.as_object_mut(), item_kind(kind.as_ref()))
                    {
                        item.entry("kind").or_insert_with(|| kind.into());
                        let version = version.clone().unwrap_or_default();
                        item.entry("apiVersion").or_insert(version);
                    }
                    self.object(item)?;
                }
                Ok(())
            }
            document => self.object(document),
        }
    }

    fn object(&mut self, mut object: Value) -> Result<(), Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let name = text(&object["metadata"]["name"]);
        let shown = Name::from(format!("{kind} {name}").as_str());
        if version.is_empty() || kind.is_empty() || name.is_empty() {
            let position = self.objects.len() + 1;
            return Err(wrong(format!(
                "document or item {position} is no manifest: it needs apiVersion, kind and metadata.name"
            )));
        }
        let resource = resource(&version, &kind).ok_or_else(|| {
            let kind = Name::from(format!("{version} {kind}").as_str());
            wrong(format!(
                "{shown} is of a kind that cannot be imported ({kind}): how a server names it is not known here"
            ))
        })?;
        if resource.namespaced
            && object["metadata"]["namespace"]
                .as_str()
                .is_none_or(str::is_empty)
        {
            let namespace = self
                .namespace
                .as_deref()
                .ok_or_else(|| wrong(format!("{shown} names no namespace, and none is given")))?;
            object["metadata"]["namespace"] = namespace.into();
        }
        let refused = |reason: String| wrong(format!("{shown} {reason}"));
        complete(&mut object, &resource).map_err(refused)?;
        rules::judge(&object, &resource).map_err(refused)?;
        let json = zeroize::Zeroizing::new(object.to_string().into_bytes());
        let parsed = Object::parse(&resource, &json).map_err(|_| {
            wrong(format!(
                "{shown} cannot be understood: a field has another type than it should"
            ))
        })?;
        // Or it would be found damaged as soon as somebody looks.
        check::judge(&entry_of(&parsed)).map_or(Ok(()), |reason| Err(refused(reason)))?;
        let entry = parsed.id.entry();
        if self.objects.insert(entry.clone(), parsed).is_some() {
            return Err(wrong(format!("{entry} is there twice")));
        }
        Ok(())
    }
}

/// As a snapshot will have it.
fn entry_of(object: &Object) -> Entry {
    Entry {
        name: object.id.entry(),
        attributes: object.attributes.clone(),
        body: object.body(),
    }
}

/// The kind of the items of a list of this kind: `SecretList` has Secrets, and `List` has what each says itself.
fn item_kind(list: Option<&Value>) -> Option<String> {
    let kind = list?.as_str()?.strip_suffix("List")?;
    (!kind.is_empty()).then(|| kind.to_owned())
}

fn resource(api_version: &str, kind: &str) -> Option<Resource> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let core = match (group, kind) {
        ("", "Secret") => "secrets",
        ("", "ConfigMap") => "configmaps",
        ("", "ServiceAccount") => "serviceaccounts",
        ("", "Namespace") => "namespaces",
        _ => {
            let known = PLURALS
                .iter()
                .find(|(of, name, ..)| *of == group && *name == kind);
            let (_, _, plural, namespaced) = known?;
            return Some(Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: (*plural).to_owned(),
                kind: kind.to_owned(),
                namespaced: *namespaced,
            });
        }
    };
    (version == "v1").then(|| Resource::known(core)).flatten()
}

/// Does to a manifest what the server does when it takes it.
fn complete(object: &mut Value, resource: &Resource) -> Result<(), String> {
    if *resource == Resource::namespaces() {
        let metadata = &mut object["metadata"];
        let name = metadata["name"].clone();
        let labels = &mut metadata[LABELS];
        // What else is wrong with them is for the rules to say.
        if labels.is_null() || labels.is_object() {
            labels[NAME_LABEL] = name;
        }
    }
    if resource.shape() != Shape::Secret {
        return Ok(());
    }
    let object = object.as_object_mut().ok_or("is no object")?;
    if object
        .get("type")
        .is_none_or(|kind| kind.is_null() || kind == "")
    {
        object.insert("type".to_owned(), "Opaque".into());
    }
    let plain = object.remove("stringData").unwrap_or_default();
    let data = object.entry("data").or_insert(Value::Null);
    if let Value::Object(data) = data {
        for value in data.values_mut() {
            // Lines of a block; decoders of base64 pass over their ends.
            if let Value::String(text) = value
                && text.contains(['\n', '\r'])
            {
                text.retain(|c| c != '\n' && c != '\r');
            }
        }
    }
    let plain = match plain {
        Value::Null => return Ok(()),
        Value::Object(plain) => plain,
        _ => return Err("has a stringData that is no map".to_owned()),
    };
    if data.is_null() {
        *data = Value::Object(serde_json::Map::new());
    }
    let data = data.as_object_mut().ok_or("has data that is no map")?;
    for (key, value) in plain {
        let value = value.as_str().ok_or_else(|| {
            format!(
                "has at the key {} of stringData what is no text",
                Name::from(key.as_str())
            )
        })?;
        data.insert(key, STANDARD.encode(value).into());
    }
    Ok(())
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Pours `objects`, which ascend by name, into `sink`: the facts are how many there are of each kind.
pub(super) async fn pour(
    objects: impl Iterator<Item = &Object> + Send,
    sink: &mut Sink,
) -> Result<BTreeMap<String, String>, Error> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for object in objects {
        sink.begin(object.header()).await?;
        sink.data(Content::new(object.content())).await?;
        sink.end().await?;
        *counts.entry(&object.id.kind).or_default() += 1;
    }
    let facts = counts.into_iter();
    let facts =
        facts.map(|(kind, count)| (format!("kubernetes.objects.{kind}"), count.to_string()));
    Ok(facts.collect())
}

#[async_trait]
impl Source for Manifests {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let mut capture = self.known.clone();
        capture
            .facts
            .extend(pour(self.objects.values(), sink).await?);
        let how = "manifests".to_owned();
        capture.facts.insert("kubernetes.imported".to_owned(), how);
        Ok(capture)
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        check::check(contents).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn added(documents: impl IntoIterator<Item = Value>) -> Result<Manifests, String> {
        let mut manifests = Manifests::new(Some("here".to_owned()));
        for document in documents {
            manifests.add(document).map_err(|error| error.to_string())?;
        }
        Ok(manifests)
    }

    #[test]
    fn a_manifest_is_completed_as_a_server_would() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"a": "Y\nQ==\n", "b": "Yg=="}, "stringData": {"b": "over", "c": "ü"},
        });
        let manifests = added([Value::Null, secret]).expect("a manifest");
        let (name, object) = manifests.objects.first_key_value().expect("one");
        assert_eq!(*name, Name::from("secrets/here/s"));
        assert_eq!(object.content(), "aoverü".as_bytes());
        assert_eq!(object.attributes.text("type"), Some("Opaque"));
    }

    #[test]
    fn lists_are_taken_apart() {
        let item = |name: &str| json!({"metadata": {"name": name, "namespace": "n"}});
        let list =
            json!({"apiVersion": "v1", "kind": "SecretList", "items": [item("b"), item("a")]});
        let manifests = added([list]).expect("a list");
        let names: Vec<String> = manifests.objects.keys().map(Name::to_string).collect();
        assert_eq!(names, ["secrets/n/a", "secrets/n/b"]);
        assert!(
            added([json!({"apiVersion": "v1", "kind": "List", "items": []})])
                .expect("none")
                .is_empty()
        );
    }

    #[test]
    fn what_cannot_be_imported_is_named_without_a_value() {
        let secret = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
        for (documents, message) in [
            (vec![json!("text")], "is no manifest"),
            (vec![json!({"kind": "Secret"})], "is no manifest"),
            (
                vec![secret(json!({"k": "hunter2!"}))],
                "Secret s has at the key k what is not base64",
            ),
            (
                vec![secret(json!(["hunter2"]))],
                "Secret s has data that are no map",
            ),
            (
                vec![secret(json!({})), secret(json!({}))],
                "secrets/here/s is there twice",
            ),
            (
                vec![json!({"apiVersion": "x.io/v1", "kind": "Y", "metadata": {"name": "s"}})],
                "of a kind that cannot be imported (x.io/v1 Y)",
            ),
        ] {
            let error = added(documents).err().expect(message);
            assert!(
                error.contains(message) && !error.contains("hunter2"),
                "{error}"
            );
        }
        let nowhere = Manifests::new(None).add(secret(json!({})));
        assert!(
            nowhere
                .expect_err("no namespace")
                .to_string()
                .contains("names no namespace")
        );
    }
}
