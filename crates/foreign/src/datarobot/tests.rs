use super::*;
use crate::Files;
use crate::helm::tests::record;
use archive::{Attributes, Body, Digest, Entry, Field, Name};
use serde_json::json;

fn entry(name: &str, labels: &Value, data: &[(&str, &[u8])]) -> (Entry, Vec<u8>) {
    let field = |(key, value): &(&str, &[u8])| Field {
        key: Name::from(*key),
        length: value.len() as u64,
        digest: Digest::of(value),
    };
    let entry = Entry {
        name: Name::from(format!("secrets/n/{name}").as_str()),
        attributes: Attributes::from_iter([("labels", labels.to_string())]),
        body: Body::Record {
            fields: data.iter().map(field).collect(),
        },
    };
    let content = data.iter().flat_map(|(_, value)| value.iter().copied());
    (entry, content.collect())
}

fn folder(entries: &[(Entry, Vec<u8>)]) -> Result<Folder, String> {
    let mut gathering = Gathering::new("dr");
    for (entry, content) in entries {
        gathering
            .add(entry, content)
            .map_err(|error| error.to_string())?;
    }
    let installation = gathering
        .installation()
        .map_err(|error| error.to_string())?;
    super::folder(&installation).map_err(|error| error.to_string())
}

fn credentials(asymmetric: &[u8]) -> (Entry, Vec<u8>) {
    let data: [(&str, &[u8]); 2] = [("asymmetrickey", asymmetric), ("drsecurekey", b"d")];
    entry("core-credentials", &json!({INSTANCE: "dr"}), &data)
}

fn release(revision: u64, status: &str, values: &Value) -> (Entry, Vec<u8>) {
    let labels =
        json!({"owner": "helm", "name": "dr", "version": revision.to_string(), "status": status});
    entry(
        &format!("sh.helm.release.v1.dr.v{revision}"),
        &labels,
        &[("release", &record(values))],
    )
}

#[test]
fn what_is_missing_is_named() {
    let certs = json!({"globals": {"certs": [{"secret": "own", "path": "a/own.pem"}]}});
    let own = |key| entry("own", &json!({}), &[(key, b"pem")]);
    for (entries, message) in [
        (
            vec![],
            "no namespace of the snapshot has a Secret core-credentials",
        ),
        (
            vec![credentials(b"")],
            "core-credentials asymmetrickey is empty",
        ),
        (
            vec![entry(
                "core-credentials",
                &json!({}),
                &[("asymmetrickey", b"k")],
            )],
            "drsecurekey is not there",
        ),
        (
            vec![credentials(b"k"), release(1, "deployed", &certs)],
            "secrets/n/own is not there",
        ),
        (
            vec![credentials(b"k"), own("b"), release(1, "deployed", &certs)],
            "secrets/n/own own.pem is not there",
        ),
        (
            vec![
                credentials(b"k"),
                release(1, "deployed", &json!({"certs": [{"secret": "own"}]})),
            ],
            "without `secret` or `path`",
        ),
        (
            vec![
                credentials(b"k"),
                entry(
                    "sh.helm.release.v1.dr.v1",
                    &json!({"owner": "helm", "name": "dr", "version": "1", "status": "deployed"}),
                    &[("other", b"1")],
                ),
            ],
            "secrets/n/sh.helm.release.v1.dr.v1 says that it is a deployed release, and has no key release",
        ),
    ] {
        let error = folder(&entries).err().expect(message);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_release_that_was_named_has_to_be_there() {
    let installation = |entries: &[(Entry, Vec<u8>)]| {
        let mut gathering = Gathering::new("dr");
        for (entry, content) in entries {
            gathering
                .add(entry, content)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        gathering
            .installation()
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let keys: [(&str, &[u8]); 2] = [("asymmetrickey", b"a"), ("drsecurekey", b"d")];
    let unlabelled = || entry("core-credentials", &json!({}), &keys);
    let error = installation(&[unlabelled()])
        .must_be_released()
        .expect_err("it is not");
    assert!(
        error.to_string().starts_with("there is no release dr"),
        "{error}"
    );
    for there in [
        vec![credentials(b"a")],
        vec![unlabelled(), release(1, "failed", &json!({}))],
    ] {
        assert!(installation(&there).must_be_released().is_ok());
    }
}

#[test]
fn the_deployed_release_says_which_certificates_there_are() {
    let certs = |secret| json!({"certs": [{"secret": secret, "path": "own.pem"}]});
    let folder = folder(&[
        credentials(b"k"),
        entry("own", &json!({}), &[("own.pem", b"1"), ("z", b"2")]),
        release(2, "deployed", &certs("own")),
        release(1, "superseded", &certs("old")),
        release(3, "failed", &certs("new")),
    ]);
    let folder = folder.expect("a folder");
    let paths: Vec<&str> = folder.files.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "secrets/ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt",
            "secrets/DRSECURE_MONGO_ENCRYPTION_KEY.txt",
            "secrets/certs/own.crt",
            "secrets/certs/own.json",
            "secrets/dr/core-credentials.json",
        ]
    );
    assert_eq!(*folder.files["secrets/certs/own.crt"], b"MQ== Mg==");
    assert_eq!(folder.notes.len(), 1);
    assert!(
        folder.notes[0].contains("revision 2 of dr"),
        "{:?}",
        folder.notes
    );
}

/// Noon of 2029-12-10, 23 days before the certificate of 2030 ends.
const NOW: u64 = 1_891_598_400;

fn header(entry: &Entry) -> archive::Header {
    let Body::Record { fields } = &entry.body else {
        panic!("a record");
    };
    let field = |field: &Field| archive::FieldHeader {
        key: field.key.clone(),
        length: field.length,
    };
    archive::Header {
        name: entry.name.clone(),
        attributes: entry.attributes.clone(),
        fields: Some(fields.iter().map(field).collect()),
    }
}

fn inspected(released: bool, entries: &[(Entry, Vec<u8>)]) -> Inspected {
    let mut inspection = Inspection::new("dr", "n", released);
    for (entry, content) in entries {
        inspection.add(&header(entry), content);
    }
    inspection.finish(NOW)
}

const PAIR: &[u8] = include_bytes!("../../testdata/pair.pem");

#[test]
fn what_is_whole_is_told_in_facts() {
    let until = |year: &str| match year {
        "2030" => crate::certificate::tests::UNTIL_2030,
        _ => crate::certificate::tests::UNTIL_2060,
    };
    let certificate = |name, year| entry(name, &json!({}), &[("c.pem", until(year).as_bytes())]);
    let certs = ["soon", "late", "text"].map(|name| json!({"secret": name, "path": "c.pem"}));
    let found = inspected(
        true,
        &[
            credentials(PAIR),
            entry("late", &json!({}), &[("c.pem", until("2060").as_bytes())]),
            entry("p", &json!({INSTANCE: "pcs"}), &[]),
            release(4, "deployed", &json!({"globals": {"certs": certs}})),
            release(5, "failed", &json!({})),
            certificate("soon", "2030"),
            entry("text", &json!({}), &[("c.pem", b"text")]),
        ],
    );
    assert_eq!(found.missing, []);
    let facts: Vec<String> = found
        .facts
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    assert_eq!(
        facts,
        [
            "datarobot.certificate.late/c.pem 2060-01-02T03:04:05Z",
            "datarobot.certificate.soon/c.pem 2030-01-02T03:04:05Z",
            "datarobot.certificate.text/c.pem unknown",
            "datarobot.namespace n",
            "datarobot.release dr",
            "datarobot.revision 4",
            "datarobot.secrets 1",
            "datarobot.secrets.pcs 1",
        ]
    );
    let certificates = Certificate::of_facts(&found.facts);
    assert_eq!(certificates.len(), 3);
    let notes = found.notes.join("\n");
    for words in [
        "the newest, 5, is not",
        "secrets/n/soon c.pem expires on 2030-01-02T03:04:05Z, in 23 days",
        "secrets/n/text c.pem holds nothing that can be read",
    ] {
        assert!(notes.contains(words), "{notes}");
    }
    assert_eq!(found.notes.len(), 3, "{notes}");
    let keys = found.keys.expect("they are there");
    assert_eq!(*keys.values["asymmetrickey"], PAIR);
    assert_eq!(keys.values.len(), 2);
}

#[test]
fn all_that_is_missing_is_told_by_name() {
    let lacking = |released, entries: &[(Entry, Vec<u8>)]| {
        let found = inspected(released, entries).missing.into_iter();
        let found = found.map(|(name, why)| format!("{name}: {why}"));
        found.collect::<Vec<String>>().join("\n")
    };
    let certs = |certs: serde_json::Value| release(1, "deployed", &json!({"certs": certs}));
    let one = json!([{"secret": "own", "path": "../own.pem"}]);
    let own = |key, value: &[u8]| entry("own", &json!({}), &[(key, value)]);
    let empty = entry(
        "core-credentials",
        &json!({}),
        &[
            ("asymmetrickey", b"-----BEGIN PRIVATE KEY-----\nMAA"),
            ("drsecurekey", b"\n"),
        ],
    );
    for (entries, words) in [
        (
            vec![],
            vec![
                "secrets/n/core-credentials: is not there",
                "no deployed release dr",
            ],
        ),
        (
            vec![empty, release(1, "deployed", &json!({}))],
            vec![
                "core-credentials asymmetrickey: begins as PEM",
                "core-credentials drsecurekey: is empty",
            ],
        ),
        (
            vec![credentials(b"k"), certs(one.clone())],
            vec!["secrets/n/own: is not there"],
        ),
        (
            vec![
                credentials(b"k"),
                own("other.pem", b"x"),
                certs(one.clone()),
            ],
            vec!["secrets/n/own own.pem: is not there"],
        ),
        (
            vec![credentials(b"k"), own("own.pem", b" "), certs(one)],
            vec!["secrets/n/own own.pem: is empty"],
        ),
        (
            vec![credentials(b"k"), certs(json!({"own": 1}))],
            vec!["release.v1.dr.v1: has certificates in its values that are no list"],
        ),
        (
            vec![
                credentials(b"k"),
                certs(json!([{"secret": "", "path": "x"}])),
            ],
            vec!["without `secret` or `path`"],
        ),
    ] {
        let said = lacking(true, &entries);
        for words in &words {
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(said.lines().count(), words.len(), "{said}");
    }
    let mut garbage = release(1, "deployed", &json!({}));
    garbage.1[3] = b'!';
    assert!(lacking(true, &[credentials(b"k"), garbage]).contains("is no release record"));
    assert_eq!(lacking(false, &[credentials(b"k")]), "");
}

fn installation(entries: &[(Entry, Vec<u8>)]) -> Installation {
    let mut gathering = Gathering::new("dr");
    for (entry, content) in entries {
        gathering.add(entry, content).expect("it is taken");
    }
    gathering
        .installation()
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn values_hold_every_text_as_it_is() {
    let hard = "a: 'b'\n\t\"c\" # d\r\n\u{85}\u{2028}\u{feff}é\u{1f511}\u{0}";
    let certs = json!({"certs": [{"secret": "own", "path": "a/own.pem"}]});
    let entries = [
        credentials(hard.as_bytes()),
        entry("own", &json!({}), &[("own.pem", b"1")]),
        release(1, "deployed", &certs),
    ];
    let made = values(&installation(&entries)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(made.notes, Vec::<String>::new());
    let expected = "core:\n  services:\n    core:\n      asymmetrickey: \"a: 'b'\\n\\t\\\"c\\\" # d\\r\\n\\u0085\\u2028\\ufeffé\u{1f511}\\u0000\"\n      \
        drsecurekey: \"d\"\nglobals:\n  certs:\n    - secret: \"own\"\n      path: \"a/own.pem\"\n";
    assert_eq!(*made.yaml, expected);
    let error = values(&installation(&[credentials(b"\xff")])).err();
    let error = error.expect("it is no text").to_string();
    assert!(error.contains("asymmetrickey is not text"), "{error}");
}

fn files(files: &[(&str, &str)]) -> Files {
    let files = files.iter();
    files
        .map(|(path, content)| {
            (
                format!("secrets/{path}"),
                content.as_bytes().to_vec().into(),
            )
        })
        .collect()
}

/// `core-credentials` with the two keys.
const WHOLE: (&str, &str) = (
    "dr/core-credentials.json",
    r#"{"data": {"asymmetrickey": "YQ==", "drsecurekey": "ZA=="}}"#,
);
const ASYMMETRIC: &str = "ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt";
const SECURE: &str = "DRSECURE_MONGO_ENCRYPTION_KEY.txt";

#[test]
fn a_folder_becomes_secrets_again() {
    let paths = BTreeMap::from([("own".to_owned(), "rabbit/own.pem".to_owned())]);
    let folder = files(&[
        (
            "dr/core-credentials.json",
            r#"{"data": {"asymmetrickey": "YQ==", "other": ""}}"#,
        ),
        ("dr/empty.json", "{\n  \"data\": null\n}\n"),
        ("dr/pull.json", r#"{"data": {".dockerconfigjson": "e30="}}"#),
        ("pcs/db.json", r#"{"data": {"p": "cA=="}}"#),
        (ASYMMETRIC, "a"),
        (SECURE, "d"),
        ("certs/own.crt", "cGVt"),
        ("certs/byhand.crt", "-----BEGIN"),
        ("certs/ours.crt", "eQ== eg=="),
        ("certs/ours.json", r#"{"data": {"y": "eQ==", "z": "eg=="}}"#),
        ("README", "?"),
    ]);
    let read = import(&folder, "dr", "n", &paths).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.missing, []);
    let object = |name: &str| {
        let found = read
            .objects
            .iter()
            .find(|it| it["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(read.objects.len(), 7);
    let keys = json!({"asymmetrickey": "YQ==", "drsecurekey": "ZA==", "other": ""});
    assert_eq!(object("core-credentials")["data"], keys);
    assert_eq!(object("pull")["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(object("db")["metadata"]["labels"], json!({INSTANCE: "pcs"}));
    assert_eq!(object("own")["data"], json!({"own.pem": "cGVt"}));
    assert_eq!(object("own")["metadata"]["labels"], serde_json::Value::Null);
    assert_eq!(
        object("byhand")["data"],
        json!({"byhand.crt": "LS0tLS1CRUdJTg=="})
    );
    let notes = read.notes.join("\n");
    for words in [
        "byhand holds its certificate is not in the folder",
        "which key of ours holds the certificate",
        "secrets/README is none of the procedure's",
        "says nothing of types",
    ] {
        assert!(notes.contains(words), "{notes}");
    }
    assert_eq!(read.certificates.len(), 2);
}

#[test]
fn what_a_folder_lacks_is_told() {
    let none = BTreeMap::new();
    for (folder, words) in [
        (
            &[][..],
            &[
                "ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt: is not there",
                "DRSECURE_MONGO_ENCRYPTION_KEY.txt: is not there",
                "dr/core-credentials.json: is not there",
            ][..],
        ),
        (
            &[
                (ASYMMETRIC, "a"),
                (SECURE, "d"),
                ("dr/x.json", "{\"data\": {}}"),
            ],
            &["dr/core-credentials.json: is not there: of that Secret no more than"],
        ),
        (
            &[
                (ASYMMETRIC, ""),
                (SECURE, ""),
                ("dr/core-credentials.json", "{\"data\": {}}"),
            ],
            &[
                "ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt: is empty: the command",
                "ASYMMETRIC_KEY_PAIR_MONGO_ENCRYPTION_KEY.txt: is not there, nor in",
                "DRSECURE_MONGO_ENCRYPTION_KEY.txt: is empty: the command",
                "DRSECURE_MONGO_ENCRYPTION_KEY.txt: is not there, nor in",
            ],
        ),
        (
            &[
                (ASYMMETRIC, "a"),
                (SECURE, "d"),
                (
                    "dr/core-credentials.json",
                    r#"{"data": {"asymmetrickey": "Yg=="}}"#,
                ),
            ],
            &["asymmetrickey"],
        ),
        (
            &[(ASYMMETRIC, "a"), (SECURE, "d"), ("dr/x.json", ""), WHOLE],
            &["dr/x.json: is empty"],
        ),
        (
            &[
                (ASYMMETRIC, "a"),
                (SECURE, "d"),
                ("dr/x.json", "{\"data\": {\"k\": \"hunt"),
                WHOLE,
            ],
            &["dr/x.json: is not JSON"],
        ),
        (
            &[
                (ASYMMETRIC, "a"),
                (SECURE, "d"),
                ("dr/x.json", "{\"data\": {\"k\": \"hunter2!\"}}"),
                WHOLE,
            ],
            &["dr/x.json: has a value"],
        ),
        (
            &[
                (ASYMMETRIC, "a"),
                (SECURE, "d"),
                ("certs/c.crt", "YQ== Yg=="),
                WHOLE,
            ],
            &["c.crt: holds 2 values in one line"],
        ),
        (
            &[
                (ASYMMETRIC, "a"),
                (SECURE, "d"),
                ("certs/c.crt", "\n"),
                WHOLE,
            ],
            &["c.crt: is empty"],
        ),
    ] {
        let read =
            import(&files(folder), "dr", "n", &none).unwrap_or_else(|error| panic!("{error}"));
        let missing = read
            .missing
            .iter()
            .map(|(name, why)| format!("{name}: {why}"));
        let missing = missing.collect::<Vec<String>>().join("\n");
        assert_eq!(missing.lines().count(), words.len(), "{missing}");
        assert!(!missing.contains("hunter2"), "{missing}");
        for words in words.iter().filter(|words| **words != "asymmetrickey") {
            assert!(missing.contains(words), "{missing}");
        }
    }
}

#[test]
fn a_file_that_is_not_named_after_a_secret_is_refused() {
    let none = BTreeMap::new();
    for name in [
        "dr/../x.json",
        "dr/A.json",
        "dr/.json",
        "certs/a_b.crt",
        "dr/a..b.json",
    ] {
        let folder = files(&[(name, "{}")]);
        let read = import(&folder, "dr", "n", &none);
        // In a folder of a folder it is nobody's.
        let left_out = read
            .as_ref()
            .is_ok_and(|read| read.notes.join("").contains("was left out"));
        assert!(
            left_out
                || read
                    .err()
                    .expect(name)
                    .to_string()
                    .contains("not named after a Secret")
        );
    }
}
