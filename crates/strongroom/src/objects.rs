//! Objects of Kubernetes that a snapshot has, one by one, and the installation of DataRobot among them.

use anyhow::Context as _;
use archive::Entry;
use foreign::datarobot::{Certificate, Gathering, Installation};
use format::{Incomplete, ManifestSource};
use repository::Snapshot;
use source::etcd::holds_keys;
use zeroize::Zeroizing;

use crate::cli::{Chosen, Inside, Only};
use crate::entry::Named;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inside::listing;
use crate::names::counted;

/// The largest entry that can be an object of Kubernetes.
const OBJECT_MAX: u64 = 16 << 20;
/// The kind of the sources whose entries are objects.
const OBJECTS: &str = "kubernetes";

/// The fact that names the release.
const RELEASE: &str = "datarobot.release";

/// The installation of DataRobot in `snapshot`, or in what lies `inside`: of the release that is named, or the one that was captured as such, or `dr`.
pub(crate) async fn installation(
    snapshot: &Snapshot,
    named: Option<&str>,
    only: &[Only],
    inside: &Inside,
) -> anyhow::Result<Installation> {
    let sources = &snapshot.manifest().sources;
    let known = sources.iter().find_map(|source| source.facts.get(RELEASE));
    let release = named.or(known.map(String::as_str)).unwrap_or("dr");
    let mut gathering = Gathering::new(release);
    for source in sources {
        gathering.know(Certificate::of_facts(&source.facts));
    }
    let gathered = each_object(snapshot, only, inside, |entry, content| {
        Ok(gathering.add(entry, content)?)
    });
    refuse_none(snapshot, inside, gathered.await?)?;
    let found = gathering.installation().and_then(|installation| {
        // What was captured under a name was looked for then.
        if named.is_some() {
            installation.must_be_released()?;
        }
        Ok(installation)
    });
    found.with_context(|| format!("look for DataRobot in {}", snapshot.name()))
}

/// Hands `take` every object of Kubernetes that was chosen of `snapshot`, or of what lies `inside`, with its content, and says how many
/// there were.
pub(crate) async fn each_object(
    snapshot: &Snapshot,
    only: &[Only],
    inside: &Inside,
    mut take: impl FnMut(&Entry, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut taken = 0;
    let mut chosen = Chosen::new(only);
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        if source.kind != OBJECTS {
            continue;
        }
        // A pattern for what is missing has not been mistyped.
        missing(source, &mut chosen);
        let mut reader = snapshot.entries(index);
        while let Some(entry) = reader.next().await? {
            let name = entry.name.to_string();
            if !chosen.takes(Named::of(source), &name) {
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
        Some(unused) if taken > 0 => Err(nothing_matches(snapshot, unused, inside).into()),
        _ => Ok(taken),
    }
}

/// What was chosen of a source and is not in it, with the reason; of what lies inside an etcd, what could not be opened.
pub(crate) fn missing<'a>(
    source: &'a ManifestSource,
    chosen: &mut Chosen<'_>,
) -> Vec<&'a Incomplete> {
    let missing = source.incomplete.iter();
    let named = Named::of(source);
    missing
        .filter(|it| chosen.takes(named, &it.name.to_string()))
        .collect()
}

/// What somebody takes out of the objects of a snapshot must not pass for all of them.
pub(crate) fn refuse_missing(
    snapshot: &Snapshot,
    only: &[Only],
    inside: &Inside,
) -> Result<(), Failure> {
    let mut chosen = Chosen::new(only);
    let sources = snapshot.manifest().sources.iter();
    let missing: Vec<&Incomplete> = sources
        .filter(|source| source.kind == OBJECTS)
        .flat_map(|source| missing(source, &mut chosen))
        .collect();
    let [first, others @ ..] = &*missing else {
        return Ok(());
    };
    let more = match others.len() {
        0 => String::new(),
        more => format!(
            ", and {}",
            counted(more as u64, "more object", "more objects")
        ),
    };
    let message = format!(
        "{} of {} is missing: {}{more}",
        first.name,
        snapshot.name(),
        first.reason
    );
    Err(Failure::new(Exit::Partial, message).hint(listing(snapshot, inside)))
}

/// One of several names or patterns has chosen nothing, of what the snapshot has or of what lies `inside`.
pub(crate) fn nothing_matches(snapshot: &Snapshot, only: &Only, inside: &Inside) -> Failure {
    let nothing = format!("nothing in {}", snapshot.name());
    matches_not(&nothing, snapshot, only, inside)
}

/// The same of all that was compared with `snapshot` too.
pub(crate) fn nothing_compared(snapshot: &Snapshot, only: &Only, inside: &Inside) -> Failure {
    matches_not("nothing that was compared", snapshot, only, inside)
}

fn matches_not(nothing: &str, snapshot: &Snapshot, only: &Only, inside: &Inside) -> Failure {
    let sources = &snapshot.manifest().sources;
    let keys = !sources.is_empty() && sources.iter().all(|it| holds_keys(&it.facts));
    let message = if keys && only.is_one_key() {
        format!(
            "{nothing} matches {only}: it means the key of this name alone, and {only}/ all that begin so"
        )
    } else {
        format!("{nothing} matches {only}")
    };
    Failure::new(Exit::Failure, message).hint(listing(snapshot, inside))
}

pub(crate) fn refuse_none(snapshot: &Snapshot, inside: &Inside, taken: u64) -> Result<(), Failure> {
    if taken > 0 {
        return Ok(());
    }
    let message = format!(
        "nothing in {} matches that Kubernetes would take",
        snapshot.name()
    );
    Err(Failure::new(Exit::Failure, message).hint(listing(snapshot, inside)))
}
