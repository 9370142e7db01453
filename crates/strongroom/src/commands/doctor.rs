//! `doctor`: tries out what the program relies on, and says what is wrong and what to do.

mod etcd_backup;
mod sameness;

use std::fmt;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use repository::{Conditions, Error, Lock, Probed, Repository, Store};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::counted;
use crate::session::Session;
use crate::units::Period;

/// Why a lock that is configured cannot be.
const CANNOT_LOCK: &str = "`lock` is configured, and objects of this bucket cannot be locked";
const MAKE_ANOTHER: &str =
    "object lock is switched on when a bucket is made: use another bucket, or leave `lock` out";

/// Clocks that differ by more than this make times in lists, and what retention drops, hard to believe.
const CLOCK_OFF_MAX: SignedDuration = SignedDuration::from_hours(1);
/// What to do about a host that could destroy what it stored.
const KEEP_VERSIONS: &str =
    "let it create only, or let the bucket keep versions or lock objects: docs/stores.md";
/// What to do about a store that does not keep its promise.
const WAY_OUT: &str = "another store; or, if this host is the only one that will ever write there, \
     `single_writer: true` beside the address in strongroom.yaml (docs/stores.md)";

const NOT_READ: &str = "what was just written is not read: a cache stands before the store, or it answers before it has the object";
const NOT_LISTED: &str = "what was just written is not listed: backups would not see each other";
/// What to do about a store that does not show what it was given: nobody's promise mends that.
const NO_CACHE: &str = "another store, or the store itself instead of what stands before it";

/// What was found.
#[derive(Serialize)]
pub(crate) struct Diagnosis {
    /// Where it is, or was to be looked for.
    repository: Option<String>,
    /// Of the repository that is there.
    id: Option<String>,
    findings: Vec<Finding>,
    /// Objects of the probe that this host could not delete.
    left: Vec<String>,
}

#[derive(Serialize)]
struct Finding {
    level: Grade,
    /// What was looked at; stable.
    check: &'static str,
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Good,
    Note,
    Bad,
}

/// Looks at the repository's store, and at what is there, and at configurations of etcd-backup. Writes a few small objects and deletes
/// them.
pub(crate) async fn doctor(
    session: &Session,
    etcd_backup: &[PathBuf],
) -> anyhow::Result<Diagnosis> {
    let mut diagnosis = if etcd_backup.is_empty() || session.settings.repository.is_some() {
        repository(session).await?
    } else {
        Diagnosis {
            repository: None,
            id: None,
            findings: Vec::new(),
            left: Vec::new(),
        }
    };
    diagnosis.look_at_etcd_backup(etcd_backup)?;
    Ok(diagnosis)
}

async fn repository(session: &Session) -> anyhow::Result<Diagnosis> {
    let store = session.store_on_trial()?;
    // Before anything is written: somebody who mistyped the bucket gets nothing into it.
    let opened = match Repository::open(store.clone()).await {
        Err(error @ Error::Store { .. }) => return Err(error.into()),
        opened => opened,
    };
    let mut diagnosis = Diagnosis {
        repository: Some(store.place().to_owned()),
        id: None,
        findings: Vec::new(),
        left: Vec::new(),
    };
    let probe = store.probe().await;
    diagnosis.left = probe.left;
    let probed = probe.found.inspect_err(|_| {
        let stay = |name| session.output.note(format_args!("{name} was left behind"));
        diagnosis.left.iter().for_each(stay);
    })?;
    let directory = session.place()?.directory().is_some();
    diagnosis.look_at(&probed, directory, store.lock());
    diagnosis.look_at_clock(&store, Timestamp::now());
    diagnosis.look_at_repository(opened);
    Ok(diagnosis)
}

impl Diagnosis {
    /// What the command ends with.
    pub(crate) fn exit(&self) -> Exit {
        if self.findings.iter().any(|found| found.level == Grade::Bad) {
            return Exit::Failure;
        }
        if self.id.is_none() && self.repository.is_some() {
            return Exit::NoRepository;
        }
        Exit::Ok
    }

    fn find(&mut self, level: Grade, check: &'static str, finding: impl Into<String>) {
        self.findings.push(Finding {
            level,
            check,
            text: finding.into(),
            hint: None,
        });
    }

    fn advise(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.findings.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    fn look_at(&mut self, probed: &Probed, directory: bool, lock: Option<Lock>) {
        if let Conditions::Denied(words) = &probed.conditions {
            let finding =
                format!("this host may not create objects ({words}): it can read at most");
            self.find(Grade::Note, "create", finding);
            return;
        }
        self.look_at_conditions(&probed.conditions);
        self.look_at_sight(probed);
        self.look_at_rights(probed, directory);
        self.look_at_lock(probed, lock);
        if !self.left.is_empty() {
            let objects = counted(self.left.len() as u64, "small object", "small objects");
            let finding = format!(
                "{objects} of this probe stay, which this host may not delete: {}",
                self.left.join(", ")
            );
            self.find(Grade::Note, "left", finding);
        }
    }

    fn look_at_conditions(&mut self, conditions: &Conditions) {
        match conditions {
            Conditions::Promised => {
                let finding = "not tried whether an object is created only if it is absent: `single_writer` promises that no other \
                     host writes here";
                self.find(Grade::Note, "create", finding);
            }
            sound_or_not => match unsound(sound_or_not) {
                Some(finding) => {
                    self.find(Grade::Bad, "create", finding);
                    self.advise(WAY_OUT);
                }
                None => self.find(Grade::Good, "create", sound(sound_or_not)),
            },
        }
    }

    fn look_at_sight(&mut self, probed: &Probed) {
        if probed.reads_own_writes {
            self.find(Grade::Good, "read", "what was written is read at once");
        } else {
            self.find(Grade::Bad, "read", NOT_READ);
            self.advise(NO_CACHE);
        }
        match probed.lists_own_writes {
            Some(true) => self.find(Grade::Good, "list", "what was written is listed at once"),
            Some(false) => {
                self.find(Grade::Bad, "list", NOT_LISTED);
                self.advise(NO_CACHE);
            }
            None => {
                self.find(
                    Grade::Bad,
                    "list",
                    "this host may not list objects, which every command needs",
                );
                self.advise("give it the right to list; docs/stores.md says which rights each command needs");
            }
        }
    }

    fn look_at_rights(&mut self, probed: &Probed, directory: bool) {
        let may = match (probed.may_overwrite, probed.may_delete) {
            (false, false) => {
                let finding = "this host may create objects, and neither overwrite nor delete them";
                return self.find(Grade::Good, "rights", finding);
            }
            (true, true) => "this host may overwrite and delete objects",
            (true, false) => "this host may overwrite objects, not delete them",
            (false, true) => "this host may delete objects, not overwrite them",
        };
        if directory {
            let finding = format!(
                "{may}, for it is a directory: what takes this host takes the repository, if it is the only one"
            );
            return self.find(Grade::Note, "rights", finding);
        }
        if let Some(lock) = probed.usual_lock {
            let finding = format!(
                "{may}, but every new object is locked ({lock}), and old versions are kept"
            );
            return self.find(Grade::Good, "rights", finding);
        }
        if probed.keeps_versions == Some(true) {
            let locks = if probed.locks == Some(true) {
                "; objects can be locked, and none is"
            } else {
                ""
            };
            let finding = format!("{may}, but old versions are kept{locks}");
            return self.find(Grade::Good, "rights", finding);
        }
        // Without the right to delete it was meant to add only, and a store that takes every put lets it destroy all the same.
        if (probed.may_delete, probed.keeps_versions) == (false, Some(false)) {
            let finding = format!(
                "{may}, and no old versions are kept: whoever takes it over can write over every snapshot. For a host that may \
                 only put, such a bucket must keep versions or lock objects"
            );
            self.find(Grade::Bad, "rights", finding);
            return self.advise(KEEP_VERSIONS);
        }
        let versions = match probed.keeps_versions {
            None => "whether old versions are kept the store does not say",
            Some(_) => "no old versions are kept",
        };
        self.find(
            Grade::Note,
            "rights",
            format!("{may}, and {versions}: whoever takes it over can destroy every snapshot"),
        );
        self.advise(KEEP_VERSIONS);
    }

    fn look_at_lock(&mut self, probed: &Probed, lock: Option<Lock>) {
        let Some(lock) = lock else { return };
        match probed.locks {
            Some(true) => {
                let finding = format!(
                    "everything that is stored from here is locked ({lock}), and again when a new snapshot needs it"
                );
                self.find(Grade::Good, "lock", finding);
            }
            Some(false) => {
                self.find(Grade::Bad, "lock", CANNOT_LOCK);
                self.advise(MAKE_ANOTHER);
            }
            None => {
                let finding = format!(
                    "objects are to be locked ({lock}), and this host may not ask whether the bucket can do that"
                );
                self.find(Grade::Note, "lock", finding);
                self.advise(
                    "give it the right s3:GetBucketObjectLockConfiguration: docs/stores.md",
                );
            }
        }
    }

    fn look_at_clock(&mut self, store: &Store, now: Timestamp) {
        let Some(ahead) = clock_ahead(store, now) else {
            return;
        };
        if ahead.abs() <= CLOCK_OFF_MAX {
            let finding = "this host's clock and the store's are less than an hour apart";
            return self.find(Grade::Good, "clock", finding);
        }
        self.find(Grade::Bad, "clock", clock_off(ahead));
        self.advise("set the clock: times in lists, and what retention keeps, follow it");
    }

    fn look_at_repository(&mut self, opened: Result<Repository, Error>) {
        match opened {
            Ok(repository) => {
                self.id = Some(repository.id().to_string());
                let finding = format!("{} is there", repository.id());
                self.find(Grade::Good, "repository", finding);
            }
            Err(Error::NoRepository { .. }) => {
                self.find(Grade::Note, "repository", "there is none yet");
                self.advise("strongroom init");
            }
            Err(error) => self.find(Grade::Bad, "repository", error.to_string()),
        }
    }
}

/// Refuses a bucket that cannot lock objects, where they are to be locked.
pub(super) fn refuse_lock(store: &Store, probed: &Probed) -> Result<(), Failure> {
    if store.lock().is_some() && probed.locks == Some(false) {
        let message = format!("{}: {CANNOT_LOCK}", store.place());
        return Err(Failure::new(Exit::Failure, message).hint(MAKE_ANOTHER));
    }
    Ok(())
}

/// By how much this host's clock is ahead of the store's, as far as the store's is known.
pub(super) fn clock_ahead(store: &Store, now: Timestamp) -> Option<SignedDuration> {
    let date = jiff::fmt::rfc2822::parse(&store.date()?).ok()?;
    Some(now.duration_since(date.timestamp()))
}

/// If the clocks differ by more than an hour: a sentence about it.
pub(super) fn strange_clock(store: &Store, now: Timestamp) -> Option<String> {
    let ahead = clock_ahead(store, now)?;
    (ahead.abs() > CLOCK_OFF_MAX).then(|| clock_off(ahead))
}

fn clock_off(ahead: SignedDuration) -> String {
    let by = Period::seconds(ahead.unsigned_abs().as_secs());
    let side = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    format!("the clock of this host is {by} {side} the store's")
}

/// Why a store must not take a repository, if so.
fn unsound(conditions: &Conditions) -> Option<String> {
    match conditions {
        Conditions::Broken { winners, writers } => Some(format!(
            "{winners} of {writers} writers were told that they created the same object: of two hosts that back up at the same \
             moment one would lose its snapshot"
        )),
        Conditions::Unknown(words) => Some(format!(
            "the store cannot create an object only if it is absent ({words})"
        )),
        Conditions::Atomic { .. } | Conditions::Promised | Conditions::Denied(_) => None,
    }
}

fn sound(conditions: &Conditions) -> String {
    let Conditions::Atomic { rounds, writers } = conditions else {
        return String::new();
    };
    let times = if *rounds == 1 {
        "once".to_owned()
    } else {
        format!("{rounds} times")
    };
    format!(
        "an object is created only if it is absent: of {writers} writers at the same moment one succeeded, {times}"
    )
}

/// Refuses a store that cannot keep a repository.
pub(super) fn refuse(place: &str, probed: &Probed) -> Result<(), Failure> {
    if let Conditions::Denied(words) = &probed.conditions {
        let message = format!("this host may not create objects in {place}: {words}");
        return Err(Failure::new(Exit::Denied, message)
            .hint("docs/stores.md says which rights each command needs"));
    }
    let (reason, hint) = if let Some(reason) = unsound(&probed.conditions) {
        (reason, WAY_OUT)
    } else if !probed.reads_own_writes {
        (NOT_READ.to_owned(), NO_CACHE)
    } else if probed.lists_own_writes == Some(false) {
        (NOT_LISTED.to_owned(), NO_CACHE)
    } else {
        return Ok(());
    };
    let message = format!("{place} cannot keep a repository: {reason}");
    Err(Failure::new(Exit::Failure, message).hint(hint))
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            writeln!(f, "{repository}")?;
        }
        for found in &self.findings {
            let mark = match found.level {
                Grade::Good => "good",
                Grade::Note => "note",
                Grade::Bad => "BAD ",
            };
            writeln!(f, "  {mark}  {:<10}  {}", found.check, found.text)?;
            if let Some(hint) = &found.hint {
                writeln!(f, "  {:<16}  hint: {hint}", "")?;
            }
        }
        Ok(())
    }
}
