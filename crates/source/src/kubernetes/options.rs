use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};

use crate::{Error, ErrorKind};

/// Which cluster, and what of it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How to get at the cluster.
    pub access: Access,
    /// Which namespaces.
    pub namespaces: Namespaces,
    /// Kinds beside Secrets, as `kubectl api-resources` names them: `configmaps`, `serviceaccounts`,
    /// `certificates.cert-manager.io`.
    pub resources: Vec<String>,
    /// Whether the Namespace objects themselves are captured, without which a restore makes bare ones.
    pub namespace_objects: bool,
    /// Which objects in them.
    pub objects: Objects,
    /// Whether a capture notes what a restore will need and it does not have.
    pub check: bool,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// How to get at a cluster.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// By kubeconfig files, of which the first that says something counts, and the context of that name or their own.
    Kubeconfig {
        /// As in `KUBECONFIG`.
        files: Vec<PathBuf>,
        /// `None`: the files' `current-context`.
        context: Option<String>,
    },
    /// As a pod of the cluster, by its service account.
    #[default]
    InCluster,
}

/// Which namespaces are captured.
#[derive(Debug, Clone, Default)]
pub struct Namespaces {
    /// Names and patterns; none means every namespace.
    pub include: Vec<String>,
    /// Names and patterns of what is left out; stronger.
    pub exclude: Vec<String>,
    /// A selector on the labels of the Namespace objects.
    pub labels: Option<String>,
}

/// Which objects are captured. What is empty or `None` leaves nothing out.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// A label selector, as `kubectl get -l` takes it.
    pub labels: Option<String>,
    /// A field selector, as `kubectl get --field-selector` takes it.
    pub fields: Option<String>,
    /// Types of Secrets.
    pub types: Vec<String>,
    /// Names and patterns.
    pub names: Vec<String>,
    /// Names and patterns of what is left out; stronger.
    pub exclude_names: Vec<String>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to begin, and then for each next piece of it.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(1),
        }
    }
}

impl Options {
    /// Whether reading could work: patterns that are patterns, and kinds that are named as the server names them.
    pub fn validate(&self) -> Result<(), Error> {
        let Self {
            namespaces,
            objects,
            ..
        } = self;
        for patterns in [
            &namespaces.include,
            &namespaces.exclude,
            &objects.names,
            &objects.exclude_names,
        ] {
            Patterns::new(patterns)?;
        }
        self.resources.iter().try_for_each(|text| check_kind(text))
    }
}

/// Whether `text` could name a kind: the plural in lower case, then, but for the core, a dot and the group.
pub fn check_kind(text: &str) -> Result<(), Error> {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if text.split('.').all(part) {
        return Ok(());
    }
    Err(wrong(format!(
        "{text:?} is no kind: write the plural and the group, such as configmaps or certificates.cert-manager.io"
    )))
}

/// Names of Kubernetes, given as they are or as patterns.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    globs: Vec<GlobMatcher>,
    exact: Vec<String>,
}

impl Patterns {
    pub(super) fn new(texts: &[String]) -> Result<Self, Error> {
        let mut patterns = Self::default();
        for text in texts {
            if is_exact(text) {
                patterns.exact.push(text.clone());
                continue;
            }
            let glob = GlobBuilder::new(text).literal_separator(true).build();
            let glob = glob.map_err(|error| {
                wrong(format!("the pattern {text:?} is wrong: {}", error.kind()))
            })?;
            patterns.globs.push(glob.compile_matcher());
        }
        Ok(patterns)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.exact.is_empty()
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.exact.iter().any(|exact| exact == name)
            || self.globs.iter().any(|glob| glob.is_match(name))
    }
}

/// Whether `text` is a name rather than a pattern.
pub(super) fn is_exact(text: &str) -> bool {
    !text.contains(['*', '?', '[', '{'])
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_patterns_are_checked() {
        for good in ["configmaps", "certificates.cert-manager.io"] {
            assert!(check_kind(good).is_ok(), "{good}");
        }
        for bad in ["", "ConfigMap", "configmaps.", "a/b", "a b"] {
            assert!(check_kind(bad).is_err(), "{bad}");
        }
        let texts = ["prod".to_owned(), "team-*".to_owned()];
        let patterns = Patterns::new(&texts).expect("patterns");
        assert!(patterns.matches("prod") && patterns.matches("team-a"));
        assert!(!patterns.matches("production") && !patterns.matches("a-team-"));
        assert!(Patterns::new(&["[".to_owned()]).is_err());
    }
}
