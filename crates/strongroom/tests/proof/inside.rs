//! One Secret out of an etcd snapshot, offline, through encryption at rest: compared with the API server's own answers.

use testkit::{EtcdOptions, Kubernetes, KubernetesOptions, require_program};

use crate::cluster::{CLUSTER, shown};
use crate::scene::Scene;

const SECRETBOX: &str = "[secretbox: {keys: [{name: s, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}, identity: {}]";
/// What was written first stays readable, and three providers have written in the end, one of them with what is its second key then.
const THREE: &str = "[aescbc: {keys: [{name: c, secret: QUJDREVGR0hJSktMTU5PUA==}]}, \
    secretbox: {keys: [{name: s, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}, \
    aesgcm: {keys: [{name: g1, secret: MDEyMzQ1Njc4OWFiY2RlZg==}, {name: g2, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}]}, identity: {}]";
const GCM_FIRST: &str = "[aesgcm: {keys: [{name: g2, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}, {name: g1, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}, \
    secretbox: {keys: [{name: s, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}, identity: {}]";
const WRONG: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  \
    - secretbox: {keys: [{name: s, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}]}\n  - aescbc: {keys: [{name: c, secret: UE9OTUxLSklIR0ZFRENCQQ==}]}\n";
const WIDGETS: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  \
    scope: Namespaced\n  names: {plural: widgets, singular: widget, kind: Widget}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    \
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n";
const WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop, labels: {a: b}}\nspec: {size: 3}\n";
const INSIDE: [&str; 3] = ["--inside", "--encryption-config", "encryption.yaml"];

struct World {
    cluster: Kubernetes,
    scene: Scene,
}

/// What is taken out of it does not pass for all that was chosen.
fn what_cannot_be_opened_is_not_passed_over(world: &World, far: &str) {
    let World { cluster, scene } = world;
    // The API server lists none as long as there is one that it cannot read.
    for name in ["far", "old", "strange", "noise"] {
        let key = format!("/registry/secrets/shop/{name}");
        cluster.etcd().ctl(&["del", &key]);
    }
    cluster.wait_until("Secrets are listed", |it| {
        it.try_ctl(&["get", "secrets", "-n", "shop"], "").0
    });
    cluster.ctl(&["delete", "secret", "gcm", "-n", "shop"]);
    let restore = ["restore", "etcd", "--yes", "--only"];
    let seen = world.inside(&[&restore[..], &["secrets/shop/{gcm,far}"]].concat());
    let text = seen.ended(3).text();
    for words in ["+ secrets/shop/gcm", "1 that cannot be restored here"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(
        text.contains(&format!("? secrets/shop/far  (missing: {far}")),
        "{text}"
    );
    cluster.ctl(&["get", "secret", "gcm", "-n", "shop"]);

    let none = world.inside(&[&restore[..], &["secrets/shop/far", "--json"]].concat());
    let answer = none.ended(3).json();
    let step = &answer["plan"][0]["steps"][0];
    assert_eq!(step["name"], "secrets/shop/far", "{answer}");
    assert!(
        step["reason"].as_str().is_some_and(|it| it.contains(far)),
        "{answer}"
    );
    assert_eq!(answer["plan"][0]["unmanageable"], 1, "{answer}");

    // Without the keys it is not as if it had never been there.
    let closed = scene.read(&[&restore[..], &["secrets/shop/gcm", "--inside"]].concat());
    let text = closed.ended(3).text();
    assert!(
        text.contains("encrypted at rest with the key g2 (aesgcm)"),
        "{text}"
    );
    world
        .inside(&["restore", "etcd", "--yes", "--prune-extra", "0"])
        .refused(
            2,
            &["--prune-extra would delete what is only missing in etcd"],
        );
    world
        .inside(&["export", "etcd", "--only", "secrets/shop/far"])
        .failed(3, &["secrets/shop/far of etcd", far]);
}

impl World {
    /// A cluster with Secrets made to hurt, not encrypted at first and then in three ways one after the other, over an etcd with TLS that asks
    /// for certificates; and two jobs: its etcd, and its API.
    fn new() -> Option<Self> {
        if !require_program("python3") {
            return None;
        }
        let mut cluster = Kubernetes::start(KubernetesOptions {
            controllers: true,
            etcd: EtcdOptions {
                tls: true,
                ..EtcdOptions::default()
            },
            ..KubernetesOptions::default()
        })?;
        cluster.ctl(&["create", "namespace", "open"]);
        literal(&cluster, "open", "plain", "as it is");
        cluster.encrypt_with(SECRETBOX);
        CLUSTER.run(&["seed", &cluster.url(), shown(cluster.authority()), "120"]);
        cluster.ctl_with(&["create", "-f", "-"], WIDGETS);
        cluster.wait_until("widgets are served", |it| {
            it.try_ctl(&["apply", "--server-side", "-f", "-"], WIDGET).0
        });
        cluster.encrypt_with(GCM_FIRST);
        literal(&cluster, "shop", "gcm", "sealed by g2");
        cluster.encrypt_with(THREE);
        literal(&cluster, "shop", "cbc", "sealed by c");
        let scene = Scene::new();
        std::fs::copy(cluster.encryption(), scene.path("encryption.yaml")).expect("a copy");
        scene.write("wrong.yaml", WRONG);
        let certificates = cluster.etcd().certificates();
        scene.configure(&format!(
            "  etcd: {{sources: [{{etcd: {{endpoints: ['{}'], tls: {{ca: '{}', cert: '{}', key: '{}'}}}}}}]}}\n  \
             api: {{sources: [{{kubernetes: {{kubeconfig: '{}', resources: [configmaps, serviceaccounts, widgets.example.com]}}}}]}}\n",
            cluster.etcd().endpoint(),
            shown(&certificates.authority),
            shown(&certificates.client.certificate),
            shown(&certificates.client.key),
            shown(&cluster.admin())
        ));
        Some(Self { cluster, scene })
    }

    fn inside(&self, arguments: &[&str]) -> crate::scene::Seen {
        self.scene.read(&[arguments, &INSIDE].concat())
    }
}

fn literal(cluster: &Kubernetes, namespace: &str, name: &str, value: &str) {
    let value = format!("--from-literal=password={value}");
    cluster.ctl(&["create", "secret", "generic", name, "-n", namespace, &value]);
}

#[test]
fn what_lies_in_an_etcd_snapshot_is_what_the_api_server_says() {
    let Some(World { cluster, scene }) = World::new() else {
        return;
    };
    let world = World { cluster, scene };
    let World { cluster, scene } = &world;
    scene.run(&["backup"]).done();

    // Every object, key by key, and nothing else of these kinds and namespaces.
    let same = world.inside(&["diff", "etcd", "live"]).done();
    assert!(
        same.stderr.contains("0 added, 0 removed, 0 changed\n"),
        "{}",
        same.stderr
    );
    let rows = |seen: crate::scene::Seen| {
        let mut rows = seen.done().json()["entries"]
            .as_array()
            .expect("a list")
            .clone();
        rows.retain(|row| row["source"] == "kubernetes");
        rows
    };
    let kinds = [
        "secrets/**",
        "configmaps/**",
        "serviceaccounts/**",
        "namespaces/*",
        "widgets.example.com/**",
    ];
    let only: Vec<&str> = kinds.iter().flat_map(|kind| ["--only", *kind]).collect();
    let inside = rows(world.inside(&[&["show", "etcd", "--json"], &only[..]].concat()));
    let api = rows(scene.read(&["show", "api", "--json"]));
    assert!(inside.len() > 120, "{} objects", inside.len());
    assert_eq!(inside, api);

    for (entry, begins, value) in [
        ("secrets/shop/gcm", "k8s:enc:aesgcm:v1:g2:", "sealed by g2"),
        ("secrets/shop/cbc", "k8s:enc:aescbc:v1:c:", "sealed by c"),
        ("secrets/open/plain", "k8s\0", "as it is"),
    ] {
        let stored = format!("etcd:/registry/{entry}");
        let stored = world.inside(&["cat", "etcd", &stored]).done().stdout;
        assert!(stored.starts_with(begins.as_bytes()), "{entry}");
        let entry = entry.to_owned();
        let got = world.inside(&["get", "etcd", &entry, "password"]).done();
        assert_eq!(got.text(), value);
    }

    // Lost in the cluster, and back from etcd's snapshot by the same plan as from the API's own.
    let file = |name: &str| scene.path(name).to_str().expect("a plain name").to_owned();
    let kubectl = cluster
        .kubectl()
        .get_program()
        .to_str()
        .expect("a plain name")
        .to_owned();
    let admin = cluster.admin();
    let see = |name: &str| CLUSTER.run(&["see", &kubectl, shown(&admin), &file(name)]);
    see("before");
    cluster.ctl(&["delete", "secrets", "-n", "shop", "--all"]);
    cluster.ctl(&["delete", "widget", "w", "-n", "shop"]);
    let one = world
        .inside(&["restore", "etcd", "--only", "secrets/shop/gcm", "--yes"])
        .done();
    assert!(one.text().contains("1 to create"), "{}", one.text());
    assert_eq!(
        cluster.ctl(&["get", "secrets", "-n", "shop", "-o", "name"]),
        "secret/gcm\n"
    );
    world
        .inside(&["restore", "etcd", "--only", "*/shop/**", "--yes"])
        .done();
    see("after");
    CLUSTER.run(&["same", &file("before"), &file("after")]);
    cluster.ctl(&["get", "widget", "w", "-n", "shop"]);

    // Past the API server, as etcd has it, encrypted: it serves what it finds.
    cluster.ctl(&["delete", "secret", "gcm", "-n", "shop"]);
    let key = [
        "restore",
        "etcd",
        "--only",
        "/registry/secrets/shop/gcm",
        "--inside",
        "--yes",
    ];
    let refused = scene.read(&key).ended(3).text();
    assert!(refused.contains("--api-server-keys"), "{refused}");
    let past = scene.read(&[&key[..], &["--api-server-keys"]].concat());
    assert!(past.done().text().contains("1 entry written"));
    let path = "jsonpath={.data.password}";
    let found = ["get", "secret", "gcm", "-n", "shop", "-o", path];
    assert_eq!(cluster.ctl(&found), "c2VhbGVkIGJ5IGcy");

    // Over what was changed since, with what was there kept, and brought back from there.
    cluster.ctl(&[
        "patch",
        "secret",
        "cbc",
        "-n",
        "shop",
        "-p",
        r#"{"stringData":{"password":"new"}}"#,
    ]);
    let one = ["restore", "etcd", "--only", "secrets/shop/cbc", "--yes"];
    world.inside(&one).failed(17, &["1 entry is in the way"]);
    let over = world
        .inside(&[&one[..], &["--conflict", "overwrite"]].concat())
        .done();
    assert!(
        over.stderr.contains("kept as etcd.undo/"),
        "{}",
        over.stderr
    );
    let password = || {
        cluster.ctl(&[
            "get",
            "secret",
            "cbc",
            "-n",
            "shop",
            "-o",
            "jsonpath={.data.password}",
        ])
    };
    assert_eq!(password(), "c2VhbGVkIGJ5IGM=");
    scene
        .read(&["restore", "etcd.undo", "--conflict", "overwrite", "--yes"])
        .done();
    assert_eq!(password(), "bmV3");
}

#[test]
fn what_cannot_be_opened_is_named_and_the_rest_is_there() {
    let Some(world) = World::new() else { return };
    let World { cluster, scene } = &world;
    let etcd = cluster.etcd();
    etcd.put(
        "/registry/secrets/shop/far",
        b"k8s:enc:kms:v2:vault-kms:\x01\x02",
    );
    etcd.put("/registry/secrets/shop/old", b"k8s:enc:kms:v1:old-kms:\x01");
    etcd.put("/registry/secrets/shop/strange", b"k8s:enc:rot13:v1:k:zzz");
    etcd.put("/registry/secrets/shop/noise", b"k8s\0\xff\xff\xff");
    etcd.put("/other/key", b"a value");
    let revision: serde_json::Value =
        serde_json::from_str(&etcd.ctl(&["get", "x", "-w", "json"])).expect("JSON");
    let revision = revision["header"]["revision"].to_string();
    etcd.ctl(&["compaction", &revision]);
    cluster.ctl(&["delete", "secret", "cbc", "-n", "shop"]);
    scene.run(&["backup", "etcd"]).done();

    // As it was before it was deleted.
    world
        .inside(&["get", "etcd", "secrets/shop/cbc", "password"])
        .refused(1, &["has no entry"]);
    let before = world.inside(&[
        "get",
        "etcd",
        "secrets/shop/cbc",
        "password",
        "--revision",
        &revision,
    ]);
    assert_eq!(before.done().text(), "sealed by c");
    world
        .inside(&["show", "etcd", "--revision", "1"])
        .refused(1, &["revision 1", "compacted"]);
    world
        .inside(&["show", "etcd", "--revision", "99999999"])
        .refused(1, &["newer"]);

    let far = "the KMS provider vault-kms (v2) holds the key";
    let strange = "not known here (k8s:enc:rot13:v1:k:zzz)";
    for (name, words) in [
        ("far", far),
        ("old", "the KMS provider old-kms (v1) holds the key"),
        ("strange", strange),
        ("noise", "cannot be understood"),
    ] {
        let entry = format!("secrets/shop/{name}");
        world
            .inside(&["get", "etcd", &entry])
            .refused(1, &[&entry, words]);
    }
    let shown = world
        .inside(&["show", "etcd", "--only", "secrets/shop/*"])
        .done();
    assert!(
        shown.text().contains("secrets/shop/gcm"),
        "{}",
        shown.text()
    );
    assert!(
        shown.stderr.contains(far) && shown.stderr.contains("PARTIAL"),
        "{}",
        shown.stderr
    );

    what_cannot_be_opened_is_not_passed_over(&world, far);

    // Keys that are no objects are entries of their own names.
    let raw = world.inside(&["get", "etcd", "/other/key"]).done();
    assert_eq!(raw.text(), "a value");
    let class = world
        .inside(&[
            "cat",
            "etcd",
            "etcd:/registry/priorityclasses/system-node-critical",
        ])
        .done();
    assert!(class.stdout.starts_with(b"k8s\0"), "as it is stored");

    // Without the keys, with others, with what is no such file.
    let get = ["get", "etcd", "secrets/shop/gcm", "--inside"];
    scene.read(&get).refused(
        1,
        &[
            "encrypted at rest with the key g2 (aesgcm)",
            "--encryption-config",
        ],
    );
    let with = |file: &str| scene.read(&[&get[..], &["--encryption-config", file]].concat());
    with("wrong.yaml").refused(1, &["g2 (aesgcm)", "does not have"]);
    let wrong = scene.read(&[
        "show",
        "etcd",
        "--inside",
        "--encryption-config",
        "wrong.yaml",
        "--only",
        "secrets/**",
    ]);
    assert!(
        wrong
            .done()
            .stderr
            .contains("the key s (secretbox) of the EncryptionConfiguration does not open it")
    );
    with("strongroom.yaml").refused(2, &["strongroom.yaml cannot be read"]);
    with("missing.yaml").refused(1, &["missing.yaml"]);
    scene
        .read(&["show", "api", "--inside"])
        .failed(1, &["has no job api"]);
}
