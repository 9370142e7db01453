use std::env;

use format::JobName;

use super::super::file;
use super::super::origin::{At, Origin, Setting};
use super::kubernetes::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use super::{Kind, Kubernetes, Resolver, SourceSettings, recipient};
use crate::failure::Failure;

pub(crate) use file::Driver;

/// The variable that the vendor's procedure has for the namespace.
const NAMESPACE: &str = "DR_CORE_NAMESPACE";
/// What both the namespace and the release are called by default.
const DR: &str = "dr";

/// What makes a source of Kubernetes one of DataRobot.
pub(crate) struct DataRobot {
    pub(crate) namespace: Setting<String>,
    pub(crate) release: Setting<String>,
    pub(crate) driver: Setting<Driver>,
    /// To whom its keys are sealed in a job of their own; nobody, if they are not.
    pub(crate) keys: Vec<Setting<String>>,
}

impl Resolver {
    pub(super) fn data_robot(&self, file: file::DataRobot) -> Result<Kubernetes, Failure> {
        let namespace = match file.namespace {
            Some(at) => {
                check_name(&at.value, "a namespace", 63)
                    .map_err(|message| self.wrong(&at, message))?;
                self.as_is(at)
            }
            None => namespace(env::var(NAMESPACE).ok())?,
        };
        if let Some(at) = &file.release {
            check_name(&at.value, "a release", 53).map_err(|message| self.wrong(at, message))?;
        }
        let driver = self.or(file.driver, Driver::Secret);
        let keys = match file.keys {
            Some(at) if at.value.recipients.is_empty() => {
                return Err(self.wrong(&at, "`keys` has no recipients"));
            }
            Some(at) => self.all(at.value.recipients, recipient)?,
            None => Vec::new(),
        };
        let resources = (driver.value == Driver::ConfigMap).then(|| Setting {
            value: "configmaps".to_owned(),
            origin: driver.origin.clone(),
        });
        Ok(Kubernetes {
            kubeconfig: file.kubeconfig.map(|at| self.path(&at)).transpose()?,
            context: file.context.map(|at| self.as_is(at)),
            namespaces: vec![namespace.clone()],
            resources: resources.into_iter().collect(),
            connect_timeout: self.timeout(file.connect_timeout, CONNECT_TIMEOUT)?,
            answer_timeout: self.timeout(file.answer_timeout, ANSWER_TIMEOUT)?,
            preset: Some(DataRobot {
                namespace,
                release: self.or(file.release, DR.to_owned()),
                driver,
                keys,
            }),
            ..Kubernetes::default()
        })
    }

    /// That the keys of a job can be kept apart: by one source, in a job whose name nobody else uses.
    pub(super) fn check_keys_apart(
        &self,
        place: &At<()>,
        name: &str,
        sources: &[SourceSettings],
        jobs: &[String],
    ) -> Result<(), Failure> {
        let apart = sources.iter().filter(|source| !keys(source).is_empty());
        let job = format!("{name}-keys");
        match apart.count() {
            1 if job.parse::<JobName>().is_err() => Err(self.wrong(
                place,
                format!("the name {name} is too long: the job for its keys would be called {job}"),
            )),
            1 if jobs.contains(&job) => Err(self.wrong(
                place,
                format!("the job {job} is in the configuration, and {name} keeps its keys in a job of that name"),
            )),
            0 | 1 => Ok(()),
            _ => Err(self.wrong(place, "only one source of a job can have `keys`")),
        }
    }
}

/// To whom the keys of a source are sealed in a job of their own.
pub(super) fn keys(source: &SourceSettings) -> &[Setting<String>] {
    match &source.kind {
        Kind::Kubernetes(settings) => settings.preset.as_ref().map_or(&[], |preset| &preset.keys),
        _ => &[],
    }
}

fn namespace(variable: Option<String>) -> Result<Setting<String>, Failure> {
    let Some(value) = variable.filter(|value| !value.is_empty()) else {
        return Ok(Setting::default(DR.to_owned()));
    };
    check_name(&value, "a namespace", 63)
        .map_err(|message| Failure::usage(format!("{NAMESPACE}: {message}")))?;
    Ok(Setting {
        value,
        origin: Origin::Variable(NAMESPACE),
    })
}

/// Names of namespaces and of releases.
fn check_name(text: &str, of: &str, longest: usize) -> Result<(), String> {
    let usual = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let good = bytes.iter().all(|b| usual(*b) || *b == b'-')
        && bytes.first().is_some_and(|b| usual(*b))
        && bytes.last().is_some_and(|b| usual(*b))
        && bytes.len() <= longest;
    if good {
        return Ok(());
    }
    let shown = archive::Name::from(text);
    Err(format!(
        "\"{shown}\" cannot be the name of {of}: use 1 to {longest} of a-z, 0-9 and '-', with a letter or a digit at both ends"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_the_vendors_variable_or_dr() {
        let found = |text: Option<&str>| namespace(text.map(str::to_owned));
        let value = |text| found(text).unwrap_or_else(|error| panic!("{error}")).value;
        assert_eq!(value(None), "dr");
        assert_eq!(value(Some("")), "dr");
        assert_eq!(value(Some("prod-1")), "prod-1");
        for bad in ["Prod", "-a", "a-", "../a", "a b", &"x".repeat(64)] {
            let error = found(Some(bad)).expect_err(bad).to_string();
            assert!(error.starts_with("DR_CORE_NAMESPACE: "), "{error}");
        }
    }
}
