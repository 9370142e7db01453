//! What exists and differs, what cannot be changed, and what changes under our hands.

use archive::Name;
use serde_json::json;
use strongroom_source::suite::plan;
use strongroom_source::{Action, Conflict, ErrorKind, Source};
use testkit::KubernetesOptions;

use crate::objects::{create, secret};
use crate::{action, capture, restore, settings, source};

#[tokio::test]
async fn conflicts_of_every_kind() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let mut immutable = secret("a", "immutable", "Opaque", &[("k", b"v")]);
    immutable["immutable"] = true.into();
    let objects = vec![
        immutable,
        secret("a", "typed", "Opaque", &[("username", b"u")]),
        secret(
            "a",
            "keys",
            "Opaque",
            &[("same", b"1"), ("changed", b"2"), ("gone", b"3")],
        ),
        secret("a", "labels", "Opaque", &[("k", b"v")]),
        secret("a", "same", "Opaque", &[("k", b"v")]),
    ];
    create(&cluster, &["a"], objects);
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;

    let on = |arguments: &[&str]| cluster.ctl(&[arguments, &["-n", "a"]].concat());
    for name in ["immutable", "typed"] {
        on(&["delete", "secret", name]);
    }
    let mut immutable = secret("a", "immutable", "Opaque", &[("k", b"other")]);
    immutable["immutable"] = true.into();
    let typed = secret(
        "a",
        "typed",
        "kubernetes.io/basic-auth",
        &[("username", b"u")],
    );
    create(&cluster, &[], vec![immutable, typed]);
    let patch = r#"{"data":{"changed":"eA==","gone":null,"new":"eA=="}}"#;
    on(&["patch", "secret", "keys", "-p", patch]);
    on(&["label", "secret", "labels", "l=1"]);

    let failing = plan(&source, &archive, &settings(Conflict::Fail, &[])).await;
    let reason = "differs in changed, gone, new".to_owned();
    assert_eq!(
        *action(&failing, "secrets/a/keys"),
        Action::Conflict { reason }
    );
    assert_eq!(*action(&failing, "secrets/a/same"), Action::Same);
    assert_eq!(*action(&failing, "namespaces/a"), Action::Same);

    let (overwriting, report) =
        restore(&source, &archive, &settings(Conflict::Overwrite, &[])).await;
    for (name, why) in [
        ("immutable", "it is immutable there"),
        ("typed", "another type"),
    ] {
        let name = format!("secrets/a/{name}");
        let Action::Unmanageable { reason } = action(&overwriting, &name) else {
            panic!("{overwriting:?}");
        };
        assert!(
            reason.contains(why) && reason.contains("--recreate"),
            "{reason}"
        );
    }
    let what = vec!["labels".to_owned()];
    assert_eq!(
        *action(&overwriting, "secrets/a/labels"),
        Action::Update { what }
    );
    assert_eq!((report.written, report.failed), (2, vec![]));

    let recreate = settings(Conflict::Overwrite, &[("recreate", "true")]);
    let (recreating, report) = restore(&source, &archive, &recreate).await;
    let what = ["k", "deleted and created again"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(
        *action(&recreating, "secrets/a/immutable"),
        Action::Update { what }
    );
    assert_eq!((report.written, report.failed), (2, vec![]));
    archive.assert_equals(&capture(&source).await);

    // One was changed, and one was made anew: both say who did it.
    for name in ["keys", "immutable"] {
        let path = "jsonpath={.metadata.managedFields[*].manager}";
        let managers = on(&["get", "secret", name, "--show-managed-fields", "-o", path]);
        let ours = managers.split(' ').any(|it| it == "strongroom");
        assert!(ours, "{name}: {managers}");
    }
}

/// Between the plan and its execution.
#[tokio::test]
async fn nothing_is_overwritten_that_the_plan_did_not_say() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let names = [
        "other-key",
        "same-key",
        "vanished",
        "done",
        "made",
        "made-alike",
    ];
    let objects = names.map(|name| secret("a", name, "Opaque", &[("k", b"v"), ("other", b"v")]));
    create(&cluster, &["a"], objects.to_vec());
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;
    let on = |arguments: &[&str]| cluster.ctl(&[arguments, &["-n", "a"]].concat());
    let change = |name: &str, patch: &str| on(&["patch", "secret", name, "-p", patch]);
    for name in ["other-key", "same-key", "vanished", "done"] {
        change(name, r#"{"data":{"k":"eA=="}}"#);
    }
    for name in ["made", "made-alike"] {
        on(&["delete", "secret", name]);
    }
    let options = settings(Conflict::Overwrite, &[]);
    let plan = plan(&source, &archive, &options).await;

    change("other-key", r#"{"data":{"other":"eA=="}}"#);
    change("same-key", r#"{"data":{"k":"eXl5"}}"#);
    change("done", r#"{"data":{"k":"dg=="}}"#);
    on(&["delete", "secret", "vanished"]);
    create(
        &cluster,
        &[],
        vec![
            secret("a", "made", "Opaque", &[("k", b"theirs")]),
            secret("a", "made-alike", "Opaque", &[("k", b"v"), ("other", b"v")]),
        ],
    );
    let mut contents = archive.written_by(&plan);
    let report = source
        .write(&plan, &mut contents, &options)
        .await
        .expect("a restore");
    let failed: Vec<(String, &str)> = report
        .failed
        .iter()
        .map(|(name, reason)| (name.to_string(), reason.as_str()))
        .collect();
    assert_eq!(
        failed,
        [
            (
                "secrets/a/made".to_owned(),
                "it was made by somebody else since the plan was made, and differs"
            ),
            (
                "secrets/a/other-key".to_owned(),
                "it has changed in other since the plan was made"
            ),
        ]
    );
    assert_eq!(report.written, 4);
    let value = |name: &str| on(&["get", "secret", name, "-o", "jsonpath={.data.k}"]);
    let values = names.map(value);
    assert_eq!(values, ["eA==", "dg==", "dg==", "dg==", "dGhlaXJz", "dg=="]);
}

/// What judges objects in a cluster says no to one of them, and the rest goes on.
#[tokio::test]
async fn a_refusal_is_reported_and_the_rest_goes_on() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let objects =
        ["good", "refused", "zzz"].map(|name| secret("a", name, "Opaque", &[("k", b"v")]));
    create(&cluster, &["a"], objects.to_vec());
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"],
            }]},
            "validations": [{
                "expression": "object.metadata.name != 'refused' && object.metadata.name != 'probe'",
                "message": "not here",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]},
    });
    create(&cluster, &[], vec![policy, binding]);
    cluster.ctl(&["delete", "secrets", "--all", "-n", "a"]);
    cluster.wait_until("the policy is in force", |cluster| {
        let (_, said) = cluster.try_ctl(
            &[
                "create",
                "secret",
                "generic",
                "probe",
                "-n",
                "a",
                "--dry-run=server",
            ],
            "",
        );
        said.contains("not here")
    });
    let (_, report) = restore(&source, &archive, &settings(Conflict::Fail, &[])).await;
    assert_eq!(report.written, 2);
    let [(name, reason)] = &report.failed[..] else {
        panic!("{report:?}");
    };
    assert_eq!(name.to_string(), "secrets/a/refused");
    assert!(
        reason.starts_with("the server refuses it") && reason.contains("not here"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_is_surplus_is_deleted_if_exactly_that_was_agreed_to() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(
        &cluster,
        &["a", "b"],
        vec![secret("a", "kept", "Opaque", &[])],
    );
    let source = source(&cluster, &["a"]);
    let archive = capture(&source).await;
    let mut owned = secret("a", "owned", "Opaque", &[]);
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]);
    let surplus = ["x", "y"].map(|name| secret("a", name, "Opaque", &[]));
    let other = secret("b", "other", "Opaque", &[]);
    create(&cluster, &[], [&surplus[..], &[owned, other]].concat());

    let agreed = settings(Conflict::Fail, &[("prune-extra", "1")]);
    let plan = plan(&source, &archive, &agreed).await;
    assert_eq!(plan.extra, ["secrets/a/x", "secrets/a/y"].map(Name::from));
    let mut contents = archive.written_by(&plan);
    let error = source
        .write(&plan, &mut contents, &agreed)
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("say --prune-extra 2"), "{error}");
    cluster.ctl(&["get", "secret", "x", "-n", "a"]);

    let agreed = settings(Conflict::Fail, &[("prune-extra", "2")]);
    let (_, report) = restore(&source, &archive, &agreed).await;
    assert_eq!((report.deleted, report.failed), (2, vec![]));
    let left = |n: &str| cluster.ctl(&["get", "secrets", "-n", n, "-o", "name"]);
    assert_eq!(left("a"), "secret/kept\nsecret/owned\n");
    assert_eq!(left("b"), "secret/other\n");
}
