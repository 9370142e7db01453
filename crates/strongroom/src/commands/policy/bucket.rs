//! The smallest rights with which a host can do its part, in the words of the service that keeps the bucket.

use std::fmt;

use format::JobName;
use repository::{Address, Bucket, Service};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{BucketPolicy, Role};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::nearest;

/// What a host needs, and to whom it is to be given.
#[derive(Serialize)]
pub(crate) struct Policy {
    repository: String,
    role: &'static str,
    job: String,
    document: Document,
    #[serde(skip)]
    advice: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Document {
    /// A policy of IAM, on Amazon and what is like it.
    S3(IamPolicy),
    /// Bindings of roles to a bucket.
    Gcs(Bindings),
    /// A command that makes a signature.
    Azure(String),
}

impl Policy {
    /// How it comes into force.
    pub(crate) fn advice(&self) -> &'static str {
        self.advice
    }
}

/// The policy for a host that does its part, in the bucket of the configuration.
pub(crate) fn policy(
    settings: &Settings,
    service: Service,
    wanted: &BucketPolicy,
) -> Result<Policy, Failure> {
    let BucketPolicy { role, job } = wanted;
    let place = settings.repository.as_ref().ok_or_else(|| {
        Failure::usage("it is not known which bucket this is for")
            .hint("--repo s3://BUCKET/PREFIX, or `repository` in strongroom.yaml")
    })?;
    let address = &place.address.value;
    let bucket = match address {
        Address::Bucket(bucket) if bucket.service == service => bucket,
        _ => {
            let scheme = service.scheme();
            let message = format!("{address} is no bucket of that service");
            return Err(
                Failure::new(Exit::Usage, message).hint(format!("--repo {scheme}://BUCKET/PREFIX"))
            );
        }
    };
    let objects = Objects::of(bucket, job);
    let account = place.options.account.as_ref();
    let account = account.map_or("ACCOUNT", |account| account.value.as_str());
    let (document, advice) = match service {
        Service::S3 => (
            Document::S3(objects.iam(*role, place.options.lock.is_some())),
            "attach it to the user or role of that host; `strongroom doctor` there says whether it is enforced",
        ),
        Service::Gs => (
            Document::Gcs(objects.bindings(*role)),
            "add the bindings to the bucket's policy, with that host's account in place of MEMBER",
        ),
        Service::Az => (
            Document::Azure(objects.signature(*role, account)),
            "a signature is for the whole container: give each job that must not see the others one of its own",
        ),
    };
    Ok(Policy {
        repository: bucket.to_string(),
        role: role.name(),
        job: job.to_string(),
        document,
        advice,
    })
}

/// What is to be said of a job that the configuration does not have. It may be another host's, whose configuration is elsewhere; so
/// only where there are jobs, and this is none of theirs.
pub(crate) fn stranger(settings: &Settings, job: &JobName) -> Option<String> {
    let jobs = &settings.jobs;
    let known = |name: &str| jobs.keys().any(|job| job.as_str() == name);
    // The two keys of an installation of DataRobot are a job beside its own.
    let keys = job.as_str().strip_suffix("-keys");
    if jobs.is_empty() || known(job.as_str()) || keys.is_some_and(known) {
        return None;
    }
    let near = nearest(job.as_str(), jobs.keys().map(JobName::as_str));
    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Some(format!(
        "the configuration has no job {job}: this is for another host's job of that name{near}"
    ))
}

/// What a role is about.
struct Objects<'a> {
    bucket: &'a str,
    /// The repository's prefix with a slash, or nothing.
    root: String,
    /// The job, and what restores of it saved.
    jobs: [String; 2],
}

/// A host that only reads may save what it overwrites; one that backs up has no business there.
const JOB: usize = 0;
const UNDO: usize = 1;

impl<'a> Objects<'a> {
    fn of(bucket: &'a Bucket, job: &JobName) -> Self {
        let prefix = bucket.prefix.as_ref();
        let root = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        Self {
            bucket: &bucket.name,
            root,
            jobs: [job.to_string(), job.undo().to_string()],
        }
    }

    /// The jobs of which a role sees anything.
    fn seen(&self, role: Role) -> &[String] {
        match role {
            Role::Backup => &self.jobs[..=JOB],
            Role::Restore | Role::Maintain => &self.jobs,
        }
    }

    /// The folders in which a role creates objects.
    fn created(&self, role: Role) -> Vec<String> {
        let job = match role {
            Role::Backup => &self.jobs[JOB],
            Role::Restore => &self.jobs[UNDO],
            Role::Maintain => return self.jobs.iter().map(|job| format!("{job}/log/")).collect(),
        };
        vec![format!("{job}/log/"), format!("{job}/runs/")]
    }

    fn iam(&self, role: Role, locks: bool) -> IamPolicy {
        let bucket = format!("arn:aws:s3:::{}", self.bucket);
        let object = |name: &str| format!("{bucket}/{}{name}", self.root);
        let (description, probe) = (object("strongroom.json"), object("strongroom.probe-*"));
        let folders = |names: &[String]| {
            names
                .iter()
                .map(|name| object(&format!("{name}/*")))
                .collect::<Vec<_>>()
        };
        let mut list = Statement::allow("List", &["s3:ListBucket"], vec![bucket.clone()]);
        let mut prefixes = vec![self.root.clone()];
        prefixes.extend(
            self.seen(role)
                .iter()
                .map(|job| format!("{}{job}/*", self.root)),
        );
        list.condition = Some(serde_json::json!({"StringLike": {"s3:prefix": prefixes}}));
        let mut read = vec![description, probe.clone()];
        read.extend(folders(self.seen(role)));
        let mut create: Vec<String> = self
            .created(role)
            .iter()
            .map(|folder| object(&format!("{folder}*")))
            .collect();
        if role == Role::Maintain {
            // Of a rotation: beside the objects that backups made, and under names that none of those has.
            let keys = self
                .jobs
                .iter()
                .map(|job| object(&format!("{job}/runs/*/key-*")));
            create.extend(keys);
        }
        let mut locked = create.clone();
        create.push(probe.clone());
        let mut statements = vec![list];
        if self.root.is_empty() {
            // Which jobs there are is asked without a prefix then, and a condition on its value holds for none.
            let mut folders =
                Statement::allow("ListRoot", &["s3:ListBucket"], vec![bucket.clone()]);
            folders.condition = Some(serde_json::json!({
                "Null": {"s3:prefix": "true"}, "StringEquals": {"s3:delimiter": "/"}
            }));
            statements.push(folders);
        }
        statements.extend([
            Statement::allow("Read", &["s3:GetObject"], read.clone()),
            Statement::allow("Create", &["s3:PutObject"], create),
        ]);
        if role == Role::Maintain {
            let mut delete = folders(&self.jobs);
            delete.push(probe.clone());
            statements.push(Statement::allow("Delete", &["s3:DeleteObject"], delete));
        }
        if locks {
            read.retain(|name| *name != probe);
            // What a new snapshot needs is locked again.
            if role == Role::Backup {
                locked.clone_from(&read);
            }
            statements.push(Statement::allow("Lock", &["s3:PutObjectRetention"], locked));
            statements.push(Statement::allow(
                "SeeLocks",
                &["s3:GetObjectRetention"],
                read,
            ));
        }
        // Who may create may overwrite, unless what has no condition is refused.
        statements.push(Statement {
            sid: "CreateOnly",
            effect: "Deny",
            action: vec!["s3:PutObject"],
            resource: vec![object("*")],
            condition: Some(serde_json::json!({"Null": {"s3:if-none-match": "true"}})),
        });
        IamPolicy {
            version: "2012-10-17",
            statement: statements,
        }
    }

    fn bindings(&self, role: Role) -> Bindings {
        let object = |name: &str| {
            format!(
                "projects/_/buckets/{}/objects/{}{name}",
                self.bucket, self.root
            )
        };
        let within = |name: &str| format!("resource.name.startsWith(\"{}\")", object(name));
        let listed = |prefix: &str| {
            format!(
                "api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"{}{prefix}\")",
                self.root
            )
        };
        let mut seen = vec![
            format!("resource.name == \"{}\"", object("strongroom.json")),
            within("strongroom.probe-"),
            // Of which a trial lists the generations.
            listed("strongroom.probe-"),
        ];
        for job in self.seen(role) {
            seen.push(within(&format!("{job}/")));
            seen.push(listed(&format!("{job}/")));
        }
        let root = &self.root;
        seen.push(format!(
            "api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\") == \"{root}\""
        ));
        let mut created: Vec<String> = self
            .created(role)
            .iter()
            .map(|folder| within(folder))
            .collect();
        created.push(within("strongroom.probe-"));
        let mut bindings = vec![
            Binding::of("roles/storage.objectViewer", "read and list", &seen),
            Binding::of(
                "roles/storage.objectCreator",
                "create, not overwrite",
                &created,
            ),
        ];
        if role == Role::Maintain {
            let mut deleted: Vec<String> = self
                .jobs
                .iter()
                .map(|job| within(&format!("{job}/")))
                .collect();
            deleted.push(within("strongroom.probe-"));
            bindings.push(Binding::of("roles/storage.objectUser", "delete", &deleted));
        }
        Bindings { bindings }
    }

    /// Read, create, delete, list: the order is Azure's.
    fn signature(&self, role: Role, account: &str) -> String {
        let permissions = match role {
            Role::Backup | Role::Restore => "rcl",
            Role::Maintain => "rcdl",
        };
        format!(
            "az storage container generate-sas --account-name {account} --name {} --permissions {permissions} --https-only --expiry DATE",
            self.bucket
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IamPolicy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl Statement {
    fn allow(sid: &'static str, action: &[&'static str], resource: Vec<String>) -> Self {
        Self {
            sid,
            effect: "Allow",
            action: action.to_vec(),
            resource,
            condition: None,
        }
    }
}

#[derive(Serialize)]
struct Bindings {
    bindings: Vec<Binding>,
}

#[derive(Serialize)]
struct Binding {
    role: &'static str,
    members: [&'static str; 1],
    condition: Condition,
}

#[derive(Serialize)]
struct Condition {
    title: &'static str,
    expression: String,
}

impl Binding {
    fn of(role: &'static str, title: &'static str, any: &[String]) -> Self {
        let expression = any.join(" || ");
        Self {
            role,
            members: ["MEMBER"],
            condition: Condition { title, expression },
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.document {
            Document::Azure(command) => command.clone(),
            document => serde_json::to_string_pretty(document).map_err(|_| fmt::Error)?,
        };
        writeln!(f, "{text}")
    }
}
