//! What is imported has never been on a server: it is refused if a server would refuse it, and nothing else is.

use serde_json::{Value, json};
use strongroom_source::kubernetes::Manifests;
use strongroom_source::suite::{Archive, plan};
use strongroom_source::{Action, Conflict};
use testkit::KubernetesOptions;

use crate::objects::create;
use crate::{restore, settings};

const SERVERS: &str = "a manifest that only one of import and the API server takes";

/// A Secret with this in its place.
fn secret(pointer: &str, value: Value) -> Value {
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "s", "namespace": "n", "labels": {}, "annotations": {}}, "data": {},
    });
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    secret.pointer_mut(parent).expect("it is there")[key] = value;
    secret
}

fn keyed(field: &str, key: &str, value: &str) -> Value {
    let mut map = json!({});
    map[key] = value.into();
    secret(field, map)
}

fn named(version: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut object = more;
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"name": name, "namespace": "n"});
    object
}

fn names() -> Vec<Value> {
    let mut cases = Vec::new();
    let long = |length: usize| "a".repeat(length);
    for name in [
        "s",
        "a.b-c",
        "A",
        "a_b",
        "-a",
        "a-",
        "a..b",
        "../s",
        "a/b",
        "a\nb",
        "é",
        "🔑",
        " s",
        "0",
        &long(253),
        &long(254),
    ] {
        cases.push(secret("/metadata/name", name.into()));
        cases.push(named("v1", "ConfigMap", name, json!({})));
        let role = json!({"rules": []});
        cases.push(named("rbac.authorization.k8s.io/v1", "Role", name, role));
    }
    for name in ["a:b", "A%", "."] {
        let role = json!({"rules": []});
        cases.push(named("rbac.authorization.k8s.io/v1", "Role", name, role));
    }
    for name in ["a", "a.b", "0a", &long(63), &long(64)] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        cases.push(namespace);
        let ports = json!({"spec": {"ports": [{"port": 1}]}});
        cases.push(named("v1", "Service", name, ports));
    }
    cases
}

fn keys() -> Vec<Value> {
    let mut cases = Vec::new();
    let long = |length: usize| "a".repeat(length);
    for key in [
        "k",
        ".k",
        "..k",
        ".",
        "..",
        "a b",
        "a/b",
        "a\nb",
        "🔑",
        "",
        "A_b-c.d",
        &long(253),
        &long(254),
    ] {
        cases.push(keyed("/data", key, "YQ=="));
        let mut data = json!({"data": {}, "binaryData": {}});
        data["data"][key] = "text".into();
        cases.push(named("v1", "ConfigMap", "c", data));
    }
    for value in ["", "YQ==", "YQ", "Y Q==", "hunter2!", "YQ==\u{7f}"] {
        cases.push(keyed("/data", "k", value));
    }
    let both = json!({"data": {"k": "a"}, "binaryData": {"k": "YQ=="}});
    cases.push(named("v1", "ConfigMap", "c", both));
    cases
}

fn metadata() -> Vec<Value> {
    let mut cases = Vec::new();
    let long = |length: usize| "a".repeat(length);
    for (key, value) in [
        ("app", "x"),
        ("app", ""),
        ("app", "a b"),
        ("app", "-a"),
        ("app", "a-"),
        ("app", &long(63)),
        ("app", &long(64)),
        ("a/b", "x"),
        ("A.b/c", "x"),
        ("a/b/c", "x"),
        ("/c", "x"),
        ("c/", "x"),
        ("", "x"),
        ("a b", "x"),
        ("ü", "x"),
        (&long(63), "x"),
        (&long(64), "x"),
    ] {
        cases.push(keyed("/metadata/labels", key, value));
        cases.push(keyed("/metadata/annotations", key, value));
    }
    for size in [256 << 10, (256 << 10) - 1] {
        cases.push(keyed("/metadata/annotations", "k", &long(size)));
    }
    cases.push(keyed("/metadata/annotations", "k", "two\nlines \u{1b}[31m"));
    for finalizers in [
        json!(["example.com/f"]),
        json!(["f"]),
        json!(["orphan"]),
        json!(["a b/c"]),
    ] {
        cases.push(secret("/metadata/finalizers", finalizers));
    }
    let owner =
        |uid: &str| json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid}]);
    cases.push(secret("/metadata/ownerReferences", owner("u")));
    cases.push(secret("/metadata/ownerReferences", owner("")));
    cases
}

fn types() -> Vec<Value> {
    let mut cases = Vec::new();
    let typed = |kind: &str, data: Value| {
        let mut secret = secret("/data", data);
        secret["type"] = kind.into();
        secret
    };
    for (kind, data) in [
        ("kubernetes.io/tls", json!({"tls.crt": "YQ=="})),
        (
            "kubernetes.io/tls",
            json!({"tls.crt": "YQ==", "tls.key": ""}),
        ),
        (
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": "YQ=="}),
        ),
        (
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": "e30="}),
        ),
        ("kubernetes.io/dockercfg", json!({".dockercfg": ""})),
        ("kubernetes.io/dockercfg", json!({})),
        ("kubernetes.io/basic-auth", json!({"user": "YQ=="})),
        ("kubernetes.io/basic-auth", json!({"password": "YQ=="})),
        ("kubernetes.io/ssh-auth", json!({"k": "YQ=="})),
        ("kubernetes.io/service-account-token", json!({})),
        ("bootstrap.kubernetes.io/token", json!({})),
        ("example.com/own type", json!({})),
    ] {
        cases.push(typed(kind, data));
    }
    // A megabyte, and a byte more.
    for size in [1 << 20, (1 << 20) + 1] {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::STANDARD.encode(vec![0; size]);
        cases.push(keyed("/data", "k", &value));
    }
    cases
}

#[test]
fn what_a_server_would_refuse_is_not_imported_and_the_rest_is() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["n"], vec![]);
    let cases = [names(), keys(), metadata(), types()].concat();
    let mut wrong = Vec::new();
    for case in &cases {
        let mut manifests = Manifests::new(None);
        let imported = manifests.add(case.clone());
        let imported = imported.map_err(|error| error.to_string());
        let server = ["create", "--dry-run=server", "--validate=false", "-f", "-"];
        let (taken, said) = cluster.try_ctl(&server, &case.to_string());
        if imported.is_ok() != taken {
            let shown: String = case.to_string().chars().take(200).collect();
            let said: String = said.chars().take(300).collect();
            wrong.push(format!("{shown}\n  import: {imported:?}\n  server: {said}"));
        }
        if let Err(said) = imported {
            assert!(
                said.starts_with(case["kind"].as_str().expect("a kind")),
                "{said}"
            );
            assert!(said.len() < 1000 && !said.contains("hunter2"), "{said}");
        }
    }
    assert!(wrong.is_empty(), "{SERVERS}:\n{}", wrong.join("\n"));
}

/// What the server adds by itself is no difference, or the next restore would find its own work in the way.
#[tokio::test]
async fn what_was_imported_is_the_same_once_it_is_restored() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let mut manifests = Manifests::new(None);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"team": "a"}}});
    let bare = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "m"}});
    let plain = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "stringData": {"k": "v"}});
    let map = named("v1", "ConfigMap", "c", json!({"data": {"k": "v"}}));
    let account = named("v1", "ServiceAccount", "a", json!({}));
    for manifest in [namespace, bare, plain, map, account] {
        manifests.add(manifest).expect("a manifest");
    }
    let (archive, _) = Archive::collect(&manifests).await.expect("a capture");
    let source = crate::source(&cluster, &["n", "m"]);
    let fail = settings(Conflict::Fail, &[]);
    let (_, report) = restore(&source, &archive, &fail).await;
    assert_eq!((report.written, report.failed), (5, vec![]));
    let again = plan(&source, &archive, &fail).await;
    let left: Vec<_> = again
        .steps
        .iter()
        .filter(|it| it.action != Action::Same)
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
