//! `config convert`: the strongroom.yaml that does what another tool's configuration does.

use std::fmt::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use format::Recipients;
use repository::{Address, Service};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::{Convert, ConvertEtcdBackup, ConvertOf};
use crate::config::reference::Reference;
use crate::etcd_backup::Config;
use crate::failure::Failure;
use crate::names::check_name;
use crate::units::Period;

/// A configuration, and what is to be done about it.
pub(crate) struct Converted {
    configuration: Value,
    text: String,
    pub(crate) notes: Vec<String>,
}

/// Converts it, for the repository at this address, or at one that is proposed. Nothing is asked of a server, and no secret is read.
pub(crate) fn convert(convert: &Convert, address: Option<&str>) -> anyhow::Result<Converted> {
    match &convert.of {
        ConvertOf::EtcdBackup(from) => etcd_backup(from, address),
    }
}

fn etcd_backup(from: &ConvertEtcdBackup, address: Option<&str>) -> anyhow::Result<Converted> {
    let config = Config::load(&from.from)?;
    let recipients = from.recipient.iter().map(String::as_str);
    Recipients::parse(recipients.clone())
        .map(drop)
        .or_else(|error| {
            if from.recipient.is_empty() {
                return Ok(());
            }
            Err(Failure::usage(format!("--recipient: {error}")))
        })?;
    let job = match &from.job {
        Some(job) => job.to_string(),
        None => job_name(config.s3.names.prefix()),
    };
    let configuration = json!({
        "repository": repository(&config, address)?,
        "recipients": recipients.collect::<Vec<_>>(),
        "writer_key": "writer.key",
        // What `etcd-backup prune` keeps without flags.
        "retention": {"max_age": "15d", "min_count": 20},
        "jobs": {job.clone(): {"sources": [{"etcd": etcd(&config)?}]}},
    });
    let mut notes = vec![
        "make the keys: strongroom keygen --output identity.txt (keep it away from this host), strongroom keygen --writer --output writer.key"
            .to_owned(),
        "then: strongroom init".to_owned(),
        format!(
            "take the history over before the first backup: strongroom import etcd-backup -c {} {job}",
            from.from.display()
        ),
    ];
    if from.recipient.is_empty() {
        notes.insert(
            1,
            "put the recipient that keygen prints into `recipients`, which is empty".to_owned(),
        );
    }
    let unknown = config.unknown.iter();
    notes.extend(
        unknown.map(|key| format!("`{key}` is no key of etcd-backup 0.3, and has no counterpart")),
    );
    let text = yaml(&config.path, &configuration);
    Ok(Converted {
        configuration,
        text,
        notes,
    })
}

/// In the bucket that there is, where etcd-backup does not look, or in another one of that server; or elsewhere.
fn repository(config: &Config, address: Option<&str>) -> anyhow::Result<Value> {
    let s3 = &config.s3;
    let proposed = format!("s3://{}/strongroom", s3.bucket.name);
    let address = address.unwrap_or(&proposed);
    let parsed = address.parse::<Address>();
    match parsed.map_err(|error| Failure::usage(format!("--repo: {error}")))? {
        Address::Bucket(bucket) if bucket.service == Service::S3 => {}
        _ => return Ok(json!(address)),
    }
    let key = |key: &str| -> anyhow::Result<Value> {
        let path = absolute(&s3.key_auth)?;
        Ok(json!(Reference::Key(path.into(), key.to_owned())))
    };
    let mut repository = json!({
        "url": address,
        "endpoint": s3.endpoint,
        "access_key_id": key("access_key")?,
        "secret_access_key": key("secret_key")?,
    });
    let map = repository.as_object_mut().expect("it is one");
    if let Some(ca) = &s3.ca_cert {
        map.insert("ca".to_owned(), json!(absolute(ca)?));
    }
    if let Some(region) = &s3.region {
        map.insert("region".to_owned(), json!(region));
    }
    let timeout = s3.request_timeout.or(s3.connection_timeout);
    insert_period(map, "timeout", timeout);
    Ok(repository)
}

fn etcd(config: &Config) -> anyhow::Result<Value> {
    let client = &config.etcd;
    let mut tls = json!({"ca": absolute(&client.tls.ca)?});
    if let Some(pair) = &client.tls.client {
        tls["cert"] = json!(absolute(&pair.certificate)?);
        tls["key"] = json!(absolute(&pair.key)?);
    }
    let mut etcd = json!({"endpoints": client.endpoints, "tls": tls});
    let map = etcd.as_object_mut().expect("it is one");
    if let Some(path) = &client.password_auth {
        let path = absolute(path)?;
        let user = Reference::Key(path.clone().into(), "username".to_owned());
        // A name is no secret, and stands in the configuration as it is.
        map.insert("username".to_owned(), json!(user.read_text()?));
        let password = Reference::Key(path.into(), "password".to_owned());
        map.insert("password".to_owned(), json!(password));
    }
    insert_period(map, "connect_timeout", client.connection_timeout);
    insert_period(map, "request_timeout", client.request_timeout);
    Ok(etcd)
}

fn insert_period(map: &mut Map<String, Value>, key: &str, period: Option<std::time::Duration>) {
    if let Some(period) = period {
        map.insert(key.to_owned(), json!(Period::of(period)));
    }
}

/// What is relative there is relative to the working directory, and here to the file.
fn absolute(path: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(path);
    let absolute = absolute.with_context(|| format!("look for {}", path.display()))?;
    let text = absolute.to_str();
    let text =
        text.with_context(|| format!("{} is not UTF-8, which YAML must be", path.display()))?;
    Ok(text.to_owned())
}

/// The prefix, as far as it can be a job's name.
fn job_name(prefix: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' => c,
        _ => '-',
    };
    let name: String = prefix.chars().map(plain).collect();
    let name: String = name.trim_matches('-').chars().take(63).collect();
    if check_name(&name).is_ok() {
        name
    } else {
        "etcd".to_owned()
    }
}

/// In the order in which it is explained. JSON's texts, lists and numbers are YAML too.
fn yaml(from: &Path, configuration: &Value) -> String {
    let mut text = format!(
        "# Made by `strongroom config convert etcd-backup` of {}.\n",
        archive::Name::new(from.as_os_str().as_encoded_bytes())
    );
    for key in [
        "repository",
        "recipients",
        "writer_key",
        "retention",
        "jobs",
    ] {
        lines(&mut text, 0, key, &configuration[key]);
    }
    text
}

fn lines(text: &mut String, depth: usize, key: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let key = if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        key.to_owned()
    } else {
        json!(key).to_string()
    };
    match value {
        Value::Object(map) => {
            let _ = writeln!(text, "{indent}{key}:");
            for (key, value) in map {
                lines(text, depth + 1, key, value);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let _ = writeln!(text, "{indent}{key}:");
            for item in list {
                let mut inner = String::new();
                for (key, value) in item.as_object().into_iter().flatten() {
                    lines(&mut inner, depth + 2, key, value);
                }
                // The first line begins the item.
                let dash = format!("{indent}  - ");
                text.push_str(&dash);
                text.push_str(inner.trim_start());
            }
        }
        plain => {
            let _ = writeln!(text, "{indent}{key}: {plain}");
        }
    }
}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Converted {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.configuration.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_becomes_the_name_of_a_job() {
        for (prefix, name) in [
            ("backup", "backup"),
            ("prod/Etcd.1", "prod-etcd-1"),
            ("-x-", "x"),
            ("/", "etcd"),
            ("\u{e9}", "etcd"),
        ] {
            assert_eq!(job_name(prefix), name);
        }
        assert_eq!(job_name(&"x".repeat(100)).len(), 63);
    }
}
