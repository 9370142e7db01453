//! Bootstrap tokens, which end: the plan says of which nobody can make use any more, and the cluster takes none of them.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use strongroom_source::kubernetes::Kubernetes;
use strongroom_source::suite::{Archive, plan};
use strongroom_source::{Action, Conflict, RestoreOptions};
use testkit::KubernetesOptions;

use crate::objects::{create, secret};
use crate::{action, assert_same, capture, options, restore, seen, settings};

const PLACE: &str = "kube-system";

/// As kubeadm makes it; `end` is its expiration.
fn token(id: &str, end: Option<&str>) -> Value {
    let mut data: Vec<(&str, &[u8])> = vec![
        ("token-id", id.as_bytes()),
        ("token-secret", b"0123456789abcdef"),
        ("usage-bootstrap-authentication", b"true"),
    ];
    data.extend(end.map(|end| ("expiration", end.as_bytes())));
    let name = format!("bootstrap-token-{id}");
    secret(PLACE, &name, "bootstrap.kubernetes.io/token", &data)
}

/// Whether a machine could join by it.
fn enters(cluster: &testkit::Kubernetes, id: &str) -> bool {
    let token = format!("--token={id}.0123456789abcdef");
    let (entered, said) = cluster.try_ctl(&["auth", "whoami", &token], "");
    let expected = if entered {
        format!("system:bootstrap:{id}")
    } else {
        "Unauthorized".to_owned()
    };
    assert!(said.contains(&expected), "{said}");
    entered
}

fn start(controllers: bool) -> Option<testkit::Kubernetes> {
    testkit::Kubernetes::start(KubernetesOptions {
        controllers,
        arguments: vec!["--enable-bootstrap-token-auth".to_owned()],
        ..KubernetesOptions::default()
    })
}

fn source(cluster: &testkit::Kubernetes) -> Kubernetes {
    let mut options = options(cluster, &[PLACE]);
    options.namespace_objects = false;
    options.objects.names = vec!["bootstrap-token-*".to_owned()];
    Kubernetes::new(options)
}

fn at(now: Timestamp, conflict: Conflict) -> RestoreOptions {
    RestoreOptions {
        moment: now.to_string(),
        ..settings(conflict, &[])
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_taken_for_one_that_works() {
    let Some(cluster) = start(false) else {
        return;
    };
    let now = Timestamp::now();
    let end = |minutes: i64| (now + SignedDuration::from_mins(minutes)).to_string();
    // Soon is within an hour, and two clusters are to be there before that.
    let (passed, soon, future) = (end(-60), end(50), end(60 * 24));
    let tokens = vec![
        token("absurd", Some("tomorrow")),
        token("future", Some(&future)),
        token("lasted", Some(&passed)),
        token("lasts0", None),
        token("nearly", Some(&soon)),
    ];
    create(&cluster, &[], tokens);
    let source = source(&cluster);
    let archive = capture(&source).await;
    let before = seen(&cluster, "secrets", &[PLACE]);
    for name in before.keys() {
        let name = name.rsplit('/').next().expect("a name");
        cluster.ctl(&["delete", "secret", name, "-n", PLACE]);
    }
    assert!(!enters(&cluster, "future"));

    let (plan, report) = restore(&source, &archive, &at(now, Conflict::Fail)).await;
    assert_eq!((report.written, report.failed), (5, vec![]));
    let said = |id: &str, what: &str| {
        format!(
            "secrets/{PLACE}/bootstrap-token-{id}: a token by which machines join the cluster; {what}: `kubeadm token create` makes a new one"
        )
    };
    let expected = [
        said("absurd", "its end is no time, so that it counts as ended"),
        said("lasted", &format!("it has ended, at {passed}")),
        said("nearly", &format!("it ends soon, at {soon}")),
    ];
    assert_eq!(plan.notes, expected);
    assert_same(&before, &seen(&cluster, "secrets", &[PLACE]));
    for (id, enters_again) in [
        ("absurd", false),
        ("future", true),
        ("lasted", false),
        ("lasts0", true),
        ("nearly", true),
    ] {
        assert_eq!(enters(&cluster, id), enters_again, "{id}");
    }
    nothing_is_said_of_what_stays(&cluster, &source, &archive, now).await;
    the_cluster_takes_it_away(&archive, now).await;
}

async fn nothing_is_said_of_what_stays(
    cluster: &testkit::Kubernetes,
    source: &Kubernetes,
    archive: &Archive,
    now: Timestamp,
) {
    let again = plan(source, archive, &at(now, Conflict::Fail)).await;
    assert_eq!(again.notes, [""; 0]);
    // Somebody has made it last longer, and a restore would end it.
    let longer = r#"{"stringData":{"expiration":"2100-01-01T00:00:00Z"}}"#;
    let name = "bootstrap-token-lasted";
    cluster.ctl(&["patch", "secret", name, "-n", PLACE, "-p", longer]);
    assert!(enters(cluster, "lasted"));
    let over = plan(source, archive, &at(now, Conflict::Overwrite)).await;
    let what = vec!["expiration".to_owned()];
    assert_eq!(
        *action(&over, &format!("secrets/{PLACE}/{name}")),
        Action::Update { what }
    );
    assert_eq!(over.notes.len(), 1, "{:?}", over.notes);
    assert!(over.notes[0].contains("it has ended"), "{:?}", over.notes);
}

/// In a cluster that cleans them up, as kubeadm makes it.
async fn the_cluster_takes_it_away(archive: &Archive, now: Timestamp) {
    let Some(cluster) = start(true) else {
        return;
    };
    let source = source(&cluster);
    let (_, report) = restore(&source, archive, &at(now, Conflict::Fail)).await;
    assert_eq!((report.written, report.failed), (5, vec![]));
    let names = |it: &testkit::Kubernetes| it.ctl(&["get", "secrets", "-n", PLACE, "-o", "name"]);
    cluster.wait_until("what has ended goes", |it| !names(it).contains("lasted"));
    for id in ["future", "lasts0", "nearly"] {
        assert!(enters(&cluster, id), "{id}");
    }
}
