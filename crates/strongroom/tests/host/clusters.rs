//! How clusters are reached: several in one job, and from a pod of one.

use std::fs;
use std::process::{Command, Stdio};

use testkit::{Kubernetes, KubernetesOptions};

use crate::scene::{Scene, text};

const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

fn cluster() -> Option<Kubernetes> {
    let cluster = Kubernetes::start(KubernetesOptions::default())?;
    cluster.ctl(&["create", "namespace", "shop"]);
    Some(cluster)
}

fn secret(cluster: &Kubernetes, value: &str) {
    let value = format!("--from-literal=where={value}");
    cluster.ctl(&["create", "secret", "generic", "db", "-n", "shop", &value]);
}

fn value(cluster: &Kubernetes) -> String {
    let path = "jsonpath={.data.where}";
    cluster.ctl(&["get", "secret", "db", "-n", "shop", "-o", path])
}

#[test]
fn several_clusters_are_one_job_and_each_gets_back_its_own() {
    let (Some(east), Some(mut west)) = (cluster(), cluster()) else {
        return;
    };
    secret(&east, "east");
    secret(&west, "west");
    // One of them by a context of a kubeconfig that both are in.
    let both = both(&east, &west);
    let source = |name: &str, how: &str| {
        format!("{{name: {name}, kubernetes: {{{how}, namespaces: [shop]}}}}")
    };
    let kubeconfig = format!("kubeconfig: '{}'", east.admin().display());
    let scene = Scene::new(&format!(
        "[{}, {}]",
        source("east", &kubeconfig),
        source("west", "kubeconfig: both.kubeconfig, context: west")
    ));
    scene.write("both.kubeconfig", both);
    scene.good(&["backup"]);
    let shown = scene.good(&[&["show", "prod"][..], &IDENTITY].concat());
    for entry in ["east:secrets/shop/db", "west:secrets/shop/db"] {
        assert!(shown.contains(entry), "{shown}");
    }
    for cluster in [&east, &west] {
        cluster.ctl(&["delete", "secret", "db", "-n", "shop"]);
    }
    let restore = ["restore", "prod", "--yes"];
    scene.good(&[&restore[..], &["--source", "west"], &IDENTITY].concat());
    assert_eq!(value(&west), "d2VzdA==");
    assert!(!east.try_ctl(&["get", "secret", "db", "-n", "shop"], "").0);
    scene.good(&[&restore[..], &IDENTITY].concat());
    assert_eq!(value(&east), "ZWFzdA==");
    let policy = scene.good(&["policy", "kubernetes", "prod", "--source", "east"]);
    assert_eq!(policy.matches("kind: RoleBinding").count(), 1, "{policy}");

    // One that does not answer fails the job, and is named.
    west.kill();
    let failed = scene.run(&["backup"]);
    let said = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(15), "{said}");
    assert!(
        said.contains("source `west`") && said.contains(&west.url()),
        "{said}"
    );
    assert!(!scene.good(&["snapshots"]).contains("prod/2"));
}

/// A kubeconfig whose current context is the first cluster's.
fn both(east: &Kubernetes, west: &Kubernetes) -> String {
    let cluster = |name: &str, cluster: &Kubernetes| {
        let (url, authority) = (cluster.url(), cluster.authority().display());
        format!(
            "{{name: {name}, cluster: {{server: '{url}', certificate-authority: '{authority}'}}}}"
        )
    };
    let context =
        |name: &str| format!("{{name: {name}, context: {{cluster: {name}, user: admin}}}}");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: east\nusers: [{{name: admin, user: {{token: admin}}}}]\n\
         clusters: [{}, {}]\ncontexts: [{}, {}]\n",
        cluster("east", east),
        cluster("west", west),
        context("east"),
        context("west")
    )
}

/// Where every pod finds the token of its account, and which authority to believe.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What `unshare` needs to be told for a mount of our own: root may mount, others only as the root of users of their own.
fn namespaces() -> &'static [&'static str] {
    let alone: &[&str] = &["--mount"];
    let tried = Command::new("unshare").args(alone).arg("true").output();
    if tried.expect("unshare runs").status.success() {
        alone
    } else {
        &["--mount", "--map-root-user"]
    }
}

#[test]
fn a_pod_logs_in_by_its_account() {
    let Some(cluster) = cluster() else { return };
    secret(&cluster, "here");
    let scene = Scene::new("[{kubernetes: {namespaces: [shop]}}]");
    cluster.ctl(&["create", "serviceaccount", "keeper", "-n", "shop"]);
    let token = cluster.ctl(&[
        "create",
        "token",
        "keeper",
        "-n",
        "shop",
        "--duration",
        "10m",
    ]);
    scene.write("account/token", token.trim());
    scene.write("account/namespace", "shop");
    let authority = fs::read(cluster.authority()).expect("a file");
    scene.write("account/ca.crt", authority);
    let namespaces = namespaces();
    let pod = |arguments: &[&str]| {
        // In namespaces of its own, so that no other process finds the account.
        let script = format!(
            "mount -t tmpfs tmpfs /run && mkdir -p {ACCOUNT} && cp account/* {ACCOUNT} && exec \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-ec", &script, "sh"]);
        command
            .arg(env!("CARGO_BIN_EXE_strongroom"))
            .args(arguments);
        let port = cluster.url();
        let port = port.rsplit(':').next().expect("it has one");
        command
            .current_dir(scene.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", port)
            .stdin(Stdio::null());
        let output = command.output().expect("unshare runs");
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (code, said) = pod(&["backup"]);
    assert_eq!(code, Some(16), "{said}");
    assert!(said.contains("this user may not"), "{said}");
    let account = [
        "policy",
        "kubernetes",
        "prod",
        "--service-account",
        "shop/keeper",
    ];
    for (purpose, verb) in [("backup", "list"), ("restore", "create")] {
        let policy = scene.good(&[&account[..], &["--purpose", purpose]].concat());
        cluster.ctl_with(&["apply", "-f", "-"], &policy);
        let keeper = "system:serviceaccount:shop:keeper";
        cluster.wait_until_may(keeper, &[verb, "secrets", "-n", "shop"]);
    }
    let (code, said) = pod(&["backup"]);
    assert_eq!(code, Some(0), "{said}");
    cluster.ctl(&["delete", "secret", "db", "-n", "shop"]);
    let (code, said) = pod(&[&["restore", "prod", "--yes"][..], &IDENTITY].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(value(&cluster), "aGVyZQ==");

    // Outside of a pod there is nothing to go by.
    let nowhere = scene.run(&["backup"]);
    let said = text(&nowhere.stderr);
    assert_eq!(nowhere.status.code(), Some(2), "{said}");
    assert!(said.contains("this is no pod of a cluster"), "{said}");
}
