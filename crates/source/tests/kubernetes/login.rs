//! Who we are to a cluster: what is given is used as kubectl would use it, or refused in one sentence.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_source::ErrorKind;
use strongroom_source::kubernetes::{Access, Kubernetes};
use strongroom_source::suite::Archive;
use testkit::KubernetesOptions;

use crate::objects::{create, secret};
use crate::options;
use crate::rights::said;

/// The namespace `a`, by a kubeconfig in `file` that logs in like this.
fn logging_in(cluster: &testkit::Kubernetes, file: &std::path::Path, login: &Value) -> Kubernetes {
    let kubeconfig = std::fs::read_to_string(cluster.admin()).expect("a kubeconfig");
    let text = kubeconfig.replace("{token: 'admin'}", &login.to_string());
    std::fs::write(file, text).expect("a file");
    let mut options = options(cluster, &["a"]);
    options.access = Access::Kubeconfig {
        files: vec![file.to_owned()],
        context: None,
    };
    Kubernetes::new(options)
}

/// A token that was written as a block of YAML ends with a line feed.
#[tokio::test]
async fn a_token_is_sent_without_what_surrounds_it_or_refused() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["a"], vec![secret("a", "s", "Opaque", &[])]);
    let folder = tempfile::tempdir().expect("a folder");
    let source = |name: &str, token: &str| {
        let file = folder.path().join(name);
        logging_in(&cluster, &file, &json!({"token": token}))
    };
    let good = source("good", " admin\n");
    let (archive, _) = Archive::collect(&good).await.expect("a capture");
    assert!(archive.get(&"secrets/a/s".into()).is_some());
    for (name, token) in [
        ("cut", "hun\nter2"),
        ("odd", "hunter\u{fc}"),
        ("nul", "hunter\0"),
    ] {
        let refused = Archive::collect(&source(name, token)).await;
        let text = said(&refused.err().expect("it is refused"));
        assert!(
            text.contains("no token has") && !text.contains("hun"),
            "{text}"
        );
    }
}

/// Clouds' kubeconfigs name a program that prints a token. What it prints is nobody else's business.
#[tokio::test]
async fn a_program_gives_the_credentials_or_is_named() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["a"], vec![secret("a", "s", "Opaque", &[])]);
    let folder = tempfile::tempdir().expect("a folder");
    let source = |name: &str, script: &str| {
        let exec = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "sh", "args": ["-c", script],
        }});
        logging_in(&cluster, &folder.path().join(name), &exec)
    };
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "admin"},
    });
    let good = source("good", &format!("echo '{credential}'"));
    let (archive, _) = Archive::collect(&good).await.expect("a capture");
    assert!(archive.get(&"secrets/a/s".into()).is_some());
    for (name, script) in [
        ("failing", "echo hunter2; echo hunter2 >&2; exit 3"),
        ("babbling", "echo hunter2"),
    ] {
        let error = Archive::collect(&source(name, script)).await;
        let error = error.err().expect("no credentials");
        let text = said(&error);
        assert_eq!(error.kind(), ErrorKind::Denied, "{text}");
        assert!(
            text.contains("the credentials for") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

/// A file of which the cluster, or an editor, ends the line; and one that is renewed while it is used.
#[tokio::test]
async fn a_file_with_a_token_is_read_as_kubectl_reads_it() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["a"], vec![secret("a", "s", "Opaque", &[])]);
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    let login = json!({"tokenFile": token});
    let source = logging_in(&cluster, &folder.path().join("kubeconfig"), &login);
    std::fs::write(&token, "admin\n").expect("a file");
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    assert!(archive.get(&"secrets/a/s".into()).is_some());
    for (written, words) in [
        ("\n", "/token is empty"),
        ("hun\nter2", "/token holds a character that no token has"),
    ] {
        std::fs::write(&token, written).expect("a file");
        let refused = Archive::collect(&source).await.err().expect("no token");
        let text = said(&refused);
        assert!(text.contains(words) && !text.contains("hun"), "{text}");
    }
    std::fs::remove_file(&token).expect("a file");
    let refused = Archive::collect(&source).await.err().expect("no token");
    assert_eq!(refused.kind(), ErrorKind::Denied);
    let text = said(&refused);
    assert!(
        text.contains("/token cannot be read: No such file"),
        "{text}"
    );
}

/// Whoever shows nothing that the cluster knows is somebody to it, and is not to be given rights.
#[tokio::test]
async fn whom_the_cluster_takes_for_nobody_is_told_so() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["a"], vec![secret("a", "s", "Opaque", &[])]);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, login) in [
        ("basic", json!({"username": "admin", "password": "hunter2"})),
        ("empty", json!({"token": ""})),
        ("nothing", json!({})),
    ] {
        let source = logging_in(&cluster, &folder.path().join(name), &login);
        let refused = Archive::collect(&source).await.err().expect("nobody");
        let text = said(&refused);
        assert_eq!(refused.kind(), ErrorKind::Denied, "{name}: {text}");
        assert!(
            text.contains("takes us for system:anonymous"),
            "{name}: {text}"
        );
        assert!(
            !text.contains("Role") && !text.contains("hunter2"),
            "{text}"
        );
    }
    let files = json!({"client-certificate": "missing.pem", "client-key": "missing.pem"});
    let source = logging_in(&cluster, &folder.path().join("files"), &files);
    let refused = Archive::collect(&source).await.err().expect("no files");
    let text = said(&refused);
    assert!(
        text.contains("/missing.pem cannot be read: No such file"),
        "{text}"
    );
    let gone = json!({"auth-provider": {"name": "gcp", "config": {"cmd-path": "sleep", "cmd-args": "600"}}});
    let source = logging_in(&cluster, &folder.path().join("gone"), &gone);
    let refused = Archive::collect(&source).await.err().expect("it is gone");
    assert!(
        said(&refused).contains("auth-provider gcp"),
        "{}",
        said(&refused)
    );
}

/// A program that waits for a person, or for a cloud, must not keep a backup from ending.
#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let started = folder.path().join("started");
    let script = format!("sleep 600 & echo $! > {}; wait", started.display());
    let exec = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "IfAvailable",
        "command": "sh", "args": ["-c", script],
    }});
    let file = folder.path().join("kubeconfig");
    drop(logging_in(&cluster, &file, &exec));
    let mut seconds = 3;
    let pid = loop {
        let mut options = options(&cluster, &["a"]);
        options.access = Access::Kubeconfig {
            files: vec![file.clone()],
            context: None,
        };
        options.timeouts.answer = Duration::from_secs(seconds);
        let start = Instant::now();
        let refused = Archive::collect(&Kubernetes::new(options)).await;
        let text = said(&refused.err().expect("it does not end"));
        assert!(start.elapsed() < Duration::from_mins(1), "{text}");
        let killed = format!(
            "the program `sh` that the kubeconfig names for them had not ended after {seconds} s and was killed"
        );
        assert!(text.contains(&killed), "{text}");
        // On a busy machine its time may be over before it has started anything, and written a whole line about it: then it gets more.
        let line = std::fs::read_to_string(&started).unwrap_or_default();
        if line.ends_with('\n') {
            break line;
        }
        assert!(seconds < 20, "it starts nothing");
        seconds *= 2;
    };
    let killed = Instant::now();
    while testkit::lives(&pid) {
        assert!(killed.elapsed() < Duration::from_mins(1), "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A token that ends in the middle is asked for anew.
#[tokio::test]
async fn credentials_that_end_are_renewed() {
    let Some(cluster) = testkit::Kubernetes::start(KubernetesOptions::default()) else {
        return;
    };
    create(&cluster, &["a"], vec![secret("a", "s", "Opaque", &[])]);
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    // In the past: it is renewed as soon as it may be.
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "admin", "expirationTimestamp": "2020-01-01T00:00:00Z"},
    });
    let script = format!("echo . >> {}; echo '{credential}'", runs.display());
    let exec = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "sh", "args": ["-c", script],
    }});
    let source = logging_in(&cluster, &folder.path().join("kubeconfig"), &exec);
    let (mut sink, mut receiver) = strongroom_source::Sink::channel();
    // Nobody takes what comes until the token has to be renewed, and each Secret fills what the sink holds.
    let value = vec![b'v'; 1 << 19];
    // Three pages: the second is asked for while the first is read, before the token has to be renewed.
    let many =
        (0..1_100).map(|i| secret("a", &format!("s{i:04}"), "Opaque", &[("k", &value[..1])]));
    create(&cluster, &[], many.collect());
    let large = (0..40).map(|i| secret("a", &format!("l{i:04}"), "Opaque", &[("k", &value)]));
    create(&cluster, &[], large.collect());
    let reading = tokio::spawn(async move {
        let capture = strongroom_source::Source::read(&source, &mut sink).await?;
        sink.finish().await?;
        Ok::<_, strongroom_source::Error>(capture)
    });
    receiver.recv().await.expect("it begins");
    tokio::time::sleep(Duration::from_secs(12)).await;
    while receiver.recv().await.is_some() {}
    reading.await.expect("no panic").expect("a capture");
    let runs = std::fs::read_to_string(runs).expect("it ran");
    assert!(runs.lines().count() > 1, "{runs}");
}
