//! The bucket in the name of the host, and servers that send us elsewhere. Names of hosts mean what the HTTP proxy of the environment
//! takes them for.

use testkit::{Message, Minio, Proxy, S3, Treatment, Versitygw, VersitygwOptions, require};

use crate::scene::{Scene, Seen};
use crate::stores::s3_keys;

const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\nmaintainer_key: maintainer.key\ncache: cache\n\
    retention: {keep_last: 1, min_age: 0s, grace: 0s}\n";
/// The server's name, of which nobody else has heard.
const DOMAIN: &str = "s3.test";

fn scene(root: &S3, options: &str) -> Scene {
    let mut scene = Scene::bare();
    scene.keys();
    scene.key(&["keygen", "--writer", "--output", "maintainer.key"]);
    let keys = s3_keys(&scene, root);
    scene.place = format!(
        "{{url: 's3://bucket/r', endpoint: 'http://{DOMAIN}', allow_http: true, {keys}{options}}}"
    );
    scene.configure(JOBS);
    scene
}

fn run(scene: &Scene, proxy: &Proxy, arguments: &[&str]) -> Seen {
    let mut command = scene.strongroom(arguments);
    Seen::of(command.env("http_proxy", proxy.endpoint()))
}

/// Everything that is asked, our own questions among it, is asked of the bucket's own host, and signed for it.
fn is_asked_by_the_name_of_the_bucket(root: &S3) {
    root.make_bucket("bucket");
    let proxy = Proxy::start(&root.address, |_| Treatment::Passes);
    let scene = scene(root, ", path_style: false");
    let done = |arguments: &[&str]| run(&scene, &proxy, arguments).done();
    done(&["init"]);
    done(&["doctor"]);
    for secret in ["first", "second"] {
        scene.write("secrets/token", secret.repeat(1000));
        done(&["backup"]);
    }
    done(&["verify"]);
    done(&["prune"]);
    done(&[
        "restore",
        "prod/2",
        "--to",
        "out",
        "--yes",
        "--identity",
        "identity.txt",
    ]);
    let seen = proxy.take_seen();
    let own = format!("http://bucket.{DOMAIN}/");
    for request in &seen {
        // An object of the repository, or something about the bucket: its name is nowhere in the path.
        let path = request.target().strip_prefix(&own).unwrap_or_default();
        let is_named_once = path.starts_with("r/") || path.starts_with('?');
        assert!(is_named_once, "{}", request.start);
        assert_eq!(request.header("host"), Some(own[7..].trim_end_matches('/')));
    }
    for asked in ["/r/prod/log/", "?object-lock=", "?list-type=2", "?delete"] {
        let is_asked = seen.iter().any(|request| request.target().contains(asked));
        assert!(is_asked, "nobody asks for {asked}");
    }
    assert!(root.list("bucket", "r/").len() > 3);
}

#[test]
fn minio_is_asked_by_the_name_of_the_bucket() {
    let Some(release) = require("minio") else {
        return;
    };
    let server = Minio::start_with(&release, &[("MINIO_DOMAIN", DOMAIN.to_owned())]);
    is_asked_by_the_name_of_the_bucket(&server.s3());
}

#[test]
fn versitygw_is_asked_by_the_name_of_the_bucket() {
    let Some(release) = require("versitygw") else {
        return;
    };
    let options = VersitygwOptions {
        domain: Some(DOMAIN),
        ..VersitygwOptions::default()
    };
    let server = Versitygw::start(&release, options);
    is_asked_by_the_name_of_the_bucket(&server.s3());
}

#[test]
fn a_bucket_in_another_region_is_said_to_be_there() {
    let elsewhere = Proxy::start("127.0.0.1:1", |_| {
        let region = [("x-amz-bucket-region", "eu-west-3")];
        let body = b"<Error><Code>PermanentRedirect</Code></Error>";
        Treatment::Answered(Message::new(
            "HTTP/1.1 301 Moved Permanently",
            &region,
            body,
        ))
    });
    let nobody = S3 {
        address: elsewhere.address().to_owned(),
        access_key: "id".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: None,
    };
    let scene = scene(&nobody, "");
    for command in ["init", "backup", "snapshots"] {
        let said = [
            "the bucket is in the region eu-west-3",
            "hint: say in the configuration where the bucket is: `region`",
        ];
        run(&scene, &elsewhere, &[command]).failed(10, &said);
    }
}
