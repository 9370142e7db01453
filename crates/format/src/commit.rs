use std::borrow::Cow;

use archive::Digest;
use serde::{Deserialize, Serialize};

use crate::copied::Copied;
use crate::statement::{DigestText, Run, StatementError};
use crate::writer_key::verify;
use crate::{COMMIT_MAX, JobName, RepositoryId, Statement, WriterId, WriterKey};

const HEADER: &str = "strongroom commit v1";
const STATEMENT_CONTEXT: &str = "strongroom v1 statement\n";
const LOG_CONTEXT: &str = "strongroom v1 log\n";

/// One object of a job's log, parsed and with both signatures verified. Whether it is valid is a question of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Of the whole object.
    pub digest: Digest,
    /// Of the statement as it stands: the same wherever the statement is copied to.
    pub statement_digest: Digest,
    /// What it says.
    pub statement: Statement,
    /// Its place in the log.
    pub log: Log,
}

/// The part of a commit that places it in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// From 1.
    pub number: u64,
    /// The digest of the valid commit with the highest number below.
    pub previous: Option<DigestText>,
    /// Who put it there.
    pub appender: WriterId,
    /// RFC 3339.
    pub appended: String,
    /// Of a snapshot that was made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// Tails of this job's log in other repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<Witness>,
}

/// The tail of the job's log in another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The other repository.
    pub repository: RepositoryId,
    /// Its highest valid commit.
    pub number: u64,
    /// That commit's digest.
    pub digest: DigestText,
}

/// Why an object of the log is no commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Not five lines of the right shape.
    #[error("it is not a commit, or was cut")]
    Shape,
    /// The statement or log line breaks a rule.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It was made for another repository, job or number.
    #[error("it was made for another place")]
    Place,
    /// Signed and placed properly, but of a kind from the future.
    #[error("it is of a kind that this version does not know: a newer strongroom is needed")]
    UnknownKind {
        /// Who appended it: matters only if it is someone trusted.
        appender: WriterId,
    },
}

impl Commit {
    /// The bytes of a commit of `statement` at the place that `log` says, both signed by `key`.
    pub fn encode(statement: &Statement, log: &Log, key: &WriterKey) -> Vec<u8> {
        Signed::new(statement, key).append(log, key)
    }

    /// Parses and verifies an object of the log of `job`, found under `number`.
    pub fn decode(
        object: &[u8],
        repository: RepositoryId,
        job: &JobName,
        number: u64,
    ) -> Result<Self, CommitError> {
        let parts = Parts::split(object).ok_or(CommitError::Shape)?;
        let log: Log = serde_json::from_str(parts.log)
            .map_err(|error| CommitError::Malformed(error.to_string()))?;
        if !verify(log.appender, LOG_CONTEXT, parts.signed, &parts.second) {
            return Err(CommitError::Signature);
        }
        let statement = match Statement::parse(parts.statement) {
            Ok(statement) => statement,
            Err(StatementError::UnknownKind { made_for }) => {
                let in_place =
                    log.is_of(made_for.0, repository) && made_for.1 == *job && log.number == number;
                let appender = log.appender;
                return Err(if in_place {
                    CommitError::UnknownKind { appender }
                } else {
                    CommitError::Place
                });
            }
            Err(error) => return Err(CommitError::Malformed(error.to_string())),
        };
        let (made_for, of, writer) = statement.made_for();
        // The second signature covers the statement too: one verification does if both are by the same key.
        if writer != log.appender
            && !verify(
                writer,
                STATEMENT_CONTEXT,
                parts.statement.as_bytes(),
                &parts.first,
            )
        {
            return Err(CommitError::Signature);
        }
        if !log.is_of(made_for, repository) || of != job || log.number != number {
            return Err(CommitError::Place);
        }
        if let Some(copied) = &log.copied {
            let checked = match &statement {
                Statement::Snapshot(snapshot) => copied.check(snapshot, number),
                _ => Err("only snapshots are copied"),
            };
            checked.map_err(|rule| CommitError::Malformed(rule.to_owned()))?;
        }
        Ok(Self {
            digest: Digest::of(object),
            statement_digest: Digest::of(parts.statement.as_bytes()),
            statement,
            log,
        })
    }

    /// The runs of a snapshot, under the names and with the key objects that they have in this log's repository. None of
    /// another kind.
    pub fn runs(&self) -> Cow<'_, [Run]> {
        match (&self.statement, &self.log.copied) {
            (Statement::Snapshot(snapshot), None) => Cow::Borrowed(&snapshot.runs),
            (Statement::Snapshot(snapshot), Some(copied)) => copied.locate(snapshot),
            _ => Cow::Borrowed(&[]),
        }
    }
}

impl Log {
    /// Whether it stands in the log of `repository` if its statement was made for `made_for`.
    fn is_of(&self, made_for: RepositoryId, repository: RepositoryId) -> bool {
        let copied = self.copied.as_ref();
        copied.map_or(made_for, |copied| copied.repository) == repository
    }
}

/// A statement under its writer's signature: what a commit carries, in whichever log it stands.
pub struct Signed {
    statement: String,
    signature: [u8; 64],
}

impl Signed {
    /// Signs `statement`, whose writer has `key`.
    pub fn new(statement: &Statement, key: &WriterKey) -> Self {
        let statement = serde_json::to_string(statement).expect("strings and numbers serialise");
        Self {
            signature: key.sign(STATEMENT_CONTEXT, statement.as_bytes()),
            statement,
        }
    }

    /// Takes the statement out of a commit, to append it to another log.
    ///
    /// Its signature is verified even where the writer appended it, for there nobody had to look at it.
    pub fn of(object: &[u8]) -> Result<Self, CommitError> {
        let parts = Parts::split(object).ok_or(CommitError::Shape)?;
        let statement = Statement::parse(parts.statement)
            .map_err(|error| CommitError::Malformed(error.to_string()))?;
        let (_, _, writer) = statement.made_for();
        let signed = parts.statement.as_bytes();
        if !verify(writer, STATEMENT_CONTEXT, signed, &parts.first) {
            return Err(CommitError::Signature);
        }
        Ok(Self {
            statement: parts.statement.to_owned(),
            signature: parts.first,
        })
    }

    /// The bytes of a commit at the place that `log` says, whose appender has `key`.
    pub fn append(&self, log: &Log, key: &WriterKey) -> Vec<u8> {
        let log = serde_json::to_string(log).expect("strings and numbers serialise");
        let (statement, first) = (&self.statement, hex::encode(self.signature));
        let mut object = format!("{HEADER}\n{statement}\n{first}\n{log}\n");
        let second = hex::encode(key.sign(LOG_CONTEXT, object.as_bytes()));
        object.push_str(&second);
        object.push('\n');
        object.into_bytes()
    }
}

struct Parts<'a> {
    statement: &'a str,
    first: [u8; 64],
    log: &'a str,
    /// The first four lines.
    signed: &'a [u8],
    second: [u8; 64],
}

impl<'a> Parts<'a> {
    fn split(object: &'a [u8]) -> Option<Self> {
        if object.len() as u64 > COMMIT_MAX {
            return None;
        }
        let text = std::str::from_utf8(object).ok()?;
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let [header, statement, first, log, second] = std::array::from_fn(|_| lines.next());
        let (second, None) = (second?, lines.next()) else {
            return None;
        };
        (header? == HEADER).then_some(Self {
            statement: statement?,
            first: signature(first?)?,
            log: log?,
            signed: &object[..object.len() - second.len() - 1],
            second: signature(second)?,
        })
    }
}

fn signature(text: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (!text.bytes().any(|b| b.is_ascii_uppercase())).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, PruneStatement, RunId, SnapshotStatement, StoredRun};

    const REPOSITORY: RepositoryId = RepositoryId([1; 16]);

    fn job() -> JobName {
        "prod".parse().expect("a job name")
    }

    fn snapshot(key: &WriterKey) -> SnapshotStatement {
        let object = Object {
            size: 10,
            digest: Digest::of(b"object"),
        };
        SnapshotStatement {
            repository: REPOSITORY,
            job: job(),
            writer: key.id(),
            program: "strongroom 0.1.0".into(),
            started: "2026-11-22T08:00:00Z".into(),
            finished: "2026-11-22T08:00:01Z".into(),
            sources: vec![],
            partial: false,
            entries: 0,
            bytes: 0,
            added: 0,
            recipients: vec![],
            parent: None,
            runs: vec![Run {
                run: RunId([2; 16]),
                key: object,
                key_pq: None,
                manifest: object,
                map: object,
                packs: vec![],
            }],
        }
    }

    fn prune(key: &WriterKey) -> Statement {
        Statement::Prune(PruneStatement {
            repository: REPOSITORY,
            job: job(),
            writer: key.id(),
            program: "p".into(),
            started: "t".into(),
            retains: vec![(3, DigestText(Digest::of(b"three")))],
            condemns: vec![],
        })
    }

    fn log(key: &WriterKey) -> Log {
        Log {
            number: 7,
            previous: Some(DigestText(Digest::of(b"six"))),
            appender: key.id(),
            appended: "2026-11-22T08:00:02Z".into(),
            copied: None,
            witness: vec![],
        }
    }

    fn commit(key: &WriterKey) -> Vec<u8> {
        Commit::encode(
            &Statement::Snapshot(Box::new(snapshot(key))),
            &log(key),
            key,
        )
    }

    #[test]
    fn a_commit_is_accepted_in_its_place_only() {
        let key = WriterKey::generate();
        let object = commit(&key);
        let decoded = Commit::decode(&object, REPOSITORY, &job(), 7).expect("our own commit");
        assert_eq!(
            decoded.statement,
            Statement::Snapshot(Box::new(snapshot(&key)))
        );
        assert_eq!(decoded.log, log(&key));

        let other_job = "test".parse().expect("a job name");
        for (repository, job, number) in [
            (RepositoryId([9; 16]), &job(), 7),
            (REPOSITORY, &other_job, 7),
            (REPOSITORY, &job(), 8),
        ] {
            let refused = Commit::decode(&object, repository, job, number);
            assert_eq!(refused, Err(CommitError::Place));
        }
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let key = WriterKey::generate();
        let object = commit(&key);
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 1;
            assert!(
                Commit::decode(&damaged, REPOSITORY, &job(), 7).is_err(),
                "byte {at}"
            );
            assert!(
                Commit::decode(&object[..at], REPOSITORY, &job(), 7).is_err(),
                "cut at {at}"
            );
        }
        let doubled = [&object[..], b"\n"].concat();
        assert!(Commit::decode(&doubled, REPOSITORY, &job(), 7).is_err());
    }

    #[test]
    fn a_statement_signed_by_another_needs_its_own_signature() {
        let (writer, appender) = (WriterKey::generate(), WriterKey::generate());
        let statement = Statement::Snapshot(Box::new(snapshot(&writer)));
        let forged = Commit::encode(&statement, &log(&appender), &appender);
        let refused = Commit::decode(&forged, REPOSITORY, &job(), 7);
        assert_eq!(refused, Err(CommitError::Signature));
    }

    fn copied(repository: RepositoryId, runs: &[u8]) -> Copied {
        let stored = |run: &u8| StoredRun {
            run: RunId([*run; 16]),
            rotated: None,
        };
        let runs = runs.iter().map(stored).collect();
        Copied {
            repository,
            runs,
            before: None,
        }
    }

    #[test]
    fn a_statement_is_carried_to_another_log_and_counts_there_only() {
        let (writer, appender) = (WriterKey::generate(), WriterKey::generate());
        let original = commit(&writer);
        let signed = Signed::of(&original).expect("our own commit");
        let there = RepositoryId([5; 16]);
        let log = Log {
            copied: Some(copied(there, &[8])),
            ..log(&appender)
        };
        let object = signed.append(&log, &appender);
        let found = Commit::decode(&object, there, &job(), 7).expect("it was copied there");
        let here = Commit::decode(&original, REPOSITORY, &job(), 7).expect("our own commit");
        assert_eq!(found.statement, here.statement);
        assert_eq!(found.statement_digest, here.statement_digest);
        assert_eq!(here.runs()[0].run, RunId([2; 16]));
        assert_eq!(found.runs()[0].run, RunId([8; 16]));
        let refused = Commit::decode(&object, REPOSITORY, &job(), 7);
        assert_eq!(refused, Err(CommitError::Place), "where it was made for");
    }

    #[test]
    fn a_copy_says_where_each_run_lies_and_only_snapshots_are_copied() {
        let key = WriterKey::generate();
        let decode = |statement: &Statement, runs: &[u8]| {
            let log = Log {
                copied: Some(copied(REPOSITORY, runs)),
                ..log(&key)
            };
            let object = Commit::encode(statement, &log, &key);
            Commit::decode(&object, REPOSITORY, &job(), 7).map(drop)
        };
        let mut two = snapshot(&key);
        two.runs.push(Run {
            run: RunId([3; 16]),
            ..two.runs[0].clone()
        });
        let two = Statement::Snapshot(Box::new(two));
        assert_eq!(decode(&two, &[8, 9]), Ok(()));
        for runs in [&[8][..], &[], &[8, 9, 10], &[8, 8]] {
            let refused = decode(&two, runs);
            assert!(
                matches!(refused, Err(CommitError::Malformed(_))),
                "{runs:?}"
            );
        }
        let before = |before| {
            let copied = Copied {
                before,
                ..copied(REPOSITORY, &[8])
            };
            let log = Log {
                copied: Some(copied),
                ..log(&key)
            };
            let statement = Statement::Snapshot(Box::new(snapshot(&key)));
            let object = Commit::encode(&statement, &log, &key);
            Commit::decode(&object, REPOSITORY, &job(), 7).is_ok()
        };
        let good = [None, Some(1), Some(6), Some(0), Some(7), Some(8)].map(before);
        assert_eq!(good, [true, true, true, false, false, false]);
        let refused = decode(&prune(&key), &[]);
        assert!(matches!(refused, Err(CommitError::Malformed(_))));
    }

    #[test]
    fn a_statement_that_its_writer_did_not_sign_is_not_carried() {
        // The appender is the writer, so that nobody had to verify the first signature.
        let key = WriterKey::generate();
        let unsigned = Signed {
            signature: [0; 64],
            ..Signed::new(&Statement::Snapshot(Box::new(snapshot(&key))), &key)
        };
        let object = unsigned.append(&log(&key), &key);
        assert!(Commit::decode(&object, REPOSITORY, &job(), 7).is_ok());
        assert!(matches!(Signed::of(&object), Err(CommitError::Signature)));
    }

    #[test]
    fn rules_of_the_statement_are_enforced() {
        type Break = fn(&mut SnapshotStatement);
        let breaks: [(&str, Break); 3] = [
            ("no run", |s| s.runs.clear()),
            ("a run twice", |s| s.runs.push(s.runs[0].clone())),
            ("a long recipient", |s| s.recipients.push("x".repeat(5000))),
        ];
        let key = WriterKey::generate();
        for (case, harm) in breaks {
            let mut statement = snapshot(&key);
            harm(&mut statement);
            let object =
                Commit::encode(&Statement::Snapshot(Box::new(statement)), &log(&key), &key);
            let refused = Commit::decode(&object, REPOSITORY, &job(), 7);
            assert!(matches!(refused, Err(CommitError::Malformed(_))), "{case}");
        }
    }

    #[test]
    fn prunes_come_back_and_unknown_kinds_are_named() {
        let key = WriterKey::generate();
        let prune = prune(&key);
        let object = Commit::encode(&prune, &log(&key), &key);
        let decoded = Commit::decode(&object, REPOSITORY, &job(), 7).expect("our own commit");
        assert_eq!(decoded.statement, prune);

        let statement = String::from_utf8(object).expect("text");
        let statement = statement
            .lines()
            .nth(1)
            .expect("five lines")
            .replace("prune", "merge");
        let log = serde_json::to_string(&log(&key)).expect("serialises");
        let first = hex::encode(key.sign(STATEMENT_CONTEXT, statement.as_bytes()));
        let signed = format!("{HEADER}\n{statement}\n{first}\n{log}\n");
        let second = hex::encode(key.sign(LOG_CONTEXT, signed.as_bytes()));
        let object = format!("{signed}{second}\n");
        assert_eq!(
            Commit::decode(object.as_bytes(), REPOSITORY, &job(), 7),
            Err(CommitError::UnknownKind { appender: key.id() })
        );
        // Copied elsewhere it is garbage, and stops nobody.
        assert_eq!(
            Commit::decode(object.as_bytes(), REPOSITORY, &job(), 8),
            Err(CommitError::Place)
        );
        assert_eq!(
            Commit::decode(object.as_bytes(), RepositoryId([9; 16]), &job(), 7),
            Err(CommitError::Place)
        );
    }
}
