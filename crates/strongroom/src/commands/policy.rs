//! `policy`: the rights that strongroom needs, for whoever grants them.

pub(crate) mod bucket;

use source::kubernetes::{self, Subject};

use crate::cli::{KubernetesPolicy, Purpose};
use crate::config::Settings;
use crate::config::resolve::Kind;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::nearest;

/// The text of the rights, in the form in which they are granted.
pub(crate) fn of_kubernetes(
    settings: &Settings,
    policy: &KubernetesPolicy,
) -> Result<String, Failure> {
    let name = policy.job.as_str();
    let Some(job) = settings.jobs.get(&policy.job) else {
        let known = settings.jobs.keys().map(format::JobName::as_str);
        let failure = Failure::usage(format!("the configuration has no job {name}"));
        return Err(match nearest(name, known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("strongroom config"),
        });
    };
    let subject = subject(policy)?;
    let purpose = match policy.purpose {
        Purpose::Backup => kubernetes::Purpose::Backup,
        Purpose::Restore => kubernetes::Purpose::Restore,
    };
    let mut text = String::new();
    for source in &job.sources {
        let wanted = policy.source.as_ref();
        let wanted = wanted.is_none_or(|wanted| *wanted == source.name.value);
        if let (Kind::Kubernetes(settings), true) = (&source.kind, wanted) {
            text += &kubernetes::policy(&settings.options(), purpose, &subject);
        }
    }
    if text.is_empty() {
        let message = match &policy.source {
            Some(source) => format!("the job {name} has no source {source} of the kind kubernetes"),
            None => format!("the job {name} has no source of the kind kubernetes"),
        };
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(text)
}

fn subject(policy: &KubernetesPolicy) -> Result<Subject, Failure> {
    if let Some(name) = &policy.user {
        return Ok(Subject::User(name.clone()));
    }
    if let Some(name) = &policy.group {
        return Ok(Subject::Group(name.clone()));
    }
    match policy.service_account.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Subject::ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        }
        _ => Err(Failure::usage(
            "--service-account takes the account's namespace and its name: NAMESPACE/NAME",
        )),
    }
}
