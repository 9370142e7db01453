use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use source::kubernetes::{self, Access, Namespaces, Objects, Options, Timeouts};

use super::super::file;
use super::super::origin::{At, Setting};
use super::{DataRobot, Resolver, pattern};
use crate::failure::Failure;
use crate::units::Period;

pub(super) const CONNECT_TIMEOUT: Period = Period::seconds(10);
pub(super) const ANSWER_TIMEOUT: Period = Period::seconds(60);

pub(crate) struct Kubernetes {
    pub(crate) kubeconfig: Option<Setting<PathBuf>>,
    pub(crate) context: Option<Setting<String>>,
    pub(crate) namespaces: Vec<Setting<String>>,
    pub(crate) exclude_namespaces: Vec<Setting<String>>,
    pub(crate) namespace_labels: Option<Setting<String>>,
    pub(crate) resources: Vec<Setting<String>>,
    pub(crate) namespace_objects: Setting<bool>,
    pub(crate) labels: Option<Setting<String>>,
    pub(crate) fields: Option<Setting<String>>,
    pub(crate) types: Vec<Setting<String>>,
    pub(crate) names: Vec<Setting<String>>,
    pub(crate) exclude_names: Vec<Setting<String>>,
    pub(crate) check: Setting<bool>,
    pub(crate) connect_timeout: Setting<Period>,
    pub(crate) answer_timeout: Setting<Period>,
    /// What it stands for, if it was chosen by its name.
    pub(crate) preset: Option<DataRobot>,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespaces: Vec::new(),
            exclude_namespaces: Vec::new(),
            namespace_labels: None,
            resources: Vec::new(),
            namespace_objects: Setting::default(true),
            labels: None,
            fields: None,
            types: Vec::new(),
            names: Vec::new(),
            exclude_names: Vec::new(),
            check: Setting::default(false),
            connect_timeout: Setting::default(CONNECT_TIMEOUT),
            answer_timeout: Setting::default(ANSWER_TIMEOUT),
            preset: None,
        }
    }
}

impl Resolver {
    pub(super) fn kubernetes(&self, file: file::Kubernetes) -> Result<Kubernetes, Failure> {
        let text = |at: Option<At<String>>| at.map(|at| self.as_is(at));
        let as_is = |text: &str| Ok(text.to_owned());
        Ok(Kubernetes {
            kubeconfig: file.kubeconfig.map(|at| self.path(&at)).transpose()?,
            context: text(file.context),
            namespaces: self.all(file.namespaces, pattern)?,
            exclude_namespaces: self.all(file.exclude_namespaces, pattern)?,
            namespace_labels: text(file.namespace_labels),
            resources: self.all(file.resources, resource)?,
            namespace_objects: self.or(file.namespace_objects, true),
            labels: text(file.labels),
            fields: text(file.fields),
            types: self.all(file.types, as_is)?,
            names: self.all(file.names, pattern)?,
            exclude_names: self.all(file.exclude_names, pattern)?,
            check: self.or(file.check, false),
            connect_timeout: self.timeout(file.connect_timeout, CONNECT_TIMEOUT)?,
            answer_timeout: self.timeout(file.answer_timeout, ANSWER_TIMEOUT)?,
            preset: None,
        })
    }
}

fn resource(text: &str) -> Result<String, String> {
    kubernetes::check_kind(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

impl Kubernetes {
    /// What the source is told. Reads the environment where the configuration names no kubeconfig.
    pub(crate) fn options(&self) -> Options {
        let all =
            |settings: &[Setting<String>]| settings.iter().map(|it| it.value.clone()).collect();
        let one = |setting: &Option<Setting<String>>| setting.as_ref().map(|it| it.value.clone());
        Options {
            access: self.access(),
            namespaces: Namespaces {
                include: all(&self.namespaces),
                exclude: all(&self.exclude_namespaces),
                labels: one(&self.namespace_labels),
            },
            resources: all(&self.resources),
            namespace_objects: self.namespace_objects.value,
            objects: Objects {
                labels: one(&self.labels),
                fields: one(&self.fields),
                types: all(&self.types),
                names: all(&self.names),
                exclude_names: all(&self.exclude_names),
            },
            check: self.check.value,
            timeouts: Timeouts {
                connect: self.connect_timeout.value.duration(),
                answer: self.answer_timeout.value.duration(),
            },
        }
    }

    fn access(&self) -> Access {
        let context = self.context.as_ref().map(|it| it.value.clone());
        let files = match &self.kubeconfig {
            Some(setting) => vec![setting.value.clone()],
            None => found(env::var_os("KUBECONFIG"), env::var_os("HOME")),
        };
        if files.is_empty() {
            return Access::InCluster;
        }
        Access::Kubeconfig { files, context }
    }
}

/// The kubeconfigs that kubectl would read: those that are named and there, or the one at home.
fn found(named: Option<OsString>, home: Option<OsString>) -> Vec<PathBuf> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let files = env::split_paths(&named).filter(|file| file.exists());
        let files: Vec<PathBuf> = files.collect();
        // The name of one that is missing belongs into a message.
        return if files.is_empty() {
            env::split_paths(&named).collect()
        } else {
            files
        };
    }
    let home = home.filter(|home| !home.is_empty());
    let file = home.map(|home| Path::new(&home).join(".kube/config"));
    file.into_iter().filter(|file| file.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeconfigs_are_found_where_kubectl_finds_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().as_os_str().to_owned();
        assert!(found(None, Some(home.clone())).is_empty());
        let file = folder.path().join(".kube/config");
        std::fs::create_dir(folder.path().join(".kube")).expect("a folder");
        std::fs::write(&file, "").expect("a file");
        let at_home = found(None, Some(home.clone()));
        assert_eq!(at_home, std::slice::from_ref(&file));
        assert_eq!(found(Some("".into()), Some(home)), at_home);
        let missing = PathBuf::from("/nowhere/at/all");
        let named = env::join_paths([&missing, &file]).expect("a list");
        assert_eq!(found(Some(named), None), [file]);
        assert_eq!(found(Some(missing.clone().into()), None), [missing]);
    }
}
