//! Users of few rights: what is missing is named, and what is named suffices.

use std::fmt::Write as _;

use serde_json::{Value, json};
use strongroom_source::kubernetes::{Access, Kubernetes, Options, Purpose, Subject, policy};
use strongroom_source::suite::Archive;
use strongroom_source::{Conflict, Error, ErrorKind};
use testkit::KubernetesOptions;

use crate::objects::{KINDS, create, everything, secret};
use crate::{options, restore, settings};

pub(crate) fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(text, ": {error}").expect("a String takes it");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn what_a_user_lacks_is_named() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        users: vec!["nobody".to_owned()],
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    let objects = ["a", "b"].map(|n| secret(n, "s", "Opaque", &[("k", b"v")]));
    create(&cluster, &["a", "b"], objects.to_vec());
    let source = |namespaces: &[&str]| {
        let mut options = options(&cluster, namespaces);
        options.namespace_objects = false;
        options.access = Access::Kubeconfig {
            files: vec![cluster.kubeconfig("nobody")],
            context: None,
        };
        Kubernetes::new(options)
    };
    let refused = |namespaces: &'static [&'static str]| {
        let source = source(namespaces);
        async move {
            let error = Archive::collect(&source).await.err().expect("refused");
            (error.kind(), said(&error))
        }
    };
    let (kind, text) = refused(&[]).await;
    assert_eq!(kind, ErrorKind::Denied);
    // A namespace that is not there lists as an empty one.
    create(&cluster, &["empty"], Vec::new());
    let named = |namespaces: &[&str]| {
        let mut options = options(&cluster, namespaces);
        options.namespace_objects = false;
        Kubernetes::new(options)
    };
    let both = Archive::collect(&named(&["a", "empty"])).await;
    assert_eq!(both.expect("both are there").1.notes, [""; 0]);
    let mistyped = Archive::collect(&named(&["a", "mistyped"])).await;
    let mistyped = mistyped.err().expect("refused");
    assert_eq!(mistyped.kind(), ErrorKind::Incomplete);
    let expected = "the namespace mistyped does not exist";
    assert!(said(&mistyped).contains(expected), "{}", said(&mistyped));
    let expected = "this user may not list secrets in all namespaces; a ClusterRole with \
        {apiGroups: [\"\"], resources: [secrets], verbs: [list]} would allow it";
    assert_eq!(text, expected);
    let (_, text) = refused(&["a"]).await;
    let rule =
        "a Role in namespace a with {apiGroups: [\"\"], resources: [secrets], verbs: [list]}";
    assert!(text.contains(rule), "{text}");
    let (_, text) = refused(&["a*"]).await;
    assert!(
        text.contains("may not list namespaces; a ClusterRole"),
        "{text}"
    );

    // With exactly that in one of two namespaces, the other is what is missing.
    for namespace in ["a", "empty"] {
        let role = ["create", "role", "r", "-n", namespace];
        cluster.ctl(&[&role[..], &["--verb=list", "--resource=secrets"]].concat());
        let binding = ["create", "rolebinding", "r", "-n", namespace];
        cluster.ctl(&[&binding[..], &["--role=r", "--user=nobody"]].concat());
        cluster.wait_until_may("nobody", &["list", "secrets", "-n", namespace]);
    }
    let (archive, _) = Archive::collect(&source(&["a"])).await.expect("a capture");
    assert_eq!(archive.len(), 1);
    let (_, capture) = Archive::collect(&source(&["a", "empty"]))
        .await
        .expect("a capture");
    let note =
        "nothing was found in the namespace empty, and there is no right to see whether it exists";
    assert_eq!(capture.notes, [note]);
    let (archive, capture) = Archive::collect(&source(&["a", "b"]))
        .await
        .expect("a part");
    assert_eq!(archive.len(), 1);
    let incomplete = &capture.incomplete[0];
    assert_eq!(incomplete.name.to_string(), "secrets/b/*");
    assert!(
        incomplete.reason.contains("a Role in namespace b"),
        "{incomplete:?}"
    );

    let mut options = options(&cluster, &["a", "missing"]);
    let error = Archive::collect(&Kubernetes::new(options.clone())).await;
    let error = said(&error.err().expect("a namespace is missing"));
    assert!(
        error.contains("the namespace missing does not exist"),
        "{error}"
    );
    options.resources = vec!["nonsense.example.com".to_owned()];
    let error = Archive::collect(&Kubernetes::new(options)).await;
    let error = said(&error.err().expect("a kind is missing"));
    assert!(
        error.contains("has no kind \"nonsense.example.com\""),
        "{error}"
    );
}

/// What `strongroom policy` prints is enough to capture and to restore, and less would not be.
#[tokio::test]
async fn the_printed_rights_suffice() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        users: ["keeper", "restorer", "of-pattern", "of-all"]
            .map(str::to_owned)
            .to_vec(),
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    create(
        &cluster,
        &["a", "a-b"],
        ["a", "a-b"].iter().flat_map(|n| everything(n)).collect(),
    );
    cluster.ctl(&["create", "secret", "generic", "mine", "-n", "kube-system"]);
    let with = |user: &str, namespaces: &[&str]| {
        let mut options = options(&cluster, namespaces);
        options.resources = KINDS.map(str::to_owned).to_vec();
        // As the printed rights cannot let anybody grant more than they have.
        options.resources.retain(|kind| !kind.starts_with("roles."));
        options.access = Access::Kubeconfig {
            files: vec![cluster.kubeconfig(user)],
            context: None,
        };
        options
    };
    // And waits until that holds: `allows` is something that nobody may without the last of the roles.
    let grant = |user: &str, namespaces: &[&str], purpose: Purpose, allows: &[&str]| {
        let text = policy(
            &with(user, namespaces),
            purpose,
            &Subject::User(user.to_owned()),
        );
        cluster.ctl_with(&["apply", "-f", "-"], &text);
        cluster.wait_until_may(user, allows);
    };
    let can = |user: &str, what: &[&str]| cluster.may(user, what);

    let named = &["a", "a-b"][..];
    let list = ["list", "secrets", "-n", "a-b"];
    grant("keeper", named, Purpose::Backup, &list);
    let (archive, capture) = Archive::collect(&Kubernetes::new(with("keeper", named)))
        .await
        .expect("a capture");
    assert_eq!(capture.incomplete, []);
    assert!(archive.get(&"namespaces/a".into()).is_some());
    assert!(!can("keeper", &["list", "secrets", "-n", "kube-system"]));
    assert!(!can("keeper", &["get", "secrets", "-n", "a"]));
    assert!(!can("keeper", &["update", "secrets", "-n", "a"]));

    // By pattern, which needs more.
    let refused = Archive::collect(&Kubernetes::new(with("keeper", &["a*"]))).await;
    assert!(refused.is_err());
    let list = ["list", "namespaces"];
    grant("keeper", &["a*"], Purpose::Backup, &list);
    let (again, _) = Archive::collect(&Kubernetes::new(with("keeper", &["a*"])))
        .await
        .expect("a capture");
    archive.assert_equals(&again);

    let make = ["create", "secrets", "-n", "a"];
    grant("restorer", named, Purpose::Restore, &make);
    for name in ["values", "immutable", "large"] {
        cluster.ctl(&["delete", "secret", name, "-n", "a"]);
    }
    cluster.ctl(&["label", "namespace", "a", "team=b", "--overwrite"]);
    let changed = secret("a", "immutable", "example.com/other", &[("k", b"v")]);
    create(&cluster, &[], vec![changed]);
    let source = Kubernetes::new(with("restorer", named));
    let overwrite = settings(Conflict::Overwrite, &[("recreate", "true")]);
    let (_, report) = restore(&source, &archive, &overwrite).await;
    assert_eq!((report.written, report.failed), (4, vec![]));
    let elsewhere = settings(Conflict::Fail, &[("map-namespace", "a=new")]);
    let only_a = archive.only(|entry| entry.name.to_string().contains("/a/"));
    let (_, report) = restore(&source, &only_a, &elsewhere).await;
    assert_eq!(
        (report.written, report.failed),
        (only_a.len() as u64, vec![])
    );

    // Where namespaces are not named, it is a ClusterRole.
    for (user, namespaces) in [("of-pattern", &["a*"][..]), ("of-all", &[])] {
        cluster.ctl(&["delete", "secret", "values", "tls", "-n", "a-b"]);
        cluster.ctl(&["delete", "configmap", "config", "-n", "a"]);
        let source = Kubernetes::new(with(user, namespaces));
        assert!(!can(user, &make));
        grant(user, namespaces, Purpose::Restore, &make);
        let (_, report) = restore(&source, &archive, &settings(Conflict::Fail, &[])).await;
        assert_eq!((report.written, report.failed), (3, vec![]), "{user}");
        assert!(!can(user, &["delete", "namespaces"]));
    }
}

#[tokio::test]
async fn what_leads_nowhere_is_said_so() {
    let Some(mut cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let stranger = Kubernetes::new({
        let mut options = options(&cluster, &[]);
        options.access = Access::Kubeconfig {
            files: vec![cluster.kubeconfig("stranger-with-a-secret-token")],
            context: None,
        };
        options
    });
    let error = Archive::collect(&stranger).await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        said(&error).contains("does not know who we are"),
        "{}",
        said(&error)
    );
    assert!(!said(&error).contains("secret-token"), "{}", said(&error));

    let source = crate::source(&cluster, &[]);
    cluster.kill();
    let error = Archive::collect(&source).await.err().expect("it is down");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let (url, text) = (cluster.url(), said(&error));
    assert!(
        text.contains(&url) && text.contains("cannot be reached"),
        "{text}"
    );
    for debris in ["{", "}", "Some(", "hyper", "Error"] {
        assert!(
            !text.contains(debris),
            "no debug structure reaches the user: {text}"
        );
    }
}

/// What refers to Secrets that are not there, one of each kind.
fn referring() -> Vec<Value> {
    let mounts = |name: &str| {
        json!({
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": name}}, {"name": "o", "secret": {"secretName": "optional", "optional": true}}],
        })
    };
    let labels = json!({"app": "y"});
    let metadata = |name: &str| json!({"namespace": "a", "name": name});
    let mut set = mounts("of-set");
    set["restartPolicy"] = "Always".into();
    let first = json!({
        "name": "first", "image": "i", "env": [
            {"name": "K", "valueFrom": {"secretKeyRef": {"name": "of-first-container", "key": "k"}}},
            {"name": "O", "valueFrom": {"secretKeyRef": {"name": "optional", "key": "k", "optional": true}}},
        ],
    });
    let mut daemon = mounts("of-daemon");
    daemon["restartPolicy"] = "Always".into();
    daemon["initContainers"] = json!([first]);
    let mut job = mounts("of-job");
    job["imagePullSecrets"] = json!([{"name": "of-image"}]);
    vec![
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata("p"), "spec": mounts("of-pod")}),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("robot"), "imagePullSecrets": [{"name": "pull"}],
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata("s"),
            "spec": {"selector": {"matchLabels": labels}, "serviceName": "s", "template": {"metadata": {"labels": labels}, "spec": set}},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata("n"),
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": daemon}},
        }),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata("j"), "spec": {"template": {"spec": job}}}),
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata("c"),
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": mounts("of-cronjob")}}}},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata("i"),
            "spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}, "tls": [{"secretName": "of-ingress"}]},
        }),
    ]
}

#[tokio::test]
async fn what_a_restore_will_need_is_named() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions {
        users: vec!["keeper".to_owned(), "reader".to_owned()],
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    let pod = json!({
        "containers": [{"name": "c", "image": "i", "envFrom": [
            {"secretRef": {"name": "taken"}}, {"secretRef": {"name": "left-out"}},
        ]}],
        "volumes": [{"name": "v", "secret": {"secretName": "missing"}}],
    });
    let labels = json!({"app": "x"});
    let mut sealing = secret(
        "sealing",
        "key",
        "kubernetes.io/tls",
        &[("tls.crt", b"c"), ("tls.key", b"k")],
    );
    sealing["metadata"]["labels"] =
        json!({"sealedsecrets.bitnami.com/sealed-secrets-key": "active"});
    let objects = vec![
        secret("a", "taken", "Opaque", &[]),
        secret("a", "left-out", "Opaque", &[]),
        sealing,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "a", "name": "d"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }),
    ];
    create(&cluster, &["a", "sealing"], objects);
    create(&cluster, &[], referring());
    let mut options = options(&cluster, &["a"]);
    options.objects.exclude_names = vec!["left-*".to_owned()];
    options.check = true;
    let (_, capture) = Archive::collect(&Kubernetes::new(options.clone()))
        .await
        .expect("a capture");
    let mut gone = options.clone();
    gone.namespaces.include.push("gone".to_owned());
    let found = Kubernetes::new(gone)
        .completeness()
        .await
        .expect("a report");
    assert!(
        found[0].bad
            && found[0]
                .message
                .starts_with("the namespace gone does not exist"),
        "{found:?}"
    );
    let findings = Kubernetes::new(options.clone())
        .completeness()
        .await
        .expect("a report");
    let messages: Vec<&str> = findings
        .iter()
        .map(|found| found.message.as_str())
        .collect();
    assert_eq!(capture.notes, messages, "a backup can say the same");
    assert_eq!(
        messages,
        [
            "deployments.apps/a/d refers to secrets/a/left-out, which the configuration leaves out",
            "deployments.apps/a/d refers to secrets/a/missing, which does not exist",
            "cronjobs.batch/a/c refers to secrets/a/of-cronjob, which does not exist",
            "daemonsets.apps/a/n refers to secrets/a/of-daemon, which does not exist",
            "daemonsets.apps/a/n refers to secrets/a/of-first-container, which does not exist",
            "jobs.batch/a/j refers to secrets/a/of-image, which does not exist",
            "ingresses.networking.k8s.io/a/i refers to secrets/a/of-ingress, which does not exist",
            "jobs.batch/a/j refers to secrets/a/of-job, which does not exist",
            "pods/a/p refers to secrets/a/of-pod, which does not exist",
            "statefulsets.apps/a/s refers to secrets/a/of-set, which does not exist",
            "serviceaccounts/a/robot refers to secrets/a/pull, which does not exist",
            "secrets/sealing/key opens what was sealed for this cluster (SealedSecrets), and is not captured",
        ]
    );

    fewer_rights(&cluster, options.clone(), &messages).await;
    issuers(&cluster, options.clone(), messages.len()).await;
    issuers_that_may_not_be_seen(&cluster, options.clone()).await;
    rights_in_one_of_two(&cluster, options).await;
}

/// A kind of cert-manager's, of which nothing but its name is known here.
fn kind_of_issuers(plural: &str, kind: &str, scope: &str) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.cert-manager.io")},
        "spec": {
            "group": "cert-manager.io", "scope": scope, "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

/// Without them no certificate is issued again: the first of each kind is named, unless the kind is captured.
async fn issuers(cluster: &testkit::Kubernetes, mut options: Options, others: usize) {
    let kinds = [
        kind_of_issuers("clusterissuers", "ClusterIssuer", "Cluster"),
        kind_of_issuers("issuers", "Issuer", "Namespaced"),
    ];
    create(cluster, &[], kinds.to_vec());
    cluster.wait_until("issuers are served", |it| {
        let kinds = it.try_ctl(&["get", "issuers,clusterissuers", "-A"], "");
        kinds.0
    });
    let found = async |options: &Options| {
        let findings = Kubernetes::new(options.clone()).completeness().await;
        let findings = findings.expect("a report");
        let findings = findings[others..].iter();
        findings
            .map(|it| (it.bad, it.message.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&options).await, []);
    let issuer = |kind: &str, metadata: Value| json!({"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": metadata});
    let objects = vec![
        issuer("ClusterIssuer", json!({"name": "all"})),
        issuer("Issuer", json!({"namespace": "a", "name": "ours"})),
        // Of a namespace that is not captured.
        issuer(
            "Issuer",
            json!({"namespace": "sealing", "name": "anothers"}),
        ),
    ];
    create(cluster, &[], objects);
    let words = "issues certificates, and its kind is not among the captured resources";
    let of_all = (true, format!("clusterissuers.cert-manager.io/all {words}"));
    let ours = (true, format!("issuers.cert-manager.io/a/ours {words}"));
    assert_eq!(found(&options).await, [of_all.clone(), ours]);
    options.resources.push("issuers.cert-manager.io".to_owned());
    assert_eq!(found(&options).await, [of_all]);
}

/// What one who may see no issuers does not know, and which rule is missing; with what is printed he sees them.
async fn issuers_that_may_not_be_seen(cluster: &testkit::Kubernetes, mut options: Options) {
    let found = async |options: &Options| {
        let findings = Kubernetes::new(options.clone()).completeness().await;
        let findings = findings.expect("a report").into_iter();
        let findings = findings.filter(|it| it.message.contains("issuers"));
        findings.map(|it| (it.bad, it.message)).collect::<Vec<_>>()
    };
    let all = found(&options).await;
    assert_eq!(all.len(), 2, "{all:?}");
    // By a ClusterRole that was granted before there was such a kind, of which kubectl could not have asked.
    let outside = ["list", "clusterissuers.cert-manager.io"];
    cluster.wait_until_may("keeper", &outside);
    options.access = access(cluster, "keeper");
    assert_eq!(found(&options).await, all, "it has the printed rights");
    options.access = access(cluster, "reader");
    may_list_secrets(cluster, "a", "reader");
    let unseen = |kind: &str, place: &str, role: &str| {
        let group = "cert-manager.io";
        let message = format!(
            "whether certificates need {kind}.{group} to be issued again is not known: this user may not list {kind}.{group}{place}; {role} with \
             {{apiGroups: [\"{group}\"], resources: [{kind}], verbs: [list]}} would allow it"
        );
        (false, message)
    };
    let expected = [
        unseen("clusterissuers", "", "a ClusterRole"),
        unseen("issuers", " in namespace a", "a Role in namespace a"),
    ];
    assert_eq!(found(&options).await, expected);

    // It fails no backup, which says the same.
    options.namespace_objects = false;
    let (archive, capture) = Archive::collect(&Kubernetes::new(options))
        .await
        .expect("a capture");
    assert_eq!((archive.len(), capture.incomplete), (1, vec![]));
    for (_, message) in expected {
        assert!(capture.notes.contains(&message), "{:?}", capture.notes);
    }
}

/// What may not be seen in one namespace keeps nobody from what may be seen in the next.
async fn rights_in_one_of_two(cluster: &testkit::Kubernetes, mut options: Options) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "sealing", "name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "imagePullSecrets": [{"name": "nowhere"}]},
    });
    create(cluster, &[], vec![pod]);
    may_list_secrets(cluster, "sealing", "reader");
    options.access = access(cluster, "reader");
    options.namespace_objects = false;
    options.namespaces.include = vec!["a".to_owned(), "sealing".to_owned()];
    let found = async |options: &Options| {
        let findings = Kubernetes::new(options.clone()).completeness().await;
        let findings = findings.expect("a report").into_iter();
        let messages = findings.map(|it| it.message);
        messages
            .filter(|it| it.starts_with("what pods "))
            .collect::<Vec<_>>()
    };
    let refused = "what pods refer to is not known: this user may not list pods in namespace a; a Role in namespace a with \
                   {apiGroups: [\"\"], resources: [pods], verbs: [list]} would allow it";
    let both = format!("{refused}; the same is missing in sealing");
    assert_eq!(found(&options).await, [both]);

    let mut of_one = options.clone();
    of_one.namespaces.include = vec!["sealing".to_owned()];
    let reader = Subject::User("reader".to_owned());
    let rights = policy(&of_one, Purpose::Backup, &reader);
    cluster.ctl_with(&["apply", "-f", "-"], &rights);
    cluster.wait_until_may("reader", &["list", "pods", "-n", "sealing"]);
    let outside = ["list", "clusterissuers.cert-manager.io"];
    cluster.wait_until_may("reader", &outside);
    assert_eq!(found(&options).await, [refused]);
    let findings = Kubernetes::new(options).completeness().await;
    let refers = "pods/sealing/p refers to secrets/sealing/nowhere, which does not exist";
    let mut findings = findings.expect("a report").into_iter();
    assert!(findings.any(|it| it.message == refers));
}

fn access(cluster: &testkit::Kubernetes, user: &str) -> Access {
    Access::Kubeconfig {
        files: vec![cluster.kubeconfig(user)],
        context: None,
    }
}

fn may_list_secrets(cluster: &testkit::Kubernetes, namespace: &str, user: &str) {
    let role = ["create", "role", user, "-n", namespace];
    cluster.ctl(&[&role[..], &["--verb=list", "--resource=secrets"]].concat());
    let binding = ["create", "rolebinding", user, "-n", namespace];
    let (role, subject) = (format!("--role={user}"), format!("--user={user}"));
    cluster.ctl(&[&binding[..], &[&role, &subject]].concat());
    cluster.wait_until_may(user, &["list", "secrets", "-n", namespace]);
}

/// Whoever may only read Secrets is told what stays unknown.
async fn fewer_rights(cluster: &testkit::Kubernetes, mut options: Options, messages: &[&str]) {
    may_list_secrets(cluster, "a", "keeper");
    options.access = access(cluster, "keeper");
    let findings = Kubernetes::new(options.clone())
        .completeness()
        .await
        .expect("a report");
    assert!(findings.iter().all(|found| !found.bad), "{findings:?}");
    assert_eq!(findings.len(), 9, "{findings:?}");
    assert!(
        findings[1]
            .message
            .contains("what pods refer to is not known"),
        "{findings:?}"
    );

    // With what is printed it is the same report, but for keys that lie elsewhere.
    let keeper = Subject::User("keeper".to_owned());
    let rights = policy(&options, Purpose::Backup, &keeper);
    cluster.ctl_with(&["apply", "-f", "-"], &rights);
    cluster.wait_until_may("keeper", &["list", "pods", "-n", "a"]);
    let findings = Kubernetes::new(options).completeness().await;
    let findings = findings.expect("a report");
    let seen: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(seen, messages[..messages.len() - 1]);
}
