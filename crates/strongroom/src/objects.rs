//! Objects of Kubernetes that a snapshot has, one by one, and the installation of DataRobot among them.

use anyhow::Context as _;
use archive::Entry;
use foreign::datarobot::{Certificate, Gathering, Installation};
use repository::Snapshot;
use source::etcd::holds_keys;
use zeroize::Zeroizing;

use crate::cli::{Chosen, Only};
use crate::exit::Exit;
use crate::failure::Failure;

/// The largest entry that can be an object of Kubernetes.
const OBJECT_MAX: u64 = 16 << 20;

/// The fact that names the release.
const RELEASE: &str = "datarobot.release";

/// The installation of DataRobot in `snapshot`: of the release that is named, or the one that was captured as such, or `dr`.
pub(crate) async fn installation(
    snapshot: &Snapshot,
    named: Option<&str>,
    only: &[Only],
) -> anyhow::Result<Installation> {
    let sources = &snapshot.manifest().sources;
    let known = sources.iter().find_map(|source| source.facts.get(RELEASE));
    let release = named.or(known.map(String::as_str)).unwrap_or("dr");
    let mut gathering = Gathering::new(release);
    for source in sources {
        gathering.know(Certificate::of_facts(&source.facts));
    }
    let gathered = each_object(snapshot, only, |entry, content| {
        Ok(gathering.add(entry, content)?)
    });
    refuse_none(snapshot, gathered.await?)?;
    let found = gathering.installation().and_then(|installation| {
        // What was captured under a name was looked for then.
        if named.is_some() {
            installation.must_be_released()?;
        }
        Ok(installation)
    });
    found.with_context(|| format!("look for DataRobot in {}", snapshot.name()))
}

/// Hands `take` every object of Kubernetes that was chosen, with its content, and says how many there were.
pub(crate) async fn each_object(
    snapshot: &Snapshot,
    only: &[Only],
    mut take: impl FnMut(&Entry, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut taken = 0;
    let mut chosen = Chosen::new(only);
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        if source.kind != "kubernetes" {
            continue;
        }
        let mut reader = snapshot.entries(index);
        while let Some(entry) = reader.next().await? {
            let name = entry.name.to_string();
            if !chosen.takes(&source.name, &name) {
                continue;
            }
            if entry.length() > OBJECT_MAX {
                let message = format!("{name} is too large to be an object");
                return Err(Failure::new(Exit::Failure, message).into());
            }
            let mut content = Zeroizing::new(Vec::with_capacity(entry.length() as usize));
            while let Some(piece) = reader.data().await? {
                content.extend_from_slice(piece.as_bytes());
            }
            take(&entry, &content)?;
            taken += 1;
        }
    }
    match chosen.unused() {
        Some(unused) if taken > 0 => Err(nothing_matches(snapshot, unused, false).into()),
        _ => Ok(taken),
    }
}

/// One of several names or patterns has chosen nothing, of what the snapshot has or, `inside`, of what lies in its etcd snapshot.
pub(crate) fn nothing_matches(snapshot: &Snapshot, only: &Only, inside: bool) -> Failure {
    let name = snapshot.name();
    let mut sources = snapshot.manifest().sources.iter();
    let hint = if inside {
        format!("strongroom show {name} --inside")
    } else if sources.any(|it| it.kind == "etcd" && !holds_keys(&it.facts)) {
        format!("strongroom show {name}; what lies in its etcd snapshot is named with --inside")
    } else {
        format!("strongroom show {name}")
    };
    let message = format!("nothing in {name} matches {only}");
    Failure::new(Exit::Failure, message).hint(hint)
}

pub(crate) fn refuse_none(snapshot: &Snapshot, taken: u64) -> Result<(), Failure> {
    if taken > 0 {
        return Ok(());
    }
    let message = format!(
        "nothing in {} matches that Kubernetes would take",
        snapshot.name()
    );
    Err(Failure::new(Exit::Failure, message).hint(format!("strongroom show {}", snapshot.name())))
}
