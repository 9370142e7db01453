//! The whole drill on a real Kubernetes: thousands of Secrets, lost with their namespaces, come back as kubectl saw them. A script
//! that has none of our code makes them and compares them (`cluster.py`).

use std::path::Path;

use serde_json::Value;
use testkit::{Kubernetes, KubernetesOptions, require_program};

use crate::scene::Scene;
use crate::script::Script;

const SECRETS: &str = "3000";
pub(crate) const CLUSTER: Script = Script("cluster.py");

pub(crate) fn shown(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn a_cluster_that_lost_its_namespaces_gets_them_back() {
    if !require_program("python3") {
        return;
    }
    let Some(cluster) = Kubernetes::start(KubernetesOptions {
        encryption: Some(testkit::AES_GCM),
        controllers: true,
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    let scene = Scene::new();
    let (url, authority) = (cluster.url(), shown(cluster.authority()));
    let kubectl = cluster.kubectl().get_program().to_owned();
    let kubectl = kubectl.to_str().expect("a plain name");
    let admin = cluster.admin();
    let see = |name: &str| {
        let file = scene.path(name);
        CLUSTER.run(&["see", kubectl, shown(&admin), shown(&file)]);
        shown(&file).to_owned()
    };
    CLUSTER.run(&["seed", &url, authority, SECRETS]);
    scene.configure(&format!(
        "  prod:\n    sources:\n      - kubernetes:\n          kubeconfig: '{}'\n          exclude_namespaces: [default, 'kube-*']\n          \
         resources: [configmaps, serviceaccounts, roles.rbac.authorization.k8s.io]\n",
        shown(&admin)
    ));
    let enter = |seen: &str| CLUSTER.run(&["enter", &url, authority, seen]);
    // The cluster writes down beside a token when it was used.
    enter(&see("unused"));
    let before = see("before");
    let taken = scene.run(&["backup", "--json"]).done().json();
    assert_eq!(taken["jobs"][0]["partial"], false);
    let again = scene.run(&["backup", "--json"]).done().json();
    // But for the version of the cluster, which any lease in it moves on, nothing has changed.
    let added = again["jobs"][0]["added"].as_u64();
    assert!(added.is_some_and(|added| added < 10_000), "{again}");
    scene.read(&["verify", "--level", "full"]).done();

    CLUSTER.run(&["lose", &url, authority]);
    scene.read(&["restore", "prod", "--yes"]).done();
    let after = see("after");
    let said = CLUSTER.run(&["same", &before, &after]);
    assert!(said.starts_with("3016 objects"), "{said}");
    assert_eq!(enter(&before), "0 of 96 tokens\n");
    assert_eq!(enter(&after), "96 of 96 tokens\n");
    let left = scene.read(&["restore", "prod", "--dry-run", "--json"]);
    assert_eq!(changes(&left.done().json()), Vec::<String>::new());

    let elsewhere = [
        "restore",
        "prod",
        "--map-namespace",
        "shop=copy",
        "--only",
        "*/shop/**",
        "--only",
        "namespaces/shop",
        "--conflict",
        "overwrite",
        "--yes",
    ];
    scene.read(&elsewhere).done();
    let moved = see("moved");
    CLUSTER.run(&["same", &before, &moved, "shop=copy"]);
    assert_eq!(enter(&moved), "120 of 120 tokens\n");
}

/// What a plan would write, or cannot.
fn changes(restored: &Value) -> Vec<String> {
    let steps = restored["plan"][0]["steps"].as_array();
    let steps = steps.expect("a plan of one source").iter();
    steps.map(Value::to_string).collect()
}
