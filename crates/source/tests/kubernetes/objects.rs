//! Objects made to hurt, as kubectl is given them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A Secret.
pub(crate) fn secret(namespace: &str, name: &str, kind: &str, data: &[(&str, &[u8])]) -> Value {
    let data = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into()));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {"namespace": namespace, "name": name},
        "data": Value::Object(data.collect()),
    })
}

/// Many Secrets of every type in one namespace, and what else a namespace has.
pub(crate) fn everything(namespace: &str) -> Vec<Value> {
    let n = namespace;
    let every_byte: Vec<u8> = (0..=255).collect();
    let mebibyte: Vec<u8> = (0..1_000_000_u64).map(|i| ((i * i) >> 7) as u8).collect();
    let long = "n".repeat(253);
    let mut decorated = secret(n, "decorated", "Opaque", &[("k", b"v")]);
    decorated["metadata"]["labels"] = json!({"app.kubernetes.io/name": "x", "empty": ""});
    decorated["metadata"]["annotations"] =
        json!({"note": "two\nlines \u{1b}[2J \u{202e} \"quoted\" \\ ü", "empty": ""});
    decorated["metadata"]["finalizers"] = json!(["example.com/hold", "example.com/also"]);
    let mut immutable = secret(n, "immutable", "Opaque", &[("k", b"v")]);
    immutable["immutable"] = true.into();
    let mut mutable = secret(n, "mutable", "Opaque", &[("k", b"v")]);
    mutable["immutable"] = false.into();
    let docker = br#"{"auths":{"registry.example.com":{"auth":"dTpw"}}}"#;
    let bootstrap: &[(&str, &[u8])] = &[
        ("token-id", b"abcdef"),
        ("token-secret", b"0123456789abcdef"),
    ];
    vec![
        secret(n, "empty", "Opaque", &[]),
        secret(
            n,
            "values",
            "Opaque",
            &[
                ("empty", b""),
                ("bytes", &every_byte),
                (".dots-and_lines.1", b"\n"),
                ("A", b"case"),
                ("a", b"case"),
            ],
        ),
        secret(n, "large", "Opaque", &[("k", &mebibyte)]),
        secret(n, &long, "Opaque", &[(&"k".repeat(253), b"v")]),
        secret(
            n,
            "tls",
            "kubernetes.io/tls",
            &[("tls.crt", b"c"), ("tls.key", b"k")],
        ),
        secret(
            n,
            "basic",
            "kubernetes.io/basic-auth",
            &[("password", b"p")],
        ),
        secret(
            n,
            "ssh",
            "kubernetes.io/ssh-auth",
            &[("ssh-privatekey", b"k")],
        ),
        secret(
            n,
            "docker",
            "kubernetes.io/dockerconfigjson",
            &[(".dockerconfigjson", docker)],
        ),
        secret(n, "bootstrap", "bootstrap.kubernetes.io/token", bootstrap),
        secret(
            n,
            "sh.helm.release.v1.x.v1",
            "helm.sh/release.v1",
            &[("release", b"SDRzSQ==")],
        ),
        secret(n, "own", "example.com/own-type", &[("k", b"v")]),
        decorated,
        immutable,
        mutable,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": n, "name": "config"},
            "data": {"text": "ü\r\n\t", "empty": ""},
            "binaryData": {"bytes": STANDARD.encode(&every_byte), "text-too": STANDARD.encode("text")},
        }),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": n, "name": "robot"},
            "imagePullSecrets": [{"name": "docker"}], "automountServiceAccountToken": false,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"namespace": n, "name": "reader", "labels": {"z": "1", "a": "2"}},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        }),
    ]
}

/// The kinds of [`everything`], for the configuration and for kubectl.
pub(crate) const KINDS: [&str; 3] = [
    "configmaps",
    "serviceaccounts",
    "roles.rbac.authorization.k8s.io",
];
pub(crate) const KUBECTL_KINDS: &str = "secrets,configmaps,serviceaccounts,roles";

/// Has kubectl create `objects`, and the namespaces first.
pub(crate) fn create(cluster: &testkit::Kubernetes, namespaces: &[&str], objects: Vec<Value>) {
    let spaces = namespaces.iter().map(|name| {
        let labels = json!({"team": "a", "name": name});
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    });
    let items: Vec<Value> = spaces.chain(objects).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    // Not applied: an annotation would hold every object a second time.
    cluster.ctl_with(&["create", "-f", "-"], &list.to_string());
}
