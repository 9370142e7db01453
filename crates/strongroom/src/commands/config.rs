//! `config`: what is in force, and where each value comes from.

mod kubernetes;

use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::place::KeyId;
use crate::config::resolve::{Command, Etcd, Files, Job, Kind, Tls};
use crate::config::retention::Retention;
use crate::config::{Place, Setting, Settings};

/// Every setting in force, in the order of the file.
#[derive(Serialize)]
pub(crate) struct InForce {
    /// The configuration that was read.
    configuration: Option<String>,
    settings: Vec<Line>,
}

/// One setting: its place in the file's grammar, its value (of a secret, the reference), and who said so.
#[derive(Serialize)]
struct Line {
    key: String,
    value: Value,
    origin: String,
}

/// Lists `settings`. No secret is read for this.
pub(crate) fn config(settings: &Settings) -> InForce {
    let mut listing = Listing::default();
    if let (Some(place), false) = (&settings.repository, settings.several) {
        listing.place("repository", place);
    }
    for named in &settings.repositories {
        listing.place(&format!("repositories.{}", named.name), &named.place);
    }
    let bucket = |place: &Place| place.directory().is_none();
    let cached = settings.places().any(bucket) || settings.cache_is_said;
    let cache = settings.cache.as_ref().filter(|_| cached);
    listing.optional("cache", cache, |path| path_value(path));
    listing.list("recipients", &settings.recipients, |text| json!(text));
    listing.optional("writer_key", settings.writer_key.as_ref(), |path| {
        path_value(path)
    });
    listing.list("trusted_writers", &settings.trusted_writers, |writer| {
        json!(writer)
    });
    listing.optional("maintainer_key", settings.maintainer_key.as_ref(), |path| {
        path_value(path)
    });
    listing.list(
        "trusted_maintainers",
        &settings.trusted_maintainers,
        |maintainer| json!(maintainer),
    );
    listing.list("identities", &settings.identities, |path| path_value(path));
    listing.retention("retention", &settings.retention);
    let passphrase = settings.identity_passphrase.as_ref();
    listing.optional("identity_passphrase", passphrase, |reference| {
        json!(reference)
    });
    for (name, job) in &settings.jobs {
        listing.job(&format!("jobs.{name}"), job);
    }
    let configuration = settings
        .file
        .as_ref()
        .map(|path| path.display().to_string());
    InForce {
        configuration,
        settings: listing.lines,
    }
}

#[derive(Default)]
struct Listing {
    lines: Vec<Line>,
}

impl Listing {
    fn place(&mut self, key: &str, place: &Place) {
        let options = &place.options;
        self.one(key, &place.address, |address| json!(address.to_string()));
        let key = |name: &str| format!("{key}.{name}");
        self.optional(&key("endpoint"), options.endpoint.as_ref(), |text| {
            json!(text)
        });
        self.optional(&key("allow_http"), options.allow_http.as_ref(), |value| {
            json!(value)
        });
        self.optional(&key("ca"), options.ca.as_ref(), |path| path_value(path));
        self.optional(&key("region"), options.region.as_ref(), |text| json!(text));
        self.optional(&key("path_style"), options.path_style.as_ref(), |value| {
            json!(value)
        });
        self.optional(
            &key("access_key_id"),
            options.access_key_id.as_ref(),
            |id| match id {
                KeyId::Text(text) => json!(text),
                KeyId::Reference(reference) => json!(reference),
            },
        );
        for (name, reference) in [
            ("secret_access_key", &options.secret_access_key),
            ("session_token", &options.session_token),
            ("sse_customer_key", &options.sse_customer_key),
            ("service_account", &options.service_account),
            ("account_key", &options.account_key),
            ("sas", &options.sas),
        ] {
            self.optional(&key(name), reference.as_ref(), |reference| json!(reference));
        }
        let process = options.credential_process.as_ref();
        self.optional(&key("credential_process"), process, |words| json!(words));
        for (name, text) in [
            ("sse", &options.sse),
            ("sse_kms_key", &options.sse_kms_key),
            ("storage_class", &options.storage_class),
            ("account", &options.account),
        ] {
            self.optional(&key(name), text.as_ref(), |text| json!(text));
        }
        self.optional(&key("lock"), options.lock.as_ref(), |lock| {
            json!(lock.to_string())
        });
        self.optional(&key("timeout"), options.timeout.as_ref(), |period| {
            json!(period)
        });
        self.optional(&key("retries"), options.retries.as_ref(), |count| {
            json!(count)
        });
        self.optional(&key("deadline"), options.deadline.as_ref(), |period| {
            json!(period)
        });
        self.optional(
            &key("limit_upload"),
            options.limit_upload.as_ref(),
            |rate| json!(rate),
        );
        self.optional(
            &key("single_writer"),
            options.single_writer.as_ref(),
            |value| json!(value),
        );
        self.optional(&key("keys"), options.platform.as_ref(), |platform| {
            json!(platform.to_string())
        });
    }

    fn job(&mut self, key: &str, job: &Job) {
        for (index, source) in job.sources.iter().enumerate() {
            let key = format!("{key}.sources[{index}]");
            self.one(&format!("{key}.name"), &source.name, |text| json!(text));
            let key = format!("{key}.{}", source.kind.key());
            match &source.kind {
                Kind::Files(files) => self.files(&key, files),
                Kind::Etcd(etcd) => self.etcd(&key, etcd),
                Kind::Kubernetes(kubernetes) => self.kubernetes(&key, kubernetes),
                Kind::Command(command) => self.command(&key, command),
            }
        }
        let repositories = format!("{key}.repositories");
        self.list(&repositories, &job.repositories, |text| json!(text));
        self.one(
            &format!("{key}.allow_partial"),
            &job.allow_partial,
            |value| json!(value),
        );
        let window = job.window.as_ref();
        self.optional(&format!("{key}.window"), window, |period| json!(period));
        if let Some(retention) = &job.retention {
            self.retention(&format!("{key}.retention"), retention);
        }
    }

    fn retention(&mut self, key: &str, retention: &Retention) {
        for (rule, count) in [
            ("keep_last", &retention.keep_last),
            ("hourly", &retention.hourly),
            ("daily", &retention.daily),
            ("weekly", &retention.weekly),
            ("monthly", &retention.monthly),
            ("yearly", &retention.yearly),
            ("min_count", &retention.min_count),
        ] {
            let key = format!("{key}.{rule}");
            self.optional(&key, count.as_ref(), |count| json!(count));
        }
        for (rule, period) in [
            ("within", &retention.within),
            ("max_age", &retention.max_age),
        ] {
            let key = format!("{key}.{rule}");
            self.optional(&key, period.as_ref(), |period| json!(period));
        }
        for (rule, period) in [("min_age", &retention.min_age), ("grace", &retention.grace)] {
            self.one(&format!("{key}.{rule}"), period, |period| json!(period));
        }
        self.one(&format!("{key}.time_zone"), &retention.time_zone, |zone| {
            json!(zone.iana_name())
        });
    }

    fn files(&mut self, key: &str, files: &Files) {
        self.list(&format!("{key}.paths"), &files.paths, |path| {
            path_value(path)
        });
        self.list(&format!("{key}.include"), &files.include, |text| {
            json!(text)
        });
        self.list(&format!("{key}.exclude"), &files.exclude, |text| {
            json!(text)
        });
        self.one(
            &format!("{key}.one_filesystem"),
            &files.one_filesystem,
            |value| json!(value),
        );
    }

    fn etcd(&mut self, key: &str, etcd: &Etcd) {
        self.list(&format!("{key}.endpoints"), &etcd.endpoints, |text| {
            json!(text)
        });
        let json = |value: &bool| json!(value);
        self.optional(&format!("{key}.advertised"), etcd.advertised.as_ref(), json);
        self.optional(&format!("{key}.member"), etcd.member.as_ref(), |text| {
            json!(text)
        });
        let compare = etcd.compare_hashes.as_ref();
        self.optional(&format!("{key}.compare_hashes"), compare, json);
        if let Some(tls) = &etcd.tls {
            self.tls(&format!("{key}.tls"), tls);
        }
        self.optional(&format!("{key}.username"), etcd.username.as_ref(), |text| {
            json!(text)
        });
        self.optional(
            &format!("{key}.password"),
            etcd.password.as_ref(),
            |reference| json!(reference),
        );
        self.optional(&format!("{key}.proxy"), etcd.proxy.as_ref(), |proxy| {
            json!(proxy)
        });
        self.one(
            &format!("{key}.connect_timeout"),
            &etcd.connect_timeout,
            |period| json!(period),
        );
        self.one(
            &format!("{key}.request_timeout"),
            &etcd.request_timeout,
            |period| json!(period),
        );
        self.one(
            &format!("{key}.idle_timeout"),
            &etcd.idle_timeout,
            |period| json!(period),
        );
    }

    fn tls(&mut self, key: &str, tls: &Tls) {
        self.one(&format!("{key}.ca"), &tls.ca, |path| path_value(path));
        self.optional(&format!("{key}.cert"), tls.cert.as_ref(), |path| {
            path_value(path)
        });
        self.optional(&format!("{key}.key"), tls.key.as_ref(), |path| {
            path_value(path)
        });
        self.optional(
            &format!("{key}.server_name"),
            tls.server_name.as_ref(),
            |text| json!(text),
        );
    }

    fn command(&mut self, key: &str, command: &Command) {
        self.one(&format!("{key}.run"), &command.run, |words| json!(words));
        self.optional(
            &format!("{key}.restore"),
            command.restore.as_ref(),
            |words| json!(words),
        );
        for (name, value) in &command.environment {
            self.one(&format!("{key}.environment.{name}"), value, |value| {
                json!(value)
            });
        }
        self.optional(
            &format!("{key}.working_directory"),
            command.working_directory.as_ref(),
            |path| path_value(path),
        );
        self.one(&format!("{key}.timeout"), &command.timeout, |period| {
            json!(period)
        });
        self.one(
            &format!("{key}.allow_empty"),
            &command.allow_empty,
            |value| json!(value),
        );
        self.one(&format!("{key}.entry"), &command.entry, |text| json!(text));
    }

    fn list<T>(&mut self, key: &str, settings: &[Setting<T>], value: impl Fn(&T) -> Value) {
        for (index, setting) in settings.iter().enumerate() {
            self.one(&format!("{key}[{index}]"), setting, &value);
        }
    }

    fn optional<T>(
        &mut self,
        key: &str,
        setting: Option<&Setting<T>>,
        value: impl Fn(&T) -> Value,
    ) {
        if let Some(setting) = setting {
            self.one(key, setting, value);
        }
    }

    fn one<T>(&mut self, key: &str, setting: &Setting<T>, value: impl Fn(&T) -> Value) {
        let origin = setting.origin.to_string();
        self.lines.push(Line {
            key: key.to_owned(),
            value: value(&setting.value),
            origin,
        });
    }
}

/// A path for people: what is not UTF-8 in it is replaced.
fn path_value(path: &Path) -> Value {
    json!(path.display().to_string())
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.configuration {
            Some(path) => writeln!(f, "# {path}")?,
            None => writeln!(
                f,
                "# no configuration was found; see `strongroom help config`"
            )?,
        }
        let width = self
            .settings
            .iter()
            .map(|line| line.key.len())
            .max()
            .unwrap_or_default();
        for line in &self.settings {
            let value = match &line.value {
                Value::String(text) => archive::Name::from(text.as_str()).to_string(),
                other => other.to_string(),
            };
            writeln!(f, "{:width$}  {value}  ({})", line.key, line.origin)?;
        }
        Ok(())
    }
}
