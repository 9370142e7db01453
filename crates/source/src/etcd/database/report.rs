use std::collections::{BTreeMap, HashMap};

use archive::Name;
use serde::{Deserialize, Serialize};

use super::attachments::Attachments;
use super::key_value::{Field, Fields};
use super::lease::Lease;
use super::records::{Item, Record};
use super::tree::Database;

/// Prefixes that are told apart; the keys of others are counted together.
const PREFIXES_MAX: usize = 2_000;
/// As many members, users, roles, leases and alarms are listed.
const LISTED_MAX: usize = 10_000;

/// What is in a database, without the value of any key.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The revision of the store.
    pub revision: u64,
    /// Of each key only the newest change up to this revision is left.
    pub compacted: Option<u64>,
    /// A compaction up to this revision was under way.
    pub compacting: Option<u64>,
    /// What `etcdutl snapshot status` prints as the hash, if nothing is damaged.
    pub hash: Option<String>,
    /// The length of the database.
    pub bytes: u64,
    /// The keys that are there at the newest revision.
    pub keys: u64,
    /// Whether the numbers of keys are exact: during a compaction they may be too low.
    pub exact: bool,
    /// The changes of keys that are kept: writes and deletions.
    pub changes: u64,
    /// Keys that begin alike, ascending.
    pub prefixes: Vec<Prefix>,
    /// The cluster's version as its members agreed on it.
    pub cluster_version: Option<String>,
    /// The version of the database's layout; from etcd 3.6 on.
    pub storage_version: Option<String>,
    /// The members of the cluster.
    pub members: Vec<Member>,
    /// Whether clients must log in.
    pub authentication: bool,
    /// Who may log in.
    pub users: Vec<User>,
    /// The names of roles.
    pub roles: Vec<String>,
    /// How many leases there are.
    pub leases: u64,
    /// The leases, those with the most keys first.
    pub lease_list: Vec<GrantedLease>,
    /// Alarms that were raised, each with the member in hexadecimal.
    pub alarms: Vec<String>,
    /// What is damaged, if anything is. The numbers are then of what could be reached.
    pub damage: Vec<String>,
}

/// Keys that begin alike: with the first two parts of a path, or three if the second is a group of Kubernetes'.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Prefix {
    /// How they begin. Empty: what has no slash. `*`: all for which there was no room.
    pub prefix: String,
    /// The keys that are there at the newest revision.
    pub keys: u64,
    /// Their changes that are kept, and those of keys that were deleted.
    pub changes: u64,
    /// The bytes of keys and values in all these changes.
    pub bytes: u64,
}

/// A member of a cluster.
#[derive(Debug, Serialize)]
pub struct Member {
    /// In hexadecimal.
    pub id: String,
    /// Its name; empty until it was started.
    pub name: String,
    /// Where the others reach it.
    pub peer_urls: Vec<String>,
    /// Whether it does not vote yet.
    pub learner: bool,
}

/// Somebody who may log in. The password's hash is not kept.
#[derive(Debug, Serialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// The names of the roles.
    pub roles: Vec<String>,
}

/// A lease and what goes with it.
#[derive(Debug, Serialize)]
pub struct GrantedLease {
    /// Its number in hexadecimal.
    pub id: String,
    /// The seconds for which it was granted.
    pub ttl: i64,
    /// The keys that have it at the newest revision; `None`: there are too many keys to know.
    pub keys: Option<u64>,
}

/// Makes a [`Report`] of what [`Records`](super::Records) hands out.
pub struct Reporter<'d> {
    database: &'d Database,
    compacted: u64,
    counts: HashMap<Vec<u8>, Counts>,
    others: Counts,
    /// A restore that raised the revision writes one record without a key, which etcd's tools count as a key.
    nameless: bool,
    attachments: Attachments,
    granted: Vec<Lease>,
    report: Report,
}

#[derive(Default)]
struct Counts {
    /// Lives of keys that began less those that ended: the keys that live.
    keys: i64,
    changes: u64,
    bytes: u64,
}

/// A member as etcd writes it, in JSON.
#[derive(Deserialize)]
struct StoredMember {
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(default, rename = "isLearner")]
    learner: bool,
}

impl<'d> Reporter<'d> {
    /// Of this database.
    pub fn new(database: &'d Database) -> Self {
        let compaction = database.compaction();
        let compacting = compaction
            .scheduled
            .filter(|scheduled| *scheduled > compaction.finished.unwrap_or_default());
        let damage = database.damage().iter().map(ToString::to_string);
        let more = Some(database.more_damage()).filter(|more| *more > 0);
        let more = more.map(|more| format!("{more} more things are wrong with it"));
        Self {
            database,
            compacted: compaction.finished.unwrap_or_default(),
            counts: HashMap::new(),
            others: Counts::default(),
            nameless: false,
            attachments: Attachments::default(),
            granted: Vec::new(),
            report: Report {
                revision: database.revision(),
                compacted: compaction.finished,
                compacting,
                hash: database.hash().map(|hash| format!("{hash:x}")),
                bytes: database.meta().length().unwrap_or_default(),
                keys: 0,
                exact: compacting.is_none(),
                changes: 0,
                prefixes: Vec::new(),
                cluster_version: None,
                storage_version: None,
                members: Vec::new(),
                authentication: false,
                users: Vec::new(),
                roles: Vec::new(),
                leases: 0,
                lease_list: Vec::new(),
                alarms: Vec::new(),
                damage: damage.chain(more).collect(),
            },
        }
    }

    /// Counts one thing.
    pub fn take(&mut self, item: &Item<'_>) {
        match item {
            Item::Record(record) => self.record(record),
            Item::Other { bucket, key, value } => self.other(bucket, key, value),
        }
    }

    /// All of it, when everything was handed out.
    pub fn finish(mut self) -> Report {
        let mut prefixes: BTreeMap<Vec<u8>, Counts> = self.counts.drain().collect();
        if self.others.changes > 0 {
            prefixes.insert(b"*".to_vec(), self.others);
        }
        let prefixes = prefixes.into_iter().map(|(prefix, counts)| Prefix {
            prefix: Name::new(prefix).to_string(),
            keys: counts.keys.max(0).cast_unsigned(),
            changes: counts.changes,
            bytes: counts.bytes,
        });
        let mut report = self.report;
        report.lease_list = leases(&self.granted, &self.attachments);
        report.prefixes = prefixes.collect();
        report.keys = report.prefixes.iter().map(|prefix| prefix.keys).sum();
        report.keys += u64::from(self.nameless);
        let changes = self.database.bucket(super::KEY);
        report.changes = changes.map_or(0, |bucket| bucket.keys);
        report
    }

    /// A key lives from a write of which it is the first version, or of which a compaction left only this one, until it is deleted. So each life is
    /// counted once where it begins, and once where it ends; no key has to be remembered.
    fn record(&mut self, record: &Record<'_>) {
        if record.key.is_empty() {
            self.nameless = true;
            return;
        }
        self.attachments.take(record);
        let left = record.revision.main <= self.compacted;
        let lives = match (record.tombstone, left) {
            (false, true) => 1,
            (false, false) => i64::from(record.version == 1),
            (true, true) => 0,
            (true, false) => -1,
        };
        let counts = self.counts(prefix(record.key));
        counts.keys += lives;
        counts.changes += 1;
        counts.bytes += (record.key.len() + record.value.len()) as u64;
    }

    fn counts(&mut self, prefix: &[u8]) -> &mut Counts {
        if !self.counts.contains_key(prefix) {
            if self.counts.len() >= PREFIXES_MAX {
                return &mut self.others;
            }
            self.counts.insert(prefix.to_vec(), Counts::default());
        }
        self.counts.get_mut(prefix).expect("it was just put there")
    }

    fn other(&mut self, bucket: &[u8], key: &[u8], value: &[u8]) {
        let report = &mut self.report;
        match (bucket, key) {
            (b"cluster", b"clusterVersion") => report.cluster_version = Some(text(value)),
            (b"meta", b"storageVersion") => report.storage_version = Some(text(value)),
            (b"auth", b"authEnabled") => report.authentication = value == [1],
            (b"lease", _) => {
                report.leases += 1;
                if let Some(lease) = Lease::parse(bucket, value) {
                    list(&mut self.granted, lease);
                }
            }
            (b"members", _) => {
                if let Some(member) = member(value) {
                    list(&mut report.members, member);
                }
            }
            (b"authUsers", _) => list(&mut report.users, user(key, value)),
            (b"authRoles", _) => list(&mut report.roles, text(key)),
            (b"alarm", _) => {
                if let Some(alarm) = alarm(key) {
                    list(&mut report.alarms, alarm);
                }
            }
            _ => {}
        }
    }
}

fn list<T>(list: &mut Vec<T>, item: T) {
    if list.len() < LISTED_MAX {
        list.push(item);
    }
}

fn leases(granted: &[Lease], attachments: &Attachments) -> Vec<GrantedLease> {
    let counts = attachments.counts();
    let keys = |id: i64| counts.as_ref().map(|it| it.get(&id).copied().unwrap_or(0));
    let granted = granted.iter().map(|lease| GrantedLease {
        id: format!("{:x}", lease.id),
        ttl: lease.ttl,
        keys: keys(lease.id),
    });
    let mut leases: Vec<GrantedLease> = granted.collect();
    leases.sort_by(|one, other| other.keys.cmp(&one.keys).then(one.id.cmp(&other.id)));
    leases
}

/// The front of a key that it shares with others of its kind.
fn prefix(key: &[u8]) -> &[u8] {
    let start = usize::from(key.first() == Some(&b'/'));
    let mut end = start;
    let mut parts = 0;
    while let Some(length) = memchr::memchr(b'/', &key[end..]) {
        let part = &key[end..end + length];
        end += length + 1;
        parts += 1;
        if parts == 3 || parts == 2 && !part.contains(&b'.') {
            break;
        }
    }
    &key[..end]
}

/// What etcd's tools would print, escaped where it is no text.
fn text(bytes: &[u8]) -> String {
    Name::new(bytes).to_string()
}

fn member(value: &[u8]) -> Option<Member> {
    let stored: StoredMember = serde_json::from_slice(value).ok()?;
    let urls = stored.peer_urls.iter().take(100);
    Some(Member {
        id: format!("{:x}", stored.id),
        name: text(stored.name.as_bytes()),
        peer_urls: urls.map(|url| text(url.as_bytes())).collect(),
        learner: stored.learner,
    })
}

/// Of `authpb.User{name=1, password=2, roles=3}`.
fn user(key: &[u8], value: &[u8]) -> User {
    let mut roles = Vec::new();
    let mut fields = Fields(value);
    while let Some((number, field)) = fields.next() {
        if let (3, Field::Bytes(role)) = (number, field) {
            list(&mut roles, text(role));
        }
    }
    User {
        name: text(key),
        roles,
    }
}

/// Of `AlarmMember{memberID=1, alarm=2}`.
fn alarm(key: &[u8]) -> Option<String> {
    let (mut member, mut kind) = (0, 0);
    let mut fields = Fields(key);
    while let Some((number, field)) = fields.next() {
        match (number, field) {
            (1, Field::Number(number)) => member = number,
            (2, Field::Number(number)) => kind = number,
            _ => {}
        }
    }
    let kind = match kind {
        0 => return None,
        1 => "NOSPACE".to_owned(),
        2 => "CORRUPT".to_owned(),
        other => format!("alarm {other}"),
    };
    Some(format!("{kind} of member {member:x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_keys_of_a_kind_share() {
        for (key, expected) in [
            ("/registry/secrets/shop/db", "/registry/secrets/"),
            (
                "/registry/apps.example.com/widgets/shop/w",
                "/registry/apps.example.com/widgets/",
            ),
            ("/registry/health", "/registry/"),
            ("a/001", "a/"),
            ("a/b/c", "a/b/"),
            ("plain", ""),
            ("/plain", "/"),
            ("", ""),
            ("//", "//"),
        ] {
            assert_eq!(prefix(key.as_bytes()), expected.as_bytes(), "{key}");
        }
    }

    #[test]
    fn what_etcd_stores_of_users_and_alarms_is_read() {
        let user = user(
            b"alice",
            b"\x0a\x05alice\x12\x04hash\x1a\x04root\x1a\x03ops",
        );
        assert_eq!(
            (user.name, user.roles),
            (
                "alice".to_owned(),
                vec!["root".to_owned(), "ops".to_owned()]
            )
        );
        assert_eq!(
            alarm(b"\x08\x1f\x10\x01").as_deref(),
            Some("NOSPACE of member 1f")
        );
        assert_eq!(alarm(b"\x08\x1f"), None);
    }
}
