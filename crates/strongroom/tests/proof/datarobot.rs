//! The preset for DataRobot: an installation by the real helm is captured, inspected, lost, and made anew so that it opens what the old one left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Kubernetes, KubernetesOptions, require};

use crate::scene::{Scene, Seen};

const CHART: &str = "apiVersion: v2\nname: datarobot-prime\nversion: 11.0.0\n";

/// What its chart has for its backup: the two keys are given, or made anew.
const TEMPLATE: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: core-credentials, labels: {app.kubernetes.io/instance: {{ .Release.Name }}}}
data:
  asymmetrickey: {{ .Values.core.services.core.asymmetrickey | default (randAlphaNum 40) | b64enc }}
  drsecurekey: {{ .Values.core.services.core.drsecurekey | default (randAlphaNum 40) | b64enc }}
  other: ""
---
apiVersion: v1
kind: Secret
metadata: {name: core-postgres, labels: {app.kubernetes.io/instance: {{ .Release.Name }}}}
stringData: {password: hunter2}
{{- if .Values.broken }}
---
apiVersion: v1
kind: Secret
metadata: {name: No_Name}
{{- end }}
"#;

const DEFAULTS: &str = "core: {services: {core: {}}}\n";

/// Of RFC 8410's kind. The rest of what follows is how PEM files come out of editors.
const PAIR: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHNcg91+0xhactimwZ79k3l6RH3PzXjkvk0+w/64l/Wr\n-----END PRIVATE KEY-----\n\
    -----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA2sBVS3ZgyLk3IbvB+fECi04zkfzdpLUR6gBNJhnYd/o=\n-----END PUBLIC KEY-----\n";

const SECURE: &str = "a: \"b\" # 'c' \\ {{ d }}\té";

/// Its last day was in 2020.
const EXPIRED: &str = "-----BEGIN CERTIFICATE-----\n\
    MIHcMIGPAhR8U5VXN8oNFNRPfHJtot26SIaoqjAFBgMrZXAwETEPMA0GA1UEAwwG\n\
    cmFiYml0MB4XDTE5MDEwMjAzMDQwNVoXDTIwMDEwMjAzMDQwNVowETEPMA0GA1UE\n\
    AwwGcmFiYml0MCowBQYDK2VwAyEAgHl2ky+SduveKzxprP0T2cQoVI4yk7E8kby1\n\
    GaWqZDgwBQYDK2VwA0EAfMStAtMxM/FdcyndHsooN4M4Es/jft2wE3gj5EgVU9K2\n\
    cvcF5AwSPlbi0eKLveo1movboZd+ojt9B6taFl9cCg==\n\
    -----END CERTIFICATE-----\n";

const CERTS: &str = r#"globals={"certs":[{"secret":"rabbit","path":"rabbit-cert.pem"},{"secret":"mongo","path":"mongo-cert.pem"}]}"#;

/// A cluster with an installation in its namespace `datarobot`, and a job of three lines for it.
struct Installed {
    cluster: Kubernetes,
    scene: Scene,
    helm: PathBuf,
}

impl Installed {
    fn new() -> Option<Self> {
        Self::started(KubernetesOptions {
            users: vec!["keeper".to_owned()],
            ..KubernetesOptions::default()
        })
    }

    fn started(options: KubernetesOptions) -> Option<Self> {
        let helm = require("helm")?.program("helm");
        let cluster = Kubernetes::start(options)?;
        let scene = Scene::new();
        scene.write("chart/Chart.yaml", CHART);
        scene.write("chart/templates/all.yaml", TEMPLATE);
        scene.write("chart/values.yaml", DEFAULTS);
        let installed = Self {
            cluster,
            scene,
            helm,
        };
        installed.configure("admin", "namespace: datarobot");
        installed.certificates("datarobot");
        let keys = serde_json::json!({"asymmetrickey": PAIR, "drsecurekey": SECURE});
        let core = format!("core={{\"services\":{{\"core\":{keys}}}}}");
        installed.install(
            "dr",
            "datarobot",
            &["--set-json", &core, "--set-json", CERTS],
        );
        Some(installed)
    }

    fn configure(&self, user: &str, preset: &str) {
        let kubeconfig = self.cluster.kubeconfig(user);
        let kubeconfig = kubeconfig.display();
        self.scene.configure(&format!(
            "  dr:\n    sources: [{{datarobot: {{kubeconfig: '{kubeconfig}', {preset}}}}}]\n"
        ));
    }

    /// The Secrets that an operator makes beforehand.
    fn certificates(&self, namespace: &str) {
        let (made, said) = self
            .cluster
            .try_ctl(&["create", "namespace", namespace], "");
        assert!(made || said.contains("AlreadyExists"), "{said}");
        for name in ["rabbit", "mongo"] {
            // By the authority of the test's cluster, which lives for two days.
            let file = self.cluster.authority().display();
            let file = format!("--from-file={name}-cert.pem={file}");
            self.ctl(&["create", "secret", "generic", name, "-n", namespace, &file]);
        }
    }

    fn ctl(&self, arguments: &[&str]) -> String {
        self.cluster.ctl(arguments)
    }

    fn helm(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.scene.command(&self.helm, arguments);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(home, self.scene.path("helm"));
        }
        command.env("KUBECONFIG", self.cluster.admin());
        command
    }

    fn install(&self, release: &str, namespace: &str, more: &[&str]) {
        let install = ["install", release, "chart", "-n", namespace];
        Seen::of(&mut self.helm(&[&install, more].concat())).done();
    }

    /// Changes one value of a Secret, which is base64; `null` takes the key away.
    fn patch(&self, secret: &str, key: &str, value: &str) {
        let patch = format!(r#"{{"data":{{"{key}":{value}}}}}"#);
        self.ctl(&["patch", "secret", secret, "-n", "datarobot", "-p", &patch]);
    }

    fn value(&self, namespace: &str, secret: &str, key: &str) -> String {
        let path = format!("jsonpath={{.data.{}}}", key.replace('.', "\\."));
        self.ctl(&["get", "secret", secret, "-n", namespace, "-o", &path])
    }
}

#[test]
fn a_job_of_three_lines_captures_all_that_a_restore_needs() {
    let Some(it) = Installed::new() else { return };
    let backup = || it.scene.run(&["backup"]);
    // With no more rights than are printed.
    it.configure("keeper", "namespace: datarobot");
    backup().refused(16, &["this user may not"]);
    let policy = it
        .scene
        .run(&["policy", "kubernetes", "dr", "--user", "keeper"]);
    it.cluster
        .ctl_with(&["apply", "-f", "-"], &policy.done().text());
    let taken = backup().done();
    for name in ["rabbit", "mongo"] {
        let words =
            format!("dr: the certificate secrets/datarobot/{name} {name}-cert.pem expires on 20");
        assert!(taken.stderr.contains(&words), "{}", taken.stderr);
    }
    let shown = it.scene.read(&["show", "dr", "--json"]).done().json();
    let facts = &shown["sources"][0]["facts"];
    for (fact, value) in [
        ("release", "dr"),
        ("revision", "1"),
        ("secrets", "2"),
        ("secrets.pcs", "0"),
    ] {
        assert_eq!(facts[format!("datarobot.{fact}")], value, "{facts}");
    }
    let entries = shown["entries"].as_array().expect("a list").iter();
    let names: Vec<&str> = entries.filter_map(|entry| entry["name"].as_str()).collect();
    for name in [
        "sh.helm.release.v1.dr.v1",
        "rabbit",
        "mongo",
        "core-credentials",
        "core-postgres",
    ] {
        assert!(
            names.contains(&format!("secrets/datarobot/{name}").as_str()),
            "{names:?}"
        );
    }
    // The vendor's variable says the namespace, if the configuration does not.
    it.configure("admin", "release: dr");
    backup().refused(1, &["the namespace dr does not exist"]);
    let mut elsewhere = it.scene.strongroom(&["backup", "--json"]);
    let taken = Seen::of(elsewhere.env("DR_CORE_NAMESPACE", "datarobot"))
        .done()
        .json();
    assert_eq!(
        taken["jobs"][0]["notes"].as_array().map(Vec::len),
        Some(2),
        "{taken}"
    );

    it.configure("keeper", "namespace: datarobot");
    what_is_deployed_counts(&it);
}

/// An upgrade that failed is the newest revision, and what it wanted is not what runs.
fn what_is_deployed_counts(it: &Installed) {
    let upgrade = |more: &[&str]| {
        let upgrade = [
            "upgrade",
            "dr",
            "chart",
            "-n",
            "datarobot",
            "--reuse-values",
        ];
        Seen::of(&mut it.helm(&[&upgrade[..], more].concat()))
    };
    upgrade(&[]).done();
    let wanted = r#"globals={"certs":[{"secret":"nowhere","path":"x"}]}"#;
    let failed = upgrade(&["--set", "broken=true", "--set-json", wanted]);
    assert!(failed.stderr.contains("No_Name"), "{}", failed.stderr);
    it.ctl(&[
        "get",
        "secret",
        "sh.helm.release.v1.dr.v3",
        "-n",
        "datarobot",
    ]);
    it.ctl(&["create", "secret", "generic", "pcs-a", "-n", "datarobot"]);
    let label = "app.kubernetes.io/instance=pcs";
    it.ctl(&["label", "secret", "pcs-a", "-n", "datarobot", label]);
    let taken = it.scene.run(&["backup"]).done();
    let note = "those of revision 2 of dr, which is deployed; the newest, 3, is not";
    assert!(taken.stderr.contains(note), "{}", taken.stderr);
    let shown = it.scene.read(&["show", "dr", "--json"]).done().json();
    let facts = &shown["sources"][0]["facts"];
    for (fact, value) in [("revision", "2"), ("secrets", "2"), ("secrets.pcs", "1")] {
        assert_eq!(facts[format!("datarobot.{fact}")], value, "{facts}");
    }
}

#[test]
fn a_backup_that_could_not_be_restored_fails_by_name() {
    let Some(it) = Installed::new() else { return };
    let backup = || it.scene.run(&["backup"]);
    let secret = |name: &str| it.ctl(&["get", "secret", name, "-n", "datarobot", "-o", "json"]);
    for (name, key, value, words) in [
        (
            "core-credentials",
            "drsecurekey",
            "\"\"",
            "drsecurekey (is empty, and MongoDB cannot",
        ),
        (
            "core-credentials",
            "asymmetrickey",
            "null",
            "asymmetrickey (is not there, and MongoDB cannot",
        ),
        // -----BEGIN PRIVATE KEY-----, and nothing more.
        (
            "core-credentials",
            "asymmetrickey",
            "\"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t\"",
            "asymmetrickey (begins as PEM",
        ),
        (
            "rabbit",
            "rabbit-cert.pem",
            "null",
            "secrets/datarobot/rabbit rabbit-cert.pem (is not there, and the release",
        ),
        (
            "mongo",
            "mongo-cert.pem",
            "\"\"",
            "secrets/datarobot/mongo mongo-cert.pem (is empty, and the release",
        ),
        (
            "sh.helm.release.v1.dr.v1",
            "release",
            "\"Z2FyYmFnZQ==\"",
            "sh.helm.release.v1.dr.v1 (is no release record",
        ),
        (
            "sh.helm.release.v1.dr.v1",
            "release",
            "null",
            "sh.helm.release.v1.dr.v1 (says that it is a deployed release, and has no key release",
        ),
    ] {
        let before = secret(name);
        it.patch(name, key, value);
        backup().refused(
            1,
            &["1 entry could not be captured, so nothing was kept", words],
        );
        it.cluster
            .ctl_with(&["replace", "--force", "-f", "-"], &before);
    }
    several_at_once(&it);
}

fn several_at_once(it: &Installed) {
    let backup = || it.scene.run(&["backup"]);
    let before = it.ctl(&["get", "secret", "mongo", "-n", "datarobot", "-o", "json"]);
    it.ctl(&[
        "delete",
        "secret",
        "mongo",
        "core-credentials",
        "-n",
        "datarobot",
    ]);
    let words = [
        "2 entries could not",
        "secrets/datarobot/mongo (is not there",
        "core-credentials (is not there",
    ];
    backup().refused(1, &words);
    let partial = it.scene.run(&["backup", "--allow-partial"]).ended(3);
    assert!(partial.text().contains("PARTIAL"), "{}", partial.text());
    let checked = it.scene.run(&["check"]).ended(3);
    assert!(
        checked
            .text()
            .contains("! dr datarobot: secrets/datarobot/mongo is not there"),
        "{}",
        checked.text()
    );
    it.cluster.ctl_with(&["apply", "-f", "-"], &before);
    // An expired one is worth a word, and no reason to go without a backup.
    let expired =
        serde_json::json!({"data": null, "stringData": {"mongo-cert.pem": EXPIRED}}).to_string();
    it.ctl(&[
        "patch",
        "secret",
        "mongo",
        "-n",
        "datarobot",
        "-p",
        &expired,
    ]);
    let partial = it.scene.run(&["backup", "--allow-partial"]).ended(3);
    assert!(
        partial
            .stderr
            .contains("mongo-cert.pem has expired on 2020-01-02T03:04:05Z"),
        "{}",
        partial.stderr
    );
}

#[test]
fn where_helm_keeps_its_record_can_be_said() {
    let Some(it) = Installed::new() else { return };
    it.certificates("maps");
    let mut install = it.helm(&[
        "install",
        "core",
        "chart",
        "-n",
        "maps",
        "--set-json",
        &CERTS["globals=".len()..]
            .replace("{\"certs\":", "certs=")
            .replace("]}", "]"),
    ]);
    Seen::of(install.env("HELM_DRIVER", "configmap")).done();
    it.configure("admin", "namespace: maps, release: core");
    it.scene
        .run(&["backup"])
        .refused(1, &["helm has no deployed release core here", "`driver`"]);
    it.configure("admin", "namespace: maps, release: core, driver: configmap");
    let taken = it.scene.run(&["backup"]).done();
    assert!(
        taken
            .stderr
            .contains("secrets/maps/rabbit rabbit-cert.pem expires"),
        "{}",
        taken.stderr
    );
    // What is not PEM is another form, of which nothing is known.
    assert!(
        taken
            .stderr
            .contains("core-credentials asymmetrickey is not PEM"),
        "{}",
        taken.stderr
    );
    it.configure("admin", "namespace: maps, release: core, driver: none");
    it.scene.run(&["backup"]).done();
    let exported = it
        .scene
        .read(&["export", "dr/1", "--format", "datarobot-values"])
        .done();
    assert!(
        exported
            .text()
            .contains("secret: \"mongo\"\n      path: \"mongo-cert.pem\""),
        "{}",
        exported.text()
    );
}

#[test]
fn the_keys_are_sealed_a_second_time_to_those_who_keep_them() {
    let Some(it) = Installed::new() else { return };
    let scene = &it.scene;
    let keeper = scene.key(&["keygen", "--output", "keeper.txt"]);
    it.configure(
        "admin",
        &format!("namespace: datarobot, keys: {{recipients: ['{keeper}']}}"),
    );
    let taken = scene.run(&["backup", "--json"]).done().json();
    assert_eq!(taken["jobs"][1]["snapshot"], "dr-keys/1", "{taken}");
    assert_eq!(taken["jobs"][1]["entries"], 1);
    assert_eq!(scene.snapshots(), ["dr/1", "dr-keys/1"]);
    let get = ["get", "dr-keys", "secrets/datarobot/core-credentials"];
    scene
        .read(&[&get[..], &["asymmetrickey"]].concat())
        .refused(12, &["none of the identities given opens"]);
    let kept = |command: &[&str]| {
        let mut command = scene.strongroom(command);
        Seen::of(command.args(["--identity", "keeper.txt"]))
    };
    for (key, value) in [("asymmetrickey", PAIR), ("drsecurekey", SECURE)] {
        assert_eq!(kept(&[&get[..], &[key]].concat()).done().text(), value);
    }
    kept(&[&get[..], &["other"]].concat()).refused(1, &["other"]);
    // Whoever keeps them can make the values, and reads nothing else.
    let values = kept(&["export", "dr-keys", "--format", "datarobot-values"]).done();
    assert!(
        values
            .text()
            .contains("asymmetrickey: \"-----BEGIN PRIVATE KEY-----\\nMC4C"),
        "{}",
        values.text()
    );
    kept(&["show", "dr"]).refused(12, &[]);
    let keys = scene.run(&["keys"]).done();
    assert!(
        !keys.text().contains("not in the configuration"),
        "{}",
        keys.text()
    );
    let again = scene.run(&["backup"]).done();
    assert!(
        again
            .text()
            .contains("dr-keys/2: 1 entry, 257 B, nothing changed"),
        "{}",
        again.text()
    );
    // It is not all of that Secret.
    it.ctl(&["delete", "secret", "core-credentials", "-n", "datarobot"]);
    scene
        .run(&["backup"])
        .refused(1, &["core-credentials (is not there"]);
    let words = [
        "dr-keys/2 has only the two keys",
        "export --format datarobot-values",
    ];
    kept(&["restore", "dr-keys", "--yes"]).refused(1, &words);
    scene
        .read(&[
            "restore",
            "dr",
            "--only",
            "secrets/datarobot/core-credentials",
            "--yes",
        ])
        .done();
    assert_eq!(
        it.value("datarobot", "core-credentials", "drsecurekey"),
        base64(SECURE)
    );
    scene.run(&["backup"]).done();
}

#[test]
fn a_new_installation_opens_what_the_old_one_left() {
    let Some(it) = Installed::new() else { return };
    let scene = &it.scene;
    scene.run(&["backup"]).done();
    let folder = scene.path("old");
    fs::create_dir(&folder).expect("a folder");
    let mut export = scene.strongroom(&[
        "export",
        "dr",
        "--layout",
        "datarobot",
        "--identity",
        "identity.txt",
    ]);
    export.env("BACKUP_LOCATION", &folder);
    Seen::of(&mut export).done();
    for form in [
        &["--layout", "datarobot", "nope"][..],
        &["--format", "datarobot-values"],
    ] {
        scene
            .read(&[&["export", "dr", "--release", "nope"], form].concat())
            .refused(1, &["there is no release nope: no Secret has the label app.kubernetes.io/instance=nope"]);
    }
    assert!(!scene.path("nope").exists());
    scene
        .read(&["export", "dr", "--release", "dr"])
        .refused(2, &["--release is DataRobot's"]);
    it.ctl(&["delete", "namespace", "datarobot", "--wait=false"]);
    it.ctl(&["create", "namespace", "anew"]);
    it.configure("admin", "namespace: anew");

    // Without its keys it is another one.
    it.install("dr", "anew", &[]);
    let against = ["check", "dr", "--against", "dr/1"];
    let differs = scene.read(&against).ended(4);
    for key in ["asymmetrickey", "drsecurekey"] {
        let words = format!(
            "! dr datarobot: secrets/anew/core-credentials {key} is another one than in dr/1: what MongoDB"
        );
        assert!(differs.text().contains(&words), "{}", differs.text());
    }
    Seen::of(&mut it.helm(&["uninstall", "dr", "-n", "anew"])).done();

    let values = scene
        .read(&["export", "dr/1", "--format", "datarobot-values"])
        .done();
    scene.write("keys.yaml", &values.stdout);
    let restore = [
        "restore",
        "dr/1",
        "--certificates",
        "--map-namespace",
        "datarobot=anew",
        "--yes",
    ];
    let restored = scene.read(&restore).done();
    assert!(
        restored.text().contains("secrets/datarobot/mongo"),
        "{}",
        restored.text()
    );
    assert!(!restored.text().contains("core-"), "{}", restored.text());
    it.install("dr", "anew", &["-f", "keys.yaml"]);
    let same = scene.read(&against).done();
    assert!(
        same.text()
            .starts_with("the keys of the cluster are those of dr/1\n"),
        "{}",
        same.text()
    );
    let json = scene
        .read(&[&against[..], &["--json"]].concat())
        .done()
        .json();
    assert_eq!(
        (json["keys"].as_str(), json["against"].as_str()),
        (Some("same"), Some("dr/1"))
    );
    scene.run(&["backup"]).done();

    // An old backup of the vendor's own commands is as good as one of ours.
    imported(&it, &folder);
}

fn imported(it: &Installed, folder: &Path) {
    let scene = &it.scene;
    let import = ["import", "dr", "--layout", "datarobot", "old"];
    for name in ["rabbit", "mongo"] {
        fs::remove_file(folder.join(format!("secrets/certs/{name}.json"))).expect("ours only");
    }
    let named = ["--certificate", "rabbit=rabbit-cert.pem"];
    let read = scene.run(&[&import[..], &named].concat()).done();
    for words in [
        "mongo holds its certificate is not in the folder",
        "says nothing of types",
    ] {
        assert!(read.stderr.contains(words), "{}", read.stderr);
    }
    let against = ["check", "dr", "--against", "dr"];
    let same = scene.read(&against).done();
    assert!(
        same.text()
            .starts_with("the keys of the cluster are those of dr/3\n"),
        "{}",
        same.text()
    );
    let values = scene
        .read(&["export", "dr", "--format", "datarobot-values"])
        .done();
    let certs = "    - secret: \"mongo\"\n      path: \"mongo.crt\"\n    - secret: \"rabbit\"\n      path: \"rabbit-cert.pem\"\n";
    assert!(values.text().ends_with(certs), "{}", values.text());
    it.ctl(&["delete", "secret", "rabbit", "-n", "anew"]);
    scene
        .read(&["restore", "dr", "--only", "secrets/anew/rabbit", "--yes"])
        .done();
    let authority = fs::read_to_string(it.cluster.authority()).expect("a file");
    assert_eq!(
        it.value("anew", "rabbit", "rabbit-cert.pem"),
        base64(&authority)
    );

    // Without the Secret itself, its keys are there and nothing else of it.
    let credentials = folder.join("secrets/dr/core-credentials.json");
    let whole = fs::read(&credentials).expect("a file");
    fs::remove_file(&credentials).expect("a file");
    let words =
        "secrets/dr/core-credentials.json (is not there: of that Secret no more than the two keys";
    scene.run(&import).refused(1, &[words]);
    let partial = [&import[..], &["--allow-partial"]].concat();
    let read = scene.run(&partial).ended(3);
    let said = format!("{}{}", read.text(), read.stderr);
    assert!(said.contains("core-credentials.json"), "{said}");
    fs::write(&credentials, whole).expect("a file");

    let key = folder.join("secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt");
    fs::write(&key, "another").expect("a file");
    scene.run(&import).refused(
        1,
        &["DRSECURE_MONGO_ENCRYPTION_KEY.txt (is another one than in"],
    );
    fs::write(&key, "").expect("a file");
    scene.run(&import).refused(
        1,
        &["is empty: the command that should have filled it failed"],
    );
    scene
        .run(&[&import[..], &["--allow-partial"]].concat())
        .ended(3);
    std::os::unix::fs::symlink("/etc/passwd", folder.join("secrets/dr/x.json")).expect("a link");
    scene
        .run(&import)
        .refused(1, &["secrets/dr/x.json is neither a file nor a folder"]);
    scene
        .run(&["import", "dr", "--layout", "datarobot", "chart"])
        .refused(1, &["has no folder secrets"]);
    // Of nothing there is not even a part.
    fs::create_dir_all(scene.path("nothing/secrets/dr")).expect("a folder");
    scene
        .run(&[
            "import",
            "dr",
            "--layout",
            "datarobot",
            "nothing",
            "--allow-partial",
        ])
        .refused(
            1,
            &["there is no Secret in nothing, and neither of the two keys"],
        );
}

fn base64(text: &str) -> String {
    use std::process::{Command, Stdio};
    let mut child = Command::new("base64")
        .arg("-w0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("base64 runs");
    std::io::Write::write_all(
        &mut child.stdin.take().expect("it is piped"),
        text.as_bytes(),
    )
    .expect("it reads");
    let output = child.wait_with_output().expect("base64 runs");
    String::from_utf8(output.stdout).expect("it is text")
}

/// What is asked of the server is what servers have had since Kubernetes 1.19: its version, one namespace, and lists in pages of 500; a restore and a check ask for single objects beside.
#[test]
fn nothing_is_asked_for_that_old_servers_do_not_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("log"));
    fs::write(
        &policy,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata, users: [keeper], omitStages: [RequestReceived]}\n- level: None\n",
    )
    .expect("a file");
    let Some(it) = Installed::started(KubernetesOptions {
        users: vec!["keeper".to_owned()],
        arguments: vec![
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", log.display()),
        ],
        ..KubernetesOptions::default()
    }) else {
        return;
    };
    it.configure("keeper", "namespace: datarobot");
    let rights = ["policy", "kubernetes", "dr", "--user", "keeper"];
    let rights = it.scene.run(&rights).done().text();
    it.cluster.ctl_with(&["apply", "-f", "-"], &rights);
    it.scene.run(&["backup"]).done();
    let asked = |until: &str| {
        let read = || fs::read_to_string(&log).unwrap_or_default();
        it.cluster
            .wait_until("the log is written", |_| read().contains(until));
        let text = read();
        let asked = text.lines().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!("{} {}", event["verb"], event["requestURI"]).replace('"', "")
        });
        asked.collect::<BTreeSet<String>>()
    };
    let backup = [
        "get /api/v1/namespaces/datarobot",
        "get /version",
        "list /api/v1/namespaces/datarobot/secrets?limit=500",
    ];
    assert_eq!(asked("/secrets"), backup.map(str::to_owned).into());

    let more = [
        "policy",
        "kubernetes",
        "dr",
        "--user",
        "keeper",
        "--purpose",
        "restore",
    ];
    let more = it.scene.run(&more).done().text();
    it.cluster.ctl_with(&["apply", "-f", "-"], &more);
    it.ctl(&["delete", "secret", "rabbit", "-n", "datarobot"]);
    it.scene
        .read(&["restore", "dr", "--certificates", "--yes"])
        .done();
    it.patch("core-postgres", "password", "\"eA==\"");
    let overwrite = ["--yes", "--conflict", "overwrite"];
    for snapshot in ["dr/1", "dr.undo"] {
        let restore = [&["restore", snapshot][..], &overwrite].concat();
        it.scene.read(&restore).done();
    }
    it.scene.read(&["check", "dr", "--against", "dr/1"]).done();
    // A check looks for what refers to Secrets among kinds that 1.21 has, and finds out first whether the server has them.
    let secrets = "/api/v1/namespaces/datarobot/secrets";
    let singles = ["core-credentials", "core-postgres", "mongo", "rabbit"];
    let singles = singles.map(|name| format!("get {secrets}/{name}"));
    let kinds = [
        "/api/v1 pods serviceaccounts",
        "/apis/apps/v1 daemonsets deployments statefulsets",
        "/apis/batch/v1 cronjobs jobs",
        "/apis/networking.k8s.io/v1 ingresses",
    ];
    let lists = kinds.iter().flat_map(|line| {
        let (group, kinds) = line.split_once(' ').expect("a group and its kinds");
        let list = move |kind| format!("list {group}/namespaces/datarobot/{kind}?limit=500");
        kinds.split(' ').map(list)
    });
    let looked_up = kinds.iter().flat_map(|line| {
        let group = line.split(' ').next().expect("a group");
        let of_all = group.trim_end_matches("/v1");
        let of_all = (of_all != "/api").then(|| format!("get {of_all}"));
        of_all.into_iter().chain([format!("get {group}")])
    });
    let mut expected: BTreeSet<String> = backup.map(str::to_owned).into();
    expected.extend(singles);
    expected.extend(lists);
    expected.extend(looked_up);
    expected.extend([
        format!("get {secrets}/sh.helm.release.v1.dr.v1"),
        "get /apis/cert-manager.io".to_owned(),
        "list /api/v1/secrets?limit=500&labelSelector=sealedsecrets.bitnami.com%2Fsealed-secrets-key".to_owned(),
        format!("create {secrets}?fieldManager=strongroom"),
        format!("update {secrets}/core-postgres?fieldManager=strongroom"),
        format!("patch {secrets}/core-postgres"),
    ]);
    assert_eq!(asked("update"), expected);
}

/// One job that cannot be asked keeps no other from it.
#[test]
fn every_job_is_checked_and_those_that_fail_are_named() {
    let Some(it) = Installed::new() else { return };
    let kubeconfig = it.cluster.admin();
    let kubeconfig = kubeconfig.display();
    let nowhere = fs::read_to_string(it.cluster.admin()).expect("a kubeconfig");
    let nowhere = nowhere.replace(&it.cluster.url(), "https://127.0.0.1:1");
    it.scene.write("nowhere", nowhere);
    it.scene.configure(&format!(
        "  a: {{sources: [{{datarobot: {{kubeconfig: nowhere, namespace: datarobot}}}}]}}\n\
         \x20 b: {{sources: [{{name: one, kubernetes: {{kubeconfig: missing}}}}, {{name: two, kubernetes: {{kubeconfig: '{kubeconfig}', namespaces: [gone]}}}}]}}\n\
         \x20 c: {{sources: [{{datarobot: {{kubeconfig: '{kubeconfig}', namespace: datarobot}}}}]}}\n"
    ));
    it.patch("core-credentials", "drsecurekey", "null");
    let seen = it.scene.run(&["check"]).ended(15);
    for words in [
        "check a: source `datarobot`: https://127.0.0.1:1 cannot be reached",
        "check b: source `one`: ",
        "missing",
    ] {
        assert!(seen.stderr.contains(words), "{}", seen.stderr);
    }
    assert!(
        seen.text()
            .contains("! c datarobot: secrets/datarobot/core-credentials drsecurekey"),
        "{}",
        seen.text()
    );
    let json = it.scene.run(&["check", "--json"]).ended(15).json();
    assert_eq!(json["failed"][0]["job"], "a", "{json}");
    assert_eq!(json["failed"][0]["exit_code"], 15, "{json}");
    it.scene.run(&["check", "c"]).ended(3);
}

/// What a server that never says anything, or something else, does to a backup.
#[test]
fn a_server_that_hangs_or_talks_of_other_things_ends_the_backup() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    let scene = Scene::new();
    let serve = |says: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                // Not before it was asked: that would be another fault.
                if !says.is_empty() && stream.read(&mut [0; 4096]).is_ok() {
                    let _ = stream.write_all(says);
                }
                held.push(stream);
            }
        });
        port
    };
    for (says, scheme, code, words) in [
        (&b""[..], "http", 15, "did not answer within 1 s"),
        (b"", "https", 15, "https://127.0.0.1"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<htm>",
            "http",
            1,
            "not one of the Kubernetes API",
        ),
        (b"SSH-2.0-x\r\n", "http", 15, "127.0.0.1"),
    ] {
        let port = serve(says);
        scene.write(
            "kubeconfig",
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{scheme}://127.0.0.1:{port}'}}}}]\n\
                 users: [{{name: c, user: {{token: hunter2}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: c}}}}]\n"
            ),
        );
        // A busy machine is no server that hangs.
        let timeout = if says.is_empty() { "1s" } else { "30s" };
        scene.configure(&format!(
            "  dr: {{sources: [{{datarobot: {{kubeconfig: kubeconfig, connect_timeout: {timeout}, answer_timeout: {timeout}}}}}]}}\n"
        ));
        let began = std::time::Instant::now();
        let seen = scene.run(&["backup"]).refused(code, &[words]);
        assert!(began.elapsed().as_secs() < 60, "{words}");
        let checked = scene.run(&["check"]);
        checked.refused(code, &["check dr: source `datarobot`: ", words]);
        let limit = if says.is_empty() { 20 } else { 60 };
        assert!(began.elapsed().as_secs() < limit, "{words}");
        assert!(!seen.stderr.contains("hunter2"), "{}", seen.stderr);
    }
}
