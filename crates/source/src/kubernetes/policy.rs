use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::completeness::{ISSUERS, REFERRING};
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

const BACKUP: &str = "strongroom-backup";

/// Kinds that lie in no namespace, so that no Role lets anybody see them. Of others only the cluster knows.
const OUTSIDE: [&str; 16] = [
    "apiservices.apiregistration.k8s.io",
    "clusterexternalsecrets.external-secrets.io",
    "clusterissuers.cert-manager.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clustersecretstores.external-secrets.io",
    "csidrivers.storage.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "ingressclasses.networking.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "nodes",
    "persistentvolumes",
    "priorityclasses.scheduling.k8s.io",
    "runtimeclasses.node.k8s.io",
    "storageclasses.storage.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
];

/// A rule of RBAC.
struct Rule {
    group: String,
    resources: Vec<String>,
    verbs: &'static [&'static str],
    names: Vec<String>,
}

/// Manifests, as YAML, that allow `subject` what `purpose` needs of what `options` select, and nothing else.
///
/// Where the namespaces are given by their names, these are Roles in them, and a `ClusterRole` only of what lies in no namespace. Patterns,
/// labels and "all" need a `ClusterRole`, and so does a restore, because a namespace that was lost has no Role in it any more.
pub fn policy(options: &Options, purpose: Purpose, subject: &Subject) -> String {
    let named = &options.namespaces.include;
    let exact = !named.is_empty()
        && options.namespaces.labels.is_none()
        && named.iter().all(|name| is_exact(name));
    let mut text = String::new();
    if purpose == Purpose::Backup && exact {
        write_backup_of_named(&mut text, options, subject);
        return text;
    }
    let (name, rules) = match purpose {
        Purpose::Backup => {
            let mut rules = objects(&read(options), &["list"]);
            let chosen = !named.is_empty()
                || !options.namespaces.exclude.is_empty()
                || options.namespaces.labels.is_some();
            if chosen || options.namespace_objects {
                rules.push(of_namespaces(&["get", "list"], Vec::new()));
            }
            (BACKUP, rules)
        }
        // To delete is for --recreate only, and to patch for objects that somebody applies.
        Purpose::Restore => {
            let all = &["get", "list", "create", "update", "patch", "delete"];
            let mut rules = objects(&written(options), all);
            rules.push(of_namespaces(
                &["get", "list", "create", "update", "patch"],
                Vec::new(),
            ));
            ("strongroom-restore", rules)
        }
    };
    write_role(&mut text, name, None, &rules, subject);
    text
}

fn write_backup_of_named(text: &mut String, options: &Options, subject: &Subject) {
    let mut namespaces: Vec<&String> = options.namespaces.include.iter().collect();
    namespaces.sort();
    namespaces.dedup();
    let (outside, inside): (Vec<&str>, Vec<&str>) = read(options)
        .into_iter()
        .partition(|kind| OUTSIDE.contains(kind));
    for namespace in namespaces {
        let mut rules = objects(&inside, &["list"]);
        if options.namespace_objects {
            rules.push(of_namespaces(&["get"], vec![namespace.clone()]));
        }
        write_role(text, BACKUP, Some(namespace), &rules, subject);
    }
    if !outside.is_empty() {
        // By another name than that of a job that reads all namespaces: it may be granted beside this one.
        let name = "strongroom-backup-outside";
        write_role(text, name, None, &objects(&outside, &["list"]), subject);
    }
}

/// The kinds that a capture lists.
fn read(options: &Options) -> Vec<&str> {
    let mut kinds = written(options);
    if options.check {
        kinds.extend(REFERRING.iter().map(|(kind, _)| *kind));
        kinds.extend(ISSUERS);
    }
    kinds
}

/// The kinds that a restore writes.
fn written(options: &Options) -> Vec<&str> {
    let others = options.resources.iter().map(String::as_str);
    ["secrets"].into_iter().chain(others).collect()
}

/// One rule for the kinds of each group.
fn objects(kinds: &[&str], verbs: &'static [&'static str]) -> Vec<Rule> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // Namespaces have a rule of their own.
    for key in kinds.iter().filter(|key| **key != "namespaces") {
        let (plural, group) = key.split_once('.').unwrap_or((key, ""));
        let kinds = groups.entry(group).or_default();
        if !kinds.iter().any(|kind| kind == plural) {
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
    name: &str,
    namespace: Option<&str>,
    rules: &[Rule],
    subject: &Subject,
) {
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

    #[test]
    fn what_lies_in_no_namespace_is_seen_by_a_cluster_role_and_nothing_else_is() {
        let mut options = Options {
            resources: vec!["clusterroles.rbac.authorization.k8s.io".to_owned()],
            check: true,
            ..Options::default()
        };
        let user = Subject::User("backup".to_owned());
        options.namespaces.include = vec!["shop".to_owned()];
        let text = policy(&options, Purpose::Backup, &user);
        let (of_shop, outside) = text
            .split_once("kind: ClusterRole\n")
            .expect("there is one");
        let expected = "\
metadata: {name: strongroom-backup-outside}
rules:
- {apiGroups: [\"cert-manager.io\"], resources: [\"clusterissuers\"], verbs: [\"list\"]}
- {apiGroups: [\"rbac.authorization.k8s.io\"], resources: [\"clusterroles\"], verbs: [\"list\"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: strongroom-backup-outside}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-backup-outside}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: \"backup\"}
";
        assert_eq!(outside, expected);
        assert!(
            of_shop.contains(r#"resources: ["issuers"], verbs: ["list"]"#),
            "{of_shop}"
        );
        assert!(!of_shop.contains("clusterissuers"), "{of_shop}");
        // Where all is read, it is one.
        options.namespaces.include.clear();
        let text = policy(&options, Purpose::Backup, &user);
        let rule = r#"{apiGroups: ["cert-manager.io"], resources: ["clusterissuers", "issuers"], verbs: ["list"]}"#;
        assert!(text.contains(rule), "{text}");
        assert_eq!(text.matches("kind: ClusterRole\n").count(), 1, "{text}");
    }
}
