//! Looking into an etcd snapshot: what lies in it becomes a snapshot of its own, which every command reads like any other.
//!
//! It is taken into a repository in memory, sealed to a key that is thrown away: nothing of it touches a disk, and no command needs
//! to know how it came about.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use archive::Name;
use format::{Identities, Recipients, WriterKey};
use repository::{BackupOptions, Repository, Snapshot, Store, Trust};
use source::etcd::database::{Damage, Database, Records};
use source::etcd::{
    ApiServer, ENTRY, Held, Keyspace, StoredKeys, holds_keys, is_without_kubernetes,
};
use source::kubernetes::{EncryptionConfiguration, EncryptionKeys, StoredObjects};
use zeroize::Zeroizing;

use crate::cli::{Inside, Only};
use crate::entry::{EntryName, Named, Near};
use crate::etcd_file::EtcdFile;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::names::{SnapshotName, counted};
use crate::session::{PROGRAM, Session};
use crate::take::{Shot, Target, Task, Times, take_with};
use crate::units::Size;

/// The source with the Kubernetes objects.
pub(crate) const OBJECTS: &str = "kubernetes";

/// So much of what lies inside is held in memory.
const HELD_MAX: u64 = 1 << 30;
/// A longer EncryptionConfiguration is something else.
const CONFIGURATION_MAX: u64 = 1 << 20;

/// What of it somebody wants to see.
#[derive(Clone, Copy)]
pub(crate) enum Wants<'a> {
    Entry(&'a EntryName),
    /// Objects that could be written into a cluster; all of them if there is no pattern.
    Objects(&'a [Only]),
    /// What could be written into a system that runs, or be compared with one: objects, and keys that are not an API server's.
    Live {
        only: &'a [Only],
        /// The API server's keys, and not the objects that they are.
        past_the_server: bool,
    },
    Matching(&'a [Only]),
}

impl Wants<'_> {
    fn wants(self, api_server: &ApiServer, named: Named<'_>, name: &Name) -> bool {
        let matches = |patterns: &[Only]| {
            let text = name.to_string();
            patterns.is_empty() || patterns.iter().any(|it| it.matches(named, &text))
        };
        match (self, named) {
            (Self::Entry(entry), _) => entry.is(named, name),
            (Self::Objects(_), Named::ByKey(_)) => false,
            (Self::Objects(patterns) | Self::Matching(patterns), _) => matches(patterns),
            (
                Self::Live {
                    only,
                    past_the_server,
                },
                _,
            ) => match named {
                Named::InParts(_) => !past_the_server && matches(only),
                Named::ByKey(source) if !past_the_server && api_server.owns(name.as_bytes()) => {
                    // Only who names it means it: a pattern for others may fit its key too.
                    let text = name.to_string();
                    let mut fitting = only.iter().filter(|it| it.matches(named, &text));
                    fitting.any(|it| api_server.owns(it.reach(source).front()))
                }
                Named::ByKey(_) => matches(only),
            },
        }
    }
}

/// The snapshot that `name` means, or what lies in it.
pub(crate) async fn open(
    session: &Session,
    repository: &Repository,
    name: &SnapshotName,
    inside: &Inside,
    wants: Wants<'_>,
) -> anyhow::Result<Snapshot> {
    let snapshot = session.snapshot(repository, name).await?;
    if !inside.wanted {
        return Ok(snapshot);
    }
    let keys = inside.encryption_config.as_deref().map(encryption_keys);
    let objects = StoredObjects::new(&inside.etcd_prefix, keys.transpose()?);
    look(session, &snapshot, inside, objects, wants).await
}

async fn look(
    session: &Session,
    snapshot: &Snapshot,
    inside: &Inside,
    mut objects: StoredObjects,
    wants: Wants<'_>,
) -> anyhow::Result<Snapshot> {
    let index = etcd_source(snapshot)?;
    let etcd = snapshot.manifest().sources[index].name.as_str();
    let (as_object, as_key) = (Named::InParts(OBJECTS), Named::ByKey(etcd));
    let where_to_look = match wants {
        Wants::Matching(_) => ", for the reasons that follow",
        _ => "; `strongroom show` says why",
    };
    let api_server = ApiServer::new(&inside.etcd_prefix);
    let asked = wants;
    let wants = |named: Named<'_>, name: &Name| wants.wants(&api_server, named, name);
    let wanted = |key: &[u8]| match objects.name(key) {
        // Whether it is an object is known only when it has been opened.
        Some(name) => wants(as_object, &name) || wants(as_key, &Name::new(key)),
        None => wants(as_key, &Name::new(key)),
    };
    let (keyspace, revision) = read(session, snapshot, index, inside.revision, &wanted).await?;
    objects.know("etcd.revision", &revision.to_string());
    let mut keys = StoredKeys::at(revision);
    for (key, held) in keyspace.into_held() {
        let wanted_as_object = objects.name(&key).is_some_and(|it| wants(as_object, &it));
        let Held { value, lease, ttl } = held;
        let value = if wanted_as_object {
            objects.add(&key, value)
        } else {
            Some(value)
        };
        if let Some(value) = value
            && wants(as_key, &Name::new(key.as_slice()))
        {
            keys.add(key, Held { value, lease, ttl });
        }
    }
    let (opened, closed) = objects.counts();
    if let Wants::Entry(entry) = asked
        && opened + closed == 0
        && keys.is_empty()
    {
        let near = near(session, snapshot, inside, &objects, entry).await?;
        return Err(near.failure(entry, snapshot, inside).into());
    }
    if closed > 0 {
        let closed = counted(closed as u64, "object", "objects");
        session
            .output
            .note(format_args!("{closed} could not be read{where_to_look}"));
        if inside.encryption_config.is_none() {
            session
                .output
                .note("--encryption-config FILE opens what the API server encrypted at rest");
        }
    }
    let mut tasks = Vec::new();
    // An etcd without Kubernetes has no source of that name.
    let facts = &snapshot.manifest().sources[index].facts;
    let only_keys = is_without_kubernetes(facts) || !keys.is_empty();
    if opened + closed > 0 || !only_keys {
        tasks.push(Task::reading(OBJECTS, Box::new(objects)));
    }
    if only_keys {
        tasks.push(Task::reading(etcd, Box::new(keys)));
    }
    capture(session, snapshot, &tasks).await
}

/// What `entry`, which is not there, may have been meant for. All is read once more, so that looking for what is there costs nothing.
async fn near(
    session: &Session,
    snapshot: &Snapshot,
    inside: &Inside,
    objects: &StoredObjects,
    entry: &EntryName,
) -> anyhow::Result<Near> {
    let index = etcd_source(snapshot)?;
    let etcd = snapshot.manifest().sources[index].name.as_str();
    let named = |key: &[u8]| match objects.name(key) {
        Some(name) => (OBJECTS, name),
        None => (etcd, Name::new(key)),
    };
    let mut near = entry.near();
    let is_near = |key: &[u8]| {
        let (source, name) = named(key);
        near.distance(source, &name).is_some()
    };
    let (found, _) = read(session, snapshot, index, inside.revision, &is_near).await?;
    for (key, _) in found.into_held() {
        let (source, name) = named(&key);
        near.look_at(source, &name);
    }
    Ok(near)
}

/// The command that lists what can be named: of the snapshot or, where somebody looks into it, of what lies in it.
pub(crate) fn listing(snapshot: &Snapshot, inside: &Inside) -> String {
    let show = format!("strongroom show {}{inside}", snapshot.name());
    let sources = &snapshot.manifest().sources;
    match etcds(snapshot).count() {
        1 if inside.wanted => show,
        1 if sources.len() == 1 => format!("{show} --inside"),
        1 => format!("{show}; {show} --inside"),
        _ => show,
    }
}

/// The sources of the snapshot that are snapshots of an etcd.
fn etcds(snapshot: &Snapshot) -> impl Iterator<Item = usize> {
    let sources = snapshot.manifest().sources.iter().enumerate();
    sources
        .filter(|(_, source)| source.kind == "etcd" && !holds_keys(&source.facts))
        .map(|(index, _)| index)
}

/// The one source of the snapshot that is an etcd.
fn etcd_source(snapshot: &Snapshot) -> Result<usize, Failure> {
    let found: Vec<usize> = etcds(snapshot).collect();
    match found[..] {
        [index] => Ok(index),
        [] if snapshot
            .manifest()
            .sources
            .iter()
            .any(|it| holds_keys(&it.facts)) =>
        {
            let message = format!(
                "{} holds keys of an etcd as its entries, and no etcd snapshot to look into",
                snapshot.name()
            );
            let hint =
                "leave out --inside, and --into: its keys go back into the etcd that they lay in";
            Err(Failure::usage(message).hint(hint))
        }
        [] => Err(Failure::usage(format!(
            "{} has no source of the kind etcd to look into",
            snapshot.name()
        ))),
        _ => Err(Failure::usage(format!(
            "{} has several sources of the kind etcd, and only one can be looked into",
            snapshot.name()
        ))),
    }
}

/// The keys that are wanted, at the revision, and which one that is.
async fn read(
    session: &Session,
    snapshot: &Snapshot,
    index: usize,
    revision: Option<u64>,
    wanted: &(dyn Fn(&[u8]) -> bool + Sync),
) -> anyhow::Result<(Keyspace, u64)> {
    let name = snapshot.name();
    let file = EtcdFile::new(session, snapshot, index, &format!("look into {name}"));
    let cannot = |damage: Damage| {
        Failure::new(
            Exit::Damage,
            format!("{name} is no whole database of etcd: {damage}"),
        )
    };
    let database = file.database().await?.ok_or_else(|| {
        let message = format!("{name} has no {ENTRY} to look into");
        Failure::new(Exit::Failure, message)
    })?;
    let database = database.map_err(cannot)?;
    if let Some(damage) = database.damage().first() {
        session.output.note(format_args!(
            "{name} is damaged ({damage}); what can be reached is there, and more may be missing"
        ));
    }
    let mut keys = Keyspace::at(revision);
    let mut records = Records::new(&database);
    file.pour(&mut |piece| {
        records
            .feed(piece, &mut |item| keys.take(item, wanted))
            .map_err(cannot)?;
        if keys.bytes() > HELD_MAX {
            let message = format!("more than {} of {name} is wanted at once", Size(HELD_MAX));
            return Err(Failure::new(Exit::Failure, message)
                .hint("--only PATTERN makes it less")
                .into());
        }
        Ok(())
    })
    .await?;
    records.finish().map_err(cannot)?;
    refuse_revision(&name, revision, &database, &keys)?;
    Ok((keys, revision.unwrap_or(database.revision())))
}

/// Before the last compaction nobody knows what there was, and after the last revision nothing.
fn refuse_revision(
    name: &str,
    wanted: Option<u64>,
    database: &Database,
    keys: &Keyspace,
) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    let newest = database.revision();
    let oldest = keys.compacted().unwrap_or(1);
    let message = if wanted > newest {
        format!("revision {wanted} is newer than {name}, which ends at {newest}")
    } else if wanted < oldest {
        format!("revision {wanted} was compacted away: {name} begins at {oldest}")
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Failure, message).hint(format!("--revision {oldest} to {newest}")))
}

/// Takes what was found into a snapshot of its own, in the place of the one that it was found in.
async fn capture(
    session: &Session,
    snapshot: &Snapshot,
    tasks: &[Task],
) -> anyhow::Result<Snapshot> {
    let store = Store::in_memory();
    let statement = snapshot.statement();
    let repository = Repository::create(store, statement.started.clone()).await?;
    let (identity, recipient) = format::generate_identity();
    let mut identities = Identities::none();
    identities.add_file(identity.as_bytes())?;
    let writer = Arc::new(WriterKey::generate());
    let trust = Trust {
        writers: [writer.id()].into(),
        ..Trust::default()
    };
    let options = BackupOptions {
        job: snapshot.job().clone(),
        recipients: Recipients::parse([recipient.as_str()])?,
        writer,
        trust: trust.clone(),
        program: PROGRAM.to_owned(),
        configuration: snapshot.manifest().configuration.clone(),
    };
    let shot = Shot {
        job: snapshot.job(),
        tasks,
        configuration: options.configuration.clone(),
        allow_partial: true,
        window: None,
        times: Some(Times::at(&statement.finished, tasks.len())),
    };
    let targets = [Target::only(repository.clone())];
    let mut taken = take_with(session, &targets, &shot, &options).await?;
    taken.pop().expect("there is one target")?;
    let view = repository.view(snapshot.job(), &trust).await?;
    let found = view.snapshots().next_back().expect("it was just taken");
    let identities = Arc::new(identities);
    let opened = session.open_snapshot(&repository, found, identities, &trust);
    Ok(opened.await?.standing_for(snapshot))
}

fn encryption_keys(file: &Path) -> anyhow::Result<EncryptionKeys> {
    let named = || format!("the EncryptionConfiguration {}", file.display());
    let mut text = Zeroizing::new(String::new());
    let opened = std::fs::File::open(file).with_context(named)?;
    opened
        .take(CONFIGURATION_MAX)
        .read_to_string(&mut text)
        .with_context(named)?;
    // What the reader says of a line could repeat a key.
    let parsed: Result<EncryptionConfiguration, _> = serde_saphyr::from_str(&text);
    let parsed = parsed.map_err(|_| {
        let message = format!("{} cannot be read", named());
        Failure::usage(message).hint("the file of the API server's --encryption-provider-config")
    })?;
    parsed.keys().with_context(named)
}
