use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::completeness::REFERRING;
use super::options::{Options, is_exact};

/// What somebody is to be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To capture.
    Backup,
    /// To plan and carry out a restore.
    Restore,
}

/// Who is to be allowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user, as the cluster's authentication names it.
    User(String),
    /// A group of users.
    Group(String),
    /// An account of a namespace, for strongroom in a pod.
    ServiceAccount {
        /// Where it lies.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// A rule of RBAC.
struct Rule {
    group: String,
    resources: Vec<String>,
    verbs: &'static [&'static str],
    names: Vec<String>,
}

/// Manifests, as YAML, that allow `subject` what `purpose` needs of what `options` select, and nothing else.
///
/// Where the namespaces are given by their names, these are Roles in them. Patterns, labels and "all" need a `ClusterRole`, and so does a
/// restore, because a namespace that was lost has no Role in it any more.
pub fn policy(options: &Options, purpose: Purpose, subject: &Subject) -> String {
    let named = &options.namespaces.include;
    let exact = !named.is_empty()
        && options.namespaces.labels.is_none()
        && named.iter().all(|name| is_exact(name));
    let mut text = String::new();
    if purpose == Purpose::Backup && exact {
        let mut namespaces: Vec<&String> = named.iter().collect();
        namespaces.sort();
        namespaces.dedup();
        for namespace in namespaces {
            let mut rules = objects(&read(options), &["list"]);
            if options.namespace_objects {
                rules.push(of_namespaces(&["get"], vec![namespace.clone()]));
            }
            write_role(&mut text, purpose, Some(namespace), &rules, subject);
        }
        return text;
    }
    let rules = match purpose {
        Purpose::Backup => {
            let mut rules = objects(&read(options), &["list"]);
            let chosen = !named.is_empty()
                || !options.namespaces.exclude.is_empty()
                || options.namespaces.labels.is_some();
            if chosen || options.namespace_objects {
                rules.push(of_namespaces(&["get", "list"], Vec::new()));
            }
            rules
        }
        // To delete is for --recreate only, and to patch for objects that somebody applies.
        Purpose::Restore => {
            let all = &["get", "list", "create", "update", "patch", "delete"];
            let mut rules = objects(&options.resources, all);
            rules.push(of_namespaces(
                &["get", "list", "create", "update", "patch"],
                Vec::new(),
            ));
            rules
        }
    };
    write_role(&mut text, purpose, None, &rules, subject);
    text
}

/// The kinds that a capture lists beside Secrets.
fn read(options: &Options) -> Vec<String> {
    let mut kinds = options.resources.clone();
    if options.check {
        let referring = REFERRING.iter().map(|(kind, _)| *kind);
        let looked_at = referring.chain(["issuers.cert-manager.io"]);
        kinds.extend(looked_at.map(str::to_owned));
    }
    kinds
}

/// One rule for Secrets and the other kinds of each group.
fn objects(kinds: &[String], verbs: &'static [&'static str]) -> Vec<Rule> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    groups.entry("").or_default().push("secrets".to_owned());
    for key in kinds {
        let (plural, group) = key.split_once('.').unwrap_or((key, ""));
        let kinds = groups.entry(group).or_default();
        // Namespaces have a rule of their own.
        if key != "namespaces" && !kinds.iter().any(|kind| kind == plural) {
            kinds.push(plural.to_owned());
        }
    }
    let rule = |(group, resources): (&str, Vec<String>)| Rule {
        group: group.to_owned(),
        resources,
        verbs,
        names: Vec::new(),
    };
    groups.into_iter().map(rule).collect()
}

fn of_namespaces(verbs: &'static [&'static str], names: Vec<String>) -> Rule {
    Rule {
        group: String::new(),
        resources: vec!["namespaces".to_owned()],
        verbs,
        names,
    }
}

fn write_role(
    text: &mut String,
    purpose: Purpose,
    namespace: Option<&str>,
    rules: &[Rule],
    subject: &Subject,
) {
    let name = match purpose {
        Purpose::Backup => "strongroom-backup",
        Purpose::Restore => "strongroom-restore",
    };
    let kind = match namespace {
        Some(_) => "Role",
        None => "ClusterRole",
    };
    let metadata = match namespace {
        Some(namespace) => format!("{{namespace: {}, name: {name}}}", quoted(namespace)),
        None => format!("{{name: {name}}}"),
    };
    let api = "rbac.authorization.k8s.io";
    let mut line = |line: String| writeln!(text, "{line}").expect("a text takes text");
    line("---".to_owned());
    line(format!(
        "apiVersion: {api}/v1\nkind: {kind}\nmetadata: {metadata}\nrules:"
    ));
    for rule in rules {
        let names = if rule.names.is_empty() {
            String::new()
        } else {
            format!(", resourceNames: {}", list(&rule.names))
        };
        line(format!(
            "- {{apiGroups: [{}], resources: {}, verbs: {}{names}}}",
            quoted(&rule.group),
            list(&rule.resources),
            list(rule.verbs),
        ));
    }
    let subject = match subject {
        Subject::User(name) => {
            format!("{{kind: User, apiGroup: {api}, name: {}}}", quoted(name))
        }
        Subject::Group(name) => {
            format!("{{kind: Group, apiGroup: {api}, name: {}}}", quoted(name))
        }
        Subject::ServiceAccount { namespace, name } => format!(
            "{{kind: ServiceAccount, namespace: {}, name: {}}}",
            quoted(namespace),
            quoted(name)
        ),
    };
    line("---".to_owned());
    line(format!(
        "apiVersion: {api}/v1\nkind: {kind}Binding\nmetadata: {metadata}\n\
         roleRef: {{apiGroup: {api}, kind: {kind}, name: {name}}}\nsubjects:\n- {subject}"
    ));
}

/// A text of JSON is one of YAML, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(texts: &[impl AsRef<str>]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Namespaces;

    #[test]
    fn named_namespaces_need_no_cluster_role_to_be_captured() {
        let options = Options {
            namespaces: Namespaces {
                include: vec!["shop".to_owned()],
                ..Namespaces::default()
            },
            resources: ["configmaps", "certificates.cert-manager.io"]
                .map(str::to_owned)
                .to_vec(),
            namespace_objects: true,
            ..Options::default()
        };
        let user = Subject::User("backup".to_owned());
        let text = policy(&options, Purpose::Backup, &user);
        let expected = "\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: \"shop\", name: strongroom-backup}
rules:
- {apiGroups: [\"\"], resources: [\"secrets\", \"configmaps\"], verbs: [\"list\"]}
- {apiGroups: [\"cert-manager.io\"], resources: [\"certificates\"], verbs: [\"list\"]}
- {apiGroups: [\"\"], resources: [\"namespaces\"], verbs: [\"get\"], resourceNames: [\"shop\"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: \"shop\", name: strongroom-backup}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: strongroom-backup}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: \"backup\"}
";
        assert_eq!(text, expected);
        let text = policy(&options, Purpose::Restore, &user);
        assert!(text.contains("kind: ClusterRoleBinding"), "{text}");
    }
}
