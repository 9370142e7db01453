//! A cluster that lost its namespaces gets them back, as kubectl sees them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_source::kubernetes::{Access, Kubernetes, manifest};
use strongroom_source::suite::{self, Archive, plan};
use strongroom_source::{Action, Conflict, Error, Report, Source};
use testkit::KubernetesOptions;

use crate::busy::restore_held;
use crate::capture::many;
use crate::objects::{KINDS, KUBECTL_KINDS, create, everything, secret};
use crate::{action, assert_same, capture, options, restore, seen, settings, source};

const NAMESPACES: [&str; 2] = ["prod", "prod-b"];

fn everything_of(cluster: &testkit::Kubernetes, namespaces: &[&str]) -> Kubernetes {
    let mut options = options(cluster, namespaces);
    options.resources = KINDS.map(str::to_owned).to_vec();
    Kubernetes::new(options)
}

fn lose(cluster: &testkit::Kubernetes, namespace: &str) {
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    cluster.ctl(&["patch", "secret", "decorated", "-n", namespace, "-p", patch]);
    cluster.ctl(&["delete", "namespace", namespace]);
}

/// What the cluster's controllers have put into the token's Secret by now.
fn token(cluster: &testkit::Kubernetes) -> String {
    let path = "jsonpath={.data.token}";
    let arguments = ["get", "secret", "robot-token", "-n", "prod", "-o", path];
    cluster.try_ctl(&arguments, "").1
}

/// The cluster makes a token anew, and another one.
fn without_token(mut objects: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let token = objects.get_mut("Secret/prod/robot-token");
    let token = token.expect("it is there");
    token["data"] = Value::Null;
    let annotations = token["metadata"]["annotations"].as_object_mut();
    let annotations = annotations.expect("it has some");
    annotations.remove("kubernetes.io/service-account.uid");
    objects
}

/// What was refused, but for what the controllers put into every namespace as soon as it is there.
fn refused(report: &Report) -> Vec<String> {
    let refused = report.failed.iter();
    let refused = refused.map(|(name, reason)| format!("{name}: {reason}"));
    let racing = |it: &String| it.contains("/default: ") || it.contains("/kube-root-ca.crt: ");
    refused.filter(|it| !racing(it)).collect()
}

#[tokio::test]
async fn namespaces_that_were_lost_come_back() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        controllers: true,
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    let objects = NAMESPACES.iter().flat_map(|name| everything(name));
    let mut objects: Vec<Value> = objects.collect();
    let kind = "kubernetes.io/service-account-token";
    let mut robot = secret("prod", "robot-token", kind, &[]);
    robot["metadata"]["annotations"] =
        json!({"kubernetes.io/service-account.name": "robot", "n": "1"});
    objects.push(robot);
    create(&cluster, &NAMESPACES, objects);
    cluster.wait_until("a token is made", |it| token(it).starts_with("ZXl"));
    let source = everything_of(&cluster, &NAMESPACES);
    let archive = capture(&source).await;
    let labels = || {
        let path = "jsonpath={.metadata.labels}";
        cluster.ctl(&["get", "namespaces", "prod", "-o", path])
    };
    let (before, labels_before) = (seen(&cluster, KUBECTL_KINDS, &NAMESPACES), labels());
    let old = token(&cluster);
    for namespace in NAMESPACES {
        lose(&cluster, namespace);
    }

    let overwrite = settings(Conflict::Overwrite, &[]);
    let (_, report) = restore(&source, &archive, &overwrite).await;
    assert_eq!(refused(&report), Vec::<String>::new());
    cluster.wait_until("another token is made", |it| token(it).starts_with("ZXl"));
    assert_ne!(token(&cluster), old, "a token is the cluster's to make");
    let after = seen(&cluster, KUBECTL_KINDS, &NAMESPACES);
    assert_same(&without_token(before.clone()), &without_token(after));
    assert_eq!(labels(), labels_before);
    // Nothing is left to do, the token included.
    let again = plan(&source, &archive, &settings(Conflict::Fail, &[])).await;
    let left = again.steps.iter().filter(|it| it.action != Action::Same);
    assert_eq!(left.collect::<Vec<_>>(), Vec::<&_>::new());

    a_token_without_its_account(&cluster, &archive).await;
    come_back_elsewhere(&cluster, &archive, before).await;
}

/// The cluster would delete it a moment after it was written: that is no restore.
async fn a_token_without_its_account(cluster: &testkit::Kubernetes, archive: &Archive) {
    let source = everything_of(cluster, &NAMESPACES);
    let elsewhere = settings(Conflict::Fail, &[("map-namespace", "prod=dawn")]);
    let (token, account) = ("secrets/prod/robot-token", "serviceaccounts/prod/robot");
    let alone = archive.only(|entry| entry.name.to_string() == token);
    let (_, report) = restore(&source, &alone, &elsewhere).await;
    let reason = "its account serviceaccounts/dawn/robot is not there, and the cluster deletes a token without one: restore the account, or create it";
    assert_eq!(report.written, 0);
    assert_eq!(report.failed, [(token.into(), reason.to_owned())]);
    let both = archive.only(|entry| [token, account].contains(&entry.name.to_string().as_str()));
    let (_, report) = restore(&source, &both, &elsewhere).await;
    assert_eq!((report.written, report.failed), (2, vec![]));
    let path = "jsonpath={.data.token}";
    let arguments = ["get", "secret", "robot-token", "-n", "dawn", "-o", path];
    cluster.wait_until("the account there gets its token", |it| {
        it.try_ctl(&arguments, "").1.starts_with("ZXl")
    });
}

/// The same again, where nothing is.
async fn come_back_elsewhere(
    cluster: &testkit::Kubernetes,
    archive: &Archive,
    before: BTreeMap<String, Value>,
) {
    let source = everything_of(cluster, &NAMESPACES);
    let archive = archive.only(|entry| entry.name.to_string().contains("/prod-b"));
    let elsewhere = settings(Conflict::Fail, &[("map-namespace", "prod-b=stage")]);
    let (_, report) = restore(&source, &archive, &elsewhere).await;
    assert_eq!(refused(&report), Vec::<String>::new());
    let moved = seen(cluster, KUBECTL_KINDS, &["stage"]);
    let moved = moved.into_iter().map(|(name, mut object)| {
        object["metadata"]["namespace"] = "prod-b".into();
        (name.replace("/stage/", "/prod-b/"), object)
    });
    let expected = before.into_iter();
    let expected = expected.filter(|(name, _)| name.contains("/prod-b/"));
    assert_same(&expected.collect(), &moved.collect());
    let path = "jsonpath={.metadata.labels.team}";
    let team = cluster.ctl(&["get", "namespaces", "stage", "-o", path]);
    assert_eq!(team, "a");
    come_back_by_another_name(cluster, &archive).await;
}

/// Two change their names, one to stand before all others and one behind, and the others are there.
async fn come_back_by_another_name(cluster: &testkit::Kubernetes, archive: &Archive) {
    let source = everything_of(cluster, &NAMESPACES);
    let renamed = settings(
        Conflict::Fail,
        &[
            ("map-namespace", "prod-b=stage"),
            (
                "map-name",
                "secrets/prod-b/tls=aa-tls,secrets/prod-b/basic=zz-basic",
            ),
        ],
    );
    let (plan, report) = restore(&source, archive, &renamed).await;
    assert_eq!(refused(&report), Vec::<String>::new());
    let made = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Create);
    let made: Vec<String> = made.map(|step| step.name.to_string()).collect();
    assert_eq!(made, ["secrets/prod-b/basic", "secrets/prod-b/tls"]);
    assert!(
        plan.steps
            .iter()
            .filter(|step| step.action == Action::Same)
            .count()
            > 10
    );
    let now = seen(cluster, KUBECTL_KINDS, &["stage"]);
    for (name, other) in [("tls", "aa-tls"), ("basic", "zz-basic")] {
        let mut copy = now[&format!("Secret/stage/{other}")].clone();
        copy["metadata"]["name"] = name.into();
        assert_eq!(copy, now[&format!("Secret/stage/{name}")]);
    }
    let again = suite::plan(&source, archive, &renamed).await;
    assert!(
        again.steps.iter().all(|step| step.action == Action::Same),
        "{again:?}"
    );

    // What is not there was mistyped, and two do not become one.
    for (names, reason) in [
        (
            "secrets/prod-b/tsl=x",
            "is not among what is to be restored",
        ),
        (
            "secrets/prod-b/tls=basic",
            "would become secrets/prod-b/basic",
        ),
    ] {
        let wrong = settings(Conflict::Fail, &[("map-name", names)]);
        let error = source.plan(&mut archive.entries(), &wrong).await;
        let error = error.expect_err(names).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn owners_are_found_again_or_forgotten() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        controllers: true,
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "owner"},
    });
    create(&cluster, &["a"], vec![owner.clone()]);
    let on = |arguments: &[&str]| cluster.ctl(&[arguments, &["-n", "a"]].concat());
    let uid = || {
        on(&[
            "get",
            "configmap",
            "owner",
            "-o",
            "jsonpath={.metadata.uid}",
        ])
    };
    let mut owned = secret("a", "owned", "Opaque", &[("k", b"v")]);
    let reference =
        |uid: &str| json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]);
    let old = uid();
    owned["metadata"]["ownerReferences"] = reference(&old);
    create(&cluster, &[], vec![owned]);
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;
    let archive = archive.only(|entry| entry.name.to_string() == "secrets/a/owned");
    let owners = || {
        let owners = on(&[
            "get",
            "secret",
            "owned",
            "-o",
            "jsonpath={.metadata.ownerReferences}",
        ]);
        serde_json::from_str::<Value>(&owners).unwrap_or_default()
    };

    on(&["delete", "configmap", "owner"]);
    cluster.wait_until("what it owned goes too", |it| {
        !it.try_ctl(&["get", "secret", "owned", "-n", "a"], "").0
    });
    let (_, report) = restore(&source, &archive, &settings(Conflict::Fail, &[])).await;
    assert_eq!(report.written, 1, "{report:?}");
    assert!(
        report.notes[0].contains("its owner ConfigMap owner is not there"),
        "{report:?}"
    );
    assert_eq!(owners(), Value::Null);

    create(&cluster, &[], vec![owner]);
    on(&["delete", "secret", "owned"]);
    let (_, report) = restore(&source, &archive, &settings(Conflict::Fail, &[])).await;
    assert_eq!((report.written, &report.notes), (1, &vec![]));
    assert_ne!(uid(), old);
    assert_eq!(owners(), reference(&uid()));
    let again = plan(&source, &archive, &settings(Conflict::Fail, &[])).await;
    assert_eq!(*action(&again, "secrets/a/owned"), Action::Same);

    on(&["delete", "secret", "owned"]);
    let drop = settings(Conflict::Fail, &[("owners", "drop")]);
    restore(&source, &archive, &drop).await;
    assert_eq!(owners(), Value::Null);

    // As they were captured, and not as they would be found.
    on(&["delete", "secret", "owned"]);
    let lookup = settings(Conflict::Fail, &[]);
    restore(&source, &archive, &lookup).await;
    let later = capture(&source).await;
    let later = later.only(|entry| entry.name.to_string() == "secrets/a/owned");
    let keep = settings(Conflict::Fail, &[("owners", "keep")]);
    let of_the_dead = suite::plan(&source, &archive, &keep).await;
    assert!(
        matches!(
            action(&of_the_dead, "secrets/a/owned"),
            Action::Conflict { .. }
        ),
        "{of_the_dead:?}"
    );
    on(&["delete", "secret", "owned"]);
    let (_, report) = restore(&source, &later, &keep).await;
    assert_eq!((report.written, report.failed), (1, vec![]));
    assert_eq!(owners(), reference(&uid()));
}

/// Whoever applies fields from the server's side is told of a conflict if others hold them, and must not be after a restore.
#[tokio::test]
async fn those_who_apply_go_on_as_if_nothing_had_happened() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["a"], vec![]);
    let apply = |value: &str| {
        let object = secret("a", "applied", "Opaque", &[("k", value.as_bytes())]).to_string();
        let arguments = ["apply", "--server-side", "--field-manager=helm", "-f", "-"];
        cluster.ctl_with(&arguments, &object)
    };
    apply("1");
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;
    cluster.ctl(&["delete", "secret", "applied", "-n", "a"]);
    let (_, report) = restore(&source, &archive, &settings(Conflict::Fail, &[])).await;
    assert_eq!((report.written, &report.notes), (1, &vec![]));
    archive.assert_equals(&capture(&source).await);
    apply("2");
    let (_, report) = restore(&source, &archive, &settings(Conflict::Overwrite, &[])).await;
    assert_eq!((report.written, &report.notes), (1, &vec![]));
    apply("3");
}

/// A server with too much to do says 429, and when to come back.
#[tokio::test]
async fn a_server_that_is_too_busy_is_given_the_time_that_it_asks_for() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        users: vec!["restorer".to_owned()],
        // Administrators are let through whatever there is to do.
        arguments: vec![
            "--enable-priority-and-fairness=false".to_owned(),
            "--max-mutating-requests-inflight=1".to_owned(),
            "--max-requests-inflight=2".to_owned(),
        ],
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    create(&cluster, &["a"], vec![]);
    let everything = [
        "create",
        "clusterrolebinding",
        "all",
        "--clusterrole=cluster-admin",
        "--user=restorer",
    ];
    cluster.ctl(&everything);
    cluster.wait_until_may("restorer", &["create", "secrets", "-n", "a"]);
    let mut options = options(&cluster, &["a"]);
    options.namespace_objects = false;
    options.access = Access::Kubeconfig {
        files: vec![cluster.kubeconfig("restorer")],
        context: None,
    };
    let archive = many(&["a"], 300, 2000);
    let (_, report) = restore(
        &Kubernetes::new(options),
        &archive,
        &settings(Conflict::Fail, &[]),
    )
    .await;
    assert_eq!((report.written, report.failed), (300, vec![]));
    let metrics = cluster.ctl(&["get", "--raw", "/metrics"]);
    let refused =
        |line: &&str| line.starts_with("apiserver_request_total") && line.contains("code=\"429\"");
    assert!(
        metrics.lines().any(|line| refused(&line)),
        "it was never too busy"
    );
}

/// Whoever writes an object again after the restore is named in the plan.
#[tokio::test]
async fn who_writes_over_it_afterwards_is_said() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let owned = |name: &str, version: &str, kind: &str| {
        let mut owned = secret("a", name, "Opaque", &[("k", b"v")]);
        owned["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": "o", "uid": "u"}]);
        owned
    };
    let marked = |name: &str, field: &str, key: &str, value: &str| {
        let mut marked = secret("a", name, "Opaque", &[("k", b"v")]);
        marked["metadata"][field][key] = value.into();
        marked
    };
    let objects = vec![
        owned("external", "external-secrets.io/v1", "ExternalSecret"),
        owned("sealed", "bitnami.com/v1alpha1", "SealedSecret"),
        marked(
            "issued",
            "annotations",
            "cert-manager.io/certificate-name",
            "c",
        ),
        marked("chart", "labels", "app.kubernetes.io/managed-by", "Helm"),
        marked("chart-b", "labels", "app.kubernetes.io/managed-by", "Helm"),
        marked("argo", "annotations", "argocd.argoproj.io/tracking-id", "t"),
        marked("flux", "labels", "kustomize.toolkit.fluxcd.io/name", "n"),
        secret("a", "nobodys", "Opaque", &[("k", b"v")]),
    ];
    create(&cluster, &["a"], objects);
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;
    let fail = settings(Conflict::Fail, &[]);
    // What is the same is not written, so nobody writes over it.
    assert_eq!(
        plan(&source, &archive, &fail).await.notes,
        Vec::<String>::new()
    );
    cluster.ctl(&["delete", "secrets", "--all", "-n", "a"]);
    let notes = plan(&source, &archive, &fail).await.notes;
    for words in [
        "secrets/a/external: managed by External Secrets",
        "secrets/a/sealed: managed by Sealed Secrets",
        "secrets/a/issued: managed by cert-manager",
        "secrets/a/chart and another entry: managed by Helm",
        "secrets/a/argo: managed by Argo CD",
        "secrets/a/flux: managed by Flux",
    ] {
        assert!(
            notes.iter().any(|note| note.starts_with(words)),
            "{words}: {notes:?}"
        );
    }
    assert_eq!(notes.len(), 6, "{notes:?}");
}

/// A restore that was killed before it came to the Namespace itself has made it without its labels.
#[tokio::test]
async fn a_namespace_that_was_made_bare_is_in_nobodys_way() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        controllers: true,
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    create(
        &cluster,
        &["prod"],
        vec![secret("prod", "s", "Opaque", &[])],
    );
    cluster.ctl(&["label", "namespace", "prod", "team=a"]);
    let source = source(&cluster, &["prod"]);
    let archive = capture(&source).await;
    cluster.ctl(&["delete", "secret", "s", "-n", "prod"]);
    cluster.ctl(&["delete", "namespace", "prod"]);
    // As far as it came.
    let first = archive.only(|entry| entry.name.to_string() == "secrets/prod/s");
    let fail = settings(Conflict::Fail, &[]);
    let (_, report) = restore(&source, &first, &fail).await;
    assert_eq!(report.written, 1);
    let (_, report) = restore(&source, &archive, &fail).await;
    assert_eq!((report.written, report.failed), (1, vec![]));
    archive.assert_equals(&capture(&source).await);

    // One that somebody has given something is theirs.
    cluster.ctl(&["label", "namespace", "prod", "team=b", "--overwrite"]);
    let plan = plan(&source, &archive, &fail).await;
    assert!(matches!(
        action(&plan, "namespaces/prod"),
        Action::Conflict { .. }
    ));
}

/// Restores into an empty namespace, while the server is killed and started again: what became of it, and how long the server was away.
async fn restored_over_a_kill(
    cluster: &mut testkit::Kubernetes,
    source: Kubernetes,
    archive: &Archive,
    namespace: &str,
) -> (Result<Report, Error>, Duration) {
    let fail = settings(Conflict::Fail, &[]);
    // It gets no further than to the middle before the server goes, however late that is seen.
    let (let_go, restoring) = restore_held(source, archive, fail, 1500);
    let away = tokio::task::block_in_place(|| {
        cluster.wait_until("some are there", |it| {
            let (_, said) = it.try_ctl(&["get", "secret", "s00300", "-n", namespace], "");
            said.contains("Opaque")
        });
        let since = Instant::now();
        // It writes when the server goes, and has as much again before it.
        let_go.send(()).expect("the restore waits for it");
        cluster.kill();
        cluster.restart();
        since.elapsed()
    });
    (restoring.await.expect("no panic"), away)
}

/// The server goes away in the middle, comes back, and what was not certain is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_gets_everything() {
    let Some(mut cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let mut namespaces = ["a", "b", "c"].into_iter();
    let (namespace, archive, patient, report) = loop {
        let namespace = namespaces.next().expect("a server that starts in time");
        let archive = many(&[namespace], 3000, 2000);
        let mut patient = options(&cluster, &[namespace]);
        patient.namespace_objects = false;
        patient.timeouts.answer = Duration::from_secs(20);
        let source = Kubernetes::new(patient.clone());
        let (report, away) = restored_over_a_kill(&mut cluster, source, &archive, namespace).await;
        // A restore waits for 40 s: where a machine takes most of them to start a server, what becomes of it says nothing.
        if away < Duration::from_secs(30) {
            break (namespace, archive, patient, report.expect("a restore"));
        }
    };
    assert_eq!((report.written, report.failed), (3000, vec![]));
    archive.assert_equals(&capture(&Kubernetes::new(patient.clone())).await);

    // One that does not come back ends it.
    let source = Kubernetes::new(patient);
    cluster.ctl(&["delete", "secret", "-n", namespace, "s00001"]);
    let options = settings(Conflict::Fail, &[]);
    let plan = plan(&source, &archive, &options).await;
    cluster.kill();
    let mut contents = archive.written_by(&plan);
    let error = source
        .write(&plan, &mut contents, &options)
        .await
        .expect_err("it is gone");
    assert_eq!(error.kind(), strongroom_source::ErrorKind::Unreachable);
}

#[tokio::test]
async fn exported_manifests_are_what_kubectl_takes() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["prod"], everything("prod"));
    let before = seen(&cluster, KUBECTL_KINDS, &["prod"]);
    let archive = capture(&everything_of(&cluster, &["prod"])).await;
    let exported = |all: bool| {
        let mut manifests = String::new();
        let names = archive.names().filter(|name| {
            let name = name.to_string();
            // It would not fit into the annotation that plain apply makes.
            name != "namespaces/prod" && (all || name != "secrets/prod/large")
        });
        for name in names {
            let (entry, content) = archive.get(name).expect("it is in it");
            manifests.push_str(&manifest(entry, content).expect("a manifest"));
        }
        manifests
    };
    let empty = || {
        let patch = r#"{"metadata":{"finalizers":null}}"#;
        cluster.ctl(&["patch", "secret", "decorated", "-n", "prod", "-p", patch]);
        cluster.ctl(&["delete", KUBECTL_KINDS, "--all", "-n", "prod"]);
    };
    for command in [&["create"][..], &["apply", "--server-side"]] {
        empty();
        cluster.ctl_with(&[command, &["-f", "-"]].concat(), &exported(true));
        assert_same(&before, &seen(&cluster, KUBECTL_KINDS, &["prod"]));
    }
    empty();
    cluster.ctl_with(&["apply", "-f", "-"], &exported(false));
    let mut applied = seen(&cluster, KUBECTL_KINDS, &["prod"]);
    for object in applied.values_mut() {
        let metadata = object["metadata"].as_object_mut().expect("an object");
        let notes = metadata["annotations"]
            .as_object_mut()
            .expect("one at least");
        notes.remove("kubectl.kubernetes.io/last-applied-configuration");
        if notes.is_empty() {
            metadata.remove("annotations");
        }
    }
    let mut before = before;
    before.remove("Secret/prod/large");
    assert_same(&before, &applied);
}
