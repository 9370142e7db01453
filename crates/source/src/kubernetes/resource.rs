use serde::Deserialize;

use super::client::{Ask, Client, Verb};
use super::id::Id;
use crate::Error;

/// A kind of objects, as the server names and addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// Empty for the core.
    pub(super) group: String,
    pub(super) version: String,
    /// In lower case: `secrets`.
    pub(super) plural: String,
    /// As it stands in manifests: `Secret`.
    pub(super) kind: String,
    pub(super) namespaced: bool,
}

/// How objects of a kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A record of decoded values.
    Secret,
    /// A record of texts and decoded values.
    ConfigMap,
    /// JSON, without what the server owns.
    Json,
}

impl Resource {
    pub(super) fn secrets() -> Self {
        Self::core("secrets", "Secret", true)
    }

    pub(super) fn service_accounts() -> Self {
        Self::core("serviceaccounts", "ServiceAccount", true)
    }

    pub(super) fn namespaces() -> Self {
        Self::core("namespaces", "Namespace", false)
    }

    fn core(plural: &str, kind: &str, namespaced: bool) -> Self {
        Self {
            group: String::new(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced,
        }
    }

    /// Kinds that every server has, and serves in this way.
    pub(super) fn known(key: &str) -> Option<Self> {
        match key {
            "secrets" => Some(Self::secrets()),
            "configmaps" => Some(Self::core("configmaps", "ConfigMap", true)),
            "serviceaccounts" => Some(Self::service_accounts()),
            "namespaces" => Some(Self::namespaces()),
            _ => None,
        }
    }

    /// The kind of a captured object, as far as its name says it; the rest stands in the object's JSON.
    pub(super) fn of_entry(id: &Id) -> Self {
        Self::known(&id.kind).unwrap_or_else(|| {
            let (plural, group) = id.kind.split_once('.').unwrap_or((&id.kind, ""));
            Self {
                group: group.to_owned(),
                version: String::new(),
                plural: plural.to_owned(),
                kind: String::new(),
                namespaced: id.namespace.is_some(),
            }
        })
    }

    /// `secrets`, `certificates.cert-manager.io`: what an entry's name starts with.
    pub(super) fn key(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `v1`, `cert-manager.io/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match self.key().as_str() {
            "secrets" => Shape::Secret,
            "configmaps" => Shape::ConfigMap,
            _ => Shape::Json,
        }
    }

    /// Where the server has the kind, in a namespace or in all of them.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            path.push_str(&encode(namespace));
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    /// Asks the server how it serves the kind that is called `key`; `None` if it does not.
    pub(super) async fn find(client: &Client, key: &str) -> Result<Option<Self>, Error> {
        if let Some(known) = Self::known(key) {
            return Ok(Some(known));
        }
        let (plural, group) = key.split_once('.').unwrap_or((key, ""));
        let version = match group {
            "" => Some("v1".to_owned()),
            group => preferred_version(client, group).await?,
        };
        let Some(version) = version else {
            return Ok(None);
        };
        let found = Served::in_version(client, group, &version).await?;
        let served = found.into_iter().find(|served| served.name == plural);
        Ok(served.map(|served| served.resource(group, &version)))
    }

    /// Asks the server for the kind that manifests call `kind` in `api_version`; `None` if it has none.
    pub(super) async fn of_kind(
        client: &Client,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Self>, Error> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let found = Served::in_version(client, group, version).await?;
        // Subresources have the kind of their parents, and a slash in their names.
        let mut found = found.into_iter();
        let served = found.find(|served| served.kind == kind && !served.name.contains('/'));
        Ok(served.map(|served| served.resource(group, version)))
    }
}

/// What the server says of one kind.
#[derive(Deserialize)]
struct Served {
    name: String,
    kind: String,
    namespaced: bool,
}

impl Served {
    /// The kinds of a group and version; none if the server does not have that.
    async fn in_version(client: &Client, group: &str, version: &str) -> Result<Vec<Self>, Error> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            resources: Vec<Served>,
        }
        let path = match group {
            "" => format!("/api/{}", encode(version)),
            group => format!("/apis/{}/{}", encode(group), encode(version)),
        };
        let list: Option<List> = client.ask(Ask::path(Verb::Get, path)).await?;
        Ok(list.map(|list| list.resources).unwrap_or_default())
    }

    fn resource(self, group: &str, version: &str) -> Resource {
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: self.name,
            kind: self.kind,
            namespaced: self.namespaced,
        }
    }
}

async fn preferred_version(client: &Client, group: &str) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Group {
        preferred_version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    let path = format!("/apis/{}", encode(group));
    let found: Option<Group> = client.ask(Ask::path(Verb::Get, path)).await?;
    Ok(found.map(|group| group.preferred_version.version))
}

/// One part of a path, or one value of a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            byte => {
                encoded.push('%');
                encoded.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let secrets = Resource::secrets();
        assert_eq!(secrets.path(None), "/api/v1/secrets");
        assert_eq!(secrets.path(Some("a")), "/api/v1/namespaces/a/secrets");
        let roles = Resource {
            group: "rbac.authorization.k8s.io".to_owned(),
            plural: "clusterroles".to_owned(),
            kind: "ClusterRole".to_owned(),
            namespaced: false,
            ..Resource::secrets()
        };
        assert_eq!(roles.key(), "clusterroles.rbac.authorization.k8s.io");
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        assert_eq!(roles.path(Some("a")), path);
        assert_eq!(encode("system:a/b%ü"), "system%3Aa%2Fb%25%C3%BC");
    }
}
