//! The commands that know Kubernetes, on a real API server: what one of them writes, another tool reads, and the other way round.

use std::fs;
use std::process::{Output, Stdio};

use testkit::{Kubernetes, KubernetesOptions};

use crate::scene::{Scene, text};

const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop, annotations: {note: "two\nlines"}}
stringData: {password: hunter2, empty: ""}
---
apiVersion: v1
kind: Secret
metadata: {name: db-replica, namespace: shop}
---
apiVersion: v1
kind: Secret
metadata: {name: tls, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: /wA=, tls.key: AP8=}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {text: "a: 1\n"}
binaryData: {bytes: /wA=}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: i, envFrom: [{secretRef: {name: db}}, {secretRef: {name: forgotten}}]}
"#;

/// The keys of a DataRobot, as far as their form goes.
const CREDENTIALS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: core-credentials, namespace: shop, labels: {app.kubernetes.io/instance: dr}}
stringData: {asymmetrickey: "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", drsecurekey: hunter2}
"#;

fn scene() -> Option<(Kubernetes, Scene)> {
    let cluster = Kubernetes::start(KubernetesOptions {
        users: vec!["keeper".to_owned()],
        ..KubernetesOptions::default()
    })?;
    cluster.ctl_with(&["apply", "-f", "-"], OBJECTS);
    let scene = Scene::new(&source(&cluster, "admin", "[shop]"));
    Some((cluster, scene))
}

fn source(cluster: &Kubernetes, user: &str, namespaces: &str) -> String {
    let kubeconfig = cluster.kubeconfig(user);
    format!(
        "[{{kubernetes: {{kubeconfig: '{}', namespaces: {namespaces}, resources: [configmaps]}}}}]",
        kubeconfig.display()
    )
}

fn with_identity(scene: &Scene, arguments: &[&str]) -> Output {
    scene.run(&[arguments, &IDENTITY].concat())
}

#[track_caller]
fn ended(output: &Output, status: i32) -> (String, String) {
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{said}\n{complained}");
    (said, complained)
}

#[test]
fn files_beside_a_cluster_are_not_exported_as_its_objects() {
    let Some((cluster, _)) = scene() else {
        return;
    };
    let objects = source(&cluster, "admin", "[shop]");
    let objects = objects.trim_end_matches(']');
    let scene = Scene::new(&format!("{objects}, {{files: {{paths: [shop.yaml]}}}}]"));
    scene.write("shop.yaml", "kind: NoneOfTheClusters\n");
    scene.good(&["backup"]);
    let export = with_identity(&scene, &["export", "prod"]);
    let (manifests, _) = ended(&export, 0);
    assert_eq!(manifests.matches("kind: Secret").count(), 3, "{manifests}");
    assert!(!manifests.contains("NoneOfTheClusters"), "{manifests}");
    // It is there, and no object.
    let file = ["export", "prod", "--only", "files:shop.yaml"];
    let (said, complained) = ended(&with_identity(&scene, &file), 1);
    assert_eq!(said, "");
    let refused = "nothing in prod/1 matches that Kubernetes would take";
    assert!(complained.contains(refused), "{complained}");
}

#[test]
fn what_is_exported_is_applied_and_imported_again() {
    let Some((cluster, scene)) = scene() else {
        return;
    };
    scene.good(&["backup"]);
    let export = with_identity(&scene, &["export", "prod"]);
    let (manifests, _) = ended(&export, 0);
    assert!(
        manifests.contains("kind: Namespace") && manifests.contains("password: \"aHVudGVyMg==\"")
    );
    scene.write("shop.yaml", &manifests);
    scene.good(&["import", "prod", "shop.yaml"]);
    let same = with_identity(&scene, &["diff", "prod/1", "prod/2"]);
    assert_eq!(ended(&same, 0).0, "");

    let exported = |only| {
        let export = with_identity(&scene, &["export", "prod", "--only", only]);
        let (manifests, _) = ended(&export, 0);
        manifests.matches("kind: ").count()
    };
    assert_eq!(
        (exported("secrets/shop/db"), exported("secrets/shop")),
        (1, 3)
    );

    // What kubectl prints of the same objects, in two files.
    let list = |kinds: &str| cluster.ctl(&["get", kinds, "-n", "shop", "-o", "json"]);
    scene.write("list.json", list("secrets,configmaps"));
    scene.write(
        "namespace.json",
        cluster.ctl(&["get", "namespace", "shop", "-o", "json"]),
    );
    let mut command = scene.command(&["import", "prod", "namespace.json", "-", "--json"]);
    command.stdin(Stdio::from(
        fs::File::open(scene.path("list.json")).expect("a file"),
    ));
    let imported = command.output().expect("it runs");
    assert!(ended(&imported, 0).0.contains(r#""snapshot":"prod/3""#));
    let same = with_identity(&scene, &["diff", "prod/1", "prod/3"]);
    assert_eq!(ended(&same, 0).0, "");

    // It is restored like any other, and kubectl takes what was exported.
    cluster.ctl(&["delete", "secret", "db", "-n", "shop"]);
    ended(&with_identity(&scene, &["restore", "prod/3", "--yes"]), 0);
    let password = [
        "get",
        "secret",
        "db",
        "-n",
        "shop",
        "-o",
        "jsonpath={.data.password}",
    ];
    assert_eq!(cluster.ctl(&password), "aHVudGVyMg==");
    cluster.ctl(&["delete", "secrets,configmaps", "--all", "-n", "shop"]);
    cluster.ctl_with(&["apply", "-f", "-"], &manifests);
    let live = with_identity(&scene, &["diff", "prod/1", "live"]);
    let (rows, _) = ended(&live, 4);
    // It notes in annotations what it applied.
    let expected = [
        "~ kubernetes:configmaps/shop/settings  (annotations)",
        "~ kubernetes:namespaces/shop  (content)",
        "~ kubernetes:secrets/shop/db  (annotations)",
        "~ kubernetes:secrets/shop/db-replica  (annotations)",
        "~ kubernetes:secrets/shop/tls  (annotations)",
    ];
    let unexpected: Vec<&str> = rows.lines().filter(|row| !expected.contains(row)).collect();
    assert_eq!(unexpected, Vec::<&str>::new());
}

#[test]
fn what_a_restore_overwrote_or_deleted_is_brought_back() {
    let Some((cluster, scene)) = scene() else {
        return;
    };
    scene.good(&["backup"]);
    let restore = |snapshot: &str, more: &[&str]| {
        let restore = ["restore", snapshot, "--yes", "--conflict", "overwrite"];
        ended(&with_identity(&scene, &[&restore[..], more].concat()), 0).0
    };
    let password = |namespace: &str| {
        let path = "jsonpath={.data.password}";
        cluster.ctl(&["get", "secret", "db", "-n", namespace, "-o", path])
    };
    let change = |namespace: &str| {
        let patch = r#"{"data":{"password":"dHdv"}}"#;
        cluster.ctl(&["patch", "secret", "db", "-n", namespace, "-p", patch])
    };
    change("shop");
    cluster.ctl(&["create", "secret", "generic", "surplus", "-n", "shop"]);
    let printed = restore("prod", &["--prune-extra", "1"]);
    assert!(
        printed.contains("~ secrets/shop/db  (password)"),
        "{printed}"
    );
    assert!(printed.contains("- secrets/shop/surplus"), "{printed}");
    assert_eq!(password("shop"), "aHVudGVyMg==");
    restore("prod.undo/1", &[]);
    assert_eq!(password("shop"), "dHdv");
    cluster.ctl(&["get", "secret", "surplus", "-n", "shop"]);

    // It is agreed to by its number, and --yes is about the rest.
    let wrong = [
        "restore",
        "prod",
        "--yes",
        "--conflict",
        "overwrite",
        "--prune-extra",
        "2",
    ];
    let (_, complained) = ended(&with_identity(&scene, &wrong), 17);
    let words =
        "1 object would be deleted from kubernetes\nhint: look at the plan, then --prune-extra 1";
    assert!(complained.contains(words), "{complained}");
    assert_eq!(password("shop"), "dHdv");
    restore("prod", &[]);
    assert_eq!(password("shop"), "aHVudGVyMg==");
    cluster.ctl(&["get", "secret", "surplus", "-n", "shop"]);

    // Where it was put, and not where it had been.
    let elsewhere = ["--map-namespace", "shop=copy", "--only", "secrets/shop/db"];
    restore("prod", &elsewhere);
    // That one, and none that is called alike.
    let copied = cluster.ctl(&["get", "secrets", "-n", "copy", "-o", "name"]);
    assert_eq!(copied, "secret/db\n");
    change("copy");
    restore("prod", &elsewhere);
    assert_eq!(password("copy"), "aHVudGVyMg==");
    restore("prod.undo", &[]);
    assert_eq!(password("copy"), "dHdv");
}

/// What is mistyped at night is said before anything is written, in words that say what to type.
#[test]
fn what_is_mapped_wrongly_is_refused_as_a_whole() {
    let Some((cluster, scene)) = scene() else {
        return;
    };
    scene.good(&["backup"]);
    cluster.ctl(&["delete", "secrets", "--all", "-n", "shop"]);
    let name = "--map-name";
    let space = "--map-namespace";
    for (arguments, words) in [
        (
            &[name, "secrets/shop/db"][..],
            "--map-name takes KIND/NAMESPACE/A=B, not secrets/shop/db",
        ),
        (&[name, "=x"], "--map-name takes KIND/NAMESPACE/A=B, not =x"),
        (
            &[name, "secrets/shop/db="],
            "--map-name takes KIND/NAMESPACE/A=B, not secrets/shop/db=",
        ),
        (
            &[name, ""],
            "--map-name takes KIND/NAMESPACE/A=B,... and is given nothing",
        ),
        (&[name, "db=x"], "--map-name: db is no object"),
        (
            &[name, "secrets/shop/db=secrets/shop/x"],
            "say secrets/shop/db=x, and --map-namespace for another namespace",
        ),
        (
            &[name, "secrets/shop/db=Db"],
            "--map-name: Db cannot be the name of an object: it has 1 to 253 of a-z",
        ),
        (&[name, "namespaces/shop=x"], "say --map-namespace shop=x"),
        (
            &[name, "secret/shop/db=x"],
            "which is not among what is to be restored: did you mean secrets/shop/db?",
        ),
        (
            &[name, "secrets/shop/d*=x"],
            "it is for one object, and knows no patterns",
        ),
        (
            &[name, "secrets/shop/bd=x"],
            "--map-name renames secrets/shop/bd, which is not among what is to be restored",
        ),
        (
            &[name, "secrets/shop/tls=x", "--only", "secrets/shop/db"],
            "--map-name renames secrets/shop/tls, which is not among what is to be restored",
        ),
        (
            &[name, "secrets/shop/db=x", name, "secrets/shop/tls=x"],
            "two of the objects that are to be restored would become secrets/shop/x",
        ),
        (
            &[name, "secrets/shop/db=tls"],
            "two of the objects that are to be restored would become secrets/shop/tls",
        ),
        (
            &[name, "secrets/shop/db=x,secrets/shop/db=y"],
            "--map-name maps secrets/shop/db twice",
        ),
        (
            &[name, "secrets/shop/db=x", "--prune-extra", "0"],
            "cannot go together with --map-namespace or --map-name",
        ),
        (&[space, "shop"], "--map-namespace takes A=B, not shop"),
        (&[space, "shop="], "--map-namespace takes A=B, not shop="),
        (
            &[space, "shop=Copy"],
            "Copy cannot be the name of a namespace",
        ),
        (
            &[space, "namespaces/shop=copy"],
            "namespaces/shop cannot be the name of a namespace",
        ),
        (
            &[space, "shop=copy,other=copy"],
            "--map-namespace maps two namespaces onto one",
        ),
        (
            &[space, "shpo=copy"],
            "--map-namespace leads out of the namespace shpo, and nothing of what is to be restored lies in it",
        ),
    ] {
        let all = [&["restore", "prod", "--yes"], arguments].concat();
        let (said, complained) = ended(&with_identity(&scene, &all), 2);
        assert_eq!(said, "", "{arguments:?}");
        assert!(complained.contains(words), "{arguments:?}: {complained}");
    }
    let left = cluster.ctl(&["get", "secrets", "-A", "-o", "name"]);
    assert_eq!(left, "", "nothing was written");
}

/// The plan says where everything goes, and what does not follow it there.
#[test]
fn what_is_mapped_is_said_by_the_plan_and_done() {
    let Some((cluster, scene)) = scene() else {
        return;
    };
    scene.good(&["backup"]);
    let mapped = [
        "restore",
        "prod",
        "--only",
        "secrets/shop/db",
        "--only",
        "secrets/shop/tls",
        "--map-name",
        "secrets/shop/db=db-before",
        "--map-namespace",
        "shop=copy",
    ];
    let with = |more: &[&str]| ended(&with_identity(&scene, &[&mapped[..], more].concat()), 0).0;
    let expected = "\
restore prod/1
kubernetes (kubernetes)
  + secrets/shop/db -> secrets/copy/db-before
  + secrets/shop/tls -> secrets/copy/tls
  what refers to secrets/shop/db by its name (pods, service accounts) does not refer to db-before
  2 to create; 11 B to write
";
    assert_eq!(with(&["--dry-run"]), expected);
    let json: serde_json::Value =
        serde_json::from_str(&with(&["--dry-run", "--json"])).expect("JSON");
    let steps = &json["plan"][0]["steps"];
    assert_eq!(steps[0]["name"], "secrets/shop/db");
    assert_eq!(steps[0]["target"], "secrets/copy/db-before");
    with(&["--yes"]);
    let copied = cluster.ctl(&["get", "secrets", "-n", "copy", "-o", "name"]);
    assert_eq!(copied, "secret/db-before\nsecret/tls\n");

    // Something else is in the way by now, and what can be done about it can be done here.
    let patch = r#"{"data":{"password":"dHdv"}}"#;
    cluster.ctl(&["patch", "secret", "db-before", "-n", "copy", "-p", patch]);
    let (said, complained) = ended(
        &with_identity(&scene, &[&mapped[..], &["--yes"]].concat()),
        17,
    );
    assert!(
        said.contains("! secrets/shop/db -> secrets/copy/db-before  (differs in password)"),
        "{said}"
    );
    assert!(
        complained.contains("--map-namespace A=B into another namespace"),
        "{complained}"
    );
    assert!(!complained.contains("--to "), "{complained}");
}

#[test]
fn what_cannot_be_imported_takes_no_snapshot() {
    let scene = Scene::new("[{kubernetes: {kubeconfig: none}}]");
    scene.write("other", b"\xff");
    scene.write("bad.yaml", "a: [hunter2");
    scene.write("bad.json", "{\"a\": hunter2");
    scene.write(
        "not-base64.yaml",
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: n}, data: {k: hunter2!}}",
    );
    scene.write(
        "nowhere.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n",
    );
    scene.write("none.yaml", "# nothing\n---\n");
    for (arguments, status, words) in [
        (&["prod", "missing"][..], 1, "read missing"),
        (&["prod", "other"], 1, "other is not text"),
        (&["prod", "bad.yaml"], 1, "bad.yaml:1:4: this is not YAML"),
        (&["prod", "bad.json"], 1, "bad.json:1:7: this is not JSON"),
        (
            &["prod", "not-base64.yaml"],
            1,
            "Secret s has at the key k what is not base64",
        ),
        (
            &["prod", "nowhere.yaml"],
            1,
            "Secret s names no namespace, and none is given",
        ),
        (&["prod", "none.yaml"], 1, "there is no manifest"),
        (&["prud", "none.yaml"], 2, "did you mean `prod`?"),
        (
            &["prod", "none.yaml", "--source", "x"],
            2,
            "has no source x",
        ),
    ] {
        let output = scene.run(&[&["import"], arguments].concat());
        let (said, complained) = ended(&output, status);
        assert_eq!(said, "");
        assert!(complained.contains(words), "{complained}");
        assert!(!complained.contains("hunter2"), "{complained}");
    }
    scene.good(&["import", "prod", "nowhere.yaml", "--namespace", "n"]);
    scene.configure("[{files: {paths: [x]}}]");
    let (_, complained) = ended(&scene.run(&["import", "prod", "nowhere.yaml"]), 2);
    assert!(
        complained.contains("no source of the kind kubernetes"),
        "{complained}"
    );
    assert!(scene.good(&["snapshots"]).contains("prod/1"));
}

#[test]
fn what_a_restore_would_lack_is_said() {
    let Some((_cluster, scene)) = scene() else {
        return;
    };
    let (said, _) = ended(&scene.run(&["check"]), 3);
    let expected = "! prod kubernetes: deployments.apps/shop/web refers to secrets/shop/forgotten, which does not exist\n";
    assert_eq!(said, expected);
    let (said, _) = ended(&scene.run(&["check", "prod", "--json"]), 3);
    assert!(
        said.starts_with(r#"{"findings":[{"job":"prod","source":"kubernetes","bad":true,"#),
        "{said}"
    );
    ended(&scene.run(&["check", "prud"]), 2);
}

#[test]
fn the_rights_that_are_printed_are_enough() {
    let Some((cluster, scene)) = scene() else {
        return;
    };
    scene.configure(&source(&cluster, "keeper", "[shop]"));
    let (_, complained) = ended(&scene.run(&["backup"]), 16);
    let rule =
        "a Role in namespace shop with {apiGroups: [\"\"], resources: [configmaps], verbs: [list]}";
    assert!(complained.contains(rule), "{complained}");
    let policy = |purpose| {
        scene.good(&[
            "policy",
            "kubernetes",
            "prod",
            "--user",
            "keeper",
            "--purpose",
            purpose,
        ])
    };
    cluster.ctl_with(&["apply", "-f", "-"], &policy("backup"));
    cluster.wait_until_may("keeper", &["list", "secrets", "-n", "shop"]);
    scene.good(&["backup"]);
    cluster.ctl(&["delete", "secret", "db", "-n", "shop"]);
    let restore = ["restore", "prod", "--yes"];
    let (_, complained) = ended(&with_identity(&scene, &restore), 16);
    assert!(
        complained.contains("this user may not get configmaps"),
        "{complained}"
    );
    cluster.ctl_with(&["apply", "-f", "-"], &policy("restore"));
    cluster.wait_until_may("keeper", &["create", "secrets", "-n", "shop"]);
    ended(&with_identity(&scene, &restore), 0);
    ended(
        &scene.run(&["policy", "kubernetes", "prod", "--source", "x"]),
        2,
    );
    ended(
        &scene.run(&["policy", "kubernetes", "prod", "--service-account", "x"]),
        2,
    );
}

const POLICY: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: p}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}]
  validations: [{expression: "!(object.metadata.name in ['db-replica', 'probe'])", message: not here}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: p}
spec: {policyName: p, validationActions: [Deny]}
"#;

#[test]
fn a_part_of_a_restore_or_a_backup_says_so() {
    let Some((cluster, scene)) = scene() else {
        return;
    };
    scene.good(&["backup"]);
    cluster.ctl_with(&["apply", "-f", "-"], POLICY);
    cluster.ctl(&["delete", "secrets", "--all", "-n", "shop"]);
    let probe = [
        "create",
        "secret",
        "generic",
        "probe",
        "-n",
        "shop",
        "--dry-run=server",
    ];
    cluster.wait_until("the policy is in force", |it| {
        it.try_ctl(&probe, "").1.contains("not here")
    });
    let restore = ["restore", "prod", "--yes"];
    let (said, complained) = ended(&with_identity(&scene, &restore), 3);
    let both = format!("{said}{complained}");
    assert!(both.contains("secrets/shop/db-replica"), "{both}");
    assert!(
        both.contains("the server refuses it") && both.contains("not here"),
        "{both}"
    );
    let there = || cluster.ctl(&["get", "secrets", "-n", "shop", "-o", "name"]);
    assert_eq!(there(), "secret/db\nsecret/tls\n");
    cluster.ctl_with(&["delete", "-f", "-"], POLICY);
    cluster.wait_until("the policy is gone", |it| it.try_ctl(&probe, "").0);
    ended(&with_identity(&scene, &restore), 0);
    assert_eq!(there(), "secret/db\nsecret/db-replica\nsecret/tls\n");

    // With rights in one of two namespaces.
    let rights = ["policy", "kubernetes", "prod", "--user", "keeper"];
    cluster.ctl_with(&["apply", "-f", "-"], &scene.good(&rights));
    cluster.wait_until_may("keeper", &["list", "secrets", "-n", "shop"]);
    cluster.ctl(&["create", "namespace", "other"]);
    cluster.ctl_with(&["apply", "-f", "-"], CREDENTIALS);
    scene.configure(&source(&cluster, "keeper", "[shop, other]"));
    let (_, complained) = ended(&scene.run(&["backup"]), 1);
    let rule =
        "a Role in namespace other with {apiGroups: [\"\"], resources: [secrets], verbs: [list]}";
    for words in [
        rule,
        "so nothing was kept",
        "this user may not get namespaces other",
    ] {
        assert!(complained.contains(words), "{complained}");
    }
    let (said, complained) = ended(&scene.run(&["backup", "--allow-partial"]), 3);
    assert!(said.contains("PARTIAL"), "{said}{complained}");
    let shown = ended(&with_identity(&scene, &["show", "prod", "--json"]), 0).0;
    assert!(
        shown.contains("secrets/other/*") && shown.contains("secrets/shop/db"),
        "{shown}"
    );
    scene.configure(&source(&cluster, "admin", "[shop, other]"));
    // Whoever restores all of it is told what it does not have; whoever restores one of those that it has, is not.
    let (said, _) = ended(&with_identity(&scene, &["restore", "prod", "--yes"]), 3);
    let missing = "? secrets/other/*  (missing: ";
    assert!(said.contains(missing) && said.contains(rule), "{said}");
    let (said, complained) = ended(&with_identity(&scene, &["export", "prod"]), 3);
    let missing = "configmaps/other/* of prod/2 is missing: ";
    assert!(said.contains("name: db"), "{said}");
    assert!(complained.contains(missing), "{complained}");
    for one in [&["restore", "prod", "--yes"][..], &["export", "prod"]] {
        let one = [one, &["--only", "secrets/shop/db"]].concat();
        let (said, complained) = ended(&with_identity(&scene, &one), 0);
        assert!(!said.contains("missing"), "{said}");
        // A pattern might have meant what could not be listed.
        let notes = complained.contains("what else is missing");
        assert_eq!(notes, one[0] == "restore", "{complained}");
    }

    // DataRobot's forms are made of what is there.
    let layout = ["export", "prod", "--layout", "datarobot", "made"];
    let (_, complained) = ended(&with_identity(&scene, &layout), 3);
    assert!(complained.contains(missing), "{complained}");
    let made = scene.path("made/secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt");
    assert_eq!(fs::read_to_string(made).expect("a file"), "hunter2");
    let values = ["export", "prod", "--format", "datarobot-values"];
    let (said, complained) = ended(&with_identity(&scene, &values), 3);
    assert!(complained.contains(missing), "{complained}");
    assert!(
        said.contains("hunter2") || said.contains("aHVudGVyMg=="),
        "{said}"
    );
}
