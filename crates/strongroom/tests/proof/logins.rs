//! Keys for S3 that a platform hands out, found by the variables that it sets. The addresses of Amazon's machines and containers are
//! played by a fake, as an HTTP proxy is asked for them; the token service is MinIO's own, and so are all keys.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use testkit::{Message, Minio, OpenId, Proxy, S3, Tls, Treatment, require};

use crate::scene::{Scene, Seen};

const JOBS: &str = "  prod: {sources: [{files: {paths: [secrets]}}]}\ncache: cache\n";

/// MinIO with a bucket, and a job that goes there; nobody was given its key.
struct Platform {
    minio: Minio,
    provider: OpenId,
    scene: Scene,
}

impl Platform {
    fn start() -> Option<Self> {
        let release = require("minio")?;
        let provider = OpenId::start();
        let minio = Minio::start_with(&release, &provider.for_minio());
        minio.s3().make_bucket("bucket");
        let mut scene = Scene::bare();
        scene.keys();
        scene.write("secrets/token", "first");
        Some(Self {
            minio,
            provider,
            scene,
        })
    }

    /// The job goes to a folder of the bucket, with these options besides. What is to succeed is given the usual time for it.
    fn configure(&mut self, folder: &str, options: &str) {
        let endpoint = self.minio.endpoint();
        self.scene.place = format!(
            "{{url: 's3://bucket/{folder}', endpoint: '{endpoint}', allow_http: true{options}}}"
        );
        self.scene.configure(JOBS);
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Seen {
        let mut command: Command = self.scene.strongroom(arguments);
        command.envs(environment.iter().copied());
        Seen::of(&mut command)
    }

    /// A repository is made, filled and verified.
    fn works(&self, environment: &[(&str, &str)]) {
        for arguments in [&["init"], &["backup"], &["verify"]] {
            self.run(arguments, environment).done();
        }
        let listed = self.run(&["snapshots"], environment).done().text();
        assert!(listed.contains("prod/1"), "{listed}");
    }

    /// There is no key: that is said in a sentence, which names who has none, and soon, where little time is allowed.
    fn is_refused(&mut self, environment: &[(&str, &str)], code: i32, words: &str) {
        let usual = self.scene.place.clone();
        let options = usual.strip_suffix('}').expect("a place with options");
        self.scene.place = format!("{options}, timeout: 1s, deadline: 3s}}");
        self.scene.configure(JOBS);
        for command in ["init", "backup"] {
            let began = Instant::now();
            let seen = self.run(&[command], environment);
            let seen = seen.failed(code, &[words, "hint: are keys to come from there?"]);
            assert!(!seen.stderr.contains("hunter"), "{}", seen.stderr);
            let took = began.elapsed();
            assert!(took < Duration::from_secs(20), "{took:?}");
        }
        self.scene.place = usual;
        self.scene.configure(JOBS);
    }
}

/// A key of MinIO's token service for an hour, as Amazon's platforms write one.
fn key(s3: &S3) -> String {
    let key = s3.with_key_that_ends();
    let end = Timestamp::now() + Duration::from_hours(1);
    format!(
        "{{\"Code\":\"Success\",\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\",\"Token\":\"{}\",\"Expiration\":\"{end}\"}}",
        key.access_key,
        key.secret_key,
        key.session_token.unwrap_or_default(),
    )
}

fn answered(body: &str) -> Treatment {
    Treatment::Answered(Message::new("HTTP/1.1 200 OK", &[], body.as_bytes()))
}

fn refused(status: &str) -> Treatment {
    Treatment::Answered(Message::new(format!("HTTP/1.1 {status}"), &[], b"no"))
}

/// A machine of EC2 that has the role `backup`, and a container of ECS: whoever has this for a proxy is on it.
fn amazon(s3: S3) -> Proxy {
    Proxy::start("127.0.0.1:1", move |request| {
        let role = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
        let shown = request.header("x-aws-ec2-metadata-token");
        match (request.method(), request.target()) {
            ("PUT", "http://169.254.169.254/latest/api/token") => answered("session"),
            ("GET", target) if target.starts_with(role) && shown != Some("session") => {
                refused("401 Unauthorized")
            }
            ("GET", target) if target == role => answered("backup"),
            ("GET", target) if target == format!("{role}backup") => answered(&key(&s3)),
            ("GET", "http://169.254.170.2/v2/credentials/1") => answered(&key(&s3)),
            _ => refused("404 Not Found"),
        }
    })
}

#[test]
fn the_metadata_of_a_machine_and_of_a_container_give_keys() {
    let Some(mut platform) = Platform::start() else {
        return;
    };
    let amazon = amazon(platform.minio.s3());
    let endpoint = amazon.endpoint();
    let on = [("http_proxy", endpoint.as_str()), ("no_proxy", "127.0.0.1")];
    let path = |path| ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path);
    platform.configure("machine", "");
    platform.works(&on);
    platform.configure("container", "");
    let [proxy, direct] = on;
    platform.works(&[proxy, direct, path("/v2/credentials/1")]);

    platform.is_refused(
        &[proxy, direct, path("/v2/credentials/2")],
        16,
        "the container's platform gives no key: ",
    );
    let hangs = Proxy::start("127.0.0.1:1", |_| Treatment::Hangs);
    let endpoint = hangs.endpoint();
    let hanging = ("http_proxy", endpoint.as_str());
    let machine = "the machine's metadata server gives no key: it does not answer";
    platform.is_refused(&[hanging, direct], 15, machine);
    let bare = Proxy::start("127.0.0.1:1", |_| refused("404 Not Found"));
    let endpoint = bare.endpoint();
    let without_role = ("http_proxy", endpoint.as_str());
    let machine = "the machine's metadata server gives no key: ";
    platform.is_refused(&[without_role, direct], 16, machine);
}

#[test]
fn an_agent_gives_keys_to_whoever_shows_the_token() {
    let Some(mut platform) = Platform::start() else {
        return;
    };
    let s3 = platform.minio.s3();
    let agent = Proxy::start("127.0.0.1:1", move |request| {
        match request.header("authorization") {
            Some("the token") => answered(&key(&s3)),
            _ => refused("401 Unauthorized"),
        }
    });
    platform.scene.write("agent.token", "the token");
    platform.scene.write("wrong.token", "hunter2");
    platform.configure("agent", "");
    let address = format!("{}/v1/credentials", agent.endpoint());
    let address = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str());
    let file = |name| ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", name);
    platform.works(&[address, file("agent.token")]);
    let words = "the container's platform gives no key: ";
    platform.is_refused(&[address, file("wrong.token")], 16, words);
}

/// What AWS tools call a credential process.
#[test]
fn a_program_gives_keys_and_is_asked_again_before_they_end() {
    let Some(mut platform) = Platform::start() else {
        return;
    };
    let made = platform.minio.s3().with_key_that_ends();
    let key = |ends_in: Duration| {
        let key = serde_json::json!({
            "Version": 1, "AccessKeyId": made.access_key, "SecretAccessKey": made.secret_key,
            "SessionToken": made.session_token, "Expiration": (Timestamp::now() + ends_in).to_string(),
        });
        key.to_string()
    };
    let asked = platform.scene.path("asked");
    let print = "echo . >> asked; cat hunter.json";
    let with = |script: &str| format!(", credential_process: [sh, -c, '{script}']");
    let times = || fs::read_to_string(&asked).map_or(0, |text| text.lines().count());

    platform.configure("program", &with(print));
    platform
        .scene
        .write("hunter.json", key(Duration::from_hours(1)));
    platform.works(&[]);
    assert_eq!(times(), 4, "once for each command");
    // It ends within five minutes: for each request there is a new one.
    platform
        .scene
        .write("hunter.json", key(Duration::from_mins(4)));
    platform.run(&["backup"], &[]).done();
    assert!(times() > 6, "{}", times());

    platform.scene.write("hunter.json", "hunter2");
    let words = "the program of `credential_process` did not print a key as AWS tools have it";
    platform.run(&["backup"], &[]).failed(16, &[words]);
    platform.configure("program", &with("cat hunter.json; exit 3"));
    let seen = platform.run(&["backup"], &[]);
    let seen = seen.failed(16, &["exit status: 3"]);
    assert!(!seen.stderr.contains("hunter2"), "{}", seen.stderr);
}

#[test]
fn the_token_service_gives_keys_for_a_web_identity() {
    let Some(mut platform) = Platform::start() else {
        return;
    };
    let tls = Tls::before(&platform.minio.s3().address);
    let authority = tls.certificates().authority.display();
    platform.configure("web", &format!(", ca: '{authority}'"));
    let token = platform.provider.token("backup");
    platform.scene.write("web.token", token);
    platform.scene.write("wrong.token", "hunter2");
    let endpoint = tls.endpoint();
    let service = ("AWS_ENDPOINT_URL_STS", endpoint.as_str());
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup");
    let file = |name| ("AWS_WEB_IDENTITY_TOKEN_FILE", name);
    platform.works(&[service, role, file("web.token")]);
    let words = "Amazon's token service gives no key: InvalidParameterValue: ";
    platform.is_refused(&[service, role, file("wrong.token")], 16, words);
    let words = "Amazon's token service gives no key: Failed to read token file 'no.token'";
    platform.is_refused(&[service, role, file("no.token")], 16, words);
    let plain = ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9");
    platform
        .run(&["init"], &[plain, role, file("web.token")])
        .refused(2, &["AWS_ENDPOINT_URL_STS: ", "over https only"]);
}
