//! What is captured: everything that was chosen, in order, once; or an error.

use std::time::Duration;

use archive::{Attributes, Body, Content, FieldHeader, Header, Item, Name};
use async_trait::async_trait;
use strongroom_source::kubernetes::{Kubernetes, Objects};
use strongroom_source::suite::{Archive, Fixture, conforms};
use strongroom_source::{Conflict, Sink, Source};
use testkit::KubernetesOptions;

use crate::objects::{KINDS, create, everything};
use crate::{capture, options, restore, settings, source};

/// Two namespaces, whose names sort otherwise than what lies in them.
const NAMESPACES: [&str; 2] = ["a", "a-b"];

struct Cluster(testkit::Kubernetes);

impl Cluster {
    fn source(&self) -> Kubernetes {
        let mut options = options(&self.0, &NAMESPACES);
        options.resources = KINDS.map(str::to_owned).to_vec();
        Kubernetes::new(options)
    }
}

#[async_trait]
impl Fixture for Cluster {
    fn source(&self) -> Box<dyn Source> {
        Box::new(self.source())
    }

    async fn empty(&mut self) {
        for namespace in NAMESPACES {
            let patch = r#"{"metadata":{"finalizers":null}}"#;
            self.0
                .ctl(&["patch", "secret", "decorated", "-n", namespace, "-p", patch]);
            let kinds = "secrets,configmaps,serviceaccounts,roles";
            self.0.ctl(&["delete", kinds, "--all", "-n", namespace]);
        }
    }

    async fn change(&mut self) -> Name {
        let patch = r#"{"data":{"empty":"Y2hhbmdlZA==","new":"","A":null}}"#;
        self.0
            .ctl(&["patch", "secret", "values", "-n", "a-b", "-p", patch]);
        Name::from("secrets/a-b/values")
    }
}

#[tokio::test]
async fn kubernetes_conforms() {
    let options = KubernetesOptions {
        encryption: Some(testkit::AES_GCM),
        ..KubernetesOptions::default()
    };
    let Some(cluster) = testkit::Kubernetes::start(options) else {
        return;
    };
    let objects = NAMESPACES.iter().flat_map(|name| everything(name));
    create(&cluster, &NAMESPACES, objects.collect());
    let mut cluster = Cluster(cluster);
    conforms(&mut cluster).await;

    let (archive, facts) = Archive::collect(&cluster.source())
        .await
        .expect("a capture");
    let names: Vec<String> = archive.names().map(Name::to_string).collect();
    assert!(names.contains(&"namespaces/a".to_owned()));
    assert!(names.contains(&"secrets/a/values".to_owned()));
    assert!(names.contains(&"roles.rbac.authorization.k8s.io/a/reader".to_owned()));
    let facts = facts.facts;
    assert_eq!(facts["kubernetes.version"], "v1.36.3");
    assert_eq!(facts["kubernetes.objects.secrets"], "28");
    // One version of each kind, over both namespaces.
    assert!(
        facts["kubernetes.resource-version.secrets"]
            .parse::<u64>()
            .is_ok(),
        "{facts:?}"
    );

    let select = |objects: Objects| {
        let mut options = options_of(&cluster);
        options.namespace_objects = false;
        options.objects = objects;
        Kubernetes::new(options)
    };
    for (objects, expected) in [
        (
            Objects {
                types: vec![
                    "kubernetes.io/tls".to_owned(),
                    "example.com/own-type".to_owned(),
                ],
                ..Objects::default()
            },
            &[
                "secrets/a-b/own",
                "secrets/a-b/tls",
                "secrets/a/own",
                "secrets/a/tls",
            ][..],
        ),
        (
            Objects {
                labels: Some("app.kubernetes.io/name in (x)".to_owned()),
                ..Objects::default()
            },
            &["secrets/a-b/decorated", "secrets/a/decorated"],
        ),
        (
            Objects {
                fields: Some("type=kubernetes.io/ssh-auth".to_owned()),
                ..Objects::default()
            },
            &["secrets/a-b/ssh", "secrets/a/ssh"],
        ),
        (
            Objects {
                names: vec!["*mutable".to_owned(), "ssh".to_owned()],
                exclude_names: vec!["im*".to_owned()],
                ..Objects::default()
            },
            &[
                "secrets/a-b/mutable",
                "secrets/a-b/ssh",
                "secrets/a/mutable",
                "secrets/a/ssh",
            ],
        ),
    ] {
        let archive = capture(&select(objects)).await;
        let names: Vec<String> = archive.names().map(Name::to_string).collect();
        assert_eq!(names, expected);
    }
}

fn options_of(cluster: &Cluster) -> strongroom_source::kubernetes::Options {
    let mut options = options(&cluster.0, &[]);
    options.namespaces.labels = Some("team=a".to_owned());
    options.namespaces.exclude = vec!["kube-*".to_owned()];
    options
}

/// An archive of so many Secrets of `size` bytes, of which no two begin alike.
pub(crate) fn many(namespaces: &[&str], each: usize, size: usize) -> Archive {
    let mut names: Vec<String> = namespaces
        .iter()
        .flat_map(|namespace| (0..each).map(move |i| format!("secrets/{namespace}/s{i:05}")))
        .collect();
    names.sort();
    let items = names.iter().flat_map(|name| {
        let mut value = name.clone().into_bytes();
        value.resize(size, b'.');
        [
            Item::Begin(Header {
                name: Name::from(name.as_str()),
                attributes: Attributes::from_iter([("type", "Opaque")]),
                fields: Some(vec![FieldHeader {
                    key: Name::from("value"),
                    length: size as u64,
                }]),
            }),
            Item::Data(Content::new(value)),
            Item::End,
        ]
    });
    Archive::from_items(items.collect())
}

/// Every page is read while the server forgets what it listed, and is killed on top of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_the_server_forgets_is_gone_on_with() {
    let Some(mut cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    // Five pages of five megabytes. While nobody takes any, the sink holds less than one of them, and a connection the one that was asked
    // for ahead: the last one is asked for when the server has forgotten the list.
    let archive = many(&["n", "n-m"], 1250, 8000);
    let all = source(&cluster, &["n", "n-m"]);
    let (_, report) = restore(&all, &archive, &settings(Conflict::Fail, &[])).await;
    assert_eq!((report.written, report.failed), (2500, vec![]));

    let mut options = options(&cluster, &[]);
    options.namespaces.exclude = Vec::new();
    options.namespace_objects = false;
    options.timeouts.answer = Duration::from_secs(20);
    let source = Kubernetes::new(options);
    let (mut sink, mut receiver) = Sink::channel();
    let reading = tokio::spawn(async move {
        let capture = source.read(&mut sink).await?;
        sink.finish().await?;
        Ok::<_, strongroom_source::Error>(capture)
    });
    let mut items: Vec<Item> = Vec::new();
    // Into the second page.
    while items.len() < 600 * 3 {
        items.extend(receiver.recv().await.expect("more"));
    }
    tokio::task::block_in_place(|| {
        cluster.kill();
        // What was listed is older than the oldest that is kept.
        cluster.etcd().ctl(&["put", "another", "revision"]);
        let status = cluster.etcd().ctl(&["endpoint", "status", "-w", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let revision = status[0]["Status"]["header"]["revision"].to_string();
        cluster.etcd().ctl(&["compact", &revision]);
        cluster.restart();
        cluster.ctl(&["delete", "secret", "-n", "n-m", "s01249"]);
    });
    while let Some(batch) = receiver.recv().await {
        items.extend(batch);
    }
    let facts = reading.await.expect("no panic").expect("a capture").facts;
    // The writer in it refuses an entry that comes twice or out of turn.
    let captured = Archive::from_items(items);
    let missing: Vec<String> = archive
        .names()
        .filter(|name| captured.get(name).is_none())
        .map(Name::to_string)
        .collect();
    assert!(
        missing.is_empty() || missing == ["secrets/n-m/s01249"],
        "{missing:?}"
    );
    let version = &facts["kubernetes.resource-version.secrets"];
    assert!(version.contains(", "), "it is of two moments: {version}");
    for (entry, _) in captured.names().filter_map(|name| archive.get(name)) {
        assert!(matches!(&entry.body, Body::Record { fields } if fields.len() == 1));
    }
}
