//! What helm keeps of a release, what stands in the Secrets of DataRobot, and a folder of its procedure.

use std::collections::BTreeMap;

use archive::{Attributes, FieldHeader, Header, Name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foreign::Files;
use foreign::datarobot::{Inspected, Inspection, import};

/// A name, labels, and values by their keys.
type Secret<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, &'a [u8])]);

fn inspected(objects: &[Secret<'_>]) -> Inspected {
    let mut inspection = Inspection::new("dr", "n", true);
    for (name, labels, data) in objects {
        let field = |(key, value): &(&str, &[u8])| FieldHeader {
            key: Name::from(*key),
            length: value.len() as u64,
        };
        let labels = labels.map(|labels| ("labels", labels.to_owned()));
        let header = Header {
            name: Name::from(format!("secrets/n/{name}").as_str()),
            attributes: Attributes::from_iter(labels),
            fields: Some(data.iter().map(field).collect()),
        };
        let content: Vec<&[u8]> = data.iter().map(|(_, value)| *value).collect();
        inspection.add(&header, &content.concat());
    }
    inspection.finish(1_800_000_000)
}

const LABELS: &str = r#"{"owner":"helm","name":"dr","status":"deployed","version":"1"}"#;

/// A record of a release, as it is or, if it begins with 1, base64 of the rest: each certificate that it names is missing, and so is
/// what it should have said if it is none.
pub fn helm(bytes: &[u8]) {
    let packed;
    let record = match bytes.split_first() {
        Some((1, json)) => {
            packed = STANDARD.encode(json).into_bytes();
            &packed
        }
        _ => bytes,
    };
    let found = inspected(&[(
        "sh.helm.release.v1.dr.v1",
        Some(LABELS),
        &[("release", record)],
    )]);
    assert_eq!(found.facts["datarobot.revision"], "1");
    for (name, why) in found.missing {
        assert!(name.to_string().starts_with("secrets/n/") && why.lines().count() == 1);
    }
}

/// A value in the place of the key pair, and of a certificate: it is sound, or why not is told without it.
pub fn value(bytes: &[u8]) {
    let record = STANDARD.encode(r#"{"config":{"certs":[{"secret":"c","path":"p"}]}}"#);
    let found = inspected(&[
        ("c", None, &[("p", bytes)]),
        (
            "core-credentials",
            None,
            &[("asymmetrickey", bytes), ("drsecurekey", b"d")],
        ),
        (
            "sh.helm.release.v1.dr.v1",
            Some(LABELS),
            &[("release", record.as_bytes())],
        ),
    ]);
    let empty = bytes.trim_ascii().is_empty();
    let about = |name: &str| {
        found
            .missing
            .iter()
            .filter(|(missing, _)| missing.to_string().contains(name))
            .count()
    };
    assert_eq!(about("secrets/n/c p"), usize::from(empty));
    assert!(about("asymmetrickey") >= usize::from(empty));
    assert_eq!(
        found.facts.contains_key("datarobot.certificate.c/p"),
        !empty
    );
}

/// The bytes as every file of a folder: what it becomes are Secrets, and what it lacks are sentences.
pub fn folder(bytes: &[u8]) {
    let paths = [
        "dr/core-credentials.json",
        "pcs/a.json",
        "certs/b.crt",
        "certs/c.crt",
        "certs/c.json",
        "DRSECURE_MONGO_ENCRYPTION_KEY.txt",
    ];
    let files: Files = paths
        .iter()
        .map(|path| (format!("secrets/{path}"), bytes.to_vec().into()))
        .collect();
    let Ok(read) = import(&files, "dr", "n", &BTreeMap::new()) else {
        panic!("these are the procedure's names");
    };
    for object in &read.objects {
        let data = object["data"].as_object().expect("a map");
        for value in data.values() {
            let text = value.as_str().expect("a text");
            assert!(STANDARD.decode(text).is_ok());
        }
    }
    for sentence in read
        .notes
        .iter()
        .chain(read.missing.iter().map(|(_, why)| why))
    {
        assert_eq!(sentence.lines().count(), 1);
    }
}
