use std::collections::{BTreeMap, BTreeSet};

use archive::Name;
use serde_json::Value;

use super::client::Client;
use super::listing::{Listing, Query, ask};
use super::object::{Data, Object};
use super::options::{Objects, Options};
use super::refusal::Failure;
use super::resource::Resource;
use super::selection::{Chosen, Wanted, namespace};
use crate::{Error, ErrorKind, Finding};

/// The kinds that refer to Secrets, and where in them a pod's description stands.
pub(super) const REFERRING: [(&str, &str); 8] = [
    ("pods", "/spec"),
    ("deployments.apps", "/spec/template/spec"),
    ("statefulsets.apps", "/spec/template/spec"),
    ("daemonsets.apps", "/spec/template/spec"),
    ("jobs.batch", "/spec/template/spec"),
    ("cronjobs.batch", "/spec/jobTemplate/spec/template/spec"),
    ("serviceaccounts", ""),
    ("ingresses.networking.k8s.io", ""),
];

/// Those who issue certificates, as cert-manager has them: in no namespace, and in one.
pub(super) const ISSUERS: [&str; 2] = ["clusterissuers.cert-manager.io", "issuers.cert-manager.io"];

/// So many namespaces are named in which a kind may not be listed.
const NAMED_MAX: usize = 10;

/// The label of the keys with which Sealed Secrets opens what was sealed for this cluster.
const SEALING_KEY: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";

/// What of the cluster a restore will need and a capture of `options` does not have.
pub(super) async fn report(options: &Options) -> Result<Vec<Finding>, Error> {
    options.validate()?;
    let client = Client::new(options).await?;
    client.greet().await?;
    let chosen = Chosen::find(&client, &options.namespaces).await?;
    let mut report = Report {
        client: &client,
        chosen,
        captured: BTreeSet::new(),
        others: BTreeSet::new(),
        referred: BTreeMap::new(),
        findings: Vec::new(),
    };
    if options.namespace_objects {
        report.look_at_namespaces().await?;
    }
    report.look_at_secrets(options).await?;
    for (kind, pod) in REFERRING {
        report.look_at(kind, pod).await?;
    }
    report.compare();
    report.look_for_sealing_keys(options).await?;
    report.look_for_issuers(options).await?;
    Ok(report.findings)
}

struct Report<'c> {
    client: &'c Client,
    chosen: Chosen,
    /// Secrets that are captured, by `NAMESPACE/NAME`.
    captured: BTreeSet<String>,
    /// Secrets of the same namespaces that are not.
    others: BTreeSet<String>,
    /// Secrets that something refers to, and the first that does.
    referred: BTreeMap<String, Name>,
    findings: Vec<Finding>,
}

impl Report<'_> {
    /// A backup fails without them.
    async fn look_at_namespaces(&mut self) -> Result<(), Error> {
        let Chosen::These(names) = &self.chosen else {
            return Ok(());
        };
        let mut missing = Vec::new();
        for name in names {
            match namespace(self.client, name).await {
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::Incomplete => missing.push((true, name.clone(), error)),
                    ErrorKind::Denied => missing.push((false, name.clone(), error)),
                    _ => return Err(error),
                },
            }
        }
        for (bad, name, error) in missing {
            let name = Name::from(format!("namespaces/{name}").as_str());
            self.find(bad, name, error.to_string());
        }
        Ok(())
    }

    async fn look_at_secrets(&mut self, options: &Options) -> Result<(), Error> {
        let wanted = Wanted::new(&options.objects)?;
        let secrets = Resource::secrets();
        // What the server selects, and then everything.
        for query in self.chosen.queries(&secrets, &options.objects) {
            let mut listing = Listing::new(self.client, query.clone());
            while let Some(secret) = next(&mut listing, &query).await? {
                if wanted.takes(&secret) {
                    self.captured.insert(secret.id.key());
                }
            }
        }
        for query in self.chosen.queries(&secrets, &Objects::default()) {
            let mut listing = Listing::new(self.client, query.clone());
            while let Some(secret) = next(&mut listing, &query).await? {
                let key = secret.id.key();
                if !self.captured.contains(&key) {
                    self.others.insert(key);
                }
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, key: &str, pod: &str) -> Result<(), Error> {
        let Some(kind) = Resource::find(self.client, key).await? else {
            return Ok(());
        };
        let mut hidden = Hidden::default();
        for query in self.chosen.queries(&kind, &Objects::default()) {
            let mut listing = Listing::new(self.client, query.clone());
            loop {
                match listing.next().await {
                    Ok(Some(object)) => self.refer(&object, pod),
                    Ok(None) => break,
                    Err(failure) => {
                        hidden.take(failure, &query)?;
                        break;
                    }
                }
            }
        }
        if let Some(reason) = hidden.reason() {
            let message = format!("what {key} refer to is not known: {reason}");
            self.find(false, Name::from(key), message);
        }
        Ok(())
    }

    fn refer(&mut self, object: &Object, pod: &str) {
        let (Data::Json(json), Some(namespace)) = (&object.data, &object.id.namespace) else {
            return;
        };
        let value: Value = serde_json::from_slice(json).unwrap_or_default();
        let mut names = BTreeSet::new();
        match object.id.kind.as_str() {
            "serviceaccounts" => {
                gather(&value, &["imagePullSecrets", "*", "name"], &mut names);
                gather(&value, &["secrets", "*", "name"], &mut names);
            }
            "ingresses.networking.k8s.io" => {
                gather(&value, &["spec", "tls", "*", "secretName"], &mut names);
            }
            _ => {
                let pod = value.pointer(pod).unwrap_or(&Value::Null);
                secrets_of_pod(pod, &mut names);
            }
        }
        for name in names {
            let key = format!("{namespace}/{name}");
            self.referred
                .entry(key)
                .or_insert_with(|| object.id.entry());
        }
    }

    fn compare(&mut self) {
        for (key, by) in std::mem::take(&mut self.referred) {
            if self.captured.contains(&key) {
                continue;
            }
            let name = Name::from(format!("secrets/{key}").as_str());
            let message = if self.others.contains(&key) {
                format!("{by} refers to {name}, which the configuration leaves out")
            } else {
                format!("{by} refers to {name}, which does not exist")
            };
            self.find(true, name, message);
        }
    }

    /// What was sealed for this cluster, as it lies in somebody's Git, is lost without them.
    async fn look_for_sealing_keys(&mut self, options: &Options) -> Result<(), Error> {
        let query = Query {
            resource: Resource::secrets(),
            namespace: None,
            labels: Some(SEALING_KEY.to_owned()),
            fields: None,
            at: None,
        };
        let mut listing = Listing::new(self.client, query.clone());
        loop {
            match listing.next().await {
                Ok(Some(key)) if !self.captures(&key, options)? => {
                    let name = key.id.entry();
                    let message = format!(
                        "{name} opens what was sealed for this cluster (SealedSecrets), and is not captured"
                    );
                    self.find(true, name, message);
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(Failure::Refused(refusal)) if refusal.is_about_rights() => return Ok(()),
                Err(failure) => return Err(failure.explain(&ask(&query, None))),
            }
        }
    }

    fn captures(&self, secret: &Object, options: &Options) -> Result<bool, Error> {
        let namespace = secret.id.namespace.as_deref().unwrap_or_default();
        let there = match &self.chosen {
            Chosen::All => true,
            Chosen::These(names) => names.iter().any(|name| name == namespace),
        };
        let selected = options.objects.labels.is_none() && options.objects.fields.is_none();
        let known = self.captured.contains(&secret.id.key());
        Ok(known || (there && selected && Wanted::new(&options.objects)?.takes(secret)))
    }

    /// Certificates are issued again by those who issued them, if these are there.
    async fn look_for_issuers(&mut self, options: &Options) -> Result<(), Error> {
        for key in ISSUERS {
            if options.resources.iter().any(|kind| kind == key) {
                continue;
            }
            // Where there is no cert-manager, nothing is missing.
            let Some(kind) = Resource::find(self.client, key).await? else {
                continue;
            };
            let mut hidden = Hidden::default();
            for query in self.chosen.queries(&kind, &Objects::default()) {
                let mut listing = Listing::new(self.client, query.clone());
                match listing.next().await {
                    Ok(Some(issuer)) => {
                        let name = issuer.id.entry();
                        let message = format!(
                            "{name} issues certificates, and its kind is not among the captured resources"
                        );
                        self.find(true, name, message);
                        break;
                    }
                    Ok(None) => {}
                    Err(failure) => hidden.take(failure, &query)?,
                }
            }
            if let Some(reason) = hidden.reason() {
                let message = format!(
                    "whether certificates need {key} to be issued again is not known: {reason}"
                );
                self.find(false, Name::from(key), message);
            }
        }
        Ok(())
    }

    fn find(&mut self, bad: bool, name: Name, message: String) {
        self.findings.push(Finding { bad, name, message });
    }
}

/// Where a kind may not be listed. Rights to see what runs are another's to have: what their lack hides is said, and the rest is
/// looked at.
#[derive(Default)]
struct Hidden {
    /// Why, for the first.
    reason: Option<String>,
    /// The namespaces after it.
    others: Vec<Name>,
}

impl Hidden {
    fn take(&mut self, failure: Failure, query: &Query) -> Result<(), Error> {
        let ask = ask(query, None);
        let refusal = match failure {
            Failure::Refused(refusal) if refusal.is_about_rights() => refusal,
            failure => return Err(failure.explain(&ask)),
        };
        if self.reason.is_none() {
            self.reason = Some(refusal.clause(&ask));
        } else {
            self.others
                .extend(query.namespace.as_deref().map(Name::from));
        }
        Ok(())
    }

    fn reason(&self) -> Option<String> {
        let reason = self.reason.as_ref()?;
        let count = self.others.len();
        if count == 0 {
            return Some(reason.clone());
        }
        let named = self.others.iter().take(NAMED_MAX).map(Name::to_string);
        let mut others = named.collect::<Vec<_>>().join(", ");
        if count > NAMED_MAX {
            others = format!("{others} and {} more", count - NAMED_MAX);
        }
        Some(format!("{reason}; the same is missing in {others}"))
    }
}

async fn next(listing: &mut Listing<'_>, query: &Query) -> Result<Option<Object>, Error> {
    let next = listing.next().await;
    next.map_err(|failure| failure.explain(&ask(query, None)))
}

/// The Secrets without which a pod does not start.
fn secrets_of_pod(pod: &Value, names: &mut BTreeSet<String>) {
    gather(pod, &["imagePullSecrets", "*", "name"], names);
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        if volume["secret"]["optional"] != true {
            gather(volume, &["secret", "secretName"], names);
        }
        gather(volume, &["csi", "nodePublishSecretRef", "name"], names);
        for source in volume["projected"]["sources"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if source["secret"]["optional"] != true {
                gather(source, &["secret", "name"], names);
            }
        }
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in pod[containers].as_array().into_iter().flatten() {
            for from in container["envFrom"].as_array().into_iter().flatten() {
                if from["secretRef"]["optional"] != true {
                    gather(from, &["secretRef", "name"], names);
                }
            }
            for variable in container["env"].as_array().into_iter().flatten() {
                if variable["valueFrom"]["secretKeyRef"]["optional"] != true {
                    gather(variable, &["valueFrom", "secretKeyRef", "name"], names);
                }
            }
        }
    }
}

/// The texts at the end of a path, in which `*` is every element of a list.
fn gather(value: &Value, path: &[&str], names: &mut BTreeSet<String>) {
    match path {
        [] => names.extend(
            value
                .as_str()
                .filter(|it| !it.is_empty())
                .map(str::to_owned),
        ),
        ["*", rest @ ..] => {
            for element in value.as_array().into_iter().flatten() {
                gather(element, rest, names);
            }
        }
        [key, rest @ ..] => gather(&value[*key], rest, names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_needs_what_it_mounts_and_reads_but_for_what_is_optional() {
        let pod = json!({
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"secret": {"secretName": "mounted"}},
                {"secret": {"secretName": "perhaps", "optional": true}},
                {"projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "no"}}]}},
                {"csi": {"nodePublishSecretRef": {"name": "driver"}}},
            ],
            "initContainers": [{"envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "no"}}]}],
            "containers": [{"env": [
                {"name": "A", "value": "no"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "maybe", "key": "k", "optional": true}}},
            ]}],
        });
        let mut names = BTreeSet::new();
        secrets_of_pod(&pod, &mut names);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            names,
            ["all", "driver", "mounted", "one", "projected", "pull"]
        );
    }
}
