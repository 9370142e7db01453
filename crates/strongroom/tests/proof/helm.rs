//! Releases of the real helm: one that was lost comes back as one that helm goes on with, and of one that stands for DataRobot's the
//! folder is made that its own commands make.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use testkit::{Kubernetes, KubernetesOptions, require, require_program};

use crate::scene::{Scene, Seen};

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.0.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: shop-db}\nstringData: {password: {{ .Values.password | quote }}}\n\
    ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {release: {{ .Release.Name | quote }}}\n";

#[test]
fn a_release_that_was_lost_is_upgraded_after_the_restore() {
    let Some(helm) = require("helm") else { return };
    let options = KubernetesOptions {
        controllers: true,
        ..KubernetesOptions::default()
    };
    let Some(cluster) = Kubernetes::start(options) else {
        return;
    };
    let scene = Scene::new();
    scene.write("chart/Chart.yaml", CHART);
    scene.write("chart/templates/all.yaml", TEMPLATE);
    let admin = cluster.admin();
    scene.configure(&format!(
        "  prod: {{sources: [{{kubernetes: {{kubeconfig: '{}', namespaces: [shop], resources: [configmaps]}}}}]}}\n",
        admin.display()
    ));
    let program = helm.program("helm");
    let run = |arguments: &[&str]| release(&scene, &program, &admin, arguments).done();
    run(&[
        "install",
        "shop",
        "chart",
        "--create-namespace",
        "--set",
        "password=one",
    ]);
    run(&["upgrade", "shop", "chart", "--set", "password=two"]);
    scene.run(&["backup"]).done();

    cluster.ctl(&["delete", "namespace", "shop"]);
    let restored = scene.read(&["restore", "prod", "--yes"]).done();
    assert!(
        restored.text().contains("managed by Helm"),
        "{}",
        restored.text()
    );
    assert!(run(&["status", "shop"]).text().contains("REVISION: 2"));
    assert!(
        run(&["get", "values", "shop"])
            .text()
            .contains("password: two")
    );
    let password = || {
        let path = "jsonpath={.data.password}";
        cluster.ctl(&["get", "secret", "shop-db", "-n", "shop", "-o", path])
    };
    assert_eq!(password(), "dHdv");
    run(&["upgrade", "shop", "chart", "--set", "password=three"]);
    assert_eq!(password(), "dGhyZWU=");
    run(&["rollback", "shop", "1"]);
    assert_eq!(password(), "b25l");
    run(&["uninstall", "shop"]);
    let left = cluster.ctl(&["get", "secrets,configmaps", "-n", "shop", "-o", "name"]);
    assert_eq!(left, "configmap/kube-root-ca.crt\n");
}

/// A chart with what DataRobot's has for its backup.
const DATAROBOT: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: core-credentials, labels: {app.kubernetes.io/instance: {{ .Release.Name }}}}
data: {asymmetrickey: LS0tLS1CRUdJTgr/AA==, drsecurekey: c2VjdXJl, other: ""}
---
apiVersion: v1
kind: Secret
metadata: {name: empty, labels: {app.kubernetes.io/instance: {{ .Release.Name }}}}
---
apiVersion: v1
kind: Secret
metadata: {name: pcs-db, labels: {app.kubernetes.io/instance: pcs}}
data: {b: Yg==, a: YQ==, "a.b": YWI=}
"#;

/// The vendor's commands for `secrets/`, as they stand in its documentation.
const COMMANDS: &str = r#"
set -eu
mkdir -p secrets/dr secrets/pcs secrets/certs
for instance in dr pcs; do
    for name in $(kubectl get secret -n datarobot -l app.kubernetes.io/instance=$instance -o jsonpath='{.items[*].metadata.name}'); do
        kubectl get secret -n datarobot "$name" -o json | jq '{data}' > "secrets/$instance/$name.json"
    done
done
kubectl get secret -n datarobot core-credentials -o jsonpath='{.data.asymmetrickey}' | base64 -d > secrets/ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt
kubectl get secret -n datarobot core-credentials -o jsonpath='{.data.drsecurekey}' | base64 -d > secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt
for name in $(helm get values dr -n datarobot -o json | jq -r '.globals.certs[].secret'); do
    kubectl get secret -n datarobot "$name" -o jsonpath='{.data.*}' > "secrets/certs/$name.crt"
done
"#;

#[test]
fn datarobots_folder_is_what_its_own_commands_make() {
    let Some(helm) = require("helm") else { return };
    let Some(cluster) = Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    if !require_program("jq") {
        return;
    }
    let scene = Scene::new();
    scene.write("chart/Chart.yaml", CHART);
    scene.write("chart/templates/all.yaml", DATAROBOT);
    let admin = cluster.admin();
    scene.configure(&format!(
        "  datarobot: {{sources: [{{kubernetes: {{kubeconfig: '{}', namespaces: [datarobot]}}}}]}}\n",
        admin.display()
    ));
    let create = |arguments: &[&str]| cluster.ctl(&[&["create"], arguments].concat());
    create(&["namespace", "datarobot"]);
    for name in ["rabbit", "mongo", "unrelated"] {
        let value =
            format!("--from-literal={name}/cert.pem=-----BEGIN {name}").replace("/cert", "-cert");
        let mut arguments = vec!["secret", "generic", name, "-n", "datarobot", &value];
        if name == "mongo" {
            arguments.extend(["--from-literal=ca.pem=of all", "--from-literal=empty="]);
        }
        create(&arguments);
    }
    let certs = r#"globals={"certs":[{"secret":"rabbit","path":"rabbit-cert.pem"},{"secret":"mongo","path":"mongo-cert.pem"}]}"#;
    let program = helm.program("helm");
    let home = scene.path("helm");
    let mut install = scene.command(
        &program,
        &[
            "install",
            "dr",
            "chart",
            "-n",
            "datarobot",
            "--set-json",
            certs,
        ],
    );
    Seen::of(
        install
            .env("HELM_CACHE_HOME", &home)
            .env("KUBECONFIG", &admin),
    )
    .done();
    scene.run(&["backup"]).done();

    let kubectl = PathBuf::from(cluster.kubectl().get_program());
    fs::create_dir(scene.path("theirs")).expect("a folder");
    let folders = [program.parent(), kubectl.parent()]
        .map(|folder| folder.expect("it lies in one").to_owned());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
    let mut commands = scene.command(Path::new("sh"), &["-c", COMMANDS]);
    commands
        .current_dir(scene.path("theirs"))
        .env("PATH", path.expect("plain names"))
        .env("HOME", &home)
        .env("KUBECONFIG", &admin);
    if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
        commands.env("LD_LIBRARY_PATH", libraries);
    }
    Seen::of(&mut commands).done();

    let export = ["export", "datarobot", "--layout", "datarobot", "ours/"];
    let said = scene.read(&export).done();
    assert_eq!(said.text(), "datarobot/1: 9 files in ours/\n");
    let mut ours = files(&scene.path("ours"), "secrets");
    // What their commands lose stands beside what they make.
    for name in ["rabbit", "mongo"] {
        let lossless = ours.remove(&format!("secrets/certs/{name}.json"));
        let lossless = lossless.expect("it is there");
        assert!(String::from_utf8_lossy(&lossless).contains("-cert.pem\": \"LS0tLS1CRUdJTi"));
    }
    let mut theirs = files(&scene.path("theirs"), "secrets");
    // The values of several keys, which kubectl prints in no order.
    let mongo = "secrets/certs/mongo.crt";
    let values = |files: &mut BTreeMap<String, Vec<u8>>| {
        let text = files.remove(mongo).expect("it is there");
        let text = String::from_utf8(text).expect("it is base64");
        let mut values: Vec<String> = text.split(' ').map(str::to_owned).collect();
        values.sort();
        values
    };
    let expected = values(&mut theirs);
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert_eq!(values(&mut ours), expected);
    assert_eq!(ours, theirs);
    scene
        .read(&export)
        .refused(17, &["ours/secrets is there already"]);

    cluster.ctl(&["delete", "secret", "mongo", "-n", "datarobot"]);
    scene.run(&["backup"]).done();
    let lacking = ["export", "datarobot", "--layout", "datarobot", "lacking"];
    scene.read(&lacking).refused(
        1,
        &[
            "secrets/datarobot/mongo is not there",
            "takes a certificate from it",
        ],
    );
    assert!(!scene.path("lacking").exists() && !scene.path("lacking.partial").exists());
}

/// The files below a folder, which like the folders in it nobody but their owner may read.
fn files(folder: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder.join(name)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().expect("it is there");
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        if folder.ends_with("ours") {
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
        }
        if metadata.is_dir() {
            found.append(&mut files(folder, &name));
            continue;
        }
        found.insert(name, fs::read(entry.path()).expect("a file"));
    }
    found
}

fn release(scene: &Scene, program: &Path, kubeconfig: &Path, arguments: &[&str]) -> Seen {
    let mut command = scene.command(program, arguments);
    for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(home, scene.path("helm"));
    }
    command.arg("--kubeconfig").arg(kubeconfig);
    Seen::of(command.args(["--namespace", "shop"]))
}
