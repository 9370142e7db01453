//! What the file and the command line mean together: validated settings, each with its origin. Nothing is opened and no
//! secret is read for this, so that all of it is done before anything runs.

mod datarobot;
mod kubernetes;
mod place;
mod repositories;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use format::{JobName, RecipientError, Recipients, WriterId};
use jiff::tz::TimeZone;

use super::file::{self, File};
use super::origin::{At, Origin, Setting, beside};
use super::place::Place;
use super::proxy::Proxy;
use super::reference::{Environment, Reference};
use super::retention::{self, Retention};
use super::stored;
use crate::cli::{Globals, quoted};
use crate::failure::Failure;
use crate::names::check_name;
use crate::units::Period;

pub(crate) use datarobot::{DataRobot, Driver};
pub(crate) use kubernetes::Kubernetes;
pub(crate) use repositories::Named;

const CONNECT_TIMEOUT: Period = Period::seconds(5);
const REQUEST_TIMEOUT: Period = Period::seconds(15);
const IDLE_TIMEOUT: Period = Period::seconds(60);
const COMMAND_TIMEOUT: Period = Period::seconds(3600);
/// The entry of a `command` source that does not name it.
const COMMAND_ENTRY: &str = "output";

/// What is in force.
pub(crate) struct Settings {
    /// The configuration that was read, if there is one.
    pub(crate) file: Option<Arc<PathBuf>>,
    /// The one that a command uses.
    pub(crate) repository: Option<Place>,
    /// Those with a name, in the order of the file.
    pub(crate) repositories: Vec<Named>,
    /// Whether jobs go to those with a name: the command line did not say `--repo`.
    pub(crate) several: bool,
    /// What the command line said of the repository and of who opens and signs it: flags, as a shell takes them, each with a space before
    /// it. A command that we tell somebody to type needs them too.
    pub(crate) said: String,
    /// Where what was read of buckets is kept; `None`: nowhere.
    pub(crate) cache: Option<Setting<PathBuf>>,
    /// Whether the file says where.
    pub(crate) cache_is_said: bool,
    pub(crate) recipients: Vec<Setting<String>>,
    pub(crate) writer_key: Option<Setting<PathBuf>>,
    pub(crate) trusted_writers: Vec<Setting<WriterId>>,
    pub(crate) maintainer_key: Option<Setting<PathBuf>>,
    pub(crate) trusted_maintainers: Vec<Setting<WriterId>>,
    pub(crate) identities: Vec<Setting<PathBuf>>,
    /// Of jobs that have no rules of their own.
    pub(crate) retention: Retention,
    pub(crate) identity_passphrase: Option<Setting<Reference>>,
    pub(crate) jobs: BTreeMap<JobName, Job>,
    /// What the file says, to be kept in a snapshot: where it stood, then its keys and values. No secrets.
    pub(crate) configuration: String,
}

/// A job, ready to run.
pub(crate) struct Job {
    pub(crate) sources: Vec<SourceSettings>,
    /// The names of those that its snapshots go to; empty: all.
    pub(crate) repositories: Vec<Setting<String>>,
    pub(crate) allow_partial: Setting<bool>,
    /// How long the captures may take together.
    pub(crate) window: Option<Setting<Period>>,
    /// Its own rules, if it has any.
    pub(crate) retention: Option<Retention>,
}

impl Settings {
    /// The usual place to keep what was read, where nothing else is said: `$XDG_CACHE_HOME/strongroom`, or `~/.cache/strongroom`.
    pub(crate) fn complete_cache(&mut self, variable: impl Fn(&'static str) -> Option<PathBuf>) {
        if self.cache_is_said {
            return;
        }
        let found =
            |name: &'static str| Some((variable(name).filter(|it| it.is_absolute())?, name));
        let folder = found("XDG_CACHE_HOME")
            .or_else(|| found("HOME").map(|(home, name)| (home.join(".cache"), name)));
        self.cache = folder.map(|(folder, name)| Setting {
            value: folder.join("strongroom"),
            origin: Origin::Variable(name),
        });
    }

    /// The rules for the snapshots of `job`, and for those that a restore of it took before it overwrote something.
    pub(crate) fn retention(&self, job: &JobName) -> &Retention {
        let mut jobs = self.jobs.iter();
        let job = jobs.find(|(name, settings)| {
            *name == job
                || name.undo() == *job
                || settings.keys_apart(name).is_some_and(|it| it.job == *job)
        });
        let own = job.and_then(|(_, settings)| settings.retention.as_ref());
        own.unwrap_or(&self.retention)
    }

    /// To whom snapshots of `job` are sealed.
    pub(crate) fn recipients(&self, job: &JobName) -> &[Setting<String>] {
        let mut apart = self
            .jobs
            .iter()
            .filter_map(|(name, settings)| settings.keys_apart(name));
        let apart = apart.find(|apart| apart.job == *job);
        apart.map_or(&self.recipients, |apart| apart.recipients)
    }
}

/// Keys that a job also seals in a job of their own.
pub(crate) struct KeysApart<'j> {
    pub(crate) job: JobName,
    pub(crate) recipients: &'j [Setting<String>],
    pub(crate) source: &'j SourceSettings,
}

impl Job {
    /// Where the keys of this job, which is called `name`, are kept apart.
    pub(crate) fn keys_apart(&self, name: &JobName) -> Option<KeysApart<'_>> {
        let mut sources = self.sources.iter();
        let source = sources.find(|source| !datarobot::keys(source).is_empty())?;
        Some(KeysApart {
            job: format!("{name}-keys")
                .parse()
                .expect("the name was checked"),
            recipients: datarobot::keys(source),
            source,
        })
    }
}

/// One source of a job.
pub(crate) struct SourceSettings {
    pub(crate) name: Setting<String>,
    pub(crate) kind: Kind,
}

/// The systems that can be captured.
pub(crate) enum Kind {
    Files(Files),
    Etcd(Box<Etcd>),
    Kubernetes(Box<Kubernetes>),
    Command(Box<Command>),
}

pub(crate) struct Files {
    pub(crate) paths: Vec<Setting<PathBuf>>,
    pub(crate) include: Vec<Setting<String>>,
    pub(crate) exclude: Vec<Setting<String>>,
    pub(crate) one_filesystem: Setting<bool>,
}

pub(crate) struct Etcd {
    pub(crate) endpoints: Vec<Setting<String>>,
    pub(crate) advertised: Option<Setting<bool>>,
    pub(crate) member: Option<Setting<String>>,
    pub(crate) compare_hashes: Option<Setting<bool>>,
    pub(crate) tls: Option<Tls>,
    pub(crate) username: Option<Setting<String>>,
    pub(crate) password: Option<Setting<Reference>>,
    pub(crate) proxy: Option<Setting<Proxy>>,
    pub(crate) connect_timeout: Setting<Period>,
    pub(crate) request_timeout: Setting<Period>,
    pub(crate) idle_timeout: Setting<Period>,
}

pub(crate) struct Tls {
    pub(crate) ca: Setting<PathBuf>,
    pub(crate) cert: Option<Setting<PathBuf>>,
    pub(crate) key: Option<Setting<PathBuf>>,
    pub(crate) server_name: Option<Setting<String>>,
}

pub(crate) struct Command {
    pub(crate) run: Setting<Vec<String>>,
    pub(crate) restore: Option<Setting<Vec<String>>>,
    pub(crate) environment: BTreeMap<String, Setting<Environment>>,
    pub(crate) working_directory: Option<Setting<PathBuf>>,
    pub(crate) timeout: Setting<Period>,
    pub(crate) allow_empty: Setting<bool>,
    pub(crate) entry: Setting<String>,
}

impl Kind {
    /// The key by which the configuration names it.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Kubernetes(settings) if settings.preset.is_some() => "datarobot",
            other => other.name(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Etcd(_) => "etcd",
            Self::Kubernetes(_) => "kubernetes",
            Self::Command(_) => "command",
        }
    }
}

/// Puts the command line over the file and checks all of it.
pub(crate) fn resolve(
    found: Option<(PathBuf, File)>,
    globals: &Globals,
) -> Result<Settings, Failure> {
    let (path, file) = found.unzip();
    let path = path.map(Arc::new);
    let file = file.unwrap_or_default();
    let configuration = path.as_ref().map(|path| stored::text(path, &file));
    let resolver = Resolver {
        path: path.clone().unwrap_or_default(),
    };
    let mut settings = resolver.settings(file)?;
    settings.file = path;
    settings.configuration = configuration.unwrap_or_default();
    command_line(&mut settings, globals)?;
    for place in settings.places() {
        place.check()?;
    }
    Ok(settings)
}

fn command_line(settings: &mut Settings, globals: &Globals) -> Result<(), Failure> {
    settings.said = said(globals);
    if let Some(text) = &globals.repo {
        settings.repository = Some(settings.place("--repo", text)?);
        settings.several = false;
    }
    for place in settings.places_mut() {
        let options = &mut place.options;
        if globals.allow_http {
            options.allow_http = Some(Setting::flag("--allow-http", true));
        }
        if let Some(rate) = globals.limit_upload {
            options.limit_upload = Some(Setting::flag("--limit-upload", rate));
        }
    }
    if !globals.identity.is_empty() {
        settings.identities = globals
            .identity
            .iter()
            .map(|path| Setting::flag("--identity", path.clone()))
            .collect();
    }
    if let Some(reference) = passphrase_flag(globals)? {
        let setting = Setting::flag(PASSPHRASE_FLAG, reference);
        settings.identity_passphrase = Some(setting);
    }
    for (flag, keys, trusted) in [
        (
            "--trust-writer",
            &globals.trust_writer,
            &mut settings.trusted_writers,
        ),
        (
            "--trust-maintainer",
            &globals.trust_maintainer,
            &mut settings.trusted_maintainers,
        ),
    ] {
        for key in keys {
            let key = public_key(key);
            let key = key.map_err(|message| Failure::usage(format!("{flag}: {message}")))?;
            trusted.push(Setting::flag(flag, key));
        }
    }
    Ok(())
}

fn said(globals: &Globals) -> String {
    let path = |path: &PathBuf| path.display().to_string();
    let flags = [
        ("--config", globals.config.iter().map(path).collect()),
        ("--repo", globals.repo.iter().cloned().collect()),
        ("--identity", globals.identity.iter().map(path).collect()),
        (
            PASSPHRASE_FLAG,
            globals.identity_passphrase.iter().cloned().collect(),
        ),
        ("--trust-writer", globals.trust_writer.clone()),
        ("--trust-maintainer", globals.trust_maintainer.clone()),
    ];
    let flags = flags.into_iter();
    let each = flags.flat_map(|(flag, values): (_, Vec<String>)| {
        let values = values.into_iter();
        values.map(move |value| format!(" {flag} {}", quoted(Path::new(&value))))
    });
    let plain = globals.allow_http.then(|| " --allow-http".to_owned());
    each.chain(plain).collect()
}

const PASSPHRASE_FLAG: &str = "--identity-passphrase";

/// Where the command line says that the passphrase of an identity file is to be had.
pub(crate) fn passphrase_flag(globals: &Globals) -> Result<Option<Reference>, Failure> {
    let given = globals.identity_passphrase.as_deref();
    given
        .map(Reference::parse)
        .transpose()
        .map_err(|error| Failure::usage(format!("{PASSPHRASE_FLAG}: {error}")))
}

/// Turns what the file says into what it means; `path` is the file, for origins, errors and relative paths.
struct Resolver {
    path: Arc<PathBuf>,
}

impl Resolver {
    fn settings(&self, file: File) -> Result<Settings, Failure> {
        let repositories = self.repositories(file.repository.as_ref(), file.repositories)?;
        let first_job = file.jobs.values().next();
        if let (true, Some(job)) = (file.recipients.is_empty(), first_job) {
            return Err(self
                .wrong(
                    job,
                    "there are jobs but no recipients to seal their snapshots to",
                )
                .hint("strongroom keygen --output identity.txt, then recipients: [age1…]"));
        }
        Ok(Settings {
            file: None,
            said: String::new(),
            configuration: String::new(),
            repository: match file.repository {
                Some(at) => Some(self.place(at)?),
                None => repositories.first().map(|named| named.place.clone()),
            },
            recipients: self.all(file.recipients, recipient)?,
            writer_key: file.writer_key.map(|at| self.path(&at)).transpose()?,
            trusted_writers: self.all(file.trusted_writers, public_key)?,
            maintainer_key: file.maintainer_key.map(|at| self.path(&at)).transpose()?,
            trusted_maintainers: self.all(file.trusted_maintainers, public_key)?,
            identities: self.paths(&file.identities)?,
            retention: file
                .retention
                .map(|at| self.retention(at))
                .transpose()?
                .unwrap_or_default(),
            identity_passphrase: file
                .identity_passphrase
                .map(|at| self.setting(&at, at.value.beside(&self.path))),
            jobs: self.jobs(file.jobs, &repositories)?,
            several: !repositories.is_empty(),
            cache_is_said: file.cache.is_some(),
            cache: file
                .cache
                .filter(|at| at.value != Path::new("none"))
                .map(|at| self.path(&at))
                .transpose()?,
            repositories,
        })
    }

    fn jobs(
        &self,
        jobs: BTreeMap<String, At<file::Job>>,
        repositories: &[Named],
    ) -> Result<BTreeMap<JobName, Job>, Failure> {
        let names: Vec<String> = jobs.keys().cloned().collect();
        let mut resolved = BTreeMap::new();
        for (name, at) in jobs {
            let place = at.place();
            let (job, settings) = self.job(&name, at, repositories)?;
            self.check_keys_apart(&place, &name, &settings.sources, &names)?;
            resolved.insert(job, settings);
        }
        Ok(resolved)
    }

    fn job(
        &self,
        name: &str,
        at: At<file::Job>,
        repositories: &[Named],
    ) -> Result<(JobName, Job), Failure> {
        check_name(name).map_err(|error| self.wrong(&at, error.to_string()))?;
        if at.value.sources.is_empty() {
            return Err(self.wrong(&at, format!("the job {name} has no sources")));
        }
        let mut names = BTreeSet::new();
        let mut sources = Vec::new();
        for source in at.value.sources {
            let place = source.place();
            let source = self.source(source)?;
            if !names.insert(source.name.value.clone()) {
                let message = format!(
                    "the job {name} has two sources named `{}`; give one of them another name",
                    source.name.value
                );
                return Err(self.wrong(&place, message));
            }
            sources.push(source);
        }
        let job = Job {
            sources,
            repositories: self.named_of(at.value.repositories, repositories)?,
            allow_partial: self.or(at.value.allow_partial, false),
            window: match at.value.window {
                Some(at) if at.value.duration().is_zero() => {
                    return Err(self.wrong(&at, "in a window of 0s nothing can be captured"));
                }
                window => window.map(|at| self.as_is(at)),
            },
            retention: at
                .value
                .retention
                .map(|at| self.retention(at))
                .transpose()?,
        };
        Ok((name.parse().expect("the name was checked"), job))
    }

    fn retention(&self, at: At<file::Retention>) -> Result<Retention, Failure> {
        let place = At {
            value: (),
            line: at.line,
            column: at.column,
        };
        let rules = at.value;
        let retention = Retention {
            keep_last: rules.keep_last.map(|at| self.as_is(at)),
            hourly: rules.hourly.map(|at| self.as_is(at)),
            daily: rules.daily.map(|at| self.as_is(at)),
            weekly: rules.weekly.map(|at| self.as_is(at)),
            monthly: rules.monthly.map(|at| self.as_is(at)),
            yearly: rules.yearly.map(|at| self.as_is(at)),
            within: rules.within.map(|at| self.as_is(at)),
            max_age: rules.max_age.map(|at| self.as_is(at)),
            min_count: rules.min_count.map(|at| self.as_is(at)),
            min_age: self.or(rules.min_age, retention::MIN_AGE),
            time_zone: match rules.time_zone {
                Some(at) => {
                    let zone = retention::time_zone(&at.value);
                    self.setting(&at, zone.map_err(|message| self.wrong(&at, message))?)
                }
                None => Setting::default(TimeZone::UTC),
            },
            grace: self.or(rules.grace, retention::GRACE),
        };
        let policy = retention.policy();
        if policy.is_empty() && policy.min_count > 0 {
            let message = "`min_count` alone drops nothing: it is what stays in spite of `max_age`";
            return Err(self.wrong(&place, message).hint(format!(
                "to keep the newest {0} and no others: `keep_last: {0}`",
                policy.min_count
            )));
        }
        Ok(retention)
    }

    fn source(&self, at: At<file::Source>) -> Result<SourceSettings, Failure> {
        let place = at.place();
        let file::Source {
            name,
            files,
            etcd,
            kubernetes,
            datarobot,
            command,
        } = at.value;
        let kind = match (files, etcd, kubernetes, datarobot, command) {
            (Some(files), None, None, None, None) => Kind::Files(self.files(files, &place)?),
            (None, Some(etcd), None, None, None) => Kind::Etcd(Box::new(self.etcd(etcd, &place)?)),
            (None, None, Some(kubernetes), None, None) => {
                Kind::Kubernetes(Box::new(self.kubernetes(kubernetes)?))
            }
            (None, None, None, Some(datarobot), None) => {
                Kind::Kubernetes(Box::new(self.data_robot(datarobot)?))
            }
            (None, None, None, None, Some(command)) => {
                Kind::Command(Box::new(self.command(command)?))
            }
            _ => {
                let message = "a source has exactly one of the keys `files`, `etcd`, `kubernetes`, `datarobot` and `command`";
                return Err(self.wrong(&place, message));
            }
        };
        if let Some(name) = &name {
            check_name(&name.value).map_err(|error| self.wrong(name, error.to_string()))?;
        }
        let name = self.or(name, kind.key().to_owned());
        Ok(SourceSettings { name, kind })
    }

    fn files(&self, files: file::Files, place: &At<()>) -> Result<Files, Failure> {
        if files.paths.is_empty() {
            return Err(self.wrong(place, "the source has no paths"));
        }
        Ok(Files {
            paths: self.paths(&files.paths)?,
            include: self.all(files.include, pattern)?,
            exclude: self.all(files.exclude, pattern)?,
            one_filesystem: self.or(files.one_filesystem, false),
        })
    }

    fn etcd(&self, etcd: file::Etcd, place: &At<()>) -> Result<Etcd, Failure> {
        if etcd.endpoints.is_empty() {
            return Err(self.wrong(place, "the source has no endpoints"));
        }
        if etcd.username.is_some() != etcd.password.is_some() {
            let message = "`username` and `password` belong together; one of them is missing";
            return Err(self.wrong(place, message));
        }
        if let Some(at) = etcd.member.as_ref().filter(|at| at.value.is_empty()) {
            return Err(self.wrong(at, "the member's name is empty"));
        }
        let secured = etcd.tls.is_some();
        Ok(Etcd {
            endpoints: self.all(etcd.endpoints, |text| endpoint(text, secured))?,
            advertised: etcd.advertised.map(|at| self.as_is(at)),
            member: etcd.member.map(|at| self.as_is(at)),
            compare_hashes: etcd.compare_hashes.map(|at| self.as_is(at)),
            tls: etcd.tls.map(|tls| self.tls(tls, place)).transpose()?,
            username: etcd.username.map(|at| self.as_is(at)),
            password: etcd
                .password
                .map(|at| self.setting(&at, at.value.beside(&self.path))),
            proxy: etcd.proxy.map(|at| self.proxy(&at)).transpose()?,
            connect_timeout: self.timeout(etcd.connect_timeout, CONNECT_TIMEOUT)?,
            request_timeout: self.timeout(etcd.request_timeout, REQUEST_TIMEOUT)?,
            idle_timeout: self.timeout(etcd.idle_timeout, IDLE_TIMEOUT)?,
        })
    }

    fn proxy(&self, at: &At<Proxy>) -> Result<Setting<Proxy>, Failure> {
        let checked = at.value.validate();
        checked.map_err(|error| self.wrong(at, error.to_string()))?;
        Ok(self.setting(at, at.value.beside(&self.path)))
    }

    fn tls(&self, tls: file::Tls, place: &At<()>) -> Result<Tls, Failure> {
        if tls.cert.is_some() != tls.key.is_some() {
            return Err(self.wrong(
                place,
                "`cert` and `key` belong together; one of them is missing",
            ));
        }
        let file = |at: Option<At<PathBuf>>| at.map(|at| self.path(&at)).transpose();
        Ok(Tls {
            ca: self.path(&tls.ca)?,
            cert: file(tls.cert)?,
            key: file(tls.key)?,
            server_name: tls.server_name.map(|at| self.as_is(at)),
        })
    }

    fn command(&self, command: file::Command) -> Result<Command, Failure> {
        for at in std::iter::once(&command.run).chain(&command.restore) {
            if at.value.first().is_none_or(String::is_empty) {
                return Err(self.wrong(at, "the list names no program"));
            }
        }
        for (name, at) in &command.environment {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(self.wrong(at, format!("{name:?} cannot be the name of a variable")));
            }
        }
        if let Some(at) = command.entry.as_ref().filter(|at| at.value.is_empty()) {
            return Err(self.wrong(at, "the entry's name is empty"));
        }
        let environment = command.environment.into_iter().map(|(name, at)| {
            let value = at.value.beside(&self.path);
            (name, self.setting(&at, value))
        });
        Ok(Command {
            environment: environment.collect(),
            working_directory: command
                .working_directory
                .map(|at| self.path(&at))
                .transpose()?,
            run: self.as_is(command.run),
            restore: command.restore.map(|at| self.as_is(at)),
            timeout: self.timeout(command.timeout, COMMAND_TIMEOUT)?,
            allow_empty: self.or(command.allow_empty, false),
            entry: self.or(command.entry, COMMAND_ENTRY.to_owned()),
        })
    }

    fn timeout(&self, at: Option<At<Period>>, default: Period) -> Result<Setting<Period>, Failure> {
        match at {
            Some(at) if at.value.duration().is_zero() => {
                Err(self.wrong(&at, "a timeout of 0s would never let anything through"))
            }
            at => Ok(self.or(at, default)),
        }
    }

    fn paths(&self, paths: &[At<PathBuf>]) -> Result<Vec<Setting<PathBuf>>, Failure> {
        paths.iter().map(|at| self.path(at)).collect()
    }

    fn path(&self, at: &At<PathBuf>) -> Result<Setting<PathBuf>, Failure> {
        check_path(&at.value).map_err(|message| self.wrong(at, message))?;
        Ok(self.setting(at, beside(&self.path, &at.value)))
    }

    fn all<T>(
        &self,
        texts: Vec<At<String>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<Setting<T>>, Failure> {
        let parsed = texts.into_iter().map(|at| match parse(&at.value) {
            Ok(value) => Ok(self.setting(&at, value)),
            Err(message) => Err(self.wrong(&at, message)),
        });
        parsed.collect()
    }

    fn or<T>(&self, at: Option<At<T>>, default: T) -> Setting<T> {
        at.map_or(Setting::default(default), |at| self.as_is(at))
    }

    fn as_is<T>(&self, at: At<T>) -> Setting<T> {
        let origin = Origin::file(&self.path, &at);
        Setting {
            value: at.value,
            origin,
        }
    }

    fn setting<T, V>(&self, at: &At<T>, value: V) -> Setting<V> {
        Setting {
            value,
            origin: Origin::file(&self.path, at),
        }
    }

    fn wrong<T>(&self, at: &At<T>, message: impl AsRef<str>) -> Failure {
        Failure::usage(format!(
            "{}: {}",
            Origin::file(&self.path, at),
            message.as_ref()
        ))
    }
}

fn check_path(path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() {
        return Err("the path is empty".to_owned());
    }
    // A shell would have expanded it; nobody means a folder of that name.
    if path.starts_with("~") {
        return Err("`~` is not expanded here; write the whole path".to_owned());
    }
    Ok(())
}

/// What is refused is not repeated: it may be an identity, pasted in the wrong place.
fn recipient(text: &str) -> Result<String, String> {
    match Recipients::parse([text]) {
        Ok(recipients) => Ok(recipients.texts()[0].clone()),
        Err(RecipientError::Identity) => Err(
            "this is an identity, which must stay secret; write its recipient \
            here, which starts with age1. Replace the identity if others can read this file"
                .to_owned(),
        ),
        Err(error @ RecipientError::Ssh) => Err(error.to_string()),
        Err(_) => Err(
            "this is not a recipient: one starts with age1, as `strongroom keygen` prints it"
                .to_owned(),
        ),
    }
}

/// Of a writer or a maintainer.
fn public_key(text: &str) -> Result<WriterId, String> {
    text.parse().map_err(|_| {
        "this is not a writer's public key: one has 64 lower-case hexadecimal digits, as `strongroom keygen --writer` \
         prints it"
            .to_owned()
    })
}

fn pattern(text: &str) -> Result<String, String> {
    match globset::Glob::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("the pattern is wrong: {}", error.kind())),
    }
}

/// What is refused is not repeated: an address may hold a password.
fn endpoint(text: &str, secured: bool) -> Result<String, String> {
    let (scheme, address) = text.split_once("://").unwrap_or(("", text));
    let usable = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]%".contains(&b);
    let address = address.strip_suffix('/').unwrap_or(address);
    let message = match scheme {
        _ if address.contains('@') => {
            "an endpoint holds no user and no password: use `username` and `password`"
        }
        "https" if !secured => {
            "the endpoint is https: say in `tls` which `ca` signs its certificate"
        }
        "http" if secured => "the endpoint is http, but `tls` is configured",
        "" | "http" | "https" if !address.is_empty() && address.bytes().all(usable) => {
            return Ok(text.to_owned());
        }
        _ => "an endpoint looks like https://HOST:2379",
    };
    Err(message.to_owned())
}
