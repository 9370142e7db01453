//! Who may capture: certificates, passwords, roles, and servers that are not there.

use std::path::Path;

use strongroom_source::etcd::{ApiServer, ClientCertificate, Etcd, LiveKeys, Options, Tls};
use strongroom_source::suite::{Archive, plan, write};
use strongroom_source::{ErrorKind, RestoreOptions};
use testkit::{EtcdOptions, require};

use crate::proxy::Proxy;
use crate::{login, options, refusal};

#[tokio::test]
async fn single_keys_take_the_same_way() {
    let Some(release) = require("etcd") else {
        return;
    };
    let tls = EtcdOptions {
        tls: true,
        ..EtcdOptions::default()
    };
    let server = testkit::Etcd::start(&release, tls);
    server.ctl(&["put", "key", "value"]);
    let certificates = server.certificates();
    let options = Options {
        tls: Some(Tls {
            ca: certificates.authority.clone(),
            client: Some(ClientCertificate {
                certificate: certificates.client.certificate.clone(),
                key: certificates.client.key.clone(),
            }),
            server_name: None,
        }),
        ..options(&[&server.endpoint()])
    };
    let keys = LiveKeys::holding(options, ApiServer::new("/registry"), ["key".into()]);
    let (archive, _) = Archive::collect(&keys).await.expect("a capture");
    server.ctl(&["del", "key"]);
    let asked = RestoreOptions::default();
    let planned = plan(&keys, &archive, &asked).await;
    write(&keys, &archive, &planned, &asked).await;
    assert_eq!(server.ctl(&["get", "--print-value-only", "key"]), "value\n");
}

#[tokio::test]
async fn a_client_certificate_opens_and_a_wrong_one_does_not() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(
        &release,
        EtcdOptions {
            tls: true,
            ..EtcdOptions::default()
        },
    );
    server.ctl(&["put", "key", "value"]);
    let certificates = server.certificates();
    let client = |pair: &testkit::Pair| {
        Some(ClientCertificate {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
        })
    };
    let source = |endpoint: &str, ca: &Path, client| {
        let tls = Some(Tls {
            ca: ca.to_path_buf(),
            client,
            server_name: None,
        });
        Etcd::new(Options {
            tls,
            ..options(&[endpoint])
        })
    };
    let (endpoint, ca) = (server.endpoint(), certificates.authority.as_path());
    let good = source(&endpoint, ca, client(&certificates.client));
    Archive::collect(&good).await.expect("a capture");
    let bare = source(&server.address(), ca, client(&certificates.client));
    Archive::collect(&bare)
        .await
        .expect("without a scheme it is https");

    for (source, kind, part) in [
        (
            source(&endpoint, ca, None),
            ErrorKind::Denied,
            "client certificate",
        ),
        (
            source(&endpoint, ca, client(&certificates.stranger)),
            ErrorKind::Denied,
            "client certificate",
        ),
        (
            source(
                &endpoint,
                &certificates.strange_authority,
                client(&certificates.client),
            ),
            ErrorKind::Denied,
            "ca did not sign",
        ),
        (
            source(&endpoint, &certificates.client.key, None),
            ErrorKind::Configuration,
            "PEM",
        ),
        (
            source(&endpoint, Path::new("/no/ca.crt"), None),
            ErrorKind::Configuration,
            "cannot read /no/ca.crt",
        ),
        (
            Etcd::new(options(&[&endpoint])),
            ErrorKind::Configuration,
            "say which ca",
        ),
        (
            Etcd::new(options(&[&server.address()])),
            ErrorKind::Unreachable,
            "https",
        ),
    ] {
        let (found, text) = refusal(&source).await;
        assert!(
            found == kind && text.contains(part),
            "{part}: {found:?} {text}"
        );
    }
    let tls = Some(Tls {
        ca: ca.to_path_buf(),
        client: None,
        server_name: Some("elsewhere".to_owned()),
    });
    let (kind, text) = refusal(&Etcd::new(Options {
        tls,
        ..options(&[&endpoint])
    }))
    .await;
    assert!(
        kind == ErrorKind::Denied && text.contains("another name"),
        "{text}"
    );
}

async fn asks_for_the_root_role(name: &str) {
    let Some(release) = require(name) else { return };
    let root_password = Some("correct horse".to_owned());
    let server = testkit::Etcd::start(
        &release,
        EtcdOptions {
            root_password,
            ..EtcdOptions::default()
        },
    );
    server.ctl(&["user", "add", "reader:staple"]);
    server.ctl(&["role", "add", "reader"]);
    server.ctl(&[
        "role",
        "grant-permission",
        "reader",
        "--prefix=true",
        "read",
        "",
    ]);
    server.ctl(&["user", "grant-role", "reader", "reader"]);
    let source = |login| {
        Etcd::new(Options {
            login,
            ..options(&[&server.endpoint()])
        })
    };
    Archive::collect(&source(Some(login("root", "correct horse"))))
        .await
        .expect("a capture");
    for (login, part) in [
        (
            Some(login("root", "wrong horse")),
            "refuses the user or the password",
        ),
        (
            Some(login("nobody", "correct horse")),
            "refuses the user or the password",
        ),
        (Some(login("reader", "staple")), "role root"),
        (None, "asks for a user and a password"),
    ] {
        let (kind, text) = refusal(&source(login)).await;
        assert!(
            kind == ErrorKind::Denied && text.contains(part),
            "{part}: {kind:?} {text}"
        );
        assert!(
            !text.contains("horse") && !text.contains("staple"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn etcd_asks_for_the_root_role() {
    asks_for_the_root_role("etcd").await;
}

#[tokio::test]
async fn debians_etcd_asks_for_the_root_role() {
    asks_for_the_root_role("etcd-debian").await;
}

/// While somebody else is waited for who never answers, etcd forgets the login.
#[tokio::test]
async fn a_login_that_expires_is_renewed() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(
        &release,
        EtcdOptions {
            root_password: Some("pass".to_owned()),
            login_seconds: Some(1),
            ..EtcdOptions::default()
        },
    );
    let silent = Proxy::start(server.address(), 0).await;
    let options = Options {
        login: Some(login("root", "pass")),
        ..options(&[&server.endpoint(), &silent.address()])
    };
    let capture = Archive::collect(&Etcd::new(options)).await;
    let (_, capture) = capture.expect("a capture");
    assert!(
        capture.notes[0].contains("did not answer within 3 s"),
        "{:?}",
        capture.notes
    );
}

#[tokio::test]
async fn a_password_that_is_not_asked_for_does_no_harm() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let options = Options {
        login: Some(login("root", "pass")),
        ..options(&[&server.endpoint()])
    };
    Archive::collect(&Etcd::new(options))
        .await
        .expect("a capture");
}

#[tokio::test]
async fn the_next_endpoint_is_tried_and_all_are_named_if_none_answers() {
    let Some(release) = require("etcd-debian") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let dead = ["http://127.0.0.1:1", "127.0.0.1:2"];
    let source = Etcd::new(options(&[dead[0], dead[1], &server.endpoint()]));
    Archive::collect(&source)
        .await
        .expect("the third endpoint serves");

    let (kind, text) = refusal(&Etcd::new(options(&dead))).await;
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(
        dead.iter().all(|endpoint| text.contains(endpoint)),
        "{text}"
    );
    assert!(text.contains("Connection refused"), "{text}");
    let (kind, text) = refusal(&Etcd::new(options(&["http://no-such-host.invalid:2379"]))).await;
    assert!(
        kind == ErrorKind::Unreachable && text.contains("no-such-host.invalid"),
        "{text}"
    );
}
