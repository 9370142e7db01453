use std::collections::HashMap;

use archive::Name;
use serde_json::Value;
use tokio::sync::Mutex;

use super::client::{Ask, Client, Verb};
use super::resource::Resource;
use crate::Error;

/// Owners, looked up by kind and name: restored owners have other uids, and the garbage collector goes by the uid.
pub(super) struct Lookup<'c> {
    client: &'c Client,
    /// The uid of each owner that was asked for: `None` if there is no such owner.
    found: Mutex<HashMap<Owner, Option<String>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Owner {
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl<'c> Lookup<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self {
            client,
            found: Mutex::default(),
        }
    }

    /// The `owners` of something in `namespace`, with their uids of today; and those that are not there.
    pub(super) async fn find(
        &self,
        namespace: Option<&str>,
        owners: &[Value],
    ) -> Result<(Vec<Value>, Vec<Name>), Error> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for owner in owners {
            let text = |name: &str| owner[name].as_str().unwrap_or_default().to_owned();
            let wanted = Owner {
                api_version: text("apiVersion"),
                kind: text("kind"),
                namespace: namespace.map(str::to_owned),
                name: text("name"),
            };
            let shown = Name::from(format!("{} {}", wanted.kind, wanted.name).as_str());
            match self.uid(wanted).await? {
                Some(uid) => {
                    let mut owner = owner.clone();
                    owner["uid"] = uid.into();
                    there.push(owner);
                }
                None => missing.push(shown),
            }
        }
        Ok((there, missing))
    }

    /// Looks for those again that were not there.
    pub(super) async fn forget_missing(&self) {
        self.found.lock().await.retain(|_, uid| uid.is_some());
    }

    async fn uid(&self, owner: Owner) -> Result<Option<String>, Error> {
        // Held while it is asked, so that objects of one owner ask once.
        let mut found = self.found.lock().await;
        if let Some(uid) = found.get(&owner) {
            return Ok(uid.clone());
        }
        let Owner {
            api_version,
            kind,
            namespace,
            name,
        } = &owner;
        let uid = match Resource::of_kind(self.client, api_version, kind).await? {
            None => None,
            Some(resource) => {
                let namespace = namespace.as_deref().filter(|_| resource.namespaced);
                let ask = Ask::object(Verb::Get, &resource, namespace, name);
                let object: Option<Value> = self.client.ask(ask).await?;
                object.and_then(|object| Some(object["metadata"]["uid"].as_str()?.to_owned()))
            }
        };
        found.insert(owner, uid.clone());
        Ok(uid)
    }
}
