//! The kubernetes source on a real API server, with RBAC and, where they matter, the cluster's controllers.

#[path = "kubernetes/bootstrap.rs"]
mod bootstrap;
#[path = "kubernetes/busy.rs"]
mod busy;
#[path = "kubernetes/capture.rs"]
mod capture;
#[path = "kubernetes/conflicts.rs"]
mod conflicts;
#[path = "kubernetes/hanging.rs"]
mod hanging;
#[path = "kubernetes/import.rs"]
mod import;
#[path = "kubernetes/login.rs"]
mod login;
#[path = "kubernetes/objects.rs"]
mod objects;
#[path = "kubernetes/restore.rs"]
mod restore;
#[path = "kubernetes/rights.rs"]
mod rights;

use std::collections::BTreeMap;

use archive::Name;
use serde_json::Value;
use strongroom_source::kubernetes::{Access, Kubernetes, Namespaces, Options};
use strongroom_source::suite::{Archive, plan};
use strongroom_source::{Action, Conflict, Plan, Report, RestoreOptions, Source};

/// All of the cluster that a test made, as its administrator.
fn options(cluster: &testkit::Kubernetes, namespaces: &[&str]) -> Options {
    Options {
        access: Access::Kubeconfig {
            files: vec![cluster.admin()],
            context: None,
        },
        namespaces: Namespaces {
            include: namespaces.iter().map(|&name| name.to_owned()).collect(),
            ..Namespaces::default()
        },
        namespace_objects: true,
        ..Options::default()
    }
}

fn source(cluster: &testkit::Kubernetes, namespaces: &[&str]) -> Kubernetes {
    Kubernetes::new(options(cluster, namespaces))
}

async fn capture(source: &Kubernetes) -> Archive {
    let (archive, capture) = Archive::collect(source).await.expect("a capture");
    assert_eq!(capture.incomplete, []);
    archive
}

fn settings(conflict: Conflict, settings: &[(&str, &str)]) -> RestoreOptions {
    let settings = settings
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()));
    RestoreOptions {
        conflict,
        settings: settings.collect(),
        ..RestoreOptions::default()
    }
}

/// Plans a restore of all of `archive` and carries it out.
async fn restore(
    source: &Kubernetes,
    archive: &Archive,
    options: &RestoreOptions,
) -> (Plan, Report) {
    let plan = plan(source, archive, options).await;
    let mut contents = archive.written_by(&plan);
    let report = source.write(&plan, &mut contents, options).await;
    (plan, report.expect("a restore"))
}

fn action<'a>(plan: &'a Plan, name: &str) -> &'a Action {
    strongroom_source::suite::action(plan, &Name::from(name))
}

/// What kubectl says is there, by kind, namespace and name, without what the server owns. None of our code has touched it.
fn seen(
    cluster: &testkit::Kubernetes,
    kinds: &str,
    namespaces: &[&str],
) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    for namespace in namespaces {
        let list = cluster.ctl(&["get", kinds, "-n", namespace, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        for object in list["items"].as_array().expect("a list") {
            let mut object = object.clone();
            let metadata = object["metadata"].as_object_mut().expect("an object");
            for owned in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
                metadata.remove(owned);
            }
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            let key = format!("{kind}/{namespace}/{name}");
            seen.insert(key, object);
        }
    }
    seen
}

/// Compared one by one, so that a failure names an object and prints no two megabytes.
fn assert_same(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) {
    let names = |map: &BTreeMap<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after));
    for (name, object) in before {
        let fields = object.as_object().expect("an object");
        for (field, value) in fields {
            assert!(
                after[name].get(field) == Some(value),
                "{field} of {name} differs"
            );
        }
        assert_eq!(
            fields.len(),
            after[name].as_object().map_or(0, serde_json::Map::len),
            "{name}"
        );
    }
}
