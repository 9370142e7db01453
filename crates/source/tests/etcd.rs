//! The etcd source on real servers: 3.6 built from its modules, and Debian's 3.4.

#[path = "etcd/access.rs"]
mod access;
#[path = "etcd/capture.rs"]
mod capture;
#[path = "etcd/cluster.rs"]
mod cluster;
#[path = "etcd/database.rs"]
mod database;
#[path = "etcd/forger.rs"]
mod forger;
#[path = "etcd/keys.rs"]
mod keys;
#[path = "etcd/members.rs"]
mod members;
#[path = "etcd/mirror.rs"]
mod mirror;
#[path = "etcd/proxy.rs"]
mod proxy;
#[path = "etcd/restore.rs"]
mod restore;
#[path = "etcd/status.rs"]
mod status;
#[path = "etcd/tunnel.rs"]
mod tunnel;

use std::fmt::Write;
use std::path::Path;

use archive::{Entry, Name};
use strongroom_source::etcd::{ENTRY, Etcd, Login, Options, Password};
use strongroom_source::suite::Archive;
use strongroom_source::{Error, ErrorKind, RestoreOptions, Sink, Source};

fn options(endpoints: &[&str]) -> Options {
    Options {
        endpoints: endpoints
            .iter()
            .map(|&endpoint| endpoint.to_owned())
            .collect(),
        ..Options::default()
    }
}

fn login(user: &str, password: &str) -> Login {
    let password = password.to_owned();
    let load = move || Ok(Password::new(password.clone()));
    Login {
        user: user.to_owned(),
        password: Box::new(load),
    }
}

fn source_of(server: &testkit::Etcd) -> Etcd {
    Etcd::new(options(&[&server.endpoint()]))
}

/// The error of a capture, its causes included, as the program prints it.
async fn refusal(source: &Etcd) -> (ErrorKind, String) {
    let (archive, error) = capture_until_error(source).await;
    assert_eq!(archive.len(), 0, "no entry is completed");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        write!(text, ": {error}").expect("a String takes it");
        cause = error.source();
    }
    for debris in ["{", "}", "Some(", "Status", "hyper"] {
        assert!(
            !text.contains(debris),
            "no debug structure reaches the user: {text}"
        );
    }
    (error.kind(), text)
}

/// What was captured until the error that must come; an open entry is not counted.
async fn capture_until_error(source: &Etcd) -> (Archive, Error) {
    let (mut sink, mut receiver) = Sink::channel();
    let gather = tokio::spawn(async move {
        let mut items = Vec::new();
        while let Some(batch) = receiver.recv().await {
            items.extend(batch);
        }
        items
    });
    let error = source.read(&mut sink).await.expect_err("the capture fails");
    drop(sink);
    (
        Archive::from_items(gather.await.expect("it gathers")),
        error,
    )
}

fn snapshot(archive: &Archive) -> (&Entry, &[u8]) {
    archive
        .get(&Name::from(ENTRY))
        .expect("the snapshot is there")
}

fn to(path: &Path) -> RestoreOptions {
    RestoreOptions {
        target: Some(path.to_path_buf()),
        ..RestoreOptions::default()
    }
}

fn settings(settings: &[(&str, &Path)]) -> RestoreOptions {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let settings = settings
        .iter()
        .map(|&(name, value)| (name.to_owned(), text(value)));
    RestoreOptions {
        settings: settings.collect(),
        ..RestoreOptions::default()
    }
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = folder
        .read_dir()
        .expect("readable")
        .map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
